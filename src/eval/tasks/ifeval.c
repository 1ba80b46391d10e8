/* IFEval's verdicts on responses, counted by prompt, by check and by type of check. */
#include "eval/tasks/ifeval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "checks/checks.h"
#include "measure/dynamics.h"

/* New reference; NULL with err set. */
static json_t *checks_of(const struct tpo_instruction *prompt, struct tpo_error *err)
{
  json_t *checks = checks_of_meta(prompt->meta, err);
  if (checks && json_array_size(checks) > 0) return checks;
  if (checks)
    tpo_fail(err, TPO_E_INPUT,
             "prompt %s has no check (\"instruction_id_list\", \"checks\" or \"reference\") to follow",
             prompt->id);
  else
    tpo_fail_prefix(err, "prompt %s", prompt->id);
  json_decref(checks);
  return NULL;
}

int eval_ifeval_check(const struct tpo_instructions *prompts, struct tpo_error *err)
{
  for (size_t i = 0; i < prompts->n; i++) {
    json_t *checks = checks_of(&prompts->items[i], err);
    if (!checks) return TPO_E_INPUT;
    json_decref(checks);
    int status = tpo_checks_validate(prompts->items[i].meta, err);
    if (status < 0) return tpo_fail_prefix(err, "prompt %s", prompts->items[i].id);
  }
  return 0;
}

static size_t type_of(const json_t *check)
{
  const char *name = json_string_value(json_object_get(check, "type"));
  size_t at = 0;
  while (at + 1 < n_check_types && name && strcmp(check_types[at].name, name) != 0) at++;
  return at;
}

/* One reading of one check. */
static int follows(const json_t *check, const struct tpo_instruction *prompt, const char *response,
                   bool loose, bool *out, size_t *given_up, struct tpo_error *err)
{
  struct tpo_error problem = {0};
  int status = check_run(check, prompt->instruction, response, CHECK_AS_PUBLISHED | (loose ? CHECK_LOOSE : 0),
                         &problem);
  *out = status > 0;
  *given_up += status == TPO_E_UNSUPPORTED;
  if (status >= 0 || status == TPO_E_UNSUPPORTED) return 0;
  if (err) *err = problem;
  return tpo_fail_prefix(err, "prompt %s", prompt->id);
}

static int judge_response(const json_t *checks, const struct tpo_instruction *prompt, const char *response,
                          size_t first, struct eval_ifeval *out, size_t row, struct tpo_error *err)
{
  struct eval_ifeval_response result = {first, json_array_size(checks), true, true};
  int status = 0;
  for (size_t i = 0; i < result.n && status == 0; i++) {
    const json_t *check = json_array_get(checks, i);
    struct eval_ifeval_verdict *verdict = &out->verdicts[first + i];
    struct eval_ifeval_type *type = &out->types[type_of(check)];
    status = follows(check, prompt, response, false, &verdict->strict, &out->given_up, err);
    if (status == 0) status = follows(check, prompt, response, true, &verdict->loose, &out->given_up, err);
    result.all_strict &= verdict->strict;
    result.all_loose &= verdict->loose;
    type->n++;
    type->strict += verdict->strict;
    type->loose += verdict->loose;
  }
  out->empty += text_strip(span_of(response)).len == 0;
  out->responses[row] = result;
  return status;
}

/* The rows [begin, end) of one prompt. */
static int judge_prompt(const struct tpo_instructions *prompts, size_t at, const struct tpo_samples *samples,
                        size_t begin, size_t end, size_t *n_verdicts, struct eval_ifeval *out,
                        struct tpo_error *err)
{
  const struct tpo_instruction *prompt = &prompts->items[at];
  json_t *checks = checks_of(prompt, err);
  if (!checks) return TPO_E_INPUT;
  size_t n = json_array_size(checks), strict = 0, loose = 0;
  int status = 0;
  for (size_t row = begin; row < end && status == 0; row++, *n_verdicts += n) {
    status = judge_response(checks, prompt, samples->rows[row].response, *n_verdicts, out, row, err);
    strict += out->responses[row].all_strict;
    loose += out->responses[row].all_loose;
  }
  json_decref(checks);
  out->n_prompts++;
  out->n_responses += end - begin;
  out->n_instructions += n;
  out->strict[at] = (double)strict / (double)(end - begin);
  out->loose[at] = (double)loose / (double)(end - begin);
  return status;
}

/* Of those that are no NaN. */
static int mean_of(const double *values, size_t n, double *mean, double *error, struct tpo_error *err)
{
  double *there = tpo_calloc(n, sizeof *there, err);
  size_t count = 0;
  if (!there) return TPO_E_MEMORY;
  for (size_t i = 0; i < n; i++)
    if (!isnan(values[i])) there[count++] = values[i];
  *mean = mean_and_error(there, count, error);
  free(there);
  return 0;
}

static int sum_up(struct eval_ifeval *out, size_t n_prompts, struct tpo_error *err)
{
  double n = 0, strict = 0, loose = 0;
  size_t kept = 0;
  for (size_t i = 0; i < n_check_types; i++) {
    n += (double)out->types[i].n;
    strict += (double)out->types[i].strict;
    loose += (double)out->types[i].loose;
    if (out->types[i].n > 0) out->types[kept++] = out->types[i];
  }
  out->n_types = kept;
  out->missing = n_prompts - out->n_prompts;
  out->instruction_strict = strict / n;
  out->instruction_loose = loose / n;
  int status = mean_of(out->strict, n_prompts, &out->prompt_strict, &out->prompt_strict_error, err);
  return status < 0 ? status
                    : mean_of(out->loose, n_prompts, &out->prompt_loose, &out->prompt_loose_error, err);
}

/* How many verdicts there will be; an error where not every response has its prompt. */
static int count_verdicts(const struct tpo_instructions *prompts, const struct tpo_samples *samples,
                          size_t *n, struct tpo_error *err)
{
  size_t at = 0, matched = 0;
  *n = 0;
  for (size_t i = 0; i < prompts->n; i++) {
    size_t first = tpo_samples_find(samples, prompts->items[i].id, &at);
    if (first == samples->n) continue;
    json_t *checks = checks_of(&prompts->items[i], err);
    if (!checks) return TPO_E_INPUT;
    size_t rows = tpo_samples_prompt_end(samples, first) - first;
    *n += rows * json_array_size(checks);
    matched += rows;
    json_decref(checks);
  }
  if (matched == samples->n) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%zu of %zu responses are to other prompts than those given",
                  samples->n - matched, samples->n);
}

int eval_ifeval_score(const struct tpo_instructions *prompts, const struct tpo_samples *samples,
                      struct eval_ifeval *out, struct tpo_error *err)
{
  size_t n_verdicts = 0, at = 0;
  *out = (struct eval_ifeval){0};
  int status = count_verdicts(prompts, samples, &n_verdicts, err);
  if (status < 0) return status;
  out->strict = tpo_calloc(prompts->n, sizeof *out->strict, err);
  out->loose = tpo_calloc(prompts->n, sizeof *out->loose, err);
  out->responses = tpo_calloc(samples->n, sizeof *out->responses, err);
  out->verdicts = tpo_calloc(n_verdicts, sizeof *out->verdicts, err);
  out->types = tpo_calloc(n_check_types, sizeof *out->types, err);
  if (!out->strict || !out->loose || !out->responses || !out->verdicts || !out->types) return TPO_E_MEMORY;
  for (size_t i = 0; i < n_check_types; i++) out->types[i].name = check_types[i].name;
  n_verdicts = 0;
  for (size_t i = 0; i < prompts->n && status == 0; i++) {
    size_t first = tpo_samples_find(samples, prompts->items[i].id, &at);
    out->strict[i] = out->loose[i] = NAN;
    if (first == samples->n) continue;
    size_t end = tpo_samples_prompt_end(samples, first);
    status = judge_prompt(prompts, i, samples, first, end, &n_verdicts, out, err);
  }
  return status < 0 ? status : sum_up(out, prompts->n, err);
}

void eval_ifeval_free(struct eval_ifeval *score)
{
  free(score->strict);
  free(score->loose);
  free(score->responses);
  free(score->verdicts);
  free(score->types);
  *score = (struct eval_ifeval){0};
}
