/* For statements, and `loop` inside them. */
#include <string.h>
#include "text/jinja/run/eval.h"

/* Items are looked at one by one, as late as may be, since a loop's `if` may read what its body changes. */
struct jinja_loop {
  const struct jinja_node *node;
  struct jinja_scope *outer;
  const struct jinja_list *source;
  size_t next;              /* of source, to be looked at */
  struct jinja_list passed; /* what passed the `if`; without one, the source */
  size_t index;             /* of the current one, from 0 */
  size_t depth;             /* of recursion, from 0 */
  bool has_seen;
  struct jinja_value seen; /* changed()'s last arguments, a tuple */
};

/* Whether item passes the `if`. What was taken apart into several variables goes on as a tuple of them. */
static int passes(struct jinja_evaluator *ev, const struct jinja_loop *loop, struct jinja_value *item,
                  bool *out)
{
  struct jinja_value truth;
  struct jinja_scope *before = ev->scope;
  if (!(ev->scope = jinja_scope_new(ev, loop->outer))) return TPO_E_INPUT;
  int status = jinja_assign(ev, ev->scope, loop->node->a, *item);
  if (status == 0) status = jinja_evaluate(ev, loop->node->c, &truth);
  if (status == 0) *out = jinja_truthy(truth);
  if (status == 0 && *out && loop->node->a->kind == JINJA_MAKE_TUPLE)
    status = jinja_evaluate(ev, loop->node->a, item);
  ev->scope = before;
  return status;
}

/* Makes passed hold `wanted` items, or fewer where there are no more. */
static int look_ahead(struct jinja_evaluator *ev, struct jinja_loop *loop, size_t wanted)
{
  while (loop->node->c && loop->passed.n < wanted && loop->next < loop->source->n) {
    bool good = false;
    struct jinja_value item = loop->source->items[loop->next++];
    if (jinja_spend(&ev->run, 1) < 0 || passes(ev, loop, &item, &good) < 0 ||
        (good && jinja_list_push(&ev->run, &loop->passed, item) < 0))
      return TPO_E_INPUT;
  }
  return 0;
}

/* The body for the current item. */
static int iteration(struct jinja_evaluator *ev, struct jinja_loop *loop, struct jinja_scope *scope)
{
  const struct jinja_value self = {.type = JINJA_LOOP, .loop = loop};
  scope->n = 0;
  ev->run.line = loop->node->line;
  if (jinja_spend(&ev->run, 1) < 0 ||
      jinja_assign(ev, scope, loop->node->a, loop->passed.items[loop->index]) < 0 ||
      jinja_scope_set(ev, scope, "loop", self) < 0)
    return TPO_E_INPUT;
  ev->scope = scope;
  return jinja_execute(ev, &loop->node->body);
}

/* All iterations; *finished: one of them reached the end of the body, without which `else` is run. */
static int iterate(struct jinja_evaluator *ev, struct jinja_loop *loop, bool *finished)
{
  struct jinja_scope *before = ev->scope, *scope = jinja_scope_new(ev, loop->outer);
  int flow = scope ? JINJA_WENT_ON : TPO_E_INPUT;
  for (loop->index = 0; flow >= 0 && flow != JINJA_BROKE; loop->index++) {
    if (look_ahead(ev, loop, loop->index + 1) < 0) return TPO_E_INPUT;
    if (loop->index >= loop->passed.n) break;
    flow = iteration(ev, loop, scope);
    ev->scope = before;
    *finished |= flow == JINJA_WENT_ON;
  }
  return flow < 0 ? flow : 0;
}

static int run_over(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value value,
                    struct jinja_scope *outer, size_t depth)
{
  struct jinja_value list;
  struct jinja_scope *before = ev->scope;
  bool finished = false;
  if (jinja_iterate(&ev->run, value, &list) < 0) return TPO_E_INPUT;
  struct jinja_loop *loop = jinja_alloc(&ev->run, sizeof *loop);
  if (!loop) return TPO_E_INPUT;
  *loop = (struct jinja_loop){.node = node, .outer = outer, .source = list.list, .depth = depth};
  if (!node->c) loop->passed = *list.list;
  int flow = iterate(ev, loop, &finished);
  if (flow < 0 || finished || node->otherwise.n == 0) return flow;
  if (!(ev->scope = jinja_scope_new(ev, outer))) return TPO_E_INPUT;
  flow = jinja_execute(ev, &node->otherwise);
  ev->scope = before;
  return flow;
}

int jinja_loop_run(struct jinja_evaluator *ev, const struct jinja_node *node)
{
  struct jinja_value value;
  if (jinja_evaluate(ev, node->b, &value) < 0) return TPO_E_INPUT;
  return run_over(ev, node, value, ev->scope, 0);
}

static int recurse(struct jinja_evaluator *ev, const struct jinja_loop *loop, struct jinja_value value,
                   struct jinja_value *out)
{
  struct jinja_builder text = {.run = &ev->run}, *before = ev->out;
  int line = ev->run.line;
  ev->out = &text;
  int status = run_over(ev, loop->node, value, loop->outer, loop->depth + 1);
  ev->out = before;
  ev->run.line = line;
  return status < 0 ? status : jinja_build_end(&text, out);
}

int jinja_loop_call(struct jinja_evaluator *ev, struct jinja_loop *loop, const struct jinja_args *args,
                    struct jinja_value *out)
{
  static const char *const names[] = {"iterable"};
  struct jinja_value value;
  if (jinja_bind(&ev->run, "loop", args, names, 1, 1, &value) < 0) return TPO_E_INPUT;
  if (!loop->node->truth)
    return jinja_fail(&ev->run, TPO_E_INPUT,
                      "the loop must have the 'recursive' marker to be called recursively");
  if (ev->run.limits.depth == 0)
    return jinja_fail(&ev->run, TPO_E_INPUT, "calls are nested deeper than a rendering may go");
  ev->run.limits.depth--;
  int status = recurse(ev, loop, value, out);
  ev->run.limits.depth++;
  return status;
}

/* ---- loop.cycle() and loop.changed() ---- */

static int cycle(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                 struct jinja_value *out)
{
  if (args->n_named > 0) return jinja_fail(run, TPO_E_INPUT, "loop.cycle() takes no keyword arguments");
  if (args->n == 0) return jinja_fail(run, TPO_E_INPUT, "no items for cycling given");
  *out = args->args[self->self.loop->index % args->n];
  return 0;
}

static int changed(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                   struct jinja_value *out)
{
  struct jinja_loop *loop = self->self.loop;
  struct jinja_value now;
  bool differs = true;
  if (args->n_named > 0) return jinja_fail(run, TPO_E_INPUT, "loop.changed() takes no keyword arguments");
  if (jinja_list_new(run, JINJA_TUPLE, args->n, &now) < 0) return TPO_E_INPUT;
  for (size_t i = 0; i < args->n; i++)
    if (jinja_list_push(run, now.list, args->args[i]) < 0) return TPO_E_INPUT;
  if (loop->has_seen && jinja_compare(run, "!=", loop->seen, now, &differs) < 0) return TPO_E_INPUT;
  loop->has_seen = true;
  loop->seen = now;
  *out = jinja_bool(differs);
  return 0;
}

static int method(struct jinja_evaluator *ev, struct jinja_loop *loop, const char *name,
                  int (*call)(struct jinja_run *, const struct jinja_callable *, const struct jinja_args *,
                              struct jinja_value *),
                  struct jinja_value *out)
{
  struct jinja_callable *callable = jinja_alloc(&ev->run, sizeof *callable);
  if (!callable) return TPO_E_INPUT;
  *callable = (struct jinja_callable){.name = name, .call = call, .self = {.type = JINJA_LOOP, .loop = loop}};
  *out = (struct jinja_value){.type = JINJA_CALLABLE, .callable = callable};
  return 0;
}

/* ---- attributes ---- */

/* Those that don't look further than the current item. */
static bool known_attribute(const struct jinja_loop *loop, const char *name, struct jinja_value *out)
{
  int64_t index = (int64_t)loop->index, depth = (int64_t)loop->depth;
  if (strcmp(name, "index") == 0)
    *out = jinja_int(index + 1);
  else if (strcmp(name, "index0") == 0)
    *out = jinja_int(index);
  else if (strcmp(name, "first") == 0)
    *out = jinja_bool(index == 0);
  else if (strcmp(name, "depth") == 0)
    *out = jinja_int(depth + 1);
  else if (strcmp(name, "depth0") == 0)
    *out = jinja_int(depth);
  else if (strcmp(name, "previtem") == 0)
    *out = index > 0 ? loop->passed.items[index - 1] : jinja_undefined("there is no previous item");
  else
    return false;
  return true;
}

static int next_attribute(struct jinja_evaluator *ev, struct jinja_loop *loop, const char *name, bool *found,
                          struct jinja_value *out)
{
  bool last = strcmp(name, "last") == 0;
  *found = last || strcmp(name, "nextitem") == 0;
  if (!*found) return 0;
  if (look_ahead(ev, loop, loop->index + 2) < 0) return TPO_E_INPUT;
  bool more = loop->index + 1 < loop->passed.n;
  if (last)
    *out = jinja_bool(!more);
  else
    *out = more ? loop->passed.items[loop->index + 1] : jinja_undefined("there is no next item");
  return 0;
}

static int length_attribute(struct jinja_evaluator *ev, struct jinja_loop *loop, const char *name,
                            bool *found, struct jinja_value *out)
{
  bool revindex = strcmp(name, "revindex") == 0, revindex0 = strcmp(name, "revindex0") == 0;
  *found = revindex || revindex0 || strcmp(name, "length") == 0;
  if (!*found) return 0;
  if (look_ahead(ev, loop, SIZE_MAX) < 0) return TPO_E_INPUT;
  int64_t n = (int64_t)loop->passed.n, index = (int64_t)loop->index;
  *out = jinja_int(revindex ? n - index : revindex0 ? n - index - 1 : n);
  return 0;
}

int jinja_loop_attribute(struct jinja_evaluator *ev, struct jinja_loop *loop, const char *name, bool *found,
                         struct jinja_value *out)
{
  *found = true;
  if (known_attribute(loop, name, out)) return 0;
  if (strcmp(name, "cycle") == 0) return method(ev, loop, "cycle", cycle, out);
  if (strcmp(name, "changed") == 0) return method(ev, loop, "changed", changed, out);
  if (next_attribute(ev, loop, name, found, out) < 0) return TPO_E_INPUT;
  return *found ? 0 : length_attribute(ev, loop, name, found, out);
}
