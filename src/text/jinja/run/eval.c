/* Statements. */
#include "text/jinja/run/eval.h"

static int check_output(struct jinja_evaluator *ev)
{
  if (ev->out != &ev->printed || ev->out->len <= ev->run.limits.output) return 0;
  return jinja_fail(&ev->run, TPO_E_INPUT, "the template prints more than %zu bytes", ev->run.limits.output);
}

/* As str() gives it. */
static int print(struct jinja_evaluator *ev, struct jinja_value value)
{
  jinja_build_value(ev->out, value);
  return ev->out->failed ? TPO_E_INPUT : check_output(ev);
}

int jinja_capture(struct jinja_evaluator *ev, const struct jinja_nodes *body, struct jinja_scope *scope,
                  struct jinja_value *out)
{
  struct jinja_builder text = {.run = &ev->run}, *out_before = ev->out;
  struct jinja_scope *scope_before = ev->scope;
  ev->scope = scope;
  ev->out = &text;
  int flow = jinja_execute(ev, body);
  ev->scope = scope_before;
  ev->out = out_before;
  return flow == JINJA_WENT_ON ? jinja_build_end(&text, out) : flow;
}

/* What body prints in a scope of its own, through the filters of a block unless NULL. */
static int capture_filtered(struct jinja_evaluator *ev, const struct jinja_nodes *body,
                            const struct jinja_node *filters, struct jinja_value *out)
{
  struct jinja_scope *before = ev->scope, *scope = jinja_scope_new(ev, before);
  struct jinja_value block = ev->block;
  int flow = scope ? jinja_capture(ev, body, scope, out) : TPO_E_INPUT;
  if (flow != JINJA_WENT_ON || !filters) return flow;
  ev->scope = scope;
  ev->block = *out;
  flow = jinja_evaluate(ev, filters, out);
  ev->block = block;
  ev->scope = before;
  return flow;
}

static int in_new_scope(struct jinja_evaluator *ev, const struct jinja_nodes *body)
{
  struct jinja_scope *before = ev->scope;
  if (!(ev->scope = jinja_scope_new(ev, before))) return TPO_E_INPUT;
  int flow = jinja_execute(ev, body);
  ev->scope = before;
  return flow;
}

static int output(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value value;
  return jinja_evaluate(ev, node->a, &value) < 0 ? TPO_E_INPUT : print(ev, value);
}

/* if, elif, ...: each elif stands alone in what is otherwise done. */
static int choose(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value truth;
  for (;;) {
    ev->run.line = node->line;
    if (jinja_evaluate(ev, node->a, &truth) < 0) return TPO_E_INPUT;
    if (jinja_truthy(truth)) return jinja_execute(ev, &node->body);
    bool elif = node->otherwise.n == 1 && node->otherwise.items[0]->kind == JINJA_IF;
    if (!elif) return jinja_execute(ev, &node->otherwise);
    node = node->otherwise.items[0];
  }
}

static int set(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value value;
  if (jinja_evaluate(ev, node->b, &value) < 0) return TPO_E_INPUT;
  ev->run.line = node->line;
  return jinja_assign(ev, ev->scope, node->a, value);
}

static int set_block(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value value;
  int flow = capture_filtered(ev, &node->body, node->b, &value);
  if (flow != JINJA_WENT_ON) return flow;
  ev->run.line = node->line;
  return jinja_assign(ev, ev->scope, node->a, value);
}

static int filter_block(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value value;
  int flow = capture_filtered(ev, &node->body, node->a, &value);
  if (flow != JINJA_WENT_ON) return flow;
  if (value.type != JINJA_STRING) /* unlike what {{ }} prints, it doesn't go through str() */
    return jinja_fail(&ev->run, TPO_E_INPUT, "expected str instance, %s found, as what a filter block makes",
                      jinja_type_name(value));
  return print(ev, value);
}

static int define_macro(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value macro;
  if (jinja_macro_new(ev, node, &macro) < 0) return TPO_E_INPUT;
  return jinja_scope_set(ev, ev->scope, node->name, macro);
}

static int call_block(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value caller, value;
  if (jinja_macro_new(ev, node, &caller) < 0 || jinja_call_node(ev, node->a, &caller, &value) < 0)
    return TPO_E_INPUT;
  return print(ev, value);
}

/* The values see what is outside. */
static int with(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_scope *before = ev->scope, *scope = jinja_scope_new(ev, before);
  struct jinja_value value;
  if (!scope) return TPO_E_INPUT;
  for (size_t i = 0; i + 1 < node->items.n; i += 2)
    if (jinja_evaluate(ev, node->items.items[i + 1], &value) < 0 ||
        jinja_assign(ev, scope, node->items.items[i], value) < 0)
      return TPO_E_INPUT;
  ev->scope = scope;
  int flow = jinja_execute(ev, &node->body);
  ev->scope = before;
  return flow;
}

static int unset(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  for (size_t i = 0; i < node->items.n; i++) {
    const char *name = node->items.items[i]->name;
    if (jinja_scope_set(ev, ev->scope, name, jinja_undefined(name)) < 0) return TPO_E_INPUT;
  }
  return JINJA_WENT_ON;
}

static int execute(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  switch (node->kind) {
  case JINJA_TEXT: return print(ev, node->value);
  case JINJA_OUTPUT: return output(ev, node);
  case JINJA_FOR: return jinja_loop_run(ev, node);
  case JINJA_IF: return choose(ev, node);
  case JINJA_SET: return set(ev, node);
  case JINJA_SET_BLOCK: return set_block(ev, node);
  case JINJA_MACRO: return define_macro(ev, node);
  case JINJA_CALL_BLOCK: return call_block(ev, node);
  case JINJA_FILTER_BLOCK: return filter_block(ev, node);
  case JINJA_WITH: return with(ev, node);
  case JINJA_BREAK: return JINJA_BROKE;
  case JINJA_CONTINUE: return JINJA_CONTINUED;
  case JINJA_UNSET: return unset(ev, node);
  case JINJA_SCOPE: return in_new_scope(ev, &node->body);
  default: return jinja_fail(&ev->run, TPO_E_STATE, "an expression stands where a statement should");
  }
}

int jinja_execute(struct jinja_evaluator *ev, const struct jinja_nodes *body)
{
  for (size_t i = 0; i < body->n; i++) {
    if (jinja_descend(ev, body->items[i]->line) < 0) return TPO_E_INPUT;
    int flow = execute(ev, body->items[i]);
    ev->levels--;
    if (flow != JINJA_WENT_ON) return flow;
  }
  return JINJA_WENT_ON;
}
