/* A rendered text with the origins of its stretches, as it is added to and cut. */
#include "text/chat/template.h"

#include <string.h>

int tpo_rendered_add(struct tpo_rendered *r, const char *text, size_t len, const char *name, bool own,
                     struct tpo_error *err)
{
  tpo_origin origin;
  size_t begin = r->text.len;
  if (len == 0) return TPO_OK;
  int status = tpo_origins_add(&r->origins, name, own, &origin, err);
  if (status == TPO_OK) status = tpo_grow(&r->runs, &r->capacity, r->n + 1, sizeof *r->runs, err);
  if (status < 0) return status;
  tpo_buf_append(&r->text, text, len);
  if (r->text.failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for a chat");
  if (r->n > 0 && r->runs[r->n - 1].origin == origin)
    r->runs[r->n - 1].end = r->text.len;
  else
    r->runs[r->n++] = (struct tpo_run){begin, r->text.len, origin};
  return TPO_OK;
}

bool tpo_rendered_end_of(const struct tpo_rendered *r, const char *name, size_t *end)
{
  for (size_t i = r->n; i-- > 0;)
    if (strcmp(r->origins.items[r->runs[i].origin].name, name) == 0) {
      *end = r->runs[i].end;
      return true;
    }
  return false;
}

static bool is_own(const struct tpo_rendered *r, size_t i)
{
  return r->origins.items[r->runs[i].origin].own;
}

bool tpo_rendered_next_own(const struct tpo_rendered *r, size_t *i, size_t *begin, size_t *end)
{
  while (*i < r->n && !is_own(r, *i)) ++*i;
  if (*i == r->n) return false;
  *begin = r->runs[*i].begin;
  while (*i < r->n && is_own(r, *i)) *end = r->runs[(*i)++].end;
  return true;
}

size_t tpo_rendered_own_tail(const struct tpo_rendered *r)
{
  size_t i = r->n;
  while (i > 0 && is_own(r, i - 1)) i--;
  return i > 0 ? r->runs[i - 1].end : 0;
}

void tpo_rendered_cut(struct tpo_rendered *r, size_t end)
{
  if (end >= r->text.len) return;
  r->text.len = end;
  r->text.data[end] = '\0';
  while (r->n > 0 && r->runs[r->n - 1].begin >= end) r->n--;
  if (r->n > 0) r->runs[r->n - 1].end = end;
}
