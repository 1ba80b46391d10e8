/* Training on pairs that come while it goes on: one course of steps over all of them, with a state to go on from. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/memory.h"
#include "steps/kept_training.h"

struct tpo_online {
  const struct tpo_session *session; /* borrowed, as is the policy */
  struct tpo_policy *policy;
  struct tpo_online_options options; /* its configuration borrowed */
  char *journal;                     /* options.journal, a copy */
  struct tpo_trainer *trainer;
  struct kept_training kept;
  int64_t total, done; /* steps */
  int64_t mark, mark_of;
  double last_loss; /* NAN: no step was made */
  bool going;       /* a step was the last thing here, and not a pause: what is told goes on */
};

static char *extra_json(int64_t done, const int64_t *mark)
{
  json_t *o = json_pack("{s:I}", "steps_done", (json_int_t)done);
  if (o && mark) json_object_set_new(o, "mark", json_integer(*mark));
  char *text = o ? tpo_json_dump(o) : NULL;
  json_decref(o);
  return text;
}

/* mark NULL: without one. */
static int extra_text(const struct tpo_online *online, const int64_t *mark, char **text,
                      struct tpo_error *err)
{
  *text = extra_json(online->done, mark);
  return tpo_comm_agree(online->session->comm, *text ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory"), err);
}

static int read_extra(struct tpo_online *online, const char *text, const char *place, struct tpo_error *err)
{
  int64_t done = -1;
  json_t *o = tpo_json_parse(text, strlen(text), place, err);
  int status = o ? 0 : TPO_E_INPUT;
  if (status == 0) status = tpo_json_get_int(o, "steps_done", 0, online->total, &done, place, err);
  if (status == 0) status = tpo_json_get_int(o, "mark", -1, INT64_MAX, &online->mark_of, place, err);
  if (status == 0 && done < 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: the state doesn't say how many steps were done", place);
  json_decref(o);
  if (status < 0) return status;
  online->done = done;
  online->mark = online->mark_of;
  return 0;
}

static int read_checkpoint_extra(struct tpo_online *online, const char *path, struct tpo_error *err)
{
  struct tpo_checkpoint *c = NULL;
  char *text = NULL;
  size_t len = 0;
  int status = tpo_checkpoint_open(&c, path, err);
  if (status == 0) status = tpo_checkpoint_get_blob(c, "state", &text, &len, err);
  if (status == 1) status = read_extra(online, text, path, err);
  tpo_checkpoint_close(c);
  free(text);
  return status;
}

/* Where there is no state to go on from, for this reason: what the checkpoint has is the same, where its optimizer is
 * in it. */
static int take_up_checkpoint(struct tpo_online *online, const char *why, struct tpo_error *err)
{
  const char *path = online->options.checkpoint;
  struct tpo_error failed = {0};
  struct tpo_comm *comm = online->session->comm;
  int status = tpo_trainer_load(online->trainer, path, &failed);
  if (status == 0) status = tpo_comm_agree(comm, read_checkpoint_extra(online, path, &failed), &failed);
  if (status < 0)
    return tpo_fail(err, status, "%s (looked for because there is no state to go on from: %s)",
                    failed.message, why);
  if (tpo_comm_rank(comm) == 0)
    tpo_log(TPO_LOG_WARN, "%s; training goes on from %s, after %lld steps", why, path,
            (long long)online->done);
  return 0;
}

static int take_up(struct tpo_online *online, struct tpo_error *err)
{
  char *text = NULL, none[4400];
  bool falls_back = online->options.checkpoint;
  struct tpo_error damage = {0};
  int found = kept_training_take_up(&online->kept, online->options.drop_others, falls_back ? &damage : NULL,
                                    &text, err);
  if (found < 0 || (found == 0 && !falls_back)) return found;
  snprintf(none, sizeof none, "%s: no state of training is there", online->options.journal);
  if (found == 0) return take_up_checkpoint(online, damage.code < 0 ? damage.message : none, err);
  int status = read_extra(online, text, online->options.journal, err);
  online->kept.steps = online->done;
  free(text);
  return tpo_comm_agree(online->session->comm, status, err);
}

/* What its states are of: the model as it is opened, before any step, and the length of the schedule. */
static int work_lines(struct tpo_online *online, char **work, struct tpo_error *err)
{
  char *model = NULL;
  struct tpo_buf text = {0};
  int status = tpo_trainer_work(online->trainer, NULL, &model, err);
  if (status == 0) tpo_buf_printf(&text, "%srun.steps: %lld\n", model, (long long)online->total);
  free(model);
  if (status == 0 && text.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  status = tpo_comm_agree(online->session->comm, status, err);
  if (status < 0) tpo_buf_free(&text);
  *work = text.data;
  return status;
}

static int open_state(struct tpo_online *online, struct tpo_error *err)
{
  char *work = NULL;
  int status = work_lines(online, &work, err);
  if (status < 0) return status;
  status =
      kept_training_open(&online->kept, online->session, online->trainer, work, online->options.journal, err);
  return status < 0 ? status : take_up(online, err);
}

/* A pass without gradients may have all pairs that one sampling comes to, one of each prompt. */
static int open_trainer(struct tpo_online *online, struct tpo_error *err)
{
  const struct tpo_config *config = online->session->config;
  struct tpo_train_extent extent = {.pairs = (size_t)config->run.sync_steps * (size_t)config->train.batch};
  return tpo_trainer_open(&online->trainer, online->policy->model, online->session->comm, &config->train,
                          config->seed, &extent, err);
}

int tpo_online_open(struct tpo_online **out, const struct tpo_session *session, struct tpo_policy *policy,
                    const struct tpo_online_options *options, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_online *online = tpo_calloc(1, sizeof *online, err);
  char *journal = strdup(options->journal);
  int status = journal ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  status = tpo_comm_agree(session->comm, online ? status : TPO_E_MEMORY, err);
  if (status < 0) {
    free(journal);
    free(online);
    return status;
  }
  *online = (struct tpo_online){.session = session,
                                .policy = policy,
                                .options = *options,
                                .total = session->config->run.steps,
                                .mark = -1,
                                .mark_of = -1,
                                .last_loss = NAN};
  online->options.journal = online->journal = journal;
  status = open_trainer(online, err);
  if (status == 0) status = open_state(online, err);
  if (status < 0) {
    tpo_online_close(online);
    return status;
  }
  tpo_online_pause(online); /* sampling comes first */
  *out = online;
  return 0;
}

void tpo_online_close(struct tpo_online *online)
{
  if (!online) return;
  tpo_trainer_close(online->trainer);
  kept_training_close(&online->kept);
  free(online->journal);
  free(online);
}

int64_t tpo_online_done(const struct tpo_online *online)
{
  return online->done;
}

int64_t tpo_online_mark_of(const struct tpo_online *online)
{
  return online->mark_of;
}

void tpo_online_mark(struct tpo_online *online, int64_t mark)
{
  online->mark = mark;
}

void tpo_online_pause(struct tpo_online *online)
{
  tpo_trainer_pause(online->trainer);
  online->going = false;
}

static int keep_state(struct tpo_online *online, struct tpo_error *err)
{
  char *extra = NULL;
  int status = extra_text(online, &online->mark, &extra, err);
  if (status == 0) status = kept_training_keep(&online->kept, extra, true, online->done, err);
  free(extra);
  return status;
}

int tpo_online_keep(struct tpo_online *online, struct tpo_error *err)
{
  struct tpo_error why = {0};
  if (online->kept.steps == online->done) return 0;
  int status = keep_state(online, &why);
  if (status == 0) return 0;
  return tpo_fail(err, status, "%s; the state of training after %lld steps can't be kept", why.message,
                  (long long)online->done);
}

/* Within an interval training can go on where there is no room. */
static int keep_when_due(struct tpo_online *online, struct tpo_error *err)
{
  bool due;
  struct tpo_error why = {0};
  int status = kept_training_due(&online->kept, online->done, &due, err);
  if (status < 0 || !due) return status;
  status = keep_state(online, &why);
  return kept_training_warn(&online->kept, status, &why, online->done, err);
}

static void tell_steps(const struct tpo_online *online)
{
  char note[40] = "";
  if (!isnan(online->last_loss)) snprintf(note, sizeof note, "loss %.4f", online->last_loss);
  tpo_session_tell(online->session, &(struct tpo_progress){.phase = "training",
                                                           .unit = "steps",
                                                           .done = (double)online->done,
                                                           .total = (double)online->total,
                                                           .note = note});
}

/* A step whose prompts made no pair. */
static int skip(const struct tpo_online *online, struct tpo_train_metrics *metrics, struct tpo_error *err)
{
  *metrics = (struct tpo_train_metrics){
      .step = online->done,
      .lr = tpo_train_lr(&online->session->config->train, online->done, online->total),
      .loss = NAN,
      .accuracy = NAN,
      .margin = NAN,
      .chosen_logprob = NAN,
      .rejected_logprob = NAN,
      .grad_norm = NAN,
  };
  return tpo_comm_agree(online->session->comm, tpo_stopped(NULL, err), err);
}

int tpo_online_step(struct tpo_online *online, const struct tpo_pairs *pairs,
                    struct tpo_train_metrics *metrics, struct tpo_error *err)
{
  if (online->done >= online->total)
    return tpo_fail(err, TPO_E_USAGE, "all %lld steps of the run are made", (long long)online->total);
  int status = keep_when_due(online, err);
  if (status < 0) return status;
  if (!online->going) tell_steps(online);
  if (pairs->n == 0)
    status = skip(online, metrics, err);
  else
    status = tpo_trainer_update(online->trainer, pairs, online->done, online->total, metrics, err);
  if (status < 0) return status;
  if (pairs->n > 0) online->last_loss = metrics->loss;
  online->done++;
  online->going = true;
  tell_steps(online);
  return 0;
}

int64_t tpo_online_kept(const struct tpo_online *online)
{
  return online->kept.steps;
}

int tpo_online_save(struct tpo_online *online, const char *path, struct tpo_error *err)
{
  char *extra = NULL;
  int status = extra_text(online, NULL, &extra, err);
  if (status == 0)
    status = tpo_trainer_save(online->trainer, path, online->policy->tokenizer, online->options.config_yaml,
                              extra, online->session->config->train.save_optimizer, err);
  free(extra);
  return status;
}

static int write_weights(const struct tpo_online *online, const char *path, struct tpo_error *err)
{
  struct tpo_checkpoint_writer *w = NULL;
  const char *yaml = online->options.config_yaml;
  int status = tpo_checkpoint_create(&w, path, yaml ? yaml : "", err);
  if (status == 0) status = tpo_model_save(online->policy->model, NULL, online->policy->tokenizer, w, err);
  if (status == 0) status = tpo_checkpoint_commit(w, err);
  tpo_checkpoint_writer_close(w);
  return status;
}

int tpo_online_save_weights(struct tpo_online *online, const char *path, struct tpo_error *err)
{
  struct tpo_comm *comm = online->session->comm;
  return tpo_comm_agree(comm, tpo_comm_rank(comm) == 0 ? write_weights(online, path, err) : 0, err);
}

int tpo_online_stop(struct tpo_online *online, int status, struct tpo_error *err)
{
  if (status != TPO_E_INTERRUPTED) return status;
  struct tpo_error why = {0};
  bool is_new = online->done != (online->kept.steps < 0 ? 0 : online->kept.steps);
  int keeping = is_new ? keep_state(online, &why) : 0;
  return kept_training_tell(&online->kept, status, keeping, &why, online->done, online->total, err);
}
