/* Where an evaluation's numbers come from. */
#include "eval/provenance.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "config/judge_kinds.h"
#include "judge/identity.h"
#include "steps/judged.h"
#include "tpo/judge.h"

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
  /* What comes through a pipe is gone once it was read, and opening it again would wait for ever. */
  bool is_file = strcmp(path, "-") != 0 && (!tpo_file_exists(path) || tpo_is_regular(path));
  int status = is_file ? tpo_hash_file(path, hex, &size, err) : 0;
  if (status < 0) return status;
  json_t *file = json_pack("{s:s, s:s}", "name", name, "path", path);
  if (file && is_file) json_object_set_new(file, "size", json_integer((json_int_t)size));
  if (file && is_file) json_object_set_new(file, "hash", json_string(hex));
  return file && json_array_append_new(json_object_get(provenance, "files"), file) == 0
             ? 0
             : short_of_memory(err);
}

/* What of a layout bears on responses. */
static int hash_thought(const struct tpo_thought_config *thought, char hex[33], struct tpo_error *err)
{
  const char *const texts[] = {thought->prompt, thought->system, thought->thought_marker,
                               thought->response_marker, thought->prefill};
  struct tpo_hash hash;
  char rest[100];
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    tpo_hash_add(&hash, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) + 1 : 1);
  snprintf(rest, sizeof rest, "%d %d %d %d", (int)thought->parse, thought->thought_tokens,
           thought->response_tokens, (int)thought->force);
  tpo_hash_add(&hash, rest, strlen(rest));
  if (thought->template_args) tpo_hash_add(&hash, thought->template_args, strlen(thought->template_args));
  tpo_hash_end(&hash, hex);
  return 0;
}

static json_t *sampling_of(const struct tpo_config *config)
{
  const struct tpo_sampling_config *s = &config->sampling;
  json_t *stop = json_array();
  for (int i = 0; i < s->n_stop; i++) json_array_append_new(stop, json_string(s->stop[i]));
  return json_pack("{s:i, s:f, s:f, s:f, s:i, s:f, s:f, s:i, s:o, s:i}", "k", config->run.validation_k,
                   "temperature", config->run.validation_temperature, "retry_temperature", s->temperature,
                   "top_p", s->top_p, "top_k", s->top_k, "min_p", s->min_p, "repetition_penalty",
                   s->repetition_penalty, "max_tokens", s->max_tokens, "stop", stop, "resample",
                   config->run.validation_resample);
}

int eval_provenance_draw(json_t *provenance, const struct tpo_config *config, struct tpo_error *err)
{
  char hex[33];
  const char *thought = config->thought.name ? config->thought.name : "";
  int status = hash_thought(&config->thought, hex, err);
  if (status < 0) return status;
  if (json_object_set_new(provenance, "thought", json_string(thought)) < 0 ||
      json_object_set_new(provenance, "thought_hash", json_string(hex)) < 0 ||
      json_object_set_new(provenance, "sampling", sampling_of(config)) < 0)
    return short_of_memory(err);
  return 0;
}

int eval_provenance_policy(json_t *provenance, const struct tpo_session *session,
                           const struct tpo_policy *policy, struct tpo_error *err)
{
  const struct tpo_config *config = session->config;
  const char *hash = tpo_model_hash(policy->model);
  if (!hash) return short_of_memory(err);
  json_t *model = json_pack("{s:s, s:s, s:s}", "path", policy->path, "hash", hash, "dtype",
                            config->model.dtype == TPO_DTYPE_FP32 ? "fp32" : "bf16");
  if (json_object_set_new(provenance, "model", model) < 0) return short_of_memory(err);
  return eval_provenance_draw(provenance, config, err);
}

static int hash_text(const char *text, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  tpo_hash_add(&hash, text, strlen(text));
  tpo_hash_end(&hash, hex);
  return 0;
}

/* The lines that tell its models and programs. */
static json_t *identity_of(const struct tpo_judge_config *judge, struct tpo_error *err)
{
  struct tpo_buf lines = {0};
  json_t *list = judge_identify(judge, &lines, err) == 0 ? json_array() : NULL;
  char *rest = lines.data;
  for (char *line; list && rest && (line = strsep(&rest, "\n"));)
    if (*line) json_array_append_new(list, json_string(line));
  tpo_buf_free(&lines);
  return list;
}

static json_t *request_of(const struct tpo_judge_config *judge)
{
  const char *text = judge->request ? judge->request : "null";
  return tpo_json_parse(text, strlen(text), "judge.request", NULL);
}

/* Of text, or else of what the configuration gives; "": neither is there. */
static int hash_given(const char *text, const char *given, char hex[33], struct tpo_error *err)
{
  *hex = '\0';
  if (!text && given && *given) text = given;
  return text ? hash_text(text, hex, err) : 0;
}

/* Of all else that its answers, and what is read in them, depend on: judge.mode, judge.verdict_rule, ... */
static int hash_settings(const struct tpo_judge_config *judge, char hex[33], struct tpo_error *err)
{
  struct tpo_config config = {.judge = *judge};
  struct tpo_buf lines = {0};
  config.judge.kind = config.judge.prompt = config.judge.system = (char *)""; /* told by themselves */
  judged_settings(&config, &lines);
  int status = lines.failed ? short_of_memory(err) : hash_text(lines.data ? lines.data : "", hex, err);
  tpo_buf_free(&lines);
  return status;
}

int eval_provenance_judge(json_t *provenance, const struct tpo_judge_config *judge, const char *system,
                          const char *prompt, struct tpo_error *err)
{
  char prompt_hex[33], system_hex[33], settings_hex[33];
  int status = hash_given(prompt, judge->prompt, prompt_hex, err);
  if (status == 0) status = hash_given(system, judge->system, system_hex, err);
  if (status == 0) status = hash_settings(judge, settings_hex, err);
  json_t *identity = status == 0 ? identity_of(judge, err) : NULL;
  if (!identity) return err && err->code < 0 ? err->code : short_of_memory(err);
  json_t *about =
      json_pack("{s:s%, s:s*, s:f, s:i, s:o?, s:o, s:s?, s:s?, s:s}", "kind", judge->kind,
                config_judge_told(judge->kind), "model", tpo_judge_keeps_answers(judge) ? judge->model : NULL,
                "temperature", judge->temperature, "max_tokens", judge->max_tokens, "request",
                request_of(judge), "identity", identity, "prompt_hash", *prompt_hex ? prompt_hex : NULL,
                "system_hash", *system_hex ? system_hex : NULL, "settings_hash", settings_hex);
  if (!about) json_decref(identity);
  return about && json_object_set_new(provenance, "judge", about) == 0 ? 0 : short_of_memory(err);
}
