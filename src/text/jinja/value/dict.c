/* Dicts: keys in the order in which they were put, with an index by hash where there are many. */
#include <string.h>
#include "text/jinja/builtin/builtins.h"

enum { LINEAR_MAX = 8 }; /* keys up to which a search from the front is the fastest */

int jinja_dict_new(struct jinja_run *run, struct jinja_value *out)
{
  struct jinja_dict *dict = jinja_alloc(run, sizeof *dict);
  if (!dict) return TPO_E_INPUT;
  *out = (struct jinja_value){.type = JINJA_DICT, .dict = dict};
  return 0;
}

static bool find(const struct jinja_dict *dict, struct jinja_value key, size_t *at)
{
  if (!dict->slots) {
    for (*at = 0; *at < dict->n; ++*at)
      if (jinja_equal(dict->keys[*at], key)) return true;
    return false;
  }
  size_t mask = dict->n_slots - 1;
  for (size_t slot = jinja_hash(key) & mask; dict->slots[slot]; slot = (slot + 1) & mask) {
    *at = dict->slots[slot] - 1;
    if (jinja_equal(dict->keys[*at], key)) return true;
  }
  return false;
}

static void index_key(struct jinja_dict *dict, size_t i)
{
  size_t mask = dict->n_slots - 1, slot = jinja_hash(dict->keys[i]) & mask;
  while (dict->slots[slot]) slot = (slot + 1) & mask;
  dict->slots[slot] = (uint32_t)i + 1;
}

static int make_index(struct jinja_run *run, struct jinja_dict *dict)
{
  size_t n_slots = 4 * LINEAR_MAX;
  while (n_slots < dict->capacity * 2) n_slots *= 2;
  if (!(dict->slots = jinja_alloc(run, n_slots * sizeof *dict->slots))) return TPO_E_INPUT;
  dict->n_slots = n_slots;
  for (size_t i = 0; i < dict->n; i++) index_key(dict, i);
  return 0;
}

static int grow(struct jinja_run *run, struct jinja_dict *dict)
{
  if (dict->n < dict->capacity) return 0;
  if (dict->n >= UINT32_MAX / 4) return jinja_fail(run, TPO_E_INPUT, "a dict has too many keys");
  size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
  struct jinja_value *keys = jinja_alloc(run, capacity * 2 * sizeof *keys);
  if (!keys) return TPO_E_INPUT;
  if (dict->n > 0) {
    memcpy(keys, dict->keys, dict->n * sizeof *keys);
    memcpy(keys + capacity, dict->values, dict->n * sizeof *keys);
  }
  dict->keys = keys;
  dict->values = keys + capacity;
  dict->capacity = capacity;
  return capacity > LINEAR_MAX ? make_index(run, dict) : 0;
}

int jinja_check_key(struct jinja_run *run, struct jinja_value key)
{
  if (key.type == JINJA_TUPLE) {
    for (size_t i = 0; i < key.list->n; i++)
      if (jinja_check_key(run, key.list->items[i]) < 0) return TPO_E_INPUT;
    return jinja_spend(run, key.list->n);
  }
  bool set = key.type == JINJA_LIST && (key.list->kind == JINJA_KEYS || key.list->kind == JINJA_ITEMS);
  if (set || key.type == JINJA_DICT || (key.type == JINJA_LIST && key.list->kind == JINJA_PLAIN_LIST))
    return jinja_fail(run, TPO_E_INPUT, "unhashable type: '%s'", jinja_type_name(key));
  return jinja_spend(run, jinja_weight(key));
}

int jinja_dict_put(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value key,
                   struct jinja_value value)
{
  if (jinja_check_key(run, key) < 0) return TPO_E_INPUT;
  size_t at;
  if (!find(dict, key, &at)) {
    if (grow(run, dict) < 0) return TPO_E_INPUT;
    at = dict->n++;
    dict->keys[at] = key;
    if (dict->slots) index_key(dict, at);
    if (jinja_add_weight(run, key, &dict->weight, &dict->depth) < 0) return TPO_E_INPUT;
  }
  dict->values[at] = value;
  return jinja_add_weight(run, value, &dict->weight, &dict->depth);
}

bool jinja_dict_get(const struct jinja_dict *dict, struct jinja_value key, struct jinja_value *out)
{
  size_t at;
  if (!find(dict, key, &at)) return false;
  *out = dict->values[at];
  return true;
}

bool jinja_dict_find(const struct jinja_dict *dict, const char *key, struct jinja_value *out)
{
  struct jinja_string string = {.bytes = key, .len = strlen(key)};
  return jinja_dict_get(dict, (struct jinja_value){.type = JINJA_STRING, .string = &string}, out);
}
