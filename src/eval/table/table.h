/* Results of evaluations, collected into one table: a row a folder, a column a figure.
 *
 *   struct eval_table table = {0};
 *   for (int i = 0; i < n; i++) eval_table_add(&table, folders[i], &err);
 *   eval_table_finish(&table, &err);
 *   eval_table_write(&table, EVAL_TABLE_MARKDOWN, &buf, &err);
 *   eval_table_free(&table); */
#ifndef TPO_EVAL_TABLE_H
#define TPO_EVAL_TABLE_H

#include <jansson.h>
#include "base/buf.h"

/* A column, or with `each` several: one for each text of that field. */
struct table_figure {
  const char *evaluation, *heading;
  const char *field;         /* "a.b": b of a */
  const char *error;         /* the field of its standard error; NULL: none */
  const char *lower, *upper; /* the fields of its interval; NULL: none */
  const char *each;          /* the field whose text belongs to the heading; NULL: none */
  const char *kind;          /* the field that keeps values of one `each` apart; NULL: none */
  int decimals;
};
extern const struct table_figure table_figures[]; /* in the columns' order; ends with a NULL evaluation */

struct table_value {
  int figure;   /* index into table_figures; columns are in this order, then in detail's */
  char *detail; /* what follows the heading; "" for nothing */
  double value, error, lower, upper; /* NaN: not there */
  json_t *made_with;                 /* {what: identity}, of what must be equal for values to compare */
};
struct table_row {
  char *path, *label;
  char *model; /* of a result about several: a row for each; else NULL */
  struct table_value *values;
  size_t n, capacity;
};
struct eval_table {
  struct table_row *rows;
  size_t n, capacity;
  struct table_column {
    int figure;
    const char *detail; /* borrowed from a row */
    bool differs;       /* its rows don't compare: a note says why */
  } * columns;
  size_t n_columns, columns_capacity;
  char **files; /* [n_files] that were read, or looked at */
  size_t n_files, files_capacity;
  char **notes; /* [n_notes] sentences about columns whose rows don't compare */
  size_t n_notes, notes_capacity;
};

enum eval_table_format { EVAL_TABLE_MARKDOWN, EVAL_TABLE_CSV, EVAL_TABLE_LATEX };

/* A folder: its *.json that are results (as `--save` writes them), and of a run what it watched last; or
 * one such .json. What else lies there is passed over. Errors: nothing found, a result that lacks its
 * figures, two values for one column, the same path twice. */
int eval_table_add(struct eval_table *table, const char *path, struct tpo_error *err);
/* Once all are added: labels become unique, columns are put in order, and what doesn't compare is noted. */
int eval_table_finish(struct eval_table *table, struct tpo_error *err);
/* Markdown and LaTeX show values rounded with their errors or intervals, and the notes below; CSV has them
 * in columns of their own, in full, an empty cell for what is missing. */
int eval_table_write(const struct eval_table *table, enum eval_table_format format, struct tpo_buf *out,
                     struct tpo_error *err);
void eval_table_free(struct eval_table *table);

/* Inside. */

/* A row for path, called `label` or, with a model, "label: model"; its index. */
int table_new_row(struct eval_table *table, const char *path, const char *label, const char *model,
                  size_t *row, struct tpo_error *err);
/* place: FILE, for messages. 1: taken; 0: none of a result (kind of evaluation unknown, or a model's
 * answers without figures), which is told. Rows of further models follow the one given. */
int table_take_result(struct eval_table *table, size_t row, const json_t *result, const char *place,
                      struct tpo_error *err);
/* The figures of an evaluation, looked for in `figures`; what they were made with is the result's. */
int table_put_figures(struct eval_table *table, size_t row, const json_t *result, const json_t *figures,
                      const char *name, const char *place, struct tpo_error *err);
/* What a run watched last. 1: it did. */
int table_take_metrics(struct eval_table *table, size_t row, const char *path, struct tpo_error *err);
/* Takes made_with, also on failure; detail is copied into the value. An error where the row has the value
 * already. */
int table_put(struct eval_table *table, size_t row, const struct table_value *value, const char *detail,
              json_t *made_with, const char *place, struct tpo_error *err);
/* Notes what doesn't compare, and marks the columns. */
int table_compare(struct eval_table *table, struct tpo_error *err);
/* "GSM8K direct" into out. */
void table_heading(const struct table_column *column, struct tpo_buf *out);
/* The row's value in that column; NULL: none. */
const struct table_value *table_value_of(const struct table_row *row, const struct table_column *column);

#endif
