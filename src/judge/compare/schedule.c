/* Fewer comparisons than all: the responses are put around a circle in random order, and a round compares
 * each with the one `offset` places on. So each takes part twice in a round, once in each position. Rounds
 * with offsets up to k / 2 meet each unordered pair once; those after it are the same pairs with positions
 * exchanged. */
#include "judge/compare/schedule.h"

#include <stdlib.h>
#include "base/hash.h"
#include "base/memory.h"
#include "base/philox.h"

size_t schedule_size(int k, int limit)
{
  size_t all = k < 2 ? 0 : (size_t)k * (size_t)(k - 1);
  return limit > 0 && (size_t)limit < all ? (size_t)limit : all;
}

struct circle {
  struct comparison *out;
  size_t n, limit;
  const uint32_t *order; /* [k] responses around the circle */
  int k;
};

static int gcd(int a, int b)
{
  return b == 0 ? a : gcd(b, a % b);
}

/* A round's comparisons make cycles of k / gcd(k, offset) responses. Every other edge of a cycle comes first,
 * so that a round that is cut short has each response once before it has one twice. */
static void add_round(struct circle *c, int offset)
{
  int cycles = gcd(c->k, offset), length = c->k / cycles;
  for (int parity = 0; parity < 2; parity++)
    for (int cycle = 0; cycle < cycles; cycle++)
      for (int edge = parity; edge < length; edge += 2) {
        if (c->n == c->limit) return;
        int64_t at = (cycle + (int64_t)edge * offset) % c->k;
        c->out[c->n++] = (struct comparison){(int)c->order[at], (int)c->order[(at + offset) % c->k]};
      }
}

static void fill_all(struct comparison *out, int k)
{
  for (int first = 0; first < k; first++)
    for (int second = 0; second < k; second++)
      if (first != second) *out++ = (struct comparison){first, second};
}

int schedule_fill(struct comparison *out, int k, int limit, uint64_t seed, const char *id,
                  struct tpo_error *err)
{
  struct circle c = {.out = out, .limit = schedule_size(k, limit), .k = k};
  if (c.limit == schedule_size(k, 0)) {
    fill_all(out, k);
    return 0;
  }
  int half = k / 2;
  uint32_t *order = tpo_calloc((size_t)k + (size_t)half, sizeof *order, err);
  if (!order) return TPO_E_MEMORY;
  uint32_t *offsets = order + k;
  struct tpo_rng rng;
  tpo_rng_init(&rng, seed, TPO_STREAM_COMPARE, tpo_hash64_str(id), 0);
  for (int i = 0; i < k; i++) order[i] = (uint32_t)i;
  for (int i = 0; i < half; i++) offsets[i] = (uint32_t)i + 1;
  tpo_rng_shuffle_u32(&rng, order, (uint32_t)k);
  /* Offset 1 is first: its round connects all. */
  if (half > 2) tpo_rng_shuffle_u32(&rng, offsets + 1, (uint32_t)half - 1);
  c.order = order;
  for (int i = 0; i < half; i++) add_round(&c, (int)offsets[i]);
  for (int i = 0; i < half; i++)
    if (2 * (int)offsets[i] != k) add_round(&c, k - (int)offsets[i]);
  free(order);
  return 0;
}
