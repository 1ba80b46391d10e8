/* What parser.c, parse_stmt.c (statements) and parse_expr.c (expressions) share. */
#ifndef TPO_TEXT_JINJA_PARSE_PARSER_H
#define TPO_TEXT_JINJA_PARSE_PARSER_H

#include "text/jinja/ast.h"
#include "text/jinja/parse/lexer.h"

/* A macro whose body is being read. */
struct jinja_reading {
  struct jinja_reading *outer;
  unsigned uses, stored; /* enum jinja_uses; what is stored first is a variable like any */
};

struct jinja_parser {
  struct jinja_run run; /* its arena becomes the template's */
  struct jinja_tokens tokens;
  size_t at;
  int nesting;                /* of expressions and statements, at most JINJA_NESTING_MAX */
  int loops;                  /* for statements around, whatever lies between */
  bool breakable;             /* break and continue have a loop to act on */
  bool soft;                  /* in an `if`, where an unknown filter fails only when it is run */
  struct jinja_nodes unknown; /* filters and tests of no known name that are not in an `if` */
  struct jinja_reading *reading;
  int origin_line; /* whose origin is `origin` */
  tpo_origin origin;
};

/* NULL, in place of what a failed call returned; what failed stands in run.err. */
static inline void *jinja_parse_failed(int status)
{
  (void)status;
  return NULL;
}
/* "expected X, got the current token"; NULL. */
void *jinja_parse_expected(struct jinja_parser *p, const char *what);
/* One level deeper; false: too deep. A failure ends the parsing, so only success leaves. */
bool jinja_parse_enter(struct jinja_parser *p);

const struct jinja_token *jinja_peek(const struct jinja_parser *p, size_t ahead);
void jinja_advance(struct jinja_parser *p);
bool jinja_at_op(const struct jinja_parser *p, const char *op);
bool jinja_at_name(const struct jinja_parser *p, const char *name);
/* Past the token if it stands there. */
bool jinja_skip_op(struct jinja_parser *p, const char *op);
bool jinja_skip_name(struct jinja_parser *p, const char *name);
bool jinja_expect_op(struct jinja_parser *p, const char *op);
const char *jinja_expect_name(struct jinja_parser *p); /* any; NULL */

struct jinja_node *jinja_node_new(struct jinja_parser *p, enum jinja_kind kind, int line);
bool jinja_nodes_push(struct jinja_parser *p, struct jinja_nodes *nodes, struct jinja_node *node);
/* A string of the template's, with the origin of its line. */
bool jinja_parse_string(struct jinja_parser *p, const char *bytes, size_t len, int line,
                        struct jinja_value *out);
void jinja_note_use(struct jinja_parser *p, const char *name, bool stored);

/* Each returns NULL when it failed. */
enum jinja_tuple_flags {
  JINJA_TUPLE_SIMPLE = 1,     /* names and literals alone: of an assignment's target */
  JINJA_TUPLE_NO_IF = 2,      /* without conditional expressions */
  JINJA_TUPLE_BRACKETS = 4,   /* may be empty */
  JINJA_TUPLE_NAMESPACES = 8, /* a.b is an attribute of a namespace */
};
/* end: a name at which it ends too, or NULL. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, unsigned flags, const char *end);
struct jinja_node *jinja_parse_expression(struct jinja_parser *p);
/* The filters after node (NULL: a block's body); first: the name of the first stands here without a "|". */
struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *node, bool first);

/* Statements up to one of the tags that `ends` names (NULL-terminated), where it stops behind the "{%";
 * NULL: up to the template's end. */
bool jinja_parse_body(struct jinja_parser *p, struct jinja_nodes *out, const char *const *ends);

/* Puts an UNSET before every body that needs one, this one and those inside; false: failed. */
bool jinja_mark_unset(struct jinja_parser *p, struct jinja_nodes *body);

#endif
