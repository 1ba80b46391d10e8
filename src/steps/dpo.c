/* Training over all epochs, with the best one kept, and a state file to go on from after an interruption. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "tpo/steps.h"

struct tpo_dpo {
  const struct tpo_session *session; /* borrowed, as all that follows but the trainer */
  struct tpo_policy *policy;
  const struct tpo_pairs *pairs;
  struct tpo_dpo_options options;
  struct tpo_trainer *trainer;
  struct tpo_dpo_progress progress;
};

/* What is known here beside the trainer, kept in the state's JSON. */
static char *progress_json(const struct tpo_dpo_progress *p, int64_t mark)
{
  json_t *o = json_pack("{s:i, s:i, s:I, s:f, s:f, s:I}", "epochs_done", p->epochs_done, "best_epoch",
                        p->best_epoch, "steps_done", (json_int_t)p->steps, "first_loss", p->first_loss,
                        "last_loss", p->last_loss, "mark", (json_int_t)mark);
  if (o && !isnan(p->best_score)) json_object_set_new(o, "best_score", json_real(p->best_score));
  char *text = o ? tpo_json_dump(o) : NULL;
  json_decref(o);
  return text;
}

static int read_progress(const char *path, struct tpo_dpo_progress *p, struct tpo_error *err)
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
  if (status == 0) status = tpo_json_get_int(o, "steps_done", 0, INT64_MAX, &p->steps, path, err);
  if (status == 0) status = tpo_json_get_double(o, "best_score", &p->best_score, path, err);
  if (status == 0) status = tpo_json_get_double(o, "first_loss", &p->first_loss, path, err);
  if (status == 0) status = tpo_json_get_double(o, "last_loss", &p->last_loss, path, err);
  if (status == 0) status = tpo_json_get_int(o, "mark", -1, INT64_MAX, &p->mark, path, err);
  json_decref(o);
  p->epochs_done = (int)done;
  p->best_epoch = (int)best;
  return status;
}

static int save(struct tpo_dpo *dpo, const char *path, int64_t mark, bool with_optimizer,
                struct tpo_error *err)
{
  char *extra = progress_json(&dpo->progress, mark);
  int status = extra ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  status = tpo_comm_agree(dpo->session->comm, status, err);
  if (status == 0)
    status = tpo_trainer_save(dpo->trainer, path, dpo->policy->tokenizer, dpo->options.config_yaml, extra,
                              with_optimizer, err);
  free(extra);
  return status;
}

/* Goes on from the state file when there is one, and the best checkpoint that it speaks of. */
static int take_up_state(struct tpo_dpo *dpo, struct tpo_error *err)
{
  const struct tpo_dpo_options *options = &dpo->options;
  struct tpo_comm *comm = dpo->session->comm;
  double missing = !options->state || !tpo_file_exists(options->state) || !tpo_file_exists(options->out);
  int status = tpo_comm_allreduce_max_f64(comm, &missing, 1, err);
  if (status < 0 || missing > 0) return status;
  status = tpo_trainer_load(dpo->trainer, options->state, err);
  if (status == 0) status = read_progress(options->state, &dpo->progress, err);
  return tpo_comm_agree(comm, status, err);
}

/* Optimizer steps of all epochs. */
static void tell_steps(const struct tpo_dpo *dpo)
{
  const struct tpo_dpo_progress *p = &dpo->progress;
  int epochs = dpo->session->config->train.epochs;
  int64_t per_epoch = tpo_trainer_steps_per_epoch(dpo->trainer, dpo->pairs->n);
  int64_t epoch = per_epoch > 0 && p->steps > 0 ? (p->steps - 1) / per_epoch + 1 : 1;
  char note[64];
  int len = snprintf(note, sizeof note, "epoch %lld of %d", (long long)epoch, epochs);
  if (p->steps > 0) snprintf(note + len, sizeof note - (size_t)len, ", loss %.4f", p->last_loss);
  tpo_session_tell(dpo->session, &(struct tpo_progress){.phase = "training",
                                                        .unit = "steps",
                                                        .done = (double)p->steps,
                                                        .total = (double)per_epoch * epochs,
                                                        .note = note});
}

int tpo_dpo_open(struct tpo_dpo **out, const struct tpo_session *session, struct tpo_policy *policy,
                 const struct tpo_pairs *pairs, const struct tpo_dpo_options *options, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_dpo *dpo = tpo_calloc(1, sizeof *dpo, err);
  int status = tpo_comm_agree(session->comm, dpo ? 0 : TPO_E_MEMORY, err);
  if (status == 0) {
    *dpo = (struct tpo_dpo){.session = session,
                            .policy = policy,
                            .pairs = pairs,
                            .options = *options,
                            .progress = {.mark = -1, .best_score = NAN}};
    status = tpo_trainer_open(&dpo->trainer, policy->model, session->comm, &session->config->train,
                              session->config->seed, err);
  }
  if (status == 0) status = take_up_state(dpo, err);
  if (status < 0) {
    tpo_dpo_close(dpo);
    return status;
  }
  tell_steps(dpo);
  *out = dpo;
  return 0;
}

void tpo_dpo_close(struct tpo_dpo *dpo)
{
  if (!dpo) return;
  tpo_trainer_close(dpo->trainer);
  free(dpo);
}

const struct tpo_dpo_progress *tpo_dpo_progress(const struct tpo_dpo *dpo)
{
  return &dpo->progress;
}

int tpo_dpo_step(struct tpo_dpo *dpo, struct tpo_train_metrics *metrics, struct tpo_error *err)
{
  struct tpo_dpo_progress *p = &dpo->progress;
  int status = tpo_trainer_step(dpo->trainer, dpo->pairs, p->epochs_done, metrics, err);
  if (status != 1) return status;
  if (p->steps == 0) p->first_loss = metrics->loss;
  p->last_loss = metrics->loss;
  p->steps++;
  tell_steps(dpo);
  return 1;
}

int tpo_dpo_end_epoch(struct tpo_dpo *dpo, double score, int64_t mark, struct tpo_error *err)
{
  const struct tpo_train_config *train = &dpo->session->config->train;
  struct tpo_dpo_progress *p = &dpo->progress;
  int status = 0;
  p->epochs_done++;
  if (isnan(score) || isnan(p->best_score) || score > p->best_score) {
    p->best_epoch = p->epochs_done;
    p->best_score = score;
    status = save(dpo, dpo->options.out, -1, train->save_optimizer, err);
  }
  if (status == 0 && dpo->options.state && p->epochs_done < train->epochs)
    status = save(dpo, dpo->options.state, mark, true, err);
  if (status == 0 && p->epochs_done < train->epochs) tell_steps(dpo); /* goes on after a validation */
  return status;
}
