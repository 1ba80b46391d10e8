/* The parser's means, and the template as a whole. Statements: parse_stmt.c; expressions: parse_expr.c. */
#include "text/jinja/parse/parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

void *jinja_parse_expected(struct jinja_parser *p, const char *what)
{
  const struct jinja_token *token = jinja_peek(p, 0);
  const char *got = token->text, *quote = "\"";
  if (token->kind == JINJA_T_END) got = "the end of the template", quote = "";
  if (token->kind == JINJA_T_TEXT) got = "text", quote = "";
  if (token->kind == JINJA_T_STRING) got = "a string", quote = "";
  return jinja_parse_failed(
      jinja_fail(&p->run, TPO_E_INPUT, "expected %s, got %s%.80s%s", what, quote, got, quote));
}

bool jinja_parse_enter(struct jinja_parser *p)
{
  if (p->nesting < JINJA_NESTING_MAX) return p->nesting++, true;
  jinja_fail(&p->run, TPO_E_UNSUPPORTED, "expressions and statements are nested more than %d deep",
             JINJA_NESTING_MAX);
  return false;
}

const struct jinja_token *jinja_peek(const struct jinja_parser *p, size_t ahead)
{
  size_t at = p->at + ahead;
  return &p->tokens.items[at < p->tokens.n ? at : p->tokens.n - 1];
}

void jinja_advance(struct jinja_parser *p)
{
  if (p->at + 1 < p->tokens.n) p->at++;
  p->run.line = jinja_peek(p, 0)->line;
}

static bool at(const struct jinja_parser *p, enum jinja_token_kind kind, const char *text)
{
  const struct jinja_token *token = jinja_peek(p, 0);
  return token->kind == kind && strcmp(token->text, text) == 0;
}

bool jinja_at_op(const struct jinja_parser *p, const char *op)
{
  return at(p, JINJA_T_OPERATOR, op);
}
bool jinja_at_name(const struct jinja_parser *p, const char *name)
{
  return at(p, JINJA_T_NAME, name);
}

bool jinja_skip_op(struct jinja_parser *p, const char *op)
{
  bool here = jinja_at_op(p, op);
  if (here) jinja_advance(p);
  return here;
}

bool jinja_skip_name(struct jinja_parser *p, const char *name)
{
  bool here = jinja_at_name(p, name);
  if (here) jinja_advance(p);
  return here;
}

bool jinja_expect_op(struct jinja_parser *p, const char *op)
{
  char what[8];
  if (jinja_skip_op(p, op)) return true;
  snprintf(what, sizeof what, "\"%s\"", op);
  jinja_parse_expected(p, what);
  return false;
}

const char *jinja_expect_name(struct jinja_parser *p)
{
  const struct jinja_token *token = jinja_peek(p, 0);
  if (token->kind != JINJA_T_NAME) return jinja_parse_expected(p, "a name");
  jinja_advance(p);
  return token->text;
}

struct jinja_node *jinja_node_new(struct jinja_parser *p, enum jinja_kind kind, int line)
{
  struct jinja_node *node = jinja_alloc(&p->run, sizeof *node);
  if (!node) return NULL;
  *node = (struct jinja_node){.kind = kind, .line = line};
  return node;
}

bool jinja_nodes_push(struct jinja_parser *p, struct jinja_nodes *nodes, struct jinja_node *node)
{
  if (!node) return false;
  if (nodes->n == nodes->capacity) {
    size_t capacity = nodes->capacity ? 2 * nodes->capacity : 4;
    struct jinja_node **grown = jinja_alloc(&p->run, capacity * sizeof *grown);
    if (!grown) return false;
    if (nodes->n > 0) memcpy(grown, nodes->items, nodes->n * sizeof *grown);
    nodes->items = grown;
    nodes->capacity = capacity;
  }
  nodes->items[nodes->n++] = node;
  return true;
}

bool jinja_parse_string(struct jinja_parser *p, const char *bytes, size_t len, int line,
                        struct jinja_value *out)
{
  char name[40];
  int status = TPO_OK;
  snprintf(name, sizeof name, "template line %d", line);
  if (line != p->origin_line) status = tpo_origins_add(p->run.origins, name, true, &p->origin, p->run.err);
  p->origin_line = line;
  if (status == TPO_OK) status = jinja_string_new(&p->run, bytes, len, p->origin, out);
  return status == TPO_OK;
}

void jinja_note_use(struct jinja_parser *p, const char *name, bool stored)
{
  unsigned use = strcmp(name, "caller") == 0    ? JINJA_USES_CALLER
                 : strcmp(name, "kwargs") == 0  ? JINJA_USES_KWARGS
                 : strcmp(name, "varargs") == 0 ? JINJA_USES_VARARGS
                                                : 0;
  for (struct jinja_reading *r = use ? p->reading : NULL; r; r = r->outer) {
    if (stored)
      r->stored |= use;
    else
      r->uses |= use & ~r->stored;
  }
}

static int whole(struct jinja_parser *p, struct tpo_jinja *jinja)
{
  p->run.line = jinja_peek(p, 0)->line;
  if (!jinja_parse_body(p, &jinja->body, NULL) || !jinja_mark_unset(p, &jinja->body)) return p->run.err->code;
  if (p->unknown.n == 0) return TPO_OK;
  const struct jinja_node *node = p->unknown.items[0];
  p->run.line = node->line;
  return jinja_fail(&p->run, TPO_E_UNSUPPORTED, "there is no %s named \"%.80s\"",
                    node->kind == JINJA_FILTER ? "filter" : "test", node->name);
}

static int parse(struct tpo_jinja *jinja, const char *source, size_t len, struct tpo_error *err)
{
  size_t bad;
  if (len > JINJA_SOURCE_MAX)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: a chat template of %zu bytes; at most %d are read",
                    jinja->place, len, JINJA_SOURCE_MAX);
  if (!tpo_utf8_valid(source, len, &bad))
    return tpo_fail(err, TPO_E_INPUT, "%s: the chat template is not UTF-8 at byte %zu", jinja->place, bad);
  struct tpo_error unheard = {0};
  struct jinja_limits limits = {
      .steps = SIZE_MAX, .depth = SIZE_MAX, .memory = (size_t)512 << 20, .output = SIZE_MAX};
  struct jinja_parser p = {.run = {.limits = limits,
                                   .origins = &jinja->origins,
                                   .place = jinja->place,
                                   .line = 1,
                                   .err = err ? err : &unheard}};
  int status = jinja_lex(&p.run, source, len, &p.tokens);
  if (status == TPO_OK) status = whole(&p, jinja);
  jinja->arena = p.run.arena;
  free(p.tokens.items);
  return status < 0 ? p.run.err->code : TPO_OK;
}

int jinja_parse(struct tpo_jinja **out, const char *source, size_t len, const char *place,
                struct tpo_error *err)
{
  struct tpo_jinja *jinja = tpo_calloc(1, sizeof *jinja, err);
  if (!jinja) return TPO_E_MEMORY;
  jinja->place = strdup(place);
  int status = jinja->place ? parse(jinja, source, len, err) : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status < 0) {
    jinja_free(jinja);
    jinja = NULL;
  }
  *out = jinja;
  return status;
}

void jinja_free(struct tpo_jinja *jinja)
{
  if (!jinja) return;
  tpo_arena_free(&jinja->arena);
  tpo_origins_free(&jinja->origins);
  free(jinja->place);
  free(jinja);
}
