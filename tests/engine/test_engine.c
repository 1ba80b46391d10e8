/* The engine: what a sample holds and how it ends. Every test runs twice: with each pass's results taken
 * before the next is built, and with passes handed over ahead of them and padded as for recording. */
#include "model/model.h"
#include "engine/world.h"

static void sample_does_not_depend_on_slots_blocks_chunks_or_order(void **state)
{
  (void)state;
  struct tpo_samples expected = run_plainly();
  static const struct {
    int slots, block_tokens, prefill_chunk;
  } settings[] = {{1, 16, 512}, {2, 1, 1}, {3, 7, 5}, {64, 16, 3}, {15, 128, 40}};
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    w.sampling.slots = settings[i].slots;
    for (int j = 0; j < n_prompts; j++) w.order[j] = (3 * j + (int)i) % n_prompts;
    struct tpo_samples got = run((struct tpo_engine_options){.block_tokens = settings[i].block_tokens,
                                                             .prefill_chunk = settings[i].prefill_chunk});
    assert_same(&expected, &got);
    tpo_samples_free(&got);
  }
  tpo_samples_free(&expected);
}

/* Memory for hardly more than one sample at a time: slower, but the same, and it comes to an end. */
static void little_cache_memory_changes_nothing(void **state)
{
  (void)state;
  struct tpo_samples expected = run_plainly();
  size_t block = 2 * 4 * 2 * 2 * 8 * 8; /* k and v, fp32, layers, kv heads, head size, tokens */
  for (size_t blocks = 20; blocks < 40; blocks += 3) {
    struct tpo_samples got = run((struct tpo_engine_options){.block_tokens = 8, .kv_bytes = blocks * block});
    assert_same(&expected, &got);
    tpo_samples_free(&got);
  }
  tpo_samples_free(&expected);
}

static void too_little_cache_memory_is_an_error_that_names_the_prompt(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  assert_int_equal(run_with((struct tpo_engine_options){.kv_bytes = 4096}, NULL, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "prompt a"));
  assert_non_null(strstr(err.message, "KV cache"));
  assert_contains(err.message, "lower sampling.max_tokens or sampling.slots");
}

/* A judge's engine has its numbers from keys of its own. */
static void errors_name_the_section_that_the_settings_are_from(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_engine_options options = {.kv_bytes = 4096, .section = "judge"};
  assert_int_equal(run_with(options, NULL, &err), TPO_E_MEMORY);
  assert_contains(err.message, "lower judge.max_tokens or judge.slots");
  w.sampling.slots = 0;
  assert_int_equal(run_with(options, NULL, &err), TPO_E_USAGE);
  assert_contains(err.message, "judge.slots is 0");
}

static void end_token_ends_and_is_kept(void **state)
{
  (void)state;
  w.sampling.max_tokens = 75;
  struct tpo_samples samples = run_plainly();
  int ended = 0;
  for (size_t i = 0; i < samples.n; i++) {
    const struct tpo_sample_row *row = &samples.rows[i];
    for (int j = 0; j < row->n_tokens; j++) {
      bool end = row->token_ids[j] == 2;
      assert_true(end == (row->finish == TPO_FINISH_STOP && j == row->n_tokens - 1));
      ended += end;
    }
    if (row->finish == TPO_FINISH_LENGTH) assert_int_equal(row->n_tokens, 75);
  }
  assert_true(ended > 0);
  tpo_samples_free(&samples);
}

static void stop_string_ends_at_its_first_occurrence(void **state)
{
  (void)state;
  struct tpo_samples free_run = run_plainly();
  const struct tpo_sample_row *row = &free_run.rows[4];
  assert_true(strlen(row->text) > 12);
  char stop[3];
  const char *at = NULL;
  for (const char *p = row->text + 6; p[1] && !at; p++) /* two ASCII bytes, so that they are two tokens */
    if ((unsigned char)p[0] < 0x80 && (unsigned char)p[1] < 0x80) at = p;
  assert_non_null(at);
  memcpy(stop, at, 2);
  stop[2] = '\0';
  char *stops[] = {(char *)"never to be found", stop};
  w.sampling.stop = stops;
  w.sampling.n_stop = 2;
  struct tpo_samples got = run_plainly();
  int stopped = 0;
  for (size_t i = 0; i < got.n; i++) {
    const char *hit = strstr(free_run.rows[i].text, stop);
    size_t len = hit ? (size_t)(hit - free_run.rows[i].text) : strlen(free_run.rows[i].text);
    assert_int_equal(strlen(got.rows[i].text), len);
    assert_memory_equal(got.rows[i].text, free_run.rows[i].text, len);
    assert_true((hit != NULL) == (got.rows[i].finish == TPO_FINISH_STOP_STRING));
    stopped += hit != NULL;
  }
  assert_true(stopped >= 1);
  tpo_samples_free(&got);
  tpo_samples_free(&free_run);
}

static void forced_marker_comes_at_the_budget_and_is_recorded(void **state)
{
  (void)state;
  set_thought(true, 9, 12);
  struct tpo_samples samples = run_plainly();
  for (size_t i = 0; i < samples.n; i++) {
    const struct tpo_sample_row *row = &samples.rows[i];
    int inserted = 0, first = -1;
    for (int j = 0; j < row->n_tokens; j++) {
      if (!row->inserted[j]) continue;
      if (first < 0) first = j;
      inserted++;
      assert_true(row->token_logprobs[j] == 0);
    }
    assert_int_equal(inserted, 3); /* bytes of the marker */
    assert_true(first <= 9);       /* sooner only where the end token was drawn */
    assert_int_equal(row->n_thought_tokens, first + 3);
    assert_non_null(strstr(row->text, "\nR:"));
    assert_true(row->n_tokens - row->n_thought_tokens <= 12);
    if (row->finish == TPO_FINISH_LENGTH) assert_int_equal(row->n_tokens - row->n_thought_tokens, 12);
  }
  tpo_samples_free(&samples);
}

static int count_of(const char *text, char c)
{
  int n = 0;
  for (; *text; text++) n += *text == c;
  return n;
}

static void marker_that_comes_again_ends_the_response(void **state)
{
  (void)state;
  struct tpo_samples free_run = run_plainly();
  char marker[2] = "";
  for (int c = ' ' + 1, most = 0; c < 0x7f; c++) { /* the one that they write most */
    int n = 0;
    for (size_t i = 0; i < free_run.n; i++) n += count_of(free_run.rows[i].text, (char)c);
    if (n > most) most = n, marker[0] = (char)c;
  }
  set_thought(true, 2, 40);
  w.thought.response_marker = marker;
  struct tpo_samples got = run_plainly();
  int again = 0, parsed = 0;
  for (size_t i = 0; i < got.n; i++) {
    const struct tpo_sample_row *row = &got.rows[i];
    assert_true(count_of(row->text, marker[0]) <= 1);
    struct tpo_buf drawn = {0};
    assert_int_equal(tpo_tokenizer_decode(w.tok, row->token_ids, (size_t)row->n_tokens, false, &drawn, NULL),
                     0);
    assert_int_equal(count_of(drawn.data, marker[0]) > 1, row->finish == TPO_FINISH_STOP_STRING);
    tpo_buf_free(&drawn);
    again += row->finish == TPO_FINISH_STOP_STRING;
    parsed += row->finish == TPO_FINISH_STOP_STRING && row->format_ok;
  }
  assert_true(again > 0 && parsed > 0);
  tpo_samples_free(&got);
  tpo_samples_free(&free_run);
}

static void stop_at_the_budget_gives_no_response(void **state)
{
  (void)state;
  set_thought(false, 9, 12);
  struct tpo_samples samples = run_plainly();
  for (size_t i = 0; i < samples.n; i++) {
    assert_true(samples.rows[i].n_tokens <= 9);
    assert_false(samples.rows[i].format_ok);
    assert_string_equal(samples.rows[i].response, "");
  }
  tpo_samples_free(&samples);
}

static void marker_written_by_the_model_is_found_across_tokens(void **state)
{
  (void)state;
  set_thought(true, 20, 5);
  w.thought.response_marker = (char *)"\nno such marker";
  struct tpo_samples free_run = run_plainly();
  char marker[3] = "";
  for (const char *p = free_run.rows[7].text + 4; p[0] && p[1] && !*marker; p++)
    if ((unsigned char)p[0] < 0x80 && (unsigned char)p[1] < 0x80) memcpy(marker, p, 2);
  assert_true(*marker);
  w.thought.response_marker = marker;
  struct tpo_samples got = run_plainly();
  const struct tpo_sample_row *row = &got.rows[7];
  for (int j = 0; j < row->n_tokens; j++) assert_false(row->inserted[j]);
  assert_true(row->n_thought_tokens > 0 && row->n_tokens - row->n_thought_tokens <= 5);
  tpo_samples_free(&got);
  tpo_samples_free(&free_run);
}

static void full_context_ends_a_sample(void **state)
{
  (void)state;
  w.sampling.max_tokens = 500;
  struct tpo_samples samples = run_plainly();
  for (size_t i = 0; i < samples.n; i++) {
    assert_true(samples.rows[i].n_prompt + samples.rows[i].n_tokens <= 128);
    if (samples.rows[i].finish == TPO_FINISH_CONTEXT)
      assert_int_equal(samples.rows[i].n_prompt + samples.rows[i].n_tokens, 128);
    else
      assert_int_equal(samples.rows[i].finish, TPO_FINISH_STOP);
  }
  tpo_samples_free(&samples);
}

static void prefix_is_computed_once_for_all_samples(void **state)
{
  (void)state;
  struct tpo_engine_stats stats;
  struct tpo_error err = {0};
  assert_int_equal(run_with((struct tpo_engine_options){0}, &stats, &err), 0);
  int64_t prefix = 0, drawn = 0;
  for (int i = 0; i < n_prompts; i++) prefix += w.requests[i].n_prompt - 1;
  for (size_t i = 0; i < w.samples.n; i++) drawn += w.samples.rows[i].n_tokens;
  assert_int_equal(stats.prompt_tokens, prefix);
  assert_int_equal(stats.sampled_tokens, drawn);
}

static void repetition_penalty_changes_tokens_and_keeps_true_log_probabilities(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  w.sampling.repetition_penalty = 1.5;
  w.sampling.temperature = 0;
  struct tpo_samples samples = run_plainly();
  const struct tpo_sample_row *row = &samples.rows[3];
  int n = row->n_prompt + row->n_tokens;
  int32_t ids[256], cu_seqlens[] = {0, n};
  float logprob[256];
  memcpy(ids, row->prompt_ids, (size_t)row->n_prompt * sizeof *ids);
  memcpy(ids + row->n_prompt, row->token_ids, (size_t)row->n_tokens * sizeof *ids);
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = cu_seqlens, .n_tokens = n, .n_seqs = 1};
  if (tpo_model_logprobs(w.model, &batch, logprob, &err) < 0) fail_msg("%s", err.message);
  for (int j = 0; j < row->n_tokens; j++)
    assert_true(fabsf(logprob[row->n_prompt + j - 1] - row->token_logprobs[j]) < 1e-4f);
  w.sampling.repetition_penalty = 1;
  struct tpo_samples plain = run_plainly();
  bool differs = false;
  for (size_t i = 0; i < plain.n; i++) differs |= strcmp(plain.rows[i].text, samples.rows[i].text) != 0;
  assert_true(differs);
  tpo_samples_free(&plain);
  tpo_samples_free(&samples);
}

static void bad_requests_are_refused_by_id(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  int32_t bad[] = {5, 259};
  struct tpo_request good = w.requests[1];
  w.requests[1].prompt_ids = bad;
  w.requests[1].n_prompt = 2;
  assert_int_equal(run_with((struct tpo_engine_options){0}, NULL, &err), TPO_E_INPUT);
  assert_non_null(strstr(err.message, "prompt b"));
  w.requests[1].n_prompt = 128;
  assert_int_equal(run_with((struct tpo_engine_options){0}, NULL, &err), TPO_E_INPUT);
  assert_non_null(strstr(err.message, "128"));
  w.requests[1] = good; /* 14 tokens; the marker is three */
  set_thought(true, 111, 0);
  assert_int_equal(run_with((struct tpo_engine_options){0}, NULL, &err), TPO_E_INPUT);
  assert_non_null(strstr(err.message, "prompt b: 14 tokens; the model's context of 128 leaves 114"));
}

static void an_engine_runs_again_after_an_error(void **state)
{
  (void)state;
  struct tpo_samples expected = run_plainly();
  struct tpo_error err = {0};
  struct tpo_engine *engine;
  struct tpo_engine_options options = {
      .sampling = &w.sampling, .thought = &w.thought, .seed = 12, .run_ahead = w.run_ahead};
  struct tpo_engine_client client = {.next = next_request, .output = take_output, .token = take_token};
  w.sampling.slots = 4;
  assert_int_equal(tpo_engine_open(&engine, w.model, w.tok, w.tmpl, &options, &err), 0);
  for (int after = 0; after < 6; after += 2) {
    w.next = 0;
    w.outputs_left = after;
    assert_int_equal(tpo_engine_run(engine, &client, &err), TPO_E_IO);
    assert_string_equal(err.message, "no room for an output");
  }
  tpo_samples_free(&w.samples);
  w.samples = (struct tpo_samples){0};
  w.next = 0;
  w.outputs_left = -1;
  if (tpo_engine_run(engine, &client, &err) < 0) fail_msg("%s", err.message);
  tpo_engine_close(engine);
  static const char *const ids[n_prompts] = {"a", "b", "c", "d", "e"};
  assert_int_equal(tpo_samples_sort(&w.samples, ids, n_prompts, &err), 0);
  assert_int_equal(w.samples.n, expected.n);
  assert_same(&expected, &w.samples);
  tpo_samples_free(&expected);
}

/* One token's embedding is no number; a prompt that ends in it is the only one concerned. */
static void logits_that_are_not_numbers_name_the_prompt_and_the_position(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_arch arch = *tpo_model_arch(w.model);
  struct tpo_model *keep = w.model;
  struct tpo_model_options options = {.backend = w.be, .dtype = TPO_DTYPE_FP32, .keep_master = true};
  int32_t last = w.prompt[2][26], poisoned = 250;
  arch.tied = false;
  assert_int_equal(tpo_model_create_random(&w.model, &arch, 3, &options, &err), 0);
  float *weights = tpo_model_master(w.model);
  for (int i = 0; i < arch.hidden; i++) weights[poisoned * arch.hidden + i] = NAN;
  tpo_model_set_weights(w.model, weights);
  w.sampling.temperature = 0;
  w.prompt[2][26] = poisoned;
  int status = run_with((struct tpo_engine_options){0}, NULL, &err);
  w.prompt[2][26] = last;
  tpo_model_close(w.model);
  w.model = keep;
  assert_int_equal(status, TPO_E_NUMERIC);
  assert_non_null(strstr(err.message, "prompt c, sample "));
  assert_non_null(strstr(err.message, "position 26 "));
}

static void a_signal_stops_between_passes(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  tpo_interrupt_install();
  w.interrupt = true;
  assert_int_equal(run_with((struct tpo_engine_options){0}, NULL, &err), TPO_E_INTERRUPTED);
  assert_non_null(strstr(err.message, "stopped by SIGTERM"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(sample_does_not_depend_on_slots_blocks_chunks_or_order, reset),
      cmocka_unit_test_setup(little_cache_memory_changes_nothing, reset),
      cmocka_unit_test_setup(too_little_cache_memory_is_an_error_that_names_the_prompt, reset),
      cmocka_unit_test_setup(errors_name_the_section_that_the_settings_are_from, reset),
      cmocka_unit_test_setup(end_token_ends_and_is_kept, reset),
      cmocka_unit_test_setup(stop_string_ends_at_its_first_occurrence, reset),
      cmocka_unit_test_setup(forced_marker_comes_at_the_budget_and_is_recorded, reset),
      cmocka_unit_test_setup(marker_that_comes_again_ends_the_response, reset),
      cmocka_unit_test_setup(stop_at_the_budget_gives_no_response, reset),
      cmocka_unit_test_setup(marker_written_by_the_model_is_found_across_tokens, reset),
      cmocka_unit_test_setup(full_context_ends_a_sample, reset),
      cmocka_unit_test_setup(prefix_is_computed_once_for_all_samples, reset),
      cmocka_unit_test_setup(repetition_penalty_changes_tokens_and_keeps_true_log_probabilities, reset),
      cmocka_unit_test_setup(bad_requests_are_refused_by_id, reset),
      cmocka_unit_test_setup(an_engine_runs_again_after_an_error, reset),
      cmocka_unit_test_setup(logits_that_are_not_numbers_name_the_prompt_and_the_position, reset),
  };
  const struct CMUnitTest last[] = {
      cmocka_unit_test_setup(a_signal_stops_between_passes, reset), /* the signal stays noted */
  };
  int failed = cmocka_run_group_tests_name("pass by pass", tests, setup, teardown);
  w.run_ahead = TPO_RUN_AHEAD_ALWAYS;
  failed += cmocka_run_group_tests_name("running ahead", tests, setup, teardown);
  failed += cmocka_run_group_tests_name("interrupted", last, setup, teardown);
  return failed;
}
