/* A growing list of token ids. */
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "tpo/text.h"

int tpo_ids_append(struct tpo_ids *list, const int32_t *ids, size_t n, struct tpo_error *err)
{
  if (n == 0) return TPO_OK;
  if (n > SIZE_MAX / 8 - list->n) return tpo_fail(err, TPO_E_MEMORY, "a list of %zu more ids is too long", n);
  if (tpo_grow(&list->ids, &list->capacity, list->n + n, sizeof *list->ids, err) < 0) return TPO_E_MEMORY;
  memcpy(list->ids + list->n, ids, n * sizeof *ids);
  list->n += n;
  return TPO_OK;
}

void tpo_ids_free(struct tpo_ids *list)
{
  free(list->ids);
  *list = (struct tpo_ids){0};
}
