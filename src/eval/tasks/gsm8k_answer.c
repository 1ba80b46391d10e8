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
static bool is_operator(struct span text, size_t at, char sign)
{
  char before = at > 0 ? text.text[at - 1] : ' ';
  return (sign == '-' || sign == '+') && ((before >= '0' && before <= '9') || before == ')');
}

/* The length of the underscores at `at` where they don't join two parts of a word: in Markdown they stress what is
 * between them, and are no part of it. */
static size_t stressing(struct span text, size_t at)
{
  size_t end = at, next;
  while (end < text.len && text.text[end] == '_') end++;
  next = end;
  bool joins = end > at && at > 0 && text_is_word(text_before(text, at)) && end < text.len &&
               text_is_word(text_next(text, &next));
  return joins ? 0 : end - at;
}

/* What is written otherwise than plain text writes it. */
static void plain_numbers(struct span text, struct tpo_buf *out)
{
  static const struct {
    const char *from, *to;
  } table[] = {{"\xe2\x88\x92", "-"}, {"{,}", ","}, {"\\,", ""}, {"\\!", ""}, {"\\$", "$"}};
  for (size_t at = 0; at < text.len;) {
    size_t skip = stressing(text, at), len = skip;
    const char *as = skip ? " " : NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table && !as; i++) {
      len = strlen(table[i].from);
      if (strncmp(text.text + at, table[i].from, len) == 0) as = table[i].to;
    }
    char one[2] = {text.text[at], '\0'};
    if (!as) as = one, len = 1;
    tpo_buf_puts(out, is_operator(text, at, *as) ? " " : as);
    at += len;
  }
}

/* Whether what stands behind a number makes a place in an order of it: "3rd". */
static bool is_ordinal(struct span text, size_t end)
{
  static const char *const endings[] = {"st", "nd", "rd", "th"};
  size_t next = end + 2;
  if (end + 2 > text.len || (next < text.len && text_is_word(text_next(text, &next)))) return false;
  for (int i = 0; i < 4; i++)
    if (strncasecmp(text.text + end, endings[i], 2) == 0) return true;
  return false;
}

static bool next_number(struct span text, size_t *at, double *number)
{
  while (check_next_number(text, at, number))
    if (!is_ordinal(text, *at)) return true;
  return false;
}

/* Its end; SIZE_MAX: there is none. */
static size_t first_number(struct span text, double *number)
{
  size_t at = 0;
  while (next_number(text, &at, number))
    if (isfinite(*number)) return at;
  return SIZE_MAX;
}

static bool last_number(struct span text, double *number)
{
  size_t at = 0;
  bool found = false;
  double next;
  while (next_number(text, &at, &next)) {
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

/* Of the sentence whose first number ends at `at`: the next line end, or the next of ".!?" that no part of a word
 * follows. */
static size_t end_of_sentence(struct span text, size_t at)
{
  for (; at < text.len && text.text[at] != '\n'; at++) {
    size_t next = at + 1;
    if (strchr(".!?", text.text[at]) && (next == text.len || !text_is_word(text_next(text, &next)))) break;
  }
  return at;
}

/* What a sum comes to stands behind its last "=", in "The answer is 3 * 6 = 18." */
static bool find_sentence(struct span text, double *number)
{
  size_t a = behind_last(text, "the answer is"), b = behind_last(text, "the final answer is");
  size_t from = a == SIZE_MAX ? b : b == SIZE_MAX ? a : a > b ? a : b;
  if (from == SIZE_MAX) return false;
  struct span rest = {text.text + from, text.len - from};
  size_t at = first_number(rest, number);
  if (at == SIZE_MAX) return false;
  rest.len = end_of_sentence(rest, at);
  for (at = rest.len; at > 0 && rest.text[at - 1] != '=';) at--;
  double sum;
  if (at > 0 && first_number((struct span){rest.text + at, rest.len - at}, &sum) != SIZE_MAX) *number = sum;
  return true;
}

struct eval_gsm8k_answer eval_gsm8k_of_text(const char *text)
{
  struct eval_gsm8k_answer answer = nowhere;
  struct tpo_buf plain = {0};
  struct span all = span_of(text);
  if (!tpo_utf8_valid(all.text, all.len, NULL)) return nowhere;
  plain_numbers(all, &plain);
  all = plain.failed || plain.len == 0 ? span_of("") : (struct span){plain.data, plain.len};
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
