/* How far sampling is, over outputs whose lengths are known here alone. */
#include <math.h>
#include "unit.h"
#include "base/philox.h"
#include "steps/forecast.h"

/* Draws `n` outputs, `slots` at a time, a token each in turn, on this rank of `ranks` alike; *worst is by how
 * much the share that was told was off the true one at most, of those told after a tenth of the tokens. */
static void draw(const int *lengths, int n, int slots, int ranks, int budget, double *worst)
{
  struct forecast f = {.outputs = (double)n * ranks, .budget = budget, .at_once = slots};
  struct forecast_seen seen = {0};
  int at[64], drawn[64], next = 0, open = 0;
  double all = 0, told = -1, told_share = -1;
  for (int i = 0; i < n; i++) all += lengths[i];
  for (; open < slots && next < n; open++) at[open] = next++, drawn[open] = 0;
  *worst = 0;
  while (open > 0) {
    seen.own_taken = next;
    seen.taken = (double)next * ranks;
    for (int s = 0; s < open; s++) {
      seen.tokens++;
      if (++drawn[s] < lengths[at[s]]) continue;
      seen.ended++;
      seen.ended_tokens += lengths[at[s]];
      if (next < n)
        at[s] = next++, drawn[s] = 0;
      else
        at[s] = at[--open], drawn[s] = drawn[open], s--;
    }
    double done, total, truth = seen.tokens / all;
    forecast(&f, &seen, &done, &total);
    assert_true(done >= told && done / total >= told_share && done < total);
    assert_true(done <= seen.tokens * ranks);
    told = done;
    told_share = done / total;
    if (truth > 0.1) *worst = fmax(*worst, fabs(told_share - truth));
  }
  assert_true(told_share > 0.9);
}

static void outputs_that_use_the_budget_up_are_known_exactly(void **state)
{
  (void)state;
  int lengths[240];
  double worst;
  for (int i = 0; i < 240; i++) lengths[i] = 100;
  for (int ranks = 1; ranks <= 3; ranks++) {
    draw(lengths, 240, 16, ranks, 100, &worst);
    assert_true(worst < 0.01);
  }
}

static void lengths_far_below_the_budget_are_found_out(void **state)
{
  (void)state;
  struct tpo_rng rng;
  int lengths[600];
  double worst;
  tpo_rng_init(&rng, 1, TPO_STREAM_SELECT, 0, 0);
  for (int i = 0; i < 600; i++) lengths[i] = 20 + (int)tpo_rng_below(&rng, 160);
  draw(lengths, 600, 16, 2, 2000, &worst);
  assert_true(worst < 0.1);
  for (int i = 0; i < 600; i++) lengths[i] = i % 10 ? 5 : 800; /* a few long ones, which end last */
  draw(lengths, 600, 16, 1, 2000, &worst);
  assert_true(worst < 0.3);
}

static void the_beginning_knows_the_budget_alone(void **state)
{
  (void)state;
  struct forecast f = {.outputs = 10, .budget = 50, .at_once = 4};
  struct forecast_seen seen = {.taken = 4, .own_taken = 4, .tokens = 100};
  double done, total;
  forecast(&f, &seen, &done, &total);
  assert_true(done == 100 && total == 500);
  seen = (struct forecast_seen){.taken = 4, .own_taken = 4, .ended = 2, .tokens = 100, .ended_tokens = 20};
  forecast(&f, &seen, &done, &total);
  /* Six are begun, 100 tokens long so far. Two of four have ended, so half of that mean and of the budget is
   * reckoned with for each of the other eight, of which 80 tokens are there. */
  assert_true(done == 100 && total == ceil(100 + 8 * (50 + 100. / 6) / 2 - 80));
}

static void a_total_that_grows_takes_nothing_back(void **state)
{
  (void)state;
  struct forecast f = {.outputs = 10, .budget = 1000, .at_once = 1};
  struct forecast_seen seen = {.taken = 10, .own_taken = 10, .ended = 2, .tokens = 20, .ended_tokens = 20};
  double done, total, before;
  forecast(&f, &seen, &done, &total);
  before = done / total;
  assert_true(total == 100);
  seen.tokens = 2000; /* the third is longer than all that were reckoned with */
  forecast(&f, &seen, &done, &total);
  assert_true(done == 2000 && done / total >= before && total > done);
  before = done / total;
  seen.ended = 3;
  seen.ended_tokens = 2000;
  forecast(&f, &seen, &done, &total);
  assert_true(done / total >= before && total > done);
}

static void other_ranks_count_by_what_they_took(void **state)
{
  (void)state;
  assert_true(forecast_for_all(3, 40, 10) == 12);
  assert_true(forecast_for_all(3, 0, 0) == 3);
  assert_true(forecast_for_all(3, 5, 10) == 3); /* seen before this rank's own last ones */
  struct forecast f = {.outputs = 100, .budget = 10, .at_once = 4};
  struct forecast_seen seen = {.taken = 40, .own_taken = 10, .tokens = 20};
  double done, total, now;
  forecast(&f, &seen, &done, &total);
  assert_true(done == 80);
  seen.own_taken = 20; /* this rank took more, the others did not: it was ahead of them */
  seen.tokens++;
  forecast(&f, &seen, &now, &total);
  assert_true(now == done);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(outputs_that_use_the_budget_up_are_known_exactly),
      cmocka_unit_test(lengths_far_below_the_budget_are_found_out),
      cmocka_unit_test(the_beginning_knows_the_budget_alone),
      cmocka_unit_test(a_total_that_grows_takes_nothing_back),
      cmocka_unit_test(other_ranks_count_by_what_they_took),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
