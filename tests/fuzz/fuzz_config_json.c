/* A model folder's config.json: an architecture, or a reward model's. What is read is written again as
 * transformers has it, and reads the same. */
#include <math.h>
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "model/model.h"
#include "tpo/model.h"

static void same_real(double a, double b)
{
  CLAIM(fabs(a - b) <= 1e-12 * fabs(a), "%.17g and %.17g", a, b);
}

static void same_ropes(const struct tpo_rope *a, const struct tpo_rope *b)
{
  CLAIM(a->kind == b->kind && a->original_context == b->original_context && a->untruncated == b->untruncated);
  same_real(a->theta, b->theta);
  same_real(a->factor, b->factor);
  same_real(a->low_freq, b->low_freq);
  same_real(a->high_freq, b->high_freq);
  same_real(a->beta_fast, b->beta_fast);
  same_real(a->beta_slow, b->beta_slow);
  same_real(a->attention_factor, b->attention_factor);
  for (int i = 0; i < TPO_ROPE_FACTORS; i++) {
    same_real(a->short_factors[i], b->short_factors[i]);
    same_real(a->long_factors[i], b->long_factors[i]);
  }
}

static void same(const struct tpo_arch *a, const struct tpo_arch *b)
{
  CLAIM(a->family == b->family);
  CLAIM(a->vocab_size == b->vocab_size && a->hidden == b->hidden && a->layers == b->layers);
  CLAIM(a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_dim == b->head_dim);
  CLAIM(a->ffn == b->ffn && a->context == b->context && a->tied == b->tied);
  CLAIM(a->rotated == b->rotated && a->window == b->window && a->has_local_rope == b->has_local_rope);
  CLAIM(memcmp(&a->windowed, &b->windowed, sizeof a->windowed) == 0);
  CLAIM(memcmp(&a->unrotated, &b->unrotated, sizeof a->unrotated) == 0);
  same_ropes(&a->rope, &b->rope);
  same_ropes(&a->local_rope, &b->local_rope);
  same_real(a->rms_eps, b->rms_eps);
  same_real(a->attention_scale, b->attention_scale);
  same_real(a->attention_softcap, b->attention_softcap);
  same_real(a->final_softcap, b->final_softcap);
  same_real(a->embedding_scale, b->embedding_scale);
  same_real(a->residual_scale, b->residual_scale);
  same_real(a->logits_scale, b->logits_scale);
}

static void written_reads_the_same(const struct tpo_arch *arch)
{
  struct tpo_arch again;
  struct tpo_error err = {0};
  json_t *config = tpo_arch_to_json(arch, "float32", 1, NULL, 0);
  CLAIM(config, "no memory");
  char *text = tpo_json_dump(config);
  json_decref(config);
  CLAIM(text, "no memory");
  config = tpo_json_parse(text, strlen(text), "again", &err);
  CLAIM(config && tpo_arch_from_json(&again, config, "again", &err) == 0, "%s\n%s", err.message, text);
  same(arch, &again);
  json_decref(config);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct tpo_arch arch;
  struct tpo_error err = {0};
  fuzz_put("config.json", (struct part){data, size});
  if (!fuzz_refused(tpo_arch_read(&arch, fuzz_folder(), &err), &err)) {
    CLAIM(tpo_arch_check(&arch, "read", &err) == 0, "%s", err.message);
    written_reads_the_same(&arch);
  }
  CLAIM(tpo_model_check(&arch, fuzz_folder(), &err) < 0, "a folder without weights passes");
  CLAIM(tpo_reward_check(&arch, fuzz_folder(), NULL, &err) < 0, "a folder without weights passes");
  CLAIM(fuzz_refused(err.code, &err));
  return 0;
}
