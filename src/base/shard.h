/* How a flat array is divided among ranks. */
#ifndef TPO_BASE_SHARD_H
#define TPO_BASE_SHARD_H

#include <stddef.h>

/* Rank `rank` of `size` owns [n * rank / size, n * (rank + 1) / size), without overflow and rounded down to
 * 16 elements, so that shards begin on cache lines; the last one ends at n. */
static inline void tpo_shard(size_t n, int rank, int size, size_t *first, size_t *count)
{
  size_t s = (size_t)size, r = (size_t)rank;
  size_t begin = (n / s * r + n % s * r / s) / 16 * 16;
  size_t end = r + 1 == s ? n : (n / s * (r + 1) + n % s * (r + 1) / s) / 16 * 16;
  *first = begin;
  *count = end - begin;
}

/* The part of [first, first + count) that lies in [other, other + other_count): *first moves to its begin;
 * its length is returned. */
static inline size_t tpo_overlap(size_t *first, size_t count, size_t other, size_t other_count)
{
  size_t begin = *first > other ? *first : other;
  size_t end = *first + count < other + other_count ? *first + count : other + other_count;
  *first = begin;
  return begin < end ? end - begin : 0;
}

#endif
