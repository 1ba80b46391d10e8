/* A rank that goes wrong in the way its argument names; tests/comm/faults runs it and reads what the others
 * say. With TPO_TEST_BACKEND=cuda it goes wrong before an exchange of tensors on GPUs. */
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "comm/state.h"
#include "mpi_backend.h"
#include "backend/ops.h"

enum { N = 1 << 20 };

static int leave(int status)
{
  fprintf(stderr, "rank %d: %s\n", tpo_comm_rank(comm), err.message);
  tpo_comm_abort(comm, 1);
  return status < 0;
}

static int sum_on_host(void)
{
  static float tensor[N];
  return comm_allreduce_sum_f32(comm, tensor, N, &err);
}

static int sum_on_gpu(struct tpo_backend *backend)
{
  void *tensor;
  CHECK(tpo_ops(backend)->alloc(backend, N * sizeof(float), &tensor, &err) == 0);
  int status = tpo_comm_reduce_begin(comm, tensor, N, 0, N, &err);
  return status < 0 ? status : tpo_comm_finish(comm, &err);
}

static void tell_and_end(void *arg, const char *message)
{
  (void)arg;
  fprintf(stderr, "%s\n", message);
  _exit(1);
}

/* Of three ranks the last never comes to the start, which has 3 seconds. */
static int open_without_the_last(void)
{
  const struct tpo_comm_options options = {.deadline = 60, .start_deadline = 3, .late = tell_and_end};
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  if (rank && !strcmp(rank, "2")) sleep(100);
  return tpo_comm_open_with(&comm, &options, &err);
}

int main(int argc, char **argv)
{
  const char *fault = argc > 1 ? argv[1] : "";
  if (!strcmp(fault, "start")) return open_without_the_last();
  CHECK(tpo_comm_open(&comm, 2, &err) == 0);
  bool faulty = tpo_comm_rank(comm) == tpo_comm_size(comm) - 1;
  if (!strcmp(fault, "absent-0")) faulty = tpo_comm_rank(comm) == 0;
  if (faulty && !strcmp(fault, "nccl")) setenv("TPO_EMULATION_FAIL", "nccl:1", 1);
  struct tpo_backend *backend = test_cuda() ? test_backend() : NULL;
  if (backend) CHECK(tpo_comm_attach(comm, backend, &err) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (faulty && !strncmp(fault, "absent", 6)) sleep(100);
  if (faulty && !strcmp(fault, "stopped")) raise(SIGSTOP);
  if (faulty && !strcmp(fault, "killed")) raise(SIGKILL);
  int status;
  if (faulty && !strcmp(fault, "elsewhere"))
    status = tpo_comm_agree(comm, tpo_fail(&err, TPO_E_IO, "disk full"), &err);
  else
    status = backend ? sum_on_gpu(backend) : sum_on_host();
  if (status < 0) return leave(status);
  tpo_comm_close(comm);
  return 0;
}
