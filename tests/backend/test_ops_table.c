/* The table itself, memory, and the reference's matrix operations. */
#include "ops_check.h"

/* Every member after `activation_size` is a pointer to a function. */
static void assert_whole(const struct tpo_ops *ops, size_t activation_size)
{
  const char *first = (const char *)&ops->alloc, *end = (const char *)(ops + 1);
  assert_non_null(ops->name);
  assert_int_equal(ops->activation_size, activation_size);
  for (const char *at = first; at < end; at += sizeof(void (*)(void))) {
    void (*op)(void);
    memcpy(&op, at, sizeof op);
    if (!op) fail_msg("%s: operation %zu is missing", ops->name, (size_t)(at - first) / sizeof op);
  }
}

static void no_operation_is_missing(void **state)
{
  (void)state;
  assert_whole(tpo_ops(check_reference), sizeof(float));
  assert_true(check_n_cpus >= 2);
  for (int i = 0; i < check_n_cpus; i++) {
    struct tpo_backend *be = check_cpus[i].be;
    assert_whole(tpo_ops(be), sizeof(float));
    assert_whole(tpo_ops_for(be, TPO_F32), sizeof(float));
    assert_whole(tpo_ops_for(be, TPO_BF16), be == check_cuda ? sizeof(uint16_t) : sizeof(float));
  }
}

static void memory_is_aligned_zeroed_and_copied(void **state)
{
  (void)state;
  struct tpo_backend *both[] = {check_reference, check_cpus[0].be, check_cpus[check_n_cpus - 1].be};
  for (int b = 0; b < 3; b++) {
    const struct tpo_ops *ops = tpo_ops(both[b]);
    float *x, *y, host[100], back[100];
    assert_int_equal(ops->alloc(both[b], sizeof host, (void **)&x, NULL), 0);
    assert_int_equal(ops->alloc(both[b], sizeof host, (void **)&y, NULL), 0);
    assert_int_equal((uintptr_t)x % 64, 0);
    ops->download(both[b], host, x, sizeof host);
    for (int i = 0; i < 100; i++) {
      assert_true(host[i] == 0);
      host[i] = (float)i;
    }
    ops->upload(both[b], x, host, sizeof host);
    ops->copy(both[b], y, x, sizeof host);
    ops->zero(both[b], x, sizeof host);
    ops->download(both[b], back, y, sizeof host);
    assert_memory_equal(host, back, sizeof host);
    ops->download(both[b], back, x, sizeof host);
    for (int i = 0; i < 100; i++) assert_true(back[i] == 0);
    assert_int_equal(ops->check(both[b], NULL), 0);
    ops->free(both[b], x);
    ops->free(both[b], y);
  }
}

#define ROWS 13
#define COLS 6
#define N 5

struct linear_case {
  struct tpo_linear *w;
  float *values, *x, *dy, *y, *logprob, *lse;
  int32_t targets[N];
  bool lm_head;
};

/* sum of dy * (x W^T), or of dy * logprob */
static double linear_loss(void *context)
{
  struct linear_case *c = context;
  const struct tpo_ops *ops = tpo_ops(check_reference);
  ops->linear_set(check_reference, c->w, 0, ROWS, c->values, TPO_F32);
  if (c->lm_head) {
    ops->lm_head_logprob(check_reference, c->w, c->x, c->targets, c->logprob, c->lse, N, 0);
    return weighted_sum(c->dy, c->logprob, N);
  }
  ops->linear_forward(check_reference, c->w, c->x, c->y, N);
  return weighted_sum(c->dy, c->y, N * ROWS);
}

static void linear_begin(struct linear_case *c)
{
  *c = (struct linear_case){.values = normal(ROWS * COLS, 1),
                            .x = normal(N * COLS, 2),
                            .dy = normal(N * ROWS, 3),
                            .y = zeros(N * ROWS),
                            .logprob = zeros(N),
                            .lse = zeros(N),
                            .targets = {3, -1, 0, 12, 3}};
  assert_int_equal(tpo_ops(check_reference)->linear_create(check_reference, ROWS, COLS, TPO_F32, &c->w, NULL),
                   0);
  tpo_ops(check_reference)->linear_set(check_reference, c->w, 0, ROWS, c->values, TPO_F32);
}

static void reference_linear_backward_matches_differences(void **state)
{
  (void)state;
  struct linear_case c;
  const struct tpo_ops *ops = tpo_ops(check_reference);
  linear_begin(&c);
  float *dx = filled(N * COLS, 1), *dw = zeros(ROWS * COLS);
  ops->linear_backward_input(check_reference, c.w, c.dy, dx, N, false);
  ops->linear_backward_weight(check_reference, c.w, c.dy, c.x, dw, N);
  assert_gradient("dx", c.x, dx, N * COLS, linear_loss, &c, 1e-3);
  assert_gradient("dw", c.values, dw, ROWS * COLS, linear_loss, &c, 1e-3);
  ops->linear_set(check_reference, c.w, 0, ROWS, c.values, TPO_F32);
  float *twice = copy_of(dx, N * COLS);
  ops->linear_backward_input(check_reference, c.w, c.dy, twice, N, true);
  for (int i = 0; i < N * COLS; i++) assert_true(fabsf(twice[i] - 2 * dx[i]) < 1e-5f);
  ops->linear_free(check_reference, c.w);
}

static void reference_lm_head_backward_matches_differences(void **state)
{
  (void)state;
  struct linear_case c;
  const struct tpo_ops *ops = tpo_ops(check_reference);
  linear_begin(&c);
  c.lm_head = true;
  float *dh = filled(N * COLS, 1), *dw = zeros(ROWS * COLS);
  linear_loss(&c);
  assert_true(c.logprob[1] == 0);
  ops->lm_head_logprob_backward(check_reference, c.w, c.x, c.targets, c.lse, c.dy, dh, dw, N, 0);
  assert_gradient("dh", c.x, dh, N * COLS, linear_loss, &c, 1e-3);
  assert_gradient("dw", c.values, dw, ROWS * COLS, linear_loss, &c, 1e-3);
  ops->linear_free(check_reference, c.w);
}

static void reference_lm_head_agrees_with_its_logits(void **state)
{
  (void)state;
  struct linear_case c;
  linear_begin(&c);
  c.lm_head = true;
  linear_loss(&c);
  tpo_ops(check_reference)->lm_head_logits(check_reference, c.w, c.x, c.y, N, 0);
  for (int i = 0; i < N; i++) {
    double sum = 0;
    for (int r = 0; r < ROWS; r++) sum += exp((double)c.y[i * ROWS + r]);
    assert_true(fabs(c.lse[i] - log(sum)) < 1e-6);
    if (c.targets[i] >= 0) assert_true(fabs(c.logprob[i] - (c.y[i * ROWS + c.targets[i]] - log(sum))) < 2e-6);
  }
  tpo_ops(check_reference)->linear_free(check_reference, c.w);
}

static void reference_embedding_is_rows_and_their_sums(void **state)
{
  (void)state;
  struct linear_case c;
  const struct tpo_ops *ops = tpo_ops(check_reference);
  linear_begin(&c);
  const int32_t ids[N] = {2, 0, 2, 12, 5};
  float *out = zeros(N * COLS), *dtable = zeros(ROWS * COLS);
  ops->embed(check_reference, c.w, ids, out, N);
  ops->embed_backward(check_reference, ids, c.x, dtable, N, COLS);
  for (int k = 0; k < COLS; k++) {
    for (int i = 0; i < N; i++) assert_true(out[i * COLS + k] == c.values[ids[i] * COLS + k]);
    assert_true(dtable[2 * COLS + k] == c.x[k] + c.x[2 * COLS + k]);
    assert_true(dtable[COLS + k] == 0);
  }
  ops->linear_free(check_reference, c.w);
}

static void reference_rounds_bf16_weights_once(void **state)
{
  (void)state;
  const struct tpo_ops *ops = tpo_ops(check_reference);
  struct tpo_linear *w;
  float *values = normal(ROWS * COLS, 9), *back = zeros(ROWS * COLS);
  assert_int_equal(ops->linear_create(check_reference, ROWS, COLS, TPO_BF16, &w, NULL), 0);
  ops->linear_set(check_reference, w, 0, ROWS, values, TPO_F32);
  ops->linear_get(check_reference, w, 0, ROWS, back);
  for (int i = 0; i < ROWS * COLS; i++) assert_true(back[i] == tpo_bf16_to_f32(tpo_f32_to_bf16(values[i])));
  ops->linear_free(check_reference, w);
  struct tpo_error err = {0};
  assert_int_equal(ops->linear_create(check_reference, 0, COLS, TPO_F32, &w, &err), TPO_E_UNSUPPORTED);
  assert_contains(err.message, "0 x 6");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(no_operation_is_missing),
      CHECK_TEST(memory_is_aligned_zeroed_and_copied),
      CHECK_TEST(reference_linear_backward_matches_differences),
      CHECK_TEST(reference_lm_head_backward_matches_differences),
      CHECK_TEST(reference_lm_head_agrees_with_its_logits),
      CHECK_TEST(reference_embedding_is_rows_and_their_sums),
      CHECK_TEST(reference_rounds_bf16_weights_once),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
