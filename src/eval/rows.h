/* Files of records, in whatever format they are published: JSON Lines, one JSON array of objects, or columns
 * with a header line, separated by tabs or by commas; plain or gzip. Told by the first byte: '{' begins JSON
 * Lines, '[' an array, anything else a header. Cells between commas may stand in quotes ("" is one quote) and
 * then hold line ends; those between tabs are taken as they are.
 *
 *   static int take(void *arg, const struct eval_row *row, struct tpo_error *err) {
 *     double preference;
 *     return eval_row_number(row, "preference", &preference, err);
 *   }
 *   eval_rows_read("annotations.json", take, state, &err); */
#ifndef TPO_EVAL_ROWS_H
#define TPO_EVAL_ROWS_H

#include <jansson.h>
#include "tpo/base.h"

struct eval_row {
  const json_t *fields; /* an object; cells of columns are strings, and empty ones null */
  const char *place;    /* FILE:LINE, or FILE, record N, for messages */
  size_t number;        /* from 0 */
  bool cells;           /* of columns, not of JSON */
};
/* 0 to go on; a negative status ends the reading. What row points at is borrowed until it returns. */
typedef int eval_take_row(void *arg, const struct eval_row *row, struct tpo_error *err);

enum {
  EVAL_ROWS_BYTES = 1 << 30, /* larger files are refused */
  EVAL_ROWS_COLUMNS = 4096,
};

/* Errors name the place. Refused are bytes that are not UTF-8, NUL bytes, rows with more or fewer cells than
 * the header, columns of one name, and files without a row. A header's empty name, as pandas gives to the
 * numbers of its rows, is "". Lines that are empty are passed over. */
int eval_rows_read(const char *path, eval_take_row *take, void *arg, struct tpo_error *err);

/* Fields by name. An absent one is an error that names it and what the row has. A number may stand as text,
 * decimal and finite; null, an empty cell and "nan" are NaN. Text may be empty where JSON gives it so; null and an
 * empty cell are NULL. Texts with a NUL character are refused. */
int eval_row_number(const struct eval_row *row, const char *name, double *out, struct tpo_error *err);
int eval_row_text(const struct eval_row *row, const char *name, const char **out, struct tpo_error *err);
/* The same of a text that must be there and may be empty: an empty cell is "", and null an error. */
int eval_row_text_there(const struct eval_row *row, const char *name, const char **out,
                        struct tpo_error *err);
bool eval_row_has(const struct eval_row *row, const char *name);
/* x with as many digits as tell it from others, 6 at least, for messages. */
enum { EVAL_SHOWN = 32 };
const char *eval_shown(double x, char out[EVAL_SHOWN]);
/* The first of the names that the row has, NULL: none. */
const char *eval_row_which(const struct eval_row *row, const char *const *names, size_t n);

#endif
