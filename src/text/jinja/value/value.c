/* Making values and lists, what a rendering may still spend, and messages about its lines. */
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"
#include "text/jinja/builtin/builtins.h"

/* Far above what real templates take: a chat of 1,000 messages with tools takes some 100,000 steps. */
const struct jinja_limits jinja_default_limits = {
    .steps = 20 * 1000 * 1000, .depth = 200, .memory = (size_t)256 << 20, .output = (size_t)64 << 20};

/* One line of whole characters, as far as what templates put into a message is neither. */
static void tame(char *text)
{
  size_t len = strlen(text) - tpo_utf8_incomplete_tail(text, strlen(text)), out = 0;
  for (size_t at = 0; at < len;) {
    size_t begin = at;
    uint32_t cp = tpo_utf8_next(text, len, &at);
    bool whole = cp != 0xfffd || at - begin == 3;
    if (!whole || !tpo_utf8_is_tame(cp))
      text[out++] = whole ? ' ' : '?';
    else
      for (; begin < at; begin++) text[out++] = text[begin];
  }
  text[out] = '\0';
}

int jinja_fail(struct jinja_run *run, int code, const char *format, ...)
{
  char text[900];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  tame(text);
  return tpo_fail(run->err, code, "%s: chat template, line %d: %s", run->place ? run->place : "template",
                  run->line, text);
}

int jinja_fail_undefined(struct jinja_run *run, struct jinja_value v)
{
  const char *name = v.missing ? v.missing : "a value";
  if (strchr(name, ' ')) return jinja_fail(run, TPO_E_INPUT, "%s", name);
  return jinja_fail(run, TPO_E_INPUT, "'%s' is undefined", name);
}

int jinja_spend(struct jinja_run *run, size_t steps)
{
  if (steps > run->limits.steps) {
    run->limits.steps = 0;
    return jinja_fail(run, TPO_E_INPUT, "the template takes more steps than a rendering may");
  }
  run->limits.steps -= steps;
  return 0;
}

int jinja_spend_bytes(struct jinja_run *run, size_t bytes)
{
  return jinja_spend(run, bytes / 64);
}

void *jinja_alloc(struct jinja_run *run, size_t bytes)
{
  size_t taken = bytes + 16; /* of rounding */
  if (taken < bytes || taken > run->limits.memory) {
    jinja_fail(run, TPO_E_INPUT, "the template builds more than the memory that a rendering may take");
    return NULL;
  }
  if (jinja_spend_bytes(run, bytes) < 0) return NULL;
  run->limits.memory -= taken;
  void *memory = tpo_arena_alloc(&run->arena, bytes);
  if (!memory) jinja_fail(run, TPO_E_MEMORY, "out of memory: %zu bytes were asked for", bytes);
  return memory;
}

struct jinja_value jinja_int(int64_t i)
{
  return (struct jinja_value){.type = JINJA_INT, .integer = i};
}

struct jinja_value jinja_float(double x)
{
  return (struct jinja_value){.type = JINJA_FLOAT, .real = x};
}

struct jinja_value jinja_bool(bool b)
{
  return (struct jinja_value){.type = JINJA_BOOL, .truth = b};
}

struct jinja_value jinja_none(void)
{
  return (struct jinja_value){.type = JINJA_NONE};
}

struct jinja_value jinja_undefined(const char *name)
{
  return (struct jinja_value){.type = JINJA_UNDEFINED, .missing = name};
}

int jinja_undefined_of(struct jinja_run *run, struct jinja_value *out, const char *format, ...)
{
  char text[400];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  size_t len = strlen(text);
  char *copy = jinja_alloc(run, len + 1);
  if (!copy) return TPO_E_INPUT;
  memcpy(copy, text, len + 1);
  *out = jinja_undefined(copy);
  return 0;
}

int jinja_list_new(struct jinja_run *run, enum jinja_type list_or_tuple, size_t capacity,
                   struct jinja_value *out)
{
  struct jinja_list *list = jinja_alloc(run, sizeof *list);
  if (!list) return TPO_E_INPUT;
  if (capacity > SIZE_MAX / sizeof *list->items) capacity = SIZE_MAX / sizeof *list->items;
  if (capacity > 0 && !(list->items = jinja_alloc(run, capacity * sizeof *list->items))) return TPO_E_INPUT;
  list->capacity = capacity;
  *out = (struct jinja_value){.type = list_or_tuple, .list = list};
  return 0;
}

int jinja_list_of_kind(struct jinja_run *run, enum jinja_list_kind kind, size_t capacity,
                       struct jinja_value *out)
{
  if (jinja_list_new(run, JINJA_LIST, capacity, out) < 0) return TPO_E_INPUT;
  out->list->kind = kind;
  return 0;
}

static void weigh(struct jinja_value v, size_t *weight, unsigned *depth)
{
  *weight = 1;
  *depth = 0;
  if (v.type == JINJA_STRING) *weight += v.string->len / 64;
  if (v.type == JINJA_LIST || v.type == JINJA_TUPLE) *weight += v.list->weight, *depth = v.list->depth + 1;
  if (v.type == JINJA_DICT) *weight += v.dict->weight, *depth = v.dict->depth + 1;
}

size_t jinja_weight(struct jinja_value v)
{
  size_t weight;
  unsigned depth;
  weigh(v, &weight, &depth);
  return weight;
}

int jinja_add_weight(struct jinja_run *run, struct jinja_value item, size_t *weight, unsigned *depth)
{
  size_t more;
  unsigned below;
  weigh(item, &more, &below);
  if (__builtin_add_overflow(*weight, more, weight) || *weight > SIZE_MAX / 4) *weight = SIZE_MAX / 4;
  if (below > *depth) *depth = below;
  if (*depth <= JINJA_DEPTH_MAX) return 0;
  return jinja_fail(run, TPO_E_INPUT, "lists and dicts are nested more than %d levels deep", JINJA_DEPTH_MAX);
}

int jinja_list_push(struct jinja_run *run, struct jinja_list *list, struct jinja_value item)
{
  if (list->n == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 4;
    struct jinja_value *items = jinja_alloc(run, capacity * sizeof *items);
    if (!items) return TPO_E_INPUT;
    if (list->n > 0) memcpy(items, list->items, list->n * sizeof *items);
    list->items = items;
    list->capacity = capacity;
  }
  list->items[list->n++] = item;
  return jinja_add_weight(run, item, &list->weight, &list->depth);
}

bool jinja_truthy(struct jinja_value v)
{
  switch (v.type) {
  case JINJA_UNDEFINED:
  case JINJA_NONE: return false;
  case JINJA_BOOL: return v.truth;
  case JINJA_INT: return v.integer != 0;
  case JINJA_FLOAT: return v.real != 0;
  case JINJA_STRING: return v.string->len > 0;
  case JINJA_LIST:
  case JINJA_TUPLE: return v.list->n > 0 || v.list->kind == JINJA_GENERATOR;
  case JINJA_DICT: return v.dict->n > 0;
  default: return true;
  }
}

static const char *list_type_name(enum jinja_list_kind kind)
{
  static const char *const names[] = {"list", "generator", "range", "dict_keys", "dict_values", "dict_items"};
  return names[kind];
}

const char *jinja_type_name(struct jinja_value v)
{
  static const char *const names[] = {"Undefined", "NoneType",  "bool",     "int",
                                      "float",     "str",       "list",     "tuple",
                                      "dict",      "Namespace", "function", "LoopContext"};
  if (v.type == JINJA_STRING && v.string->markup) return "Markup";
  if (v.type == JINJA_TUPLE && v.list->names) return "_GroupTuple";
  return v.type == JINJA_LIST ? list_type_name(v.list->kind) : names[v.type];
}
