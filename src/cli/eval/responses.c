/* Responses of an evaluation: asked of a model over the ranks, or read. */
#include "cli/eval/responses.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/same.h"
#include "eval/answers.h"
#include "eval/provenance.h"

static int choose_source(struct invocation *in, const char *const *others, struct responses *r,
                         struct tpo_error *err)
{
  const char *names[8] = {"--samples"};
  for (size_t i = 0; others[i]; i++) names[i + 1] = others[i];
  for (size_t i = 0; names[i]; i++) {
    const char *path = option_value(in, names[i]);
    if (!path) continue;
    if (r->option)
      return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s and %s were given; expected one of them",
                      in->command->name, r->option, names[i]);
    r->option = names[i];
    r->path = path;
  }
  if (!r->option && (!in->config.model.path || !*in->config.model.path))
    return tpo_fail(err, TPO_E_USAGE, "tpo %s: expected responses (%s FILE) or a model to ask (--model M)",
                    in->command->name, others[0]);
  return 0;
}

/* What is said of drawing means nothing where responses are read. */
static int check_unasked(const struct invocation *in, const struct responses *r, struct tpo_error *err)
{
  static const char *const asked[] = {"--model", "--out", "--resume", "--prompting", NULL};
  char wanted[100];
  snprintf(wanted, sizeof wanted, "a model that is asked, and %.40s gives its responses", r->option);
  int status = eval_refuse(in, asked, wanted, err);
  return status < 0 ? status : eval_refuse_draw(in, false, err);
}

static int check_asked(struct invocation *in, const struct responses *r, struct tpo_error *err)
{
  const struct tpo_run_config *run = &in->config.run;
  if (r->resume && !option_value(in, "--out") && !option_value(in, "--save"))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo %s: --resume goes with --out or --save, beside which the journal is",
                    in->command->name);
  if (run->validation_k > 1 && run->validation_temperature == 0)
    return tpo_fail(err, TPO_E_USAGE, "tpo %s: --k %d at --temperature 0 draws the same response so often",
                    in->command->name, run->validation_k);
  int status = check_shared(in, "--prompts", r->prompts, err);
  return status < 0 ? status : check_config(in, TPO_CHECK_SAMPLING, err);
}

int responses_request(struct invocation *in, const char *const *others, struct responses *r,
                      struct tpo_error *err)
{
  *r = (struct responses){.resume = option_value(in, "--resume") != NULL};
  int status = option_int(in, "--limit", 1, 100000000, 0, &r->limit, err);
  if (status == 0) status = choose_source(in, others, r, err);
  if (status == 0) status = option_require(in, "--prompts", &r->prompts, err);
  if (status == 0) status = eval_out_path(in, "--out", r->out, err);
  if (status == 0) status = eval_out_path(in, "--details", r->details, err);
  if (status < 0) return status;
  return r->option ? check_unasked(in, r, err) : check_asked(in, r, err);
}

/* All ranks. The folder that --save names is made, and holds what no option gives another place. */
static int saved_path(const struct invocation *in, const char *name, const char *what, char out[4096],
                      struct tpo_error *err)
{
  char file[128], path[4096];
  snprintf(file, sizeof file, "%.60s-%.60s.jsonl", name, what);
  int status = eval_save_path(in, file, path, err);
  if (status == 0 && !*out) memcpy(out, path, sizeof path);
  return status;
}

int responses_check(struct invocation *in, const char *name, struct responses *r, struct tpo_error *err)
{
  bool asks = !r->option;
  char result[96];
  int status = asks ? saved_path(in, name, "responses", r->out, err) : 0;
  if (status == 0) status = saved_path(in, name, "details", r->details, err);
  snprintf(result, sizeof result, "%.60s.json", name);
  const struct eval_place places[] = {{"--out", r->out, ""}, {"--details", r->details, ""}};
  const char *const inputs[] = {r->prompts, r->path};
  if (status == 0) status = eval_check_places(in, places, 2, inputs, 2, result, err);
  if (status == 0 && asks) status = check_same_file(in, r->prompts, err);
  if (status == 0 && asks && *r->out)
    status = check_journal(in, r->out, r->resume, "finished responses", r->journal, err);
  return status;
}

int responses_draw(struct cli_session *s, const struct responses *r,
                   const struct tpo_instructions *instructions, json_t *provenance, struct drawn *drawn,
                   struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct tpo_policy policy = {0};
  struct eval_draw draw = eval_draw_of(config);
  draw.journal = *r->journal ? r->journal : NULL;
  int status = tpo_policy_open_text(&policy, config, config->model.path, err);
  if (status == 0 && cli_first_rank(s)) status = tpo_policy_check_thought(&policy, config, err);
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0) status = tpo_policy_open_model(&policy, &s->session, NULL, err);
  if (status == 0)
    status = eval_answer(&s->session, &policy, instructions, &draw, &drawn->samples, &drawn->counts, err);
  progress_end(&s->bar);
  drawn->cut_off = eval_cut_off(&drawn->samples);
  if (status == 0 && cli_first_rank(s))
    status = eval_provenance_policy(provenance, &s->session, &policy, err);
  tpo_policy_close(&policy);
  return tpo_comm_agree(s->session.comm, status, err);
}

int responses_write(const struct responses *r, const struct tpo_samples *samples, const char *key,
                    const char *text, const struct eval_prompt *prompts, size_t n, struct tpo_error *err)
{
  if (!*r->out) return 0;
  int status = eval_given_write(r->out, samples, key, text, prompts, n, err);
  if (status == 0 && *r->journal) drop_journal(r->journal);
  return status;
}

int responses_read(const struct responses *r, const char *field, const struct eval_prompt *prompts, size_t n,
                   struct eval_given *given, struct tpo_error *err)
{
  if (strcmp(r->option, "--samples") != 0) return eval_given_read(given, r->path, prompts, n, field, err);
  struct tpo_samples samples = {0};
  int status = tpo_samples_read(&samples, r->path, err);
  if (status == 0) status = eval_given_of_samples(given, &samples, r->path, prompts, n, err);
  tpo_samples_free(&samples);
  return status;
}

void responses_tell(const struct responses *r, size_t n_prompts, size_t missing,
                    const struct eval_given *given)
{
  char prompts[64];
  snprintf(prompts, sizeof prompts, "%s%zu prompts", r->limit > 0 ? "first " : "", n_prompts);
  if (missing > 0)
    tpo_log(TPO_LOG_WARN, "%s has no response to %zu of the %s of %s: they don't count", r->path, missing,
            prompts, r->prompts);
  if (given->unknown > 0)
    tpo_log(TPO_LOG_WARN, "%zu responses are to none of the %s of %s, the first at %s: they don't count",
            given->unknown, prompts, r->prompts, given->first_unknown ? given->first_unknown : r->path);
  if (given->text_differs > 0)
    tpo_log(TPO_LOG_WARN,
            "%zu responses are to another text than the prompt of their key, the first at %s: they count "
            "as that prompt's",
            given->text_differs, given->first_differing ? given->first_differing : r->path);
}

json_t *number_or_null(double x)
{
  return isnan(x) ? json_null() : json_real(x);
}

int responses_run(struct invocation *in, int status, const char *name, struct responses *r,
                  responses_evaluate *evaluate, void *state, struct tpo_error *err)
{
  struct cli_session s;
  status = agree_on_usage(in, status, err);
  if (status == 0) status = responses_check(in, name, r, err);
  if (status < 0) return status;
  status = cli_session_open_for(&s, in, !r->option, err);
  if (status == 0) status = evaluate(&s, in, state, err);
  cli_session_close(&s);
  return *r->journal ? tell_to_resume(status, err) : status;
}
