/* The model's inside: weights in the backend's layout; tables.h has their names in files, and shapes. */
#ifndef TPO_MODEL_MODEL_H
#define TPO_MODEL_MODEL_H

#include <jansson.h>
#include "backend/ops.h"
#include "model/tables.h"

/* What the transformer computes with, made of one or more parameters: either a linear layer or a vector. */
struct tpo_weight {
  struct tpo_linear *linear;
  float *vector; /* as files have it, and as it is trained */
  float *
      norm; /* of a norm, what the operations take: `vector`, or 1 + it where files hold that (norms_from_one) */
  size_t offset; /* of its first element in the flat array, and so of its gradient */
};

struct tpo_layer {
  size_t first;                                  /* element of the flat array, of all that the layer has */
  struct tpo_weight input_norm, post_norm;       // [hidden] of what goes into attention and feed-forward
  struct tpo_weight attn_out_norm, ffn_out_norm; // [hidden] of what comes out of them
  struct tpo_weight q_norm,
      k_norm; // [head_dim], or of all heads together [heads * head_dim], [kv_heads * head_dim]
  struct tpo_weight qkv_bias; // [(heads + 2 kv_heads) * head_dim]
  struct tpo_weight qkv;      // [(heads + 2 kv_heads) * head_dim, hidden]
  struct tpo_weight o;        // [hidden, heads * head_dim]
  struct tpo_weight gate_up;  // [2 ffn, hidden]
  struct tpo_weight down;     // [hidden, ffn]
};

/* Where a parameter is in its weight: rows of a linear layer from row0, or a vector's numbers. */
struct tpo_place {
  struct tpo_linear *linear;
  int row0;
  float *vector;
  float *from_one; /* 1 + vector where that is kept, NULL elsewhere */
};

/* Cosines and sines by which layers rotate, times the scaling's own factor, in the backend's memory. Where the
 * scaling depends on a sequence's length (longrope), the rows of short sequences come before those of long
 * ones: tpo_rope_row. */
struct tpo_rope_table {
  float *cos_sin; // [long_at + positions, rotated] half cosines, half sines
  int positions;  /* that it covers so far; grows to arch.context */
  int long_at;    /* the row of a long sequence's position 0; 0: all sequences have the same rows */
};

struct tpo_model {
  struct tpo_backend *be; /* borrowed */
  const struct tpo_ops *ops;
  struct tpo_arch arch;
  enum tpo_compute_dtype dtype;
  struct tpo_attention_shape shape;
  struct tpo_weight embed;      // [vocab, hidden]
  struct tpo_layer *layers;     // [arch.layers]
  struct tpo_weight final_norm; // [hidden]
  struct tpo_weight lm_head;    // [vocab, hidden]; the embedding itself when tied
  /* Of TPO_REACH_WINDOW only where arch.has_local_rope. ropes_made counts the tables' changes, for what has
   * recorded their addresses. */
  struct tpo_rope_table ropes[TPO_REACHES];
  int ropes_made;
  struct tpo_param *params; /* [n_params] */
  struct tpo_place *places; /* [n_params] */
  size_t n_params, param_count;
  size_t master_first, master_count; /* the part of the flat array that is in master */
  float *master;                     // [master_count] or NULL
  float *vector;                     // [2, longest] host memory, for vectors on their way to the backend
  size_t longest;                    /* vector's elements */
  void *staging;                     /* backend memory for matrices on their way in and out */
  size_t staging_bytes;
  struct tpo_activations *evaluation;        /* reused by tpo_model_logprobs */
  size_t activation_bytes, activation_limit; /* of options, and of the trainer; 0: not said */
  char hash[33];
  bool hash_known;
  bool body_only; /* there is no LM head: hidden states are all that it gives */
};

/* arch/ */
/* From a config.json-like object; `place` begins every message. */
int tpo_arch_from_json(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err);
/* Of a model that has another head than an LM head. Which one, under "architectures", is the caller's
 * business; the architecture is told as tied, since nothing is stored for an LM head. */
int tpo_arch_body_from_json(struct tpo_arch *arch, const json_t *config, const char *place,
                            struct tpo_error *err);
/* Whether it is the config.json of a model of several parts, of which the text model is taken. */
bool tpo_arch_is_part(const json_t *config);
/* Gives what means the same one form, after all fields are filled: a window beyond the context is none, a
 * factor of 1 is 0, and so on; equal models then are equal structs. */
void tpo_arch_settle(struct tpo_arch *arch);
/* The reverse: config.json in words that old and new transformers read. dtype names the weights' type; a
 * negative bos is written as null, as is no end token; several are a list. NULL when memory is short. */
json_t *tpo_arch_to_json(const struct tpo_arch *arch, const char *dtype, int32_t bos, const int32_t *ends,
                         size_t n_ends);
/* Refuses what that would be read back as something else: a model that no checkpoint could hold. */
int tpo_arch_check_saved(const struct tpo_arch *arch, const char *place, struct tpo_error *err);
/* Refuses sizes that contradict each other or exceed what the program's integers hold. */
int tpo_arch_check(const struct tpo_arch *arch, const char *place, struct tpo_error *err);

/* rope.c */
/* Features of a head that are rotated. */
int tpo_rope_rotated(const struct tpo_arch *arch);
/* What cosines and sines are multiplied by where a model doesn't say (struct tpo_rope's attention_factor), of a
 * context that is `factor` times the original one: yarn's (Peng et al. 2023, equation 22), of which some models
 * weigh the logarithm, and longrope's (Ding et al. 2024, section 3.2). */
double tpo_rope_yarn_scale(double factor, double weight);
double tpo_rope_longrope_scale(double factor, int original_context);
/* Inverse frequencies of the rotary embedding after scaling. out [tpo_rope_rotated / 2]; longer: by longrope's
 * factors for long sequences. */
void tpo_rope_frequencies(const struct tpo_arch *arch, const struct tpo_rope *rope, bool longer, float *out);
/* Makes sure that the tables cover positions 0 .. n-1. */
int tpo_rope_ensure(struct tpo_model *model, int n, struct tpo_error *err);
/* The table that a layer rotates by; NULL: it doesn't. */
const float *tpo_rope_of(const struct tpo_model *model, int layer);
/* The row, in every table, of position pos in a sequence that may have up to `longest` tokens. It depends on
 * more than pos only where tpo_rope_varies. */
int tpo_rope_row(const struct tpo_model *model, int longest, int pos);
bool tpo_rope_varies(const struct tpo_arch *arch);
/* Whether such a sequence takes the factors of long ones. */
bool tpo_rope_is_long(const struct tpo_arch *arch, int64_t longest);

/* model.c */
/* A model without its weights' values. */
int tpo_model_allocate(struct tpo_model **out, const struct tpo_arch *arch,
                       const struct tpo_model_options *options, struct tpo_error *err);
/* Rows of parameter i from or to fp32 host memory [n_rows, cols]; any number of rows. */
int tpo_model_put_rows(struct tpo_model *model, size_t i, int64_t row0, int64_t n_rows, const float *host,
                       struct tpo_error *err);
/* The same for rows as they lie in a file, blocks of a ggml type that can be dequantised; not for vectors. */
int tpo_model_put_raw(struct tpo_model *model, size_t i, int64_t row0, int64_t n_rows, const void *raw,
                      uint32_t ggml_type, struct tpo_error *err);
int tpo_model_get_rows(struct tpo_model *model, size_t i, int64_t row0, int64_t n_rows, float *host,
                       struct tpo_error *err);

/* A random model (normal, standard deviation 0.02, norms that multiply by 1) keyed by seed: for tests and benches. */
int tpo_model_create_random(struct tpo_model **out, const struct tpo_arch *arch, uint64_t seed,
                            const struct tpo_model_options *options, struct tpo_error *err);

/* Makes `flat` (fp32, backend memory) the weights that the model computes with. */
void tpo_model_set_weights(struct tpo_model *model, const float *flat);

#endif
