/* Tables of structs to datasets, a column each, and back. */
#include <stdlib.h>
#include <string.h>
#include "store/hdf5/h5.h"

struct table {
  const char *rows; /* the caller's; written to when reading */
  size_t row_bytes, n;
};

/* The field of row i at this offset. */
static void *field(const struct table *t, size_t i, size_t at)
{
  return (char *)t->rows + i * t->row_bytes + at;
}

static int32_t count_of(const struct table *t, size_t i, size_t at)
{
  int32_t count;
  memcpy(&count, field(t, i, at), sizeof count);
  return count;
}

static const void *pointer_of(const struct table *t, size_t i, size_t at)
{
  const void *pointer;
  memcpy(&pointer, field(t, i, at), sizeof pointer);
  return pointer;
}

static void set_pointer(const struct table *t, size_t i, size_t at, const void *pointer)
{
  memcpy(field(t, i, at), &pointer, sizeof pointer);
}

static int put_column(struct tpo_h5_writer *w, const struct tpo_h5_column *column, const struct table *t,
                      struct tpo_error *err)
{
  size_t size = tpo_h5_type_size(column->type);
  uint64_t n = t->n;
  char *values = tpo_calloc(t->n, size, err);
  if (!values) return TPO_E_MEMORY;
  for (size_t i = 0; i < t->n; i++) memcpy(values + i * size, field(t, i, column->at), size);
  int status = tpo_h5_put(w, column->name, column->type, 1, &n, values, err);
  free(values);
  return status;
}

/* Zeros alone are what a file without the column means. */
static int put_sparse(struct tpo_h5_writer *w, const struct tpo_h5_column *column, const struct table *t,
                      struct tpo_error *err)
{
  static const char zeros[8];
  size_t size = tpo_h5_type_size(column->type);
  for (size_t i = 0; i < t->n; i++)
    if (memcmp(field(t, i, column->at), zeros, size) != 0) return put_column(w, column, t, err);
  return 0;
}

static int put_offsets(struct tpo_h5_writer *w, const struct tpo_h5_column *column, const struct table *t,
                       struct tpo_error *err)
{
  uint64_t n = (uint64_t)t->n + 1;
  int64_t *offsets = tpo_calloc(n, sizeof *offsets, err);
  if (!offsets) return TPO_E_MEMORY;
  for (size_t i = 0; i < t->n; i++) offsets[i + 1] = offsets[i] + count_of(t, i, column->at);
  int status = tpo_h5_put(w, column->name, TPO_H5_I64, 1, &n, offsets, err);
  free(offsets);
  return status;
}

static int put_ragged(struct tpo_h5_writer *w, const struct tpo_h5_column *column, size_t counts_at,
                      const struct table *t, struct tpo_error *err)
{
  size_t size = tpo_h5_type_size(column->type);
  uint64_t total = 0, used = 0;
  for (size_t i = 0; i < t->n; i++) total += (uint64_t)count_of(t, i, counts_at);
  char *values = tpo_calloc(total, size, err);
  if (!values) return TPO_E_MEMORY;
  for (size_t i = 0; i < t->n; i++) {
    size_t count = (size_t)count_of(t, i, counts_at);
    if (count > 0) memcpy(values + used * size, pointer_of(t, i, column->at), count * size);
    used += count;
  }
  int status = tpo_h5_put(w, column->name, column->type, 1, &total, values, err);
  free(values);
  return status;
}

int tpo_h5_put_rows(struct tpo_h5_writer *w, const struct tpo_h5_column *columns, int n_columns,
                    const void *rows, size_t row_bytes, size_t n, struct tpo_error *err)
{
  struct table t = {.rows = rows, .row_bytes = row_bytes, .n = n};
  size_t counts_at = 0;
  int status = 0;
  for (int c = 0; c < n_columns && status == 0; c++) {
    switch (columns[c].kind) {
    case TPO_H5_TEXTS:
    case TPO_H5_VALUES:
    case TPO_H5_NEWER: status = put_column(w, &columns[c], &t, err); break;
    case TPO_H5_SPARSE: status = put_sparse(w, &columns[c], &t, err); break;
    case TPO_H5_OFFSETS:
      counts_at = columns[c].at;
      status = put_offsets(w, &columns[c], &t, err);
      break;
    case TPO_H5_RAGGED: status = put_ragged(w, &columns[c], counts_at, &t, err); break;
    }
  }
  return status;
}

struct text_target {
  const struct table *t;
  size_t at;
  struct tpo_arena *arena;
};

/* Texts that repeat from row to row, as a prompt's do over its samples, are held once. */
static int take_text(void *arg, uint64_t row, const char *text, struct tpo_error *err)
{
  struct text_target *target = arg;
  const char *copy = row > 0 ? pointer_of(target->t, row - 1, target->at) : NULL;
  if (!copy || strcmp(copy, text) != 0) copy = tpo_arena_strdup(target->arena, text);
  if (!copy) return tpo_fail(err, TPO_E_MEMORY, "out of memory for a text of %zu bytes", strlen(text));
  set_pointer(target->t, row, target->at, copy);
  return 0;
}

static int get_values(const struct tpo_h5_reader *r, const struct tpo_h5_column *column,
                      const struct table *t, struct tpo_error *err)
{
  size_t size = tpo_h5_type_size(column->type);
  uint64_t length = 0;
  struct tpo_h5_shape shape;
  int found = column->kind == TPO_H5_VALUES ? 1 : tpo_h5_shape(r, column->name, &shape, err);
  if (found <= 0) return found;
  /* The length is checked before memory is asked for: n is another dataset's. */
  int status = tpo_h5_length(r, column->name, column->type, &length, err);
  if (status < 0) return status;
  if (length != t->n)
    return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %llu elements, expected %zu", r->path,
                    column->name, (unsigned long long)length, t->n);
  char *values = tpo_calloc(t->n, size, err);
  if (!values) return TPO_E_MEMORY;
  status = tpo_h5_get(r, column->name, column->type, t->n, values, err);
  for (size_t i = 0; i < t->n && status == 0; i++) memcpy(field(t, i, column->at), values + i * size, size);
  free(values);
  return status;
}

static int get_offsets(const struct tpo_h5_reader *r, const struct tpo_h5_column *column,
                       const struct table *t, struct tpo_error *err)
{
  int64_t *offsets = tpo_calloc(t->n + 1, sizeof *offsets, err);
  if (!offsets) return TPO_E_MEMORY;
  int status = tpo_h5_get(r, column->name, TPO_H5_I64, t->n + 1, offsets, err);
  if (status == 0 && offsets[0] != 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' begins with %lld, expected 0", r->path,
                      column->name, (long long)offsets[0]);
  for (size_t i = 0; i < t->n && status == 0; i++) {
    int64_t count;
    if (__builtin_sub_overflow(offsets[i + 1], offsets[i], &count) || count < 0 || count > INT32_MAX) {
      status = tpo_fail(err, TPO_E_INPUT,
                        "%s: dataset '%s': element %zu is %lld after %lld, expected ascending offsets",
                        r->path, column->name, i + 1, (long long)offsets[i + 1], (long long)offsets[i]);
    } else {
      int32_t narrow = (int32_t)count;
      memcpy(field(t, i, column->at), &narrow, sizeof narrow);
    }
  }
  free(offsets);
  return status;
}

static int get_ragged(const struct tpo_h5_reader *r, const struct tpo_h5_column *column, size_t counts_at,
                      const struct table *t, struct tpo_arena *arena, struct tpo_error *err)
{
  size_t size = tpo_h5_type_size(column->type);
  uint64_t total = 0, length = 0, used = 0;
  for (size_t i = 0; i < t->n; i++) total += (uint64_t)count_of(t, i, counts_at);
  int status = tpo_h5_length(r, column->name, column->type, &length, err);
  if (status < 0) return status;
  if (length != total)
    return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %llu elements, but its offsets end at %llu",
                    r->path, column->name, (unsigned long long)length, (unsigned long long)total);
  char *values = tpo_arena_alloc(arena, total * size); /* no more than the file holds */
  if (!values)
    return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory for dataset '%s'", r->path, column->name);
  status = tpo_h5_get(r, column->name, column->type, total, values, err);
  for (size_t i = 0; i < t->n && status == 0; i++) {
    set_pointer(t, i, column->at, values + used * size);
    used += (uint64_t)count_of(t, i, counts_at);
  }
  return status;
}

int tpo_h5_get_rows(const struct tpo_h5_reader *r, const struct tpo_h5_column *columns, int n_columns,
                    void *rows, size_t row_bytes, size_t n, struct tpo_arena *arena, struct tpo_error *err)
{
  struct table t = {.rows = rows, .row_bytes = row_bytes, .n = n};
  size_t counts_at = 0;
  int status = 0;
  for (int c = 0; c < n_columns && status == 0; c++) {
    struct text_target target = {.t = &t, .at = columns[c].at, .arena = arena};
    switch (columns[c].kind) {
    case TPO_H5_TEXTS: status = tpo_h5_get_texts(r, columns[c].name, n, take_text, &target, err); break;
    case TPO_H5_VALUES:
    case TPO_H5_NEWER:
    case TPO_H5_SPARSE: status = get_values(r, &columns[c], &t, err); break;
    case TPO_H5_OFFSETS:
      counts_at = columns[c].at;
      status = get_offsets(r, &columns[c], &t, err);
      break;
    case TPO_H5_RAGGED: status = get_ragged(r, &columns[c], counts_at, &t, arena, err); break;
    }
  }
  return status;
}
