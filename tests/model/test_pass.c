/* The inference pass: its logits are the same bits however rows are grouped, and agree with the packed
 * forward. */
#include "model/model.h"
#include "model/fixture.h"
#include "backend/backend.h"

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

static struct setting open_setting(enum which_backend which, enum tpo_compute_dtype dtype)
{
  struct tpo_error err = {0};
  struct setting s;
  s.be = open_backend(which);
  s.model = small_model(s.be, dtype, true, 0);
  s.ids = fixed_ids(N_SEQS * LEN, VOCAB);
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, all_blocks, BLOCK, &err));
  return s;
}

static void close_setting(struct setting *s)
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

static void add_row(struct rows *rows, const struct setting *s, int seq, int pos)
{
  rows->ids[rows->n] = s->ids[seq * LEN + pos];
  rows->seq[rows->n] = seq;
  rows->pos[rows->n++] = pos;
}

/* Runs the rows over blocks [N_SEQS, MAX_BLOCKS] for all layers or for those of a window alone, and keeps the logits of all of them (asked for in reverse order). */
static void run_over(struct setting *s, struct rows *rows, const int32_t *blocks, const int32_t *windowed,
                     struct table *out)
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

static void run(struct setting *s, struct rows *rows, const int32_t *blocks, struct table *out)
{
  run_over(s, rows, blocks, blocks, out);
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
  for (int which = REFERENCE; which <= LAST_BACKEND; which++)
    for (int bf16 = 0; bf16 < 2; bf16++) {
      struct setting s = open_setting((enum which_backend)which, bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
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
  assert_same(&alone, &other, "mixed passes");
}

static void logits_do_not_depend_on_who_else_is_in_the_pass(void **state)
{
  (void)state;
  for_all(check_mix);
}

/* Sequence 1 takes sequence 0's first tokens:
 * whole blocks shared, the rest of the prefix in a copied block. */
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
  tpo_kv_cache_copy_block(s->cache, TPO_REACH_ALL, blocks[MAX_BLOCKS + 2], blocks[2], PREFIX % BLOCK);
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

static void pass_agrees_with_the_packed_forward(void **state)
{
  (void)state;
  for_all(check_agreement);
}

enum { WINDOW = 11 };

static struct setting open_windowed(enum which_backend which, enum tpo_compute_dtype dtype, uint64_t windowed)
{
  struct setting s = open_setting(which, dtype);
  struct tpo_error err = {0};
  struct tpo_arch arch = small_arch(true);
  arch.window = WINDOW;
  arch.windowed.bits[0] = windowed;
  tpo_kv_cache_destroy(s.cache);
  tpo_model_close(s.model);
  s.model = model_of(s.be, &arch, dtype, 0);
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, all_blocks, BLOCK, &err));
  return s;
}

/* Chunks of all sequences; in the window's layers each has few blocks that come again and again, and what lies
 * before the window is no block at all. */
static void prefill_within_the_window(struct setting *s, int chunk, struct table *out)
{
  int32_t blocks[N_SEQS * MAX_BLOCKS], windowed[N_SEQS * MAX_BLOCKS];
  struct rows rows = {0};
  int few = tpo_kv_blocks_seen(tpo_model_arch(s->model), TPO_REACH_WINDOW, chunk, BLOCK);
  assert_true(few < MAX_BLOCKS);
  for (int begin = 0; begin < LEN; begin += chunk) {
    int first = begin < WINDOW ? 0 : (begin - WINDOW + 1) / BLOCK;
    for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) {
      blocks[i] = i;
      windowed[i] = i % MAX_BLOCKS < first ? -1 : 3 + i / MAX_BLOCKS + N_SEQS * (i % MAX_BLOCKS % few);
    }
    for (int seq = 0; seq < N_SEQS; seq++)
      for (int pos = begin; pos < begin + chunk && pos < LEN; pos++) add_row(&rows, s, seq, pos);
    run_over(s, &rows, blocks, windowed, out);
  }
}

static void logits_do_not_depend_on_blocks_behind_the_window(void **state)
{
  (void)state;
  static struct table alone, other;
  static const int chunks[] = {1, 5, 13};
  for (int which = REFERENCE; which <= LAST_BACKEND; which++)
    for (uint64_t i = 0; i < 4; i++) {
      struct setting s = open_windowed((enum which_backend)which, i / 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32,
                                       i % 2 ? 5 : 7); /* some layers, all */
      decode_alone(&s, &alone);
      for (size_t j = 0; j < sizeof chunks / sizeof *chunks; j++) {
        memset(&other, 0, sizeof other);
        prefill_within_the_window(&s, chunks[j], &other);
        assert_same(&alone, &other, "few blocks");
      }
      check_agreement(&s);
      close_setting(&s);
    }
}

/* Sequences that can come to different lengths, on either side of the longest for which the short factors are, in
 * one pass: each is rotated as the packed forward rotates it when told the same. */
static void check_longest(struct setting *s)
{
  enum { SHORT = 48 };
  static struct table got;
  static int32_t blocks[N_SEQS * MAX_BLOCKS];
  const int32_t bounds[] = {0, LEN, 2 * LEN, 3 * LEN}, longest[N_SEQS] = {SHORT, SHORT + 1, 128};
  struct tpo_error err = {0};
  struct tpo_arch arch = small_arch(true);
  float logprob[N_SEQS * LEN], *logits;
  arch.rope = (struct tpo_rope){.kind = TPO_ROPE_LONGROPE,
                                .theta = 10000,
                                .factor = 4,
                                .attention_factor = 1.2,
                                .original_context = SHORT,
                                .short_factors = {1, 1.1, 1.2, 1.3},
                                .long_factors = {2, 3, 4, 5}};
  enum tpo_compute_dtype dtype = tpo_model_dtype(s->model);
  tpo_kv_cache_destroy(s->cache);
  tpo_model_close(s->model);
  s->model = model_of(s->be, &arch, dtype, 0);
  assert_ok(tpo_kv_cache_create(&s->cache, s->model, all_blocks, BLOCK, &err));
  memcpy(s->ids + LEN, s->ids, LEN * sizeof *s->ids);
  struct tpo_batch batch = {
      .ids = s->ids, .cu_seqlens = bounds, .n_tokens = N_SEQS * LEN, .n_seqs = N_SEQS, .longest = longest};
  assert_ok(tpo_model_logprobs(s->model, &batch, logprob, &err));
  for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) blocks[i] = i;
  for (int pos = 0; pos < LEN; pos++) {
    const int32_t seq[] = {0, 1, 2}, at[] = {pos, pos, pos};
    int32_t ids[N_SEQS];
    for (int i = 0; i < N_SEQS; i++) ids[i] = s->ids[i * LEN + pos];
    struct tpo_pass pass = {.n = N_SEQS,
                            .ids = ids,
                            .seq = seq,
                            .pos = at,
                            .blocks = {blocks},
                            .longest = longest,
                            .n_seqs = N_SEQS,
                            .max_blocks = MAX_BLOCKS,
                            .logit_rows = seq,
                            .n_logits = N_SEQS,
                            .recorded = true};
    assert_ok(tpo_model_pass(s->model, s->cache, &pass, &logits, &err));
    for (int i = 0; i < N_SEQS; i++)
      tpo_ops(s->be)->download(s->be, got.logits[i][pos], logits + (size_t)i * VOCAB, VOCAB * sizeof(float));
    assert_ok(tpo_ops(s->be)->check(s->be, &err));
  }
  double largest = 0, sum = 0, apart = 0;
  for (int i = 0; i < N_SEQS * LEN; i++) {
    if (i % LEN == LEN - 1) continue;
    double gap = fabs(log_softmax(got.logits[i / LEN][i % LEN], s->ids[i + 1]) - logprob[i]);
    largest = fmax(largest, gap);
    sum += gap;
    if (i < LEN) apart = fmax(apart, fabs((double)logprob[i] - logprob[LEN + i]));
  }
  assert_true(dtype == TPO_DTYPE_FP32 ? largest < 1e-4 : sum / (N_SEQS * (LEN - 1)) < 0.05);
  assert_true(apart > 0.1); /* the same tokens, rotated by other factors */
}

static void rotations_are_chosen_by_what_a_sequence_can_come_to(void **state)
{
  (void)state;
  for_all(check_longest);
}

static void refuse(struct setting *s, struct tpo_pass pass, const char *part)
{
  struct tpo_error err = {0};
  float *logits;
  assert_true(tpo_model_pass(s->model, s->cache, &pass, &logits, &err) < 0);
  assert_contains(err.message, part);
}

static void what_lies_outside_the_cache_is_refused(void **state)
{
  (void)state;
  struct setting s = open_setting(REFERENCE, TPO_DTYPE_FP32);
  int32_t ids[2] = {3, 4}, seq[2] = {0, 0}, pos[2] = {0, 1}, blocks[2] = {5, 6}, row = 0;
  struct tpo_pass good = {.n = 2,
                          .ids = ids,
                          .seq = seq,
                          .pos = pos,
                          .blocks = {blocks},
                          .n_seqs = 1,
                          .max_blocks = 2,
                          .logit_rows = &row,
                          .n_logits = 1},
                  bad = good;
  int32_t bad_ids[2] = {3, VOCAB}, bad_seq[2] = {0, 1}, far[2] = {0, 2 * BLOCK}, back[2] = {1, 0};
  int32_t bad_blocks[2] = {N_BLOCKS, 6}, bad_row = 2;
  float *logits;
  struct tpo_error err = {0};
  assert_ok(tpo_model_pass(s.model, s.cache, &good, &logits, &err));
  bad.ids = bad_ids, refuse(&s, bad, "token id 67"), bad = good;
  bad.seq = bad_seq, refuse(&s, bad, "sequence 1"), bad = good;
  bad.pos = far, refuse(&s, bad, "position 16"), bad = good;
  bad.pos = back, refuse(&s, bad, "position 0 after position 1"), bad = good;
  bad.blocks[TPO_REACH_ALL] = bad_blocks, refuse(&s, bad, "block 64"), bad = good;
  bad.logit_rows = &bad_row, refuse(&s, bad, "row 2"), bad = good;
  bad.longest = (int32_t[]){1}, refuse(&s, bad, "position 1 of a sequence that can come to have 1");
  close_setting(&s);
}

static void layers_of_a_window_need_their_own_blocks(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct setting s = open_windowed(REFERENCE, TPO_DTYPE_FP32, 2);
  int32_t id = 3, seq = 0, pos = 2 * BLOCK, blocks[3] = {5, 6, 7}, given_back[3] = {-1, 6, 7};
  struct tpo_pass good = {.n = 1,
                          .ids = &id,
                          .seq = &seq,
                          .pos = &pos,
                          .blocks = {blocks, blocks},
                          .n_seqs = 1,
                          .max_blocks = 3},
                  bad = good;
  float *logits;
  assert_ok(tpo_model_pass(s.model, s.cache, &good, &logits, &err));
  bad.blocks[TPO_REACH_WINDOW] = NULL, refuse(&s, bad, "through a window"), bad = good;
  bad.blocks[TPO_REACH_ALL] = NULL, refuse(&s, bad, "to everything"), bad = good;
  bad.blocks[TPO_REACH_WINDOW] = given_back, refuse(&s, bad, "block -1"); /* position 6 is seen */
  pos = 2 * BLOCK + 2;                                                    /* 8 is the first */
  good.blocks[TPO_REACH_WINDOW] = given_back;
  assert_ok(tpo_model_pass(s.model, s.cache, &good, &logits, &err));
  good.blocks[TPO_REACH_ALL] = given_back, refuse(&s, good, "block -1");
  tpo_kv_cache_destroy(s.cache);
  assert_int_equal(tpo_kv_cache_create(&s.cache, s.model, (int[TPO_REACHES]){4, 0}, BLOCK, &err),
                   TPO_E_USAGE);
  assert_contains(err.message, "0 blocks of 8 tokens");
  close_setting(&s);
}

/* The backend's table with counters where recordings begin and end. */
enum { MOST_RECORDINGS = 64 };
static struct {
  struct tpo_ops ops;
  const struct tpo_ops *real;
  uint64_t keys[MOST_RECORDINGS];
  int n, rows[MOST_RECORDINGS]; /* of the recorded calls */
  int open, forgotten;
} recorder;

static int count_replay(struct tpo_backend *be, uint64_t key)
{
  (void)be;
  assert_false(recorder.open);
  assert_in_range(recorder.n, 0, MOST_RECORDINGS - 1);
  recorder.keys[recorder.n++] = key;
  recorder.open = 1;
  return 0; /* the calls are made again each time, so that results are there */
}

static void count_end(struct tpo_backend *be)
{
  (void)be;
  assert_true(recorder.open);
  recorder.open = 0;
}

static void count_forget(struct tpo_backend *be)
{
  (void)be;
  recorder.forgotten++;
  recorder.n = 0;
}

static void count_embed(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids, void *out,
                        int n)
{
  if (recorder.open) recorder.rows[recorder.n - 1] = n;
  recorder.real->embed(be, table, ids, out, n);
}

static void refuse_upload(struct tpo_backend *be, void *dst, const void *src, size_t bytes)
{
  assert_false(recorder.open); /* an upload cannot be part of a recording */
  recorder.real->upload(be, dst, src, bytes);
}

static struct setting open_recorded(void)
{
  struct tpo_error err = {0};
  struct setting s;
  s.be = open_backend(CPU);
  memset(&recorder, 0, sizeof recorder);
  recorder.real = s.be->ops;
  recorder.ops = *s.be->ops;
  recorder.ops.replay = count_replay;
  recorder.ops.record_end = count_end;
  recorder.ops.forget = count_forget;
  recorder.ops.embed = count_embed;
  recorder.ops.upload = refuse_upload;
  s.be->ops = s.be->ops_bf16 = &recorder.ops;
  s.model = small_model(s.be, TPO_DTYPE_FP32, true, 0);
  s.ids = fixed_ids(N_SEQS * LEN, VOCAB);
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, all_blocks, BLOCK, &err));
  return s;
}

/* The blocks of N_SEQS sequences. */
static const int32_t *some_blocks(void)
{
  static int32_t blocks[N_SEQS * MAX_BLOCKS];
  for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) blocks[i] = (i * 5) % 18 + 2;
  return blocks;
}

/* Decodes all sequences side by side from position `begin` to before `end`, the tokens of odd rows taken from
 * backend memory. */
static void decode_recorded(struct setting *s, int begin, int end, struct table *out)
{
  struct tpo_error err = {0};
  float *logits;
  const int32_t wanted[N_SEQS] = {0, 1, 2}, seq[N_SEQS] = {0, 1, 2};
  for (int pos = begin; pos < end; pos++) {
    int32_t ids[N_SEQS], at[N_SEQS] = {pos, pos, pos}, from[N_SEQS] = {-1, 0, -1};
    int32_t drawn[1] = {s->ids[LEN + pos]}; /* of sequence 1; CPU memory is the backend's */
    for (int i = 0; i < N_SEQS; i++) ids[i] = from[i] < 0 ? s->ids[i * LEN + pos] : -7;
    struct tpo_pass pass = {.n = N_SEQS,
                            .ids = ids,
                            .seq = seq,
                            .pos = at,
                            .blocks = {some_blocks()},
                            .n_seqs = N_SEQS,
                            .max_blocks = MAX_BLOCKS,
                            .logit_rows = wanted,
                            .n_logits = N_SEQS,
                            .from = from,
                            .drawn = drawn,
                            .recorded = true};
    assert_ok(tpo_model_pass(s->model, s->cache, &pass, &logits, &err));
    for (int i = 0; i < N_SEQS; i++)
      memcpy(out->logits[i][pos], logits + (size_t)i * VOCAB, VOCAB * sizeof(float));
  }
}

static void recorded_passes_are_padded_and_give_the_same_logits(void **state)
{
  (void)state;
  static struct table alone, other;
  struct tpo_error err = {0};
  struct setting s = open_recorded();
  const struct tpo_pass_limits limits = {.rows = 10, .seqs = 5, .max_blocks = MAX_BLOCKS + 2, .logits = 8};
  decode_alone(&s, &alone);
  memset(&other, 0, sizeof other);
  tpo_kv_cache_destroy(s.cache);
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, all_blocks, BLOCK, &err));
  assert_ok(tpo_kv_cache_reserve(s.cache, &limits, &err));
  decode_recorded(&s, 0, LEN, &other);
  assert_same(&alone, &other, "recorded passes");
  assert_in_range(recorder.n, 2, MOST_RECORDINGS);
  close_setting(&s);
}

static void recordings_are_told_apart_and_forgotten(void **state)
{
  (void)state;
  static struct table out;
  struct tpo_error err = {0};
  struct setting s = open_recorded();
  struct tpo_pass_limits limits = {.rows = 8, .seqs = 4, .max_blocks = MAX_BLOCKS, .logits = 8};
  assert_ok(tpo_kv_cache_reserve(s.cache, &limits, &err));
  decode_recorded(&s, 0, 5, &out);
  assert_int_equal(recorder.n, 4);       /* the first pass of a size runs as it comes */
  assert_int_equal(recorder.rows[0], 4); /* three rows and one of padding */
  for (int i = 1; i < recorder.n; i++) assert_true(recorder.keys[i] == recorder.keys[0]);

  struct tpo_kv_cache *first = s.cache;
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, all_blocks, BLOCK, &err));
  assert_ok(tpo_kv_cache_reserve(s.cache, &limits, &err));
  decode_recorded(&s, 0, 2, &out);
  assert_int_equal(recorder.n, 5);
  assert_true(recorder.keys[4] != recorder.keys[0]); /* another cache's */
  tpo_kv_cache_destroy(first);
  assert_int_equal(recorder.forgotten, 1);

  decode_recorded(&s, 2, 4, &out);
  limits.rows = 11;
  assert_ok(tpo_kv_cache_reserve(s.cache, &limits, &err)); /* the buffers move */
  assert_int_equal(recorder.forgotten, 2);
  decode_recorded(&s, 4, 6, &out);
  close_setting(&s);
  assert_int_equal(recorder.forgotten, 3);
}

/* The table of rotations grows with the positions, and recorded calls read it. */
static void recordings_are_forgotten_when_the_rotations_move(void **state)
{
  (void)state;
  static struct table out;
  static int32_t far_blocks[256];
  struct tpo_error err = {0};
  struct setting s = open_recorded();
  struct tpo_arch arch = *tpo_model_arch(s.model);
  struct tpo_model_options options = {.backend = s.be, .dtype = TPO_DTYPE_FP32};
  tpo_kv_cache_destroy(s.cache);
  tpo_model_close(s.model);
  arch.context = 4096;
  assert_ok(tpo_model_create_random(&s.model, &arch, 5, &options, &err));
  assert_ok(tpo_kv_cache_create(&s.cache, s.model, all_blocks, BLOCK, &err));
  const struct tpo_pass_limits limits = {.rows = 8, .seqs = 4, .max_blocks = 256, .logits = 8};
  assert_ok(tpo_kv_cache_reserve(s.cache, &limits, &err));
  decode_recorded(&s, 0, 3, &out);
  assert_int_equal(recorder.forgotten, 0);
  const int32_t id = 3, seq = 0, pos = 1500;
  struct tpo_pass far = {
      .n = 1, .ids = &id, .seq = &seq, .pos = &pos, .blocks = {far_blocks}, .n_seqs = 1, .max_blocks = 256};
  float *logits;
  assert_ok(tpo_model_pass(s.model, s.cache, &far, &logits, &err));
  assert_int_equal(recorder.forgotten, 1);
  close_setting(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(logits_do_not_depend_on_the_chunks_of_a_prefill),
      cmocka_unit_test(logits_do_not_depend_on_who_else_is_in_the_pass),
      cmocka_unit_test(logits_do_not_depend_on_a_prefix_being_shared),
      cmocka_unit_test(pass_agrees_with_the_packed_forward),
      cmocka_unit_test(logits_do_not_depend_on_blocks_behind_the_window),
      cmocka_unit_test(rotations_are_chosen_by_what_a_sequence_can_come_to),
      cmocka_unit_test(layers_of_a_window_need_their_own_blocks),
      cmocka_unit_test(what_lies_outside_the_cache_is_refused),
      cmocka_unit_test(recorded_passes_are_padded_and_give_the_same_logits),
      cmocka_unit_test(recordings_are_told_apart_and_forgotten),
      cmocka_unit_test(recordings_are_forgotten_when_the_rotations_move),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
