/* GSM8K's rows, read and checked, and the count of right answers. */
#include "eval/tasks/gsm8k.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "checks/checks.h"
#include "eval/rows.h"
#include "measure/dynamics.h"

/* The number behind the last "####", to the end of its line. */
static bool final_of(const char *answer, double *out)
{
  const char *mark = NULL;
  for (const char *next = answer; (next = strstr(next, "####")); next += 4) mark = next + 4;
  if (!mark) return false;
  return check_parse_number((struct span){mark, strcspn(mark, "\n")}, out);
}

static int read_final(const struct eval_row *row, double *final, struct tpo_error *err)
{
  const char *answer = NULL;
  double given = NAN;
  int status = 0;
  if (eval_row_has(row, "answer") || !eval_row_has(row, "final")) {
    status = eval_row_text(row, "answer", &answer, err);
    if (status == 0 && (!answer || !final_of(answer, final)))
      return tpo_fail(err, TPO_E_INPUT, "%s: \"answer\" doesn't end with \"#### \" and a number", row->place);
  }
  if (status < 0 || !eval_row_has(row, "final")) return status;
  status = eval_row_number(row, "final", &given, err);
  if (status == 0 && !isfinite(given))
    status = tpo_fail(err, TPO_E_INPUT, "%s: \"final\" is no number", row->place);
  if (status == 0 && answer && !eval_gsm8k_same(given, *final))
    status = tpo_fail(err, TPO_E_INPUT, "%s: \"final\" is %.15g, and \"answer\" ends with %.15g", row->place,
                      given, *final);
  *final = given;
  return status;
}

static int read_id(const struct eval_row *row, char id[24], struct tpo_error *err)
{
  double index = (double)row->number;
  if (eval_row_has(row, "index")) {
    int status = eval_row_number(row, "index", &index, err);
    if (status < 0) return status;
    if (!(index >= 0 && index < 1e15 && index == floor(index)))
      return tpo_fail(err, TPO_E_INPUT, "%s: \"index\": expected a whole number from 0", row->place);
  }
  snprintf(id, 24, "%.0f", index);
  return 0;
}

struct reading {
  struct eval_gsm8k_set *set;
  size_t limit;
};

static int take_row(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct reading *r = arg;
  struct eval_gsm8k_row item = {0};
  const char *question;
  int status = read_id(row, item.id, err);
  if (status == 0) status = eval_row_text(row, "question", &question, err);
  if (status == 0 && (!question || text_strip(span_of(question)).len == 0))
    status = tpo_fail(err, TPO_E_INPUT, "%s: \"question\" is empty", row->place);
  if (status == 0) status = read_final(row, &item.final, err);
  if (status < 0 || (r->limit > 0 && row->number >= r->limit)) return status;
  status = tpo_grow(&r->set->rows, &r->set->capacity, r->set->n + 1, sizeof item, err);
  if (status < 0) return status;
  if (!(item.question = strdup(question)))
    return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", row->place);
  r->set->rows[r->set->n++] = item;
  return 0;
}

static int by_id(const void *a, const void *b)
{
  return strcmp(((const struct eval_gsm8k_row *)a)->id, ((const struct eval_gsm8k_row *)b)->id);
}

static int check_ids(const struct eval_gsm8k_set *set, const char *path, struct tpo_error *err)
{
  struct eval_gsm8k_row *sorted = tpo_calloc(set->n, sizeof *sorted, err);
  int status = sorted ? 0 : TPO_E_MEMORY;
  if (sorted) memcpy(sorted, set->rows, set->n * sizeof *sorted);
  if (sorted) qsort(sorted, set->n, sizeof *sorted, by_id);
  for (size_t i = 1; i < set->n && status == 0; i++)
    if (by_id(&sorted[i - 1], &sorted[i]) == 0)
      status = tpo_fail(err, TPO_E_INPUT, "%s: two rows have the index %s", path, sorted[i].id);
  free(sorted);
  return status;
}

int eval_gsm8k_read(struct eval_gsm8k_set *set, const char *path, size_t limit, struct tpo_error *err)
{
  struct reading reading = {set, limit};
  *set = (struct eval_gsm8k_set){0};
  int status = eval_rows_read(path, take_row, &reading, err);
  return status < 0 ? status : check_ids(set, path, err);
}

void eval_gsm8k_free(struct eval_gsm8k_set *set)
{
  for (size_t i = 0; i < set->n; i++) free(set->rows[i].question);
  free(set->rows);
  *set = (struct eval_gsm8k_set){0};
}

/* The rows [begin, end) of the samples answer row `at`. */
static void judge(const struct eval_gsm8k_set *set, size_t at, const struct tpo_samples *samples,
                  size_t begin, size_t end, eval_gsm8k_rule *rule, struct eval_gsm8k *out)
{
  size_t correct = 0;
  for (size_t i = begin; i < end; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    struct eval_gsm8k_verdict *verdict = &out->verdicts[i];
    verdict->answer = rule(row->response);
    bool found = verdict->answer.place != EVAL_GSM8K_NOWHERE;
    verdict->correct = found && eval_gsm8k_same(verdict->answer.number, set->rows[at].final);
    correct += verdict->correct;
    out->unparsed += !row->format_ok;
    out->no_answer += row->format_ok && !found;
  }
  out->n_responses += end - begin;
  out->n_correct += correct;
  out->outcomes[at] = (double)correct / (double)(end - begin);
}

static int sum_up(const struct eval_gsm8k_set *set, struct eval_gsm8k *out, struct tpo_error *err)
{
  double *shares = tpo_calloc(set->n, sizeof *shares, err);
  if (!shares) return TPO_E_MEMORY;
  for (size_t i = 0; i < set->n; i++)
    if (!isnan(out->outcomes[i])) shares[out->n++] = out->outcomes[i];
  out->missing = set->n - out->n;
  out->accuracy = mean_and_error(shares, out->n, &out->standard_error);
  free(shares);
  return 0;
}

int eval_gsm8k_score(const struct eval_gsm8k_set *set, const struct tpo_samples *samples,
                     eval_gsm8k_rule *rule, struct eval_gsm8k *out, struct tpo_error *err)
{
  size_t at = 0;
  *out = (struct eval_gsm8k){.outcomes = tpo_calloc(set->n, sizeof *out->outcomes, err),
                             .verdicts = tpo_calloc(samples->n, sizeof *out->verdicts, err)};
  if (!out->outcomes || !out->verdicts) return TPO_E_MEMORY;
  for (size_t i = 0; i < set->n; i++) {
    size_t first = tpo_samples_find(samples, set->rows[i].id, &at);
    out->outcomes[i] = NAN;
    if (first < samples->n) judge(set, i, samples, first, tpo_samples_prompt_end(samples, first), rule, out);
  }
  if (out->n_responses < samples->n)
    return tpo_fail(err, TPO_E_INPUT, "%zu of %zu responses are to other questions than those given",
                    samples->n - out->n_responses, samples->n);
  return sum_up(set, out, err);
}

void eval_gsm8k_score_free(struct eval_gsm8k *score)
{
  free(score->outcomes);
  free(score->verdicts);
  *score = (struct eval_gsm8k){0};
}
