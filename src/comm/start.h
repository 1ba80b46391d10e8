/* A limit on the time that MPI takes to bring the ranks together, in which nothing can be asked of it. */
#ifndef TPO_COMM_START_H
#define TPO_COMM_START_H

#include "comm/launch.h"
#include "tpo/comm.h"

struct comm_start;

/* Announces this rank and starts a thread that calls late(arg, message) once options->start_deadline seconds
 * have passed. *out is NULL where there is no limit. */
int comm_start_begin(struct comm_start **out, const struct comm_launch *launch,
                     const struct tpo_comm_options *options, struct tpo_error *err);
/* The ranks are together. Returns the seconds that are left; NULL: 0. */
double comm_start_end(struct comm_start *start);

#endif
