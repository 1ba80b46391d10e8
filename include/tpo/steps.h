/* steps: the work of an iteration, in memory and over the ranks: sampling, judging, comparing, training,
 * drafting instructions. Commands, the loop and evaluations compose them.
 *
 *   struct tpo_session session = {.config = &config, .comm = comm, .backend = be};
 *   struct tpo_generate_options options = {.sampling = &config.sampling, .thought = &config.thought,
 *                                          .iteration = 1};
 *   struct tpo_policy policy;
 *   tpo_policy_open(&policy, &session, config.model.path, NULL, &err);
 *   tpo_generate(&session, &policy, &instructions, &options, &samples, &stats, &err);
 *   tpo_score_samples(&session, &samples, NULL, &failures, &err);
 *   tpo_policy_close(&policy);
 *
 * All ranks call every function here together; results are on rank 0 unless a comment says otherwise, and all
 * ranks return the same status. */
#ifndef TPO_STEPS_H
#define TPO_STEPS_H

#include "tpo/backend.h"
#include "tpo/comm.h"
#include "tpo/config.h"
#include "tpo/data.h"
#include "tpo/model.h"
#include "tpo/store.h"
#include "tpo/text.h"
#include "tpo/train.h"

struct tpo_session {
  const struct tpo_config *config;
  struct tpo_comm *comm;
  struct tpo_backend *backend; /* NULL where no model is computed */
  const char *judge_dir;       /* where a judge keeps its answers and scales; NULL: nowhere */
  /* Where the models of judges stay from one judging to the next, until one fails on some rank; NULL: each judging
   * reads them. On all ranks or none. */
  struct tpo_model_shelf *judge_models;
  /* NULL: nobody is told, as on all ranks but one. Called from the rank's own thread, at most some dozen times a
   * second but for the ends of phases; what `at` points at is borrowed. */
  void (*progress)(void *arg, const struct tpo_progress *at);
  void *progress_arg;
};
/* For what is built of these steps: tells the session's progress, if anybody listens. */
TPO_API void tpo_session_tell(const struct tpo_session *session, const struct tpo_progress *at);

/* A model with what turns text into its tokens. */
struct tpo_policy {
  char *path;
  struct tpo_model *model;
  struct tpo_tokenizer *tokenizer;
  struct tpo_template *tmpl;
};
/* pairs: what it is to be trained on, and so opened with its master weights, where memory suffices (none: they come
 * later, and memory must suffice for any); NULL: nothing. */
TPO_API int tpo_policy_open(struct tpo_policy *policy, const struct tpo_session *session, const char *path,
                            const struct tpo_pairs *pairs, struct tpo_error *err);
/* The same in two steps: text and template, by which much can be checked before weights are read, then the model. A
 * rank calls the first for itself, as it does the two functions below; ranks agree in between. */
TPO_API int tpo_policy_open_text(struct tpo_policy *policy, const struct tpo_config *config, const char *path,
                                 struct tpo_error *err);
TPO_API int tpo_policy_open_model(struct tpo_policy *policy, const struct tpo_session *session,
                                  const struct tpo_pairs *pairs, struct tpo_error *err);
TPO_API void tpo_policy_close(struct tpo_policy *policy);
/* Refuses budgets that can't hold the response marker which is inserted into outputs, and layouts that the model
 * can't have (tpo_thought_check), whose oddities are logged. The policy's text is open, its model need not be. */
TPO_API int tpo_policy_check_thought(const struct tpo_policy *policy, const struct tpo_config *config,
                                     struct tpo_error *err);
/* tpo_thought_resolve by the chat template of the model at path, and the reason. */
TPO_API int tpo_policy_settle_thought(struct tpo_config *config, const char *path, const char **why,
                                      struct tpo_error *err);

struct tpo_generate_options {
  const struct tpo_sampling_config *sampling;
  const struct tpo_thought_config *thought;
  uint32_t iteration;  /* keys the randomness */
  const char *what;    /* the phase that progress tells; NULL: "sampling" */
  const int *k_counts; /* [instructions->n] samples of each; NULL: sampling->k */
  int k_first;         /* number of each instruction's first sample */
  /* Folder that finished samples are kept in, and taken from where an earlier call left some; NULL: none. It
   * stays there: who has written the samples elsewhere removes it. All ranks must see it. */
  const char *journal;
  bool
      drop_other; /* samples of other work in the journal are dropped with a warning; else that is an error */
};
struct tpo_generate_stats {                        /* on all ranks */
  double samples, sampled_tokens, inserted_tokens; /* of all samples */
  double kept;                                     /* samples that were taken from the journal */
  double prompt_tokens, drawn_tokens, seconds;     /* what this call computed */
};
/* K samples of each instruction; every rank holds the same instructions. Rank 0's samples are in their
 * order. After a failure the message tells how many are kept in the journal. */
TPO_API int tpo_generate(const struct tpo_session *session, const struct tpo_policy *policy,
                         const struct tpo_instructions *instructions,
                         const struct tpo_generate_options *options, struct tpo_samples *samples,
                         struct tpo_generate_stats *stats, struct tpo_error *err);

/* Outputs that don't parse are drawn again, as the paper evaluates: up to `attempts` times, with new keys
 * (attempt a of K samples takes the numbers a K and up, so that the same draws come each time). A draw that
 * parses takes the place, and the number k, of one that doesn't. options: those that the samples were drawn
 * with, the journal too; where its temperature is 0, another draw would be the same and `temperature` is
 * used. */
struct tpo_redraw_counts { /* on rank 0 */
  size_t resampled;        /* draws that were made again */
  size_t unparsed;         /* outputs that still don't parse */
};
TPO_API int tpo_redraw(const struct tpo_session *session, const struct tpo_policy *policy,
                       const struct tpo_instructions *instructions,
                       const struct tpo_generate_options *options, int attempts, double temperature,
                       struct tpo_samples *samples, struct tpo_redraw_counts *counts, struct tpo_error *err);

/* Judgements that are kept while others are made, so that a judging that was stopped is taken up again, on
 * any number of ranks: the scores, details and counts are then those of one that nothing stopped. */
struct tpo_score_options {
  /* Folder, by convention OUT.journal, that all ranks see; NULL: none. It stays when all is judged: once the
   * scores are written, remove it (src/store/journal). A judging of which more than max_failed was left without
   * a score judges those again when it is taken up. */
  const char *journal;
  /* A journal of other samples, settings or models is renamed, OUT.journal.1, with a warning; else an error. */
  bool drop_other;
};

/* Scores rank 0's samples in place, each rank a share of the prompts; failures: responses that the judge gave
 * no score. More than the share config.judge.max_failed of the prompts with one is an error that tells the
 * first reason. What the judge counted, over all ranks, goes to samples->judge_counts. options: may be NULL. */
TPO_API int tpo_score_samples(const struct tpo_session *session, struct tpo_samples *samples,
                              const struct tpo_score_options *options, size_t *failures,
                              struct tpo_error *err);

/* tpo_generate and tpo_score_samples in one, to the same result: where the judge waits more than it computes
 * (tpo_judge_waits), each rank has prompts judged by a thread of its own as soon as it has drawn all their samples, while
 * others are sampled; else all are judged behind. What is judged beside sampling goes to the scores' journal when all
 * samples are there. Where the judge fails on everything, sampling ends at the next output, with its reason. */
struct tpo_judged_options {
  struct tpo_generate_options generate;
  struct tpo_score_options score;
  /* May be NULL. From the rank's own thread, for a prompt that it has sampled and judged, rows [n] of it with their
   * scores (borrowed): never where it is judged behind, or others judged it. */
  int (*judged)(void *arg, const struct tpo_sample_row *rows, size_t n, struct tpo_error *err);
  /* May be NULL. As the engine's `between`, and while the judge alone is waited for. 1: it did something; 0: there was
   * nothing to do. */
  int (*between)(void *arg, struct tpo_error *err);
  void *arg;
};
struct tpo_judged_stats { /* on all ranks; seconds are the slowest rank's */
  struct tpo_generate_stats generate;
  size_t failures;       /* responses without a score; rank 0 */
  double sample_seconds; /* until the last sample was there */
  double judge_seconds;  /* of judging behind that */
  double wait_seconds;   /* within those, that a rank had nothing to do */
};
TPO_API int tpo_generate_judged(const struct tpo_session *session, const struct tpo_policy *policy,
                                const struct tpo_instructions *instructions,
                                const struct tpo_judged_options *options, struct tpo_samples *samples,
                                struct tpo_judged_stats *stats, struct tpo_error *err);

/* For judges that only compare (tpo_judge_compares): rank 0's samples get as scores the share of comparisons
 * that they won, a tie counting half, against the responses of the same prompt and number in `before`, both
 * positions. Who has no response loses against one, and two without are even. failures: samples without a
 * share, since the judge failed on one of the two. options: may be NULL. */
TPO_API int tpo_score_versus(const struct tpo_session *session, struct tpo_samples *samples,
                             const struct tpo_samples *before, const struct tpo_score_options *options,
                             size_t *failures, struct tpo_error *err);

/* tpo_train_reference_logprobs with the session's settings and its progress. journal: the folder that keeps
 * what is computed, where an earlier attempt is gone on from; it stays there. drop_others: what it holds of
 * other pairs or of another model goes, with a warning; false: that is an error, TPO_E_USAGE. After a failure
 * the message tells how many are kept. */
TPO_API int tpo_reference_logprobs(const struct tpo_session *session, struct tpo_model *reference,
                                   struct tpo_pairs *pairs, const char *journal, bool drop_others,
                                   struct tpo_error *err);

/* Trains policy (opened with keep_master) on pairs, the same on all ranks, whose reference log-probabilities
 * are there; both are borrowed until it is closed. Epoch by epoch, its steps and then its end:
 *
 *   for (int epoch = tpo_dpo_progress(dpo)->epochs_done; epoch < config.train.epochs; epoch++) {
 *     while ((status = tpo_dpo_step(dpo, &metrics, &err)) == 1) print(&metrics);
 *     tpo_dpo_end_epoch(dpo, NAN, -1, &err);
 *   }
 *   tpo_dpo_finish(dpo, &err);
 *   tpo_dpo_forget(journal, &err); // rank 0
 *
 * What a rank does between these calls can fail: tpo_comm_agree before the next one.
 *
 * While it goes on, the journal's folder holds its state, of the end of an epoch, of each
 * train.state_minutes and of the step before a signal, and the best epoch's checkpoint so far. `out` itself
 * appears when all of it is done. */
struct tpo_dpo;
struct tpo_dpo_options {
  const char *out;     /* checkpoint */
  const char *journal; /* folder of what is kept while training goes on; all ranks must see it */
  bool drop_others; /* a state of other training goes, with a warning; false: it is an error, TPO_E_STATE */
  const char *config_yaml;
};
struct tpo_dpo_progress {
  int epochs_done; /* those of the state that was taken up, too */
  int64_t mark;    /* that the state which was taken up was kept with; -1: none was */
  int64_t steps;
  int best_epoch;
  double best_score, first_loss, last_loss;
  /* That keeping the last state and the last epoch's checkpoint took in this process; 0 before the first. */
  double state_seconds, checkpoint_seconds;
};
/* Goes on from the state in the folder where there is one. */
TPO_API int tpo_dpo_open(struct tpo_dpo **out, const struct tpo_session *session, struct tpo_policy *policy,
                         const struct tpo_pairs *pairs, const struct tpo_dpo_options *options,
                         struct tpo_error *err);
/* A number that is kept with states inside an epoch from now on, such as the size of a file that a line was
 * added to after the last step; rank 0's counts. */
TPO_API void tpo_dpo_mark(struct tpo_dpo *dpo, int64_t mark);
/* 1: a step is made, and *metrics tells of it; 0: the epoch has no more. */
TPO_API int tpo_dpo_step(struct tpo_dpo *dpo, struct tpo_train_metrics *metrics, struct tpo_error *err);
/* score: of the weights that are in place now, NaN for none. The best epoch's weights are the ones saved, the
 * first of equals; without scores the last epoch's. mark: as above, once the epoch is over. */
TPO_API int tpo_dpo_end_epoch(struct tpo_dpo *dpo, double score, int64_t mark, struct tpo_error *err);
/* After the last epoch: what was saved becomes `out`. */
TPO_API int tpo_dpo_finish(struct tpo_dpo *dpo, struct tpo_error *err);
/* After an interruption (TPO_E_INTERRUPTED on all ranks, between two steps or in what the caller does there):
 * keeps the state, and adds to the message what is kept. Returns status. */
TPO_API int tpo_dpo_stop(struct tpo_dpo *dpo, int status, struct tpo_error *err);
TPO_API const struct tpo_dpo_progress *tpo_dpo_progress(const struct tpo_dpo *dpo);
TPO_API void tpo_dpo_close(struct tpo_dpo *dpo);
/* Whether the folder has something that training made: a state to go on from, and after how many steps, or (0
 * steps) the checkpoint of an epoch alone; the reference's log-probabilities are not of it. And removing all
 * that a step of a run may have kept there, of training or other. On one rank. */
TPO_API bool tpo_dpo_kept(const char *journal, int64_t *steps);
TPO_API int tpo_dpo_forget(const char *journal, struct tpo_error *err);

/* Training on pairs that come while it goes on (run.sync_steps): one optimizer and one learning-rate schedule over
 * config.run.steps steps, with a state in the journal's folder to go on from, as above. policy was opened with its
 * master weights and computes with the new ones after each step, without a file. It is opened as the model that
 * training began from, also where a state is there: that brings the weights. Whatever else is to stay in memory
 * beside it is opened before: training plans with what is free then.
 *
 *   tpo_online_open(&online, &session, &policy, &options, &err);
 *   while (tpo_online_done(online) < config.run.steps) {
 *     ... sample, judge, pair ...
 *     tpo_online_step(online, &pairs, &metrics, &err);
 *     tpo_online_pause(online); // before anything else needs memory
 *   }
 *   tpo_online_save(online, "checkpoint.h5", &err); */
struct tpo_online;
struct tpo_online_options {
  const char *journal;     /* folder of the state; all ranks must see it */
  bool drop_others;        /* a state of other training goes, with a warning; false: it is TPO_E_STATE */
  const char *config_yaml; /* for checkpoints */
  /* NULL, or what tpo_online_save wrote of this training, to go on from where the folder has no state */
  const char *checkpoint;
};
/* Goes on from the state in the folder where there is one; one that is damaged goes, with a warning, and training
 * begins anew. With a checkpoint one that is damaged stays until the next is kept, and training goes on from the
 * checkpoint, with a warning: TPO_E_STATE where that was saved without its optimizer. Other training is also one with
 * another run.steps. */
TPO_API int tpo_online_open(struct tpo_online **out, const struct tpo_session *session,
                            struct tpo_policy *policy, const struct tpo_online_options *options,
                            struct tpo_error *err);
TPO_API int64_t tpo_online_done(const struct tpo_online *online);    /* steps, skipped ones too */
TPO_API int64_t tpo_online_mark_of(const struct tpo_online *online); /* of the state taken up; -1: none was */
TPO_API void tpo_online_mark(struct tpo_online *online, int64_t mark); /* as tpo_dpo_mark */
/* The next step, on all of these pairs, the same on all ranks with their references; none: it is skipped, but
 * counted, and *metrics has NaN and zeros. Keeps the state first where that is due (train.state_minutes). 0, or an
 * error; after TPO_E_INTERRUPTED, as after one that pairs are to blame for, all is as before the step. */
TPO_API int tpo_online_step(struct tpo_online *online, const struct tpo_pairs *pairs,
                            struct tpo_train_metrics *metrics, struct tpo_error *err);
TPO_API void tpo_online_pause(struct tpo_online *online);
/* The state as it is now, to the folder, unless that has it; the one before stays after a failure. Steps of the one that
 * is there; -1: none. */
TPO_API int tpo_online_keep(struct tpo_online *online, struct tpo_error *err);
TPO_API int64_t tpo_online_kept(const struct tpo_online *online);
/* A checkpoint of the weights as they are now, with the optimizer as train.save_optimizer says; its /state has
 * steps_done besides. */
TPO_API int tpo_online_save(struct tpo_online *online, const char *path, struct tpo_error *err);
/* The weights that the model computes with alone, for a reference: no masters, nothing to train on from. */
TPO_API int tpo_online_save_weights(struct tpo_online *online, const char *path, struct tpo_error *err);
/* As tpo_dpo_stop. */
TPO_API int tpo_online_stop(struct tpo_online *online, int status, struct tpo_error *err);
TPO_API void tpo_online_close(struct tpo_online *online);

/* New instructions from a model: each request shows it `shots` of the seeds, drawn and ordered by (seed,
 * request), and asks for one more of their kind; answers are cleaned, and refused where they are cut off,
 * incomplete, out of the lengths, no instruction, or too like a seed or one accepted before
 * (src/data/README.md). Plain chat: config.thought is not used, of config.sampling all but k. `out`, on rank
 * 0, gets ids synth-000001 and so on, the same whatever the number of ranks; also after a failure it holds
 * what was accepted. Fewer than n from max_requests is an error that counts the reasons. */
struct tpo_synth_options {
  size_t n, max_requests;
  int shots;                   /* seeds in a request; at least so many must be there, TPO_E_USAGE */
  size_t min_words, max_words; /* of an instruction; longer seeds are not shown */
  double max_overlap;          /* of word 3-grams, 0 to 1: more of them shared is too like */
};
/* 8 shots, 3 to 150 words, overlap 0.7, ten requests for each of n. */
TPO_API void tpo_synth_options_default(struct tpo_synth_options *options, size_t n);
TPO_API int tpo_synth(const struct tpo_session *session, const struct tpo_policy *policy,
                      const struct tpo_instructions *seeds, const struct tpo_synth_options *options,
                      struct tpo_instructions *out, struct tpo_error *err);

#endif
