/* Scores of several judges on one scale. */
#include "unit.h"
#include <math.h>
#include "base/file.h"
#include "base/json.h"
#include "judge/scales.h"

struct given {
  const char *judge; /* NULL: a detail of no route */
  double raw;
  bool scored, compared;
};

/* Samples with the scores that a route judge would give. */
static void fill(struct tpo_samples *samples, const struct given *given, int n)
{
  for (int i = 0; i < n; i++) {
    char detail[256];
    struct tpo_error err = {0};
    if (given[i].judge)
      snprintf(detail, sizeof detail, "{\"judge\":\"%s\",\"raw\":%.17g,\"detail\":{%s}}", given[i].judge,
               given[i].raw, given[i].compared ? "\"wins\":1,\"losses\":1,\"comparisons\":2" : "");
    struct tpo_sample_row row = {.prompt_id = "p",
                                 .k = i,
                                 .scored = given[i].scored,
                                 .score = given[i].raw,
                                 .score_detail = given[i].judge ? detail : "{}"};
    assert_int_equal(tpo_samples_add(samples, &row, &err), 0);
  }
}

static void expect_scores(const struct tpo_samples *samples, const double *scores)
{
  for (size_t i = 0; i < samples->n; i++)
    if (isnan(samples->rows[i].score) != isnan(scores[i]) || fabs(samples->rows[i].score - scores[i]) > 1e-12)
      fail_msg("row %zu has %.17g, expected %.17g", i, samples->rows[i].score, scores[i]);
}

static const struct given mixed[] = {
    {"rule", 0, true, false},         {"reward:/m", 30, true, false}, {"rule", 1, true, false},
    {"reward:/m", 10, true, false},   {"rule", 7, false, false},      {NULL, 5, true, false},
    {"pairwise:/j", 300, true, true}, {"reward:/m", 20, true, false}, {"command:x", 4, true, false},
};
/* rule: mean 0.5, sd sqrt(0.5); reward: mean 20, sd 10; command: one response, sd 1. */
static const double expected[] = {-0.70710678118654746, 1, 0.70710678118654746, -1, NAN, 5, 300, 0, 0};
enum { N_MIXED = sizeof mixed / sizeof *mixed };

static void each_judge_has_its_own_scale(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  fill(&samples, mixed, N_MIXED);
  if (scales_apply(&samples, NULL, &err) < 0) fail_msg("%s", err.message);
  expect_scores(&samples, expected);
  assert_string_equal(
      samples.rows[1].score_detail,
      "{\"judge\":\"reward:/m\",\"raw\":30,\"detail\":{},\"scale\":{\"mean\":20.0,\"sd\":10.0}}");
  assert_string_equal(samples.rows[5].score_detail, "{}");
  assert_null(strstr(samples.rows[6].score_detail, "scale"));
  if (scales_apply(&samples, NULL, &err) < 0) fail_msg("%s", err.message);
  expect_scores(&samples, expected);
  tpo_samples_free(&samples);
}

static void the_first_batch_sets_the_scale_for_all(void **state)
{
  char path[4096];
  struct tpo_error err = {0};
  struct tpo_samples first = {0}, second = {0}, third = {0};
  static const struct given later[] = {
      {"reward:/m", 50, true, false}, {"http:u", 3, true, false}, {"http:u", 3, true, false}};
  assert_int_equal(tpo_path_join(path, sizeof path, *state, "judge-scales.json", &err), 0);
  fill(&first, mixed, N_MIXED);
  fill(&second, later, 3);
  fill(&third, later + 1, 1);
  third.rows[0].score_detail = "{\"judge\":\"http:u\",\"raw\":5}";
  if (scales_apply(&first, path, &err) < 0) fail_msg("%s", err.message);
  if (scales_apply(&second, path, &err) < 0) fail_msg("%s", err.message);
  if (scales_apply(&third, path, &err) < 0) fail_msg("%s", err.message);
  expect_scores(&first, expected);
  expect_scores(&second, (const double[]){3, 0, 0});
  expect_scores(&third, (const double[]){2});
  json_t *scales = tpo_json_load(path, 1 << 20, &err);
  assert_int_equal(json_object_size(scales), 4);
  const json_t *reward = json_object_get(scales, "reward:/m");
  assert_true(json_number_value(json_object_get(reward, "mean")) == 20);
  assert_true(json_number_value(json_object_get(reward, "sd")) == 10);
  assert_int_equal(json_integer_value(json_object_get(reward, "responses")), 3);
  json_decref(scales);
  tpo_samples_free(&first);
  tpo_samples_free(&second);
  tpo_samples_free(&third);
}

static void a_kept_scale_gives_the_same_bits_as_the_fresh_one(void **state)
{
  char path[4096];
  struct tpo_error err = {0};
  struct tpo_samples fresh = {0}, kept = {0};
  static const struct given odd[] = {
      {"a", 0.1, true, false}, {"a", 1.0 / 3, true, false}, {"a", 2e-7, true, false}};
  assert_int_equal(tpo_path_join(path, sizeof path, *state, "judge-scales.json", &err), 0);
  fill(&fresh, odd, 3);
  fill(&kept, odd, 3);
  assert_int_equal(scales_apply(&fresh, path, &err), 0);
  assert_int_equal(scales_apply(&kept, path, &err), 0);
  for (int i = 0; i < 3; i++) {
    assert_memory_equal(&fresh.rows[i].score, &kept.rows[i].score, sizeof(double));
    assert_string_equal(fresh.rows[i].score_detail, kept.rows[i].score_detail);
  }
  tpo_samples_free(&fresh);
  tpo_samples_free(&kept);
}

static void any_text_may_stand_in_a_detail(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  fill(&samples, (const struct given[]){{"a", 3, true, false}}, 1);
  samples.rows[0].score_detail = "{\"judge\":\"a\",\"raw\":3,\"detail\":{\"text\":\"\\u0000\"}}";
  if (scales_apply(&samples, NULL, &err) < 0) fail_msg("%s", err.message);
  expect_scores(&samples, (const double[]){0});
  tpo_samples_free(&samples);
}

static void without_routed_scores_no_file_is_written(void **state)
{
  char path[4096];
  struct tpo_error err = {0};
  struct tpo_samples samples = {0};
  assert_int_equal(tpo_path_join(path, sizeof path, *state, "judge-scales.json", &err), 0);
  fill(&samples, mixed + 4, 3);
  assert_int_equal(scales_apply(&samples, path, &err), 0);
  assert_false(tpo_file_exists(path));
  tpo_samples_free(&samples);
}

static void a_damaged_file_is_refused_and_kept(void **state)
{
  static const char *const texts[] = {"",
                                      "[]",
                                      "{",
                                      "{\"rule\":3}",
                                      "{\"rule\":{\"mean\":1}}",
                                      "{\"rule\":{\"mean\":1,\"sd\":0}}",
                                      "{\"rule\":{\"mean\":1,\"sd\":-1}}",
                                      "{\"rule\":{\"mean\":\"1\",\"sd\":1}}",
                                      "{\"rule\":{\"mean\":1e999,\"sd\":1}}"};
  char path[4096];
  struct tpo_error err = {0};
  assert_int_equal(tpo_path_join(path, sizeof path, *state, "judge-scales.json", &err), 0);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct tpo_samples samples = {0};
    struct tpo_buf now = {0};
    fill(&samples, mixed, N_MIXED);
    assert_int_equal(tpo_write_file(path, texts[i], strlen(texts[i]), &err), 0);
    assert_int_equal(scales_apply(&samples, path, &err), TPO_E_INPUT);
    assert_contains(err.message, "judge-scales.json");
    assert_true(samples.rows[1].score == 30);
    assert_int_equal(tpo_read_file(path, 1 << 20, &now, &err), 0);
    assert_string_equal(now.data ? now.data : "", texts[i]);
    tpo_buf_free(&now);
    tpo_samples_free(&samples);
  }
}

static void scores_beyond_a_scale_are_told(void **state)
{
  (void)state;
  static const struct given far[] = {{"a", 1.7e308, true, false}, {"a", -1.7e308, true, false}};
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  fill(&samples, far, 2);
  assert_int_equal(scales_apply(&samples, NULL, &err), TPO_E_NUMERIC);
  tpo_samples_free(&samples);
}

/* A row with a detail of its own, as a judge left it. */
static void add_detail(struct tpo_samples *samples, double score, const char *detail)
{
  struct tpo_error err = {0};
  struct tpo_sample_row row = {
      .prompt_id = "p", .k = (int)samples->n, .scored = true, .score = score, .score_detail = detail};
  assert_int_equal(tpo_samples_add(samples, &row, &err), 0);
}

/* Two terms, of which the second compares. */
static void add_sum(struct tpo_samples *samples, double a, double b)
{
  char detail[256];
  snprintf(detail, sizeof detail,
           "{\"terms\":[{\"judge\":\"rule\",\"raw\":%g,\"weight\":2},"
           "{\"judge\":\"pairwise:/j\",\"raw\":%g,\"detail\":{\"comparisons\":2},\"weight\":-0.5}]}",
           a, b);
  add_detail(samples, 2 * a - 0.5 * b, detail);
}

static void a_sum_weighs_each_term_on_its_own_scale(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  add_sum(&samples, 0, 100);
  add_sum(&samples, 0, -100);
  add_sum(&samples, 3, 0);
  if (scales_apply(&samples, NULL, &err) < 0) fail_msg("%s", err.message);
  const double sd = sqrt(3); /* of 0, 0, 3 around 1; of 100, -100, 0 it is 100 */
  const double scores[] = {-2 / sd - 0.5, -2 / sd + 0.5, 4 / sd};
  expect_scores(&samples, scores);
  json_t *detail =
      tpo_json_parse(samples.rows[2].score_detail, strlen(samples.rows[2].score_detail), "d", &err);
  const json_t *rule = json_array_get(json_object_get(detail, "terms"), 0);
  assert_true(json_number_value(json_object_get(rule, "raw")) == 3);
  assert_true(fabs(json_number_value(json_object_get(rule, "standardised")) - 2 / sd) < 1e-12);
  assert_true(json_number_value(json_object_get(json_object_get(rule, "scale"), "mean")) == 1);
  assert_true(json_number_value(json_object_get(rule, "weight")) == 2);
  json_decref(detail);
  if (scales_apply(&samples, NULL, &err) < 0) fail_msg("%s", err.message);
  expect_scores(&samples, scores);
  tpo_samples_free(&samples);
}

static void what_repetition_cost_stays_off(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  add_detail(&samples, 9, "{\"judge\":\"a\",\"raw\":10,\"repetition_term\":{\"share\":0.5,\"weight\":2}}");
  add_detail(&samples, 20, "{\"judge\":\"a\",\"raw\":20,\"repetition_term\":{\"share\":0,\"weight\":2}}");
  add_detail(&samples, 28,
             "{\"terms\":[{\"judge\":\"b\",\"raw\":10,\"weight\":3}],"
             "\"repetition_term\":{\"share\":0.25,\"weight\":8}}");
  for (int again = 0; again < 2; again++) {
    if (scales_apply(&samples, NULL, &err) < 0) fail_msg("%s", err.message);
    expect_scores(&samples, (const double[]){-sqrt(0.5) - 1, sqrt(0.5), -2});
  }
  tpo_samples_free(&samples);
}

static void another_runs_scores_are_carried_over_to_these_scales(void **state)
{
  (void)state;
  struct tpo_samples here = {0}, there = {0};
  struct tpo_error err = {0};
  double scores[4];
  add_sum(&here, 0, 100);
  add_sum(&here, 3, -100);
  add_sum(&there, 30, 5);
  add_sum(&there, 0, 1);
  fill(&there, (const struct given[]){{NULL, 7, true, false}, {"other", 4, true, false}}, 2);
  assert_int_equal(scales_apply(&here, NULL, &err), 0);
  assert_int_equal(scales_apply(&there, NULL, &err), 0);
  assert_int_equal(scales_carry_over(&here, &there, scores, &err), 0);
  const double rule = 3 / sqrt(2), judge = 200 / sqrt(2); /* deviations here; the means are 1.5 and 0 */
  assert_true(fabs(scores[0] - (2 * 28.5 / rule - 0.5 * 5 / judge)) < 1e-9);
  assert_true(fabs(scores[1] - (2 * -1.5 / rule - 0.5 * 1 / judge)) < 1e-9);
  assert_true(scores[2] == 7 && scores[3] == there.rows[3].score);
  assert_int_equal(scales_carry_over(&here, &here, scores, &err), 0);
  for (size_t i = 0; i < here.n; i++) assert_true(scores[i] == here.rows[i].score);
  tpo_samples_free(&here);
  tpo_samples_free(&there);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_judge_has_its_own_scale),
      cmocka_unit_test_setup_teardown(the_first_batch_sets_the_scale_for_all, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_kept_scale_gives_the_same_bits_as_the_fresh_one, make_folder,
                                      remove_folder),
      cmocka_unit_test(any_text_may_stand_in_a_detail),
      cmocka_unit_test_setup_teardown(without_routed_scores_no_file_is_written, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_damaged_file_is_refused_and_kept, make_folder, remove_folder),
      cmocka_unit_test(scores_beyond_a_scale_are_told),
      cmocka_unit_test(a_sum_weighs_each_term_on_its_own_scale),
      cmocka_unit_test(what_repetition_cost_stays_off),
      cmocka_unit_test(another_runs_scores_are_carried_over_to_these_scales),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
