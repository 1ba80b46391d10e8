/* Checks for the programs that run under mpirun: a failure on one rank ends all of them. */
#ifndef TPO_TESTS_MPI_CHECK_H
#define TPO_TESTS_MPI_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include "tpo/comm.h"

static struct tpo_comm *comm;
static struct tpo_error err;

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    if (condition) break;                                                                                    \
    fprintf(stderr, "rank %d: %s:%d: %s does not hold; last error: %s\n", comm ? tpo_comm_rank(comm) : -1,   \
            __FILE__, __LINE__, #condition, err.message);                                                    \
    if (comm) tpo_comm_abort(comm, 1);                                                                       \
    exit(1);                                                                                                 \
  } while (0)

#endif
