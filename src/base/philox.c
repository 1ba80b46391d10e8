/* Philox4x32-10, and the numbers and shuffles that are drawn from it. */
#include <math.h>
#include "base/philox.h"

/* Multipliers and Weyl constants of the paper's Philox4x32. */
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

void tpo_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)PHILOX_M0 * c0, p1 = (uint64_t)PHILOX_M1 * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += PHILOX_W0;
    k1 += PHILOX_W1;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* The identity of a stream is wider than one Philox input (192 bits), so one block made from the stream's
 * name gives the key and half of the counter of the blocks that are drawn from. */
static void derive(uint64_t seed, enum tpo_stream stream, uint64_t a, uint32_t b, uint32_t out[4])
{
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t counter[4] = {(uint32_t)a, (uint32_t)(a >> 32), b, (uint32_t)stream};
  tpo_philox4x32(counter, key, out);
}

float tpo_sample_uniform(const struct tpo_sample_key *key, uint32_t position)
{
  uint32_t derived[4], out[4];
  derive(key->seed, TPO_STREAM_SAMPLE, key->prompt, key->iteration, derived);
  uint32_t counter[4] = {position, key->k, derived[2], derived[3]};
  tpo_philox4x32(counter, derived, out);
  return (float)(out[0] >> 8) * 0x1p-24f;
}

void tpo_rng_init(struct tpo_rng *rng, uint64_t seed, enum tpo_stream stream, uint64_t a, uint32_t b)
{
  uint32_t derived[4];
  derive(seed, stream, a, b, derived);
  rng->key[0] = derived[0], rng->key[1] = derived[1];
  rng->counter[0] = rng->counter[1] = 0;
  rng->counter[2] = derived[2], rng->counter[3] = derived[3];
  rng->used = 4;
}

uint32_t tpo_rng_u32(struct tpo_rng *rng)
{
  if (rng->used == 4) {
    tpo_philox4x32(rng->counter, rng->key, rng->block);
    rng->used = 0;
    if (++rng->counter[0] == 0) rng->counter[1]++;
  }
  return rng->block[rng->used++];
}

uint32_t tpo_rng_below(struct tpo_rng *rng, uint32_t n)
{
  if (n <= 1) return 0;
  /* The product's high half is uniform once the low values that would fall short of a whole share are drawn
   * again. */
  uint32_t threshold = (0u - n) % n;
  for (;;) {
    uint64_t product = (uint64_t)tpo_rng_u32(rng) * n;
    if ((uint32_t)product >= threshold) return (uint32_t)(product >> 32);
  }
}

double tpo_rng_uniform(struct tpo_rng *rng)
{
  uint64_t high = tpo_rng_u32(rng), low = tpo_rng_u32(rng);
  return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

double tpo_rng_normal(struct tpo_rng *rng)
{
  double radius = sqrt(-2.0 * log(1.0 - tpo_rng_uniform(rng))); /* 1 - u is in (0, 1] */
  return radius * cos(6.283185307179586 * tpo_rng_uniform(rng));
}

void tpo_rng_shuffle_u32(struct tpo_rng *rng, uint32_t *items, uint32_t n)
{
  for (uint32_t i = n; i > 1; i--) {
    uint32_t j = tpo_rng_below(rng, i);
    uint32_t item = items[i - 1];
    items[i - 1] = items[j];
    items[j] = item;
  }
}
