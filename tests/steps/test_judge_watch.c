/* How far judging is, on one rank; several are told of in tests/e2e/test_progress.py. */
#include "unit.h"
#include "steps/judge_watch.h"

struct told {
  int n;
  double done, total;
  char unit[16];
};

static void listen(void *arg, const struct tpo_progress *at)
{
  struct told *told = arg;
  assert_string_equal(at->phase, "judging");
  assert_true(at->total > 0 && at->done >= told->done && at->done <= at->total);
  told->n++;
  told->done = at->done;
  told->total = at->total;
  snprintf(told->unit, sizeof told->unit, "%s", at->unit);
}

/* Three prompts: 3 responses, one of which has no format; 1; 2. */
static struct tpo_sample_row rows[] = {
    {.prompt_id = "a", .format_ok = true},
    {.prompt_id = "a", .format_ok = true},
    {.prompt_id = "a"},
    {.prompt_id = "b", .format_ok = true},
    {.prompt_id = "c", .format_ok = true},
    {.prompt_id = "c", .format_ok = true},
};
static const struct tpo_samples samples = {.rows = rows, .n = 6};
static const size_t firsts[] = {0, 3, 4, 6};

static void check(struct tpo_config *config, struct judge_jobs jobs, const char *unit, double before,
                  double first, double total)
{
  struct told told = {0};
  struct judge_watch w;
  struct tpo_error err = {0};
  struct tpo_session session = {.config = config, .progress = listen, .progress_arg = &told};
  int64_t job;
  assert_int_equal(tpo_comm_open_alone(&session.comm, &err), 0);
  struct tpo_comm_queue *queue;
  assert_int_equal(tpo_comm_queue_create(session.comm, &queue, (int64_t)jobs.n_jobs, &err), 0);
  assert_int_equal(judge_watch_begin(&w, &session, &jobs, &err), 0);
  w.queue = queue;
  assert_true(told.n == 1 && told.done == before && told.total == total);
  assert_string_equal(told.unit, unit);
  judge_watch_next(&w);
  assert_int_equal(tpo_comm_queue_next(queue, &job, &err), 1);
  judge_watch_take(&w, job);
  judge_watch_tell(&w, 1);
  assert_true(told.n == 2 && told.done == before + first && told.total == total);
  judge_watch_tell(&w, 1); /* not so soon after */
  assert_int_equal(told.n, 2);
  judge_watch_next(&w);
  while (tpo_comm_queue_next(queue, &job, &err) == 1) judge_watch_take(&w, job);
  w.told = 0;
  judge_watch_tell(&w, 1); /* the others may not be there yet */
  assert_true(told.n == 3 && told.done == total - 1);
  judge_watch_end(&w);
  assert_true(told.done == total);
  judge_watch_free(&w);
  tpo_comm_queue_destroy(queue, NULL);
  tpo_comm_close(session.comm);
}

static void responses_that_parse_are_counted(void **state)
{
  (void)state;
  struct tpo_config config = {.judge = {.kind = (char *)"rule"}};
  check(&config, (struct judge_jobs){&samples, firsts, 3, NULL, 3}, "responses", 0, 2, 5);
}

static void comparisons_are_counted_where_nothing_else_is_made(void **state)
{
  (void)state;
  struct tpo_config config = {.judge = {.kind = (char *)"pairwise:somewhere"}};
  rows[2].format_ok = true; /* 6 comparisons, none, 2 */
  check(&config, (struct judge_jobs){&samples, firsts, 3, NULL, 3}, "comparisons", 0, 6, 8);
  rows[2].format_ok = false;
}

static void what_was_judged_before_is_done(void **state)
{
  (void)state;
  static const size_t todo[] = {1, 2};
  struct tpo_config config = {.judge = {.kind = (char *)"rule"}};
  check(&config, (struct judge_jobs){&samples, firsts, 3, todo, 2}, "responses", 2, 1, 5);
}

static void nobody_listening_costs_nothing(void **state)
{
  (void)state;
  struct tpo_config config = {.judge = {.kind = (char *)"rule"}};
  struct tpo_session session = {.config = &config};
  struct judge_watch w;
  struct judge_jobs jobs = {&samples, firsts, 3, NULL, 3};
  assert_int_equal(judge_watch_begin(&w, &session, &jobs, NULL), 0);
  judge_watch_next(&w);
  judge_watch_take(&w, 2);
  judge_watch_tell(&w, 0.5);
  judge_watch_end(&w);
  assert_null(w.work);
  judge_watch_free(&w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(responses_that_parse_are_counted),
      cmocka_unit_test(comparisons_are_counted_where_nothing_else_is_made),
      cmocka_unit_test(what_was_judged_before_is_done),
      cmocka_unit_test(nobody_listening_costs_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
