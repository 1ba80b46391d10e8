/* Finding a place in the list of a row's tokens by descending logit (lower id first among equals), without
 * making the list.
 *
 * A logit becomes a 32-bit key that ascends as logits descend. The block counts the tokens, and sums their
 * weights, in bins of the key's leading 11 bits; the bin in which the running count or weight reaches its
 * target is split again by the next 11 bits, then by the last 10. Among tokens of one key, whose weights are
 * equal, the id is found in the same way. Weights are integers (vecmath.h), so that all sums are exact and
 * atomic additions may come in any order.
 *
 * Tokens less probable than e^-26 of the most probable one have weight 0 and are left out. As soon as the
 * tokens that can still matter are few, they are listed in shared memory, and the row is not read again. */
#ifndef TPO_CUDA_SAMPLE_SELECT_CUH
#define TPO_CUDA_SAMPLE_SELECT_CUH

#include "reduce.cuh"

#include <math.h>
#include <string.h>

extern "C" {
#include "backend/vecmath.h"
}

constexpr int SELECT_BINS = 2048, SELECT_LISTED = 2048, SELECT_THREADS = 512 /* at most */;
constexpr int SELECT_LEVELS = 3;
constexpr float SELECT_REACH = -26.0f;       /* e^-26 < 2^-36 */
constexpr uint32_t SELECT_ALL = 0xffffffffu; /* above the keys of all numbers */

/* Where a running total reaches its target. The fields "before" are about all lower keys. */
struct select_place {
  uint32_t key; /* the lowest of the keys that it can still be */
  uint32_t count_before, count;
  uint64_t weight_before, weight;
};

struct select_shared {
  uint32_t count[SELECT_BINS];
  uint32_t low[SELECT_BINS], high[SELECT_BINS]; /* halves of the sums of weights */
  uint64_t part_weight[SELECT_THREADS];
  uint32_t part_count[SELECT_THREADS];
  float logit[SELECT_LISTED]; /* the list, in no order */
  int32_t id[SELECT_LISTED];
  uint32_t listed;
  uint32_t bin;
  select_place place;
};

static __device__ __forceinline__ uint32_t select_key(float logit)
{
  uint32_t bits;
  memcpy(&bits, &logit, sizeof bits);
  if (bits == 0x80000000u) bits = 0; /* -0 equals +0 */
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

static __device__ __forceinline__ int select_shift(int level)
{
  return level == 0 ? 21 : level == 1 ? 10 : 0;
}

/* Calls f(logit, id) for the whole row, several loads ahead; past its end with -infinity. */
template <int THREADS, class F>
static __device__ __forceinline__ void each_logit(const float *__restrict__ logits, int vocab, F f)
{
  constexpr int AHEAD = 8;
  for (int base = threadIdx.x; base < vocab; base += THREADS * AHEAD) {
    float x[AHEAD];
#pragma unroll
    for (int u = 0; u < AHEAD; u++)
      x[u] = base + u * THREADS < vocab ? logits[base + u * THREADS] : -INFINITY;
#pragma unroll
    for (int u = 0; u < AHEAD; u++) f(x[u], base + u * THREADS);
  }
}

/* All members are the same in all threads of the block, and all threads make all calls together. */
template <int THREADS> struct selector {
  const float *logits; // [vocab]
  int vocab;
  float highest, inverse; /* of the temperature */
  select_shared *shared;
  bool listed;

  template <class F> __device__ __forceinline__ void each(F f)
  {
    if (!listed) {
      each_logit<THREADS>(logits, vocab, f);
      return;
    }
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < shared->listed; i += THREADS) f(shared->logit[i], shared->id[i]);
  }

  __device__ __forceinline__ float tempered(float logit) const
  {
    return TPO_UNFUSED(logit - highest, inverse);
  }

  __device__ __forceinline__ void clear()
  {
    for (int i = threadIdx.x; i < SELECT_BINS; i += THREADS)
      shared->count[i] = shared->low[i] = shared->high[i] = 0;
    __syncthreads();
  }

  __device__ __forceinline__ void add(uint32_t bin, uint32_t count, uint64_t weight)
  {
    uint32_t low = (uint32_t)weight, high = (uint32_t)(weight >> 32);
    atomicAdd(&shared->count[bin], count);
    if (low) high += atomicAdd(&shared->low[bin], low) > SELECT_ALL - low; /* the carry */
    if (high) atomicAdd(&shared->high[bin], high);
  }

  /* Into the bins of `shift` from key `first` on: the tokens with keys lower than `end`; weights below
   * `minimum` count as 0. Returns the sum of the weights that this thread has added. (Where a digit has fewer
   * values than there are bins, the rest gets the tokens that follow; no target lies among them.) */
  __device__ uint64_t fill(uint32_t first, int shift, uint32_t end, uint64_t minimum)
  {
    uint64_t sum = 0;
    clear();
    each([&](float logit, int) {
      uint32_t key = select_key(logit), bin = (key - first) >> shift;
      float x = tempered(logit);
      if (!(x >= SELECT_REACH) || bin >= SELECT_BINS || key >= end) return;
      uint64_t weight = tpo_sample_units(tpo_exp_f32(x), TPO_SAMPLE_ROUND);
      if (weight < minimum) weight = 0;
      add(bin, 1, weight);
      sum += weight;
    });
    __syncthreads();
    return sum;
  }

  __device__ void fill_ids(uint32_t key, uint32_t first, int shift)
  {
    clear();
    each([&](float logit, int id) {
      uint32_t bin = ((uint32_t)id - first) >> shift;
      if (select_key(logit) == key && bin < SELECT_BINS) add(bin, 1, 0);
    });
    __syncthreads();
  }

  /* Warp 0's part of reach: lane by lane, then that lane's parts, then that part's bins. */
  __device__ void walk(uint64_t target, bool by_count)
  {
    constexpr int PARTS = THREADS / 32, BINS = SELECT_BINS / THREADS;
    int lane = threadIdx.x;
    uint32_t own_count = 0;
    uint64_t own_weight = 0;
    for (int i = lane * PARTS; i < (lane + 1) * PARTS; i++) {
      own_count += shared->part_count[i];
      own_weight += shared->part_weight[i];
    }
    uint32_t count = own_count; /* up to this lane's end */
    uint64_t weight = own_weight;
    for (int step = 1; step < 32; step *= 2) {
      uint32_t more_count = __shfl_up_sync(0xffffffffu, count, step);
      uint64_t more_weight = __shfl_up_sync(0xffffffffu, weight, step);
      if (lane >= step) {
        count += more_count;
        weight += more_weight;
      }
    }
    uint64_t end = by_count ? count : weight, own = by_count ? own_count : own_weight;
    if (end < target || end - own >= target) return;

    uint32_t count_before = count - own_count;
    uint64_t weight_before = weight - own_weight;
    int part = lane * PARTS;
    while (true) {
      uint64_t next =
          by_count ? count_before + shared->part_count[part] : weight_before + shared->part_weight[part];
      if (next >= target) break;
      count_before += shared->part_count[part];
      weight_before += shared->part_weight[part++];
    }
    for (int bin = part * BINS;; bin++) {
      uint32_t bin_count = shared->count[bin];
      uint64_t bin_weight = (uint64_t)shared->high[bin] << 32 | shared->low[bin];
      if ((by_count ? count_before + bin_count : weight_before + bin_weight) >= target) {
        shared->bin = (uint32_t)bin;
        shared->place = {0, count_before, bin_count, weight_before, bin_weight};
        return;
      }
      count_before += bin_count;
      weight_before += bin_weight;
    }
  }

  /* Goes on from `place` into the bin of `shift` at which the running total, of tokens or weights, reaches
   * `target`: 1 to the total of all bins. */
  __device__ void reach(select_place *place, int shift, uint64_t target, bool by_count)
  {
    constexpr int BINS = SELECT_BINS / THREADS;
    uint32_t count = 0;
    uint64_t weight = 0;
#pragma unroll 4
    for (int bin = threadIdx.x * BINS; bin < (int)(threadIdx.x + 1) * BINS; bin++) {
      count += shared->count[bin];
      weight += (uint64_t)shared->high[bin] << 32 | shared->low[bin];
    }
    shared->part_count[threadIdx.x] = count;
    shared->part_weight[threadIdx.x] = weight;
    __syncthreads();
    if (threadIdx.x < 32) walk(target, by_count);
    __syncthreads();
    place->key += shared->bin << shift;
    place->count_before += shared->place.count_before;
    place->weight_before += shared->place.weight_before;
    place->count = shared->place.count;
    place->weight = shared->place.weight;
  }

  /* Lists the tokens with keys first..last, if they are few enough. */
  __device__ void list(uint32_t first, uint32_t last)
  {
    if (threadIdx.x == 0) shared->listed = 0;
    __syncthreads();
    each_logit<THREADS>(logits, vocab, [&](float logit, int id) {
      uint32_t key = select_key(logit);
      if (key < first || key > last || !(tempered(logit) >= SELECT_REACH)) return;
      uint32_t slot = atomicAdd(&shared->listed, 1u);
      if (slot >= SELECT_LISTED) return;
      shared->logit[slot] = logit;
      shared->id[slot] = id;
    });
    __syncthreads();
    listed = shared->listed <= SELECT_LISTED;
  }

  /* The key at which the running total reaches `target`, and what is before and at it. `filled`: the bins of
   * the leading digit are there. `last`: nothing will be asked about the tokens before it. */
  __device__ select_place descend(uint64_t target, bool by_count, uint64_t minimum, bool filled, bool last)
  {
    select_place place = {};
#pragma unroll 1 /* one copy of the passes */
    for (int level = 0; level < SELECT_LEVELS; level++) {
      int shift = select_shift(level);
      if (level > 0 || !filled) fill(place.key, shift, SELECT_ALL, minimum);
      reach(&place, shift, target - (by_count ? place.count_before : place.weight_before), by_count);
      uint32_t needed = last ? place.count : place.count_before + place.count;
      if (!listed && needed <= SELECT_LISTED) list(last ? place.key : 0, place.key + ((1u << shift) - 1));
    }
    return place;
  }

  /* The nth lowest (from 1) of the ids that have this key. */
  __device__ int32_t nth_id(uint32_t key, uint32_t nth)
  {
    select_place place = {};
#pragma unroll 1 /* one copy of the passes */
    for (int level = 0; level < SELECT_LEVELS; level++) {
      int shift = select_shift(level);
      if (shift > 0 && (uint32_t)(vocab - 1) >> shift == 0) continue;
      fill_ids(key, place.key, shift);
      reach(&place, shift, nth - place.count_before, true);
    }
    return (int32_t)place.key;
  }
};

#endif
