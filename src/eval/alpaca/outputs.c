/* model_outputs.json, read, made of samples, and written. */
#include "eval/alpaca/outputs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "eval/rows.h"

struct reading {
  json_t *out;
  json_t *seen; /* instruction -> number of its row, from 1 */
  const struct tpo_instructions *prompts;
  const char *name; /* of rows without a generator */
};

void alpaca_name_of_file(const char *path, char out[256])
{
  static const char *const endings[] = {".gz", ".json", ".jsonl", ".tsv", ".csv"};
  const char *slash = strrchr(path, '/');
  snprintf(out, 256, "%s", slash ? slash + 1 : path);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t len = strlen(out), end = strlen(endings[i]);
    if (len > end && strcmp(out + len - end, endings[i]) == 0) out[len - end] = '\0';
  }
}

static int take_index(const struct reading *r, const struct eval_row *row, const char **instruction,
                      struct tpo_error *err)
{
  double index = 0;
  char shown[EVAL_SHOWN];
  int status = eval_row_number(row, "index", &index, err);
  if (status < 0) return status;
  if (!r->prompts)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"instruction\" is missing; \"index\" needs the instructions, --prompts",
                    row->place);
  if (!(index >= 0 && index < (double)r->prompts->n && index == floor(index)))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"index\" is %s; --prompts has the instructions 0 to %zu",
                    row->place, eval_shown(index, shown), r->prompts->n - 1);
  *instruction = r->prompts->items[(size_t)index].instruction;
  return 0;
}

static int take_instruction(const struct reading *r, const struct eval_row *row, const char **instruction,
                            struct tpo_error *err)
{
  if (!eval_row_has(row, "instruction") && eval_row_has(row, "index"))
    return take_index(r, row, instruction, err);
  int status = eval_row_text(row, "instruction", instruction, err);
  if (status < 0 || *instruction) return status;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"instruction\" is null; expected a text", row->place);
}

static int note_once(struct reading *r, const struct eval_row *row, const char *instruction,
                     struct tpo_error *err)
{
  const json_t *before = json_object_get(r->seen, instruction);
  if (before)
    return tpo_fail(err, TPO_E_INPUT, "%s: the instruction is that of row %lld already", row->place,
                    (long long)json_integer_value(before));
  return json_object_set_new(r->seen, instruction, json_integer((json_int_t)row->number + 1)) < 0
             ? tpo_fail(err, TPO_E_MEMORY, "no memory for outputs")
             : 0;
}

static int check_generator(const struct reading *r, const struct eval_row *row, const char *generator,
                           struct tpo_error *err)
{
  const char *first = alpaca_generator(r->out);
  if (row->number == 0 || strcmp(first, generator) == 0) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: \"generator\" is %.60s, and rows before it have %.60s; expected one in all rows",
                  row->place, generator, first);
}

static json_t *record(const char *instruction, const char *output, const char *generator, const char *dataset)
{
  json_t *out =
      json_pack("{s:s, s:s, s:s}", "instruction", instruction, "output", output, "generator", generator);
  if (out && dataset) json_object_set_new(out, "dataset", json_string(dataset));
  return out;
}

static int take(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct reading *r = arg;
  const char *instruction = NULL, *output = NULL, *generator = NULL, *dataset = NULL;
  int status = take_instruction(r, row, &instruction, err);
  if (status == 0) status = eval_row_text(row, "output", &output, err);
  if (status == 0 && eval_row_has(row, "generator"))
    status = eval_row_text(row, "generator", &generator, err);
  if (status == 0 && eval_row_has(row, "dataset")) status = eval_row_text(row, "dataset", &dataset, err);
  if (!generator) generator = r->name;
  if (status == 0) status = check_generator(r, row, generator, err);
  if (status == 0) status = note_once(r, row, instruction, err);
  if (status < 0) return status;
  return json_array_append_new(r->out, record(instruction, output ? output : "", generator, dataset)) < 0
             ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for outputs", row->place)
             : 0;
}

int alpaca_outputs_read(json_t **out, const char *path, const struct tpo_instructions *prompts,
                        const char *name, struct tpo_error *err)
{
  struct reading r = {json_array(), json_object(), prompts, name};
  int status = r.out && r.seen ? eval_rows_read(path, take, &r, err)
                               : tpo_fail(err, TPO_E_MEMORY, "no memory for outputs");
  json_decref(r.seen);
  *out = r.out;
  if (status < 0) {
    json_decref(r.out);
    *out = NULL;
  }
  return status;
}

/* The response without white space around it; free() it. */
static char *trimmed(const char *text)
{
  const char *end = text + strlen(text);
  while (end > text && strchr(" \t\r\n\v\f", end[-1])) end--;
  while (text < end && strchr(" \t\r\n\v\f", *text)) text++;
  return strndup(text, (size_t)(end - text));
}

static json_t *record_of(const struct tpo_instruction *prompt, const char *response, const char *generator)
{
  json_t *meta = json_loads(prompt->meta, 0, NULL);
  char *output = trimmed(response);
  json_t *out = output ? record(prompt->instruction, output, generator,
                                json_string_value(json_object_get(meta, "dataset")))
                       : NULL;
  free(output);
  json_decref(meta);
  return out;
}

int alpaca_outputs_of(json_t **out, const struct tpo_instructions *prompts, const struct tpo_samples *samples,
                      const char *generator, struct tpo_error *err)
{
  int status = samples->n == prompts->n
                   ? 0
                   : tpo_fail(err, TPO_E_STATE, "%zu samples of %zu prompts; expected one of each",
                              samples->n, prompts->n);
  *out = json_array();
  for (size_t i = 0; i < prompts->n && status == 0; i++)
    if (json_array_append_new(*out, record_of(&prompts->items[i], samples->rows[i].response, generator)) < 0)
      status = tpo_fail(err, TPO_E_MEMORY, "no memory for outputs");
  return status;
}

int alpaca_outputs_write(const json_t *records, const char *path, struct tpo_error *err)
{
  char *text = json_dumps(records, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
  int status = text ? tpo_write_file(path, text, strlen(text), err)
                    : tpo_fail(err, TPO_E_MEMORY, "%s: no memory for it", path);
  free(text);
  return status;
}

int alpaca_outputs_rename(json_t *outputs, const char *generator, struct tpo_error *err)
{
  size_t i;
  json_t *row;
  int failed = 0;
  json_array_foreach(outputs, i, row) failed |= json_object_set_new(row, "generator", json_string(generator));
  return failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for outputs") : 0;
}

const char *alpaca_generator(const json_t *outputs)
{
  return json_string_value(json_object_get(json_array_get(outputs, 0), "generator"));
}

size_t alpaca_outputs_empty(const json_t *outputs)
{
  size_t i, n = 0;
  json_t *row;
  json_array_foreach((json_t *)outputs, i, row) n += json_string_length(json_object_get(row, "output")) == 0;
  return n;
}

double alpaca_outputs_mean_length(const json_t *outputs)
{
  size_t i;
  double sum = 0;
  json_t *row;
  json_array_foreach((json_t *)outputs, i, row)
  {
    const json_t *output = json_object_get(row, "output");
    sum += (double)tpo_utf8_count(json_string_value(output), json_string_length(output));
  }
  return i > 0 ? sum / (double)i : NAN;
}
