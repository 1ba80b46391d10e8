/* Log-probabilities and gradients against what transformers and PyTorch gave (make_fixtures.py). */
#include "model/gradients.h"

static void check_folder(const char *name, const char *expected, enum which_backend which)
{
  struct tpo_backend *be = open_backend(which);
  struct tpo_model *model = open_model(be, name, TPO_DTYPE_FP32);
  struct gap gap = compare_logprobs(model, expected);
  if (!(gap.largest < 2e-4)) fail_msg("%s: fp32 is off by %g", name, gap.largest);
  tpo_model_close(model);
  model = open_model(be, name, TPO_DTYPE_BF16);
  gap = compare_logprobs(model, expected);
  if (!(gap.mean < 0.05)) fail_msg("%s: bf16 is off by %g on average", name, gap.mean);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void check_all(const char *name, const char *expected)
{
  for (int which = REFERENCE; which <= LAST_BACKEND; which++)
    check_folder(name, expected, (enum which_backend)which);
}

static void default_rope_tied_f32_as_transformers(void **state)
{
  (void)state;
  check_all(FIXTURES "default_tied_f32", FIXTURES "default_tied_f32/logprobs.json");
}

static void llama3_rope_untied_bf16_in_the_new_dialect_as_transformers(void **state)
{
  (void)state;
  check_all(FIXTURES "llama3_untied_bf16", FIXTURES "llama3_untied_bf16/logprobs.json");
}

static void linear_rope_sharded_f16_with_own_head_dim_as_transformers(void **state)
{
  (void)state;
  check_all(FIXTURES "linear_sharded_f16", FIXTURES "linear_sharded_f16/logprobs.json");
}

static void llama2_config_without_grouped_heads_as_transformers(void **state)
{
  (void)state;
  check_all(FIXTURES "no_groups_f32", FIXTURES "no_groups_f32/logprobs.json");
}

static void gguf_bf16_with_rope_divisors_as_transformers(void **state)
{
  (void)state;
  check_all(FIXTURES "llama3_bf16.gguf", FIXTURES "llama3_bf16.json");
}

static void gguf_q8_0_tied_as_transformers(void **state)
{
  (void)state;
  check_all(FIXTURES "default_q8_0.gguf", FIXTURES "default_q8_0.json");
}

static void smollm2_as_transformers(void **state)
{
  (void)state;
  const char *path = getenv("TPO_SMOLLM2");
  if (!path) {
    print_message("skipped: TPO_SMOLLM2 does not name SmolLM2-135M-Instruct's GGUF\n");
    skip();
  }
  struct tpo_backend *be = open_backend(CPU);
  for (int i = 0; i < 2; i++) {
    enum tpo_compute_dtype dtype = i == 0 ? TPO_DTYPE_FP32 : TPO_DTYPE_BF16;
    struct tpo_model *model = open_model(be, path, dtype);
    struct gap gap = compare_logprobs(model, FIXTURES "smollm2.json");
    print_message("SmolLM2 %s: largest difference %.3g, mean %.3g\n", i == 0 ? "fp32" : "bf16", gap.largest,
                  gap.mean);
    assert_true(i == 0 ? gap.largest < 2e-4 : gap.mean < 0.05);
    tpo_model_close(model);
  }
  tpo_backend_close(be);
}

static void check_gradients_everywhere(const char *folder)
{
  for (int which = REFERENCE; which <= LAST_BACKEND; which++) {
    struct tpo_backend *be = open_backend((enum which_backend)which);
    check_gradients(be, folder, TPO_DTYPE_FP32, 1e-3);
    tpo_backend_close(be);
  }
}

static void gradients_of_a_tied_model_as_torch(void **state)
{
  (void)state;
  check_gradients_everywhere(FIXTURES "default_tied_f32");
}

static void gradients_of_an_untied_model_as_torch(void **state)
{
  (void)state;
  check_gradients_everywhere(FIXTURES "llama3_untied_bf16");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(default_rope_tied_f32_as_transformers),
      cmocka_unit_test(llama3_rope_untied_bf16_in_the_new_dialect_as_transformers),
      cmocka_unit_test(linear_rope_sharded_f16_with_own_head_dim_as_transformers),
      cmocka_unit_test(llama2_config_without_grouped_heads_as_transformers),
      cmocka_unit_test(gguf_bf16_with_rope_divisors_as_transformers),
      cmocka_unit_test(gguf_q8_0_tied_as_transformers),
      cmocka_unit_test(smollm2_as_transformers),
      cmocka_unit_test(gradients_of_a_tied_model_as_torch),
      cmocka_unit_test(gradients_of_an_untied_model_as_torch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
