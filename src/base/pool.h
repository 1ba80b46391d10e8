/* Worker threads that run the same function over tasks 0..n-1. The caller takes part. Which thread runs a
 * task is not fixed, so a task's result may depend only on its number. */
#ifndef TPO_BASE_POOL_H
#define TPO_BASE_POOL_H

#include "tpo/base.h"

struct tpo_pool;

/* n_threads >= 1, the caller included (1 starts no thread). 0: as many as the process may keep busy (base/cores.h). */
int tpo_pool_create(struct tpo_pool **out, int n_threads, struct tpo_error *err);
void tpo_pool_destroy(struct tpo_pool *pool);
int tpo_pool_threads(const struct tpo_pool *pool);
/* Returns when fn(arg, task, thread) has returned for every task;
 * thread in [0, n_threads). Not re-entrant. */
void tpo_pool_run(struct tpo_pool *pool, int n_tasks, void (*fn)(void *arg, int task, int thread), void *arg);

#endif
