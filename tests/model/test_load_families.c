/* Hugging Face folders of the families: their tensors, and those of a model of which the text model is a part. */
#include "family_folders.h"
#include "model/fixture.h"
#include "store/safetensors.h"

static const char *path_of(const char *family)
{
  static char path[4200];
  snprintf(path, sizeof path, FAMILY_FOLDERS "%s", family);
  return path;
}

/* What is changed on the way from a fixture to a folder. */
struct edit {
  const char *family;
  const char *drop, *extra; /* names of tensors: one left out, one added, a number alone */
  const char *flatten;      /* one given another shape of as many elements */
  const char *text;         /* instead of "model." in names; NULL: a model of one part */
  const char *reward;       /* class of a reward model, which has a head of 32 numbers and no LM head */
};

static void write_config(const char *folder, const struct edit *edit)
{
  struct tpo_error err = {0};
  char path[4300];
  snprintf(path, sizeof path, "%s/config.json", path_of(edit->family));
  json_t *config = tpo_json_load(path, 1 << 20, &err);
  if (!config) fail_msg("%s", err.message);
  if (edit->text)
    config = json_pack("{s:s,s:[s],s:o,s:{}}", "model_type", "gemma3", "architectures",
                       "Gemma3ForConditionalGeneration", "text_config", config, "vision_config");
  if (edit->reward) json_object_set_new(config, "architectures", json_pack("[s]", edit->reward));
  char *text = tpo_json_dump(config);
  snprintf(path, sizeof path, "%s/config.json", folder);
  assert_ok(tpo_write_file(path, text, strlen(text), &err));
  free(text);
  json_decref(config);
}

static const char *name_of(const struct edit *edit, const char *name)
{
  static char out[200];
  if (!edit->text || strncmp(name, "model.", 6) != 0) return name;
  snprintf(out, sizeof out, "%s%s", edit->text, name + 6);
  return out;
}

static void write_edited(const char *folder, const struct edit *edit)
{
  struct tpo_error err = {0};
  struct tpo_safetensors st;
  struct tpo_safetensors_writer *w;
  char path[4300];
  const int64_t dims[2] = {1, 32};
  const float ones[32] = {1, 1, 1};
  const char *extra = edit->reward ? "score.weight" : edit->extra;
  write_config(folder, edit);
  assert_ok(tpo_safetensors_open(&st, path_of(edit->family), &err));
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  assert_ok(tpo_safetensors_writer_open(&w, path, &err));
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < st.n_tensors; i++) {
      const struct tpo_safetensor *t = &st.tensors[i];
      const int64_t all = (int64_t)(t->bytes / tpo_dtype_size(t->dtype));
      bool flat = edit->flatten && strcmp(edit->flatten, t->name) == 0;
      if (edit->drop && strcmp(edit->drop, t->name) == 0) continue;
      if (edit->reward && strcmp("lm_head.weight", t->name) == 0) continue;
      if (pass == 1)
        assert_ok(tpo_safetensors_writer_data(w, t->data, t->bytes, &err));
      else
        assert_ok(tpo_safetensors_writer_declare(w, name_of(edit, t->name), t->dtype, flat ? 1 : t->n_dims,
                                                 flat ? &all : t->dims, &err));
    }
    if (!extra) continue;
    if (pass == 0)
      assert_ok(tpo_safetensors_writer_declare(w, extra, TPO_F32, edit->reward ? 2 : 1, dims, &err));
    else
      assert_ok(tpo_safetensors_writer_data(w, ones, edit->reward ? sizeof ones : sizeof *ones, &err));
  }
  assert_ok(tpo_safetensors_writer_commit(w, &err));
  tpo_safetensors_writer_close(w);
  tpo_safetensors_close(&st);
}

static void expect_error(const char *folder, const struct edit *edit, const char *a, const char *b)
{
  struct tpo_arch arch;
  struct tpo_error err = {0};
  write_edited(folder, edit);
  if (tpo_model_check(&arch, folder, &err) >= 0) fail_msg("%s was taken", edit->family);
  if (!strstr(err.message, a) || !strstr(err.message, b))
    fail_msg("message \"%s\" lacks \"%s\" or \"%s\"", err.message, a, b);
}

static void every_familys_tensors_are_known(void **state)
{
  (void)state;
  for (int i = 0; i < FAMILIES; i++) {
    struct tpo_arch arch;
    struct tpo_error err = {0};
    if (tpo_model_check(&arch, path_of(families[i]), &err) < 0) fail_msg("%s", err.message);
  }
}

static void missing_tensors_are_named(void **state)
{
  static const char *const drops[][2] = {
      {"qwen2_tied", "model.layers.0.self_attn.q_proj.bias"},
      {"qwen3", "model.layers.1.self_attn.k_norm.weight"},
      {"olmo2", "model.layers.0.self_attn.q_norm.weight"},
      {"olmo2", "model.layers.1.post_feedforward_layernorm.weight"},
      {"gemma", "model.layers.1.post_attention_layernorm.weight"},
      {"gemma2", "model.layers.0.pre_feedforward_layernorm.weight"},
      {"gemma3", "model.layers.0.post_attention_layernorm.weight"},
      {"phi3_longrope", "model.layers.0.self_attn.qkv_proj.weight"},
      {"smollm3", "model.layers.1.input_layernorm.weight"},
  };
  char message[200];
  for (size_t i = 0; i < sizeof drops / sizeof *drops; i++) {
    snprintf(message, sizeof message, "tensor %s is missing; expected shape [", drops[i][1]);
    expect_error(*state, &(struct edit){.family = drops[i][0], .drop = drops[i][1]}, message, *state);
  }
}

static void tensors_of_another_family_are_named(void **state)
{
  static const char *const extras[][3] = {
      {"granite", "model.layers.0.self_attn.q_proj.bias", "no Granite 3 model"},
      {"qwen2_tied", "model.layers.0.self_attn.q_norm.weight", "no Qwen 2 model"},
      {"qwen3", "model.layers.0.self_attn.k_proj.bias", "no Qwen 3 model"},
      {"olmo2", "model.layers.0.input_layernorm.weight", "no OLMo 2 model"},
      {"mistral_window", "model.layers.0.post_feedforward_layernorm.weight", "no Mistral model"},
      {"phi3_longrope", "model.layers.0.self_attn.q_proj.weight", "no Phi 3 model"},
      {"gemma", "model.layers.0.pre_feedforward_layernorm.weight", "no Gemma model"},
      {"gemma3", "vision_tower.vision_model.post_layernorm.weight", "no Gemma 3 model"},
  };
  char message[200];
  for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
    snprintf(message, sizeof message, "unexpected tensor %s", extras[i][1]);
    expect_error(*state, &(struct edit){.family = extras[i][0], .extra = extras[i][1]}, message,
                 extras[i][2]);
  }
}

/* 2 + 2 x 1 heads of 16 features, and twice 48. */
static void fused_tensors_have_their_height(void **state)
{
  static const char *const names[] = {"model.layers.0.self_attn.qkv_proj.weight",
                                      "model.layers.0.mlp.gate_up_proj.weight"};
  char message[200];
  for (int i = 0; i < 2; i++) {
    snprintf(message, sizeof message, "tensor %s has shape [", names[i]);
    expect_error(*state, &(struct edit){.family = "phi3_longrope", .flatten = names[i]}, message,
                 i == 0 ? "expected [64, 32]" : "expected [96, 32]");
  }
}

static const char *hash_of(const char *path)
{
  static char hash[2][33];
  static int next;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model *model = open_model(be, path, TPO_DTYPE_FP32);
  char *out = strcpy(hash[next++ % 2], tpo_model_hash(model));
  tpo_model_close(model);
  tpo_backend_close(be);
  return out;
}

/* Both ways in which such files name tensors. */
static void the_text_model_of_several_parts_is_the_text_model(void **state)
{
  static const char *const layouts[][2] = {
      {"language_model.model.", "vision_tower.vision_model.post_layernorm.weight"},
      {"model.language_model.", "model.multi_modal_projector.mm_soft_emb_norm.weight"}};
  for (int i = 0; i < 2; i++) {
    write_edited(*state, &(struct edit){.family = "gemma3", .text = layouts[i][0], .extra = layouts[i][1]});
    assert_string_equal(hash_of(*state), hash_of(path_of("gemma3")));
    expect_error(
        *state, &(struct edit){.family = "gemma3", .text = layouts[i][0], .extra = "audio_tower.conv.weight"},
        "unexpected tensor audio_tower.conv.weight", "Gemma 3");
    expect_error(*state,
                 &(struct edit){.family = "gemma3",
                                .text = layouts[i][0],
                                .drop = "model.layers.0.self_attn.q_norm.weight"},
                 layouts[i][0], "layers.0.self_attn.q_norm.weight is missing");
  }
}

static void every_family_has_reward_models(void **state)
{
  for (int i = 0; i < FAMILIES; i++) {
    struct tpo_arch arch, body;
    struct tpo_error err = {0};
    assert_ok(tpo_arch_read(&arch, path_of(families[i]), &err));
    const char *class = tpo_family(&arch)->names[TPO_NAME_LABEL_REWARD];
    bool llama = arch.family == TPO_FAMILY_LLAMA;
    if (class) {
      write_edited(*state, &(struct edit){.family = families[i], .reward = class});
      if (tpo_reward_check(&body, *state, NULL, &err) < 0) fail_msg("%s", err.message);
      arch.tied = true; /* no LM head has a tensor */
      assert_memory_equal(&arch, &body, sizeof arch);
    }
    class = llama ? "Qwen3ForSequenceClassification" : "LlamaForSequenceClassification";
    write_edited(*state, &(struct edit){.family = families[i], .reward = class});
    assert_int_equal(tpo_reward_check(&body, *state, NULL, &err), TPO_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "is not the reward model of \"model_type\""));
  }
}

static void check_outer_reward(const char *folder, const char *text, const char *class, const char *refusal)
{
  struct tpo_arch arch, body;
  struct tpo_error err = {0};
  assert_ok(tpo_arch_read(&arch, path_of("gemma3"), &err));
  arch.tied = true;
  write_edited(folder, &(struct edit){.family = "gemma3", .text = text, .reward = class});
  int status = tpo_reward_check(&body, folder, NULL, &err);
  if (!refusal && status < 0) fail_msg("%s", err.message);
  if (!refusal) assert_memory_equal(&arch, &body, sizeof arch);
  if (refusal && (status >= 0 || !strstr(err.message, refusal)))
    fail_msg("%s: \"%s\" lacks \"%s\"", class, err.message, refusal);
}

static void a_reward_models_body_can_be_the_text_model_of_several_parts(void **state)
{
  static const char own[] = "Gemma3TextForSequenceClassification",
                    outer[] = "Gemma3ForSequenceClassification";
  static const char other[] = "is not the reward model of \"model_type\"";
  check_outer_reward(*state, "model.language_model.", outer, NULL);
  check_outer_reward(*state, "language_model.model.", outer, NULL);
  check_outer_reward(*state, "model.language_model.", own, other);
  check_outer_reward(*state, NULL, outer, other);
  check_outer_reward(*state, "model.language_model.", "Gemma9ForSequenceClassification", outer);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_familys_tensors_are_known),
      with_folder(missing_tensors_are_named),
      with_folder(tensors_of_another_family_are_named),
      with_folder(fused_tensors_have_their_height),
      with_folder(every_family_has_reward_models),
      with_folder(a_reward_models_body_can_be_the_text_model_of_several_parts),
      with_folder(the_text_model_of_several_parts_is_the_text_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
