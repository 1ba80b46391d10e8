/* What each family's config.json means, in both dialects, as transformers reads it; and what is refused. */
#include "model/fixture.h"
#include "model/model.h"

#define SIZES                                                                                                \
  "\"vocab_size\": 96, \"hidden_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 6, "           \
  "\"num_attention_heads\": 4, \"max_position_embeddings\": 128"

/* tail: what config.json says beside its sizes. */
static int parse(struct tpo_arch *arch, const char *family, const char *tail, struct tpo_error *err)
{
  char text[4096];
  snprintf(text, sizeof text, "{\"model_type\": \"%s\", " SIZES "%s%s}", family, *tail ? ", " : "", tail);
  json_t *config = tpo_json_parse(text, strlen(text), "config.json", err);
  if (!config) fail_msg("%s: %s", err->message, text);
  int code = tpo_arch_from_json(arch, config, "config.json", err);
  json_decref(config);
  return code;
}

static struct tpo_arch parsed(const char *family, const char *tail)
{
  struct tpo_arch arch;
  struct tpo_error err = {0};
  if (parse(&arch, family, tail, &err) < 0) fail_msg("%s, %s: %s", family, tail, err.message);
  return arch;
}

/* "010": the second of three */
static void assert_layers(const struct tpo_layer_set *set, const char *expected)
{
  char found[TPO_MOST_LAYERS + 1] = {0};
  for (size_t i = 0; i < strlen(expected); i++) found[i] = tpo_layer_in(set, (int)i) ? '1' : '0';
  assert_string_equal(found, expected);
}

static void assert_refused(const char *family, const char *tail, int code, const char *message)
{
  struct tpo_arch arch;
  struct tpo_error err = {0};
  int found = parse(&arch, family, tail, &err);
  if (found >= 0) fail_msg("taken: %s, %s", family, tail);
  if (!strstr(err.message, message)) fail_msg("\"%s\" lacks \"%s\"", err.message, message);
  if (found != code) fail_msg("%d, not %d: %s", found, code, err.message);
}

#define GEMMA "\"head_dim\": 16, \"num_key_value_heads\": 2"
#define QWEN2 "\"num_key_value_heads\": 2"
#define QWEN3 QWEN2 ", \"head_dim\": 16"
#define MISTRAL QWEN2
#define WINDOW "\"use_sliding_window\": true, \"sliding_window\": 8"
#define TYPES(a, b, c)                                                                                       \
  "\"layer_types\": [\"" a "_attention\", \"" b "_attention\", \"" c "_attention\", \"" a                    \
  "_attention\", \"" b "_attention\", \"" c "_attention\"]"

static void windows_are_of_the_layers_that_the_family_says(void **state)
{
  (void)state;
  static const struct {
    const char *family, *tail;
    int window;
    const char *layers;
  } cases[] = {
      {"llama", "\"sliding_window\": null", 0, "000000"},
      {"mistral", MISTRAL ", \"sliding_window\": 8", 8, "111111"},
      {"mistral", MISTRAL ", \"sliding_window\": null", 0, "000000"},
      {"mistral", MISTRAL ", \"sliding_window\": 8, " TYPES("sliding", "sliding", "sliding"), 8, "111111"},
      /* the class's own window of 4096, beyond this context */
      {"mistral", MISTRAL, 0, "000000"},
      {"qwen2", QWEN2 ", \"sliding_window\": 8, \"max_window_layers\": 0", 0, "000000"},
      {"qwen2", QWEN2 ", \"use_sliding_window\": false, \"sliding_window\": 8", 0, "000000"},
      {"qwen2", QWEN2 ", " WINDOW, 0, "000000"}, /* from layer 28 on */
      {"qwen2", QWEN2 ", " WINDOW ", \"max_window_layers\": 4", 8, "000011"},
      {"qwen2", QWEN2 ", " WINDOW ", \"max_window_layers\": 4, " TYPES("full", "sliding", "full"), 8,
       "010010"},
      {"qwen3", QWEN3 ", " WINDOW ", \"max_window_layers\": 0", 8, "111111"},
      {"qwen3", QWEN3 ", \"use_sliding_window\": true, \"sliding_window\": 128, \"max_window_layers\": 0", 0,
       "000000"},
      {"gemma2", GEMMA ", \"sliding_window\": 8", 8, "101010"},
      {"gemma2", GEMMA ", \"sliding_window\": 8, " TYPES("full", "full", "sliding"), 8, "001001"},
      {"gemma2", GEMMA ", \"sliding_window\": null, " TYPES("full", "full", "full"), 0, "000000"},
      {"gemma3_text", GEMMA ", \"sliding_window\": 8", 8, "111110"},
      {"gemma3_text", GEMMA ", \"sliding_window\": 8, \"sliding_window_pattern\": 3", 8, "110110"},
      {"gemma3_text", GEMMA ", \"sliding_window\": 8, \"_sliding_window_pattern\": 2", 8, "101010"},
      /* beyond the context, but these layers are rotated in their own way */
      {"gemma3_text", GEMMA ", \"sliding_window\": 4096", 128, "111110"},
      {"phi3", "\"sliding_window\": 8", 8, "111111"},
      {"phi3", "\"sliding_window\": 262144", 0, "000000"},
      {"phi3", "", 0, "000000"},
      {"smollm3", "\"use_sliding_window\": true, \"sliding_window\": 8", 8, "000100"},
      {"smollm3", "\"use_sliding_window\": false, \"sliding_window\": null", 0, "000000"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_arch arch = parsed(cases[i].family, cases[i].tail);
    if (arch.window != cases[i].window)
      fail_msg("%s, %s: window %d", cases[i].family, cases[i].tail, arch.window);
    assert_layers(&arch.windowed, cases[i].layers);
  }
}

static void smollm3_leaves_some_layers_unrotated(void **state)
{
  (void)state;
  static const char *const cases[][2] = {
      {"", "000100"},
      {"\"no_rope_layer_interval\": 2", "010101"},
      {"\"no_rope_layers\": [1, 1, 0, 1, 1, 0], \"no_rope_layer_interval\": 2", "001001"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_arch arch = parsed("smollm3", cases[i][0]);
    assert_layers(&arch.unrotated, cases[i][1]);
    assert_true(arch.tied && arch.rope.theta == 2e6 && arch.kv_heads == 4);
  }
}

static void gemma_scales_and_caps(void **state)
{
  (void)state;
  struct tpo_arch arch = parsed("gemma2", GEMMA ", \"query_pre_attn_scalar\": 144");
  assert_true(arch.attention_scale == 1 / 12.0 && arch.embedding_scale == sqrt(32));
  assert_true(arch.attention_softcap == 50 && arch.final_softcap == 30 && arch.tied);
  arch = parsed("gemma2", GEMMA ", \"attn_logit_softcapping\": null, \"final_logit_softcapping\": 15.0, "
                                "\"query_pre_attn_scalar\": 16, \"tie_word_embeddings\": false");
  assert_true(arch.attention_softcap == 0 && arch.final_softcap == 15 && !arch.tied);
  assert_true(arch.attention_scale == 0); /* what it is anyway */
  arch = parsed("gemma3_text", GEMMA);
  assert_true(arch.attention_softcap == 0 && arch.final_softcap == 0 && arch.tied);
  assert_true(arch.attention_scale == 1 / 16.0);
}

/* Its first files say "gelu", and mean what the others say. */
static void gemma_has_one_activation_by_two_names(void **state)
{
  (void)state;
  struct tpo_arch arch = parsed("gemma", GEMMA ", \"hidden_act\": \"gelu\"");
  const char *const same[] = {GEMMA, GEMMA ", \"hidden_act\": \"gelu\", \"hidden_activation\": null",
                              GEMMA ", \"hidden_act\": \"gelu_pytorch_tanh\"",
                              GEMMA
                              ", \"hidden_act\": \"gelu\", \"hidden_activation\": \"gelu_pytorch_tanh\""};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    struct tpo_arch other = parsed("gemma", same[i]);
    assert_memory_equal(&arch, &other, sizeof arch);
  }
  assert_true(arch.embedding_scale == sqrt(32) && arch.attention_scale == 0 && arch.tied && arch.window == 0);
  assert_true(parsed("gemma", "\"num_key_value_heads\": 2").head_dim == 256);
  assert_refused("gemma", "", TPO_E_INPUT, "4 attention heads cannot be shared out over 16 kv heads");
  assert_refused("gemma", GEMMA ", \"hidden_activation\": \"gelu\"", TPO_E_UNSUPPORTED, "hidden_activation");
  assert_refused("gemma2", GEMMA ", \"hidden_act\": \"gelu\"", TPO_E_UNSUPPORTED, "hidden_act");
}

static void gemma3_rotates_windowed_layers_in_their_own_way(void **state)
{
  (void)state;
  static const char *const same[] = {
      "\"rope_theta\": 500000, \"rope_local_base_freq\": 12345, "
      "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}",
      "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 500000, \"rope_type\": \"linear\", "
      "\"factor\": 8}, \"sliding_attention\": {\"rope_theta\": 12345, \"rope_type\": \"default\"}}",
  };
  struct tpo_arch first = {0};
  for (int i = 0; i < 2; i++) {
    char tail[600];
    snprintf(tail, sizeof tail, GEMMA ", \"sliding_window\": 8, %s", same[i]);
    struct tpo_arch arch = parsed("gemma3_text", tail);
    assert_true(arch.has_local_rope && arch.local_rope.theta == 12345);
    assert_true(arch.rope.theta == 500000 && arch.rope.kind == TPO_ROPE_LINEAR && arch.rope.factor == 8);
    if (i == 1) assert_memory_equal(&first, &arch, sizeof arch);
    first = arch;
  }
  struct tpo_arch arch = parsed("gemma3_text", GEMMA);
  assert_true(arch.rope.theta == 1e6 && arch.local_rope.theta == 1e4);
  arch = parsed("gemma3_text", GEMMA ", \"sliding_window_pattern\": 1");
  assert_true(!arch.has_local_rope && arch.window == 0);
}

#define TEXT_CONFIG                                                                                          \
  "{\"model_type\": \"gemma3\", \"architectures\": [\"Gemma3ForConditionalGeneration\"], "                   \
  "\"vision_config\": {\"hidden_size\": 1152}, \"text_config\": %s}"

static void the_text_part_of_gemma3_is_read_with_its_defaults(void **state)
{
  (void)state;
  struct tpo_arch arch;
  struct tpo_error err = {0};
  const char *sizes =
      "{\"model_type\": \"gemma3_text\", \"hidden_size\": 2560, \"intermediate_size\": 10240, "
      "\"num_hidden_layers\": 34, \"sliding_window\": 1024, "
      "\"rope_scaling\": {\"factor\": 8.0, \"rope_type\": \"linear\"}}";
  char text[1024];
  snprintf(text, sizeof text, TEXT_CONFIG, sizes);
  json_t *config = tpo_json_parse(text, strlen(text), "config.json", &err);
  assert_ok(tpo_arch_from_json(&arch, config, "config.json", &err));
  json_decref(config);
  assert_true(arch.family == TPO_FAMILY_GEMMA3 && arch.vocab_size == 262208 && arch.heads == 8);
  assert_true(arch.kv_heads == 4 && arch.head_dim == 256 && arch.context == 131072 && arch.window == 1024);
  assert_true(arch.tied && arch.embedding_scale == sqrt(2560) && arch.rope.factor == 8);
  snprintf(text, sizeof text, TEXT_CONFIG, "{\"hidden_size\": 0}");
  config = tpo_json_parse(text, strlen(text), "config.json", &err);
  assert_true(tpo_arch_from_json(&arch, config, "config.json", &err) < 0);
  assert_contains(err.message, "config.json: \"text_config\": ");
  json_decref(config);
}

/* transformers' class of all parts has none; where no logits are computed it doesn't matter. */
static void a_soft_cap_that_the_class_of_all_parts_ignores_is_refused(void **state)
{
  (void)state;
  struct tpo_arch arch;
  struct tpo_error err = {0};
  char text[1024];
  snprintf(text, sizeof text, TEXT_CONFIG,
           "{\"hidden_size\": 64, \"intermediate_size\": 64, \"num_hidden_layers\": 2, "
           "\"final_logit_softcapping\": 30.0}");
  json_t *config = tpo_json_parse(text, strlen(text), "config.json", &err);
  assert_int_equal(tpo_arch_from_json(&arch, config, "config.json", &err), TPO_E_UNSUPPORTED);
  assert_contains(err.message,
                  "config.json: \"text_config\": \"final_logit_softcapping\": 30.0 is not supported");
  assert_ok(tpo_arch_body_from_json(&arch, config, "config.json", &err));
  json_object_set_new(json_object_get(config, "text_config"), "final_logit_softcapping", json_null());
  assert_ok(tpo_arch_from_json(&arch, config, "config.json", &err));
  json_decref(config);
}

#define LONGROPE(type)                                                                                       \
  "\"partial_rotary_factor\": 0.75, \"original_max_position_embeddings\": 32, \"rope_scaling\": "            \
  "{\"type\": \"" type "\", \"short_factor\": [1, 1.5, 2], \"long_factor\": [2, 3, 9]}"

static void phi3_rotates_a_part_by_longrope(void **state)
{
  (void)state;
  struct tpo_arch arch = parsed("phi3", LONGROPE("longrope")), old = parsed("phi3", LONGROPE("su"));
  assert_memory_equal(&arch, &old, sizeof arch);
  assert_true(arch.rotated == 6 && arch.rope.kind == TPO_ROPE_LONGROPE && arch.rope.original_context == 32);
  assert_true(arch.rope.short_factors[1] == 1.5 && arch.rope.long_factors[2] == 9);
  assert_true(fabs(arch.rope.attention_factor - sqrt(1 + log(4) / log(32))) < 1e-15);
  struct tpo_arch new = parsed(
      "phi3", "\"rope_parameters\": {\"partial_rotary_factor\": 0.75, \"rope_theta\": 10000.0, "
              "\"original_max_position_embeddings\": 32, \"rope_type\": \"longrope\", \"type\": \"su\", "
              "\"short_factor\": [1, 1.5, 2], \"long_factor\": [2, 3, 9]}, \"partial_rotary_factor\": 0.75");
  assert_memory_equal(&arch, &new, sizeof arch);
}

static void yarn_has_transformers_defaults(void **state)
{
  (void)state;
  struct tpo_arch arch = parsed("qwen2", QWEN2 ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}");
  assert_true(arch.rope.kind == TPO_ROPE_YARN && arch.rope.original_context == 128);
  assert_true(arch.rope.beta_fast == 32 && arch.rope.beta_slow == 1 && !arch.rope.untruncated);
  assert_true(fabs(arch.rope.attention_factor - (0.1 * log(4) + 1)) < 1e-15);
  arch = parsed("llama", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"mscale\": 1, "
                         "\"mscale_all_dim\": 0.5, \"beta_fast\": 16, \"truncate\": false, "
                         "\"original_max_position_embeddings\": 32}");
  assert_true(arch.rope.original_context == 32 && arch.rope.beta_fast == 16 && arch.rope.untruncated);
  assert_true(fabs(arch.rope.attention_factor - (0.1 * log(4) + 1) / (0.05 * log(4) + 1)) < 1e-15);
}

static void granite_multiplies(void **state)
{
  (void)state;
  struct tpo_arch arch = parsed("granite", "\"embedding_multiplier\": 12, \"residual_multiplier\": 0.22, "
                                           "\"attention_multiplier\": 0.0078125, \"logits_scaling\": 8");
  assert_true(arch.embedding_scale == 12 && arch.residual_scale == 0.22);
  assert_true(arch.attention_scale == 0.0078125 && arch.logits_scale == 8);
  arch = parsed("granite", "");
  assert_true(arch.attention_scale == 1 && arch.embedding_scale == 0 && arch.logits_scale == 0);
}

/* Every family with all that it can have. */
static const char *const whole[][2] = {
    {"llama", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"truncate\": false, "
              "\"original_max_position_embeddings\": 32}"},
    {"llama", "\"rope_scaling\": {\"rope_type\": \"dynamic\", \"factor\": 4}"},
    {"llama",
     "\"rope_scaling\": {\"rope_type\": \"longrope\", \"factor\": 3, \"short_factor\": [1, 1, 2, 2], "
     "\"long_factor\": [1, 2, 3, 4], \"original_max_position_embeddings\": 32}"},
    {"mistral", MISTRAL ", \"sliding_window\": 8, \"head_dim\": 10"},
    {"mistral", MISTRAL ", \"sliding_window\": null"},
    {"qwen2", QWEN2 ", " WINDOW ", \"max_window_layers\": 4"},
    {"qwen2", QWEN2 ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}"},
    {"qwen3", QWEN3 ", " WINDOW ", " TYPES("sliding", "full", "full")},
    {"gemma", GEMMA},
    {"gemma2", GEMMA ", \"sliding_window\": 8, \"query_pre_attn_scalar\": 144"},
    {"gemma2", GEMMA ", \"sliding_window\": null, " TYPES("full", "full", "full")},
    {"gemma3_text", GEMMA ", \"sliding_window\": 8, \"final_logit_softcapping\": 30, "
                          "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}"},
    {"gemma3_text", GEMMA ", \"sliding_window\": 4096, " TYPES("sliding", "full", "full")},
    {"phi3", LONGROPE("longrope") ", \"sliding_window\": 8"},
    {"phi3", "\"head_dim\": 22, \"partial_rotary_factor\": 0.2728"},
    {"olmo2", "\"rope_theta\": 500000"},
    {"granite", "\"embedding_multiplier\": 12, \"residual_multiplier\": 0.22, "
                "\"attention_multiplier\": 0.0078125, \"logits_scaling\": 8"},
    {"granite", ""},
    {"smollm3", WINDOW ", \"no_rope_layers\": [0, 1, 1, 0, 1, 1]"},
};

static void every_family_survives_its_own_json(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
    struct tpo_arch arch = parsed(whole[i][0], whole[i][1]), back;
    struct tpo_error err = {0};
    json_t *json = tpo_arch_to_json(&arch, "float32", 1, NULL, 0);
    char *text = tpo_json_dump(json);
    assert_ok(tpo_arch_from_json(&back, json, "again", &err));
    if (memcmp(&arch, &back, sizeof arch) != 0)
      fail_msg("%s, %s: another after %s", whole[i][0], whole[i][1], text);
    free(text);
    json_decref(json);
  }
}

/* Whether a word is one of a list's, which blanks divide. */
static bool is_in(const char *word, const char *list)
{
  size_t len = strlen(word);
  for (const char *at = list; (at = strstr(at, word)); at += len)
    if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) return true;
  return false;
}

/* What one family has is refused in another, and what none has in all. */
static void what_a_family_lacks_is_refused_by_name(void **state)
{
  (void)state;
  static const char *const families[][2] = {{"llama", ""},    {"mistral", MISTRAL},   {"qwen2", QWEN2},
                                            {"qwen3", QWEN3}, {"gemma", GEMMA},       {"gemma2", GEMMA},
                                            {"phi3", ""},     {"gemma3_text", GEMMA}, {"olmo2", ""},
                                            {"granite", ""},  {"smollm3", ""}};
  static const char *const nowhere[][2] = {
      {"mlp_bias", "true"},       {"use_bidirectional_attention", "true"},  {"num_experts", "8"},
      {"clip_qkv", "8.0"},        {"quantization_config", "{\"bits\": 4}"}, {"lm_head_bias", "true"},
      {"hidden_act", "\"relu\""}, {"hidden_activation", "\"relu\""},
  };
  static const struct {
    const char *key, *value, *in; /* names of families that read it */
  } some[] = {
      {"sliding_window", "8", "mistral qwen2 qwen3 gemma2 gemma3_text phi3 smollm3"},
      {"no_rope_layers", "[1, 1, 0, 1, 1, 0]", "smollm3"},
      {"query_pre_attn_scalar", "16", "gemma2 gemma3_text"},
      {"attn_logit_softcapping", "50.0", "gemma2"},
      {"final_logit_softcapping", "30.0", "gemma2 gemma3_text"},
      {"residual_multiplier", "0.5", "granite"},
      {"logits_scaling", "0.5", "granite"},
      {"partial_rotary_factor", "0.5", "phi3"},
      {"rope_local_base_freq", "10000.0", "gemma3_text"},
      {"sliding_window_pattern", "3", "gemma3_text"},
      {"attention_bias", "true", "qwen2"}, /* its class has that very bias, whatever the key says */
  };
  char tail[600];
  for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
    const char *sizes = families[f][1], *comma = *sizes ? ", " : "";
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
      snprintf(tail, sizeof tail, "%s%s\"%s\": %s", sizes, comma, nowhere[i][0], nowhere[i][1]);
      assert_refused(families[f][0], tail, TPO_E_UNSUPPORTED, nowhere[i][0]);
    }
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
      snprintf(tail, sizeof tail, "%s%s\"%s\": %s", sizes, comma, some[i].key, some[i].value);
      if (is_in(families[f][0], some[i].in))
        parsed(families[f][0], tail);
      else
        assert_refused(families[f][0], tail, TPO_E_UNSUPPORTED, some[i].key);
    }
  }
}

struct refusal {
  const char *family, *tail;
  int code;
  const char *message;
};

#define ASSERT_REFUSED(list) assert_all_refused(list, sizeof(list) / sizeof *(list))

static void assert_all_refused(const struct refusal *bad, size_t n)
{
  for (size_t i = 0; i < n; i++) assert_refused(bad[i].family, bad[i].tail, bad[i].code, bad[i].message);
}

static const struct refusal bad_layers[] = {
    {"mistral", MISTRAL ", \"sliding_window\": 0", TPO_E_INPUT, "\"sliding_window\" is 0"},
    {"mistral", MISTRAL ", \"sliding_window\": -4", TPO_E_INPUT, "\"sliding_window\" is -4"},
    {"mistral", MISTRAL ", \"sliding_window\": 8, " TYPES("full", "sliding", "full"), TPO_E_UNSUPPORTED,
     "\"layer_types\"[0]"},
    {"olmo2", TYPES("full", "sliding", "full"), TPO_E_UNSUPPORTED,
     "\"layer_types\"[1]: \"sliding_attention\""},
    {"qwen2", QWEN2 ", \"layer_types\": [\"full_attention\"]", TPO_E_INPUT,
     "a list of 6 words, one a layer; it has 1"},
    {"qwen2", QWEN2 ", \"layer_types\": 6", TPO_E_INPUT, "\"layer_types\" must be a list"},
    {"qwen2", QWEN2 ", " TYPES("full", "sliding", "full"), TPO_E_INPUT, "\"sliding_window\" is off"},
    {"qwen2", QWEN2 ", " TYPES("full", "chunked", "full"), TPO_E_UNSUPPORTED, "\"chunked_attention\""},
    {"qwen2", QWEN2 ", \"use_sliding_window\": 1", TPO_E_INPUT, "use_sliding_window"},
    {"gemma2", GEMMA ", \"sliding_window\": null", TPO_E_INPUT, "\"sliding_window\" is off"},
    {"smollm3", "\"no_rope_layers\": [1, 1]", TPO_E_INPUT, "a list of 6 numbers"},
    {"smollm3", "\"no_rope_layers\": [1, 1, 1, 0, 1, 1, 1]", TPO_E_INPUT, "one a layer; it has 7"},
    {"smollm3", "\"no_rope_layers\": [1, 1, 1, 2, 1, 1]", TPO_E_INPUT,
     "\"no_rope_layers\"[3] must be 0 or 1"},
    {"smollm3", "\"no_rope_layer_interval\": 0", TPO_E_INPUT, "no_rope_layer_interval"},
};

static const struct refusal bad_numbers[] = {
    {"gemma2", GEMMA ", \"attn_logit_softcapping\": 0", TPO_E_INPUT, "\"attn_logit_softcapping\" is 0"},
    {"gemma2", GEMMA ", \"final_logit_softcapping\": -1", TPO_E_INPUT, "\"final_logit_softcapping\" is -1"},
    {"gemma2", GEMMA ", \"query_pre_attn_scalar\": 0", TPO_E_INPUT, "\"query_pre_attn_scalar\" is 0"},
    {"granite", "\"residual_multiplier\": 0", TPO_E_INPUT, "\"residual_multiplier\" is 0"},
    {"granite", "\"logits_scaling\": -8", TPO_E_INPUT, "\"logits_scaling\" is -8"},
    {"granite", "\"embedding_multiplier\": \"big\"", TPO_E_INPUT, "embedding_multiplier"},
    {"qwen2", QWEN2 ", \"architectures\": [\"LlamaForCausalLM\"]", TPO_E_UNSUPPORTED,
     "[\"Qwen2ForCausalLM\"]"},
    {"qwen2", "\"num_key_value_heads\": 3", TPO_E_INPUT, "cannot be shared out over 3"},
};

static const struct refusal bad_rotations[] = {
    {"gemma3_text", GEMMA ", \"rope_parameters\": {\"rope_theta\": 1e4}", TPO_E_UNSUPPORTED,
     "\"full_attention\""},
    {"gemma3_text", GEMMA ", \"rope_local_base_freq\": 0", TPO_E_INPUT, "rope theta is 0"},
    {"gemma3_text",
     GEMMA ", \"rope_local_base_freq\": 1e4, \"rope_parameters\": {\"full_attention\": {}, "
           "\"sliding_attention\": {\"rope_theta\": 2e4}}",
     TPO_E_INPUT, "\"rope_local_base_freq\" is 10000"},
    {"gemma3_text",
     GEMMA ", \"rope_parameters\": {\"full_attention\": {}, \"sliding_attention\": "
           "{\"rope_type\": \"linear\", \"factor\": 2}}",
     TPO_E_UNSUPPORTED, "default in windowed layers"},
    {"qwen2", QWEN2 ", \"rope_parameters\": {\"full_attention\": {}}", TPO_E_UNSUPPORTED,
     "one set of parameters"},
    {"phi3", "\"partial_rotary_factor\": 1.5", TPO_E_INPUT, "\"partial_rotary_factor\" is 1.5"},
    {"phi3", "\"partial_rotary_factor\": 0", TPO_E_INPUT, "\"partial_rotary_factor\" is 0"},
    {"phi3", "\"partial_rotary_factor\": 0.4", TPO_E_INPUT, "an even number; it makes 3"},
    {"phi3",
     "\"partial_rotary_factor\": 0.4, \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": "
     "[1, 1, 1, 1], \"long_factor\": [1, 1, 1, 1]}",
     TPO_E_INPUT, "\"partial_rotary_factor\" is 0.4, expected more than 0"},
    {"phi3", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}", TPO_E_UNSUPPORTED,
     "default or longrope"},
    {"phi3", "\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 1], \"long_factor\": [1, 1]}",
     TPO_E_INPUT, "\"short_factor\" of \"rope_scaling\" has 2 numbers; expected 4"},
    {"phi3",
     "\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 1, 1, 0], \"long_factor\": []}",
     TPO_E_INPUT, "\"short_factor\"[3]"},
    {"phi3", "\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 1, 1, 1]}", TPO_E_INPUT,
     "lacks the list of numbers \"long_factor\""},
    {"phi3",
     "\"original_max_position_embeddings\": 64, \"rope_scaling\": {\"type\": \"longrope\", "
     "\"short_factor\": [1, 1, 1, 1], \"long_factor\": [1, 1, 1, 1], "
     "\"original_max_position_embeddings\": 32}",
     TPO_E_INPUT, "is 32 in \"rope_scaling\", but 64"},
    {"llama", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 0.5}", TPO_E_INPUT, "factor is 0.5"},
    {"llama", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 1, \"beta_slow\": 2}",
     TPO_E_INPUT, "beta_slow <= beta_fast"},
    {"llama", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 0}", TPO_E_INPUT,
     "\"attention_factor\" of \"rope_scaling\" is 0"},
    {"llama", "\"rope_scaling\": {\"type\": \"dynamic\"}", TPO_E_INPUT, "lacks the number \"factor\""},
};

static void contradictions_and_nonsense_are_refused(void **state)
{
  (void)state;
  ASSERT_REFUSED(bad_layers);
  ASSERT_REFUSED(bad_numbers);
  ASSERT_REFUSED(bad_rotations);
}

#define WIDE "\"head_dim\": 1024, \"num_key_value_heads\": 2"
#define FACTORS(short_factor, long_factor)                                                                   \
  "\"original_max_position_embeddings\": 32, \"rope_scaling\": {\"type\": \"longrope\", "                    \
  "\"short_factor\": [" short_factor ", 1, 1, 1], \"long_factor\": [" long_factor ", 1, 1, 1]}"

/* Sound in double precision, but 0, infinite or of an infinite inverse in fp32, or such that an angle is. */
static const struct refusal bad_in_fp32[] = {
    {"gemma2", GEMMA ", \"attn_logit_softcapping\": 1e-50", TPO_E_INPUT, "soft cap of attention is 1e-50"},
    {"gemma2", GEMMA ", \"final_logit_softcapping\": 1e-50", TPO_E_INPUT, "soft cap of logits is 1e-50"},
    {"gemma2", GEMMA ", \"final_logit_softcapping\": 1e39", TPO_E_INPUT, "soft cap of logits is 1e+39"},
    {"granite", "\"attention_multiplier\": 1e50", TPO_E_INPUT, "attention scale is 1e+50"},
    {"granite", "\"residual_multiplier\": 1e-60", TPO_E_INPUT, "residual multiplier is 1e-60"},
    {"granite", "\"attention_multiplier\": 1e-60", TPO_E_INPUT, "attention scale is 1e-60"},
    {"granite", "\"embedding_multiplier\": 1e300", TPO_E_INPUT, "embedding multiplier is 1e+300"},
    {"granite", "\"logits_scaling\": 1e-50", TPO_E_INPUT, "logits scaling is 1e-50"},
    {"granite", "\"logits_scaling\": 1e-40", TPO_E_INPUT, "logits scaling is 1e-40"},
    {"llama", "\"rms_norm_eps\": 1e-60", TPO_E_INPUT, "epsilon is 1e-60"},
    {"llama", "\"rope_theta\": 1e-60", TPO_E_INPUT, "rope theta is 1e-60"},
    {"llama", "\"rope_theta\": 1e60", TPO_E_INPUT, "rope theta is 1e+60"},
    {"llama", WIDE ", \"rope_theta\": 1e-37", TPO_E_INPUT, "rope theta of 1e-37"},
    {"gemma3_text", GEMMA ", \"rope_local_base_freq\": 1e-60", TPO_E_INPUT, "rope theta is 1e-60"},
    {"gemma3_text", WIDE ", \"rope_local_base_freq\": 1e-37", TPO_E_INPUT, "rope theta of 1e-37"},
    {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 1e60}", TPO_E_INPUT,
     "rope scaling factor is 1e+60"},
    {"llama", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 1e60}",
     TPO_E_INPUT, "rope attention factor is 1e+60"},
    {"phi3", FACTORS("1e-60", "1"), TPO_E_INPUT, "short factor of longrope is 1e-60"},
    {"phi3", FACTORS("1", "1e60"), TPO_E_INPUT, "long factor of longrope is 1e+60"},
    {"phi3", FACTORS("1e-37", "1"), TPO_E_INPUT, "pair 0 of features turns by"},
    {"phi3", FACTORS("1", "1e-37"), TPO_E_INPUT, "pair 0 of features turns by"},
};

static void numbers_that_fp32_does_not_hold_are_refused(void **state)
{
  (void)state;
  ASSERT_REFUSED(bad_in_fp32);
  static const char *const kept[][2] = {{"granite", "\"residual_multiplier\": 1e-30"},
                                        {"granite", "\"logits_scaling\": 1e30"},
                                        {"llama", "\"rope_theta\": 1e-30"},
                                        {"llama", "\"rope_theta\": 1e30"}};
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) parsed(kept[i][0], kept[i][1]);
}

static void code_beside_a_known_class_is_not_needed(void **state)
{
  (void)state;
  parsed("phi3", "\"auto_map\": {\"AutoModelForCausalLM\": \"modeling_phi3.Phi3ForCausalLM\"}, "
                 "\"architectures\": [\"Phi3ForCausalLM\"]");
  assert_refused("phi3", "\"auto_map\": {\"AutoModelForCausalLM\": \"x.Y\"}", TPO_E_UNSUPPORTED,
                 "\"auto_map\"");
  assert_refused("phi3", "\"auto_map\": {}, \"architectures\": [\"Phi3Special\"]", TPO_E_UNSUPPORTED,
                 "Phi3Special");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(windows_are_of_the_layers_that_the_family_says),
      cmocka_unit_test(smollm3_leaves_some_layers_unrotated),
      cmocka_unit_test(gemma_scales_and_caps),
      cmocka_unit_test(gemma_has_one_activation_by_two_names),
      cmocka_unit_test(gemma3_rotates_windowed_layers_in_their_own_way),
      cmocka_unit_test(the_text_part_of_gemma3_is_read_with_its_defaults),
      cmocka_unit_test(a_soft_cap_that_the_class_of_all_parts_ignores_is_refused),
      cmocka_unit_test(phi3_rotates_a_part_by_longrope),
      cmocka_unit_test(yarn_has_transformers_defaults),
      cmocka_unit_test(granite_multiplies),
      cmocka_unit_test(every_family_survives_its_own_json),
      cmocka_unit_test(what_a_family_lacks_is_refused_by_name),
      cmocka_unit_test(contradictions_and_nonsense_are_refused),
      cmocka_unit_test(numbers_that_fp32_does_not_hold_are_refused),
      cmocka_unit_test(code_beside_a_known_class_is_not_needed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
