/* The shared queue hands out every job once, also while rank 0 is busy with something else. */
#include <string.h>
#include <unistd.h>
#include "mpi_check.h"
#include "base/clock.h"

enum { N_JOBS = 1000 };

static void every_job_is_handed_out_once(void)
{
  struct tpo_comm_queue *queue;
  CHECK(tpo_comm_queue_create(comm, &queue, N_JOBS, &err) == 0);
  double taken[N_JOBS] = {0};
  int64_t job;
  int got;
  while ((got = tpo_comm_queue_next(queue, &job, &err)) == 1) {
    CHECK(job >= 0 && job < N_JOBS);
    taken[job] += 1;
    CHECK(tpo_comm_queue_taken(queue) > job);
  }
  CHECK(got == 0);
  CHECK(tpo_comm_queue_next(queue, &job, &err) == 0);
  CHECK(tpo_comm_queue_taken(queue) == N_JOBS);
  CHECK(tpo_comm_allreduce_sum_f64(comm, taken, N_JOBS, &err) == 0);
  for (int i = 0; i < N_JOBS; i++) CHECK(taken[i] == 1);
  CHECK(tpo_comm_queue_destroy(queue, &err) == 0);
}

static void an_empty_queue_gives_nothing(void)
{
  struct tpo_comm_queue *queue;
  int64_t job;
  CHECK(tpo_comm_queue_create(comm, &queue, 0, &err) == 0);
  CHECK(tpo_comm_queue_next(queue, &job, &err) == 0);
  CHECK(tpo_comm_queue_destroy(queue, &err) == 0);
}

/* Rank 0 computes for two seconds without entering this layer; the others must have emptied the queue long
 * before. */
static void a_busy_rank_0_stops_nobody(void)
{
  if (tpo_comm_size(comm) == 1) return;
  struct tpo_comm_queue *queue;
  CHECK(tpo_comm_queue_create(comm, &queue, 100, &err) == 0);
  double start = tpo_seconds(), worked = 0;
  if (tpo_comm_rank(comm) == 0) {
    volatile double x = 0;
    while (tpo_seconds() - start < 2) x = x + 1;
  } else {
    int64_t job;
    while (tpo_comm_queue_next(queue, &job, &err) == 1) worked++;
    CHECK(tpo_seconds() - start < 1.8);
  }
  CHECK(tpo_comm_allreduce_sum_f64(comm, &worked, 1, &err) == 0);
  CHECK(worked == 100);
  CHECK(tpo_comm_queue_destroy(queue, &err) == 0);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  every_job_is_handed_out_once();
  an_empty_queue_gives_nothing();
  a_busy_rank_0_stops_nobody();
  tpo_comm_close(comm);
  return 0;
}
