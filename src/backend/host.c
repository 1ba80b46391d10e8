/* Operations of a backend in host memory: a fetch is a copy, and nothing is recorded. */
#include "backend/host.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

size_t tpo_host_memory_available(struct tpo_backend *be)
{
  return tpo_memory_available() / (size_t)(be->sharers > 1 ? be->sharers : 1);
}

int tpo_host_training_reserve(struct tpo_backend *be, const struct tpo_training_shape *shape,
                              struct tpo_error *err)
{
  (void)be, (void)shape, (void)err;
  return 0;
}

void tpo_host_fetch_begin(struct tpo_backend *be, int slot, const void *src, size_t bytes)
{
  free(be->fetched[slot]);
  be->fetched[slot] = malloc(bytes ? bytes : 1);
  if (be->fetched[slot] && bytes) memcpy(be->fetched[slot], src, bytes);
}

int tpo_host_fetch_end(struct tpo_backend *be, int slot, void *host_dst, size_t bytes, struct tpo_error *err)
{
  if (!be->fetched[slot])
    return tpo_fail(err, TPO_E_MEMORY, "out of memory: %zu bytes were asked for", bytes);
  if (bytes) memcpy(host_dst, be->fetched[slot], bytes);
  free(be->fetched[slot]);
  be->fetched[slot] = NULL;
  return be->ops->check(be, err);
}

int tpo_host_replay(struct tpo_backend *be, uint64_t key)
{
  (void)be, (void)key;
  return 0;
}

void tpo_host_record_end(struct tpo_backend *be)
{
  (void)be;
}

void tpo_host_forget(struct tpo_backend *be)
{
  (void)be;
}

void tpo_host_begin_pass(struct tpo_backend *be, enum tpo_pass_kind pass)
{
  (void)be, (void)pass;
}

void tpo_host_select_ids(struct tpo_backend *be, int32_t *ids, const int32_t *from, const int32_t *tokens,
                         int n)
{
  (void)be;
  for (int i = 0; i < n; i++)
    if (from[i] >= 0) ids[i] = tokens[from[i]] > 0 ? tokens[from[i]] : 0;
}

void tpo_host_free_fetched(struct tpo_backend *be)
{
  for (int i = 0; i < TPO_FETCH_SLOTS; i++) free(be->fetched[i]);
}
