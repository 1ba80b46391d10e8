/* The loss of preference pairs on every backend: values by the published formulas, derivatives by
 * differences. */
#include "ops_check.h"

#define LENGTH 1500
#define N_PAIRS 6

/* Pairs of unequal lengths in a row of values with gaps; the fourth and fifth have an empty side. */
static const struct tpo_loss_pair pairs[N_PAIRS] = {
    {2, 5, 9, 4, -3.5, -2.25, 5}, {20, 1, 21, 3, -0.5, -6, 1},  {30, 700, 740, 300, -50, -40, 700},
    {1050, 0, 1052, 6, 0, -4, 0}, {1060, 5, 1070, 0, -1, 0, 4}, {1100, 33, 1140, 257, -3, 8, 20},
};

static const struct tpo_loss_args variants[] = {
    {TPO_LOSS_DPO, 0.1, 0, 0, 1},   {TPO_LOSS_DPO, 0.5, 0.1, 0, 0.25}, {TPO_LOSS_DPO, 0.3, 0, 0.2, 2},
    {TPO_LOSS_IPO, 0.1, 0, 0, 0.5}, {TPO_LOSS_IPO, 0.7, 0, 1, 1},
};
#define N_VARIANTS ((int)(sizeof variants / sizeof *variants))

/* Near zero, as sums of many real log-probabilities are not, so that differences show each derivative. */
static float *logprobs(void)
{
  float *x = normal(LENGTH, 1);
  for (int i = 0; i < LENGTH; i++) x[i] = -0.2f * fabsf(x[i]);
  return x;
}

static double log_sigmoid(double x)
{
  return -log(1 + exp(-x));
}

static double expected_loss(const struct tpo_loss_args *args, const struct tpo_loss_pair *p, double chosen,
                            double rejected)
{
  double h = chosen - p->ref_chosen - (rejected - p->ref_rejected), s = args->label_smoothing;
  double loss = args->kind == TPO_LOSS_IPO
                    ? pow(h - 0.5 / args->beta, 2)
                    : -(1 - s) * log_sigmoid(args->beta * h) - s * log_sigmoid(-args->beta * h);
  return p->nll_tokens > 0 ? loss - args->nll * chosen / p->nll_tokens : loss;
}

static double sum_of(const float *x, int n)
{
  double sum = 0;
  for (int i = 0; i < n; i++) sum += x[i];
  return sum;
}

static struct tpo_backend *backend(int b)
{
  return b < check_n_cpus ? check_cpus[b].be : check_reference;
}

static void losses_and_sums_are_those_of_the_formulas(void **state)
{
  (void)state;
  float *x = logprobs();
  for (int v = 0; v < N_VARIANTS; v++)
    for (int b = 0; b <= check_n_cpus; b++) {
      struct tpo_loss_result results[N_PAIRS];
      float *dx = zeros(LENGTH);
      tpo_ops(backend(b))->preference_loss(backend(b), x, dx, pairs, results, N_PAIRS, &variants[v]);
      for (int p = 0; p < N_PAIRS; p++) {
        double chosen = sum_of(x + pairs[p].chosen, pairs[p].n_chosen),
               rejected = sum_of(x + pairs[p].rejected, pairs[p].n_rejected);
        double margin =
            variants[v].beta * (chosen - pairs[p].ref_chosen - (rejected - pairs[p].ref_rejected));
        double loss = expected_loss(&variants[v], &pairs[p], chosen, rejected);
        assert_true(fabs(results[p].chosen - chosen) <= 1e-12 * (1 + fabs(chosen)));
        assert_true(fabs(results[p].rejected - rejected) <= 1e-12 * (1 + fabs(rejected)));
        assert_true(fabs(results[p].margin - margin) <= 1e-11 * (1 + fabs(margin)));
        assert_true(fabs(results[p].loss - loss) <= 1e-11 * (1 + fabs(loss)));
      }
    }
}

struct loss_case {
  struct tpo_backend *be;
  const struct tpo_loss_args *args;
  float *x, *dx;
};

static double scaled_loss(void *context)
{
  struct loss_case *c = context;
  struct tpo_loss_result results[N_PAIRS];
  tpo_ops(c->be)->preference_loss(c->be, c->x, c->dx, pairs, results, N_PAIRS, c->args);
  double sum = 0;
  for (int p = 0; p < N_PAIRS; p++) sum += results[p].loss;
  return c->args->scale * sum;
}

/* Outside the pairs' values differences are 0, and so is what was put into dlogprob before. */
static void derivatives_match_differences(void **state)
{
  (void)state;
  for (int v = 0; v < N_VARIANTS; v++) {
    struct loss_case c = {check_reference, &variants[v], logprobs(), zeros(LENGTH)};
    float *dx = zeros(LENGTH);
    struct tpo_loss_result results[N_PAIRS];
    tpo_ops(c.be)->preference_loss(c.be, c.x, dx, pairs, results, N_PAIRS, c.args);
    assert_gradient("dlogprob", c.x, dx, LENGTH, scaled_loss, &c, 1e-5);
  }
}

/* Of the values by the sums that the op tells beside: training looks at those. */
static void derivatives_are_told_as_they_are_written(void **state)
{
  (void)state;
  float *x = logprobs();
  for (int v = 0; v < N_VARIANTS; v++)
    for (int b = 0; b < check_n_cpus; b++) {
      struct tpo_loss_result results[N_PAIRS];
      float *dx = zeros(LENGTH);
      tpo_ops(backend(b))->preference_loss(backend(b), x, dx, pairs, results, N_PAIRS, &variants[v]);
      for (int p = 0; p < N_PAIRS; p++) {
        if (pairs[p].n_chosen > 0) assert_true(dx[pairs[p].chosen] == (float)results[p].by_chosen);
        if (pairs[p].n_rejected > 0) assert_true(dx[pairs[p].rejected] == (float)results[p].by_rejected);
      }
    }
}

static void derivatives_match_the_reference_and_nothing_else_is_written(void **state)
{
  (void)state;
  float *x = logprobs();
  for (int v = 0; v < N_VARIANTS; v++) {
    struct tpo_loss_result results[N_PAIRS];
    float *expected = filled(LENGTH, 7);
    tpo_ops(check_reference)
        ->preference_loss(check_reference, x, expected, pairs, results, N_PAIRS, &variants[v]);
    assert_true(expected[0] == 7 && expected[35] != 7 && expected[LENGTH - 1] == 7);
    for (int b = 0; b < check_n_cpus; b++) {
      float *dx = filled(LENGTH, 7);
      tpo_ops(backend(b))->preference_loss(backend(b), x, dx, pairs, results, N_PAIRS, &variants[v]);
      assert_close("dlogprob", dx, expected, LENGTH, 1e-6);
    }
  }
}

static void a_pair_has_the_same_bits_alone(void **state)
{
  (void)state;
  float *x = logprobs();
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_loss_result together[N_PAIRS], alone;
    float *dx = zeros(LENGTH), *dx_alone = zeros(LENGTH);
    tpo_ops(backend(b))->preference_loss(backend(b), x, dx, pairs, together, N_PAIRS, &variants[2]);
    for (int p = 0; p < N_PAIRS; p++) {
      tpo_ops(backend(b))->preference_loss(backend(b), x, dx_alone, &pairs[p], &alone, 1, &variants[2]);
      assert_memory_equal(&alone, &together[p], sizeof alone);
    }
    assert_bits("dlogprob", dx_alone, dx, LENGTH);
  }
}

/* exp of the margin has no double; the loss is |beta h| on the wrong side and 0 on the right one. */
static void large_differences_do_not_overflow(void **state)
{
  (void)state;
  static const struct tpo_loss_pair far[2] = {{0, 1, 1, 1, -40000, 0, 1}, {2, 1, 3, 1, 40000, 0, 1}};
  static const struct tpo_loss_args args = {TPO_LOSS_DPO, 0.5, 0, 0, 1};
  for (int b = 0; b <= check_n_cpus; b++) {
    float *x = zeros(4), *dx = filled(4, 7);
    struct tpo_loss_result results[2];
    tpo_ops(backend(b))->preference_loss(backend(b), x, dx, far, results, 2, &args);
    assert_true(results[0].loss == 0 && results[1].loss == 20000);
    assert_true(results[0].margin == 20000 && results[1].margin == -20000);
    assert_true(dx[0] == 0 && dx[1] == 0 && dx[2] == -0.5f && dx[3] == 0.5f);
  }
}

static void no_pairs_are_no_work(void **state)
{
  (void)state;
  float *x = zeros(4), *dx = filled(4, 7);
  for (int b = 0; b <= check_n_cpus; b++)
    tpo_ops(backend(b))->preference_loss(backend(b), x, dx, NULL, NULL, 0, &variants[0]);
  assert_true(dx[0] == 7);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(losses_and_sums_are_those_of_the_formulas),
      CHECK_TEST(derivatives_match_differences),
      CHECK_TEST(derivatives_match_the_reference_and_nothing_else_is_written),
      CHECK_TEST(derivatives_are_told_as_they_are_written),
      CHECK_TEST(a_pair_has_the_same_bits_alone),
      CHECK_TEST(large_differences_do_not_overflow),
      CHECK_TEST(no_pairs_are_no_work),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
