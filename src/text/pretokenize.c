/* Splits a text by patterns, one after the other, and changes it first where SentencePiece does. */
#include "text/pretokenize.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "text/vocab.h"

const char tpo_gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

enum { MAX_SETS = 512 }; /* of all splits: what opening a tokenizer may cost */

/* Room for a split; NULL with err set. */
static struct tpo_split *new_split(struct tpo_pretokenizer *pre, enum tpo_split_behavior behavior,
                                   bool invert, const char *place, struct tpo_error *err)
{
  if (pre->n_splits >= 64) {
    tpo_fail(err, TPO_E_INPUT, "%s: more than 64 splits in pre_tokenizer", place);
    return NULL;
  }
  if (tpo_grow(&pre->splits, &pre->capacity, pre->n_splits + 1, sizeof *pre->splits, err) < 0) return NULL;
  struct tpo_split *split = &pre->splits[pre->n_splits];
  *split = (struct tpo_split){.behavior = behavior, .invert = invert, .glyphs = pre->glyphs};
  return split;
}

static int keep(struct tpo_pretokenizer *pre, const char *pattern, size_t len, const char *place,
                struct tpo_error *err)
{
  struct tpo_split *split = &pre->splits[pre->n_splits++]; /* which frees the regex */
  split->pattern = strndup(pattern, len);
  if (!split->pattern) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for a split", place);
  int n_sets = 0;
  for (size_t i = 0; i < pre->n_splits; i++) n_sets += pre->splits[i].regex.n_sets;
  if (n_sets <= MAX_SETS) return TPO_OK;
  return tpo_fail(err, TPO_E_INPUT, "%s: more than %d sets and classes of characters in pre_tokenizer", place,
                  MAX_SETS);
}

int tpo_pretokenizer_add(struct tpo_pretokenizer *pre, const char *pattern, size_t len,
                         enum tpo_split_behavior behavior, bool invert, const char *place,
                         struct tpo_error *err)
{
  struct tpo_split *split = new_split(pre, behavior, invert, place, err);
  if (!split) return err ? err->code : TPO_E_INPUT;
  int status = tpo_regex_compile(&split->regex, pattern, len, place, err);
  return status < 0 ? status : keep(pre, pattern, len, place, err);
}

int tpo_pretokenizer_add_own(struct tpo_pretokenizer *pre, const char *own, const char *pattern,
                             enum tpo_split_behavior behavior, const char *place, struct tpo_error *err)
{
  struct tpo_split *split = new_split(pre, behavior, false, place, err);
  if (!split) return err ? err->code : TPO_E_INPUT;
  int status = tpo_regex_compile_own(&split->regex, own, place, err);
  return status < 0 ? status : keep(pre, pattern, strlen(pattern), place, err);
}

void tpo_pretokenizer_free(struct tpo_pretokenizer *pre)
{
  for (size_t i = 0; i < pre->n_splits; i++) {
    tpo_regex_free(&pre->splits[i].regex);
    free(pre->splits[i].pattern);
  }
  free(pre->splits);
  *pre = (struct tpo_pretokenizer){0};
}

void tpo_pre_scratch_free(struct tpo_pre_scratch *scratch)
{
  tpo_regex_scratch_free(&scratch->regex);
  free(scratch->pieces.items);
  free(scratch->parts.items);
  free(scratch->next.items);
  tpo_buf_free(&scratch->text);
  tpo_buf_free(&scratch->glyphs);
  *scratch = (struct tpo_pre_scratch){0};
}

static int add_piece(struct tpo_pieces *pieces, size_t begin, size_t end, struct tpo_error *err)
{
  if (tpo_grow(&pieces->items, &pieces->capacity, pieces->n + 1, sizeof *pieces->items, err) < 0)
    return TPO_E_MEMORY;
  pieces->items[pieces->n++] = (struct tpo_piece){begin, end};
  return TPO_OK;
}

/* Adds a part after the earlier ones of its piece, which begin at first: joined to the last one, or alone. */
static int add_or_join(struct tpo_pieces *out, size_t first, bool join, struct tpo_piece part,
                       struct tpo_error *err)
{
  if (join && out->n > first) {
    out->items[out->n - 1].end = part.end;
    return TPO_OK;
  }
  return add_piece(out, part.begin, part.end, err);
}

/* A delimiter goes to the part after it, unless that is a delimiter that has gone to the next already. */
static int join_next(struct tpo_pieces *out, const struct tpo_piece *parts, const bool *is_match, size_t n,
                     struct tpo_error *err)
{
  size_t first = out->n;
  bool previous = false;
  for (size_t i = n; i-- > 0;) {
    if (is_match[i] && !previous && out->n > first)
      out->items[out->n - 1].begin = parts[i].begin;
    else if (add_piece(out, parts[i].begin, parts[i].end, err) < 0)
      return TPO_E_MEMORY;
    previous = is_match[i];
  }
  for (size_t i = first, j = out->n; i + 1 < j; i++) {
    struct tpo_piece swap = out->items[--j];
    out->items[j] = out->items[i];
    out->items[i] = swap;
  }
  return TPO_OK;
}

static int arrange(const struct tpo_split *split, const struct tpo_pieces *parts, const bool *is_match,
                   struct tpo_pieces *out, struct tpo_error *err)
{
  if (split->behavior == TPO_SPLIT_NEXT) return join_next(out, parts->items, is_match, parts->n, err);
  size_t first = out->n;
  bool previous = false;
  for (size_t i = 0; i < parts->n; i++) {
    bool join = false;
    if (split->behavior == TPO_SPLIT_REMOVED && is_match[i]) continue;
    if (split->behavior == TPO_SPLIT_PREVIOUS) join = is_match[i] && !previous;
    if (split->behavior == TPO_SPLIT_CONTIGUOUS) join = is_match[i] == previous;
    if (add_or_join(out, first, join, parts->items[i], err) < 0) return TPO_E_MEMORY;
    previous = is_match[i];
  }
  return TPO_OK;
}

/* Isolating is what nearly all tokenizers do: no list of parts is needed. */
static int isolate(const struct tpo_split *split, struct tpo_pre_scratch *scratch, const char *text,
                   struct tpo_piece piece, bool exact, struct tpo_error *err)
{
  size_t from = piece.begin;
  const char *base = text + piece.begin;
  for (bool again = false; from < piece.end; again = true) {
    size_t begin, end;
    int found = tpo_regex_next(&split->regex, &scratch->regex, exact, base, piece.end - piece.begin,
                               from - piece.begin, again, &begin, &end, err);
    if (found < 0) return found;
    if (!found) return add_piece(&scratch->next, from, piece.end, err);
    if (piece.begin + begin > from && add_piece(&scratch->next, from, piece.begin + begin, err) < 0)
      return TPO_E_MEMORY;
    if (end > begin && add_piece(&scratch->next, piece.begin + begin, piece.begin + end, err) < 0)
      return TPO_E_MEMORY;
    from = piece.begin + end;
  }
  return TPO_OK;
}

/* Empty matches have had their say. */
static void drop_empty(struct tpo_pieces *pieces, size_t first)
{
  size_t n = first;
  for (size_t i = first; i < pieces->n; i++)
    if (pieces->items[i].end > pieces->items[i].begin) pieces->items[n++] = pieces->items[i];
  pieces->n = n;
}

static int split_piece(const struct tpo_split *split, struct tpo_pre_scratch *scratch, const char *text,
                       struct tpo_piece piece, bool exact, struct tpo_error *err)
{
  if (split->behavior == TPO_SPLIT_ISOLATED) return isolate(split, scratch, text, piece, exact, err);
  bool *is_match = NULL;
  size_t capacity = 0, from = piece.begin, first = scratch->next.n;
  int status = TPO_OK;
  scratch->parts.n = 0;
  for (bool again = false; from < piece.end && status == TPO_OK; again = true) {
    size_t begin, end;
    int found = tpo_regex_next(&split->regex, &scratch->regex, exact, text + piece.begin,
                               piece.end - piece.begin, from - piece.begin, again, &begin, &end, err);
    if (found < 0) status = found;
    if (found < 0) break;
    begin = found ? piece.begin + begin : piece.end;
    end = found ? piece.begin + end : piece.end;
    if (tpo_grow(&is_match, &capacity, scratch->parts.n + 2, sizeof *is_match, err) < 0)
      status = TPO_E_MEMORY;
    if (status == TPO_OK && begin > from) {
      is_match[scratch->parts.n] = split->invert;
      status = add_piece(&scratch->parts, from, begin, err);
    }
    if (status == TPO_OK && found) {
      is_match[scratch->parts.n] = !split->invert;
      status = add_piece(&scratch->parts, begin, end, err);
    }
    from = end;
  }
  if (status == TPO_OK) status = arrange(split, &scratch->parts, is_match, &scratch->next, err);
  drop_empty(&scratch->next, first);
  free(is_match);
  return status;
}

/* The text with its visible spaces, or with ByteLevel's leading one; NULL when it stays as it is. */
static const char *change_text(const struct tpo_pretokenizer *pre, const char *text, size_t *len,
                               bool at_start, bool begins, struct tpo_buf *out)
{
  tpo_buf_clear(out);
  if (pre->metaspace) {
    bool wanted = pre->prepend == TPO_PREPEND_ALWAYS || (pre->prepend == TPO_PREPEND_FIRST && at_start);
    if (wanted && begins && *len > 0 && text[0] != ' ') tpo_buf_puts(out, TPO_META);
    for (size_t i = 0; i < *len; i++) {
      if (text[i] == ' ')
        tpo_buf_puts(out, TPO_META);
      else
        tpo_buf_putc(out, text[i]);
    }
  } else if (pre->prefix_space && begins && *len > 0 && text[0] != ' ') {
    tpo_buf_putc(out, ' ');
    tpo_buf_append(out, text, *len);
  } else {
    return text;
  }
  if (out->failed) return NULL;
  *len = out->len;
  return out->data ? out->data : "";
}

/* The splits that look at the text, or those that look at its glyphs. */
static int split_pieces(const struct tpo_pretokenizer *pre, bool glyphs, struct tpo_pre_scratch *scratch,
                        const char *text, size_t len, struct tpo_error *err)
{
  for (size_t s = 0; s < pre->n_splits; s++) {
    if (pre->splits[s].glyphs != glyphs) continue;
    bool exact = tpo_regex_differs(&pre->splits[s].regex, text, len);
    scratch->next.n = 0;
    for (size_t i = 0; i < scratch->pieces.n; i++) {
      int status = split_piece(&pre->splits[s], scratch, text, scratch->pieces.items[i], exact, err);
      if (status < 0) return status;
    }
    struct tpo_pieces swap = scratch->pieces;
    scratch->pieces = scratch->next;
    scratch->next = swap;
  }
  return TPO_OK;
}

/* Places in the text become places in its glyphs, of which each byte has one, or the other way round. */
static void move_pieces(struct tpo_pieces *pieces, const char *glyphs, bool back)
{
  size_t byte = 0, glyph = 0;
  for (size_t i = 0; i < pieces->n; i++) {
    size_t *ends[2] = {&pieces->items[i].begin, &pieces->items[i].end};
    for (int k = 0; k < 2; k++) {
      while ((back ? glyph : byte) < *ends[k]) {
        glyph += (glyphs[glyph] & 0x80) ? 2 : 1;
        byte++;
      }
      *ends[k] = back ? byte : glyph;
    }
  }
}

static int split_glyphs(const struct tpo_pretokenizer *pre, struct tpo_pre_scratch *scratch, const char *text,
                        size_t len, struct tpo_error *err)
{
  tpo_buf_clear(&scratch->glyphs);
  for (size_t i = 0; i < len; i++) tpo_alphabet_append(&scratch->glyphs, (uint8_t)text[i]);
  if (scratch->glyphs.failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for a text of %zu bytes", len);
  move_pieces(&scratch->pieces, scratch->glyphs.data, false);
  int status = split_pieces(pre, true, scratch, scratch->glyphs.data, scratch->glyphs.len, err);
  move_pieces(&scratch->pieces, scratch->glyphs.data, true);
  return status;
}

int tpo_pretokenize(const struct tpo_pretokenizer *pre, const char *text, size_t len, bool at_start,
                    bool begins, struct tpo_pre_scratch *scratch, const char **out, struct tpo_error *err)
{
  *out = change_text(pre, text, &len, at_start, begins, &scratch->text);
  if (!*out) return tpo_fail(err, TPO_E_MEMORY, "no memory for a text of %zu bytes", len);
  scratch->pieces.n = 0;
  if (len == 0) return TPO_OK;
  if (add_piece(&scratch->pieces, 0, len, err) < 0) return TPO_E_MEMORY;
  int status = split_pieces(pre, false, scratch, *out, len, err);
  bool glyphs = pre->n_splits > 0 && pre->splits[pre->n_splits - 1].glyphs;
  return status < 0 || !glyphs ? status : split_glyphs(pre, scratch, *out, len, err);
}
