/* The folder of a training's states over the ranks: dpo.c's, epoch by epoch, and online.c's. */
#include "steps/kept_training.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/journal/journal.h"

static bool is_first(const struct kept_training *k)
{
  return tpo_comm_rank(k->session->comm) == 0;
}

int kept_training_open(struct kept_training *k, const struct tpo_session *session,
                       struct tpo_trainer *trainer, char *work, const char *folder, struct tpo_error *err)
{
  struct tpo_comm *comm = session->comm;
  *k = (struct kept_training){.session = session,
                              .trainer = trainer,
                              .folder = folder,
                              .work = work,
                              .lock = -1,
                              .at = tpo_seconds(),
                              .steps = -1};
  int status = journal_refuse_link(folder, err);
  if (status == 0 && is_first(k)) status = tpo_make_dirs(folder, err);
  if (status == 0 && is_first(k)) {
    status = journal_lock(folder, &k->lock, err);
    k->is_taken = status < 0;
  }
  status = tpo_comm_agree(comm, status, err);
  if (status == 0 && !tpo_is_dir(folder))
    status =
        tpo_fail(err, TPO_E_USAGE,
                 "%s: the folder that rank 0 made is not there; it must be on a file system that all ranks "
                 "see",
                 folder);
  return tpo_comm_agree(comm, status, err);
}

void kept_training_close(struct kept_training *k)
{
  if (!k->session) return;
  if (k->lock >= 0) close(k->lock);
  if (is_first(k) && !k->is_taken) rmdir(k->folder); /* where nothing is in it */
  free(k->work);
  *k = (struct kept_training){0};
}

/* Of a state that can't be gone on from. */
static int drop_state(const struct kept_training *k, const char *why, struct tpo_error *err)
{
  if (!is_first(k)) return 0;
  tpo_log(TPO_LOG_WARN, "%s; training begins anew", why);
  return tpo_trainer_forget(k->folder, err);
}

int kept_training_take_up(struct kept_training *k, bool drop_others, struct tpo_error *damage, char **text,
                          struct tpo_error *err)
{
  struct tpo_error why = {0};
  int found = tpo_trainer_take_up(k->trainer, k->folder, k->work, text, &why);
  if (found == TPO_E_INPUT && damage) {
    *damage = why;
    return 0;
  }
  bool drops = found == TPO_E_INPUT || (found == TPO_E_STATE && drop_others);
  if (drops) return tpo_comm_agree(k->session->comm, drop_state(k, why.message, err), err);
  int status = found < 0 ? tpo_fail(err, found, "%s", why.message) : 0;
  status = tpo_comm_agree(k->session->comm, status, err);
  if (status == 0) return found;
  free(*text);
  *text = NULL;
  return status;
}

int kept_training_keep(struct kept_training *k, const char *extra, bool weights, int64_t steps,
                       struct tpo_error *err)
{
  struct tpo_comm *comm = k->session->comm;
  double begin = tpo_seconds();
  tpo_comm_set_patient(comm, true);
  int status = tpo_trainer_keep(k->trainer, k->folder, k->work, extra, weights, err);
  tpo_comm_set_patient(comm, false);
  k->at = tpo_seconds();
  if (status < 0) return status;
  k->seconds = k->at - begin;
  k->steps = steps;
  return 0;
}

int kept_training_warn(const struct kept_training *k, int status, const struct tpo_error *why, int64_t steps,
                       struct tpo_error *err)
{
  if (status == 0) return 0;
  if (status != TPO_E_IO) return tpo_fail(err, status, "%s", why->message);
  if (is_first(k))
    tpo_log(TPO_LOG_WARN, "the state of training after %lld steps is not kept: %s", (long long)steps,
            why->message);
  return 0;
}

int kept_training_due(const struct kept_training *k, int64_t steps, bool *due, struct tpo_error *err)
{
  double minutes = k->session->config->train.state_minutes;
  *due = false;
  if (minutes == 0 || steps == 0 || steps == k->steps) return 0;
  double passed = is_first(k) && tpo_seconds() - k->at >= 60 * minutes;
  int status = tpo_comm_allreduce_max_f64(k->session->comm, &passed, 1, err);
  *due = status == 0 && passed > 0;
  return status;
}

int kept_training_tell(const struct kept_training *k, int status, int keeping, const struct tpo_error *why,
                       int64_t steps, int64_t total, struct tpo_error *err)
{
  struct tpo_error failed = *err;
  char kept[4400] = "";
  if (k->steps >= 0)
    snprintf(kept, sizeof kept, "; %lld of %lld steps are kept in %s", (long long)k->steps, (long long)total,
             k->folder);
  if (keeping < 0)
    tpo_fail(err, status, "%s; the state after %lld steps can't be kept: %s%s", failed.message,
             (long long)steps, why->message, kept);
  else
    tpo_fail(err, status, "%s%s", failed.message, kept);
  return tpo_comm_agree(k->session->comm, status, err);
}
