/* Variables that a body sets before it reads them. To jinja2 they are the body's own from its beginning,
 * so that what is read of them earlier, by a loop or a macro inside, is undefined even where an input has
 * their name. An UNSET node at the beginning of such a body says so. */
#include <string.h>
#include "text/jinja/parse/parser.h"

struct name {
  const char *text; /* NULL: a free slot */
  size_t scope;     /* the innermost scope that has it, 0: none */
  size_t scopes;    /* how many have it, of those around */
};
struct mark { /* that a scope has a name, and which had it before */
  const char *name;
  size_t before;
};

struct search {
  struct jinja_parser *p;
  struct name *slots; /* [n_slots], a power of two */
  size_t n_names, n_slots;
  struct mark *marks;
  size_t n_marks, capacity;
  size_t scope, scopes;      /* the current one's number, and the last */
  struct jinja_nodes *unset; /* the current scope's */
};

static size_t hash(const char *text)
{
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 1099511628211u;
  return (size_t)(hash ^ hash >> 32);
}

static struct name *slot_of(const struct search *s, const char *text)
{
  size_t at = hash(text);
  while (s->slots[at & (s->n_slots - 1)].text && strcmp(s->slots[at & (s->n_slots - 1)].text, text) != 0)
    at++;
  return &s->slots[at & (s->n_slots - 1)];
}

static bool grow_slots(struct search *s)
{
  if (s->n_names * 2 < s->n_slots) return true;
  struct search grown = *s;
  grown.n_slots = s->n_slots ? 2 * s->n_slots : 64;
  grown.slots = jinja_alloc(&s->p->run, grown.n_slots * sizeof *grown.slots);
  if (!grown.slots) return false;
  for (size_t i = 0; i < s->n_slots; i++)
    if (s->slots[i].text) *slot_of(&grown, s->slots[i].text) = s->slots[i];
  *s = grown;
  return true;
}

/* Makes the current scope have the name; *fresh: neither it nor one around had it. */
static bool note(struct search *s, const char *text, bool *fresh)
{
  if (!grow_slots(s)) return false;
  struct name *name = slot_of(s, text);
  *fresh = name->scopes == 0;
  if (!name->text) s->n_names++, name->text = text;
  if (name->scope == s->scope) return true;
  if (s->n_marks == s->capacity) {
    size_t capacity = s->capacity ? 2 * s->capacity : 64;
    struct mark *grown = jinja_alloc(&s->p->run, capacity * sizeof *grown);
    if (!grown) return false;
    if (s->n_marks > 0) memcpy(grown, s->marks, s->n_marks * sizeof *grown);
    s->marks = grown;
    s->capacity = capacity;
  }
  s->marks[s->n_marks++] = (struct mark){text, name->scope};
  name->scope = s->scope;
  name->scopes++;
  return true;
}

static bool load(struct search *s, const char *name)
{
  bool fresh;
  return note(s, name, &fresh);
}

/* maybe: in an `if`. */
static bool store(struct search *s, struct jinja_node *node, const char *name, bool maybe)
{
  bool fresh;
  if (!note(s, name, &fresh)) return false;
  if (!fresh || maybe) return true;
  struct jinja_node *unset = jinja_node_new(s->p, JINJA_NAME, node->line);
  if (unset) unset->name = name;
  return jinja_nodes_push(s->p, s->unset, unset);
}

/* What an expression reads. Long chains go down on their left. */
static bool loads(struct search *s, const struct jinja_node *node)
{
  for (; node; node = node->a) {
    if (node->kind == JINJA_NAME && !load(s, node->name)) return false;
    for (size_t i = 0; i < node->items.n; i++)
      if (!loads(s, node->items.items[i])) return false;
    for (size_t i = 0; i < node->n_arguments; i++)
      if (!loads(s, node->arguments[i].value)) return false;
    if (!loads(s, node->b) || !loads(s, node->c) || !loads(s, node->d)) return false;
  }
  return true;
}

static bool stores(struct search *s, struct jinja_node *target, bool maybe)
{
  if (target->kind == JINJA_NAME) return store(s, target, target->name, maybe);
  if (target->kind == JINJA_ATTRIBUTE) return load(s, target->a->name);
  for (size_t i = 0; i < target->items.n; i++)
    if (!stores(s, target->items.items[i], maybe)) return false;
  return true;
}

/* The next of a chain of `if` and `elif`; NULL: none. */
static struct jinja_node *elif_of(const struct jinja_node *node)
{
  bool alone = node->otherwise.n == 1 && node->otherwise.items[0]->kind == JINJA_IF;
  return alone ? node->otherwise.items[0] : NULL;
}

/* ---- what a body reads and sets itself, not what bodies in it do ---- */

static bool collect(struct search *s, const struct jinja_nodes *body, bool maybe);

static bool collect_if(struct search *s, const struct jinja_node *node)
{
  for (const struct jinja_node *next; node; node = next) {
    next = elif_of(node);
    if (!loads(s, node->a) || !collect(s, &node->body, true)) return false;
    if (!next && !collect(s, &node->otherwise, true)) return false;
  }
  return true;
}

static bool collect_values(struct search *s, const struct jinja_node *with)
{
  for (size_t i = 1; i < with->items.n; i += 2)
    if (!loads(s, with->items.items[i])) return false;
  return true;
}

static bool collect_statement(struct search *s, struct jinja_node *node, bool maybe)
{
  switch (node->kind) {
  case JINJA_OUTPUT:
  case JINJA_CALL_BLOCK:
  case JINJA_FILTER_BLOCK: return loads(s, node->a);
  case JINJA_FOR: return loads(s, node->b);
  case JINJA_IF: return collect_if(s, node);
  case JINJA_SET: return loads(s, node->b) && stores(s, node->a, maybe);
  case JINJA_SET_BLOCK: return stores(s, node->a, maybe);
  case JINJA_MACRO: return store(s, node, node->name, maybe);
  case JINJA_WITH: return collect_values(s, node);
  default: return true;
  }
}

static bool collect(struct search *s, const struct jinja_nodes *body, bool maybe)
{
  for (size_t i = 0; i < body->n; i++)
    if (!collect_statement(s, body->items[i], maybe)) return false;
  return true;
}

/* ---- bodies in bodies ---- */

static bool descend(struct search *s, const struct jinja_nodes *body);

/* Names that a body has from its beginning. */
static bool parameters(struct search *s, const struct jinja_node *node)
{
  static const struct {
    unsigned use;
    const char *name;
  } more[] = {{JINJA_USES_CALLER, "caller"}, {JINJA_USES_KWARGS, "kwargs"}, {JINJA_USES_VARARGS, "varargs"}};
  if (node->kind == JINJA_FOR) return stores(s, node->a, true) && load(s, "loop");
  for (size_t i = 0; i < node->items.n; i++) {
    struct jinja_node *item = node->items.items[i];
    bool is_macro = node->kind == JINJA_MACRO || node->kind == JINJA_CALL_BLOCK;
    if (is_macro && (!load(s, item->name) || !loads(s, item->a))) return false;
    if (node->kind == JINJA_WITH && i % 2 == 0 && !stores(s, item, true)) return false;
  }
  for (size_t i = 0; i < 3; i++)
    if ((node->uses & more[i].use) && !load(s, more[i].name)) return false;
  return node->kind != JINJA_FILTER_BLOCK || loads(s, node->a);
}

static bool add_unset(struct search *s, struct jinja_nodes *body, const struct jinja_nodes *names)
{
  if (names->n == 0) return true;
  struct jinja_node *unset = jinja_node_new(s->p, JINJA_UNSET, names->items[0]->line);
  if (!unset || !jinja_nodes_push(s->p, body, unset)) return false;
  unset->items = *names;
  memmove(body->items + 1, body->items, (body->n - 1) * sizeof *body->items);
  body->items[0] = unset;
  return true;
}

/* A scope; of: whose parameters it has, or NULL. */
static bool scope(struct search *s, struct jinja_nodes *body, const struct jinja_node *of)
{
  struct jinja_nodes names = {0}, *unset = s->unset;
  size_t number = s->scope, n_marks = s->n_marks;
  s->unset = &names;
  s->scope = ++s->scopes;
  bool done = (!of || parameters(s, of)) && collect(s, body, false) && descend(s, body);
  while (done && s->n_marks > n_marks) {
    struct mark mark = s->marks[--s->n_marks];
    struct name *name = slot_of(s, mark.name);
    name->scope = mark.before;
    name->scopes--;
  }
  s->unset = unset;
  s->scope = number;
  return done && add_unset(s, body, &names);
}

static bool descend_if(struct search *s, const struct jinja_node *node)
{
  for (const struct jinja_node *next; node; node = next) {
    next = elif_of(node);
    if (!descend(s, &node->body) || (!next && !descend(s, &node->otherwise))) return false;
  }
  return true;
}

static bool descend(struct search *s, const struct jinja_nodes *body)
{
  for (size_t i = 0; i < body->n; i++) {
    struct jinja_node *node = body->items[i];
    bool has_scope = node->kind >= JINJA_FOR && node->kind != JINJA_IF && node->body.n > 0;
    if (node->kind == JINJA_IF && !descend_if(s, node)) return false;
    if (has_scope && !scope(s, &node->body, node)) return false;
    if (node->kind == JINJA_FOR && node->otherwise.n > 0 && !scope(s, &node->otherwise, NULL)) return false;
  }
  return true;
}

bool jinja_mark_unset(struct jinja_parser *p, struct jinja_nodes *body)
{
  struct search s = {.p = p};
  return scope(&s, body, NULL);
}
