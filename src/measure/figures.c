/* Numbers by instruction, and how sure their means are. */
#include "measure/figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/philox.h"
#include "base/utf8.h"
#include "measure/dynamics.h"
#include "measure/groups.h"
#include "tpo/checks.h"

/* NaN: not of this output. Negative: memory is short. */
static double of_output(const struct tpo_sample_row *row, enum figure figure)
{
  switch (figure) {
  case FIGURE_FORMAT: return row->format_ok;
  case FIGURE_THOUGHT: return row->n_thought_tokens;
  case FIGURE_RESPONSE: return row->n_tokens - row->n_thought_tokens;
  case FIGURE_REPETITION: return row->format_ok ? tpo_checks_repetition(row->response) : NAN;
  default: return row->format_ok ? (double)tpo_utf8_count(row->response, strlen(row->response)) : NAN;
  }
}

static int mean_of_outputs(const struct tpo_samples *samples, size_t first, enum figure figure, double *out,
                           struct tpo_error *err)
{
  size_t end = tpo_samples_prompt_end(samples, first);
  double sum = 0, n = 0;
  for (size_t i = first; i < end; i++) {
    double value = of_output(&samples->rows[i], figure);
    if (value < 0) return tpo_fail(err, TPO_E_MEMORY, "no memory to count repetitions");
    if (isnan(value)) continue;
    sum += value;
    n++;
  }
  *out = n > 0 ? sum / n : NAN;
  return 0;
}

static int of_prompt(const struct tpo_samples *samples, size_t first, enum figure figure, double unparsed,
                     double *out, struct tpo_error *err)
{
  if (figure != FIGURE_SCORE && figure != FIGURE_CHECKS)
    return mean_of_outputs(samples, first, figure, out, err);
  *out = figure == FIGURE_SCORE ? prompt_score(samples, first, unparsed, NULL)
                                : prompt_checks_held(samples, first);
  return 0;
}

int figures_of(const struct tpo_samples *samples, enum figure figure, double unparsed, double *values,
               struct tpo_error *err)
{
  int status = 0;
  size_t n = 0;
  for (size_t first = 0; first < samples->n && status == 0; first = tpo_samples_prompt_end(samples, first))
    status = of_prompt(samples, first, figure, unparsed, &values[n++], err);
  return status;
}

int figure_change(const struct tpo_samples *before, const struct tpo_samples *after, enum figure figure,
                  double unparsed, double *change, double *se, struct tpo_error *err)
{
  double *changes = tpo_calloc(before->n, sizeof *changes, err), was, is;
  int status = changes ? 0 : TPO_E_MEMORY;
  size_t n = 0, at = 0;
  for (size_t i = 0; i < before->n && status == 0; i = tpo_samples_prompt_end(before, i)) {
    size_t other = tpo_samples_find(after, before->rows[i].prompt_id, &at);
    if (other == after->n) continue;
    status = of_prompt(before, i, figure, unparsed, &was, err);
    if (status == 0) status = of_prompt(after, other, figure, unparsed, &is, err);
    if (status == 0 && !isnan(is - was)) changes[n++] = is - was;
  }
  *change = mean_and_error(changes, n, se);
  free(changes);
  return status;
}

enum change_says change_says(double change, double se, size_t n)
{
  if (n == 0 || !isfinite(change)) return CHANGE_UNKNOWN;
  if (change == 0 && n > 1) return CHANGE_NONE;
  if (n < 2 || !(se > 0)) return CHANGE_TOO_FEW;
  if (fabs(change) < 2 * se) return CHANGE_NOISE;
  return change > 0 ? CHANGE_UP : CHANGE_DOWN;
}

static int by_size(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Of sorted values, interpolated between the two nearest. */
static double quantile(const double *sorted, size_t n, double share)
{
  double at = share * (double)(n - 1);
  size_t below = (size_t)at;
  return below + 1 < n ? sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below])
                       : sorted[n - 1];
}

static void bootstrap(const double *values, size_t n, uint64_t seed, double means[BOOTSTRAP_DRAWS])
{
  for (uint32_t draw = 0; draw < BOOTSTRAP_DRAWS; draw++) {
    struct tpo_rng rng;
    double sum = 0;
    tpo_rng_init(&rng, seed, TPO_STREAM_BOOTSTRAP, draw, 0);
    for (size_t i = 0; i < n; i++) sum += values[tpo_rng_below(&rng, (uint32_t)n)];
    means[draw] = sum / (double)n;
  }
  qsort(means, BOOTSTRAP_DRAWS, sizeof *means, by_size);
}

int estimate_mean(const double *values, size_t n, uint64_t seed, struct estimate *out, struct tpo_error *err)
{
  *out = (struct estimate){.low = NAN, .high = NAN};
  double *kept = tpo_calloc(n + BOOTSTRAP_DRAWS, sizeof *kept, err), *means = kept ? kept + n : NULL;
  if (!kept) return TPO_E_MEMORY;
  for (size_t i = 0; i < n; i++)
    if (!isnan(values[i])) kept[out->n++] = values[i];
  out->mean = mean_and_error(kept, out->n, &out->se);
  if (out->n > 1) {
    bootstrap(kept, out->n, seed, means);
    out->low = quantile(means, BOOTSTRAP_DRAWS, 0.025);
    out->high = quantile(means, BOOTSTRAP_DRAWS, 0.975);
  }
  free(kept);
  return 0;
}
