/* Annotations, from whichever file they are published in. */
#include "eval/alpaca/annotations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "eval/rows.h"

enum { MOST_POSITIONS = 1 << 30 };

/* What tells a row's instruction from another's. */
struct key {
  uint64_t hash;
  size_t row; /* from 0 */
};
struct reading {
  struct alpaca_annotations *out;
  struct key *keys; /* [n_keys] */
  size_t n_keys, capacity;
};

int alpaca_annotations_add(struct alpaca_annotations *a, const struct alpaca_row *row, struct tpo_error *err)
{
  int status = tpo_grow(&a->rows, &a->capacity, a->n + 1, sizeof *a->rows, err);
  if (status == 0) a->rows[a->n++] = *row;
  return status;
}

static int add_key(struct reading *r, uint64_t hash, size_t row, struct tpo_error *err)
{
  int status = tpo_grow(&r->keys, &r->capacity, r->n_keys + 1, sizeof *r->keys, err);
  if (status == 0) r->keys[r->n_keys++] = (struct key){hash, row};
  return status;
}

static int take_preference(const struct eval_row *row, double *out, struct tpo_error *err)
{
  char shown[EVAL_SHOWN];
  int status = eval_row_number(row, "preference", out, err);
  if (status < 0) return status;
  if (*out == 0) *out = 1.5;
  if (isnan(*out) || (*out >= 1 && *out <= 2)) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: \"preference\" is %s; expected a number from 1 to 2, or 0 for a draw", row->place,
                  eval_shown(*out, shown));
}

static int take_whole(const struct eval_row *row, const char *name, double *out, struct tpo_error *err)
{
  char shown[EVAL_SHOWN];
  int status = eval_row_number(row, name, out, err);
  if (status < 0) return status;
  if (*out >= 0 && *out < MOST_POSITIONS && *out == floor(*out)) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is %s; expected a whole number from 0", row->place, name,
                  eval_shown(*out, shown));
}

static int take_length(const struct eval_row *row, const char *column, const char *text, double *out,
                       struct tpo_error *err)
{
  const char *output;
  if (eval_row_has(row, column)) return take_whole(row, column, out, err);
  int status = eval_row_text(row, text, &output, err);
  if (status == 0) *out = output ? (double)tpo_utf8_count(output, strlen(output)) : 0;
  return status;
}

static int take_lengths(struct reading *r, const struct eval_row *row, struct alpaca_row *out,
                        struct tpo_error *err)
{
  static const char *const names[] = {"len_1", "len_2", "output_1", "output_2"};
  bool has = eval_row_which(row, names, 4) != NULL;
  if (row->number == 0) r->out->has_lengths = has;
  if (!r->out->has_lengths && !has) return 0;
  int status = take_length(row, "len_1", "output_1", &out->len_1, err);
  return status < 0 ? status : take_length(row, "len_2", "output_2", &out->len_2, err);
}

/* Where every row must name the same. */
static int take_name(const struct eval_row *row, const char *field, char **name, struct tpo_error *err)
{
  const char *text = NULL;
  if (!eval_row_has(row, field)) return 0;
  int status = eval_row_text(row, field, &text, err);
  if (status < 0 || !text) return status;
  if (!*name && row->number == 0)
    return (*name = strdup(text)) ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for a name");
  if (*name && strcmp(*name, text) == 0) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: \"%s\" is %.60s, and rows before it have %.60s; expected one in all rows", row->place,
                  field, text, *name ? *name : "none");
}

static int take_names(struct alpaca_annotations *a, const struct eval_row *row, struct tpo_error *err)
{
  int status = take_name(row, "generator_1", &a->baseline, err);
  if (status == 0) status = take_name(row, "generator_2", &a->model, err);
  return status < 0 ? status : take_name(row, "annotator", &a->annotator, err);
}

/* True where a judge was asked in both orders. */
static int take_positions(struct alpaca_annotations *a, const struct eval_row *row, struct tpo_error *err)
{
  bool both = json_is_true(json_object_get(row->fields, "both_positions"));
  if (row->number > 0 && both != a->both_positions)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"both_positions\" is not that of the rows before it; expected the same in all rows",
                    row->place);
  a->both_positions = both;
  return 0;
}

static int take_key(struct reading *r, const struct eval_row *row, struct tpo_error *err)
{
  static const char *const names[] = {"index", "pos"};
  const char *text = NULL, *column = eval_row_which(row, names, 2);
  double number = 0;
  if (eval_row_has(row, "instruction")) {
    int status = eval_row_text(row, "instruction", &text, err);
    if (status < 0) return status;
    return add_key(r, tpo_hash64_str(text ? text : ""), row->number, err);
  }
  if (!column) return 0;
  int status = take_whole(row, column, &number, err);
  return status < 0 ? status : add_key(r, (uint64_t)number, row->number, err);
}

static int take_position(const struct eval_row *row, size_t *out, struct tpo_error *err)
{
  static const char *const names[] = {"pos", "index"};
  const char *column = eval_row_which(row, names, 2);
  double number = (double)row->number;
  int status = column ? take_whole(row, column, &number, err) : 0;
  *out = (size_t)number;
  return status;
}

static int take(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct reading *r = arg;
  struct alpaca_row out = {0};
  int status = take_preference(row, &out.preference, err);
  if (status == 0) status = take_lengths(r, row, &out, err);
  if (status == 0) status = take_names(r->out, row, err);
  if (status == 0) status = take_positions(r->out, row, err);
  if (status == 0) status = take_position(row, &out.position, err);
  if (status == 0) status = take_key(r, row, err);
  return status < 0 ? status : alpaca_annotations_add(r->out, &out, err);
}

static int by_hash(const void *a, const void *b)
{
  const struct key *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static int refuse_twice(struct reading *r, const char *path, struct tpo_error *err)
{
  if (r->n_keys > 0) qsort(r->keys, r->n_keys, sizeof *r->keys, by_hash);
  for (size_t i = 1; i < r->n_keys; i++)
    if (r->keys[i].hash == r->keys[i - 1].hash)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: rows %zu and %zu are of the same instruction; expected one row for each", path,
                      r->keys[i - 1].row + 1, r->keys[i].row + 1);
  return 0;
}

int alpaca_annotations_read(struct alpaca_annotations *out, const char *path, struct tpo_error *err)
{
  struct reading r = {.out = out};
  int status = eval_rows_read(path, take, &r, err);
  if (status == 0) status = refuse_twice(&r, path, err);
  free(r.keys);
  return status;
}

void alpaca_annotations_free(struct alpaca_annotations *a)
{
  free(a->rows);
  free(a->baseline);
  free(a->model);
  free(a->annotator);
  *a = (struct alpaca_annotations){0};
}

bool alpaca_is_baseline(const struct alpaca_annotations *a)
{
  bool named = a->baseline && a->model;
  if (named && strcmp(a->baseline, a->model) != 0) return false;
  for (size_t i = 0; i < a->n; i++)
    if (a->rows[i].preference != 1.5 || (!named && a->rows[i].len_1 != a->rows[i].len_2)) return false;
  return named || (a->n > 1 && a->has_lengths);
}
