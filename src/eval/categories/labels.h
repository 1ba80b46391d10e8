/* Which category and which data set instructions are of: as their samples say, as a file says, or as a model. */
#ifndef TPO_EVAL_CATEGORIES_LABELS_H
#define TPO_EVAL_CATEGORIES_LABELS_H

#include "eval/categories/list.h"
#include "tpo/store.h"

enum label_by { LABEL_NONE, LABEL_SAMPLES, LABEL_FILE, LABEL_MODEL, N_LABEL_BY };

struct label {
  size_t first;   /* the instruction's first row of the samples */
  char *category; /* NULL: none */
  char *dataset;  /* NULL: none */
  enum label_by by;
};
struct labels {
  const struct tpo_samples *samples; /* borrowed */
  struct label *items;               /* [n] an instruction each, in the samples' order */
  size_t n;
};

/* own: with the categories that the samples' instructions carry; else with their data sets alone. A category or data
 * set is told in at most LABEL_MOST bytes, and what can't be seen made visible. */
enum { LABEL_MOST = 100 };
int labels_open(struct labels *labels, const struct tpo_samples *samples, bool own, struct tpo_error *err);
/* From a file of records `id` (or `prompt_id`, a text or a whole number) and `category`, in place of what is there. Errors name
 * the place: two categories of one id, CATEGORY_NONE. unknown: ids that the samples don't have. */
int labels_read(struct labels *labels, const char *path, size_t *unknown, struct tpo_error *err);
/* Categories that differ in letter case, blanks and the like alone (category_fold) become one: the list's name for it, or
 * the first label's. */
int labels_unify(struct labels *labels, const struct category_list *list, struct tpo_error *err);
int labels_set(struct label *label, const char *category, enum label_by by, struct tpo_error *err);
/* JSON Lines of id and category that labels_read takes; those without one are left out. */
int labels_write(const struct labels *labels, const char *path, struct tpo_error *err);
size_t labels_count(const struct labels *labels, enum label_by by);
void labels_free(struct labels *labels);

#endif
