/* The share of pairs whose rejected output does not parse: over random samples, and worked examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/philox.h"
#include "tpo/pairs.h"

enum { PROMPTS = 120, MAX_K = 6, MAX_ROWS = PROMPTS * MAX_K };
static struct tpo_sample_row rows[MAX_ROWS];
static struct tpo_samples samples;
static char ids[PROMPTS][24];
static struct tpo_pairs_config config;
static struct tpo_pair_options options;
static struct tpo_pair_statistics statistics;

static int set_up(void **state)
{
  (void)state;
  samples = (struct tpo_samples){.rows = rows, .is_scored = true};
  config = (struct tpo_pairs_config){
      .mode = TPO_PAIRS_BEST_WORST, .length_auto = true, .reject_failures = true, .max_failure_share = 1};
  options = (struct tpo_pair_options){.config = &config, .seed = 7, .iteration = 2};
  for (int p = 0; p < PROMPTS; p++) snprintf(ids[p], sizeof ids[p], "prompt-%d", p);
  return 0;
}

static void add(int prompt, int k, double score, bool ok)
{
  static const int32_t prompt_tokens[] = {5, 6}, tokens[] = {1, 2, 3};
  static const char text[] = "................................";
  rows[samples.n++] = (struct tpo_sample_row){.prompt_id = ids[prompt],
                                              .k = k,
                                              .response = ok ? text + (prompt * 7 + k * 11) % 32 : "",
                                              .format_ok = ok,
                                              .scored = ok,
                                              .score = ok ? score : 0,
                                              .prompt_ids = prompt_tokens,
                                              .n_prompt = 2,
                                              .token_ids = tokens,
                                              .n_tokens = 3};
}

/* Prompts of 1 to MAX_K samples with few different scores, so that ties are common; a sample fails with this
 * probability. */
static void add_random(uint64_t seed, double failing)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, seed, TPO_STREAM_INIT, 0, 0);
  samples.n = 0;
  for (int p = 0; p < PROMPTS; p++) {
    int n = 1 + (int)tpo_rng_below(&rng, MAX_K);
    for (int k = 0; k < n; k++) {
      bool ok = tpo_rng_uniform(&rng) >= failing;
      add(p, k, tpo_rng_below(&rng, 4), ok);
    }
  }
}

static struct tpo_pairs select_all(void)
{
  struct tpo_error err = {0};
  struct tpo_pairs pairs = {0};
  if (tpo_select_pairs(&pairs, &samples, &options, &statistics, &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(statistics.pairs, pairs.n);
  size_t failed = 0;
  for (size_t i = 0; i < pairs.n; i++) {
    assert_true(rows[pairs.rows[i].chosen_row].format_ok);
    failed += !rows[pairs.rows[i].rejected_row].format_ok;
  }
  assert_int_equal(failed, statistics.rejected_parse_failures);
  return pairs;
}

static size_t count_pairs(void)
{
  struct tpo_pairs pairs = select_all();
  size_t n = pairs.n;
  tpo_pairs_free(&pairs);
  return n;
}

static void assert_same(const struct tpo_pairs *a, const struct tpo_pairs *b)
{
  assert_int_equal(a->n, b->n);
  for (size_t i = 0; i < a->n; i++) {
    assert_int_equal(a->rows[i].chosen_row, b->rows[i].chosen_row);
    assert_int_equal(a->rows[i].rejected_row, b->rows[i].rejected_row);
  }
}

static bool has_failure_pair(const struct tpo_pairs *pairs, const char *id)
{
  for (size_t i = 0; i < pairs->n; i++)
    if (strcmp(pairs->rows[i].prompt_id, id) == 0 && !rows[pairs->rows[i].rejected_row].format_ok)
      return true;
  return false;
}

static void the_share_holds_whatever_the_samples(void **state)
{
  (void)state;
  static const double shares[] = {0, 0.01, 0.1, 0.25, 0.5, 0.9}, failing[] = {0.02, 0.2, 0.5, 0.9};
  for (uint64_t seed = 0; seed < 96; seed++) {
    config.mode = seed % 2 ? TPO_PAIRS_ALL : TPO_PAIRS_BEST_WORST;
    config.max_pairs_per_prompt = seed % 4 == 3 ? 3 : 0;
    config.max_failure_share = shares[seed % 6];
    add_random(seed, failing[seed / 6 % 4]);
    count_pairs();
    assert_true((double)statistics.rejected_parse_failures <=
                config.max_failure_share * (double)statistics.pairs + 1e-9);
  }
}

/* One pair a prompt: one that was passed over and then kept its failure would add one to the failures, and to
 * the pairs if it has none without. */
static void no_prompt_that_was_passed_over_fits_in(void **state)
{
  (void)state;
  config.length_auto = false;
  for (uint64_t seed = 0; seed < 40; seed++) {
    add_random(seed, 0.3);
    config.max_failure_share = 1;
    struct tpo_pairs all = select_all();
    config.max_failure_share = (double)(seed % 8 + 1) / 10;
    struct tpo_pairs some = select_all();
    size_t passed_over = 0, f = statistics.rejected_parse_failures;
    for (int p = 0; p < PROMPTS; p++) {
      if (!has_failure_pair(&all, ids[p]) || has_failure_pair(&some, ids[p])) continue;
      bool paired = false;
      for (size_t i = 0; i < some.n; i++) paired |= strcmp(some.rows[i].prompt_id, ids[p]) == 0;
      passed_over++;
      assert_true((double)(f + 1) > config.max_failure_share * (double)(some.n + !paired));
    }
    assert_int_equal(statistics.failures_passed_over, passed_over);
    tpo_pairs_free(&all);
    tpo_pairs_free(&some);
  }
}

static void a_share_of_1_rejects_every_failure_that_can_be(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++) {
    add_random(seed, 0.3);
    struct tpo_pairs pairs = select_all();
    size_t expected = 0;
    for (size_t first = 0; first < samples.n;) {
      size_t end = tpo_samples_prompt_end(&samples, first), failures = 0;
      for (size_t i = first; i < end; i++) failures += !rows[i].format_ok;
      bool can = failures > 0 && failures < end - first;
      assert_int_equal(has_failure_pair(&pairs, rows[first].prompt_id), can);
      expected += can;
      first = end;
    }
    assert_int_equal(statistics.rejected_parse_failures, expected);
    assert_int_equal(statistics.failures_passed_over, 0);
    tpo_pairs_free(&pairs);
  }
}

static void a_share_of_0_is_reject_failures_false(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++) {
    config.mode = seed % 2 ? TPO_PAIRS_ALL : TPO_PAIRS_BEST_WORST;
    add_random(seed, 0.3);
    config.max_failure_share = 0;
    config.reject_failures = true;
    struct tpo_pairs none = select_all();
    config.max_failure_share = 0.5;
    config.reject_failures = false;
    struct tpo_pairs out = select_all();
    assert_same(&none, &out);
    tpo_pairs_free(&none);
    tpo_pairs_free(&out);
  }
}

static int compare_pairs(const void *a, const void *b)
{
  const struct tpo_pair_row *x = a, *y = b;
  int order = strcmp(x->prompt_id, y->prompt_id);
  return order ? order : rows[x->rejected_row].k - rows[y->rejected_row].k;
}

/* The same prompts from the last to the first. */
static void turn_prompts_round(void)
{
  static struct tpo_sample_row turned[MAX_ROWS];
  size_t at = samples.n;
  for (size_t first = 0; first < samples.n;) {
    size_t end = tpo_samples_prompt_end(&samples, first);
    at -= end - first;
    memcpy(turned + at, rows + first, (end - first) * sizeof *rows);
    first = end;
  }
  memcpy(rows, turned, samples.n * sizeof *rows);
}

static void the_order_of_prompts_does_not_matter(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 10; seed++) {
    int before[MAX_ROWS];
    add_random(seed, 0.3);
    config.max_failure_share = 0.1;
    struct tpo_pairs pairs = select_all();
    assert_true(statistics.rejected_parse_failures > 0 && statistics.failures_passed_over > 0);
    qsort(pairs.rows, pairs.n, sizeof *pairs.rows, compare_pairs);
    for (size_t i = 0; i < pairs.n; i++) before[i] = rows[pairs.rows[i].rejected_row].k;
    turn_prompts_round();
    struct tpo_pairs turned = select_all();
    qsort(turned.rows, turned.n, sizeof *turned.rows, compare_pairs);
    assert_int_equal(turned.n, pairs.n);
    for (size_t i = 0; i < pairs.n; i++) {
      assert_string_equal(turned.rows[i].prompt_id, pairs.rows[i].prompt_id);
      assert_int_equal(rows[turned.rows[i].rejected_row].k, before[i]);
    }
    tpo_pairs_free(&pairs);
    tpo_pairs_free(&turned);
  }
}

/* Prompts whose failure displaces a pair of two scores (`scored` of them, of which the first `failing` have
 * one), and prompts whose only pair is with their failure. */
static void add_kinds(int scored, int failing, int alone)
{
  samples.n = 0;
  for (int p = 0; p < scored + alone; p++) {
    add(p, 0, 1, true);
    if (p < scored) add(p, 1, 0.5, true), add(p, 2, 0, true);
    if (p < failing || p >= scored) add(p, 3, 0, false);
  }
}

static void the_share_is_of_the_pairs_that_result(void **state)
{
  (void)state;
  static const struct {
    int scored, failing, alone;
    double share;
    size_t failures, pairs;
  } cases[] = {
      {100, 40, 0, 0.1, 10, 100},                             /* the failures replace pairs: 10 of 100 */
      {100, 40, 0, 0.29, 29, 100}, {90, 0, 30, 0.1, 10, 100}, /* they add pairs: 10 of 90 + 10 */
      {50, 0, 50, 0.5, 50, 100},   {60, 0, 50, 0.4, 40, 100}, {9, 9, 0, 0.1, 0, 9}, /* less than one */
      {0, 0, 20, 0.5, 0, 0}, /* all pairs would be of this kind */
      {0, 0, 20, 1, 20, 20},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    add_kinds(cases[i].scored, cases[i].failing, cases[i].alone);
    config.max_failure_share = cases[i].share;
    assert_int_equal(count_pairs(), cases[i].pairs);
    assert_int_equal(statistics.rejected_parse_failures, cases[i].failures);
  }
}

static void who_is_passed_over_rejects_its_lowest_score(void **state)
{
  (void)state;
  add_kinds(100, 40, 0);
  config.max_failure_share = 0.1;
  struct tpo_pairs pairs = select_all();
  assert_int_equal(statistics.failures_passed_over, 30);
  for (size_t i = 0; i < pairs.n; i++) {
    const struct tpo_sample_row *rejected = &rows[pairs.rows[i].rejected_row];
    assert_true(rejected->k == (rejected->format_ok ? 2 : 3));
  }
  tpo_pairs_free(&pairs);
}

/* 10 of 40 keep theirs: each in a quarter of the iterations, 100 of 400 with a deviation of 8.7. */
static void every_prompt_is_as_likely_to_keep_its_own(void **state)
{
  (void)state;
  int kept[40] = {0};
  add_kinds(100, 40, 0);
  config.max_failure_share = 0.1;
  for (uint32_t draw = 0; draw < 400; draw++) {
    options.iteration = draw % 20;
    options.seed = draw / 20;
    struct tpo_pairs pairs = select_all();
    for (int p = 0; p < 40; p++) kept[p] += has_failure_pair(&pairs, ids[p]);
    tpo_pairs_free(&pairs);
  }
  for (int p = 0; p < 40; p++)
    if (abs(kept[p] - 100) > 45) fail_msg("%s kept its failure %d times of 400", ids[p], kept[p]);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)
int main(void)
{
  tpo_log_setup(TPO_LOG_ERROR, false, 0); /* length control can't always balance random lengths */
  const struct CMUnitTest tests[] = {
      TEST(the_share_holds_whatever_the_samples),           TEST(no_prompt_that_was_passed_over_fits_in),
      TEST(a_share_of_1_rejects_every_failure_that_can_be), TEST(a_share_of_0_is_reject_failures_false),
      TEST(the_order_of_prompts_does_not_matter),           TEST(the_share_is_of_the_pairs_that_result),
      TEST(who_is_passed_over_rejects_its_lowest_score),    TEST(every_prompt_is_as_likely_to_keep_its_own),
  };
  return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
