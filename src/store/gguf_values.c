/* Typed access to the metadata of a GGUF file that tpo_gguf_open has checked. */
#include <string.h>
#include "store/gguf.h"
#include "store/show.h"

static bool equals(const struct tpo_gguf_string *a, const char *b, size_t len)
{
  return a->len == len && memcmp(a->data, b, len) == 0;
}

const struct tpo_gguf_value *tpo_gguf_find(const struct tpo_gguf *gguf, const char *key)
{
  size_t len = strlen(key);
  for (uint64_t i = 0; i < gguf->n_values; i++)
    if (equals(&gguf->values[i].key, key, len)) return &gguf->values[i];
  return NULL;
}

const struct tpo_gguf_tensor *tpo_gguf_find_tensor(const struct tpo_gguf *gguf, const char *name)
{
  size_t len = strlen(name);
  for (uint64_t i = 0; i < gguf->n_tensors; i++)
    if (equals(&gguf->tensors[i].name, name, len)) return &gguf->tensors[i];
  return NULL;
}

static const char *kind_name(enum tpo_gguf_type type)
{
  switch (type) {
  case TPO_GGUF_F32:
  case TPO_GGUF_F64: return "a floating-point number";
  case TPO_GGUF_BOOL: return "a boolean";
  case TPO_GGUF_STRING: return "a string";
  case TPO_GGUF_ARRAY: return "an array";
  default: return "an integer";
  }
}

static int wrong_type(const struct tpo_gguf *gguf, const struct tpo_gguf_value *value, const char *expected,
                      struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: key '%s' is %s, expected %s", gguf->path,
                  tpo_show_name(value->key.data, value->key.len).text, kind_name(value->type), expected);
}

/* Little-endian integer of any width; false when the type is another. Unsigned values may be out of int64's
 * range. */
static bool load_integer(const struct tpo_gguf_value *value, uint64_t *bits, bool *is_negative)
{
  union {
    uint8_t u8;
    int8_t i8;
    uint16_t u16;
    int16_t i16;
    uint32_t u32;
    int32_t i32;
    uint64_t u64;
    int64_t i64;
  } v = {0};
  int64_t s = 0;
  if (value->type == TPO_GGUF_ARRAY || value->type == TPO_GGUF_STRING || value->bytes > sizeof v)
    return false;
  memcpy(&v, value->data, value->bytes);
  *is_negative = false;
  switch (value->type) {
  case TPO_GGUF_U8: *bits = v.u8; return true;
  case TPO_GGUF_U16: *bits = v.u16; return true;
  case TPO_GGUF_U32: *bits = v.u32; return true;
  case TPO_GGUF_U64: *bits = v.u64; return true;
  case TPO_GGUF_I8: s = v.i8; break;
  case TPO_GGUF_I16: s = v.i16; break;
  case TPO_GGUF_I32: s = v.i32; break;
  case TPO_GGUF_I64: s = v.i64; break;
  default: return false;
  }
  *bits = (uint64_t)s;
  *is_negative = s < 0;
  return true;
}

static int int_of(const struct tpo_gguf *gguf, const struct tpo_gguf_value *value, int64_t *out,
                  struct tpo_error *err)
{
  uint64_t bits;
  bool is_negative;
  if (!load_integer(value, &bits, &is_negative)) return wrong_type(gguf, value, "an integer", err);
  if (!is_negative && bits > INT64_MAX)
    return tpo_fail(err, TPO_E_INPUT, "%s: key '%s' is %llu, expected at most 2^63 - 1", gguf->path,
                    tpo_show_name(value->key.data, value->key.len).text, (unsigned long long)bits);
  *out = (int64_t)bits;
  return 1;
}

int tpo_gguf_get_int(const struct tpo_gguf *gguf, const char *key, int64_t *out, struct tpo_error *err)
{
  const struct tpo_gguf_value *value = tpo_gguf_find(gguf, key);
  return value ? int_of(gguf, value, out, err) : 0;
}

/* Item i of an array of numbers, as a value of its own. */
static struct tpo_gguf_value item_of(const struct tpo_gguf_value *array, uint64_t i)
{
  struct tpo_gguf_value item = *array;
  item.type = array->item_type;
  item.count = 1;
  item.bytes = array->bytes / array->count;
  item.data = array->data + i * item.bytes;
  return item;
}

int tpo_gguf_get_int_of_layers(const struct tpo_gguf *gguf, const char *key, int64_t n_layers, int64_t *out,
                               struct tpo_error *err)
{
  const struct tpo_gguf_value *value = tpo_gguf_find(gguf, key);
  if (!value || value->type != TPO_GGUF_ARRAY) return tpo_gguf_get_int(gguf, key, out, err);
  if (value->item_type == TPO_GGUF_STRING)
    return tpo_fail(err, TPO_E_INPUT, "%s: key '%s' is an array of strings, expected integers", gguf->path,
                    key);
  if (value->count == 0 || n_layers < 0 || value->count != (uint64_t)n_layers)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: key '%s' is an array of %llu, expected one for each of %lld layers", gguf->path, key,
                    (unsigned long long)value->count, (long long)n_layers);
  for (uint64_t i = 0; i < value->count; i++) {
    const struct tpo_gguf_value item = item_of(value, i);
    int64_t number = 0;
    int status = int_of(gguf, &item, &number, err);
    if (status < 0) return status;
    if (i > 0 && number != *out)
      return tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: key '%s' is %lld in layer 0 and %lld in layer %llu; "
                      "layers that differ in size are not supported",
                      gguf->path, key, (long long)*out, (long long)number, (unsigned long long)i);
    *out = number;
  }
  return 1;
}

int tpo_gguf_check_whole(const struct tpo_gguf *gguf, struct tpo_error *err)
{
  int64_t parts = 1, part = 0;
  if (tpo_gguf_get_int(gguf, "split.count", &parts, err) < 0 ||
      tpo_gguf_get_int(gguf, "split.no", &part, err) < 0)
    return TPO_E_INPUT;
  if (parts <= 1) return 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "%s: part %lld of a model split into %lld files (split.count); expected one file: "
                  "llama-gguf-split --merge FIRST-PART WHOLE.gguf makes it",
                  gguf->path, (long long)part + 1, (long long)parts);
}

int tpo_gguf_get_double(const struct tpo_gguf *gguf, const char *key, double *out, struct tpo_error *err)
{
  const struct tpo_gguf_value *value = tpo_gguf_find(gguf, key);
  if (!value) return 0;
  uint64_t bits;
  bool is_negative;
  float single;
  if (value->type == TPO_GGUF_F32) {
    memcpy(&single, value->data, sizeof single);
    *out = (double)single;
  } else if (value->type == TPO_GGUF_F64) {
    memcpy(out, value->data, sizeof *out);
  } else if (load_integer(value, &bits, &is_negative)) {
    *out = is_negative ? (double)(int64_t)bits : (double)bits;
  } else {
    return wrong_type(gguf, value, "a number", err);
  }
  return 1;
}

int tpo_gguf_get_bool(const struct tpo_gguf *gguf, const char *key, bool *out, struct tpo_error *err)
{
  const struct tpo_gguf_value *value = tpo_gguf_find(gguf, key);
  if (!value) return 0;
  if (value->type != TPO_GGUF_BOOL) return wrong_type(gguf, value, "a boolean", err);
  if (value->data[0] > 1)
    return tpo_fail(err, TPO_E_INPUT, "%s: key '%s' is a boolean with the byte %u, expected 0 or 1",
                    gguf->path, key, value->data[0]);
  *out = value->data[0] == 1;
  return 1;
}

int tpo_gguf_get_string(const struct tpo_gguf *gguf, const char *key, struct tpo_gguf_string *out,
                        struct tpo_error *err)
{
  const struct tpo_gguf_value *value = tpo_gguf_find(gguf, key);
  if (!value) return 0;
  if (value->type != TPO_GGUF_STRING) return wrong_type(gguf, value, "a string", err);
  out->data = (const char *)value->data + 8;
  out->len = value->bytes - 8;
  return 1;
}

int tpo_gguf_next_string(const struct tpo_gguf_value *array, uint64_t *cursor, struct tpo_gguf_string *out)
{
  if (array->type != TPO_GGUF_ARRAY || array->item_type != TPO_GGUF_STRING || *cursor > array->bytes)
    return TPO_E_INPUT;
  uint64_t left = array->bytes - *cursor;
  if (left == 0) return 0;
  if (left < 8) return TPO_E_INPUT;
  memcpy(&out->len, array->data + *cursor, 8);
  if (out->len > left - 8) return TPO_E_INPUT;
  out->data = (const char *)array->data + *cursor + 8;
  *cursor += 8 + out->len;
  return 1;
}
