/* A row of a matrix product has the same bits whatever the number of rows: bf16, with the matrices of
 * Llama-3-8B and the numbers of rows that passes have. Where the GPU is emulated, matrices are a 64th as
 * wide. */
#include "backend/cuda.h"
#include "ops_check.h"

struct matrix {
  const char *what;
  int rows, cols;
};
static const struct matrix matrices[] = {{"q, k and v", 6144, 4096},
                                         {"attention out", 4096, 4096},
                                         {"gate and up", 28672, 4096},
                                         {"down", 4096, 14336}};
static const struct matrix head = {"LM head", 128256, 4096};
static const int counts[] = {1, 8, 65, 256, 257, 512, 4096};
enum { N_COUNTS = sizeof counts / sizeof *counts, MOST = 4096, MOST_LOGITS = 512, BLOCK_ROWS = 64 };

static struct tpo_backend *be;
static float *bias;   // of any matrix, on the device
static int width = 1; /* matrices are this many times narrower */

static int open_cuda(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  if (tpo_backend_open(&be, TPO_BACKEND_CUDA, 0, &err) < 0) {
    print_error("%s\n", err.message);
    return -1;
  }
  if (strstr(be->description, "emulated")) width = 64;
  return 0;
}

static int close_cuda(void **state)
{
  (void)state;
  tpo_backend_close(be);
  return 0;
}

static void ready(void)
{
  struct tpo_error err = {0};
  if (tpo_ops(be)->check(be, &err) < 0) fail_msg("%s", err.message);
}

static void *device(size_t bytes)
{
  void *p;
  struct tpo_error err = {0};
  if (tpo_ops(be)->alloc(be, bytes, &p, &err) < 0) fail_msg("%s", err.message);
  return p;
}

/* Numbers about 1, whose sums depend on their order. */
static uint16_t *numbers(size_t n, uint32_t seed)
{
  uint16_t *x = malloc(n * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = (uint16_t)(0x3e00 + (seed >> 23) % 0x180 + (seed >> 16 & 0x8000));
  }
  return x;
}

static void *device_numbers(size_t n, uint32_t seed)
{
  uint16_t *x = numbers(n, seed);
  void *p = device(n * sizeof *x);
  tpo_ops(be)->upload(be, p, x, n * sizeof *x);
  ready();
  free(x);
  return p;
}

/* Rows repeat, which no product minds. */
static struct tpo_linear *weights(int rows, int cols)
{
  const struct tpo_ops *ops = tpo_ops_for(be, TPO_BF16);
  struct tpo_linear *w;
  struct tpo_error err = {0};
  if (ops->linear_create(be, rows, cols, TPO_BF16, &w, &err) < 0) fail_msg("%s", err.message);
  void *block = device_numbers((size_t)BLOCK_ROWS * cols, 1);
  for (int row = 0; row < rows; row += BLOCK_ROWS)
    ops->linear_set(be, w, row, rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS, block, TPO_BF16);
  ready();
  ops->free(be, block);
  return w;
}

typedef void product(const struct tpo_linear *w, const void *in, void *out, int n);

static void forward(const struct tpo_linear *w, const void *in, void *out, int n)
{
  tpo_ops_for(be, TPO_BF16)->linear_forward(be, w, in, out, n);
}

static void forward_bias(const struct tpo_linear *w, const void *in, void *out, int n)
{
  tpo_ops_for(be, TPO_BF16)->linear_forward_bias(be, w, bias, in, out, n);
}

static void backward(const struct tpo_linear *w, const void *in, void *out, int n)
{
  tpo_ops_for(be, TPO_BF16)->linear_backward_input(be, w, in, out, n, false);
}

static void logits(const struct tpo_linear *w, const void *in, void *out, int n)
{
  tpo_ops_for(be, TPO_BF16)->lm_head_logits(be, w, in, out, n, 0);
}

static void *host_rows(const void *from, size_t bytes)
{
  void *p = malloc(bytes);
  assert_non_null(p);
  tpo_ops(be)->download(be, p, from, bytes);
  return p;
}

/* The last n of `most` rows, computed alone, beside what they are among all. */
static void same_in_any_number(const char *what, const struct tpo_linear *w, product *run, size_t in_bytes,
                               size_t out_bytes, int most)
{
  void *in = device_numbers((size_t)most * in_bytes / 2, 3), *out = device((size_t)most * out_bytes);
  run(w, in, out, most);
  ready();
  char *all = host_rows(out, (size_t)most * out_bytes);
  for (int i = 0; i < N_COUNTS && counts[i] <= most; i++) {
    size_t n = (size_t)counts[i], before = (size_t)most - n;
    tpo_ops(be)->zero(be, out, n * out_bytes);
    run(w, (char *)in + before * in_bytes, out, counts[i]);
    ready();
    char *some = host_rows(out, n * out_bytes);
    for (size_t row = 0; row < n; row++)
      if (memcmp(some + row * out_bytes, all + (before + row) * out_bytes, out_bytes) != 0)
        fail_msg("%s: row %zu of %zu has other bits than as row %zu of %d", what, row, n, before + row, most);
    free(some);
  }
  free(all);
  tpo_ops(be)->free(be, in);
  tpo_ops(be)->free(be, out);
}

static void rows_of_every_matrix_have_the_same_bits(enum tpo_pass_kind pass)
{
  tpo_ops(be)->begin_pass(be, pass);
  for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
    int rows = matrices[i].rows / width, cols = matrices[i].cols / width;
    struct tpo_linear *w = weights(rows, cols);
    same_in_any_number(matrices[i].what, w, forward, (size_t)cols * 2, (size_t)rows * 2, MOST);
    if (i == 0) {                                 /* the one that has a bias */
      bias = device_numbers((size_t)rows * 2, 2); /* two bf16 numbers are the bits of an fp32 one */
      same_in_any_number("q, k and v with a bias", w, forward_bias, (size_t)cols * 2, (size_t)rows * 2, MOST);
      tpo_ops(be)->free(be, bias);
    }
    if (pass == TPO_PASS_PACKED)
      same_in_any_number(matrices[i].what, w, backward, (size_t)rows * 2, (size_t)cols * 2, MOST);
    tpo_ops(be)->linear_free(be, w);
  }
}

static void rows_have_the_same_bits_in_paged_passes_of_any_size(void **state)
{
  (void)state;
  rows_of_every_matrix_have_the_same_bits(TPO_PASS_PAGED);
}

static void rows_have_the_same_bits_in_packed_batches_of_any_size(void **state)
{
  (void)state;
  rows_of_every_matrix_have_the_same_bits(TPO_PASS_PACKED);
}

static void logits_have_the_same_bits_in_passes_of_any_size(void **state)
{
  (void)state;
  int rows = head.rows / width, cols = head.cols / width;
  struct tpo_linear *w = weights(rows, cols);
  tpo_ops(be)->begin_pass(be, TPO_PASS_PAGED);
  same_in_any_number(head.what, w, logits, (size_t)cols * 2, (size_t)rows * 4, MOST_LOGITS);
  tpo_ops(be)->linear_free(be, w);
}

/* Its sums are over the rows: what must hold is that every number of them is taken, and repeats. */
static void weight_gradients_take_any_number_of_rows(void **state)
{
  (void)state;
  const struct tpo_ops *ops = tpo_ops_for(be, TPO_BF16);
  ops->begin_pass(be, TPO_PASS_PACKED);
  int rows = matrices[0].rows / width, cols = matrices[0].cols / width;
  size_t bytes = (size_t)rows * (size_t)cols * sizeof(float);
  struct tpo_linear *w = weights(rows, cols);
  void *dy = device_numbers((size_t)MOST * rows, 4), *x = device_numbers((size_t)MOST * cols, 5),
       *dw = device(bytes);
  for (int i = 0; i < N_COUNTS; i++) {
    void *results[2];
    for (int k = 0; k < 2; k++) {
      ops->zero(be, dw, bytes);
      ops->linear_backward_weight(be, w, dy, x, dw, counts[i]);
      ready();
      results[k] = host_rows(dw, bytes);
    }
    assert_memory_equal(results[0], results[1], bytes);
    free(results[0]);
    free(results[1]);
  }
  void *all[] = {dy, x, dw};
  for (int i = 0; i < 3; i++) ops->free(be, all[i]);
  ops->linear_free(be, w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_have_the_same_bits_in_paged_passes_of_any_size),
      cmocka_unit_test(rows_have_the_same_bits_in_packed_batches_of_any_size),
      cmocka_unit_test(logits_have_the_same_bits_in_passes_of_any_size),
      cmocka_unit_test(weight_gradients_take_any_number_of_rows),
  };
  return cmocka_run_group_tests(tests, open_cuda, close_cuda);
}
