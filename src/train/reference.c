/* Log-probabilities of whole pairs without gradients: the reference's, and those of validation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/memory.h"
#include "train/state.h"

static int own_outcomes(struct tpo_model *model, const struct tpo_train_config *config,
                        const struct tpo_pairs *pairs, const struct share *share,
                        struct pair_outcome *outcomes, struct tpo_error *err)
{
  struct micro_batch mb = {0};
  int status = 0;
  for (size_t at = 0; at < share->n && status == 0; at += (size_t)mb.n_pairs) {
    if (tpo_interrupted()) {
      status = tpo_fail(err, TPO_E_INTERRUPTED, "stopped by a signal");
      break;
    }
    status = micro_batch_fill(&mb, pairs, share->rows + at, share->n - at, config->micro_batch_tokens, err);
    if (status < 0) break;
    struct tpo_batch batch = micro_batch_view(&mb);
    status = tpo_model_logprobs(model, &batch, NULL, err);
    if (status == 0)
      status =
          micro_batch_losses(&mb, tpo_model_backend(model), config, pairs->n, tpo_model_wanted(model), err);
    for (int j = 0; j < mb.n_pairs && status == 0; j++) {
      struct pair_outcome found = pair_outcome(&mb.results[j]);
      outcomes[share->slots[at + (size_t)j]] = found;
      if (!isfinite(found.chosen) || !isfinite(found.rejected))
        status = tpo_fail(err, TPO_E_NUMERIC,
                          "pair %u (\"%.100s\"): the log-probabilities of its outputs are %g and %g",
                          share->rows[at + (size_t)j], pairs->rows[share->rows[at + (size_t)j]].prompt_id,
                          found.chosen, found.rejected);
    }
  }
  micro_batch_free(&mb);
  return status;
}

int train_outcomes(struct tpo_model *model, struct tpo_comm *comm, const struct tpo_train_config *config,
                   const struct tpo_pairs *pairs, struct pair_outcome *outcomes, struct tpo_error *err)
{
  struct share share = {0};
  uint32_t *rows = tpo_calloc(pairs->n, sizeof *rows, err);
  int status = rows ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    for (size_t i = 0; i < pairs->n; i++) rows[i] = (uint32_t)i;
    memset(outcomes, 0, pairs->n * sizeof *outcomes);
    status = share_pairs(&share, comm, pairs, rows, pairs->n, err);
  }
  if (status == 0) status = own_outcomes(model, config, pairs, &share, outcomes, err);
  share_free(&share);
  free(rows);
  status = tpo_comm_agree(comm, status, err);
  if (status < 0) return status;
  return tpo_comm_allreduce_sum_f64(comm, (double *)outcomes, pairs->n * OUTCOME_DOUBLES, err);
}

int tpo_train_reference_logprobs(struct tpo_model *reference, struct tpo_comm *comm,
                                 const struct tpo_train_config *config, struct tpo_pairs *pairs,
                                 struct tpo_error *err)
{
  struct pair_outcome *outcomes = tpo_calloc(pairs->n, sizeof *outcomes, err);
  int status = tpo_comm_agree(comm, outcomes ? 0 : TPO_E_MEMORY, err);
  if (status == 0) status = train_outcomes(reference, comm, config, pairs, outcomes, err);
  if (status == 0) {
    for (size_t i = 0; i < pairs->n; i++) {
      pairs->rows[i].chosen_ref_logprob = outcomes[i].chosen;
      pairs->rows[i].rejected_ref_logprob = outcomes[i].rejected;
    }
    snprintf(pairs->ref_model, sizeof pairs->ref_model, "%s", tpo_model_hash(reference));
  }
  free(outcomes);
  return status;
}

int train_pairs_hash(const struct tpo_pairs *pairs, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < pairs->n; i++) {
    const struct tpo_pair_row *row = &pairs->rows[i];
    int32_t lengths[3] = {row->n_prompt, row->n_chosen, row->n_rejected};
    double reference[2] = {row->chosen_ref_logprob, row->rejected_ref_logprob};
    tpo_hash_add(&hash, lengths, sizeof lengths);
    tpo_hash_add(&hash, reference, sizeof reference);
    tpo_hash_add(&hash, row->prompt_ids, (size_t)row->n_prompt * sizeof *row->prompt_ids);
    tpo_hash_add(&hash, row->chosen_ids, (size_t)row->n_chosen * sizeof *row->chosen_ids);
    tpo_hash_add(&hash, row->rejected_ids, (size_t)row->n_rejected * sizeof *row->rejected_ids);
    if (row->chosen_mask) tpo_hash_add(&hash, row->chosen_mask, (size_t)row->n_chosen);
    if (row->rejected_mask) tpo_hash_add(&hash, row->rejected_mask, (size_t)row->n_rejected);
  }
  tpo_hash_end(&hash, hex);
  return 0;
}
