/* Checks against a reference answer: the same text, the same number, or a pattern that matches. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include "base/json.h"
#include "checks/checks.h"

static int get_flag(const struct check_input *in, const char *name, bool *out, struct tpo_error *err)
{
  int status = tpo_json_get_bool(in->check, name, out, check_name(in), err);
  return status < 0 ? tpo_fail_prefix(err, "check") : 0;
}

/* White space collapsed to single spaces, none at the ends; lower case when asked for. */
static void normalise(struct span text, bool lower, struct tpo_buf *out)
{
  struct tpo_buf cased = {0};
  text = text_strip(text);
  if (lower) {
    text_lower(text, &cased);
    text = (struct span){cased.data, cased.len};
  }
  bool space = false;
  for (size_t at = 0; at < text.len;) {
    size_t start = at;
    if (text_is_space(text_next(text, &at))) {
      space = true;
      continue;
    }
    if (space) tpo_buf_putc(out, ' ');
    space = false;
    tpo_buf_append(out, text.text + start, at - start);
  }
  out->failed |= cased.failed;
  tpo_buf_free(&cased);
}

/* Whether needle occurs in text and is not a part of longer words there. */
static bool holds_whole(struct span text, struct span needle)
{
  for (size_t at = 0; (at = text_find(text, needle, at)) != SIZE_MAX; at++) {
    size_t after = at + needle.len, next = after, first = 0;
    bool left = at > 0 && text_is_word(text_before(text, at)) && text_is_word(text_next(needle, &first));
    bool right = after < text.len && text_is_word(text_next(text, &next)) &&
                 text_is_word(text_before(needle, needle.len));
    if (!left && !right) return true;
  }
  return false;
}

int check_reference_exact(const struct check_input *in, struct tpo_error *err)
{
  struct span reference;
  bool ignore_case = true, contained = false;
  int status = check_get_string(in, "reference", &reference, err);
  if (status == 0) status = get_flag(in, "ignore_case", &ignore_case, err);
  if (status == 0) status = get_flag(in, "contained", &contained, err);
  if (status < 0 || !in->has_response) return status;
  struct tpo_buf text = {0}, expected = {0};
  normalise(in->response, ignore_case, &text);
  normalise(reference, ignore_case, &expected);
  struct span a = {text.data, text.len}, b = {expected.data, expected.len};
  if (text.failed || expected.failed)
    status = check_text_failed(err);
  else
    status = contained ? holds_whole(a, b) : span_equal(a, b);
  tpo_buf_free(&text);
  tpo_buf_free(&expected);
  return status;
}

static bool is_digit_at(struct span text, size_t at)
{
  return at < text.len && text.text[at] >= '0' && text.text[at] <= '9';
}

/* A number that begins at `at` ("$" and sign included): its end, or `at` when there is none. */
static size_t scan_number(struct span text, size_t at, double *number)
{
  char digits[64];
  size_t n = 0, here = at;
  bool negative = false;
  for (int i = 0; i < 2 && here < text.len && strchr("-+$", text.text[here]); i++, here++)
    negative |= text.text[here] == '-';
  if (!is_digit_at(text, here) && !(here < text.len && text.text[here] == '.' && is_digit_at(text, here + 1)))
    return at;
  if (negative) digits[n++] = '-';
  bool point = false;
  while (here < text.len && n < sizeof digits - 1) {
    char c = text.text[here];
    bool thousands = c == ',' && !point && here > 0 && is_digit_at(text, here - 1) &&
                     is_digit_at(text, here + 1) && is_digit_at(text, here + 2) &&
                     is_digit_at(text, here + 3) && !is_digit_at(text, here + 4);
    if (!thousands) {
      if (c == '.' && !point && is_digit_at(text, here + 1))
        point = true;
      else if (!is_digit_at(text, here))
        break;
      digits[n++] = c;
    }
    here++;
  }
  if (n == sizeof digits - 1) { /* longer than any number that a double tells apart: not a number here */
    while (is_digit_at(text, here)) here++;
    *number = NAN;
    return here;
  }
  if (here < text.len && (text.text[here] | 32) == 'e') {
    size_t exponent = here + 1;
    if (exponent < text.len && strchr("+-", text.text[exponent])) exponent++;
    size_t end = exponent;
    while (is_digit_at(text, end) && end - exponent < 4) end++;
    size_t next = end;
    bool word_follows = end < text.len && text_is_word(text_next(text, &next));
    if (end > exponent && !word_follows && end - here < sizeof digits - n) {
      memcpy(digits + n, text.text + here, end - here);
      n += end - here;
      here = end;
    }
  }
  digits[n] = '\0';
  *number = strtod(digits, NULL);
  return here;
}

bool check_parse_number(struct span text, double *number)
{
  text = text_strip(text);
  return text.len > 0 && scan_number(text, 0, number) == text.len && isfinite(*number);
}

bool check_next_number(struct span text, size_t *at, double *number)
{
  while (*at < text.len) {
    size_t next = *at;
    bool begins = is_digit_at(text, *at) || strchr("-+$.", text.text[*at]);
    size_t end = begins ? scan_number(text, *at, number) : *at;
    if (end > *at) {
      *at = end;
      return true;
    }
    bool in_word = text_is_word(text_next(text, &next));
    *at = next;
    while (in_word && *at < text.len) { /* the rest of a word */
      in_word = text_is_word(text_next(text, &next));
      if (in_word) *at = next;
    }
  }
  return false;
}

/* The last number in the text. */
static bool last_number(struct span text, double *number)
{
  size_t at = 0;
  bool found = false;
  while (check_next_number(text, &at, number)) found = true;
  return found && isfinite(*number);
}

int check_reference_numeric(const struct check_input *in, struct tpo_error *err)
{
  const json_t *given = json_object_get(in->check, "reference");
  double reference, tolerance = NAN, number;
  if (json_is_number(given)) {
    reference = json_number_value(given);
  } else {
    struct span text;
    int status = check_get_string(in, "reference", &text, err);
    if (status < 0) return status;
    if (!check_parse_number(text, &reference))
      return tpo_fail(err, TPO_E_INPUT, "check %s: \"reference\" is \"%s\", expected a number",
                      check_name(in), text.text);
  }
  if (tpo_json_get_double(in->check, "tolerance", &tolerance, check_name(in), err) < 0)
    return tpo_fail_prefix(err, "check");
  if (tolerance < 0)
    return tpo_fail(err, TPO_E_INPUT, "check %s: \"tolerance\" must not be negative", check_name(in));
  if (!in->has_response) return 0;
  if (isnan(tolerance)) tolerance = 1e-6 * fmax(1, fabs(reference));
  return last_number(in->response, &number) && fabs(number - reference) <= tolerance;
}

enum { MAX_PATTERN = 4096, MATCH_LIMIT = 200000, DEPTH_LIMIT = 2000, HEAP_LIMIT = 8192 /* KiB */ };

static int match(pcre2_code *code, const struct check_input *in, struct tpo_error *err)
{
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
  int found = PCRE2_ERROR_NOMEMORY;
  if (context && data) {
    pcre2_set_match_limit(context, MATCH_LIMIT);
    pcre2_set_depth_limit(context, DEPTH_LIMIT);
    pcre2_set_heap_limit(context, HEAP_LIMIT);
    struct span text = text_strip(in->response);
    found = pcre2_match(code, (PCRE2_SPTR)text.text, text.len, 0, 0, data, context);
  }
  pcre2_match_data_free(data);
  pcre2_match_context_free(context);
  if (found >= 0) return 1;
  if (found == PCRE2_ERROR_NOMATCH) return 0;
  char reason[128] = "";
  pcre2_get_error_message(found, (PCRE2_UCHAR *)reason, sizeof reason);
  return tpo_fail(err, TPO_E_UNSUPPORTED, "check %s: the pattern was given up on a response of %zu bytes: %s",
                  check_name(in), in->response.len, reason);
}

int check_reference_regex(const struct check_input *in, struct tpo_error *err)
{
  struct span pattern;
  bool full = false;
  int status = check_get_string(in, "reference", &pattern, err);
  if (status == 0) status = get_flag(in, "full", &full, err);
  if (status < 0) return status;
  if (pattern.len > MAX_PATTERN)
    return tpo_fail(err, TPO_E_INPUT, "check %s: the pattern has %zu bytes, %d are allowed", check_name(in),
                    pattern.len, MAX_PATTERN);
  /* \C would let a pattern stop inside a character. */
  uint32_t options =
      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | (full ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0);
  int problem;
  PCRE2_SIZE offset;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern.text, pattern.len, options, &problem, &offset, NULL);
  if (!code) {
    char reason[128] = "";
    pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
    return tpo_fail(err, TPO_E_INPUT, "check %s: the pattern is wrong at byte %zu: %s", check_name(in),
                    (size_t)offset, reason);
  }
  status = in->has_response ? match(code, in, err) : 0;
  pcre2_code_free(code);
  return status;
}
