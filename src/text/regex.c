/* Translates Oniguruma's patterns to PCRE2's, and runs them within bounds. */
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/utf8.h"
#include "text/regex/translate.h"

enum { JIT_STACK_BYTES = 64 << 20, MATCH_LIMIT = 50 * 1000 * 1000 };

/* A search for \s+$ tries every white space of a long run, and each reads to the run's end. A match begins
 * where the run (or the search) does, so saying that gives the same matches in linear time. */
static const char last_space[] = "\\s+$", quick_last_space[] = "(?:\\G|(?<!\\s))\\s+$";

static int translate(struct tpo_pattern *pattern, bool quick, struct tpo_buf *text)
{
  tpo_buf_clear(text);
  pattern->views.quick = quick;
  pattern->at = 0;
  pattern->out = text;
  pattern->named = pattern->caseless = pattern->repeatable = false;
  int status = tpo_pattern_translate(pattern);
  if (status == TPO_OK && text->failed)
    status = tpo_fail(pattern->err, TPO_E_MEMORY, "%s: no memory for a regular expression", pattern->place);
  return status;
}

static int compile(const struct tpo_pattern *pattern, const struct tpo_buf *text, void **code)
{
  int fault;
  PCRE2_SIZE offset;
  *code = pcre2_compile((PCRE2_SPTR)(text->data ? text->data : ""), text->len,
                        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &fault, &offset, NULL);
  if (*code) {
    pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE); /* without JIT the interpreter matches */
    return TPO_OK;
  }
  PCRE2_UCHAR message[160] = {0};
  pcre2_get_error_message(fault, message, sizeof message);
  return tpo_fail(pattern->err, TPO_E_UNSUPPORTED, "%s: the regular expression \"%.*s\" can't be used: %s",
                  pattern->place, (int)(pattern->len < 300 ? pattern->len : 300), pattern->text,
                  (const char *)message);
}

/* Reading the pattern a first time shows in which characters PCRE2's properties differ, if in any. */
static int compile_programs(struct tpo_pattern *pattern, struct tpo_regex *regex)
{
  struct tpo_buf text = {0};
  int status = translate(pattern, false, &text);
  if (status == TPO_OK && pattern->views.differs.n > 0) status = compile(pattern, &text, &regex->exact);
  if (status == TPO_OK && pattern->views.n > 0) status = translate(pattern, true, &text);
  if (status == TPO_OK) status = compile(pattern, &text, &regex->quick);
  tpo_buf_free(&text);
  return status;
}

static void mark_blocks(struct tpo_regex *regex)
{
  for (size_t i = 0; i < regex->differs.n; i++)
    for (uint32_t b = regex->differs.items[i].from >> 8; b <= regex->differs.items[i].to >> 8; b++)
      regex->blocks[b / 64] |= (uint64_t)1 << (b % 64);
}

static int compile_pattern(struct tpo_regex *regex, const char *pattern, size_t len, bool own,
                           const char *place, struct tpo_error *err)
{
  *regex = (struct tpo_regex){0};
  if (len > 65536) return tpo_fail(err, TPO_E_INPUT, "%s: a regular expression of %zu bytes", place, len);
  if (!tpo_utf8_valid(pattern, len, NULL))
    return tpo_fail(err, TPO_E_INPUT, "%s: a regular expression that is not UTF-8", place);
  bool spaces = len == strlen(last_space) && memcmp(pattern, last_space, len) == 0;
  struct tpo_pattern reading = {.text = spaces ? quick_last_space : pattern,
                                .len = spaces ? strlen(quick_last_space) : len,
                                .own = own,
                                .place = place,
                                .err = err};
  int status = compile_programs(&reading, regex);
  regex->n_sets = reading.n_sets;
  regex->differs = reading.views.differs;
  reading.views.differs = (struct tpo_set){0};
  tpo_views_free(&reading.views);
  mark_blocks(regex);
  if (status < 0) tpo_regex_free(regex);
  return status;
}

int tpo_regex_compile(struct tpo_regex *regex, const char *pattern, size_t len, const char *place,
                      struct tpo_error *err)
{
  return compile_pattern(regex, pattern, len, false, place, err);
}

int tpo_regex_compile_own(struct tpo_regex *regex, const char *pattern, const char *place,
                          struct tpo_error *err)
{
  return compile_pattern(regex, pattern, strlen(pattern), true, place, err);
}

void tpo_regex_free(struct tpo_regex *regex)
{
  pcre2_code_free(regex->quick);
  pcre2_code_free(regex->exact);
  tpo_set_free(&regex->differs);
  *regex = (struct tpo_regex){0};
}

bool tpo_regex_differs(const struct tpo_regex *regex, const char *text, size_t len)
{
  if (regex->differs.n == 0) return false;
  bool short_ones = regex->differs.items[0].from < 0x800;
  for (size_t i = 0; i < len;) {
    uint32_t cp;
    if ((uint8_t)text[i] < (short_ones ? 0x80 : 0xe0)) {
      i++; /* a byte of a character of one or two */
      continue;
    }
    int used = tpo_utf8_decode((const uint8_t *)text + i, len - i, &cp);
    i += used ? (size_t)used : 1;
    if (used && regex->blocks[cp >> 14] >> (cp >> 8 & 63) & 1 && tpo_set_has(&regex->differs, cp))
      return true;
  }
  return false;
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

static int match(const pcre2_code *code, struct tpo_regex_scratch *scratch, const char *text, size_t len,
                 size_t from, struct tpo_error *err)
{
  int n =
      pcre2_match(code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK, scratch->match, scratch->context);
  if (n == PCRE2_ERROR_JIT_STACKLIMIT)
    n = pcre2_match(code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->match,
                    scratch->context);
  if (n == PCRE2_ERROR_NOMATCH) return 0;
  if (n >= 0) return 1;
  PCRE2_UCHAR message[160] = {0};
  pcre2_get_error_message(n, message, sizeof message);
  return tpo_fail(err, TPO_E_INPUT,
                  "a text of %zu bytes can't be split by the tokenizer's regular expression: %s", len,
                  (const char *)message);
}

int tpo_regex_next(const struct tpo_regex *regex, struct tpo_regex_scratch *scratch, bool exact,
                   const char *text, size_t len, size_t from, bool again, size_t *begin, size_t *end,
                   struct tpo_error *err)
{
  if (prepare(scratch, err) < 0) return TPO_E_MEMORY;
  size_t last = from;
  while (from <= len) {
    int found = match(exact ? regex->exact : regex->quick, scratch, text, len, from, err);
    if (found <= 0) return found;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scratch->match);
    *begin = at[0];
    *end = at[1];
    if (at[1] > at[0] || !again || at[1] != last) return 1;
    for (from++; from < len && ((uint8_t)text[from] & 0xc0) == 0x80;) from++;
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
