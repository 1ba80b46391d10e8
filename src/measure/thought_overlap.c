/* How much of a response stands in the thought before it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/words.h"
#include "checks/text.h"
#include "measure/thoughts.h"

enum { WORDS = 3 };

struct grams { /* hashes of a text's different sequences of three words, sorted */
  uint64_t *list;
  size_t n;
};

static int by_value(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Of words of one letter there are at most half as many as bytes, one more. */
static bool take_grams(struct grams *out, const char *folded)
{
  size_t len = strlen(folded), at = 0, n_words = 0;
  uint64_t window[WORDS] = {0};
  struct word word;
  out->list = tpo_calloc(len / 2 + 1, sizeof *out->list, NULL);
  if (!out->list) return false;
  while (words_next(folded, len, &at, &word)) {
    memmove(window, window + 1, (WORDS - 1) * sizeof *window);
    window[WORDS - 1] = tpo_hash64(folded + word.begin, word.end - word.begin);
    if (++n_words >= WORDS) out->list[out->n++] = tpo_hash64(window, sizeof window);
  }
  if (out->n) qsort(out->list, out->n, sizeof *out->list, by_value);
  size_t kept = 0;
  for (size_t i = 0; i < out->n; i++)
    if (kept == 0 || out->list[kept - 1] != out->list[i]) out->list[kept++] = out->list[i];
  out->n = kept;
  return true;
}

/* Of a text that may hold bytes which are not UTF-8. */
static bool grams_of(struct grams *out, const char *text)
{
  struct tpo_buf repaired = {0};
  text_repair(span_of(text), &repaired);
  char *folded = repaired.failed ? NULL : words_fold(repaired.data ? repaired.data : "");
  bool ok = folded && take_grams(out, folded);
  free(folded);
  tpo_buf_free(&repaired);
  return ok;
}

double thought_overlap(const char *thought, const char *response)
{
  struct grams in_thought = {0}, in_response = {0};
  double share = -1;
  if (grams_of(&in_thought, thought) && grams_of(&in_response, response)) {
    size_t shared = 0;
    for (size_t i = 0; i < in_response.n; i++)
      shared += in_thought.n && bsearch(&in_response.list[i], in_thought.list, in_thought.n,
                                        sizeof *in_thought.list, by_value);
    share = in_response.n ? (double)shared / (double)in_response.n : NAN;
  }
  free(in_thought.list);
  free(in_response.list);
  return share;
}
