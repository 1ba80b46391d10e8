/* Methods of dicts, lists and tuples, and binding a method to its object. */
#include <string.h>
#include "text/jinja/builtin/builtins.h"

static int bind(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                size_t required, size_t n, struct jinja_value *out)
{
  static const char *const none[3] = {"", "", ""};
  if (args->n_named > 0) return jinja_fail(run, TPO_E_INPUT, "%s() takes no keyword arguments", self->name);
  if (args->n < required)
    return jinja_fail(run, TPO_E_INPUT, "%s() takes at least %zu arguments, not %zu", self->name, required,
                      args->n);
  return jinja_bind(run, self->name, args, none, n, 0, out);
}

static int dict_get(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                    struct jinja_value *out)
{
  struct jinja_value a[2] = {jinja_none(), jinja_none()};
  if (bind(run, self, args, 1, 2, a) < 0 || jinja_check_key(run, a[0]) < 0) return TPO_E_INPUT;
  if (!jinja_dict_get(self->self.dict, a[0], out)) *out = a[1];
  return 0;
}

static int push_pair(struct jinja_run *run, const struct jinja_dict *dict, size_t i, struct jinja_value *list)
{
  struct jinja_value pair;
  if (jinja_list_new(run, JINJA_TUPLE, 2, &pair) < 0) return TPO_E_INPUT;
  if (jinja_list_push(run, pair.list, dict->keys[i]) < 0 ||
      jinja_list_push(run, pair.list, dict->values[i]) < 0)
    return TPO_E_INPUT;
  return jinja_list_push(run, list->list, pair);
}

int jinja_dict_view(struct jinja_run *run, const struct jinja_dict *dict, enum jinja_list_kind kind,
                    struct jinja_value *out)
{
  if (jinja_spend(run, dict->n) < 0 || jinja_list_of_kind(run, kind, dict->n, out) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < dict->n; i++) {
    bool pairs = kind != JINJA_KEYS && kind != JINJA_VALUES;
    if (pairs ? push_pair(run, dict, i, out) < 0
              : jinja_list_push(run, out->list, kind == JINJA_KEYS ? dict->keys[i] : dict->values[i]) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

static int view(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                enum jinja_list_kind kind, struct jinja_value *out)
{
  if (bind(run, self, args, 0, 0, NULL) < 0) return TPO_E_INPUT;
  return jinja_dict_view(run, self->self.dict, kind, out);
}

static int dict_items(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                      struct jinja_value *out)
{
  return view(run, self, args, JINJA_ITEMS, out);
}

static int dict_keys(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                     struct jinja_value *out)
{
  return view(run, self, args, JINJA_KEYS, out);
}

static int dict_values(struct jinja_run *run, const struct jinja_callable *self,
                       const struct jinja_args *args, struct jinja_value *out)
{
  return view(run, self, args, JINJA_VALUES, out);
}

static int dict_copy(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                     struct jinja_value *out)
{
  if (bind(run, self, args, 0, 0, NULL) < 0) return TPO_E_INPUT;
  *out = self->self; /* nothing changes a dict, so that it is as good as a copy */
  return 0;
}

/* fromkeys(keys, value=None), which is of the class and can be called on any dict */
static int dict_fromkeys(struct jinja_run *run, const struct jinja_callable *self,
                         const struct jinja_args *args, struct jinja_value *out)
{
  struct jinja_value a[2] = {jinja_none(), jinja_none()}, keys;
  if (bind(run, self, args, 1, 2, a) < 0 || jinja_iterate(run, a[0], &keys) < 0 ||
      jinja_dict_new(run, out) < 0)
    return TPO_E_INPUT;
  for (size_t i = 0; i < keys.list->n; i++)
    if (jinja_dict_put(run, out->dict, keys.list->items[i], a[1]) < 0) return TPO_E_INPUT;
  return 0;
}

static int list_count(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                      struct jinja_value *out)
{
  struct jinja_value item;
  const struct jinja_list *list = self->self.list;
  if (bind(run, self, args, 1, 1, &item) < 0) return TPO_E_INPUT;
  *out = jinja_int(0);
  for (size_t i = 0; i < list->n; i++) {
    bool same;
    if (jinja_same(run, list->items[i], item, &same) < 0) return TPO_E_INPUT;
    out->integer += same;
  }
  return 0;
}

static int list_index(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                      struct jinja_value *out)
{
  struct jinja_value a[3] = {jinja_none(), jinja_int(0), jinja_none()};
  const struct jinja_list *list = self->self.list;
  size_t begin, end;
  if (bind(run, self, args, 1, 3, a) < 0 || jinja_want_range(run, a[1], a[2], list->n, &begin, &end) < 0)
    return TPO_E_INPUT;
  for (size_t i = begin; i < end; i++) {
    bool same;
    if (jinja_same(run, list->items[i], a[0], &same) < 0) return TPO_E_INPUT;
    if (!same) continue;
    *out = jinja_int((int64_t)i);
    return 0;
  }
  return jinja_fail(run, TPO_E_INPUT, "index(): what is looked for is not in the %s",
                    jinja_type_name(self->self));
}

static int list_copy(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                     struct jinja_value *out)
{
  if (bind(run, self, args, 0, 0, NULL) < 0) return TPO_E_INPUT;
  *out = self->self;
  return 0;
}

static jinja_method_function find_in(const struct jinja_method_row *rows, const char *name)
{
  for (; rows->name; rows++)
    if (strcmp(rows->name, name) == 0) return rows->call;
  return NULL;
}

static jinja_method_function find(struct jinja_value obj, const char *name)
{
  static const struct jinja_method_row of_dict[] = {
      {"copy", dict_copy}, {"fromkeys", dict_fromkeys}, {"get", dict_get}, {"items", dict_items},
      {"keys", dict_keys}, {"values", dict_values},     {NULL, NULL}};
  static const struct jinja_method_row of_row[] = {
      {"count", list_count}, {"index", list_index}, {"copy", list_copy}, {NULL, NULL}};
  bool row =
      obj.type == JINJA_TUPLE ||
      (obj.type == JINJA_LIST && (obj.list->kind == JINJA_PLAIN_LIST || obj.list->kind == JINJA_RANGE));
  if (obj.type == JINJA_STRING) return jinja_find_string_method(name);
  if (obj.type == JINJA_DICT) return find_in(of_dict, name);
  bool copied = strcmp(name, "copy") != 0 || (obj.type == JINJA_LIST && obj.list->kind == JINJA_PLAIN_LIST);
  return row && copied ? find_in(of_row, name) : NULL;
}

int jinja_method(struct jinja_run *run, struct jinja_value obj, const char *name, bool *found,
                 struct jinja_value *out)
{
  jinja_method_function call = find(obj, name);
  *found = call != NULL;
  if (!call) return 0;
  size_t len = strlen(name) + 1;
  struct jinja_callable *callable = jinja_alloc(run, sizeof *callable + len);
  if (!callable) return TPO_E_INPUT;
  char *copy = (char *)(callable + 1); /* the name may be a string's that was built */
  memcpy(copy, name, len);
  *callable = (struct jinja_callable){.name = copy, .call = call, .self = obj};
  *out = (struct jinja_value){.type = JINJA_CALLABLE, .callable = callable};
  return 0;
}
