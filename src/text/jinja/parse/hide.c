/* What jinja2's compiler makes of a variable that a body sets only after a body inside it has read it: the name is
 * the outer body's own from its beginning, undefined until it is set, whatever stands outside under that name:
 *   {% for m in messages %}{{ s }}{% endfor %}{% set s = 1 %}
 * prints nothing, also where s is given. So is it where the body itself reads it first or sets it in an `if`. */
#include <stdlib.h>
#include <string.h>
#include "text/jinja/parse/parser.h"

enum seen { READ_INSIDE, READ, SET };

/* A name in a body, in the order in which they stand. */
struct mention {
  const char *name;
  size_t at;
  enum seen seen;
};

struct body {
  struct jinja_parser *p;
  struct mention *items;
  size_t n, capacity;
  int ifs; /* around */
};

static bool mention(struct body *body, const char *name, enum seen seen)
{
  if (body->n == body->capacity) {
    size_t capacity = body->capacity ? 2 * body->capacity : 32;
    struct mention *grown = jinja_alloc(&body->p->run, capacity * sizeof *grown);
    if (!grown) return false;
    if (body->n > 0) memcpy(grown, body->items, body->n * sizeof *grown);
    body->items = grown;
    body->capacity = capacity;
  }
  body->items[body->n] = (struct mention){name, body->n, seen};
  body->n++;
  return true;
}

static bool read(struct body *body, const struct jinja_node *node)
{
  if (!node) return true;
  if (node->kind == JINJA_NAME) return mention(body, node->name, READ);
  bool fine = read(body, node->a) && read(body, node->b) && read(body, node->c) && read(body, node->d);
  for (size_t i = 0; fine && i < node->items.n; i++) fine = read(body, node->items.items[i]);
  for (size_t i = 0; fine && i < node->n_arguments; i++) fine = read(body, node->arguments[i].value);
  return fine;
}

static bool set(struct body *body, const struct jinja_node *target)
{
  if (target->kind == JINJA_ATTRIBUTE) return read(body, target->a);
  if (target->kind == JINJA_NAME) return mention(body, target->name, body->ifs ? READ : SET);
  bool fine = true;
  for (size_t i = 0; fine && i < target->items.n; i++) fine = set(body, target->items.items[i]);
  return fine;
}

static int by_name(const void *a, const void *b)
{
  const struct mention *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* The mentions of one name, sorted: is it set before the body reads it itself, but after a body inside did? */
static bool hidden(const struct mention *mentions, size_t n)
{
  size_t i = 0;
  while (i < n && mentions[i].seen == READ_INSIDE) i++;
  return i > 0 && i < n && mentions[i].seen == SET;
}

static bool put_first(struct jinja_parser *p, struct jinja_nodes *statements, struct jinja_node *node)
{
  if (!jinja_nodes_push(p, statements, node)) return false;
  memmove(statements->items + 1, statements->items, (statements->n - 1) * sizeof *statements->items);
  statements->items[0] = node;
  return true;
}

/* Puts a HIDE before the statements where there is something to hide; of each name one mention stays in body. */
static bool hide(struct body *body, struct jinja_nodes *statements)
{
  struct jinja_node *node = NULL;
  size_t kept = 0;
  if (body->n > 0) qsort(body->items, body->n, sizeof *body->items, by_name);
  for (size_t i = 0, end; i < body->n; i = end) {
    for (end = i; end < body->n && strcmp(body->items[end].name, body->items[i].name) == 0;) end++;
    if (hidden(body->items + i, end - i)) {
      struct jinja_node *name = jinja_node_new(body->p, JINJA_NAME, 1);
      if (!node) node = jinja_node_new(body->p, JINJA_HIDE, 1);
      if (!name || !node || !jinja_nodes_push(body->p, &node->items, name)) return false;
      name->name = body->items[i].name;
    }
    body->items[kept++] = body->items[i];
  }
  body->n = kept;
  return !node || put_first(body->p, statements, node);
}

static bool statements_of(struct body *body, const struct jinja_nodes *statements);

/* Statements with variables of their own, within outer. target: what they begin with being set, or NULL. */
static bool inside(struct body *outer, struct jinja_nodes *statements, const struct jinja_node *target,
                   const struct jinja_nodes *parameters)
{
  struct body body = {.p = outer->p};
  bool fine = !target || read(&body, target); /* there from the beginning, as what is read first */
  for (size_t i = 0; fine && parameters && i < parameters->n; i++) fine = read(&body, parameters->items[i]);
  fine = fine && statements_of(&body, statements) && hide(&body, statements);
  for (size_t i = 0; fine && i < body.n; i++) fine = mention(outer, body.items[i].name, READ_INSIDE);
  return fine;
}

static bool with(struct body *body, struct jinja_node *node)
{
  for (size_t i = 1; i < node->items.n; i += 2)
    if (!read(body, node->items.items[i])) return false;
  return inside(body, &node->body, NULL, &node->items);
}

static bool loop(struct body *body, struct jinja_node *node)
{
  struct body condition = {.p = body->p}; /* which has only the target to itself */
  if (!read(body, node->b) || !read(&condition, node->c)) return false;
  for (size_t i = 0; i < condition.n; i++)
    if (!mention(body, condition.items[i].name, READ_INSIDE)) return false;
  return inside(body, &node->body, node->a, NULL) && inside(body, &node->otherwise, NULL, NULL);
}

static bool macro(struct body *body, struct jinja_node *node)
{
  struct body defaults = {.p = body->p};
  for (size_t i = 0; i < node->items.n; i++)
    if (!read(&defaults, node->items.items[i]->a)) return false;
  for (size_t i = 0; i < defaults.n; i++)
    if (!mention(body, defaults.items[i].name, READ_INSIDE)) return false;
  return inside(body, &node->body, NULL, &node->items);
}

static bool branches(struct body *body, struct jinja_node *node)
{
  if (!read(body, node->a)) return false;
  body->ifs++;
  bool fine = statements_of(body, &node->body) && statements_of(body, &node->otherwise);
  body->ifs--;
  return fine;
}

static bool statement(struct body *body, struct jinja_node *node)
{
  switch (node->kind) {
  case JINJA_OUTPUT: return read(body, node->a);
  case JINJA_FOR: return loop(body, node);
  case JINJA_IF: return branches(body, node);
  case JINJA_SET: return read(body, node->b) && set(body, node->a);
  case JINJA_SET_BLOCK: return set(body, node->a) && inside(body, &node->body, node->b, NULL);
  case JINJA_MACRO: return mention(body, node->name, body->ifs ? READ : SET) && macro(body, node);
  case JINJA_CALL_BLOCK: return read(body, node->a) && macro(body, node);
  case JINJA_FILTER_BLOCK: return read(body, node->a) && inside(body, &node->body, NULL, NULL);
  case JINJA_WITH: return with(body, node);
  case JINJA_SCOPE: return inside(body, &node->body, NULL, NULL);
  default: return true;
  }
}

static bool statements_of(struct body *body, const struct jinja_nodes *statements)
{
  bool fine = true;
  for (size_t i = 0; fine && i < statements->n; i++) fine = statement(body, statements->items[i]);
  return fine;
}

bool jinja_hide_names(struct jinja_parser *p, struct jinja_nodes *statements)
{
  struct body body = {.p = p};
  return statements_of(&body, statements) && hide(&body, statements);
}
