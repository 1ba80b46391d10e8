/* The parts of bench_ops. */
#ifndef TPO_BENCH_OPS_H
#define TPO_BENCH_OPS_H

#include "backend/backend.h"

/* ops_rows.c: what goes row by row, and attention, at the shapes of several families. */
void bench_rows(struct tpo_backend *be);

#endif
