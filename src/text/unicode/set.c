/* Ranges in order; two sets are gone through side by side. */
#include "text/unicode/set.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "text/unicode/table.h"

void tpo_set_free(struct tpo_set *set)
{
  free(set->items);
  *set = (struct tpo_set){0};
}

int tpo_set_add(struct tpo_set *set, uint32_t from, uint32_t to, struct tpo_error *err)
{
  if (tpo_grow(&set->items, &set->capacity, set->n + 1, sizeof *set->items, err) < 0) return TPO_E_MEMORY;
  set->items[set->n++] = (struct tpo_range){from, to};
  return TPO_OK;
}

static int by_place(const void *a, const void *b)
{
  uint32_t x = ((const struct tpo_range *)a)->from, y = ((const struct tpo_range *)b)->from;
  return x < y ? -1 : x > y;
}

void tpo_set_tidy(struct tpo_set *set)
{
  if (set->n == 0) return;
  qsort(set->items, set->n, sizeof *set->items, by_place);
  size_t n = 1;
  for (size_t i = 1; i < set->n; i++) {
    struct tpo_range *last = &set->items[n - 1], next = set->items[i];
    if (next.from > last->to + 1)
      set->items[n++] = next;
    else if (next.to > last->to)
      last->to = next.to;
  }
  set->n = n;
}

int tpo_set_unite(struct tpo_set *set, const struct tpo_set *other, struct tpo_error *err)
{
  struct tpo_set out = {0};
  if (tpo_grow(&out.items, &out.capacity, set->n + other->n + 1, sizeof *out.items, err) < 0)
    return TPO_E_MEMORY;
  for (size_t i = 0, j = 0; i < set->n || j < other->n;) {
    bool first = j == other->n || (i < set->n && set->items[i].from <= other->items[j].from);
    struct tpo_range next = first ? set->items[i++] : other->items[j++];
    struct tpo_range *last = out.n > 0 ? &out.items[out.n - 1] : NULL;
    if (last == NULL || next.from > last->to + 1)
      out.items[out.n++] = next;
    else if (next.to > last->to)
      last->to = next.to;
  }
  tpo_set_free(set);
  *set = out;
  return TPO_OK;
}

int tpo_set_invert(struct tpo_set *set, struct tpo_error *err)
{
  struct tpo_set out = {0};
  uint32_t from = 0;
  int status = TPO_OK;
  for (size_t i = 0; i < set->n && status == TPO_OK; i++) {
    if (set->items[i].from > from) status = tpo_set_add(&out, from, set->items[i].from - 1, err);
    from = set->items[i].to + 1;
  }
  if (status == TPO_OK && from <= TPO_LAST_CODE_POINT)
    status = tpo_set_add(&out, from, TPO_LAST_CODE_POINT, err);
  tpo_set_free(status == TPO_OK ? set : &out);
  if (status == TPO_OK) *set = out;
  return status;
}

int tpo_set_subtract(struct tpo_set *set, const struct tpo_set *other, struct tpo_error *err)
{
  struct tpo_set out = {0};
  int status = TPO_OK;
  for (size_t i = 0, j = 0; i < set->n && status == TPO_OK; i++) {
    uint32_t from = set->items[i].from, to = set->items[i].to;
    while (j < other->n && other->items[j].to < from) j++;
    for (size_t k = j; k < other->n && other->items[k].from <= to && status == TPO_OK; k++) {
      if (other->items[k].from > from) status = tpo_set_add(&out, from, other->items[k].from - 1, err);
      from = other->items[k].to + 1;
    }
    if (status == TPO_OK && from <= to) status = tpo_set_add(&out, from, to, err);
  }
  tpo_set_free(status == TPO_OK ? set : &out);
  if (status == TPO_OK) *set = out;
  return status;
}

bool tpo_set_has(const struct tpo_set *set, uint32_t code_point)
{
  size_t low = 0, high = set->n;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (set->items[mid].to < code_point)
      low = mid + 1;
    else
      high = mid;
  }
  return low < set->n && set->items[low].from <= code_point;
}

static int add_list(struct tpo_set *set, struct tpo_unicode_list list, struct tpo_error *err)
{
  const uint32_t *number = tpo_unicode_numbers + list.begin;
  uint32_t last = 0;
  for (size_t i = 0; i < list.n; i += 2) {
    uint32_t from = last + number[i];
    last = from + number[i + 1];
    if (tpo_set_add(set, from, last, err) < 0) return TPO_E_MEMORY;
  }
  return TPO_OK;
}

/* What no category has, which is Cn. */
static int add_unassigned(struct tpo_set *set, struct tpo_error *err)
{
  struct tpo_set rest = {0};
  int status = TPO_OK;
  for (size_t i = 0; i + 1 < TPO_UNICODE_CATEGORIES && status == TPO_OK; i++)
    status = add_list(&rest, tpo_unicode_categories[i], err);
  tpo_set_tidy(&rest);
  if (status == TPO_OK) status = tpo_set_invert(&rest, err);
  if (status == TPO_OK) status = tpo_set_unite(set, &rest, err);
  tpo_set_free(&rest);
  return status;
}

static int add_known(struct tpo_set *set, const struct tpo_unicode_set *known, struct tpo_error *err)
{
  struct tpo_set found = {0}, less = {0};
  int status = TPO_OK;
  for (size_t i = 0; i + 1 < TPO_UNICODE_CATEGORIES && status == TPO_OK; i++)
    if (known->categories >> i & 1) status = add_list(&found, tpo_unicode_categories[i], err);
  if (status == TPO_OK) status = add_list(&found, known->more, err);
  tpo_set_tidy(&found);
  if (status == TPO_OK && known->categories >> (TPO_UNICODE_CATEGORIES - 1) & 1)
    status = add_unassigned(&found, err);
  if (status == TPO_OK) status = add_list(&less, known->less, err);
  if (status == TPO_OK) status = tpo_set_subtract(&found, &less, err);
  if (status == TPO_OK) status = tpo_set_unite(set, &found, err);
  tpo_set_free(&found);
  tpo_set_free(&less);
  return status;
}

int tpo_set_add_property(struct tpo_set *set, const char *name, size_t len, struct tpo_error *err)
{
  size_t low = 0, high = tpo_unicode_n_sets;
  while (low < high) {
    size_t mid = (low + high) / 2;
    const char *at = tpo_unicode_sets[mid].name;
    int order = strncmp(at, name, len);
    if (order == 0 && at[len] == '\0')
      return add_known(set, &tpo_unicode_sets[mid], err) < 0 ? TPO_E_MEMORY : 1;
    if (order < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return 0;
}
