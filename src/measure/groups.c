/* Scored samples by category, data set or kind of check. */
#include "measure/groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "measure/wilson.h"

static int compare_names(const struct group_member *x, const struct group_member *y)
{
  if (!x->name || !y->name) return !x->name - !y->name;
  size_t common = x->name_len < y->name_len ? x->name_len : y->name_len;
  int order = memcmp(x->name, y->name, common);
  return order ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

bool group_same_name(const struct group_member *a, const struct group_member *b)
{
  return compare_names(a, b) == 0;
}

int group_member_order(const void *a, const void *b)
{
  const struct group_member *x = a, *y = b;
  int order = compare_names(x, y);
  return order ? order : strcmp(x->id, y->id);
}

/* Names the member by that field of the instruction's meta, unless it is absent or empty. */
static int name_member(struct group_member *member, struct tpo_arena *arena, const char *meta,
                       const char *field, struct tpo_error *err)
{
  json_t *object = tpo_json_parse(meta, strlen(meta), "meta", NULL);
  const json_t *name = json_object_get(object, field);
  int status = 0;
  if (json_string_length(name) > 0) {
    member->name_len = json_string_length(name);
    member->name = tpo_arena_memdup(arena, json_string_value(name), member->name_len);
    if (!member->name) status = tpo_fail(err, TPO_E_MEMORY, "no memory for the names of groups");
  }
  json_decref(object);
  return status;
}

static int instruction_members(struct group_members *out, struct tpo_arena *arena,
                               const struct tpo_samples *samples, const char *field,
                               const struct group_options *o, struct tpo_error *err)
{
  size_t at = 0;
  int status = 0;
  for (size_t row = 0; row < samples->n && status == 0; row = tpo_samples_prompt_end(samples, row)) {
    status = tpo_grow(&out->list, &out->capacity, out->n + 1, sizeof *out->list, err);
    if (status < 0) return status;
    const char *id = samples->rows[row].prompt_id;
    struct group_member *member = &out->list[out->n++];
    *member = (struct group_member){.row = row,
                                    .id = id,
                                    .value = prompt_score(samples, row, o->unparsed, NULL),
                                    .before = NAN,
                                    .outcome = o->outcomes ? o->outcomes[row] : NAN};
    size_t other = o->before ? tpo_samples_find(o->before, id, &at) : 0;
    if (o->before && other < o->before->n) member->before = prompt_score(o->before, other, o->unparsed, NULL);
    status = name_member(member, arena, samples->rows[row].meta, field, err);
  }
  if (out->n) qsort(out->list, out->n, sizeof *out->list, group_member_order);
  return status;
}

static int members_of_checks(struct group_members *out, struct tpo_arena *arena,
                             const struct tpo_samples *samples, const struct group_options *o,
                             struct tpo_error *err)
{
  struct group_members before = {0};
  int status = check_members(out, arena, samples, err);
  if (status == 0 && o->before) status = check_members(&before, arena, o->before, err);
  if (status == 0) join_members(out, &before);
  free(before.list);
  return status;
}

static void add_outputs(struct group *group, const struct tpo_samples *samples, size_t first, double *outputs)
{
  size_t end = tpo_samples_prompt_end(samples, first);
  for (size_t i = first; i < end; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    group->format_rate += row->format_ok;
    group->response_tokens += row->n_tokens - row->n_thought_tokens;
    if (row->format_ok) group->response_chars += (double)tpo_utf8_count(row->response, strlen(row->response));
  }
  *outputs += (double)(end - first);
}

static void take_outcomes(struct group *group, const struct group_member *members, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    group->wins += members[i].outcome == 1;
    group->losses += members[i].outcome == 0;
    group->ties += members[i].outcome == 0.5;
  }
  double played = (double)(group->wins + group->losses + group->ties);
  double won = (double)group->wins + (double)group->ties / 2;
  group->win_rate = played > 0 ? won / played : NAN;
  wilson_interval(won, played, &group->win_low, &group->win_high);
}

/* scratch: [n]. */
static struct group sum_up(const struct tpo_samples *samples, const struct group_member *members, size_t n,
                           double *scratch)
{
  struct group group = {.n = n};
  size_t values = 0;
  double outputs = 0;
  for (size_t i = 0; i < n; i++) {
    if (!isnan(members[i].value)) scratch[values++] = members[i].value;
    add_outputs(&group, samples, members[i].row, &outputs);
    group.checks += members[i].checks;
    group.passed += members[i].passed;
  }
  group.value = mean_and_error(scratch, values, &group.value_se);
  group.unjudged = n - values;
  group.format_rate /= outputs;
  group.response_tokens /= outputs;
  group.response_chars /= outputs;
  for (size_t i = 0; i < n; i++)
    if (!isnan(members[i].value) && !isnan(members[i].before))
      scratch[group.compared++] = members[i].value - members[i].before;
  group.difference = mean_and_error(scratch, group.compared, &group.difference_se);
  take_outcomes(&group, members, n);
  return group;
}

struct run { /* members of one name */
  size_t begin, n;
};

static int larger_first(const void *a, const void *b)
{
  const struct run *x = a, *y = b;
  if (x->n != y->n) return x->n < y->n ? 1 : -1;
  return (x->begin > y->begin) - (x->begin < y->begin); /* members are in the order of names */
}

/* Those of each name, to runs; *named: members that have one. */
static size_t find_runs(const struct group_members *members, struct run *runs, size_t *named)
{
  size_t n = 0, i = 0;
  for (; i < members->n && members->list[i].name; i++) {
    if (i == 0 || !group_same_name(&members->list[i - 1], &members->list[i]))
      runs[n++] = (struct run){.begin = i};
    runs[n - 1].n++;
  }
  *named = i;
  if (n) qsort(runs, n, sizeof *runs, larger_first);
  return n;
}

/* Those beyond the largest, as one: an instruction of two of them counts twice by check, never otherwise. */
static int sum_up_others(struct groups *out, const struct tpo_samples *samples,
                         const struct group_members *members, const struct run *runs, size_t n,
                         double *scratch, struct tpo_error *err)
{
  struct group_member *rest = tpo_calloc(members->n, sizeof *rest, err);
  size_t n_rest = 0;
  if (!rest) return TPO_E_MEMORY;
  for (size_t r = 0; r < n; r++)
    for (size_t i = 0; i < runs[r].n; i++) rest[n_rest++] = members->list[runs[r].begin + i];
  out->other = sum_up(samples, rest, n_rest, scratch);
  out->n_other = n;
  free(rest);
  return 0;
}

/* runs and scratch: [members->n]. */
static int sum_up_all(struct groups *out, const struct tpo_samples *samples,
                      const struct group_members *members, struct run *runs, double *scratch,
                      struct tpo_error *err)
{
  size_t named, n = find_runs(members, runs, &named);
  out->n = n < MOST_GROUPS ? n : MOST_GROUPS;
  for (size_t g = 0; g < out->n; g++) {
    const struct group_member *first = &members->list[runs[g].begin];
    out->list[g] = sum_up(samples, first, runs[g].n, scratch);
    out->list[g].name = group_name(&out->arena, first->name, first->name_len);
    if (!out->list[g].name) return tpo_fail(err, TPO_E_MEMORY, "no memory for the names of groups");
  }
  if (members->n > named) out->without = sum_up(samples, members->list + named, members->n - named, scratch);
  if (n <= MOST_GROUPS) return 0;
  return sum_up_others(out, samples, members, runs + MOST_GROUPS, n - MOST_GROUPS, scratch, err);
}

int groups_of(struct groups *out, const struct tpo_samples *samples, enum group_by by,
              const struct group_options *options, struct tpo_error *err)
{
  struct group_members members = {0};
  *out = (struct groups){.by = by};
  int status = by == GROUP_CHECK
                   ? members_of_checks(&members, &out->arena, samples, options, err)
                   : instruction_members(&members, &out->arena, samples,
                                         by == GROUP_CATEGORY ? "category" : "dataset", options, err);
  struct run *runs = tpo_calloc(members.n, sizeof *runs, err);
  double *scratch = tpo_calloc(members.n, sizeof *scratch, err);
  out->list = tpo_calloc(MOST_GROUPS, sizeof *out->list, err);
  if (status == 0 && !(runs && scratch && out->list)) status = TPO_E_MEMORY;
  if (status == 0) status = sum_up_all(out, samples, &members, runs, scratch, err);
  free(runs);
  free(scratch);
  free(members.list);
  if (status < 0) groups_free(out);
  return status;
}

void groups_free(struct groups *groups)
{
  free(groups->list);
  tpo_arena_free(&groups->arena);
  *groups = (struct groups){0};
}

size_t groups_count(const struct groups *groups)
{
  return groups->n + groups->n_other + (groups->without.n > 0);
}
