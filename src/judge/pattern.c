/* PCRE2 with limits on steps, memory and seconds. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "judge/pattern.h"

#include <pcre2.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/memory.h"

enum { MAX_PATTERN = 4096, LONGEST = 10 /* seconds of one search */ };

struct judge_pattern {
  pcre2_code *code;
  enum judge_pattern_use use;
};

static int check_group(const pcre2_code *code, const char *key, struct tpo_error *err)
{
  uint32_t groups = 0;
  pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
  if (groups > 0) return 0;
  return tpo_fail(err, TPO_E_USAGE,
                  "%s has no group: the verdict is what its first pair of parentheses matches", key);
}

int judge_pattern_open(struct judge_pattern **out, const char *key, const char *pattern,
                       enum judge_pattern_use use, struct tpo_error *err)
{
  *out = NULL;
  size_t len = strlen(pattern);
  if (len > MAX_PATTERN)
    return tpo_fail(err, TPO_E_USAGE, "%s has %zu bytes, %d are allowed", key, len, MAX_PATTERN);
  int problem;
  PCRE2_SIZE offset;
  /* \C would let a match stop inside a character. */
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                                   &problem, &offset, NULL);
  if (!code) {
    char reason[128] = "";
    pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
    return tpo_fail(err, TPO_E_USAGE, "%s is wrong at byte %zu: %s", key, (size_t)offset, reason);
  }
  int status = use == JUDGE_PATTERN_GROUP ? check_group(code, key, err) : 0;
  if (status == 0 && !(*out = tpo_calloc(1, sizeof **out, err))) status = TPO_E_MEMORY;
  if (status == 0)
    **out = (struct judge_pattern){code, use};
  else
    pcre2_code_free(code);
  return status;
}

void judge_pattern_close(struct judge_pattern *pattern)
{
  if (!pattern) return;
  pcre2_code_free(pattern->code);
  free(pattern);
}

/* A thought is as long as an answer may be, and each of its characters is a step or more. */
static void set_limits(pcre2_match_context *context, enum judge_pattern_use use)
{
  bool whole = use == JUDGE_PATTERN_WHOLE;
  pcre2_set_match_limit(context, whole ? 20000000 : 200000);
  pcre2_set_depth_limit(context, whole ? 20000000 : 2000);
  pcre2_set_heap_limit(context, whole ? 65536 : 8192); /* KiB */
}

struct search {
  const struct judge_pattern *pattern;
  pcre2_match_context *context;
  pcre2_match_data *data;
  struct span text;
};

/* Where the search goes on: behind the match, by a character at least. */
static size_t behind(const struct search *s, size_t at, size_t end)
{
  if (end > at) return end;
  for (at++; at < s->text.len && ((unsigned char)s->text.text[at] & 0xC0) == 0x80;) at++;
  return at;
}

static struct judge_match match_of(const struct search *s, int n)
{
  const PCRE2_SIZE *v = pcre2_get_ovector_pointer(s->data);
  struct judge_match match = {.whole = {s->text.text + v[0], v[1] >= v[0] ? v[1] - v[0] : 0}};
  if (n > 1 && v[2] != PCRE2_UNSET && v[2] <= v[3])
    match.group = (struct span){s->text.text + v[2], v[3] - v[2]};
  return match;
}

/* PCRE2, which would look through all of the text before each match, need not: it is UTF-8. */
static int search(const struct search *s, size_t from, judge_take_match *take, void *arg)
{
  double end = tpo_seconds() + LONGEST;
  for (size_t at = from; at <= s->text.len;) {
    if (tpo_interrupted() || tpo_seconds() > end) return JUDGE_SEARCH_GIVEN_UP;
    int n = pcre2_match(s->pattern->code, (PCRE2_SPTR)s->text.text, s->text.len, at, PCRE2_NO_UTF_CHECK,
                        s->data, s->context);
    if (n < 0) return n == PCRE2_ERROR_NOMATCH ? JUDGE_SEARCH_DONE : JUDGE_SEARCH_GIVEN_UP;
    struct judge_match match = match_of(s, n);
    take(arg, &match);
    at = behind(s, at, pcre2_get_ovector_pointer(s->data)[1]);
  }
  return JUDGE_SEARCH_DONE;
}

int judge_pattern_search(const struct judge_pattern *pattern, struct span text, size_t from,
                         judge_take_match *take, void *arg, struct tpo_error *err)
{
  struct search s = {.pattern = pattern,
                     .context = pcre2_match_context_create(NULL),
                     .data = pcre2_match_data_create_from_pattern(pattern->code, NULL),
                     .text = text};
  int status;
  if (s.context && s.data) {
    set_limits(s.context, pattern->use);
    status = search(&s, from, take, arg);
  } else
    status = tpo_fail(err, TPO_E_MEMORY, "no memory to search a judge's answer");
  pcre2_match_data_free(s.data);
  pcre2_match_context_free(s.context);
  return status;
}
