/* Which prompts keep a format failure as their rejected output, where only a share of pairs may have one. */
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/memory.h"
#include "base/philox.h"
#include "pairs/select.h"

/* A prompt that has pairs with a failure as rejected when failures are not left out. */
struct contender {
  size_t group;
  const char *prompt_id;
  uint64_t draw;
  size_t failures, pairs; /* with its failures: pairs that have one as rejected, and all of its pairs */
  size_t pairs_without;   /* when they are left out */
};

/* By the draw; equal draws by id, so that the order is that of no file. */
static int compare_contenders(const void *a, const void *b)
{
  const struct contender *x = a, *y = b;
  if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
  return strcmp(x->prompt_id, y->prompt_id);
}

static uint64_t draw_of(const char *prompt_id, const struct tpo_pair_options *options)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, options->seed, TPO_STREAM_FAILURE, tpo_hash64_str(prompt_id), options->iteration);
  uint64_t high = tpo_rng_u32(&rng);
  return high << 32 | tpo_rng_u32(&rng);
}

/* Pairs of one prompt with or without its failures; *failed: those with one as rejected. */
static int count_pairs(struct selection *s, const struct tpo_samples *samples, struct prompt_group group,
                       const struct tpo_pairs_config *config, double rho, bool failures, size_t *n,
                       size_t *failed, struct tpo_error *err)
{
  enum outcome outcome;
  int status = select_prompt(s, samples, group, config, rho, failures, &outcome, err);
  *n = s->n_choices;
  *failed = 0;
  for (size_t i = 0; i < s->n_choices; i++) *failed += s->choices[i].parse_failure;
  return status;
}

/* Decimal shares aren't exact in binary: 0.29 of 100 pairs are 29. */
static bool within_share(size_t failures, size_t pairs, double share)
{
  return (double)failures <= share * (double)pairs * (1 + 1e-12);
}

/* All prompts that failures make a difference to; *pairs: of all prompts, without any failure. */
static int find_contenders(struct contender *contenders, size_t *n, size_t *pairs, struct selection *s,
                           const struct tpo_samples *samples, const struct groups *groups,
                           const struct tpo_pair_options *options, double rho, struct tpo_error *err)
{
  for (size_t g = 0; g < groups->n; g++) {
    const char *id = samples->rows[groups->items[g].first].prompt_id;
    struct contender c = {.group = g, .prompt_id = id, .draw = draw_of(id, options)};
    size_t none;
    int status =
        count_pairs(s, samples, groups->items[g], options->config, rho, false, &c.pairs_without, &none, err);
    if (status == 0)
      status =
          count_pairs(s, samples, groups->items[g], options->config, rho, true, &c.pairs, &c.failures, err);
    if (status < 0) return status;
    *pairs += c.pairs_without;
    if (c.failures > 0) contenders[(*n)++] = c;
  }
  return 0;
}

int keep_failures(bool *keep, size_t *passed_over, struct selection *s, const struct tpo_samples *samples,
                  const struct groups *groups, const struct tpo_pair_options *options, double rho,
                  struct tpo_error *err)
{
  double share = options->config->max_failure_share;
  bool limited = options->config->reject_failures && share < 1;
  *passed_over = 0;
  for (size_t g = 0; g < groups->n; g++) keep[g] = options->config->reject_failures && !limited;
  if (!limited) return 0;
  struct contender *contenders = tpo_calloc(groups->n, sizeof *contenders, err);
  if (!contenders) return TPO_E_MEMORY;
  size_t n = 0, pairs = 0, failures = 0;
  int status = find_contenders(contenders, &n, &pairs, s, samples, groups, options, rho, err);
  qsort(contenders, n, sizeof *contenders, compare_contenders);
  for (size_t i = 0; i < n && status == 0; i++) {
    const struct contender *c = &contenders[i];
    size_t then = pairs - c->pairs_without + c->pairs;
    keep[c->group] = within_share(failures + c->failures, then, share);
    if (keep[c->group]) {
      pairs = then;
      failures += c->failures;
    } else {
      ++*passed_over;
    }
  }
  free(contenders);
  return status;
}
