/* Windows, soft-caps and other scales of attention, paged and in training, on every backend. */
#include "attention_check.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/simd/table.h"

/* Around the tiles of keys that kernels work on; longer than any sequence here. */
static const int windows[] = {1, 7, 63, 64, 65, 5000};
#define N_WINDOWS ((int)(sizeof windows / sizeof *windows))

static const struct tpo_attention_shape bases[] = {SHAPE(9, 3, 64), SHAPE(4, 2, 20), SHAPE(8, 2, 128),
                                                   SHAPE(4, 1, 256)};

/* The variant of a base: every window, with and without a cap of the scores and a scale of its own. */
static struct tpo_attention_shape variant(int base, int window, int i)
{
  struct tpo_attention_shape shape = bases[base];
  shape.window = windows[window];
  shape.softcap = i % 2 ? 2.5f : 0;
  shape.scale = i % 3 == 1 ? 1.7f / sqrtf((float)shape.head_dim) : 0;
  return shape;
}

/* The prompt in calls of at most `step` rows, blocks before the window being given back before each: their
 * number becomes -1, or that of a block of NaN. */
static void windowed_prefill(struct tpo_backend *be, struct cache *cache, struct tpo_attention_shape shape,
                             int n, int step, bool nan, const float *qkv, float *out)
{
  for (int at = 0; at < n; at += step) {
    int count = n - at < step ? n - at : step;
    check_ready();
    release_blocks(cache, shape, 0, at, nan ? cache->spare : -1);
    prefill_rows(be, cache, shape, 0, at, count, qkv, out);
  }
}

static void paged_windows_match_reference(void **state)
{
  (void)state;
  static const int block_sizes[] = {16, 5, 64};
  int i = 0, n = 150;
  for (int b = 0; b < 4; b++)
    for (int w = 0; w < N_WINDOWS; w++, i++) {
      if (few_rounds && i % 3) continue;
      struct tpo_attention_shape shape = variant(b, w, i);
      enum tpo_dtype dtype = i % 4 < 2 ? TPO_F32 : TPO_BF16;
      int block_tokens = block_sizes[(i + w) % 3];
      size_t size = (size_t)(n * shape.heads * shape.head_dim);
      float *qkv = normal((size_t)(n * row_floats(shape)), 1), *expected = zeros(size);
      struct cache cache = make_cache(shape, dtype, block_tokens, 1, n);
      windowed_prefill(check_reference, &cache, shape, n, 37, true, qkv, expected);
      for (int c = 0; c < check_n_cpus; c++) {
        float *out = zeros(size);
        struct cache fresh = make_cache(shape, dtype, block_tokens, 1, n);
        windowed_prefill(check_cpus[c].be, &fresh, shape, n, 37, i % 2, qkv, out);
        assert_close("paged attention", out, expected, size, 5e-6);
      }
      check_free(NULL);
    }
}

/* A row's bits are its position's, whatever the steps its prompt came in and whatever was given back. */
static void windowed_row_does_not_depend_on_its_step(void **state)
{
  (void)state;
  static const int steps[] = {201, 29, 1, 64};
  int n = 201;
  for (int w = 0; w < N_WINDOWS; w++)
    for (int d = 0; d < 2; d++) {
      struct tpo_attention_shape shape = variant(0, w, w + d);
      size_t size = (size_t)(n * shape.heads * shape.head_dim);
      float *qkv = normal((size_t)(n * row_floats(shape)), 1);
      for (int c = 0; c < check_n_cpus; c++) {
        float *first = NULL;
        for (int s = 0; s < 4; s++) {
          if (few_rounds && (steps[s] == 1 || (w + d) % 3)) continue;
          float *out = zeros(size);
          struct cache cache = make_cache(shape, d ? TPO_BF16 : TPO_F32, s % 2 ? 16 : 5, 1, n);
          windowed_prefill(check_cpus[c].be, &cache, shape, n, steps[s], s % 2, qkv, out);
          if (!first) first = out;
          assert_bits("in other steps", out, first, size);
        }
      }
      check_free(NULL);
    }
}

/* Rows of several sequences in one call, each with a window of its own. */
static void windowed_row_does_not_depend_on_batch(void **state)
{
  (void)state;
  enum { SEQS = 3, TOKENS = 150 };
  static const int32_t seq[] = {2, 0, 0, 1, 2, 0}, pos[] = {149, 63, 64, 7, 70, 148};
  for (int w = 1; w < N_WINDOWS; w += 2) {
    struct tpo_attention_shape shape = variant(0, w, 1);
    int row = row_floats(shape), width = shape.heads * shape.head_dim;
    for (int c = 0; c < check_n_cpus; c++) {
      struct tpo_backend *be = check_cpus[c].be;
      struct cache cache = make_cache(shape, TPO_BF16, 16, SEQS, TOKENS);
      float *qkv[SEQS], *out[SEQS], *mixed = zeros(6 * (size_t)row), *result = zeros(6 * (size_t)width);
      for (int s = 0; s < SEQS; s++) {
        qkv[s] = normal(TOKENS * (size_t)row, (uint32_t)s);
        out[s] = zeros(TOKENS * (size_t)width);
        prefill(be, &cache, shape, s, TOKENS, TOKENS, qkv[s], out[s]);
      }
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

/* What the words of the shape mean: a window of 1 leaves a token its own value; one that no sequence fills,
 * and a scale that is the usual one, change no bit. */
static void plain_cases_are_what_they_say(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 100};
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    struct train_case c = make_train(bases[0], cu, 1);
    int hd = c.shape.head_dim, width = c.shape.heads * hd, row = row_floats(c.shape);
    float *plain = zeros((size_t)(100 * width));
    tpo_ops(be)->attention(be, c.qkv, plain, c.lse, c.shape, cu, 1);
    c.shape.window = 100;
    c.shape.scale = 1.0f / sqrtf((float)hd);
    tpo_ops(be)->attention(be, c.qkv, c.out, c.lse, c.shape, cu, 1);
    assert_bits("as without", c.out, plain, (size_t)(100 * width));
    c.shape.window = 1;
    tpo_ops(be)->attention(be, c.qkv, c.out, c.lse, c.shape, cu, 1);
    for (int i = 0; i < 100; i++)
      for (int head = 0; head < c.shape.heads; head++)
        assert_close("own value", c.out + i * width + head * hd,
                     c.qkv + i * row + (c.shape.heads + c.shape.kv_heads + head / 3) * hd, (size_t)hd, 1e-6);
  }
}

static void backward_matches_differences(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 5, 5, 6, 12};
  for (int i = 0; i < 6; i++) {
    struct tpo_attention_shape shape = {
        4, 2, 6, .window = i % 3 == 0 ? 0 : 1 + i, .softcap = i < 4 ? 1.5f : 0, .scale = i % 2 ? 0.7f : 0};
    struct train_case c = make_train(shape, cu, 4);
    size_t size = (size_t)(12 * row_floats(shape));
    float *dqkv = filled(size, 9);
    attention_loss(&c);
    tpo_ops(check_reference)
        ->attention_backward(check_reference, c.dout, c.qkv, c.out, c.lse, dqkv, c.shape, cu, 4);
    assert_gradient("dqkv", c.qkv, dqkv, size, attention_loss, &c, 2e-3);
  }
}

static const int32_t train_cu[] = {0, 1, 65, 65, 193, 270};

static void check_training(int b, const struct train_case *c, const float *dqkv, float **first)
{
  struct tpo_backend *be = check_cpus[b].be;
  size_t rows = 270, size = rows * (size_t)(c->shape.heads * c->shape.head_dim);
  size_t n_lse = rows * (size_t)c->shape.heads, qkv_size = rows * (size_t)row_floats(c->shape);
  float *out = zeros(size), *lse = zeros(n_lse), *gradient = filled(qkv_size, 9);
  tpo_ops(be)->attention(be, c->qkv, out, lse, c->shape, train_cu, 5);
  assert_close("out", out, c->out, size, 5e-6);
  assert_close("lse", lse, c->lse, n_lse, 3e-6);
  tpo_ops(be)->attention_backward(be, c->dout, c->qkv, out, lse, gradient, c->shape, train_cu, 5);
  assert_close("dqkv", gradient, dqkv, qkv_size, 3e-5);
  if (!first[check_cpus[b].level]) first[check_cpus[b].level] = gradient;
  assert_bits("dqkv at another number of threads", gradient, first[check_cpus[b].level], qkv_size);
}

static void training_windows_match_reference(void **state)
{
  (void)state;
  int i = 1;
  for (int b = 0; b < 2; b++)
    for (int w = 0; w < N_WINDOWS; w++, i++) {
      if (few_rounds && i % 3) continue;
      struct train_case c = make_train(variant(b, w, i), train_cu, 5);
      float *dqkv = zeros((size_t)(270 * row_floats(c.shape))), *first[CHECK_LEVELS] = {NULL};
      attention_loss(&c);
      tpo_ops(check_reference)
          ->attention_backward(check_reference, c.dout, c.qkv, c.out, c.lse, dqkv, c.shape, train_cu, 5);
      for (int k = 0; k < check_n_cpus; k++) check_training(k, &c, dqkv, first);
      check_free(NULL);
    }
}

/* Windows that end before a tile does, some of whose queries are past all of them. */
static void training_windows_keep_to_their_scratch(void **state)
{
  (void)state;
  enum { TOKENS = 150, BEYOND = 1024 };
  static const int32_t cu[] = {0, TOKENS};
  static const int short_windows[] = {1, 16, 63};
  for (int w = 0; w < 3; w++) {
    struct tpo_attention_shape shape = bases[1];
    shape.window = short_windows[w];
    struct train_case c = make_train(shape, cu, 1);
    float *gradient = zeros((size_t)(TOKENS * row_floats(shape)));
    size_t bytes = tpo_flash_backward_bytes(shape.head_dim, TOKENS);
    attention_loss(&c);
    for (int b = 0; b < check_n_cpus; b++) {
      struct tpo_backend *be = check_cpus[b].be;
      if (be == check_cuda) continue;
      struct tpo_cpu *cpu = (struct tpo_cpu *)be;
      assert_int_equal(tpo_cpu_reserve(cpu, bytes + BEYOND), 0);
      for (int t = 0; t < cpu->threads; t++) memset((char *)cpu->per_thread[t].data + bytes, 0x5a, BEYOND);
      tpo_ops(be)->attention_backward(be, c.dout, c.qkv, c.out, c.lse, gradient, shape, cu, 1);
      for (int t = 0; t < cpu->threads; t++)
        for (int i = 0; i < BEYOND; i++)
          assert_int_equal(((const char *)cpu->per_thread[t].data)[bytes + (size_t)i], 0x5a);
    }
    check_free(NULL);
  }
}

static void training_and_paged_windows_agree(void **state)
{
  (void)state;
  static const int32_t cu[] = {0, 180};
  for (int w = 0; w < N_WINDOWS; w++) {
    struct train_case c = make_train(variant(w % 4, w, w), cu, 1);
    size_t size = (size_t)(180 * c.shape.heads * c.shape.head_dim);
    for (int b = 0; b < check_n_cpus; b++) {
      struct tpo_backend *be = check_cpus[b].be;
      struct cache cache = make_cache(c.shape, TPO_F32, 16, 1, 180);
      float *paged = zeros(size);
      tpo_ops(be)->attention(be, c.qkv, c.out, c.lse, c.shape, cu, 1);
      windowed_prefill(be, &cache, c.shape, 180, 50, true, c.qkv, paged);
      if (be == check_cuda)
        assert_close("paged", paged, c.out, size, 5e-6);
      else
        assert_bits("paged", paged, c.out, size);
    }
    check_free(NULL);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(paged_windows_match_reference),
      CHECK_TEST(windowed_row_does_not_depend_on_its_step),
      CHECK_TEST(windowed_row_does_not_depend_on_batch),
      CHECK_TEST(plain_cases_are_what_they_say),
      CHECK_TEST(backward_matches_differences),
      CHECK_TEST(training_windows_match_reference),
      CHECK_TEST(training_windows_keep_to_their_scratch),
      CHECK_TEST(training_and_paged_windows_agree),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
