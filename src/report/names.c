/* Sorted by text to find equal ones, and back by order: a page's events may be anybody's, and many. */
#include "report/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int by_order(const void *a, const void *b)
{
  const struct name *x = a, *y = b;
  return (x->order > y->order) - (x->order < y->order);
}

static int by_text(const void *a, const void *b)
{
  int order = strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
  return order ? order : by_order(a, b);
}

void names_add(struct names *names, const char *name)
{
  if (!name) return;
  if (tpo_grow(&names->list, &names->capacity, names->n + 1, sizeof *names->list, NULL) < 0) {
    names->failed = true;
    return;
  }
  names->list[names->n] = (struct name){name, names->n};
  names->n++;
}

void names_settle(struct names *names, size_t most)
{
  size_t n = 0;
  if (names->n == 0) return;
  qsort(names->list, names->n, sizeof *names->list, by_text);
  for (size_t i = 0; i < names->n; i++)
    if (n == 0 || strcmp(names->list[n - 1].text, names->list[i].text) != 0)
      names->list[n++] = names->list[i];
  qsort(names->list, n, sizeof *names->list, by_order);
  names->n = n < most ? n : most;
  names->more = n - names->n;
}

void names_free(struct names *names)
{
  free(names->list);
  *names = (struct names){0};
}
