/* Prompts with their samples. A large run has too many for one page: of each iteration those with the largest
 * margins are shown, and a sample of the others, keyed by their ids so that a page is the same whenever it is
 * made. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/memory.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/position.h"

enum {
  MOST_PROMPTS = 50,   /* shown of an iteration */
  MOST_BY_MARGIN = 30, /* of them, by margin */
  MOST_ON_PAGE = 400,  /* over all iterations, but at least LEAST_PROMPTS of each */
  LEAST_PROMPTS = 5,
  MOST_BYTES = 32 << 20, /* of all prompts */
  EXCERPT = 150,         /* code points of an instruction in its heading */
};

struct prompt {
  size_t first, end; /* rows */
  int pairs;
  int32_t step;  /* that it was drawn for; 0: an iteration's */
  double margin; /* the largest of its pairs; -inf without one: a format failure has no margin */
  uint64_t key;
};

struct roles { /* in how many pairs a row is */
  int chosen, rejected;
};

struct set { /* an iteration's prompts */
  struct tpo_samples samples;
  struct tpo_pairs pairs;
  bool has_pairs;
  struct roles *roles;    /* [samples.n] */
  struct prompt *prompts; /* [n_prompts] */
  size_t n_prompts;
};

static void set_free(struct set *set)
{
  tpo_samples_free(&set->samples);
  tpo_pairs_free(&set->pairs);
  free(set->roles);
  free(set->prompts);
}

/* The rows of a pair, when they are what the samples file holds: a pairs file may be another run's. */
static bool pair_fits(const struct set *set, const struct tpo_pair_row *pair)
{
  size_t n = set->samples.n;
  return pair->chosen_row >= 0 && pair->rejected_row >= 0 && (size_t)pair->chosen_row < n &&
         (size_t)pair->rejected_row < n &&
         strcmp(set->samples.rows[pair->chosen_row].prompt_id, pair->prompt_id) == 0 &&
         strcmp(set->samples.rows[pair->rejected_row].prompt_id, pair->prompt_id) == 0;
}

static struct prompt *prompt_of_row(struct set *set, size_t row)
{
  size_t low = 0, high = set->n_prompts;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    *(set->prompts[middle].first <= row ? &low : &high) = middle;
  }
  return &set->prompts[low];
}

static int index_set(struct set *set, struct tpo_error *err)
{
  set->roles = tpo_calloc(set->samples.n, sizeof *set->roles, err);
  set->prompts = tpo_calloc(set->samples.n, sizeof *set->prompts, err);
  if (!set->roles || !set->prompts) return TPO_E_MEMORY;
  for (size_t first = 0, end; first < set->samples.n; first = end) {
    end = tpo_samples_prompt_end(&set->samples, first);
    set->prompts[set->n_prompts++] =
        (struct prompt){.first = first,
                        .end = end,
                        .margin = -INFINITY,
                        .step = set->samples.rows[first].step,
                        .key = tpo_hash64_str(set->samples.rows[first].prompt_id)};
  }
  for (size_t i = 0; i < set->pairs.n; i++) {
    const struct tpo_pair_row *pair = &set->pairs.rows[i];
    if (!pair_fits(set, pair)) continue;
    set->roles[pair->chosen_row].chosen++;
    set->roles[pair->rejected_row].rejected++;
    struct prompt *prompt = prompt_of_row(set, (size_t)pair->chosen_row);
    prompt->pairs++;
    if (isfinite(pair->margin) && pair->margin > prompt->margin) prompt->margin = pair->margin;
  }
  return 0;
}

/* Reads what there is of an iteration; 1 with a set, 0 without samples.
 * Files that can't be read are noted. */
static int read_set(struct set *set, struct report *report, const struct report_iteration *it,
                    struct tpo_error *err)
{
  char path[4096];
  struct tpo_error problem = {0};
  if (!report_file(report, it->number, "scored.h5", path) &&
      !report_file(report, it->number, "samples.h5", path))
    return 0;
  if (tpo_samples_read(&set->samples, path, &problem) < 0) {
    report_note(report, &problem);
    return 0;
  }
  if (report_file(report, it->number, "pairs.h5", path)) {
    set->has_pairs = tpo_pairs_read(&set->pairs, path, &problem) == 0;
    if (!set->has_pairs) report_note(report, &problem);
  }
  int status = index_set(set, err);
  return status < 0 ? status : 1;
}

static int take_scores(struct report_iteration *it, const struct tpo_samples *samples, struct tpo_error *err)
{
  it->scores = tpo_calloc(samples->n, sizeof *it->scores, err);
  if (!it->scores) return TPO_E_MEMORY;
  for (size_t i = 0; i < samples->n; i++)
    if (samples->rows[i].scored && isfinite(samples->rows[i].score))
      it->scores[it->n_scores++] = samples->rows[i].score;
  return 0;
}

static int by_margin(const void *a, const void *b)
{
  const struct prompt *x = a, *y = b;
  if (x->margin != y->margin) return x->margin < y->margin ? 1 : -1;
  if ((x->pairs > 0) != (y->pairs > 0)) return x->pairs > 0 ? -1 : 1;
  return (x->first > y->first) - (x->first < y->first);
}

static int by_key(const void *a, const void *b)
{
  const struct prompt *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->first > y->first) - (x->first < y->first);
}

static int by_step(const void *a, const void *b)
{
  const struct prompt *x = a, *y = b;
  if (x->step != y->step) return x->step < y->step ? -1 : 1;
  return by_margin(a, b);
}

/* Puts those to show first, in the order of their steps where they have any; returns how many. */
static size_t choose(struct set *set, size_t most)
{
  size_t n = set->n_prompts;
  qsort(set->prompts, n, sizeof *set->prompts, by_margin);
  if (n > most) {
    size_t leading = most * MOST_BY_MARGIN / MOST_PROMPTS;
    qsort(set->prompts + leading, n - leading, sizeof *set->prompts, by_key);
    qsort(set->prompts + leading, most - leading, sizeof *set->prompts, by_margin);
    n = most;
  }
  bool in_steps = false;
  for (size_t i = 0; i < n; i++) in_steps |= set->prompts[i].step > 0;
  if (in_steps) qsort(set->prompts, n, sizeof *set->prompts, by_step);
  return n;
}

/* Best and worst score of the rows [first, end); false without any. */
static bool score_range(const struct set *set, const struct prompt *prompt, double *worst, double *best)
{
  *worst = INFINITY;
  *best = -INFINITY;
  for (size_t i = prompt->first; i < prompt->end; i++) {
    const struct tpo_sample_row *row = &set->samples.rows[i];
    if (!row->scored || !isfinite(row->score)) continue;
    *worst = fmin(*worst, row->score);
    *best = fmax(*best, row->score);
  }
  return *worst <= *best;
}

static void put_summary(struct tpo_buf *out, const struct set *set, const struct prompt *prompt,
                        size_t failures)
{
  double worst, best;
  tpo_buf_puts(out, "<summary>");
  if (prompt->step > 0) tpo_buf_printf(out, "<span class=\"badge quiet\">step %d</span> ", prompt->step);
  tpo_buf_puts(out, "<span class=\"ask\">");
  html_excerpt(out, set->samples.rows[prompt->first].instruction, EXCERPT);
  tpo_buf_puts(out, "</span> <span class=\"gist\">");
  if (score_range(set, prompt, &worst, &best)) {
    tpo_buf_puts(out, worst < best ? "scores " : "score ");
    html_number(out, worst, 2);
    if (worst < best) tpo_buf_puts(out, " to ");
    if (worst < best) html_number(out, best, 2);
  }
  if (prompt->pairs) {
    tpo_buf_printf(out, " <span class=\"badge\">%d pair%s", prompt->pairs, prompt->pairs > 1 ? "s" : "");
    if (isfinite(prompt->margin)) {
      tpo_buf_puts(out, ", margin ");
      html_number(out, prompt->margin, 2);
    }
    tpo_buf_puts(out, "</span>");
  } else if (set->has_pairs)
    tpo_buf_puts(out, " <span class=\"badge quiet\">no pair</span>");
  if (failures) tpo_buf_printf(out, " <span class=\"badge warn\">format failed × %zu</span>", failures);
  tpo_buf_puts(out, "</span></summary>\n");
}

/* Chosen samples come first, then rejected ones, beside them; then the others. */
static int place(const struct roles *roles)
{
  return roles->chosen ? 0 : roles->rejected ? 1 : 2;
}

static void put_prompt(struct tpo_buf *out, const struct set *set, const struct prompt *prompt, int iteration)
{
  size_t failures = 0;
  char title[32];
  for (size_t i = prompt->first; i < prompt->end; i++) failures += !set->samples.rows[i].format_ok;
  tpo_buf_printf(out,
                 "<details class=\"prompt\" data-iteration=\"%d\" data-pairs=\"%d\" data-failures=\"%zu\"",
                 iteration, prompt->pairs, failures);
  if (prompt->step > 0) tpo_buf_printf(out, " data-step=\"%d\"", prompt->step);
  tpo_buf_puts(out, ">\n");
  put_summary(out, set, prompt, failures);
  prompt_body(out, &set->samples.rows[prompt->first]);
  tpo_buf_puts(out, "<div class=\"samples\">\n");
  for (int wanted = 0; wanted < 3; wanted++)
    for (size_t i = prompt->first; i < prompt->end; i++) {
      if (place(&set->roles[i]) != wanted) continue;
      snprintf(title, sizeof title, "Sample %d", set->samples.rows[i].k);
      sample_card(out, &set->samples.rows[i], title, set->roles[i].chosen, set->roles[i].rejected);
    }
  tpo_buf_puts(out, "</div>\n</details>\n");
}

static void put_set(struct tpo_buf *out, const struct report *report, struct set *set, int iteration,
                    size_t most, size_t most_bytes)
{
  size_t begin = out->len, shown = 0, chosen = choose(set, most);
  tpo_buf_printf(out, "<section class=\"group\" data-iteration=\"%d\">\n<h3>", iteration);
  put_stretch(out, report, iteration, true);
  tpo_buf_puts(out, "</h3>\n");
  while (shown < chosen && out->len - begin < most_bytes)
    put_prompt(out, set, &set->prompts[shown++], iteration);
  if (shown < set->n_prompts)
    tpo_buf_printf(
        out,
        "<p class=\"note\">%zu of %zu prompts: those with the largest margins and a sample of the others; "
        "%zu are left out here and stand in the run's files.</p>\n",
        shown, set->n_prompts, set->n_prompts - shown);
  tpo_buf_puts(out, "</section>\n");
}

int part_samples(struct tpo_buf *out, struct report *report, struct tpo_error *err)
{
  size_t n = report->n_iterations, begin = out->len, before;
  size_t most = n && MOST_ON_PAGE / n < MOST_PROMPTS ? MOST_ON_PAGE / n : MOST_PROMPTS;
  if (most < LEAST_PROMPTS) most = LEAST_PROMPTS;
  tpo_buf_puts(
      out,
      "<section id=\"samples\">\n<h2>Samples</h2>\n<p>All samples of a prompt, chosen and rejected first. "
      "The judge sees only the response, never the thought.</p>\n<form id=\"filter\" hidden></form>\n"
      "<p id=\"found\" class=\"note\" role=\"status\"></p>\n");
  before = out->len;
  for (size_t i = 0; i < n; i++) {
    struct set set = {0};
    int status = read_set(&set, report, &report->iterations[i], err);
    if (status > 0) status = take_scores(&report->iterations[i], &set.samples, err);
    if (status == 0 && set.n_prompts)
      put_set(out, report, &set, report->iterations[i].number, most, MOST_BYTES / n);
    set_free(&set);
    if (status < 0) return status;
  }
  tpo_buf_puts(out, "</section>\n");
  if (!out->failed && out->len == before + strlen("</section>\n")) out->data[out->len = begin] = '\0';
  return 0;
}
