/* Drawing again what does not parse. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "steps/generate.h"
#include "steps/kept_samples.h"

/* How many of each instruction's outputs don't parse; samples stand in the instructions' order. */
static size_t count_unparsed(const struct tpo_instructions *instructions, const struct tpo_samples *samples,
                             int *counts)
{
  size_t at = 0, total = 0;
  for (size_t i = 0; i < instructions->n; i++) {
    counts[i] = 0;
    for (; at < samples->n && strcmp(samples->rows[at].prompt_id, instructions->items[i].id) == 0; at++)
      counts[i] += !samples->rows[at].format_ok;
    total += (size_t)counts[i];
  }
  return total;
}

/* The instructions with a count, and their counts moved together. */
static int take_unparsed(const struct tpo_instructions *all, int *counts, struct tpo_instructions *some,
                         struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < all->n && status == 0; i++) {
    if (counts[i] == 0) continue;
    status = tpo_instructions_add(some, &all->items[i], err);
    if (status == 0) counts[some->n - 1] = counts[i];
  }
  return status;
}

/* The next of the drawn rows that parses and is of this prompt. Both
 * sets stand in the same order of prompts. */
static const struct tpo_sample_row *next_parsed(const struct tpo_samples *drawn, size_t *at,
                                                const char *prompt)
{
  while (*at < drawn->n && strcmp(drawn->rows[*at].prompt_id, prompt) == 0) {
    const struct tpo_sample_row *row = &drawn->rows[(*at)++];
    if (row->format_ok) return row;
  }
  return NULL;
}

static bool same_prompt(const struct tpo_samples *samples, size_t i, const char *prompt)
{
  return i < samples->n && strcmp(samples->rows[i].prompt_id, prompt) == 0;
}

/* samples with those of `drawn` that parse in the places of those that don't. */
static int replace(struct tpo_samples *samples, const struct tpo_samples *drawn, struct tpo_error *err)
{
  struct tpo_samples out = {0};
  int status = 0;
  size_t at = 0;
  for (size_t i = 0; i < samples->n && status == 0; i++) {
    struct tpo_sample_row row = samples->rows[i];
    const struct tpo_sample_row *better = row.format_ok ? NULL : next_parsed(drawn, &at, row.prompt_id);
    if (better) {
      row = *better;
      row.k = samples->rows[i].k;
    }
    status = tpo_samples_add(&out, &row, err);
    if (!same_prompt(samples, i + 1, row.prompt_id))
      while (same_prompt(drawn, at, row.prompt_id)) at++;
  }
  if (status == 0) {
    struct tpo_samples old = *samples;
    out.config = old.config;
    out.output_tokens = old.output_tokens;
    old.config = NULL;
    *samples = out;
    out = old;
  }
  tpo_samples_free(&out);
  return status;
}

/* One attempt; *left is what did not parse before it, on all ranks. */
static int attempt(const struct tpo_session *session, const struct tpo_policy *policy,
                   const struct tpo_instructions *instructions, struct tpo_generate_options options,
                   struct kept *kept, struct tpo_samples *samples, struct tpo_redraw_counts *redrawn,
                   bool *left, struct tpo_error *err)
{
  struct tpo_instructions some = {0};
  struct tpo_samples drawn = {0};
  struct tpo_generate_stats stats;
  bool first = tpo_comm_rank(session->comm) == 0;
  int *counts = tpo_calloc(instructions->n, sizeof *counts, err);
  int status = counts ? 0 : TPO_E_MEMORY;
  size_t total = first && counts ? count_unparsed(instructions, samples, counts) : 0;
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = tpo_comm_bcast(session->comm, &total, sizeof total, 0, err);
  if (status == 0) status = tpo_comm_bcast(session->comm, counts, instructions->n * sizeof *counts, 0, err);
  *left = status == 0 && total > 0;
  if (*left) {
    status = tpo_comm_agree(session->comm, take_unparsed(instructions, counts, &some, err), err);
    options.k_counts = counts;
    if (status == 0)
      status = generate_kept(session, policy, &some, &options, kept, NULL, &drawn, &stats, err);
    if (status == 0 && first) status = replace(samples, &drawn, err);
    redrawn->resampled += total;
    status = tpo_comm_agree(session->comm, status, err);
  }
  free(counts);
  tpo_samples_free(&drawn);
  tpo_instructions_free(&some);
  return status;
}

int tpo_redraw(const struct tpo_session *session, const struct tpo_policy *policy,
               const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
               int attempts, double temperature, struct tpo_samples *samples,
               struct tpo_redraw_counts *counts, struct tpo_error *err)
{
  struct tpo_sampling_config sampling = *options->sampling;
  struct tpo_generate_options again = *options;
  struct kept *kept = NULL;
  bool left = true;
  int k = sampling.k;
  *counts = (struct tpo_redraw_counts){0};
  if (sampling.temperature == 0) sampling.temperature = temperature;
  again.sampling = &sampling;
  int status = attempts > 0 ? kept_samples_open(&kept, session, policy, instructions, options, err) : 0;
  for (int a = 1; a <= attempts && left && status == 0; a++) {
    again.k_first = a * k;
    status = attempt(session, policy, instructions, again, kept, samples, counts, &left, err);
  }
  kept_close(kept);
  for (size_t i = 0; status == 0 && i < samples->n; i++) counts->unparsed += !samples->rows[i].format_ok;
  return status;
}
