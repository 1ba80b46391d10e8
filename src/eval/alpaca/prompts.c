/* Instructions that a model is to answer, from AlpacaEval's own file too. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/alpaca/outputs.h"
#include "eval/rows.h"

struct reading {
  struct tpo_instructions *set;
  int (*check)(void *arg, const struct tpo_instruction *item, struct tpo_error *err);
  void *arg;
};

static int add(struct reading *r, const struct eval_row *row, const char *instruction, const char *dataset,
               struct tpo_error *err)
{
  char id[32];
  json_t *meta = dataset ? json_pack("{s:s}", "dataset", dataset) : json_object();
  char *text = meta ? tpo_json_dump(meta) : NULL;
  json_decref(meta);
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", row->place);
  snprintf(id, sizeof id, "%zu", row->number + 1);
  struct tpo_instruction item = {.id = id, .instruction = instruction, .meta = text};
  int status = r->check ? r->check(r->arg, &item, err) : 0;
  if (status < 0) tpo_fail_prefix(err, "%s", row->place);
  if (status == 0) status = tpo_instructions_add(r->set, &item, err);
  free(text);
  return status;
}

static int take(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  const char *instruction = NULL, *dataset = NULL;
  int status = eval_row_text(row, "instruction", &instruction, err);
  if (status == 0 && !(instruction && *instruction))
    status = tpo_fail(err, TPO_E_INPUT, "%s: \"instruction\" is empty", row->place);
  if (status == 0 && eval_row_has(row, "dataset")) status = eval_row_text(row, "dataset", &dataset, err);
  return status < 0 ? status : add(arg, row, instruction, dataset, err);
}

/* 1: the file's first byte that isn't white space begins an array. */
static int is_array(const char *path, struct tpo_error *err)
{
  struct tpo_lines lines;
  const char *bytes = NULL;
  size_t n = 0, at = 0;
  int status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  status = tpo_lines_peek(&lines, &bytes, &n, err);
  while (status >= 0 && at < n && strchr(" \t\r\n", bytes[at])) at++;
  if (status >= 0) status = at < n && bytes[at] == '[';
  tpo_lines_close(&lines);
  return status;
}

/* Outputs are matched by their instructions. */
static int refuse_twice(const struct tpo_instructions *set, const char *path, struct tpo_error *err)
{
  json_t *seen = json_object();
  int status = seen ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for prompts");
  for (size_t i = 0; i < set->n && status == 0; i++) {
    const struct tpo_instruction *item = &set->items[i];
    const char *before = json_string_value(json_object_get(seen, item->instruction));
    if (before)
      status =
          tpo_fail(err, TPO_E_INPUT, "%s: instruction %s is that of %s already; outputs are matched by them",
                   path, item->id, before);
    else if (json_object_set_new(seen, item->instruction, json_string(item->id)) < 0)
      status = tpo_fail(err, TPO_E_MEMORY, "no memory for prompts");
  }
  json_decref(seen);
  return status;
}

int alpaca_prompts_read(struct tpo_instructions *set, const char *path, int skip_bad,
                        int (*check)(void *arg, const struct tpo_instruction *item, struct tpo_error *err),
                        void *arg, struct tpo_error *err)
{
  struct reading r = {set, check, arg};
  int status = strcmp(path, "-") == 0 ? 0 : is_array(path, err); /* standard input can be read but once */
  if (status > 0)
    status = eval_rows_read(path, take, &r, err);
  else if (status == 0)
    status = tpo_instructions_read_checked(set, path, skip_bad, check, arg, err);
  return status < 0 ? status : refuse_twice(set, path, err);
}
