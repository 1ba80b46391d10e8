/* Instructions as bytes: of each the lengths of its texts, then the texts with their NULs, in this machine's
 * byte order. */
#include "data/pack.h"

#include <string.h>

enum { N_TEXTS = 4 };

struct lengths {
  uint64_t of[N_TEXTS]; /* bytes, NUL included; 0: there is no such text */
};

int instructions_pack(const struct tpo_instructions *set, struct tpo_buf *out, struct tpo_error *err)
{
  for (size_t i = 0; i < set->n; i++) {
    const struct tpo_instruction *item = &set->items[i];
    const char *texts[N_TEXTS] = {item->id, item->instruction, item->messages, item->meta};
    struct lengths lengths = {{0}};
    for (int t = 0; t < N_TEXTS; t++) lengths.of[t] = texts[t] ? strlen(texts[t]) + 1 : 0;
    tpo_buf_append(out, &lengths, sizeof lengths);
    for (int t = 0; t < N_TEXTS; t++) tpo_buf_append(out, texts[t], lengths.of[t]);
  }
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory to send %zu instructions", set->n) : 0;
}

/* The texts of the next instruction, within the bytes; false: these end before it does. */
static bool take(const char **at, const char *end, const char *texts[N_TEXTS])
{
  struct lengths lengths;
  if ((size_t)(end - *at) < sizeof lengths) return false;
  memcpy(&lengths, *at, sizeof lengths);
  *at += sizeof lengths;
  for (int t = 0; t < N_TEXTS; t++) {
    texts[t] = NULL;
    if (lengths.of[t] == 0) continue;
    if ((size_t)(end - *at) < lengths.of[t] || (*at)[lengths.of[t] - 1] != '\0') return false;
    texts[t] = *at;
    *at += lengths.of[t];
  }
  return texts[0] && texts[1];
}

int instructions_unpack(struct tpo_instructions *set, const void *bytes, size_t len, struct tpo_error *err)
{
  const char *at = bytes, *end = at + len, *texts[N_TEXTS];
  int status = 0;
  while (at < end && status == 0) {
    size_t place = (size_t)(at - (const char *)bytes);
    if (take(&at, end, texts))
      status =
          tpo_instructions_add(set, &(struct tpo_instruction){texts[0], texts[1], texts[2], texts[3]}, err);
    else
      status = tpo_fail(err, TPO_E_INPUT, "an instruction's bytes are cut or damaged at byte %zu of %zu",
                        place, len);
  }
  return status;
}
