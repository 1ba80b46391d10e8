/* train: direct preference optimization, data-parallel over ranks.
 *
 *   struct tpo_trainer *t; // its model was opened with keep_master, of this rank's shard
 *   tpo_trainer_open(&t, model, comm, &config.train, config.seed, NULL, &err);
 *   tpo_train_reference_logprobs(model, comm, &config.train, &pairs, NULL, NULL, &err);
 *   for (int epoch = 0; epoch < config.train.epochs; epoch++)
 *     while (tpo_trainer_step(t, &pairs, epoch, &metrics, &err) == 1) printf("loss %f\n", metrics.loss);
 *
 * loss = mean over the global batch of -log sigmoid(beta * ((pi_c - ref_c) - (pi_r - ref_r))) (Rafailov et
 * al. 2023, eq. 7), with label smoothing (conservative DPO), IPO (Azar et al. 2023, eq. 17) or an added NLL
 * term (IRPO). pi and ref are sums of log-probabilities over an output's tokens that carry loss, in IPO as in
 * DPO, so that IPO's target, 1 / (2 beta), is of whole outputs; the NLL term is the chosen output's mean. */
#ifndef TPO_TRAIN_H
#define TPO_TRAIN_H

#include "tpo/base.h"
#include "tpo/comm.h"
#include "tpo/config.h"
#include "tpo/model.h"
#include "tpo/store.h"

struct tpo_tokenizer;
struct tpo_template;

/* Learning rate of step (0-based) of n_steps: linear warm-up over
 * ceil(warmup * n_steps), then the schedule to 0. */
TPO_API double tpo_train_lr(const struct tpo_train_config *config, int64_t step, int64_t n_steps);

/* a line of --metrics; sums of token log-probabilities averaged over pairs; loss before the update */
struct tpo_train_metrics {
  int64_t step;
  double epoch, lr, loss, accuracy, margin, chosen_logprob, rejected_logprob, grad_norm;
  int64_t tokens;
  double seconds;
};
TPO_API int tpo_train_metrics_print(const struct tpo_train_metrics *m,
                                    struct tpo_buf *line); /* JSON, no newline */

/* What there is to train on, as far as memory depends on it. 0: not known. */
struct tpo_train_extent {
  size_t pairs;
  int64_t pair_tokens; /* of the longest pair, in both its sequences */
  size_t outputs; /* sequences, none longer than half of that, which are computed besides (run.kl_outputs) */
};
TPO_API struct tpo_train_extent tpo_train_extent(const struct tpo_pairs *pairs);

/* What training takes on one rank, in bytes, computed before any of it is there: at most, whatever the pairs
 * of this extent, unless one alone has several times as many tokens as a pass should. */
struct tpo_train_memory {
  int tokens;      /* of a step's pass at most: train.micro_batch_tokens, or all that a rank has of a batch */
  size_t weights;  /* as the model computes with them */
  size_t shard;    /* this rank's master weights and moments */
  size_t master;   /* of that, the master weights, which are there while no training goes on, too */
  size_t gradient; /* fp32, of all parameters */
  size_t activations; /* of so many tokens, computing the states of all layers twice */
  size_t layer;       /* what is taken besides for each layer whose states are kept, but for the last */
  int layers, kept;   /* of the model; those whose states are kept */
  size_t scratch;     /* logits and the like */
  size_t exchange;    /* weights on their way between ranks and to the disk, buffers of NCCL */
  size_t program;     /* libraries, tokenizer, MPI: in the host's memory, and so 0 on a GPU */
};
/* With the states of as many layers kept as the memory that is free now has room for; a trainer then does the
 * same. extent, here and below, may be NULL: nothing is known of the pairs. */
TPO_API void tpo_train_memory(struct tpo_train_memory *plan, const struct tpo_arch *arch,
                              enum tpo_compute_dtype dtype, const struct tpo_train_config *config,
                              const struct tpo_train_extent *extent, struct tpo_backend *backend,
                              const struct tpo_comm *comm);
TPO_API size_t tpo_train_memory_total(const struct tpo_train_memory *plan);
TPO_API size_t tpo_train_memory_least(const struct tpo_train_memory *plan); /* keeping no layer's states */
/* Refuses what can't fit, before the model is opened: says what is needed, what is there, what would help. */
TPO_API int tpo_train_check_memory(const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                                   const struct tpo_train_config *config,
                                   const struct tpo_train_extent *extent, struct tpo_backend *backend,
                                   const struct tpo_comm *comm, struct tpo_error *err);

struct tpo_trainer;
/* All ranks call everything below together; every rank holds the same pairs. */
TPO_API int tpo_trainer_open(struct tpo_trainer **out, struct tpo_model *model, struct tpo_comm *comm,
                             const struct tpo_train_config *config, uint64_t seed,
                             const struct tpo_train_extent *extent, struct tpo_error *err);
TPO_API void tpo_trainer_close(struct tpo_trainer *t);
/* For pairs that an earlier attempt has come to. */
struct tpo_train_keeper {
  const double *known; /* [n_pairs, 2] of chosen and rejected, the same on all ranks; NaN: not known */
  /* Called for each pair that this rank has computed. */
  int (*keep)(void *arg, size_t pair, double chosen, double rejected, struct tpo_error *err);
  void *arg;
  bool unnamed; /* ref_model is left empty, so that the reference's weights need not be read for their hash */
};
/* Reference log-probabilities of every pair under `reference` (may be the trainer's own model before its
 * first step), split over ranks, by the code path that the training forward takes. keeper may be NULL, and so
 * may watch, which is told of this rank's share. */
TPO_API int tpo_train_reference_logprobs(struct tpo_model *reference, struct tpo_comm *comm,
                                         const struct tpo_train_config *config, struct tpo_pairs *pairs,
                                         const struct tpo_train_keeper *keeper, const struct tpo_watch *watch,
                                         struct tpo_error *err);
/* What they depend on: lines of model and pairs, as tpo_trainer_work has them. On this rank alone. */
TPO_API int tpo_train_reference_work(struct tpo_model *reference, const struct tpo_pairs *pairs, char **work,
                                     struct tpo_error *err);
/* What tpo_train_filter_pairs did. */
struct tpo_train_filtered {
  size_t too_long, no_response, identical; /* pairs that it left out */
  size_t cut;                              /* pairs that stayed, with a shorter prompt */
};
/* Leaves out pairs that nothing can be learned from, or that are longer than train.max_pair_tokens or
 * `context`, the model's, in tokens. Each is told by a warning with its place, its id and the reason, up to
 * 20, and all are counted; `name` begins these lines: the pairs' file, or what made them. With
 * train.truncate: left an over-long prompt loses its oldest tokens instead (BOS among them), as many as
 * needed; outputs are never cut. Reference log-probabilities of whole prompts are then forgotten: ref_model
 * becomes "". filtered may be NULL. TPO_E_INPUT when no pair is left. Call before the reference. */
TPO_API int tpo_train_filter_pairs(struct tpo_pairs *pairs, const struct tpo_train_config *config,
                                   int context, const char *name, struct tpo_train_filtered *filtered,
                                   struct tpo_error *err);
/* Pairs whose rotary factors (TPO_ROPE_LONGROPE, chosen by tpo_arch_longest with pairs->output_tokens) would be
 * others with output_tokens of so many. */
TPO_API size_t tpo_train_rotated_otherwise(const struct tpo_pairs *pairs, const struct tpo_arch *arch,
                                           int32_t output_tokens);
TPO_API int64_t tpo_trainer_steps_per_epoch(const struct tpo_trainer *t, size_t n_pairs);
/* The next step of a pass over the pairs in the epoch's order, from the state's position. 1: it is made, and
 * *metrics, equal on all ranks, tells of it; 0: the epoch is over. What a rank does between two steps can
 * fail: tpo_comm_agree before the next one. */
TPO_API int tpo_trainer_step(struct tpo_trainer *t, const struct tpo_pairs *pairs, int epoch,
                             struct tpo_train_metrics *metrics, struct tpo_error *err);
/* A step on all of `pairs` (one at least) as one global batch, beside any epoch, for pairs that come while training
 * goes on: its learning rate is that of step `at` of n_steps, 0-based; metrics->step is `at`. What it counts as the
 * state's step are such updates (AdamW's). All ranks; what it takes stays until the pause. */
TPO_API int tpo_trainer_update(struct tpo_trainer *t, const struct tpo_pairs *pairs, int64_t at,
                               int64_t n_steps, struct tpo_train_metrics *metrics, struct tpo_error *err);
/* Gives back what only steps need, gradient and activations, for sampling and judging in between. */
TPO_API void tpo_trainer_pause(struct tpo_trainer *t);
/* Reference log-probabilities of all of `pairs` by this rank alone, bit for bit those of
 * tpo_train_reference_logprobs; ref_model is left as it is. */
TPO_API int tpo_train_own_logprobs(struct tpo_model *reference, const struct tpo_train_config *config,
                                   struct tpo_pairs *pairs, struct tpo_error *err);
/* Whole state, enough to go on exactly, on any number of ranks: model, optimizer, step, epoch, position. Rank
 * 0 writes. extra is a JSON object merged into /state (best validation score, ...), may be NULL.
 * with_optimizer false: weights only, with their fp32 masters when the model is bf16. */
TPO_API int tpo_trainer_save(struct tpo_trainer *t, const char *path, const struct tpo_tokenizer *tokenizer,
                             const char *config_yaml, const char *extra, bool with_optimizer,
                             struct tpo_error *err);
TPO_API int tpo_trainer_load(struct tpo_trainer *t, const char *path, struct tpo_error *err);

/* The state while training goes on, kept in a folder that all ranks see; each rank writes its own shard, and
 * any number of ranks reads it. A state counts when all of it is on the disk, and only then takes the place
 * of the one before. work: of tpo_trainer_work; extra as above. weights false: the JSON alone, where nothing
 * is trained any more. A failure leaves the state that was there. */
TPO_API int tpo_trainer_keep(struct tpo_trainer *t, const char *folder, const char *work, const char *extra,
                             bool weights, struct tpo_error *err);
/* 1: the newest state is taken up, and *state is its JSON (free() it); 0: there is none. TPO_E_STATE: it is
 * of other training, and the message tells in what it differs; TPO_E_INPUT: it is damaged; the trainer is as
 * before then. */
TPO_API int tpo_trainer_take_up(struct tpo_trainer *t, const char *folder, const char *work, char **state,
                                struct tpo_error *err);
/* What training depends on beside its settings, for the two above: lines of model and pairs, before the first
 * step; free() it. pairs NULL: of the model alone, for updates, whose pairs nobody knows yet; the caller may add
 * lines. On this rank alone. */
TPO_API int tpo_trainer_work(struct tpo_trainer *t, const struct tpo_pairs *pairs, char **work,
                             struct tpo_error *err);
/* Whether a state is there, after how many steps; and removing all of them. On this rank alone. */
TPO_API bool tpo_trainer_kept(const char *folder, int64_t *steps);
TPO_API int tpo_trainer_forget(const char *folder, struct tpo_error *err);

/* Pairs from JSON Lines: prompt_ids, chosen_ids, rejected_ids; or text as public sets have it (tokenizer and
 * tmpl are then needed), where the shared beginning of two chats is the prompt and loss is on the assistant's
 * turns alone. An answer that the template shows otherwise than it was given (without its thought) is put behind the
 * generation prompt as it stands; one before the last that is shown so is refused. What would change the meaning and isn't read (tool calls, images) is refused by name. A
 * file without a pair is an error. Pairs that nothing can be learned from are read, too: to leave them out is
 * tpo_train_filter_pairs()'s. */
TPO_API int tpo_train_read_pairs(struct tpo_pairs *pairs, const char *path,
                                 const struct tpo_tokenizer *tokenizer, const struct tpo_template *tmpl,
                                 struct tpo_error *err);
/* The same, but up to skip_bad bad rows are left out, each told by a warning; one more is an error. A row with
 * an id that is not below vocab_size is a bad one, unless vocab_size is 0. Of thought (NULL: none) the template gets
 * the template_args, and the markers tell an answer's thought; nothing else is asked of the model in these prompts. */
TPO_API int tpo_train_read_some_pairs(struct tpo_pairs *pairs, const char *path,
                                      const struct tpo_tokenizer *tokenizer, const struct tpo_template *tmpl,
                                      const struct tpo_thought_config *thought, int vocab_size, int skip_bad,
                                      struct tpo_error *err);

#endif
