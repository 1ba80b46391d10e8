/* The KL estimators on numbers worked out by hand. */
#include "measure/rows.h"
#include "measure/dynamics.h"

static void equal_models_are_at_no_distance(void **state)
{
  (void)state;
  const float p[] = {-0.5F, -2, -7};
  struct kl_sums sums[2] = {{0}};
  struct kl kl;
  double scratch[2];
  kl_add(&sums[0], p, p, NULL, 3);
  kl_add(&sums[1], p, p, NULL, 2);
  kl_of(sums, 2, scratch, &kl);
  assert_true(kl.outputs == 2 && kl.tokens == 5);
  assert_true(kl.per_output == 0 && kl.per_output_se == 0 && kl.per_token == 0 && kl.k3_per_token == 0);
}

static void both_estimators_are_their_formulas(void **state)
{
  (void)state;
  const float model[] = {-1, -2, -0.5F, -9}, reference[] = {-1.5F, -1.75F, -0.5F, -1};
  const uint8_t inserted[] = {0, 0, 0, 1};
  struct kl_sums sums[2] = {{0}};
  struct kl kl;
  double scratch[2];
  kl_add(&sums[0], model, reference, inserted, 4); /* the last token was not sampled */
  kl_add(&sums[1], model, reference, NULL, 1);
  kl_of(sums, 2, scratch, &kl);
  assert_true(kl.outputs == 2 && kl.tokens == 4);
  assert_near(kl.per_output, (0.25 + 0.5) / 2);
  assert_near(kl.per_output_se, 0.125);
  assert_near(kl.per_token, 0.75 / 4);
  double half = exp(-0.5) - 1 + 0.5, quarter = exp(0.25) - 1 - 0.25;
  assert_near(kl.k3_per_token, (2 * half + quarter) / 4);
}

static void the_second_estimator_is_never_negative(void **state)
{
  (void)state;
  const float model[] = {-1, -1, -1, -1}, reference[] = {-0.5F, -1.5F, -1.0001F, -0.9999F};
  for (int i = 0; i < 4; i++) {
    struct kl_sums sums = {0};
    kl_add(&sums, model + i, reference + i, NULL, 1);
    assert_true(sums.k3 > 0);
  }
}

/* Over a whole distribution, each token as often as the model draws it, both are the divergence itself. */
static void over_all_tokens_they_are_the_divergence(void **state)
{
  (void)state;
  const int of_ten[] = {5, 3, 2};
  const double q[] = {0.25, 0.25, 0.5};
  struct kl_sums sums = {0};
  double expected = 0;
  for (int t = 0; t < 3; t++) {
    float model = logf((float)of_ten[t] / 10), reference = logf((float)q[t]);
    expected += of_ten[t] / 10.0 * log(of_ten[t] / 10.0 / q[t]);
    for (int i = 0; i < of_ten[t]; i++) kl_add(&sums, &model, &reference, NULL, 1);
  }
  assert_true(fabs(sums.k1 / sums.tokens - expected) < 1e-6);
  assert_true(fabs(sums.k3 / sums.tokens - expected) < 1e-6);
}

static void nothing_sampled_gives_no_number(void **state)
{
  (void)state;
  const float p[] = {-1};
  const uint8_t inserted[] = {1};
  struct kl_sums sums = {0};
  struct kl kl;
  double scratch[1];
  kl_add(&sums, p, p, inserted, 1);
  kl_of(&sums, 1, scratch, &kl);
  assert_true(kl.tokens == 0 && isnan(kl.per_token) && isnan(kl.k3_per_token) && isnan(kl.per_output_se));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_models_are_at_no_distance),
      cmocka_unit_test(both_estimators_are_their_formulas),
      cmocka_unit_test(the_second_estimator_is_never_negative),
      cmocka_unit_test(over_all_tokens_they_are_the_divergence),
      cmocka_unit_test(nothing_sampled_gives_no_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
