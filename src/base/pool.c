/* The thread pool: threads take tasks from one counter; who finds none spins a while, then sleeps. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/cores.h"
#include "base/memory.h"
#include "base/pool.h"

/* How long a thread looks for work, or the caller for the end, before it sleeps. Kernels follow each other
 * within microseconds; longer spinning would take the core from another rank. */
#define SPIN_SECONDS 20e-6
#define CLOSED 0xffffffffu /* ticket's low half while the caller fills in the next job */

struct worker {
  struct tpo_pool *pool;
  pthread_t thread;
  int number;
};

/* A job is handed out through `ticket`: generation in the high half, the next task in the low half. A task is
 * claimed by raising the low half, so a thread that wakes late either claims a task of the job that it has
 * read, or nothing: nobody waits for threads that never got a core. */
struct tpo_pool {
  int n_threads, n_workers; /* n_workers started: n_threads - 1 */
  bool spin;
  struct worker *workers;
  _Atomic uint64_t ticket;
  _Atomic int n_tasks, done; /* tasks of the current job, and how many have returned */
  void (*_Atomic fn)(void *arg, int task, int thread);
  void *_Atomic arg;
  _Atomic int sleepers;
  _Atomic bool caller_sleeps, stop;
  pthread_mutex_t mutex;
  pthread_cond_t work, finished;
};

static void relax(void)
{
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Claims and runs tasks of generation `generation` until none is left. */
static void work_on(struct tpo_pool *pool, uint32_t generation, int thread)
{
  int returned = 0, n_tasks = 0;
  uint64_t ticket = atomic_load(&pool->ticket);
  for (;;) {
    if ((uint32_t)(ticket >> 32) != generation || (uint32_t)ticket == CLOSED) break;
    n_tasks = atomic_load(&pool->n_tasks);
    void (*fn)(void *, int, int) = atomic_load(&pool->fn);
    void *arg = atomic_load(&pool->arg);
    int task = (int)(uint32_t)ticket;
    if (task >= n_tasks) break;
    if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1)) continue;
    fn(arg, task, thread);
    returned++;
    ticket = atomic_load(&pool->ticket);
  }
  if (returned == 0) return; /* n_tasks may be another job's */
  if (atomic_fetch_add(&pool->done, returned) + returned == n_tasks && atomic_load(&pool->caller_sleeps)) {
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_signal(&pool->finished);
    pthread_mutex_unlock(&pool->mutex);
  }
}

static bool has_work(struct tpo_pool *pool, uint32_t last)
{
  uint64_t ticket = atomic_load(&pool->ticket);
  return atomic_load(&pool->stop) || ((uint32_t)(ticket >> 32) != last && (uint32_t)ticket != CLOSED);
}

static bool all_done(struct tpo_pool *pool, uint32_t n_tasks)
{
  return atomic_load(&pool->done) == (int)n_tasks;
}

static bool spin_until(struct tpo_pool *pool, bool (*ready)(struct tpo_pool *, uint32_t), uint32_t argument)
{
  if (ready(pool, argument)) return true;
  if (!pool->spin) return false;
  double end = tpo_seconds() + SPIN_SECONDS;
  do {
    for (int i = 0; i < 32; i++) {
      if (ready(pool, argument)) return true;
      relax();
    }
  } while (tpo_seconds() < end);
  return false;
}

static void *worker_main(void *argument)
{
  struct worker *worker = argument;
  struct tpo_pool *pool = worker->pool;
  uint32_t last = 0;
  for (;;) {
    if (!spin_until(pool, has_work, last)) {
      pthread_mutex_lock(&pool->mutex);
      atomic_fetch_add(&pool->sleepers, 1);
      while (!has_work(pool, last)) pthread_cond_wait(&pool->work, &pool->mutex);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->mutex);
    }
    if (atomic_load(&pool->stop)) return NULL;
    uint64_t ticket = atomic_load(&pool->ticket);
    if ((uint32_t)ticket == CLOSED) continue; /* the job seen is over and the next one is being filled in */
    last = (uint32_t)(ticket >> 32);
    work_on(pool, last, worker->number);
  }
}

int tpo_pool_create(struct tpo_pool **out, int n_threads, struct tpo_error *err)
{
  *out = NULL;
  struct cores usable;
  cores_of_rank(&usable, "/", cores_of_affinity(), 1, 1, NULL);
  int cores = usable.n;
  if (n_threads == 0) n_threads = cores;
  if (n_threads < 0 || n_threads > 4096)
    return tpo_fail(err, TPO_E_USAGE, "%d threads were asked for, expected 0 to 4096", n_threads);
  struct tpo_pool *pool = tpo_calloc(1, sizeof *pool, err);
  if (!pool) return TPO_E_MEMORY;
  pool->n_threads = n_threads;
  pool->spin = n_threads <= cores;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->finished, NULL);
  pool->workers = tpo_calloc((size_t)n_threads, sizeof *pool->workers, err);
  if (!pool->workers) {
    tpo_pool_destroy(pool);
    return TPO_E_MEMORY;
  }
  for (int i = 0; i < n_threads - 1; i++) {
    struct worker *worker = &pool->workers[i];
    worker->pool = pool;
    worker->number = i + 1;
    int why = pthread_create(&worker->thread, NULL, worker_main, worker);
    if (why != 0) {
      tpo_pool_destroy(pool);
      return tpo_fail(err, TPO_E_MEMORY, "thread %d of %d can't be started (error %d)", i + 2, n_threads,
                      why);
    }
    pool->n_workers++;
  }
  *out = pool;
  return 0;
}

void tpo_pool_destroy(struct tpo_pool *pool)
{
  if (!pool) return;
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->stop, true);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < pool->n_workers; i++) pthread_join(pool->workers[i].thread, NULL);
  pthread_mutex_destroy(&pool->mutex);
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->finished);
  free(pool->workers);
  free(pool);
}

int tpo_pool_threads(const struct tpo_pool *pool)
{
  return pool->n_threads;
}

static void wake(struct tpo_pool *pool, int wanted)
{
  if (atomic_load(&pool->sleepers) == 0) return;
  pthread_mutex_lock(&pool->mutex);
  if (wanted >= pool->n_workers)
    pthread_cond_broadcast(&pool->work);
  else
    for (int i = 0; i < wanted; i++) pthread_cond_signal(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
}

void tpo_pool_run(struct tpo_pool *pool, int n_tasks, void (*fn)(void *arg, int task, int thread), void *arg)
{
  if (n_tasks <= 0) return;
  if (pool->n_threads == 1 || n_tasks == 1) {
    for (int task = 0; task < n_tasks; task++) fn(arg, task, 0);
    return;
  }
  uint32_t generation = (uint32_t)(atomic_load(&pool->ticket) >> 32) + 1;
  /* Closed first: a claim made with the old ticket fails from here on, so nobody mixes two jobs' fields. */
  atomic_store(&pool->ticket, (uint64_t)generation << 32 | CLOSED);
  atomic_store(&pool->fn, fn);
  atomic_store(&pool->arg, arg);
  atomic_store(&pool->n_tasks, n_tasks);
  atomic_store(&pool->done, 0);
  atomic_store(&pool->ticket, (uint64_t)generation << 32);
  wake(pool, n_tasks - 1);
  work_on(pool, generation, 0);
  if (spin_until(pool, all_done, (uint32_t)n_tasks)) return;
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->caller_sleeps, true);
  while (!all_done(pool, (uint32_t)n_tasks)) pthread_cond_wait(&pool->finished, &pool->mutex);
  atomic_store(&pool->caller_sleeps, false);
  pthread_mutex_unlock(&pool->mutex);
}
