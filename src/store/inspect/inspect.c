/* Finds out what kind of file it is, and what the parts of `tpo inspect` share. */
#include "store/inspect/inspect.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "store/hdf5/h5.h"
#include "store/journal/journal.h"
#include "store/show.h"
#include "tpo/store.h"

enum { TEXT_SHOWN = 160 }; /* characters */

void tpo_inspect_title(FILE *out, const char *path, const char *kind)
{
  tpo_show_text(out, path, strlen(path), SIZE_MAX);
  fprintf(out, ": %s\n", kind);
}

int tpo_inspect_origin(const char *path, FILE *out, struct tpo_error *err)
{
  static const char *const names[] = {"tpo_version", "created", "content_hash"};
  static const char *const labels[] = {"version", "created", "hash"};
  struct tpo_h5_reader r;
  int status = tpo_h5_open(&r, path, NULL, err);
  if (status < 0) return status;
  for (int i = 0; i < 3 && status >= 0; i++) {
    char *text = NULL;
    status = tpo_h5_get_attribute(&r, "/", names[i], &text, err);
    if (status == 1) {
      fprintf(out, "  %-9s", labels[i]);
      tpo_show_text(out, text, strlen(text), TEXT_SHOWN);
      fputc('\n', out);
    }
    free(text);
  }
  tpo_h5_reader_close(&r);
  return status < 0 ? status : 0;
}

size_t tpo_inspect_shown(size_t n, int limit)
{
  return limit < 0 || (size_t)limit > n ? n : (size_t)limit;
}

size_t tpo_inspect_text_limit(int limit)
{
  return limit < 0 ? SIZE_MAX : TEXT_SHOWN;
}

void tpo_inspect_rest(FILE *out, size_t n, size_t shown, const char *what)
{
  if (shown < n) fprintf(out, "  ... and %zu more %s\n", n - shown, what);
}

struct tpo_bytes_text tpo_inspect_bytes(uint64_t bytes)
{
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  struct tpo_bytes_text text;
  double value = (double)bytes;
  int unit = 0;
  for (; value >= 1024 && unit < 6; unit++) value /= 1024;
  snprintf(text.text, sizeof text.text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

struct tpo_shape_text tpo_inspect_shape(int n_dims, const int64_t *dims)
{
  struct tpo_shape_text text = {"["};
  size_t used = 1;
  for (int d = 0; d < n_dims && used < sizeof text.text - 24; d++)
    used += (size_t)snprintf(text.text + used, sizeof text.text - used, "%s%lld", d > 0 ? ", " : "",
                             (long long)dims[d]);
  snprintf(text.text + used, sizeof text.text - used, "]");
  return text;
}

static void show_member(FILE *out, const char *key, int width, const json_t *value, int limit)
{
  struct tpo_shown name = tpo_show_name(key, strlen(key));
  fprintf(out, "    %-*s  ", width, name.text);
  if (json_is_string(value)) {
    tpo_show_text(out, json_string_value(value), json_string_length(value), tpo_inspect_text_limit(limit));
  } else {
    char *text = tpo_json_dump(value);
    if (text) tpo_show_text(out, text, strlen(text), tpo_inspect_text_limit(limit));
    free(text);
  }
  fputc('\n', out);
}

void tpo_inspect_json(FILE *out, const char *text, size_t len, int limit)
{
  json_t *object = tpo_json_parse(text, len, "", NULL);
  if (!json_is_object(object)) {
    fputs("    ", out);
    tpo_show_text(out, text, len, tpo_inspect_text_limit(limit));
    fputc('\n', out);
    json_decref(object);
    return;
  }
  const char *key;
  json_t *value;
  int width = 0;
  json_object_foreach(object, key, value)
  {
    int length = (int)strlen(tpo_show_name(key, strlen(key)).text);
    if (length > width) width = length;
  }
  json_object_foreach(object, key, value) show_member(out, key, width, value, limit);
  json_decref(object);
}

static int inspect_hdf5(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  char format[16];
  int status = tpo_store_format(path, format, err);
  if (status < 0) return status;
  if (strcmp(format, "pairs") == 0) return tpo_inspect_pairs(path, limit, out, err);
  if (strcmp(format, "checkpoint") == 0) return tpo_inspect_checkpoint(path, limit, out, err);
  return tpo_inspect_samples(path, limit, out, err);
}

static int inspect_file(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  struct tpo_map map;
  int status = tpo_map_open(&map, path, err);
  if (status < 0) return status;
  bool is_gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
  bool is_hdf5 = map.size >= 4 && memcmp(map.data, "\x89HDF", 4) == 0;
  bool is_safetensors = map.size > 8 && map.data[8] == '{';
  tpo_map_close(&map);
  if (is_gguf) return tpo_inspect_gguf(path, limit, out, err);
  if (is_hdf5) return inspect_hdf5(path, limit, out, err);
  if (is_safetensors) return tpo_inspect_safetensors(path, limit, out, err);
  return tpo_fail(err, TPO_E_INPUT, "%s: neither HDF5 nor GGUF nor safetensors", path);
}

int tpo_inspect(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  int status = journal_refuse(path, err);
  if (status == 0)
    status = tpo_is_dir(path) ? tpo_inspect_safetensors(path, limit, out, err)
                              : inspect_file(path, limit, out, err);
  if (status == 0 && (fflush(out) != 0 || ferror(out)))
    status = tpo_fail(err, TPO_E_IO, "%s: what is in it can't be printed: %s", path, strerror(errno));
  return status;
}
