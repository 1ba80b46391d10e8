/* Translates Oniguruma's patterns to PCRE2's, and runs them within bounds. */
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/utf8.h"

enum { JIT_STACK_BYTES = 64 << 20, MATCH_LIMIT = 50 * 1000 * 1000 };

/* Unicode's White_Space, which PCRE2's \s exceeds by U+180E, and what is left when it is taken away. */
static const char space_set[] =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
static const char not_space_set[] =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";

/* What stands for \c inside a set; NULL: PCRE2 reads it alike. */
static const char *set_of_escape(char c)
{
  switch (c) {
  case 's': return space_set;
  case 'S': return not_space_set;
  case 'd': return "\\p{Nd}";
  case 'D': return "\\P{Nd}";
  case 'w': return "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";
  case 'h': return "0-9a-fA-F";
  default: return NULL;
  }
}

static int refuse(const char *place, const char *what, const char *pattern, size_t len, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s is not supported in the regular expression \"%.*s\"", place,
                  what, (int)(len < 300 ? len : 300), pattern);
}

/* \uHHHH; returns the characters used after the backslash, 0 when malformed. */
static size_t translate_u(const char *at, size_t left, struct tpo_buf *out)
{
  if (left < 5 || strspn(at + 1, "0123456789abcdefABCDEF") < 4) return 0;
  tpo_buf_printf(out, "\\x{%.4s}", at + 1);
  return 5;
}

/* The escape at pattern[i] (after its backslash). Returns the characters used, or a negative code. */
static int64_t translate_escape(const char *pattern, size_t len, size_t i, bool in_set, struct tpo_buf *out,
                                const char *place, struct tpo_error *err)
{
  char c = pattern[i];
  const char *set = set_of_escape(c);
  if (set) {
    tpo_buf_printf(out, in_set ? "%s" : "[%s]", set);
    return 1;
  }
  if (c == 'u') {
    size_t used = translate_u(pattern + i, len - i, out);
    return used ? (int64_t)used : refuse(place, "this \\u", pattern, len, err);
  }
  if (strchr("WHKkgQEXRNyYO", c)) {
    if (c == 'W' && !in_set) {
      tpo_buf_printf(out, "[^%s]", set_of_escape('w'));
      return 1;
    }
    char what[] = "\\?";
    what[1] = c;
    return refuse(place, what, pattern, len, err);
  }
  tpo_buf_putc(out, '\\');
  tpo_buf_putc(out, c);
  return 1;
}

static int translate(const char *pattern, size_t len, struct tpo_buf *out, const char *place,
                     struct tpo_error *err)
{
  /* A search for \s+$ tries every white space of a long run, and each reads to the run's end. A match begins
   * where the run (or the search) does, so saying that gives the same matches in linear time. */
  if (len == 4 && memcmp(pattern, "\\s+$", 4) == 0) tpo_buf_puts(out, "(?:\\G|(?<![\\s]))");
  bool in_set = false, set_just_opened = false;
  for (size_t i = 0; i < len; i++) {
    char c = pattern[i];
    bool first = set_just_opened;
    set_just_opened = false;
    if (c == '\\') {
      if (i + 1 >= len) return refuse(place, "a backslash at the end", pattern, len, err);
      int64_t used = translate_escape(pattern, len, i + 1, in_set, out, place, err);
      if (used < 0) return (int)used;
      i += (size_t)used;
      continue;
    }
    if (!in_set && c == '(' && i + 2 < len && pattern[i + 1] == '?' && pattern[i + 2] == 'm')
      return refuse(place, "the option m", pattern, len, err);
    if (in_set) {
      if (c == '[' && !(i + 1 < len && pattern[i + 1] == ':'))
        return refuse(place, "a set in a set", pattern, len, err);
      if (c == '&' && i + 1 < len && pattern[i + 1] == '&')
        return refuse(place, "&& in a set", pattern, len, err);
      if (c == '[') {
        const char *close = memmem(pattern + i, len - i, ":]", 2);
        if (!close) return refuse(place, "an open [:", pattern, len, err);
        tpo_buf_append(out, pattern + i, (size_t)(close - pattern) + 2 - i);
        i = (size_t)(close - pattern) + 1;
        continue;
      }
      if (c == ']' && !first) in_set = false;
      if (c == '^' && first) set_just_opened = true;
    } else if (c == '[') {
      in_set = set_just_opened = true;
    }
    tpo_buf_putc(out, c);
  }
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for a regular expression", place) : TPO_OK;
}

int tpo_regex_compile(struct tpo_regex *regex, const char *pattern, size_t len, const char *place,
                      struct tpo_error *err)
{
  if (len > 65536) return tpo_fail(err, TPO_E_INPUT, "%s: a regular expression of %zu bytes", place, len);
  if (!tpo_utf8_valid(pattern, len, NULL))
    return tpo_fail(err, TPO_E_INPUT, "%s: a regular expression that is not UTF-8", place);
  struct tpo_buf text = {0};
  int status = translate(pattern, len, &text, place, err);
  if (status == TPO_OK) {
    int code;
    PCRE2_SIZE offset;
    regex->code = pcre2_compile((PCRE2_SPTR)(text.data ? text.data : ""), text.len,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &offset, NULL);
    if (!regex->code) {
      PCRE2_UCHAR message[160] = {0};
      pcre2_get_error_message(code, message, sizeof message);
      status = tpo_fail(err, TPO_E_UNSUPPORTED, "%s: the regular expression \"%.*s\" can't be used: %s",
                        place, (int)(len < 300 ? len : 300), pattern, (const char *)message);
    } else {
      pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without JIT the interpreter matches */
    }
  }
  tpo_buf_free(&text);
  return status;
}

void tpo_regex_free(struct tpo_regex *regex)
{
  pcre2_code_free(regex->code);
  regex->code = NULL;
}

static int prepare(struct tpo_regex_scratch *scratch, struct tpo_error *err)
{
  if (scratch->match) return TPO_OK;
  scratch->match = pcre2_match_data_create(1, NULL);
  scratch->context = pcre2_match_context_create(NULL);
  scratch->stack = pcre2_jit_stack_create(64 << 10, JIT_STACK_BYTES, NULL);
  if (!scratch->match || !scratch->context) return tpo_fail(err, TPO_E_MEMORY, "no memory for matching");
  pcre2_set_match_limit(scratch->context, MATCH_LIMIT);
  if (scratch->stack) pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
  return TPO_OK;
}

int tpo_regex_next(const struct tpo_regex *regex, struct tpo_regex_scratch *scratch, const char *text,
                   size_t len, size_t from, size_t *begin, size_t *end, struct tpo_error *err)
{
  if (prepare(scratch, err) < 0) return TPO_E_MEMORY;
  while (from < len) {
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int n = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from, options, scratch->match, scratch->context);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
      n = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from, options | PCRE2_NO_JIT, scratch->match,
                      scratch->context);
    if (n == PCRE2_ERROR_NOMATCH) return 0;
    if (n < 0) {
      PCRE2_UCHAR message[160] = {0};
      pcre2_get_error_message(n, message, sizeof message);
      return tpo_fail(err, TPO_E_INPUT,
                      "a text of %zu bytes can't be split by the tokenizer's regular expression: %s", len,
                      (const char *)message);
    }
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scratch->match);
    *begin = at[0];
    *end = at[1];
    if (at[1] > at[0]) return 1;
    from = at[1] + 1;
    while (from < len && ((uint8_t)text[from] & 0xc0) == 0x80) from++;
  }
  return 0;
}

void tpo_regex_scratch_free(struct tpo_regex_scratch *scratch)
{
  pcre2_match_data_free(scratch->match);
  pcre2_match_context_free(scratch->context);
  pcre2_jit_stack_free(scratch->stack);
  *scratch = (struct tpo_regex_scratch){0};
}
