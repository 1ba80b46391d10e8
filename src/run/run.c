/* The loop: which step comes next, the manifest behind each, and taking a run up again. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "config/keys.h"
#include "run/loop.h"
#include "run/online/online.h"
#include "run/watch/watch.h"
#include "steps/same.h"
#include "tpo/judge.h"
#include "tpo/report.h"

struct step {
  const char *name;
  int (*run)(struct loop *loop, struct tpo_error *err);
  /* what the manifest vouches for, within the iteration's folder or, with a /, the run's */
  const char *files[6];
};
enum { MOST_FILES = sizeof((struct step *)NULL)->files / sizeof(char *) };

static const struct step start_step = {
    "validate", step_validate, {"validation.h5", "/prompts/validation.jsonl"}};
static const struct step iteration_steps[] = {
    {"prompts", step_prompts, {"prompts.jsonl"}}, {"sample", step_sample, {"samples.h5"}},
    {"judge", step_judge, {"scored.h5"}},         {"pairs", step_pairs, {"pairs.h5"}},
    {"dpo", step_dpo, {"checkpoint.h5"}},         {"validate", step_validate, {"validation.h5"}},
};
/* Of a run in steps: sampling and training take turns within one. "steps" is the journal of it (online/). */
static const struct step interval_steps[] = {
    {"steps", step_steps, {"prompts.jsonl", "samples.h5", "scored.h5", "pairs.h5", "checkpoint.h5"}},
    {"validate", step_validate, {"validation.h5"}},
};

int loop_path(const struct loop *loop, int iteration, const char *name, char out[4096], struct tpo_error *err)
{
  char inner[512];
  if (iteration < 0) return tpo_path_join(out, 4096, loop->config->run.dir, name, err);
  snprintf(inner, sizeof inner, "iter-%03d/%s", iteration, name);
  return tpo_path_join(out, 4096, loop->config->run.dir, inner, err);
}

int loop_event(struct loop *loop, const char *name, json_t *fields, struct tpo_error *err)
{
  if (!loop->first) {
    json_decref(fields);
    return 0;
  }
  json_t *event = json_pack("{s:s, s:i, s:f}", "event", name, "iteration", loop->iteration, "time",
                            floor(10 * tpo_wall_seconds()) / 10);
  if (!fields || json_object_update(event, fields) < 0) {
    json_decref(event);
    event = NULL;
  }
  json_decref(fields);
  char *text = event ? tpo_json_dump(event) : NULL;
  json_decref(event);
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  int status = 0;
  if (fprintf(loop->metrics, "%s\n", text) < 0 || fflush(loop->metrics) != 0)
    status = tpo_fail(err, TPO_E_IO, "%s/metrics.jsonl: writing failed: %m", loop->config->run.dir);
  free(text);
  return status;
}

/* Asks rank 0's manifest, so that all ranks know. */
static int is_done(struct loop *loop, int iteration, const char *step, bool *done, struct tpo_error *err)
{
  double answer = loop->first && manifest_has(&loop->manifest, iteration, step);
  int status = tpo_comm_allreduce_max_f64(loop->session->comm, &answer, 1, err);
  *done = answer > 0;
  return status;
}

static int record(struct loop *loop, const struct step *step, double seconds, struct tpo_error *err)
{
  char names[MOST_FILES][64];
  const char *files[MOST_FILES + 1] = {0};
  for (int i = 0; i < MOST_FILES && step->files[i]; i++) {
    const char *name = step->files[i];
    snprintf(names[i], sizeof names[i], "iter-%03d/%s", loop->iteration, name);
    files[i] = *name == '/' ? name + 1 : names[i];
  }
  if (fsync(fileno(loop->metrics)) < 0)
    return tpo_fail(err, TPO_E_IO, "%s/metrics.jsonl: writing failed: %m", loop->config->run.dir);
  return manifest_add(&loop->manifest, loop->iteration, step->name, files, seconds, ftell(loop->metrics),
                      err);
}

static int run_step(struct loop *loop, const struct step *step, struct tpo_error *err)
{
  bool done;
  int status = is_done(loop, loop->iteration, step->name, &done, err);
  if (status < 0 || done) return status;
  double begin = tpo_seconds();
  tpo_log(TPO_LOG_DEBUG, "iteration %d: %s", loop->iteration, step->name);
  status = tpo_comm_agree(loop->session->comm, tpo_stopped(NULL, err), err);
  /* Events of a step that did not finish go; training, which may go on from an epoch, cuts its own. */
  if (status == 0 && loop->first && step->run != step_dpo && step->run != step_steps)
    status = loop_cut_metrics(loop, manifest_metrics_size(&loop->manifest), err);
  if (status == 0) status = step->run(loop, err);
  status = tpo_comm_agree(loop->session->comm, status, err);
  if (status == 0 && loop->first) status = record(loop, step, tpo_seconds() - begin, err);
  loop->worked = true;
  for (int i = 0; i < MOST_FILES && status == 0 && step->files[i]; i++)
    if (*step->files[i] != '/') loop_drop_journal(loop, step->files[i]);
  if (status == 0) loop_drop_journal(loop, step->name); /* "steps" has one */
  if (status == 0) status = loop_tensorboard(loop, err);
  return tpo_comm_agree(loop->session->comm, status, err);
}

/* Whether the interval's steps are under way: nothing of it is in the manifest before all of them are made. */
static bool is_begun(const struct loop *loop, int interval)
{
  char journal[4096];
  return loop_path(loop, interval, ONLINE_JOURNAL, journal, NULL) == 0 && tpo_is_dir(journal);
}

/* Whether a later iteration than loop's is half done, as rank 0's manifest has it. */
static int is_behind(struct loop *loop, bool *behind, struct tpo_error *err)
{
  const char *train = tpo_run_in_steps(&loop->config->run) ? "steps" : "dpo";
  const char *end = loop->config->data.validation_prompts > 0 ? "validate" : train;
  int last = loop->first ? manifest_last(&loop->manifest) : -1;
  double answer = last > loop->iteration && !manifest_has(&loop->manifest, last, end);
  if (loop->first && last >= loop->iteration && is_begun(loop, last + 1)) answer = 1;
  int status = tpo_comm_allreduce_max_f64(loop->session->comm, &answer, 1, err);
  *behind = answer > 0;
  return status;
}

/* What is watched, of all models so far that lack it: an entry that came with a later attempt is measured on
 * those before, too. Between two iterations only: within one, the step that is under way owns the end of
 * metrics.jsonl. A run that goes on for fewer iterations than were begun may so end with an entry that is not
 * measured, which the closing text tells. */
static int run_watches(struct loop *loop, struct tpo_error *err)
{
  bool behind;
  int n = loop->config->run.n_watch, last = loop->iteration;
  if (n == 0) return 0;
  int status = is_behind(loop, &behind, err);
  if (status < 0 || behind) return status;
  for (loop->iteration = 0; loop->iteration <= last && status == 0; loop->iteration++)
    for (loop->watching = 0; loop->watching < n && status == 0; loop->watching++) {
      char name[WATCH_STEP], file[WATCH_STEP];
      const struct watched *w = &loop->watched[loop->watching];
      watch_step_name(w, "", name);
      watch_step_name(w, ".h5", file);
      const struct step step = {name, step_watch, {file}};
      status = run_step(loop, &step, err);
    }
  loop->iteration = last;
  return status;
}

/* An iteration's steps, or an interval's. */
static int run_steps(struct loop *loop, const struct step *steps, size_t n, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; status == 0 && i < n; i++)
    if (loop->config->data.validation_prompts > 0 || steps[i].run != step_validate)
      status = run_step(loop, &steps[i], err);
  return status;
}

/* A run in steps is long between its checkpoints, and looked at there. What earlier attempts did was written by them. */
static int report_so_far(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  if (!loop->first || !loop->worked || !tpo_run_in_steps(&loop->config->run)) return 0;
  loop->worked = false;
  int status = loop_path(loop, -1, "report.html", path, err);
  return status < 0 ? status : tpo_report_write(loop->config->run.dir, path, err);
}

static int run_iterations(struct loop *loop, struct tpo_error *err)
{
  bool validates = loop->config->data.validation_prompts > 0, in_steps = tpo_run_in_steps(&loop->config->run);
  loop->iteration = 0;
  int status = validates ? run_step(loop, &start_step, err) : 0;
  if (status == 0) status = run_watches(loop, err);
  for (loop->iteration = 1; status == 0 && loop->iteration <= tpo_run_iterations(&loop->config->run);
       loop->iteration++) {
    if (loop->first) {
      char dir[4096];
      status = loop_path(loop, loop->iteration, ".", dir, err);
      if (status == 0) status = tpo_make_dirs(dir, err);
    }
    status = tpo_comm_agree(loop->session->comm, status, err);
    loop_drop_iteration(loop);
    if (status == 0 && in_steps)
      status = run_steps(loop, interval_steps, sizeof interval_steps / sizeof *interval_steps, err);
    else if (status == 0)
      status = run_steps(loop, iteration_steps, sizeof iteration_steps / sizeof *iteration_steps, err);
    if (status == 0) status = run_watches(loop, err);
    if (status == 0) status = loop_agree(loop, report_so_far(loop, err), err);
  }
  return status;
}

/* Of what the results depend on; the run folder may be moved, and go on for more iterations. */
static void config_hash(const struct tpo_config *config, char hex[33])
{
  struct tpo_buf text = {0};
  struct tpo_hash hash;
  hex[0] = '\0';
  for (int key = 0; key < config_n_keys; key++) {
    if (!config_bears_on_results(key)) continue;
    tpo_buf_printf(&text, "%s: ", config_keys[key].path);
    config_append_value(config, key, &text);
    tpo_buf_putc(&text, '\n');
  }
  if (!text.failed && tpo_hash_begin(&hash, NULL) == 0) {
    tpo_hash_add(&hash, text.data, text.len);
    tpo_hash_end(&hash, hex);
  }
  tpo_buf_free(&text);
}

static int another_runs(const struct loop *loop, struct tpo_error *err)
{
  char who[400] = "";
  bool known = owner_tell(loop->config->run.dir, who);
  return tpo_fail(err, TPO_E_USAGE,
                  "%s: another process is running in this folder%s%s; name another --run-dir",
                  loop->config->run.dir, known ? ", " : "", who);
}

/* Two runs in one folder would write over each other. The lock on the metrics file lasts as long as this
 * process, where there are locks; the owner's file tells processes apart where there are none, or each
 * host has its own. */
static int keep_others_out(struct loop *loop, const char *path, struct tpo_error *err)
{
  struct owner_pace pace = {.period = OWNER_PERIOD, .watch = OWNER_WATCH, .settle = OWNER_SETTLE};
  pace.locked = flock(fileno(loop->metrics), LOCK_EX | LOCK_NB) == 0;
  if (!pace.locked && errno == EWOULDBLOCK) return another_runs(loop, err);
  if (!pace.locked)
    tpo_log(TPO_LOG_DEBUG, "%s: can't be locked (%s); " OWNER_FILE " keeps others out", path,
            strerror(errno));
  return owner_claim(&loop->owner, loop->config->run.dir, &pace, err);
}

static int open_metrics(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = loop_path(loop, -1, "metrics.jsonl", path, err);
  if (status < 0) return status;
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (fd < 0 && errno == ELOOP)
    return tpo_fail(err, TPO_E_USAGE, "%s: a link, which is not followed; a run's own file is expected",
                    path);
  loop->metrics = fd < 0 ? NULL : fdopen(fd, "a");
  if (!loop->metrics) {
    tpo_fail(err, TPO_E_USAGE, "%s: can't be written: %m", path);
    if (fd >= 0) close(fd);
    return TPO_E_USAGE;
  }
  return keep_others_out(loop, path, err);
}

/* Found out without a trace: the file is not made, and the lock is let go of at once. */
static bool is_locked(const struct loop *loop)
{
  char path[4096];
  if (loop->metrics || loop_path(loop, -1, "metrics.jsonl", path, NULL) < 0) return false;
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  bool is = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
  if (fd >= 0) close(fd);
  return is;
}

static int refuse_used(const struct loop *loop, struct tpo_error *err)
{
  char path[4096], name[LOOP_FOREIGN];
  int status = loop_path(loop, -1, "manifest.json", path, err);
  if (status == 0) status = tpo_look_for(path, err);
  bool run = status > 0;
  if (status == 0) status = loop_find_foreign(loop, name, err);
  if (status <= 0) return status;
  if (is_locked(loop)) return another_runs(loop, err);
  if (!run)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s holds files that are not of a run of this program: %s; name another run folder",
                    loop->config->run.dir, name);
  return tpo_fail(err, TPO_E_USAGE, "%s holds a run already; go on with --resume, or name another --run-dir",
                  loop->config->run.dir);
}

/* In memory: a run that is refused for its instructions or its baseline leaves no folder behind. */
static int start_fresh(struct loop *loop, const char *hash, struct tpo_error *err)
{
  int status = refuse_used(loop, err);
  return status < 0 ? status
                    : manifest_create(&loop->manifest, loop->config->run.dir, hash, loop->config->seed,
                                      tpo_comm_size(loop->session->comm), err);
}

static int claim_folder(struct loop *loop, struct tpo_error *err)
{
  char iteration[4096];
  const char *dir = loop->config->run.dir;
  int status = loop_path(loop, 0, ".", iteration, err);
  if (status == 0) status = tpo_make_dirs(iteration, err);
  if (status < 0) return tpo_fail(err, TPO_E_USAGE, "run.dir: %s", strdupa(err->message));
  if (access(dir, W_OK) != 0) return tpo_fail(err, TPO_E_USAGE, "run.dir: %s can't be written to: %m", dir);
  status = open_metrics(loop, err);
  return status < 0 ? status : refuse_used(loop, err); /* again, now that nobody else may begin one */
}

/* metrics.jsonl has the first `size` bytes that this run wrote. */
static int metrics_hold(const struct loop *loop, int64_t size, struct tpo_error *err)
{
  struct stat now;
  if (fstat(fileno(loop->metrics), &now) < 0)
    return tpo_fail(err, TPO_E_IO, "%s/metrics.jsonl: %m", loop->config->run.dir);
  if (now.st_size >= size) return 0;
  return tpo_fail(
      err, TPO_E_STATE,
      "%s/metrics.jsonl is not the file that this run wrote: it has %lld bytes, and %lld were written",
      loop->config->run.dir, (long long)now.st_size, (long long)size);
}

int loop_cut_metrics(struct loop *loop, int64_t size, struct tpo_error *err)
{
  int status = loop->first ? metrics_hold(loop, size, err) : 0;
  if (status < 0 || !loop->first) return status;
  if (ftruncate(fileno(loop->metrics), size) < 0 || fseek(loop->metrics, 0, SEEK_END) < 0)
    return tpo_fail(err, TPO_E_IO, "%s/metrics.jsonl: %m", loop->config->run.dir);
  return 0;
}

static int take_up(struct loop *loop, const char *hash, bool allow_changes, struct tpo_error *err)
{
  char path[4096];
  int status = loop_path(loop, -1, "manifest.json", path, err);
  if (status == 0) status = tpo_look_for(path, err);
  if (status > 0) status = open_metrics(loop, err);
  if (status == 0) status = manifest_load(&loop->manifest, loop->config->run.dir, err);
  if (status == 0) status = manifest_verify(&loop->manifest, err);
  if (status == 0) status = metrics_hold(loop, manifest_metrics_size(&loop->manifest), err);
  if (status < 0) return status;
  if (strcmp(manifest_string(&loop->manifest, "config_hash"), hash) == 0) return 0;
  return loop_check_changes(loop, allow_changes, err);
}

/* Once nothing is left that could refuse it: the folder is this run's to tidy, and the configuration is the
 * one that it goes on with. */
static int settle(struct loop *loop, bool resume, const char *hash, struct tpo_error *err)
{
  char path[4096];
  if (!loop->first) return 0;
  if (resume) loop_clear_leftovers(loop);
  if (resume) loop_clear_journals(loop);
  if (resume) loop_read_notice(loop);
  int status = loop_path(loop, -1, "config.yaml", path, err);
  if (status == 0) status = tpo_write_file(path, loop->config_yaml, strlen(loop->config_yaml), err);
  return status < 0 ? status : manifest_set(&loop->manifest, "config_hash", json_string(hash), err);
}

/* The model that the run started from is the one that it goes on with. Rank 0. */
static int compare_model(struct loop *loop, struct tpo_model *start, struct tpo_error *err)
{
  const char *hash = tpo_model_hash(start), *known = manifest_string(&loop->manifest, "model_hash");
  if (!hash) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (*known && strcmp(known, hash) != 0)
    return tpo_fail(err, TPO_E_STATE, "%s: this run was started with another model (hash %s, here %s)",
                    loop->config->run.dir, known, hash);
  return *known ? 0 : manifest_set(&loop->manifest, "model_hash", json_string(hash), err);
}

/* The start model is opened as the policy, unless a later one is there already to go on with. */
static int check_model(struct loop *loop, struct tpo_error *err)
{
  bool trained = false, paired = false;
  struct tpo_model *start;
  int status = is_done(loop, 1, "dpo", &trained, err);
  if (status == 0) status = is_done(loop, tpo_run_iterations(&loop->config->run), "pairs", &paired, err);
  if (status == 0 && !trained) status = loop_use_policy(loop, 1, err);
  if (status == 0) status = loop_reference_model(loop, loop->config->model.path, &start, err);
  if (status == 0 && loop->first) status = compare_model(loop, start, err);
  loop_rest_models(loop, loop->compares && !paired);
  return tpo_comm_agree(loop->session->comm, status, err);
}

static int write_report(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = loop_path(loop, -1, "report.html", path, err);
  if (status == 0) status = manifest_set(&loop->manifest, "done", json_true(), err);
  if (status == 0) status = tpo_report_write(loop->config->run.dir, path, err);
  return status;
}

static int check_thought(const struct tpo_config *config, struct tpo_error *err)
{
  struct tpo_policy policy;
  int status = tpo_policy_open_text(&policy, config, config->model.path, err);
  if (status == 0) status = tpo_policy_check_thought(&policy, config, err);
  tpo_policy_close(&policy);
  return status;
}

int tpo_run(const struct tpo_session *given, bool resume, bool allow_changes, char **summary,
            struct tpo_error *err)
{
  struct tpo_session own = *given, *session = &own;
  struct loop loop = {.session = session,
                      .config = session->config,
                      .first = tpo_comm_rank(session->comm) == 0,
                      .allow_changes = allow_changes};
  char hash[33];
  session->judge_dir = session->config->run.dir;
  loop_listen(&loop, session);
  config_hash(session->config, hash);
  loop.config_yaml = tpo_config_print(session->config, false);
  int status = loop.config_yaml && *hash ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status == 0) status = tpo_judge_check(&session->config->judge, err);
  if (status == 0 && loop.first) status = check_thought(session->config, err);
  if (status == 0 && loop.first)
    status = resume ? take_up(&loop, hash, allow_changes, err) : start_fresh(&loop, hash, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = same_judge(session->comm, &session->config->judge, err);
  if (status == 0) status = loop_check_data(&loop, allow_changes, err);
  if (status == 0) status = loop_check_baseline(&loop, err);
  if (status == 0) status = loop_open_watched(&loop, err);
  if (status == 0) status = loop_agree(&loop, loop.first && !resume ? claim_folder(&loop, err) : 0, err);
  if (status == 0) status = loop_plan_models(&loop, session, err);
  if (status == 0) status = check_model(&loop, err);
  if (status == 0) status = loop_agree(&loop, settle(&loop, resume, hash, err), err);
  if (status == 0) loop_begin_status(&loop);
  if (status == 0) status = run_iterations(&loop, err);
  if (status == 0 && loop.first) {
    status = loop_tensorboard(&loop, err);
    if (status == 0) online_forget(&loop);
    if (status == 0) status = write_report(&loop, err);
    if (status == 0) *summary = loop_closing_text(&loop, err);
    if (status == 0 && !*summary) status = TPO_E_IO;
  }
  status = tpo_comm_agree(session->comm, status, err);
  loop_end_status(&loop, status, err);
  online_close(loop.online);
  loop_close_models(&loop);
  loop_drop_all(&loop);
  loop_close_watched(&loop);
  owner_release(loop.owner);
  if (loop.metrics) fclose(loop.metrics);
  manifest_free(&loop.manifest);
  free(loop.config_yaml);
  return status;
}
