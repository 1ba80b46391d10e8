/* Counting who won, group by group. */
#include "eval/categories/tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "measure/wilson.h"

void tally_add(struct tally *tally, double outcome)
{
  if (isnan(outcome)) return;
  tally->n++;
  tally->wins += outcome == 1;
  tally->losses += outcome == 0;
  tally->ties += outcome == 0.5;
}

static json_t *number(double x)
{
  return isfinite(x) ? json_real(x) : json_null();
}

json_t *tally_json(const struct tally *t, const char *name, const char *text)
{
  double won = (double)t->wins + (double)t->ties / 2, n = (double)t->n, lower, upper;
  wilson_interval(won, n, &lower, &upper);
  json_t *out = json_object();
  if (name && json_object_set_new(out, name, json_string(text)) < 0) {
    json_decref(out);
    return NULL;
  }
  json_t *counts =
      json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "n", (json_int_t)t->n, "wins", (json_int_t)t->wins,
                "losses", (json_int_t)t->losses, "ties", (json_int_t)t->ties, "win_rate",
                number(t->n ? won / n : NAN), "lower", number(lower), "upper", number(upper));
  int failed = counts ? json_object_update(out, counts) : -1;
  json_decref(counts);
  if (failed) json_decref(out);
  return failed ? NULL : out;
}

/* An instruction in its group. */
struct member {
  const char *name;
  size_t place; /* among groups whose order is given */
  double outcome;
};

static int by_group(const void *a, const void *b)
{
  const struct member *one = a, *other = b;
  if (one->place != other->place) return one->place < other->place ? -1 : 1;
  return strcmp(one->name, other->name);
}

/* members [n]. */
static int tell_groups(struct member *members, size_t n, const char *field, json_t **out,
                       struct tpo_error *err)
{
  *out = json_array();
  int failed = *out ? 0 : -1;
  if (n > 0) qsort(members, n, sizeof *members, by_group);
  for (size_t first = 0, end; first < n && !failed; first = end) {
    struct tally tally = {0};
    for (end = first; end < n && by_group(&members[first], &members[end]) == 0; end++)
      tally_add(&tally, members[end].outcome);
    failed = json_array_append_new(*out, tally_json(&tally, field, members[first].name));
  }
  return failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for categories") : 0;
}

static size_t place_of(const struct category_list *list, const char *category)
{
  size_t n = list ? list->n : 0;
  if (!category) return n + 1;
  for (size_t i = 0; i < n; i++)
    if (strcmp(list->items[i].name, category) == 0) return i;
  return n;
}

int tally_categories(const struct labels *labels, const struct category_list *list, const double *outcomes,
                     json_t **out, struct tpo_error *err)
{
  struct member *members = tpo_calloc(labels->n, sizeof *members, err);
  size_t n = 0;
  if (!members) return TPO_E_MEMORY;
  for (size_t i = 0; i < labels->n; i++) {
    const struct label *label = &labels->items[i];
    if (isnan(outcomes[label->first])) continue;
    members[n++] = (struct member){label->category ? label->category : CATEGORY_NONE,
                                   place_of(list, label->category), outcomes[label->first]};
  }
  int status = tell_groups(members, n, "category", out, err);
  free(members);
  return status;
}

int tally_datasets(const struct labels *labels, const double *outcomes, json_t **out, struct tpo_error *err)
{
  struct member *members = tpo_calloc(labels->n, sizeof *members, err);
  size_t n = 0;
  if (!members) return TPO_E_MEMORY;
  for (size_t i = 0; i < labels->n; i++) {
    const struct label *label = &labels->items[i];
    if (label->dataset && !isnan(outcomes[label->first]))
      members[n++] = (struct member){label->dataset, 0, outcomes[label->first]};
  }
  int status = tell_groups(members, n, "dataset", out, err);
  free(members);
  return status;
}
