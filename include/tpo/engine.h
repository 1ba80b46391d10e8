/* engine: prompts in, samples out: continuous batching over a paged KV cache.
 *
 *   struct tpo_engine_options options = {.sampling = &config.sampling, .thought = &config.thought, ...};
 *   tpo_engine_open(&engine, model, tokenizer, tmpl, &options, &err);
 *   tpo_engine_run(engine, &client, &err);   // takes requests from client, gives outputs back as they end
 *   tpo_engine_close(engine);
 *
 * Layers that attend through a window keep what it reaches, however long a sequence gets; a prompt's samples share
 * its blocks.
 *
 * A sample's tokens and log-probabilities depend only on (weights, prompt, sampling
 * settings, seed, iteration, prompt id, k): bit for bit the same for any number of slots,
 * batch, order of requests and rank. */
#ifndef TPO_ENGINE_H
#define TPO_ENGINE_H

#include "tpo/base.h"
#include "tpo/config.h"
#include "tpo/model.h"
#include "tpo/store.h"
#include "tpo/text.h"

struct tpo_engine;

/* Whether a pass is handed to the backend before the results of the pass before it are looked at, and passes
 * of nothing but decoding are recorded and replayed. What is sampled is the same. */
enum tpo_run_ahead {
  TPO_RUN_AHEAD_AUTO, /* where the backend works while the host goes on */
  TPO_RUN_AHEAD_NEVER,
  TPO_RUN_AHEAD_ALWAYS
};

struct tpo_engine_options {
  const struct tpo_sampling_config *sampling; /* borrowed while the engine lives */
  /* The configuration's section that max_tokens and slots come from, for messages; a literal. NULL:
   * "sampling". */
  const char *section;
  const struct tpo_thought_config *thought; /* NULL: no markers, plain chat */
  uint64_t seed;
  uint32_t iteration;
  int block_tokens;  /* KV block, 0 = 16 */
  int prefill_chunk; /* most prompt tokens in a pass, 0 = 512 */
  /* Memory of the KV cache in bytes, shared out among layers that see everything and those of a window; 0: what
   * `slots` sequences of prompt + max_tokens need, within half of the free memory (of a GPU, within nine tenths). */
  size_t kv_bytes;
  enum tpo_run_ahead run_ahead;
};

/* One prompt: its K samples share the prefix's KV blocks, prefilled once. */
struct tpo_request {
  const char *id;            /* keys the randomness */
  const int32_t *prompt_ids; /* [n_prompt] prefill included */
  int n_prompt;
  int k_first, k_count; /* samples k_first .. k_first + k_count - 1 */
  /* Of this request; 0: sampling->max_tokens. Where this is less, rotations are still chosen by that, as the
   * trainer chooses them (tpo_arch_longest). */
  int max_tokens;
  size_t index; /* the client's own number for it */
};

/* A sample that has ended. What it points at is borrowed until `output` returns. */
struct tpo_output {
  const struct tpo_request *request;
  int k;
  const int32_t *tokens;   /* [n] end token included */
  const float *logprobs;   /* [n] */
  const uint8_t *inserted; /* [n] */
  int n;
  int n_thought; /* tokens up to and including the response marker; 0 without one */
  /* Of TPO_FINISH_STOP_STRING, the last tokens that reach behind the response that is judged, which ends with
   * its last character before the stop string that is no white space; otherwise 0. */
  int n_unjudged;
  enum tpo_finish finish;
  /* What the layout begins it with (tpo_thought_begun) + what the tokens say, special ones left out but for
   * markers; of TPO_FINISH_STOP_STRING what is before that string. UTF-8 without NUL: any byte that is none (of a
   * code point cut off at the last token) is U+FFFD here, and the tokens keep the exact bytes. */
  const char *text;
  struct tpo_parsed parsed; /* where in `text` thought and response lie */
};

/* Who asks: requests come from it, and outputs go to it. */
struct tpo_engine_client {
  void *arg;
  /* The next request (borrowed until its last sample was given to `output`), 1; or 0 when there are no more;
   * negative error. */
  int (*next)(void *arg, const struct tpo_request **request, struct tpo_error *err);
  int (*output)(void *arg, const struct tpo_output *output, struct tpo_error *err);
  /* May be NULL. Each token as it is drawn or inserted (streaming, progress): the bytes that it says, none
   * for a special one that is no marker. */
  void (*token)(void *arg, const struct tpo_request *request, int k, const char *bytes, size_t len);
  /* May be NULL. Between two passes, once no sample is left to start and slots stand empty: work that has nothing to
   * do with this engine, but may compute with its model. Negative: error. */
  int (*between)(void *arg, struct tpo_error *err);
};

TPO_API int tpo_engine_open(struct tpo_engine **out, struct tpo_model *model,
                            const struct tpo_tokenizer *tokenizer, const struct tpo_template *tmpl,
                            const struct tpo_engine_options *options, struct tpo_error *err);
/* A prompt that leaves no room for a token in the context, or for what an inserted response marker takes
 * (tpo_config_check_room), is an error naming its id and both lengths. NaN
 * logits are TPO_E_NUMERIC naming the prompt and position. */
TPO_API int tpo_engine_run(struct tpo_engine *engine, const struct tpo_engine_client *client,
                           struct tpo_error *err);
TPO_API void tpo_engine_close(struct tpo_engine *engine);

struct tpo_engine_stats {
  int64_t prompt_tokens, sampled_tokens, inserted_tokens, passes;
  double seconds;
};
TPO_API void tpo_engine_stats(const struct tpo_engine *engine, struct tpo_engine_stats *out);

/* From an output to the row that is stored:
 * text, thought, response, format_ok and so on, added to samples. */
struct tpo_instruction_view {
  const char *id, *instruction, *meta, *prompt_text;
};
TPO_API int tpo_engine_make_row(const struct tpo_output *output,
                                const struct tpo_instruction_view *instruction, struct tpo_samples *samples,
                                struct tpo_error *err);

#endif
