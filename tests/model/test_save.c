/* Checkpoints and exported folders hold the same model. */
#include "model/model.h"
#include "model/families.h"
#include "model/files/export_hf.h"
#include "tpo/store.h"
#include "tpo/text.h"

static void save(struct tpo_model *model, const float *flat, const struct tpo_tokenizer *tokenizer,
                 const char *path)
{
  struct tpo_error err = {0};
  struct tpo_checkpoint_writer *w;
  assert_ok(tpo_checkpoint_create(&w, path, "seed: 0\n", &err));
  assert_ok(tpo_model_save(model, flat, tokenizer, w, &err));
  assert_ok(tpo_checkpoint_commit(w, &err));
  tpo_checkpoint_writer_close(w);
}

static const char *in(const char *folder, const char *name)
{
  static char paths[4][4200];
  static int next;
  struct tpo_error err = {0};
  char *path = paths[next++ % 4];
  assert_ok(tpo_path_join(path, sizeof paths[0], folder, name, &err));
  return path;
}

static void assert_same_model(struct tpo_model *a, struct tpo_model *b)
{
  struct tpo_error err = {0};
  const int vocab = tpo_model_arch(a)->vocab_size, bounds[2] = {0, 30};
  int32_t *ids = fixed_ids(30, vocab);
  float x[30], y[30];
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = bounds, .n_tokens = 30, .n_seqs = 1};
  assert_ok(tpo_model_logprobs(a, &batch, x, &err));
  assert_ok(tpo_model_logprobs(b, &batch, y, &err));
  assert_memory_equal(x, y, sizeof x);
  assert_string_equal(tpo_model_hash(a), tpo_model_hash(b));
  free(ids);
}

static void a_checkpoint_holds_the_computing_weights_bit_for_bit(void **state)
{
  char path[4200];
  snprintf(path, sizeof path, "%s/model.h5", (char *)*state);
  for (int i = 0; i < 4; i++) {
    struct tpo_backend *be = open_backend(CPU);
    enum tpo_compute_dtype dtype = i % 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32;
    struct tpo_model *model = small_model(be, dtype, i < 2, 0), *back;
    save(model, NULL, NULL, path);
    back = open_model(be, path, dtype);
    assert_same_model(model, back);
    tpo_model_close(back);
    tpo_model_close(model);
    tpo_backend_close(be);
  }
}

static void saving_a_flat_array_is_saving_the_model_it_makes(void **state)
{
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model *model = small_model(be, TPO_DTYPE_BF16, true, 0), *other;
  size_t count = tpo_model_param_count(model);
  float *flat = malloc(count * sizeof *flat);
  for (size_t i = 0; i < count; i++) flat[i] = tpo_model_master(model)[i] * 1.01f;
  save(model, flat, NULL, in(*state, "flat.h5"));
  other = open_model(be, in(*state, "flat.h5"), TPO_DTYPE_BF16);
  assert_string_not_equal(tpo_model_hash(model), tpo_model_hash(other));
  tpo_model_set_weights(model, flat);
  assert_same_model(model, other);
  free(flat);
  tpo_model_close(other);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void the_hash_names_the_model_wherever_it_was_loaded_from(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *folder = open_model(be, FIXTURES "llama3_untied_bf16", TPO_DTYPE_FP32);
  struct tpo_model *gguf = open_model(be, FIXTURES "llama3_bf16.gguf", TPO_DTYPE_BF16);
  struct tpo_model *other = open_model(be, FIXTURES "no_groups_f32", TPO_DTYPE_FP32);
  assert_int_equal(strlen(tpo_model_hash(folder)), 32);
  assert_string_equal(tpo_model_hash(folder), tpo_model_hash(gguf));
  assert_string_not_equal(tpo_model_hash(folder), tpo_model_hash(other));
  tpo_model_close(folder);
  tpo_model_close(gguf);
  tpo_model_close(other);
  tpo_backend_close(be);
}

static void a_model_with_nan_is_not_saved(void **state)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *model = small_model(be, TPO_DTYPE_FP32, true, 0);
  struct tpo_checkpoint_writer *w;
  size_t n;
  const struct tpo_param *params = tpo_model_params(model, &n);
  tpo_model_master(model)[params[3].offset + 50] = NAN;
  assert_ok(tpo_checkpoint_create(&w, in(*state, "nan.h5"), "", &err));
  assert_int_equal(tpo_model_save(model, tpo_model_master(model), NULL, w, &err), TPO_E_NUMERIC);
  assert_contains(err.message, params[3].name);
  tpo_checkpoint_writer_close(w);
  assert_false(tpo_file_exists(in(*state, "nan.h5")));
  tpo_model_close(model);
  tpo_backend_close(be);
}

/* A fixture as a checkpoint with a tokenizer. */
static void make_checkpoint(const char *fixture, enum tpo_compute_dtype dtype, const char *path)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *model = open_model(be, fixture, dtype);
  struct tpo_tokenizer *tokenizer;
  assert_ok(tpo_tokenizer_open(&tokenizer, FIXTURES "tokenizer", &err));
  save(model, NULL, tokenizer, path);
  tpo_tokenizer_close(tokenizer);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void assert_same_logprobs(const char *folder, const char *expected)
{
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *model = open_model(be, folder, TPO_DTYPE_FP32);
  struct gap gap = compare_logprobs(model, expected);
  assert_true(gap.largest < 2e-4);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void an_exported_folder_is_the_same_model(void **state)
{
  struct tpo_error err = {0};
  char folder[4200];
  snprintf(folder, sizeof folder, "%s/deep/folder", (char *)*state);
  make_checkpoint(FIXTURES "llama3_untied_bf16", TPO_DTYPE_BF16, in(*state, "model.h5"));
  assert_ok(tpo_model_export_hf(in(*state, "model.h5"), folder, NULL, &err));
  assert_same_logprobs(folder, FIXTURES "llama3_untied_bf16/logprobs.json");
  assert_true(tpo_file_exists(in(folder, "tokenizer.json")));
  assert_true(tpo_file_exists(in(folder, "tokenizer_config.json")));
  json_t *generation = tpo_json_load(in(folder, "generation_config.json"), 1 << 16, &err);
  assert_int_equal(json_integer_value(json_object_get(generation, "eos_token_id")), 257);
  json_decref(generation);
}

static void shards_and_one_file_replace_each_other(void **state)
{
  struct tpo_error err = {0};
  char folder[4200];
  snprintf(folder, sizeof folder, "%s/folder", (char *)*state);
  make_checkpoint(FIXTURES "default_tied_f32", TPO_DTYPE_FP32, in(*state, "model.h5"));
  for (int round = 0; round < 3; round++) {
    bool sharded = round % 2 == 1;
    assert_ok(tpo_export_hf_sharded(in(*state, "model.h5"), folder, NULL, sharded ? 20000 : 1 << 30, &err));
    assert_int_equal(tpo_file_exists(in(folder, "model.safetensors.index.json")), sharded);
    assert_int_equal(tpo_file_exists(in(folder, "model.safetensors")), !sharded);
    assert_same_logprobs(folder, FIXTURES "default_tied_f32/logprobs.json");
  }
  assert_true(tpo_file_exists(in(folder, "model-00004-of-00004.safetensors")));
}

/* By way of a checkpoint. */
static void every_family_is_the_same_model_after_export(void **state)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(REFERENCE);
  for (int i = 0; i < FAMILIES; i++) {
    char folder[4200];
    snprintf(folder, sizeof folder, "%s", in(*state, families[i]));
    struct tpo_model *before = open_model(be, family_folder(i), TPO_DTYPE_BF16), *after;
    make_checkpoint(family_folder(i), TPO_DTYPE_BF16, in(*state, "model.h5"));
    after = open_model(be, in(*state, "model.h5"), TPO_DTYPE_BF16);
    assert_same_model(before, after);
    tpo_model_close(after);
    assert_ok(tpo_model_export_hf(in(*state, "model.h5"), folder, NULL, &err));
    after = open_model(be, folder, TPO_DTYPE_BF16);
    assert_same_model(before, after);
    tpo_model_close(after);
    tpo_model_close(before);
  }
  tpo_backend_close(be);
}

static void what_is_no_checkpoint_is_not_exported(void **state)
{
  struct tpo_error err = {0};
  assert_true(tpo_model_export_hf(FIXTURES "llama3_bf16.gguf", in(*state, "out"), NULL, &err) < 0);
  assert_contains(err.message, "llama3_bf16.gguf");
  assert_false(tpo_is_dir(in(*state, "out")));
}

/* With transformers itself, when TPO_PYTHON names a Python that has it. */
static void transformers_loads_an_export_with_equal_logprobs(void **state)
{
  const char *python = getenv("TPO_PYTHON");
  char probe[4200];
  snprintf(probe, sizeof probe,
           "'%s' -c 'import importlib.util as u, sys; "
           "sys.exit(not all(map(u.find_spec, [\"torch\", \"transformers\"])))' 2>/dev/null",
           python ? python : "");
  if (!python || system(probe) != 0) {
    print_message("skipped: TPO_PYTHON does not name a Python with transformers\n");
    skip();
  }
  static const char *const fixtures[] = {"default_tied_f32", "llama3_untied_bf16", "linear_sharded_f16"};
  char command[16000]; /* one for all: Python takes longer to load transformers than for the rest */
  int length = snprintf(command, sizeof command, "'%s' '%s' 1e-4", python,
                        TPO_SOURCE_DIR "/tests/model/compare_export.py");
  for (int i = 0; i < 3 + FAMILIES; i++) {
    struct tpo_error err = {0};
    char fixture[512], folder[4200], name[32];
    snprintf(name, sizeof name, "folder-%d", i);
    snprintf(folder, sizeof folder, "%s", in(*state, name));
    snprintf(fixture, sizeof fixture, i < 3 ? FIXTURES "%s" : FAMILY_FOLDERS "%s",
             i < 3 ? fixtures[i] : families[i - 3]);
    make_checkpoint(fixture, i == 0 || i == 2 ? TPO_DTYPE_FP32 : TPO_DTYPE_BF16, in(*state, "model.h5"));
    assert_ok(tpo_export_hf_sharded(in(*state, "model.h5"), folder, NULL, i == 2 ? 30000 : 1 << 30, &err));
    length += snprintf(command + length, sizeof command - (size_t)length, " '%s' '%s/logprobs.json'", folder,
                       fixture);
  }
  assert_int_equal(system(command), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_checkpoint_holds_the_computing_weights_bit_for_bit, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(saving_a_flat_array_is_saving_the_model_it_makes, make_folder,
                                      remove_folder),
      cmocka_unit_test(the_hash_names_the_model_wherever_it_was_loaded_from),
      cmocka_unit_test_setup_teardown(a_model_with_nan_is_not_saved, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(an_exported_folder_is_the_same_model, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(shards_and_one_file_replace_each_other, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(every_family_is_the_same_model_after_export, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(what_is_no_checkpoint_is_not_exported, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(transformers_loads_an_export_with_equal_logprobs, make_folder,
                                      remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
