/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * Counter-based: a number depends only on what it is keyed by, never on who draws it or when. */
#ifndef TPO_BASE_PHILOX_H
#define TPO_BASE_PHILOX_H

#include <stdint.h>

void tpo_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Separates streams that share a seed, so that no two uses ever draw the same number. */
enum tpo_stream {
  TPO_STREAM_SAMPLE = 1,     /* a sampled token: (seed, iteration, prompt, k, position) */
  TPO_STREAM_SHUFFLE = 2,    /* order of pairs in an epoch */
  TPO_STREAM_SYNTH = 3,      /* composed instructions */
  TPO_STREAM_SELECT = 4,     /* choice of prompts for an iteration */
  TPO_STREAM_INIT = 5,       /* random weights */
  TPO_STREAM_COMPARE = 6,    /* which responses of a prompt a judge compares */
  TPO_STREAM_PAUSE = 7,      /* how long a server is left alone before it is asked again */
  TPO_STREAM_FAILURE = 8,    /* which prompts keep a format failure as rejected: (seed, prompt, iteration) */
  TPO_STREAM_BLOCKS = 9,     /* which parts of something large stand for it when it is compared */
  TPO_STREAM_BOOTSTRAP = 10, /* what a round of a bootstrap draws: (seed, round) */
};

/* What one sampled token is keyed by. prompt is tpo_hash64 of the prompt's id. */
struct tpo_sample_key {
  uint64_t seed;
  uint64_t prompt;
  uint32_t iteration;
  uint32_t k;
};
/* A block with the key `seed` and the counter (prompt low, prompt high, iteration, TPO_STREAM_SAMPLE) gives
 * d[0..3]; the number is word 0 of the block with the key d[0..1] and the counter (position, k, d[2], d[3]),
 * shifted down by 8. Uniform in [0, 1) with 24 random bits, exactly representable in fp32. position = index
 * in the generated part. */
float tpo_sample_uniform(const struct tpo_sample_key *key, uint32_t position);

/* Sequential draws from one keyed stream, for host code (shuffles, synthesis). */
struct tpo_rng {
  uint32_t key[2], counter[4], block[4];
  int used;
};
void tpo_rng_init(struct tpo_rng *rng, uint64_t seed, enum tpo_stream stream, uint64_t a, uint32_t b);
uint32_t tpo_rng_u32(struct tpo_rng *rng);
uint32_t tpo_rng_below(struct tpo_rng *rng, uint32_t n); /* unbiased, n >= 1 */
double tpo_rng_uniform(struct tpo_rng *rng);             /* [0, 1), 53 bits */
double tpo_rng_normal(struct tpo_rng *rng);              /* Box-Muller, mean 0, variance 1 */
void tpo_rng_shuffle_u32(struct tpo_rng *rng, uint32_t *items, uint32_t n); /* Fisher-Yates */

#endif
