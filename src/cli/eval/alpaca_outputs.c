/* A model's outputs, drawn from it. */
#include <stdlib.h>
#include <string.h>

#include "cli/eval/alpaca.h"
#include "eval/alpaca/outputs.h"
#include "eval/answers.h"
#include "eval/provenance.h"

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
  r->renames = name != NULL;
  if (!name && r->outputs) alpaca_name_of_file(r->outputs, r->generator);
  if (!r->draws) return 0;
  int status = require_model(in, &model, err);
  if (status == 0) status = option_require(in, "--prompts", &r->prompts, err);
  if (status == 0 && !option_value(in, "--save"))
    status = option_require(in, "--out", &(const char *){0}, err);
  if (status == 0) status = check_k(in, err);
  if (status == 0) status = check_config(in, TPO_CHECK_SAMPLING, err);
  if (status == 0 && !name) eval_model_name(model, r->generator);
  return status;
}

/* Rank 0: the samples as outputs, written. */
static int keep(const struct alpaca_request *r, const struct tpo_samples *samples, struct alpaca_parts *parts,
                struct tpo_error *err)
{
  int status = alpaca_outputs_of(&parts->outputs, &parts->prompts, samples, r->generator, err);
  for (int i = 0; i < 2 && status == 0; i++)
    if (*r->outputs_to.paths[i]) status = alpaca_outputs_write(parts->outputs, r->outputs_to.paths[i], err);
  return status;
}

static int draw(const struct cli_session *s, const struct alpaca_request *r, struct alpaca_parts *parts,
                struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct tpo_policy policy = {0};
  struct tpo_samples samples = {0};
  struct tpo_redraw_counts counts = {0};
  struct eval_draw how = eval_draw_of(config);
  how.journal = *r->outputs_journal ? r->outputs_journal : NULL;
  int status = tpo_policy_open(&policy, &s->session, config->model.path, NULL, err);
  if (status == 0) status = eval_answer(&s->session, &policy, &parts->prompts, &how, &samples, &counts, err);
  if (status == 0 && cli_first_rank(s)) {
    status = keep(r, &samples, parts, err);
    if (status == 0) status = eval_provenance_policy(parts->provenance, &s->session, &policy, err);
    json_object_set_new(parts->result, "n_redrawn", json_integer((json_int_t)counts.resampled));
    json_object_set_new(parts->result, "n_without_response", json_integer((json_int_t)counts.unparsed));
    json_object_set_new(parts->result, "cut_off", json_integer((json_int_t)eval_cut_off(&samples)));
  }
  tpo_policy_close(&policy);
  tpo_samples_free(&samples);
  return tpo_comm_agree(s->session.comm, status, err);
}

/* Every rank gets rank 0's. */
static int share(const struct cli_session *s, struct alpaca_parts *parts, struct tpo_error *err)
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
static void tell(struct alpaca_parts *parts)
{
  size_t empty = alpaca_outputs_empty(parts->outputs);
  json_object_set_new(parts->result, "generator", json_string(alpaca_generator(parts->outputs)));
  json_object_set_new(parts->result, "n_outputs", json_integer((json_int_t)json_array_size(parts->outputs)));
  json_object_set_new(parts->result, "n_empty", json_integer((json_int_t)empty));
  json_object_set_new(parts->result, "avg_length",
                      json_integer((json_int_t)alpaca_outputs_mean_length(parts->outputs)));
  if (empty > 0)
    tpo_log(TPO_LOG_WARN, "%zu of %zu outputs are empty", empty, json_array_size(parts->outputs));
}

int alpaca_get_outputs(const struct cli_session *s, const struct alpaca_request *r,
                       struct alpaca_parts *parts, struct tpo_error *err)
{
  int status = r->draws ? draw(s, r, parts, err) : 0;
  if (status == 0 && r->draws && r->judges) status = share(s, parts, err);
  if (status == 0 && cli_first_rank(s)) tell(parts);
  return status;
}
