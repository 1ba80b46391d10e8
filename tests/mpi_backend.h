/* The backend that programs under mpirun are tested with: the CPU's, or TPO_TEST_BACKEND=cuda. */
#ifndef TPO_TESTS_MPI_BACKEND_H
#define TPO_TESTS_MPI_BACKEND_H

#include <string.h>
#include "mpi_check.h"
#include "tpo/backend.h"

static inline bool test_cuda(void)
{
  const char *name = getenv("TPO_TEST_BACKEND");
  return name && strcmp(name, "cuda") == 0;
}

static inline struct tpo_backend *test_backend(void)
{
  struct tpo_backend_options options = {.kind = test_cuda() ? TPO_BACKEND_CUDA : TPO_BACKEND_CPU,
                                        .threads = 1,
                                        .local_rank = tpo_comm_local_rank(comm),
                                        .local_size = tpo_comm_local_size(comm)};
  struct tpo_backend *backend;
  CHECK(tpo_backend_open_with(&backend, &options, &err) == 0);
  return backend;
}

#endif
