/* Writes safetensors: all tensors are declared first, their data follow in that order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/json.h"
#include "base/memory.h"
#include "store/safetensors.h"

struct tpo_safetensors_writer {
  struct tpo_atomic file;
  bool is_begun; /* the temporary file is to be removed unless committed */
  FILE *out;     /* opened with the first data */
  struct tpo_buf header;
  size_t n_declared, n_written, capacity;
  uint64_t *bytes; /* of each declared tensor */
  uint64_t total;  /* bytes of data */
};

int tpo_safetensors_writer_open(struct tpo_safetensors_writer **out, const char *path, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_safetensors_writer *w = tpo_calloc(1, sizeof *w, err);
  if (!w) return TPO_E_MEMORY;
  int status = tpo_atomic_begin(&w->file, path, err);
  if (status < 0) {
    free(w);
    return status;
  }
  w->is_begun = true;
  tpo_buf_puts(&w->header, "{\"__metadata__\":{\"format\":\"pt\"}");
  *out = w;
  return 0;
}

static const char *format_name(enum tpo_dtype dtype)
{
  switch (dtype) {
  case TPO_F16: return "F16";
  case TPO_BF16: return "BF16";
  default: return "F32";
  }
}

int tpo_safetensors_writer_declare(struct tpo_safetensors_writer *w, const char *name, enum tpo_dtype dtype,
                                   int n_dims, const int64_t *dims, struct tpo_error *err)
{
  uint64_t bytes = tpo_dtype_size(dtype), end;
  if (w->out)
    return tpo_fail(err, TPO_E_USAGE, "%s: tensor '%s' is declared after data was written", w->file.path,
                    name);
  bool is_valid = n_dims >= 0 && n_dims <= 8;
  for (int d = 0; is_valid && d < n_dims; d++)
    is_valid = dims[d] >= 0 && !__builtin_mul_overflow(bytes, (uint64_t)dims[d], &bytes);
  if (!is_valid || __builtin_add_overflow(w->total, bytes, &end) || end > INT64_MAX)
    return tpo_fail(err, TPO_E_USAGE, "%s: tensor '%s' has a shape that can't be written", w->file.path,
                    name);
  if (tpo_grow(&w->bytes, &w->capacity, w->n_declared + 1, sizeof *w->bytes, err) < 0) return TPO_E_MEMORY;

  tpo_buf_putc(&w->header, ',');
  tpo_json_append_string(&w->header, name, strlen(name));
  tpo_buf_printf(&w->header, ":{\"dtype\":\"%s\",\"shape\":[", format_name(dtype));
  for (int d = 0; d < n_dims; d++) tpo_buf_printf(&w->header, "%s%lld", d > 0 ? "," : "", (long long)dims[d]);
  tpo_buf_printf(&w->header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)w->total,
                 (unsigned long long)end);
  w->bytes[w->n_declared++] = bytes;
  w->total = end;
  return 0;
}

static int put(struct tpo_safetensors_writer *w, const void *bytes, size_t len, struct tpo_error *err)
{
  if (len > 0 && fwrite(bytes, 1, len, w->out) != len)
    return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", w->file.path, strerror(errno));
  return 0;
}

/* The header, padded with spaces so that the data begins at a multiple of 8 bytes. */
static int begin_data(struct tpo_safetensors_writer *w, struct tpo_error *err)
{
  tpo_buf_putc(&w->header, '}');
  while (w->header.len % 8 != 0 && !w->header.failed) tpo_buf_putc(&w->header, ' ');
  if (w->header.failed) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory for the header", w->file.path);
  int status = tpo_check_space(w->file.path, w->total + w->header.len + 8, err);
  if (status < 0) return status;
  int fd = tpo_atomic_open(&w->file);
  w->out = fd >= 0 ? fdopen(fd, "wb") : NULL;
  if (fd >= 0 && !w->out) close(fd);
  if (!w->out) return tpo_fail(err, TPO_E_IO, "%s: can't be created: %s", w->file.temp_path, strerror(errno));
  uint64_t length = w->header.len;
  status = put(w, &length, sizeof length, err);
  return status < 0 ? status : put(w, w->header.data, w->header.len, err);
}

int tpo_safetensors_writer_data(struct tpo_safetensors_writer *w, const void *bytes, size_t len,
                                struct tpo_error *err)
{
  if (!w->out) {
    int status = begin_data(w, err);
    if (status < 0) return status;
  }
  if (w->n_written == w->n_declared || w->bytes[w->n_written] != len)
    return tpo_fail(err, TPO_E_USAGE, "%s: %zu bytes given for tensor number %zu, expected %llu",
                    w->file.path, len, w->n_written,
                    w->n_written < w->n_declared ? (unsigned long long)w->bytes[w->n_written] : 0ULL);
  w->n_written++;
  return put(w, bytes, len, err);
}

int tpo_safetensors_writer_commit(struct tpo_safetensors_writer *w, struct tpo_error *err)
{
  if (w->n_written != w->n_declared)
    return tpo_fail(err, TPO_E_USAGE, "%s: %zu of %zu tensors were given", w->file.path, w->n_written,
                    w->n_declared);
  if (!w->out) {
    int status = begin_data(w, err);
    if (status < 0) return status;
  }
  FILE *out = w->out;
  w->out = NULL;
  if (fclose(out) != 0)
    return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", w->file.path, strerror(errno));
  int status = tpo_atomic_commit(&w->file, err);
  if (status == 0) w->is_begun = false;
  return status;
}

void tpo_safetensors_writer_close(struct tpo_safetensors_writer *w)
{
  if (!w) return;
  if (w->out) fclose(w->out);
  if (w->is_begun) tpo_atomic_abort(&w->file);
  tpo_buf_free(&w->header);
  free(w->bytes);
  free(w);
}
