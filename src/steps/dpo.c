/* Training over all epochs, with the best one kept, and a state file to go on from after an interruption. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "tpo/steps.h"

struct training {
  const struct tpo_session *session;
  const struct tpo_dpo_options *options;
  struct tpo_dpo_result *result;
};

static int take_metrics(void *arg, const struct tpo_train_metrics *m, struct tpo_error *err)
{
  struct training *t = arg;
  int status = 0;
  if (t->result->steps == 0) t->result->first_loss = m->loss;
  t->result->last_loss = m->loss;
  t->result->steps++;
  if (t->options->metrics && tpo_comm_rank(t->session->comm) == 0) {
    struct tpo_buf line = {0};
    tpo_train_metrics_print(m, &line);
    tpo_buf_putc(&line, '\n');
    if (line.failed || fwrite(line.data, 1, line.len, t->options->metrics) != line.len ||
        fflush(t->options->metrics) != 0)
      status = tpo_fail(err, TPO_E_IO, "writing the metrics of step %lld failed: %m", (long long)m->step);
    tpo_buf_free(&line);
  }
  if (status == 0 && t->options->on_step) status = t->options->on_step(t->options->arg, m, err);
  return status;
}

/* What the loop knows beside the trainer, kept in the state's JSON. */
static char *progress_json(const struct tpo_dpo_result *result, int epochs_done, int64_t mark)
{
  json_t *o = json_pack("{s:i, s:i, s:I, s:f, s:f, s:I}", "epochs_done", epochs_done, "best_epoch",
                        result->best_epoch, "steps_done", (json_int_t)result->steps, "first_loss",
                        result->first_loss, "last_loss", result->last_loss, "mark", (json_int_t)mark);
  if (o && !isnan(result->best_score)) json_object_set_new(o, "best_score", json_real(result->best_score));
  char *text = o ? tpo_json_dump(o) : NULL;
  json_decref(o);
  return text;
}

static int read_progress(const char *path, struct tpo_dpo_result *result, int *epochs_done, int64_t *mark,
                         struct tpo_error *err)
{
  struct tpo_checkpoint *c;
  int status = tpo_checkpoint_open(&c, path, err);
  if (status < 0) return status;
  char *text = NULL;
  size_t len = 0;
  status = tpo_checkpoint_get_blob(c, "state", &text, &len, err);
  tpo_checkpoint_close(c);
  if (status == 0) return tpo_fail(err, TPO_E_INPUT, "%s: /state is missing", path);
  json_t *o = status > 0 ? tpo_json_parse(text, len, path, err) : NULL;
  free(text);
  if (!o) return status < 0 ? status : TPO_E_INPUT;
  int64_t done = 0, best = 0;
  status = tpo_json_get_int(o, "epochs_done", 0, 1 << 20, &done, path, err);
  if (status == 0) status = tpo_json_get_int(o, "best_epoch", 0, 1 << 20, &best, path, err);
  if (status == 0) status = tpo_json_get_int(o, "steps_done", 0, INT64_MAX, &result->steps, path, err);
  if (status == 0) status = tpo_json_get_double(o, "best_score", &result->best_score, path, err);
  if (status == 0) status = tpo_json_get_double(o, "first_loss", &result->first_loss, path, err);
  if (status == 0) status = tpo_json_get_double(o, "last_loss", &result->last_loss, path, err);
  if (status == 0) status = tpo_json_get_int(o, "mark", -1, INT64_MAX, mark, path, err);
  json_decref(o);
  *epochs_done = (int)done;
  result->best_epoch = (int)best;
  return status;
}

static int save(struct training *t, struct tpo_trainer *trainer, struct tpo_policy *policy, const char *path,
                int epochs_done, bool with_optimizer, struct tpo_error *err)
{
  bool is_state = path == t->options->state;
  char *extra = progress_json(t->result, epochs_done,
                              is_state && t->options->mark ? t->options->mark(t->options->arg) : -1);
  int status = extra ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  status = tpo_comm_agree(t->session->comm, status, err);
  if (status == 0)
    status = tpo_trainer_save(trainer, path, policy->tokenizer, t->options->config_yaml, extra,
                              with_optimizer, err);
  free(extra);
  return status;
}

/* One epoch: training, the score after it, and the checkpoint when it is the best so far. */
static int run_epoch(struct training *t, struct tpo_trainer *trainer, struct tpo_policy *policy,
                     const struct tpo_pairs *pairs, int epoch, struct tpo_error *err)
{
  int status = tpo_trainer_epoch(trainer, pairs, epoch, take_metrics, t, err);
  double score = NAN;
  if (status == 0 && t->options->after_epoch)
    status = t->options->after_epoch(t->options->arg, epoch, &score, err);
  if (status < 0) return status;
  if (isnan(score) || isnan(t->result->best_score) || score > t->result->best_score) {
    t->result->best_epoch = epoch + 1;
    t->result->best_score = score;
    bool with_optimizer = t->session->config->train.save_optimizer;
    status = save(t, trainer, policy, t->options->out, epoch + 1, with_optimizer, err);
  }
  bool more = epoch + 1 < t->session->config->train.epochs;
  if (status == 0 && t->options->state && more)
    status = save(t, trainer, policy, t->options->state, epoch + 1, true, err);
  return status;
}

/* Goes on from the state file when there is one, and the best checkpoint that it speaks of. */
static int take_up_state(struct training *t, struct tpo_trainer *trainer, int *epochs_done, int64_t *mark,
                         struct tpo_error *err)
{
  const struct tpo_dpo_options *options = t->options;
  struct tpo_comm *comm = t->session->comm;
  double missing = !options->state || !tpo_file_exists(options->state) || !tpo_file_exists(options->out);
  int status = tpo_comm_allreduce_max_f64(comm, &missing, 1, err);
  if (status < 0 || missing > 0) return status;
  status = tpo_trainer_load(trainer, options->state, err);
  if (status == 0) status = read_progress(options->state, t->result, epochs_done, mark, err);
  return tpo_comm_agree(comm, status, err);
}

int tpo_dpo(const struct tpo_session *session, struct tpo_policy *policy, const struct tpo_pairs *pairs,
            const struct tpo_dpo_options *options, struct tpo_dpo_result *result, struct tpo_error *err)
{
  *result = (struct tpo_dpo_result){.best_score = NAN};
  struct training t = {.session = session, .options = options, .result = result};
  struct tpo_trainer *trainer = NULL;
  int epochs_done = 0;
  int64_t mark = -1;
  int status = tpo_trainer_open(&trainer, policy->model, session->comm, &session->config->train,
                                session->config->seed, err);
  if (status == 0) status = take_up_state(&t, trainer, &epochs_done, &mark, err);
  if (status == 0 && options->on_start) status = options->on_start(options->arg, mark, err);
  for (int epoch = epochs_done; status == 0 && epoch < session->config->train.epochs; epoch++)
    status = run_epoch(&t, trainer, policy, pairs, epoch, err);
  tpo_trainer_close(trainer);
  return tpo_comm_agree(session->comm, status, err);
}
