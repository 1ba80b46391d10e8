/* Merges a piece's symbols: a short piece by looking at all pairs, a long one with a heap. */
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

/* A symbol of the piece: a token, or nothing once it has been merged into its left neighbour. */
struct tpo_bpe_symbol {
  int32_t id, previous, next; /* -1: none */
  int32_t rank;               /* of the merge with `next`, -1: none (short pieces only) */
  int32_t merged;             /* its token */
};

/* A merge that was possible when it was found; stale when its symbols have changed since. */
struct tpo_bpe_candidate {
  int32_t rank, at, left, right, id;
};

enum { SHORT_PIECE = 24 }; /* symbols; below, looking through all pairs beats a heap */

static size_t slot_of(const struct tpo_bpe *bpe, int32_t left, int32_t right)
{
  uint64_t key = ((uint64_t)(uint32_t)left << 32) | (uint32_t)right;
  key *= 0x9e3779b97f4a7c15u;
  key ^= key >> 32;
  return (size_t)(key * 0xd6e8feb86659fd93u >> 20) & bpe->mask;
}

/* The slot of a pair, or the empty one where it belongs. */
static struct tpo_merge *place_of(const struct tpo_bpe *bpe, int32_t left, int32_t right)
{
  size_t at = slot_of(bpe, left, right);
  while (bpe->slots[at].left >= 0 && (bpe->slots[at].left != left || bpe->slots[at].right != right))
    at = (at + 1) & bpe->mask;
  return &bpe->slots[at];
}

int tpo_bpe_reserve(struct tpo_bpe *bpe, size_t n, struct tpo_error *err)
{
  struct tpo_merge *old = bpe->slots;
  size_t n_old = old ? bpe->mask + 1 : 0, size = 16;
  while (size < 2 * n) size *= 2;
  if (size <= n_old) return TPO_OK;
  struct tpo_merge *slots = malloc(size * sizeof *slots);
  if (!slots) return tpo_fail(err, TPO_E_MEMORY, "no memory for %zu merges", n);
  memset(slots, 0xff, size * sizeof *slots);
  bpe->slots = slots;
  bpe->mask = size - 1;
  for (size_t i = 0; i < n_old; i++)
    if (old[i].left >= 0) *place_of(bpe, old[i].left, old[i].right) = old[i];
  free(old);
  return TPO_OK;
}

int tpo_bpe_put(struct tpo_bpe *bpe, int32_t left, int32_t right, int32_t rank, int32_t id,
                struct tpo_error *err)
{
  if (tpo_bpe_reserve(bpe, bpe->n + 1, err) < 0) return TPO_E_MEMORY;
  struct tpo_merge *slot = place_of(bpe, left, right);
  if (slot->left < 0) bpe->n++;
  *slot = (struct tpo_merge){left, right, rank, id};
  return TPO_OK;
}

static const struct tpo_merge *find_merge(const struct tpo_bpe *bpe, int32_t left, int32_t right)
{
  if (left < 0 || right < 0 || bpe->n == 0) return NULL;
  const struct tpo_merge *slot = place_of(bpe, left, right);
  return slot->left >= 0 ? slot : NULL;
}

void tpo_bpe_free(struct tpo_bpe *bpe)
{
  free(bpe->slots);
  *bpe = (struct tpo_bpe){0};
}

void tpo_bpe_scratch_free(struct tpo_bpe_scratch *scratch)
{
  free(scratch->symbols);
  free(scratch->heap);
  *scratch = (struct tpo_bpe_scratch){0};
}

static bool before(const struct tpo_bpe_candidate *a, const struct tpo_bpe_candidate *b)
{
  return a->rank < b->rank || (a->rank == b->rank && a->at < b->at);
}

static void heap_push(struct tpo_bpe_candidate *heap, size_t *n, struct tpo_bpe_candidate item)
{
  size_t i = (*n)++;
  while (i > 0 && before(&item, &heap[(i - 1) / 2])) {
    heap[i] = heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  heap[i] = item;
}

static struct tpo_bpe_candidate heap_pop(struct tpo_bpe_candidate *heap, size_t *n)
{
  struct tpo_bpe_candidate top = heap[0], last = heap[--*n];
  size_t i = 0;
  for (size_t child = 1; child < *n; child = 2 * i + 1) {
    if (child + 1 < *n && before(&heap[child + 1], &heap[child])) child++;
    if (!before(&heap[child], &last)) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
  return top;
}

/* Each merge takes one symbol away and finds at most two candidates, so 3 n of them bound the heap. */
static int make_room(struct tpo_bpe_scratch *scratch, size_t n, struct tpo_error *err)
{
  if (n > INT32_MAX / 4)
    return tpo_fail(err, TPO_E_INPUT, "a text of %zu bytes is too long to tokenise in one piece", n);
  if (tpo_grow(&scratch->symbols, &scratch->n_symbols, n, sizeof *scratch->symbols, err) < 0)
    return TPO_E_MEMORY;
  if (n > SHORT_PIECE && tpo_grow(&scratch->heap, &scratch->n_heap, 3 * n, sizeof *scratch->heap, err) < 0)
    return TPO_E_MEMORY;
  return TPO_OK;
}

static void merge_at(struct tpo_bpe_symbol *symbols, int32_t at, int32_t id)
{
  int32_t gone = symbols[at].next;
  symbols[at].id = id;
  symbols[at].next = symbols[gone].next;
  if (symbols[gone].next >= 0) symbols[symbols[gone].next].previous = at;
  symbols[gone].id = -1;
}

static void merge_long(const struct tpo_bpe *bpe, struct tpo_bpe_scratch *scratch, size_t n)
{
  struct tpo_bpe_symbol *symbols = scratch->symbols;
  size_t n_heap = 0;
  for (size_t i = 0; i + 1 < n; i++) {
    const struct tpo_merge *m = find_merge(bpe, symbols[i].id, symbols[i + 1].id);
    if (m)
      heap_push(scratch->heap, &n_heap,
                (struct tpo_bpe_candidate){m->rank, (int32_t)i, m->left, m->right, m->id});
  }
  while (n_heap > 0) {
    struct tpo_bpe_candidate c = heap_pop(scratch->heap, &n_heap);
    int32_t right = symbols[c.at].next;
    if (symbols[c.at].id != c.left || right < 0 || symbols[right].id != c.right) continue;
    merge_at(symbols, c.at, c.id);
    int32_t around[2] = {symbols[c.at].previous, c.at};
    for (int k = 0; k < 2; k++) {
      int32_t at = around[k];
      if (at < 0 || symbols[at].next < 0) continue;
      const struct tpo_merge *m = find_merge(bpe, symbols[at].id, symbols[symbols[at].next].id);
      if (m)
        heap_push(scratch->heap, &n_heap, (struct tpo_bpe_candidate){m->rank, at, m->left, m->right, m->id});
    }
  }
}

static void rank_pair(const struct tpo_bpe *bpe, struct tpo_bpe_symbol *symbols, int32_t at)
{
  symbols[at].rank = -1;
  if (symbols[at].next < 0) return;
  const struct tpo_merge *m = find_merge(bpe, symbols[at].id, symbols[symbols[at].next].id);
  if (!m) return;
  symbols[at].rank = m->rank;
  symbols[at].merged = m->id;
}

static void merge_short(const struct tpo_bpe *bpe, struct tpo_bpe_symbol *symbols, size_t n)
{
  for (size_t i = 0; i < n; i++) rank_pair(bpe, symbols, (int32_t)i);
  for (;;) {
    int32_t best = -1;
    for (int32_t i = 0; i >= 0; i = symbols[i].next)
      if (symbols[i].rank >= 0 && (best < 0 || symbols[i].rank < symbols[best].rank)) best = i;
    if (best < 0) return;
    merge_at(symbols, best, symbols[best].merged);
    rank_pair(bpe, symbols, best);
    if (symbols[best].previous >= 0) rank_pair(bpe, symbols, symbols[best].previous);
  }
}

static bool from_text(const struct tpo_vocab *vocab, int32_t id)
{
  return id >= 0 && tpo_token_text_kind(&vocab->tokens[id]) == TPO_TOKEN_NORMAL;
}

/* The symbols that a code point, or a byte that is not UTF-8, begins as. What has neither a token nor byte
 * tokens becomes the unknown token or, without one, is left out, as upstream does. */
static void add_code_point(const struct tpo_bpe *bpe, const struct tpo_vocab *vocab, const char *bytes,
                           int used, bool *unknown, struct tpo_bpe_symbol *symbols, size_t *n)
{
  bool after_unknown = *unknown;
  *unknown = false;
  int32_t id = used ? tpo_vocab_find(vocab, bytes, (size_t)used) : -1;
  if (from_text(vocab, id)) {
    symbols[(*n)++].id = id;
    return;
  }
  int len = used ? used : 1;
  bool all = true;
  for (int i = 0; i < len; i++) all = all && bpe->byte_ids[(uint8_t)bytes[i]] >= 0;
  if (all) {
    for (int i = 0; i < len; i++) symbols[(*n)++].id = bpe->byte_ids[(uint8_t)bytes[i]];
    return;
  }
  *unknown = true;
  if (bpe->unk >= 0 && !(after_unknown && bpe->fuse_unk)) symbols[(*n)++].id = bpe->unk;
}

static size_t add_symbols(const struct tpo_bpe *bpe, const struct tpo_vocab *vocab, const char *bytes,
                          size_t len, struct tpo_bpe_symbol *symbols)
{
  bool unknown = false;
  size_t n = 0;
  for (size_t i = 0; i < len;) {
    uint32_t cp;
    int used = bpe->byte_level ? 0 : tpo_utf8_decode((const uint8_t *)bytes + i, len - i, &cp);
    add_code_point(bpe, vocab, bytes + i, used, &unknown, symbols, &n);
    i += used ? (size_t)used : 1;
  }
  return n;
}

int tpo_bpe_encode(const struct tpo_bpe *bpe, const struct tpo_vocab *vocab, const char *bytes, size_t len,
                   struct tpo_bpe_scratch *scratch, struct tpo_ids *out, struct tpo_error *err)
{
  if (len == 0) return TPO_OK;
  if (bpe->ignore_merges) {
    int32_t id = tpo_vocab_find(vocab, bytes, len);
    if (from_text(vocab, id)) return tpo_ids_append(out, &id, 1, err);
  }
  if (make_room(scratch, len, err) < 0) return err ? err->code : TPO_E_MEMORY;
  struct tpo_bpe_symbol *symbols = scratch->symbols;
  size_t n = add_symbols(bpe, vocab, bytes, len, symbols);
  if (n == 0) return TPO_OK;
  for (size_t i = 0; i < n; i++) {
    symbols[i].previous = (int32_t)i - 1;
    symbols[i].next = i + 1 < n ? (int32_t)i + 1 : -1;
  }
  if (n <= SHORT_PIECE)
    merge_short(bpe, symbols, n);
  else
    merge_long(bpe, scratch, n);
  for (int32_t i = 0; i >= 0; i = symbols[i].next)
    if (tpo_ids_append(out, &symbols[i].id, 1, err) < 0) return TPO_E_MEMORY;
  return TPO_OK;
}
