/* status.json: where the run stands, for `tpo status` on a host that sees no more of it than its folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/visible.h"
#include "run/loop.h"

enum { SECONDS_BETWEEN = 5 };

/* ended: "done", "stopped" or "failed"; NULL: it goes on. */
static json_t *status_json(const struct loop *loop, const char *ended, const char *message)
{
  const struct run_status *s = &loop->status;
  double now = tpo_wall_seconds();
  int iterations = tpo_run_iterations(&loop->config->run);
  int iteration =
      loop->iteration < iterations ? loop->iteration : iterations; /* beyond it once all are done */
  json_t *o = json_pack("{s:f, s:i, s:i, s:i}", "time", now, "iteration", iteration, "iterations", iterations,
                        "ranks", tpo_comm_size(loop->session->comm));
  bool whole = o != NULL;
  if (whole && *s->phase)
    whole = json_object_update_new(o, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:s}", "phase", s->phase,
                                                "unit", s->unit, "done", s->done, "total", s->total, "began",
                                                s->began, "first", s->first, "note", s->note)) == 0;
  if (whole && ended)
    whole = json_object_update_new(o, json_pack("{s:s, s:s}", "ended", ended, "message", message)) == 0;
  if (whole) return o;
  json_decref(o);
  return NULL;
}

/* Whole at any moment, but not brought to disk: it is of the moment, and there may be several phases a second. */
static int put_file(const char *path, const char *text, struct tpo_error *err)
{
  struct tpo_atomic file;
  int status = tpo_atomic_begin(&file, path, err);
  if (status < 0) return status;
  int fd = tpo_atomic_open(&file);
  bool written = fd >= 0 && tpo_write_all(fd, text, strlen(text)) == 0;
  if (fd >= 0) written = close(fd) == 0 && written;
  if (written && rename(file.temp_path, path) == 0) return 0;
  tpo_fail(err, TPO_E_IO, "%s: %m", path);
  tpo_atomic_abort(&file);
  return TPO_E_IO;
}

/* A run is not ended by a file that is for looking: one warning, then no more tries. */
static void write_status(struct loop *loop, const char *ended, const char *message)
{
  struct run_status *s = &loop->status;
  struct tpo_error why = {0};
  char path[4096];
  if (!s->open || s->failed) return;
  s->written = tpo_seconds();
  json_t *o = status_json(loop, ended, message);
  char *text = o ? tpo_json_dump(o) : NULL;
  int status =
      text ? loop_path(loop, -1, LOOP_STATUS, path, &why) : tpo_fail(&why, TPO_E_MEMORY, "out of memory");
  if (status == 0) status = put_file(path, text, &why);
  free(text);
  json_decref(o);
  s->failed = status < 0;
  if (s->failed) tpo_log(TPO_LOG_WARN, "%s; `tpo status` does not learn where this run stands", why.message);
}

/* As struct tpo_progress has it: a phase begins with its name, or again after its end or with less done. true: this
 * one does. */
static bool take(struct run_status *s, const struct tpo_progress *at)
{
  bool begins = strncmp(s->phase, at->phase, sizeof s->phase - 1) != 0 || at->done < s->done ||
                (s->total > 0 && s->done >= s->total && at->done < at->total);
  if (begins) {
    snprintf(s->phase, sizeof s->phase, "%s", at->phase);
    s->began = tpo_wall_seconds();
    s->first = at->done;
  }
  snprintf(s->unit, sizeof s->unit, "%s", at->unit);
  snprintf(s->note, sizeof s->note, "%s", at->note ? at->note : "");
  s->done = at->done;
  s->total = at->total;
  return begins;
}

static void on_progress(void *arg, const struct tpo_progress *at)
{
  struct loop *loop = arg;
  struct run_status *s = &loop->status;
  if (s->progress) s->progress(s->progress_arg, at);
  double now = tpo_seconds();
  if (take(s, at) || now - s->written >= SECONDS_BETWEEN) write_status(loop, NULL, "");
}

void loop_listen(struct loop *loop, struct tpo_session *session)
{
  if (!loop->first) return;
  loop->status.progress = session->progress;
  loop->status.progress_arg = session->progress_arg;
  session->progress = on_progress;
  session->progress_arg = loop;
}

void loop_begin_status(struct loop *loop)
{
  loop->status.open = loop->first;
  write_status(loop, NULL, ""); /* in the place of what an earlier attempt ended with */
}

void loop_end_status(struct loop *loop, int status, const struct tpo_error *err)
{
  char message[sizeof err->message] = "";
  if (!loop->first) return;
  if (err && status < 0)
    tpo_visible_copy(message, sizeof message, err->message); /* which may quote any bytes */
  write_status(loop, status == 0 ? "done" : status == TPO_E_INTERRUPTED ? "stopped" : "failed", message);
}
