/* Added tokens: names that are found in a text before anything else is done to it. */
#ifndef TPO_TEXT_ADDED_H
#define TPO_TEXT_ADDED_H

#include "text/unicode/set.h"
#include "tpo/base.h"

struct tpo_added_token {
  int32_t id;
  bool special, normalized, lstrip, rstrip, single_word;
};

struct tpo_added_node {
  int32_t child, sibling, token;
  uint8_t byte;
};

/* A trie over names. Zero-initialise. */
struct tpo_added {
  struct tpo_added_node *nodes; /* nodes[0] is the root */
  size_t n_nodes, nodes_capacity;
  struct tpo_added_token *tokens;
  size_t n_tokens, tokens_capacity;
  struct tpo_set word; /* beside which a token of single_word is not alone; empty while there is none */
};

/* A name that is there already gets the new token. */
int tpo_added_put(struct tpo_added *added, const char *name, size_t len, struct tpo_added_token token,
                  struct tpo_error *err);
/* or NULL */
const struct tpo_added_token *tpo_added_find(const struct tpo_added *added, const char *name, size_t len);
void tpo_added_free(struct tpo_added *added);

struct tpo_added_match {
  const struct tpo_added_token *token;
  size_t begin, end; /* bytes; white space that the token takes with it included */
};
/* The next match that begins at or after `from` in text[0..len): the leftmost, the longest of those.
 * specials: special tokens' names match too; otherwise they stay text. */
bool tpo_added_next(const struct tpo_added *added, const char *text, size_t len, size_t from, bool specials,
                    struct tpo_added_match *match);
/* The next whose name stands in text[begin..end); white space it takes from all of text[from..len). Special tokens
 * match. */
bool tpo_added_within(const struct tpo_added *added, const char *text, size_t len, size_t from, size_t begin,
                      size_t end, struct tpo_added_match *match);

#endif
