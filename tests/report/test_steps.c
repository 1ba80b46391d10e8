/* The page and TensorBoard's events about a run that draws samples between its training steps. */
#include "report/folder.h"
#include "report/well_formed.h"

enum { STEPS = 40, INTERVAL = 20, SYNC = 5, BATCH = 2, K = 3 };
static const struct folder_options run = {
    .iterations = STEPS / INTERVAL, .prompts = INTERVAL * BATCH, .k = K, .batch = BATCH};

static const char config[] = "model:\n  path: models/tiny.gguf\ntrain:\n  batch: 2\nrun:\n  sync_steps: 5\n"
                             "  steps: 40\n  checkpoint_steps: 20\n  reference: start\n";

/* Every tenth step has no pair. Their numbers count from 0, as those of an iteration's do. */
static void put_step(struct tpo_buf *out, int iteration, int step)
{
  if (step % 10 == 0)
    tpo_buf_printf(
        out,
        "{\"event\":\"step\",\"iteration\":%d,\"skipped\":true,\"step\":%d,\"lr\":1e-05,\"rho\":0.1,"
        "\"prompts\":2,\"pairs\":0}\n",
        iteration, step - 1);
  else
    tpo_buf_printf(
        out,
        "{\"event\":\"step\",\"iteration\":%d,\"step\":%d,\"lr\":1e-05,\"loss\":%.4f,\"accuracy\":0.5,"
        "\"margin\":0.1,\"chosen_logprob\":-20,\"rejected_logprob\":-30,\"grad_norm\":2,\"tokens\":100,"
        "\"seconds\":0.5,\"rho\":0.1,\"prompts\":2,\"pairs\":2}\n",
        iteration, step - 1, 0.7 - 0.001 * step);
}

static void put_segment(struct tpo_buf *out, int iteration, int first)
{
  tpo_buf_printf(
      out,
      "{\"event\":\"segment\",\"iteration\":%d,\"first_step\":%d,\"steps\":%d,\"prompts\":10,\"samples\":30,"
      "\"pairs\":%d,\"rho\":%.2f,\"mean_score\":%.3f,\"format_rate\":1,\"response_tokens\":25.5,"
      "\"thought_tokens\":12,\"failures\":0,\"drawn_tokens\":1500,\"seconds\":{\"sample\":3,\"judge\":1.5,"
      "\"reference\":0.25,\"train\":5,\"wait\":0.5}}\n",
      iteration, first, SYNC, first % 10 == 1 ? 10 : 8, 0.05 * first / SYNC, 0.4 + 0.002 * first);
}

static void put_sampled(struct tpo_buf *out, int iteration)
{
  tpo_buf_printf(
      out,
      "{\"event\":\"sample\",\"iteration\":%d,\"prompts\":40,\"samples\":120,\"tokens\":6000,"
      "\"seconds\":12,\"format_rate\":1,\"mean_thought_tokens\":12,\"mean_response_tokens\":25.5}\n",
      iteration);
}

/* The folder of a run in steps: what run/online writes of two intervals. */
static void make_steps(const char *dir, const struct folder_options *o)
{
  struct tpo_buf metrics = {0}, manifest = {0};
  put_samples(dir, 0, "validation.h5", o, 1, true);
  put_validate_event(&metrics, 0, 0, 0);
  tpo_buf_puts(&manifest, "{\"version\":1,\"steps\":[{\"iteration\":0,\"step\":\"validate\",\"seconds\":4}");
  for (int i = 1; i <= o->iterations; i++) {
    put_samples(dir, i, "scored.h5", o, o->k, true);
    put_pairs(dir, i, o);
    put_samples(dir, i, "validation.h5", o, 1, true);
    for (int first = 1 + (i - 1) * INTERVAL; first <= i * INTERVAL; first += SYNC) {
      for (int step = first; step < first + SYNC; step++) put_step(&metrics, i, step);
      put_segment(&metrics, i, first);
    }
    put_sampled(&metrics, i);
    tpo_buf_printf(
        &metrics,
        "{\"event\":\"win_rate\",\"iteration\":%d,\"against\":\"previous\",\"baseline_iteration\":%d,"
        "\"n\":32,\"win_rate\":0.75,\"standard_error\":0.05}\n",
        i, i - 1);
    put_validate_event(&metrics, i, 0.12 * i, 0.024);
    tpo_buf_printf(&manifest,
                   ",{\"iteration\":%d,\"step\":\"steps\",\"seconds\":45},"
                   "{\"iteration\":%d,\"step\":\"validate\",\"seconds\":5}",
                   i, i);
  }
  tpo_buf_puts(&manifest, "],\"done\":true}\n");
  put_file(dir, "metrics.jsonl", metrics.data);
  put_file(dir, "manifest.json", manifest.data);
  put_file(dir, "config.yaml", config);
  tpo_buf_free(&metrics);
  tpo_buf_free(&manifest);
}

static void assert_lacks(const char *text, const char *part)
{
  const char *found = strstr(text, part);
  if (found) fail_msg("'%s' in: %.200s", part, found > text + 80 ? found - 80 : found);
}

static void a_run_in_steps_is_told_by_its_steps(void **state)
{
  static const char *const parts[] = {
      "<h2>Steps</h2>",
      ">Steps</a>",
      "steps planned</dt><dd>40",
      "steps between samplings</dt><dd>5",
      "before training and after step 40. ",
      "those of step 20 on <strong>75.0 %",
      "<th scope=\"col\">start</th><th scope=\"col\">step 20</th><th scope=\"col\">step 40</th>",
      "4 of 40 training steps were skipped: no prompt of theirs gave a pair.",
      "<h3>Steps 1 to 20</h3>",
      "<h3>Steps 21 to 40</h3>",
      "Step 40 <span class=\"score\">",
      "Scores of samples by step",
      "Lengths of samples by step",
      "Length penalty by step",
      ">ρ</th><td></td><td>0.01 to 0.16</td><td>0.21 to 0.36</td>",
      "4 steps without a pair.",
      "<th scope=\"row\">Constraints that hold</th><td>50.0 %</td><td>50.0 %</td><td>±0.0 ± 0.0</td>",
      "<th scope=\"row\">Repeated text</th><td>0.0 %</td><td>0.0 %</td><td>±0.0 ± 0.0</td>",
      "Pairs by step",
      "share of samples, by stretch of steps",
      ">step 40</text>"};
  make_steps(*state, &run);
  char *page = report_of(*state);
  assert_well_formed(page);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) assert_contains(page, parts[i]);
  char *script = strstr(page, "<script>");
  assert_non_null(script);
  *script = '\0';
  const char *body = strstr(page, "<body>");
  assert_lacks(body, "teration ");
  assert_lacks(body, ">Iteration");
  assert_lacks(body, "teration<");
  assert_lacks(body, "it. 1");
  assert_lacks(body, "nan");
  assert_lacks(body, "not finite");
  assert_lacks(body, "<figcaption>Length penalty</figcaption>");
  assert_lacks(body, "counted with choosing");
  free(page);
}

/* Of each interval 4 segments: 12 s of sampling, 6 of judging, 1 of references, 20 of training, 2 of waiting. */
static void time_and_samples_are_summed_over_segments(void **state)
{
  static const char *const rows[] = {
      ">sample</th><td></td><td>12.0 s</td><td>12.0 s</td>",
      ">judge</th><td></td><td>6.0 s</td><td>6.0 s</td>",
      ">reference</th><td></td><td>1.0 s</td><td>1.0 s</td>",
      ">train</th><td></td><td>20.0 s</td><td>20.0 s</td>",
      ">waiting</th><td></td><td>2.0 s</td><td>2.0 s</td>",
      ">steps, all in all</th><td></td><td>45.0 s</td><td>45.0 s</td>",
      ">validate</th><td>4.0 s</td><td>5.0 s</td><td>5.0 s</td>",
      ">samples drawn</th><td></td><td>120</td><td>240</td>",
      ">gain for 1000 samples</th><td></td><td>+1.0000 ± 0.2000</td><td>+1.0000 ± 0.1000</td>",
      ">steps</th><td></td><td>20</td><td>20</td>",
      ">steps skipped</th><td></td><td>2</td><td>2</td>",
      "Where the time went",
      "<title>sample, 24 %</title>", /* 12 of 50 seconds, validation among them */
      "<title>other, 12 %</title>",
      "time in finished steps</dt><dd>1 min 44 s"};
  make_steps(*state, &run);
  char *page = report_of(*state);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (!strstr(page, rows[i])) fail_msg("no '%s'", rows[i]);
  free(page);
}

static void prompts_are_shown_in_the_order_of_their_steps(void **state)
{
  int last = 0, n = 0;
  make_steps(*state, &run);
  char *page = report_of(*state);
  assert_contains(page, "<summary><span class=\"badge quiet\">step 21</span> <span class=\"ask\">");
  for (const char *at = page; (at = strstr(at, "data-step=\"")); n++) {
    int step = atoi(at += strlen("data-step=\""));
    if (step < last) fail_msg("step %d after %d", step, last);
    last = step;
  }
  assert_int_equal(n, run.iterations * run.prompts);
  assert_int_equal(last, STEPS);
  free(page);
}

/* A run whose samples are an iteration's has the same table of cost, from its own events. */
static void runs_of_either_kind_tell_their_cost_alike(void **state)
{
  make_run(*state, &(struct folder_options){.iterations = 2, .prompts = 10, .k = 3}, 0.06);
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, ">samples drawn</th><td></td><td>30</td><td>60</td>");
  assert_contains(page, ">tokens drawn</th><td></td><td>4096</td><td>8192</td>");
  assert_contains(page,
                  ">gain for 1000 samples</th><td></td><td>+1.0000 ± 0.6667</td><td>+1.0000 ± 0.3333</td>");
  assert_contains(page, "Gain for samples drawn");
  assert_contains(page, "Where the time went");
  assert_lacks(page, "data-step=");
  assert_lacks(page, "skipped: no prompt");
  assert_lacks(page, ">waiting</th>");
  free(page);
}

static void an_interval_that_is_not_done_tells_what_there_is(void **state)
{
  make_steps(*state, &run);
  struct tpo_buf metrics = {0};
  put_step(&metrics, 1, 1);
  put_segment(&metrics, 1, 1);
  put_file(*state, "metrics.jsonl", metrics.data);
  put_file(*state, "manifest.json", "{\"steps\":[{\"iteration\":1,\"step\":\"steps\",\"seconds\":4}]}");
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "last finished: training of steps 1 to 20");
  assert_contains(page, ">samples drawn</th><td></td><td>30</td><td></td>");
  tpo_buf_free(&metrics);
  free(page);
}

/* What is on the way is told by the steps that are made, and what has none of them isn't there. */
static void no_step_is_told_that_was_not_reached(void **state)
{
  char folder[4200];
  const struct folder_options start = {.prompts = 10, .k = K};
  struct tpo_error err = {0};
  make_steps(*state, &start);
  struct tpo_buf metrics = {0};
  for (int step = 1; step <= 25; step++) put_step(&metrics, 1 + (step > INTERVAL), step);
  put_file(*state, "metrics.jsonl", metrics.data);
  put_file(*state, "manifest.json", "{\"steps\":[{\"iteration\":1,\"step\":\"steps\",\"seconds\":4}]}");
  char *page = report_of(*state);
  assert_contains(page, "<span class=\"badge quiet\">step 25 of 40</span>");
  assert_contains(page, "<th scope=\"col\">step 20</th><th scope=\"col\">step 25</th>");
  assert_lacks(page, "step 40");
  metrics.len = 0;
  free(page);
  for (int step = 1; step <= INTERVAL; step++) put_step(&metrics, 1, step);
  put_file(*state, "metrics.jsonl", metrics.data);
  snprintf(folder, sizeof folder, "%s/iter-002", (char *)*state);
  assert_int_equal(tpo_make_dirs(folder, &err), 0);
  page = report_of(*state);
  assert_contains(page, "<span class=\"badge quiet\">step 20 of 40</span>");
  assert_contains(page, "<th scope=\"col\">start</th><th scope=\"col\">step 20</th></tr>");
  tpo_buf_free(&metrics);
  free(page);
}

static void strange_segments_leave_a_page(void **state)
{
  make_steps(*state, &run);
  put_file(
      *state, "metrics.jsonl",
      "{\"event\":\"segment\",\"iteration\":1}\n"
      "{\"event\":\"segment\",\"iteration\":1,\"first_step\":\"<b>\",\"seconds\":[],\"rho\":{}}\n"
      "{\"event\":\"segment\",\"iteration\":1,\"first_step\":1e308,\"mean_score\":-1e308,\"seconds\":7}\n"
      "{\"event\":\"segment\",\"iteration\":1,\"first_step\":-5,\"mean_score\":1,\"pairs\":3,\"prompts\":0,"
      "\"samples\":-1,\"seconds\":{\"sample\":-3,\"judge\":1e300,\"train\":null}}\n"
      "{\"event\":\"segment\",\"iteration\":99999,\"first_step\":2,\"rho\":0.1,\"unknown\":[1]}\n"
      "{\"event\":\"segment\",\"iteration\":-1}\n"
      "{\"event\":\"step\",\"iteration\":1,\"step\":\"x\",\"skipped\":\"yes\"}\n"
      "{\"event\":\"step\",\"iteration\":1,\"step\":-1e308,\"skipped\":true}\n"
      "{\"event\":\"win_rate\",\"iteration\":1,\"against\":\"previous\",\"baseline_iteration\":1e300,\"win_rate\":1}\n"
      "{\"event\":\"validate\",\"iteration\":0,\"mean_score\":1}\n"
      "{\"event\":\"validate\",\"iteration\":1,\"mean_score\":1,\"difference\":1}\n");
  put_file(*state, "manifest.json", "{\"steps\":[{\"iteration\":1e300,\"step\":\"steps\",\"seconds\":4}]}");
  char *page = report_of(*state);
  assert_well_formed(page);
  put_file(*state, "config.yaml",
           "run:\n  sync_steps: 5\n"); /* steps are missing: noted, and told by iterations */
  char *again = report_of(*state);
  assert_well_formed(again);
  free(page);
  free(again);
}

/* The number that the event with this tag stands at, of its nth appearance; -1: it does not appear. These events have
 * no time, which would come first. */
static long place_of(const struct tpo_buf *events, const char *tag, int nth)
{
  const uint8_t *data = (const uint8_t *)events->data;
  for (size_t at = 0; at + 16 <= events->len;) {
    size_t len = data[at] | (size_t)data[at + 1] << 8;
    const uint8_t *message = data + at + 12;
    if (memmem(message, len, tag, strlen(tag)) && nth-- == 0) {
      long step = 0; /* its field is 0x10 and 7 bits a byte, and is left out where it is 0 */
      for (int i = 1; message[0] == 0x10; i++) {
        step |= (long)(message[i] & 127) << 7 * (i - 1);
        if (message[i] < 128) break;
      }
      return step;
    }
    at += 16 + len;
  }
  return -1;
}

static void tensorboard_has_steps_on_its_axis(void **state)
{
  char path[4200];
  struct tpo_error err = {0};
  struct tpo_buf events = {0};
  make_steps(*state, &run);
  if (tpo_tensorboard_write(*state, &err) < 0) fail_msg("%s", err.message);
  snprintf(path, sizeof path, "%s/tensorboard/events.out.tfevents.0000000000.tpo", (char *)*state);
  assert_int_equal(tpo_read_file(path, 1 << 20, &events, &err), 0);
  assert_int_equal(place_of(&events, "steps/score", 0), 1);
  assert_int_equal(place_of(&events, "steps/seconds_wait", 3), 16);
  assert_int_equal(place_of(&events, "steps/rho", 7), 36);
  assert_int_equal(place_of(&events, "steps/score", 8), -1);
  assert_int_equal(place_of(&events, "train/loss", 0), 1);
  assert_int_equal(place_of(&events, "train/loss", 9), 11); /* step 10 has none */
  assert_int_equal(place_of(&events, "iteration/validation_score", 0), 0);
  assert_int_equal(place_of(&events, "iteration/validation_score", 1), 20);
  assert_int_equal(place_of(&events, "iteration/validation_score", 2), 40);
  tpo_buf_free(&events);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(a_run_in_steps_is_told_by_its_steps),
      IN_FOLDER(time_and_samples_are_summed_over_segments),
      IN_FOLDER(prompts_are_shown_in_the_order_of_their_steps),
      IN_FOLDER(runs_of_either_kind_tell_their_cost_alike),
      IN_FOLDER(an_interval_that_is_not_done_tells_what_there_is),
      IN_FOLDER(no_step_is_told_that_was_not_reached),
      IN_FOLDER(strange_segments_leave_a_page),
      IN_FOLDER(tensorboard_has_steps_on_its_axis),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
