/* A rank that goes wrong in the way its argument names; tests/comm/faults runs it and reads what the others
 * say. */
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "mpi_check.h"

static int leave(int status)
{
  fprintf(stderr, "rank %d: %s\n", tpo_comm_rank(comm), err.message);
  tpo_comm_abort(comm, 1);
  return status < 0;
}

int main(int argc, char **argv)
{
  const char *fault = argc > 1 ? argv[1] : "";
  CHECK(tpo_comm_open(&comm, 2, &err) == 0);
  bool faulty = tpo_comm_rank(comm) == tpo_comm_size(comm) - 1;
  if (!strcmp(fault, "absent-0")) faulty = tpo_comm_rank(comm) == 0;
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (faulty && !strncmp(fault, "absent", 6)) sleep(100);
  if (faulty && !strcmp(fault, "stopped")) raise(SIGSTOP);
  if (faulty && !strcmp(fault, "killed")) raise(SIGKILL);
  static float tensor[1 << 20];
  int status;
  if (faulty && !strcmp(fault, "elsewhere"))
    status = tpo_comm_agree(comm, tpo_fail(&err, TPO_E_IO, "disk full"), &err);
  else
    status = tpo_comm_allreduce_sum_f32(comm, tensor, 1 << 20, &err);
  if (status < 0) return leave(status);
  tpo_comm_close(comm);
  return 0;
}
