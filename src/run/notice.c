/* notice.json: how long before a job is ended the run must be told to stop, from what it has measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "run/loop.h"

/* Twice what was measured: a file system that others use too, and a step longer than those so far. */
static int64_t seconds_of(const struct notice *n)
{
  return (int64_t)ceil(2 * (n->step + n->state + n->checkpoint));
}

static int write_notice(const struct loop *loop, struct tpo_error *err)
{
  const struct notice *n = &loop->notice;
  char path[4096];
  json_t *o = json_pack("{s:I, s:f, s:f, s:f}", "seconds", (json_int_t)seconds_of(n), "step", n->step,
                        "state", n->state, "checkpoint", n->checkpoint);
  char *text = o ? tpo_json_dump(o) : NULL;
  int status =
      text ? loop_path(loop, -1, LOOP_NOTICE, path, err) : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status == 0) status = tpo_write_file(path, text, strlen(text), err);
  free(text);
  json_decref(o);
  return status;
}

void loop_read_notice(struct loop *loop)
{
  enum { MOST = 1 << 16 };
  char path[4096];
  struct tpo_error ignored = {0}; /* what isn't there or can't be read is measured again */
  if (loop_path(loop, -1, LOOP_NOTICE, path, &ignored) < 0 || !tpo_is_regular(path)) return;
  struct notice read = {0};
  json_t *o = tpo_json_load(path, MOST, &ignored);
  bool good = o && tpo_json_get_double(o, "step", &read.step, path, &ignored) == 0 &&
              tpo_json_get_double(o, "state", &read.state, path, &ignored) == 0 &&
              tpo_json_get_double(o, "checkpoint", &read.checkpoint, path, &ignored) == 0;
  json_decref(o);
  const double most = 1e6;
  good = good && read.step >= 0 && read.step < most && read.state >= 0 && read.state < most &&
         read.checkpoint >= 0 && read.checkpoint < most;
  if (!good) return;
  read.told = seconds_of(&read);
  loop->notice = read;
}

/* A measurement that is the first of its kind, or a quarter's change: the file is not written again after each
 * step. */
static bool is_news(const struct notice *n, const struct notice *before)
{
  bool is_first = (n->state > 0 && before->state == 0) || (n->checkpoint > 0 && before->checkpoint == 0);
  return is_first || 4 * llabs(seconds_of(n) - n->told) > n->told;
}

void loop_tell_notice(struct loop *loop, const struct tpo_dpo_progress *progress, double step_seconds)
{
  struct notice *n = &loop->notice, before = *n;
  struct tpo_error why = {0};
  if (step_seconds > n->step) n->step = step_seconds;
  if (progress->state_seconds > 0) n->state = progress->state_seconds;
  if (progress->checkpoint_seconds > 0) n->checkpoint = progress->checkpoint_seconds;
  if (!is_news(n, &before)) return;
  n->told = seconds_of(n); /* also where it can't be written: one warning is enough */
  if (write_notice(loop, &why) < 0)
    tpo_log(TPO_LOG_WARN, "%s; who ends this run does not learn how long before it must be told",
            why.message);
}
