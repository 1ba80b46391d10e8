/* Which model the references of a segment are of. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "run/online/online.h"

#define REFERENCE "reference-%lld.h5" /* behind so many steps, in the state's folder */

/* The step behind which the reference of the segment at `first` has its weights. */
static int64_t reference_step(const struct online *o, int64_t first)
{
  const struct tpo_run_config *run = &o->loop->config->run;
  switch (run->reference) {
  case TPO_REFERENCE_START: return 0;
  case TPO_REFERENCE_PREVIOUS: return o->first;
  case TPO_REFERENCE_EVERY: return first / run->reference_every * run->reference_every;
  }
  return 0;
}

bool online_references_differ(const struct online *o)
{
  int64_t last =
      o->first + (o->end - o->first - 1) / o->loop->config->run.sync_steps * o->loop->config->run.sync_steps;
  return reference_step(o, o->first) != reference_step(o, last);
}

/* The file that has the weights after so many steps: the start model, a checkpoint, or one beside the state. */
static int weights_path(const struct online *o, int64_t step, char out[4096], struct tpo_error *err)
{
  char name[64];
  int interval = tpo_run_interval(&o->loop->config->run);
  if (step % interval == 0) return loop_policy_path(o->loop, (int)(step / interval) + 1, out, err);
  snprintf(name, sizeof name, ONLINE_STATE "/" REFERENCE, (long long)step);
  return loop_path(o->loop, -1, name, out, err);
}

int online_reference_model(struct online *o, int64_t first, struct tpo_model **out, struct tpo_error *err)
{
  char path[4096];
  int64_t step = reference_step(o, first);
  *out = o->loop->policy.model;
  if (step == first) return 0;
  int status = weights_path(o, step, path, err);
  return status < 0 ? status : loop_reference_model(o->loop, path, out, err);
}

int online_reference_beside(struct online *o, int64_t first, struct tpo_model **out, struct tpo_error *err)
{
  *out = NULL;
  if (reference_step(o, first) != first && !o->loop->keeps_other) return 0;
  return online_reference_model(o, first, out, err);
}

void online_drop_references(const struct loop *loop, int64_t but_step)
{
  char folder[4096];
  DIR *dir = loop_path(loop, -1, ONLINE_STATE, folder, NULL) < 0 ? NULL : opendir(folder);
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    long long step;
    int len = 0;
    if (sscanf(entry->d_name, REFERENCE "%n", &step, &len) != 1 || len == 0 || entry->d_name[len] != '\0')
      continue;
    if (step != but_step) unlinkat(dirfd(dir), entry->d_name, 0);
  }
  if (dir) closedir(dir);
}

/* Whether a later segment needs the weights behind step `done` from a file: one that begins there has them in the policy,
 * and from N steps on others are the reference. */
static bool is_read(const struct tpo_run_config *run, int64_t done)
{
  bool in_checkpoint = done % tpo_run_interval(run) == 0 || done == run->steps;
  return !in_checkpoint && run->sync_steps < run->reference_every && done + run->sync_steps < run->steps;
}

int online_keep_reference(struct online *o, int64_t done, struct tpo_error *err)
{
  const struct tpo_run_config *run = &o->loop->config->run;
  char path[4096];
  if (run->reference != TPO_REFERENCE_EVERY || done % run->reference_every != 0) return 0;
  if (done != tpo_online_done(o->training)) return 0; /* its weights are no longer here */
  int status = weights_path(o, done, path, err);
  if (status == 0 && is_read(run, done)) status = tpo_online_save_weights(o->training, path, err);
  if (status == 0 && o->loop->first) online_drop_references(o->loop, done);
  return status;
}
