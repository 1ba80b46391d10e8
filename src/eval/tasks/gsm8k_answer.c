/* The number that a response to a word problem gives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "checks/checks.h"
#include "eval/tasks/gsm8k.h"

static const struct eval_gsm8k_answer nowhere = {EVAL_GSM8K_NOWHERE, NAN};

const char *eval_gsm8k_place_name(enum eval_gsm8k_place place)
{
  static const char *const names[] = {"none", "boxed", "the answer is", "last number", "A:"};
  return names[place];
}

bool eval_gsm8k_same(double answer, double final)
{
  return fabs(answer - final) <= 1e-6 * fmax(1, fabs(final));
}

/* A sign between two numbers is none: "20-5" ends with 5. */
static bool is_operator(const char *text, size_t at)
{
  char before = at > 0 ? text[at - 1] : ' ';
  return (text[at] == '-' || text[at] == '+') && ((before >= '0' && before <= '9') || before == ')');
}

/* What is written otherwise than plain text writes it. */
static void plain_numbers(const char *text, struct tpo_buf *out)
{
  static const struct {
    const char *from, *to;
  } table[] = {{"\xe2\x88\x92", "-"}, {"{,}", ","}, {"\\,", ""}, {"\\!", ""}, {"\\$", "$"}};
  for (size_t at = 0; text[at];) {
    size_t skip = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table && skip == 0; i++) {
      size_t len = strlen(table[i].from);
      if (strncmp(text + at, table[i].from, len) != 0) continue;
      tpo_buf_puts(out, table[i].to);
      skip = len;
    }
    if (skip == 0) tpo_buf_putc(out, is_operator(text, at) ? ' ' : text[at]);
    at += skip ? skip : 1;
  }
}

static bool first_number(struct span text, double *number)
{
  size_t at = 0;
  while (check_next_number(text, &at, number))
    if (isfinite(*number)) return true;
  return false;
}

static bool last_number(struct span text, double *number)
{
  size_t at = 0;
  bool found = false;
  double next;
  while (check_next_number(text, &at, &next)) {
    found = isfinite(next);
    *number = next;
  }
  return found;
}

enum { BOX_BYTES = 1000 }; /* a longer box is none: a number has no such length */

/* The end of what is in braces, `at` being behind the first; SIZE_MAX: they don't close. */
static size_t closing_brace(struct span text, size_t at)
{
  size_t end = text.len - at < BOX_BYTES ? text.len : at + BOX_BYTES;
  for (size_t depth = 1; at < end; at++) {
    if (text.text[at] == '{') depth++;
    if (text.text[at] == '}' && --depth == 0) return at;
  }
  return SIZE_MAX;
}

static bool find_boxed(struct span text, double *number)
{
  static const char mark[] = "\\boxed{";
  bool found = false;
  for (size_t at = 0; (at = text_find(text, span_of(mark), at)) != SIZE_MAX;) {
    size_t from = at + sizeof mark - 1, end = closing_brace(text, from);
    double here;
    at = end == SIZE_MAX ? from : end;
    if (end == SIZE_MAX || !last_number((struct span){text.text + from, end - from}, &here)) continue;
    *number = here;
    found = true;
  }
  return found;
}

/* Behind the last occurrence, letter case aside; SIZE_MAX: there is none. */
static size_t behind_last(struct span text, const char *phrase)
{
  size_t len = strlen(phrase);
  for (size_t at = text.len; at-- > 0;)
    if (text.len - at >= len && strncasecmp(text.text + at, phrase, len) == 0) return at + len;
  return SIZE_MAX;
}

static bool find_sentence(struct span text, double *number)
{
  size_t a = behind_last(text, "the answer is"), b = behind_last(text, "the final answer is");
  size_t from = a == SIZE_MAX ? b : b == SIZE_MAX ? a : a > b ? a : b;
  return from != SIZE_MAX && first_number((struct span){text.text + from, text.len - from}, number);
}

struct eval_gsm8k_answer eval_gsm8k_of_text(const char *text)
{
  struct eval_gsm8k_answer answer = nowhere;
  struct tpo_buf plain = {0};
  plain_numbers(text, &plain);
  struct span all = {plain.data, plain.len};
  if (plain.failed || plain.len == 0 || !tpo_utf8_valid(all.text, all.len, NULL)) all = span_of("");
  if (find_boxed(all, &answer.number))
    answer.place = EVAL_GSM8K_BOXED;
  else if (find_sentence(all, &answer.number))
    answer.place = EVAL_GSM8K_SENTENCE;
  else if (last_number(all, &answer.number))
    answer.place = EVAL_GSM8K_LAST;
  tpo_buf_free(&plain);
  return answer.place == EVAL_GSM8K_NOWHERE ? nowhere : answer;
}

struct eval_gsm8k_answer eval_gsm8k_of_solution(const char *text)
{
  struct eval_gsm8k_answer answer = {EVAL_GSM8K_MARK, NAN};
  char digits[64];
  size_t n = 0, at = strlen(text);
  while (at > 0 && (text[at - 1] != 'A' || text[at] != ':')) at--;
  if (at == 0) return nowhere;
  const char *mark = text + at + 1;
  for (; *mark && *mark != '\n' && n < sizeof digits; mark++)
    if (*mark != '$' && *mark != ',') digits[n++] = *mark;
  if (n == sizeof digits || !tpo_utf8_valid(digits, n, NULL)) return nowhere;
  return check_parse_number((struct span){digits, n}, &answer.number) ? answer : nowhere;
}
