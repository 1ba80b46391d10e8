/* Where each byte of a rendered text came from. Only bytes of the template itself (its literal text, its
 * string constants, names of the tokenizer's tokens, roles of the usual names) may become control tokens;
 * what came out of a message, a tool or a setting stays text, however it is cut and joined. */
#ifndef TPO_TEXT_JINJA_VALUE_ORIGIN_H
#define TPO_TEXT_JINJA_VALUE_ORIGIN_H

#include "tpo/base.h"

/* An index into a struct tpo_origins. 0: computed (a number, a quote put around JSON), which is nobody's
 * text and never a control token. */
typedef uint16_t tpo_origin;

struct tpo_origin_info {
  char *name; /* "template line 12", "messages[1].content", "bos_token", "tools"; owned */
  bool own;   /* may become control tokens */
};

struct tpo_origins {
  struct tpo_origin_info *items; /* [n]; items[0] is "computed" */
  size_t n, capacity;
  size_t n_own;        /* how many of them may become control tokens */
  tpo_origin last_own; /* the last of these */
  uint32_t *slots;     /* [n_slots] indices into items by the hash of name and own, 0: free; owned */
  size_t n_slots;
};

/* The origin of that name, made where there is none yet. The table holds 65,536, half of them own at most: where
 * there is no room, what is own gets the last own one, and data is "computed", so that it never becomes own. */
int tpo_origins_add(struct tpo_origins *origins, const char *name, bool own, tpo_origin *out,
                    struct tpo_error *err);
/* to is empty before, and to be freed after a failure too. */
int tpo_origins_copy(struct tpo_origins *to, const struct tpo_origins *from, struct tpo_error *err);
void tpo_origins_free(struct tpo_origins *origins);

#endif
