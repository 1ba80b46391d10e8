/* An interval's journal: what is sampled, judged and paired of it, a segment an entry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "run/online/online.h"
#include "store/journal/journal.h"
#include "store/pairs_pack.h"

/* Before the parts of an entry. */
struct head {
  struct segment_facts facts;
  uint64_t samples, pairs, counts; /* bytes */
};

enum kind { SEGMENT, BEGUN }; /* BEGUN: its samples may be in the journals of sampling and judging */
struct key {
  int64_t first;
  int64_t kind;
};

int online_journal_open(struct online *o, struct tpo_error *err)
{
  char folder[4096], work[400];
  const struct tpo_config *config = o->loop->config;
  int status = loop_path(o->loop, o->loop->iteration, ONLINE_JOURNAL, folder, err);
  snprintf(
      work, sizeof work,
      "what: steps of a run\nlayout: %zu\nfirst step: %lld\nsteps: %lld\nrun.sync_steps: %d\ntrain.batch: %d\n",
      sizeof(struct head), (long long)o->first + 1, (long long)(o->end - o->first), config->run.sync_steps,
      config->train.batch);
  return status < 0 ? status : journal_open(&o->journal, folder, work, 0, JOURNAL_READ, err);
}

int online_journal_reopen(struct online *o, struct tpo_error *err)
{
  journal_close(o->journal);
  o->journal = NULL;
  return online_journal_open(o, err);
}

static int find(struct online *o, int64_t first, enum kind kind, struct journal_piece *piece,
                struct tpo_error *err)
{
  const struct key key = {first, kind};
  return journal_find(o->journal, &key, sizeof key, piece, err);
}

int online_journal_begin(struct online *o, int64_t first, struct tpo_error *err)
{
  const struct key key = {first, BEGUN};
  struct journal_piece piece;
  int found = find(o, first, BEGUN, &piece, err);
  if (found != 0) return found < 0 ? found : 0;
  loop_drop_journal(o->loop, "samples.h5");
  loop_drop_journal(o->loop, "scored.h5");
  return journal_append(o->journal, &key, sizeof key, "", 1, err);
}

static int pack_samples(const struct tpo_samples *samples, struct tpo_buf *out, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < samples->n && status == 0; i++)
    status = tpo_sample_pack(&samples->rows[i], out, err);
  return status;
}

int online_journal_put(struct online *o, const struct segment *segment, struct tpo_error *err)
{
  const struct key key = {segment->facts.first, SEGMENT};
  const char *counts = segment->samples.judge_counts ? segment->samples.judge_counts : "";
  struct head head;
  struct tpo_buf samples = {0}, pairs = {0}, value = {0};
  memset(&head, 0, sizeof head);
  int status = pack_samples(&segment->samples, &samples, err);
  if (status == 0) status = pairs_pack(&segment->pairs, &pairs, err);
  head.facts = segment->facts;
  head.samples = samples.len;
  head.pairs = pairs.len;
  head.counts = strlen(counts);
  tpo_buf_append(&value, &head, sizeof head);
  tpo_buf_append(&value, samples.data, samples.len);
  tpo_buf_append(&value, pairs.data, pairs.len);
  tpo_buf_append(&value, counts, head.counts);
  if (status == 0 && (samples.failed || value.failed))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory to keep %zu samples", segment->samples.n);
  if (status == 0) status = journal_append(o->journal, &key, sizeof key, value.data, value.len, err);
  if (status == 0) status = journal_sync(o->journal, err); /* a state of training may not be ahead of it */
  tpo_buf_free(&samples);
  tpo_buf_free(&pairs);
  tpo_buf_free(&value);
  return status;
}

/* Pairs are read from memory that is aligned. */
static int take_pairs(struct tpo_pairs *pairs, const char *bytes, size_t len, struct tpo_error *err)
{
  void *copy = tpo_calloc(len, 1, err);
  if (!copy) return TPO_E_MEMORY;
  memcpy(copy, bytes, len);
  int status = pairs_unpack(pairs, copy, len, err);
  free(copy);
  return status;
}

static int take_samples(struct segment *out, const struct head *head, const char *bytes,
                        struct tpo_error *err)
{
  int status = tpo_samples_unpack(&out->samples, bytes, head->samples, err);
  out->samples.is_scored = true;
  out->samples.output_tokens = head->facts.output_tokens;
  if (status < 0 || head->counts == 0) return status;
  out->samples.judge_counts = strndup(bytes + head->samples + head->pairs, head->counts);
  return out->samples.judge_counts ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
}

int online_journal_get(struct online *o, int64_t first, struct segment *out, struct tpo_error *err)
{
  struct head head;
  struct journal_piece piece;
  *out = (struct segment){0};
  int found = find(o, first, SEGMENT, &piece, err);
  if (found <= 0) return found;
  bool whole = piece.len >= sizeof head;
  if (whole) memcpy(&head, piece.bytes, sizeof head);
  size_t left = whole ? piece.len - sizeof head : 0;
  whole = whole && head.samples <= left && head.pairs <= left - head.samples &&
          head.counts == left - head.samples - head.pairs && head.facts.first == first;
  if (!whole)
    return tpo_fail(err, TPO_E_INPUT, "iter-%03d/" ONLINE_JOURNAL ": the entry of step %lld is damaged",
                    o->loop->iteration, (long long)first + 1);
  const char *parts = (const char *)piece.bytes + sizeof head;
  out->facts = head.facts;
  int status = take_samples(out, &head, parts, err);
  if (status == 0) status = take_pairs(&out->pairs, parts + head.samples, head.pairs, err);
  return status < 0 ? status : 1;
}

void segment_free(struct segment *segment)
{
  tpo_samples_free(&segment->samples);
  tpo_pairs_free(&segment->pairs);
}
