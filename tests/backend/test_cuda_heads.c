/* Norms of queries and keys, partial rotation and the way into the cache of the CUDA backend beside the reference,
 * with both types of activations. */
#include "ops_check.h"

#include "cuda_check.h"

enum { N = 19, BLOCK_TOKENS = 16, SEQS = 3, TABLE = 64 };

/* Heads that fill whole packs and lanes, parts of them, and neither; one too long for the fused gradient. */
static const struct tpo_attention_shape shapes[] = {SHAPE(4, 2, 128), SHAPE(6, 3, 64), SHAPE(20, 2, 80),
                                                    SHAPE(3, 1, 256), SHAPE(5, 5, 8),  SHAPE(2, 1, 20),
                                                    SHAPE(3, 3, 7),   SHAPE(2, 1, 264)};
#define N_SHAPES ((int)(sizeof shapes / sizeof *shapes))

static const enum tpo_dtype dtypes[] = {TPO_F32, TPO_BF16};

static double tolerance_of(enum tpo_dtype dtype)
{
  return dtype == TPO_BF16 ? 8e-3 : 4e-6;
}

static size_t width_of(struct tpo_attention_shape shape)
{
  return (size_t)(shape.heads + 2 * shape.kv_heads) * (size_t)shape.head_dim;
}

static struct tpo_qk_norm make_norm(struct tpo_attention_shape shape, bool whole)
{
  size_t q = (size_t)(whole ? shape.heads * shape.head_dim : shape.head_dim),
         k = (size_t)(whole ? shape.kv_heads * shape.head_dim : shape.head_dim);
  return (struct tpo_qk_norm){.q = normal(q, 21), .k = normal(k, 22), .whole = whole, .eps = 1e-5f};
}

struct results {
  struct check_values y, in_place, d;
  float *rstd, *dq, *dk;
};

/* Values moved by `shift` elements from where they'd be aligned. */
static void *moved(const struct check_values *v, int shift)
{
  return (char *)v->data + (size_t)shift * v->size;
}

static struct results norms(struct tpo_backend *be, struct tpo_attention_shape shape, bool whole,
                            enum tpo_dtype dtype, int n, int shift)
{
  const struct tpo_ops *ops = tpo_ops_for(be, dtype);
  size_t size = (size_t)n * width_of(shape) + (size_t)shift, hd = (size_t)shape.head_dim;
  size_t n_rstd = (size_t)n * (size_t)(whole ? 2 : shape.heads + shape.kv_heads);
  struct tpo_qk_norm norm = make_norm(shape, whole);
  struct check_values raw = check_values(ops, size, 1, dtype);
  struct results r = {.y = check_values(ops, size, 2, dtype),
                      .in_place = check_values(ops, size, 1, dtype),
                      .d = check_values(ops, size, 3, dtype),
                      .rstd = zeros(n_rstd),
                      .dq = normal((size_t)shape.heads * hd, 4),
                      .dk = normal((size_t)shape.kv_heads * hd, 5)};
  ops->qk_norm(be, moved(&raw, shift), moved(&r.y, shift), &norm, r.rstd, shape, n);
  ops->qk_norm(be, moved(&r.in_place, shift), moved(&r.in_place, shift), &norm, NULL, shape, n);
  ops->qk_norm_backward(be, moved(&r.d, shift), moved(&raw, shift), &norm, r.rstd, r.dq, r.dk, shape, n);
  check_wait(be);
  return r;
}

static void norms_match(struct tpo_attention_shape shape, bool whole, enum tpo_dtype dtype, int n, int shift)
{
  struct results got = norms(check_cuda, shape, whole, dtype, n, shift);
  struct results expected = norms(check_reference, shape, whole, dtype, n, shift);
  size_t hd = (size_t)shape.head_dim;
  check_values_close("y", &got.y, &expected.y, tolerance_of(dtype));
  assert_memory_equal(moved(&got.in_place, shift), moved(&got.y, shift),
                      ((got.y.n - (size_t)shift)) * got.y.size);
  check_values_close("dqkv", &got.d, &expected.d, tolerance_of(dtype));
  assert_close("rstd", got.rstd, expected.rstd,
               (size_t)n * (size_t)(whole ? 2 : shape.heads + shape.kv_heads), 1e-6);
  check_all_close("dq", got.dq, expected.dq, (size_t)shape.heads * hd, 4e-6);
  check_all_close("dk", got.dk, expected.dk, (size_t)shape.kv_heads * hd, 4e-6);
}

static void norms_and_their_gradients_match_the_reference(void **state)
{
  (void)state;
  for (int s = 0; s < N_SHAPES; s++)
    for (int t = 0; t < 4; t++) {
      norms_match(shapes[s], t / 2, dtypes[t % 2], N, 0);
      check_free(NULL);
    }
}

static void norms_take_any_address_and_many_rows(void **state)
{
  (void)state;
  for (int t = 0; t < 4; t++) {
    norms_match((struct tpo_attention_shape)SHAPE(4, 2, 64), t / 2, dtypes[t % 2], 5, 1);
    norms_match((struct tpo_attention_shape)SHAPE(3, 1, 16), t / 2, dtypes[t % 2], 700, 0);
    check_free(NULL);
  }
}

static void a_row_has_the_same_bits_alone_and_a_gradient_every_time(void **state)
{
  (void)state;
  struct tpo_attention_shape shape = SHAPE(6, 2, 40);
  for (int t = 0; t < 4; t++) {
    enum tpo_dtype dtype = dtypes[t % 2];
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtype);
    struct results all = norms(check_cuda, shape, t / 2, dtype, N, 0),
                   again = norms(check_cuda, shape, t / 2, dtype, N, 0);
    assert_bits("dq", again.dq, all.dq, 6 * 40);
    assert_bits("dk", again.dk, all.dk, 2 * 40);
    struct tpo_qk_norm norm = make_norm(shape, t / 2);
    struct check_values raw = check_values(ops, N * width_of(shape), 1, dtype),
                        alone = check_values(ops, width_of(shape), 6, dtype);
    size_t bytes = width_of(shape) * ops->activation_size;
    ops->qk_norm(check_cuda, (char *)raw.data + 5 * bytes, alone.data, &norm, NULL, shape, 1);
    check_wait(check_cuda);
    assert_memory_equal(alone.data, (char *)all.y.data + 5 * bytes, bytes);
    check_free(NULL);
  }
}

/* [TABLE, rotated]: cosines, then sines. */
static float *table_of(int rotated)
{
  float *table = zeros((size_t)(TABLE * rotated));
  for (int i = 0; i < TABLE * rotated; i++) {
    int c = i % rotated, half = rotated / 2;
    double angle = i / rotated * pow(100, -(double)(c % half) / half);
    table[i] = (float)(c < half ? cos(angle) : sin(angle));
  }
  return table;
}

static void a_part_of_a_head_is_rotated_and_back(void **state)
{
  (void)state;
  static const int cases[][2] = {{128, 96}, {64, 16}, {80, 40}, {20, 6}, {9, 4}, {16, 16}};
  for (int i = 0; i < 6; i++)
    for (int t = 0; t < 2; t++) {
      struct tpo_attention_shape shape = SHAPE(5, 2, cases[i][0]);
      shape.rotated = cases[i][1];
      size_t size = N * width_of(shape);
      const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtypes[t]);
      struct check_values x = check_values(ops, size, 1, dtypes[t]);
      float *expected = check_rounded(size, 1, dtypes[t]), *before = copy_of(expected, size);
      float *table = table_of(shape.rotated);
      int32_t *pos = check_alloc(N * sizeof *pos);
      for (int k = 0; k < N; k++) pos[k] = k * 7 % TABLE;
      tpo_ops(check_reference)->rope(check_reference, expected, pos, table, shape, N, false);
      ops->rope(check_cuda, x.data, pos, table, shape, N, false);
      check_all_close("rotated", check_floats(&x), expected, size, tolerance_of(dtypes[t]));
      ops->rope(check_cuda, x.data, pos, table, shape, N, true);
      check_all_close("and back", check_floats(&x), before, size, 2 * tolerance_of(dtypes[t]));
      check_free(NULL);
    }
}

struct cache_case {
  struct tpo_attention_shape shape;
  bool norm, whole, rotate, apart; /* apart: rope_at isn't the position */
};

struct written {
  struct check_values qkv;
  float *k, *v; // [n_blocks, kv_heads, BLOCK_TOKENS, head_dim]
  size_t n;
};

/* What rope_kv_write leaves of q, and of the cache as fp32; one_by_one: by the operations that it is made of. */
static struct written write_heads(struct tpo_backend *be, const struct cache_case *c, enum tpo_dtype act,
                                  enum tpo_dtype cached, bool one_by_one)
{
  const struct tpo_ops *ops = tpo_ops_for(be, act);
  const int n_blocks = SEQS * 2, heads = c->shape.kv_heads;
  size_t n = (size_t)n_blocks * (size_t)(heads * BLOCK_TOKENS * c->shape.head_dim);
  struct tpo_kv_layer kv = {check_alloc(n * tpo_dtype_size(cached)),
                            check_alloc(n * tpo_dtype_size(cached)),
                            cached,
                            BLOCK_TOKENS,
                            heads,
                            c->shape.head_dim};
  int32_t *ints = check_alloc((3 * N + 2 * SEQS) * sizeof *ints);
  for (int i = 0; i < N; i++) {
    ints[i] = i % SEQS;
    ints[N + i] = i / SEQS * 2;
    ints[2 * N + i] = c->apart ? TABLE / 2 + i / SEQS : ints[N + i];
  }
  for (int b = 0; b < 2 * SEQS; b++) ints[3 * N + b] = n_blocks - 1 - b;
  struct tpo_paged_rows rows = {.n = N,
                                .seq = ints,
                                .pos = ints + N,
                                .rope_at = c->apart ? ints + 2 * N : NULL,
                                .blocks = ints + 3 * N,
                                .max_blocks = 2};
  struct tpo_qk_norm norm = make_norm(c->shape, c->whole);
  float *table = c->rotate ? table_of(tpo_rotated(c->shape)) : NULL;
  struct written w = {.qkv = check_values(ops, N * width_of(c->shape), 1, act), .n = n};
  if (!one_by_one) {
    ops->rope_kv_write(be, &kv, w.qkv.data, c->norm ? &norm : NULL, table, c->shape, &rows);
  } else {
    if (c->norm) ops->qk_norm(be, w.qkv.data, w.qkv.data, &norm, NULL, c->shape, N);
    if (table) ops->rope(be, w.qkv.data, ints + 2 * N, table, c->shape, N, false);
    ops->kv_write(be, &kv, w.qkv.data, c->shape, &rows);
  }
  check_wait(be);
  w.k = zeros(n), w.v = zeros(n);
  tpo_convert(w.k, TPO_F32, kv.k, cached, n);
  tpo_convert(w.v, TPO_F32, kv.v, cached, n);
  return w;
}

static void write_matches(const struct cache_case *c, enum tpo_dtype act, enum tpo_dtype cached)
{
  struct written got = write_heads(check_cuda, c, act, cached, false),
                 expected = write_heads(check_reference, c, act, TPO_F32, false);
  double tolerance = act == TPO_BF16 || cached == TPO_BF16 ? 1.2e-2 : 4e-6;
  size_t width = width_of(c->shape), q = (size_t)(c->shape.heads * c->shape.head_dim);
  float *x = check_floats(&got.qkv), *y = check_floats(&expected.qkv);
  for (int i = 0; i < N; i++)
    check_all_close("q", x + (size_t)i * width, y + (size_t)i * width, q, tolerance);
  check_all_close("k", got.k, expected.k, got.n, tolerance);
  check_all_close("v", got.v, expected.v, got.n, tolerance);
  struct written parts = write_heads(check_cuda, c, act, cached, true);
  tolerance = act == TPO_BF16 || cached == TPO_BF16 ? 8e-3 : 1e-6; /* a sum in another order, rounded */
  check_all_close("k by parts", got.k, parts.k, got.n, tolerance);
  assert_bits("v by parts", got.v, parts.v, got.n);
}

static void heads_reach_the_cache_normed_and_rotated(void **state)
{
  (void)state;
  static const int cases[][2] = {{128, 0}, {128, 96}, {64, 16}, {80, 40}, {256, 0}, {20, 6}, {9, 4}, {8, 0}};
  for (int i = 0; i < 8; i++)
    for (int flags = 0; flags < 16; flags++) {
      struct cache_case c = {.shape = SHAPE(5, 2, cases[i][0]),
                             .norm = flags & 1,
                             .whole = flags & 8,
                             .rotate = flags & 2,
                             .apart = flags & 4};
      c.shape.rotated = cases[i][1];
      if ((c.whole && !c.norm) || (c.apart && !c.rotate)) continue;
      write_matches(&c, dtypes[i % 2], dtypes[flags % 3 != 0]);
      write_matches(&c, dtypes[1 - i % 2], dtypes[flags % 3 == 0]);
      check_free(NULL);
    }
}

/* Training of every model that the shape may belong to runs within what was reserved, in a recording too. */
static void reserved_memory_is_enough_for_norms_and_biases(void **state)
{
  (void)state;
  const struct tpo_attention_shape shape = SHAPE(40, 8, 128);
  const struct tpo_training_shape training = {.attention = shape,
                                              .hidden = 64,
                                              .ffn = 64,
                                              .vocab = 64,
                                              .tokens = 200,
                                              .longest = 200,
                                              .weights = TPO_BF16};
  struct tpo_backend *be;
  assert_int_equal(tpo_backend_open(&be, TPO_BACKEND_CUDA, 0, NULL), 0);
  const struct tpo_ops *ops = tpo_ops_for(be, TPO_BF16);
  struct tpo_linear *w;
  int width = (int)width_of(shape);
  assert_int_equal(ops->linear_create(be, width, 64, TPO_BF16, &w, NULL), 0);
  assert_int_equal(ops->training_reserve(be, &training, NULL), 0);
  size_t before = ops->memory_available(be);
  struct check_values x = check_values(ops, 200 * 64, 1, TPO_BF16),
                      y = check_values(ops, 200 * (size_t)width, 2, TPO_BF16),
                      d = check_values(ops, 200 * (size_t)width, 3, TPO_BF16);
  float *dbias = zeros((size_t)width), *dq = zeros(40 * 128), *dk = zeros(8 * 128), *rstd = zeros(200 * 48);
  const struct tpo_qk_norm norm[] = {make_norm(shape, false), make_norm(shape, true)};
  assert_int_equal(ops->replay(be, 5), 0);
  ops->linear_forward_bias(be, w, dbias, x.data, y.data, 200);
  ops->bias_backward(be, d.data, dbias, 200, width);
  for (int i = 0; i < 2; i++) {
    ops->qk_norm(be, y.data, y.data, &norm[i], rstd, shape, 200);
    ops->qk_norm_backward(be, d.data, y.data, &norm[i], rstd, dq, dk, shape, 200);
  }
  ops->record_end(be);
  check_wait(be);
  assert_int_equal(ops->memory_available(be), before);
  ops->linear_free(be, w);
  tpo_backend_close(be);
}

static void no_rows_are_no_work(void **state)
{
  (void)state;
  struct tpo_attention_shape shape = SHAPE(2, 1, 16);
  struct tpo_qk_norm norm = make_norm(shape, false);
  for (int t = 0; t < 2; t++) {
    const struct tpo_ops *ops = tpo_ops_for(check_cuda, dtypes[t]);
    struct check_values x = check_values(ops, 64, 1, dtypes[t]);
    float *dq = normal(16, 2), *kept = copy_of(dq, 16);
    ops->qk_norm(check_cuda, x.data, x.data, &norm, NULL, shape, 0);
    ops->qk_norm_backward(check_cuda, x.data, x.data, &norm, dq, dq, dq, shape, 0);
    check_wait(check_cuda);
    assert_bits("untouched", dq, kept, 16);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(norms_and_their_gradients_match_the_reference),
      CHECK_TEST(norms_take_any_address_and_many_rows),
      CHECK_TEST(a_row_has_the_same_bits_alone_and_a_gradient_every_time),
      CHECK_TEST(a_part_of_a_head_is_rotated_and_back),
      CHECK_TEST(heads_reach_the_cache_normed_and_rotated),
      CHECK_TEST(reserved_memory_is_enough_for_norms_and_biases),
      CHECK_TEST(no_rows_are_no_work),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
