/* The iteration loop's state, shared by its files: the loop itself (run.c), the steps (iteration.c), the
 * closing table. */
#ifndef TPO_RUN_LOOP_H
#define TPO_RUN_LOOP_H

#include <stdio.h>
#include "run/manifest.h"
#include "tpo/comm.h"
#include "tpo/run.h"

struct loop {
  const struct tpo_session *session;
  const struct tpo_config *config;
  bool first; /* this is rank 0 */
  char *config_yaml;
  struct manifest manifest; /* rank 0 */
  FILE *metrics;            /* rank 0 */
  struct tpo_policy policy; /* open while policy.path is set */
  bool policy_has_master;
  int iteration;
  bool unparsed_known;
  double unparsed[2]; /* what loop_unparsed found, by `raw` */
};

/* "<run dir>/<name>", or "<run dir>/iter-NNN/<name>" for iteration >= 0. Fails when the path is too long. */
int loop_path(const struct loop *loop, int iteration, const char *name, char out[4096],
              struct tpo_error *err);
/* The model that iteration samples with: the start model for 1, else the checkpoint of the one before. */
int loop_policy_path(const struct loop *loop, int iteration, char out[4096], struct tpo_error *err);
/* Opens that model unless it is the one that is open. */
int loop_open_policy(struct loop *loop, const char *path, bool keep_master, struct tpo_error *err);
/* Appends an event to metrics.jsonl (rank 0). Takes event; "event" and "iteration" come first in it. */
int loop_event(struct loop *loop, const char *name, json_t *fields, struct tpo_error *err);

/* Cuts metrics.jsonl back to `size` bytes (rank 0). */
int loop_cut_metrics(struct loop *loop, int64_t size, struct tpo_error *err);

/* Removes temporary files that a killed attempt left (rank 0, while it holds the run folder's lock). */
void loop_clear_leftovers(const struct loop *loop);

/* tpo_comm_agree on the session's ranks. */
int loop_agree(const struct loop *loop, int status, struct tpo_error *err);
/* The instructions of loop->iteration, of validation for 0: from their file's keyed shuffle, or composed
 * (rank 0). */
int loop_choose_instructions(const struct loop *loop, struct tpo_instructions *out, struct tpo_error *err);
/* Before a run: that the files of instructions have enough for all of it, with checks that the judge knows,
 * and are those that the run began with. All ranks. */
int loop_check_data(struct loop *loop, bool allow_changes, struct tpo_error *err);
/* Samples of the policy that is in place now, on the validation instructions, scored;
 * rows and counts on rank 0. */
int loop_sample_validation(struct loop *loop, struct tpo_samples *samples, struct tpo_redraw_counts *counts,
                           struct tpo_error *err);
/* What a validation output that does not parse counts with: judge.empty_score, or the lowest score of the
 * start model's validation where that is lower, since no scale of a judge is known here; 0 with a judge that
 * compares. raw: among scores of a route before they were brought to one scale. Rank 0. */
int loop_unparsed(struct loop *loop, bool raw, double *score, struct tpo_error *err);
/* Their mean score over instructions, but for those with a response that the judge failed on (rank 0). */
int loop_validation_score(struct loop *loop, const struct tpo_samples *samples, double *score,
                          struct tpo_error *err);

/* Of validation's scored samples (rank 0's), just written: how often they win against the iteration before
 * and against the baseline, as events. All ranks. */
int loop_win_rates(struct loop *loop, const struct tpo_samples *now, struct tpo_error *err);
/* Before a run: that run.baseline, where it is given, is a run
 * that this one can be compared with. All ranks. */
int loop_check_baseline(const struct loop *loop, struct tpo_error *err);
/* The baseline's validation.h5 of this iteration, or of its last one before (rank 0). */
int loop_baseline_path(const struct loop *loop, int *iteration, char out[4096], struct tpo_error *err);
/* The events logprob_gap and kl, from the iteration's samples. All ranks; leaves another model open. */
int loop_measure_distances(struct loop *loop, struct tpo_error *err);
/* Event files for TensorBoard from metrics.jsonl (rank 0), where they are wanted. */
int loop_tensorboard(const struct loop *loop, struct tpo_error *err);

/* The steps; all ranks together. */
int step_validate(struct loop *loop, struct tpo_error *err);
int step_prompts(struct loop *loop, struct tpo_error *err);
int step_sample(struct loop *loop, struct tpo_error *err);
int step_judge(struct loop *loop, struct tpo_error *err);
int step_pairs(struct loop *loop, struct tpo_error *err);
int step_dpo(struct loop *loop, struct tpo_error *err);

/* The text that ends a run, on rank 0; free() it. NULL with err on failure. */
char *loop_closing_text(struct loop *loop, struct tpo_error *err);

#endif
