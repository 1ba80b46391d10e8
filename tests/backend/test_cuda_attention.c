/* Training attention on the CUDA backend: bf16 values and gradients beside the reference for every way that a
 * head dimension takes, and what a sequence's results may depend on. */
#include "ops_check.h"

#include "cuda_check.h"

/* Everything of one packed batch, inputs and results. */
struct batch {
  struct tpo_attention_shape shape;
  const int32_t *cu;
  int n_seqs;
  struct check_values qkv, dout, out, dqkv;
  float *lse;
};

static size_t rows_of(const struct batch *b)
{
  return (size_t)b->cu[b->n_seqs];
}

static size_t qkv_width(const struct batch *b)
{
  return (size_t)((b->shape.heads + 2 * b->shape.kv_heads) * b->shape.head_dim);
}

static size_t out_width(const struct batch *b)
{
  return (size_t)(b->shape.heads * b->shape.head_dim);
}

/* Results begin as numbers that would be noticed. */
static struct batch make_batch(const struct tpo_ops *ops, enum tpo_dtype dtype,
                               struct tpo_attention_shape shape, const int32_t *cu, int n_seqs)
{
  struct batch b = {.shape = shape, .cu = cu, .n_seqs = n_seqs};
  size_t n = rows_of(&b);
  b.qkv = check_values(ops, n * qkv_width(&b), 1, dtype);
  b.dout = check_values(ops, n * out_width(&b), 2, dtype);
  b.out = check_values_of(ops, filled(n * out_width(&b), 9), n * out_width(&b));
  b.dqkv = check_values_of(ops, filled(n * qkv_width(&b), 9), n * qkv_width(&b));
  b.lse = filled(n * (size_t)shape.heads, 9);
  return b;
}

static void run(struct tpo_backend *be, const struct tpo_ops *ops, struct batch *b)
{
  ops->attention(be, b->qkv.data, b->out.data, b->lse, b->shape, b->cu, b->n_seqs);
  ops->attention_backward(be, b->dout.data, b->qkv.data, b->out.data, b->lse, b->dqkv.data, b->shape, b->cu,
                          b->n_seqs);
  check_wait(be);
}

/* Vectors of one row and head: the length of the difference is at most `tolerance` of the length of what is
 * expected, or `least` where that is more. One key left out or counted twice is seen, as no larger vector
 * hides it. */
static void assert_vectors_close(const char *what, const struct check_values *got,
                                 const struct check_values *expected, int head_dim, double tolerance,
                                 double least)
{
  float *a = check_floats(got), *b = check_floats(expected);
  for (size_t first = 0; first < got->n; first += (size_t)head_dim) {
    double gap = 0, length = 0;
    for (size_t i = first; i < first + (size_t)head_dim; i++) {
      gap += (a[i] - (double)b[i]) * (a[i] - (double)b[i]);
      length += (double)b[i] * b[i];
    }
    double most = fmax(tolerance * sqrt(length), least);
    if (!(sqrt(gap) <= most))
      fail_msg("%s, head_dim %d: vector %zu is off by %.3g, %.3g is allowed", what, head_dim,
               first / (size_t)head_dim, sqrt(gap), most);
  }
}

static void matches_reference(enum tpo_dtype dtype, struct tpo_attention_shape shape, const int32_t *cu,
                              int n_seqs, double tolerance)
{
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtype);
  struct batch got = make_batch(ops, dtype, shape, cu, n_seqs);
  struct batch expected = make_batch(tpo_ops(check_reference), dtype, shape, cu, n_seqs);
  const struct tpo_ops *reference = tpo_ops(check_reference);
  double unit = sqrt(shape.head_dim); /* the length of a vector of numbers about 1 */
  run(check_cuda, ops, &got);
  reference->attention(check_reference, expected.qkv.data, expected.out.data, expected.lse, shape, cu,
                       n_seqs);
  assert_vectors_close("out", &got.out, &expected.out, shape.head_dim, tolerance, tolerance * unit / 10);
  check_all_close("lse", got.lse, expected.lse, rows_of(&got) * (size_t)shape.heads, 1e-5);
  /* from the same, rounded, results of the forward: its rounding is no error of the backward */
  expected.out = check_values_of(reference, check_floats(&got.out), got.out.n);
  reference->attention_backward(check_reference, expected.dout.data, expected.qkv.data, expected.out.data,
                                got.lse, expected.dqkv.data, shape, cu, n_seqs);
  assert_vectors_close("dqkv", &got.dqkv, &expected.dqkv, shape.head_dim, tolerance, tolerance * unit / 10);
  check_free(NULL);
}

/* Lengths: none, one, under, at and just over a tile of each kind. */
static const int32_t mixed_cu[] = {0, 1, 1, 18, 82, 83, 148, 276};
#define MIXED_SEQS ((int)(sizeof mixed_cu / sizeof *mixed_cu) - 1)
static const int32_t short_cu[] = {0, 33, 34, 103};

static void bf16_values_and_gradients_match_the_reference(void **state)
{
  (void)state;
  static const struct tpo_attention_shape shapes[] = {SHAPE(3, 1, 8),  SHAPE(4, 4, 16), SHAPE(4, 1, 24),
                                                      SHAPE(3, 1, 32), SHAPE(4, 1, 64), SHAPE(1, 1, 80),
                                                      SHAPE(2, 2, 96)};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    matches_reference(TPO_BF16, shapes[i], mixed_cu, MIXED_SEQS, 8e-3);
  matches_reference(TPO_BF16, (struct tpo_attention_shape)SHAPE(4, 1, 128), mixed_cu, MIXED_SEQS, 8e-3);
  matches_reference(TPO_BF16, (struct tpo_attention_shape)SHAPE(1, 1, 136), short_cu, 3, 8e-3);
  matches_reference(TPO_BF16, (struct tpo_attention_shape)SHAPE(2, 1, 256), short_cu, 3, 8e-3);
}

static void bf16_takes_head_dimensions_that_tensor_cores_do_not(void **state)
{
  (void)state;
  static const int head_dims[] = {1, 2, 20, 65, 130};
  for (int i = 0; i < 5; i++)
    matches_reference(TPO_BF16, (struct tpo_attention_shape)SHAPE(2, 1, head_dims[i]), short_cu, 3, 8e-3);
}

static void fp32_values_and_gradients_match_the_reference_at_any_head_dimension(void **state)
{
  (void)state;
  static const int head_dims[] = {1, 2, 63, 66, 127, 200, 256};
  for (int i = 0; i < 7; i++)
    matches_reference(TPO_F32, (struct tpo_attention_shape)SHAPE(2, 1, head_dims[i]), short_cu, 3, 1e-5);
}

/* Lengths beside the windows below. */
static const int32_t window_cu[] = {0, 1, 30, 165, 293};
#define WINDOW_SEQS 4

/* Tiles are of 16, 32, 64 and 128 tokens. */
static void windows_match_the_reference(void **state)
{
  (void)state;
  static const int windows[] = {1, 7, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 1000};
  for (size_t i = 0; i < sizeof windows / sizeof *windows; i += few_rounds ? 6 : 1) {
    struct tpo_attention_shape shape = {.heads = 2, .kv_heads = 1, .head_dim = 64, .window = windows[i]};
    matches_reference(TPO_BF16, shape, window_cu, WINDOW_SEQS, 8e-3);
  }
  static const int few_windows[] = {1, 31, 32, 33, 1000};
  for (size_t i = 0; i < sizeof few_windows / sizeof *few_windows; i += few_rounds ? 3 : 1) {
    struct tpo_attention_shape shape = {.heads = 2, .kv_heads = 1, .head_dim = 20, .window = few_windows[i]};
    matches_reference(TPO_F32, shape, short_cu, 3, 1e-5);
    matches_reference(TPO_BF16, shape, short_cu, 3, 8e-3);
  }
}

/* Alone, with a window, and with another scale, at every head dimension that has a kernel; the softcap is so
 * low that most scores are bent by it. In fp32 the gradients of a sequence's first token, which are 0, are off
 * by the rounding of products of whole heads. */
static void softcaps_and_scales_match_the_reference(void **state)
{
  (void)state;
  static const int head_dims[] = {8, 64, 80, 96, 128, 256};
  for (size_t i = 0; i < sizeof head_dims / sizeof *head_dims; i += few_rounds ? 3 : 1) {
    int hd = head_dims[i];
    struct tpo_attention_shape shape = {.heads = 2, .kv_heads = 1, .head_dim = hd, .softcap = 1.5f};
    matches_reference(TPO_BF16, shape, short_cu, 3, 8e-3);
    matches_reference(TPO_F32, shape, short_cu, 3, 2e-5);
    shape.window = 40;
    shape.scale = 0.6f / sqrtf((float)hd);
    matches_reference(TPO_BF16, shape, short_cu, 3, 8e-3);
    matches_reference(TPO_F32, shape, short_cu, 3, 2e-5);
    shape.softcap = 0;
    shape.window = 0;
    matches_reference(TPO_BF16, shape, short_cu, 3, 8e-3);
  }
}

/* Without a softcap, the kernels for a window that holds everything give what those without one give. */
static void a_window_longer_than_all_sequences_is_none(void **state)
{
  (void)state;
  for (int d = 0; d < 2; d++) {
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, d ? TPO_BF16 : TPO_F32);
    enum tpo_dtype dtype = d ? TPO_BF16 : TPO_F32;
    struct batch all = make_batch(ops, dtype, (struct tpo_attention_shape)SHAPE(2, 1, 64), window_cu, 4);
    struct batch windowed = make_batch(ops, dtype, all.shape, window_cu, 4);
    windowed.shape.window = 135; /* the longest */
    run(check_cuda, ops, &all);
    run(check_cuda, ops, &windowed);
    double tolerance = d ? 8e-3 : 1e-5;
    assert_vectors_close("out", &windowed.out, &all.out, 64, tolerance, tolerance);
    assert_vectors_close("dqkv", &windowed.dqkv, &all.dqkv, 64, tolerance, tolerance);
    check_all_close("lse", windowed.lse, all.lse, rows_of(&all) * 2, 1e-6);
  }
}

/* One query head's whole history in one long sequence, beside sequences of one token. */
static void a_long_sequence_beside_many_short_ones_matches_the_reference(void **state)
{
  (void)state;
  enum { SHORT = 40 };
  int32_t cu[SHORT + 2] = {0};
  for (int i = 1; i <= SHORT + 1; i++) cu[i] = cu[i - 1] + (i == 7 ? 333 : 1);
  matches_reference(TPO_BF16, (struct tpo_attention_shape)SHAPE(1, 1, 64), cu, SHORT + 1, 8e-3);
  matches_reference(TPO_F32, (struct tpo_attention_shape)SHAPE(1, 1, 24), cu, SHORT + 1, 1e-5);
}

/* Scores so large that all but the maximum vanish, growing and shrinking along the sequence: the running
 * maximum is taken into account at every tile. */
static void bf16_keeps_its_precision_when_scores_are_large(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 200};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  struct tpo_attention_shape shape = SHAPE(1, 1, 64);
  struct batch got = make_batch(ops, TPO_BF16, shape, cu, 1);
  struct batch expected = make_batch(tpo_ops(check_reference), TPO_BF16, shape, cu, 1);
  float *qkv = check_floats(&expected.qkv);
  for (size_t i = 0; i < 200; i++)
    for (size_t c = 0; c < 128; c++) qkv[i * 192 + c] *= i % 90 < 45 ? 0.5f : 4.0f; /* q and k */
  got.qkv = check_values_of(ops, qkv, got.qkv.n);
  expected.qkv = check_values_of(tpo_ops(check_reference), qkv, got.qkv.n);
  run(check_cuda, ops, &got);
  run(check_reference, tpo_ops(check_reference), &expected);
  assert_vectors_close("out", &got.out, &expected.out, 64, 8e-3, 0);
  check_all_close("lse", got.lse, expected.lse, 200, 1e-5);
}

static const void *row(const struct check_values *v, size_t width, int first)
{
  return (const char *)v->data + (size_t)first * width * v->size;
}

/* The sequence at cu[1], whatever stands around it. */
static void sequence_keeps_its_bits(enum tpo_dtype dtype, struct tpo_attention_shape shape)
{
  static const int32_t cu[] = {0, 37, 200, 203, 280}, alone_cu[] = {0, 163};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtype);
  struct batch all = make_batch(ops, dtype, shape, cu, 4), alone = make_batch(ops, dtype, shape, alone_cu, 1);
  size_t qkv_bytes = alone.qkv.n * alone.qkv.size, out_bytes = alone.out.n * alone.out.size;
  memcpy(alone.qkv.data, row(&all.qkv, qkv_width(&all), 37), qkv_bytes);
  memcpy(alone.dout.data, row(&all.dout, out_width(&all), 37), out_bytes);
  run(check_cuda, ops, &alone);
  for (int broken = 0; broken < 2; broken++) {
    if (broken) { /* the others are NaN */
      memset(all.qkv.data, 0xff, 37 * qkv_width(&all) * all.qkv.size);
      memset((char *)all.qkv.data + 200 * qkv_width(&all) * all.qkv.size, 0xff,
             80 * qkv_width(&all) * all.qkv.size);
    }
    run(check_cuda, ops, &all);
    assert_memory_equal(row(&all.out, out_width(&all), 37), alone.out.data, out_bytes);
    assert_memory_equal(row(&all.dqkv, qkv_width(&all), 37), alone.dqkv.data, qkv_bytes);
    assert_memory_equal(all.lse + 37 * shape.heads, alone.lse, 163 * (size_t)shape.heads * sizeof(float));
  }
  check_free(NULL);
}

static void a_sequence_has_the_same_bits_whatever_its_neighbours(void **state)
{
  (void)state;
  static const struct tpo_attention_shape shapes[] = {
      SHAPE(2, 1, 64),
      SHAPE(1, 1, 128),
      SHAPE(3, 1, 24),
      SHAPE(1, 1, 6),
      {.heads = 2, .kv_heads = 1, .head_dim = 64, .window = 50, .softcap = 2}};
  for (int i = 0; i < 5; i++) {
    sequence_keeps_its_bits(TPO_BF16, shapes[i]);
    if (shapes[i].head_dim < 128) sequence_keeps_its_bits(TPO_F32, shapes[i]);
  }
}

/* As on GPUs whose blocks have 99 KiB of shared memory; the emulated one then has no more, either. */
static void make_gpu_small(bool small)
{
  if (small)
    setenv("TPO_EMULATION_SHARED", "101376", 1);
  else
    unsetenv("TPO_EMULATION_SHARED");
  tpo_cuda_limit_shared(check_cuda, small ? 101376 : 0);
}

static void bf16_gives_the_same_bits_with_less_shared_memory(void **state)
{
  (void)state;
  static const struct tpo_attention_shape shapes[] = {
      SHAPE(4, 2, 128),
      SHAPE(2, 1, 104),
      SHAPE(1, 1, 136),
      SHAPE(2, 1, 256),
      {.heads = 2, .kv_heads = 1, .head_dim = 128, .window = 50, .softcap = 2},
      {.heads = 2, .kv_heads = 1, .head_dim = 256, .window = 50, .softcap = 2}};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_BF16);
  for (int i = 0; i < 6; i++) {
    struct batch large = make_batch(ops, TPO_BF16, shapes[i], mixed_cu, MIXED_SEQS),
                 small = make_batch(ops, TPO_BF16, shapes[i], mixed_cu, MIXED_SEQS);
    run(check_cuda, ops, &large);
    make_gpu_small(true);
    run(check_cuda, ops, &small);
    make_gpu_small(false);
    assert_memory_equal(small.out.data, large.out.data, large.out.n * large.out.size);
    assert_memory_equal(small.dqkv.data, large.dqkv.data, large.dqkv.n * large.dqkv.size);
    assert_bits("lse", small.lse, large.lse, rows_of(&large) * (size_t)shapes[i].heads);
    check_free(NULL);
  }
}

static void fp32_heads_that_a_small_gpu_has_no_room_for_are_refused(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 3};
  const struct tpo_ops *ops = tpo_ops_for(check_cuda, TPO_F32);
  struct tpo_error err = {0};
  make_gpu_small(true);
  for (int head_dim = 128; head_dim <= 132; head_dim += 4) {
    struct batch b = make_batch(ops, TPO_F32, (struct tpo_attention_shape)SHAPE(1, 1, head_dim), cu, 1);
    ops->attention(check_cuda, b.qkv.data, b.out.data, b.lse, b.shape, cu, 1);
    assert_int_equal(ops->check(check_cuda, &err), head_dim > 128 ? TPO_E_UNSUPPORTED : 0);
    if (head_dim > 128) assert_non_null(strstr(err.message, "can have 101376 bytes of shared memory"));
    ops->attention_backward(check_cuda, b.dout.data, b.qkv.data, b.out.data, b.lse, b.dqkv.data, b.shape, cu,
                            1);
    assert_int_equal(ops->check(check_cuda, &err), head_dim > 128 ? TPO_E_UNSUPPORTED : 0);
  }
  make_gpu_small(false);
}

static void no_tokens_are_no_work(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 0, 0};
  for (int d = 0; d < 2; d++) {
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, d ? TPO_BF16 : TPO_F32);
    for (int n_seqs = 0; n_seqs < 3; n_seqs++) {
      struct batch b = make_batch(ops, TPO_F32, (struct tpo_attention_shape)SHAPE(2, 1, 64), cu, n_seqs);
      run(check_cuda, ops, &b);
    }
  }
}

static void a_head_dimension_over_256_is_refused_by_name(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 3};
  for (int d = 0; d < 2; d++) {
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, d ? TPO_BF16 : TPO_F32);
    struct batch b = make_batch(ops, TPO_F32, (struct tpo_attention_shape)SHAPE(1, 1, 264), cu, 1);
    struct tpo_error err = {0};
    ops->attention(check_cuda, b.qkv.data, b.out.data, b.lse, b.shape, cu, 1);
    assert_int_equal(ops->check(check_cuda, &err), TPO_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "264"));
    ops->attention_backward(check_cuda, b.dout.data, b.qkv.data, b.out.data, b.lse, b.dqkv.data, b.shape, cu,
                            1);
    assert_int_equal(ops->check(check_cuda, &err), TPO_E_UNSUPPORTED);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(bf16_values_and_gradients_match_the_reference),
      CHECK_TEST(bf16_takes_head_dimensions_that_tensor_cores_do_not),
      CHECK_TEST(fp32_values_and_gradients_match_the_reference_at_any_head_dimension),
      CHECK_TEST(windows_match_the_reference),
      CHECK_TEST(softcaps_and_scales_match_the_reference),
      CHECK_TEST(a_window_longer_than_all_sequences_is_none),
      CHECK_TEST(a_long_sequence_beside_many_short_ones_matches_the_reference),
      CHECK_TEST(bf16_keeps_its_precision_when_scores_are_large),
      CHECK_TEST(a_sequence_has_the_same_bits_whatever_its_neighbours),
      CHECK_TEST(bf16_gives_the_same_bits_with_less_shared_memory),
      CHECK_TEST(fp32_heads_that_a_small_gpu_has_no_room_for_are_refused),
      CHECK_TEST(no_tokens_are_no_work),
      CHECK_TEST(a_head_dimension_over_256_is_refused_by_name),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
