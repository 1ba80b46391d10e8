/* The categories that instructions are assigned to: those of a table, or a file's. */
#ifndef TPO_EVAL_CATEGORIES_LIST_H
#define TPO_EVAL_CATEGORIES_LIST_H

#include "tpo/base.h"

#define CATEGORY_NONE "unassigned" /* of an instruction without one */

struct category {
  char *name;   /* as it is told */
  char *about;  /* what belongs to it; "": the name says it */
  char *folded; /* name, for comparing: category_fold */
};
struct category_list {
  struct category *items; /* [n] */
  size_t n, capacity;
};

enum { CATEGORIES_MOST = 200, CATEGORY_NAME_MOST = 100 }; /* in a file; bytes */

/* The 20 of the table. */
int category_list_default(struct category_list *list, struct tpo_error *err);
/* A line each: NAME, or NAME, a tab and what belongs to it; lines that are empty or begin with '#' are none. Errors
 * name the line: a name twice, but for letter case and marks around it; one that is another's number, too long or
 * CATEGORY_NONE; a tab behind '#', since a comment has none and no name begins so; fewer than 2 categories, too many. */
int category_list_read(struct category_list *list, const char *path, struct tpo_error *err);
void category_list_free(struct category_list *list); /* also after an error */

/* Small letters, '&' as "and"; blanks, '-', '_' and '/' are one blank, and none at the ends; typographic marks and those of
 * full width as ASCII has them. free() it; NULL when memory is short. */
char *category_fold(const char *text, size_t len);

#endif
