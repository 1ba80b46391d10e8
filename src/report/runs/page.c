/* The comparison as one HTML page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/page.h"
#include "report/parts.h"
#include "report/position.h"
#include "report/runs/runs.h"

static void put_letter(struct tpo_buf *out, size_t run)
{
  char letter[16];
  run_letter(run, letter);
  tpo_buf_puts(out, letter);
}

static void put_letter_heads(struct tpo_buf *out, const struct compared *c)
{
  tpo_buf_puts(out, "<thead><tr><th scope=\"col\"><span class=\"sr\">quantity</span></th>");
  for (size_t r = 0; r < c->n_runs; r++) {
    tpo_buf_puts(out, "<th scope=\"col\">");
    put_letter(out, r);
    tpo_buf_puts(out, "</th>");
  }
  tpo_buf_puts(out, "</tr></thead>\n");
}

static void put_estimate(struct tpo_buf *out, const struct estimate *e, int decimals, double factor,
                         bool sign)
{
  (sign ? html_signed : html_number)(out, factor * e->mean, decimals);
  if (isfinite(e->mean)) html_error(out, factor * e->se, decimals);
}

static void put_runs(struct tpo_buf *out, const struct compared *c)
{
  tpo_buf_puts(out, "<header>\n<p class=\"kicker\">Comparison</p>\n<h1>Runs on the same instructions</h1>\n"
                    "<dl class=\"facts\">\n");
  for (size_t r = 0; r < c->n_runs; r++) {
    tpo_buf_puts(out, "<div><dt>");
    put_letter(out, r);
    tpo_buf_puts(out, "</dt><dd>");
    html_text(out, c->runs[r].name);
    tpo_buf_puts(out, ", ");
    run_place(&c->runs[r], out);
    if (!compared_is_done(&c->runs[r])) tpo_buf_puts(out, " <span class=\"badge warn\">not finished</span>");
    tpo_buf_puts(out, "</dd></div>\n");
  }
  tpo_buf_puts(out, "</dl>\n</header>\n<main>\n");
}

/* With a judge that compares, scores are against other rivals in each run: a difference says nothing of who is better. */
static void put_verdict(struct tpo_buf *out, const struct compared *c, size_t r)
{
  static const char *const says[] = {
      [CHANGE_UNKNOWN] = "No instruction was judged in both runs.",
      [CHANGE_NONE] = "That is no difference.",
      [CHANGE_TOO_FEW] =
          "Too few instructions, or too little spread among them, to say whether that is more than noise.",
      [CHANGE_NOISE] = "Within two standard errors: these runs show no difference in score.",
      [CHANGE_UP] = "More than two standard errors: better than A.",
      [CHANGE_DOWN] = "More than two standard errors: worse than A."};
  const struct estimate *e = &c->runs[r].change[FIGURE_SCORE];
  enum change_says what = change_says(e->mean, e->se, e->n);
  bool shares = c->shares && what >= CHANGE_UP;
  tpo_buf_printf(out, "<p class=\"big %s\">",
                 shares || what < CHANGE_UP ? ""
                 : what == CHANGE_UP        ? "up"
                                            : "down");
  put_letter(out, r);
  tpo_buf_puts(out, " − A: ");
  put_estimate(out, e, 3, 1, true);
  tpo_buf_printf(out, "</p>\n<p class=\"lead\">%s</p>\n",
                 shares ? "More than two standard errors, each against its own start model." : says[what]);
}

static void put_verdicts(struct tpo_buf *out, const struct compared *c)
{
  tpo_buf_puts(out, "<section id=\"result\">\n<h2>Result</h2>\n");
  if (c->unlike.len > 0) {
    tpo_buf_puts(
        out, "<p class=\"lead\"><span class=\"badge warn\">not alike</span> These runs were not judged and "
             "validated alike, so differences are not the models’ alone:</p>\n<pre>");
    html_text_n(out, c->unlike.data, c->unlike.len);
    tpo_buf_puts(out, "</pre>\n");
  }
  for (size_t r = 1; r < c->n_runs; r++) put_verdict(out, c, r);
  tpo_buf_printf(out, "<p class=\"note\">%zu validation instruction%s that all runs have", c->n,
                 c->n == 1 ? "" : "s");
  for (size_t r = 0; r < c->n_runs; r++) {
    if (!c->runs[r].unmatched) continue;
    tpo_buf_printf(out, "; %zu more of ", c->runs[r].unmatched);
    put_letter(out, r);
    tpo_buf_puts(out, " are left out");
  }
  tpo_buf_puts(out, ". ± is the standard error; differences are paired by instruction.");
  if (c->shares)
    tpo_buf_puts(out,
                 " The judge compares: a score is the share of comparisons won against the run's own start "
                 "model, and which of two runs' responses it would prefer was not asked.");
  tpo_buf_puts(out, "</p>\n</section>\n");
}

static void put_judged_row(struct tpo_buf *out, const struct compared *c)
{
  bool all = true;
  for (size_t r = 0; r < c->n_runs; r++) all &= c->runs[r].now[FIGURE_SCORE].n == c->n;
  if (all) return;
  tpo_buf_puts(out, "<tr><th scope=\"row\">instructions judged</th>");
  for (size_t r = 0; r < c->n_runs; r++) tpo_buf_printf(out, "<td>%zu</td>", c->runs[r].now[FIGURE_SCORE].n);
  tpo_buf_puts(out, "</tr>\n");
}

static void put_figure_rows(struct tpo_buf *out, const struct compared *c)
{
  for (int f = 0; f < N_FIGURES; f++) {
    double factor;
    int decimals = figure_decimals((enum figure)f, &factor);
    if (!compared_has(c, (enum figure)f)) continue;
    tpo_buf_printf(out, "<tr><th scope=\"row\">%s</th>", figure_name((enum figure)f));
    for (size_t r = 0; r < c->n_runs; r++) {
      tpo_buf_puts(out, "<td>");
      put_estimate(out, &c->runs[r].now[f], decimals, factor, false);
      tpo_buf_puts(out, "</td>");
    }
    tpo_buf_puts(out, "</tr>\n");
  }
  tpo_buf_puts(out, "<tr><th scope=\"row\">KL a token of the last sampler to the start, nats</th>");
  for (size_t r = 0; r < c->n_runs; r++) {
    tpo_buf_puts(out, "<td>");
    html_number(out, compared_kl(&c->runs[r]), 5);
    tpo_buf_puts(out, "</td>");
  }
  tpo_buf_puts(out, "</tr>\n");
}

static void put_watch_rows(struct tpo_buf *out, const struct compared *c)
{
  size_t at[2] = {0, 0};
  for (const char *name; (name = compared_next_watch(c, at));) {
    tpo_buf_puts(out, "<tr><th scope=\"row\">");
    html_excerpt(out, name, 60);
    tpo_buf_puts(out, "</th>");
    for (size_t r = 0; r < c->n_runs; r++) {
      const json_t *own = compared_watch(&c->runs[r], name);
      tpo_buf_puts(out, "<td>");
      html_number(out, report_number(own, "value"), 3);
      html_error(out, report_number(own, "value_se"), 3);
      tpo_buf_puts(out, "</td>");
    }
    tpo_buf_puts(out, "</tr>\n");
  }
}

static void put_figures(struct tpo_buf *out, const struct compared *c)
{
  tpo_buf_puts(
      out, "<section id=\"figures\">\n<h2>Figures</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
           "aria-label=\"Figures of each run\"><table class=\"compare\">\n");
  put_letter_heads(out, c);
  tpo_buf_puts(out, "<tbody>\n");
  put_judged_row(out, c);
  put_figure_rows(out, c);
  put_watch_rows(out, c);
  tpo_buf_puts(out, "</tbody></table></div>\n");
}

static void put_interval(struct tpo_buf *out, const struct estimate *e, int decimals, double factor,
                         bool sign)
{
  void (*put)(struct tpo_buf *, double, int) = sign ? html_signed : html_number;
  if (!isfinite(e->low)) return;
  put(out, factor * e->low, decimals);
  tpo_buf_puts(out, " to ");
  put(out, factor * e->high, decimals);
}

static void put_won_row(struct tpo_buf *out, const struct compared *c, const struct compared_run *run)
{
  if (c->shares || !isfinite(run->won.rate)) return;
  tpo_buf_puts(out, "<tr><th scope=\"row\">instructions won, ties half, %</th><td>");
  put_estimate(out, &run->won_rate, 1, 100, false);
  tpo_buf_puts(out, "</td><td>");
  put_interval(out, &run->won_rate, 1, 100, false);
  tpo_buf_printf(out, "</td><td>%zu won, %zu lost, %zu even", run->won.wins, run->won.losses, run->won.ties);
  if (run->won.unjudged) tpo_buf_printf(out, ", %zu not judged in both", run->won.unjudged);
  tpo_buf_puts(out, "</td></tr>\n");
}

static void put_changes(struct tpo_buf *out, const struct compared *c, size_t r)
{
  const struct compared_run *run = &c->runs[r];
  tpo_buf_puts(out, "<h3>");
  put_letter(out, r);
  tpo_buf_printf(
      out,
      " against A</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Differences\">"
      "<table class=\"compare\">\n<thead><tr><th scope=\"col\"><span class=\"sr\">quantity</span></th>"
      "<th scope=\"col\">difference</th><th scope=\"col\">95 %% of %d bootstrap draws</th>"
      "<th scope=\"col\"><span class=\"sr\">counts</span></th></tr></thead>\n<tbody>\n",
      BOOTSTRAP_DRAWS);
  for (int f = 0; f < N_FIGURES; f++) {
    double factor;
    int decimals = figure_decimals((enum figure)f, &factor);
    if (!isfinite(run->change[f].mean)) continue;
    tpo_buf_printf(out, "<tr><th scope=\"row\">%s</th><td>", figure_name((enum figure)f));
    put_estimate(out, &run->change[f], decimals, factor, true);
    tpo_buf_puts(out, "</td><td>");
    put_interval(out, &run->change[f], decimals, factor, true);
    tpo_buf_puts(out, "</td><td>");
    if (run->change[f].n < c->n) tpo_buf_printf(out, "of %zu", run->change[f].n);
    tpo_buf_puts(out, "</td></tr>\n");
  }
  put_won_row(out, c, run);
  tpo_buf_puts(out, "</tbody></table></div>\n");
}

static void put_group_row(struct tpo_buf *out, const struct compared *c, enum group_by by, const char *name,
                          const struct group *group)
{
  double factor;
  int decimals = group_decimals(by, &factor);
  tpo_buf_puts(out, "<tr><th scope=\"row\">");
  html_text(out, name);
  tpo_buf_printf(out, "</th><td>%zu</td><td>", group->n);
  put_estimate(out, &(struct estimate){.mean = group->value, .se = group->value_se}, decimals, factor, false);
  tpo_buf_puts(out, "</td><td>");
  put_estimate(out, &(struct estimate){.mean = group->difference, .se = group->difference_se}, decimals,
               factor, true);
  tpo_buf_puts(out, "</td><td>");
  if (by != GROUP_CHECK && !c->shares && isfinite(group->win_rate)) {
    html_percent(out, group->win_rate, 0);
    tpo_buf_puts(out, " (");
    html_percent(out, group->win_low, 0);
    tpo_buf_puts(out, " to ");
    html_percent(out, group->win_high, 0);
    tpo_buf_puts(out, ")");
  }
  tpo_buf_puts(out, "</td></tr>\n");
}

static void put_groups(struct tpo_buf *out, const struct compared *c, size_t r, enum group_by by)
{
  static const char *const heads[N_GROUP_BY] = {"By category", "By data set",
                                                "By kind of check, % that hold"};
  const struct groups *groups = &c->runs[r].groups[by];
  if (groups_count(groups) < (by == GROUP_CHECK ? 1 : 2)) return;
  tpo_buf_printf(out,
                 "<details><summary>%s</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
                 "aria-label=\"%s\"><table class=\"compare\">\n<thead><tr><th scope=\"col\">name</th><th "
                 "scope=\"col\">instructions</th><th scope=\"col\">",
                 heads[by], heads[by]);
  put_letter(out, r);
  tpo_buf_printf(
      out, "</th><th scope=\"col\">difference to A</th><th scope=\"col\">%s</th></tr></thead>\n<tbody>\n",
      by == GROUP_CHECK || c->shares ? "" : "won, Wilson’s 95 %");
  for (size_t i = 0; i < groups->n; i++) put_group_row(out, c, by, groups->list[i].name, &groups->list[i]);
  if (groups->n_other) put_group_row(out, c, by, "others together", &groups->other);
  if (groups->without.n) put_group_row(out, c, by, "none named", &groups->without);
  tpo_buf_puts(out, "</tbody></table></div></details>\n");
}

static void put_settings(struct tpo_buf *out, const struct compared *c)
{
  if (c->settings.len == 0) return;
  tpo_buf_puts(out, "<section id=\"settings\">\n<h2>Settings that differ</h2>\n<pre>");
  html_text_n(out, c->settings.data, c->settings.len);
  tpo_buf_puts(out, "</pre>\n</section>\n");
}

static void put_charts(struct tpo_buf *out, const struct compared *c)
{
  const struct report *reports[MOST_BESIDE];
  char letters[MOST_BESIDE][16];
  size_t n = c->n_runs < MOST_BESIDE ? c->n_runs : MOST_BESIDE;
  for (size_t r = 0; r < n; r++) {
    reports[r] = &c->runs[r].report;
    run_letter(r, letters[r]);
  }
  tpo_buf_puts(out, "<section id=\"charts\">\n<h2>Charts</h2>\n");
  if (c->n_runs > n) tpo_buf_printf(out, "<p class=\"note\">Of the first %zu runs.</p>\n", n);
  tpo_buf_puts(out, "<div class=\"charts\">\n");
  trend_charts_beside(out, reports, letters, n);
  tpo_buf_puts(out, "</div>\n</section>\n");
}

static void put_instruction(struct tpo_buf *out, const struct compared *c, size_t i, size_t *const *rows)
{
  const struct tpo_sample_row *first = &c->runs[0].view.rows[rows[0][i]];
  tpo_buf_puts(out, "<details class=\"prompt\" open>\n<summary><span class=\"ask\">");
  html_excerpt(out, first->instruction, 150);
  tpo_buf_puts(out, "</span> <span class=\"gist\">");
  html_excerpt(out, first->prompt_id, 80);
  tpo_buf_puts(out, "</span></summary>\n");
  prompt_body(out, first);
  tpo_buf_puts(out, "<div class=\"samples\">\n");
  for (size_t r = 0; r < c->n_runs; r++) {
    char letter[16];
    run_letter(r, letter);
    sample_card(out, &c->runs[r].view.rows[rows[r][i]], letter, 0, 0);
  }
  tpo_buf_puts(out, "</div>\n</details>\n");
}

static void put_most_different(struct tpo_buf *out, const struct compared *c, size_t shown,
                               size_t *const *rows)
{
  if (shown > c->n) shown = c->n;
  if (shown == 0) return;
  tpo_buf_puts(out, "<section id=\"samples\">\n<h2>Where scores differ most</h2>\n"
                    "<p class=\"note\">The first response of each run.</p>\n");
  for (size_t i = 0; i < shown; i++) put_instruction(out, c, c->order[i], rows);
  tpo_buf_puts(out, "</section>\n");
}

int compared_page(const struct compared *c, size_t shown, struct tpo_buf *out, struct tpo_error *err)
{
  size_t **rows = compared_all_rows(c, err);
  if (!rows) return TPO_E_MEMORY;
  struct tpo_buf title = {0};
  for (size_t r = 0; r < c->n_runs; r++) tpo_buf_printf(&title, "%s%s", r ? " beside " : "", c->runs[r].name);
  page_begin(out, title.data ? title.data : "");
  put_runs(out, c);
  put_verdicts(out, c);
  put_figures(out, c);
  for (size_t r = 1; r < c->n_runs; r++) {
    put_changes(out, c, r);
    for (int by = 0; by < N_GROUP_BY; by++) put_groups(out, c, r, (enum group_by)by);
  }
  tpo_buf_puts(out, "</section>\n");
  put_charts(out, c);
  put_most_different(out, c, shown, rows);
  put_settings(out, c);
  page_end(out, "This page fetches nothing and works without scripts.");
  out->failed |= title.failed;
  tpo_buf_free(&title);
  free(rows);
  return 0;
}
