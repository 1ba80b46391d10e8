/* Attention over the paged cache and in training, at every instruction set, against the reference. */
#include "attention_check.h"

static const struct tpo_attention_shape shapes[] = {SHAPE(9, 3, 64), SHAPE(8, 2, 128), SHAPE(4, 4, 8),
                                                    SHAPE(6, 1, 20), SHAPE(2, 2, 80)};
#define N_SHAPES ((int)(sizeof shapes / sizeof *shapes))

static void paged_attention_matches_reference(void **state)
{
  (void)state;
  static const int block_sizes[] = {16, 5, 64};
  for (int s = 0; s < N_SHAPES; s++)
    for (int d = 0; d < 2; d++)
      for (int b = 0; b < 3; b++) {
        if (few_rounds && b != (s + d) % 3) continue;
        enum tpo_dtype dtype = d ? TPO_BF16 : TPO_F32;
        int n = s == 0 ? 150 : 70;
        size_t size = (size_t)(n * shapes[s].heads * shapes[s].head_dim);
        float *qkv = normal((size_t)(n * row_floats(shapes[s])), 1), *expected = zeros(size);
        struct cache cache = make_cache(shapes[s], dtype, block_sizes[b], 2, n);
        prefill(check_reference, &cache, shapes[s], 1, n, n, qkv, expected);
        for (int c = 0; c < check_n_cpus; c++) {
          float *out = zeros(size);
          struct cache fresh = make_cache(shapes[s], dtype, block_sizes[b], 2, n);
          prefill(check_cpus[c].be, &fresh, shapes[s], 1, n, 37, qkv, out);
          assert_close("paged attention", out, expected, size, 3e-6);
        }
        check_free(NULL);
      }
}

/* The same row: alone, in another order, with other sequences, whatever the steps its prompt came in. */
static void paged_row_does_not_depend_on_batch(void **state)
{
  (void)state;
  struct tpo_attention_shape shape = shapes[0];
  enum { SEQS = 5, TOKENS = 201 };
  int row = row_floats(shape), width = shape.heads * shape.head_dim;
  for (int c = 0; c < check_n_cpus; c++) {
    struct tpo_backend *be = check_cpus[c].be;
    for (int d = few_rounds; d < 2; d++) {
      float *qkv[SEQS], *out[SEQS], *again = zeros(TOKENS * (size_t)width);
      struct cache cache = make_cache(shape, d ? TPO_BF16 : TPO_F32, 16, SEQS, TOKENS);
      struct cache steps = make_cache(shape, d ? TPO_BF16 : TPO_F32, 16, SEQS, TOKENS);
      for (int s = 0; s < SEQS; s++) {
        qkv[s] = normal(TOKENS * (size_t)row, (uint32_t)s);
        out[s] = zeros(TOKENS * (size_t)width);
        prefill(be, &cache, shape, s, TOKENS, TOKENS, qkv[s], out[s]);
      }
      if (!few_rounds) {
        prefill(be, &steps, shape, 0, TOKENS, 1, qkv[0], again);
        assert_bits("a token at a time", again, out[0], (size_t)(TOKENS * width));
      }
      prefill(be, &steps, shape, 0, TOKENS, 29, qkv[0], again);
      assert_bits("29 tokens at a time", again, out[0], (size_t)(TOKENS * width));

      static const int32_t seq[] = {3, 0, 1, 0, 4, 4}, pos[] = {200, 63, 150, 64, 7, 8};
      float *mixed = zeros(6 * (size_t)row), *result = zeros(6 * (size_t)width);
      for (int i = 0; i < 6; i++)
        memcpy(mixed + i * row, qkv[seq[i]] + pos[i] * row, (size_t)row * sizeof(float));
      struct tpo_paged_rows rows = plan_rows(be, &cache, shape, 6, seq, pos);
      tpo_ops(be)->attention_paged(be, &cache.kv, mixed, result, shape, &rows);
      for (int i = 0; i < 6; i++)
        assert_bits("among others", result + i * width, out[seq[i]] + pos[i] * width, (size_t)width);
      check_free(NULL);
    }
  }
}

static void paged_row_does_not_depend_on_block_size(void **state)
{
  (void)state;
  struct tpo_attention_shape shape = shapes[0];
  static const int block_sizes[] = {16, 1, 7, 32, 64, 256};
  size_t size = (size_t)(140 * shape.heads * shape.head_dim);
  for (int c = 0; c < check_n_cpus; c++)
    for (int d = few_rounds; d < 2; d++) {
      float *qkv = normal((size_t)(140 * row_floats(shape)), 1), *first = NULL;
      for (int b = 0; b < (few_rounds ? 2 : 6); b++) { /* of 16 and of 1 */
        float *out = zeros(size);
        struct cache cache = make_cache(shape, d ? TPO_BF16 : TPO_F32, block_sizes[b], 1, 140);
        prefill(check_cpus[c].be, &cache, shape, 0, 140, 140, qkv, out);
        if (!first) first = out;
        assert_bits("another block size", out, first, size);
      }
      check_free(NULL);
    }
}

/* Sequence 1 takes over sequence 0's blocks, copying the last one, which both go on writing. */
static void shared_prefix_gives_the_same_bits(void **state)
{
  (void)state;
  struct tpo_attention_shape shape = shapes[0];
  int width = shape.heads * shape.head_dim, row = row_floats(shape);
  for (int b = -1; b < check_n_cpus; b++) {
    struct tpo_backend *be = b < 0 ? check_reference : check_cpus[b].be;
    for (int d = 0; d < 2; d++) {
      float *qkv = normal(80 * (size_t)row, 1), *other = normal(80 * (size_t)row, 2);
      float *out = zeros(80 * (size_t)width), *shared = zeros(80 * (size_t)width);
      memcpy(other, qkv, 40 * (size_t)row * sizeof(float));
      struct cache cache = make_cache(shape, d ? TPO_BF16 : TPO_F32, 16, 3, 80);
      prefill(be, &cache, shape, 2, 80, 80, other, out);
      prefill(be, &cache, shape, 0, 40, 40, qkv, shared);
      int32_t *mine = cache.blocks + cache.max_blocks;
      mine[0] = cache.blocks[0];
      mine[1] = cache.blocks[1];
      tpo_ops(be)->kv_copy_block(be, &cache.kv, mine[2], cache.blocks[2], 8);
      int32_t seq[80], pos[80];
      for (int i = 0; i < 40; i++) {
        seq[i] = 1;
        pos[i] = 40 + i;
      }
      struct tpo_paged_rows rows = plan_rows(be, &cache, shape, 40, seq, pos);
      tpo_ops(be)->kv_write(be, &cache.kv, other + 40 * row, shape, &rows);
      tpo_ops(be)->attention_paged(be, &cache.kv, other + 40 * row, shared, shape, &rows);
      assert_bits("shared prefix", shared, out + 40 * width, (size_t)(40 * width));
      check_free(NULL);
    }
  }
}

static void attention_backward_matches_differences(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 5, 5, 6, 10};
  struct train_case c = make_train((struct tpo_attention_shape)SHAPE(4, 2, 6), cu, 4);
  size_t size = (size_t)(10 * row_floats(c.shape));
  float *dqkv = filled(size, 9);
  attention_loss(&c);
  tpo_ops(check_reference)
      ->attention_backward(check_reference, c.dout, c.qkv, c.out, c.lse, dqkv, c.shape, cu, 4);
  assert_gradient("dqkv", c.qkv, dqkv, size, attention_loss, &c, 2e-3);
}

static const int32_t train_cu[] = {0, 1, 65, 65, 193, 270};

static void training_attention_matches_reference(void **state)
{
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    struct train_case c = make_train(shapes[s], train_cu, 5);
    size_t size = (size_t)(270 * shapes[s].heads * shapes[s].head_dim),
           n_lse = (size_t)(270 * shapes[s].heads);
    size_t qkv_size = (size_t)(270 * row_floats(shapes[s]));
    float *dqkv = zeros(qkv_size), *first[CHECK_LEVELS] = {NULL};
    attention_loss(&c);
    tpo_ops(check_reference)
        ->attention_backward(check_reference, c.dout, c.qkv, c.out, c.lse, dqkv, c.shape, train_cu, 5);
    for (int b = 0; b < check_n_cpus; b++) {
      struct tpo_backend *be = check_cpus[b].be;
      float *out = zeros(size), *lse = zeros(n_lse), *gradient = filled(qkv_size, 9);
      tpo_ops(be)->attention(be, c.qkv, out, lse, c.shape, train_cu, 5);
      assert_close("out", out, c.out, size, 3e-6);
      assert_close("lse", lse, c.lse, n_lse, 2e-6);
      tpo_ops(be)->attention_backward(be, c.dout, c.qkv, out, lse, gradient, c.shape, train_cu, 5);
      assert_close("dqkv", gradient, dqkv, qkv_size, 2e-5);
      int level = check_cpus[b].level;
      if (!first[level]) first[level] = gradient;
      assert_bits("dqkv at another number of threads", gradient, first[level], qkv_size);
    }
    check_free(NULL);
  }
}

static void training_sequence_does_not_depend_on_its_neighbours(void **state)
{
  (void)state;
  static const int32_t alone_cu[] = {0, 128};
  struct train_case c = make_train(shapes[0], train_cu, 5);
  int width = c.shape.heads * c.shape.head_dim, row = row_floats(c.shape);
  for (int b = 0; b < check_n_cpus; b++) {
    struct tpo_backend *be = check_cpus[b].be;
    float *out = zeros((size_t)(128 * width)), *lse = zeros((size_t)(128 * c.shape.heads));
    float *dqkv = zeros((size_t)(128 * row)), *all = zeros((size_t)(270 * row));
    tpo_ops(be)->attention(be, c.qkv, c.out, c.lse, c.shape, train_cu, 5);
    tpo_ops(be)->attention_backward(be, c.dout, c.qkv, c.out, c.lse, all, c.shape, train_cu, 5);
    tpo_ops(be)->attention(be, c.qkv + 65 * row, out, lse, c.shape, alone_cu, 1);
    assert_bits("out", out, c.out + 65 * width, (size_t)(128 * width));
    assert_bits("lse", lse, c.lse + 65 * c.shape.heads, (size_t)(128 * c.shape.heads));
    tpo_ops(be)->attention_backward(be, c.dout + 65 * width, c.qkv + 65 * row, out, lse, dqkv, c.shape,
                                    alone_cu, 1);
    assert_bits("dqkv", dqkv, all + 65 * row, (size_t)(128 * row));
  }
}

/* What the sampler and the trainer compute for a sequence is the same on a CPU when the cache is fp32; a GPU
 * has a kernel for each, which agree to rounding. */
static void training_and_paged_attention_agree(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 180};
  for (int s = 0; s < N_SHAPES; s++) {
    struct train_case c = make_train(shapes[s], cu, 1);
    size_t size = (size_t)(180 * c.shape.heads * c.shape.head_dim);
    for (int b = 0; b < check_n_cpus; b++) {
      struct tpo_backend *be = check_cpus[b].be;
      struct cache cache = make_cache(c.shape, TPO_F32, 16, 1, 180);
      float *paged = zeros(size);
      tpo_ops(be)->attention(be, c.qkv, c.out, c.lse, c.shape, cu, 1);
      prefill(be, &cache, c.shape, 0, 180, 50, c.qkv, paged);
      if (be == check_cuda)
        assert_close("paged", paged, c.out, size, 3e-6);
      else
        assert_bits("paged", paged, c.out, size);
    }
    check_free(NULL);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(paged_attention_matches_reference),
      CHECK_TEST(paged_row_does_not_depend_on_batch),
      CHECK_TEST(paged_row_does_not_depend_on_block_size),
      CHECK_TEST(shared_prefix_gives_the_same_bits),
      CHECK_TEST(attention_backward_matches_differences),
      CHECK_TEST(training_attention_matches_reference),
      CHECK_TEST(training_sequence_does_not_depend_on_its_neighbours),
      CHECK_TEST(training_and_paged_attention_agree),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
