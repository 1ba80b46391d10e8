/* The pairs of a whole set of samples: prompts are grouped, rho is searched for, statistics are taken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/memory.h"
#include "pairs/select.h"

static int check_config(const struct tpo_pairs_config *config, struct tpo_error *err)
{
  if (!config->length_auto && !(config->length_penalty >= 0 && config->length_penalty <= 0.5))
    return tpo_fail(err, TPO_E_USAGE, "pairs.length_penalty is %g, expected a number from 0 to 0.5, or auto",
                    config->length_penalty);
  if (!(config->margin >= 0) || !isfinite(config->margin))
    return tpo_fail(err, TPO_E_USAGE, "pairs.margin is %g, expected a number of 0 or more", config->margin);
  if (!(config->max_failure_share >= 0 && config->max_failure_share <= 1))
    return tpo_fail(err, TPO_E_USAGE, "pairs.max_failure_share is %g, expected a number from 0 to 1",
                    config->max_failure_share);
  if (config->max_pairs_per_prompt < 0)
    return tpo_fail(err, TPO_E_USAGE, "pairs.max_pairs_per_prompt is %d, expected 0 or more",
                    config->max_pairs_per_prompt);
  return 0;
}

static int compare_hashes(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* No prompt may come back after another one's rows. */
static int check_grouped(const struct tpo_samples *samples, const struct groups *groups,
                         struct tpo_error *err)
{
  uint64_t *hashes = tpo_calloc(groups->n, sizeof *hashes, err);
  if (!hashes) return TPO_E_MEMORY;
  for (size_t g = 0; g < groups->n; g++)
    hashes[g] = tpo_hash64_str(samples->rows[groups->items[g].first].prompt_id);
  qsort(hashes, groups->n, sizeof *hashes, compare_hashes);
  int status = 0;
  for (size_t g = 1; g < groups->n && status == 0; g++)
    if (hashes[g] == hashes[g - 1])
      status = tpo_fail(err, TPO_E_INPUT,
                        "the samples are not grouped by prompt: a prompt comes back after others");
  free(hashes);
  return status;
}

/* All samples of a prompt must go on from the same tokens. */
static int check_prompt_tokens(const struct tpo_samples *samples, struct prompt_group group,
                               struct tpo_error *err)
{
  const struct tpo_sample_row *first = &samples->rows[group.first];
  for (size_t i = group.first; i < group.first + group.n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    if (row->n_unjudged_tokens < 0 || row->n_unjudged_tokens > row->n_tokens)
      return tpo_fail(err, TPO_E_INPUT,
                      "prompt %s, sample %d: %d of %d tokens were not judged; expected from 0 to all of them",
                      row->prompt_id, row->k, row->n_unjudged_tokens, row->n_tokens);
    if (row->n_prompt <= 0 || row->n_tokens < 0)
      return tpo_fail(
          err, TPO_E_INPUT,
          "prompt %s, sample %d: %d prompt tokens and %d tokens; expected 1 or more, and 0 or more",
          row->prompt_id, row->k, row->n_prompt, row->n_tokens);
    if (row->n_prompt != first->n_prompt ||
        memcmp(row->prompt_ids, first->prompt_ids, (size_t)row->n_prompt * sizeof *row->prompt_ids) != 0)
      return tpo_fail(err, TPO_E_INPUT,
                      "prompt %s: the prompt tokens of sample %d differ from those of sample %d",
                      row->prompt_id, row->k, first->k);
  }
  return 0;
}

static int find_groups(struct groups *groups, const struct tpo_samples *samples, struct tpo_error *err)
{
  bool several = false;
  for (size_t i = 0; i < samples->n;) {
    struct prompt_group group = {i, 0};
    while (i < samples->n && strcmp(samples->rows[i].prompt_id, samples->rows[group.first].prompt_id) == 0)
      i++;
    group.n = i - group.first;
    several |= group.n > 1;
    int status = check_prompt_tokens(samples, group, err);
    if (status < 0) return status;
    if (tpo_grow(&groups->items, &groups->capacity, groups->n + 1, sizeof *groups->items, err) < 0)
      return TPO_E_MEMORY;
    groups->items[groups->n++] = group;
  }
  if (groups->n > 0 && !several)
    return tpo_fail(err, TPO_E_USAGE, "every prompt has one sample (K = 1): a pair needs two or more");
  return check_grouped(samples, groups, err);
}

/* tokens that carry loss: 1; behind what was judged there is none */
static uint8_t *make_mask(const struct tpo_sample_row *row, bool train_inserted, struct tpo_error *err)
{
  uint8_t *mask = tpo_calloc((size_t)row->n_tokens, 1, err);
  for (int32_t i = 0; mask && i < row->n_tokens - row->n_unjudged_tokens; i++)
    mask[i] = train_inserted || !row->inserted || !row->inserted[i];
  return mask;
}

static int add_pair(struct tpo_pairs *pairs, const struct tpo_samples *samples, const struct choice *choice,
                    bool train_forced, struct tpo_error *err)
{
  const struct tpo_sample_row *chosen = &samples->rows[choice->chosen],
                              *rejected = &samples->rows[choice->rejected];
  uint8_t *chosen_mask = make_mask(chosen, train_forced, err),
          *rejected_mask = make_mask(rejected, false, err);
  struct tpo_pair_row row = {
      .prompt_id = chosen->prompt_id,
      .chosen_row = (int32_t)choice->chosen,
      .rejected_row = (int32_t)choice->rejected,
      .chosen_score = chosen->score,
      .rejected_score = choice->parse_failure ? NAN : rejected->score,
      .margin = choice->margin,
      .prompt_ids = chosen->prompt_ids,
      .chosen_ids = chosen->token_ids,
      .rejected_ids = rejected->token_ids,
      .n_prompt = chosen->n_prompt,
      .n_chosen = chosen->n_tokens,
      .n_rejected = rejected->n_tokens,
      .chosen_mask = chosen_mask,
      .rejected_mask = rejected_mask,
      .chosen_ref_logprob = NAN,
      .rejected_ref_logprob = NAN,
      .step = chosen->step,
  };
  int status = chosen_mask && rejected_mask ? tpo_pairs_add(pairs, &row, err) : TPO_E_MEMORY;
  free(chosen_mask);
  free(rejected_mask);
  return status;
}

static size_t unjudged_tokens(const struct tpo_samples *samples, const struct choice *choice)
{
  return (size_t)samples->rows[choice->chosen].n_unjudged_tokens +
         (size_t)samples->rows[choice->rejected].n_unjudged_tokens;
}

static void count_outcome(struct tpo_pair_statistics *statistics, enum outcome outcome)
{
  statistics->ties += outcome == OUTCOME_TIE;
  statistics->single_valued += outcome == OUTCOME_SINGLE_VALUED;
  statistics->too_few += outcome == OUTCOME_TOO_FEW;
  statistics->below_margin += outcome == OUTCOME_BELOW_MARGIN;
  statistics->unjudged += outcome == OUTCOME_UNJUDGED;
}

/* What is summed becomes a mean, NaN of nothing. */
static void divide_lengths(struct tpo_pair_statistics *s)
{
  size_t n = s->pairs - s->rejected_parse_failures;
  double *const sums[] = {&s->mean_chosen_length, &s->mean_rejected_length, &s->mean_chosen_tokens,
                          &s->mean_rejected_tokens};
  for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) *sums[i] = n ? *sums[i] / (double)n : NAN;
}

static void count_choice(struct tpo_pair_statistics *s, const struct tpo_samples *samples,
                         const struct choice *choice)
{
  const struct tpo_sample_row *chosen = &samples->rows[choice->chosen],
                              *rejected = &samples->rows[choice->rejected];
  s->pairs++;
  s->rejected_parse_failures += choice->parse_failure;
  if (choice->parse_failure) return;
  s->mean_chosen_length += response_length(chosen, TPO_LENGTH_CHARACTERS);
  s->mean_rejected_length += response_length(rejected, TPO_LENGTH_CHARACTERS);
  s->mean_chosen_tokens += response_length(chosen, TPO_LENGTH_TOKENS);
  s->mean_rejected_tokens += response_length(rejected, TPO_LENGTH_TOKENS);
}

/* Selects with one rho; pairs NULL: only the statistics. */
static int select_all(struct tpo_pairs *pairs, const struct tpo_samples *samples, const struct groups *groups,
                      const struct tpo_pair_options *options, double rho,
                      struct tpo_pair_statistics *statistics, struct tpo_error *err)
{
  struct selection s = {0};
  struct tpo_pair_statistics counts = {.prompts = groups->n, .rho = rho};
  bool *keep = tpo_calloc(groups->n, sizeof *keep, err);
  int status = keep
                   ? keep_failures(keep, &counts.failures_passed_over, &s, samples, groups, options, rho, err)
                   : TPO_E_MEMORY;
  for (size_t g = 0; g < groups->n && status == 0; g++) {
    enum outcome outcome;
    status = select_prompt(&s, samples, groups->items[g], options->config, rho, keep[g], &outcome, err);
    if (status < 0) break;
    count_outcome(&counts, outcome);
    for (size_t c = 0; c < s.n_choices && status == 0; c++) {
      count_choice(&counts, samples, &s.choices[c]);
      counts.unjudged_tokens += unjudged_tokens(samples, &s.choices[c]);
      if (pairs) status = add_pair(pairs, samples, &s.choices[c], options->train_forced, err);
    }
  }
  selection_free(&s);
  free(keep);
  divide_lengths(&counts);
  *statistics = counts;
  return status;
}

/* last: of the last one that was tried. */
static int find_rho(double *rho, struct tpo_pair_statistics *last, bool *met,
                    const struct tpo_samples *samples, const struct groups *groups,
                    const struct tpo_pair_options *options, struct tpo_error *err)
{
  bool tokens = options->config->length_unit == TPO_LENGTH_TOKENS;
  *met = false;
  for (int step = 0; step <= 10 && !*met; step++) {
    *rho = step / 20.0;
    int status = select_all(NULL, samples, groups, options, *rho, last, err);
    if (status < 0) return status;
    *met = !(tokens ? last->mean_chosen_tokens > last->mean_rejected_tokens
                    : last->mean_chosen_length > last->mean_rejected_length);
  }
  return 0;
}

static int choose_rho(double *rho, const struct tpo_samples *samples, const struct groups *groups,
                      const struct tpo_pair_options *options, struct tpo_error *err)
{
  struct tpo_pair_statistics s = {0};
  bool met, tokens = options->config->length_unit == TPO_LENGTH_TOKENS;
  int status = find_rho(rho, &s, &met, samples, groups, options, err);
  if (status == 0 && !met)
    tpo_log(TPO_LOG_WARN,
            "length control: chosen responses are longer than rejected ones (%.1f "
            "and %.1f %s on average) even with the greatest length penalty, 0.5",
            tokens ? s.mean_chosen_tokens : s.mean_chosen_length,
            tokens ? s.mean_rejected_tokens : s.mean_rejected_length, tokens ? "tokens" : "characters");
  return status;
}

static void count_samples(struct tpo_pair_statistics *statistics, const struct tpo_samples *samples)
{
  for (size_t i = 0; i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    statistics->parse_failures += !row->format_ok;
    if (!has_loss_token(row))
      statistics->no_tokens++;
    else if (row->format_ok && !row->scored)
      statistics->unscored++;
  }
}

static int check_samples(const struct tpo_samples *samples, const struct tpo_pair_options *options,
                         struct tpo_error *err)
{
  int status = check_config(options->config, err);
  if (status < 0) return status;
  if (!samples->is_scored)
    return tpo_fail(err, TPO_E_INPUT, "the samples have no scores; expected what `tpo judge` writes");
  if (samples->n > INT32_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%zu samples are more than the %d that a pairs file can number",
                    samples->n, INT32_MAX);
  return 0;
}

int tpo_find_length_penalty(const struct tpo_samples *samples, const struct tpo_pair_options *options,
                            double *rho, bool *met, struct tpo_error *err)
{
  struct groups groups = {0};
  struct tpo_pair_statistics last;
  int status = check_samples(samples, options, err);
  if (status == 0) status = find_groups(&groups, samples, err);
  if (status == 0) status = find_rho(rho, &last, met, samples, &groups, options, err);
  free(groups.items);
  return status;
}

int tpo_select_pairs(struct tpo_pairs *pairs, const struct tpo_samples *samples,
                     const struct tpo_pair_options *options, struct tpo_pair_statistics *statistics,
                     struct tpo_error *err)
{
  const struct tpo_pairs_config *config = options->config;
  int status = check_samples(samples, options, err);
  if (status < 0) return status;
  struct groups groups = {0};
  struct tpo_pair_statistics found = {0};
  double rho = config->length_penalty;
  status = find_groups(&groups, samples, err);
  if (status == 0 && config->length_auto) status = choose_rho(&rho, samples, &groups, options, err);
  if (status == 0) status = select_all(pairs, samples, &groups, options, rho, &found, err);
  free(groups.items);
  if (status < 0) return status;
  pairs->output_tokens = samples->output_tokens;
  count_samples(&found, samples);
  if (statistics) *statistics = found;
  return 0;
}
