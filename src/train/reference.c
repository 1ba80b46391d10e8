/* Log-probabilities of whole pairs without gradients: the reference's, and those of validation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "model/model.h"
#include "train/state.h"

/* The results of a packed pass, for pairs rows[0..mb->n_pairs). */
static int take_results(const struct micro_batch *mb, const struct tpo_pairs *pairs, const uint32_t *rows,
                        struct pair_outcome *outcomes, const struct tpo_train_keeper *keeper,
                        struct tpo_error *err)
{
  int status = 0;
  for (int j = 0; j < mb->n_pairs && status == 0; j++) {
    struct pair_outcome found = pair_outcome(&mb->results[j]);
    outcomes[rows[j]] = found;
    if (!isfinite(found.chosen) || !isfinite(found.rejected))
      return tpo_fail(err, TPO_E_NUMERIC,
                      "pair %u (\"%.100s\"): the log-probabilities of its outputs are %g and %g", rows[j],
                      pairs->rows[rows[j]].prompt_id, found.chosen, found.rejected);
    if (keeper) status = keeper->keep(keeper->arg, rows[j], found.chosen, found.rejected, err);
  }
  return status;
}

static int own_outcomes(struct tpo_model *model, const struct tpo_train_config *config,
                        const struct tpo_pairs *pairs, const struct share *share,
                        struct pair_outcome *outcomes, const struct tpo_train_keeper *keeper,
                        const struct tpo_watch *watch, struct tpo_error *err)
{
  struct micro_batch mb = {0};
  int status = 0;
  for (size_t at = 0; at < share->n && status == 0; at += (size_t)mb.n_pairs) {
    status = tpo_stopped(NULL, err);
    if (status < 0) break;
    status =
        micro_batch_fill(&mb, model, pairs, share->rows + at, share->n - at, config->micro_batch_tokens, err);
    if (status < 0) break;
    struct tpo_batch batch = micro_batch_view(&mb);
    status = tpo_model_logprobs(model, &batch, NULL, err);
    if (status == 0)
      status =
          micro_batch_losses(&mb, tpo_model_backend(model), config, pairs->n, tpo_model_wanted(model), err);
    if (status == 0) status = take_results(&mb, pairs, share->rows + at, outcomes, keeper, err);
    if (status == 0) tpo_watch_tell(watch, (double)(at + (size_t)mb.n_pairs) / (double)share->n);
  }
  micro_batch_free(&mb);
  return status;
}

/* The pairs that are to be computed; of the others, what is known goes to rank 0's outcomes, which the ranks
 * add up. */
static size_t choose_rows(const struct tpo_pairs *pairs, const struct tpo_train_keeper *keeper, bool first,
                          uint32_t *rows, struct pair_outcome *outcomes)
{
  size_t n = 0;
  for (size_t i = 0; i < pairs->n; i++) {
    if (!keeper || isnan(keeper->known[2 * i]))
      rows[n++] = (uint32_t)i;
    else if (first)
      outcomes[i] =
          (struct pair_outcome){.chosen = keeper->known[2 * i], .rejected = keeper->known[2 * i + 1]};
  }
  return n;
}

static int compute_outcomes(struct tpo_model *model, struct tpo_comm *comm,
                            const struct tpo_train_config *config, const struct tpo_pairs *pairs,
                            struct pair_outcome *outcomes, const struct tpo_train_keeper *keeper,
                            const struct tpo_watch *watch, struct tpo_error *err)
{
  struct share share = {0};
  uint32_t *rows = tpo_calloc(pairs->n, sizeof *rows, err);
  int status = rows ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    memset(outcomes, 0, pairs->n * sizeof *outcomes);
    size_t n = choose_rows(pairs, keeper, tpo_comm_rank(comm) == 0, rows, outcomes);
    status = share_pairs(&share, comm, pairs, rows, n, err);
  }
  if (status == 0) status = own_outcomes(model, config, pairs, &share, outcomes, keeper, watch, err);
  share_free(&share);
  free(rows);
  status = tpo_comm_agree(comm, status, err);
  if (status < 0) return status;
  return tpo_comm_allreduce_sum_f64(comm, (double *)outcomes, pairs->n * OUTCOME_DOUBLES, err);
}

int train_outcomes(struct tpo_model *model, struct tpo_comm *comm, const struct tpo_train_config *config,
                   const struct tpo_pairs *pairs, struct pair_outcome *outcomes,
                   const struct tpo_watch *watch, struct tpo_error *err)
{
  return compute_outcomes(model, comm, config, pairs, outcomes, NULL, watch, err);
}

static void set_reference(struct tpo_pairs *pairs, const struct pair_outcome *outcomes)
{
  for (size_t i = 0; i < pairs->n; i++) {
    pairs->rows[i].chosen_ref_logprob = outcomes[i].chosen;
    pairs->rows[i].rejected_ref_logprob = outcomes[i].rejected;
  }
}

int tpo_train_reference_logprobs(struct tpo_model *reference, struct tpo_comm *comm,
                                 const struct tpo_train_config *config, struct tpo_pairs *pairs,
                                 const struct tpo_train_keeper *keeper, const struct tpo_watch *watch,
                                 struct tpo_error *err)
{
  struct pair_outcome *outcomes = tpo_calloc(pairs->n, sizeof *outcomes, err);
  int status = tpo_comm_agree(comm, outcomes ? 0 : TPO_E_MEMORY, err);
  if (status == 0) status = compute_outcomes(reference, comm, config, pairs, outcomes, keeper, watch, err);
  if (status == 0) {
    set_reference(pairs, outcomes);
    const char *name = keeper && keeper->unnamed ? "" : tpo_model_hash(reference);
    snprintf(pairs->ref_model, sizeof pairs->ref_model, "%s", name);
  }
  free(outcomes);
  return status;
}

int tpo_train_own_logprobs(struct tpo_model *reference, const struct tpo_train_config *config,
                           struct tpo_pairs *pairs, struct tpo_error *err)
{
  struct pair_outcome *outcomes = tpo_calloc(pairs->n, sizeof *outcomes, err);
  struct share all = {.rows = tpo_calloc(pairs->n, sizeof *all.rows, err)};
  int status = outcomes && all.rows ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    all.n = choose_rows(pairs, NULL, false, all.rows, outcomes);
    status = own_outcomes(reference, config, pairs, &all, outcomes, NULL, NULL, err);
  }
  if (status == 0) set_reference(pairs, outcomes);
  share_free(&all);
  free(outcomes);
  return status;
}

int tpo_train_reference_work(struct tpo_model *reference, const struct tpo_pairs *pairs, char **work,
                             struct tpo_error *err)
{
  char hash[33];
  struct tpo_buf text = {0};
  const char *model = tpo_model_hash(reference);
  int status = train_pairs_hash(pairs, false, hash, err);
  if (status < 0) return status;
  tpo_buf_printf(&text,
                 "work: reference log-probabilities\nmodel.dtype: %s\nreference model: %s\npairs: %s\n",
                 tpo_model_dtype(reference) == TPO_DTYPE_BF16 ? "bf16" : "fp32", model ? model : "", hash);
  train_tell_rotation(reference, pairs, &text);
  if (text.failed || !model)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for the reference's log-probabilities");
  if (status == 0)
    *work = text.data;
  else
    tpo_buf_free(&text);
  return status;
}

void train_tell_rotation(const struct tpo_model *model, const struct tpo_pairs *pairs, struct tpo_buf *out)
{
  if (tpo_rope_varies(tpo_model_arch(model)))
    tpo_buf_printf(out, "tokens of an output at most: %d\n", pairs->output_tokens);
}

int train_pairs_hash(const struct tpo_pairs *pairs, bool with_reference, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < pairs->n; i++) {
    const struct tpo_pair_row *row = &pairs->rows[i];
    int32_t lengths[3] = {row->n_prompt, row->n_chosen, row->n_rejected};
    double reference[2] = {row->chosen_ref_logprob, row->rejected_ref_logprob};
    tpo_hash_add(&hash, lengths, sizeof lengths);
    if (with_reference) tpo_hash_add(&hash, reference, sizeof reference);
    tpo_hash_add(&hash, row->prompt_ids, (size_t)row->n_prompt * sizeof *row->prompt_ids);
    tpo_hash_add(&hash, row->chosen_ids, (size_t)row->n_chosen * sizeof *row->chosen_ids);
    tpo_hash_add(&hash, row->rejected_ids, (size_t)row->n_rejected * sizeof *row->rejected_ids);
    if (row->chosen_mask) tpo_hash_add(&hash, row->chosen_mask, (size_t)row->n_chosen);
    if (row->rejected_mask) tpo_hash_add(&hash, row->rejected_mask, (size_t)row->n_rejected);
  }
  tpo_hash_end(&hash, hex);
  return 0;
}
