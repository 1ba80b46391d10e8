/* Records are read from JSON Lines, a JSON array, or columns; each becomes a JSON object. */
#include "eval/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

struct reader {
  const char *path;
  const char *at, *end; /* of the whole file */
  size_t line, number;  /* line from 1, records so far */
  char place[512];
  char separator; /* of columns */
  json_t *header; /* array of names; NULL: no columns */
  eval_take_row *take;
  void *arg;
};

static void set_place(struct reader *r, size_t line)
{
  snprintf(r->place, sizeof r->place, "%.440s:%zu", r->path, line);
}

/* Takes fields. */
static int hand_on(struct reader *r, json_t *fields, struct tpo_error *err)
{
  struct eval_row row = {fields, r->place, r->number++, r->header != NULL};
  int status = json_is_object(fields) ? r->take(r->arg, &row, err)
                                      : tpo_fail(err, TPO_E_INPUT, "%s: expected a JSON object", r->place);
  json_decref(fields);
  return status;
}

static int read_array(struct reader *r, struct tpo_error *err)
{
  json_t *all = tpo_json_parse(r->at, (size_t)(r->end - r->at), r->path, err), *item;
  size_t i;
  int status = all ? 0 : err->code;
  json_array_foreach(all, i, item)
  {
    snprintf(r->place, sizeof r->place, "%.440s, record %zu", r->path, i + 1);
    status = hand_on(r, json_incref(item), err);
    if (status != 0) break;
  }
  json_decref(all);
  return status;
}

static bool is_blank(const char *text, const char *end)
{
  while (text < end && (*text == ' ' || *text == '\t' || *text == '\r')) text++;
  return text == end;
}

static int read_json_lines(struct reader *r, struct tpo_error *err)
{
  int status = 0;
  for (; r->at < r->end && status == 0; r->line++) {
    const char *line = r->at, *newline = memchr(line, '\n', (size_t)(r->end - line));
    const char *end = newline ? newline : r->end;
    r->at = newline ? newline + 1 : r->end;
    if (is_blank(line, end)) continue;
    set_place(r, r->line);
    json_t *fields = tpo_json_parse(line, (size_t)(end - line), r->place, err);
    status = fields ? hand_on(r, fields, err) : err->code;
  }
  return status;
}

/* A cell in quotes, "" standing for one; r->at is behind the first. */
static int read_quoted(struct reader *r, struct tpo_buf *cell, struct tpo_error *err)
{
  for (; r->at < r->end; r->at++) {
    if (*r->at == '"') {
      if (r->at + 1 == r->end || r->at[1] != '"') break;
      r->at++;
    }
    r->line += *r->at == '\n';
    tpo_buf_putc(cell, *r->at);
  }
  if (r->at == r->end) return tpo_fail(err, TPO_E_INPUT, "%s: a quote is not closed", r->place);
  r->at++;
  if (r->at < r->end && *r->at == '\r' && (r->at + 1 == r->end || r->at[1] == '\n')) r->at++;
  if (r->at < r->end && *r->at != r->separator && *r->at != '\n')
    return tpo_fail(err, TPO_E_INPUT, "%s: text behind a closing quote", r->place);
  return 0;
}

/* Up to the separator or the line's end. */
static int read_cell(struct reader *r, struct tpo_buf *cell, struct tpo_error *err)
{
  tpo_buf_clear(cell);
  if (r->separator == ',' && r->at < r->end && *r->at == '"') {
    r->at++;
    return read_quoted(r, cell, err);
  }
  const char *from = r->at;
  while (r->at < r->end && *r->at != r->separator && *r->at != '\n') r->at++;
  size_t len = (size_t)(r->at - from);
  if (len > 0 && from[len - 1] == '\r' && (r->at == r->end || *r->at == '\n')) len--;
  tpo_buf_append(cell, from, len);
  return 0;
}

/* The cells of a line as an array; an empty one is null. */
static int read_cells(struct reader *r, json_t *cells, struct tpo_error *err)
{
  struct tpo_buf cell = {0};
  bool more = true;
  int status = 0;
  while (more && status == 0) {
    status = read_cell(r, &cell, err);
    json_t *value = status < 0 || cell.len == 0 ? json_null() : json_stringn(cell.data, cell.len);
    if (status == 0 && (cell.failed || json_array_append_new(cells, value) < 0))
      status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
    if (status == 0 && json_array_size(cells) > EVAL_ROWS_COLUMNS)
      status = tpo_fail(err, TPO_E_INPUT, "%s: more than %d cells", r->place, EVAL_ROWS_COLUMNS);
    more = r->at < r->end && *r->at == r->separator;
    if (r->at < r->end) r->line += *r->at++ == '\n';
  }
  tpo_buf_free(&cell);
  return status;
}

static int take_cells(struct reader *r, const json_t *cells, struct tpo_error *err)
{
  size_t n = json_array_size(cells), columns = json_array_size(r->header);
  if (n != columns)
    return tpo_fail(err, TPO_E_INPUT, "%s: %zu cells, and the header has %zu", r->place, n, columns);
  json_t *fields = json_object();
  for (size_t i = 0; i < n; i++)
    if (json_object_set(fields, json_string_value(json_array_get(r->header, i)), json_array_get(cells, i)) <
        0) {
      json_decref(fields);
      return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
    }
  return hand_on(r, fields, err);
}

/* pandas' CSVs begin with a column without a name: the row's number, called "" here. */
static int check_header(struct reader *r, struct tpo_error *err)
{
  json_t *seen = json_object(), *name;
  size_t i;
  int status = 0;
  json_array_foreach(r->header, i, name)
  {
    if (json_is_null(name)) json_array_set_new(r->header, i, json_string(""));
    const char *text = json_string_value(json_array_get(r->header, i));
    if (json_object_get(seen, text))
      status = tpo_fail(err, TPO_E_INPUT, "%s: two columns are named \"%.60s\"", r->place, text);
    else if (json_object_set_new(seen, text, json_null()) < 0)
      status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
    if (status < 0) break;
  }
  json_decref(seen);
  return status;
}

static bool is_named(const char *path, const char *ending)
{
  size_t len = strlen(path), n = strlen(ending);
  if (len > 3 && strcasecmp(path + len - 3, ".gz") == 0) len -= 3;
  return len >= n && strncasecmp(path + len - n, ending, n) == 0;
}

/* By the header's line; where that has neither a tab nor a comma, by the file's name. */
static char separator_of(const struct reader *r)
{
  const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
  size_t len = (size_t)((newline ? newline : r->end) - r->at);
  if (memchr(r->at, '\t', len) || is_named(r->path, ".tsv")) return '\t';
  return memchr(r->at, ',', len) || is_named(r->path, ".csv") ? ',' : '\t';
}

static int read_columns(struct reader *r, struct tpo_error *err)
{
  r->separator = separator_of(r);
  int status = 0;
  while (r->at < r->end && status == 0) {
    set_place(r, r->line);
    const char *end = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (r->at == end || (end == r->at + 1 && *r->at == '\r')) {
      r->at = end + 1;
      r->line++;
      continue;
    }
    json_t *cells = json_array();
    status = cells ? read_cells(r, cells, err) : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
    bool is_header = !r->header;
    if (status == 0 && is_header) r->header = json_incref(cells);
    if (status == 0) status = is_header ? check_header(r, err) : take_cells(r, cells, err);
    json_decref(cells);
  }
  json_decref(r->header);
  return status;
}

static int check_bytes(const char *path, const struct tpo_buf *text, struct tpo_error *err)
{
  size_t bad;
  if (!tpo_utf8_valid(text->data, text->len, &bad))
    return tpo_fail(err, TPO_E_INPUT, "%s: not valid UTF-8 (byte %zu)", path, bad + 1);
  if (memchr(text->data, 0, text->len)) return tpo_fail(err, TPO_E_INPUT, "%s: holds a NUL byte", path);
  return 0;
}

int eval_rows_read(const char *path, eval_take_row *take, void *arg, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  struct tpo_error local = {0};
  if (!err) err = &local;
  struct reader r = {
      .path = strcmp(path, "-") == 0 ? "standard input" : path, .line = 1, .take = take, .arg = arg};
  int status = tpo_read_file(path, EVAL_ROWS_BYTES, &text, err);
  if (status == 0 && text.len > 0) status = check_bytes(r.path, &text, err);
  if (status == 0 && text.len > 0) {
    size_t mark = text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    r.at = text.data + mark;
    r.end = text.data + text.len;
    while (r.at < r.end && strchr("\r\n", *r.at)) r.line += *r.at++ == '\n';
    const char *begin = r.at;
    while (begin < r.end && strchr(" \t\r\n", *begin)) begin++;
    char c = begin < r.end ? *begin : 0;
    status = c == '{' ? read_json_lines(&r, err) : c == '[' ? read_array(&r, err) : read_columns(&r, err);
  }
  tpo_buf_free(&text);
  if (status == 0 && r.number == 0) status = tpo_fail(err, TPO_E_INPUT, "%s: holds no row", r.path);
  return status;
}

bool eval_row_has(const struct eval_row *row, const char *name)
{
  return json_object_get(row->fields, name) != NULL;
}

const char *eval_row_which(const struct eval_row *row, const char *const *names, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (eval_row_has(row, names[i])) return names[i];
  return NULL;
}

static int find(const struct eval_row *row, const char *name, const json_t **out, struct tpo_error *err)
{
  *out = json_object_get(row->fields, name);
  if (*out) return 0;
  struct tpo_buf names = {0};
  const char *other;
  json_t *value;
  json_object_foreach((json_t *)row->fields, other, value)
  {
    if (names.len > 200) break;
    tpo_buf_printf(&names, "%s\"%.60s\"", names.len ? ", " : "", other);
  }
  tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is missing; there are %s", row->place, name,
           names.len && !names.failed ? names.data : "no fields");
  tpo_buf_free(&names);
  return TPO_E_INPUT;
}

/* Decimal and finite, or "nan"; strtod takes more: white space before it, hexadecimal, infinities. */
static bool number_of(const char *text, double *out)
{
  char *end;
  if (strcasecmp(text, "nan") == 0) {
    *out = NAN;
    return true;
  }
  if (!*text || text[strspn(text, "+-.0123456789eE")]) return false;
  *out = strtod(text, &end);
  return !*end && isfinite(*out);
}

int eval_row_number(const struct eval_row *row, const char *name, double *out, struct tpo_error *err)
{
  const json_t *value;
  int status = find(row, name, &value, err);
  if (status < 0) return status;
  *out = json_is_null(value) ? NAN : json_number_value(value);
  if (json_is_null(value) || json_is_number(value)) return 0;
  const char *text = json_string_value(value);
  if (!text) return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\": expected a number", row->place, name);
  if (strlen(text) == json_string_length(value) && number_of(text, out)) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is \"%.60s\"; expected a number", row->place, name, text);
}

int eval_row_text(const struct eval_row *row, const char *name, const char **out, struct tpo_error *err)
{
  const json_t *value;
  int status = find(row, name, &value, err);
  if (status < 0) return status;
  *out = json_string_value(value);
  if (!*out && !json_is_null(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\": expected a text", row->place, name);
  if (*out && strlen(*out) != json_string_length(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" holds a NUL character", row->place, name);
  return 0;
}

const char *eval_shown(double x, char out[EVAL_SHOWN])
{
  for (int digits = 6; digits <= 17; digits++) {
    snprintf(out, EVAL_SHOWN, "%.*g", digits, x);
    if (isnan(x) || strtod(out, NULL) == x) break;
  }
  return out;
}

int eval_row_text_there(const struct eval_row *row, const char *name, const char **out, struct tpo_error *err)
{
  int status = eval_row_text(row, name, out, err);
  if (status < 0 || *out) return status;
  *out = "";
  return row->cells ? 0
                    : tpo_fail(err, TPO_E_INPUT, "%s: \"%s\": expected a text, not null", row->place, name);
}
