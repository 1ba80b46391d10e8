/* Checks of a response's form: marked lines, sections, JSON, titles, how it ends. */
#include "checks/checks.h"

static size_t end_of_line(struct span text, size_t from)
{
  const char *end = from < text.len ? memchr(text.text + from, '\n', text.len - from) : NULL;
  return end ? (size_t)(end - text.text) : text.len;
}

/* Lines that begin, white space aside, with the mark; a second mark right after it rules a line out when
 * `single`. White space before a mark may hold newlines, so blank lines above a bullet belong to it. */
static int64_t count_marked_lines(struct span text, char mark, bool single)
{
  int64_t n = 0;
  for (size_t line = 0; line < text.len;) {
    size_t at = line, next = line;
    while (next < text.len && text_is_space(text_next(text, &next))) at = next;
    size_t end = end_of_line(text, at);
    if (at < text.len && text.text[at] == mark &&
        (!single || (at + 1 < text.len && text.text[at + 1] != mark))) {
      n++;
      end = end_of_line(text, at + 1 + single);
    }
    line = end + 1;
  }
  return n;
}

int check_bullets(const struct check_input *in, struct tpo_error *err)
{
  int64_t wanted;
  int status = check_get_int(in, "num_bullets", 0, &wanted, err);
  if (status < 0 || !in->has_response) return status;
  return count_marked_lines(in->response, '*', true) + count_marked_lines(in->response, '-', false) == wanted;
}

int check_constrained(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  static const char *const options[] = {"My answer is yes.", "My answer is no.", "My answer is maybe."};
  for (int i = 0; i < 3 && in->has_response; i++)
    if (text_find(in->response, span_of(options[i]), 0) != SIZE_MAX) return 1;
  return 0;
}

/* Non-blank passages of one line between a run of `width` asterisks and the next. */
static int64_t count_highlights(struct span text, size_t width)
{
  int64_t n = 0;
  struct span marker = {"**", width};
  for (size_t at = 0; (at = text_find(text, marker, at)) != SIZE_MAX;) {
    size_t start = at + width, end = start;
    while (end < text.len && text.text[end] != '*' && text.text[end] != '\n') end++;
    if (end + width > text.len || memcmp(text.text + end, marker.text, width) != 0) {
      at++; /* no marker closes this passage */
      continue;
    }
    n += text_strip((struct span){text.text + start, end - start}).len > 0;
    at = end + width;
  }
  return n;
}

/* Passages in double asterisks count as such, and as far as they look like single ones, once more: as in the
 * benchmark. */
int check_highlights(const struct check_input *in, struct tpo_error *err)
{
  int64_t wanted;
  int status = check_get_int(in, "num_highlights", 0, &wanted, err);
  if (status < 0 || !in->has_response) return status;
  return count_highlights(in->response, 1) + count_highlights(in->response, 2) >= wanted;
}

int check_sections(const struct check_input *in, struct tpo_error *err)
{
  int64_t wanted, n = 0;
  struct span head;
  int status = check_get_string(in, "section_spliter", &head, err);
  if (status == 0) status = check_get_int(in, "num_sections", 0, &wanted, err);
  if (status < 0 || !in->has_response) return status;
  head = text_strip(head);
  struct span text = in->response;
  for (size_t at = 0; (at = text_find(text, head, at)) != SIZE_MAX; at++) {
    size_t here = at + head.len, next = here;
    if (next < text.len && text_is_space(text_next(text, &next))) here = next;
    next = here;
    if (next < text.len && text_is_digit(text_next(text, &next))) {
      n++;
      at = next - 1;
    }
  }
  return n >= wanted;
}

int check_json(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  if (!in->has_response) return 0;
  static const char *const openings[] = {"```json", "```Json", "```JSON", "```"};
  struct span text = text_strip(in->response);
  for (int i = 0; i < 4; i++) {
    size_t len = strlen(openings[i]);
    if (text_starts(text, openings[i])) text = (struct span){text.text + len, text.len - len};
  }
  if (text_ends(text, span_of("```"))) text.len -= 3;
  return text_is_json(text_strip(text));
}

/* <<title>> on one line. */
int check_title(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  struct span text = in->response;
  if (!in->has_response) return 0;
  for (size_t line = 0; line < text.len;) {
    size_t end = end_of_line(text, line), last = 0;
    for (size_t at = line; at + 1 < end; at++)
      if (text.text[at] == '>' && text.text[at + 1] == '>') last = at; /* of the line's last ">>" */
    size_t open = text_find((struct span){text.text, end}, span_of("<<"), line);
    if (open != SIZE_MAX && last >= open + 3) {
      struct span title = {text.text + open, last + 2 - open};
      while (title.len > 0 && *title.text == '<') title = (struct span){title.text + 1, title.len - 1};
      while (title.len > 0 && title.text[title.len - 1] == '>') title.len--;
      if (text_strip(title).len > 0) return 1;
    }
    line = end + 1;
  }
  return 0;
}

/* [anything] on one line. */
int check_placeholders(const struct check_input *in, struct tpo_error *err)
{
  int64_t wanted, n = 0;
  int status = check_get_int(in, "num_placeholders", 0, &wanted, err);
  if (status < 0 || !in->has_response) return status;
  struct span text = in->response;
  for (size_t at = 0; (at = text_find(text, span_of("["), at)) != SIZE_MAX;) {
    size_t end = end_of_line(text, at), close = text_find((struct span){text.text, end}, span_of("]"), at);
    n += close != SIZE_MAX;
    at = close != SIZE_MAX ? close + 1 : end;
  }
  return n >= wanted;
}

/* Whether `parts` follow each other in text, at most one white space character between two; text is in lower
 * case. */
static bool has_parts(struct span text, const char *const *parts, int n_parts)
{
  for (size_t start = 0; (start = text_find(text, span_of(parts[0]), start)) != SIZE_MAX; start++) {
    size_t at = start + strlen(parts[0]);
    int i = 1;
    for (; i < n_parts; i++) {
      size_t next = at, len = strlen(parts[i]);
      if (next < text.len && text_is_space(text_next(text, &next))) at = next;
      if (!text_starts((struct span){text.text + at, text.len - at}, parts[i])) break;
      at += len;
    }
    if (i == n_parts) return true;
  }
  return false;
}

int check_postscript(const struct check_input *in, struct tpo_error *err)
{
  struct span marker;
  int status = check_get_string(in, "postscript_marker", &marker, err);
  if (status < 0 || !in->has_response) return status;
  static const char *const ps[] = {"p.", "s."}, *const pps[] = {"p.", "p.", "s"};
  struct tpo_buf lower = {0}, lower_marker = {0};
  marker = text_strip(marker);
  text_lower(in->response, &lower);
  text_lower(marker, &lower_marker);
  struct span text = {lower.data, lower.len};
  if (lower.failed || lower_marker.failed)
    status = check_text_failed(err);
  else if (span_equal(marker, span_of("P.P.S")))
    status = has_parts(text, pps, 3);
  else if (span_equal(marker, span_of("P.S.")))
    status = has_parts(text, ps, 2);
  else
    status = text_find(text, (struct span){lower_marker.data, lower_marker.len}, 0) != SIZE_MAX;
  tpo_buf_free(&lower);
  tpo_buf_free(&lower_marker);
  return status;
}

/* Two different responses with ****** between them; only the first and the last piece may be blank. */
int check_two_responses(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  if (!in->has_response) return 0;
  struct span text = in->response, divider = span_of("******"), found[2];
  int n = 0;
  for (size_t start = 0;;) {
    size_t end = text_find(text, divider, start);
    bool first = start == 0, last = end == SIZE_MAX;
    if (last) end = text.len;
    struct span piece = text_strip((struct span){text.text + start, end - start});
    if (piece.len > 0) {
      if (n == 2) return 0;
      found[n++] = piece;
    } else if (!first && !last) {
      return 0;
    }
    if (last) return n == 2 && !span_equal(found[0], found[1]);
    start = end + divider.len;
  }
}

/* The request stands first, letter case and white space at its ends aside. */
int check_repeat(const struct check_input *in, struct tpo_error *err)
{
  struct span prompt;
  const json_t *given = json_object_get(in->check, "prompt_to_repeat");
  if (given && !json_is_null(given)) {
    int status = check_get_string(in, "prompt_to_repeat", &prompt, err);
    if (status < 0) return status;
  } else {
    prompt = span_of(in->instruction ? in->instruction : "");
  }
  if (!in->has_response) return 0;
  prompt = text_strip(prompt);
  if (prompt.len == 0)
    return tpo_fail(err, TPO_E_INPUT, "check %s: there is neither \"prompt_to_repeat\" nor an instruction",
                    check_name(in));
  struct tpo_buf lower = {0}, lower_prompt = {0};
  text_lower(text_strip(in->response), &lower);
  text_lower(prompt, &lower_prompt);
  int status = lower.failed || lower_prompt.failed
                   ? check_text_failed(err)
                   : text_starts((struct span){lower.data, lower.len}, lower_prompt.data);
  tpo_buf_free(&lower);
  tpo_buf_free(&lower_prompt);
  return status;
}

/* Double quotes around the response, and letter case, are left aside. */
int check_end(const struct check_input *in, struct tpo_error *err)
{
  struct span phrase;
  int status = check_get_string(in, "end_phrase", &phrase, err);
  if (status < 0 || !in->has_response) return status;
  struct tpo_buf lower = {0}, lower_phrase = {0};
  text_lower(text_strip_char(text_strip(in->response), '"'), &lower);
  text_lower(text_strip(phrase), &lower_phrase);
  if (lower.failed || lower_phrase.failed)
    status = check_text_failed(err);
  else
    status =
        text_ends((struct span){lower.data, lower.len}, (struct span){lower_phrase.data, lower_phrase.len});
  tpo_buf_free(&lower);
  tpo_buf_free(&lower_phrase);
  return status;
}

int check_quotation(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  struct span text = text_strip(in->response);
  return in->has_response && text.len > 1 && text.text[0] == '"' && text.text[text.len - 1] == '"';
}

int check_no_comma(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  return in->has_response && !memchr(in->response.text, ',', in->response.len);
}
