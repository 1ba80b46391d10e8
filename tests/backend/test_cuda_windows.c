/* The paged cache on the GPU under windows and softcaps. */
#include "paged_check.h"

/* One row, the end of a prompt, and rows so far apart that what lies between is seen by none. */
static struct step window_rows(int kind, int n_tokens)
{
  if (kind == 0) return make_run(0, n_tokens - 1, 1);
  if (kind == 1) return make_run(0, n_tokens - 40, 40);
  static const int32_t pos[] = {260, 10, 11, 140, 60, 127, 128};
  struct step step = make_step(kind == 2 ? 7 : 2);
  memcpy(step.pos, pos, (size_t)step.n * sizeof *pos);
  return step;
}

static void compare_window(struct tpo_attention_shape shape, enum tpo_dtype act, enum tpo_dtype dtype,
                           int block_tokens, double tolerance)
{
  enum { TOKENS = 300 };
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, act);
  float *tokens[] = {make_tokens(shape, TOKENS, 1)};
  struct cache cache = make_cache(shape, dtype, block_tokens, 1, TOKENS);
  write_tokens(check_cuda, ops, &cache, 0, 0, TOKENS, shape, tokens);
  for (int kind = 0; kind < 4; kind++) {
    struct step step = window_rows(kind, TOKENS);
    struct cache seen = seen_blocks(&cache, &step, shape, kind == 0 ? -1 : INT32_MAX);
    float *expected = attend_reference(&seen, &step, shape, tokens);
    for (int how = UNPREPARED; how <= PREPARED; how++) {
      float *got = attend(ops, &seen, &step, shape, tokens, (enum preparation)how);
      check_all_close("windowed", got, expected, (size_t)step.n * out_width(shape), tolerance);
    }
  }
  check_free(NULL);
}

static void windows_match_reference_and_nothing_before_them_is_read(void **state)
{
  (void)state;
  static const int windows[] = {1, 7, 127, 128, 129, 170, 1000};
  for (int w = 0; w < 7; w += few_rounds ? 5 : 1) {
    struct tpo_attention_shape shape = {.heads = 4, .kv_heads = 1, .head_dim = 64, .window = windows[w]};
    compare_window(shape, TPO_BF16, TPO_BF16, 16, 1e-2);
    shape.head_dim = 20;
    shape.heads = 2;
    compare_window(shape, TPO_F32, TPO_F32, 5, 2e-6);
  }
}

static void softcaps_and_scales_match_reference(void **state)
{
  (void)state;
  static const int head_dims[] = {64, 80, 96, 128, 256, 20};
  for (int i = 0; i < 6; i += few_rounds ? 4 : 1) {
    struct tpo_attention_shape shape = {.heads = 2, .kv_heads = 1, .head_dim = head_dims[i], .softcap = 1.5f};
    compare_window(shape, TPO_BF16, TPO_BF16, 16, 1e-2);
    shape.scale = 0.6f / sqrtf((float)head_dims[i]);
    shape.window = 50;
    compare_window(shape, TPO_BF16, TPO_BF16, 16, 1e-2);
    compare_window(shape, TPO_F32, TPO_BF16, 16, 2e-6);
    shape.softcap = 0;
    shape.window = 0;
    compare_window(shape, TPO_BF16, TPO_BF16, 16, 1e-2);
  }
}

/* 300: all nine begin in the first chunk, of which each reads its own end; 282: they begin with the second,
 * which they share; 281: within it, and so nothing is shared but the third of 6..8. */
static void shared_chunks_within_windows_are_read_once(void **state)
{
  (void)state;
  static const struct {
    int window;
    size_t chunks, read;
  } cases[] = {{300, 4, 9 + 1 + 6 * 2 + 1 + 3}, {282, 3, 1 + 6 * 2 + 1 + 3}, {281, 3, 9 + 6 * 2 + 1 + 3}};
  for (int c = 0; c < 3; c++) {
    struct tpo_attention_shape shape = {.heads = 4, .kv_heads = 1, .head_dim = 8, .window = cases[c].window};
    struct cache shared, own;
    float *tokens[SAMPLES];
    size_t read, served, parts;
    make_samples(shape, TPO_BF16, &shared, &own, tokens);
    struct step step = make_step(9);
    for (int i = 0; i < 9; i++) {
      step.seq[i] = 8 - i;
      step.pos[i] = SAMPLE_TOKENS - 1;
    }
    struct cache seen = seen_blocks(&shared, &step, shape, -1);
    struct tpo_paged_rows rows = rows_of(&seen, &step);
    prepare(&seen, &step, shape, &rows);
    tpo_cuda_paged_counts(rows.plan, &read, &served, &parts);
    assert_int_equal(served, 9 * cases[c].chunks);
    assert_int_equal(read, cases[c].read);
    check_free(NULL);
  }
}

/* Layers that see everything and layers of a window, in one pass, recorded or not; the steps have parts of the
 * one kind, of both, or of none. */
static void plans_of_both_reaches_live_side_by_side(void **state)
{
  (void)state;
  enum { TOKENS = 600, ROUNDS = 8 };
  static const int32_t pos[ROUNDS] = {20, 40, TOKENS - 1, TOKENS - 2, 240, 250, 60, TOKENS - 3};
  static const bool replayed[ROUNDS] = {false, true, false, true, false, true, true, true};
  struct tpo_attention_shape shapes[2] = {SHAPE(8, 2, 16), SHAPE(8, 2, 16)};
  shapes[1].window = 100; /* at positions 240 and 250 it lies within one chunk */
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  struct cache cache = make_cache(shapes[0], TPO_BF16, 16, 1, TOKENS);
  float *tokens[] = {make_tokens(shapes[0], TOKENS, 1)};
  size_t width = out_width(shapes[0]), row = row_width(shapes[0]);
  write_tokens(check_cuda, ops, &cache, 0, 0, TOKENS, shapes[0], tokens);
  struct check_values x = check_values_of(ops, zeros(row), row), out[2];
  for (int i = 0; i < 2; i++) out[i] = check_values_of(ops, zeros(width), width);
  struct step step = make_step(1);
  for (int round = 0; round < ROUNDS; round++) {
    struct tpo_paged_rows rows[2];
    check_ready();
    step.pos[0] = pos[round];
    tpo_convert(x.data, TPO_BF16, gather(shapes[0], &step, tokens), TPO_F32, x.n);
    ops->begin_pass(check_cuda, TPO_PASS_PAGED);
    for (int i = 0; i < 2; i++) {
      rows[i] = rows_of(&cache, &step);
      prepare(&cache, &step, shapes[i], &rows[i]);
    }
    assert_ptr_not_equal(rows[0].plan, rows[1].plan);
    assert_int_equal(ops->replay(check_cuda, 4444), replayed[round]);
    if (!replayed[round]) {
      for (int i = 0; i < 2; i++)
        ops->attention_paged(check_cuda, &cache.kv, x.data, out[i].data, shapes[i], &rows[i]);
      ops->record_end(check_cuda);
    }
    for (int i = 0; i < 2; i++)
      check_all_close("of a reach", check_floats(&out[i]), attend_reference(&cache, &step, shapes[i], tokens),
                      width, 1e-2);
  }
  /* a pass without windows is not asked what the last one with them had to fold */
  step.pos[0] = 20;
  for (int round = 0; round < 2; round++) {
    struct tpo_paged_rows rows = rows_of(&cache, &step);
    ops->begin_pass(check_cuda, TPO_PASS_PAGED);
    prepare(&cache, &step, shapes[0], &rows);
    assert_int_equal(ops->replay(check_cuda, 4445), round);
    if (round == 1) break;
    ops->attention_paged(check_cuda, &cache.kv, x.data, out[0].data, shapes[0], &rows);
    ops->record_end(check_cuda);
    step.pos[0] = TOKENS - 1; /* has parts of a window */
    rows = rows_of(&cache, &step);
    prepare(&cache, &step, shapes[1], &rows);
    step.pos[0] = 20;
  }
  check_ready();
  ops->forget(check_cuda);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(windows_match_reference_and_nothing_before_them_is_read),
      CHECK_TEST(softcaps_and_scales_match_reference),
      CHECK_TEST(shared_chunks_within_windows_are_read_once),
      CHECK_TEST(plans_of_both_reaches_live_side_by_side),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
