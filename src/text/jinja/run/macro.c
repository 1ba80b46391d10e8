/* Macros: what a call puts into their parameters, and what their bodies print. */
#include <stddef.h>
#include <string.h>
#include "text/jinja/run/eval.h"

struct macro {
  struct jinja_callable callable; /* its data is the macro */
  const struct jinja_node *node;
  struct jinja_scope *scope; /* where it was defined */
};

/* A call's arguments as they are taken, those by name one by one. */
struct call {
  const struct jinja_args *args;
  bool *taken; /* [args->n_named] */
};

static bool take(struct call *call, const char *name, struct jinja_value *out)
{
  for (size_t i = 0; i < call->args->n_named; i++) {
    if (call->taken[i] || strcmp(call->args->names[i], name) != 0) continue;
    call->taken[i] = true;
    *out = call->args->named[i];
    return true;
  }
  return false;
}

static bool has_parameter(const struct jinja_node *node, const char *name)
{
  for (size_t i = 0; i < node->items.n; i++)
    if (strcmp(node->items.items[i]->name, name) == 0) return true;
  return false;
}

/* The parameters that the call gives no value have their defaults, which see those before them. */
static int bind_parameters(struct jinja_evaluator *ev, const struct macro *macro, struct call *call)
{
  const struct jinja_nodes *parameters = &macro->node->items;
  bool *given = jinja_alloc(&ev->run, parameters->n);
  if (!given) return TPO_E_INPUT;
  for (size_t i = 0; i < parameters->n; i++) {
    struct jinja_value value = jinja_undefined(parameters->items[i]->name);
    given[i] = i < call->args->n || take(call, parameters->items[i]->name, &value);
    if (i < call->args->n) value = call->args->args[i];
    if (jinja_scope_set(ev, ev->scope, parameters->items[i]->name, value) < 0) return TPO_E_INPUT;
  }
  for (size_t i = 0; i < parameters->n; i++) {
    struct jinja_value value;
    const struct jinja_node *parameter = parameters->items[i];
    if (given[i] || !parameter->a) continue;
    if (jinja_evaluate(ev, parameter->a, &value) < 0 ||
        jinja_scope_set(ev, ev->scope, parameter->name, value) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

static int bind_kwargs(struct jinja_evaluator *ev, struct call *call)
{
  struct jinja_value dict;
  if (jinja_dict_new(&ev->run, &dict) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < call->args->n_named; i++) {
    struct jinja_value key;
    const char *name = call->args->names[i];
    if (call->taken[i]) continue;
    call->taken[i] = true;
    if (jinja_string_new(&ev->run, name, strlen(name), 0, &key) < 0 ||
        jinja_dict_put(&ev->run, dict.dict, key, call->args->named[i]) < 0)
      return TPO_E_INPUT;
  }
  return jinja_scope_set(ev, ev->scope, "kwargs", dict);
}

static int bind_varargs(struct jinja_evaluator *ev, const struct macro *macro, const struct call *call)
{
  struct jinja_value tuple;
  if (jinja_list_new(&ev->run, JINJA_TUPLE, 0, &tuple) < 0) return TPO_E_INPUT;
  for (size_t i = macro->node->items.n; i < call->args->n; i++)
    if (jinja_list_push(&ev->run, tuple.list, call->args->args[i]) < 0) return TPO_E_INPUT;
  return jinja_scope_set(ev, ev->scope, "varargs", tuple);
}

static const char *name_of(const struct macro *macro)
{
  return macro->node->name ? macro->node->name : "caller";
}

static bool collects(const struct macro *macro, unsigned use, const char *name)
{
  return (macro->node->uses & use) && !has_parameter(macro->node, name);
}

/* What is left must have somewhere to go. */
static int bind_rest(struct jinja_evaluator *ev, const struct macro *macro, struct call *call)
{
  if (collects(macro, JINJA_USES_CALLER, "caller")) {
    struct jinja_value caller = jinja_undefined("caller");
    take(call, "caller", &caller);
    if (jinja_scope_set(ev, ev->scope, "caller", caller) < 0) return TPO_E_INPUT;
  }
  if (collects(macro, JINJA_USES_KWARGS, "kwargs") && bind_kwargs(ev, call) < 0) return TPO_E_INPUT;
  if (collects(macro, JINJA_USES_VARARGS, "varargs")) {
    if (bind_varargs(ev, macro, call) < 0) return TPO_E_INPUT;
  } else if (call->args->n > macro->node->items.n) {
    return jinja_fail(&ev->run, TPO_E_INPUT, "macro '%s' takes not more than %zu argument(s)", name_of(macro),
                      macro->node->items.n);
  }
  for (size_t i = 0; i < call->args->n_named; i++)
    if (!call->taken[i])
      return jinja_fail(&ev->run, TPO_E_INPUT, "macro '%s' takes no keyword argument '%s'", name_of(macro),
                        call->args->names[i]);
  return 0;
}

static int call_in_scope(struct jinja_evaluator *ev, const struct macro *macro, const struct jinja_args *args,
                         struct jinja_value *out)
{
  struct call call = {.args = args, .taken = jinja_alloc(&ev->run, args->n_named)};
  if (!call.taken) return TPO_E_INPUT;
  if (bind_parameters(ev, macro, &call) < 0 || bind_rest(ev, macro, &call) < 0) return TPO_E_INPUT;
  return jinja_capture(ev, &macro->node->body, ev->scope, out);
}

static int call_macro(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                      struct jinja_value *out)
{
  struct jinja_evaluator *ev =
      (struct jinja_evaluator *)((char *)run - offsetof(struct jinja_evaluator, run));
  const struct macro *macro = self->data;
  struct jinja_scope *before = ev->scope;
  int line = run->line;
  if (run->limits.depth == 0)
    return jinja_fail(run, TPO_E_INPUT, "calls are nested deeper than a rendering may go");
  run->limits.depth--;
  ev->scope = jinja_scope_new(ev, macro->scope);
  int status = ev->scope ? call_in_scope(ev, macro, args, out) : TPO_E_INPUT;
  ev->scope = before;
  run->limits.depth++;
  if (status == 0) run->line = line;
  return status;
}

int jinja_macro_new(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out)
{
  struct macro *macro = jinja_alloc(&ev->run, sizeof *macro);
  if (!macro) return TPO_E_INPUT;
  *macro = (struct macro){.node = node, .scope = ev->scope};
  macro->callable = (struct jinja_callable){.name = name_of(macro), .call = call_macro, .data = macro};
  *out = (struct jinja_value){.type = JINJA_CALLABLE, .callable = &macro->callable};
  return 0;
}

static int parameter_names(struct jinja_evaluator *ev, const struct macro *macro, struct jinja_value *out)
{
  if (jinja_list_new(&ev->run, JINJA_TUPLE, 0, out) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < macro->node->items.n; i++) {
    struct jinja_value name;
    const char *text = macro->node->items.items[i]->name;
    if (jinja_string_new(&ev->run, text, strlen(text), 0, &name) < 0 ||
        jinja_list_push(&ev->run, out->list, name) < 0)
      return TPO_E_INPUT;
  }
  return 0;
}

int jinja_macro_attribute(struct jinja_evaluator *ev, struct jinja_value value, const char *name, bool *found,
                          struct jinja_value *out)
{
  *found = value.type == JINJA_CALLABLE && value.callable->call == call_macro;
  if (!*found) return 0;
  const struct macro *macro = value.callable->data;
  if (strcmp(name, "arguments") == 0) return parameter_names(ev, macro, out);
  if (strcmp(name, "name") == 0) {
    *out = jinja_none();
    return macro->node->name ? jinja_string_new(&ev->run, name_of(macro), strlen(name_of(macro)), 0, out) : 0;
  }
  if (strcmp(name, "caller") == 0)
    *out = jinja_bool(macro->node->uses & JINJA_USES_CALLER);
  else if (strcmp(name, "catch_kwargs") == 0)
    *out = jinja_bool(collects(macro, JINJA_USES_KWARGS, "kwargs"));
  else if (strcmp(name, "catch_varargs") == 0)
    *out = jinja_bool(collects(macro, JINJA_USES_VARARGS, "varargs"));
  else
    *found = false;
  return 0;
}
