/* The table of origins: names found by hash, since a chat of thousands of messages has an origin for each
 * member. */
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "text/jinja/value/origin.h"

static uint64_t hash_name(const char *name, bool own)
{
  uint64_t hash = 14695981039346656037u + own; /* FNV-1a */
  for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 1099511628211u;
  return hash ^ hash >> 32;
}

/* The slot that holds it or where it belongs. */
static uint32_t *find_slot(const struct tpo_origins *origins, const char *name, bool own)
{
  size_t mask = origins->n_slots - 1;
  for (size_t at = hash_name(name, own) & mask;; at = (at + 1) & mask) {
    uint32_t i = origins->slots[at];
    if (i == 0 || (origins->items[i].own == own && strcmp(origins->items[i].name, name) == 0))
      return &origins->slots[at];
  }
}

static int grow_slots(struct tpo_origins *origins, struct tpo_error *err)
{
  if (origins->n * 2 < origins->n_slots) return 0;
  size_t n_slots = origins->n_slots ? origins->n_slots * 2 : 64;
  uint32_t *slots = tpo_calloc(n_slots, sizeof *slots, err);
  if (!slots) return TPO_E_MEMORY;
  free(origins->slots);
  origins->slots = slots;
  origins->n_slots = n_slots;
  for (size_t i = 1; i < origins->n; i++)
    *find_slot(origins, origins->items[i].name, origins->items[i].own) = (uint32_t)i;
  return 0;
}

static int append(struct tpo_origins *origins, const char *name, bool own, struct tpo_error *err)
{
  if (tpo_grow(&origins->items, &origins->capacity, origins->n + 1, sizeof *origins->items, err) < 0)
    return TPO_E_MEMORY;
  char *copy = strdup(name);
  if (!copy) return tpo_fail(err, TPO_E_MEMORY, "out of memory for the name of an origin of text");
  if (own) {
    origins->last_own = (tpo_origin)origins->n;
    origins->n_own++;
  }
  origins->items[origins->n++] = (struct tpo_origin_info){.name = copy, .own = own};
  return 0;
}

/* Whether one more of its kind has room. Half of the table is for what is own (a template's lines come first,
 * and there may be as many), the rest for data, but for the last place, which waits for an own one. */
static bool has_room(const struct tpo_origins *origins, bool own)
{
  enum { MOST = UINT16_MAX + 1 };
  if (own) return origins->n < MOST && origins->n_own < MOST / 2;
  return origins->n < MOST - 1;
}

int tpo_origins_add(struct tpo_origins *origins, const char *name, bool own, tpo_origin *out,
                    struct tpo_error *err)
{
  if (origins->n == 0 && append(origins, "computed", false, err) < 0) return TPO_E_MEMORY;
  if (grow_slots(origins, err) < 0) return TPO_E_MEMORY;
  uint32_t *slot = find_slot(origins, name, own);
  if (*slot == 0) {
    if (!has_room(origins, own)) {
      *out = own ? origins->last_own : 0;
      return 0;
    }
    if (append(origins, name, own, err) < 0) return TPO_E_MEMORY;
    *slot = (uint32_t)(origins->n - 1);
  }
  *out = (tpo_origin)*slot;
  return 0;
}

int tpo_origins_copy(struct tpo_origins *to, const struct tpo_origins *from, struct tpo_error *err)
{
  for (size_t i = 1; i < from->n; i++) {
    tpo_origin origin;
    if (tpo_origins_add(to, from->items[i].name, from->items[i].own, &origin, err) < 0) return TPO_E_MEMORY;
  }
  return 0;
}

void tpo_origins_free(struct tpo_origins *origins)
{
  for (size_t i = 0; i < origins->n; i++) free(origins->items[i].name);
  free(origins->items);
  free(origins->slots);
  memset(origins, 0, sizeof *origins);
}
