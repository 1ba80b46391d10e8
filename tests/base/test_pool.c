/* The thread pool runs each task once, and no longer than it says. */
#include <sched.h>
#include <stdatomic.h>
#include "unit.h"
#include "base/cores.h"
#include "base/pool.h"

enum { MAX_TASKS = 512 };
struct job {
  _Atomic int runs[MAX_TASKS];
  _Atomic int bad_thread;
  int n_threads;
  unsigned work;
};

static void count(void *arg, int task, int thread)
{
  struct job *job = arg;
  if (thread < 0 || thread >= job->n_threads) job->bad_thread = 1;
  for (volatile unsigned i = 0; i < job->work; i++) continue;
  job->runs[task]++;
}

static void each_task_runs_once_before_run_returns(void **state)
{
  (void)state;
  for (int n_threads = 1; n_threads <= 5; n_threads += 2) {
    struct tpo_pool *pool;
    assert_int_equal(tpo_pool_create(&pool, n_threads, NULL), 0);
    assert_int_equal(tpo_pool_threads(pool), n_threads);
    for (int round = 0; round < 3000; round++) {
      /* on the stack: a late run would show */
      struct job job = {.n_threads = n_threads, .work = (unsigned)(round % 7) * 50};
      int n_tasks = round % 40;
      tpo_pool_run(pool, n_tasks, count, &job);
      for (int i = 0; i < 40; i++) assert_int_equal(job.runs[i], i < n_tasks);
      assert_int_equal(job.bad_thread, 0);
      if (round % 1000 == 999) usleep(1000); /* lets the workers fall asleep */
    }
    tpo_pool_destroy(pool);
  }
}

struct meeting {
  _Atomic int arrived;
  int wanted;
  _Atomic int met;
};

static void meet(void *arg, int task, int thread)
{
  (void)task, (void)thread;
  struct meeting *meeting = arg;
  meeting->arrived++;
  for (int i = 0; i < 5000 && meeting->arrived < meeting->wanted; i++) usleep(1000);
  if (meeting->arrived == meeting->wanted) meeting->met++;
}

static void threads_run_at_the_same_time(void **state)
{
  (void)state;
  struct tpo_pool *pool;
  assert_int_equal(tpo_pool_create(&pool, 3, NULL), 0);
  struct meeting meeting = {.wanted = 3};
  tpo_pool_run(pool, 3, meet, &meeting);
  assert_int_equal(meeting.met, 3);
  tpo_pool_destroy(pool);
}

static void zero_threads_means_the_cores_that_are_ours(void **state)
{
  (void)state;
  cpu_set_t saved, one;
  assert_int_equal(sched_getaffinity(0, sizeof saved, &saved), 0);
  struct tpo_pool *pool;
  assert_int_equal(tpo_pool_create(&pool, 0, NULL), 0);
  struct cores ours; /* a quota may take some of the mask's */
  cores_of_rank(&ours, "/", CPU_COUNT(&saved), 1, 1, NULL);
  assert_int_equal(tpo_pool_threads(pool), ours.n);
  tpo_pool_destroy(pool);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &saved)) {
      CPU_SET(cpu, &one);
      break;
    }
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  assert_int_equal(tpo_pool_create(&pool, 0, NULL), 0);
  assert_int_equal(tpo_pool_threads(pool), 1);
  tpo_pool_destroy(pool);
  sched_setaffinity(0, sizeof saved, &saved);
}

static void impossible_thread_counts_are_refused(void **state)
{
  (void)state;
  struct tpo_pool *pool;
  struct tpo_error err = {0};
  assert_int_equal(tpo_pool_create(&pool, -1, &err), TPO_E_USAGE);
  assert_int_equal(tpo_pool_create(&pool, 1000000, &err), TPO_E_USAGE);
  assert_null(pool);
  tpo_pool_destroy(NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_task_runs_once_before_run_returns),
      cmocka_unit_test(threads_run_at_the_same_time),
      cmocka_unit_test(zero_threads_means_the_cores_that_are_ours),
      cmocka_unit_test(impossible_thread_counts_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
