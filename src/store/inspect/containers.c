/* `tpo inspect` of GGUF and safetensors. */
#include <string.h>
#include "store/gguf.h"
#include "store/gguf_types.h"
#include "store/inspect/inspect.h"
#include "store/safetensors.h"
#include "store/show.h"

enum { ITEMS_SHOWN = 6, LONGEST_COLUMN = 60 };

static const char *value_type_name(enum tpo_gguf_type type)
{
  static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                      "bool", "string", "array", "u64", "i64", "f64"};
  return names[type];
}

static size_t item_bytes(enum tpo_gguf_type type)
{
  static const size_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return bytes[type];
}

/* Prints one number or boolean at data. */
static void show_number(FILE *out, enum tpo_gguf_type type, const uint8_t *data)
{
  int64_t whole = 0;
  uint64_t large;
  float single;
  double number;
  switch (type) {
  case TPO_GGUF_U8: whole = data[0]; break;
  case TPO_GGUF_I8: whole = (int8_t)data[0]; break;
  case TPO_GGUF_U16: whole = data[0] | data[1] << 8; break;
  case TPO_GGUF_I16: whole = (int16_t)(data[0] | data[1] << 8); break;
  case TPO_GGUF_U32: memcpy(&whole, data, 4); break;
  case TPO_GGUF_I32: {
    int32_t narrow;
    memcpy(&narrow, data, 4);
    whole = narrow;
    break;
  }
  case TPO_GGUF_I64: memcpy(&whole, data, 8); break;
  case TPO_GGUF_U64:
    memcpy(&large, data, 8);
    fprintf(out, "%llu", (unsigned long long)large);
    return;
  case TPO_GGUF_F32:
    memcpy(&single, data, 4);
    fprintf(out, "%.9g", (double)single);
    return;
  case TPO_GGUF_F64:
    memcpy(&number, data, 8);
    fprintf(out, "%.17g", number);
    return;
  case TPO_GGUF_BOOL: fputs(data[0] ? "true" : "false", out); return;
  default: return;
  }
  fprintf(out, "%lld", (long long)whole);
}

static void show_array(FILE *out, const struct tpo_gguf_value *value, int limit)
{
  size_t shown = limit < 0 || value->count < ITEMS_SHOWN ? (size_t)value->count : ITEMS_SHOWN;
  uint64_t cursor = 0;
  fputc('[', out);
  for (size_t i = 0; i < shown; i++) {
    struct tpo_gguf_string text;
    if (i > 0) fputs(", ", out);
    if (value->item_type != TPO_GGUF_STRING) {
      show_number(out, value->item_type, value->data + i * item_bytes(value->item_type));
    } else if (tpo_gguf_next_string(value, &cursor, &text) == 1) {
      fputc('"', out);
      tpo_show_text(out, text.data, text.len, LONGEST_COLUMN);
      fputc('"', out);
    }
  }
  fprintf(out, shown < value->count ? ", ... (%llu in all)]" : "]", (unsigned long long)value->count);
}

static void show_value(FILE *out, const struct tpo_gguf_value *value, int width, int limit)
{
  struct tpo_shown key = tpo_show_name(value->key.data, value->key.len);
  fprintf(out, "  %-*s  %-6s  ", width, key.text, value_type_name(value->type));
  if (value->type == TPO_GGUF_ARRAY)
    show_array(out, value, limit);
  else if (value->type == TPO_GGUF_STRING)
    tpo_show_text(out, value->data + 8, value->bytes - 8, tpo_inspect_text_limit(limit));
  else
    show_number(out, value->type, value->data);
  fputc('\n', out);
}

static int wider(int width, const char *text)
{
  int length = (int)strlen(text);
  if (length > LONGEST_COLUMN) length = LONGEST_COLUMN;
  return length > width ? length : width;
}

static void show_gguf_tensors(FILE *out, const struct tpo_gguf *gguf, int limit)
{
  size_t shown = tpo_inspect_shown(gguf->n_tensors, limit);
  int width = 6;
  for (size_t i = 0; i < shown; i++)
    width = wider(width, tpo_show_name(gguf->tensors[i].name.data, gguf->tensors[i].name.len).text);
  if (shown > 0) fprintf(out, "\n  %-*s  %-8s  %-18s  %12s\n", width, "tensor", "type", "shape", "size");
  for (size_t i = 0; i < shown; i++) {
    const struct tpo_gguf_tensor *t = &gguf->tensors[i];
    int64_t dims[4];
    for (int d = 0; d < t->n_dims; d++) dims[d] = (int64_t)t->dims[t->n_dims - 1 - d]; /* row-major */
    fprintf(out, "  %-*s  %-8s  %-18s  %12s\n", width, tpo_show_name(t->name.data, t->name.len).text,
            tpo_gguf_type_name(t->type), tpo_inspect_shape(t->n_dims, dims).text,
            tpo_inspect_bytes(t->bytes).text);
  }
  tpo_inspect_rest(out, gguf->n_tensors, shown, "tensors");
}

int tpo_inspect_gguf(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  struct tpo_gguf gguf;
  int status = tpo_gguf_open(&gguf, path, err);
  if (status < 0) return status;
  char kind[120];
  uint64_t bytes = 0, elements = 0;
  for (uint64_t i = 0; i < gguf.n_tensors; i++) {
    const struct tpo_ggml_type *type = tpo_ggml_type_find(gguf.tensors[i].type);
    bytes += gguf.tensors[i].bytes;
    elements += gguf.tensors[i].bytes / type->bytes * type->block;
  }
  snprintf(kind, sizeof kind, "GGUF version %u, %llu tensors, %llu elements, %s", gguf.version,
           (unsigned long long)gguf.n_tensors, (unsigned long long)elements, tpo_inspect_bytes(bytes).text);
  tpo_inspect_title(out, path, kind);
  int width = 3;
  for (uint64_t i = 0; i < gguf.n_values; i++)
    width = wider(width, tpo_show_name(gguf.values[i].key.data, gguf.values[i].key.len).text);
  for (uint64_t i = 0; i < gguf.n_values; i++) show_value(out, &gguf.values[i], width, limit);
  show_gguf_tensors(out, &gguf, limit);
  tpo_gguf_close(&gguf);
  return 0;
}

int tpo_inspect_safetensors(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  struct tpo_safetensors st;
  int status = tpo_safetensors_open(&st, path, err);
  if (status < 0) return status;
  char kind[120];
  uint64_t bytes = 0;
  size_t n = (size_t)st.n_tensors, shown = tpo_inspect_shown(n, limit);
  int width = 6;
  for (size_t i = 0; i < n; i++) bytes += st.tensors[i].bytes;
  for (size_t i = 0; i < shown; i++)
    width = wider(width, tpo_show_name(st.tensors[i].name, strlen(st.tensors[i].name)).text);
  snprintf(kind, sizeof kind, "safetensors, %zu tensors in %d file%s, %s", n, st.n_shards,
           st.n_shards == 1 ? "" : "s", tpo_inspect_bytes(bytes).text);
  tpo_inspect_title(out, path, kind);
  if (shown > 0) fprintf(out, "\n  %-*s  %-8s  %-18s  %12s\n", width, "tensor", "type", "shape", "size");
  for (size_t i = 0; i < shown; i++) {
    const struct tpo_safetensor *t = &st.tensors[i];
    fprintf(out, "  %-*s  %-8s  %-18s  %12s\n", width, tpo_show_name(t->name, strlen(t->name)).text,
            tpo_show_name(t->dtype_name, strlen(t->dtype_name)).text,
            tpo_inspect_shape(t->n_dims, t->dims).text, tpo_inspect_bytes(t->bytes).text);
  }
  tpo_inspect_rest(out, n, shown, "tensors");
  tpo_safetensors_close(&st);
  return 0;
}
