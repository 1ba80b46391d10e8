/* Reads a run's manifest, metrics and configuration, and sums up its validation samples. */
#include "report/load.h"
#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "report/html.h"
#include "report/position.h"
#include "report/segments.h"

enum { MOST_ITERATIONS = 1000, MOST_NUMBER = 99999, MOST_STEPS = 10000000 };

static const struct {
  const char *name, *against; /* against: its field of that name; NULL: any */
} events[N_EVENTS] = {{"sample", NULL},        {"judge", NULL},       {"pairs", NULL},
                      {"left_out", NULL},      {"logprob_gap", NULL}, {"kl", NULL},
                      {"validate", NULL},      {"selected", NULL},    {"win_rate", "previous"},
                      {"win_rate", "baseline"}};
static const char *const phase_names[N_PHASES] = {"validate", "prompts", "sample", "judge",
                                                  "pairs",    "dpo",     "steps",  "watch-"};
static const char *const field_names[N_FIELDS] = {
    "loss",      "accuracy", "margin", "chosen_logprob", "rejected_logprob",
    "grad_norm", "lr",       "tokens", "seconds"};

void report_note(struct report *report, const struct tpo_error *problem)
{
  tpo_buf_puts(&report->notes, "<li>");
  html_text(&report->notes, problem->message);
  tpo_buf_puts(&report->notes, "</li>\n");
}

double report_number(const json_t *object, const char *key)
{
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

double report_event_number(const struct report_iteration *it, enum report_event event, const char *key)
{
  return report_number(it->events[event], key);
}

bool report_file(const struct report *report, int iteration, const char *name, char out[4096])
{
  char inner[256];
  snprintf(inner, sizeof inner, "iter-%03d/%s", iteration, name);
  return tpo_path_join(out, 4096, report->dir, inner, NULL) == 0 && tpo_file_exists(out);
}

double report_validation(const struct report_iteration *it)
{
  double score = report_event_number(it, EVENT_VALIDATE, "mean_score");
  return isfinite(score) ? score : it->validation_mean;
}

double report_unparsed(const struct report *report, const struct report_iteration *it)
{
  double score = report_event_number(it, EVENT_VALIDATE, "unparsed_score");
  return isfinite(score) ? score : report->config.judge.empty_score;
}

double report_prompt_score(const struct tpo_samples *samples, size_t first, double unparsed)
{
  size_t end = tpo_samples_prompt_end(samples, first);
  double sum = 0;
  for (size_t i = first; i < end; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    sum += row->scored ? row->score : row->format_ok ? NAN : unparsed;
  }
  return sum / (double)(end - first);
}

const json_t *report_breakdown(const struct report_iteration *it, const char *name, const char *of,
                               const char *by)
{
  const json_t *event, *found = NULL;
  size_t i;
  json_array_foreach(it->breakdowns, i, event)
  {
    const char *event_of = json_string_value(json_object_get(event, "of"));
    const char *event_by = json_string_value(json_object_get(event, "by"));
    if (!event_of) event_of = json_string_value(json_object_get(event, "against"));
    if (strcmp(json_string_value(json_object_get(event, "event")), name) == 0 && event_of &&
        strcmp(event_of, of) == 0 && (!by || (event_by && strcmp(event_by, by) == 0)))
      found = event;
  }
  return found;
}

/* The iteration of that number, made when there is none; NULL when there are too many or memory is short. */
static struct report_iteration *find_iteration(struct report *report, int64_t number)
{
  size_t at = 0;
  while (at < report->n_iterations && report->iterations[at].number < number) at++;
  if (at < report->n_iterations && report->iterations[at].number == number) return &report->iterations[at];
  if (number < 0 || number > MOST_NUMBER || report->n_iterations >= MOST_ITERATIONS) return NULL;
  if (tpo_grow(&report->iterations, &report->iterations_capacity, report->n_iterations + 1,
               sizeof *report->iterations, NULL) < 0)
    return NULL;
  struct report_iteration *it = &report->iterations[at];
  memmove(it + 1, it, (report->n_iterations - at) * sizeof *it);
  *it = (struct report_iteration){.number = (int)number, .validation_mean = NAN, .validation_se = NAN};
  for (int p = 0; p < N_PHASES; p++) it->seconds[p] = NAN;
  for (int s = 0; s < N_SPENT; s++) it->spent[s] = NAN;
  it->samples = it->drawn_tokens = NAN;
  report->n_iterations++;
  return it;
}

static struct report_iteration *iteration_of(struct report *report, const json_t *object)
{
  const json_t *number = json_object_get(object, "iteration");
  return json_is_integer(number) ? find_iteration(report, json_integer_value(number)) : NULL;
}

static bool append_event(json_t **list, json_t *event)
{
  if (!*list) *list = json_array();
  return *list && json_array_append(*list, event) == 0;
}

/* Of the events that an iteration has several of, apart by their fields. */
static bool is_breakdown(const char *name)
{
  return strcmp(name, "groups") == 0 || strcmp(name, "group_wins") == 0 || strcmp(name, "thoughts") == 0;
}

void report_reach(struct report *report, double step)
{
  if (step > report->reached && step <= MOST_STEPS) report->reached = (int)step;
}

/* What a line of metrics.jsonl tells; false when it tells nothing that is known. */
static bool take_event(struct report *report, json_t *event)
{
  const char *name = json_string_value(json_object_get(event, "event"));
  struct report_iteration *it = name ? iteration_of(report, event) : NULL;
  if (!it) return false;
  if (strcmp(name, "step") == 0) {
    if (report->n_steps >= MOST_STEPS || tpo_grow(&report->steps, &report->steps_capacity,
                                                  report->n_steps + 1, sizeof *report->steps, NULL) < 0)
      return false;
    struct report_step *step = &report->steps[report->n_steps++];
    report_reach(report, report_number(event, "step") + 1); /* they count from 0 */
    step->iteration = it->number;
    step->skipped = json_is_true(json_object_get(event, "skipped"));
    for (int f = 0; f < N_FIELDS; f++) step->values[f] = report_number(event, field_names[f]);
    return true;
  }
  if (strcmp(name, "segment") == 0) return take_segment(report, it, event);
  if (strcmp(name, "epoch") == 0) return append_event(&it->epochs, event);
  if (is_breakdown(name)) return append_event(&it->breakdowns, event);
  if (strcmp(name, "watch") == 0) return append_event(&it->watch, event);
  const char *against = json_string_value(json_object_get(event, "against"));
  for (int e = 0; e < N_EVENTS; e++)
    if (strcmp(name, events[e].name) == 0 &&
        (!events[e].against || (against && strcmp(against, events[e].against) == 0))) {
      json_decref(it->events[e]);
      it->events[e] = json_incref(event);
      return true;
    }
  return false;
}

static void load_metrics(struct report *report)
{
  char path[4096];
  struct tpo_lines lines;
  struct tpo_error problem = {0};
  size_t unread = 0;
  int status = tpo_path_join(path, sizeof path, report->dir, "metrics.jsonl", &problem);
  if (status == 0 && !tpo_file_exists(path)) return;
  if (status == 0) status = tpo_lines_open(&lines, path, &problem);
  if (status < 0) {
    report_note(report, &problem);
    return;
  }
  while ((status = tpo_lines_next(&lines, &problem)) == 1) {
    if (lines.line.len == 0) continue;
    json_t *event = tpo_json_parse(lines.line.data, lines.line.len, "line", NULL);
    unread += !take_event(report, event);
    json_decref(event);
  }
  tpo_lines_close(&lines);
  if (status < 0) report_note(report, &problem);
  if (unread) {
    tpo_fail(&problem, TPO_E_INPUT,
             "metrics.jsonl: %zu lines are not events that this page knows and are left out", unread);
    report_note(report, &problem);
  }
}

static void load_manifest(struct report *report)
{
  char path[4096];
  struct tpo_error problem = {0};
  if (tpo_path_join(path, sizeof path, report->dir, "manifest.json", NULL) < 0 || !tpo_file_exists(path))
    return;
  report->manifest = tpo_json_load(path, 256 << 20, &problem);
  if (report->manifest && !json_is_object(report->manifest)) {
    tpo_fail(&problem, TPO_E_INPUT, "manifest.json: expected an object");
    json_decref(report->manifest);
    report->manifest = NULL;
  }
  if (!report->manifest) {
    report_note(report, &problem);
    return;
  }
  size_t i;
  json_t *entry;
  json_array_foreach(json_object_get(report->manifest, "steps"), i, entry)
  {
    const char *name = json_string_value(json_object_get(entry, "step"));
    struct report_iteration *it = name ? iteration_of(report, entry) : NULL;
    for (int p = 0; it && p < PHASE_WATCH; p++)
      if (strcmp(name, phase_names[p]) == 0) it->seconds[p] = report_number(entry, "seconds");
    if (it && strncmp(name, phase_names[PHASE_WATCH], strlen(phase_names[PHASE_WATCH])) == 0)
      it->seconds[PHASE_WATCH] = fmax(it->seconds[PHASE_WATCH], 0) + report_number(entry, "seconds");
  }
}

static void load_config(struct report *report)
{
  char path[4096];
  struct tpo_buf text = {0};
  struct tpo_error problem = {0};
  if (tpo_path_join(path, sizeof path, report->dir, "config.yaml", NULL) < 0 || !tpo_file_exists(path))
    return;
  if (tpo_read_file(path, 1 << 20, &text, &problem) < 0) {
    report_note(report, &problem);
    tpo_buf_free(&text);
    return;
  }
  report->has_config =
      tpo_config_load_text(&report->config, text.data ? text.data : "", text.len, path, NULL, &problem) == 0;
  if (!report->has_config) report_note(report, &problem);
  report->config_text = tpo_buf_take(&text);
}

/* Folders that no event speaks of yet: an iteration that has just begun, or one whose metrics are lost. Of a run in
 * steps the first is nothing to show, since it is told by the steps that are made. */
static void scan_folders(struct report *report)
{
  char path[4096];
  DIR *dir = opendir(report->dir);
  if (!dir) return;
  for (const struct dirent *entry; (entry = readdir(dir));) {
    const char *digits = entry->d_name + 5;
    if (strncmp(entry->d_name, "iter-", 5) != 0 || strlen(digits) > 5 || !isdigit((unsigned char)*digits) ||
        digits[strspn(digits, "0123456789")])
      continue;
    int number = atoi(digits);
    if (number > 0 && report_in_steps(report) && !report_file(report, number, "scored.h5", path)) continue;
    find_iteration(report, number);
  }
  closedir(dir);
}

/* Mean over prompts and its standard error, without the prompts that have no score. */
static void summarize_validation(const struct report *report, struct report_iteration *it)
{
  double sum = 0, squares = 0, n = 0, unparsed = report_unparsed(report, it);
  for (size_t first = 0; first < it->validation.n; first = tpo_samples_prompt_end(&it->validation, first)) {
    double prompt = report_prompt_score(&it->validation, first, unparsed);
    if (isnan(prompt)) continue;
    sum += prompt;
    squares += prompt * prompt;
    n++;
  }
  if (n < 1) return;
  double variance = n > 1 ? (squares - sum * sum / n) / (n - 1) : NAN;
  it->validation_mean = sum / n;
  it->validation_se = sqrt(fmax(variance, 0) / n);
  if (n < 2) it->validation_se = NAN;
}

static void load_validation(struct report *report)
{
  char path[4096];
  for (size_t i = 0; i < report->n_iterations; i++) {
    struct report_iteration *it = &report->iterations[i];
    struct tpo_error problem = {0};
    if (!report_file(report, it->number, "validation.h5", path)) continue;
    if (tpo_samples_read(&it->validation, path, &problem) < 0)
      report_note(report, &problem);
    else
      summarize_validation(report, it);
  }
}

int report_load(struct report *report, const char *dir, struct tpo_error *err)
{
  static const char *const any_of[] = {"manifest.json", "metrics.jsonl", "config.yaml"};
  char path[4096];
  bool is_run = false;
  *report = (struct report){.dir = dir};
  tpo_config_default(&report->config);
  int status = tpo_look_for(dir, err);
  if (status >= 0 && !tpo_is_dir(dir))
    return tpo_fail(err, TPO_E_USAGE, "%s: expected the folder of a run%s", dir,
                    status == 0 ? "; there is none of this name" : "");
  for (size_t i = 0; status >= 0 && i < sizeof any_of / sizeof any_of[0]; i++) {
    status = tpo_path_join(path, sizeof path, dir, any_of[i], err);
    if (status == 0) status = tpo_look_for(path, err);
    is_run |= status > 0;
  }
  if (status < 0) return status;
  if (!is_run)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s: not the folder of a run: it has no manifest.json, metrics.jsonl or config.yaml",
                    dir);
  load_config(report);
  load_manifest(report);
  load_metrics(report);
  scan_folders(report);
  load_validation(report);
  return report->notes.failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory for the report on %s", dir) : 0;
}

void report_free(struct report *report)
{
  for (size_t i = 0; i < report->n_iterations; i++) {
    struct report_iteration *it = &report->iterations[i];
    for (int e = 0; e < N_EVENTS; e++) json_decref(it->events[e]);
    json_decref(it->epochs);
    json_decref(it->breakdowns);
    json_decref(it->watch);
    tpo_samples_free(&it->validation);
    free(it->scores);
  }
  free(report->iterations);
  free(report->steps);
  free(report->segments);
  free(report->config_text);
  json_decref(report->manifest);
  tpo_config_free(&report->config);
  tpo_buf_free(&report->notes);
  *report = (struct report){0};
}
