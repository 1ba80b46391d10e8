/* The length penalty of a run in steps: fixed, or moved a step of its grid before each segment towards what the rule of
 * pairs.length_penalty: auto gives for the last prompts' samples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "run/online/online.h"

enum { GRID = 20 }; /* steps of the penalty from 0 to 1 */

static size_t count_prompts(const struct tpo_samples *samples)
{
  size_t n = 0;
  for (size_t i = 0; i < samples->n; i = tpo_samples_prompt_end(samples, i)) n++;
  return n;
}

void window_free(struct window *window)
{
  for (size_t i = 0; i < window->n; i++) tpo_samples_free(&window->sets[i]);
  free(window->sets);
  *window = (struct window){0};
}

/* The oldest sets go that the others do without. */
static void drop_old(struct window *window, size_t wanted)
{
  size_t prompts = 0, kept = window->n;
  while (kept > 0 && prompts < wanted) prompts += count_prompts(&window->sets[--kept]);
  for (size_t i = 0; i < kept; i++) tpo_samples_free(&window->sets[i]);
  window->n -= kept;
  memmove(window->sets, window->sets + kept, window->n * sizeof *window->sets);
}

int window_add(struct online *o, struct tpo_samples *samples, struct tpo_error *err)
{
  struct window *w = &o->window;
  if (!o->loop->first || !o->loop->config->pairs.length_auto) return 0;
  int status = tpo_grow(&w->sets, &w->capacity, w->n + 1, sizeof *w->sets, err);
  if (status < 0) return status;
  w->sets[w->n++] = *samples;
  *samples = (struct tpo_samples){0};
  drop_old(w, (size_t)o->loop->config->run.rho_window);
  return 0;
}

/* The rows of the last `wanted` prompts, borrowed; free(out->rows). */
static int last_prompts(const struct window *window, size_t wanted, struct tpo_samples *out,
                        struct tpo_error *err)
{
  size_t n = 0, prompts = 0, first = 0;
  for (size_t i = 0; i < window->n; i++) n += window->sets[i].n;
  *out = (struct tpo_samples){.rows = tpo_calloc(n, sizeof *out->rows, err), .n = n, .is_scored = true};
  if (!out->rows) return TPO_E_MEMORY;
  n = 0;
  for (size_t i = 0; i < window->n; i++) {
    memcpy(out->rows + n, window->sets[i].rows, window->sets[i].n * sizeof *out->rows);
    n += window->sets[i].n;
  }
  for (prompts = count_prompts(out); prompts > wanted; prompts--) first = tpo_samples_prompt_end(out, first);
  out->n = n - first;
  memmove(out->rows, out->rows + first, out->n * sizeof *out->rows);
  return 0;
}

int online_choose_rho(struct online *o, int64_t first, double *rho, struct tpo_error *err)
{
  const struct tpo_config *config = o->loop->config;
  const struct tpo_pair_options options = {
      .config = &config->pairs, .seed = config->seed, .iteration = (uint32_t)first + 1};
  struct tpo_samples samples = {0};
  double target;
  bool met;
  *rho = config->pairs.length_auto ? 0 : config->pairs.length_penalty;
  if (!config->pairs.length_auto || first == 0) return 0;
  int status = last_prompts(&o->window, (size_t)config->run.rho_window, &samples, err);
  if (status == 0) status = tpo_find_length_penalty(&samples, &options, &target, &met, err);
  free(samples.rows);
  if (status < 0) return status;
  long now = lround(GRID * o->rho), wanted = lround(GRID * target);
  *rho = (double)(now + (wanted > now) - (wanted < now)) / GRID;
  if (!met && *rho == target)
    tpo_log(TPO_LOG_DEBUG, "step %lld: chosen responses are longer than rejected ones even with rho %.2f",
            (long long)first + 1, *rho);
  return 0;
}
