/* Expressions. */
#include <string.h>
#include "text/jinja/run/eval.h"

int jinja_descend(struct jinja_evaluator *ev, int line)
{
  ev->run.line = line;
  if (ev->levels >= JINJA_LEVELS_MAX)
    return jinja_fail(&ev->run, TPO_E_INPUT, "expressions are nested deeper than a rendering may go");
  if (jinja_spend(&ev->run, 1) < 0) return TPO_E_INPUT;
  ev->levels++;
  return 0;
}

static int make_list(struct jinja_evaluator *ev, const struct jinja_node *node, enum jinja_type type,
                     struct jinja_value *out)
{
  struct jinja_value list, item;
  if (jinja_list_new(&ev->run, type, node->items.n, &list) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < node->items.n; i++)
    if (jinja_evaluate(ev, node->items.items[i], &item) < 0 || jinja_list_push(&ev->run, list.list, item) < 0)
      return TPO_E_INPUT;
  *out = list;
  return 0;
}

static int make_dict(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value dict, key, value;
  if (jinja_dict_new(&ev->run, &dict) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i + 1 < node->items.n; i += 2)
    if (jinja_evaluate(ev, node->items.items[i], &key) < 0 ||
        jinja_evaluate(ev, node->items.items[i + 1], &value) < 0 ||
        jinja_dict_put(&ev->run, dict.dict, key, value) < 0)
      return TPO_E_INPUT;
  *out = dict;
  return 0;
}

static int negate(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value v;
  if (jinja_evaluate(ev, node->a, &v) < 0) return TPO_E_INPUT;
  ev->run.line = node->line;
  return jinja_unary(&ev->run, node->name[0], v, out);
}

static int invert(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value v;
  if (jinja_evaluate(ev, node->a, &v) < 0) return TPO_E_INPUT;
  *out = jinja_bool(!jinja_truthy(v));
  return 0;
}

/* As in Python, one of the two operands is what comes out. */
static int either(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  if (jinja_evaluate(ev, node->a, out) < 0) return TPO_E_INPUT;
  if (jinja_truthy(*out) == (node->kind == JINJA_OR)) return 0;
  return jinja_evaluate(ev, node->b, out);
}

static int arithmetic(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value a, b;
  if (jinja_evaluate(ev, node->a, &a) < 0 || jinja_evaluate(ev, node->b, &b) < 0) return TPO_E_INPUT;
  ev->run.line = node->line;
  return jinja_binary(&ev->run, node->name, a, b, out);
}

static int compare(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value a, b;
  bool holds = true;
  if (jinja_evaluate(ev, node->a, &a) < 0) return TPO_E_INPUT;
  for (size_t i = 0; holds && i < node->items.n; i++, a = b) {
    const struct jinja_node *operand = node->items.items[i];
    if (jinja_evaluate(ev, operand->a, &b) < 0) return TPO_E_INPUT;
    ev->run.line = operand->line;
    if (jinja_compare(&ev->run, operand->name, a, b, &holds) < 0) return TPO_E_INPUT;
  }
  *out = jinja_bool(holds);
  return 0;
}

static int conditional(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value truth;
  if (jinja_evaluate(ev, node->b, &truth) < 0) return TPO_E_INPUT;
  if (jinja_truthy(truth)) return jinja_evaluate(ev, node->a, out);
  if (node->c) return jinja_evaluate(ev, node->c, out);
  *out = jinja_undefined("an if expression without else is false and has no value");
  return 0;
}

/* ---- calls ---- */

struct named {
  const char **names;
  struct jinja_value *values;
  size_t n, capacity;
};

static int add_named(struct jinja_evaluator *ev, struct named *to, const char *name, struct jinja_value value)
{
  for (size_t i = 0; i < to->n; i++)
    if (strcmp(to->names[i], name) == 0)
      return jinja_fail(&ev->run, TPO_E_INPUT, "got multiple values for keyword argument '%s'", name);
  if (to->n == to->capacity) {
    size_t capacity = to->capacity ? 2 * to->capacity : 4;
    const char **names = jinja_alloc(&ev->run, capacity * sizeof *names);
    struct jinja_value *values = names ? jinja_alloc(&ev->run, capacity * sizeof *values) : NULL;
    if (!values) return TPO_E_INPUT;
    if (to->n > 0) memcpy(names, to->names, to->n * sizeof *names);
    if (to->n > 0) memcpy(values, to->values, to->n * sizeof *values);
    *to = (struct named){names, values, to->n, capacity};
  }
  to->names[to->n] = name;
  to->values[to->n++] = value;
  return 0;
}

static int add_all_named(struct jinja_evaluator *ev, struct named *to, struct jinja_value dict)
{
  if (dict.type != JINJA_DICT)
    return jinja_fail(&ev->run, TPO_E_INPUT, "argument after ** must be a mapping, not %s",
                      jinja_type_name(dict));
  if (jinja_spend(&ev->run, dict.dict->n * (to->n + dict.dict->n)) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < dict.dict->n; i++) {
    struct jinja_value key = dict.dict->keys[i];
    if (key.type != JINJA_STRING || strlen(key.string->bytes) != key.string->len)
      return jinja_fail(&ev->run, TPO_E_INPUT, "keywords must be strings");
    if (add_named(ev, to, key.string->bytes, dict.dict->values[i]) < 0) return TPO_E_INPUT;
  }
  return 0;
}

static int add_all(struct jinja_evaluator *ev, struct jinja_list *to, struct jinja_value value)
{
  struct jinja_value list;
  if (jinja_iterate(&ev->run, value, &list) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < list.list->n; i++)
    if (jinja_list_push(&ev->run, to, list.list->items[i]) < 0) return TPO_E_INPUT;
  return 0;
}

/* A call's arguments, `first` before them unless NULL and caller after them by its name unless NULL. */
static int gather_arguments(struct jinja_evaluator *ev, const struct jinja_node *node,
                            const struct jinja_value *first, const struct jinja_value *caller,
                            struct jinja_args *out)
{
  struct jinja_list given = {0};
  struct named named = {0};
  struct jinja_value value;
  if (first && jinja_list_push(&ev->run, &given, *first) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < node->n_arguments; i++) {
    const struct jinja_argument *argument = &node->arguments[i];
    if (jinja_evaluate(ev, argument->value, &value) < 0) return TPO_E_INPUT;
    int status = argument->stars == 2   ? add_all_named(ev, &named, value)
                 : argument->stars == 1 ? add_all(ev, &given, value)
                 : argument->name       ? add_named(ev, &named, argument->name, value)
                                        : jinja_list_push(&ev->run, &given, value);
    if (status < 0) return status;
  }
  if (caller && add_named(ev, &named, "caller", *caller) < 0) return TPO_E_INPUT;
  *out = (struct jinja_args){given.items, given.n, named.names, named.values, named.n};
  return 0;
}

int jinja_call_node(struct jinja_evaluator *ev, const struct jinja_node *node,
                    const struct jinja_value *caller, struct jinja_value *out)
{
  struct jinja_value callee;
  struct jinja_args args;
  if (jinja_evaluate(ev, node->a, &callee) < 0 || gather_arguments(ev, node, NULL, caller, &args) < 0)
    return TPO_E_INPUT;
  ev->run.line = node->line;
  if (callee.type == JINJA_LOOP) return jinja_loop_call(ev, callee.loop, &args, out);
  return jinja_call(&ev->run, callee, &args, out);
}

/* A filter or a test. */
static int apply(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value value = ev->block;
  struct jinja_args args;
  if (!node->function)
    return jinja_fail(&ev->run, TPO_E_UNSUPPORTED, "there is no %s named \"%.80s\"",
                      node->kind == JINJA_FILTER ? "filter" : "test", node->name);
  if ((node->a && jinja_evaluate(ev, node->a, &value) < 0) ||
      gather_arguments(ev, node, &value, NULL, &args) < 0)
    return TPO_E_INPUT;
  ev->run.line = node->line;
  return node->function(&ev->run, &args, out);
}

/* ---- what is inside of what ---- */

/* An attribute of what the evaluator made itself. */
static int own_attribute(struct jinja_evaluator *ev, struct jinja_value object, const char *name, bool *found,
                         struct jinja_value *out)
{
  if (object.type == JINJA_LOOP) return jinja_loop_attribute(ev, object.loop, name, found, out);
  return jinja_macro_attribute(ev, object, name, found, out);
}

static int attribute(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value object;
  bool found;
  if (jinja_evaluate(ev, node->a, &object) < 0) return TPO_E_INPUT;
  ev->run.line = node->line;
  if (own_attribute(ev, object, node->name, &found, out) < 0) return TPO_E_INPUT;
  return found ? 0 : jinja_attribute(&ev->run, object, node->name, out);
}

static int item(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct jinja_value object, key;
  bool found = false;
  if (jinja_evaluate(ev, node->a, &object) < 0 || jinja_evaluate(ev, node->b, &key) < 0) return TPO_E_INPUT;
  ev->run.line = node->line;
  if (key.type == JINJA_STRING && own_attribute(ev, object, key.string->bytes, &found, out) < 0)
    return TPO_E_INPUT;
  return found ? 0 : jinja_item(&ev->run, object, key, out);
}

static int slice(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  const struct jinja_node *nodes[] = {node->b, node->c, node->d};
  struct jinja_value object, bounds[3];
  if (jinja_evaluate(ev, node->a, &object) < 0) return TPO_E_INPUT;
  for (int i = 0; i < 3; i++)
    if (nodes[i] && jinja_evaluate(ev, nodes[i], &bounds[i]) < 0) return TPO_E_INPUT;
  ev->run.line = node->line;
  return jinja_slice(&ev->run, object, node->b ? &bounds[0] : NULL, node->c ? &bounds[1] : NULL,
                     node->d ? &bounds[2] : NULL, out);
}

static int evaluate(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  switch (node->kind) {
  case JINJA_LITERAL: *out = node->value; return 0;
  case JINJA_NAME: return jinja_scope_get(ev, node->name, out);
  case JINJA_MAKE_LIST: return make_list(ev, node, JINJA_LIST, out);
  case JINJA_MAKE_TUPLE: return make_list(ev, node, JINJA_TUPLE, out);
  case JINJA_MAKE_DICT: return make_dict(ev, node, out);
  case JINJA_NEGATE: return negate(ev, node, out);
  case JINJA_NOT: return invert(ev, node, out);
  case JINJA_AND:
  case JINJA_OR: return either(ev, node, out);
  case JINJA_ARITHMETIC: return arithmetic(ev, node, out);
  case JINJA_COMPARISON: return compare(ev, node, out);
  case JINJA_FILTER:
  case JINJA_TEST: return apply(ev, node, out);
  case JINJA_CALL: return jinja_call_node(ev, node, NULL, out);
  case JINJA_ATTRIBUTE: return attribute(ev, node, out);
  case JINJA_ITEM: return item(ev, node, out);
  case JINJA_SLICE: return slice(ev, node, out);
  case JINJA_CONDITIONAL: return conditional(ev, node, out);
  default: return jinja_fail(&ev->run, TPO_E_STATE, "a statement stands where an expression should");
  }
}

int jinja_evaluate(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  if (jinja_descend(ev, node->line) < 0) return TPO_E_INPUT;
  int status = evaluate(ev, node, out);
  ev->levels--;
  return status;
}
