/* Variables, and how they are set. */
#include <string.h>
#include "text/jinja/run/eval.h"

struct jinja_scope *jinja_scope_new(struct jinja_evaluator *ev, struct jinja_scope *outer)
{
  struct jinja_scope *scope = jinja_alloc(&ev->run, sizeof *scope);
  if (scope) *scope = (struct jinja_scope){.outer = outer};
  return scope;
}

/* *out NULL: there is none. Scopes are small; where a template makes a large one, looking through it costs
 * steps. */
static int find(struct jinja_evaluator *ev, const struct jinja_scope *scope, const char *name,
                struct jinja_variable **out)
{
  *out = NULL;
  if (jinja_spend(&ev->run, scope->n / 8) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < scope->n; i++)
    if (scope->items[i].name == name || strcmp(scope->items[i].name, name) == 0) {
      *out = &scope->items[i];
      break;
    }
  return 0;
}

int jinja_scope_set(struct jinja_evaluator *ev, struct jinja_scope *scope, const char *name,
                    struct jinja_value value)
{
  struct jinja_variable *variable;
  if (find(ev, scope, name, &variable) < 0) return TPO_E_INPUT;
  if (variable) {
    variable->value = value;
    return 0;
  }
  if (scope->n == scope->capacity) {
    size_t capacity = scope->capacity ? 2 * scope->capacity : 4;
    struct jinja_variable *grown = jinja_alloc(&ev->run, capacity * sizeof *grown);
    if (!grown) return TPO_E_INPUT;
    if (scope->n > 0) memcpy(grown, scope->items, scope->n * sizeof *grown);
    scope->items = grown;
    scope->capacity = capacity;
  }
  scope->items[scope->n++] = (struct jinja_variable){name, value};
  return 0;
}

int jinja_scope_get(struct jinja_evaluator *ev, const char *name, struct jinja_value *out)
{
  struct jinja_scope *outermost = NULL;
  for (struct jinja_scope *scope = ev->scope; scope; scope = scope->outer) {
    struct jinja_variable *variable;
    if (find(ev, scope, name, &variable) < 0) return TPO_E_INPUT;
    outermost = scope;
    if (!variable) continue;
    *out = variable->value;
    return 0;
  }
  if (strcmp(name, "self") == 0) { /* jinja2's access to blocks, which chat templates have none of */
    struct jinja_args none = {0};
    return jinja_find_global("namespace")(&ev->run, &none, out);
  }
  jinja_function function = jinja_find_global(name);
  *out = jinja_undefined(name);
  if (!function) return 0;
  if (jinja_function_new(&ev->run, name, function, out) < 0) return TPO_E_INPUT;
  return jinja_scope_set(ev, outermost, name, *out); /* so that it stays the same one */
}

static int assign_attribute(struct jinja_evaluator *ev, const struct jinja_node *target,
                            struct jinja_value value)
{
  struct jinja_value object, key;
  if (jinja_scope_get(ev, target->a->name, &object) < 0) return TPO_E_INPUT;
  if (object.type != JINJA_NAMESPACE)
    return jinja_fail(&ev->run, TPO_E_INPUT, "cannot assign attribute on non-namespace object");
  if (target->name[0] == '_')
    return jinja_fail(&ev->run, TPO_E_INPUT,
                      "a namespace's attribute can't begin with an underscore, as '%s' does", target->name);
  if (jinja_string_new(&ev->run, target->name, strlen(target->name), 0, &key) < 0) return TPO_E_INPUT;
  return jinja_dict_put(&ev->run, object.dict, key, value);
}

static int assign_tuple(struct jinja_evaluator *ev, struct jinja_scope *scope,
                        const struct jinja_node *target, struct jinja_value value)
{
  struct jinja_value list;
  size_t n = target->items.n;
  if (jinja_iterate(&ev->run, value, &list) < 0) return TPO_E_INPUT;
  if (list.list->n > n)
    return jinja_fail(&ev->run, TPO_E_INPUT, "too many values to unpack (expected %zu, got %zu)", n,
                      list.list->n);
  if (list.list->n < n)
    return jinja_fail(&ev->run, TPO_E_INPUT, "not enough values to unpack (expected %zu, got %zu)", n,
                      list.list->n);
  for (size_t i = 0; i < n; i++)
    if (jinja_assign(ev, scope, target->items.items[i], list.list->items[i]) < 0) return TPO_E_INPUT;
  return 0;
}

int jinja_assign(struct jinja_evaluator *ev, struct jinja_scope *scope, const struct jinja_node *target,
                 struct jinja_value value)
{
  switch (target->kind) {
  case JINJA_NAME: return jinja_scope_set(ev, scope, target->name, value);
  case JINJA_ATTRIBUTE: return assign_attribute(ev, target, value);
  default: return assign_tuple(ev, scope, target, value);
  }
}
