/* config.json and GGUF metadata: what they mean, and what is refused by name. */
#include "model/fixture.h"
#include "model/model.h"

#define BASE                                                                                                 \
  "\"model_type\": \"llama\", \"vocab_size\": 64, \"hidden_size\": 32, \"intermediate_size\": 48, "          \
  "\"num_hidden_layers\": 2, \"num_attention_heads\": 4"

static int parse(struct tpo_arch *arch, const char *text, struct tpo_error *err)
{
  json_t *config = tpo_json_parse(text, strlen(text), "config.json", err);
  if (!config) fail_msg("%s", err->message);
  int code = tpo_arch_from_json(arch, config, "config.json", err);
  json_decref(config);
  return code;
}

static void absent_keys_take_the_family_defaults(void **state)
{
  (void)state;
  struct tpo_arch arch;
  struct tpo_error err = {0};
  assert_ok(parse(&arch, "{" BASE "}", &err));
  assert_int_equal(arch.kv_heads, 4);
  assert_int_equal(arch.head_dim, 8);
  assert_int_equal(arch.context, 2048);
  assert_true(arch.rms_eps == 1e-6);
  assert_true(arch.rope.theta == 10000);
  assert_int_equal(arch.rope.kind, TPO_ROPE_DEFAULT);
  assert_false(arch.tied);
}

static void both_dialects_of_rope_mean_the_same(void **state)
{
  (void)state;
  struct tpo_arch old, new;
  struct tpo_error err = {0};
  const char *tail = "\"factor\": 32.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                     "\"original_max_position_embeddings\": 8192";
  char text[1024];
  snprintf(text, sizeof text,
           "{%s, \"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", %s}}", BASE, tail);
  assert_ok(parse(&old, text, &err));
  snprintf(text, sizeof text,
           "{%s, \"rope_parameters\": {\"rope_theta\": 500000.0, \"rope_type\": \"llama3\", %s}}", BASE,
           tail);
  assert_ok(parse(&new, text, &err));
  assert_memory_equal(&old, &new, sizeof old);
  assert_int_equal(old.rope.kind, TPO_ROPE_LLAMA3);
  assert_true(old.rope.theta == 500000 && old.rope.factor == 32 && old.rope.original_context == 8192);
}

#define LINEAR(factor) "{\"rope_type\": \"linear\", \"factor\": " factor "}"
#define LLAMA3(original)                                                                                     \
  "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "             \
  "\"original_max_position_embeddings\": " original "}"

static void both_dialects_beside_each_other_must_agree(void **state)
{
  (void)state;
  static const char *const at_odds[][2] = {
      {LINEAR("4"), "{\"rope_theta\": 1e4, \"rope_type\": \"default\"}"},
      {LINEAR("4"), "{\"rope_theta\": 1e4}"},
      {"{\"rope_type\": \"default\"}", LINEAR("4")},
      {LINEAR("4"), LINEAR("2")},
      {LINEAR("8"), LLAMA3("8192")},
      {LLAMA3("4096"), LLAMA3("8192")},
      {"{\"rope_theta\": 1e4}", "{\"rope_theta\": 5e5}"},
  };
  struct tpo_arch arch;
  struct tpo_error err = {0};
  char text[1024];
  for (size_t i = 0; i < sizeof at_odds / sizeof *at_odds; i++) {
    snprintf(text, sizeof text, "{%s, \"rope_scaling\": %s, \"rope_parameters\": %s}", BASE, at_odds[i][0],
             at_odds[i][1]);
    if (parse(&arch, text, &err) != TPO_E_INPUT) fail_msg("taken: %s", text);
    assert_contains(err.message, "\"rope_scaling\"");
    assert_contains(err.message, "\"rope_parameters\"");
  }
  assert_ok(parse(&arch,
                  "{" BASE ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}, "
                  "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4.0, \"rope_theta\": 5e5}}",
                  &err));
  assert_int_equal(arch.rope.kind, TPO_ROPE_LINEAR);
  assert_true(arch.rope.factor == 4 && arch.rope.theta == 5e5);
  assert_ok(parse(&arch, "{" BASE ", \"rope_scaling\": {\"rope_theta\": 5e5}}", &err));
  assert_true(arch.rope.theta == 5e5);
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
  (void)state;
  static const char *const extra[][2] = {
      {"\"attention_bias\": true", "\"attention_bias\": true"},
      {"\"mlp_bias\": true", "\"mlp_bias\""},
      {"\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gelu\""},
      {"\"sliding_window\": 4096", "\"sliding_window\": 4096"},
      {"\"quantization_config\": {\"quant_method\": \"gptq\"}", "gptq"},
      {"\"architectures\": [\"LlamaForSequenceClassification\"]", "LlamaForSequenceClassification"},
      {"\"rope_scaling\": {\"rope_type\": \"su\", \"factor\": 2}", "\"su\""},
      {"\"rope_scaling\": {\"type\": \"mrope\", \"factor\": 2}", "\"mrope\""},
      {"\"partial_rotary_factor\": 0.5", "\"partial_rotary_factor\": 0.5"},
      {"\"rope_parameters\": {\"rope_theta\": 1e4, \"partial_rotary_factor\": 0.5}", "partial_rotary_factor"},
      {"\"layer_types\": [\"full_attention\", \"sliding_attention\"]", "sliding_attention"},
      {"\"num_local_experts\": 8", "\"num_local_experts\": 8"},
      {"\"auto_map\": {\"AutoModel\": \"x.Y\"}", "\"auto_map\""},
  };
  for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
    struct tpo_arch arch;
    struct tpo_error err = {0};
    char text[1024];
    snprintf(text, sizeof text, "{%s, %s}", BASE, extra[i][0]);
    assert_int_equal(parse(&arch, text, &err), TPO_E_UNSUPPORTED);
    assert_contains(err.message, extra[i][1]);
    assert_contains(err.message, "config.json");
  }
  struct tpo_arch arch;
  struct tpo_error err = {0};
  assert_int_equal(parse(&arch, "{\"model_type\": \"qwen2_moe\", \"vocab_size\": 3}", &err),
                   TPO_E_UNSUPPORTED);
  assert_contains(err.message, "qwen2_moe");
  assert_contains(err.message, "\"smollm3\"");
}

static void what_is_neutral_is_taken(void **state)
{
  (void)state;
  struct tpo_arch arch;
  struct tpo_error err = {0};
  assert_ok(parse(
      &arch,
      "{" BASE ", \"attention_bias\": false, \"mlp_bias\": null, \"sliding_window\": null, "
      "\"rope_scaling\": null, \"pretraining_tp\": 1, \"torch_dtype\": \"bfloat16\", "
      "\"layer_types\": [\"full_attention\", \"full_attention\"], \"architectures\": [\"LlamaForCausalLM\"]}",
      &err));
}

static void contradictions_and_nonsense_are_refused(void **state)
{
  (void)state;
  static const char *const bad[][2] = {
      {"{\"model_type\": \"llama\"}", "no \"vocab_size\""},
      {"{\"vocab_size\": 1}", "no \"model_type\""},
      {"[1]", "expected a JSON object"},
      {"{" BASE ", \"num_key_value_heads\": 3}", "4 attention heads cannot be shared out over 3"},
      {"{" BASE ", \"head_dim\": 7}", "even"},
      {"{" BASE ", \"head_dim\": 1000000}", "head dimension is 1000000"},
      {"{" BASE ", \"num_key_value_heads\": -2}", "\"num_key_value_heads\" is -2"},
      {"{" BASE ", \"max_position_embeddings\": 99999999999}", "max_position_embeddings"},
      {"{" BASE ", \"max_position_embeddings\": \"long\"}", "must be an integer"},
      {"{" BASE ", \"rms_norm_eps\": 0}", "epsilon"},
      {"{" BASE ", \"rope_theta\": -1}", "theta is -1"},
      {"{" BASE ", \"rope_scaling\": 2}", "\"rope_scaling\" must be an object"},
      {"{" BASE ", \"rope_scaling\": {\"rope_type\": \"linear\"}}", "lacks the number \"factor\""},
      {"{" BASE ", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 0}}", "factor is 0"},
      {"{" BASE ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}}", "\"low_freq_factor\""},
      {"{" BASE ", \"rope_theta\": 1e4, \"rope_parameters\": {\"rope_theta\": 5e5}}",
       "500000 in \"rope_parameters\""},
      {"{" BASE ", \"rope_theta\": 1e4, \"rope_scaling\": {\"type\": \"default\", \"rope_theta\": 5e5}}",
       "500000 in \"rope_scaling\""},
      {"{" BASE ", \"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"default\", \"factor\": 2}}",
       "\"type\" is \"linear\""},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct tpo_arch arch;
    struct tpo_error err = {0};
    if (parse(&arch, bad[i][0], &err) >= 0) fail_msg("taken: %s", bad[i][0]);
    assert_contains(err.message, bad[i][1]);
  }
}

static void an_architecture_survives_its_own_json(void **state)
{
  (void)state;
  const enum tpo_rope_kind kinds[] = {TPO_ROPE_DEFAULT, TPO_ROPE_LINEAR, TPO_ROPE_LLAMA3};
  for (int i = 0; i < 3; i++) {
    struct tpo_arch arch, back;
    struct tpo_error err = {0};
    assert_ok(parse(&arch, "{" BASE ", \"rms_norm_eps\": 1e-05, \"rope_theta\": 123456.789}", &err));
    arch.rope.kind = kinds[i];
    if (i > 0) arch.rope.factor = 8;
    if (i == 2) arch.rope.low_freq = 1, arch.rope.high_freq = 4, arch.rope.original_context = 8192;
    arch.tied = i == 1;
    arch.head_dim = 10;
    json_t *json = tpo_arch_to_json(&arch, "float32", 1, NULL, 0);
    char *text = tpo_json_dump(json);
    assert_non_null(text);
    assert_ok(parse(&back, text, &err));
    assert_memory_equal(&arch, &back, sizeof arch);
    free(text);
    json_decref(json);
  }
}

/* What exports of Llama have always been. */
static void llamas_json_is_what_it_was(void **state)
{
  (void)state;
  struct tpo_arch arch;
  struct tpo_error err = {0};
  const int32_t ends[] = {2};
  assert_ok(parse(&arch, "{" BASE ", \"rope_scaling\": " LLAMA3("8192") "}", &err));
  json_t *json = tpo_arch_to_json(&arch, "bfloat16", 1, ends, 1);
  char *text = tpo_json_dump(json);
  assert_string_equal(
      text,
      "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"vocab_size\":64,"
      "\"hidden_size\":32,\"intermediate_size\":48,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
      "\"num_key_value_heads\":4,\"head_dim\":8,\"max_position_embeddings\":2048,\"hidden_act\":\"silu\","
      "\"rms_norm_eps\":1e-06,\"rope_theta\":10000.0,\"rope_scaling\":{\"rope_type\":\"llama3\","
      "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
      "\"original_max_position_embeddings\":8192},\"tie_word_embeddings\":false,\"attention_bias\":false,"
      "\"mlp_bias\":false,\"attention_dropout\":0.0,\"bos_token_id\":1,\"eos_token_id\":2,\"use_cache\":true,"
      "\"torch_dtype\":\"bfloat16\",\"dtype\":\"bfloat16\"}");
  free(text);
  json_decref(json);
}

static void several_end_tokens_are_a_list(void **state)
{
  (void)state;
  const int32_t ends[] = {63, 23};
  struct tpo_arch arch;
  struct tpo_error err = {0};
  assert_ok(parse(&arch, "{" BASE "}", &err));
  for (size_t n = 0; n <= 2; n++) {
    json_t *json = tpo_arch_to_json(&arch, "float32", 1, ends, n),
           *eos = json_object_get(json, "eos_token_id");
    assert_int_equal(json_is_null(eos), n == 0);
    assert_int_equal(json_is_array(eos), n == 2);
    assert_int_equal(json_integer_value(n == 2 ? json_array_get(eos, 0) : eos), n ? 63 : 0);
    assert_int_equal(json_integer_value(json_array_get(eos, 1)), n == 2 ? 23 : 0);
    json_decref(json);
  }
}

static void gguf_and_folder_describe_the_same_architecture(void **state)
{
  (void)state;
  struct tpo_arch folder, gguf;
  struct tpo_error err = {0};
  assert_ok(tpo_arch_read(&folder, FIXTURES "llama3_untied_bf16", &err));
  assert_ok(tpo_arch_read(&gguf, FIXTURES "llama3_bf16.gguf", &err));
  assert_memory_equal(&folder, &gguf, sizeof gguf);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(absent_keys_take_the_family_defaults),
      cmocka_unit_test(both_dialects_of_rope_mean_the_same),
      cmocka_unit_test(both_dialects_beside_each_other_must_agree),
      cmocka_unit_test(what_is_not_supported_is_refused_by_name),
      cmocka_unit_test(what_is_neutral_is_taken),
      cmocka_unit_test(contradictions_and_nonsense_are_refused),
      cmocka_unit_test(an_architecture_survives_its_own_json),
      cmocka_unit_test(llamas_json_is_what_it_was),
      cmocka_unit_test(several_end_tokens_are_a_list),
      cmocka_unit_test(gguf_and_folder_describe_the_same_architecture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
