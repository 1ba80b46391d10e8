/* A template's source as tokens, whitespace control done. */
#ifndef TPO_TEXT_JINJA_PARSE_LEXER_H
#define TPO_TEXT_JINJA_PARSE_LEXER_H

#include "text/jinja/value/value.h"

enum jinja_token_kind {
  JINJA_T_TEXT,
  JINJA_T_BLOCK_BEGIN,
  JINJA_T_BLOCK_END,
  JINJA_T_OUTPUT_BEGIN,
  JINJA_T_OUTPUT_END,
  JINJA_T_NAME,
  JINJA_T_STRING,
  JINJA_T_INTEGER,
  JINJA_T_FLOAT,
  JINJA_T_OPERATOR,
  JINJA_T_END,   /* of the template */
  JINJA_T_ERROR, /* from here on there are no tokens: jinja_lex has failed */
};

struct jinja_token {
  enum jinja_token_kind kind;
  int line; /* from 1 */
  const char
      *text; /* of a TEXT, NAME, STRING (unescaped), OPERATOR; the run's; a NUL follows, but for a TEXT */
  size_t len;
  union {
    int64_t integer;
    double real;
  };
};
struct jinja_tokens {
  struct jinja_token *items; /* owned: free() */
  size_t n, capacity;
};

/* All tokens of source, an END last. Brackets are balanced within each tag. Where it fails, the tokens before
 * are there, and an ERROR last unless memory was short. */
int jinja_lex(struct jinja_run *run, const char *source, size_t len, struct jinja_tokens *out);

#endif
