/* Folders of reward models for tests: the fixtures, whole or damaged. */
#ifndef TPO_TESTS_JUDGE_REWARD_FOLDER_H
#define TPO_TESTS_JUDGE_REWARD_FOLDER_H

#include "model/fixture.h"
#include "store/safetensors.h"

#define REWARD_FIXTURES TPO_SOURCE_DIR "/tests/judge/fixtures/"

/* What is changed on the way from a fixture into a folder; NULL and 0: nothing. */
struct change {
  const char *drop;        /* this tensor is left out */
  const char *rename, *to; /* this one gets another name */
  const char *flatten;     /* this one is written with one dimension */
  const char *add;         /* one more tensor of shape [1] with the value 2.5 */
  const char *poison;      /* this one's first number becomes a NaN */
  const char *key, *json;  /* config.json: this key gets this value, "" takes it away */
  const char *key2, *json2;
};

static inline json_t *load_json(const char *folder, const char *name)
{
  char path[8192];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/%s", folder, name);
  json_t *root = tpo_json_load(path, 1 << 24, &err);
  if (!root) fail_msg("%s", err.message);
  return root;
}

static inline void set_key(json_t *config, const char *key, const char *json)
{
  if (!key) return;
  json_object_del(config, key);
  if (*json) assert_int_equal(json_object_set_new(config, key, json_loads(json, JSON_DECODE_ANY, NULL)), 0);
}

static inline void write_config(const char *from, const char *to, const struct change *change)
{
  char path[8192];
  json_t *config = load_json(from, "config.json");
  set_key(config, change->key, change->json);
  set_key(config, change->key2, change->json2);
  snprintf(path, sizeof path, "%s/config.json", to);
  assert_int_equal(json_dump_file(config, path, 0), 0);
  json_decref(config);
}

static inline bool is(const char *a, const char *b)
{
  return a && strcmp(a, b) == 0;
}

/* The embedding with the fixture's rows in their places and zeros elsewhere; otherwise a copy. free() it. */
static inline uint8_t *expand(const struct tpo_safetensor *t, const json_t *rows, int64_t vocab,
                              int64_t *dims, size_t *bytes)
{
  dims[0] = t->dims[0], dims[1] = t->n_dims > 1 ? t->dims[1] : 1;
  *bytes = t->bytes;
  bool spread = rows && strcmp(t->name, "model.embed_tokens.weight") == 0;
  size_t row = t->bytes / (size_t)t->dims[0];
  if (spread) dims[0] = vocab, *bytes = (size_t)vocab * row;
  uint8_t *data = calloc(1, *bytes);
  assert_non_null(data);
  for (size_t i = 0; spread && i < json_array_size(rows); i++)
    memcpy(data + (size_t)json_integer_value(json_array_get(rows, i)) * row, t->data + i * row, row);
  if (!spread) memcpy(data, t->data, t->bytes);
  return data;
}

static inline void write_tensors(const char *from, const char *to, const json_t *rows, int64_t vocab,
                                 const struct change *change)
{
  char path[8192];
  struct tpo_error err = {0};
  struct tpo_safetensors st;
  struct tpo_safetensors_writer *w;
  snprintf(path, sizeof path, "%s/%s.safetensors", from, rows ? "compact" : "model");
  assert_ok(tpo_safetensors_open(&st, path, &err));
  snprintf(path, sizeof path, "%s/model.safetensors", to);
  assert_ok(tpo_safetensors_writer_open(&w, path, &err));
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < st.n_tensors; i++) {
      const struct tpo_safetensor *t = &st.tensors[i];
      int64_t dims[2];
      size_t bytes;
      if (is(change->drop, t->name)) continue;
      uint8_t *data = expand(t, rows, vocab, dims, &bytes);
      if (is(change->poison, t->name)) memset(data, 0xff, 4);
      int n_dims = t->n_dims;
      if (is(change->flatten, t->name)) dims[0] *= dims[1], n_dims = 1;
      if (pass == 0)
        assert_ok(tpo_safetensors_writer_declare(w, is(change->rename, t->name) ? change->to : t->name,
                                                 t->dtype, n_dims, dims, &err));
      else
        assert_ok(tpo_safetensors_writer_data(w, data, bytes, &err));
      free(data);
    }
    const int64_t one = 1;
    const float value = 2.5f;
    if (change->add && pass == 0)
      assert_ok(tpo_safetensors_writer_declare(w, change->add, TPO_F32, 1, &one, &err));
    if (change->add && pass == 1) assert_ok(tpo_safetensors_writer_data(w, &value, sizeof value, &err));
  }
  assert_ok(tpo_safetensors_writer_commit(w, &err));
  tpo_safetensors_writer_close(w);
  tpo_safetensors_close(&st);
}

static inline void copy_file(const char *from, const char *to, const char *name)
{
  char path[8192];
  struct tpo_error err = {0};
  struct tpo_buf bytes = {0};
  snprintf(path, sizeof path, "%s/%s", from, name);
  if (!tpo_file_exists(path)) return;
  assert_ok(tpo_read_file(path, 1 << 24, &bytes, &err));
  snprintf(path, sizeof path, "%s/%s", to, name);
  assert_ok(tpo_write_file(path, bytes.data, bytes.len, &err));
  tpo_buf_free(&bytes);
}

/* Puts the fixture, with the change (NULL: none), into the folder `to`. */
static inline void put_reward_folder(const char *to, const char *fixture, const struct change *change)
{
  static const struct change none = {0};
  char from[4096];
  snprintf(from, sizeof from, REWARD_FIXTURES "%s", fixture);
  json_t *config = load_json(from, "config.json"), *expected = load_json(from, "expected.json");
  if (!change) change = &none;
  write_config(from, to, change);
  write_tensors(from, to, json_object_get(expected, "rows"),
                (int64_t)json_integer_value(json_object_get(config, "vocab_size")), change);
  copy_file(from, to, "tokenizer.json");
  copy_file(from, to, "tokenizer_config.json");
  json_decref(config);
  json_decref(expected);
}

#endif
