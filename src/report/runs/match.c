/* The instructions that all runs answered, in the first run's order. */
#include <stdlib.h>
#include <string.h>

#include "measure/dynamics.h"
#include "report/runs/runs.h"

static size_t count_prompts(const struct tpo_samples *samples)
{
  size_t n = 0;
  for (size_t i = 0; i < samples->n; i = tpo_samples_prompt_end(samples, i)) n++;
  return n;
}

/* Where each run has the first run's instruction at row `first`; false: not all do. at: [n_runs] where each was
 * found last. */
static bool find_all(const struct compared *c, size_t first, size_t *at, size_t *found)
{
  const struct tpo_sample_row *like = &c->runs[0].at->validation.rows[first];
  found[0] = first;
  for (size_t r = 1; r < c->n_runs; r++) {
    found[r] = find_instruction(&c->runs[r].at->validation, like, &at[r]);
    if (found[r] == c->runs[r].at->validation.n) return false;
  }
  return true;
}

static void take(struct compared *c, const size_t *found)
{
  for (size_t r = 0; r < c->n_runs; r++) {
    const struct tpo_samples *all = &c->runs[r].at->validation;
    struct tpo_samples *view = &c->runs[r].view;
    size_t end = tpo_samples_prompt_end(all, found[r]);
    for (size_t i = found[r]; i < end; i++) view->rows[view->n++] = all->rows[i];
  }
  c->n++;
}

static int nothing_common(const struct compared *c, struct tpo_error *err)
{
  return tpo_fail(
      err, TPO_E_USAGE,
      "%s and %s%s have no validation instruction in common (%zu and %zu of them, matched by id and "
      "text): the same data.validation, or the same seed where they are composed, was expected",
      c->runs[0].name, c->runs[1].name, c->n_runs > 2 ? " and the others" : "",
      count_prompts(&c->runs[0].at->validation), count_prompts(&c->runs[1].at->validation));
}

int compared_match(struct compared *c, struct tpo_error *err)
{
  size_t *at = tpo_calloc(2 * c->n_runs, sizeof *at, err), *found = at ? at + c->n_runs : NULL;
  int status = at ? 0 : TPO_E_MEMORY;
  for (size_t r = 0; r < c->n_runs && status == 0; r++) {
    const struct tpo_samples *all = &c->runs[r].at->validation;
    c->runs[r].view.rows = tpo_calloc(all->n, sizeof *all->rows, err);
    c->runs[r].view.is_scored = true;
    if (!c->runs[r].view.rows) status = TPO_E_MEMORY;
  }
  const struct tpo_samples *base = &c->runs[0].at->validation;
  for (size_t i = 0; i < base->n && status == 0; i = tpo_samples_prompt_end(base, i))
    if (find_all(c, i, at, found)) take(c, found);
  for (size_t r = 0; r < c->n_runs && status == 0; r++)
    c->runs[r].unmatched = count_prompts(&c->runs[r].at->validation) - c->n;
  free(at);
  return status == 0 && c->n == 0 ? nothing_common(c, err) : status;
}

size_t **compared_all_rows(const struct compared *c, struct tpo_error *err)
{
  size_t **rows = tpo_calloc(c->n_runs * (c->n + 1), sizeof(size_t), err);
  if (!rows) return NULL;
  for (size_t r = 0; r < c->n_runs; r++) {
    const struct tpo_samples *view = &c->runs[r].view;
    size_t n = 0;
    rows[r] = (size_t *)(rows + c->n_runs) + r * c->n;
    for (size_t i = 0; i < view->n; i = tpo_samples_prompt_end(view, i)) rows[r][n++] = i;
  }
  return rows;
}
