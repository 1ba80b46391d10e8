/* Losses, their derivatives, the learning rate's course, and the line of metrics. */
#include "unit.h"
#include <math.h>
#include "backend/preference_loss.h"
#include "base/buf.h"
#include "base/json.h"
#include "train/state.h"

static const struct tpo_train_config plain = {.loss = TPO_LOSS_DPO, .beta = 0.1};

static struct tpo_pair_terms loss_of(const struct tpo_train_config *config, double chosen, double rejected,
                                     double ref_chosen, double ref_rejected, int n_chosen)
{
  const struct tpo_loss_args args = {config->loss, config->beta, config->label_smoothing, config->nll, 1};
  const struct tpo_loss_pair pair = {
      .ref_chosen = ref_chosen, .ref_rejected = ref_rejected, .nll_tokens = n_chosen};
  return tpo_pair_loss_terms(&args, &pair, chosen, rejected);
}

static bool is_correct(const struct tpo_pair_terms *terms)
{
  return pair_is_correct(&(struct pair_outcome){.loss = terms->loss, .margin = terms->margin});
}

static void equal_models_give_exactly_ln_2(void **state)
{
  (void)state;
  struct tpo_pair_terms loss = loss_of(&plain, -12.3, -45.6, -12.3, -45.6, 5);
  assert_true(loss.loss == log(2));
  assert_true(loss.margin == 0 && !is_correct(&loss));
  assert_true(loss.by_chosen == -0.05 && loss.by_rejected == 0.05);
}

static void dpo_is_the_formula_s(void **state)
{
  (void)state;
  struct tpo_pair_terms loss = loss_of(&plain, -10, -20, -13, -18, 5);
  assert_true(fabs(loss.loss - log(1 + exp(-0.5))) < 1e-15);
  assert_true(fabs(loss.margin - 0.5) < 1e-15 && is_correct(&loss));
  loss = loss_of(&plain, -13, -18, -10, -20, 5);
  assert_true(fabs(loss.loss - log(1 + exp(0.5))) < 1e-15 && !is_correct(&loss));
}

static void extreme_margins_stay_finite(void **state)
{
  (void)state;
  struct tpo_pair_terms loss = loss_of(&plain, 0, -1e6, -1e6, 0, 5);
  assert_true(loss.loss == 0 && loss.by_chosen == 0);
  loss = loss_of(&plain, -1e6, 0, 0, -1e6, 5);
  assert_true(fabs(loss.loss - 2e5) < 1e-6 && loss.by_chosen == -0.1);
}

static void smoothing_of_a_half_would_prefer_neither(void **state)
{
  (void)state;
  struct tpo_train_config config = plain;
  config.label_smoothing = 0.2;
  struct tpo_pair_terms loss = loss_of(&config, -10, -20, -13, -18, 5);
  assert_true(fabs(loss.loss - (0.8 * log(1 + exp(-0.5)) + 0.2 * log(1 + exp(0.5)))) < 1e-15);
  /* its least loss is at sigmoid(beta h) = 0.8 */
  double best = log(0.8 / 0.2) / 0.1;
  assert_true(fabs(loss_of(&config, best, 0, 0, 0, 5).by_chosen) < 1e-15);
}

static void ipo_pulls_to_its_margin(void **state)
{
  (void)state;
  struct tpo_train_config config = plain;
  config.loss = TPO_LOSS_IPO;
  assert_true(loss_of(&config, 5, 0, 0, 0, 3).loss == 0); /* 1 / (2 beta) = 5 */
  assert_true(loss_of(&config, 3, 0, 0, 0, 3).loss == 4);
  assert_true(loss_of(&config, 7, 0, 0, 0, 3).by_chosen == 4);
}

static void nll_is_per_token_of_the_chosen_output(void **state)
{
  (void)state;
  struct tpo_train_config config = plain;
  config.nll = 2;
  struct tpo_pair_terms with = loss_of(&config, -10, -20, -13, -18, 5);
  struct tpo_pair_terms without = loss_of(&plain, -10, -20, -13, -18, 5);
  assert_true(fabs(with.loss - without.loss - 4) < 1e-12);
  assert_true(fabs(with.by_chosen - without.by_chosen + 0.4) < 1e-15);
  assert_true(with.by_rejected == without.by_rejected);
}

static void derivatives_are_differences(void **state)
{
  (void)state;
  const double h = 1e-5;
  for (int kind = 0; kind < 8; kind++) {
    struct tpo_train_config config = {.loss = kind & 1 ? TPO_LOSS_IPO : TPO_LOSS_DPO,
                                      .beta = 0.3,
                                      .label_smoothing = kind & 2 ? 0.15 : 0,
                                      .nll = kind & 4 ? 1.3 : 0};
    for (int i = 0; i < 9; i++) {
      double c = -20 + 3.7 * i, r = -11 + 0.9 * i, ref_c = -14, ref_r = -9;
      struct tpo_pair_terms at = loss_of(&config, c, r, ref_c, ref_r, 4);
      double by_c = (loss_of(&config, c + h, r, ref_c, ref_r, 4).loss -
                     loss_of(&config, c - h, r, ref_c, ref_r, 4).loss) /
                    (2 * h);
      double by_r = (loss_of(&config, c, r + h, ref_c, ref_r, 4).loss -
                     loss_of(&config, c, r - h, ref_c, ref_r, 4).loss) /
                    (2 * h);
      assert_true(fabs(at.by_chosen - by_c) < 1e-6 * (1 + fabs(by_c)));
      assert_true(fabs(at.by_rejected - by_r) < 1e-6 * (1 + fabs(by_r)));
    }
  }
}

static void the_learning_rate_warms_up_and_falls(void **state)
{
  (void)state;
  struct tpo_train_config config = {.learning_rate = 2, .warmup = 0.25, .schedule = TPO_SCHEDULE_LINEAR};
  const double linear[] = {2.0 / 3,  4.0 / 3, 2,       2,       14.0 / 8, 12.0 / 8,
                           10.0 / 8, 1,       6.0 / 8, 4.0 / 8, 2.0 / 8};
  for (int i = 0; i < 11; i++) assert_true(fabs(tpo_train_lr(&config, i, 11) - linear[i]) < 1e-12);
  config.schedule = TPO_SCHEDULE_COSINE;
  assert_true(fabs(tpo_train_lr(&config, 7, 11) - 1) < 1e-12);
  assert_true(tpo_train_lr(&config, 10, 11) > 0);
  config.schedule = TPO_SCHEDULE_CONSTANT;
  assert_true(tpo_train_lr(&config, 10, 11) == 2);
  config.warmup = 0;
  assert_true(tpo_train_lr(&config, 0, 11) == 2);
  config.schedule = TPO_SCHEDULE_COSINE;
  assert_true(tpo_train_lr(&config, 0, 1) == 2);
}

static void metrics_are_a_json_line(void **state)
{
  (void)state;
  struct tpo_train_metrics m = {.step = 3,
                                .epoch = 0.5,
                                .lr = 5e-7,
                                .loss = 0.1 + 0.2,
                                .grad_norm = INFINITY,
                                .tokens = 1234567890123,
                                .seconds = 0.25};
  struct tpo_buf line = {0};
  assert_int_equal(tpo_train_metrics_print(&m, &line), 0);
  assert_null(strchr(line.data, '\n'));
  json_t *parsed = tpo_json_parse(line.data, line.len, "line", NULL);
  assert_non_null(parsed);
  const char *const names[] = {
      "step",      "epoch",  "lr",     "loss", "accuracy", "margin", "chosen_logprob", "rejected_logprob",
      "grad_norm", "tokens", "seconds"};
  assert_int_equal(json_object_size(parsed), 11);
  for (int i = 0; i < 11; i++) assert_non_null(json_object_get(parsed, names[i]));
  assert_int_equal(json_integer_value(json_object_get(parsed, "tokens")), 1234567890123);
  assert_true(json_real_value(json_object_get(parsed, "loss")) == 0.1 + 0.2);
  assert_true(json_is_null(json_object_get(parsed, "grad_norm")));
  json_decref(parsed);
  tpo_buf_free(&line);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_models_give_exactly_ln_2),
      cmocka_unit_test(dpo_is_the_formula_s),
      cmocka_unit_test(extreme_margins_stay_finite),
      cmocka_unit_test(smoothing_of_a_half_would_prefer_neither),
      cmocka_unit_test(ipo_pulls_to_its_margin),
      cmocka_unit_test(nll_is_per_token_of_the_chosen_output),
      cmocka_unit_test(derivatives_are_differences),
      cmocka_unit_test(the_learning_rate_warms_up_and_falls),
      cmocka_unit_test(metrics_are_a_json_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
