/* A small world to sample in: a byte tokenizer, a random model, prompts. What is drawn is arbitrary, but
 * keyed, so a run without limits tells what a run with limits must give. */
#ifndef TPO_TESTS_ENGINE_WORLD_H
#define TPO_TESTS_ENGINE_WORLD_H

#include "model/model.h"
#include "engine/byte_tokenizer.h"
#include <math.h>
#include <signal.h>
#include "backend/ops.h"
#include "base/json.h"
#include "tpo/engine.h"

enum { n_prompts = 5, k = 3, max_tokens = 40 };

struct world {
  enum tpo_backend_kind backend; /* set before setup */
  enum tpo_compute_dtype dtype;
  int head_dim;
  int vocab;  /* of the model; 259: the tokenizer's */
  int window; /* of layers whose bits are set in `windowed` */
  uint64_t windowed;
  struct tpo_rope rope; /* of theta 0: the usual */
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
  int tokens_seen, outputs_left;                    /* outputs_left: then `output` fails; negative: never */
  void (*look)(const struct tpo_output *output);    /* may be NULL; called with each output */
  int (*between)(void *arg, struct tpo_error *err); /* may be NULL */
  bool interrupt;
  enum tpo_run_ahead run_ahead;
};

static struct world w = {.backend = TPO_BACKEND_CPU,
                         .dtype = TPO_DTYPE_FP32,
                         .head_dim = 8,
                         .vocab = 259,
                         .run_ahead = TPO_RUN_AHEAD_NEVER};

static inline int next_request(void *arg, const struct tpo_request **request, struct tpo_error *err)
{
  (void)arg, (void)err;
  if (w.next == n_prompts) return 0;
  *request = &w.requests[w.order[w.next++]];
  return 1;
}

static inline int take_output(void *arg, const struct tpo_output *output, struct tpo_error *err)
{
  (void)arg;
  if (w.outputs_left-- == 0) return tpo_fail(err, TPO_E_IO, "no room for an output");
  if (w.look) w.look(output);
  struct tpo_instruction_view view = {
      .id = output->request->id, .instruction = "x", .meta = "{}", .prompt_text = "p"};
  return tpo_engine_make_row(output, &view, &w.samples, err);
}

static inline void take_token(void *arg, const struct tpo_request *request, int sample, const char *bytes,
                              size_t len)
{
  (void)arg, (void)request, (void)sample, (void)bytes, (void)len;
  if (++w.tokens_seen == 20 && w.interrupt) raise(SIGTERM);
}

static inline int setup(void **state)
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
  const struct tpo_arch arch = {.vocab_size = w.vocab,
                                .hidden = 32,
                                .layers = 2,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = w.head_dim,
                                .ffn = 48,
                                .context = 128,
                                .rms_eps = 1e-5,
                                .rope = w.rope.theta > 0 ? w.rope : (struct tpo_rope){.theta = 10000},
                                .window = w.window,
                                .windowed.bits[0] = w.windowed,
                                .tied = true};
  if (tpo_backend_open(&w.be, w.backend, 2, &err) < 0 || tpo_tokenizer_open(&w.tok, *state, &err) < 0 ||
      tpo_template_open(&w.tmpl, w.tok, &pieces, &err) < 0 ||
      tpo_model_create_random(&w.model, &arch, 3,
                              &(struct tpo_model_options){.backend = w.be, .dtype = w.dtype}, &err) < 0) {
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

static inline int teardown(void **state)
{
  tpo_model_close(w.model);
  tpo_template_close(w.tmpl);
  tpo_tokenizer_close(w.tok);
  tpo_backend_close(w.be);
  return remove_folder(state);
}

static inline int reset(void **state)
{
  (void)state;
  tpo_samples_free(&w.samples);
  w.samples = (struct tpo_samples){0};
  w.sampling = (struct tpo_sampling_config){
      .k = k, .temperature = 1, .top_p = 1, .repetition_penalty = 1, .max_tokens = max_tokens, .slots = 8};
  w.thought = (struct tpo_thought_config){0};
  w.interrupt = false;
  w.look = NULL;
  w.between = NULL;
  w.tokens_seen = 0;
  w.outputs_left = -1;
  for (int i = 0; i < n_prompts; i++) {
    w.order[i] = i;
    w.requests[i].max_tokens = 0;
  }
  return 0;
}

static inline int run_with(struct tpo_engine_options options, struct tpo_engine_stats *stats,
                           struct tpo_error *err)
{
  struct tpo_engine *engine;
  options.sampling = &w.sampling;
  options.thought = &w.thought;
  options.seed = 12;
  options.run_ahead = w.run_ahead;
  struct tpo_engine_client client = {
      .next = next_request, .output = take_output, .token = take_token, .between = w.between};
  w.next = 0;
  int status = tpo_engine_open(&engine, w.model, w.tok, w.tmpl, &options, err);
  if (status < 0) return status;
  status = tpo_engine_run(engine, &client, err);
  if (stats) tpo_engine_stats(engine, stats);
  tpo_engine_close(engine);
  if (status < 0) return status;
  static const char *const ids[n_prompts] = {"a", "b", "c", "d", "e"};
  return tpo_samples_sort(&w.samples, ids, n_prompts, err);
}

static inline struct tpo_samples run(struct tpo_engine_options options)
{
  struct tpo_error err = {0};
  if (run_with(options, NULL, &err) < 0) fail_msg("%s", err.message);
  struct tpo_samples samples = w.samples;
  w.samples = (struct tpo_samples){0};
  assert_int_equal(samples.n, n_prompts * k);
  return samples;
}

static inline struct tpo_samples run_plainly(void)
{
  return run((struct tpo_engine_options){0});
}

static inline void assert_same(const struct tpo_samples *a, const struct tpo_samples *b)
{
  for (size_t i = 0; i < a->n; i++) {
    const struct tpo_sample_row *x = &a->rows[i], *y = &b->rows[i];
    assert_string_equal(x->prompt_id, y->prompt_id);
    assert_int_equal(x->k, y->k);
    assert_int_equal(x->n_tokens, y->n_tokens);
    assert_memory_equal(x->token_ids, y->token_ids, (size_t)x->n_tokens * sizeof *x->token_ids);
    assert_memory_equal(x->token_logprobs, y->token_logprobs,
                        (size_t)x->n_tokens * sizeof *x->token_logprobs);
    assert_memory_equal(x->inserted, y->inserted, (size_t)x->n_tokens);
    assert_int_equal(x->n_thought_tokens, y->n_thought_tokens);
    assert_int_equal(x->finish, y->finish);
    assert_string_equal(x->text, y->text);
  }
}

static inline void set_thought(bool force, int thought_tokens, int response_tokens)
{
  w.thought = (struct tpo_thought_config){.thought_marker = (char *)"T:",
                                          .response_marker = (char *)"\nR:",
                                          .prefill = (char *)"T:",
                                          .force = force,
                                          .thought_tokens = thought_tokens,
                                          .response_tokens = response_tokens};
}

#endif
