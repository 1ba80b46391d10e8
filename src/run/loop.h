/* The iteration loop's state, shared by its files: the loop itself
 * (run.c), the steps (iteration.c), the closing table. */
#ifndef TPO_RUN_LOOP_H
#define TPO_RUN_LOOP_H

#include <stdio.h>
#include "measure/dynamics.h"
#include "run/manifest.h"
#include "store/owner.h"
#include "tpo/comm.h"
#include "tpo/pairs.h"
#include "tpo/run.h"

/* Validation samples of an iteration, scored. */
struct validated {
  int iteration;
  struct tpo_samples samples; /* n 0: none are here */
};

/* Of a validation's responses, as the closing text tells it. */
struct won {
  bool previous; /* against this run's iteration before; else against the baseline */
  int iteration; /* that of the other responses */
  struct win_rate rate;
};

/* What must be over between a signal and the end of a run, seconds: the longest training step, the last state
 * that was kept, and the last checkpoint of an epoch. */
struct notice {
  double step, state, checkpoint;
  int64_t told; /* seconds that the file has */
};

/* What status.json tells, and who else listens to the session's progress. */
struct run_status {
  void (*progress)(void *arg, const struct tpo_progress *at);
  void *progress_arg;
  char phase[32], unit[32], note[96];
  double done, total, began, first; /* began: wall seconds, when `first` was done */
  double written;                   /* tpo_seconds; 0: not yet */
  bool open, failed;                /* the folder is this run's; it couldn't be written */
};

struct loop {
  const struct tpo_session *session;
  const struct tpo_config *config;
  bool first;         /* this is rank 0 */
  bool allow_changes; /* what is kept of a step that was begun with another configuration goes */
  char *config_yaml;
  struct manifest manifest; /* rank 0 */
  FILE *metrics;            /* rank 0 */
  struct owner *owner;      /* rank 0 */
  struct online *online; /* of a run in steps: open from its first step that is not made (online/online.h) */

  struct tpo_policy policy; /* open, with its master weights, while policy.path is set */
  bool policy_changed;      /* its weights are no longer those of its path */
  struct tpo_policy other;  /* a model that the policy is compared with: its weights alone, to compute with */
  bool compares;            /* there is such a model at some time */
  bool keeps_other; /* it stays open from its first use on, since there is memory for it beside all else */
  int iteration;
  bool worked; /* a step was made since the report was last written */

  /* What the start or a step hands on to the steps that come after it; a run that is taken up between them
   * reads the files instead (handed.c). */
  struct tpo_instructions chosen[2];  /* rank 0: all that the run takes of data.train and data.validation */
  struct tpo_instructions validation; /* all ranks, once it is shared */
  bool validation_shared;
  struct tpo_instructions prompts; /* the iteration's: rank 0, and all ranks once they are shared */
  struct tpo_samples samples;      /* rank 0: the iteration's, scored once they are judged */
  struct tpo_pairs pairs;          /* all ranks: the iteration's */
  struct validated start, last; /* rank 0: of the start model, and of the last iteration that was validated */
  struct won won[2];            /* rank 0: of iteration won_by, in the order of their events */
  int n_won, won_by;

  struct watched *watched; /* [config->run.n_watch], run/watch/watch.h */
  int watching;            /* the one that step_watch measures */

  struct notice notice;     /* rank 0 */
  struct run_status status; /* rank 0 */

  bool unparsed_known;
  double unparsed; /* what loop_unparsed found */
};

/* "<run dir>/<name>", or "<run dir>/iter-NNN/<name>" for iteration >= 0. Fails when the path is too long. */
int loop_path(const struct loop *loop, int iteration, const char *name, char out[4096],
              struct tpo_error *err);
/* The model that iteration samples with: the start model for 1, else the checkpoint of the one before. */
int loop_policy_path(const struct loop *loop, int iteration, char out[4096], struct tpo_error *err);
/* As people are told of them: the model that an iteration made, "start model", "iteration 3" or "step 20"; what
 * loop->iteration did, "iteration 3" or "steps 11 to 20"; whose responses others are compared with. Return out. */
enum { LOOP_PLACE = 40, LOOP_RIVAL = 64 };
const char *loop_model_name(const struct loop *loop, int iteration, char out[LOOP_PLACE]);
const char *loop_stretch_name(const struct loop *loop, char out[LOOP_PLACE]);
const char *loop_rival_name(const struct loop *loop, const struct won *won, char out[LOOP_RIVAL]);
/* Before any model is open: whether another one than the policy's can stay in memory, and in a run in steps those of
 * judges, for which the session, the loop's own, then gets a shelf. All ranks, as below. */
int loop_plan_models(struct loop *loop, struct tpo_session *session, struct tpo_error *err);
/* loop->policy has that model's weights, with their masters; they are read unless they are in place. */
int loop_use_policy(struct loop *loop, int iteration, struct tpo_error *err);
/* The same for the model of `path`. */
int loop_use_weights(struct loop *loop, const char *path, struct tpo_error *err);
/* After training: the policy's weights and masters are now those of the file `path`, or (NULL) no file's. */
int loop_weights_are(struct loop *loop, const char *path, struct tpo_error *err);
/* The model of `path` to compute log-probabilities with: the policy itself where it has these weights, else another one,
 * which is read unless it is open still. Borrowed until the next call with another path, or until the policy changes. */
int loop_reference_model(struct loop *loop, const char *path, struct tpo_model **out, struct tpo_error *err);
/* Once log-probabilities are computed: gives their memory back, and that of the other model, unless it is needed again
 * and there is memory for it. */
void loop_rest_models(struct loop *loop, bool again);
void loop_close_models(struct loop *loop);
/* Appends an event to metrics.jsonl (rank 0). Takes event; "event" and "iteration" come first in it. */
int loop_event(struct loop *loop, const char *name, json_t *fields, struct tpo_error *err);

/* Of a run that is taken up with another configuration: refuses it, by the keys that differ, but for what --allow-changes
 * takes (rank 0). */
int loop_check_changes(const struct loop *loop, bool allow_changes, struct tpo_error *err);

/* Cuts metrics.jsonl back to `size` bytes (rank 0). */
int loop_cut_metrics(struct loop *loop, int64_t size, struct tpo_error *err);

/* 1: the run's folder, which has no manifest, has a file of a name that a run writes, which goes to name: this
 * run would write over it or through it. 0: none but what a run that was killed before its first manifest
 * leaves, an empty metrics.jsonl and empty folders. Rank 0. */
enum { LOOP_FOREIGN = 256 };
int loop_find_foreign(const struct loop *loop, char name[LOOP_FOREIGN], struct tpo_error *err);

/* Removes temporary files that a killed attempt left, not through links (rank 0, while it holds the lock of a
 * folder in which nothing is left that could refuse the run). */
void loop_clear_leftovers(const struct loop *loop);

/* A file of a step has beside it, while the step works on it, folders (journals) with what is finished, to go on
 * from: "<file>.journal", and of validation one for what was judged, and one for each comparison. */
#define LOOP_JOURNAL ".journal"
#define LOOP_JUDGED ".judged"
#define LOOP_AGAINST_PREVIOUS ".previous"
#define LOOP_AGAINST_BASELINE ".baseline"
/* Removes those of iter-NNN/<name> (rank 0; nothing on others). */
void loop_drop_journal(const struct loop *loop, const char *name);
/* Those of finished steps' files, which an attempt that was killed right after one left, and of what run.watch
 * no longer names (rank 0). */
void loop_clear_journals(const struct loop *loop);
/* That judgements are kept in iter-NNN/<name>.journal, whose path goes to journal. */
int loop_keep_judgements(const struct loop *loop, const char *name, char journal[4096],
                         struct tpo_score_options *options, struct tpo_error *err);

/* tpo_comm_agree on the session's ranks. */
int loop_agree(const struct loop *loop, int status, struct tpo_error *err);
/* The instructions of loop->iteration, of validation for 0: from their file's keyed shuffle, which is read
 * into loop->chosen unless it is there, or composed (rank 0). */
int loop_choose_instructions(struct loop *loop, struct tpo_instructions *out, struct tpo_error *err);
/* Before a run: that the files of instructions have enough for all of it, with checks that the judge knows,
 * and are those that the run began with. All ranks. */
int loop_check_data(struct loop *loop, bool allow_changes, struct tpo_error *err);
/* loop->prompts, loop->validation, loop->samples (of this file of the iteration's) and loop->pairs, where
 * they are not here yet. All ranks. */
int loop_have_prompts(struct loop *loop, struct tpo_error *err);
int loop_have_validation(struct loop *loop, struct tpo_error *err);
int loop_have_samples(struct loop *loop, const char *file, struct tpo_error *err);
int loop_have_pairs(struct loop *loop, struct tpo_error *err);
/* Rank 0's set to the others. */
int loop_share_instructions(const struct loop *loop, struct tpo_instructions *set, struct tpo_error *err);
/* Rank 0's pairs to the others. */
int loop_share_pairs(const struct loop *loop, struct tpo_pairs *pairs, struct tpo_error *err);
/* What belongs to an iteration, and all of it. */
void loop_drop_iteration(struct loop *loop);
void loop_drop_all(struct loop *loop);

/* The validation samples of that iteration, borrowed (rank 0). */
int loop_validated(struct loop *loop, int iteration, const struct tpo_samples **out, struct tpo_error *err);
/* Samples of the policy that is in place now, on the validation instructions, scored;
 * rows and counts on rank 0. */
int loop_sample_validation(struct loop *loop, struct tpo_samples *samples, struct tpo_redraw_counts *counts,
                           struct tpo_error *err);
/* What a validation output that does not parse counts with: judge.empty_score, or the lowest score of the
 * start model's validation where that is lower, since no scale of a judge is known here; 0 with a judge that
 * compares. Rank 0. */
int loop_unparsed(struct loop *loop, double *score, struct tpo_error *err);
/* Their mean score over instructions, but for those with a response that the judge failed on (rank 0). */
int loop_validation_score(struct loop *loop, const struct tpo_samples *samples, double *score,
                          struct tpo_error *err);

/* Of validation's scored samples (rank 0's), just written: how often they win against the iteration before
 * and against the baseline, as events. All ranks. */
int loop_win_rates(struct loop *loop, const struct tpo_samples *now, struct tpo_error *err);
/* Before a run: that run.baseline, where it is given, is a run that
 * this one can be compared with. All ranks. */
int loop_check_baseline(const struct loop *loop, struct tpo_error *err);
/* The baseline's validation.h5 of this iteration, or of its last one before (rank 0). */
int loop_baseline_path(const struct loop *loop, int *iteration, char out[4096], struct tpo_error *err);
/* The few outputs of rank 0's loop->samples that distances are measured on, to all ranks. */
int loop_choose_outputs(const struct loop *loop, struct tpo_samples *outputs, struct tpo_error *err);
/* The events logprob_gap and kl, from those. All ranks. */
int loop_measure_distances(struct loop *loop, const struct tpo_samples *outputs, struct tpo_error *err);
/* Event files for TensorBoard from metrics.jsonl (rank 0), where they are wanted. */
int loop_tensorboard(const struct loop *loop, struct tpo_error *err);

/* status.json, from `begin` on: every few seconds while rank 0 tells of progress, and at the end, with the error's
 * message. listen: the session's progress goes by way of the loop. */
#define LOOP_STATUS "status.json"
void loop_listen(struct loop *loop, struct tpo_session *session);
void loop_begin_status(struct loop *loop);
void loop_end_status(struct loop *loop, int status, const struct tpo_error *err);

/* notice.json: how long before a job is ended the run wants to be told, for the scripts that tell it. What an
 * earlier attempt found out; and what is known after a step and an epoch of training, to the file. Rank 0. */
#define LOOP_NOTICE "notice.json"
void loop_read_notice(struct loop *loop);
void loop_tell_notice(struct loop *loop, const struct tpo_dpo_progress *progress, double step_seconds);

/* loop->samples, to samples.h5, where they are not scored, or to scored.h5, and into the metrics; what is told of
 * loop->pairs, whose rows are those of the samples, and the file, which comes last, with all that belongs in it.
 * Rank 0. */
int loop_keep_samples(struct loop *loop, const struct tpo_generate_stats *stats, struct tpo_error *err);
int loop_keep_scores(struct loop *loop, size_t failures, struct tpo_error *err);
int loop_tell_pairs(struct loop *loop, const struct tpo_pair_statistics *statistics, struct tpo_error *err);
int loop_keep_pairs(const struct loop *loop, struct tpo_error *err);

/* The steps; all ranks together. */
int step_validate(struct loop *loop, struct tpo_error *err);
int step_prompts(struct loop *loop, struct tpo_error *err);
int step_sample(struct loop *loop, struct tpo_error *err);
int step_judge(struct loop *loop, struct tpo_error *err);
int step_pairs(struct loop *loop, struct tpo_error *err);
int step_dpo(struct loop *loop, struct tpo_error *err);
int step_steps(struct loop *loop, struct tpo_error *err); /* online/ */
/* Of a run in steps, once its last interval is trained, other weights are wanted in place, or it ends: what its training
 * holds goes. Takes NULL. */
struct online;
void online_close(struct online *online);
/* At its end: the state of training, to go on from, is no longer needed (rank 0). */
void online_forget(const struct loop *loop);

/* Of the closing text, what a run in steps took (rank 0). */
int loop_cost_text(const struct loop *loop, struct tpo_buf *out, struct tpo_error *err);
/* The text that ends a run, on rank 0; free() it. NULL with err on failure. */
char *loop_closing_text(struct loop *loop, struct tpo_error *err);

#endif
