/* The inference pass: its logits are the same bits however rows are grouped, and agree with the packed
 * forward. */
#include "backend/backend.h"
#include "model/pass_check.h"

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

static void pass_agrees_with_the_packed_forward(void **state)
{
  (void)state;
  for_all(check_agreement);
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
      cmocka_unit_test(what_lies_outside_the_cache_is_refused),
      cmocka_unit_test(recorded_passes_are_padded_and_give_the_same_logits),
      cmocka_unit_test(recordings_are_told_apart_and_forgotten),
      cmocka_unit_test(recordings_are_forgotten_when_the_rotations_move),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
