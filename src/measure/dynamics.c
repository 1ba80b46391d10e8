/* Spread of samples, and lengths within pairs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "measure/dynamics.h"
#include "tpo/checks.h"

static int ascending(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double share)
{
  if (n == 0) return NAN;
  double at = share * (double)(n - 1);
  size_t low = (size_t)at;
  if (low + 1 >= n) return sorted[n - 1];
  return sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]);
}

struct quartiles quartiles_of(double *values, size_t n)
{
  if (n) qsort(values, n, sizeof *values, ascending);
  return (struct quartiles){quantile(values, n, 0.25), quantile(values, n, 0.5), quantile(values, n, 0.75)};
}

double mean_and_error(const double *values, size_t n, double *standard_error)
{
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) sum += values[i];
  double mean = n ? sum / (double)n : NAN;
  for (size_t i = 0; i < n; i++) squares += (values[i] - mean) * (values[i] - mean);
  *standard_error = n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : NAN;
  return mean;
}

double prompt_score(const struct tpo_samples *samples, size_t first, double unparsed, const double *scores)
{
  size_t end = tpo_samples_prompt_end(samples, first);
  double sum = 0;
  for (size_t i = first; i < end; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    if (row->scored)
      sum += scores ? scores[i] : row->score;
    else if (row->format_ok)
      return NAN;
    else
      sum += unparsed;
  }
  return sum / (double)(end - first);
}

double lowest_score(const struct tpo_samples *samples)
{
  double lowest = NAN;
  for (size_t i = 0; i < samples->n; i++)
    if (samples->rows[i].scored) lowest = fmin(lowest, samples->rows[i].score);
  return lowest;
}

size_t prompt_scores(const struct tpo_samples *samples, double unparsed, double *scores, size_t *unjudged)
{
  size_t n = 0;
  *unjudged = 0;
  for (size_t first = 0; first < samples->n; first = tpo_samples_prompt_end(samples, first)) {
    scores[n] = prompt_score(samples, first, unparsed, NULL);
    if (isnan(scores[n]))
      ++*unjudged;
    else
      n++;
  }
  return n;
}

static int mean_repetition(const struct tpo_samples *samples, double *out, struct tpo_error *err)
{
  double sum = 0, n = 0;
  for (size_t i = 0; i < samples->n; i++) {
    if (!samples->rows[i].format_ok) continue;
    double share = tpo_checks_repetition(samples->rows[i].response);
    if (share < 0) return tpo_fail(err, TPO_E_MEMORY, "no memory to count repetitions");
    sum += share;
    n++;
  }
  *out = n > 0 ? sum / n : NAN;
  return 0;
}

/* Scratch: values [samples->n]. */
static struct quartiles scored_quartiles(const struct tpo_samples *samples, double *values)
{
  size_t n = 0;
  for (size_t i = 0; i < samples->n; i++)
    if (samples->rows[i].scored) values[n++] = samples->rows[i].score;
  return quartiles_of(values, n);
}

int sample_dynamics(const struct tpo_samples *samples, double unparsed, struct sample_dynamics *out,
                    struct tpo_error *err)
{
  double *values = tpo_calloc(samples->n, sizeof *values, err);
  if (!values) return TPO_E_MEMORY;
  for (size_t i = 0; i < samples->n; i++) values[i] = samples->rows[i].n_thought_tokens;
  out->thought_tokens = quartiles_of(values, samples->n);
  for (size_t i = 0; i < samples->n; i++)
    values[i] = samples->rows[i].n_tokens - samples->rows[i].n_thought_tokens;
  out->response_tokens = quartiles_of(values, samples->n);
  out->scored = scored_quartiles(samples, values);
  size_t prompts = prompt_scores(samples, unparsed, values, &out->unjudged);
  out->mean_score = mean_and_error(values, prompts, &out->score_se);
  out->score = quartiles_of(values, prompts);
  free(values);
  return mean_repetition(samples, &out->repetition, err);
}

static double length(const struct tpo_sample_row *row)
{
  return (double)tpo_utf8_count(row->response, strlen(row->response));
}

int length_difference(const struct tpo_samples *samples, const struct tpo_pairs *pairs,
                      struct length_difference *out, struct tpo_error *err)
{
  *out = (struct length_difference){0};
  for (size_t i = 0; i < pairs->n; i++) {
    const struct tpo_pair_row *pair = &pairs->rows[i];
    if (pair->chosen_row < 0 || (size_t)pair->chosen_row >= samples->n || pair->rejected_row < 0 ||
        (size_t)pair->rejected_row >= samples->n)
      return tpo_fail(err, TPO_E_INPUT, "pair %zu names samples %d and %d of %zu", i, pair->chosen_row,
                      pair->rejected_row, samples->n);
    const struct tpo_sample_row *chosen = &samples->rows[pair->chosen_row],
                                *rejected = &samples->rows[pair->rejected_row];
    if (!chosen->format_ok || !rejected->format_ok) continue;
    out->pairs++;
    out->chars += length(chosen) - length(rejected);
    out->tokens += tpo_sample_response_tokens(chosen) - tpo_sample_response_tokens(rejected);
  }
  double n = out->pairs ? (double)out->pairs : NAN;
  out->chars /= n;
  out->tokens /= n;
  return 0;
}
