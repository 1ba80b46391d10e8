/* Preferences out of tokens' probabilities, and out of texts. */
#include "eval/alpaca/verdict.h"

#include <math.h>
#include <string.h>

#include "judge/answer.h"

static double logprob_of(const struct ask_token *top, int n_top, const char *text)
{
  for (int i = 0; i < n_top; i++)
    if (strcmp(top[i].text, text) == 0 && !isnan(top[i].logprob)) return top[i].logprob;
  return -INFINITY;
}

double alpaca_tokens_preference(const struct ask_token *top, int n_top)
{
  double m = logprob_of(top, n_top, "m"), other = logprob_of(top, n_top, "M");
  if (isinf(m) && isinf(other)) return NAN;
  return 2 - 1 / (1 + exp(other - m));
}

/* Not a letter or digit, nor part of one. */
static bool is_mark(char c)
{
  return (unsigned char)c < 0x80 && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
         !(c >= 'A' && c <= 'Z');
}

static double verdict_of(const char *text, const char *end)
{
  while (end > text && is_mark(end[-1])) end--;
  const char *begin = end;
  while (begin > text && begin[-1] != '\n') begin--;
  const char *colon = memrchr(begin, ':', (size_t)(end - begin));
  if (colon) begin = colon + 1;
  while (begin < end && is_mark(*begin)) begin++;
  if (end - begin != 1 || (*begin != 'm' && *begin != 'M')) return NAN;
  return *begin == 'm' ? 1 : 2;
}

int alpaca_text_preference(const struct ask_answer *answer, const struct judge_pattern *thought, double *out,
                           struct tpo_error *err)
{
  struct tpo_buf said = {0};
  *out = NAN;
  int thoughts = judge_answer_said(&said, answer->text, thought, ANSWER_OPEN_IS_THOUGHT, err);
  bool whole = thoughts == ANSWER_THOUGHTS_CLOSED && (!answer->cut_off || said.len == 1);
  if (thoughts >= 0 && said.failed) thoughts = tpo_fail(err, TPO_E_MEMORY, "no memory for an answer");
  if (thoughts >= 0 && whole && said.len > 0) *out = verdict_of(said.data, said.data + said.len);
  tpo_buf_free(&said);
  return thoughts < 0 ? thoughts : 0;
}

/* Whether the answer begins with one of the two. */
static bool begins_with_name(const struct ask_answer *answer)
{
  const char *first = answer->n_top > 0 ? answer->top[0].text : "";
  return strcmp(first, "m") == 0 || strcmp(first, "M") == 0;
}

int alpaca_preference(const struct ask_answer *answer, const struct judge_pattern *thought, double *out,
                      bool *by_tokens, struct tpo_error *err)
{
  int status = 0;
  *out = NAN;
  if (!begins_with_name(answer)) status = alpaca_text_preference(answer, thought, out, err);
  *by_tokens = status == 0 && isnan(*out);
  if (*by_tokens) *out = alpaca_tokens_preference(answer->top, answer->n_top);
  *by_tokens &= !isnan(*out);
  return status;
}
