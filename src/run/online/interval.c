/* The work of an interval: its segments one after the other, then its files and its checkpoint. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "run/online/online.h"
#include "store/journal/journal.h"
#include "tpo/steps.h"

void online_set_interval(struct online *o)
{
  const struct tpo_run_config *run = &o->loop->config->run;
  int64_t interval = tpo_run_interval(run);
  o->first = (int64_t)(o->loop->iteration - 1) * interval;
  o->end = o->first + interval < run->steps ? o->first + interval : run->steps;
}

void online_close(struct online *o)
{
  if (!o) return;
  tpo_online_close(o->training);
  journal_close(o->journal);
  window_free(&o->window);
  free(o);
}

void online_forget(const struct loop *loop)
{
  char path[4096];
  struct tpo_error err = {0};
  if (!tpo_run_in_steps(&loop->config->run) || loop_path(loop, -1, ONLINE_STATE, path, &err) < 0) return;
  online_drop_references(loop, -1);
  if (tpo_dpo_forget(path, &err) < 0) tpo_log(TPO_LOG_WARN, "%s; it is no longer needed", err.message);
}

/* Training is of the start model, which is open, and puts the weights of its state in the place of those. */
static int open_training(struct online *o, struct tpo_error *err)
{
  char path[4096];
  struct loop *loop = o->loop;
  const struct tpo_online_options options = {
      .journal = o->folder, .config_yaml = loop->config_yaml, .checkpoint = o->first > 0 ? path : NULL};
  int status = loop_path(loop, -1, ONLINE_STATE, o->folder, err);
  if (status == 0) status = loop_policy_path(loop, loop->iteration, path, err);
  if (status == 0) status = tpo_online_open(&o->training, loop->session, &loop->policy, &options, err);
  if (status < 0) return status;
  return loop_weights_are(loop, tpo_online_done(o->training) == o->first ? path : NULL, err);
}

/* The state is one of this interval: what came before is done, and what comes is sampled with its weights. */
static int check_state(const struct online *o, struct tpo_error *err)
{
  int64_t done = tpo_online_done(o->training);
  if (done >= o->first && done <= o->end) return 0;
  return tpo_fail(err, TPO_E_STATE,
                  "%s/" ONLINE_STATE
                  " has the state of training after %lld steps; this run goes on behind step %lld, "
                  "and can't without it",
                  o->loop->config->run.dir, (long long)done, (long long)o->first);
}

static int open_online(struct loop *loop, struct tpo_error *err)
{
  int status = loop_use_policy(loop, 1, err);
  if (status < 0) return status;
  struct online *o = tpo_calloc(1, sizeof *o, err);
  status = loop_agree(loop, o ? 0 : TPO_E_MEMORY, err);
  if (status < 0) {
    free(o);
    return status;
  }
  o->loop = loop;
  o->told = tpo_seconds();
  loop->online = o;
  online_set_interval(o);
  status = open_training(o, err);
  if (status == 0) status = loop_agree(loop, check_state(o, err), err);
  return status < 0 ? status : online_recall(o, err);
}

/* Events behind those that the state of training goes on from are cut off. */
static int cut_events(const struct online *o, struct tpo_error *err)
{
  struct loop *loop = o->loop;
  int64_t recorded = loop->first ? manifest_metrics_size(&loop->manifest) : 0,
          mark = tpo_online_mark_of(o->training);
  return loop->first ? loop_cut_metrics(loop, mark > recorded ? mark : recorded, err) : 0;
}

/* What it takes to begin, or go on with, the interval. */
static int begin(struct online *o, struct tpo_error *err)
{
  struct loop *loop = o->loop;
  online_set_interval(o);
  int status = cut_events(o, err);
  if (status == 0 && loop->first) status = loop_choose_instructions(loop, &loop->prompts, err);
  if (status == 0 && loop->first) status = online_journal_open(o, err);
  status = loop_agree(loop, status, err);
  return status < 0 ? status : loop_share_instructions(loop, &loop->prompts, err);
}

static int run_segments(struct online *o, struct tpo_error *err)
{
  int status = 0;
  for (int64_t first = o->first; first < o->end && status == 0; first += o->loop->config->run.sync_steps) {
    struct segment s;
    status = loop_agree(o->loop, tpo_stopped(NULL, err), err);
    if (status < 0) break;
    status = online_segment(o, first, &s, err);
    if (status == 0) status = online_train(o, &s, err);
    if (status == 0) status = loop_agree(o->loop, window_add(o, &s.samples, err), err);
    segment_free(&s);
  }
  if (status == 0 && tpo_online_done(o->training) != o->end)
    status = tpo_fail(err, TPO_E_STATE, "%s/" ONLINE_STATE " is ahead of the samples that are kept",
                      o->loop->config->run.dir);
  return status;
}

/* Without it a later attempt would stand behind the interval with weights of before. Where it can't be kept nothing of
 * the interval is written, and its journal has all that a later attempt needs. */
/* What the next interval goes on from; behind the last there is none, and a run killed before its files stand trains its
 * steps again. */
static int keep_state(struct online *o, struct tpo_error *err)
{
  double begin = tpo_seconds();
  if (o->end == o->loop->config->run.steps) return 0;
  int status = tpo_online_keep(o->training, err);
  o->timing.state_seconds = tpo_seconds() - begin;
  return status;
}

static int save_checkpoint(struct online *o, struct tpo_error *err)
{
  char path[4096];
  double begin = tpo_seconds();
  int status = loop_path(o->loop, o->loop->iteration, "checkpoint.h5", path, err);
  if (status == 0) status = tpo_online_save(o->training, path, err);
  if (status == 0) status = loop_weights_are(o->loop, path, err);
  o->timing.checkpoint_seconds = tpo_seconds() - begin;
  if (o->loop->first) loop_tell_notice(o->loop, &o->timing, 0);
  return status;
}

/* Of the models that sampled the interval to the start model. */
static int measure_distance(struct loop *loop, struct tpo_error *err)
{
  struct tpo_samples outputs = {0};
  if (loop->config->run.kl_outputs == 0) return 0;
  int status = loop_choose_outputs(loop, &outputs, err);
  if (status == 0) status = loop_measure_distances(loop, &outputs, err);
  loop_rest_models(loop, loop->online->end < loop->config->run.steps);
  tpo_samples_free(&outputs);
  return status;
}

/* The interval is trained: the state, then files, the checkpoint and what is told of them. */
static int finish(struct online *o, struct tpo_error *err)
{
  tpo_online_pause(o->training);
  int status = keep_state(o, err);
  if (status == 0) status = online_write_files(o, err);
  if (status == 0) status = save_checkpoint(o, err);
  return status < 0 ? status : measure_distance(o->loop, err);
}

static void end(struct online *o)
{
  struct loop *loop = o->loop;
  journal_close(o->journal);
  o->journal = NULL;
  tpo_samples_free(&loop->samples);
  tpo_pairs_free(&loop->pairs);
  tpo_instructions_free(&loop->prompts);
}

int step_steps(struct loop *loop, struct tpo_error *err)
{
  int status = loop->online ? 0 : open_online(loop, err);
  struct online *o = loop->online;
  if (status == 0) status = begin(o, err);
  if (status == 0) status = run_segments(o, err);
  if (status == 0) status = finish(o, err);
  if (o && o->training && status < 0) status = tpo_online_stop(o->training, status, err);
  if (o) end(o);
  if (status < 0 || o->end < loop->config->run.steps) return status;
  online_close(o); /* validation of the last model has its memory */
  loop->online = NULL;
  return 0;
}
