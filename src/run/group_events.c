/* Scores, win rates and passed checks by what the instructions are, and what sort of thoughts there are, as
 * events. */
#include "run/group_events.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "measure/groups.h"
#include "run/fields.h"
#include "tpo/judge.h"

static const char *const group_kinds[N_GROUP_BY] = {"category", "dataset", "check"};

/* What is told of a group. */
enum { TELL_VALUES = 1, TELL_SCORE = 2, TELL_DIFFERENCE = 4, TELL_WINS = 8 };

static json_t *named(const char *name)
{
  return name ? json_pack("{s:s}", "name", name) : json_object();
}

static json_t *add_values(json_t *object, const struct group *g, enum group_by by, bool score)
{
  const struct field passed[] = {COUNT("checks", g->checks), COUNT("passed", g->passed),
                                 REAL("pass_rate", g->value), REAL("pass_rate_se", g->value_se)};
  const struct field judged[] = {COUNT("unjudged", g->unjudged)};
  const struct field scored[] = {REAL("mean_score", g->value), REAL("mean_score_se", g->value_se)};
  const struct field outputs[] = {REAL("format_rate", g->format_rate),
                                  REAL("mean_response_tokens", g->response_tokens),
                                  REAL("mean_response_chars", g->response_chars)};
  if (by == GROUP_CHECK) return FIELDS(object, passed);
  object = FIELDS(object, judged);
  if (score) object = FIELDS(object, scored);
  return FIELDS(object, outputs);
}

static json_t *group_object(const struct group *g, enum group_by by, int what)
{
  const struct field size[] = {COUNT("n", g->n)};
  const struct field difference[] = {COUNT("compared", g->compared), REAL("difference", g->difference),
                                     REAL("difference_se", g->difference_se)};
  const struct field wins[] = {COUNT("wins", g->wins),           COUNT("losses", g->losses),
                               COUNT("ties", g->ties),           REAL("win_rate", g->win_rate),
                               REAL("win_rate_low", g->win_low), REAL("win_rate_high", g->win_high)};
  json_t *object = FIELDS(named(g->name), size);
  if (what & TELL_VALUES) object = add_values(object, g, by, what & TELL_SCORE);
  if (what & TELL_DIFFERENCE) object = FIELDS(object, difference);
  if (what & TELL_WINS) object = FIELDS(object, wins);
  return object;
}

/* event with the groups added; takes it. NULL when memory is short. */
static json_t *with_groups(json_t *event, const struct groups *groups, int what)
{
  const struct field others[] = {COUNT("groups", groups->n_other)};
  json_t *list = json_array();
  bool ok = event && list;
  for (size_t i = 0; i < groups->n && ok; i++)
    ok = json_array_append_new(list, group_object(&groups->list[i], groups->by, what)) == 0;
  ok = ok && json_object_set(event, "groups", list) == 0;
  if (ok && groups->n_other > 0)
    ok = json_object_set_new(event, "other",
                             FIELDS(group_object(&groups->other, groups->by, what), others)) == 0;
  if (ok && groups->without.n > 0)
    ok = json_object_set_new(event, "without", group_object(&groups->without, groups->by, what)) == 0;
  json_decref(list);
  if (ok) return event;
  json_decref(event);
  return NULL;
}

/* One group alone tells nothing that the whole doesn't; one kind of check does. */
static bool worth_telling(const struct groups *groups)
{
  return groups_count(groups) > (groups->by == GROUP_CHECK ? 0 : 1);
}

/* Scores of an iteration's samples by a judge that compares are shares within a prompt: their mean is the same
 * of any group, but for rounding. */
static bool is_of_shares(const struct loop *loop, const char *of)
{
  return strcmp(of, "judge") == 0 && tpo_judge_compares(&loop->config->judge);
}

static int tell_groups(struct loop *loop, const struct tpo_samples *samples, enum group_by by, const char *of,
                       const struct group_options *options, struct tpo_error *err)
{
  struct groups groups;
  int what = TELL_VALUES | TELL_SCORE | (options->before ? TELL_DIFFERENCE : 0) |
             (options->outcomes ? TELL_WINS : 0);
  int status = groups_of(&groups, samples, by, options, err);
  if (status < 0) return status;
  if (is_of_shares(loop, of)) what &= ~TELL_SCORE;
  if (worth_telling(&groups)) {
    json_t *event = json_pack("{s:s, s:s}", "of", of, "by", group_kinds[by]);
    if (by == GROUP_CHECK) {
      what &= ~TELL_WINS;
      json_object_set_new(event, "strict", json_boolean(loop->config->judge.strict));
    }
    status = loop_event(loop, "groups", with_groups(event, &groups, what), err);
  }
  groups_free(&groups);
  return status;
}

static int tell_all(struct loop *loop, const struct tpo_samples *samples, const char *of,
                    const struct group_options *options, struct tpo_error *err)
{
  int status = 0;
  for (enum group_by by = 0; by < N_GROUP_BY && status == 0; by++)
    status = tell_groups(loop, samples, by, of, options, err);
  return status;
}

int loop_tell_judged_groups(struct loop *loop, double unparsed, struct tpo_error *err)
{
  return tell_all(loop, &loop->samples, "judge", &(struct group_options){.unparsed = unparsed}, err);
}

int loop_tell_validated_groups(struct loop *loop, const struct tpo_samples *now,
                               const struct tpo_samples *start, double unparsed, struct tpo_error *err)
{
  struct group_options options = {.unparsed = unparsed};
  struct win_rate rate;
  double *outcomes = NULL;
  if (loop->iteration > 0) {
    outcomes = tpo_calloc(now->n, sizeof *outcomes, err);
    if (!outcomes) return TPO_E_MEMORY;
    if (tpo_judge_compares(&loop->config->judge))
      win_rate_of_shares(now, outcomes, &rate);
    else
      win_rate_of_scores(now, NULL, start, NULL, unparsed, outcomes, &rate);
    options.before = start;
    options.outcomes = outcomes;
  }
  int status = tell_all(loop, now, "validate", &options, err);
  free(outcomes);
  return status;
}

int loop_tell_group_wins(struct loop *loop, const struct tpo_samples *now, const double *outcomes,
                         const char *against, int iteration, struct tpo_error *err)
{
  const struct group_options options = {.outcomes = outcomes};
  int status = 0;
  for (enum group_by by = GROUP_CATEGORY; by <= GROUP_DATASET && status == 0; by++) {
    struct groups groups;
    status = groups_of(&groups, now, by, &options, err);
    if (status < 0) return status;
    if (worth_telling(&groups)) {
      json_t *event = json_pack("{s:s, s:i, s:s}", "against", against, "baseline_iteration", iteration, "by",
                                group_kinds[by]);
      status = loop_event(loop, "group_wins", with_groups(event, &groups, TELL_WINS), err);
    }
    groups_free(&groups);
  }
  return status;
}
