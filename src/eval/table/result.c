/* One result's figures, put into its row. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "eval/table/table.h"

/* "a.b": b of a. */
static const json_t *field_of(const json_t *result, const char *name)
{
  const char *dot = strchr(name, '.');
  return dot ? json_object_get(json_object_get(result, strndupa(name, (size_t)(dot - name))), dot + 1)
             : json_object_get(result, name);
}

/* NaN where it is null, or where it isn't there and needn't be. */
static int number_of(const json_t *result, const char *name, bool must, double *out, const char *place,
                     struct tpo_error *err)
{
  const json_t *value = name ? field_of(result, name) : NULL;
  *out = json_is_number(value) ? json_number_value(value) : NAN;
  if (value ? json_is_number(value) || json_is_null(value) : !must) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" %s", place, name,
                  value ? "is no number" : "is missing, which a result of this evaluation has");
}

/* Of a result about one kind of files, the rows that were scored: fewer with --limit, or where responses are missing. */
static void put_count(const json_t *result, json_t *found)
{
  const json_t *n = json_object_get(result, "n"), *missing = json_object_get(result, "missing");
  if (!n) n = json_object_get(result, "n_prompts");
  if (json_is_integer(n) && json_is_integer(missing))
    json_object_set_new(found, "n", json_pack("[I, I]", json_integer_value(n), json_integer_value(missing)));
}

/* What a comparison must have in common, by name. */
/* figures: of one model of several, or the result. */
static json_t *made_with(const json_t *result, const json_t *figures)
{
  static const char *const files[] = {"prompts", "baseline", "difficulty", "gamed", "b"};
  static const char *const fields[] = {"baseline", "annotator", "judge", "answer_is", "instructions"};
  json_t *provenance = json_object_get(result, "provenance"), *found = json_object(), *file;
  size_t i;
  json_array_foreach(json_object_get(provenance, "files"), i, file)
  {
    const char *name = json_string_value(json_object_get(file, "name"));
    for (size_t f = 0; name && f < sizeof files / sizeof *files; f++)
      if (strcmp(name, files[f]) == 0 && json_object_get(file, "hash"))
        json_object_set(found, name, json_object_get(file, "hash"));
  }
  for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
    json_t *value = json_object_get(result, fields[f]);
    if (json_is_string(value) && !json_object_get(found, fields[f])) json_object_set(found, fields[f], value);
  }
  put_count(figures, found);
  json_t *judge = json_object_get(provenance, "judge");
  if (judge) json_object_set(found, "judge", judge);
  return found;
}

/* "maths (gsm8k)" */
static void put_detail(const struct table_figure *figure, const json_t *result, struct tpo_buf *out)
{
  const char *each = figure->each ? json_string_value(json_object_get(result, figure->each)) : NULL;
  const char *kind = figure->kind ? json_string_value(json_object_get(result, figure->kind)) : NULL;
  tpo_buf_puts(out, each ? each : "");
  if (kind) tpo_buf_printf(out, " (%s)", kind);
}

static int put_figure(struct eval_table *table, size_t row, const json_t *result, const json_t *figures,
                      int at, const char *place, struct tpo_error *err)
{
  const struct table_figure *figure = &table_figures[at];
  struct table_value value = {.figure = at};
  struct tpo_buf detail = {0};
  put_detail(figure, result, &detail);
  int status = detail.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for a table") : 0;
  if (status == 0) status = number_of(figures, figure->field, true, &value.value, place, err);
  if (status == 0) status = number_of(figures, figure->error, false, &value.error, place, err);
  if (status == 0) status = number_of(figures, figure->lower, false, &value.lower, place, err);
  if (status == 0) status = number_of(figures, figure->upper, false, &value.upper, place, err);
  if (status == 0)
    status = table_put(table, row, &value, detail.data, made_with(result, figures), place, err);
  tpo_buf_free(&detail);
  return status;
}

/* How many figures the evaluation has, and how many of them the result. */
static void count(const json_t *result, const char *name, int *known, int *there)
{
  *known = *there = 0;
  for (int i = 0; table_figures[i].evaluation; i++)
    if (strcmp(table_figures[i].evaluation, name) == 0) {
      ++*known;
      *there += field_of(result, table_figures[i].field) != NULL;
    }
}

int table_put_figures(struct eval_table *table, size_t row, const json_t *result, const json_t *figures,
                      const char *name, const char *place, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; table_figures[i].evaluation && status == 0; i++)
    if (strcmp(table_figures[i].evaluation, name) == 0)
      status = put_figure(table, row, result, figures, i, place, err);
  return status;
}

/* A result about several models: a row for each, named after it, whatever it says of all together. */
static int put_models(struct eval_table *table, size_t row, const json_t *result, const json_t *models,
                      const char *name, const char *place, struct tpo_error *err)
{
  const char *label = table->rows[row].label, *path = table->rows[row].path;
  const json_t *one;
  size_t i;
  json_array_foreach(models, i, one)
  {
    const char *model = json_string_value(json_object_get(one, "model"));
    size_t other;
    if (!model) return tpo_fail(err, TPO_E_INPUT, "%s: \"models\" has an entry without \"model\"", place);
    int status = table_new_row(table, path, label, model, &other, err);
    if (status == 0) status = table_put_figures(table, other, result, one, name, place, err);
    if (status < 0) return status;
  }
  return 1;
}

int table_take_result(struct eval_table *table, size_t row, const json_t *result, const char *place,
                      struct tpo_error *err)
{
  const char *name = json_string_value(json_object_get(result, "evaluation"));
  const json_t *models = json_object_get(result, "models");
  int known, there;
  if (!name || json_object_get(result, "part")) return 0; /* of a part there is no figure yet */
  count(result, name, &known, &there);
  if (known == 0 || strcmp(name, "watch") == 0) {
    tpo_log(TPO_LOG_WARN, "%s: passed over: no column shows the evaluation \"%s\"", place, name);
    return 0;
  }
  if (json_array_size(models) > (there == 0 ? 0 : 1))
    return put_models(table, row, result, models, name, place, err);
  int status = table_put_figures(table, row, result, result, name, place, err);
  return status < 0 ? status : 1;
}
