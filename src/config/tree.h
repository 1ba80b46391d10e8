/* A YAML document as a tree in which every node knows its line. Bounded: no anchors, aliases or tags, limited
 * depth. */
#ifndef TPO_CONFIG_TREE_H
#define TPO_CONFIG_TREE_H

#include "base/memory.h"
#include "config/keys.h"

enum tree_kind { TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree_node {
  enum tree_kind kind;
  int line; /* from 1 */
  bool plain;
  const char *text; /* scalar: NUL-terminated, no NUL inside */
  size_t len;
  struct tree_node *first; /* items of a list; keys (scalars) of a map */
  struct tree_node *next;  /* sibling */
  struct tree_node *value; /* of a map's key */
};

/* *root is NULL for an empty document. On failure the problem is in report and 0 is not returned. */
int tree_parse(struct tree_node **root, struct tpo_arena *arena, const char *text, size_t len,
               const char *place, struct config_report *report);
bool tree_is_null(const struct tree_node *node); /* a plain scalar that means no value */
struct config_value tree_value(const struct tree_node *scalar);

#endif
