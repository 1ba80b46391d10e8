/* The models that a run has open: the policy, whose weights training updates in place, another one, and judges'. */
#include <stdlib.h>
#include <string.h>

#include "run/keeping.h"
#include "run/loop.h"

int loop_policy_path(const struct loop *loop, int iteration, char out[4096], struct tpo_error *err)
{
  if (iteration > 1) return loop_path(loop, iteration - 1, "checkpoint.h5", out, err);
  if (strlen(loop->config->model.path) >= 4096) return tpo_fail(err, TPO_E_USAGE, "model.path is too long");
  strcpy(out, loop->config->model.path);
  return 0;
}

static void tell_kept(const struct loop *loop, const char *what, bool kept)
{
  bool costly = !kept && tpo_run_in_steps(&loop->config->run);
  if (loop->first)
    tpo_log(costly ? TPO_LOG_WARN : TPO_LOG_DEBUG, "%s %s", what,
            kept ? "stays open" : "is read for each use, since memory has no room for it beside training");
}

int loop_plan_models(struct loop *loop, struct tpo_session *session, struct tpo_error *err)
{
  struct tpo_arch arch;
  struct keeping keeping = {0};
  int status = loop_agree(loop, tpo_arch_read(&arch, loop->config->model.path, err), err);
  if (status < 0) return status;
  run_keeping(&keeping, loop->session, &arch);
  double closes[] = {!keeping.kept, !keeping.judges_kept};
  status = tpo_comm_allreduce_max_f64(loop->session->comm, closes, 2, err);
  if (status < 0) return status;
  loop->compares = keeping.compares;
  loop->keeps_other = keeping.again && closes[0] == 0;
  if (keeping.again) tell_kept(loop, "the model that the policy is compared with", closes[0] == 0);
  if (keeping.judges_again) tell_kept(loop, "the judge's model", closes[1] == 0);
  if (closes[1] == 0) status = tpo_model_shelf_open(&session->judge_models, err);
  return loop_agree(loop, status, err);
}

static bool is_open(const struct tpo_policy *model, const char *path)
{
  return model->path && strcmp(model->path, path) == 0;
}

/* Whether the policy has the weights of `path`. */
static bool has_weights(const struct loop *loop, const char *path)
{
  return !loop->policy_changed && is_open(&loop->policy, path);
}

int loop_use_policy(struct loop *loop, int iteration, struct tpo_error *err)
{
  char path[4096];
  int status = loop_agree(loop, loop_policy_path(loop, iteration, path, err), err);
  return status < 0 ? status : loop_use_weights(loop, path, err);
}

int loop_use_weights(struct loop *loop, const char *path, struct tpo_error *err)
{
  if (has_weights(loop, path)) return 0;
  online_close(
      loop->online); /* its training is of the model that goes; it is taken up again from its state */
  loop->online = NULL;
  tpo_policy_close(&loop->policy);
  loop->policy_changed = false;
  return tpo_policy_open(&loop->policy, loop->session, path, &loop->pairs, err);
}

int loop_weights_are(struct loop *loop, const char *path, struct tpo_error *err)
{
  char *copy = path ? strdup(path) : NULL;
  loop->policy_changed = true;
  int status = loop_agree(loop, path && !copy ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : 0, err);
  if (status < 0 || !path) {
    free(copy);
    return status;
  }
  free(loop->policy.path);
  loop->policy.path = copy;
  loop->policy_changed = false;
  return 0;
}

int loop_reference_model(struct loop *loop, const char *path, struct tpo_model **out, struct tpo_error *err)
{
  struct tpo_policy *other = &loop->other;
  int status = 0;
  *out = NULL;
  if (has_weights(loop, path)) {
    *out = loop->policy.model;
    return 0;
  }
  if (!is_open(other, path)) {
    tpo_policy_close(other);
    status = tpo_policy_open(other, loop->session, path, NULL, err);
    if (status < 0) return status;
    tpo_template_close(other->tmpl); /* tokens alone are given to it */
    tpo_tokenizer_close(other->tokenizer);
    other->tmpl = NULL;
    other->tokenizer = NULL;
  }
  *out = other->model;
  return 0;
}

void loop_rest_models(struct loop *loop, bool again)
{
  if (loop->policy.model) tpo_model_rest(loop->policy.model);
  if (loop->other.model) tpo_model_rest(loop->other.model);
  if (!again || !loop->keeps_other) tpo_policy_close(&loop->other);
}

void loop_close_models(struct loop *loop)
{
  tpo_policy_close(&loop->policy);
  tpo_policy_close(&loop->other);
  tpo_model_shelf_close(loop->session->judge_models);
}
