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

static json_t *estimate_json(const struct estimate *e)
{
  return json_pack("{s:I, s:o, s:o, s:o, s:o}", "n", (json_int_t)e->n, "mean", number(e->mean),
                   "standard_error", number(e->se), "low", number(e->low), "high", number(e->high));
}

static json_t *figures_json(const struct estimate *estimates)
{
  json_t *object = json_object();
  for (int f = 0; f < N_FIGURES; f++)
    json_object_set_new(object, figure_key((enum figure)f), estimate_json(&estimates[f]));
  return object;
}

static json_t *group_json(const struct group *group, enum group_by by, struct tpo_arena *arena)
{
  const char *name = group->name ? group_name(arena, group->name, strlen(group->name)) : NULL;
  json_t *object = json_pack("{s:s*, s:I, s:o, s:o, s:I, s:o, s:o}", "name", name, "n", (json_int_t)group->n,
                             "value", number(group->value), "value_se", number(group->value_se), "compared",
                             (json_int_t)group->compared, "difference", number(group->difference),
                             "difference_se", number(group->difference_se));
  if (object && by != GROUP_CHECK)
    json_object_update_new(object,
                           json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "wins", (json_int_t)group->wins,
                                     "losses", (json_int_t)group->losses, "ties", (json_int_t)group->ties,
                                     "win_rate", number(group->win_rate), "win_rate_low",
                                     number(group->win_low), "win_rate_high", number(group->win_high)));
  return object;
}

static json_t *groups_json(const struct compared_run *run)
{
  static const char *const names[N_GROUP_BY] = {"category", "dataset", "check"};
  json_t *object = json_object();
  struct tpo_arena arena = {0};
  for (int by = 0; by < N_GROUP_BY; by++) {
    const struct groups *groups = &run->groups[by];
    json_t *list = json_array();
    for (size_t i = 0; i < groups->n; i++)
      json_array_append_new(list, group_json(&groups->list[i], (enum group_by)by, &arena));
    json_object_set_new(object, names[by], list);
  }
  tpo_arena_free(&arena);
  return object;
}

static json_t *watch_json(const struct compared_run *run)
{
  json_t *object = json_object();
  const json_t *entry;
  size_t i;
  json_array_foreach(run->at->watch, i, entry)
  {
    const char *name = json_string_value(json_object_get(entry, "name"));
    if (name)
      json_object_set_new(object, name,
                          json_pack("{s:o, s:o}", "value", number(report_number(entry, "value")), "value_se",
                                    number(report_number(entry, "value_se"))));
  }
  return object;
}

static json_t *run_json(const struct compared *c, size_t r)
{
  const struct compared_run *run = &c->runs[r];
  json_t *object =
      json_pack("{s:s, s:i, s:i, s:b, s:I, s:o, s:o, s:o}", "run", run->name, "iteration", run->at->number,
                report_unit(&run->report, false), report_position(&run->report, run->at->number), "done",
                compared_is_done(run), "unmatched", (json_int_t)run->unmatched, "figures",
                figures_json(run->now), "kl_per_token", number(compared_kl(run)), "watch", watch_json(run));
  return object;
}

static json_t *against_json(const struct compared *c, size_t r)
{
  const struct compared_run *run = &c->runs[r];
  const struct win_rate *won = &run->won;
  json_t *object = json_pack("{s:s, s:s, s:o, s:o}", "run", run->name, "against", c->runs[0].name,
                             "differences", figures_json(run->change), "groups", groups_json(run));
  if (object && !c->shares)
    json_object_set_new(object, "won",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "n", (json_int_t)won->n,
                                  "wins", (json_int_t)won->wins, "losses", (json_int_t)won->losses, "ties",
                                  (json_int_t)won->ties, "unjudged", (json_int_t)won->unjudged, "win_rate",
                                  number(won->rate), "standard_error", number(won->standard_error), "low",
                                  number(run->won_rate.low), "high", number(run->won_rate.high)));
  return object;
}

static json_t *instruction_json(const struct compared *c, size_t i, size_t *const *rows)
{
  const struct tpo_sample_row *first = &c->runs[0].view.rows[rows[0][i]];
  json_t *answers = json_array();
  for (size_t r = 0; r < c->n_runs; r++) {
    const struct tpo_sample_row *row = &c->runs[r].view.rows[rows[r][i]];
    json_array_append_new(answers,
                          json_pack("{s:o, s:s, s:s}", "score", number(c->runs[r].values[FIGURE_SCORE][i]),
                                    "thought", row->thought, "response", row->response));
  }
  return json_pack("{s:s, s:s, s:o}", "id", first->prompt_id, "instruction", first->instruction, "answers",
                   answers);
}

int compared_json(const struct compared *c, size_t shown, struct tpo_buf *out, struct tpo_error *err)
{
  size_t **rows = compared_all_rows(c, err);
  json_t *runs = json_array(), *against = json_array(), *most = json_array();
  for (size_t r = 0; r < c->n_runs; r++) json_array_append_new(runs, run_json(c, r));
  for (size_t r = 1; r < c->n_runs; r++) json_array_append_new(against, against_json(c, r));
  for (size_t i = 0; rows && i < shown && i < c->n; i++)
    json_array_append_new(most, instruction_json(c, c->order[i], rows));
  json_t *settings = json_array();
  for (const char *at = c->settings.data; at && *at; at = strchr(at, '\n') + 1)
    json_array_append_new(settings, json_stringn(at, (size_t)(strchr(at, '\n') - at)));
  json_t *root =
      json_pack("{s:I, s:b, s:o, s:o, s:o, s:o}", "instructions", (json_int_t)c->n, "shares", c->shares,
                "runs", runs, "against_first", against, "settings", settings, "most_different", most);
  char *text = root && rows ? tpo_json_dump(root) : NULL;
  json_decref(root);
  free(rows);
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "out of memory for the comparison");
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
