/* A parsed chat template. */
#ifndef TPO_TEXT_JINJA_AST_H
#define TPO_TEXT_JINJA_AST_H

#include "text/jinja/value/value.h"

enum jinja_kind {
  /* expressions */
  JINJA_LITERAL,    /* value: a constant; strings' origin is the template's line */
  JINJA_NAME,       /* name */
  JINJA_MAKE_LIST,  /* items */
  JINJA_MAKE_TUPLE, /* items */
  JINJA_MAKE_DICT,  /* items: key, value, key, value, ... */
  JINJA_NEGATE,     /* name: "+", "-" ; a */
  JINJA_NOT,        /* a */
  JINJA_AND,        /* a, b */
  JINJA_OR,         /* a, b */
  JINJA_ARITHMETIC, /* name: + - * / // % ** ~ ; a, b */
  JINJA_COMPARISON, /* a, then items[i] compared by items[i]->name with what stands before: chains as in Python.
                     * each item is a JINJA_OPERAND */
  JINJA_OPERAND,    /* name: == != < <= > >= in "not in" ; a */
  JINJA_FILTER,     /* a, name, call's arguments; a NULL: of a filter block, its body */
  JINJA_TEST,       /* a, name, call's arguments; `is not` is a JINJA_NOT around it */
  JINJA_CALL,       /* a: callee, arguments */
  JINJA_ATTRIBUTE,   /* a, name */
  JINJA_ITEM,        /* a[b] */
  JINJA_SLICE,       /* a[b:c:d], each may be NULL */
  JINJA_CONDITIONAL, /* a if b else c; c NULL: undefined */
  /* statements */
  JINJA_TEXT,   /* value: a string, whitespace control done */
  JINJA_OUTPUT, /* a */
  JINJA_FOR, /* a: target (NAME or MAKE_TUPLE), b: what is gone through, c: its `if` or NULL, body, otherwise,
                 * truth: recursive */
  JINJA_IF,  /* a, body, otherwise (an elif is an IF alone in it) */
  JINJA_SET, /* a: target (NAME, MAKE_TUPLE, or ATTRIBUTE of a namespace's NAME), b */
  JINJA_SET_BLOCK,    /* a: target, b: a chain of FILTERs around NULL, or NULL; body */
  JINJA_MACRO,        /* name, items: parameters (NAMEs, whose a is the default or NULL), body */
  JINJA_CALL_BLOCK,   /* a: CALL, items: parameters of caller(), body */
  JINJA_FILTER_BLOCK, /* a: a chain of FILTERs around NULL, body */
  JINJA_WITH,         /* items: targets and values in turn, body */
  JINJA_BREAK,
  JINJA_CONTINUE,
  JINJA_UNSET, /* items: NAMEs that are undefined until they are set, even where an input has such a name */
  JINJA_SCOPE, /* body: of {% generation %}, which prints it, in a scope of its own */
};

struct jinja_node;
struct jinja_nodes {
  struct jinja_node **items;
  size_t n, capacity;
};
struct jinja_argument {
  const char *name;         /* of a named one, else NULL */
  struct jinja_node *value; /* */
  int stars;                /* 1: *value, 2: **value */
};

struct jinja_node {
  enum jinja_kind kind;
  int line; /* from 1 */
  bool truth;
  const char *name;
  struct jinja_value value;
  struct jinja_node *a, *b, *c, *d;
  struct jinja_nodes items, body, otherwise;
  struct jinja_argument *arguments; /* [n_arguments], in the order in which they stand */
  size_t n_arguments;
  jinja_function function; /* of a FILTER or TEST; NULL: there is none of that name, which fails when run */
  unsigned uses;           /* of a MACRO or CALL_BLOCK: what its body reads, enum jinja_uses */
};

/* What a macro takes besides its parameters where its body reads a variable of that name. */
enum jinja_uses { JINJA_USES_CALLER = 1, JINJA_USES_KWARGS = 2, JINJA_USES_VARARGS = 4 };

struct tpo_jinja {
  struct tpo_arena arena;     /* all of it */
  struct tpo_origins origins; /* the template's lines; a rendering's are a copy with its inputs added */
  struct jinja_nodes body;
  char *place;
};

enum {
  JINJA_SOURCE_MAX = 1 << 20,
  JINJA_NESTING_MAX = 200,
  JINJA_CALL_MAX = 255 /* arguments of a call, parameters of a macro */
};

/* The template with transformers' settings: trim_blocks, lstrip_blocks, break and continue, the tag
 * generation. What it can't run (include, import, extends, block, ...), an unknown filter, test or tag:
 * TPO_E_UNSUPPORTED with line and construct; what is malformed: TPO_E_INPUT with the line. */
int jinja_parse(struct tpo_jinja **out, const char *source, size_t len, const char *place,
                struct tpo_error *err);
void jinja_free(struct tpo_jinja *jinja);

#endif
