/* Log-probabilities and gradients against what transformers and PyTorch gave (make_fixtures.py). */
#include "model/fixture.h"
#include "backend/ops.h"
#include "store/safetensors.h"

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

static double norm_of(const float *x, size_t n)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
  return sqrt(sum);
}

/* Every gradient tensor within 1e-3 of its own length. */
static void compare_gradients(const struct tpo_model *model, const float *grad, const char *path)
{
  struct tpo_error err = {0};
  struct tpo_safetensors st;
  assert_ok(tpo_safetensors_open(&st, path, &err));
  size_t n_params;
  const struct tpo_param *params = tpo_model_params(model, &n_params);
  assert_int_equal(st.n_tensors, n_params);
  for (size_t i = 0; i < n_params; i++) {
    const struct tpo_safetensor *t = tpo_safetensors_find(&st, params[i].name);
    assert_non_null(t);
    size_t n = (size_t)(params[i].rows * params[i].cols);
    assert_int_equal(t->bytes, n * sizeof(float));
    float *difference = malloc(n * sizeof(float)), *want = malloc(n * sizeof(float));
    memcpy(want, t->data, n * sizeof(float));
    for (size_t j = 0; j < n; j++) difference[j] = grad[params[i].offset + j] - want[j];
    double relative = norm_of(difference, n) / norm_of(want, n);
    if (!(relative < 1e-3)) fail_msg("%s: gradient is off by %g", params[i].name, relative);
    free(difference);
    free(want);
  }
  tpo_safetensors_close(&st);
}

static void check_gradients(const char *folder, enum which_backend which)
{
  struct tpo_error err = {0};
  char path[512];
  snprintf(path, sizeof path, "%s/gradients.json", folder);
  json_t *file = tpo_json_load(path, 1 << 20, &err);
  assert_non_null(file);
  int32_t ids[256];
  float dlogprob[256] = {0}, logprob[256];
  int n = read_numbers(json_object_get(file, "ids"), NULL, ids, 256);
  assert_int_equal(read_numbers(json_object_get(file, "dlogprob"), dlogprob, NULL, 255), n - 1);
  json_decref(file);

  struct tpo_backend *be = open_backend(which);
  struct tpo_model *model = open_model(be, folder, TPO_DTYPE_FP32);
  const int32_t bounds[2] = {0, n};
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = bounds, .n_tokens = n, .n_seqs = 1};
  struct tpo_activations *acts = NULL;
  size_t bytes = tpo_model_param_count(model) * sizeof(float);
  float *grad = malloc(bytes);
  void *backend_grad;
  assert_ok(tpo_ops(be)->alloc(be, bytes, &backend_grad, &err));
  assert_ok(tpo_model_forward(model, &batch, &acts, logprob, &err));
  assert_ok(tpo_model_backward(model, &batch, acts, dlogprob, backend_grad, NULL, &err));
  tpo_ops(be)->download(be, grad, backend_grad, bytes);
  tpo_ops(be)->free(be, backend_grad);
  snprintf(path, sizeof path, "%s/gradients.safetensors", folder);
  compare_gradients(model, grad, path);
  tpo_activations_free(acts);
  free(grad);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void gradients_of_a_tied_model_as_torch(void **state)
{
  (void)state;
  for (int which = REFERENCE; which <= LAST_BACKEND; which++)
    check_gradients(FIXTURES "default_tied_f32", (enum which_backend)which);
}

static void gradients_of_an_untied_model_as_torch(void **state)
{
  (void)state;
  for (int which = REFERENCE; which <= LAST_BACKEND; which++)
    check_gradients(FIXTURES "llama3_untied_bf16", (enum which_backend)which);
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
