/* The trainer's state, and the steps that an update is made of. */
#ifndef TPO_TRAIN_STATE_H
#define TPO_TRAIN_STATE_H

#include "backend/ops.h"
#include "tpo/train.h"

struct tpo_trainer {
  struct tpo_model *model;     /* borrowed */
  struct tpo_backend *backend; /* borrowed */
  struct tpo_comm *comm;       /* borrowed */
  struct tpo_train_config config;
  uint64_t seed;
  size_t n_params;
  float *master;                   /* [n_params]; the model's */
  float *grad;                     /* [n_params]; between steps, scratch for saving */
  size_t shard_first, shard_count; /* this rank's part of the flat arrays */
  float *m, *v;                    /* [shard_count] */
  struct tpo_activations *activations;
  int64_t step;        /* updates made */
  int epoch;           /* the epoch that goes on next */
  int64_t position;    /* global batches of it that are done */
  char pairs_hash[33]; /* of the pairs trained on; "" before the first */
};

/* One packed forward pass: whole pairs, chosen then rejected, one sequence after another without padding. */
struct micro_batch {
  int32_t *ids, *cu_seqlens;
  uint8_t *wanted;
  float *logprob, *dlogprob;
  size_t token_capacity, seq_capacity;
  int n_tokens, n_pairs;
};
void micro_batch_free(struct micro_batch *mb);
/* Packs the first of rows[0..n) up to `most_tokens` (one pair at least, however long); mb->n_pairs tells how
 * many. */
int micro_batch_fill(struct micro_batch *mb, const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
                     int most_tokens, struct tpo_error *err);
struct tpo_batch micro_batch_view(const struct micro_batch *mb);
/* Sum of the log-probabilities that carry loss in sequence s (2 j: pair j's chosen output, 2 j + 1: its
 * rejected). */
double micro_batch_sum(const struct micro_batch *mb, int s);
/* Puts d loss / d sum at every token of sequence s that carries loss. */
void micro_batch_spread(struct micro_batch *mb, int s, double gradient);

int64_t pair_tokens(const struct tpo_pair_row *row); /* of both sequences, prompts included */
/* Tokens of an output that carry loss. Its first token counts only where a prompt's token predicts it. */
int pair_loss_tokens(const struct tpo_pair_row *row, bool chosen);
/* Of rows[0..n), those that this rank works on, in their order: *mine (n entries allocated, free() it) and
 * *slots, their places in rows. Longest pairs first, each to the rank with the fewest tokens: the same on
 * every rank. */
struct share {
  uint32_t *rows, *slots;
  size_t n;
};
int share_pairs(struct share *share, const struct tpo_comm *comm, const struct tpo_pairs *pairs,
                const uint32_t *rows, size_t n, struct tpo_error *err);
void share_free(struct share *share);

/* Sums of log-probabilities of all pairs, [n][chosen, rejected], equal on all ranks whatever their number. */
int train_pair_logprobs(struct tpo_model *model, struct tpo_comm *comm, const struct tpo_train_config *config,
                        const struct tpo_pairs *pairs, double *sums, struct tpo_error *err);
/* The gradient of the mean loss over the global batch rows[0..n), this rank's part of the sum, in t->grad;
 * sums as above. */
int train_gradient(struct tpo_trainer *t, const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
                   double *sums, struct tpo_error *err);
/* Adds up the ranks' gradients (this rank's shard holds the sum afterwards); *norm is that of the whole
 * gradient. */
int train_reduce(struct tpo_trainer *t, double *norm, struct tpo_error *err);
/* One whole step on a global batch. Weights and state are untouched when it fails. */
int train_step(struct tpo_trainer *t, const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
               double lr, struct tpo_train_metrics *metrics, struct tpo_error *err);
struct tpo_pair_loss train_pair_loss(const struct tpo_train_config *config, const struct tpo_pair_row *row,
                                     const double sums[2]);
/* Over what training depends on: tokens, masks and reference log-probabilities. */
int train_pairs_hash(const struct tpo_pairs *pairs, char hex[33], struct tpo_error *err);

#endif
