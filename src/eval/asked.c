/* Frames of answers: hash, ok, cut off, text, likeliest first tokens. */
#include "eval/asked.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/memory.h"

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for answers");
}

static int hash_question(const struct eval_question *question, char hex[33], struct tpo_error *err)
{
  const struct ask_question *ask = &question->ask;
  const char *const texts[] = {question->key, ask->system, ask->user, ask->answered, ask->follow_up};
  const int32_t top = ask->top_tokens;
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const char there = texts[i] != NULL;
    tpo_hash_add(&hash, &there, 1);
    if (there) tpo_hash_add(&hash, texts[i], strlen(texts[i]) + 1);
  }
  tpo_hash_add(&hash, &top, sizeof top);
  tpo_hash_end(&hash, hex);
  return 0;
}

static int hash_all(struct asked_index *index, struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < index->n; i++) tpo_hash_add(&hash, index->own[i].hex, ASKED_HASH);
  tpo_hash_end(&hash, index->all);
  return 0;
}

static int by_hash(const void *a, const void *b)
{
  return memcmp(((const struct asked_hash *)a)->hex, ((const struct asked_hash *)b)->hex, ASKED_HASH);
}

int asked_index_open(struct asked_index *index, const struct eval_question *questions, size_t n,
                     struct tpo_error *err)
{
  *index = (struct asked_index){.sorted = tpo_calloc(n, sizeof *index->sorted, err),
                                .own = tpo_calloc(n, sizeof *index->own, err),
                                .n = n};
  int status = index->sorted && index->own ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < n && status == 0; i++) {
    index->own[i].at = i;
    status = hash_question(&questions[i], index->own[i].hex, err);
  }
  if (status == 0) status = hash_all(index, err);
  if (status < 0 || n == 0) return status;
  memcpy(index->sorted, index->own, n * sizeof *index->own);
  qsort(index->sorted, n, sizeof *index->sorted, by_hash);
  for (size_t i = 1; i < n; i++)
    if (by_hash(&index->sorted[i - 1], &index->sorted[i]) == 0)
      return tpo_fail(err, TPO_E_STATE, "two questions are alike, and have the same key %.200s",
                      questions[index->sorted[i].at].key);
  return 0;
}

void asked_index_free(struct asked_index *index)
{
  free(index->sorted);
  free(index->own);
}

static const struct asked_hash *find(const struct asked_index *index, const char *hash)
{
  struct asked_hash like;
  memcpy(like.hex, hash, ASKED_HASH);
  return index->n ? bsearch(&like, index->sorted, index->n, sizeof like, by_hash) : NULL;
}

static void pack_text(struct tpo_buf *out, const char *text)
{
  uint64_t len = strlen(text);
  tpo_buf_append(out, &len, sizeof len);
  tpo_buf_append(out, text, (size_t)len);
}

void asked_pack(struct tpo_buf *out, const char *hash, const struct ask_answer *answer)
{
  const uint8_t flags[] = {answer->ok, answer->cut_off};
  const uint32_t n = (uint32_t)answer->n_top;
  tpo_buf_append(out, hash, ASKED_HASH);
  tpo_buf_append(out, flags, sizeof flags);
  tpo_buf_append(out, &n, sizeof n);
  pack_text(out, answer->text);
  for (uint32_t i = 0; i < n; i++) {
    tpo_buf_append(out, &answer->top[i].logprob, sizeof(double));
    pack_text(out, answer->top[i].text);
  }
}

struct reader {
  const char *at, *end;
  bool damaged;
};

static const char *take(struct reader *r, size_t len)
{
  const char *at = r->at;
  r->damaged = r->damaged || len > (size_t)(r->end - r->at);
  if (r->damaged) return NULL;
  r->at += len;
  return at;
}

static void take_into(struct reader *r, void *out, size_t len)
{
  const char *bytes = take(r, len);
  if (bytes) memcpy(out, bytes, len);
}

/* Not NUL-terminated; NULL: damaged. */
static const char *take_text(struct reader *r, size_t *len)
{
  uint64_t n = 0;
  take_into(r, &n, sizeof n);
  *len = (size_t)n;
  return take(r, *len);
}

/* An answer into out, which is freed where it can't be had. */
static int take_answer(struct reader *r, struct ask_answer *out, struct tpo_error *err)
{
  uint8_t flags[2] = {0};
  uint32_t n = 0;
  size_t len;
  int status = 0;
  take_into(r, flags, sizeof flags);
  take_into(r, &n, sizeof n);
  const char *text = take_text(r, &len);
  *out = (struct ask_answer){.ok = flags[0], .cut_off = flags[1], .text = text ? strndup(text, len) : NULL};
  if (text && !out->text) status = no_memory(err);
  for (uint32_t i = 0; i < n && status == 0 && !r->damaged; i++) {
    double logprob = 0;
    take_into(r, &logprob, sizeof logprob);
    text = take_text(r, &len);
    if (text) status = ask_answer_add_top(out, text, len, logprob, err);
  }
  if (status < 0 || r->damaged) ask_answer_clear(out);
  return status;
}

static int unpack(const struct asked_into *into, struct reader *r, struct tpo_error *err)
{
  int status = 0;
  while (status == 0 && !r->damaged && r->at < r->end) {
    struct ask_answer answer;
    const char *hash = take(r, ASKED_HASH);
    const struct asked_hash *found = hash ? find(into->index, hash) : NULL;
    status = take_answer(r, &answer, err);
    if (status < 0 || r->damaged) break;
    if (!found || into->answers[found->at].text) {
      ask_answer_clear(&answer);
      continue;
    }
    into->answers[found->at] = answer;
    if (into->done) into->done[found->at] = true;
    ++*into->n;
  }
  return status;
}

int asked_unpack(const struct asked_into *into, const void *bytes, size_t len, struct tpo_error *err)
{
  struct reader r = {.at = bytes, .end = (const char *)bytes + len};
  int status = unpack(into, &r, err);
  return status < 0 || !r.damaged ? status : tpo_fail(err, TPO_E_INPUT, "answers that can't be read");
}

struct key {
  uint64_t attempt, rank, number;
  char all[ASKED_HASH];
};

int asked_append(struct kept *kept, const struct asked_index *index, const struct asked_entry *entry,
                 struct tpo_error *err)
{
  struct key key = {entry->attempt, (uint64_t)tpo_comm_rank(kept->comm), entry->number, {0}};
  const uint64_t len = entry->answers->len;
  struct tpo_buf value = {0};
  memcpy(key.all, index->all, ASKED_HASH);
  tpo_buf_append(&value, &len, sizeof len);
  tpo_buf_append(&value, entry->answers->data, entry->answers->len);
  tpo_buf_append(&value, entry->counts, entry->n_counts);
  int status = value.failed || entry->answers->failed
                   ? no_memory(err)
                   : journal_append(kept->journal, &key, sizeof key, value.data, value.len, err);
  tpo_buf_free(&value);
  return status;
}

struct reading {
  const struct asked_into *into;
  struct tpo_buf *counts;
};

static int read_entry(void *arg, const void *bytes, size_t n_key, struct journal_piece piece,
                      struct tpo_error *err)
{
  const struct reading *reading = arg;
  struct reader r = {.at = piece.bytes, .end = (const char *)piece.bytes + piece.len};
  struct key key;
  uint64_t len = 0;
  if (n_key != sizeof key) return 0; /* an attempt's name */
  memcpy(&key, bytes, sizeof key);
  take_into(&r, &len, sizeof len);
  const char *answers = take(&r, (size_t)len);
  if (!answers) return 0;
  if (memcmp(key.all, reading->into->index->all, ASKED_HASH) == 0)
    tpo_buf_append(reading->counts, r.at, (size_t)(r.end - r.at));
  struct reader of_answers = {.at = answers, .end = answers + len};
  return unpack(reading->into, &of_answers, err);
}

int asked_read(struct kept *kept, const struct asked_into *into, struct tpo_buf *counts,
               struct tpo_error *err)
{
  struct reading reading = {into, counts};
  int status = journal_each(kept->journal, read_entry, &reading, err);
  return status < 0 || !counts->failed ? status : no_memory(err);
}
