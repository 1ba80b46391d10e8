/* What is told of sampling, on one rank, as the engine would go. */
#include "unit.h"
#include "steps/sampled.h"

struct told {
  int n;
  double done, total;
  char note[64];
};

static void listen(void *arg, const struct tpo_progress *at)
{
  struct told *told = arg;
  assert_string_equal(at->phase, "validating");
  assert_string_equal(at->unit, "tokens");
  told->n++;
  told->done = at->done;
  told->total = at->total;
  snprintf(told->note, sizeof told->note, "%s", at->note);
}

static void draw(struct sampled *s, const struct tpo_request *job, int n_tokens)
{
  for (int i = 0; i < n_tokens; i++) sampled_token(s);
  sampled_output(s, &(struct tpo_output){.request = job, .n = n_tokens});
}

/* The next token is told of. */
static void look(struct sampled *s)
{
  s->told = s->look_at = 0;
  sampled_token(s);
}

/* Of four prompts one was finished before, and of another an output is missing in the middle: 90 tokens. */
static void tokens_and_prompts_are_told(void **state)
{
  (void)state;
  static const struct tpo_request jobs[] = {
      {.index = 2, .k_count = 3}, {.index = 0, .k_count = 1}, {.index = 3, .k_count = 2}};
  struct told told = {0};
  struct tpo_error err = {0};
  struct tpo_session session = {.progress = listen, .progress_arg = &told};
  struct sampled s = {.session = &session,
                      .phase = "validating",
                      .jobs = jobs,
                      .n_prompts = 4,
                      .before = 90,
                      .forecast = {.budget = 50, .at_once = 8}};
  int64_t job;
  assert_int_equal(tpo_comm_open_alone(&session.comm, &err), 0);
  assert_int_equal(tpo_comm_queue_create(session.comm, &s.queue, 3, &err), 0);
  assert_int_equal(sampled_begin(&s, 3, &err), 0);
  assert_true(told.n == 1 && told.done == 90 && told.total == 90 + 6 * 50);
  assert_string_equal(told.note, "1 of 4 prompts");
  while (tpo_comm_queue_next(s.queue, &job, &err) == 1) sampled_take(&s, &jobs[job]);
  for (int i = 0; i < 3; i++) draw(&s, &jobs[0], 20);
  look(&s);
  assert_true(told.done == 90 + 61 && told.total > told.done && told.total < 90 + 61 + 3 * 50);
  assert_string_equal(told.note, "2 of 4 prompts");
  draw(&s, &jobs[1], 10);
  draw(&s, &jobs[2], 10);
  look(&s);
  assert_true(told.done == 90 + 82 && told.total > told.done);
  assert_string_equal(told.note, "3 of 4 prompts"); /* the last one's second output is open */
  sampled_end(&s, 200);
  assert_true(told.done == 200 && told.total == 200);
  assert_string_equal(told.note, "4 of 4 prompts");
  sampled_free(&s);
  tpo_comm_queue_destroy(s.queue, NULL);
  tpo_comm_close(session.comm);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_and_prompts_are_told)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
