/* Means over samples, and the paired comparison of two models on the same instructions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "measure/dynamics.h"
#include "tpo/measure.h"

struct totals {
  double format, thought_tokens, response_tokens, chars, score, best, worst;
  size_t best_prompts;
};

static void add_prompt(const struct tpo_samples *samples, size_t first, size_t end,
                       struct tpo_sample_summary *out, struct totals *t)
{
  double best = -INFINITY, worst = INFINITY;
  for (size_t i = first; i < end; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    t->format += row->format_ok;
    t->thought_tokens += row->n_thought_tokens;
    t->response_tokens += row->n_tokens - row->n_thought_tokens;
    if (row->format_ok) t->chars += (double)tpo_utf8_count(row->response, strlen(row->response));
    if (!row->scored) {
      out->failures += samples->is_scored && row->format_ok;
      continue;
    }
    out->scored++;
    t->score += row->score;
    if (row->score > best) best = row->score;
    if (row->score < worst) worst = row->score;
  }
  if (isfinite(best)) {
    t->best += best;
    t->worst += worst;
    t->best_prompts++;
  }
}

void tpo_summarize(const struct tpo_samples *samples, struct tpo_sample_summary *out)
{
  struct totals t = {0};
  *out = (struct tpo_sample_summary){.samples = samples->n};
  for (size_t first = 0, end; first < samples->n; first = end) {
    end = tpo_samples_prompt_end(samples, first);
    add_prompt(samples, first, end, out, &t);
    out->prompts++;
  }
  double n = samples->n ? (double)samples->n : NAN, scored = out->scored ? (double)out->scored : NAN;
  double prompts = t.best_prompts ? (double)t.best_prompts : NAN;
  out->format_rate = t.format / n;
  out->mean_thought_tokens = t.thought_tokens / n;
  out->mean_response_tokens = t.response_tokens / n;
  out->mean_response_chars = t.chars / n;
  out->mean_score = t.score / scored;
  out->best_score = t.best / prompts;
  out->worst_score = t.worst / prompts;
}

size_t tpo_paired_difference(const struct tpo_samples *before, const struct tpo_samples *after,
                             double unparsed, double *difference, double *standard_error, double *mean_before,
                             double *mean_after)
{
  double sum = 0, squares = 0, sum_before = 0, sum_after = 0;
  size_t n = 0, at = 0;
  for (size_t i = 0; i < before->n; i = tpo_samples_prompt_end(before, i)) {
    size_t other = tpo_samples_find(after, before->rows[i].prompt_id, &at);
    if (other == after->n) continue;
    double x = prompt_score(before, i, unparsed, NULL), y = prompt_score(after, other, unparsed, NULL);
    if (isnan(x) || isnan(y)) continue;
    sum_before += x;
    sum_after += y;
    sum += y - x;
    squares += (y - x) * (y - x);
    n++;
  }
  double count = n ? (double)n : NAN, mean = sum / count;
  double variance = n > 1 ? (squares - sum * mean) / (count - 1) : 0;
  *difference = mean;
  *standard_error = n > 1 ? sqrt((variance > 0 ? variance : 0) / count) : NAN;
  *mean_before = sum_before / count;
  *mean_after = sum_after / count;
  return n;
}
