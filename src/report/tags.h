/* Numbers under the names that TensorBoard shows them by. */
#ifndef TPO_REPORT_TAGS_H
#define TPO_REPORT_TAGS_H

#include <jansson.h>

#include "base/memory.h"

struct tag {
  const char *name;
  double value;
};
struct tags {
  struct tag *list; /* [n] */
  size_t n, capacity;
  struct tpo_arena arena; /* names that are put together */
};
/* name: borrowed. */
int tags_add(struct tags *tags, const char *name, double value, struct tpo_error *err);
/* Forgets all, and keeps the room. */
void tags_clear(struct tags *tags);
void tags_free(struct tags *tags);

/* Of an event that tells groups apart, as BY/NAME/KEY, or one of kinds of thoughts, as thoughts/KIND. */
int tags_of_groups(struct tags *tags, const json_t *event, struct tpo_error *err);
int tags_of_thoughts(struct tags *tags, const json_t *event, struct tpo_error *err);

/* "FIRST/NAME/LAST" in the tags' arena, where a name is of letters, digits, spaces and "_.-:()": others become
 * "_", and "-" and eight hex digits of a hash tell two such names apart. last may be NULL: "FIRST/NAME". */
const char *tags_name(struct tags *tags, const char *first, const char *name, const char *last);

#endif
