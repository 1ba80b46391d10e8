/* Sequences to be run through the inference pass in whatever groups, and what their logits are compared with. */
#ifndef TPO_TESTS_MODEL_PASS_CHECK_H
#define TPO_TESTS_MODEL_PASS_CHECK_H

#include "model/model.h"
#include "model/fixture.h"

enum { LEN = 45, BLOCK = 8, MAX_BLOCKS = 6, N_BLOCKS = 64, VOCAB = 67, N_SEQS = 3 };

static const int all_blocks[TPO_REACHES] = {N_BLOCKS, N_BLOCKS};

/* Logits of every position of N_SEQS sequences. */
struct table {
  float logits[N_SEQS][LEN][VOCAB];
};

struct setting {
  struct tpo_backend *be;
  struct tpo_model *model;
  struct tpo_kv_cache *cache;
  int32_t *ids; // [N_SEQS * LEN]
};

static inline struct setting open_setting(enum which_backend which, enum tpo_compute_dtype dtype)
{
  struct tpo_error err = {0};
  struct setting s;
  s.be = open_backend(which);
  s.model = small_model(s.be, dtype, true, 0);
  s.ids = fixed_ids(N_SEQS * LEN, VOCAB);
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, all_blocks, BLOCK, &err));
  return s;
}

static inline void close_setting(struct setting *s)
{
  free(s->ids);
  tpo_kv_cache_destroy(s->cache);
  tpo_model_close(s->model);
  tpo_backend_close(s->be);
}

/* A pass under construction. */
struct rows {
  int n;
  int32_t ids[N_SEQS * LEN], seq[N_SEQS * LEN], pos[N_SEQS * LEN];
};

static inline void add_row(struct rows *rows, const struct setting *s, int seq, int pos)
{
  rows->ids[rows->n] = s->ids[seq * LEN + pos];
  rows->seq[rows->n] = seq;
  rows->pos[rows->n++] = pos;
}

/* Runs the rows over blocks [N_SEQS, MAX_BLOCKS], of all layers or (windowed) of those of a window, and keeps the
 * logits of all of them (asked for in reverse order). */
static inline void run_over(struct setting *s, struct rows *rows, const int32_t *blocks,
                            const int32_t *windowed, struct table *out)
{
  struct tpo_error err = {0};
  int32_t wanted[N_SEQS * LEN];
  float *logits;
  for (int i = 0; i < rows->n; i++) wanted[i] = rows->n - 1 - i;
  struct tpo_pass pass = {.n = rows->n,
                          .ids = rows->ids,
                          .seq = rows->seq,
                          .pos = rows->pos,
                          .blocks = {blocks, windowed},
                          .n_seqs = N_SEQS,
                          .max_blocks = MAX_BLOCKS,
                          .logit_rows = wanted,
                          .n_logits = rows->n};
  assert_ok(tpo_model_pass(s->model, s->cache, &pass, &logits, &err));
  for (int i = 0; i < rows->n; i++)
    tpo_ops(s->be)->download(s->be, out->logits[rows->seq[wanted[i]]][rows->pos[wanted[i]]],
                             logits + (size_t)i * VOCAB, VOCAB * sizeof(float));
  assert_ok(tpo_ops(s->be)->check(s->be, &err));
  rows->n = 0;
}

static inline void run(struct setting *s, struct rows *rows, const int32_t *blocks, struct table *out)
{
  run_over(s, rows, blocks, blocks, out);
}

/* Sequence by sequence, token by token. */
static inline void decode_alone(struct setting *s, struct table *out)
{
  int32_t blocks[N_SEQS * MAX_BLOCKS];
  struct rows rows = {0};
  for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) blocks[i] = i;
  for (int seq = 0; seq < N_SEQS; seq++)
    for (int pos = 0; pos < LEN; pos++) {
      add_row(&rows, s, seq, pos);
      run(s, &rows, blocks, out);
    }
}

static inline void assert_same(const struct table *a, const struct table *b, const char *what)
{
  for (int seq = 0; seq < N_SEQS; seq++)
    for (int pos = 0; pos < LEN; pos++)
      if (memcmp(a->logits[seq][pos], b->logits[seq][pos], sizeof a->logits[seq][pos]) != 0)
        fail_msg("%s: logits of sequence %d, position %d differ", what, seq, pos);
}

static inline void for_all(void (*check)(struct setting *s))
{
  for (int which = REFERENCE; which <= LAST_BACKEND; which++)
    for (int bf16 = 0; bf16 < 2; bf16++) {
      struct setting s = open_setting((enum which_backend)which, bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
      check(&s);
      close_setting(&s);
    }
}

static inline double log_softmax(const float *logits, int token)
{
  double highest = logits[0], sum = 0;
  for (int i = 1; i < VOCAB; i++) highest = logits[i] > highest ? logits[i] : highest;
  for (int i = 0; i < VOCAB; i++) sum += exp(logits[i] - highest);
  return logits[token] - highest - log(sum);
}

static inline void check_agreement(struct setting *s)
{
  static struct table alone;
  struct tpo_error err = {0};
  const int32_t bounds[] = {0, LEN, 2 * LEN, 3 * LEN};
  float logprob[N_SEQS * LEN];
  struct tpo_batch batch = {.ids = s->ids, .cu_seqlens = bounds, .n_tokens = N_SEQS * LEN, .n_seqs = N_SEQS};
  assert_ok(tpo_model_logprobs(s->model, &batch, logprob, &err));
  decode_alone(s, &alone);
  double largest = 0, sum = 0;
  for (int seq = 0; seq < N_SEQS; seq++)
    for (int pos = 0; pos + 1 < LEN; pos++) {
      double here = log_softmax(alone.logits[seq][pos], s->ids[seq * LEN + pos + 1]);
      double gap = fabs(here - logprob[seq * LEN + pos]);
      largest = gap > largest ? gap : largest;
      sum += gap;
    }
  if (tpo_model_dtype(s->model) == TPO_DTYPE_FP32)
    assert_true(largest < 1e-4);
  else
    assert_true(sum / (N_SEQS * (LEN - 1)) < 0.05);
}

static inline void refuse(struct setting *s, struct tpo_pass pass, const char *part)
{
  struct tpo_error err = {0};
  float *logits;
  assert_true(tpo_model_pass(s->model, s->cache, &pass, &logits, &err) < 0);
  assert_contains(err.message, part);
}

#endif
