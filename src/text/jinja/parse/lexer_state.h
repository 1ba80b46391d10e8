/* What lexer.c and lex_tag.c share. */
#ifndef TPO_TEXT_JINJA_PARSE_LEXER_STATE_H
#define TPO_TEXT_JINJA_PARSE_LEXER_STATE_H

#include "text/jinja/parse/lexer.h"

struct jinja_lexer {
  struct jinja_run *run;
  struct jinja_tokens *out;
  const char *s; /* [n], line breaks are \n; a NUL follows */
  size_t n, at;
  size_t counted; /* the bytes of which `line` counts the line breaks */
  int line;
  bool line_starting; /* what stood before the text was a tag that took the line break after it, or nothing */
};

/* The line of what is at `at`, which never goes back; it becomes the run's. */
int jinja_lex_line(struct jinja_lexer *l, size_t at);
int jinja_lex_push(struct jinja_lexer *l, enum jinja_token_kind kind, size_t at, const char *text,
                   size_t len);
size_t jinja_lex_skip_space(const struct jinja_lexer *l, size_t at);
/* Past the end of a tag (mark: "%}", "}}", "#}") at `at`, its sign and the white space that goes with it;
 * 0: the tag doesn't end there. */
size_t jinja_lex_closing(const struct jinja_lexer *l, size_t at, const char *mark);

/* The tokens from l->at to the tag's end, which is *end; mark: where the tag begins. */
int jinja_lex_tag(struct jinja_lexer *l, bool output, size_t mark, size_t *end);

#endif
