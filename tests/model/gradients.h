/* Gradients of a fixture's loss, the sum of its d_i times its log-probabilities, against PyTorch's. */
#ifndef TPO_TESTS_MODEL_GRADIENTS_H
#define TPO_TESTS_MODEL_GRADIENTS_H

#include "model/fixture.h"
#include "base/dtype.h"
#include "store/safetensors.h"

static inline double norm_of(const float *x, size_t n)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
  return sqrt(sum);
}

/* Every gradient tensor within `tolerance` of its own length. */
static inline void compare_gradients(const struct tpo_model *model, const float *grad, const char *path,
                                     double tolerance)
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
    assert_int_equal(t->bytes, n * tpo_dtype_size(t->dtype));
    float *difference = malloc(n * sizeof(float)), *want = malloc(n * sizeof(float));
    tpo_convert(want, TPO_F32, t->data, t->dtype, n);
    for (size_t j = 0; j < n; j++) difference[j] = grad[params[i].offset + j] - want[j];
    double relative = norm_of(difference, n) / norm_of(want, n);
    if (!(relative < tolerance)) fail_msg("%s: %s: gradient is off by %g", path, params[i].name, relative);
    free(difference);
    free(want);
  }
  tpo_safetensors_close(&st);
}

/* The sequence of a folder's gradients.json. */
struct gradient_case {
  int n;
  int32_t ids[256];
  float dlogprob[256];
};

static inline void read_gradient_case(const char *folder, struct gradient_case *out)
{
  struct tpo_error err = {0};
  char path[512];
  snprintf(path, sizeof path, "%s/gradients.json", folder);
  json_t *file = tpo_json_load(path, 1 << 20, &err);
  if (!file) fail_msg("%s", err.message);
  memset(out, 0, sizeof *out);
  out->n = read_numbers(json_object_get(file, "ids"), NULL, out->ids, 256);
  assert_int_equal(read_numbers(json_object_get(file, "dlogprob"), out->dlogprob, NULL, 255), out->n - 1);
  json_decref(file);
}

/* In host memory [param_count], to be freed. */
static inline float *gradient_of(struct tpo_model *model, const struct gradient_case *c)
{
  struct tpo_error err = {0};
  const struct tpo_ops *ops = tpo_ops(tpo_model_backend(model));
  struct tpo_backend *be = tpo_model_backend(model);
  const int32_t bounds[2] = {0, c->n};
  struct tpo_batch batch = {.ids = c->ids, .cu_seqlens = bounds, .n_tokens = c->n, .n_seqs = 1};
  struct tpo_activations *acts = NULL;
  size_t bytes = tpo_model_param_count(model) * sizeof(float);
  float *grad = malloc(bytes), logprob[256];
  void *there;
  assert_non_null(grad);
  assert_ok(ops->alloc(be, bytes, &there, &err));
  assert_ok(tpo_model_forward(model, &batch, &acts, logprob, &err));
  assert_ok(tpo_model_backward(model, &batch, acts, c->dlogprob, there, NULL, &err));
  ops->download(be, grad, there, bytes);
  ops->free(be, there);
  tpo_activations_free(acts);
  return grad;
}

static inline void check_gradients(struct tpo_backend *be, const char *folder, enum tpo_compute_dtype dtype,
                                   double tolerance)
{
  struct gradient_case c;
  char path[512];
  read_gradient_case(folder, &c);
  struct tpo_model *model = open_model(be, folder, dtype);
  float *grad = gradient_of(model, &c);
  snprintf(path, sizeof path, "%s/gradients.safetensors", folder);
  compare_gradients(model, grad, path, tolerance);
  free(grad);
  tpo_model_close(model);
}

#endif
