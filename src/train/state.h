/* The trainer's state, and the steps that an update is made of. */
#ifndef TPO_TRAIN_STATE_H
#define TPO_TRAIN_STATE_H

#include "backend/ops.h"
#include "tpo/train.h"

/* The gradient's way to the ranks that own it, in buckets, from the end of the flat array to its beginning:
 * the order in which backward completes it. */
struct reduction {
  size_t least;      /* elements of a bucket, at least */
  size_t ready, end; /* [ready, end) is complete, but not begun; all from `end` on is begun */
  double within;     /* seconds spent in beginning: on the host, where a sum is done before it returns */
  int buckets;
  int status; /* the first failure, and its message */
  struct tpo_error err;
};

/* New weights on their way from their owners into the model, where there are several ranks: in rounds, which
 * take the next rows of every rank's lane. A lane is the rows that begin in a rank's shard. */
struct rounds {
  size_t most;                 /* elements of a lane in a round, unless one row has more */
  size_t *lanes;               /* [ranks + 1] lane r is elements [lanes[r], lanes[r + 1]) */
  size_t *at;                  /* [ranks] where the next round begins; in the memory of lanes */
  struct tpo_range *ranges[2]; /* [ranks] of a round under way */
  void *weights[2];            /* what it brings; the backend's */
};

struct tpo_trainer {
  struct tpo_model *model;     /* borrowed */
  struct tpo_backend *backend; /* borrowed */
  struct tpo_comm *comm;       /* borrowed */
  struct tpo_train_config config;
  uint64_t seed;
  size_t n_params;
  float *grad;                     /* [n_params] */
  size_t shard_first, shard_count; /* this rank's part of the flat arrays */
  float *master;                   /* [shard_count]; the model's */
  float *m, *v;                    /* [shard_count] */
  void *weights; /* [shard_count] of a bf16 model: the master as the model computes with it */
  struct rounds rounds;
  struct reduction reduction;
  struct tpo_activations *activations;
  uint32_t *order; /* of the pairs in the epoch that is going on; NULL between epochs */
  size_t n_ordered;
  bool is_reference;   /* the model was, before its first step, what the pairs' reference is of */
  int64_t step;        /* updates made */
  int64_t number;      /* of the step under way, as it is told: `step`, but where steps are skipped */
  int epoch;           /* the epoch that goes on next */
  int64_t position;    /* global batches of it that are done */
  char pairs_hash[33]; /* of the pairs trained on; "" before the first */
};

/* One packed forward pass: whole pairs, chosen then rejected, one sequence after another without padding. */
struct micro_batch {
  int32_t *ids, *cu_seqlens, *longest;
  uint8_t *wanted;
  struct tpo_loss_pair *loss_pairs;
  struct tpo_loss_result *results; /* of micro_batch_losses */
  size_t token_capacity, pair_capacity;
  int n_tokens, n_pairs;
};
void micro_batch_free(struct micro_batch *mb);
/* Packs the first of rows[0..n) up to `most_tokens` (one pair at least, however long); mb->n_pairs tells how
 * many. model: whose pass it is. Rotary factors are chosen by pairs->output_tokens. */
int micro_batch_fill(struct micro_batch *mb, const struct tpo_model *model, const struct tpo_pairs *pairs,
                     const uint32_t *rows, size_t n, int most_tokens, struct tpo_error *err);
struct tpo_batch micro_batch_view(const struct micro_batch *mb);
/* From the log-probabilities that a forward pass left in the backend's memory to mb->results, and to their
 * derivatives beside them, for a mean over n_global pairs. Training and evaluation add up the same way. */
int micro_batch_losses(struct micro_batch *mb, struct tpo_backend *be, const struct tpo_train_config *config,
                       size_t n_global, struct tpo_wanted wanted, struct tpo_error *err);

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

/* What the ranks tell each other of a pair: doubles alone, since ranks add them up, one rank having the
 * numbers and the others zeros. */
struct pair_outcome {
  double chosen, rejected; /* sums of log-probabilities */
  double loss, margin;
};
enum { OUTCOME_DOUBLES = sizeof(struct pair_outcome) / sizeof(double) };
struct pair_outcome pair_outcome(const struct tpo_loss_result *result);
/* The policy prefers the chosen output more than the reference does: beta is above 0. */
static inline bool pair_is_correct(const struct pair_outcome *outcome)
{
  return outcome->margin > 0;
}
/* Of all pairs, outcomes [pairs->n], equal on all ranks whatever their number. Loss and margin are numbers
 * where the pairs' references are. watch (may be NULL): of this rank's share. */
int train_outcomes(struct tpo_model *model, struct tpo_comm *comm, const struct tpo_train_config *config,
                   const struct tpo_pairs *pairs, struct pair_outcome *outcomes,
                   const struct tpo_watch *watch, struct tpo_error *err);

/* save.c */
/* The JSON state, with what the caller adds (may be NULL); free() it. */
int train_state_json(const struct tpo_trainer *t, const char *extra, bool with_optimizer, char **out,
                     struct tpo_error *err);
struct train_saved {
  int64_t step, epoch, position;
  bool optimizer; /* its moments and the master weights are there too */
  char pairs[33];
};
/* Refuses (TPO_E_STATE) a state of another seed or of settings under which the next step would be another. */
int train_read_state(const struct tpo_trainer *t, const char *text, size_t len, const char *place,
                     struct train_saved *out, struct tpo_error *err);
void train_set_state(struct tpo_trainer *t, const struct train_saved *saved);

/* memory.c */
/* Where training takes place, as far as memory depends on it. */
struct train_place {
  bool gpu;
  int ranks;
  size_t scratch; /* ops->training_scratch of the longer passes */
};
/* Tokens of a pass at most: a step has a batch's pairs; what has no gradients, the reference, all of them. */
struct train_passes {
  int training, evaluation;
};
struct train_passes train_passes(const struct tpo_train_config *config, int context,
                                 const struct tpo_train_extent *extent, int ranks);
/* With all layers' states kept, as where there is room without end. */
void train_memory_of(struct tpo_train_memory *plan, const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                     const struct train_place *place, struct train_passes passes);
/* Sets plan->kept to what fits in `room` bytes with all the rest; 0: nobody knows how much there is. */
void train_memory_keep(struct tpo_train_memory *plan, const struct train_place *place, size_t room);
/* Refuses what would not fit in `room` bytes (0: not known) even if no layer's states were kept. */
int train_compare_memory(const struct tpo_train_memory *plan, size_t room, int ranks, struct tpo_error *err);
/* Whether there is room for what the trainer is about to allocate, and for what its passes will need; says how
 * much of it activations may take. */
int train_plan_memory(struct tpo_trainer *t, const struct tpo_train_extent *extent, struct tpo_error *err);

/* keep.c */
size_t train_keep_bytes(size_t shard_count); /* that keeping a state takes for itself */

/* exchange.c */
/* Bytes of the buffers for weights on their way. */
size_t exchange_bytes(size_t n_params, size_t element, int ranks);
/* Room for what travels between the ranks. */
int exchange_allocate(struct tpo_trainer *t, struct tpo_error *err);
void exchange_free(struct tpo_trainer *t);
void reduction_reset(struct tpo_trainer *t);
/* What a backward pass calls: arg is the trainer. Never fails; reduction_rest tells. */
void reduction_ready(void *arg, size_t first, size_t count);
/* Begins what no backward pass has: every rank begins the same buckets, whatever it had to do before. */
int reduction_rest(struct tpo_trainer *t, struct tpo_error *err);
/* The shards' weights into the model, on all ranks. weights [shard_count] is of the model's dtype. */
int exchange_weights(struct tpo_trainer *t, const void *weights, struct tpo_error *err);

/* The gradient of the mean loss over the global batch rows[0..n) in t->grad, this rank's part of the sum; the
 * sums over ranks are under way. outcomes [n] as above. */
int train_gradient(struct tpo_trainer *t, const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
                   struct pair_outcome *outcomes, struct tpo_error *err);
/* Waits for the sums of the ranks' gradients (this rank's shard holds them afterwards); *norm is that of the
 * whole gradient. */
int train_reduce(struct tpo_trainer *t, double *norm, struct tpo_error *err);
/* One whole step on a global batch, told as this number. Weights and state are untouched when it fails. */
int train_step(struct tpo_trainer *t, const struct tpo_pairs *pairs, const uint32_t *rows, size_t n,
               int64_t number, double lr, struct tpo_train_metrics *metrics, struct tpo_error *err);
/* A line of what a model's work depends on besides, where it chooses rotary factors by the pairs' output_tokens. */
void train_tell_rotation(const struct tpo_model *model, const struct tpo_pairs *pairs, struct tpo_buf *out);
/* Over what training depends on: tokens, masks and reference log-probabilities, or without these. */
int train_pairs_hash(const struct tpo_pairs *pairs, bool with_reference, char hex[33], struct tpo_error *err);

/* Mean loss and accuracy on pairs without an update. */
int tpo_trainer_evaluate(struct tpo_trainer *t, const struct tpo_pairs *pairs, double *loss, double *accuracy,
                         struct tpo_error *err);

#endif
