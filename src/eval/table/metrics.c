/* What a run watched last, out of its metrics.jsonl. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/table/table.h"

/* By name the event of the latest iteration; one that was begun again comes twice, and the later line
 * counts. */
static int keep_latest(json_t *events, json_t *event, const char *place, struct tpo_error *err)
{
  const char *name = json_string_value(json_object_get(event, "name"));
  const json_t *iteration = json_object_get(event, "iteration");
  if (!name || !json_is_integer(iteration))
    return tpo_fail(err, TPO_E_INPUT, "%s: an event \"watch\" without \"name\" or \"iteration\"", place);
  const json_t *before = json_object_get(json_object_get(events, name), "iteration");
  if (before && json_integer_value(before) > json_integer_value(iteration)) return 0;
  return json_object_set(events, name, event) == 0 ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for a table");
}

static int take_line(json_t *events, const struct tpo_lines *lines, struct tpo_error *err)
{
  char place[4200];
  if (!memmem(lines->line.data, lines->line.len, "\"watch\"", strlen("\"watch\""))) return 0;
  snprintf(place, sizeof place, "%.4000s:%llu", lines->path, (unsigned long long)lines->number);
  json_t *event = tpo_json_parse(lines->line.data, lines->line.len, place, err);
  if (!event) return err->code;
  const char *kind = json_string_value(json_object_get(event, "event"));
  int status = kind && strcmp(kind, "watch") == 0 ? keep_latest(events, event, place, err) : 0;
  json_decref(event);
  return status;
}

/* A last line that is no JSON was being written when the run was killed. */
static int read_events(json_t *events, const char *path, struct tpo_error *err)
{
  struct tpo_lines lines;
  int status = tpo_lines_open(&lines, path, err), more = 0, bad = 0;
  if (status < 0) return status;
  while (bad == 0 && (more = tpo_lines_next(&lines, err)) > 0) bad = take_line(events, &lines, err);
  struct tpo_error why = *err;
  if (bad < 0) more = tpo_lines_next(&lines, err);
  if (bad < 0 && more > 0) *err = why;
  tpo_lines_close(&lines);
  return more <= 0 ? more : bad;
}

int table_take_metrics(struct eval_table *table, size_t row, const char *path, struct tpo_error *err)
{
  json_t *events = json_object(), *event;
  const char *name;
  int status = events ? read_events(events, path, err) : tpo_fail(err, TPO_E_MEMORY, "no memory for a table");
  json_object_foreach(events, name, event)
  {
    if (status == 0) status = table_put_figures(table, row, event, event, "watch", path, err);
  }
  size_t n = json_object_size(events);
  json_decref(events);
  return status < 0 ? status : n > 0;
}
