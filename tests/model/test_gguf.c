/* GGUF in and out, for every family: files of the gguf package compute what transformers computes for the folders
 * that they were made of, an export is the model that it was made of, and what GGUF can't say is refused. */
#include "family_folders.h"
#include "model/fixture.h"
#include "base/ggml_blocks.h"
#include "model/files/export_gguf.h"
#include "store/gguf.h"

#define FILES FIXTURES "families_gguf/"

struct path {
  char text[4200];
};

static struct path path_of(const char *before, const char *name, const char *after)
{
  struct path path;
  snprintf(path.text, sizeof path.text, "%s%s%s", before, name, after);
  return path;
}

/* Their scale of q . k has no key: GGUF's queries are larger instead. */
static bool scales_queries(const char *family)
{
  return strncmp(family, "gemma", 5) == 0;
}

static void files_of_the_package_compute_as_transformers(void **state)
{
  (void)state;
  for (int bf16 = 0; bf16 < 2; bf16++) {
    struct tpo_backend *be = open_backend(CPU);
    for (int i = 0; i < FAMILIES; i++) {
      struct tpo_model *model =
          open_model(be, path_of(FILES, families[i], ".gguf").text, bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
      struct gap gap = compare_logprobs(model, path_of(FAMILY_FOLDERS, families[i], "/logprobs.json").text);
      if (bf16 ? gap.mean > 0.05 : gap.largest > 2e-4)
        fail_msg("%s: off by %g at most, %g on average", families[i], gap.largest, gap.mean);
      tpo_model_close(model);
    }
    tpo_backend_close(be);
  }
}

static void export_to(const char *from, const char *file, enum tpo_gguf_matrices matrices)
{
  struct tpo_error err = {0};
  assert_ok(tpo_model_export_gguf(from, file, matrices, NULL, &err));
}

static void a_file_and_an_export_are_the_folders_architecture(void **state)
{
  struct tpo_error err = {0};
  const struct path out = path_of(*state, "", "/out.gguf");
  for (int i = 0; i < FAMILIES; i++) {
    const struct path folder = path_of(FAMILY_FOLDERS, families[i], "");
    struct tpo_arch of_folder, of_file, of_export;
    export_to(folder.text, out.text, TPO_GGUF_MATRICES_F32);
    assert_ok(tpo_model_check(&of_folder, folder.text, &err));
    assert_ok(tpo_model_check(&of_file, path_of(FILES, families[i], ".gguf").text, &err));
    assert_ok(tpo_model_check(&of_export, out.text, &err));
    if (scales_queries(families[i])) of_folder.attention_scale = 0;
    if (memcmp(&of_folder, &of_file, sizeof of_folder) != 0) fail_msg("%s: the file differs", families[i]);
    /* yarn's factor of cosines and sines goes through a quotient */
    assert_true(fabs(of_export.rope.attention_factor - of_folder.rope.attention_factor) < 1e-6);
    of_export.rope.attention_factor = of_folder.rope.attention_factor;
    if (memcmp(&of_folder, &of_export, sizeof of_folder) != 0)
      fail_msg("%s: the export differs", families[i]);
  }
}

static void exports_compute_what_they_were_made_of(void **state)
{
  /* fp16 holds what bf16 weights of this size say; Q8_0 loses 1/254 of the largest of 32 numbers. */
  const struct {
    enum tpo_gguf_matrices matrices;
    double largest, mean;
  } types[] = {{TPO_GGUF_MATRICES_F32, 2e-4, 1e-5},
               {TPO_GGUF_MATRICES_BF16, 2e-4, 1e-5},
               {TPO_GGUF_MATRICES_F16, 2e-4, 1e-5},
               {TPO_GGUF_MATRICES_Q8_0, 1, 0.06}};
  const struct path out = path_of(*state, "", "/out.gguf");
  struct tpo_backend *be = open_backend(CPU);
  for (int i = 0; i < FAMILIES; i++)
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
      bool rounded = types[t].matrices != TPO_GGUF_MATRICES_F32 && strcmp(families[i], "gemma2") == 0;
      export_to(path_of(FAMILY_FOLDERS, families[i], "").text, out.text, types[t].matrices);
      struct tpo_model *model = open_model(be, out.text, TPO_DTYPE_FP32);
      struct gap gap = compare_logprobs(model, path_of(FAMILY_FOLDERS, families[i], "/logprobs.json").text);
      if (!(gap.largest <= (rounded ? 0.2 : types[t].largest)) ||
          !(gap.mean <= (rounded ? 0.06 : types[t].mean)))
        fail_msg("%s, type %d: off by %g at most, %g on average", families[i], (int)types[t].matrices,
                 gap.largest, gap.mean);
      if (types[t].matrices == TPO_GGUF_MATRICES_Q8_0) assert_true(gap.largest > 1e-3);
      tpo_model_close(model);
    }
  tpo_backend_close(be);
}

static uint32_t type_in(const struct tpo_gguf *gguf, const char *name)
{
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(gguf, name);
  if (!t) fail_msg("no tensor %s", name);
  assert_true((t->data - gguf->map.data) % 32 == 0);
  return t->type;
}

static void vectors_are_fp32_and_rows_that_q8_0_does_not_fit_fp16(void **state)
{
  struct tpo_error err = {0};
  struct tpo_gguf gguf;
  const struct path out = path_of(*state, "", "/out.gguf");
  export_to(FAMILY_FOLDERS "qwen2_window_yarn", out.text, TPO_GGUF_MATRICES_Q8_0);
  assert_ok(tpo_gguf_open(&gguf, out.text, &err));
  assert_int_equal(type_in(&gguf, "token_embd.weight"), TPO_GGML_Q8_0);
  assert_int_equal(type_in(&gguf, "output.weight"), TPO_GGML_Q8_0);
  assert_int_equal(type_in(&gguf, "blk.0.ffn_gate.weight"), TPO_GGML_Q8_0);
  assert_int_equal(type_in(&gguf, "blk.0.ffn_down.weight"), TPO_GGML_F16); /* rows of 48 */
  assert_int_equal(type_in(&gguf, "blk.0.attn_q.bias"), TPO_GGML_F32);
  assert_int_equal(type_in(&gguf, "output_norm.weight"), TPO_GGML_F32);
  tpo_gguf_close(&gguf);
}

static void expect(int code, const struct tpo_error *err, const char *a, const char *b)
{
  assert_true(code < 0);
  if (!strstr(err->message, a) || !strstr(err->message, b))
    fail_msg("message \"%s\" lacks \"%s\" or \"%s\"", err->message, a, b);
}

static void what_llama_cpp_has_no_words_for_is_refused(void **state)
{
  (void)state;
  const struct {
    const char *family, *says;
    size_t real; /* the field of struct tpo_arch that is set */
    double value;
  } cases[] = {{"gemma2", "no soft cap of attention", offsetof(struct tpo_arch, attention_softcap), 0},
               {"gemma2", "no soft cap of logits", offsetof(struct tpo_arch, final_softcap), 0},
               {"gemma2", "such a multiplier of embeddings", offsetof(struct tpo_arch, embedding_scale), 2},
               {"gemma", "a soft cap of logits", offsetof(struct tpo_arch, final_softcap), 30},
               {"qwen3", "a soft cap of attention", offsetof(struct tpo_arch, attention_softcap), 30},
               {"qwen3", "a soft cap of logits", offsetof(struct tpo_arch, final_softcap), 30},
               {"olmo2", "a multiplier of residuals", offsetof(struct tpo_arch, residual_scale), 0.5},
               {"smollm3", "a divisor of logits", offsetof(struct tpo_arch, logits_scale), 4}};
  struct tpo_error err = {0};
  struct tpo_arch arch;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_ok(tpo_arch_read(&arch, path_of(FAMILY_FOLDERS, cases[i].family, "").text, &err));
    assert_ok(tpo_gguf_check_expressible(&arch, "here", &err));
    memcpy((char *)&arch + cases[i].real, &cases[i].value, sizeof cases[i].value);
    expect(tpo_gguf_check_expressible(&arch, "here", &err), &err, "here: ", cases[i].says);
  }
}

static void ropes_and_heads_that_llama_cpp_lacks_are_refused(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_arch arch, changed;
  assert_ok(tpo_arch_read(&arch, FAMILY_FOLDERS "qwen3", &err));
  changed = arch;
  changed.rope.kind = TPO_ROPE_LLAMA3;
  expect(tpo_gguf_check_expressible(&changed, "here", &err), &err, "rope type llama3", "Qwen 3");
  changed = arch;
  changed.rotated = 8;
  expect(tpo_gguf_check_expressible(&changed, "here", &err), &err, "partial rotary", "Qwen 3");
  changed = arch;
  changed.rope.kind = TPO_ROPE_YARN;
  changed.rope.untruncated = true;
  expect(tpo_gguf_check_expressible(&changed, "here", &err), &err, "yarn without truncation", "");
  assert_ok(tpo_arch_read(&arch, FAMILY_FOLDERS "smollm3", &err));
  tpo_layer_add(&arch.unrotated, 1);
  expect(tpo_gguf_check_expressible(&arch, "here", &err), &err, "layers without rotary", "SmolLM3");
  assert_ok(tpo_arch_read(&arch, FAMILY_FOLDERS "gemma2", &err));
  arch.tied = false;
  expect(tpo_gguf_check_expressible(&arch, "here", &err), &err, "an LM head of its own", "");
  assert_ok(tpo_arch_read(&arch, FAMILY_FOLDERS "olmo2", &err));
  arch.tied = true;
  expect(tpo_gguf_check_expressible(&arch, "here", &err), &err, "its embedding as LM head", "");
  arch.tied = false;
  arch.head_dim *= 2;
  expect(tpo_gguf_check_expressible(&arch, "here", &err), &err, "don't make up the hidden size", "");
}

/* A copy of a file of which `n` bytes of a key's value are others. */
static struct path edited(const char *folder, const char *from, const char *key, const void *bytes, size_t n)
{
  struct tpo_error err = {0};
  struct tpo_gguf gguf;
  struct tpo_buf buf = {0};
  const struct path path = path_of(folder, "", "/edited.gguf");
  assert_ok(tpo_gguf_open(&gguf, from, &err));
  const struct tpo_gguf_value *value = tpo_gguf_find(&gguf, key);
  if (!value) fail_msg("%s has no key %s", from, key);
  size_t at = (size_t)(value->data - gguf.map.data);
  assert_ok(tpo_read_file(from, 1 << 24, &buf, &err));
  memcpy(buf.data + at, bytes, n);
  assert_ok(tpo_write_file(path.text, buf.data, buf.len, &err));
  tpo_buf_free(&buf);
  tpo_gguf_close(&gguf);
  return path;
}

static void expect_refused(const char *path, const char *a, const char *b)
{
  struct tpo_error err = {0};
  struct tpo_arch arch;
  expect(tpo_model_check(&arch, path, &err), &err, a, b);
}

static void keys_that_make_no_sense_are_named(void **state)
{
  const float not_a_number = NAN, zero = 0, less = -1;
  const uint32_t huge = 1u << 30, odd = 7, none = 0, few = 40;
  const struct {
    const char *family, *key;
    const void *bytes; /* [4] */
    const char *says;
  } cases[] = {
      {"granite", "granite.logit_scale", &zero, "granite.logit_scale is 0, expected a number above 0"},
      {"granite", "granite.attention.scale", &not_a_number,
       "attention.scale is nan, expected a number above 0"},
      {"granite", "granite.residual_scale", &less, "residual_scale is -1, expected a number above 0"},
      {"gemma2", "gemma2.attn_logit_softcapping", &not_a_number,
       "softcapping is nan, expected a number above 0"},
      {"gemma2", "gemma2.attention.sliding_window", &huge, "sliding_window is 1073741824, expected at most"},
      {"gemma2", "gemma2.attention.sliding_window", &none,
       "gemma2.attention.sliding_window is 0; expected at least 1, since"},
      {"gemma3", "gemma3.attention.sliding_window", &none,
       "is 0; expected at least 1, since 2 of 3 layers see a window by attention.sliding_window_pattern"},
      {"qwen2_window_yarn", "qwen2.attention.sliding_window", &none,
       "sliding_window is 0; expected at least 1"},
      {"gemma3", "gemma3.rope.freq_base_swa", &zero, "freq_base_swa is 0, expected a number above 0"},
      {"phi3_longrope", "phi3.rope.dimension_count", &odd,
       "is 7; expected an even number up to the key length, 16"},
      {"phi3_longrope", "phi3.rope.scaling.original_context_length", &none,
       "context_length is 0, expected at least 1"},
      {"phi3_longrope", "phi3.rope.scaling.attn_factor", &less,
       "attn_factor is -1, expected a number above 0"},
      {"phi3_longrope", "phi3.feed_forward_length", &few,
       "blk.0.ffn_up.weight has shape [96, 32], expected [80, 32]"},
      {"llama_yarn", "llama.rope.scaling.factor", &zero, "rope.scaling.factor is no number above 0"},
      {"qwen3", "qwen3.block_count", &huge, "qwen3.block_count is 1073741824"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct path from = path_of(FILES, cases[i].family, ".gguf");
    expect_refused(edited(*state, from.text, cases[i].key, cases[i].bytes, 4).text,
                   "edited.gguf: ", cases[i].says);
  }
}

static void a_pattern_of_windows_is_a_truth_value_for_each_layer(void **state)
{
  static const char key[] = "gemma3.attention.sliding_window_pattern";
  struct tpo_error err = {0};
  struct tpo_buf buf = {0};
  const struct path path = path_of(*state, "", "/edited.gguf");
  assert_ok(tpo_read_file(FILES "gemma3.gguf", 1 << 24, &buf, &err));
  char *at = memmem(buf.data, buf.len, key, sizeof key - 1);
  assert_non_null(at);
  at[sizeof key - 1 + 4] = TPO_GGUF_U8; /* the items' type */
  assert_ok(tpo_write_file(path.text, buf.data, buf.len, &err));
  expect_refused(path.text, key, "or a truth value for each of 3 layers");
  tpo_buf_free(&buf);
}

static struct path without_key(const char *folder, const char *from, const char *key)
{
  struct tpo_error err = {0};
  struct tpo_buf buf = {0};
  const struct path path = path_of(folder, "", "/lacking.gguf");
  assert_ok(tpo_read_file(from, 1 << 24, &buf, &err));
  const uint64_t len = strlen(key);
  char *at = buf.data;
  while ((at = memmem(at, (size_t)(buf.data + buf.len - at), key, len)) && memcmp(at - 8, &len, 8) != 0) at++;
  assert_non_null(at);
  at[len - 1] = '?'; /* a key that nobody reads */
  assert_ok(tpo_write_file(path.text, buf.data, buf.len, &err));
  tpo_buf_free(&buf);
  return path;
}

static void windows_that_a_pattern_wants_must_be_there(void **state)
{
  static const char window[] = "gemma3.attention.sliding_window";
  const uint32_t none = 0;
  struct tpo_error err = {0};
  struct tpo_arch arch;
  const struct path without = without_key(*state, FILES "gemma3.gguf", window);
  expect_refused(without.text, window, " is missing; expected at least 1, since 2 of 3 layers");
  struct path other = without_key(*state, without.text, "gemma3.attention.sliding_window_pattern");
  assert_ok(tpo_model_check(&arch, other.text, &err)); /* as llama.cpp has it: without a window at all */
  assert_int_equal(arch.window, 0);
  other = without_key(*state, FILES "gemma3.gguf", "gemma3.attention.sliding_window_pattern");
  expect_refused(edited(*state, other.text, window, &none, 4).text, window,
                 "is 0; expected at least 1, since 3 of 3 layers see a window in this architecture");
  other = path_of(FILES, "mistral_window", ".gguf");
  assert_ok(tpo_model_check(&arch,
                            edited(*state, other.text, "llama.attention.sliding_window", &none, 4).text,
                            &err)); /* turned off, and no pattern says otherwise */
  assert_int_equal(arch.window, 0);
}

static void tensors_of_another_family_are_named(void **state)
{
  struct tpo_error err = {0};
  struct tpo_buf buf = {0};
  const struct path path = path_of(*state, "", "/renamed.gguf");
  assert_ok(tpo_read_file(FILES "qwen2_tied.gguf", 1 << 24, &buf, &err));
  for (char *at; (at = memmem(buf.data, buf.len, "qwen2", 5));) at[4] = '3';
  assert_ok(tpo_write_file(path.text, buf.data, buf.len, &err));
  expect_refused(path.text, "tensor blk.0.attn_q_norm.weight is missing", "renamed.gguf");
  tpo_buf_clear(&buf);
  assert_ok(tpo_read_file(FILES "phi3_longrope.gguf", 1 << 24, &buf, &err));
  memcpy(memmem(buf.data, buf.len, "rope_factors_long", 17), "rope_factors_lang", 17);
  memcpy(memmem(buf.data, buf.len, "rope_factors_short", 18), "rope_factors_shart", 18);
  assert_ok(tpo_write_file(path.text, buf.data, buf.len, &err));
  expect_refused(path.text, "", "rope_factors_lang.weight");
  tpo_buf_free(&buf);
}

/* A copy of default_tied_f32 as GGUF, with one number of a matrix replaced. */
static struct path with_a_number(const char *folder, float value)
{
  struct tpo_error err = {0};
  struct tpo_gguf gguf;
  struct tpo_buf buf = {0};
  const struct path path = path_of(folder, "", "/number.gguf");
  export_to(FIXTURES "default_tied_f32", path.text, TPO_GGUF_MATRICES_F32);
  assert_ok(tpo_gguf_open(&gguf, path.text, &err));
  size_t at = (size_t)(tpo_gguf_find_tensor(&gguf, "blk.1.attn_q.weight")->data - gguf.map.data);
  assert_ok(tpo_read_file(path.text, 1 << 24, &buf, &err));
  memcpy(buf.data + at + 4 * 40, &value, sizeof value);
  assert_ok(tpo_write_file(path.text, buf.data, buf.len, &err));
  tpo_buf_free(&buf);
  tpo_gguf_close(&gguf);
  return path;
}

static void numbers_that_the_type_does_not_hold_are_refused(void **state)
{
  struct tpo_error err = {0};
  const struct path out = path_of(*state, "", "/out.gguf");
  struct path from = with_a_number(*state, 1e6f);
  expect(tpo_model_export_gguf(from.text, out.text, TPO_GGUF_MATRICES_F16, NULL, &err), &err,
         "model.layers.1.self_attn.q_proj.weight holds 1e+06", "which F16 can't hold");
  assert_int_equal(access(out.text, F_OK), -1);
  export_to(from.text, out.text, TPO_GGUF_MATRICES_Q8_0); /* a scale of 7874 */
  export_to(from.text, out.text, TPO_GGUF_MATRICES_BF16);
  from = with_a_number(*state, 1e8f);
  expect(tpo_model_export_gguf(from.text, out.text, TPO_GGUF_MATRICES_Q8_0, NULL, &err), &err, "holds 1e+08",
         "which Q8_0 can't hold");
  from = with_a_number(*state, NAN);
  expect(tpo_model_export_gguf(from.text, out.text, TPO_GGUF_MATRICES_F32, NULL, &err), &err, "holds nan",
         "F32");
}

static void an_export_stands_for_a_whole_file(void **state)
{
  struct tpo_error err = {0};
  const struct path out = path_of(*state, "", "/out.gguf");
  const char *folder = FIXTURES "default_tied_f32";
  export_to(folder, out.text, TPO_GGUF_MATRICES_F32);
  expect(tpo_model_export_gguf(out.text, out.text, TPO_GGUF_MATRICES_BF16, NULL, &err), &err,
         "the model itself", "out.gguf");
  export_to(out.text, path_of(*state, "", "/again.gguf").text, TPO_GGUF_MATRICES_F32);
  export_to(folder, out.text, TPO_GGUF_MATRICES_BF16); /* replaces it */
  expect(tpo_model_export_gguf(folder, path_of(*state, "", "/none/out.gguf").text, TPO_GGUF_MATRICES_F32,
                               NULL, &err),
         &err, "there is no folder", "none");
  expect(tpo_model_export_gguf(folder, *state, TPO_GGUF_MATRICES_F32, NULL, &err), &err, "folder", *state);
}

int main(void)
{
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(files_of_the_package_compute_as_transformers),
      cmocka_unit_test_setup_teardown(a_file_and_an_export_are_the_folders_architecture, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(exports_compute_what_they_were_made_of, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(vectors_are_fp32_and_rows_that_q8_0_does_not_fit_fp16, make_folder,
                                      remove_folder),
      cmocka_unit_test(what_llama_cpp_has_no_words_for_is_refused),
      cmocka_unit_test(ropes_and_heads_that_llama_cpp_lacks_are_refused),
      cmocka_unit_test_setup_teardown(keys_that_make_no_sense_are_named, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_pattern_of_windows_is_a_truth_value_for_each_layer, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(windows_that_a_pattern_wants_must_be_there, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(tensors_of_another_family_are_named, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(numbers_that_the_type_does_not_hold_are_refused, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(an_export_stands_for_a_whole_file, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
