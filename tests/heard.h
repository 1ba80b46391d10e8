/* A listener to a tpo_watch: shares that rise from above 0 to 1 at most. */
#ifndef TPO_TESTS_HEARD_H
#define TPO_TESTS_HEARD_H

#include "tpo/base.h"
#include "unit.h"

struct heard {
  int n;
  double last;
};

static inline void hear(void *arg, double share)
{
  struct heard *heard = arg;
  assert_true(share >= heard->last && share <= 1);
  heard->last = share;
  heard->n++;
}

#endif
