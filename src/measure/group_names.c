/* Names of groups: whoever made a file of instructions chose them. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "base/visible.h"
#include "checks/text.h"
#include "measure/groups.h"

enum { MOST_CHARACTERS = 80 };

/* Whether white space from name[at], `bytes` long, is not seen as what it is: at an end of the name, behind other
 * white space, or another than the plain space. */
static bool is_odd_space(const char *name, size_t len, size_t at, size_t bytes)
{
  size_t begin = at;
  if (!text_is_space(tpo_utf8_next(name, len, &begin))) return false;
  return name[at] != ' ' || at == 0 || at + bytes == len ||
         text_is_space(text_before((struct span){name, len}, at));
}

/* Appends the name made visible, as far as it goes; false where that is not seen as the name itself. */
static bool append_visible(struct tpo_buf *out, const char *name, size_t len)
{
  bool same = true;
  char label[TPO_LABEL_BYTES];
  for (size_t at = 0, n = 0; at < len; n++) {
    if (n == MOST_CHARACTERS) {
      tpo_buf_puts(out, "…");
      return false;
    }
    size_t bytes = tpo_visible_next(name + at, len - at, label);
    if (*label)
      tpo_buf_puts(out, label);
    else
      tpo_buf_append(out, name + at, bytes);
    same = same && !*label && !is_odd_space(name, len, at, bytes);
    at += bytes;
  }
  return same;
}

const char *group_name(struct tpo_arena *arena, const char *name, size_t len)
{
  struct tpo_buf told = {0};
  if (!append_visible(&told, name, len))
    tpo_buf_printf(&told, "~%08x", (unsigned)(tpo_hash64(name, len) & 0xffffffff));
  const char *kept = told.failed ? NULL : tpo_arena_memdup(arena, told.data ? told.data : "", told.len);
  tpo_buf_free(&told);
  return kept;
}
