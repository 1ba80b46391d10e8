/* How far judging is over the ranks: counted where batches are taken and by what the judge tells of one. */
#ifndef TPO_STEPS_JUDGE_WATCH_H
#define TPO_STEPS_JUDGE_WATCH_H

#include "tpo/steps.h"

/* Prompts of the samples, and those of them that are jobs of the queue. */
struct judge_jobs {
  const struct tpo_samples *samples;
  const size_t *firsts; /* [n_prompts + 1] rows */
  size_t n_prompts;
  const size_t *prompts; /* [n_jobs] of each job; NULL: job j is prompt j */
  size_t n_jobs;
};

struct judge_watch {
  const struct tpo_session *session;
  struct tpo_comm_queue *queue; /* set by the caller, after judge_watch_begin */
  const char *unit;
  double *work; /* [n_jobs + 1] units of all jobs before each; NULL: nobody listens */
  size_t n_jobs;
  double before;        /* units of the prompts that are no jobs: they are done */
  double taken, scored; /* units of this rank's jobs, and of those of finished batches */
  double done, told;    /* what was told last, and when */
};

/* Work is counted in comparisons where the judge makes nothing else, else in responses that parse. */
int judge_watch_begin(struct judge_watch *w, const struct tpo_session *session, const struct judge_jobs *jobs,
                      struct tpo_error *err);
/* The batch before is scored, and another is taken: these jobs. */
void judge_watch_next(struct judge_watch *w);
void judge_watch_take(struct judge_watch *w, int64_t job);
/* A share of the batch is done; arg: the struct judge_watch. A tpo_watch's `tell`. */
void judge_watch_tell(void *arg, double share);
void judge_watch_end(struct judge_watch *w); /* on all ranks */
void judge_watch_free(struct judge_watch *w);

#endif
