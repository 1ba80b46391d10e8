#ifndef TPO_MODEL_EXPORT_GGUF_H
#define TPO_MODEL_EXPORT_GGUF_H

#include "model/model.h"
#include "store/gguf_write.h"

/* export_gguf_arch.c */
/* Whether llama.cpp computes the model as it is; refuses what it has no words for, by the feature's name. */
int tpo_gguf_check_expressible(const struct tpo_arch *arch, const char *place, struct tpo_error *err);
/* What it hasn't, but can do without for a while. */
void tpo_gguf_warn(const struct tpo_arch *arch, const char *place);
/* The architecture's keys. */
void tpo_gguf_put_arch(const struct tpo_arch *arch, struct tpo_gguf_writer *w);
/* By what queries are multiplied, since llama.cpp has a scale of its own for them (1: it is the model's). */
double tpo_gguf_query_factor(const struct tpo_arch *arch);

/* Divisors of the rotary embedding's frequencies, a tensor [pairs] each. names[k] is NULL past the last. */
struct tpo_gguf_divisors {
  const char *names[2];
  float values[2][TPO_ROPE_FACTORS];
};
void tpo_gguf_rope_divisors(const struct tpo_arch *arch, struct tpo_gguf_divisors *out);

#endif
