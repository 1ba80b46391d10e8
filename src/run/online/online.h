/* A run in steps (run.sync_steps): segments of steps, each on samples that the weights at its beginning drew. Segments
 * stand in intervals, from one checkpoint to the next, which take the place of iterations. Steps are counted from 0
 * here, and from 1 in files of samples and pairs and in what people read. */
#ifndef TPO_RUN_ONLINE_ONLINE_H
#define TPO_RUN_ONLINE_ONLINE_H

#include "run/loop.h"
#include "tpo/pairs.h"
#include "tpo/train.h"

struct journal;

/* What is known of a segment before it is trained on. Kept in the interval's journal, whose layout it is part of. */
struct segment_facts {
  int64_t first; /* its first step */
  int32_t steps;
  int32_t output_tokens; /* of its samples */
  double rho;
  struct tpo_pair_statistics statistics;
  struct tpo_train_filtered filtered;
  struct tpo_generate_stats generated;
  uint64_t failures; /* responses without a score */
  /* Seconds, which with those of training are all that the segment took: until the last sample, on any rank; until the
   * pairs are selected; until all references are there; within these, tpo_judged_stats.wait_seconds. */
  double sample, judge, reference, wait;
};
struct segment {
  struct segment_facts facts; /* all ranks */
  struct tpo_samples samples; /* rank 0's: scored, with their steps */
  struct tpo_pairs pairs;     /* all ranks: in the order of steps, with the reference's log-probabilities */
};
void segment_free(struct segment *segment);

/* The last prompts' samples, by which rho moves. Rank 0. */
struct window {
  struct tpo_samples *sets; /* [n], the oldest first; of a segment or an interval each */
  size_t n, capacity;
};

struct online {
  struct loop *loop;
  struct tpo_online *training;
  char folder[4096];              /* of its state */
  struct journal *journal;        /* rank 0: of the interval, steps.journal */
  int64_t first, end;             /* the interval's steps */
  struct window window;           /* where rho moves */
  double rho;                     /* of the last segment */
  int without;                    /* steps in a row, the last ones, that no pair was there for */
  double told;                    /* when TensorBoard's file was last written, on the clock */
  struct tpo_dpo_progress timing; /* seconds of state and checkpoint, for the notice */
};

/* Of the interval, whose number is loop->iteration: its steps. */
void online_set_interval(struct online *o);
/* What goes on from one interval to the next (rho, its window, `without`), from the files of those that are finished. All
 * ranks. */
int online_recall(struct online *o, struct tpo_error *err);

/* Of the run: the state of training, and a reference that no checkpoint has. */
#define ONLINE_STATE "training.state"

/* The interval's journal; all on rank 0. A segment that it has goes to *out: 1; 0: it has none. */
#define ONLINE_JOURNAL "steps" LOOP_JOURNAL
int online_journal_open(struct online *o, struct tpo_error *err);
/* Read again from the folder: what this process added is then found, too. */
int online_journal_reopen(struct online *o, struct tpo_error *err);
int online_journal_get(struct online *o, int64_t first, struct segment *out, struct tpo_error *err);
int online_journal_put(struct online *o, const struct segment *segment, struct tpo_error *err);
/* That the journals of sampling and judging are those of this segment: those of an earlier one go. */
int online_journal_begin(struct online *o, int64_t first, struct tpo_error *err);

/* What is done of a segment's pairs while it is still sampled and judged (tpo_judged_options), on this rank. */
struct early {
  struct online *o;
  const struct segment_facts *facts;
  struct tpo_model
      *model; /* of the references; NULL: there is no memory for it beside, so all else is done behind */
  struct tpo_pairs pairs; /* of the prompts judged so far */
  size_t done;            /* the first ones, whose references are there */
};
int early_open(struct early *e, struct online *o, const struct segment_facts *facts,
               struct tpo_error *err); /* all ranks */
void early_close(struct early *e);
int early_judged(void *arg, const struct tpo_sample_row *rows, size_t n,
                 struct tpo_error *err); /* arg: struct early * */
int early_between(void *arg, struct tpo_error *err);
/* References that some rank computed of `pairs`, [n, 2] as a tpo_train_keeper has them; free(*known). All ranks. */
int early_known(const struct early *e, const struct tpo_pairs *pairs, double **known, struct tpo_error *err);

/* How the segment's pairs are selected: by config's settings with its rho, which are in *fixed. */
struct tpo_pair_options online_pair_options(const struct online *o, const struct segment_facts *facts,
                                            struct tpo_pairs_config *fixed);
/* A segment's samples, scores, pairs and references, from the journal or made now. All ranks. */
int online_segment(struct online *o, int64_t first, struct segment *out, struct tpo_error *err);
/* Its steps, but for those that the state of training has already. All ranks. */
int online_train(struct online *o, const struct segment *segment, struct tpo_error *err);

/* Fails where the steps without a pair in a row, o->without of them up to `step`, are too many to go on, or all of a
 * run, with why these have none. All ranks, each by itself; rank 0 has the words. */
int online_check_without(struct online *o, int64_t step, struct tpo_error *err);

/* rho of the segment that begins at `first`. Rank 0. */
int online_choose_rho(struct online *o, int64_t first, double *rho, struct tpo_error *err);
/* Takes samples into the window, where there is one. */
int window_add(struct online *o, struct tpo_samples *samples, struct tpo_error *err);
void window_free(struct window *window);

/* The model that the references of the segment at `first` are of, the policy itself where its weights are the same.
 * Borrowed until the next call. All ranks. */
int online_reference_model(struct online *o, int64_t first, struct tpo_model **out, struct tpo_error *err);
/* The same to compute with beside sampling; NULL where another model than the policy can't stay open. */
int online_reference_beside(struct online *o, int64_t first, struct tpo_model **out, struct tpo_error *err);
/* Whether the interval's segments have several. */
bool online_references_differ(const struct online *o);
/* Behind step `done`: keeps its weights, where they are a reference later and no checkpoint has them. All ranks. */
int online_keep_reference(struct online *o, int64_t done, struct tpo_error *err);

/* Removes what it kept, but behind that step. Rank 0. */
void online_drop_references(const struct loop *loop, int64_t but_step);

/* The interval's files, from its journal, and their events. All ranks. */
int online_write_files(struct online *o, struct tpo_error *err);

#endif
