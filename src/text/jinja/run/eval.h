/* What the files of the evaluator share: eval.c (statements), eval_expr.c, loop.c, macro.c, scope.c. */
#ifndef TPO_TEXT_JINJA_RUN_EVAL_H
#define TPO_TEXT_JINJA_RUN_EVAL_H

#include "text/jinja/ast.h"

/* Variables of a body. What is set goes into the innermost scope; what is read is looked for from it
 * outwards. */
struct jinja_scope {
  struct jinja_scope *outer; /* NULL: of the inputs */
  struct jinja_variable {
    const char *name; /* borrowed from the template or the inputs */
    struct jinja_value value;
  } * items;
  size_t n, capacity;
};

struct jinja_evaluator {
  struct jinja_run run; /* first: a macro that is called is handed it and finds the evaluator */
  struct jinja_scope *scope;
  struct jinja_builder *out;    /* where what is printed goes */
  struct jinja_builder printed; /* the whole's */
  struct jinja_value block;     /* what a filter block's or set block's filters begin with */
  size_t levels;                /* of nodes being evaluated in each other, at most JINJA_LEVELS_MAX */
};
enum { JINJA_LEVELS_MAX = 3000 };

/* What a statement ended with, besides a negative failure. */
enum jinja_flow { JINJA_WENT_ON, JINJA_BROKE, JINJA_CONTINUED };

/* One level deeper, a step spent, and line being where we are. Every success is followed by levels--. */
int jinja_descend(struct jinja_evaluator *ev, int line);

struct jinja_scope *jinja_scope_new(struct jinja_evaluator *ev, struct jinja_scope *outer); /* NULL: failed */
int jinja_scope_set(struct jinja_evaluator *ev, struct jinja_scope *scope, const char *name,
                    struct jinja_value value);
/* Undefined where there is no variable of that name in any scope, nor a function of the environment. */
int jinja_scope_get(struct jinja_evaluator *ev, const char *name, struct jinja_value *out);
/* Assigns to a NAME, tuple or namespace's attribute. */
int jinja_assign(struct jinja_evaluator *ev, struct jinja_scope *scope, const struct jinja_node *target,
                 struct jinja_value value);

int jinja_evaluate(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out);
int jinja_execute(struct jinja_evaluator *ev, const struct jinja_nodes *body);
/* What body prints, in scope, as a string; not made where it doesn't go on. */
int jinja_capture(struct jinja_evaluator *ev, const struct jinja_nodes *body, struct jinja_scope *scope,
                  struct jinja_value *out);

int jinja_call_node(struct jinja_evaluator *ev, const struct jinja_node *node,
                    const struct jinja_value *caller, struct jinja_value *out);

int jinja_macro_new(struct jinja_evaluator *ev, const struct jinja_node *node, struct jinja_value *out);
/* A macro's own attributes; *found false: it has none of that name, or value is none. */
int jinja_macro_attribute(struct jinja_evaluator *ev, struct jinja_value value, const char *name, bool *found,
                          struct jinja_value *out);

int jinja_loop_run(struct jinja_evaluator *ev, const struct jinja_node *node);
int jinja_loop_call(struct jinja_evaluator *ev, struct jinja_loop *loop, const struct jinja_args *args,
                    struct jinja_value *out);
int jinja_loop_attribute(struct jinja_evaluator *ev, struct jinja_loop *loop, const char *name, bool *found,
                         struct jinja_value *out);

#endif
