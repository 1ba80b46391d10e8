/* The metadata of a model in a GGUF file, whose keys begin with the architecture's name. */
#ifndef TPO_MODEL_GGUF_META_H
#define TPO_MODEL_GGUF_META_H

#include "model/model.h"
#include "store/gguf.h"

struct tpo_gguf_meta {
  const struct tpo_gguf *gguf;
  const char *architecture; /* as general.architecture has it */
};

struct tpo_gguf_key {
  char name[96];
};
/* name: without the architecture's. */
struct tpo_gguf_key tpo_gguf_key_of(const struct tpo_gguf_meta *meta, const char *name);
bool tpo_gguf_string_is(struct tpo_gguf_string s, const char *text);

/* otherwise < 0: the key is required. layers > 0: it may have an integer for each layer, all equal. */
int tpo_gguf_size_of_layers(const struct tpo_gguf_meta *meta, const char *name, int64_t otherwise, int layers,
                            int *out, struct tpo_error *err);
int tpo_gguf_size(const struct tpo_gguf_meta *meta, const char *name, int64_t otherwise, int *out,
                  struct tpo_error *err);
/* 1 found, 0 absent (out untouched). Settings are kept as fp32; *out is what the model's author wrote. */
int tpo_gguf_real(const struct tpo_gguf_meta *meta, const char *name, double *out, struct tpo_error *err);
/* The same of a number that must be finite and above 0. */
int tpo_gguf_positive(const struct tpo_gguf_meta *meta, const char *name, double *out, struct tpo_error *err);
/* The shortest decimal that is the same fp32. */
double tpo_gguf_undo_fp32(double value);

/* The layers of a key that holds a truth value for each, or the number of layers of which the last is not
 * one, again and again: 1 found, 0 absent. */
int tpo_gguf_layers(const struct tpo_gguf_meta *meta, const char *name, int layers, struct tpo_layer_set *out,
                    struct tpo_error *err);

/* gguf_arch.c */
int tpo_gguf_read_arch(struct tpo_arch *arch, const struct tpo_gguf *gguf, struct tpo_error *err);
/* gguf_rope.c: after sizes and windows. */
int tpo_gguf_read_rope(struct tpo_arch *arch, const struct tpo_gguf_meta *meta, struct tpo_error *err);
/* Llama 3.1 and 3.2 come with a tensor of divisors [pairs] and without the settings that made it. All published
 * ones use low 1, high 4 and an original context of 8192; only the factor differs. Makes arch->rope, whose
 * theta is there, what these settings are, and returns the first pair where the divisors would be others, those
 * of `expected` [TPO_ROPE_FACTORS]; -1: there is none. */
int tpo_gguf_guess_llama3(struct tpo_arch *arch, const float *divisors, int original, float *expected);
/* Whether the architecture reads a tensor of that name that is no parameter. */
bool tpo_gguf_is_rope_tensor(const struct tpo_arch *arch, struct tpo_gguf_string name);

#endif
