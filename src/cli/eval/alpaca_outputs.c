/* A model's outputs: drawn from it, or read. */
#include <stdlib.h>
#include <string.h>

#include "cli/eval/alpaca.h"
#include "eval/alpaca/outputs.h"
#include "eval/answers.h"
#include "eval/provenance.h"
#include "steps/room.h"

/* The last part of a path, by which leaderboards then know the model. */
static void name_generator(const char *path, char *out, size_t size)
{
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/') end--;
  size_t begin = end;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  snprintf(out, size, "%.*s", (int)(end - begin), path + begin);
}

static int check_k(struct invocation *in, struct tpo_error *err)
{
  const char *k = option_value(in, "--k");
  if (k && in->config.run.validation_k != 1)
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo eval alpaca: --k is %s; AlpacaEval has one output for each instruction", k);
  in->config.run.validation_k = 1; /* whatever a run's configuration has for its validations */
  return 0;
}

int alpaca_draw_read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err)
{
  const char *model, *name = option_value(in, "--generator");
  if (name && strlen(name) >= sizeof r->generator)
    return tpo_fail(err, TPO_E_USAGE, "tpo eval alpaca: --generator has %zu bytes; expected at most %zu",
                    strlen(name), sizeof r->generator - 1);
  snprintf(r->generator, sizeof r->generator, "%s", name ? name : "");
  if (!name && r->outputs) alpaca_name_of_file(r->outputs, r->generator);
  if (!r->draws) return 0;
  int status = require_model(in, &model, err);
  if (status == 0) status = option_require(in, "--prompts", &r->prompts, err);
  if (status == 0 && !option_value(in, "--save"))
    status = option_require(in, "--out", &(const char *){0}, err);
  if (status == 0) status = check_k(in, err);
  if (status == 0) status = check_config(in, TPO_CHECK_SAMPLING, err);
  if (status == 0 && !name) name_generator(model, r->generator, sizeof r->generator);
  return status;
}

/* A prompt that is too long for the model is a bad row. */
static int read_prompts(const struct tpo_config *config, const struct alpaca_request *r,
                        struct tpo_instructions *set, struct tpo_error *err)
{
  struct prompt_room *room = NULL;
  if (!r->draws) return alpaca_prompts_read(set, r->prompts, config->data.skip_bad, NULL, NULL, err);
  int status = prompt_room_open(&room, config, config->model.path, err);
  if (status == 0)
    status = alpaca_prompts_read(set, r->prompts, config->data.skip_bad, prompt_room_check, room, err);
  prompt_room_close(room);
  return status;
}

/* Rank 0: the samples as outputs, written. */
static int keep(const struct alpaca_request *r, const struct tpo_instructions *set,
                const struct tpo_samples *samples, struct alpaca_result_parts *parts, struct tpo_error *err)
{
  int status = alpaca_outputs_of(&parts->outputs, set, samples, r->generator, err);
  for (int i = 0; i < 2 && status == 0; i++)
    if (*r->outputs_to.paths[i]) status = alpaca_outputs_write(parts->outputs, r->outputs_to.paths[i], err);
  return status;
}

static int draw(const struct cli_session *s, const struct alpaca_request *r,
                const struct tpo_instructions *set, struct alpaca_result_parts *parts, struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct tpo_policy policy = {0};
  struct tpo_samples samples = {0};
  struct tpo_redraw_counts counts = {0};
  struct eval_draw how = eval_draw_of(config);
  how.journal = *r->outputs_journal ? r->outputs_journal : NULL;
  int status = tpo_policy_open(&policy, &s->session, config->model.path, NULL, err);
  if (status == 0) status = eval_answer(&s->session, &policy, set, &how, &samples, &counts, err);
  if (status == 0 && cli_first_rank(s)) {
    status = keep(r, set, &samples, parts, err);
    if (status == 0) status = eval_provenance_policy(parts->provenance, &s->session, &policy, err);
    json_object_set_new(parts->result, "n_redrawn", json_integer((json_int_t)counts.resampled));
    json_object_set_new(parts->result, "n_without_response", json_integer((json_int_t)counts.unparsed));
  }
  tpo_policy_close(&policy);
  tpo_samples_free(&samples);
  return tpo_comm_agree(s->session.comm, status, err);
}

/* Every rank gets rank 0's. */
static int share(const struct cli_session *s, struct alpaca_result_parts *parts, struct tpo_error *err)
{
  bool first = cli_first_rank(s);
  if (tpo_comm_size(s->session.comm) == 1) return 0;
  void *text = first ? json_dumps(parts->outputs, JSON_COMPACT) : NULL;
  size_t len = text ? strlen(text) : 0;
  int status = first && !text ? tpo_fail(err, TPO_E_MEMORY, "no memory for outputs") : 0;
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0) status = tpo_comm_bcast_bytes(s->session.comm, &text, &len, 0, err);
  if (status == 0 && !first && !(parts->outputs = json_loadb(text, len, 0, NULL)))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for outputs");
  free(text);
  return tpo_comm_agree(s->session.comm, status, err);
}

/* Rank 0. */
static int tell(const struct alpaca_request *r, struct alpaca_result_parts *parts, struct tpo_error *err)
{
  size_t empty = alpaca_outputs_empty(parts->outputs);
  json_object_set_new(parts->result, "generator", json_string(alpaca_generator(parts->outputs)));
  json_object_set_new(parts->result, "n_outputs", json_integer((json_int_t)json_array_size(parts->outputs)));
  json_object_set_new(parts->result, "n_empty", json_integer((json_int_t)empty));
  json_object_set_new(parts->result, "avg_length",
                      json_integer((json_int_t)alpaca_outputs_mean_length(parts->outputs)));
  if (empty > 0)
    tpo_log(TPO_LOG_WARN, "%zu of %zu outputs are empty", empty, json_array_size(parts->outputs));
  int status = r->prompts ? eval_provenance_file(parts->provenance, "prompts", r->prompts, err) : 0;
  if (status == 0 && r->outputs) status = eval_provenance_file(parts->provenance, "outputs", r->outputs, err);
  return status;
}

int alpaca_get_outputs(const struct cli_session *s, const struct alpaca_request *r,
                       struct alpaca_result_parts *parts, struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct tpo_instructions set = {0};
  int status = r->draws && cli_first_rank(s) ? tpo_policy_check_budgets(config, config->model.path, err) : 0;
  if (status == 0 && r->prompts) status = read_prompts(config, r, &set, err);
  if (status == 0 && r->outputs)
    status = alpaca_outputs_read(&parts->outputs, r->outputs, r->prompts ? &set : NULL, r->generator, err);
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0 && r->draws) status = draw(s, r, &set, parts, err);
  if (status == 0 && r->draws && r->judges) status = share(s, parts, err);
  if (status == 0 && cli_first_rank(s)) status = tell(r, parts, err);
  tpo_instructions_free(&set);
  return tpo_comm_agree(s->session.comm, status, err);
}
