/* Training over all epochs, with the best one kept, and a state to go on from after an interruption. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "steps/dpo_files.h"
#include "steps/kept_training.h"

struct tpo_dpo {
  const struct tpo_session *session; /* borrowed, as all that follows but the trainer */
  struct tpo_policy *policy;
  const struct tpo_pairs *pairs;
  struct tpo_dpo_options options;
  struct tpo_trainer *trainer;
  struct tpo_dpo_progress progress;
  struct kept_training kept; /* in the journal's folder */
  int kept_epochs;           /* of the state that stands there */
  int64_t mark;              /* for the next state */
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

static int read_progress(const char *text, const char *place, struct tpo_dpo_progress *p,
                         struct tpo_error *err)
{
  json_t *o = tpo_json_parse(text, strlen(text), place, err);
  if (!o) return TPO_E_INPUT;
  int64_t done = 0, best = 0;
  int status = tpo_json_get_int(o, "epochs_done", 0, 1 << 20, &done, place, err);
  if (status == 0) status = tpo_json_get_int(o, "best_epoch", 0, 1 << 20, &best, place, err);
  if (status == 0) status = tpo_json_get_int(o, "steps_done", 0, INT64_MAX, &p->steps, place, err);
  if (status == 0) status = tpo_json_get_double(o, "best_score", &p->best_score, place, err);
  if (status == 0) status = tpo_json_get_double(o, "first_loss", &p->first_loss, place, err);
  if (status == 0) status = tpo_json_get_double(o, "last_loss", &p->last_loss, place, err);
  if (status == 0) status = tpo_json_get_int(o, "mark", -1, INT64_MAX, &p->mark, place, err);
  json_decref(o);
  p->epochs_done = (int)done;
  p->best_epoch = (int)best;
  return status;
}

static int best_path(const struct tpo_dpo *dpo, char out[4096], struct tpo_error *err)
{
  return dpo_best_path(out, dpo->options.journal, dpo->progress.best_epoch, err);
}

static int progress_text(struct tpo_dpo *dpo, int64_t mark, char **text, struct tpo_error *err)
{
  *text = progress_json(&dpo->progress, mark);
  return tpo_comm_agree(dpo->session->comm, *text ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory"), err);
}

static int save_best(struct tpo_dpo *dpo, struct tpo_error *err)
{
  char path[4096], *extra = NULL;
  double begin = tpo_seconds();
  int status = best_path(dpo, path, err);
  status = tpo_comm_agree(dpo->session->comm, status, err);
  if (status == 0) status = progress_text(dpo, -1, &extra, err);
  if (status == 0)
    status = tpo_trainer_save(dpo->trainer, path, dpo->policy->tokenizer, dpo->options.config_yaml, extra,
                              dpo->session->config->train.save_optimizer, err);
  free(extra);
  dpo->progress.checkpoint_seconds = tpo_seconds() - begin;
  return status;
}

/* The state as it is now; checkpoints that it doesn't speak of go. */
static int keep_state(struct tpo_dpo *dpo, struct tpo_error *err)
{
  char *extra = NULL;
  bool more = dpo->progress.epochs_done < dpo->session->config->train.epochs;
  int status = progress_text(dpo, dpo->mark, &extra, err);
  if (status == 0) status = kept_training_keep(&dpo->kept, extra, more, dpo->progress.steps, err);
  free(extra);
  if (status < 0) return status;
  dpo->progress.state_seconds = dpo->kept.seconds;
  dpo->kept_epochs = dpo->progress.epochs_done;
  if (tpo_comm_rank(dpo->session->comm) == 0) dpo_drop_files(dpo->options.journal, dpo->progress.best_epoch);
  return 0;
}

static int keep_or_warn(struct tpo_dpo *dpo, struct tpo_error *err)
{
  struct tpo_error why = {0};
  int status = keep_state(dpo, &why);
  return kept_training_warn(&dpo->kept, status, &why, dpo->progress.steps, err);
}

/* The best epoch's checkpoint is where the state says, or all was done and `out` has it. */
static int check_best(const struct tpo_dpo *dpo, struct tpo_error *err)
{
  char path[4096];
  const struct tpo_dpo_progress *p = &dpo->progress;
  if (p->best_epoch == 0) return 0;
  int status = best_path(dpo, path, err);
  if (status < 0 || tpo_file_exists(path)) return status;
  if (p->epochs_done == dpo->session->config->train.epochs && tpo_file_exists(dpo->options.out)) return 0;
  return tpo_fail(err, TPO_E_STATE, "%s is missing, which the state beside it needs; removing %s begins anew",
                  path, dpo->options.journal);
}

/* Goes on from the state in the folder when there is one. */
static int take_up_state(struct tpo_dpo *dpo, struct tpo_error *err)
{
  struct tpo_comm *comm = dpo->session->comm;
  char *text = NULL;
  int found = kept_training_take_up(&dpo->kept, dpo->options.drop_others, NULL, &text, err);
  if (found != 1) return found;
  int status = read_progress(text, dpo->options.journal, &dpo->progress, err);
  dpo->mark = dpo->progress.mark;
  dpo->kept.steps = dpo->progress.steps;
  dpo->kept_epochs = dpo->progress.epochs_done;
  if (status == 0) status = tpo_comm_rank(comm) == 0 ? check_best(dpo, err) : 0;
  free(text);
  return tpo_comm_agree(comm, status, err);
}

static int open_state(struct tpo_dpo *dpo, struct tpo_error *err)
{
  char *work = NULL;
  int status = tpo_trainer_work(dpo->trainer, dpo->pairs, &work, err);
  status = tpo_comm_agree(dpo->session->comm, status, err);
  if (status < 0) {
    free(work);
    return status;
  }
  status = kept_training_open(&dpo->kept, dpo->session, dpo->trainer, work, dpo->options.journal, err);
  if (status == 0) status = take_up_state(dpo, err);
  if (status == 0 && tpo_comm_rank(dpo->session->comm) == 0)
    dpo_drop_files(dpo->options.journal, dpo->progress.best_epoch);
  return status;
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
                            .mark = -1,
                            .progress = {.mark = -1, .best_score = NAN}};
    struct tpo_train_extent extent = tpo_train_extent(pairs);
    status = tpo_trainer_open(&dpo->trainer, policy->model, session->comm, &session->config->train,
                              session->config->seed, &extent, err);
  }
  if (status == 0) status = open_state(dpo, err);
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
  kept_training_close(&dpo->kept);
  free(dpo);
}

const struct tpo_dpo_progress *tpo_dpo_progress(const struct tpo_dpo *dpo)
{
  return &dpo->progress;
}

void tpo_dpo_mark(struct tpo_dpo *dpo, int64_t mark)
{
  dpo->mark = mark;
}

static int keep_when_due(struct tpo_dpo *dpo, struct tpo_error *err)
{
  bool due;
  int status = kept_training_due(&dpo->kept, dpo->progress.steps, &due, err);
  return status == 0 && due ? keep_or_warn(dpo, err) : status;
}

int tpo_dpo_step(struct tpo_dpo *dpo, struct tpo_train_metrics *metrics, struct tpo_error *err)
{
  struct tpo_dpo_progress *p = &dpo->progress;
  int status = keep_when_due(dpo, err);
  if (status == 0) status = tpo_trainer_step(dpo->trainer, dpo->pairs, p->epochs_done, metrics, err);
  if (status != 1) return status;
  if (p->steps == 0) p->first_loss = metrics->loss;
  p->last_loss = metrics->loss;
  p->steps++;
  tell_steps(dpo);
  return 1;
}

/* After a failure that all ranks agreed on: keeps the state, and adds to the message what is kept. */
static int keep_and_tell(struct tpo_dpo *dpo, int status, struct tpo_error *err)
{
  const struct tpo_dpo_progress *p = &dpo->progress;
  struct tpo_error why = {0};
  int64_t kept = dpo->kept.steps < 0 ? 0 : dpo->kept.steps;
  bool is_new = p->steps != kept || p->epochs_done != dpo->kept_epochs;
  int keeping = is_new ? keep_state(dpo, &why) : 0;
  int64_t total =
      tpo_trainer_steps_per_epoch(dpo->trainer, dpo->pairs->n) * dpo->session->config->train.epochs;
  return kept_training_tell(&dpo->kept, status, keeping, &why, p->steps, total, err);
}

int tpo_dpo_end_epoch(struct tpo_dpo *dpo, double score, int64_t mark, struct tpo_error *err)
{
  struct tpo_dpo_progress *p = &dpo->progress, before = *p;
  int status = 0;
  p->epochs_done++;
  if (isnan(score) || isnan(p->best_score) || score > p->best_score) {
    p->best_epoch = p->epochs_done;
    p->best_score = score;
    status = save_best(dpo, err);
  }
  if (status == TPO_E_IO) { /* no room: the epoch's end comes again */
    *p = before;
    return keep_and_tell(dpo, status, err);
  }
  dpo->mark = mark;
  if (status == 0) status = keep_or_warn(dpo, err);
  if (status == 0 && p->epochs_done < dpo->session->config->train.epochs)
    tell_steps(dpo); /* goes on after a validation */
  return status;
}

int tpo_dpo_finish(struct tpo_dpo *dpo, struct tpo_error *err)
{
  char best[4096];
  int status = best_path(dpo, best, err);
  /* Otherwise it was moved before this training was taken up. */
  if (status == 0 && tpo_comm_rank(dpo->session->comm) == 0 && tpo_file_exists(best))
    status = dpo_move(best, dpo->options.out, err);
  return tpo_comm_agree(dpo->session->comm, status, err);
}

int tpo_dpo_stop(struct tpo_dpo *dpo, int status, struct tpo_error *err)
{
  return status == TPO_E_INTERRUPTED ? keep_and_tell(dpo, status, err) : status;
}
