/* manifest.json is made, read, extended and held against the files that it names. */
#include "run/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

static int set_paths(struct manifest *m, const char *dir, struct tpo_error *err)
{
  *m = (struct manifest){0};
  if (strlen(dir) >= sizeof m->dir)
    return tpo_fail(err, TPO_E_USAGE, "%s: the run folder's path is too long", dir);
  strcpy(m->dir, dir);
  return tpo_path_join(m->path, sizeof m->path, dir, "manifest.json", err);
}

int manifest_create(struct manifest *m, const char *dir, const char *config_hash, uint64_t seed, int ranks,
                    struct tpo_error *err)
{
  char created[32];
  int status = set_paths(m, dir, err);
  if (status < 0) return status;
  tpo_timestamp(created);
  m->root = json_pack("{s:i, s:s, s:s, s:I, s:s, s:s, s:i, s:b, s:[]}", "version", 1, "tpo_version",
                      tpo_version(), "created", created, "seed", (json_int_t)seed, "config_hash", config_hash,
                      "model_hash", "", "ranks", ranks, "done", 0, "steps");
  return m->root ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
}

int manifest_load(struct manifest *m, const char *dir, struct tpo_error *err)
{
  int status = set_paths(m, dir, err);
  if (status == 0) status = tpo_look_for(m->path, err);
  if (status < 0) return status;
  if (status == 0)
    return tpo_fail(err, TPO_E_USAGE, "%s holds no run to resume: manifest.json is not there", dir);
  m->root = tpo_json_load(m->path, 64u << 20, err);
  if (!m->root) return TPO_E_INPUT;
  if (!json_is_object(m->root) || json_integer_value(json_object_get(m->root, "version")) != 1 ||
      !json_is_array(json_object_get(m->root, "steps")))
    return tpo_fail(err, TPO_E_INPUT, "%s: expected a version 1 manifest with a list of steps", m->path);
  return 0;
}

void manifest_free(struct manifest *m)
{
  json_decref(m->root);
  m->root = NULL;
}

static int write_manifest(const struct manifest *m, struct tpo_error *err)
{
  char *text = json_dumps(m->root, JSON_INDENT(1));
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  int status = tpo_write_file(m->path, text, strlen(text), err);
  free(text);
  return status;
}

bool manifest_has(const struct manifest *m, int iteration, const char *step)
{
  size_t i;
  json_t *entry;
  json_array_foreach(json_object_get(m->root, "steps"), i, entry)
  {
    const char *name = json_string_value(json_object_get(entry, "step"));
    if (json_integer_value(json_object_get(entry, "iteration")) == iteration && name &&
        strcmp(name, step) == 0)
      return true;
  }
  return false;
}

bool manifest_has_ever(const struct manifest *m, const char *step)
{
  for (int iteration = manifest_last(m); iteration >= 0; iteration--)
    if (manifest_has(m, iteration, step)) return true;
  return false;
}

int manifest_last(const struct manifest *m)
{
  size_t i;
  json_t *entry;
  int last = -1;
  json_array_foreach(json_object_get(m->root, "steps"), i, entry)
  {
    int iteration = (int)json_integer_value(json_object_get(entry, "iteration"));
    if (iteration > last) last = iteration;
  }
  return last;
}

static int verify_file(const struct manifest *m, const json_t *file, struct tpo_error *err)
{
  char path[8200], hash[33];
  uint64_t size;
  const char *name = json_string_value(json_object_get(file, "path"));
  const char *expected = json_string_value(json_object_get(file, "hash"));
  if (!name || !expected)
    return tpo_fail(err, TPO_E_INPUT, "%s: a file of a step has no path or hash", m->path);
  int status = tpo_path_join(path, sizeof path, m->dir, name, err);
  if (status == 0) status = tpo_look_for(path, err);
  if (status == 0)
    return tpo_fail(err, TPO_E_STATE, "%s is missing, though the manifest says that it was finished", path);
  if (status > 0) status = tpo_hash_file(path, hash, &size, err);
  if (status < 0) return status;
  if (size != (uint64_t)json_integer_value(json_object_get(file, "size")) || strcmp(hash, expected) != 0)
    return tpo_fail(err, TPO_E_STATE,
                    "%s is not the file that this run wrote: its size or hash differs from the manifest",
                    path);
  return 0;
}

int manifest_verify(const struct manifest *m, struct tpo_error *err)
{
  size_t i, j;
  json_t *entry, *file;
  json_array_foreach(json_object_get(m->root, "steps"), i, entry)
  {
    json_array_foreach(json_object_get(entry, "files"), j, file)
    {
      int status = verify_file(m, file, err);
      if (status < 0) return status;
    }
  }
  return 0;
}

static json_t *describe_file(const struct manifest *m, const char *name, struct tpo_error *err)
{
  char path[8200], hash[33];
  uint64_t size;
  if (tpo_path_join(path, sizeof path, m->dir, name, err) < 0 || tpo_hash_file(path, hash, &size, err) < 0)
    return NULL;
  return json_pack("{s:s, s:I, s:s}", "path", name, "size", (json_int_t)size, "hash", hash);
}

int manifest_add(struct manifest *m, int iteration, const char *step, const char *const *files,
                 double seconds, int64_t metrics_size, struct tpo_error *err)
{
  json_t *list = json_array();
  for (int i = 0; files[i]; i++) {
    json_t *file = describe_file(m, files[i], err);
    if (!file) {
      json_decref(list);
      return TPO_E_IO;
    }
    json_array_append_new(list, file);
  }
  json_t *entry = json_pack("{s:i, s:s, s:o, s:f, s:I}", "iteration", iteration, "step", step, "files", list,
                            "seconds", seconds, "metrics_size", (json_int_t)metrics_size);
  if (!entry || json_array_append_new(json_object_get(m->root, "steps"), entry) < 0)
    return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  /* A finished run may go on to more iterations. */
  return manifest_set(m, "done", json_false(), err);
}

int64_t manifest_metrics_size(const struct manifest *m)
{
  const json_t *steps = json_object_get(m->root, "steps");
  size_t n = json_array_size(steps);
  return n ? json_integer_value(json_object_get(json_array_get(steps, n - 1), "metrics_size")) : 0;
}

int manifest_set(struct manifest *m, const char *key, json_t *value, struct tpo_error *err)
{
  if (!value || json_object_set_new(m->root, key, value) < 0)
    return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  return write_manifest(m, err);
}

const char *manifest_string(const struct manifest *m, const char *key)
{
  const char *text = json_string_value(json_object_get(m->root, key));
  return text ? text : "";
}
