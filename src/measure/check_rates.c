/* Which checks responses passed, by the kind of check, from what the rule judge noted with its scores. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "measure/groups.h"

/* The rule judge's verdicts in a score's detail; NULL: none. A route has the detail of the judge that it led
 * to within its own, and a sum that of each term. */
static const json_t *verdicts_of(const json_t *detail)
{
  const json_t *own = json_object_get(detail, "checks"), *term, *found = NULL;
  size_t i;
  if (json_is_array(own)) return own;
  own = json_object_get(json_object_get(detail, "detail"), "checks");
  if (json_is_array(own)) return own;
  json_array_foreach(json_object_get(detail, "terms"), i, term)
  {
    own = json_object_get(json_object_get(term, "detail"), "checks");
    if (!found && json_is_array(own)) found = own;
  }
  return found;
}

/* The instruction's member of that kind, from `first` on; made where there is none. */
static struct group_member *member_of(struct group_members *out, size_t first, struct tpo_arena *arena,
                                      const json_t *type, struct tpo_error *err)
{
  const char *name = json_string_value(type);
  size_t len = json_string_length(type);
  for (size_t i = first; i < out->n; i++)
    if (out->list[i].name_len == len && memcmp(out->list[i].name, name, len) == 0) return &out->list[i];
  if (tpo_grow(&out->list, &out->capacity, out->n + 1, sizeof *out->list, err) < 0) return NULL;
  const char *kept = tpo_arena_memdup(arena, name, len);
  if (!kept) {
    tpo_fail(err, TPO_E_MEMORY, "no memory to count checks");
    return NULL;
  }
  out->list[out->n] = (struct group_member){.name = kept, .name_len = len, .before = NAN, .outcome = NAN};
  return &out->list[out->n++];
}

static int add_verdicts(struct group_members *out, size_t first, struct tpo_arena *arena,
                        const json_t *verdicts, struct tpo_error *err)
{
  size_t i;
  const json_t *verdict;
  json_array_foreach(verdicts, i, verdict)
  {
    const json_t *type = json_object_get(verdict, "type"), *passed = json_object_get(verdict, "passed");
    if (!json_is_string(type) || !json_is_boolean(passed)) continue;
    struct group_member *member = member_of(out, first, arena, type, err);
    if (!member) return TPO_E_MEMORY;
    member->checks++;
    member->passed += json_is_true(passed);
  }
  return 0;
}

static int add_instruction(struct group_members *out, struct tpo_arena *arena,
                           const struct tpo_samples *samples, size_t first, size_t end, struct tpo_error *err)
{
  size_t had = out->n;
  int status = 0;
  for (size_t r = first; r < end && status == 0; r++) {
    const struct tpo_sample_row *row = &samples->rows[r];
    if (!row->scored) continue;
    json_t *detail = tpo_json_parse(row->score_detail, strlen(row->score_detail), "score_detail", NULL);
    status = add_verdicts(out, had, arena, verdicts_of(detail), err);
    json_decref(detail);
  }
  for (size_t i = had; i < out->n; i++) {
    struct group_member *member = &out->list[i];
    member->row = first;
    member->id = samples->rows[first].prompt_id;
    member->value = (double)member->passed / (double)member->checks;
  }
  return status;
}

int check_members(struct group_members *out, struct tpo_arena *arena, const struct tpo_samples *samples,
                  struct tpo_error *err)
{
  int status = 0;
  for (size_t first = 0, end; first < samples->n && status == 0; first = end) {
    end = tpo_samples_prompt_end(samples, first);
    status = add_instruction(out, arena, samples, first, end, err);
  }
  if (out->n) qsort(out->list, out->n, sizeof *out->list, group_member_order);
  return status;
}

/* The share of a scored response's checks; NaN: it had none. */
static double share_held(const char *text)
{
  json_t *detail = tpo_json_parse(text, strlen(text), "score_detail", NULL);
  const json_t *verdicts = json_object_get(detail, "checks"), *verdict;
  double held = 0, n = (double)json_array_size(verdicts);
  bool empty = json_is_true(json_object_get(detail, "empty"));
  size_t i;
  json_array_foreach(verdicts, i, verdict) held += !empty && json_is_true(json_object_get(verdict, "passed"));
  json_decref(detail);
  return n > 0 ? held / n : NAN;
}

static double held_between(const struct tpo_samples *samples, size_t first, size_t end)
{
  double sum = 0, n = 0;
  for (size_t i = first; i < end; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    double share = row->scored ? share_held(row->score_detail) : row->format_ok ? NAN : 0;
    if (isnan(share)) continue;
    sum += share;
    n++;
  }
  return n > 0 ? sum / n : NAN;
}

double checks_held(const struct tpo_samples *samples)
{
  return held_between(samples, 0, samples->n);
}

double prompt_checks_held(const struct tpo_samples *samples, size_t first)
{
  return held_between(samples, first, tpo_samples_prompt_end(samples, first));
}

void join_members(struct group_members *now, const struct group_members *before)
{
  for (size_t i = 0, j = 0; i < now->n && j < before->n;) {
    int order = group_member_order(&now->list[i], &before->list[j]);
    if (order == 0) now->list[i].before = before->list[j].value;
    i += order <= 0;
    j += order >= 0;
  }
}
