/* The inference step: its logits are the same bits however rows are grouped, and agree with the packed
 * forward. */
#include "model/fixture.h"

enum { LEN = 45, BLOCK = 8, MAX_BLOCKS = 6, N_BLOCKS = 64, VOCAB = 67, N_SEQS = 3 };

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

static struct setting open_setting(enum which_backend which, enum tpo_compute_dtype dtype)
{
  struct tpo_error err = {0};
  struct setting s;
  s.be = open_backend(which);
  s.model = small_model(s.be, dtype, true, 0);
  s.ids = fixed_ids(N_SEQS * LEN, VOCAB);
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, N_BLOCKS, BLOCK, &err));
  return s;
}

static void close_setting(struct setting *s)
{
  free(s->ids);
  tpo_kv_cache_destroy(s->cache);
  tpo_model_close(s->model);
  tpo_backend_close(s->be);
}

/* A step under construction. */
struct rows {
  int n;
  int32_t ids[N_SEQS * LEN], seq[N_SEQS * LEN], pos[N_SEQS * LEN];
};

static void add_row(struct rows *rows, const struct setting *s, int seq, int pos)
{
  rows->ids[rows->n] = s->ids[seq * LEN + pos];
  rows->seq[rows->n] = seq;
  rows->pos[rows->n++] = pos;
}

/* Runs the rows, and keeps the logits of all of them (asked for in reverse order). */
static void run(struct setting *s, struct rows *rows, const int32_t *blocks, struct table *out)
{
  struct tpo_error err = {0};
  int32_t wanted[N_SEQS * LEN];
  float *logits;
  for (int i = 0; i < rows->n; i++) wanted[i] = rows->n - 1 - i;
  struct tpo_step step = {.n = rows->n,
                          .ids = rows->ids,
                          .seq = rows->seq,
                          .pos = rows->pos,
                          .blocks = blocks,
                          .n_seqs = N_SEQS,
                          .max_blocks = MAX_BLOCKS,
                          .logit_rows = wanted,
                          .n_logits = rows->n};
  assert_ok(tpo_model_step(s->model, s->cache, &step, &logits, &err));
  for (int i = 0; i < rows->n; i++)
    memcpy(out->logits[rows->seq[wanted[i]]][rows->pos[wanted[i]]], logits + (size_t)i * VOCAB,
           VOCAB * sizeof(float));
  rows->n = 0;
}

/* Sequence by sequence, token by token. */
static void decode_alone(struct setting *s, struct table *out)
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

static void assert_same(const struct table *a, const struct table *b, const char *what)
{
  for (int seq = 0; seq < N_SEQS; seq++)
    for (int pos = 0; pos < LEN; pos++)
      if (memcmp(a->logits[seq][pos], b->logits[seq][pos], sizeof a->logits[seq][pos]) != 0)
        fail_msg("%s: logits of sequence %d, position %d differ", what, seq, pos);
}

static void prefill_in_chunks(struct setting *s, int chunk, struct table *out)
{
  int32_t blocks[N_SEQS * MAX_BLOCKS];
  struct rows rows = {0};
  for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) blocks[i] = N_BLOCKS - 1 - (i * 7) % 18; /* scattered */
  for (int begin = 0; begin < LEN; begin += chunk) {
    for (int seq = N_SEQS - 1; seq >= 0; seq--)
      for (int pos = begin; pos < begin + chunk && pos < LEN; pos++) add_row(&rows, s, seq, pos);
    run(s, &rows, blocks, out);
  }
}

/* Prefills of different lengths, then decode rows that join and leave, and change their order. */
static void mix(struct setting *s, struct table *out)
{
  int32_t blocks[N_SEQS * MAX_BLOCKS];
  struct rows rows = {0};
  int done[N_SEQS] = {0};
  for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) blocks[i] = 20 + i;
  for (int turn = 0; done[0] < LEN || done[1] < LEN || done[2] < LEN; turn++) {
    for (int j = 0; j < N_SEQS; j++) {
      int seq = (turn + j) % N_SEQS, n = turn == seq ? 11 + seq : 1;
      if (turn < seq || (turn % 4 == 3 && seq == 1)) continue;
      while (n-- > 0 && done[seq] < LEN) add_row(&rows, s, seq, done[seq]++);
    }
    if (rows.n > 0) run(s, &rows, blocks, out);
  }
}

static void for_all(void (*check)(struct setting *s))
{
  for (int i = 0; i < 4; i++) {
    struct setting s = open_setting(i < 2 ? REFERENCE : CPU, i % 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
    check(&s);
    close_setting(&s);
  }
}

static void check_chunks(struct setting *s)
{
  static struct table alone, other;
  decode_alone(s, &alone);
  const int chunks[] = {1, 7, 16, LEN};
  for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
    memset(&other, 0, sizeof other);
    prefill_in_chunks(s, chunks[i], &other);
    assert_same(&alone, &other, "prefill in chunks");
  }
}

static void logits_do_not_depend_on_the_chunks_of_a_prefill(void **state)
{
  (void)state;
  for_all(check_chunks);
}

static void check_mix(struct setting *s)
{
  static struct table alone, other;
  decode_alone(s, &alone);
  memset(&other, 0, sizeof other);
  mix(s, &other);
  assert_same(&alone, &other, "mixed steps");
}

static void logits_do_not_depend_on_who_else_is_in_the_step(void **state)
{
  (void)state;
  for_all(check_mix);
}

/* Sequence 1 takes sequence 0's first tokens: whole blocks shared, the rest of the prefix in a copied block.
 */
static void check_shared_prefix(struct setting *s)
{
  enum { PREFIX = 2 * BLOCK + 3 };
  static struct table alone, other;
  int32_t blocks[N_SEQS * MAX_BLOCKS];
  struct rows rows = {0};
  memcpy(s->ids + LEN, s->ids, PREFIX * sizeof *s->ids);
  decode_alone(s, &alone);
  memset(&other, 0, sizeof other);
  for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) blocks[i] = 30 + i;
  for (int pos = 0; pos < PREFIX; pos++) add_row(&rows, s, 0, pos);
  run(s, &rows, blocks, &other);
  blocks[MAX_BLOCKS] = blocks[0];
  blocks[MAX_BLOCKS + 1] = blocks[1];
  tpo_kv_cache_copy_block(s->cache, blocks[MAX_BLOCKS + 2], blocks[2], PREFIX % BLOCK);
  for (int pos = PREFIX; pos < LEN; pos++) {
    add_row(&rows, s, 1, pos);
    add_row(&rows, s, 0, pos);
    run(s, &rows, blocks, &other);
  }
  for (int seq = 0; seq < 2; seq++)
    for (int pos = seq == 0 ? 0 : PREFIX; pos < LEN; pos++)
      assert_memory_equal(alone.logits[seq][pos], other.logits[seq][pos], sizeof alone.logits[seq][pos]);
}

static void logits_do_not_depend_on_a_prefix_being_shared(void **state)
{
  (void)state;
  for_all(check_shared_prefix);
}

static double log_softmax(const float *logits, int token)
{
  double highest = logits[0], sum = 0;
  for (int i = 1; i < VOCAB; i++) highest = logits[i] > highest ? logits[i] : highest;
  for (int i = 0; i < VOCAB; i++) sum += exp(logits[i] - highest);
  return logits[token] - highest - log(sum);
}

static void check_agreement(struct setting *s)
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

static void step_agrees_with_the_packed_forward(void **state)
{
  (void)state;
  for_all(check_agreement);
}

static void refuse(struct setting *s, struct tpo_step step, const char *part)
{
  struct tpo_error err = {0};
  float *logits;
  assert_true(tpo_model_step(s->model, s->cache, &step, &logits, &err) < 0);
  assert_contains(err.message, part);
}

static void what_lies_outside_the_cache_is_refused(void **state)
{
  (void)state;
  struct setting s = open_setting(REFERENCE, TPO_DTYPE_FP32);
  int32_t ids[2] = {3, 4}, seq[2] = {0, 0}, pos[2] = {0, 1}, blocks[2] = {5, 6}, row = 0;
  struct tpo_step good = {2, ids, seq, pos, blocks, 1, 2, &row, 1}, bad = good;
  int32_t bad_ids[2] = {3, VOCAB}, bad_seq[2] = {0, 1}, far[2] = {0, 2 * BLOCK}, back[2] = {1, 0};
  int32_t bad_blocks[2] = {N_BLOCKS, 6}, bad_row = 2;
  float *logits;
  struct tpo_error err = {0};
  assert_ok(tpo_model_step(s.model, s.cache, &good, &logits, &err));
  bad.ids = bad_ids, refuse(&s, bad, "token id 67"), bad = good;
  bad.seq = bad_seq, refuse(&s, bad, "sequence 1"), bad = good;
  bad.pos = far, refuse(&s, bad, "position 16"), bad = good;
  bad.pos = back, refuse(&s, bad, "position 0 after position 1"), bad = good;
  bad.blocks = bad_blocks, refuse(&s, bad, "block 64"), bad = good;
  bad.logit_rows = &bad_row, refuse(&s, bad, "row 2");
  close_setting(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(logits_do_not_depend_on_the_chunks_of_a_prefill),
      cmocka_unit_test(logits_do_not_depend_on_who_else_is_in_the_step),
      cmocka_unit_test(logits_do_not_depend_on_a_prefix_being_shared),
      cmocka_unit_test(step_agrees_with_the_packed_forward),
      cmocka_unit_test(what_lies_outside_the_cache_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
