/* Damaged, contradictory and hostile model files: one message that names file, tensor and expectation. */
#include "model/fixture.h"
#include "store/gguf.h"
#include "store/safetensors.h"

static void expect_error(const char *path, enum tpo_compute_dtype dtype, const char *a, const char *b)
{
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model_options options = {.backend = be, .dtype = dtype};
  struct tpo_model *model = NULL;
  struct tpo_error err = {0};
  if (tpo_model_open(&model, path, &options, &err) >= 0) fail_msg("%s was taken", path);
  assert_null(model);
  if (!strstr(err.message, a) || !strstr(err.message, b))
    fail_msg("message \"%s\" lacks \"%s\" or \"%s\"", err.message, a, b);
  tpo_backend_close(be);
}

static void read_bytes(const char *path, struct tpo_buf *buf)
{
  struct tpo_error err = {0};
  assert_ok(tpo_read_file(path, 1 << 24, buf, &err));
}

static void write_bytes(const char *path, const void *bytes, size_t len)
{
  struct tpo_error err = {0};
  assert_ok(tpo_write_file(path, bytes, len, &err));
}

static void copy_file(const char *from, const char *folder, const char *name)
{
  struct tpo_buf buf = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  read_bytes(from, &buf);
  write_bytes(path, buf.data, buf.len);
  tpo_buf_free(&buf);
}

/* What is changed on the way from the fixture to the copy. */
struct edit {
  const char *drop;    /* a tensor left out */
  const char *flatten; /* a tensor given another shape of as many elements */
  const char *poison;  /* a tensor whose element 40 is `value` */
  float value;
  const char *extra; /* a tensor of `extra_n` fp32 numbers added: ones, or a copy of the embedding */
  int extra_n;
  bool extra_is_embedding;
};

/* A copy of default_tied_f32 in `folder`, edited. */
static void write_edited(const char *folder, const struct edit *edit)
{
  struct tpo_error err = {0};
  struct tpo_safetensors st;
  struct tpo_safetensors_writer *w;
  char path[4200];
  copy_file(FIXTURES "default_tied_f32/config.json", folder, "config.json");
  assert_ok(tpo_safetensors_open(&st, FIXTURES "default_tied_f32", &err));
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  assert_ok(tpo_safetensors_writer_open(&w, path, &err));
  const int64_t extra_dims[1] = {edit->extra_n};
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < st.n_tensors; i++) {
      const struct tpo_safetensor *t = &st.tensors[i];
      if (edit->drop && strcmp(edit->drop, t->name) == 0) continue;
      if (pass == 0) {
        bool flat = edit->flatten && strcmp(edit->flatten, t->name) == 0;
        const int64_t one[1] = {(int64_t)(t->bytes / 4)};
        assert_ok(tpo_safetensors_writer_declare(w, t->name, TPO_F32, flat ? 1 : t->n_dims,
                                                 flat ? one : t->dims, &err));
      } else {
        float *data = malloc(t->bytes);
        memcpy(data, t->data, t->bytes);
        if (edit->poison && strcmp(edit->poison, t->name) == 0) data[40] = edit->value;
        assert_ok(tpo_safetensors_writer_data(w, data, t->bytes, &err));
        free(data);
      }
    }
    if (!edit->extra) continue;
    const struct tpo_safetensor *embed = tpo_safetensors_find(&st, "model.embed_tokens.weight");
    if (pass == 0 && edit->extra_is_embedding)
      assert_ok(tpo_safetensors_writer_declare(w, edit->extra, TPO_F32, 2, embed->dims, &err));
    if (pass == 0 && !edit->extra_is_embedding)
      assert_ok(tpo_safetensors_writer_declare(w, edit->extra, TPO_F32, 1, extra_dims, &err));
    if (pass == 1 && edit->extra_is_embedding)
      assert_ok(tpo_safetensors_writer_data(w, embed->data, embed->bytes, &err));
    if (pass == 1 && !edit->extra_is_embedding) {
      float *ones = malloc((size_t)edit->extra_n * 4);
      for (int i = 0; i < edit->extra_n; i++) ones[i] = 1;
      assert_ok(tpo_safetensors_writer_data(w, ones, (size_t)edit->extra_n * 4, &err));
      free(ones);
    }
  }
  assert_ok(tpo_safetensors_writer_commit(w, &err));
  tpo_safetensors_writer_close(w);
  tpo_safetensors_close(&st);
}

static void a_missing_tensor_is_named(void **state)
{
  write_edited(*state, &(struct edit){.drop = "model.layers.1.mlp.up_proj.weight"});
  expect_error(*state, TPO_DTYPE_FP32, "model.layers.1.mlp.up_proj.weight is missing", "[48, 32]");
}

static void an_unexpected_tensor_is_named(void **state)
{
  write_edited(*state, &(struct edit){.extra = "model.layers.0.self_attn.q_proj.bias", .extra_n = 32});
  expect_error(*state, TPO_DTYPE_FP32, "unexpected tensor model.layers.0.self_attn.q_proj.bias",
               "model.safetensors");
}

static void a_wrong_shape_is_named_with_the_right_one(void **state)
{
  write_edited(*state, &(struct edit){.flatten = "model.layers.0.mlp.down_proj.weight"});
  expect_error(*state, TPO_DTYPE_FP32, "model.layers.0.mlp.down_proj.weight has shape [1536]",
               "expected [32, 48]");
}

static void a_value_that_is_not_finite_is_named_with_its_place(void **state)
{
  struct edit edit = {.poison = "model.layers.1.self_attn.k_proj.weight", .value = NAN};
  write_edited(*state, &edit);
  expect_error(*state, TPO_DTYPE_FP32, "model.layers.1.self_attn.k_proj.weight holds nan", "row 1, column 8");
  edit.value = -INFINITY;
  write_edited(*state, &edit);
  expect_error(*state, TPO_DTYPE_BF16, "model.layers.1.self_attn.k_proj.weight holds -inf",
               "model.safetensors");
  edit.value = 3.4e38f; /* finite, but infinite once rounded to bf16 */
  write_edited(*state, &edit);
  expect_error(*state, TPO_DTYPE_BF16, "holds 3.4e+38", "bf16");
}

static void a_copy_of_tied_embeddings_and_rotary_tables_are_taken(void **state)
{
  struct tpo_backend *be = open_backend(REFERENCE);
  write_edited(*state, &(struct edit){.extra = "lm_head.weight", .extra_is_embedding = true});
  tpo_model_close(open_model(be, *state, TPO_DTYPE_FP32));
  write_edited(*state, &(struct edit){.extra = "model.layers.0.self_attn.rotary_emb.inv_freq", .extra_n = 4});
  tpo_model_close(open_model(be, *state, TPO_DTYPE_FP32));
  tpo_backend_close(be);
}

static void a_tied_head_that_differs_is_refused(void **state)
{
  write_edited(*state, &(struct edit){.extra = "lm_head.weight", .extra_n = 64 * 32});
  expect_error(*state, TPO_DTYPE_FP32, "lm_head.weight differs", "config.json ties them");
}

static void a_type_that_cannot_be_read_is_named(void **state)
{
  struct tpo_buf buf = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s/model.safetensors", (char *)*state);
  write_edited(*state, &(struct edit){0});
  read_bytes(path, &buf);
  memcpy(strstr(buf.data + 8, "\"F32\""), "\"I32\"", 5);
  write_bytes(path, buf.data, buf.len);
  tpo_buf_free(&buf);
  expect_error(*state, TPO_DTYPE_FP32, "is of type I32", "expected F32, F16 or BF16");
}

static void what_is_no_model_is_said_so(void **state)
{
  char path[4200];
  expect_error("/nonexistent/model", TPO_DTYPE_FP32, "/nonexistent/model", "cannot open");
  expect_error(*state, TPO_DTYPE_FP32, "no config.json", *state);
  snprintf(path, sizeof path, "%s/file", (char *)*state);
  write_bytes(path, "hello", 5);
  expect_error(path, TPO_DTYPE_FP32, "not a model", "GGUF");
  copy_file(FIXTURES "default_tied_f32/config.json", *state, "config.json");
  expect_error(*state, TPO_DTYPE_FP32, *state, "safetensors");
}

static char *edited_gguf(const char *folder, const char *find, const char *replace, size_t keep)
{
  static char path[4200];
  struct tpo_buf buf = {0};
  read_bytes(FIXTURES "llama3_bf16.gguf", &buf);
  snprintf(path, sizeof path, "%s/model.gguf", folder);
  if (find) {
    char *at = memmem(buf.data, buf.len, find, strlen(find));
    assert_non_null(at);
    memcpy(at, replace, strlen(replace));
  }
  write_bytes(path, buf.data, keep ? keep : buf.len);
  tpo_buf_free(&buf);
  return path;
}

static void gguf_faults_are_named(void **state)
{
  expect_error(edited_gguf(*state, "blk.1.ffn_gate", "blk.1.ffn_gote", 0), TPO_DTYPE_FP32,
               "blk.1.ffn_gate.weight is missing", "[48, 32]");
  expect_error(edited_gguf(*state, "llama.context_length", "llama.context_lengtx", 0), TPO_DTYPE_FP32,
               "no metadata key llama.context_length", "model.gguf");
  expect_error(edited_gguf(*state, NULL, NULL, 3000), TPO_DTYPE_FP32, "model.gguf", "");
  expect_error(edited_gguf(*state, NULL, NULL, 30000), TPO_DTYPE_FP32, "model.gguf", "");
}

static void another_architecture_or_rope_table_is_refused(void **state)
{
  struct tpo_error err = {0};
  struct tpo_gguf gguf;
  struct tpo_buf buf = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s/model.gguf", (char *)*state);
  read_bytes(FIXTURES "llama3_bf16.gguf", &buf);
  assert_ok(tpo_gguf_open(&gguf, FIXTURES "llama3_bf16.gguf", &err));
  size_t architecture = (size_t)(tpo_gguf_find(&gguf, "general.architecture")->data - gguf.map.data);
  size_t divisors = (size_t)(tpo_gguf_find_tensor(&gguf, "rope_freqs.weight")->data - gguf.map.data);
  tpo_gguf_close(&gguf);

  char *name = memmem(buf.data + architecture, 16, "llama", 5);
  assert_non_null(name);
  memcpy(name, "mamba", 5);
  write_bytes(path, buf.data, buf.len);
  expect_error(path, TPO_DTYPE_FP32, "\"mamba\" is not supported", "expected \"llama\"");
  memcpy(name, "llama", 5);

  float other = 5;
  memcpy(buf.data + divisors + 4, &other, 4);
  write_bytes(path, buf.data, buf.len);
  expect_error(path, TPO_DTYPE_FP32, "rope_freqs.weight holds 5 at 1", "another scaling is not supported");
  tpo_buf_free(&buf);
}

/* Whatever a byte becomes, the model opens or a message tells why not; sanitizers watch. */
static void flip_bytes(const char *from, const char *to, const char *open, size_t within, int rounds)
{
  struct tpo_buf buf = {0};
  struct tpo_rng rng;
  struct tpo_backend *be = open_backend(REFERENCE);
  tpo_rng_init(&rng, 17, TPO_STREAM_SYNTH, 0, 0);
  read_bytes(from, &buf);
  for (int round = 0; round < rounds; round++) {
    size_t at = tpo_rng_below(&rng, (uint32_t)(within < buf.len ? within : buf.len));
    char before = buf.data[at];
    buf.data[at] = (char)tpo_rng_below(&rng, 256);
    write_bytes(to, buf.data, buf.len);
    buf.data[at] = before;
    struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_FP32};
    struct tpo_model *model;
    struct tpo_error err = {0};
    if (tpo_model_open(&model, open, &options, &err) == 0)
      tpo_model_close(model);
    else
      assert_true(err.message[0] != 0);
  }
  tpo_backend_close(be);
  tpo_buf_free(&buf);
}

static void flipped_bytes_never_crash(void **state)
{
  char path[4200];
  snprintf(path, sizeof path, "%s/model.gguf", (char *)*state);
  flip_bytes(FIXTURES "llama3_bf16.gguf", path, path, 2500, 400);
  write_edited(*state, &(struct edit){0});
  snprintf(path, sizeof path, "%s/model.safetensors", (char *)*state);
  flip_bytes(FIXTURES "default_tied_f32/model.safetensors", path, *state, 2500, 300);
  write_edited(*state, &(struct edit){0});
  snprintf(path, sizeof path, "%s/config.json", (char *)*state);
  flip_bytes(FIXTURES "default_tied_f32/config.json", path, *state, 1000, 300);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_missing_tensor_is_named, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(an_unexpected_tensor_is_named, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_wrong_shape_is_named_with_the_right_one, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_value_that_is_not_finite_is_named_with_its_place, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_copy_of_tied_embeddings_and_rotary_tables_are_taken, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_tied_head_that_differs_is_refused, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_type_that_cannot_be_read_is_named, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(what_is_no_model_is_said_so, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(gguf_faults_are_named, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(another_architecture_or_rope_table_is_refused, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(flipped_bytes_never_crash, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
