/* Where the control tokens of a rendered chat are. */
#ifndef TPO_TEXT_CHAT_ENCODE_H
#define TPO_TEXT_CHAT_ENCODE_H

#include "text/chat/template.h"
#include "text/tokenizer.h"

/* How far the search has come. Zero-initialise, but for `from` where it begins later. */
struct tpo_control_search {
  size_t run;        /* the next to be looked at */
  size_t begin, end; /* what is left of the own stretch before it */
  size_t from;       /* where the last match ended */
};
/* The next control token, from left to right, each within one own stretch. */
bool tpo_rendered_next_control(const struct tpo_tokenizer *tok, const struct tpo_rendered *r,
                               struct tpo_control_search *at, struct tpo_added_match *match);

#endif
