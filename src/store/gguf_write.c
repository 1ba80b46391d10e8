/* Puts a GGUF file together: header, metadata and table in memory, data as they come. */
#include "store/gguf_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"
#include "store/gguf_types.h"

enum { ALIGNMENT = 32 }; /* bytes: the format's own where general.alignment says nothing */

struct tpo_gguf_writer {
  struct tpo_atomic file;
  bool is_begun; /* the temporary file is to be removed unless committed */
  int out;       /* opened with the first data; -1 before */
  struct tpo_buf values, table;
  uint64_t n_values;
  size_t n_declared, n_written, capacity;
  uint64_t *bytes; /* of each declared tensor */
  uint64_t total;  /* bytes of data, padding included */
  uint64_t so_far; /* bytes given of tensor n_written */
};

int tpo_gguf_writer_open(struct tpo_gguf_writer **out, const char *path, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_gguf_writer *w = tpo_calloc(1, sizeof *w, err);
  if (!w) return TPO_E_MEMORY;
  int status = tpo_atomic_begin(&w->file, path, err);
  if (status < 0) {
    free(w);
    return status;
  }
  w->is_begun = true;
  w->out = -1;
  *out = w;
  return 0;
}

static void append_u32(struct tpo_buf *buf, uint32_t value)
{
  tpo_buf_append(buf, &value, sizeof value);
}

static void append_u64(struct tpo_buf *buf, uint64_t value)
{
  tpo_buf_append(buf, &value, sizeof value);
}

static void append_string(struct tpo_buf *buf, const char *text, size_t len)
{
  append_u64(buf, len);
  tpo_buf_append(buf, text, len);
}

static void begin_value(struct tpo_gguf_writer *w, const char *key, enum tpo_gguf_type type)
{
  append_string(&w->values, key, strlen(key));
  append_u32(&w->values, type);
  w->n_values++;
}

void tpo_gguf_put_u32(struct tpo_gguf_writer *w, const char *key, uint32_t value)
{
  begin_value(w, key, TPO_GGUF_U32);
  append_u32(&w->values, value);
}

void tpo_gguf_put_f32(struct tpo_gguf_writer *w, const char *key, double value)
{
  float single = (float)value;
  begin_value(w, key, TPO_GGUF_F32);
  tpo_buf_append(&w->values, &single, sizeof single);
}

void tpo_gguf_put_bool(struct tpo_gguf_writer *w, const char *key, bool value)
{
  begin_value(w, key, TPO_GGUF_BOOL);
  tpo_buf_putc(&w->values, value ? 1 : 0);
}

void tpo_gguf_put_string(struct tpo_gguf_writer *w, const char *key, const char *text, size_t len)
{
  begin_value(w, key, TPO_GGUF_STRING);
  append_string(&w->values, text, len);
}

void tpo_gguf_put_array(struct tpo_gguf_writer *w, const char *key, enum tpo_gguf_type item_type,
                        uint64_t count)
{
  begin_value(w, key, TPO_GGUF_ARRAY);
  append_u32(&w->values, item_type);
  append_u64(&w->values, count);
}

void tpo_gguf_add_item(struct tpo_gguf_writer *w, const void *item, size_t bytes)
{
  tpo_buf_append(&w->values, item, bytes);
}

void tpo_gguf_add_string(struct tpo_gguf_writer *w, const char *text, size_t len)
{
  append_string(&w->values, text, len);
}

static uint64_t padded(uint64_t bytes)
{
  return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

int tpo_gguf_writer_declare(struct tpo_gguf_writer *w, const char *name, uint32_t ggml_type, int64_t rows,
                            int64_t cols, struct tpo_error *err)
{
  const struct tpo_ggml_type *type = tpo_ggml_type_find(ggml_type);
  uint64_t row = (uint64_t)(cols == 1 ? rows : cols), n_rows = (uint64_t)(cols == 1 ? 1 : rows), bytes = 0;
  if (w->out >= 0 || !type || rows < 1 || cols < 1 || row % type->block != 0 ||
      __builtin_mul_overflow(row / type->block * type->bytes, n_rows, &bytes) || bytes > INT64_MAX - w->total)
    return tpo_fail(err, TPO_E_USAGE, "%s: tensor '%s' has a shape or type that can't be written",
                    w->file.path, name);
  if (tpo_grow(&w->bytes, &w->capacity, w->n_declared + 1, sizeof *w->bytes, err) < 0) return TPO_E_MEMORY;
  append_string(&w->table, name, strlen(name));
  append_u32(&w->table, cols == 1 ? 1 : 2);
  append_u64(&w->table, row);
  if (cols > 1) append_u64(&w->table, n_rows);
  append_u32(&w->table, ggml_type);
  append_u64(&w->table, w->total);
  w->bytes[w->n_declared++] = bytes;
  w->total += padded(bytes);
  return 0;
}

static int put(struct tpo_gguf_writer *w, const void *bytes, size_t len, struct tpo_error *err)
{
  if (tpo_write_all(w->out, bytes, len) < 0)
    return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", w->file.path, strerror(errno));
  return 0;
}

static int put_padding(struct tpo_gguf_writer *w, uint64_t after, struct tpo_error *err)
{
  static const char zeros[ALIGNMENT];
  return put(w, zeros, (size_t)(padded(after) - after), err);
}

static int begin_data(struct tpo_gguf_writer *w, struct tpo_error *err)
{
  struct tpo_buf header = {0};
  tpo_buf_puts(&header, "GGUF");
  append_u32(&header, 3);
  append_u64(&header, w->n_declared);
  append_u64(&header, w->n_values);
  uint64_t before = header.len + w->values.len + w->table.len;
  int status = header.failed || w->values.failed || w->table.failed
                   ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the metadata", w->file.path)
                   : tpo_check_space(w->file.path, padded(before) + w->total, err);
  if (status == 0 && (w->out = tpo_atomic_open(&w->file)) < 0)
    status = tpo_fail(err, TPO_E_IO, "%s: can't be created: %s", w->file.temp_path, strerror(errno));
  if (status == 0) status = put(w, header.data, header.len, err);
  if (status == 0) status = put(w, w->values.data, w->values.len, err);
  if (status == 0) status = put(w, w->table.data, w->table.len, err);
  if (status == 0) status = put_padding(w, before, err);
  tpo_buf_free(&header);
  return status;
}

int tpo_gguf_writer_data(struct tpo_gguf_writer *w, const void *bytes, size_t len, struct tpo_error *err)
{
  int status = w->out >= 0 ? 0 : begin_data(w, err);
  if (status < 0) return status;
  uint64_t left = w->n_written < w->n_declared ? w->bytes[w->n_written] - w->so_far : 0;
  if (len > left)
    return tpo_fail(err, TPO_E_USAGE, "%s: %zu bytes given for tensor number %zu, of which %llu are left",
                    w->file.path, len, w->n_written, (unsigned long long)left);
  status = put(w, bytes, len, err);
  w->so_far += len;
  if (status < 0 || len < left) return status;
  status = put_padding(w, w->so_far, err);
  w->n_written++;
  w->so_far = 0;
  return status;
}

int tpo_gguf_writer_commit(struct tpo_gguf_writer *w, struct tpo_error *err)
{
  if (w->n_written != w->n_declared)
    return tpo_fail(err, TPO_E_USAGE, "%s: %zu of %zu tensors were given", w->file.path, w->n_written,
                    w->n_declared);
  int status = w->out >= 0 ? 0 : begin_data(w, err);
  if (status < 0) return status;
  int out = w->out;
  w->out = -1;
  if (close(out) != 0)
    return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", w->file.path, strerror(errno));
  status = tpo_atomic_commit(&w->file, err);
  if (status == 0) w->is_begun = false;
  return status;
}

void tpo_gguf_writer_close(struct tpo_gguf_writer *w)
{
  if (!w) return;
  if (w->out >= 0) close(w->out);
  if (w->is_begun) tpo_atomic_abort(&w->file);
  tpo_buf_free(&w->values);
  tpo_buf_free(&w->table);
  free(w->bytes);
  free(w);
}
