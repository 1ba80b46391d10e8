/* Operations that mean the same on every backend whose memory is the host's and whose calls are done when
 * they return: the CPU and the reference. */
#ifndef TPO_BACKEND_HOST_H
#define TPO_BACKEND_HOST_H

#include "backend/backend.h"

size_t tpo_host_memory_available(struct tpo_backend *be); /* this rank's share of what is free */
int tpo_host_training_reserve(struct tpo_backend *be, const struct tpo_training_shape *shape,
                              struct tpo_error *err); /* 0: taken as it is needed */
/* The data lies in be->fetched until fetch_end. */
void tpo_host_fetch_begin(struct tpo_backend *be, int slot, const void *src, size_t bytes);
int tpo_host_fetch_end(struct tpo_backend *be, int slot, void *host_dst, size_t bytes, struct tpo_error *err);
int tpo_host_replay(struct tpo_backend *be, uint64_t key); /* 0: nothing is recorded, calls just run */
void tpo_host_record_end(struct tpo_backend *be);
void tpo_host_forget(struct tpo_backend *be);
void tpo_host_begin_pass(struct tpo_backend *be, enum tpo_pass_kind pass);
void tpo_host_select_ids(struct tpo_backend *be, int32_t *ids, const int32_t *from, const int32_t *tokens,
                         int n);
/* All of them, for a table's initialiser. */
#define TPO_HOST_OPS                                                                                         \
  .memory_available = tpo_host_memory_available, .training_reserve = tpo_host_training_reserve,              \
  .fetch_begin = tpo_host_fetch_begin, .fetch_end = tpo_host_fetch_end, .replay = tpo_host_replay,           \
  .record_end = tpo_host_record_end, .forget = tpo_host_forget, .begin_pass = tpo_host_begin_pass,           \
  .select_ids = tpo_host_select_ids
void tpo_host_free_fetched(struct tpo_backend *be); /* when the backend closes */

#endif
