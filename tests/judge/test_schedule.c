/* Fewer comparisons than all: which, and how well they rank. */
#include "judge/compare/schedule.h"
#include <math.h>
#include "base/philox.h"
#include "judge/compare/elo.h"
#include "unit.h"

static void it_is_balanced_and_connected(void **state)
{
  (void)state;
  enum { MAX = 17 };
  struct comparison pairs[MAX * (MAX - 1)];
  for (int k = 2; k <= MAX; k++)
    for (int limit = 1; limit < k * (k - 1); limit++) {
      assert_int_equal(schedule_size(k, limit), limit);
      assert_int_equal(schedule_fill(pairs, k, limit, 9, "prompt", NULL), 0);
      bool used[MAX][MAX] = {{false}};
      int first[MAX] = {0}, second[MAX] = {0}, part[MAX], parts = k;
      for (int i = 0; i < k; i++) part[i] = i;
      for (int i = 0; i < limit; i++) {
        int a = pairs[i].first, b = pairs[i].second;
        assert_true(a >= 0 && a < k && b >= 0 && b < k && a != b && !used[a][b]);
        used[a][b] = true;
        first[a]++, second[b]++;
        int from = part[b], to = part[a];
        parts -= from != to;
        for (int r = 0; r < k; r++)
          if (part[r] == from) part[r] = to;
      }
      assert_true(limit < k - 1 || parts == 1);
      int least = 1 << 30, most = 0;
      for (int i = 0; i < k; i++) {
        int n = first[i] + second[i];
        least = n < least ? n : least;
        most = n > most ? n : most;
        assert_true(abs(first[i] - second[i]) <= 1);
      }
      assert_true(most - least <= 2);
      assert_int_equal(least > 0, limit >= (k + 1) / 2); /* what the configuration's check goes by */
    }
}

static void it_meets_all_pairs_before_it_meets_one_again(void **state)
{
  (void)state;
  for (int k = 3; k <= 9; k += 2) { /* odd: rounds are of different unordered pairs */
    struct comparison pairs[36];
    int limit = k * (k - 1) / 2;
    bool met[9][9] = {{false}};
    assert_int_equal(schedule_fill(pairs, k, limit, 1, "x", NULL), 0);
    for (int i = 0; i < limit; i++) {
      assert_false(met[pairs[i].second][pairs[i].first]);
      met[pairs[i].first][pairs[i].second] = true;
    }
  }
}

static void it_is_keyed_by_seed_and_prompt(void **state)
{
  (void)state;
  struct comparison one[20], again[20], other[20], seeded[20];
  assert_int_equal(schedule_fill(one, 8, 20, 1, "x", NULL), 0);
  assert_int_equal(schedule_fill(again, 8, 20, 1, "x", NULL), 0);
  assert_int_equal(schedule_fill(other, 8, 20, 1, "y", NULL), 0);
  assert_int_equal(schedule_fill(seeded, 8, 20, 2, "x", NULL), 0);
  assert_memory_equal(one, again, sizeof one);
  assert_memory_not_equal(one, other, sizeof one);
  assert_memory_not_equal(one, seeded, sizeof one);
}

static void limits_from_all_on_are_all(void **state)
{
  (void)state;
  assert_int_equal(schedule_size(8, 0), 56);
  assert_int_equal(schedule_size(8, 56), 56);
  assert_int_equal(schedule_size(8, 1000), 56);
  assert_int_equal(schedule_size(1, 5), 0);
}

/* Kendall's tau between 8 true strengths and those found from `limit` comparisons, in the mean of 1000
 * prompts. */
static double ranking_quality(int limit)
{
  enum { K = 8, PROMPTS = 1000 };
  struct comparison pairs[K * (K - 1)];
  double tau = 0;
  for (int prompt = 0; prompt < PROMPTS; prompt++) {
    struct tpo_rng rng;
    struct elo_fit fit;
    char id[16];
    double strength[K], theta[K], wins[K * K] = {0};
    tpo_rng_init(&rng, 3, TPO_STREAM_SYNTH, (uint64_t)prompt, 0);
    for (int i = 0; i < K; i++) strength[i] = 2 * tpo_rng_normal(&rng);
    snprintf(id, sizeof id, "%d", prompt);
    assert_int_equal(schedule_fill(pairs, K, limit, 1, id, NULL), 0);
    for (size_t i = 0; i < schedule_size(K, limit); i++) {
      int a = pairs[i].first, b = pairs[i].second;
      bool won = tpo_rng_uniform(&rng) < 1 / (1 + exp(strength[b] - strength[a]));
      wins[won ? a * K + b : b * K + a]++;
    }
    assert_int_equal(elo_fit(wins, K, 0.1, theta, &fit, NULL), 0);
    for (int i = 0; i < K; i++)
      for (int j = i + 1; j < K; j++) {
        double order = (strength[i] - strength[j]) * (theta[i] - theta[j]);
        tau += (order > 0) - (order < 0);
      }
  }
  return tau / (PROMPTS * K * (K - 1) / 2.0);
}

/* The figures are those of src/judge/README.md. */
static void fewer_comparisons_rank_as_well_as_documented(void **state)
{
  (void)state;
  static const struct {
    int limit;
    double tau;
  } documented[] = {{8, 0.51}, {14, 0.62}, {28, 0.73}, {0, 0.80}};
  for (int i = 0; i < 4; i++)
    assert_true(fabs(ranking_quality(documented[i].limit) - documented[i].tau) < 0.02);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_is_balanced_and_connected),
      cmocka_unit_test(it_meets_all_pairs_before_it_meets_one_again),
      cmocka_unit_test(it_is_keyed_by_seed_and_prompt),
      cmocka_unit_test(limits_from_all_on_are_all),
      cmocka_unit_test(fewer_comparisons_rank_as_well_as_documented),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
