/* Reading. A file is: u64 header length, a JSON object {name: {dtype, shape, data_offsets: [begin, end]}},
 * then the data, which the tensors must cover without gap or overlap. */
#include "store/safetensors.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "store/show.h"

enum {
  MAX_HEADER_BYTES = 100 << 20, /* the format's own limit */
  MAX_INDEX_BYTES = 100 << 20,
  MAX_SHARDS = 4096,
};

struct stored_dtype {
  const char *name;
  int bytes; /* of an element */
};
static const struct stored_dtype stored_dtypes[] = {
    {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"BOOL", 1}, {"I8", 1},
    {"U8", 1},  {"I16", 2}, {"U16", 2},  {"I32", 4}, {"U32", 4},     {"I64", 8},     {"U64", 8},
};

/* One tensor's entry, before it is added: where it lies in its shard. */
struct span {
  uint64_t begin, end; /* bytes from the start of the data */
  const char *name;    /* borrowed from the tensor */
};

static int bad_entry(const char *path, const char *name, const char *what, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: tensor '%s': %s", path, tpo_show_name(name, strlen(name)).text,
                  what);
}

static int parse_dtype(struct tpo_safetensor *t, const json_t *entry, int *element_bytes, const char *path,
                       struct tpo_error *err)
{
  const char *text = json_string_value(json_object_get(entry, "dtype"));
  if (!text || text[0] == '\0' || strlen(text) >= sizeof t->dtype_name)
    return bad_entry(path, t->name, "\"dtype\" must be a type's name such as F32 or BF16", err);
  memcpy(t->dtype_name, text, strlen(text) + 1);
  *element_bytes = 0;
  for (size_t i = 0; i < sizeof stored_dtypes / sizeof stored_dtypes[0]; i++)
    if (strcmp(text, stored_dtypes[i].name) == 0) *element_bytes = stored_dtypes[i].bytes;
  t->supported = true;
  if (strcmp(text, "F32") == 0)
    t->dtype = TPO_F32;
  else if (strcmp(text, "F16") == 0)
    t->dtype = TPO_F16;
  else if (strcmp(text, "BF16") == 0)
    t->dtype = TPO_BF16;
  else
    t->supported = false;
  return 0;
}

static int parse_shape(struct tpo_safetensor *t, const json_t *entry, uint64_t *elements, const char *path,
                       struct tpo_error *err)
{
  const json_t *shape = json_object_get(entry, "shape");
  if (!json_is_array(shape) || json_array_size(shape) > 8)
    return bad_entry(path, t->name, "\"shape\" must be an array of at most 8 dimensions", err);
  t->n_dims = (int)json_array_size(shape);
  *elements = 1;
  for (int d = 0; d < t->n_dims; d++) {
    const json_t *dim = json_array_get(shape, (size_t)d);
    if (!json_is_integer(dim) || json_integer_value(dim) < 0)
      return bad_entry(path, t->name, "\"shape\" must hold whole numbers from 0 up", err);
    t->dims[d] = json_integer_value(dim);
    if (__builtin_mul_overflow(*elements, (uint64_t)t->dims[d], elements))
      return bad_entry(path, t->name, "its shape has more elements than can be counted", err);
  }
  return 0;
}

static int parse_offsets(const struct tpo_safetensor *t, const json_t *entry, uint64_t available,
                         struct span *span, const char *path, struct tpo_error *err)
{
  const json_t *offsets = json_object_get(entry, "data_offsets");
  const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
      json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
    return bad_entry(path, t->name, "\"data_offsets\" must be [begin, end] with 0 <= begin <= end", err);
  span->begin = (uint64_t)json_integer_value(begin);
  span->end = (uint64_t)json_integer_value(end);
  span->name = t->name;
  if (span->end > available)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: tensor '%s' ends at byte %llu of the data, which has %llu; "
                    "the file is truncated or damaged",
                    path, tpo_show_name(t->name, strlen(t->name)).text, (unsigned long long)span->end,
                    (unsigned long long)available);
  return 0;
}

static int parse_tensor(struct tpo_safetensor *t, const char *name, const json_t *entry, const uint8_t *data,
                        uint64_t available, struct span *span, const char *path, struct tpo_error *err)
{
  t->name = strdup(name);
  if (!t->name) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", path);
  int element_bytes = 0;
  uint64_t elements = 0, expected = 0;
  if (!json_is_object(entry)) return bad_entry(path, name, "its entry must be an object", err);
  int status = parse_dtype(t, entry, &element_bytes, path, err);
  if (status == 0) status = parse_shape(t, entry, &elements, path, err);
  if (status == 0) status = parse_offsets(t, entry, available, span, path, err);
  if (status < 0) return status;
  t->data = data + span->begin;
  t->bytes = span->end - span->begin;
  /* a type that this program has never heard of: its size can't be checked */
  if (element_bytes == 0) return 0;
  if (__builtin_mul_overflow(elements, (uint64_t)element_bytes, &expected) || expected != t->bytes)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: tensor '%s' has %llu bytes, but its type %s and shape need another number", path,
                    tpo_show_name(name, strlen(name)).text, (unsigned long long)t->bytes, t->dtype_name);
  return 0;
}

static int by_begin(const void *a, const void *b)
{
  const struct span *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

/* Sorts spans. */
static int check_cover(struct span *spans, size_t n, uint64_t available, const char *path,
                       struct tpo_error *err)
{
  qsort(spans, n, sizeof *spans, by_begin);
  uint64_t at = 0;
  for (size_t i = 0; i < n; i++) {
    if (spans[i].begin != at)
      return bad_entry(
          path, spans[i].name,
          spans[i].begin < at ? "it overlaps the tensor before it" : "there is a gap before its data", err);
    at = spans[i].end;
  }
  if (at != available)
    return tpo_fail(err, TPO_E_INPUT, "%s: the tensors end at byte %llu of the data, which has %llu", path,
                    (unsigned long long)at, (unsigned long long)available);
  return 0;
}

/* Data that does not lie at a multiple of its element's size gets a copy that does, so that callers may use
 * data as an array. Files made by the usual writers never need it. */
static int align_data(struct tpo_safetensor *t, struct tpo_error *err)
{
  if (!t->supported || t->bytes == 0 || (uintptr_t)t->data % tpo_dtype_size(t->dtype) == 0) return 0;
  t->aligned = tpo_calloc(t->bytes, 1, err);
  if (!t->aligned) return TPO_E_MEMORY;
  memcpy(t->aligned, t->data, t->bytes);
  t->data = t->aligned;
  return 0;
}

static int add_tensors(struct tpo_safetensors *st, const json_t *header, const uint8_t *data,
                       uint64_t available, int shard, struct tpo_error *err)
{
  const char *path = st->shard_paths[shard], *name;
  size_t count = json_object_size(header), capacity = (size_t)st->n_tensors, used = 0;
  if (count > (size_t)(INT_MAX - st->n_tensors))
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: more than %d tensors", path, INT_MAX);
  struct span *spans = tpo_calloc(count, sizeof *spans, err);
  if (!spans) return TPO_E_MEMORY;
  int status = tpo_grow(&st->tensors, &capacity, (size_t)st->n_tensors + count, sizeof *st->tensors, err);
  json_t *entry;
  json_object_foreach((json_t *)header, name, entry)
  {
    if (status < 0) break;
    if (strcmp(name, "__metadata__") == 0) continue;
    struct tpo_safetensor *t = &st->tensors[st->n_tensors];
    *t = (struct tpo_safetensor){.shard = shard};
    st->n_tensors++;
    status = parse_tensor(t, name, entry, data, available, &spans[used++], path, err);
    if (status == 0) status = align_data(t, err);
  }
  if (status == 0) status = check_cover(spans, used, available, path, err);
  free(spans);
  return status;
}

/* Maps shard number `shard`, whose path is set, and adds its tensors. */
static int open_shard(struct tpo_safetensors *st, int shard, struct tpo_error *err)
{
  const char *path = st->shard_paths[shard];
  struct tpo_map *map = &st->shards[shard];
  int status = tpo_map_open(map, path, err);
  if (status < 0) return status;
  uint64_t length = 0;
  if (map->size >= 8) memcpy(&length, map->data, 8);
  if (map->size < 8 || length > map->size - 8 || length > MAX_HEADER_BYTES)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: not a safetensors file, or a truncated one: "
                    "its header's length is %llu bytes, the file's %zu",
                    path, (unsigned long long)length, map->size);
  const char *text = (const char *)map->data + 8;
  if (length == 0 || text[0] != '{')
    return tpo_fail(err, TPO_E_INPUT, "%s: not a safetensors file: its header does not begin with '{'", path);
  json_t *header = tpo_json_parse(text, length, path, err);
  if (!header) return err ? err->code : TPO_E_INPUT;
  status = add_tensors(st, header, map->data + 8 + length, map->size - 8 - length, shard, err);
  json_decref(header);
  return status;
}

static int add_shard(struct tpo_safetensors *st, const char *path, struct tpo_error *err)
{
  size_t paths = (size_t)st->n_shards, maps = (size_t)st->n_shards, needed = (size_t)st->n_shards + 1;
  if (tpo_grow(&st->shard_paths, &paths, needed, sizeof *st->shard_paths, err) < 0) return TPO_E_MEMORY;
  if (tpo_grow(&st->shards, &maps, needed, sizeof *st->shards, err) < 0) return TPO_E_MEMORY;
  st->shard_paths[st->n_shards] = strdup(path);
  if (!st->shard_paths[st->n_shards]) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", path);
  st->shards[st->n_shards] = (struct tpo_map){0};
  return st->n_shards++;
}

/* The shard's number, added when it is new; negative on error. */
static int shard_of(struct tpo_safetensors *st, const char *folder, const char *file, const char *index,
                    struct tpo_error *err)
{
  char path[4096];
  if (file[0] == '\0' || strchr(file, '/') || strcmp(file, "..") == 0 || strcmp(file, ".") == 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"weight_map\" names the file '%s', expected a name within the folder", index,
                    tpo_show_name(file, strlen(file)).text);
  int status = tpo_path_join(path, sizeof path, folder, file, err);
  if (status < 0) return status;
  for (int i = 0; i < st->n_shards; i++)
    if (strcmp(st->shard_paths[i], path) == 0) return i;
  if (st->n_shards == MAX_SHARDS)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: more than %d files", index, MAX_SHARDS);
  return add_shard(st, path, err);
}

static int by_name(const void *a, const void *b)
{
  return strcmp(((const struct tpo_safetensor *)a)->name, ((const struct tpo_safetensor *)b)->name);
}

static int sort_tensors(struct tpo_safetensors *st, struct tpo_error *err)
{
  if (st->n_tensors > 0) qsort(st->tensors, (size_t)st->n_tensors, sizeof *st->tensors, by_name);
  for (int i = 1; i < st->n_tensors; i++)
    if (strcmp(st->tensors[i - 1].name, st->tensors[i].name) == 0)
      return tpo_fail(err, TPO_E_INPUT, "%s and %s both hold tensor '%s'",
                      st->shard_paths[st->tensors[i - 1].shard], st->shard_paths[st->tensors[i].shard],
                      tpo_show_name(st->tensors[i].name, strlen(st->tensors[i].name)).text);
  return 0;
}

/* Every tensor of the index stands in the shard that the index says. */
static int check_index(const struct tpo_safetensors *st, const char *folder, json_t *weight_map,
                       const char *index, struct tpo_error *err)
{
  const char *name;
  json_t *file;
  json_object_foreach(weight_map, name, file)
  {
    char path[4096];
    int status = tpo_path_join(path, sizeof path, folder, json_string_value(file), err);
    if (status < 0) return status;
    const struct tpo_safetensor *t = tpo_safetensors_find(st, name);
    if (!t || strcmp(st->shard_paths[t->shard], path) != 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: tensor '%s' should be in %s, which does not hold it", index,
                      tpo_show_name(name, strlen(name)).text, json_string_value(file));
  }
  return 0;
}

static int open_shards(struct tpo_safetensors *st, const char *folder, json_t *weight_map, const char *index,
                       struct tpo_error *err)
{
  const char *name;
  json_t *file;
  if (!json_is_object(weight_map) || json_object_size(weight_map) == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"weight_map\" must be an object that gives each tensor's file",
                    index);
  json_object_foreach(weight_map, name, file)
  {
    if (!json_is_string(file))
      return tpo_fail(err, TPO_E_INPUT, "%s: \"weight_map\": the file of tensor '%s' must be a string", index,
                      tpo_show_name(name, strlen(name)).text);
    int shard = shard_of(st, folder, json_string_value(file), index, err);
    if (shard < 0) return shard;
  }
  for (int i = 0; i < st->n_shards; i++) {
    int status = open_shard(st, i, err);
    if (status < 0) return tpo_fail_prefix(err, "%s", index);
  }
  int status = sort_tensors(st, err);
  return status < 0 ? status : check_index(st, folder, weight_map, index, err);
}

static int open_single(struct tpo_safetensors *st, const char *path, struct tpo_error *err)
{
  int status = add_shard(st, path, err);
  if (status >= 0) status = open_shard(st, 0, err);
  return status < 0 ? status : sort_tensors(st, err);
}

static int open_index(struct tpo_safetensors *st, const char *folder, const char *index,
                      struct tpo_error *err)
{
  json_t *root = tpo_json_load(index, MAX_INDEX_BYTES, err);
  if (!root) return err ? err->code : TPO_E_INPUT;
  int status = open_shards(st, folder, json_object_get(root, "weight_map"), index, err);
  json_decref(root);
  return status;
}

/* The single file goes first, as it does in transformers: an index beside it is what an earlier, sharded
 * model left. */
static int open_folder(struct tpo_safetensors *st, const char *folder, struct tpo_error *err)
{
  char single[4096], index[4096];
  int status = tpo_path_join(single, sizeof single, folder, "model.safetensors", err);
  if (status == 0) status = tpo_path_join(index, sizeof index, folder, "model.safetensors.index.json", err);
  int sharded = status < 0 ? status : tpo_look_for(index, err);
  status = sharded < 0 ? sharded : tpo_look_for(single, err);
  if (status < 0) return status;
  if (status > 0) {
    if (sharded)
      tpo_log(TPO_LOG_WARN, "%s is not read: model.safetensors stands beside it and goes first", index);
    return open_single(st, single, err);
  }
  if (sharded) return open_index(st, folder, index, err);
  return tpo_fail(err, TPO_E_USAGE, "%s: holds neither model.safetensors nor model.safetensors.index.json",
                  folder);
}

int tpo_safetensors_open(struct tpo_safetensors *st, const char *path, struct tpo_error *err)
{
  memset(st, 0, sizeof *st);
  int status = tpo_is_dir(path) ? open_folder(st, path, err) : open_single(st, path, err);
  if (status < 0) tpo_safetensors_close(st);
  return status;
}

void tpo_safetensors_close(struct tpo_safetensors *st)
{
  if (!st) return;
  for (int i = 0; i < st->n_tensors; i++) {
    free(st->tensors[i].name);
    free(st->tensors[i].aligned);
  }
  for (int i = 0; i < st->n_shards; i++) {
    tpo_map_close(&st->shards[i]);
    free(st->shard_paths[i]);
  }
  free(st->tensors);
  free(st->shards);
  free(st->shard_paths);
  memset(st, 0, sizeof *st);
}

const struct tpo_safetensor *tpo_safetensors_find(const struct tpo_safetensors *st, const char *name)
{
  struct tpo_safetensor key = {.name = (char *)name};
  if (st->n_tensors == 0) return NULL;
  return bsearch(&key, st->tensors, (size_t)st->n_tensors, sizeof *st->tensors, by_name);
}
