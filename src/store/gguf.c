/* Reads the header of a GGUF file: values, tensors, and where their data lie. */
#include "store/gguf.h"
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "store/gguf_types.h"
#include "store/show.h"

enum {
  MIN_VALUE_BYTES = 13,  /* key length, type, one byte of value */
  MIN_TENSOR_BYTES = 32, /* name length, number of dimensions, one dimension, type, offset */
  LONGEST_KEY = 65535,   /* bytes, the format's own limit */
  LONGEST_NAME = 1024,   /* bytes; the format says 64, files in use go past it */
};

/* Walks the mapped file. Every read is checked against the end. */
struct cursor {
  const uint8_t *data;
  uint64_t size, at;
  const char *path;
};

static uint64_t remaining(const struct cursor *c)
{
  return c->size - c->at;
}

static int truncated(const struct cursor *c, const char *what, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: the file ends at byte %llu, inside %s; it is truncated or damaged",
                  c->path, (unsigned long long)c->size, what);
}

static int take(struct cursor *c, void *out, size_t bytes, const char *what, struct tpo_error *err)
{
  if (remaining(c) < bytes) return truncated(c, what, err);
  memcpy(out, c->data + c->at, bytes);
  c->at += bytes;
  return 0;
}

static int take_string(struct cursor *c, struct tpo_gguf_string *out, uint64_t longest, const char *what,
                       struct tpo_error *err)
{
  uint64_t at = c->at;
  if (take(c, &out->len, sizeof out->len, what, err) < 0) return TPO_E_INPUT;
  if (out->len > longest)
    return tpo_fail(err, TPO_E_INPUT, "%s: byte %llu: %s has a length of %llu bytes, expected at most %llu",
                    c->path, (unsigned long long)at, what, (unsigned long long)out->len,
                    (unsigned long long)longest);
  if (out->len > remaining(c)) return truncated(c, what, err);
  out->data = (const char *)c->data + c->at;
  c->at += out->len;
  return 0;
}

/* Bytes of a scalar; 0 for strings, arrays and unknown types. */
static size_t scalar_size(uint32_t type)
{
  switch (type) {
  case TPO_GGUF_U8:
  case TPO_GGUF_I8:
  case TPO_GGUF_BOOL: return 1;
  case TPO_GGUF_U16:
  case TPO_GGUF_I16: return 2;
  case TPO_GGUF_U32:
  case TPO_GGUF_I32:
  case TPO_GGUF_F32: return 4;
  case TPO_GGUF_U64:
  case TPO_GGUF_I64:
  case TPO_GGUF_F64: return 8;
  default: return 0;
  }
}

static int bad_type(const struct cursor *c, const struct tpo_gguf_value *value, const char *what,
                    uint32_t type, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: key '%s' has %s type %u, expected 0 to 12", c->path,
                  tpo_show_name(value->key.data, value->key.len).text, what, type);
}

static int skip_strings(struct cursor *c, uint64_t count, struct tpo_error *err)
{
  struct tpo_gguf_string text = {0};
  for (uint64_t i = 0; i < count; i++)
    if (take_string(c, &text, UINT64_MAX, "an array of strings", err) < 0) return TPO_E_INPUT;
  return 0;
}

/* The items of an array or the one item of a scalar: sets data, count, bytes. */
static int parse_items(struct cursor *c, struct tpo_gguf_value *value, uint32_t type, uint64_t count,
                       struct tpo_error *err)
{
  uint64_t start = c->at;
  value->data = c->data + start;
  value->count = count;
  if (type == TPO_GGUF_STRING) {
    if (skip_strings(c, count, err) < 0) return TPO_E_INPUT;
  } else {
    size_t size = scalar_size(type);
    if (count > remaining(c) / size) return truncated(c, "a metadata value", err);
    c->at += count * size;
  }
  value->bytes = c->at - start;
  return 0;
}

static int parse_value(struct cursor *c, struct tpo_gguf_value *value, struct tpo_error *err)
{
  uint32_t type = 0, item_type = 0;
  uint64_t count = 0;
  if (take_string(c, &value->key, LONGEST_KEY, "a metadata key", err) < 0) return TPO_E_INPUT;
  if (value->key.len == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: byte %llu: a metadata key is empty", c->path,
                    (unsigned long long)c->at);
  if (take(c, &type, sizeof type, "a metadata value's type", err) < 0) return TPO_E_INPUT;
  if (type > TPO_GGUF_F64) return bad_type(c, value, "value", type, err);
  value->type = (enum tpo_gguf_type)type;
  value->item_type = value->type;
  if (type != TPO_GGUF_ARRAY) return parse_items(c, value, type, 1, err);

  if (take(c, &item_type, sizeof item_type, "an array's type", err) < 0) return TPO_E_INPUT;
  if (take(c, &count, sizeof count, "an array's length", err) < 0) return TPO_E_INPUT;
  if (item_type > TPO_GGUF_F64) return bad_type(c, value, "array item", item_type, err);
  if (item_type == TPO_GGUF_ARRAY)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: key '%s' is an array of arrays, which is not supported",
                    c->path, tpo_show_name(value->key.data, value->key.len).text);
  value->item_type = (enum tpo_gguf_type)item_type;
  return parse_items(c, value, item_type, count, err);
}

/* Elements and bytes from type and dims. */
static int size_tensor(const struct cursor *c, struct tpo_gguf_tensor *t, struct tpo_error *err)
{
  const struct tpo_ggml_type *type = tpo_ggml_type_find(t->type);
  struct tpo_shown shown = tpo_show_name(t->name.data, t->name.len);
  const char *name = shown.text;
  if (!type)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: tensor '%s' has type number %u, which is not known", c->path,
                    name, t->type);
  uint64_t elements = 1;
  for (int d = 0; d < t->n_dims; d++)
    if (t->dims[d] == 0 || __builtin_mul_overflow(elements, t->dims[d], &elements) || elements > INT64_MAX)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: tensor '%s': dimension %d is %llu, expected at least 1 and a product below 2^63",
                      c->path, name, d, (unsigned long long)t->dims[d]);
  if (t->dims[0] % type->block != 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: tensor '%s': rows of %llu elements, expected a multiple of %u for type %s", c->path,
                    name, (unsigned long long)t->dims[0], type->block, type->name);
  if (__builtin_mul_overflow(elements / type->block, (uint64_t)type->bytes, &t->bytes))
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor '%s' has too many elements to be in a file", c->path, name);
  return 0;
}

/* All but t->data, which place_tensors makes of the offset once the start of the data is known. */
static int parse_tensor(struct cursor *c, struct tpo_gguf_tensor *t, uint64_t *offset, struct tpo_error *err)
{
  uint32_t n_dims = 0;
  if (take_string(c, &t->name, LONGEST_NAME, "a tensor's name", err) < 0) return TPO_E_INPUT;
  if (take(c, &n_dims, sizeof n_dims, "the tensor table", err) < 0) return TPO_E_INPUT;
  if (n_dims < 1 || n_dims > 4)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor '%s' has %u dimensions, expected 1 to 4", c->path,
                    tpo_show_name(t->name.data, t->name.len).text, n_dims);
  t->n_dims = (int)n_dims;
  for (int d = 0; d < 4; d++) t->dims[d] = 1;
  if (take(c, t->dims, n_dims * sizeof t->dims[0], "the tensor table", err) < 0) return TPO_E_INPUT;
  if (take(c, &t->type, sizeof t->type, "the tensor table", err) < 0) return TPO_E_INPUT;
  if (take(c, offset, sizeof *offset, "the tensor table", err) < 0) return TPO_E_INPUT;
  return size_tensor(c, t, err);
}

static int parse_header(struct tpo_gguf *gguf, struct cursor *c, struct tpo_error *err)
{
  char magic[4] = {0};
  if (take(c, magic, sizeof magic, "the header", err) < 0) return TPO_E_INPUT;
  if (memcmp(magic, "GGUF", 4) != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: not a GGUF file: it does not begin with the letters GGUF",
                    c->path);
  if (take(c, &gguf->version, sizeof gguf->version, "the header", err) < 0) return TPO_E_INPUT;
  if (gguf->version != 2 && gguf->version != 3)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: GGUF version %u%s, expected 2 or 3", c->path, gguf->version,
                    gguf->version >> 24 != 0 ? " (a big-endian file?)" : "");
  if (take(c, &gguf->n_tensors, sizeof gguf->n_tensors, "the header", err) < 0) return TPO_E_INPUT;
  if (take(c, &gguf->n_values, sizeof gguf->n_values, "the header", err) < 0) return TPO_E_INPUT;
  if (gguf->n_values > remaining(c) / MIN_VALUE_BYTES || gguf->n_tensors > remaining(c) / MIN_TENSOR_BYTES)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: the header announces %llu metadata values and %llu tensors, "
                    "more than a file of %llu bytes can hold",
                    c->path, (unsigned long long)gguf->n_values, (unsigned long long)gguf->n_tensors,
                    (unsigned long long)c->size);
  return 0;
}

static int read_alignment(const struct tpo_gguf *gguf, uint64_t *alignment, struct tpo_error *err)
{
  int64_t given = 32;
  if (tpo_gguf_get_int(gguf, "general.alignment", &given, err) < 0) return TPO_E_INPUT;
  if (given < 8 || given > 1 << 20 || (given & (given - 1)) != 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: general.alignment is %lld, expected a power of two from 8 to 1048576", gguf->path,
                    (long long)given);
  *alignment = (uint64_t)given;
  return 0;
}

static int compare_strings(const struct tpo_gguf_string *a, const struct tpo_gguf_string *b)
{
  int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
  return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_string(const void *a, const void *b)
{
  return compare_strings(*(const struct tpo_gguf_string *const *)a,
                         *(const struct tpo_gguf_string *const *)b);
}

static int by_data(const void *a, const void *b)
{
  const struct tpo_gguf_tensor *x = *(const struct tpo_gguf_tensor *const *)a;
  const struct tpo_gguf_tensor *y = *(const struct tpo_gguf_tensor *const *)b;
  return (x->data > y->data) - (x->data < y->data);
}

/* first: the first element's string; the others stand `stride` bytes apart. */
static int refuse_duplicates(const struct tpo_gguf *gguf, const struct tpo_gguf_string *first, size_t stride,
                             uint64_t count, const char *what, struct tpo_error *err)
{
  const struct tpo_gguf_string **sorted = tpo_calloc(count, sizeof *sorted, err);
  if (!sorted) return TPO_E_MEMORY;
  int status = 0;
  for (uint64_t i = 0; i < count; i++)
    sorted[i] = (const struct tpo_gguf_string *)(const void *)((const char *)first + i * stride);
  qsort(sorted, count, sizeof *sorted, by_string);
  for (uint64_t i = 1; i < count && status == 0; i++)
    if (compare_strings(sorted[i - 1], sorted[i]) == 0)
      status = tpo_fail(err, TPO_E_INPUT, "%s: %s '%s' occurs twice", gguf->path, what,
                        tpo_show_name(sorted[i]->data, sorted[i]->len).text);
  free(sorted);
  return status;
}

static int refuse_overlap(const struct tpo_gguf *gguf, struct tpo_error *err)
{
  const struct tpo_gguf_tensor **sorted = tpo_calloc(gguf->n_tensors, sizeof *sorted, err);
  if (!sorted) return TPO_E_MEMORY;
  int status = 0;
  for (uint64_t i = 0; i < gguf->n_tensors; i++) sorted[i] = &gguf->tensors[i];
  qsort(sorted, gguf->n_tensors, sizeof *sorted, by_data);
  for (uint64_t i = 1; i < gguf->n_tensors && status == 0; i++)
    if (sorted[i - 1]->data + sorted[i - 1]->bytes > sorted[i]->data) {
      struct tpo_shown one = tpo_show_name(sorted[i - 1]->name.data, sorted[i - 1]->name.len);
      struct tpo_shown two = tpo_show_name(sorted[i]->name.data, sorted[i]->name.len);
      status =
          tpo_fail(err, TPO_E_INPUT, "%s: tensors '%s' and '%s' overlap", gguf->path, one.text, two.text);
    }
  free(sorted);
  return status;
}

/* Turns offsets into pointers, once the start of the data is known. */
static int place_tensors(struct tpo_gguf *gguf, const struct cursor *c, const uint64_t *offsets,
                         struct tpo_error *err)
{
  uint64_t alignment = 0;
  if (read_alignment(gguf, &alignment, err) < 0) return TPO_E_INPUT;
  uint64_t start = (c->at + alignment - 1) & ~(alignment - 1);
  for (uint64_t i = 0; i < gguf->n_tensors; i++) {
    struct tpo_gguf_tensor *t = &gguf->tensors[i];
    uint64_t available = start < c->size ? c->size - start : 0;
    if (offsets[i] % alignment != 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: tensor '%s' begins at offset %llu, expected a multiple of %llu",
                      c->path, tpo_show_name(t->name.data, t->name.len).text, (unsigned long long)offsets[i],
                      (unsigned long long)alignment);
    if (offsets[i] > available || t->bytes > available - offsets[i])
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: tensor '%s' needs %llu bytes at offset %llu of the data, which has %llu; "
                      "the file is truncated or damaged",
                      c->path, tpo_show_name(t->name.data, t->name.len).text, (unsigned long long)t->bytes,
                      (unsigned long long)offsets[i], (unsigned long long)available);
    t->data = c->data + start + offsets[i];
  }
  return refuse_overlap(gguf, err);
}

static int parse_tensors(struct tpo_gguf *gguf, struct cursor *c, struct tpo_error *err)
{
  uint64_t *offsets = tpo_calloc(gguf->n_tensors, sizeof *offsets, err);
  if (!offsets) return TPO_E_MEMORY;
  int status = 0;
  for (uint64_t i = 0; i < gguf->n_tensors && status == 0; i++)
    status = parse_tensor(c, &gguf->tensors[i], &offsets[i], err);
  if (status == 0)
    status = refuse_duplicates(gguf, &gguf->tensors[0].name, sizeof gguf->tensors[0], gguf->n_tensors,
                               "tensor", err);
  if (status == 0) status = place_tensors(gguf, c, offsets, err);
  free(offsets);
  return status;
}

static int parse(struct tpo_gguf *gguf, struct tpo_error *err)
{
  struct cursor c = {.data = gguf->map.data, .size = gguf->map.size, .path = gguf->path};
  int status = parse_header(gguf, &c, err);
  if (status < 0) return status;
  gguf->values = tpo_calloc(gguf->n_values, sizeof *gguf->values, err);
  gguf->tensors = gguf->values ? tpo_calloc(gguf->n_tensors, sizeof *gguf->tensors, err) : NULL;
  if (!gguf->tensors) return TPO_E_MEMORY;
  for (uint64_t i = 0; i < gguf->n_values; i++) {
    status = parse_value(&c, &gguf->values[i], err);
    if (status < 0) return status;
  }
  status = refuse_duplicates(gguf, &gguf->values[0].key, sizeof gguf->values[0], gguf->n_values, "key", err);
  return status < 0 ? status : parse_tensors(gguf, &c, err);
}

int tpo_gguf_open(struct tpo_gguf *gguf, const char *path, struct tpo_error *err)
{
  memset(gguf, 0, sizeof *gguf);
  int status = tpo_map_open(&gguf->map, path, err);
  if (status < 0) return status;
  gguf->path = strdup(path);
  status = gguf->path ? parse(gguf, err) : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", path);
  if (status < 0) tpo_gguf_close(gguf);
  return status;
}

void tpo_gguf_close(struct tpo_gguf *gguf)
{
  if (!gguf) return;
  tpo_map_close(&gguf->map);
  free(gguf->path);
  free(gguf->values);
  free(gguf->tensors);
  memset(gguf, 0, sizeof *gguf);
}
