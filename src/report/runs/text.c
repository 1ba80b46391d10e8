/* The comparison as a person reads it on a terminal. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/visible.h"
#include "report/position.h"
#include "report/runs/runs.h"

enum { NAME_WIDTH = 26, EXCERPT = 400, MOST_NAMES = 20 };

static void put_estimate(const struct estimate *e, int decimals, double factor, bool sign, char out[64])
{
  if (!isfinite(e->mean))
    snprintf(out, 64, "none");
  else if (!isfinite(e->se))
    snprintf(out, 64, sign ? "%+.*f" : "%.*f", decimals, factor * e->mean);
  else
    snprintf(out, 64, sign ? "%+.*f ± %.*f" : "%.*f ± %.*f", decimals, factor * e->mean, decimals,
             factor * e->se);
}

/* Right-aligned by characters, not bytes. */
static void put_cell(struct tpo_buf *out, const char *text, int width)
{
  tpo_buf_printf(out, " %*s%s", width - (int)tpo_utf8_count(text, strlen(text)), "", text);
}

static void put_legend(const struct compared *c, struct tpo_buf *out)
{
  for (size_t r = 0; r < c->n_runs; r++) {
    const struct compared_run *run = &c->runs[r];
    char letter[16];
    run_letter(r, letter);
    tpo_buf_printf(out, "%s  %s, ", letter, run->name);
    if (run->at->number == 0)
      tpo_buf_puts(out, "the start model");
    else
      tpo_buf_printf(out, "%s %d", report_unit(&run->report, false),
                     report_position(&run->report, run->at->number));
    if (!compared_is_done(run)) tpo_buf_puts(out, " of a run that is not finished");
    tpo_buf_putc(out, '\n');
  }
  tpo_buf_printf(out, "\n%zu validation instruction%s that all have", c->n, c->n == 1 ? "" : "s");
  for (size_t r = 0; r < c->n_runs; r++) {
    char letter[16];
    run_letter(r, letter);
    if (c->runs[r].unmatched)
      tpo_buf_printf(out, "; %zu more of %s's are left out", c->runs[r].unmatched, letter);
  }
  tpo_buf_puts(out, ". ± is the standard error.\n");
  if (c->shares)
    tpo_buf_puts(
        out,
        "The judge compares: a score is the share of comparisons that were won against the run's own start "
        "model. Which of two runs' responses it would prefer was not asked.\n");
}

static void put_letters(const struct compared *c, int width, struct tpo_buf *out)
{
  tpo_buf_printf(out, "\n%*s", NAME_WIDTH, "");
  for (size_t r = 0; r < c->n_runs; r++) {
    char letter[16];
    run_letter(r, letter);
    put_cell(out, letter, width);
  }
  tpo_buf_putc(out, '\n');
}

static void put_kl(const struct compared *c, int width, struct tpo_buf *out)
{
  bool any = false;
  for (size_t r = 0; r < c->n_runs; r++) any |= isfinite(compared_kl(&c->runs[r]));
  if (!any) return;
  tpo_buf_printf(out, "%-*s", NAME_WIDTH, "KL a token to the start");
  for (size_t r = 0; r < c->n_runs; r++) {
    char text[64] = "none";
    double kl = compared_kl(&c->runs[r]);
    if (isfinite(kl)) snprintf(text, sizeof text, "%.5f", kl);
    put_cell(out, text, width);
  }
  tpo_buf_putc(out, '\n');
}

static void put_watch(const struct compared *c, int width, struct tpo_buf *out)
{
  size_t i;
  const json_t *entry;
  json_array_foreach(c->runs[0].at->watch, i, entry)
  {
    const char *name = json_string_value(json_object_get(entry, "name"));
    if (!name) continue;
    tpo_buf_printf(out, "%-*.*s", NAME_WIDTH, NAME_WIDTH, name);
    for (size_t r = 0; r < c->n_runs; r++) {
      char text[64] = "none";
      const json_t *other = compared_watch(&c->runs[r], name);
      const struct estimate value = {.mean = report_number(other, "value"),
                                     .se = report_number(other, "value_se")};
      put_estimate(&value, 3, 1, false, text);
      put_cell(out, text, width);
    }
    tpo_buf_putc(out, '\n');
  }
}

static void put_figures(const struct compared *c, struct tpo_buf *out)
{
  const int width = 18;
  put_letters(c, width, out);
  for (int f = 0; f < N_FIGURES; f++) {
    double factor;
    int decimals = figure_decimals((enum figure)f, &factor);
    if (!compared_has(c, (enum figure)f)) continue;
    tpo_buf_printf(out, "%-*s", NAME_WIDTH, figure_name((enum figure)f));
    for (size_t r = 0; r < c->n_runs; r++) {
      char text[64];
      put_estimate(&c->runs[r].now[f], decimals, factor, false, text);
      put_cell(out, text, width);
    }
    tpo_buf_putc(out, '\n');
  }
  put_kl(c, width, out);
  put_watch(c, width, out);
}

static void put_won(const struct compared *c, const struct compared_run *run, struct tpo_buf *out)
{
  const struct win_rate *won = &run->won;
  if (c->shares || !isfinite(won->rate)) return;
  tpo_buf_printf(out, "%-*s %18.1f %%", NAME_WIDTH, "won, ties half", 100 * won->rate);
  if (isfinite(run->won_rate.low))
    tpo_buf_printf(out, "  [%.1f, %.1f]", 100 * run->won_rate.low, 100 * run->won_rate.high);
  tpo_buf_printf(out, "  %zu won, %zu lost, %zu even", won->wins, won->losses, won->ties);
  if (won->unjudged) tpo_buf_printf(out, ", %zu not judged", won->unjudged);
  tpo_buf_putc(out, '\n');
}

static void put_changes(const struct compared *c, size_t r, struct tpo_buf *out)
{
  const struct compared_run *run = &c->runs[r];
  char letter[16], text[64];
  run_letter(r, letter);
  tpo_buf_printf(out,
                 "\n%s against A, paired by instruction; in brackets 95 %% of %d bootstrap draws of the "
                 "instructions\n",
                 letter, BOOTSTRAP_DRAWS);
  for (int f = 0; f < N_FIGURES; f++) {
    double factor;
    int decimals = figure_decimals((enum figure)f, &factor);
    const struct estimate *change = &run->change[f];
    if (!isfinite(change->mean)) continue;
    tpo_buf_printf(out, "%-*s", NAME_WIDTH, figure_name((enum figure)f));
    put_estimate(change, decimals, factor, true, text);
    put_cell(out, text, 20);
    if (isfinite(change->low))
      tpo_buf_printf(out, "  [%+.*f, %+.*f]", decimals, factor * change->low, decimals,
                     factor * change->high);
    tpo_buf_putc(out, '\n');
  }
  put_won(c, run, out);
}

static void put_group(const struct compared *c, enum group_by by, const struct group *group,
                      struct tpo_buf *out, struct tpo_arena *arena)
{
  const char *name = group->name ? group_name(arena, group->name, strlen(group->name)) : "others";
  char text[64];
  int over = (int)tpo_utf8_count(name ? name : "", name ? strlen(name) : 0);
  tpo_buf_printf(out, "  %s%*s %5zu", name ? name : "", over < 40 ? 40 - over : 0, "", group->n);
  put_estimate(&(struct estimate){.mean = group->value, .se = group->value_se}, by == GROUP_CHECK ? 1 : 3,
               by == GROUP_CHECK ? 100 : 1, false, text);
  put_cell(out, text, 16);
  put_estimate(&(struct estimate){.mean = group->difference, .se = group->difference_se},
               by == GROUP_CHECK ? 1 : 3, by == GROUP_CHECK ? 100 : 1, true, text);
  put_cell(out, text, 17);
  if (by != GROUP_CHECK && !c->shares && isfinite(group->win_rate))
    tpo_buf_printf(out, "  won %.0f %% [%.0f, %.0f]", 100 * group->win_rate, 100 * group->win_low,
                   100 * group->win_high);
  tpo_buf_putc(out, '\n');
}

static void put_groups(const struct compared *c, size_t r, enum group_by by, struct tpo_buf *out)
{
  static const char *const heads[N_GROUP_BY] = {"By category: mean score", "By data set: mean score",
                                                "By kind of check: % that hold"};
  const struct groups *groups = &c->runs[r].groups[by];
  struct tpo_arena arena = {0};
  char letter[16];
  run_letter(r, letter);
  if (groups_count(groups) < (by == GROUP_CHECK ? 1 : 2)) return;
  tpo_buf_printf(out, "\n%s of %s, and its difference to A's\n", heads[by], letter);
  for (size_t i = 0; i < groups->n && i < MOST_NAMES; i++) put_group(c, by, &groups->list[i], out, &arena);
  if (groups->n > MOST_NAMES) tpo_buf_printf(out, "  (%zu more; --json has them)\n", groups->n - MOST_NAMES);
  tpo_arena_free(&arena);
}

/* One line, "…" where it is cut. */
static void put_excerpt(struct tpo_buf *out, const char *text)
{
  size_t len = strlen(text), at = 0;
  for (int n = 0; at < len && n < EXCERPT; n++) {
    char label[TPO_LABEL_BYTES];
    size_t bytes = tpo_visible_next(text + at, len - at, label);
    tpo_buf_append(out, *label ? label : text + at, *label ? strlen(label) : bytes);
    at += bytes;
  }
  if (at < len) tpo_buf_puts(out, "…");
}

static void put_instruction(const struct compared *c, size_t i, size_t *const *rows, struct tpo_buf *out)
{
  const struct tpo_sample_row *first = &c->runs[0].view.rows[rows[0][i]];
  tpo_buf_puts(out, "\n");
  put_excerpt(out, first->prompt_id);
  tpo_buf_puts(out, ": ");
  put_excerpt(out, first->instruction);
  tpo_buf_putc(out, '\n');
  for (size_t r = 0; r < c->n_runs; r++) {
    const struct tpo_sample_row *row = &c->runs[r].view.rows[rows[r][i]];
    char letter[16];
    run_letter(r, letter);
    const double score = c->runs[r].values[FIGURE_SCORE][i];
    tpo_buf_printf(out, isfinite(score) ? "  %s %+.3f  " : "  %s not judged  ", letter, score);
    put_excerpt(out, row->response);
    tpo_buf_putc(out, '\n');
  }
}

static int put_most_different(const struct compared *c, size_t shown, struct tpo_buf *out,
                              struct tpo_error *err)
{
  size_t **rows = compared_all_rows(c, err);
  if (!rows) return TPO_E_MEMORY;
  if (shown > c->n) shown = c->n;
  if (shown)
    tpo_buf_puts(out,
                 "\nWhere scores differ most (the first response of each, and the instruction's score)\n");
  for (size_t i = 0; i < shown; i++) put_instruction(c, c->order[i], rows, out);
  free(rows);
  return 0;
}

int compared_text(const struct compared *c, size_t shown, struct tpo_buf *out, struct tpo_error *err)
{
  put_legend(c, out);
  put_figures(c, out);
  for (size_t r = 1; r < c->n_runs; r++) {
    put_changes(c, r, out);
    for (int by = 0; by < N_GROUP_BY; by++) put_groups(c, r, (enum group_by)by, out);
  }
  if (c->settings.len > 0) {
    tpo_buf_puts(out, "\nSettings that differ\n  ");
    for (const char *at = c->settings.data; *at; at++)
      tpo_buf_puts(out, *at != '\n' ? (char[]){*at, '\0'} : at[1] ? "\n  " : "\n");
  }
  return put_most_different(c, shown, out, err);
}
