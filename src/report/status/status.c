/* Gathers what a run's files say. Nothing here may be trusted: the run may be killed, or of another version. */
#include "report/load.h"
#include "report/status/status.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "tpo/report.h"

enum { MOST_JSON = 64 << 20, MOST_STATUS = 1 << 16, TAIL = 1 << 16, MOST_MESSAGE = 2000 };

double status_age(const char *path, double now)
{
  struct stat info;
  if (stat(path, &info) < 0) return NAN;
  return now - ((double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec);
}

static void set_number(json_t *facts, const char *key, double value)
{
  if (isfinite(value)) json_object_set_new(facts, key, json_real(value));
}

static json_t *load(const char *dir, const char *name, size_t most)
{
  char path[4096];
  json_t *o = NULL;
  struct tpo_error ignored = {0};
  if (tpo_path_join(path, sizeof path, dir, name, NULL) == 0 && tpo_is_regular(path))
    o = tpo_json_load(path, most, &ignored);
  if (o && !json_is_object(o)) {
    json_decref(o);
    o = NULL;
  }
  return o;
}

/* Names and numbers of the right types alone are taken over. */
static void take_over(json_t *facts, const json_t *from, const char *const *keys, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    json_t *value = json_object_get(from, keys[i]);
    bool fits = json_is_number(value) ? isfinite(json_number_value(value))
                                      : json_is_string(value) && json_string_length(value) <= MOST_MESSAGE;
    if (fits) json_object_set(facts, keys[i], value);
  }
}

/* Units a second since the phase began, and what is left at that rate. */
static void set_rate(json_t *facts, const json_t *status)
{
  double done = report_number(status, "done"), total = report_number(status, "total");
  double rate = (done - report_number(status, "first")) /
                (report_number(status, "time") - report_number(status, "began"));
  if (!isfinite(rate) || rate <= 0) return;
  set_number(facts, "rate", rate);
  if (total > 0 && done <= total) set_number(facts, "seconds_left", (total - done) / rate);
}

static void of_status(json_t *facts, const char *dir, double now)
{
  static const char *const keys[] = {"iteration", "iterations", "ranks", "phase", "unit",
                                     "done",      "total",      "note",  "ended", "message"};
  json_t *status = load(dir, "status.json", MOST_STATUS);
  if (!status) return;
  take_over(facts, status, keys, sizeof keys / sizeof *keys);
  set_number(facts, "updated", now - report_number(status, "time"));
  set_rate(facts, status);
  json_decref(status);
}

/* The last checkpoint among a step's files. */
static const char *checkpoint_of(const json_t *step)
{
  const json_t *file, *files = json_object_get(step, "files");
  size_t i;
  json_array_foreach(files, i, file)
  {
    const char *path = json_string_value(json_object_get(file, "path"));
    size_t len = path ? strlen(path) : 0;
    if (len > 14 && strncmp(path, "iter-", 5) == 0 && strcmp(path + len - 14, "/checkpoint.h5") == 0 &&
        !strstr(path, ".."))
      return path;
  }
  return NULL;
}

static void set_checkpoint(json_t *facts, const char *dir, const char *name, double now)
{
  char path[4096];
  if (!name || tpo_path_join(path, sizeof path, dir, name, NULL) < 0) return;
  json_object_set_new(facts, "checkpoint", tpo_json_visible(path));
  set_number(facts, "checkpoint_age", status_age(path, now));
}

static void of_manifest(json_t *facts, const char *dir, double now)
{
  static const char *const keys[] = {"iteration", "step"};
  json_t *manifest = load(dir, "manifest.json", MOST_JSON);
  const json_t *steps = json_object_get(manifest, "steps"), *step = NULL;
  const char *checkpoint = NULL;
  double seconds = 0;
  size_t i;
  json_array_foreach(steps, i, step)
  {
    const char *found = checkpoint_of(step);
    if (found) checkpoint = found;
    if (isfinite(report_number(step, "seconds"))) seconds += report_number(step, "seconds");
  }
  step = json_array_get(steps, json_array_size(steps) - 1);
  if (json_array_size(steps) > 0 && json_is_object(step)) {
    json_t *last = json_object();
    take_over(last, step, keys, 2);
    json_object_set_new(facts, "finished", last);
    set_number(facts, "finished_seconds", seconds);
  }
  set_checkpoint(facts, dir, checkpoint, now);
  json_object_set_new(facts, "complete", json_boolean(json_is_true(json_object_get(manifest, "done"))));
  json_decref(manifest);
}

/* The last whole line of the file's end that is an event. */
static json_t *last_event(const char *text, size_t len)
{
  json_t *event = NULL;
  while (len > 0 && text[len - 1] != '\n') len--; /* a line that is being written */
  while (len > 0 && !event) {
    size_t end = --len; /* at its newline */
    while (len > 0 && text[len - 1] != '\n') len--;
    event = tpo_json_parse(text + len, end - len, "line", NULL);
    if (json_is_string(json_object_get(event, "event"))) break;
    json_decref(event);
    event = NULL;
  }
  return event;
}

/* The file's end; not mapped, since a run that is taken up may cut the file meanwhile. The bytes that were read. */
static size_t read_tail(const char *path, char *text, size_t most)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  ssize_t n = -1;
  if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
    n = pread(fd, text, most, info.st_size > (off_t)most ? info.st_size - (off_t)most : 0);
  if (fd >= 0) close(fd);
  return n > 0 ? (size_t)n : 0;
}

static void of_metrics(json_t *facts, const char *dir, double now)
{
  static const char *const keys[] = {"event", "iteration", "step", "loss", "mean_score"};
  char path[4096], *text = malloc(TAIL);
  json_t *event = NULL;
  if (text && tpo_path_join(path, sizeof path, dir, "metrics.jsonl", NULL) == 0 && tpo_is_regular(path))
    event = last_event(text, read_tail(path, text, TAIL));
  free(text);
  if (!event) return;
  json_t *last = json_object();
  take_over(last, event, keys, sizeof keys / sizeof *keys);
  set_number(last, "age", now - report_number(event, "time"));
  json_object_set_new(facts, "last_event", last);
  json_decref(event);
}

/* From what the others found: the owner's file goes when a run ends, whatever way, unless it is killed. */
static void set_state(json_t *facts)
{
  const char *ended = json_string_value(json_object_get(facts, "ended"));
  const char *owner = json_string_value(json_object_get(facts, "owner_state"));
  const char *state = owner                                              ? owner
                      : json_is_true(json_object_get(facts, "complete")) ? "finished"
                      : ended && strcmp(ended, "done") != 0              ? ended
                                                                         : "not running";
  json_object_set_new(facts, "state", json_string(state)); /* which may be the owner's own text */
  json_object_del(facts, "owner_state");
  state = json_string_value(json_object_get(facts, "state"));
  if (state && strcmp(state, "working") == 0) return;
  json_object_del(facts, "rate"); /* of work that nobody does */
  json_object_del(facts, "seconds_left");
}

json_t *status_facts(const char *dir, double now)
{
  json_t *facts = json_pack("{s:o}", "run", tpo_json_visible(dir));
  if (!facts) return NULL;
  of_manifest(facts, dir, now);
  of_status(facts, dir, now);
  of_metrics(facts, dir, now);
  status_of_owner(facts, dir, now);
  status_of_ranks(facts, dir);
  status_of_training(facts, dir, now);
  set_state(facts);
  return facts;
}

static int check_is_run(const char *dir, struct tpo_error *err)
{
  static const char *const any_of[] = {"manifest.json", "metrics.jsonl", "config.yaml", "owner.json",
                                       "status.json"};
  char path[4096];
  int found = tpo_look_for(dir, err);
  if (found < 0) return found;
  if (!tpo_is_dir(dir))
    return tpo_fail(err, TPO_E_USAGE, "%s: expected the folder of a run%s", dir,
                    found == 0 ? "; there is none of this name" : "");
  for (size_t i = 0; i < sizeof any_of / sizeof *any_of; i++) {
    int status = tpo_path_join(path, sizeof path, dir, any_of[i], err);
    if (status == 0) status = tpo_look_for(path, err);
    if (status != 0) return status < 0 ? status : 0;
  }
  return tpo_fail(
      err, TPO_E_USAGE,
      "%s: not the folder of a run: it has no manifest.json, metrics.jsonl, config.yaml, owner.json or status.json",
      dir);
}

int tpo_run_status(const char *run_dir, bool json, char **out, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  int status = check_is_run(run_dir, err);
  if (status < 0) return status;
  json_t *facts = status_facts(run_dir, tpo_wall_seconds());
  if (facts && !json)
    status_text(facts, &text);
  else if (facts) {
    char *dumped = tpo_json_dump(facts);
    tpo_buf_printf(&text, "%s\n", dumped ? dumped : "");
    text.failed |= !dumped;
    free(dumped);
  }
  json_decref(facts);
  if (facts && !text.failed && (*out = tpo_buf_take(&text))) return 0;
  tpo_buf_free(&text);
  return tpo_fail(err, TPO_E_MEMORY, "out of memory");
}
