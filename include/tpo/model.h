/* model: the transformers of all families, written once over the operations of a backend; loading and export.
 *
 *   struct tpo_model *model;
 *   struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_BF16};
 *   if (tpo_model_open(&model, "models/smollm2.gguf", &options, &err) < 0) ...
 *   float logprobs[n];   // logprobs[i] = log p(ids[i+1] | ids[0..i]); the last one is 0
 *   tpo_model_logprobs(model, &(struct tpo_batch){...}, logprobs, &err);
 *   tpo_model_close(model);
 */
#ifndef TPO_MODEL_H
#define TPO_MODEL_H

#include "tpo/backend.h"
#include "tpo/base.h"
#include "tpo/config.h"

struct tpo_checkpoint_writer;

/* How the rotary embedding's frequencies are scaled. TPO_ROPE_DYNAMIC would change beyond the context alone,
 * which no sequence exceeds here. */
enum tpo_rope_kind {
  TPO_ROPE_DEFAULT,
  TPO_ROPE_LINEAR,
  TPO_ROPE_LLAMA3,
  TPO_ROPE_YARN,     /* Peng et al. 2023 */
  TPO_ROPE_LONGROPE, /* Ding et al. 2024: other factors for sequences that can exceed original_context */
  TPO_ROPE_DYNAMIC
};
enum { TPO_ROPE_FACTORS = 256 }; /* longrope: most pairs of features */

struct tpo_rope {
  enum tpo_rope_kind kind;
  double theta;
  double factor;               /* all but default */
  double low_freq, high_freq;  /* llama3 */
  double beta_fast, beta_slow; /* yarn */
  bool untruncated;            /* yarn: the bounds of its ramp are not rounded to whole features */
  double attention_factor;     /* of cosines and sines; 0: 1 */
  int original_context;        /* llama3, yarn, longrope */
  double short_factors[TPO_ROPE_FACTORS], long_factors[TPO_ROPE_FACTORS]; // longrope: [rotated / 2]
};

/* Whose names the files use, and whose flags the transformer goes by. */
enum tpo_family {
  TPO_FAMILY_LLAMA,
  TPO_FAMILY_MISTRAL,
  TPO_FAMILY_QWEN2,
  TPO_FAMILY_QWEN3,
  TPO_FAMILY_GEMMA,
  TPO_FAMILY_GEMMA2,
  TPO_FAMILY_GEMMA3,
  TPO_FAMILY_PHI3,
  TPO_FAMILY_OLMO2,
  TPO_FAMILY_GRANITE,
  TPO_FAMILY_SMOLLM3
};

/* A set of layers. */
enum { TPO_MOST_LAYERS = 1024 };
struct tpo_layer_set {
  uint64_t bits[TPO_MOST_LAYERS / 64];
};
static inline bool tpo_layer_in(const struct tpo_layer_set *set, int layer)
{
  return set->bits[layer / 64] >> (layer % 64) & 1;
}
static inline void tpo_layer_add(struct tpo_layer_set *set, int layer)
{
  set->bits[layer / 64] |= (uint64_t)1 << (layer % 64);
}

struct tpo_arch {
  enum tpo_family family;
  int vocab_size, hidden, layers, heads, kv_heads, head_dim, ffn; /* ffn: intermediate size */
  int context;                                                    /* max_position_embeddings */
  double rms_eps;
  struct tpo_rope rope;
  bool tied; /* LM head = embedding */

  /* What not every model has; 0: this one hasn't. */
  int rotated; /* features of a head that are rotated; 0: all */
  int window;  /* tokens that the layers of `windowed` attend to; 0: there are no such layers */
  struct tpo_layer_set windowed, unrotated;
  bool has_local_rope;
  struct tpo_rope local_rope; /* of windowed layers, where they have their own */
  double attention_scale;     /* of q . k; 0: 1/sqrt(head_dim) */
  double attention_softcap, final_softcap;
  double embedding_scale,
      residual_scale;  /* embeddings, and what a layer adds to the residual stream, times this */
  double logits_scale; /* logits are divided by this */
};

/* How far back a layer attends: to everything before, or to the last `window` tokens. Layers of one reach
 * share their blocks of the KV cache. */
enum tpo_reach { TPO_REACH_ALL, TPO_REACH_WINDOW, TPO_REACHES };
static inline enum tpo_reach tpo_layer_reach(const struct tpo_arch *arch, int layer)
{
  return arch->window > 0 && tpo_layer_in(&arch->windowed, layer) ? TPO_REACH_WINDOW : TPO_REACH_ALL;
}

struct tpo_param_kind;

/* One tensor in the flat parameter array, whose order is that of the table in src/model/params.c. Named as in
 * Hugging Face ("model.layers.0.mlp.up_proj.weight"). */
struct tpo_param {
  char name[96];
  int64_t rows, cols;                /* a norm has rows = dim, cols = 1 and is written with one dimension */
  size_t offset;                     /* elements from the start of the flat array */
  int layer;                         /* -1: of none */
  const struct tpo_param_kind *kind; /* its row in the table of parameters; NULL: a reward model's head */
};

struct tpo_model;

struct tpo_model_options {
  struct tpo_backend *backend; /* borrowed */
  enum tpo_compute_dtype dtype;
  bool keep_master; /* also keep the loaded weights as one flat fp32 array, for training */
  /* Of that array only the part that this rank of so many owns (tpo_comm_shard); 0 of 0: all of it. */
  int shard_rank, shard_size;
  /* What the activations of training may take: the states of as many layers as fit are kept, the others'
   * computed again in backward (what that needs is taken in any case). 0: beside that a quarter of the memory
   * that is free; a trainer sets it by its plan. Results do not depend on it, bit for bit. */
  size_t activation_bytes;
};

/* path: Hugging Face folder, .gguf or checkpoint .h5. Unsupported architectures and options (another
 * model_type, a feature of another family, unknown rope types, quantization_config, ...) are refused by name, as
 * are keys that the family's models don't have; of a model of several parts (Gemma 3's with a vision tower) the
 * text model is taken. Missing, unexpected or wrongly shaped tensors and non-finite weights are errors. */
TPO_API int tpo_model_open(struct tpo_model **out, const char *path, const struct tpo_model_options *options,
                           struct tpo_error *err);
TPO_API void tpo_model_close(struct tpo_model *model);
/* The architecture alone; reads no tensor. */
TPO_API int tpo_arch_read(struct tpo_arch *arch, const char *path, struct tpo_error *err);
/* The architecture, and all that can be told without reading weights:
 * the tensors' names, types and shapes. */
TPO_API int tpo_model_check(struct tpo_arch *arch, const char *path, struct tpo_error *err);

TPO_API const struct tpo_arch *tpo_model_arch(const struct tpo_model *model);
/* What a sequence of n tokens, n_prompt of them a prompt's, could have come to in sampling where outputs have up
 * to output_tokens: as many tokens, within the context. It chooses the rotary embedding's factors where there
 * are several (TPO_ROPE_LONGROPE), in sampler, reference and trainer alike. */
TPO_API int tpo_arch_longest(const struct tpo_arch *arch, int n_prompt, int output_tokens, int64_t n);
TPO_API struct tpo_backend *tpo_model_backend(const struct tpo_model *model);
TPO_API enum tpo_compute_dtype tpo_model_dtype(const struct tpo_model *model);
/* Hash over architecture and computing weights, 32 hex digits: which model this is, wherever it was loaded
 * from. NULL when memory is short. */
TPO_API const char *tpo_model_hash(struct tpo_model *model);
TPO_API size_t tpo_model_param_count(const struct tpo_model *model); /* elements of the flat array */
TPO_API const struct tpo_param *tpo_model_params(const struct tpo_model *model, size_t *n);
/* backend memory; NULL without keep_master; owned by the model */
TPO_API float *tpo_model_master(struct tpo_model *model);
/* The elements of the flat array that are in tpo_model_master. */
TPO_API void tpo_model_master_range(const struct tpo_model *model, size_t *first, size_t *count);
/* Makes values [count], of the model's dtype and in backend memory, the weights that the model computes with
 * at elements [first, first + count) of the flat array, which are whole rows of their parameters. Doesn't
 * wait: the values stay until the work so far is done. */
TPO_API int tpo_model_set_range(struct tpo_model *model, size_t first, size_t count, const void *values,
                                struct tpo_error *err);

/* Packed sequences: s is ids[cu_seqlens[s] .. cu_seqlens[s+1]), positions from 0. Host memory. */
struct tpo_batch {
  const int32_t *ids;        /* [n_tokens] */
  const int32_t *cu_seqlens; /* [n_seqs + 1] */
  int n_tokens, n_seqs;
  /* [n_tokens] 1: log p of the *next* token is wanted here; NULL: all but each sequence's last */
  const uint8_t *wanted;
  /* [n_seqs] the tokens that each sequence can come to have, on which rotary embeddings may depend
   * (TPO_ROPE_LONGROPE); NULL: those that it has */
  const int32_t *longest;
};

/* logprob [n_tokens], host: log p(ids[i+1] | ...) where wanted, else 0. NULL: they are left in the backend's
 * memory, for tpo_model_wanted. Needs no training memory. Ids outside the vocabulary and sequences longer
 * than the context are errors. */
TPO_API int tpo_model_logprobs(struct tpo_model *model, const struct tpo_batch *batch, float *logprob,
                               struct tpo_error *err);
/* Gives back what it keeps for the next call. */
TPO_API void tpo_model_rest(struct tpo_model *model);

/* What a forward pass leaves in the backend's memory: the wanted log-probabilities one after another, and
 * room for the loss's derivatives by them. Until the next pass over the same activations. */
struct tpo_wanted {
  const float *logprob; /* [n] */
  float *dlogprob;      /* [n] */
  int n;
};
/* Of the last tpo_model_logprobs. */
TPO_API struct tpo_wanted tpo_model_wanted(const struct tpo_model *model);

/* Training: forward that keeps what backward needs. grad [param_count] fp32 backend memory is added to. The
 * forward of tpo_model_logprobs and of tpo_model_forward is one function: equal inputs give equal bits. */
struct tpo_activations;
/* *acts: NULL to allocate; reused when large enough; belongs to the model: free it before the model */
TPO_API int tpo_model_forward(struct tpo_model *model, const struct tpo_batch *batch,
                              struct tpo_activations **acts, float *logprob, struct tpo_error *err);
/* Of the last forward. */
TPO_API struct tpo_wanted tpo_activations_wanted(const struct tpo_activations *acts);
/* Told that elements [first, first + count) of the gradient are complete once the backend's work so far is
 * done. The ranges come one after another from the end of the array to its beginning, all of it. */
struct tpo_grad_ready {
  void (*call)(void *arg, size_t first, size_t count);
  void *arg;
};
/* dlogprob [n_tokens] host: d loss / d logprob, 0 where not wanted; NULL: they
 * are in tpo_activations_wanted. ready may be NULL. */
TPO_API int tpo_model_backward(struct tpo_model *model, const struct tpo_batch *batch,
                               struct tpo_activations *acts, const float *dlogprob, float *grad,
                               const struct tpo_grad_ready *ready, struct tpo_error *err);
TPO_API void tpo_activations_free(struct tpo_activations *acts);
/* The memory that a forward pass takes at least, keeping no layer's states; training: with its backward. *layer
 * (may be NULL): what is taken besides for each layer whose states are kept. activation_size: bytes of one
 * activation. */
TPO_API size_t tpo_activations_bytes(const struct tpo_arch *arch, size_t activation_size, int n_tokens,
                                     bool training, size_t *layer);
/* Elements of the flat array. */
TPO_API size_t tpo_arch_param_count(const struct tpo_arch *arch);

/* Inference over a paged KV cache. Block numbers and tables are the caller's (the engine's) business. */
struct tpo_kv_cache;
/* Layers of one reach have their blocks together: a block holds keys and values of so many tokens in all of
 * them. 0 where the model has no such layers. */
TPO_API size_t tpo_kv_block_bytes(const struct tpo_model *model, enum tpo_reach reach, int block_tokens);
/* Most blocks that `rows` tokens of a sequence, one after another, lie in together with all that they attend
 * to, wherever they stand: what a sequence that is fed so many at once has to keep. */
TPO_API int tpo_kv_blocks_seen(const struct tpo_arch *arch, enum tpo_reach reach, int rows, int block_tokens);
/* Bytes that a cache may take where so many are available (0: not known) and the passes over it take `pass`:
 * with these, nine tenths of a GPU's memory, which is there for this, but half of the host's, which serves
 * everything else that runs on it. */
TPO_API size_t tpo_kv_cache_limit(const struct tpo_model *model, size_t available, size_t pass);
/* n_blocks: for the layers of each reach; not looked at where the model has none. */
TPO_API int tpo_kv_cache_create(struct tpo_kv_cache **out, struct tpo_model *model,
                                const int n_blocks[TPO_REACHES], int block_tokens, struct tpo_error *err);
TPO_API void tpo_kv_cache_destroy(struct tpo_kv_cache *cache);
/* The first `tokens` of a block, in all layers of the reach. */
TPO_API void tpo_kv_cache_copy_block(struct tpo_kv_cache *cache, enum tpo_reach reach, int dst, int src,
                                     int tokens);

/* What the passes over a cache hold at most. Their buffers grow as needed, but a caller that tells its largest
 * pass beforehand knows what they take, and finds them in the same place in every pass. */
struct tpo_pass_limits {
  int rows, seqs, max_blocks, logits; /* n, n_seqs, max_blocks and n_logits of struct tpo_pass */
};
TPO_API size_t tpo_pass_bytes(const struct tpo_model *model, const struct tpo_pass_limits *limits);
TPO_API int tpo_kv_cache_reserve(struct tpo_kv_cache *cache, const struct tpo_pass_limits *limits,
                                 struct tpo_error *err);

struct tpo_pass {     /* one forward pass: any mix of prefill and decode rows; host memory */
  int n;              /* rows = tokens */
  const int32_t *ids; /* [n] */
  const int32_t *seq; /* [n] row of blocks */
  const int32_t *pos; /* [n] */
  /* [n_seqs, max_blocks] for the layers of each reach, NULL where the model has none; those of a window's that
   * lie wholly before what the rows attend to are not looked at */
  const int32_t *blocks[TPO_REACHES];
  /* [n_seqs] tokens that each sequence can come to have, on which rotary embeddings may depend
   * (TPO_ROPE_LONGROPE); NULL: the model's context */
  const int32_t *longest;
  int n_seqs, max_blocks;
  const int32_t *logit_rows; /* [n_logits] rows whose next-token logits are wanted */
  int n_logits;
  /* Rows whose token the host doesn't know yet: where from[i] >= 0, row i is of token drawn[from[i]] and
   * ids[i] is not looked at. from [n] may be NULL: all are known. drawn is memory of the backend. */
  const int32_t *from, *drawn;
  /* The backend may record the pass's calls and replay them in later passes of the same size; rows that no
   * one sees are added up to such a size. Only where every row's logits are wanted, in order; other passes
   * are run as they come. Results are the same. */
  bool recorded;
};
/* logits: backend memory [n_logits, vocab] fp32, valid until the next call. Rows of one sequence must be in
 * ascending position order within a pass. Bitwise independent of how rows are grouped into passes.
 * Returns as soon as the work is under way; what goes wrong in it is told by the backend's next check. */
TPO_API int tpo_model_pass(struct tpo_model *model, struct tpo_kv_cache *cache, const struct tpo_pass *pass,
                           float **logits, struct tpo_error *err);

/* Reward models: the same transformer without an LM head, and a head that scores a text by the hidden state,
 * after the final norm, of its last token.
 *
 *   struct tpo_reward_options options = {.backend = be, .dtype = TPO_DTYPE_BF16};
 *   if (tpo_reward_open(&reward, "models/armorm", &options, &err) < 0) ...
 *   tpo_reward_score(reward, texts, n, results, &err);
 *   tpo_reward_close(reward);
 *
 * A text's numbers depend on its ids and the model alone: bit for bit the same whatever other texts there
 * are, in which order, and however many tokens go into a pass. */
struct tpo_reward;
enum { TPO_REWARD_OBJECTIVES = 32 }; /* most objectives of a model */

struct tpo_reward_options {
  struct tpo_backend *backend; /* borrowed */
  enum tpo_compute_dtype dtype;
  /* the score head's tensor, without ".weight"; NULL or "": what config.json names, or "score" */
  const char *head;
  int batch_tokens;       /* most tokens in one forward pass; 0: 4096 */
  size_t kv_bytes;        /* of the KV cache at most; 0: half of the free memory (of a GPU, nine tenths) */
  struct tpo_watch watch; /* told how much of a call of tpo_reward_score is done */
};

/* folder: a Hugging Face folder whose config.json names LlamaForRewardModelWithGating (ArmoRM; Wang et al.
 * 2024), a family's ForSequenceClassification with one label, or a model of OpenRLHF (with
 * "value_head_prefix", and "mean" and "std" where scores are normalised). Other models, and missing,
 * unexpected, wrongly shaped and non-finite tensors, are refused by name. */
TPO_API int tpo_reward_open(struct tpo_reward **out, const char *folder,
                            const struct tpo_reward_options *options, struct tpo_error *err);
/* The architecture, and all that can be told without reading weights:
 * config.json and the tensors' names, types and shapes. */
TPO_API int tpo_reward_check(struct tpo_arch *arch, const char *folder, const char *head,
                             struct tpo_error *err);
TPO_API void tpo_reward_close(struct tpo_reward *reward);
/* ArmoRM: how many; 0: there is one score alone */
TPO_API int tpo_reward_objectives(const struct tpo_reward *reward);
TPO_API bool tpo_reward_normalises(const struct tpo_reward *reward); /* score = (raw - mean) / std */

struct tpo_reward_text {
  const int32_t *ids; /* [n] */
  size_t n;
  bool apart; /* takes nothing over from the text before it */
};
struct tpo_reward_result {
  bool ok;
  double score;
  double raw;                               /* before normalisation */
  double objectives[TPO_REWARD_OBJECTIVES]; /* ArmoRM: the regression head's outputs */
  double gating[TPO_REWARD_OBJECTIVES];     /* ArmoRM: each objective's weight */
  char why[200];                            /* the reason, where there is no score */
};
/* results [n]. A text that can't be scored (empty, too long for the context, an id outside the vocabulary,
 * no assistant turn where the gate needs it) has ok = false. Texts that begin alike and follow each other
 * are cheap: what they share is computed once. Memory is bounded whatever n is. Stops with
 * TPO_E_INTERRUPTED between passes. */
TPO_API int tpo_reward_score(struct tpo_reward *reward, const struct tpo_reward_text *texts, size_t n,
                             struct tpo_reward_result *results, struct tpo_error *err);
/* Since it was opened. */
struct tpo_reward_stats {
  int64_t scored, failed; /* texts */
  int64_t tokens;         /* of the scored texts */
  int64_t computed;       /* tokens that went through the transformer: fewer, since beginnings are shared */
  int64_t passes;
  int64_t gates; /* ArmoRM: gates computed; texts of one prompt that follow each other have one together */
};
TPO_API void tpo_reward_stats(const struct tpo_reward *reward, struct tpo_reward_stats *out);

/* Models that stay in memory from one use to the next: who computes with one, such as a judge (tpo_judge_env), takes it
 * from the shelf, and puts it back without its caches. The weights of one that is there already are not read again, so
 * its files are not to change meanwhile. One thread at a time. */
struct tpo_model_shelf;
TPO_API int tpo_model_shelf_open(struct tpo_model_shelf **out, struct tpo_error *err);
/* Closes those that nobody has; takes NULL. */
TPO_API void tpo_model_shelf_clear(struct tpo_model_shelf *shelf);
/* Nobody has one of them; takes NULL. */
TPO_API void tpo_model_shelf_close(struct tpo_model_shelf *shelf);

/* Writes /architecture and /model (bf16 or fp32 after dtype, from `flat` or, when NULL, from the computing
 * weights), and the tokenizer's files (NULL: none). */
struct tpo_tokenizer;
TPO_API int tpo_model_save(struct tpo_model *model, const float *flat, const struct tpo_tokenizer *tokenizer,
                           struct tpo_checkpoint_writer *writer, struct tpo_error *err);
/* A Hugging Face folder that transformers loads: config.json, model.safetensors (sharded above 5 GB),
 * tokenizer and generation files. The folder is made; files in it are replaced one by one, the index or
 * weights last. chat_template: the text of the one that it gets in place of the model's own ones; NULL: those. */
TPO_API int tpo_model_export_hf(const char *checkpoint_path, const char *folder, const char *chat_template,
                                struct tpo_error *err);

/* The type of a GGUF file's matrices; vectors are fp32 in all. Q8_0 has a scale for each 32 numbers of a row;
 * where a row is no multiple of 32, fp16 stands in for it. */
enum tpo_gguf_matrices {
  TPO_GGUF_MATRICES_BF16,
  TPO_GGUF_MATRICES_F32,
  TPO_GGUF_MATRICES_F16,
  TPO_GGUF_MATRICES_Q8_0
};
/* A GGUF file that llama.cpp loads, of a model in any form that tpo_model_open takes, with its tokenizer and chat
 * template (chat_template, or its own where that is NULL). What GGUF has no words for is refused by name; warnings tell of what llama.cpp computes otherwise, and
 * of what tpo_model_open won't read again. The file appears whole or not at all. */
TPO_API int tpo_model_export_gguf(const char *path, const char *file, enum tpo_gguf_matrices matrices,
                                  const char *chat_template, struct tpo_error *err);

#endif
