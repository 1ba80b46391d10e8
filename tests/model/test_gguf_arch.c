/* Architectures in GGUF's keys: what no checkpoint could hold is refused as it is read, and what is written is what
 * llama.cpp and the reader here take it for. */
#include "model/fixture.h"
#include "base/ggml_blocks.h"
#include "model/files/export_gguf.h"

#define FOLDERS FIXTURES "families/"

static struct tpo_arch arch_of(const char *family)
{
  struct tpo_error err = {0};
  struct tpo_arch arch;
  char path[4200];
  snprintf(path, sizeof path, FOLDERS "%s", family);
  assert_ok(tpo_arch_read(&arch, path, &err));
  return arch;
}

/* What a file has besides an architecture's keys. */
struct extras {
  const char *type;      /* <architecture>.rope.scaling.type */
  double factor;         /* ....rope.scaling.factor */
  const char *tensor;    /* [pairs], of ones */
  const uint8_t *layers; /* <architecture>.attention.sliding_window_pattern [arch->layers] */
};

static void put_extras(struct tpo_gguf_writer *w, const struct tpo_arch *arch, const struct extras *extras)
{
  const char *name = tpo_family(arch)->names[TPO_NAME_GGUF];
  char key[96];
  snprintf(key, sizeof key, "%s.rope.scaling.type", name);
  if (extras->type) tpo_gguf_put_string(w, key, extras->type, strlen(extras->type));
  snprintf(key, sizeof key, "%s.rope.scaling.factor", name);
  if (extras->factor > 0) tpo_gguf_put_f32(w, key, extras->factor);
  snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", name);
  if (!extras->layers) return;
  tpo_gguf_put_array(w, key, TPO_GGUF_BOOL, (uint64_t)arch->layers);
  for (int l = 0; l < arch->layers; l++) tpo_gguf_add_item(w, &extras->layers[l], 1);
}

/* The architecture alone, with tensors of ones where its rotary embedding has some: enough for tpo_arch_read. */
static void write_arch(const char *path, const struct tpo_arch *arch, const struct extras *extras)
{
  struct tpo_error err = {0};
  struct tpo_gguf_writer *w;
  struct tpo_gguf_divisors divisors;
  const char *name = tpo_family(arch)->names[TPO_NAME_GGUF];
  size_t pairs = (size_t)tpo_rope_rotated(arch) / 2;
  float ones[TPO_ROPE_FACTORS];
  for (int i = 0; i < TPO_ROPE_FACTORS; i++) ones[i] = 1;
  tpo_gguf_rope_divisors(arch, &divisors);
  assert_ok(tpo_gguf_writer_open(&w, path, &err));
  tpo_gguf_put_string(w, "general.architecture", name, strlen(name));
  tpo_gguf_put_arch(arch, w);
  put_extras(w, arch, extras);
  for (int k = 0; k < 2 && divisors.names[k]; k++)
    assert_ok(tpo_gguf_writer_declare(w, divisors.names[k], TPO_GGML_F32, (int64_t)pairs, 1, &err));
  const char *last = extras->tensor ? extras->tensor : "output_norm.weight";
  assert_ok(tpo_gguf_writer_declare(w, last, TPO_GGML_F32, (int64_t)pairs, 1, &err));
  if (!arch->tied) assert_ok(tpo_gguf_writer_declare(w, "output.weight", TPO_GGML_F32, 1, 1, &err));
  for (int k = 0; k < 2 && divisors.names[k]; k++)
    assert_ok(tpo_gguf_writer_data(w, divisors.values[k], pairs * sizeof *ones, &err));
  assert_ok(tpo_gguf_writer_data(w, ones, pairs * sizeof *ones, &err));
  if (!arch->tied) assert_ok(tpo_gguf_writer_data(w, ones, sizeof *ones, &err));
  assert_ok(tpo_gguf_writer_commit(w, &err));
  tpo_gguf_writer_close(w);
}

/* says NULL: it is read, into *back. */
static void check_read(const char *folder, const struct tpo_arch *arch, const struct extras *extras,
                       const char *says, struct tpo_arch *back)
{
  struct tpo_error err = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s/model.gguf", folder);
  write_arch(path, arch, extras);
  int code = tpo_arch_read(back, path, &err);
  if (says ? code == 0 || !strstr(err.message, says) || !strstr(err.message, "model.gguf: ") : code < 0)
    fail_msg("code %d, \"%s\"; expected %s", code, err.message, says ? says : "it to be read");
}

static void windows_in_layers_that_the_family_cannot_name_are_refused(void **state)
{
  static const uint8_t some[3] = {1, 0, 1}, all[3] = {1, 1, 1};
  struct tpo_arch phi3 = arch_of("phi3_longrope"), back;
  const struct tpo_arch mistral = arch_of("mistral_window"), qwen2 = arch_of("qwen2_window_yarn");
  assert_int_equal(mistral.layers, 3);
  check_read(*state, &mistral, &(struct extras){.layers = all}, NULL, &back);
  assert_memory_equal(&back.windowed, &mistral.windowed, sizeof back.windowed);
  check_read(
      *state, &mistral, &(struct extras){.layers = some},
      "llama.attention.sliding_window_pattern says that layer 1 has no window, which is not supported; "
      "Mistral models' have one",
      &back);
  phi3.layers = 3;
  phi3.window = 4;
  for (int l = 0; l < 3; l++) tpo_layer_add(&phi3.windowed, l);
  check_read(*state, &phi3, &(struct extras){.layers = all}, NULL, &back);
  check_read(*state, &phi3, &(struct extras){.layers = some}, "Phi 3 models' have one", &back);
  check_read(*state, &qwen2, &(struct extras){0}, NULL, &back);
  assert_memory_equal(&back.windowed, &qwen2.windowed, sizeof back.windowed);
}

static void scalings_that_the_family_lacks_are_refused(void **state)
{
  struct tpo_arch longrope = arch_of("phi3_longrope"), plain = longrope, llama, qwen3 = arch_of("qwen3"),
                  back;
  plain.rope = (struct tpo_rope){.kind = TPO_ROPE_DEFAULT, .theta = longrope.rope.theta};
  llama = arch_of("mistral_window");
  const struct {
    const struct tpo_arch *arch;
    struct extras extras;
    const char *says;
  } cases[] = {
      {&plain, {.type = "none"}, NULL},
      {&longrope, {0}, NULL},
      {&plain,
       {.type = "yarn", .factor = 4},
       "\"yarn\" is not supported in Phi 3 models; expected none or longrope"},
      {&plain, {.type = "linear", .factor = 4}, "\"linear\" is not supported in Phi 3 models"},
      {&plain, {.factor = 4}, "rope scaling \"linear\" is not supported in Phi 3 models"},
      {&plain, {.tensor = "rope_freqs.weight"}, "rope scaling none together with tensor rope_freqs.weight"},
      {&longrope,
       {.tensor = "rope_freqs.weight"},
       "rope scaling longrope together with tensor rope_freqs.weight"},
      {&llama, {.tensor = "rope_freqs.weight"}, NULL},
      {&llama,
       {.tensor = "rope_factors_short.weight"},
       "tensor rope_factors_long.weight is missing, which longrope needs"},
      {&llama, {.type = "yarn", .factor = 4}, NULL},
      {&llama,
       {.type = "yarn", .factor = 4, .tensor = "rope_freqs.weight"},
       "rope scaling yarn together with"},
      {&llama,
       {.type = "linear", .factor = 4, .tensor = "rope_factors_long.weight"},
       "rope scaling linear together"},
      {&qwen3,
       {.type = "longrope"},
       "\"longrope\" is not supported in Qwen 3 models; expected none, linear or yarn"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check_read(*state, cases[i].arch, &cases[i].extras, cases[i].says, &back);
}

static void what_a_checkpoint_could_not_hold_is_named(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_arch arch = arch_of("mistral_window");
  assert_ok(tpo_arch_check_saved(&arch, "here", &err));
  arch.windowed.bits[0] = 5;
  assert_true(tpo_arch_check_saved(&arch, "here", &err) < 0);
  assert_contains(err.message, "here: the layers with a window of this Mistral model");
  arch = arch_of("qwen3");
  arch.final_softcap = 30;
  assert_true(tpo_arch_check_saved(&arch, "here", &err) < 0);
  assert_contains(err.message, "here: the soft cap of logits of this Qwen 3 model");
  arch = arch_of("phi3_longrope");
  arch.rope.kind = TPO_ROPE_YARN;
  assert_true(tpo_arch_check_saved(&arch, "here", &err) < 0);
}

/* What an export of the architecture warns of. */
static void warnings_of(const struct tpo_arch *arch, char out[8192])
{
  int ends[2], saved = dup(STDERR_FILENO);
  assert_int_equal(pipe(ends), 0);
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  tpo_log_setup(TPO_LOG_WARN, false, 0);
  tpo_gguf_warn(arch, "here");
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  dup2(saved, STDERR_FILENO);
  close(saved);
  ssize_t got = read(ends[0], out, 8191);
  close(ends[0]);
  assert_true(got >= 0);
  out[got] = '\0';
}

/* The key's value in the file, which stays open; NULL: there is none. */
static const struct tpo_gguf_value *pattern_in(struct tpo_gguf *gguf, const char *folder, const char *key)
{
  struct tpo_error err = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s/model.gguf", folder);
  assert_ok(tpo_gguf_open(gguf, path, &err));
  return tpo_gguf_find(gguf, key);
}

static void windows_are_written_as_a_number_where_they_have_a_period(void **state)
{
  struct tpo_arch arch = arch_of("gemma3"), back;
  struct tpo_gguf gguf;
  char text[8192];
  int64_t number = 0;
  assert_int_equal(arch.windowed.bits[0], 5); /* of 3 layers */
  check_read(*state, &arch, &(struct extras){0}, NULL, &back);
  assert_memory_equal(&back.windowed, &arch.windowed, sizeof back.windowed);
  assert_non_null(pattern_in(&gguf, *state, "gemma3.attention.sliding_window_pattern"));
  assert_int_equal(tpo_gguf_get_int(&gguf, "gemma3.attention.sliding_window_pattern", &number, NULL), 1);
  assert_int_equal(number, 2);
  tpo_gguf_close(&gguf);
  warnings_of(&arch, text);
  assert_contains(text, "here: releases of llama.cpp that don't read Gemma 3 models' key");
  assert_contains(text, "let one layer in 6 see everything");
  arch.windowed.bits[0] = 7; /* the usual: every 6th layer sees everything */
  check_read(*state, &arch, &(struct extras){0}, NULL, &back);
  assert_null(pattern_in(&gguf, *state, "gemma3.attention.sliding_window_pattern"));
  tpo_gguf_close(&gguf);
  warnings_of(&arch, text);
  assert_string_equal(text, "");
}

static void windows_without_a_period_are_written_layer_by_layer(void **state)
{
  struct tpo_arch arch = arch_of("gemma2"), back;
  struct tpo_gguf gguf;
  char text[8192];
  warnings_of(&arch, text);
  assert_string_equal(text, "");
  assert_true(arch.layers <= 3);
  arch.layers = 3;
  arch.windowed.bits[0] = 6;
  check_read(*state, &arch, &(struct extras){0}, NULL, &back);
  assert_memory_equal(&back.windowed, &arch.windowed, sizeof back.windowed);
  const struct tpo_gguf_value *value = pattern_in(&gguf, *state, "gemma2.attention.sliding_window_pattern");
  assert_non_null(value);
  assert_int_equal(value->type, TPO_GGUF_ARRAY);
  assert_memory_equal(value->data, ((const uint8_t[]){0, 1, 1}), 3);
  tpo_gguf_close(&gguf);
  warnings_of(&arch, text);
  assert_contains(text, "let one layer in 2 see everything");
}

static void settings_of_llama3_that_divisors_do_not_tell_are_warned_of(void **state)
{
  struct tpo_arch arch = arch_of("mistral_window"), back;
  char text[8192];
  arch.family = TPO_FAMILY_LLAMA;
  arch.window = 0;
  memset(&arch.windowed, 0, sizeof arch.windowed);
  arch.head_dim = 64;
  arch.rope.kind = TPO_ROPE_LLAMA3;
  arch.rope.factor = 8;
  arch.rope.low_freq = 1;
  arch.rope.high_freq = 4;
  arch.rope.original_context = 64;
  warnings_of(&arch, text);
  assert_string_equal(text, "");
  check_read(*state, &arch, &(struct extras){0}, NULL, &back);
  assert_memory_equal(&back, &arch, sizeof back);
  arch.rope.low_freq = 2;
  arch.rope.high_freq = 8;
  warnings_of(&arch, text);
  assert_contains(text,
                  "here: llama.cpp computes rope type llama3 of any settings, but tpo won't open the file");
  assert_contains(text, "not factor 8, low 2 and high 8");
  check_read(*state, &arch, &(struct extras){0}, "another scaling is not supported", &back);
}

int main(void)
{
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(windows_in_layers_that_the_family_cannot_name_are_refused, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(scalings_that_the_family_lacks_are_refused, make_folder, remove_folder),
      cmocka_unit_test(what_a_checkpoint_could_not_hold_is_named),
      cmocka_unit_test_setup_teardown(windows_are_written_as_a_number_where_they_have_a_period, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(windows_without_a_period_are_written_layer_by_layer, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(settings_of_llama3_that_divisors_do_not_tell_are_warned_of, make_folder,
                                      remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
