/* Which responses of a prompt are compared with each other. */
#ifndef TPO_JUDGE_COMPARE_SCHEDULE_H
#define TPO_JUDGE_COMPARE_SCHEDULE_H

#include "tpo/base.h"

struct comparison {
  int first, second; /* the response shown as A, and the one shown as B */
};

/* How many comparisons k responses get when `limit` are asked for; 0: all k (k - 1). */
size_t schedule_size(int k, int limit);
/* out [schedule_size(k, limit)]. All ordered pairs in order; or fewer, keyed by (seed, prompt's id) alone:
 * no pair twice, each response takes part about equally often and in each position about equally often, from
 * k / 2 comparisons on each takes part, and from k - 1 on all are connected. k >= 2. */
int schedule_fill(struct comparison *out, int k, int limit, uint64_t seed, const char *id,
                  struct tpo_error *err);

#endif
