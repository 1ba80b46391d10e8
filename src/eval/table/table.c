/* Rows and columns: collected, and put in order. */
#include "eval/table/table.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

enum { MOST_BYTES = 16 << 20 /* of a result; what is larger is none */, MOST_ROWS = 10000 };

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for a table");
}

static char *joined(const char *label, const char *model)
{
  char *text;
  return asprintf(&text, "%s%s%s", label, model ? ": " : "", model ? model : "") < 0 ? NULL : text;
}

int table_new_row(struct eval_table *table, const char *path, const char *label, const char *model,
                  size_t *row, struct tpo_error *err)
{
  if (table->n == MOST_ROWS) return tpo_fail(err, TPO_E_INPUT, "%s: more than %d rows", path, MOST_ROWS);
  struct table_row new = {
      .path = strdup(path), .label = joined(label, model), .model = model ? strdup(model) : NULL};
  bool whole = new.path &&new.label && (new.model || !model);
  int status =
      whole ? tpo_grow(&table->rows, &table->capacity, table->n + 1, sizeof new, err) : no_memory(err);
  if (status < 0) {
    free(new.path);
    free(new.label);
    free(new.model);
    return status;
  }
  table->rows[ *row = table->n++] = new;
  return 0;
}

int table_put(struct eval_table *table, size_t at, const struct table_value *value, const char *detail,
              json_t *made_with, const char *place, struct tpo_error *err)
{
  struct table_row *row = &table->rows[at];
  const struct table_column column = {.figure = value->figure, .detail = detail};
  const char *name = table_figures[value->figure].evaluation;
  int status = made_with ? 0 : no_memory(err);
  if (status == 0 && table_value_of(row, &column))
    status = tpo_fail(err, TPO_E_INPUT, "%s: a second result of %s%s%.100s beside another in %s", place, name,
                      *detail ? " " : "", detail, row->path);
  if (status == 0) status = tpo_grow(&row->values, &row->capacity, row->n + 1, sizeof *row->values, err);
  char *copy = status == 0 ? strdup(detail) : NULL;
  if (status == 0 && !copy) status = no_memory(err);
  if (status < 0) {
    json_decref(made_with);
    return status;
  }
  struct table_value *new = &row->values[row->n++];
  *new = *value;
  new->made_with = made_with;
  new->detail = copy;
  return 0;
}

const struct table_value *table_value_of(const struct table_row *row, const struct table_column *column)
{
  for (size_t i = 0; i < row->n; i++)
    if (row->values[i].figure == column->figure && strcmp(row->values[i].detail, column->detail) == 0)
      return &row->values[i];
  return NULL;
}

void table_heading(const struct table_column *column, struct tpo_buf *out)
{
  tpo_buf_puts(out, table_figures[column->figure].heading);
  if (*column->detail) tpo_buf_printf(out, " %s", column->detail);
}

/* 1: it begins as an object does. Lists of outputs and annotations, which may be large, aren't read. */
static int begins_object(const char *path, struct tpo_error *err)
{
  struct tpo_lines lines;
  const char *bytes;
  size_t n = 0, at = 0;
  int status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  status = tpo_lines_peek(&lines, &bytes, &n, err);
  while (status >= 0 && at < n && bytes[at] && strchr(" \t\r\n", bytes[at])) at++;
  bool object = status >= 0 && at < n && bytes[at] == '{';
  tpo_lines_close(&lines);
  return status < 0 ? status : object;
}

static int note_file(struct eval_table *table, const char *path, struct tpo_error *err)
{
  int status = tpo_grow(&table->files, &table->files_capacity, table->n_files + 1, sizeof *table->files, err);
  char *copy = status == 0 ? strdup(path) : NULL;
  if (copy) table->files[table->n_files++] = copy;
  return status == 0 && !copy ? no_memory(err) : status;
}

/* A file that is an object naming its evaluation, or that isn't and is passed over. named: it was asked for. */
static int take_file(struct eval_table *table, size_t row, const char *path, bool named,
                     struct tpo_error *err)
{
  if (note_file(table, path, err) < 0) return TPO_E_MEMORY;
  int object = begins_object(path, err), status = object < 0 ? object : 0;
  json_t *result = object > 0 ? tpo_json_load(path, MOST_BYTES, err) : NULL;
  if (object > 0 && !result) status = err->code;
  if (status < 0 && !named && status != TPO_E_MEMORY) {
    tpo_log(TPO_LOG_WARN, "passed over: %s", err->message);
    *err = (struct tpo_error){0};
    status = 0;
  }
  if (result) status = table_take_result(table, row, result, path, err);
  json_decref(result);
  return status;
}

static int is_json(const struct dirent *entry)
{
  size_t len = strlen(entry->d_name);
  return len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

/* How many results it had. */
static int take_folder(struct eval_table *table, size_t row, const char *path, struct tpo_error *err)
{
  struct dirent **names;
  char file[4096];
  int n = scandir(path, &names, is_json, alphasort), found = 0, status = 0;
  if (n < 0) return tpo_fail(err, TPO_E_IO, "%s: can't be read: %m", path);
  for (int i = 0; i < n; free(names[i++])) {
    if (status < 0) continue;
    status = tpo_path_join(file, sizeof file, path, names[i]->d_name, err);
    if (status == 0 && tpo_is_regular(file)) status = take_file(table, row, file, false, err);
    found += status > 0;
  }
  free(names);
  if (status >= 0) status = tpo_path_join(file, sizeof file, path, "metrics.jsonl", err);
  bool watched = status >= 0 && tpo_is_regular(file);
  if (watched) status = note_file(table, file, err);
  if (watched && status == 0) status = table_take_metrics(table, row, file, err);
  return status < 0 ? status : found + status;
}

/* "runs/a/" and "runs/a/.": "a"; "runs/a.json": "a". */
static void label_of(const char *path, bool folder, char out[4096])
{
  char *real = folder ? realpath(path, NULL) : NULL;
  const char *from = real ? real : path, *slash = strrchr(from, '/');
  snprintf(out, 4096, "%s", slash && slash[1] ? slash + 1 : from);
  size_t len = strlen(out);
  if (!folder && len > 5 && strcmp(out + len - 5, ".json") == 0) out[len - 5] = '\0';
  free(real);
}

int eval_table_add(struct eval_table *table, const char *path, struct tpo_error *err)
{
  char label[4096];
  size_t row;
  int there = tpo_look_for(path, err);
  if (there < 0) return there;
  if (!there) return tpo_fail(err, TPO_E_INPUT, "%s: there is no such folder or file", path);
  for (size_t i = 0; i < table->n; i++)
    if (tpo_same_file(table->rows[i].path, path))
      return tpo_fail(err, TPO_E_USAGE, "%s: is given twice", path);
  bool folder = tpo_is_dir(path);
  label_of(path, folder, label);
  int status = table_new_row(table, path, label, NULL, &row, err);
  if (status == 0)
    status = folder ? take_folder(table, row, path, err) : take_file(table, row, path, true, err);
  if (status < 0) return status;
  if (status == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s", path,
                    folder
                        ? "holds no result of an evaluation (NAME.json, as --save writes it), and no run "
                          "that watched anything"
                        : "is no result of an evaluation with a figure (a JSON object with \"evaluation\")");
  return 0;
}

static void free_row(struct table_row *row)
{
  for (size_t i = 0; i < row->n; i++) {
    free(row->values[i].detail);
    json_decref(row->values[i].made_with);
  }
  free(row->values);
  free(row->path);
  free(row->label);
  free(row->model);
}

/* A row whose figures all went to rows of further models. */
static void drop_empty_rows(struct eval_table *table)
{
  size_t kept = 0;
  for (size_t i = 0; i < table->n; i++) {
    if (table->rows[i].n > 0) {
      table->rows[kept++] = table->rows[i];
      continue;
    }
    free_row(&table->rows[i]);
  }
  table->n = kept;
}

static bool is_taken(const struct eval_table *table, size_t row, const char *label)
{
  for (size_t i = 0; i < table->n; i++)
    if (i != row && strcmp(table->rows[i].label, label) == 0) return true;
  return false;
}

/* Rows of one label get their path instead. */
static int make_unique(struct eval_table *table, struct tpo_error *err)
{
  for (size_t i = 0; i < table->n; i++) {
    char *label = table->rows[i].label;
    if (!is_taken(table, i, label)) continue;
    for (size_t j = table->n; j-- > i;) {
      if (strcmp(table->rows[j].label, label) != 0) continue;
      char *longer = joined(table->rows[j].path, table->rows[j].model);
      if (!longer) return no_memory(err);
      if (j != i) free(table->rows[j].label);
      table->rows[j].label = longer;
    }
    free(label);
  }
  return 0;
}

static int by_order(const void *a, const void *b)
{
  const struct table_column *x = a, *y = b;
  return x->figure != y->figure ? (x->figure > y->figure) - (x->figure < y->figure)
                                : strcmp(x->detail, y->detail);
}

static int list_columns(struct eval_table *table, struct tpo_error *err)
{
  for (size_t r = 0; r < table->n; r++)
    for (size_t i = 0; i < table->rows[r].n; i++) {
      const struct table_value *value = &table->rows[r].values[i];
      struct table_column column = {.figure = value->figure, .detail = value->detail};
      bool known = false;
      for (size_t c = 0; c < table->n_columns && !known; c++)
        known = by_order(&table->columns[c], &column) == 0;
      if (known) continue;
      if (tpo_grow(&table->columns, &table->columns_capacity, table->n_columns + 1, sizeof column, err) < 0)
        return TPO_E_MEMORY;
      table->columns[table->n_columns++] = column;
    }
  qsort(table->columns, table->n_columns, sizeof *table->columns, by_order);
  return 0;
}

int eval_table_finish(struct eval_table *table, struct tpo_error *err)
{
  drop_empty_rows(table);
  int status = make_unique(table, err);
  if (status == 0) status = list_columns(table, err);
  return status < 0 ? status : table_compare(table, err);
}

void eval_table_free(struct eval_table *table)
{
  for (size_t r = 0; r < table->n; r++) free_row(&table->rows[r]);
  for (size_t i = 0; i < table->n_notes; i++) free(table->notes[i]);
  for (size_t i = 0; i < table->n_files; i++) free(table->files[i]);
  free(table->files);
  free(table->rows);
  free(table->columns);
  free(table->notes);
  *table = (struct eval_table){0};
}
