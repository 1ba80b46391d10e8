/* The comparison as a person reads it on a terminal. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/visible.h"
#include "report/position.h"
#include "report/runs/runs.h"

enum { NAME_WIDTH = 28, NUMBER = 96, EXCERPT = 400, MOST_NAMES = 20 };

static void put_estimate(const struct estimate *e, int decimals, double factor, bool sign, char out[NUMBER])
{
  double mean = factor * e->mean, se = factor * e->se;
  if (!isfinite(mean))
    snprintf(out, NUMBER, "none");
  else if (fabs(mean) >= 1e9 || fabs(se) >= 1e9)
    snprintf(out, NUMBER, "%.4g ± %.2g", mean, se);
  else if (!isfinite(se))
    snprintf(out, NUMBER, sign ? "%+.*f" : "%.*f", decimals, mean);
  else
    snprintf(out, NUMBER, sign ? "%+.*f ± %.*f" : "%.*f ± %.*f", decimals, mean, decimals, se);
}

static int gap(const char *text, int width)
{
  int n = (int)tpo_utf8_count(text, strlen(text));
  return n < width ? width - n : 0;
}

/* By characters, not bytes. */
static void put_cell(struct tpo_buf *out, const char *text, int width)
{
  tpo_buf_printf(out, " %*s%s", gap(text, width), "", text);
}

static void put_name(struct tpo_buf *out, const char *text, int width)
{
  tpo_buf_printf(out, "%s%*s", text, gap(text, width), "");
}

static void put_told(struct tpo_buf *out, const char *text)
{
  tpo_visible_append(out, text, strlen(text));
}

static void put_letter(struct tpo_buf *out, size_t run)
{
  char letter[16];
  run_letter(run, letter);
  tpo_buf_puts(out, letter);
}

static void put_lines(struct tpo_buf *out, const struct tpo_buf *lines)
{
  for (const char *at = lines->data, *end; at && *at; at = end + 1) {
    end = strchr(at, '\n');
    tpo_buf_puts(out, "  ");
    tpo_visible_append(out, at, (size_t)(end - at));
    tpo_buf_putc(out, '\n');
  }
}

static void put_legend(const struct compared *c, struct tpo_buf *out)
{
  for (size_t r = 0; r < c->n_runs; r++) {
    put_letter(out, r);
    tpo_buf_puts(out, "  ");
    put_told(out, c->runs[r].name);
    tpo_buf_puts(out, ", ");
    run_place(&c->runs[r], out);
    tpo_buf_puts(out, compared_is_done(&c->runs[r]) ? "\n" : " of a run that is not finished\n");
  }
  if (c->unlike.len > 0) {
    tpo_buf_puts(out, "\nNot judged and validated alike, so differences are not the models' alone:\n");
    put_lines(out, &c->unlike);
  }
  tpo_buf_printf(out, "\n%zu validation instruction%s that all have", c->n, c->n == 1 ? "" : "s");
  for (size_t r = 0; r < c->n_runs; r++) {
    if (!c->runs[r].unmatched) continue;
    tpo_buf_printf(out, "; %zu more of ", c->runs[r].unmatched);
    put_letter(out, r);
    tpo_buf_puts(out, "'s are left out");
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
  put_name(out, "KL a token, last sampler", NAME_WIDTH);
  for (size_t r = 0; r < c->n_runs; r++) {
    char text[NUMBER] = "none";
    double kl = compared_kl(&c->runs[r]);
    if (isfinite(kl)) snprintf(text, sizeof text, "%.5g", kl);
    put_cell(out, text, width);
  }
  tpo_buf_putc(out, '\n');
}

static void put_watch(const struct compared *c, int width, struct tpo_buf *out)
{
  size_t at[2] = {0, 0};
  for (const char *name; (name = compared_next_watch(c, at));) {
    char told[NAME_WIDTH], text[NUMBER];
    tpo_visible_copy(told, sizeof told, name);
    put_name(out, told, NAME_WIDTH);
    for (size_t r = 0; r < c->n_runs; r++) {
      const json_t *own = compared_watch(&c->runs[r], name);
      const struct estimate value = {.mean = report_number(own, "value"),
                                     .se = report_number(own, "value_se")};
      put_estimate(&value, 3, 1, false, text);
      put_cell(out, text, width);
    }
    tpo_buf_putc(out, '\n');
  }
}

/* Of how many instructions each score is, where a judge failed on some. */
static void put_judged(const struct compared *c, int width, struct tpo_buf *out)
{
  bool all = true;
  for (size_t r = 0; r < c->n_runs; r++) all &= c->runs[r].now[FIGURE_SCORE].n == c->n;
  if (all) return;
  put_name(out, "instructions judged", NAME_WIDTH);
  for (size_t r = 0; r < c->n_runs; r++) {
    char text[NUMBER];
    snprintf(text, sizeof text, "%zu", c->runs[r].now[FIGURE_SCORE].n);
    put_cell(out, text, width);
  }
  tpo_buf_putc(out, '\n');
}

static void put_figures(const struct compared *c, struct tpo_buf *out)
{
  const int width = 18;
  put_letters(c, width, out);
  put_judged(c, width, out);
  for (int f = 0; f < N_FIGURES; f++) {
    double factor;
    int decimals = figure_decimals((enum figure)f, &factor);
    if (!compared_has(c, (enum figure)f)) continue;
    put_name(out, figure_name((enum figure)f), NAME_WIDTH);
    for (size_t r = 0; r < c->n_runs; r++) {
      char text[NUMBER];
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
  put_name(out, "won, ties half", NAME_WIDTH);
  tpo_buf_printf(out, " %18.1f %%", 100 * won->rate);
  if (isfinite(run->won_rate.low))
    tpo_buf_printf(out, "  [%.1f, %.1f]", 100 * run->won_rate.low, 100 * run->won_rate.high);
  tpo_buf_printf(out, "  %zu won, %zu lost, %zu even", won->wins, won->losses, won->ties);
  if (won->unjudged) tpo_buf_printf(out, ", %zu not judged in both", won->unjudged);
  tpo_buf_putc(out, '\n');
}

static void put_change(const struct compared *c, const struct estimate *change, enum figure figure,
                       struct tpo_buf *out)
{
  double factor;
  char text[NUMBER];
  int decimals = figure_decimals(figure, &factor);
  if (!isfinite(change->mean)) return;
  put_name(out, figure_name(figure), NAME_WIDTH);
  put_estimate(change, decimals, factor, true, text);
  put_cell(out, text, 20);
  if (isfinite(change->low))
    tpo_buf_printf(out, "  [%+.*f, %+.*f]", decimals, factor * change->low, decimals, factor * change->high);
  if (change->n < c->n) tpo_buf_printf(out, "  of %zu", change->n);
  tpo_buf_putc(out, '\n');
}

static void put_changes(const struct compared *c, size_t r, struct tpo_buf *out)
{
  tpo_buf_putc(out, '\n');
  put_letter(out, r);
  tpo_buf_printf(out,
                 " against A, paired by instruction; in brackets 95 %% of %d bootstrap draws of the "
                 "instructions\n",
                 BOOTSTRAP_DRAWS);
  for (int f = 0; f < N_FIGURES; f++) put_change(c, &c->runs[r].change[f], (enum figure)f, out);
  put_won(c, &c->runs[r], out);
}

static void put_group(const struct compared *c, enum group_by by, const char *name, const struct group *group,
                      struct tpo_buf *out)
{
  double factor;
  char text[NUMBER];
  int decimals = group_decimals(by, &factor);
  tpo_buf_puts(out, "  ");
  put_name(out, name, 40);
  tpo_buf_printf(out, " %5zu", group->n);
  put_estimate(&(struct estimate){.mean = group->value, .se = group->value_se}, decimals, factor, false,
               text);
  put_cell(out, text, 16);
  put_estimate(&(struct estimate){.mean = group->difference, .se = group->difference_se}, decimals, factor,
               true, text);
  put_cell(out, text, 17);
  if (by != GROUP_CHECK && !c->shares && isfinite(group->win_rate))
    tpo_buf_printf(out, "  won %.0f %% (%.0f to %.0f)", 100 * group->win_rate, 100 * group->win_low,
                   100 * group->win_high);
  tpo_buf_putc(out, '\n');
}

static void put_groups(const struct compared *c, size_t r, enum group_by by, struct tpo_buf *out)
{
  static const char *const heads[N_GROUP_BY] = {"By category: instructions, mean score",
                                                "By data set: instructions, mean score",
                                                "By kind of check: instructions, % that hold"};
  const struct groups *groups = &c->runs[r].groups[by];
  if (groups_count(groups) < (by == GROUP_CHECK ? 1 : 2)) return;
  tpo_buf_printf(out, "\n%s of ", heads[by]);
  put_letter(out, r);
  tpo_buf_puts(out, ", its difference to A's");
  tpo_buf_puts(out, by == GROUP_CHECK || c->shares ? "\n" : ", and Wilson's 95 % of what was won\n");
  for (size_t i = 0; i < groups->n && i < MOST_NAMES; i++)
    put_group(c, by, groups->list[i].name, &groups->list[i], out);
  if (groups->n + groups->n_other > MOST_NAMES)
    tpo_buf_printf(out, "  (%zu more; --json has the %d largest)\n", groups->n + groups->n_other - MOST_NAMES,
                   MOST_GROUPS);
  if (groups->without.n) put_group(c, by, "(none named)", &groups->without, out);
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
    const double score = c->runs[r].values[FIGURE_SCORE][i];
    tpo_buf_puts(out, "  ");
    put_letter(out, r);
    tpo_buf_printf(out, isfinite(score) ? " %+.3f  " : " not judged  ", score);
    put_excerpt(out, c->runs[r].view.rows[rows[r][i]].response);
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
    tpo_buf_puts(out, "\nSettings that differ\n");
    put_lines(out, &c->settings);
  }
  return put_most_different(c, shown, out, err);
}
