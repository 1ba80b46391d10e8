/* Output that is divided into thought and response (parts: text, thought marker, response marker). */
#include "fuzz/fuzz.h"
#include "tpo/text.h"

/* On code points of valid text, where the markers are text too, as a configuration's are. */
static void within(const char *text, size_t len, bool valid, size_t begin, size_t end)
{
  CLAIM(begin <= end && end <= len, "%zu to %zu of %zu", begin, end, len);
  CLAIM(!valid || begin == len || ((unsigned char)text[begin] & 0xc0) != 0x80, "%zu", begin);
  CLAIM(!valid || end == len || ((unsigned char)text[end] & 0xc0) != 0x80, "%zu", end);
}

/* White space around a text makes no difference, unless a marker has it. */
static void space_around_is_nothing(const struct tpo_thought_config *thought, struct part text,
                                    const struct tpo_parsed *p)
{
  const char *space = " \n\t";
  struct tpo_parsed again;
  while (*space && (strchr(thought->thought_marker, *space) || strchr(thought->response_marker, *space)))
    space++;
  char *whole = malloc(text.len + 2);
  CLAIM(whole);
  whole[0] = whole[text.len + 1] = *space;
  memcpy(whole + 1, text.data, text.len);
  if (*space) {
    tpo_thought_parse(thought, whole, text.len + 2, &again);
    CLAIM(again.format_ok == p->format_ok);
    CLAIM(!p->format_ok || again.thought_begin == p->thought_begin + 1, "%zu", again.thought_begin);
    CLAIM(!p->format_ok || again.thought_end == p->thought_end + 1, "%zu", again.thought_end);
    CLAIM(again.response_end - again.response_begin == p->response_end - p->response_begin);
  }
  free(whole);
}

static void parse(const struct tpo_thought_config *thought, struct part part)
{
  const char *text = (const char *)part.data;
  struct tpo_parsed p;
  tpo_thought_parse(thought, text, part.len, &p);
  bool valid = tpo_utf8_valid(text, part.len, NULL) &&
               tpo_utf8_valid(thought->thought_marker, strlen(thought->thought_marker), NULL) &&
               tpo_utf8_valid(thought->response_marker, strlen(thought->response_marker), NULL);
  within(text, part.len, valid, p.thought_begin, p.thought_end);
  within(text, part.len, valid, p.response_begin, p.response_end);
  CLAIM(p.thought_end <= p.response_begin, "thought to %zu, response from %zu", p.thought_end,
        p.response_begin);
  bool both = *thought->thought_marker && *thought->response_marker;
  CLAIM(!p.format_ok || p.response_end > p.response_begin, "an empty response is well-formed");
  CLAIM(!p.format_ok || !both || p.thought_end > p.thought_begin, "an empty thought is well-formed");
  if (both) space_around_is_nothing(thought, part, &p);
}

static void parse_by_both_rules(struct tpo_thought_config *thought, struct part part)
{
  const char *text = (const char *)part.data;
  for (int rule = TPO_PARSE_STRICT; rule <= TPO_PARSE_SEARCH; rule++) {
    thought->parse = (enum tpo_parse_rule)rule;
    parse(thought, part);
  }
  CLAIM(tpo_thought_parses(thought, TPO_PARSE_SEARCH, text, part.len) ||
            !tpo_thought_parses(thought, TPO_PARSE_STRICT, text, part.len),
        "strict takes what search doesn't");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[3];
  fuzz_parts(data, size, parts, 3);
  char *first = fuzz_string(parts[1]), *second = fuzz_string(parts[2]);
  struct tpo_thought_config thought = {.thought_marker = first, .response_marker = second};
  parse_by_both_rules(&thought, parts[0]);
  first[0] = second[0] = '\0'; /* without a layout */
  parse_by_both_rules(&thought, parts[0]);
  free(first);
  free(second);
  return 0;
}
