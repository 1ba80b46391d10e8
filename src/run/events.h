/* The events of metrics.jsonl that tell of an iteration (README.md lists their fields), for loop_event. NULL
 * when memory is short. A number that does not exist, such as the error of one value, is null. */
#ifndef TPO_RUN_EVENTS_H
#define TPO_RUN_EVENTS_H

#include <jansson.h>
#include "measure/dynamics.h"
#include "tpo/measure.h"
#include "tpo/pairs.h"
#include "tpo/steps.h"

/* Outputs that have the layout by each rule of thought.parse. */
struct parse_counts {
  size_t strict, search;
};

json_t *event_sample(const struct tpo_sample_summary *s, const struct sample_dynamics *d,
                     const struct parse_counts *parsed, const struct tpo_generate_stats *stats);
/* counts: what the judge counted, JSON; may be NULL. */
json_t *event_judge(const struct tpo_sample_summary *s, const struct sample_dynamics *d, size_t failures,
                    const char *counts);
json_t *event_pairs(const struct tpo_pair_statistics *s, const struct length_difference *difference);
/* A step of the optimizer. */
json_t *event_step(const struct tpo_train_metrics *m);
json_t *event_left_out(const struct tpo_train_filtered *filtered);
json_t *event_logprob_gap(double max, double mean);
json_t *event_kl(const struct kl *kl);
/* difference: to iteration 0, paired; unparsed: what an output that does not parse counted with; counts: as
 * above. */
json_t *event_validation(const struct tpo_sample_summary *s, const struct sample_dynamics *d,
                         double difference, double difference_se, double unparsed,
                         const struct tpo_redraw_counts *redrawn, const char *counts);
/* Validation after an epoch. */
json_t *event_epoch(int epoch, double score, const struct tpo_redraw_counts *redrawn);
/* against: "previous" or "baseline", whose responses are those of that iteration of it. */
json_t *event_win_rate(const char *against, int iteration, const struct win_rate *rate);

#endif
