/* The judge whose score is the weighted sum of others'. What it gives is the sum of their scores as they
 * are; where they are to be standardised, the scales of a whole batch of samples come in later
 * (judge/scales.h). */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "judge/several.h"

static void sum_close(void *state)
{
  several_close(state);
  free(state);
}

static int sum_open(void **state, const char *argument, const struct tpo_judge_config *config,
                    const struct tpo_judge_env *env, struct tpo_error *err)
{
  (void)argument;
  struct several *several = tpo_calloc(1, sizeof *several, err);
  if (!several) return TPO_E_MEMORY;
  int status = several_open(several, config, env, err);
  if (status < 0)
    sum_close(several);
  else
    *state = several;
  return status;
}

/* What the terms made of one response. */
struct sum {
  double score;
  json_t *terms;
  const char *failed; /* the first term without a score, and why; borrowed from terms */
  const char *why;
};

static int add_term(struct sum *sum, const struct several *several, int j, const struct tpo_judge_result *own,
                    struct tpo_error *err)
{
  double weight = several->routes.list[j].weight;
  json_t *term = several_detail(several, j, own, err);
  if (!term) return TPO_E_MEMORY;
  if (json_object_set_new(term, "weight", json_real(weight)) < 0 ||
      json_array_append_new(sum->terms, term) < 0)
    return tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
  sum->score += weight * own->score;
  if (own->ok || sum->failed) return 0;
  sum->failed = several->routes.judges[j].kind;
  sum->why = json_string_value(json_object_get(term, "error"));
  return 0;
}

/* Takes sum->terms. Without one of its terms a sum is no score. */
static int set_result(const struct sum *sum, struct tpo_judge_result *result, struct tpo_error *err)
{
  struct tpo_buf why = {0};
  if (!sum->failed) return judge_set_score(result, sum->score, json_pack("{s:o}", "terms", sum->terms), err);
  tpo_buf_printf(&why, "judge.terms, \"%s\": %s", sum->failed, sum->why ? sum->why : "no score");
  json_t *detail = why.failed ? NULL : json_pack("{s:s, s:O}", "error", why.data, "terms", sum->terms);
  json_decref(sum->terms);
  tpo_buf_free(&why);
  return judge_set_unscored(result, detail, err);
}

/* own: the first judge's result on the response; the next one's is n further on. */
static int add_up(const struct several *several, const struct tpo_judge_result *own, size_t n,
                  struct tpo_judge_result *result, struct tpo_error *err)
{
  struct sum sum = {.terms = json_array()};
  int status = sum.terms ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
  for (int j = 0; j < several->routes.n_judges && status == 0; j++)
    status = add_term(&sum, several, j, &own[(size_t)j * n], err);
  if (status == 0) return set_result(&sum, result, err);
  json_decref(sum.terms);
  return status;
}

/* own: [n_judges, responses of all items] */
static int add_all(const struct several *several, const struct tpo_judge_item *items, int n_items,
                   const struct tpo_judge_result *own, size_t n, struct tpo_judge_result *results,
                   struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < n_items; i++)
    for (int k = 0; k < items[i].n_responses && status == 0; k++, own++, results++)
      status = items[i].responses[k] ? add_up(several, own, n, results, err)
                                     : judge_set_failure(results, JUDGE_NO_RESPONSE, err);
  return status;
}

static int sum_score(void *state, const struct tpo_judge_item *items, int n_items,
                     struct tpo_judge_result *results, struct tpo_error *err)
{
  struct several *several = state;
  size_t n = 0, n_judges = (size_t)several->routes.n_judges;
  for (int i = 0; i < n_items; i++) n += (size_t)items[i].n_responses;
  struct tpo_judge_result *own = tpo_calloc(n * n_judges, sizeof *own, err);
  int status = own ? 0 : TPO_E_MEMORY;
  several_begin(several, (double)(n * n_judges));
  for (size_t j = 0; j < n_judges && status == 0; j++)
    status = several_ask(several, (int)j, items, n_items, own + j * n, err);
  if (status == 0) status = add_all(several, items, n_items, own, n, results, err);
  for (size_t i = 0; own && i < n * n_judges; i++) free(own[i].detail);
  free(own);
  return status;
}

static json_t *sum_counts(const void *state)
{
  json_t *counts = json_object();
  if (counts && several_add_counts(state, counts) == 0) return counts;
  json_decref(counts);
  return NULL;
}

const struct judge_kind judge_kind_sum = {.check = several_check,
                                          .open = sum_open,
                                          .score = sum_score,
                                          .close = sum_close,
                                          .counts = sum_counts,
                                          .cost = several_cost,
                                          .validate = several_validate,
                                          .needs_model = several_needs_model,
                                          .compares = several_compares,
                                          .keeps_answers = several_keeps_answers,
                                          .identify = several_identify,
                                          .mixes = true};
