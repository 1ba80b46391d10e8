/* An inverted index from n-grams (as 64-bit hashes; among a million of them two collide with a chance of
 * 3e-8) to the texts that have them. */
#include "data/novelty.h"

#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/memory.h"
#include "base/words.h"

enum { MAX_N = 8, WHOLE_WORDS = 8 };

struct gram_slot {
  uint64_t gram;
  uint32_t head; /* posting + 1; 0: the slot is free */
};
struct posting {
  uint32_t text, next; /* next: posting + 1; 0: the last */
};

struct novelty {
  int n;
  struct gram_slot *slots; /* [n_slots], a power of two, at most half full */
  size_t n_slots, n_grams;
  struct posting *postings;
  size_t n_postings, postings_capacity;
  uint32_t *sizes;   /* [n_texts] different n-grams */
  uint32_t *shared;  /* [n_texts] with the text that is looked up; zeros between calls */
  uint32_t *touched; /* [n_texts] those that share something with it */
  size_t n_texts, sizes_capacity, shared_capacity, touched_capacity;
};

/* A text's different n-grams, sorted. */
struct grams {
  uint64_t *list;
  size_t n, capacity;
};

int novelty_create(struct novelty **out, int n, struct tpo_error *err)
{
  *out = NULL;
  if (n < 1 || n > MAX_N)
    return tpo_fail(err, TPO_E_USAGE, "n-grams of %d words; expected 1 to %d", n, MAX_N);
  struct novelty *index = tpo_calloc(1, sizeof *index, err);
  if (!index) return TPO_E_MEMORY;
  index->n = n;
  index->n_slots = 1024;
  index->slots = tpo_calloc(index->n_slots, sizeof *index->slots, err);
  if (!index->slots) {
    free(index);
    return TPO_E_MEMORY;
  }
  *out = index;
  return 0;
}

void novelty_free(struct novelty *index)
{
  if (!index) return;
  free(index->slots);
  free(index->postings);
  free(index->sizes);
  free(index->shared);
  free(index->touched);
  free(index);
}

static int push_gram(struct grams *grams, const uint64_t *window, int n, struct tpo_error *err)
{
  if (tpo_grow(&grams->list, &grams->capacity, grams->n + 1, sizeof *grams->list, err) < 0)
    return TPO_E_MEMORY;
  grams->list[grams->n++] = tpo_hash64(window, (size_t)n * sizeof *window);
  return 0;
}

static int by_value(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void sort_unique(struct grams *grams)
{
  size_t kept = 0;
  if (grams->n == 0) return;
  qsort(grams->list, grams->n, sizeof *grams->list, by_value);
  for (size_t i = 0; i < grams->n; i++)
    if (kept == 0 || grams->list[kept - 1] != grams->list[i]) grams->list[kept++] = grams->list[i];
  grams->n = kept;
}

/* Moves the window on by one word (or mark) and takes the n-gram that it then shows. */
static int slide(const struct novelty *index, uint64_t *window, uint64_t word, struct grams *grams,
                 struct tpo_error *err)
{
  memmove(window, window + 1, ((size_t)index->n - 1) * sizeof *window);
  window[index->n - 1] = word;
  return push_gram(grams, window, index->n, err);
}

/* No n-grams where there is no word. */
static int take_grams(const struct novelty *index, const char *text, struct grams *grams,
                      struct tpo_error *err)
{
  enum { BEFORE = 1, BEHIND = 2 };
  uint64_t window[MAX_N];
  char *folded = words_fold(text);
  if (!folded) return tpo_fail(err, TPO_E_INPUT, "a text to compare is not UTF-8");
  for (int i = 0; i < index->n; i++) window[i] = BEFORE;
  size_t at = 0, len = strlen(folded), n_words = 0;
  struct word word;
  int status = 0;
  for (; status == 0 && words_next(folded, len, &at, &word); n_words++)
    status = slide(index, window, tpo_hash64(folded + word.begin, word.end - word.begin), grams, err);
  for (int i = 1; n_words > 0 && status == 0 && i < index->n; i++)
    status = slide(index, window, BEHIND, grams, err);
  free(folded);
  sort_unique(grams);
  return status;
}

static size_t find_slot(const struct gram_slot *slots, size_t n_slots, uint64_t gram)
{
  size_t at = (size_t)(gram ^ gram >> 32) & (n_slots - 1);
  while (slots[at].head && slots[at].gram != gram) at = (at + 1) & (n_slots - 1);
  return at;
}

static int grow_slots(struct novelty *index, struct tpo_error *err)
{
  size_t n = index->n_slots * 2;
  struct gram_slot *slots = tpo_calloc(n, sizeof *slots, err);
  if (!slots) return TPO_E_MEMORY;
  for (size_t i = 0; i < index->n_slots; i++)
    if (index->slots[i].head) slots[find_slot(slots, n, index->slots[i].gram)] = index->slots[i];
  free(index->slots);
  index->slots = slots;
  index->n_slots = n;
  return 0;
}

static int add_posting(struct novelty *index, uint64_t gram, uint32_t text, struct tpo_error *err)
{
  if (2 * (index->n_grams + 1) > index->n_slots && grow_slots(index, err) < 0) return TPO_E_MEMORY;
  if (index->n_postings >= UINT32_MAX - 1)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "too many texts to compare with");
  if (tpo_grow(&index->postings, &index->postings_capacity, index->n_postings + 1, sizeof *index->postings,
               err) < 0)
    return TPO_E_MEMORY;
  struct gram_slot *slot = &index->slots[find_slot(index->slots, index->n_slots, gram)];
  if (!slot->head) index->n_grams++;
  index->postings[index->n_postings++] = (struct posting){text, slot->head};
  *slot = (struct gram_slot){gram, (uint32_t)index->n_postings};
  return 0;
}

int novelty_add(struct novelty *index, const char *text, struct tpo_error *err)
{
  struct grams grams = {0};
  size_t n = index->n_texts + 1;
  int status = take_grams(index, text, &grams, err);
  if (status == 0) status = tpo_grow(&index->sizes, &index->sizes_capacity, n, sizeof *index->sizes, err);
  if (status == 0) status = tpo_grow(&index->shared, &index->shared_capacity, n, sizeof *index->shared, err);
  if (status == 0)
    status = tpo_grow(&index->touched, &index->touched_capacity, n, sizeof *index->touched, err);
  for (size_t i = 0; status == 0 && i < grams.n; i++)
    status = add_posting(index, grams.list[i], (uint32_t)(n - 1), err);
  if (status == 0) {
    index->sizes[n - 1] = (uint32_t)grams.n;
    index->shared[n - 1] = 0;
    index->n_texts = n;
  }
  free(grams.list);
  return status;
}

static double overlap_of(const struct novelty *index, size_t a, size_t b, size_t shared)
{
  size_t small = a < b ? a : b;
  if (small >= (size_t)(WHOLE_WORDS + index->n - 1)) return (double)shared / (double)small;
  return 2 * (double)shared / (double)(a + b);
}

/* Counts in index->shared what each text shares with the n-grams; returns how many share something. */
static size_t count_shared(struct novelty *index, const struct grams *grams)
{
  size_t n = 0;
  for (size_t i = 0; i < grams->n; i++) {
    uint32_t at = index->slots[find_slot(index->slots, index->n_slots, grams->list[i])].head;
    for (; at; at = index->postings[at - 1].next) {
      uint32_t text = index->postings[at - 1].text;
      if (index->shared[text]++ == 0) index->touched[n++] = text;
    }
  }
  return n;
}

int novelty_nearest(struct novelty *index, const char *text, double *overlap, size_t *which,
                    struct tpo_error *err)
{
  struct grams grams = {0};
  *overlap = 0;
  *which = 0;
  int status = take_grams(index, text, &grams, err);
  size_t n = status == 0 ? count_shared(index, &grams) : 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t other = index->touched[i];
    double o = overlap_of(index, grams.n, index->sizes[other], index->shared[other]);
    index->shared[other] = 0;
    if (o < *overlap || (o == *overlap && other > *which)) continue;
    *overlap = o;
    *which = other;
  }
  free(grams.list);
  return status;
}
