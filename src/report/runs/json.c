/* The comparison as JSON, and the calls that programs make. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "report/position.h"
#include "report/runs/runs.h"

static json_t *number(double value)
{
  return isfinite(value) ? json_real(value) : json_null();
}

/* json_pack and json_array_append_new of what could not be made fail in turn, so a NULL anywhere is one at the end. */
static bool append(json_t *list, json_t *item)
{
  return list && json_array_append_new(list, item) == 0;
}

static json_t *whole_or_null(json_t *object, bool whole)
{
  if (whole) return object;
  json_decref(object);
  return NULL;
}

static json_t *estimate_json(const struct estimate *e)
{
  return json_pack("{s:I, s:o, s:o, s:o, s:o}", "n", (json_int_t)e->n, "mean", number(e->mean),
                   "standard_error", number(e->se), "low", number(e->low), "high", number(e->high));
}

static json_t *figures_json(const struct estimate *estimates)
{
  json_t *object = json_object();
  bool whole = object != NULL;
  for (int f = 0; f < N_FIGURES && whole; f++)
    whole = json_object_set_new(object, figure_key((enum figure)f), estimate_json(&estimates[f])) == 0;
  return whole_or_null(object, whole);
}

static json_t *wins_of_group(const struct group *group)
{
  return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "wins", (json_int_t)group->wins, "losses",
                   (json_int_t)group->losses, "ties", (json_int_t)group->ties, "win_rate",
                   number(group->win_rate), "win_rate_low", number(group->win_low), "win_rate_high",
                   number(group->win_high));
}

/* wins: by score. */
static json_t *group_json(const char *name, const struct group *group, bool wins)
{
  json_t *object =
      json_pack("{s:s, s:I, s:I, s:o, s:o, s:I, s:o, s:o}", "name", name, "n", (json_int_t)group->n,
                "unjudged", (json_int_t)group->unjudged, "value", number(group->value), "value_se",
                number(group->value_se), "compared", (json_int_t)group->compared, "difference",
                number(group->difference), "difference_se", number(group->difference_se));
  return whole_or_null(object,
                       object && (!wins || json_object_update_new(object, wins_of_group(group)) == 0));
}

/* The largest ones, then "others" and "none" where there are such. */
static json_t *groups_json(const struct groups *groups, bool wins)
{
  json_t *list = json_array();
  bool whole = list != NULL;
  for (size_t i = 0; i < groups->n && whole; i++)
    whole = append(list, group_json(groups->list[i].name, &groups->list[i], wins));
  json_t *object = json_pack("{s:o}", "groups", whole_or_null(list, whole));
  whole = object != NULL;
  if (whole && groups->n_other)
    whole = json_object_set_new(object, "others", group_json("", &groups->other, wins)) == 0;
  if (whole && groups->without.n)
    whole = json_object_set_new(object, "none", group_json("", &groups->without, wins)) == 0;
  return whole_or_null(object, whole);
}

static json_t *watch_json(const struct compared *c, const struct compared_run *run)
{
  json_t *object = json_object();
  bool whole = object != NULL;
  size_t at[2] = {0, 0};
  for (const char *name; whole && (name = compared_next_watch(c, at));) {
    const json_t *own = compared_watch(run, name);
    if (own)
      whole = json_object_set_new(object, name,
                                  json_pack("{s:o, s:o}", "value", number(report_number(own, "value")),
                                            "value_se", number(report_number(own, "value_se")))) == 0;
  }
  return whole_or_null(object, whole);
}

static json_t *run_json(const struct compared *c, size_t r)
{
  const struct compared_run *run = &c->runs[r];
  return json_pack("{s:o, s:i, s:i, s:b, s:I, s:o, s:o, s:o}", "run", tpo_json_visible(run->name),
                   "iteration", run->at->number, report_unit(&run->report, false),
                   report_position(&run->report, run->at->number), "done", compared_is_done(run), "unmatched",
                   (json_int_t)run->unmatched, "figures", figures_json(run->now), "kl_per_token",
                   number(compared_kl(run)), "watch", watch_json(c, run));
}

static json_t *won_json(const struct compared_run *run)
{
  const struct win_rate *won = &run->won;
  return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "n", (json_int_t)won->n, "wins",
                   (json_int_t)won->wins, "losses", (json_int_t)won->losses, "ties", (json_int_t)won->ties,
                   "unjudged", (json_int_t)won->unjudged, "win_rate", number(won->rate), "standard_error",
                   number(won->standard_error), "low", number(run->won_rate.low), "high",
                   number(run->won_rate.high));
}

static json_t *against_json(const struct compared *c, size_t r)
{
  const struct compared_run *run = &c->runs[r];
  json_t *object =
      json_pack("{s:o, s:o, s:o, s:{s:o, s:o, s:o}}", "run", tpo_json_visible(run->name), "against",
                tpo_json_visible(c->runs[0].name), "differences", figures_json(run->change), "groups",
                "category", groups_json(&run->groups[GROUP_CATEGORY], !c->shares), "dataset",
                groups_json(&run->groups[GROUP_DATASET], !c->shares), "check",
                groups_json(&run->groups[GROUP_CHECK], false));
  return whole_or_null(object,
                       object && (c->shares || json_object_set_new(object, "won", won_json(run)) == 0));
}

static json_t *instruction_json(const struct compared *c, size_t i, size_t *const *rows)
{
  const struct tpo_sample_row *first = &c->runs[0].view.rows[rows[0][i]];
  json_t *answers = json_array();
  bool whole = answers != NULL;
  for (size_t r = 0; r < c->n_runs && whole; r++) {
    const struct tpo_sample_row *row = &c->runs[r].view.rows[rows[r][i]];
    whole = append(answers, json_pack("{s:o, s:s, s:s}", "score", number(c->runs[r].values[FIGURE_SCORE][i]),
                                      "thought", row->thought, "response", row->response));
  }
  return json_pack("{s:s, s:s, s:o}", "id", first->prompt_id, "instruction", first->instruction, "answers",
                   whole_or_null(answers, whole));
}

static json_t *lines_json(const struct tpo_buf *lines)
{
  json_t *list = json_array();
  bool whole = list != NULL;
  for (const char *at = lines->data, *end; whole && at && *at; at = end + 1) {
    end = strchr(at, '\n');
    whole = append(list, json_stringn(at, (size_t)(end - at)));
  }
  return whole_or_null(list, whole);
}

static json_t *most_different_json(const struct compared *c, size_t shown, struct tpo_error *err)
{
  size_t **rows = compared_all_rows(c, err);
  json_t *list = json_array();
  bool whole = list && rows;
  for (size_t i = 0; whole && i < shown && i < c->n; i++)
    whole = append(list, instruction_json(c, c->order[i], rows));
  free(rows);
  return whole_or_null(list, whole);
}

int compared_json(const struct compared *c, size_t shown, struct tpo_buf *out, struct tpo_error *err)
{
  json_t *runs = json_array(), *against = json_array();
  bool whole = runs && against;
  for (size_t r = 0; r < c->n_runs && whole; r++) whole = append(runs, run_json(c, r));
  for (size_t r = 1; r < c->n_runs && whole; r++) whole = append(against, against_json(c, r));
  json_t *root = json_pack("{s:I, s:b, s:o, s:o, s:o, s:o, s:o}", "instructions", (json_int_t)c->n, "shares",
                           c->shares, "runs", whole_or_null(runs, whole), "against_first",
                           whole_or_null(against, whole), "unlike", lines_json(&c->unlike), "settings",
                           lines_json(&c->settings), "most_different", most_different_json(c, shown, err));
  char *text = root ? tpo_json_dump(root) : NULL;
  json_decref(root);
  if (!text)
    return tpo_fail(err, TPO_E_MEMORY,
                    "the comparison can't be written as JSON: out of memory, or its text is no UTF-8");
  tpo_buf_puts(out, text);
  tpo_buf_putc(out, '\n');
  free(text);
  return 0;
}

int tpo_compare_runs(const char *const *dirs, size_t n, const struct tpo_compare_options *options, char **out,
                     struct tpo_error *err)
{
  struct compared c;
  struct tpo_buf text = {0};
  int status = compared_load(&c, dirs, n, options, err);
  if (status == 0)
    status = (options->form == TPO_COMPARE_JSON   ? compared_json
              : options->form == TPO_COMPARE_HTML ? compared_page
                                                  : compared_text)(&c, options->shown, &text, err);
  if (status == 0 && text.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory for the comparison");
  compared_free(&c);
  if (status < 0)
    tpo_buf_free(&text);
  else
    *out = tpo_buf_take(&text);
  return status;
}
