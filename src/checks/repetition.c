/* The share of word sequences that a text repeats. */
#include <stdlib.h>
#include "base/hash.h"
#include "checks/text.h"
#include "tpo/checks.h"

enum { N = 4, LONG_WORD = 32 };

static bool stands_alone(uint32_t cp) /* scripts without spaces between words: each character is a word */
{
  return (cp >= 0x0e00 && cp <= 0x0eff) || (cp >= 0x2e80 && cp <= 0xa4cf) || (cp >= 0xf900 && cp <= 0xfaff) ||
         (cp >= 0x20000 && cp <= 0x3ffff);
}

struct units {
  uint64_t *hashes;
  size_t n, capacity;
};

static bool add_unit(struct units *units, const char *text, size_t len)
{
  if (units->n == units->capacity) {
    size_t capacity = units->capacity ? units->capacity * 2 : 256;
    uint64_t *grown = realloc(units->hashes, capacity * sizeof *grown);
    if (!grown) return false;
    units->hashes = grown;
    units->capacity = capacity;
  }
  units->hashes[units->n++] = tpo_hash64(text, len);
  return true;
}

/* Lower-case words; other visible characters are units of their own, and so are the pieces
 * of overlong "words", so that "!!!!!!" and "hahahaha..." count as the repetition they are. */
static bool cut(struct units *units, struct span text)
{
  for (size_t at = 0; at < text.len;) {
    size_t start = at;
    uint32_t cp = text_next(text, &at);
    if (text_is_space(cp)) continue;
    size_t limit = SIZE_MAX, n = 1;
    if (text_is_word(cp) && !stands_alone(cp)) {
      for (size_t next = at; next < text.len; at = next, n++) {
        uint32_t follows = text_next(text, &next);
        if (!text_is_word(follows) || stands_alone(follows)) break;
      }
      if (n > LONG_WORD) limit = 2;
    }
    for (size_t piece = start; piece < at;) {
      size_t from = piece;
      for (size_t i = 0; i < limit && piece < at; i++) text_next(text, &piece);
      if (!add_unit(units, text.text + from, piece - from)) return false;
    }
  }
  return true;
}

static int compare(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

double text_repetition(struct span text)
{
  struct tpo_buf lower = {0};
  struct units units = {0};
  double share = 0;
  text_lower(text, &lower);
  if (lower.failed || !cut(&units, (struct span){lower.data, lower.len})) share = -1;
  if (share == 0 && units.n > N) {
    size_t n_grams = units.n - N + 1, repeated = 0;
    for (size_t i = 0; i < n_grams; i++)
      units.hashes[i] = tpo_hash64(&units.hashes[i], N * sizeof *units.hashes);
    qsort(units.hashes, n_grams, sizeof *units.hashes, compare);
    for (size_t i = 1; i < n_grams; i++) repeated += units.hashes[i] == units.hashes[i - 1];
    share = (double)repeated / (double)n_grams;
  }
  free(units.hashes);
  tpo_buf_free(&lower);
  return share;
}

double tpo_checks_repetition(const char *text)
{
  return text_repetition(span_of(text));
}
