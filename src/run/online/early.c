/* What is done of a segment's pairs while others of its prompts are still sampled or judged: a judged prompt's pair is
 * known, and its references are computed where the device has room. Both are found again by what they are of when all
 * is there; what is done here only saves time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "run/online/online.h"
#include "train/limit.h"

int early_open(struct early *e, struct online *o, const struct segment_facts *facts, struct tpo_error *err)
{
  *e = (struct early){.o = o, .facts = facts};
  return online_reference_beside(o, facts->first, &e->model, err);
}

void early_close(struct early *e)
{
  tpo_pairs_free(&e->pairs);
}

/* Whether a pair would be trained on as it is, by its length alone. */
static bool fits(const struct early *e, const struct tpo_pair_row *row)
{
  const struct loop *loop = e->o->loop;
  return pair_fits(pair_limit_of(&loop->config->train, tpo_model_arch(loop->policy.model)->context), row);
}

int early_judged(void *arg, const struct tpo_sample_row *rows, size_t n, struct tpo_error *err)
{
  struct early *e = arg;
  const struct tpo_config *config = e->o->loop->config;
  const struct tpo_samples samples = {.n = n,
                                      .rows = (struct tpo_sample_row *)rows,
                                      .is_scored = true,
                                      .output_tokens = config->sampling.max_tokens};
  struct tpo_pairs_config fixed;
  const struct tpo_pair_options options = online_pair_options(e->o, e->facts, &fixed);
  size_t before = e->pairs.n;
  fixed.max_failure_share = 1; /* which ones are left out is known when all are there */
  if (!e->model) return 0;
  int status = tpo_select_pairs(&e->pairs, &samples, &options, NULL, err);
  if (status == 0 && e->pairs.n > before && !fits(e, &e->pairs.rows[before])) e->pairs.n = before;
  return status;
}

/* Sampling holds memory that is free again when the rest is computed: to lack it now is no error, but the end of what is
 * done early. */
static int compute(struct early *e, struct tpo_pairs *some, struct tpo_error *err)
{
  struct tpo_error why = {0};
  int status = tpo_train_own_logprobs(e->model, &e->o->loop->config->train, some, &why);
  if (status == TPO_E_MEMORY) {
    tpo_log(TPO_LOG_DEBUG, "step %lld: no more references are computed while others are sampled: %s",
            (long long)e->facts->first + 1, why.message);
    e->model = NULL;
    return 0;
  }
  return status < 0 ? tpo_fail(err, status, "%s", why.message) : 0;
}

/* As many as a pass may have, at least one. */
int early_between(void *arg, struct tpo_error *err)
{
  struct early *e = arg;
  const int64_t most = e->o->loop->config->train.micro_batch_tokens;
  struct tpo_pairs some = e->pairs;
  int64_t tokens = 0;
  if (!e->model || e->done == e->pairs.n) return 0;
  some.rows += e->done;
  for (some.n = 0; e->done + some.n < e->pairs.n; some.n++) {
    const struct tpo_pair_row *row = &some.rows[some.n];
    tokens += 2 * (int64_t)row->n_prompt + row->n_chosen + row->n_rejected;
    if (some.n > 0 && tokens > most) break;
  }
  int status = compute(e, &some, err);
  if (status < 0 || !e->model) return status;
  e->done += some.n;
  return 1;
}

static int by_prompt(const void *a, const void *b)
{
  return strcmp((*(const struct tpo_pair_row *const *)a)->prompt_id,
                (*(const struct tpo_pair_row *const *)b)->prompt_id);
}

/* The same tokens, of which the same carry loss. */
static bool is_same(const struct tpo_pair_row *a, const struct tpo_pair_row *b)
{
  size_t token = sizeof *a->prompt_ids, chosen = (size_t)a->n_chosen, rejected = (size_t)a->n_rejected;
  return a->n_prompt == b->n_prompt && a->n_chosen == b->n_chosen && a->n_rejected == b->n_rejected &&
         memcmp(a->prompt_ids, b->prompt_ids, (size_t)a->n_prompt * token) == 0 &&
         memcmp(a->chosen_ids, b->chosen_ids, chosen * token) == 0 &&
         memcmp(a->rejected_ids, b->rejected_ids, rejected * token) == 0 &&
         memcmp(a->chosen_mask, b->chosen_mask, chosen) == 0 &&
         memcmp(a->rejected_mask, b->rejected_mask, rejected) == 0;
}

/* This rank's, of the pairs that there are, to found [n, 3]: 1, chosen, rejected; zeros for those of others. */
static int find_own(const struct early *e, const struct tpo_pairs *pairs, double *found,
                    struct tpo_error *err)
{
  const struct tpo_pair_row **own = tpo_calloc(e->done, sizeof *own, err);
  if (!own) return TPO_E_MEMORY;
  for (size_t i = 0; i < e->done; i++) own[i] = &e->pairs.rows[i];
  qsort(own, e->done, sizeof *own, by_prompt);
  for (size_t i = 0; i < pairs->n; i++) {
    const struct tpo_pair_row *row = &pairs->rows[i], *const * at;
    at = bsearch(&row, own, e->done, sizeof *own, by_prompt);
    if (!at || !is_same(*at, row)) continue;
    found[3 * i] = 1;
    found[3 * i + 1] = (*at)->chosen_ref_logprob;
    found[3 * i + 2] = (*at)->rejected_ref_logprob;
  }
  free(own);
  return 0;
}

int early_known(const struct early *e, const struct tpo_pairs *pairs, double **known, struct tpo_error *err)
{
  struct tpo_comm *comm = e->o->loop->session->comm;
  double *found = tpo_calloc(3 * pairs->n, sizeof *found, err);
  *known = tpo_calloc(2 * pairs->n, sizeof **known, err);
  int status = found && *known ? find_own(e, pairs, found, err) : TPO_E_MEMORY;
  status = tpo_comm_agree(comm, status, err);
  if (status == 0)
    status = tpo_comm_allreduce_sum_f64(comm, found, 3 * pairs->n, err); /* one rank has each */
  size_t n = 0;
  for (size_t i = 0; i < pairs->n && status == 0; i++) {
    n += found[3 * i] > 0;
    for (size_t j = 0; j < 2; j++) (*known)[2 * i + j] = found[3 * i] > 0 ? found[3 * i + 1 + j] : NAN;
  }
  if (status == 0)
    tpo_log(TPO_LOG_DEBUG,
            "step %lld: references of %zu of %zu pairs were computed while others were sampled",
            (long long)e->facts->first + 1, n, pairs->n);
  free(found);
  return status;
}
