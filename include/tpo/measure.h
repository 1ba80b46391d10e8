/* measure: what a set of samples amounts to, and whether one differs from another. Plain counting on rank 0.
 *
 *   struct tpo_sample_summary summary;
 *   tpo_summarize(&samples, &summary);
 *   printf("%zu samples, mean score %.3f\n", summary.samples, summary.mean_score);
 */
#ifndef TPO_MEASURE_H
#define TPO_MEASURE_H

#include "tpo/base.h"
#include "tpo/store.h"

/* Means over samples, for metrics and the final table; NaN of none. */
struct tpo_sample_summary {
  size_t prompts, samples, scored, failures;
  double format_rate, mean_thought_tokens, mean_response_tokens, mean_response_chars;
  double mean_score, best_score, worst_score; /* over scored outputs; best and worst: means over prompts */
};
TPO_API void tpo_summarize(const struct tpo_samples *samples, struct tpo_sample_summary *out);

/* Mean over prompts of (after - before), matched by prompt id, with its standard error. Returns the number
 * matched; where that is 0 the numbers are NaN. An output that does not parse counts with `unparsed`; prompts
 * with a response that the judge failed on are left out. */
TPO_API size_t tpo_paired_difference(const struct tpo_samples *before, const struct tpo_samples *after,
                                     double unparsed, double *difference, double *standard_error,
                                     double *mean_before, double *mean_after);

#endif
