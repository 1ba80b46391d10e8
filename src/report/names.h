/* Names of table rows: each once, in the order in which they came first, and no more than a page bears. */
#ifndef TPO_REPORT_NAMES_H
#define TPO_REPORT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct names {
  struct name {
    const char *text; /* borrowed */
    size_t order;
  } * list; /* [n] */
  size_t n, capacity;
  size_t more; /* further ones, after names_settle */
  bool failed; /* memory was short: some are missing */
};

void names_add(struct names *names, const char *name); /* NULL: nothing */
/* Takes out what is there twice, and those beyond the first `most`. */
void names_settle(struct names *names, size_t most);
void names_free(struct names *names);

#endif
