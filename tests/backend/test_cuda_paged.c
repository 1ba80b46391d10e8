/* The paged cache on the GPU: what the tests of all backends don't reach, above all activations in bf16,
 * plans of a step, and recorded steps. */
#include "paged_check.h"

/* Positions around the ends of chunks and blocks, and the prompt's last rows. */
static struct step some_rows(int n_tokens)
{
  static const int32_t pos[] = {0, 5, 127, 128, 129, 200, 255, 256};
  struct step step = make_step(13);
  step.n = 0;
  for (int i = 0; i < 8; i++)
    if (pos[i] < n_tokens) step.pos[step.n++] = pos[i];
  for (int i = 0; i < 5; i++) step.pos[step.n++] = n_tokens - 5 + i;
  return step;
}

static const struct tpo_attention_shape tensor_shapes[] = {SHAPE(8, 2, 128), SHAPE(3, 1, 64), SHAPE(2, 2, 64),
                                                           SHAPE(20, 1, 64), SHAPE(3, 1, 80), SHAPE(2, 1, 8),
                                                           SHAPE(4, 1, 256), SHAPE(6, 2, 128)};
static const struct tpo_attention_shape other_shapes[] = {SHAPE(4, 1, 20), SHAPE(3, 3, 7), SHAPE(2, 1, 264)};

static void compare_with_reference(struct tpo_attention_shape shape, enum tpo_dtype act, enum tpo_dtype dtype,
                                   int block_tokens, int n, double tolerance)
{
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, act);
  float *tokens[] = {make_tokens(shape, n, 1)};
  struct cache cache = make_cache(shape, dtype, block_tokens, 1, n);
  write_tokens(check_cuda, ops, &cache, 0, 0, n, shape, tokens);
  struct step step = some_rows(n);
  float *expected = attend_reference(&cache, &step, shape, tokens);
  float *got = attend(ops, &cache, &step, shape, tokens, PREPARED);
  check_all_close("paged attention", got, expected, (size_t)step.n * out_width(shape), tolerance);
  check_free(NULL);
}

static void bf16_attention_matches_reference(void **state)
{
  (void)state;
  static const int block_tokens[] = {16, 1, 3, 32};
  for (int s = 0; s < 8; s++)
    for (int b = 0; b < (s < 2 ? 4 : 1); b++)
      compare_with_reference(tensor_shapes[s], TPO_BF16, TPO_BF16, block_tokens[b], s == 0 ? 300 : 140, 1e-2);
  for (int s = 0; s < 3; s++) compare_with_reference(other_shapes[s], TPO_BF16, TPO_BF16, 16, 140, 5e-3);
}

static void mixed_types_match_reference(void **state)
{
  (void)state;
  for (int s = 0; s < 4; s++) {
    struct tpo_attention_shape shape = s < 3 ? other_shapes[s] : tensor_shapes[1];
    compare_with_reference(shape, TPO_F32, TPO_BF16, 3, 140, 2e-6);
    compare_with_reference(shape, TPO_F32, TPO_F32, 32, 140, 2e-6);
    compare_with_reference(shape, TPO_BF16, TPO_F32, 16, 140, 5e-3);
  }
}

/* A difference in the last bit of fp32 shows in a bf16
 * result once in some 30,000 numbers: so there are many. */
static void check_steps(enum tpo_dtype act, struct tpo_attention_shape shape, int n)
{
  enum { TOKENS = 290, FIRST = 100 };
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, act);
  float *tokens[] = {make_tokens(shape, TOKENS, 1)};
  struct cache cache = make_cache(shape, act, 16, 1, TOKENS);
  write_tokens(check_cuda, ops, &cache, 0, 0, TOKENS, shape, tokens);
  struct step all = make_run(0, FIRST, n), last = make_run(0, TOKENS - 1, 1);
  float *together = attend(ops, &cache, &all, shape, tokens, PREPARED);
  assert_rows("not prepared", attend(ops, &cache, &all, shape, tokens, UNPREPARED), together, 0, n, shape);
  for (int step = 1; step <= 8; step += 7)
    for (int i = 0; i < n; i += step) {
      struct step part = make_run(0, FIRST + i, n - i < step ? n - i : step);
      assert_rows("in steps", attend(ops, &cache, &part, shape, tokens, PREPARED), together, i, part.n,
                  shape);
    }
  float *alone = attend(ops, &cache, &last, shape, tokens, PREPARED);
  struct step end = make_run(0, TOKENS - 20, 20);
  assert_rows("the last of 20 rows",
              attend(ops, &cache, &end, shape, tokens, PREPARED) + 19 * out_width(shape), alone, 0, 1, shape);
  check_free(NULL);
}

static void prompt_gives_the_same_bits_in_any_steps(void **state)
{
  (void)state;
  check_steps(TPO_BF16, (struct tpo_attention_shape)SHAPE(8, 2, 128), 60);
  check_steps(TPO_BF16, (struct tpo_attention_shape)SHAPE(4, 1, 64), 60);
  check_steps(TPO_BF16, (struct tpo_attention_shape)SHAPE(3, 1, 128), 60);
  check_steps(TPO_BF16, (struct tpo_attention_shape)SHAPE(1, 1, 64), 60);
  check_steps(TPO_BF16, (struct tpo_attention_shape)SHAPE(2, 1, 136), 40);
  check_steps(TPO_F32, (struct tpo_attention_shape)SHAPE(4, 1, 16), 60);
  struct tpo_attention_shape windowed = {
      .heads = 4, .kv_heads = 1, .head_dim = 64, .window = 70, .softcap = 2};
  check_steps(TPO_BF16, windowed, 60);
  windowed.window = 150;
  check_steps(TPO_F32, windowed, 60);
}

/* A difference in the last bit of fp32 hardly ever shows in a bf16 result; in the parts it does. */
static void wide_and_narrow_items_compute_the_same_parts(void **state)
{
  (void)state;
  enum { TOKENS = 380, FIRST = 300, N = 16, CHUNKS = 3 };
  static const struct tpo_attention_shape shapes[] = {SHAPE(8, 2, 128), SHAPE(4, 1, 64), SHAPE(3, 1, 80)};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  for (int s = 0; s < 3; s++) {
    struct tpo_attention_shape shape = shapes[s];
    size_t row = CHUNKS * (size_t)(shape.heads * (shape.head_dim + 4));
    float *tokens[] = {make_tokens(shape, TOKENS, 1)}, *wide = zeros(N * row), *narrow = zeros(row);
    struct cache cache = make_cache(shape, TPO_BF16, 16, 1, TOKENS);
    write_tokens(check_cuda, ops, &cache, 0, 0, TOKENS, shape, tokens);
    struct step together = make_run(0, FIRST, N);
    attend(ops, &cache, &together, shape, tokens, UNPREPARED);
    ops->download(check_cuda, wide, tpo_cuda_paged_parts(check_cuda), N * row * sizeof(float));
    for (int i = 0; i < N; i++) {
      struct step one = make_run(0, FIRST + i, 1);
      attend(ops, &cache, &one, shape, tokens, UNPREPARED);
      ops->download(check_cuda, narrow, tpo_cuda_paged_parts(check_cuda), row * sizeof(float));
      assert_true(narrow[1] > 0); /* a sum: there are parts */
      assert_bits("parts", narrow, wide + (size_t)i * row, row);
    }
    check_free(NULL);
  }
}

static void bits_do_not_depend_on_block_tokens(void **state)
{
  (void)state;
  static const int block_tokens[] = {16, 1, 3, 32, 200};
  struct tpo_attention_shape shape = SHAPE(4, 1, 64);
  for (int act = TPO_F32; act <= TPO_BF16; act += TPO_BF16 - TPO_F32) {
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, (enum tpo_dtype)act);
    float *tokens[] = {make_tokens(shape, 270, 1)}, *first = NULL;
    for (int b = 0; b < 5; b++) {
      struct cache cache = make_cache(shape, (enum tpo_dtype)act, block_tokens[b], 1, 270);
      write_tokens(check_cuda, ops, &cache, 0, 0, 270, shape, tokens);
      struct step step = some_rows(270);
      float *got = attend(ops, &cache, &step, shape, tokens, PREPARED);
      if (!first) first = got;
      assert_rows("another block size", got, first, 0, step.n, shape);
    }
    check_free(NULL);
  }
}

static void row_does_not_depend_on_the_batch(void **state)
{
  (void)state;
  enum { SEQS = 5, TOKENS = 280, ROWS = 7 };
  static const int32_t seq[ROWS] = {3, 0, 1, 0, 4, 4, 2}, pos[ROWS] = {279, 63, 150, 64, 7, 8, 255};
  for (int kind = 0; kind < 4; kind++) {
    int act = kind % 2 ? TPO_BF16 : TPO_F32;
    struct tpo_attention_shape shape = {
        .heads = 8, .kv_heads = 2, .head_dim = 64, .window = kind < 2 ? 0 : 140, .softcap = kind < 2 ? 0 : 2};
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, (enum tpo_dtype)act);
    struct cache cache = make_cache(shape, (enum tpo_dtype)act, 16, SEQS, TOKENS);
    float *tokens[SEQS];
    for (int s = 0; s < SEQS; s++) {
      tokens[s] = make_tokens(shape, TOKENS, (uint32_t)s);
      write_tokens(check_cuda, ops, &cache, s, 0, TOKENS, shape, tokens);
    }
    struct step batch = make_step(ROWS), turned = make_step(ROWS);
    for (int i = 0; i < ROWS; i++) {
      batch.seq[i] = turned.seq[ROWS - 1 - i] = seq[i];
      batch.pos[i] = turned.pos[ROWS - 1 - i] = pos[i];
    }
    float *forth = attend(ops, &cache, &batch, shape, tokens, PREPARED);
    float *back = attend(ops, &cache, &turned, shape, tokens, PREPARED);
    for (int i = 0; i < ROWS; i++) {
      struct step one = make_run(seq[i], pos[i], 1);
      float *alone = attend(ops, &cache, &one, shape, tokens, PREPARED);
      assert_rows("in a batch", forth + (size_t)i * out_width(shape), alone, 0, 1, shape);
      assert_rows("in another order", back + (size_t)(ROWS - 1 - i) * out_width(shape), alone, 0, 1, shape);
    }
    check_free(NULL);
  }
}

/* Windows that begin within a shared chunk, with one, and in different ones. */
static void shared_blocks_give_the_same_bits(void **state)
{
  (void)state;
  static const int windows[] = {0, 180, 150, 300};
  for (int kind = 0; kind < 8; kind++) {
    int act = kind % 2 ? TPO_BF16 : TPO_F32;
    struct tpo_attention_shape shape = SHAPE(4, 1, act == TPO_F32 ? 16 : 64);
    shape.window = windows[kind / 2];
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, (enum tpo_dtype)act);
    struct cache shared, own;
    float *tokens[SAMPLES];
    make_samples(shape, (enum tpo_dtype)act, &shared, &own, tokens);
    struct step step = make_step(2 * SAMPLES); /* each sample twice, at positions of its own */
    for (int i = 0; i < step.n; i++) {
      step.seq[i] = i * 7 % SAMPLES;
      step.pos[i] = i < SAMPLES ? 300 + 11 * (i % 10) : 405 - i % 3;
    }
    float *together = attend(ops, &shared, &step, shape, tokens, PREPARED);
    float *apart = attend(ops, &own, &step, shape, tokens, PREPARED);
    assert_rows("shared blocks", together, apart, 0, step.n, shape);
    struct cache seen = seen_blocks(&shared, &step, shape, -1);
    assert_rows("nothing else", attend(ops, &seen, &step, shape, tokens, PREPARED), apart, 0, step.n, shape);
    for (int i = 0; i < step.n; i += 3) {
      struct step one = make_run(step.seq[i], step.pos[i], 1);
      float *alone = attend(ops, &shared, &one, shape, tokens, PREPARED);
      assert_rows("alone", together + (size_t)i * out_width(shape), alone, 0, 1, shape);
    }
    check_free(NULL);
  }
}

static void shared_chunks_are_read_once(void **state)
{
  (void)state;
  struct tpo_attention_shape shape = SHAPE(4, 1, 8);
  struct cache shared, own;
  float *tokens[SAMPLES];
  size_t read, served, parts;
  make_samples(shape, TPO_BF16, &shared, &own, tokens);
  struct step step = make_step(9);
  for (int i = 0; i < 9; i++) {
    step.seq[i] = 8 - i;
    step.pos[i] = SAMPLE_TOKENS - 1;
  }
  struct tpo_paged_rows rows = rows_of(&shared, &step);
  prepare(&shared, &step, shape, &rows);
  tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
  assert_int_equal(served, 9 * 4);
  /* two chunks for all; then those of 0..5; a third of 6..8; their last */
  assert_int_equal(read, 2 + 6 * 2 + 1 + 3);
  rows = rows_of(&own, &step);
  prepare(&own, &step, shape, &rows);
  tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
  assert_int_equal(read, 9 * 4);
  struct step prompt = make_run(0, 0, SAMPLE_TOKENS);
  rows = rows_of(&own, &prompt);
  prepare(&own, &prompt, shape, &rows);
  tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
  assert_true(served == 128 * (1 + 2 + 3) + 26 * 4);
  assert_true(read * 15 <= served); /* 16 rows of 4 heads make a tile */
}

/* Few rows are split over the GPU, many are not; with a thousand rows over shared blocks parts would take too
 * much memory. */
static void plan_splits_few_rows_and_not_many(void **state)
{
  (void)state;
  enum { SEQS = 320, TOKENS = 4000 };
  struct tpo_attention_shape shape = SHAPE(32, 1, 128);
  struct cache cache = {.n_seqs = SEQS, .max_blocks = TOKENS / 16};
  cache.kv.block_tokens = 16;
  cache.blocks = check_alloc((size_t)SEQS * TOKENS / 16 * sizeof(int32_t));
  for (int i = 0; i < SEQS * TOKENS / 16; i++) cache.blocks[i] = i;
  struct step step = make_step(SEQS);
  for (int i = 0; i < SEQS; i++) {
    step.seq[i] = i;
    step.pos[i] = TOKENS - 1;
  }
  size_t read, served, parts, chunks = (TOKENS + 127) / 128;
  struct tpo_paged_rows rows = rows_of(&cache, &step);
  prepare(&cache, &step, shape, &rows);
  tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
  assert_int_equal(served, SEQS * chunks);
  assert_int_equal(read, served);
  assert_int_equal(parts, 0);
  step.n = rows.n = 1;
  prepare(&cache, &step, shape, &rows);
  tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
  assert_int_equal(read, chunks);
  assert_int_equal(parts, chunks);
  step.n = rows.n = SEQS;
  for (int s = 1; s < SEQS; s++)
    memcpy(cache.blocks + s * cache.max_blocks, cache.blocks, 8 * sizeof(int32_t));
  prepare(&cache, &step, shape, &rows);
  tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
  assert_int_equal(read, served);
  assert_int_equal(parts, 0);
}

/* Recorded attention follows the plan of each step, also when parts and plans outgrow their memory. */
static void recorded_step_follows_its_plan(void **state)
{
  (void)state;
  enum { SEQS = 3, TOKENS = 600 };
  struct tpo_attention_shape shape = SHAPE(8, 2, 16);
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  struct cache cache = make_cache(shape, TPO_BF16, 16, SEQS, TOKENS);
  float *tokens[SEQS];
  for (int s = 0; s < SEQS; s++) {
    tokens[s] = make_tokens(shape, TOKENS, (uint32_t)s);
    write_tokens(check_cuda, ops, &cache, s, 0, TOKENS, shape, tokens);
  }
  struct step step = make_step(SEQS);
  struct check_values x = check_values_of(ops, zeros(SEQS * row_width(shape)), SEQS * row_width(shape));
  struct check_values out = check_values_of(ops, zeros(SEQS * out_width(shape)), SEQS * out_width(shape));
  int replayed = 0;
  for (int round = 0; round < 5; round++) {
    check_ready();
    for (int i = 0; i < SEQS; i++) {
      step.seq[i] = (i + round) % SEQS;
      step.pos[i] = round == 0 ? i : round % 2 ? TOKENS - 1 - i : 130 * i + round;
    }
    float *rows_x = gather(shape, &step, tokens);
    tpo_convert(x.data, TPO_BF16, rows_x, TPO_F32, x.n);
    struct tpo_paged_rows rows = rows_of(&cache, &step);
    prepare(&cache, &step, shape, &rows);
    if (ops->replay(check_cuda, 4242)) {
      replayed++;
    } else {
      ops->attention_paged(check_cuda, &cache.kv, x.data, out.data, shape, &rows);
      ops->record_end(check_cuda);
    }
    check_ready();
    float *got = check_floats(&out);
    assert_rows("recorded", got, attend(ops, &cache, &step, shape, tokens, PREPARED), 0, SEQS, shape);
    check_all_close("recorded", got, attend_reference(&cache, &step, shape, tokens), SEQS * out_width(shape),
                    1e-2);
  }
  assert_true(replayed >= 2);
  ops->forget(check_cuda);
}

/* Passes whose rows are whole need no kernel that folds, recorded or not; one that needs it is not taken for
 * another's recording. */
static void parts_are_folded_only_where_there_are_some(void **state)
{
  (void)state;
  enum { TOKENS = 600 };
  struct tpo_attention_shape shape = SHAPE(8, 2, 16);
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  struct cache cache = make_cache(shape, TPO_BF16, 16, 1, TOKENS);
  float *tokens[] = {make_tokens(shape, TOKENS, 1)};
  write_tokens(check_cuda, ops, &cache, 0, 0, TOKENS, shape, tokens);
  struct step step = make_step(1);
  struct check_values x = check_values_of(ops, zeros(row_width(shape)), row_width(shape));
  struct check_values out = check_values_of(ops, zeros(out_width(shape)), out_width(shape));
  static const struct {
    int pos;
    bool folds, replayed;
  } rounds[] = {{20, false, false},       {100, false, true}, {TOKENS - 1, true, false},
                {TOKENS - 2, true, true}, {31, false, true},  {400, true, true}};
  for (size_t round = 0; round < sizeof rounds / sizeof *rounds; round++) {
    size_t read, served, parts;
    step.pos[0] = rounds[round].pos;
    tpo_convert(x.data, TPO_BF16, gather(shape, &step, tokens), TPO_F32, x.n);
    struct tpo_paged_rows rows = rows_of(&cache, &step);
    prepare(&cache, &step, shape, &rows);
    tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
    assert_int_equal(parts > 0, rounds[round].folds);
    if (parts == 0) setenv("TPO_EMULATION_FAIL", "kernel:fold_parts", 1); /* the emulated GPU then fails */
    assert_int_equal(ops->replay(check_cuda, 4343), rounds[round].replayed);
    if (!rounds[round].replayed) {
      ops->attention_paged(check_cuda, &cache.kv, x.data, out.data, shape, &rows);
      ops->record_end(check_cuda);
    }
    check_ready();
    unsetenv("TPO_EMULATION_FAIL");
    check_all_close("folded", check_floats(&out), attend_reference(&cache, &step, shape, tokens),
                    out_width(shape), 1e-2);
  }
  ops->forget(check_cuda);
}

static float *make_cos_sin(int head_dim, int n)
{
  float *x = zeros((size_t)n * (size_t)head_dim);
  for (int pos = 0; pos < n; pos++)
    for (int i = 0; i < head_dim / 2; i++) {
      double angle = pos * pow(10000, -2.0 * i / head_dim);
      x[pos * head_dim + i] = (float)cos(angle);
      x[pos * head_dim + head_dim / 2 + i] = (float)sin(angle);
    }
  return x;
}

static const struct tpo_attention_shape rope_shapes[] = {SHAPE(4, 2, 64), SHAPE(3, 1, 20), SHAPE(2, 2, 128),
                                                         SHAPE(2, 1, 7), SHAPE(1, 1, 2)};

static void rope_matches_reference_and_turns_back(void **state)
{
  (void)state;
  for (int s = 0; s < 5; s++)
    for (int act = TPO_F32; act <= TPO_BF16; act += TPO_BF16 - TPO_F32) {
      struct tpo_attention_shape shape = rope_shapes[s];
      const struct tpo_ops *ops = tpo_ops_for(check_cuda, (enum tpo_dtype)act);
      enum { N = 6 };
      size_t size = N * row_width(shape);
      double tolerance = act == TPO_F32 ? 1e-6 : 5e-3;
      float *cos_sin = make_cos_sin(shape.head_dim, 50), *x = make_tokens(shape, N, 3),
            *expected = copy_of(x, size);
      int32_t *pos = check_alloc(N * sizeof *pos);
      for (int i = 0; i < N; i++) pos[i] = i * 17 % 50;
      struct check_values v = check_values_of(ops, x, size);
      tpo_ops(check_reference)->rope(check_reference, expected, pos, cos_sin, shape, N, false);
      ops->rope(check_cuda, v.data, pos, cos_sin, shape, N, false);
      check_all_close("rope", check_floats(&v), expected, size, tolerance);
      ops->rope(check_cuda, v.data, pos, cos_sin, shape, N, true);
      check_all_close("rope and back", check_floats(&v), x, size, 2 * tolerance);
      check_free(NULL);
    }
}

static void fused_write_gives_the_bits_of_rope_and_write(void **state)
{
  (void)state;
  for (int s = 0; s < 5; s++)
    for (int act = TPO_F32; act <= TPO_BF16; act += TPO_BF16 - TPO_F32)
      for (int dtype = TPO_F32; dtype <= TPO_BF16; dtype += TPO_BF16 - TPO_F32) {
        struct tpo_attention_shape shape = rope_shapes[s];
        const struct tpo_ops *ops = tpo_ops_for(check_cuda, (enum tpo_dtype)act);
        struct cache fused = make_cache(shape, (enum tpo_dtype)dtype, 3, 2, 40);
        struct cache apart = make_cache(shape, (enum tpo_dtype)dtype, 3, 2, 40);
        size_t size = 9 * row_width(shape);
        float *cos_sin = make_cos_sin(shape.head_dim, 40), *x = check_rounded(size, 5, TPO_BF16);
        struct step step = make_step(9);
        for (int i = 0; i < 9; i++) {
          step.seq[i] = i % 2;
          step.pos[i] = i * 4;
        }
        struct check_values a = check_values_of(ops, x, size), b = check_values_of(ops, x, size);
        struct tpo_paged_rows rows = rows_of(&fused, &step);
        ops->rope_kv_write(check_cuda, &fused.kv, a.data, NULL, cos_sin, shape, &rows);
        ops->rope(check_cuda, b.data, step.pos, cos_sin, shape, 9, false);
        ops->kv_write(check_cuda, &apart.kv, b.data, shape, &rows);
        check_ready();
        size_t bytes = (size_t)(fused.n_blocks * shape.kv_heads * 3 * shape.head_dim) *
                       tpo_dtype_size((enum tpo_dtype)dtype);
        assert_memory_equal(fused.kv.k, apart.kv.k, bytes);
        assert_memory_equal(fused.kv.v, apart.kv.v, bytes);
        for (size_t i = 0; i < 9; i++)
          assert_memory_equal((char *)a.data + i * row_width(shape) * a.size,
                              (char *)b.data + i * row_width(shape) * a.size, out_width(shape) * a.size);
        check_free(NULL);
      }
}

static void copied_block_holds_the_first_tokens_and_nothing_else(void **state)
{
  (void)state;
  static const int dims[] = {64, 20, 7};
  for (int d = 0; d < 3; d++)
    for (int dtype = TPO_F32; dtype <= TPO_BF16; dtype += TPO_BF16 - TPO_F32) {
      struct tpo_attention_shape shape = SHAPE(2, 2, dims[d]);
      struct cache cache = make_cache(shape, (enum tpo_dtype)dtype, 16, 1, 64);
      float *tokens[] = {make_tokens(shape, 32, 1)};
      write_tokens(check_cuda, tpo_ops(check_cuda), &cache, 0, 0, 32, shape, tokens);
      size_t row = (size_t)dims[d] * tpo_dtype_size((enum tpo_dtype)dtype), head = 16 * row;
      tpo_ops(check_cuda)->kv_copy_block(check_cuda, &cache.kv, cache.blocks[3], cache.blocks[1], 5);
      check_ready();
      for (int part = 0; part < 2; part++)
        for (size_t h = 0; h < 2; h++) {
          char *base = part ? cache.kv.v : cache.kv.k;
          char *to = base + ((size_t)cache.blocks[3] * 2 + h) * head;
          assert_memory_equal(to, base + ((size_t)cache.blocks[1] * 2 + h) * head, 5 * row);
          for (size_t i = 5 * row; i < head; i++) assert_int_equal((unsigned char)to[i], 0xff);
        }
      check_free(NULL);
    }
}

static void no_rows_are_no_work(void **state)
{
  (void)state;
  struct tpo_attention_shape shape = SHAPE(4, 2, 64);
  struct cache cache = make_cache(shape, TPO_BF16, 16, 1, 64);
  struct step step = make_step(0);
  struct tpo_paged_rows rows = rows_of(&cache, &step);
  struct tpo_paged_host host = {step.seq, step.pos, cache.blocks, 1};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  ops->paged_prepare(check_cuda, &rows, &host, shape, 16);
  ops->rope_kv_write(check_cuda, &cache.kv, step.seq, NULL, NULL, shape, &rows);
  ops->attention_paged(check_cuda, &cache.kv, step.seq, step.seq, shape, &rows);
  ops->kv_copy_block(check_cuda, &cache.kv, 1, 0, 0);
  check_wait(check_cuda);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(bf16_attention_matches_reference),
      CHECK_TEST(mixed_types_match_reference),
      CHECK_TEST(prompt_gives_the_same_bits_in_any_steps),
      CHECK_TEST(wide_and_narrow_items_compute_the_same_parts),
      CHECK_TEST(bits_do_not_depend_on_block_tokens),
      CHECK_TEST(row_does_not_depend_on_the_batch),
      CHECK_TEST(shared_blocks_give_the_same_bits),
      CHECK_TEST(shared_chunks_are_read_once),
      CHECK_TEST(plan_splits_few_rows_and_not_many),
      CHECK_TEST(recorded_step_follows_its_plan),
      CHECK_TEST(parts_are_folded_only_where_there_are_some),
      CHECK_TEST(rope_matches_reference_and_turns_back),
      CHECK_TEST(fused_write_gives_the_bits_of_rope_and_write),
      CHECK_TEST(copied_block_holds_the_first_tokens_and_nothing_else),
      CHECK_TEST(no_rows_are_no_work),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
