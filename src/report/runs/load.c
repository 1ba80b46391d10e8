/* Reads the runs that are compared. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "config/keys.h"
#include "report/position.h"
#include "report/runs/runs.h"

void run_letter(size_t run, char out[16])
{
  if (run < 26)
    snprintf(out, 16, "%c", (char)('A' + run));
  else
    snprintf(out, 16, "%zu", run + 1);
}

void run_place(const struct compared_run *run, struct tpo_buf *out)
{
  if (run->at->number == 0)
    tpo_buf_puts(out, "the start model");
  else
    tpo_buf_printf(out, "%s %d", report_unit(&run->report, false),
                   report_position(&run->report, run->at->number));
}

/* A validation's file is there, and what stands in it can't be read. */
static bool has_unread(const struct report *report, int iteration)
{
  char path[4096];
  for (size_t i = 0; i < report->n_iterations; i++)
    if ((iteration < 0 || report->iterations[i].number == iteration) &&
        report->iterations[i].validation.n == 0 &&
        report_file(report, report->iterations[i].number, "validation.h5", path))
      return true;
  return false;
}

/* The iteration asked for, or the last one that has a validation. */
static int choose(struct compared_run *run, int iteration, struct tpo_error *err)
{
  const struct report *report = &run->report;
  for (size_t i = report->n_iterations; i-- > 0 && !run->at;) {
    const struct report_iteration *it = &report->iterations[i];
    if (it->validation.n > 0 && (iteration < 0 || it->number == iteration)) run->at = it;
  }
  if (run->at) return 0;
  if (has_unread(report, iteration))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: no validation that can be read; `tpo report %s` tells what can't be", run->name,
                    run->name);
  if (iteration < 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s: no iteration of it was validated (iter-NNN/validation.h5): there is nothing to "
                    "compare",
                    run->name);
  return tpo_fail(err, TPO_E_USAGE, "%s: iteration %d was not validated (iter-%03d/validation.h5)", run->name,
                  iteration, iteration);
}

static int load_one(struct compared *c, size_t which, const char *dir, int iteration, struct tpo_error *err)
{
  struct compared_run *run = &c->runs[which];
  for (size_t i = 0; i < which; i++)
    if (tpo_same_file(dir, c->runs[i].name))
      return tpo_fail(err, TPO_E_USAGE, "%s and %s are the same run", c->runs[i].name, dir);
  run->name = dir;
  int status = report_load(&run->report, dir, err);
  c->n_runs = which + 1;
  if (status == 0) status = choose(run, iteration, err);
  if (status == 0 && run->report.notes.len > 0)
    tpo_log(TPO_LOG_WARN, "%s: not all of it is known or can be read; `tpo report %s` tells what", dir, dir);
  return status;
}

bool compared_is_done(const struct compared_run *run)
{
  return json_is_true(json_object_get(run->report.manifest, "done"));
}

double compared_kl(const struct compared_run *run)
{
  const struct report *report = &run->report;
  double found = NAN;
  for (size_t i = 0; i < report->n_iterations && report->iterations[i].number <= run->at->number; i++) {
    double value = report_event_number(&report->iterations[i], EVENT_KL, "per_token");
    if (isfinite(value)) found = value;
  }
  return found;
}

const json_t *compared_watch(const struct compared_run *run, const char *name)
{
  const json_t *entry, *found = NULL;
  size_t i;
  json_array_foreach(run->at->watch, i, entry)
  {
    const char *own = json_string_value(json_object_get(entry, "name"));
    if (own && strcmp(own, name) == 0) found = entry;
  }
  return found;
}

/* Whether a run before that one has an entry of that name, or this one at an earlier place. */
static bool is_known(const struct compared *c, size_t run, size_t entry, const char *name)
{
  for (size_t r = 0; r < run; r++)
    if (compared_watch(&c->runs[r], name)) return true;
  for (size_t i = 0; i < entry; i++) {
    const char *own = json_string_value(json_object_get(json_array_get(c->runs[run].at->watch, i), "name"));
    if (own && strcmp(own, name) == 0) return true;
  }
  return false;
}

const char *compared_next_watch(const struct compared *c, size_t at[2])
{
  for (; at[0] < c->n_runs; at[0]++, at[1] = 0)
    while (at[1] < json_array_size(c->runs[at[0]].at->watch)) {
      size_t entry = at[1]++;
      const char *name =
          json_string_value(json_object_get(json_array_get(c->runs[at[0]].at->watch, entry), "name"));
      if (name && !is_known(c, at[0], entry, name)) return name;
    }
  return NULL;
}

int compared_load(struct compared *c, const char *const *dirs, size_t n_dirs,
                  const struct tpo_compare_options *options, struct tpo_error *err)
{
  *c = (struct compared){0};
  c->runs = tpo_calloc(n_dirs, sizeof *c->runs, err);
  int status = c->runs ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < n_dirs && status == 0; i++)
    status = load_one(c, i, dirs[i], options->iteration, err);
  if (status == 0) status = compared_settings(c, options->force, err);
  if (status == 0) status = compared_match(c, err);
  if (status < 0) return status;
  for (size_t i = 0; i < c->n_runs; i++) c->shares |= config_judge_compares(&c->runs[i].report.config.judge);
  return compared_numbers(c, options->seed, err);
}

void compared_free(struct compared *c)
{
  for (size_t i = 0; i < c->n_runs; i++) {
    struct compared_run *run = &c->runs[i];
    for (int f = 0; f < N_FIGURES; f++) free(run->values[f]);
    for (int g = 0; g < N_GROUP_BY; g++) groups_free(&run->groups[g]);
    free(run->outcomes);
    free(run->view.rows);
    report_free(&run->report);
  }
  free(c->runs);
  free(c->order);
  tpo_buf_free(&c->settings);
  tpo_buf_free(&c->unlike);
  *c = (struct compared){0};
}
