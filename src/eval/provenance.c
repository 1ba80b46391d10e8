/* Where an evaluation's numbers come from. */
#include "eval/provenance.h"

#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"

static int short_of_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for an evaluation's provenance");
}

json_t *eval_provenance(const struct tpo_session *session, struct tpo_error *err)
{
  char now[32];
  tpo_timestamp(now);
  json_t *out = json_pack("{s:s, s:s, s:I, s:i, s:[]}", "tpo_version", tpo_version(), "created", now, "seed",
                          (json_int_t)session->config->seed, "ranks", tpo_comm_size(session->comm), "files");
  if (!out) short_of_memory(err);
  return out;
}

int eval_provenance_file(json_t *provenance, const char *name, const char *path, struct tpo_error *err)
{
  char hex[33];
  uint64_t size = 0;
  bool is_file = strcmp(path, "-") != 0;
  int status = is_file ? tpo_hash_file(path, hex, &size, err) : 0;
  if (status < 0) return status;
  json_t *file = json_pack("{s:s, s:s}", "name", name, "path", path);
  if (file && is_file) json_object_set_new(file, "size", json_integer((json_int_t)size));
  if (file && is_file) json_object_set_new(file, "hash", json_string(hex));
  return file && json_array_append_new(json_object_get(provenance, "files"), file) == 0
             ? 0
             : short_of_memory(err);
}

int eval_provenance_policy(json_t *provenance, const struct tpo_session *session,
                           const struct tpo_policy *policy, struct tpo_error *err)
{
  const struct tpo_config *config = session->config;
  const struct tpo_sampling_config *s = &config->sampling;
  const char *hash = tpo_model_hash(policy->model);
  if (!hash) return short_of_memory(err);
  json_t *model = json_pack("{s:s, s:s, s:s}", "path", policy->path, "hash", hash, "dtype",
                            config->model.dtype == TPO_DTYPE_FP32 ? "fp32" : "bf16");
  json_t *sampling = json_pack("{s:i, s:f, s:f, s:i, s:f, s:f, s:i, s:i}", "k", config->run.validation_k,
                               "temperature", config->run.validation_temperature, "top_p", s->top_p, "top_k",
                               s->top_k, "min_p", s->min_p, "repetition_penalty", s->repetition_penalty,
                               "max_tokens", s->max_tokens, "resample", config->run.validation_resample);
  const char *thought = config->thought.name ? config->thought.name : "";
  if (json_object_set_new(provenance, "model", model) < 0 ||
      json_object_set_new(provenance, "thought", json_string(thought)) < 0 ||
      json_object_set_new(provenance, "sampling", sampling) < 0)
    return short_of_memory(err);
  return 0;
}
