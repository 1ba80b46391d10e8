/* The first draw of a Mersenne Twister (MT19937) that Python seeded with a text. */
#include "eval/alpaca/order.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/memory.h"
#include "eval/alpaca/sha512.h"

enum { WORDS = 624, AHEAD = 397 };

static void seed_by_number(uint32_t mt[WORDS], uint32_t seed)
{
  mt[0] = seed;
  for (uint32_t i = 1; i < WORDS; i++) mt[i] = 1812433253u * (mt[i - 1] ^ mt[i - 1] >> 30) + i;
}

/* Goes on to the next word; behind the last comes the second, and the first becomes the last. */
static size_t next_word(uint32_t mt[WORDS], size_t i)
{
  if (++i < WORDS) return i;
  mt[0] = mt[WORDS - 1];
  return 1;
}

static void seed_by_array(uint32_t mt[WORDS], const uint32_t *key, size_t n)
{
  size_t i = 1;
  seed_by_number(mt, 19650218u);
  for (size_t step = 0, j = 0; step < (n > WORDS ? n : WORDS); step++, j = j + 1 < n ? j + 1 : 0) {
    mt[i] = (mt[i] ^ (mt[i - 1] ^ mt[i - 1] >> 30) * 1664525u) + key[j] + (uint32_t)j;
    i = next_word(mt, i);
  }
  for (size_t step = 0; step < WORDS - 1; step++) {
    mt[i] = (mt[i] ^ (mt[i - 1] ^ mt[i - 1] >> 30) * 1566083941u) - (uint32_t)i;
    i = next_word(mt, i);
  }
  mt[0] = 0x80000000u;
}

static uint32_t first_draw(const uint32_t mt[WORDS])
{
  uint32_t y = (mt[0] & 0x80000000u) | (mt[1] & 0x7fffffffu);
  y = mt[AHEAD] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
  y ^= y >> 11;
  y ^= y << 7 & 0x9d2c5680u;
  y ^= y << 15 & 0xefc60000u;
  return y ^ y >> 18;
}

/* Python's seed: the text's bytes and their SHA-512 as one number, most significant byte first, in words of 32 bits,
 * least significant word first. */
static void words_of(const uint8_t *bytes, size_t len, uint32_t *key)
{
  for (size_t i = 0; i < len; i++) key[i / 4] |= (uint32_t)bytes[len - 1 - i] << 8 * (i % 4);
}

int alpaca_is_switched(const char *instruction, bool *switched, struct tpo_error *err)
{
  struct tpo_buf seed = {0};
  uint32_t mt[WORDS];
  uint8_t digest[64];
  tpo_buf_printf(&seed, "is_switched_outputs%s0", instruction);
  if (!seed.failed) sha512(seed.data, seed.len, digest);
  tpo_buf_append(&seed, digest, sizeof digest);
  size_t n = (seed.len + 3) / 4;
  uint32_t *key = seed.failed ? NULL : tpo_calloc(n, sizeof *key, err);
  int status = key ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the order of two outputs");
  if (key) {
    words_of((const uint8_t *)seed.data, seed.len, key);
    seed_by_array(mt, key, n);
    *switched = first_draw(mt) >= 0x80000000u; /* random() >= 0.5 */
  }
  free(key);
  tpo_buf_free(&seed);
  return status;
}
