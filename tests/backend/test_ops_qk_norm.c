/* RMSNorm of queries and keys, rotation of a part of each head, and both fused with the write to the cache,
 * on every backend. */
#include "attention_check.h"

static const struct tpo_attention_shape shapes[] = {SHAPE(9, 3, 64), SHAPE(4, 2, 20), SHAPE(8, 2, 128),
                                                    SHAPE(3, 1, 6)};
#define N_SHAPES ((int)(sizeof shapes / sizeof *shapes))
#define N 131 /* rows: several tasks */
#define EPS 1e-6f

struct norm_case {
  struct tpo_attention_shape shape;
  struct tpo_qk_norm norm;
  int n, norms;         /* rows; of a row */
  size_t n_q, n_k;      /* weights */
  float *q, *k;         /* norm's, to be changed */
  float *raw, *qkv, *d; /* [n, row] */
  float *rstd;          /* [n, norms] */
};

static struct norm_case make_case(struct tpo_attention_shape shape, bool whole, int n)
{
  size_t hd = (size_t)shape.head_dim, size = (size_t)(n * row_floats(shape));
  struct norm_case c = {.shape = shape, .n = n, .norms = whole ? 2 : shape.heads + shape.kv_heads};
  c.n_q = (whole ? (size_t)shape.heads : 1) * hd;
  c.n_k = (whole ? (size_t)shape.kv_heads : 1) * hd;
  c.q = normal(c.n_q, 1);
  c.k = normal(c.n_k, 2);
  c.norm = (struct tpo_qk_norm){c.q, c.k, whole, EPS};
  c.raw = normal(size, 3);
  c.qkv = zeros(size);
  c.d = normal(size, 4);
  c.rstd = zeros((size_t)(n * c.norms));
  return c;
}

static void qk_norm(struct tpo_backend *be, struct norm_case *c, float *to, float *rstd)
{
  tpo_ops(be)->qk_norm(be, c->raw, to, &c->norm, rstd, c->shape, c->n);
}

/* The words of ops.h: a head's mean is its own, or that of all heads; values stay. */
static void reference_norms_are_what_they_say(void **state)
{
  (void)state;
  for (int whole = 0; whole < 2; whole++) {
    struct norm_case c = make_case(shapes[1], whole, 3);
    int hd = c.shape.head_dim, row = row_floats(c.shape);
    qk_norm(check_reference, &c, c.qkv, c.rstd);
    for (int i = 0; i < 3; i++)
      for (int head = 0; head < 8; head++) {
        bool key = head >= 4, value = head >= 6;
        int first = !whole ? head : key ? 4 : 0, heads = !whole ? 1 : key ? 2 : 4;
        double squares = 0;
        for (int k = first * hd; k < (first + heads) * hd; k++) squares += pow(c.raw[i * row + k], 2);
        double rstd = value ? 1 : 1 / sqrt(squares / (heads * hd) + EPS);
        for (int k = 0; k < hd; k++) {
          const float *w = key ? c.k : c.q;
          double weight = value ? 1 : w[(head - first) * hd + k];
          int at = i * row + head * hd + k;
          assert_true(fabs(c.qkv[at] - c.raw[at] * rstd * weight) < 1e-5);
        }
      }
  }
}

static void qk_norm_matches_reference(void **state)
{
  (void)state;
  for (int s = 0; s < N_SHAPES; s++)
    for (int whole = 0; whole < 2; whole++) {
      struct norm_case c = make_case(shapes[s], whole, N);
      size_t row = (size_t)row_floats(c.shape), size = N * row;
      qk_norm(check_reference, &c, c.qkv, c.rstd);
      for (int b = 0; b < check_n_cpus; b++) {
        struct tpo_backend *be = check_cpus[b].be;
        float *qkv = filled(size, 9), *rstd = zeros((size_t)(N * c.norms)), *same = copy_of(c.raw, size);
        qk_norm(be, &c, qkv, rstd);
        assert_close("qkv", qkv, c.qkv, size, 2e-6);
        assert_close("rstd", rstd, c.rstd, (size_t)(N * c.norms), 2e-6);
        tpo_ops(be)->qk_norm(be, same, same, &c.norm, NULL, c.shape, N);
        assert_bits("in place, without rstd", same, qkv, size);
        float *alone = zeros(row);
        tpo_ops(be)->qk_norm(be, c.raw + 77 * row, alone, &c.norm, NULL, c.shape, 1);
        assert_bits("row alone", alone, qkv + 77 * row, row);
      }
      check_free(NULL);
    }
}

static double norm_loss(void *context)
{
  struct norm_case *c = context;
  qk_norm(check_reference, c, c->qkv, NULL);
  return weighted_sum(c->d, c->qkv, (size_t)(c->n * row_floats(c->shape)));
}

static void qk_norm_backward_matches_differences(void **state)
{
  (void)state;
  for (int whole = 0; whole < 2; whole++) {
    struct norm_case c = make_case(shapes[3], whole, 3);
    size_t size = (size_t)(3 * row_floats(c.shape));
    float *gradient = copy_of(c.d, size), *dq = filled(c.n_q, 2), *dk = filled(c.n_k, -1);
    qk_norm(check_reference, &c, c.qkv, c.rstd);
    tpo_ops(check_reference)
        ->qk_norm_backward(check_reference, gradient, c.raw, &c.norm, c.rstd, dq, dk, c.shape, 3);
    for (size_t i = 0; i < c.n_q; i++) dq[i] -= 2; /* they are added to */
    for (size_t i = 0; i < c.n_k; i++) dk[i] += 1;
    assert_gradient("dqkv", c.raw, gradient, size, norm_loss, &c, 3e-3);
    assert_gradient("dq", c.q, dq, c.n_q, norm_loss, &c, 2e-3);
    assert_gradient("dk", c.k, dk, c.n_k, norm_loss, &c, 2e-3);
  }
}

static void qk_norm_backward_matches_reference(void **state)
{
  (void)state;
  for (int s = 0; s < N_SHAPES; s++)
    for (int whole = 0; whole < 2; whole++) {
      struct norm_case c = make_case(shapes[s], whole, N);
      size_t size = (size_t)(N * row_floats(c.shape));
      float *expected = copy_of(c.d, size), *dq0 = normal(c.n_q, 5), *dk0 = normal(c.n_k, 6);
      float *expected_dq = copy_of(dq0, c.n_q), *expected_dk = copy_of(dk0, c.n_k);
      float *first_dq[CHECK_LEVELS] = {NULL}, *first_dk[CHECK_LEVELS] = {NULL};
      qk_norm(check_reference, &c, c.qkv, c.rstd);
      tpo_ops(check_reference)
          ->qk_norm_backward(check_reference, expected, c.raw, &c.norm, c.rstd, expected_dq, expected_dk,
                             c.shape, N);
      for (int b = 0; b < check_n_cpus; b++) {
        struct tpo_backend *be = check_cpus[b].be;
        int level = check_cpus[b].level;
        float *gradient = copy_of(c.d, size), *dq = copy_of(dq0, c.n_q), *dk = copy_of(dk0, c.n_k);
        tpo_ops(be)->qk_norm_backward(be, gradient, c.raw, &c.norm, c.rstd, dq, dk, c.shape, N);
        assert_close("dqkv", gradient, expected, size, 1e-5);
        assert_close("dq", dq, expected_dq, c.n_q, 5e-5); /* sums of N * heads */
        assert_close("dk", dk, expected_dk, c.n_k, 5e-5);
        if (!first_dq[level]) {
          first_dq[level] = dq;
          first_dk[level] = dk;
        }
        assert_bits("dq at another number of threads", dq, first_dq[level], c.n_q);
        assert_bits("dk at another number of threads", dk, first_dk[level], c.n_k);
      }
      check_free(NULL);
    }
}

/* [rows, rotated]: cosines, then sines */
static float *rope_table(int rows, int rotated)
{
  float *table = zeros((size_t)(rows * rotated));
  for (int i = 0; i < rows * rotated; i++) {
    int p = i / rotated, half = rotated / 2, c = i % rotated;
    double angle = p * pow(10000, -(double)(c % half) / half);
    table[i] = (float)(c < half ? cos(angle) : sin(angle));
  }
  return table;
}

static void part_of_a_head_is_rotated(void **state)
{
  (void)state;
  static const int rotated[] = {2, 24, 32, 64};
  for (int r = 0; r < 4; r++) {
    struct tpo_attention_shape shape = shapes[0];
    shape.rotated = rotated[r];
    size_t row = (size_t)row_floats(shape), size = 33 * row;
    float *qkv = normal(size, 1), *table = rope_table(50, rotated[r]), *expected = copy_of(qkv, size);
    int32_t *pos = check_alloc(33 * sizeof *pos);
    for (int i = 0; i < 33; i++) pos[i] = i * 7 % 50;
    tpo_ops(check_reference)->rope(check_reference, expected, pos, table, shape, 33, false);
    for (size_t head = 0; head < 12;
         head++) /* of q and k: the rest of each stays, its first pair is turned */
      for (size_t i = 0; i < 33; i++) {
        const float *was = qkv + i * row + head * 64, *is = expected + i * row + head * 64;
        size_t part = (size_t)rotated[r];
        assert_bits("what isn't rotated", is + part, was + part, 64 - part);
        double a = was[0], b = was[part / 2], t = pos[i];
        assert_true(fabs(is[0] - (a * cos(t) - b * sin(t))) < 1e-5);
      }
    for (int c = 0; c < check_n_cpus; c++) {
      float *x = copy_of(qkv, size);
      tpo_ops(check_cpus[c].be)->rope(check_cpus[c].be, x, pos, table, shape, 33, false);
      assert_close("rope", x, expected, size, 1e-6);
      tpo_ops(check_cpus[c].be)->rope(check_cpus[c].be, x, pos, table, shape, 33, true);
      assert_close("there and back", x, qkv, size, 2e-6);
    }
  }
}

/* norm, rotation and write: what rope_kv_write has to do with one call. */
static void apart(struct tpo_backend *be, const struct cache *cache, float *qkv,
                  const struct tpo_qk_norm *norm, const float *table, struct tpo_attention_shape shape,
                  const struct tpo_paged_rows *rows)
{
  const struct tpo_ops *ops = tpo_ops(be);
  if (norm) ops->qk_norm(be, qkv, qkv, norm, NULL, shape, rows->n);
  if (table) ops->rope(be, qkv, rows->rope_at ? rows->rope_at : rows->pos, table, shape, rows->n, false);
  ops->kv_write(be, &cache->kv, qkv, shape, rows);
}

/* Rows of two sequences; rope_at: the second's lie in a later stretch of the table. */
static struct tpo_paged_rows write_rows(const struct cache *cache, int n, bool rope_at)
{
  int32_t *seq = check_alloc((size_t)n * sizeof *seq), *pos = check_alloc((size_t)n * sizeof *pos);
  int32_t *at = check_alloc((size_t)n * sizeof *at);
  for (int i = 0; i < n; i++) {
    seq[i] = i % 2;
    pos[i] = i / 2;
    at[i] = pos[i] + 40 * seq[i];
  }
  return (struct tpo_paged_rows){.n = n,
                                 .seq = seq,
                                 .pos = pos,
                                 .rope_at = rope_at ? at : NULL,
                                 .blocks = cache->blocks,
                                 .max_blocks = cache->max_blocks};
}

/* What attention finds in the cache, which a GPU lays out its own way. */
static float *attend(struct tpo_backend *be, const struct cache *cache, struct tpo_attention_shape shape,
                     struct tpo_paged_rows rows, const float *qkv)
{
  float *out = zeros((size_t)(rows.n * shape.heads * shape.head_dim));
  struct tpo_paged_host host = {rows.seq, rows.pos, cache->blocks, cache->n_seqs};
  tpo_ops(be)->paged_prepare(be, &rows, &host, shape, cache->kv.block_tokens);
  tpo_ops(be)->attention_paged(be, &cache->kv, qkv, out, shape, &rows);
  return out;
}

/* The cache and q after one call are, on a CPU to the bit, those after the calls that it stands for. */
static void check_write(struct tpo_backend *be, struct tpo_attention_shape shape, enum tpo_dtype dtype, int n,
                        int what)
{
  struct cache cache = make_cache(shape, dtype, 16, 2, 40), other = make_cache(shape, dtype, 16, 2, 40);
  struct norm_case c = make_case(shape, what & 4, n);
  const struct tpo_qk_norm *norm = what & 1 ? &c.norm : NULL;
  const float *table = what & 2 ? rope_table(80, tpo_rotated(shape)) : NULL;
  struct tpo_paged_rows rows = write_rows(&cache, n, what & 8);
  size_t row = (size_t)row_floats(shape), queries = (size_t)(shape.heads * shape.head_dim);
  float *fused = copy_of(c.raw, (size_t)n * row);
  tpo_ops(be)->rope_kv_write(be, &cache.kv, fused, norm, table, shape, &rows);
  apart(be, &other, c.raw, norm, table, shape, &rows); /* its blocks have the same numbers */
  if (be == check_cuda) {
    for (size_t i = 0; i < (size_t)n; i++) assert_close("q", fused + i * row, c.raw + i * row, queries, 2e-6);
    float *out = attend(be, &cache, shape, rows, c.raw), *expected = attend(be, &other, shape, rows, c.raw);
    assert_close("out", out, expected, (size_t)n * queries, dtype == TPO_BF16 ? 2e-2 : 5e-6);
    return;
  }
  for (size_t i = 0; i < (size_t)n; i++) assert_bits("q", fused + i * row, c.raw + i * row, queries);
  size_t block = (size_t)(shape.kv_heads * 16 * shape.head_dim) * tpo_dtype_size(dtype);
  assert_memory_equal(cache.kv.k, other.kv.k, (size_t)(2 * cache.max_blocks) * block);
  assert_memory_equal(cache.kv.v, other.kv.v, (size_t)(2 * cache.max_blocks) * block);
}

static void one_call_norms_rotates_and_writes(void **state)
{
  (void)state;
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    for (int s = 0; s < 3; s++)
      for (int what = 0; what < 16; what++) {
        struct tpo_attention_shape shape = shapes[s];
        if (what % 3 == 1) shape.rotated = shape.head_dim / 4 * 2;
        check_write(be, shape, (what + s) % 2 ? TPO_BF16 : TPO_F32, what == 5 ? 0 : 70, what);
        check_free(NULL);
      }
  }
}

static void no_rows_are_no_work(void **state)
{
  (void)state;
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    struct norm_case c = make_case(shapes[1], false, 1);
    float *dq = filled(c.n_q, 3), *dk = filled(c.n_k, 4), *kept = copy_of(c.raw, 1);
    c.n = 0;
    qk_norm(be, &c, c.raw, c.rstd);
    tpo_ops(be)->qk_norm_backward(be, c.d, c.raw, &c.norm, c.rstd, dq, dk, c.shape, 0);
    assert_bits("raw", c.raw, kept, 1);
    assert_bits("dq", dq, filled(c.n_q, 3), c.n_q);
    assert_bits("dk", dk, filled(c.n_k, 4), c.n_k);
    assert_int_equal(tpo_ops(be)->check(be, NULL), 0);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(reference_norms_are_what_they_say),
      CHECK_TEST(qk_norm_matches_reference),
      CHECK_TEST(qk_norm_backward_matches_differences),
      CHECK_TEST(qk_norm_backward_matches_reference),
      CHECK_TEST(part_of_a_head_is_rotated),
      CHECK_TEST(one_call_norms_rotates_and_writes),
      CHECK_TEST(no_rows_are_no_work),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
