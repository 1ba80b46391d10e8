/* Reads keys of a model's metadata, each with its own message where it isn't what it must be. */
#include "model/files/gguf_meta.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tpo_gguf_key tpo_gguf_key_of(const struct tpo_gguf_meta *meta, const char *name)
{
  struct tpo_gguf_key key;
  snprintf(key.name, sizeof key.name, "%s.%s", meta->architecture, name);
  return key;
}

bool tpo_gguf_string_is(struct tpo_gguf_string s, const char *text)
{
  return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

int tpo_gguf_size_of_layers(const struct tpo_gguf_meta *meta, const char *name, int64_t otherwise, int layers,
                            int *out, struct tpo_error *err)
{
  const struct tpo_gguf_key key = tpo_gguf_key_of(meta, name);
  int64_t value = otherwise;
  int code = layers > 0 ? tpo_gguf_get_int_of_layers(meta->gguf, key.name, layers, &value, err)
                        : tpo_gguf_get_int(meta->gguf, key.name, &value, err);
  if (code < 0) return code;
  if (value < 0 && otherwise < 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: no metadata key %s", meta->gguf->path, key.name);
  if (value < 0 || value > 1 << 24)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s is %lld, expected at most %d", meta->gguf->path, key.name,
                    (long long)value, 1 << 24);
  *out = (int)value;
  return 0;
}

int tpo_gguf_size(const struct tpo_gguf_meta *meta, const char *name, int64_t otherwise, int *out,
                  struct tpo_error *err)
{
  return tpo_gguf_size_of_layers(meta, name, otherwise, 0, out, err);
}

double tpo_gguf_undo_fp32(double value)
{
  for (int digits = 1; digits <= 9; digits++) {
    char text[40];
    snprintf(text, sizeof text, "%.*g", digits, value);
    if ((float)strtod(text, NULL) == (float)value) return strtod(text, NULL);
  }
  return value;
}

int tpo_gguf_real(const struct tpo_gguf_meta *meta, const char *name, double *out, struct tpo_error *err)
{
  int code = tpo_gguf_get_double(meta->gguf, tpo_gguf_key_of(meta, name).name, out, err);
  if (code == 1) *out = tpo_gguf_undo_fp32(*out);
  return code;
}

int tpo_gguf_positive(const struct tpo_gguf_meta *meta, const char *name, double *out, struct tpo_error *err)
{
  int code = tpo_gguf_real(meta, name, out, err);
  if (code <= 0 || (isfinite(*out) && *out > 0)) return code;
  return tpo_fail(err, TPO_E_INPUT, "%s: %s is %g, expected a number above 0", meta->gguf->path,
                  tpo_gguf_key_of(meta, name).name, *out);
}

static void add_by_period(struct tpo_layer_set *set, int layers, int64_t period)
{
  for (int l = 0; l < layers; l++)
    if (period == 0 || l % period < period - 1) tpo_layer_add(set, l);
}

int tpo_gguf_layers(const struct tpo_gguf_meta *meta, const char *name, int layers, struct tpo_layer_set *out,
                    struct tpo_error *err)
{
  const struct tpo_gguf_key key = tpo_gguf_key_of(meta, name);
  const struct tpo_gguf_value *value = tpo_gguf_find(meta->gguf, key.name);
  if (!value) return 0;
  *out = (struct tpo_layer_set){0};
  if (value->type != TPO_GGUF_ARRAY) {
    int64_t period = 0;
    if (tpo_gguf_get_int(meta->gguf, key.name, &period, err) < 0) return TPO_E_INPUT;
    if (period < 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: %s is %lld, expected a number of layers", meta->gguf->path,
                      key.name, (long long)period);
    add_by_period(out, layers, period);
    return 1;
  }
  if (value->item_type != TPO_GGUF_BOOL || value->count != (uint64_t)layers)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: %s has %llu items; expected a number, or a truth value for each of %d layers",
                    meta->gguf->path, key.name, (unsigned long long)value->count, layers);
  for (int l = 0; l < layers; l++)
    if (value->data[l]) tpo_layer_add(out, l);
  return 1;
}
