/* The engine over a small random model: what it draws is arbitrary, but keyed, so a run without limits tells
 * what a run with limits must give. */
#include "unit.h"
#include <math.h>
#include <signal.h>
#include "backend/ops.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "tpo/engine.h"

enum { n_prompts = 5, k = 3, max_tokens = 40 };

struct world {
  struct tpo_backend *be;
  struct tpo_tokenizer *tok;
  struct tpo_template *tmpl;
  struct tpo_model *model;
  struct tpo_sampling_config sampling;
  struct tpo_thought_config thought;
  int32_t prompt[n_prompts][64];
  struct tpo_request requests[n_prompts];
  int order[n_prompts], next;
  struct tpo_samples samples;
  int tokens_seen;
  bool interrupt;
};

static struct world w;

/* A tokenizer of single bytes and three special tokens, in GPT-2's visible stand-ins. */
static void write_tokenizer(const char *folder)
{
  struct tpo_buf json = {0};
  char path[4096];
  static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  tpo_buf_puts(&json, "{\"added_tokens\":[");
  for (int i = 0; i < 3; i++)
    tpo_buf_printf(&json,
                   "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                   "\"normalized\":false,\"special\":true}",
                   i ? "," : "", i, special[i]);
  tpo_buf_puts(&json,
               "],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
               "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
  for (int i = 0; i < 3; i++) tpo_buf_printf(&json, "\"%s\":%d,", special[i], i);
  int extra = 0;
  for (int byte = 0; byte < 256; byte++) {
    bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    tpo_buf_printf(&json, "%s\"\\u%04x\":%d", byte ? "," : "", visible ? byte : 256 + extra, byte + 3);
    extra += !visible;
  }
  tpo_buf_puts(&json, "}}}");
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  assert_int_equal(tpo_write_file(path, json.data, json.len, NULL), 0);
  tpo_buf_free(&json);
  static const char config[] = "{\"eos_token\": \"<|im_end|>\"}";
  snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
  assert_int_equal(tpo_write_file(path, config, strlen(config), NULL), 0);
}

static int next_request(void *arg, const struct tpo_request **request, struct tpo_error *err)
{
  (void)arg, (void)err;
  if (w.next == n_prompts) return 0;
  *request = &w.requests[w.order[w.next++]];
  return 1;
}

static int take_output(void *arg, const struct tpo_output *output, struct tpo_error *err)
{
  (void)arg;
  struct tpo_instruction_view view = {
      .id = output->request->id, .instruction = "x", .meta = "{}", .prompt_text = "p"};
  return tpo_engine_make_row(output, w.tok, &w.thought, &view, &w.samples, err);
}

static void take_token(void *arg, const struct tpo_request *request, int sample, int32_t token, bool inserted)
{
  (void)arg, (void)request, (void)sample, (void)token, (void)inserted;
  if (++w.tokens_seen == 20 && w.interrupt) raise(SIGTERM);
}

static int setup(void **state)
{
  struct tpo_error err = {0};
  if (make_folder(state) < 0) return -1;
  write_tokenizer(*state);
  const struct tpo_template_config pieces = {.bos = "",
                                             .system_prefix = "",
                                             .system_suffix = "",
                                             .user_prefix = "<|im_start|>",
                                             .user_suffix = "<|im_end|>",
                                             .assistant_prefix = "<|im_start|>",
                                             .assistant_suffix = "<|im_end|>",
                                             .default_system = ""};
  const struct tpo_arch arch = {.vocab_size = 259,
                                .hidden = 32,
                                .layers = 2,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 8,
                                .ffn = 48,
                                .context = 128,
                                .rms_eps = 1e-5,
                                .rope_theta = 10000,
                                .tied = true};
  if (tpo_backend_open(&w.be, TPO_BACKEND_CPU, 2, &err) < 0 || tpo_tokenizer_open(&w.tok, *state, &err) < 0 ||
      tpo_template_open(&w.tmpl, w.tok, &pieces, &err) < 0 ||
      tpo_model_create_random(&w.model, &arch, 3,
                              &(struct tpo_model_options){.backend = w.be, .dtype = TPO_DTYPE_FP32},
                              &err) < 0) {
    print_error("%s\n", err.message);
    return -1;
  }
  static const char *const ids[n_prompts] = {"a", "b", "c", "d", "e"};
  for (int i = 0; i < n_prompts; i++) {
    int n = 1 + 13 * i; /* one without a prefix, and several that end within a block */
    for (int j = 0; j < n; j++) w.prompt[i][j] = 3 + (17 * i + 5 * j) % 200;
    w.requests[i] =
        (struct tpo_request){.id = ids[i], .prompt_ids = w.prompt[i], .n_prompt = n, .k_count = k};
    w.order[i] = i;
  }
  return 0;
}

static int teardown(void **state)
{
  tpo_model_close(w.model);
  tpo_template_close(w.tmpl);
  tpo_tokenizer_close(w.tok);
  tpo_backend_close(w.be);
  return remove_folder(state);
}

static int reset(void **state)
{
  (void)state;
  tpo_samples_free(&w.samples);
  w.samples = (struct tpo_samples){0};
  w.sampling = (struct tpo_sampling_config){
      .k = k, .temperature = 1, .top_p = 1, .repetition_penalty = 1, .max_tokens = max_tokens, .slots = 8};
  w.thought = (struct tpo_thought_config){0};
  w.interrupt = false;
  w.tokens_seen = 0;
  for (int i = 0; i < n_prompts; i++) {
    w.order[i] = i;
    w.requests[i].max_tokens = 0;
  }
  return 0;
}

static int run_with(struct tpo_engine_options options, struct tpo_engine_stats *stats, struct tpo_error *err)
{
  struct tpo_engine *engine;
  options.sampling = &w.sampling;
  options.thought = &w.thought;
  options.seed = 12;
  struct tpo_source source = {.next = next_request, .output = take_output, .token = take_token};
  w.next = 0;
  int status = tpo_engine_open(&engine, w.model, w.tok, w.tmpl, &options, err);
  if (status < 0) return status;
  status = tpo_engine_run(engine, &source, err);
  if (stats) tpo_engine_stats(engine, stats);
  tpo_engine_close(engine);
  if (status < 0) return status;
  static const char *const ids[n_prompts] = {"a", "b", "c", "d", "e"};
  return tpo_samples_sort(&w.samples, ids, n_prompts, err);
}

static struct tpo_samples run(struct tpo_engine_options options)
{
  struct tpo_error err = {0};
  if (run_with(options, NULL, &err) < 0) fail_msg("%s", err.message);
  struct tpo_samples samples = w.samples;
  w.samples = (struct tpo_samples){0};
  assert_int_equal(samples.n, n_prompts * k);
  return samples;
}

static struct tpo_samples run_plainly(void)
{
  return run((struct tpo_engine_options){0});
}

static void assert_same(const struct tpo_samples *a, const struct tpo_samples *b)
{
  for (size_t i = 0; i < a->n; i++) {
    const struct tpo_sample_row *x = &a->rows[i], *y = &b->rows[i];
    assert_string_equal(x->prompt_id, y->prompt_id);
    assert_int_equal(x->k, y->k);
    assert_int_equal(x->n_tokens, y->n_tokens);
    assert_memory_equal(x->token_ids, y->token_ids, (size_t)x->n_tokens * sizeof *x->token_ids);
    assert_memory_equal(x->token_logprobs, y->token_logprobs,
                        (size_t)x->n_tokens * sizeof *x->token_logprobs);
    assert_int_equal(x->finish, y->finish);
    assert_string_equal(x->text, y->text);
  }
}

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

static void set_thought(bool force, int thought_tokens, int response_tokens)
{
  w.thought = (struct tpo_thought_config){.thought_marker = (char *)"T:",
                                          .response_marker = (char *)"\nR:",
                                          .prefill = (char *)"T:",
                                          .force = force,
                                          .thought_tokens = thought_tokens,
                                          .response_tokens = response_tokens};
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
  w.requests[1] = good;
}

static void a_signal_stops_between_steps(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  tpo_interrupt_install();
  w.interrupt = true;
  assert_int_equal(run_with((struct tpo_engine_options){0}, NULL, &err), TPO_E_INTERRUPTED);
  assert_non_null(strstr(err.message, "signal 15"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(sample_does_not_depend_on_slots_blocks_chunks_or_order, reset),
      cmocka_unit_test_setup(little_cache_memory_changes_nothing, reset),
      cmocka_unit_test_setup(too_little_cache_memory_is_an_error_that_names_the_prompt, reset),
      cmocka_unit_test_setup(end_token_ends_and_is_kept, reset),
      cmocka_unit_test_setup(stop_string_ends_at_its_first_occurrence, reset),
      cmocka_unit_test_setup(forced_marker_comes_at_the_budget_and_is_recorded, reset),
      cmocka_unit_test_setup(stop_at_the_budget_gives_no_response, reset),
      cmocka_unit_test_setup(marker_written_by_the_model_is_found_across_tokens, reset),
      cmocka_unit_test_setup(full_context_ends_a_sample, reset),
      cmocka_unit_test_setup(prefix_is_computed_once_for_all_samples, reset),
      cmocka_unit_test_setup(repetition_penalty_changes_tokens_and_keeps_true_log_probabilities, reset),
      cmocka_unit_test_setup(bad_requests_are_refused_by_id, reset),
      cmocka_unit_test_setup(a_signal_stops_between_steps, reset), /* last: the signal stays noted */
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
