/* How many thoughts are of which kind, with an example of each. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "checks/text.h"
#include "measure/dynamics.h"
#include "measure/thoughts.h"

enum { MOST_CHARACTERS = 240, LEAD = 60 };

struct tally {
  struct thought_counts *out;
  uint64_t keys[N_THOUGHT_KINDS + 1]; /* of the examples so far */
  double *overlaps;                   /* [n of samples] of drafts */
  double undrafted;                   /* sum */
};

/* Bytes of the mark that a list's item begins with, up to its full stop: "1.", "a.", "iv.", "**2.1."; 0: there is
 * none. That full stop ends no sentence. */
static size_t list_mark(struct span text)
{
  enum { LONGEST = 16 };
  char head[LONGEST + 1] = "";
  memcpy(head, text.text, text.len < LONGEST ? text.len : LONGEST);
  size_t begin = strspn(head, " \t*#>-("), len = strspn(head + begin, "0123456789.");
  if (len == 0) len = strspn(head + begin, "ivx");
  if (len == 0) len = strspn(head + begin, "IVX");
  if (len <= 1 && isalpha((unsigned char)head[begin])) len = 1;
  if (len > 0 && head[begin + len - 1] == '.') len--;
  size_t stop = begin + len;
  return len > 0 && head[stop] == '.' && (head[stop + 1] == ' ' || head[stop + 1] == '\t') ? stop + 1 : 0;
}

/* The sentence that holds the byte, as a span without white space around it. None goes on behind its line. */
static struct span sentence_at(const char *text, size_t at)
{
  size_t begin = at, start = 0, end;
  while (begin > 0 && text[begin - 1] != '\n') begin--;
  const struct span line = {text + begin, strcspn(text + begin, "\n")};
  for (;; start = end) {
    const struct span rest = {line.text + start, line.len - start};
    end = text_sentence_end(line, start + list_mark(rest));
    if (end > at - begin || end == line.len) return text_strip((struct span){rest.text, end - start});
  }
}

/* Bytes of the first `characters` code points. */
static size_t prefix(struct span text, size_t characters)
{
  size_t at = 0;
  for (size_t n = 0; n < characters && at < text.len; n++) tpo_utf8_next(text.text, text.len, &at);
  return at;
}

/* As much of the sentence as is shown, and of a long one what stands around the byte. */
static const char *excerpt(struct tpo_arena *arena, const char *text, size_t at)
{
  struct span s = sentence_at(text, at);
  struct tpo_buf out = {0};
  const char *hit = text + at;
  size_t before = hit > s.text ? tpo_utf8_count(s.text, (size_t)(hit - s.text)) : 0;
  if (before + LEAD > MOST_CHARACTERS) {
    size_t skipped = prefix(s, before - LEAD);
    s = (struct span){s.text + skipped, s.len - skipped};
    tpo_buf_puts(&out, "…");
  }
  size_t kept = prefix(s, MOST_CHARACTERS);
  tpo_buf_append(&out, s.text, kept);
  if (kept < s.len) tpo_buf_puts(&out, "…");
  const char *copy = out.failed ? NULL : tpo_arena_strdup(arena, out.data ? out.data : "");
  tpo_buf_free(&out);
  return copy;
}

static uint64_t key_of(const struct tpo_sample_row *row)
{
  const uint64_t parts[] = {tpo_hash64_str(row->prompt_id), (uint64_t)row->k};
  return tpo_hash64(parts, sizeof parts);
}

static int offer_example(struct tally *tally, int kind, uint64_t key, const char *thought, size_t at,
                         struct tpo_error *err)
{
  const char **example = &tally->out->examples[kind];
  if (*example && tally->keys[kind] <= key) return 0;
  tally->keys[kind] = key;
  *example = excerpt(&tally->out->arena, thought, at);
  return *example ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for examples of thoughts");
}

static int add_overlap(struct tally *tally, bool drafting, const char *thought, const char *response,
                       struct tpo_error *err)
{
  double overlap = thought_overlap(thought, response);
  if (overlap < 0) return tpo_fail(err, TPO_E_MEMORY, "no memory to compare thoughts with responses");
  if (isnan(overlap)) return 0;
  if (drafting)
    tally->overlaps[tally->out->drafts++] = overlap;
  else {
    tally->out->undrafted++;
    tally->undrafted += overlap;
  }
  return 0;
}

/* thought: the row's, made UTF-8. */
static int add_thought(struct tally *tally, const struct tpo_sample_row *row, const char *thought,
                       struct tpo_error *err)
{
  struct thought_counts *out = tally->out;
  struct thought_occurrence found[N_THOUGHT_KINDS];
  uint64_t key = key_of(row);
  int status = 0, kinds = 0;
  thought_occurrences(thought, found);
  out->thoughts++;
  for (int k = 0; k < N_THOUGHT_KINDS && status == 0; k++) {
    if (!thought_is(k, found)) continue;
    kinds++;
    out->of[k]++;
    status = offer_example(tally, k, key, thought, found[k].first, err);
  }
  if (status == 0 && kinds == 0) {
    out->other++;
    status = offer_example(tally, N_THOUGHT_KINDS, key, thought, 0, err);
  }
  if (status < 0) return status;
  return add_overlap(tally, thought_is(THOUGHT_DRAFTING, found), thought, row->response, err);
}

static int add_row(struct tally *tally, const struct tpo_sample_row *row, struct tpo_buf *scratch,
                   struct tpo_error *err)
{
  tpo_buf_clear(scratch);
  text_repair(text_strip(span_of(row->thought)), scratch);
  if (scratch->failed) return tpo_fail(err, TPO_E_MEMORY, "no memory to look at thoughts");
  if (scratch->len > 0) return add_thought(tally, row, scratch->data, err);
  tally->out->empty++;
  return 0;
}

int thoughts_count(struct thought_counts *out, const struct tpo_samples *samples, struct tpo_error *err)
{
  struct tally tally = {.out = out, .overlaps = tpo_calloc(samples->n, sizeof *tally.overlaps, err)};
  struct tpo_buf scratch = {0};
  int status = tally.overlaps ? 0 : TPO_E_MEMORY;
  *out = (struct thought_counts){0};
  for (size_t i = 0; i < samples->n && status == 0; i++)
    if (samples->rows[i].format_ok) status = add_row(&tally, &samples->rows[i], &scratch, err);
  if (status == 0) out->draft_overlap = mean_and_error(tally.overlaps, out->drafts, &out->draft_overlap_se);
  out->undrafted_overlap = out->undrafted ? tally.undrafted / (double)out->undrafted : NAN;
  free(tally.overlaps);
  tpo_buf_free(&scratch);
  if (status < 0) thoughts_free(out);
  return status;
}

void thoughts_free(struct thought_counts *counts)
{
  tpo_arena_free(&counts->arena);
  *counts = (struct thought_counts){0};
}
