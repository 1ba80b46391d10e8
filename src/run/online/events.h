/* The events of metrics.jsonl that only a run in steps has, as run/events.h. */
#ifndef TPO_RUN_ONLINE_EVENTS_H
#define TPO_RUN_ONLINE_EVENTS_H

#include <jansson.h>
#include "run/online/online.h"
#include "tpo/measure.h"

/* A step of the optimizer, or one that was skipped for lack of pairs. */
struct online_step {
  const struct tpo_train_metrics *metrics;
  double rho;
  size_t prompts, pairs;
};
json_t *event_online_step(const struct online_step *step);
/* train: seconds of its steps, as far as this process made them. */
json_t *event_segment(const struct segment *segment, const struct tpo_sample_summary *summary, double train);

#endif
