/* Models and expected values for the tests of the model layer. */
#ifndef TPO_TESTS_MODEL_FIXTURE_H
#define TPO_TESTS_MODEL_FIXTURE_H

#include "model/model.h"
#include "backend/backend.h"
#include "unit.h"
#include <math.h>
#include "backend/ops.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/philox.h"
#include "tpo/model.h"

#define FIXTURES TPO_SOURCE_DIR "/tests/model/fixtures/"

#define assert_ok(call)                                                                                      \
  do {                                                                                                       \
    if ((call) < 0) fail_msg("%s", err.message);                                                             \
  } while (0)

enum which_backend { REFERENCE, CPU, CUDA };
#ifdef TPO_HAVE_CUDA
#define LAST_BACKEND CUDA
#else
#define LAST_BACKEND CPU
#endif

static inline struct tpo_backend *open_backend(enum which_backend which)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = NULL;
  assert_ok(which == REFERENCE
                ? tpo_backend_open_reference(&be, &err)
                : tpo_backend_open(&be, which == CPU ? TPO_BACKEND_CPU : TPO_BACKEND_CUDA, 2, &err));
  return be;
}

static inline struct tpo_model *open_model(struct tpo_backend *be, const char *path,
                                           enum tpo_compute_dtype dtype)
{
  struct tpo_error err = {0};
  struct tpo_model *model = NULL;
  struct tpo_model_options options = {.backend = be, .dtype = dtype, .keep_master = true};
  assert_ok(tpo_model_open(&model, path, &options, &err));
  return model;
}

/* A small model; attention heads are grouped and vocabulary and sizes are no round numbers. */
static inline struct tpo_arch small_arch(bool tied)
{
  return (struct tpo_arch){.vocab_size = 67,
                           .hidden = 24,
                           .layers = 3,
                           .heads = 4,
                           .kv_heads = 2,
                           .head_dim = 8,
                           .ffn = 40,
                           .context = 128,
                           .rms_eps = 1e-5,
                           .rope.theta = 10000,
                           .tied = tied};
}

/* A random model. */
static inline struct tpo_model *model_of(struct tpo_backend *be, const struct tpo_arch *arch,
                                         enum tpo_compute_dtype dtype, size_t activation_bytes)
{
  struct tpo_error err = {0};
  struct tpo_model *model = NULL;
  struct tpo_model_options options = {
      .backend = be, .dtype = dtype, .keep_master = true, .activation_bytes = activation_bytes};
  assert_ok(tpo_model_create_random(&model, arch, 5, &options, &err));
  /* Ten times the usual scale, so that attention and gradients are far from trivial. */
  size_t n;
  const struct tpo_param *params = tpo_model_params(model, &n);
  const struct tpo_ops *ops = tpo_ops(be);
  size_t bytes = tpo_model_param_count(model) * sizeof(float);
  float *w = malloc(bytes);
  assert_non_null(w);
  ops->download(be, w, tpo_model_master(model), bytes);
  for (size_t i = 0; i < n; i++)
    for (int64_t j = 0; j < params[i].rows * params[i].cols; j++)
      if (params[i].cols > 1) w[params[i].offset + (size_t)j] *= 10;
  ops->upload(be, tpo_model_master(model), w, bytes);
  tpo_model_set_weights(model, tpo_model_master(model));
  free(w);
  return model;
}

static inline struct tpo_model *small_model(struct tpo_backend *be, enum tpo_compute_dtype dtype, bool tied,
                                            size_t activation_bytes)
{
  const struct tpo_arch arch = small_arch(tied);
  return model_of(be, &arch, dtype, activation_bytes);
}

struct sequence {
  int n;
  int32_t ids[1024];
  float logprobs[1024];
};

static inline int32_t *fixed_ids(int n, int vocab)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, 99, TPO_STREAM_SYNTH, 0, 0);
  int32_t *ids = malloc((size_t)n * sizeof *ids);
  assert_non_null(ids);
  for (int i = 0; i < n; i++) ids[i] = (int32_t)tpo_rng_below(&rng, (uint32_t)vocab);
  return ids;
}

static inline int read_numbers(const json_t *array, float *floats, int32_t *ints, int max)
{
  int n = (int)json_array_size(array);
  assert_in_range(n, 1, max);
  for (int i = 0; i < n; i++) {
    const json_t *value = json_array_get(array, (size_t)i);
    if (floats) floats[i] = (float)json_number_value(value);
    if (ints) ints[i] = (int32_t)json_integer_value(value);
  }
  return n;
}

/* Sequence number i of a JSON file; false past the last. */
static inline bool read_sequence(const char *path, size_t i, struct sequence *out)
{
  struct tpo_error err = {0};
  json_t *rows = tpo_json_load(path, 1 << 24, &err);
  if (!rows) fail_msg("%s", err.message);
  bool found = i < json_array_size(rows);
  if (found) {
    const json_t *row = json_array_get(rows, i);
    out->n = read_numbers(json_object_get(row, "ids"), NULL, out->ids, 1024);
    assert_int_equal(read_numbers(json_object_get(row, "logprobs"), out->logprobs, NULL, 1024), out->n - 1);
  }
  json_decref(rows);
  return found;
}

struct gap {
  double largest, mean;
};

/* How far the model's log-probabilities are from those of the file. */
static inline struct gap compare_logprobs(struct tpo_model *model, const char *path)
{
  struct tpo_error err = {0};
  static struct sequence s;
  static float got[1024];
  struct gap gap = {0, 0};
  int count = 0;
  for (size_t i = 0; read_sequence(path, i, &s); i++) {
    const int32_t bounds[2] = {0, s.n};
    struct tpo_batch batch = {.ids = s.ids, .cu_seqlens = bounds, .n_tokens = s.n, .n_seqs = 1};
    assert_ok(tpo_model_logprobs(model, &batch, got, &err));
    assert_true(got[s.n - 1] == 0);
    for (int j = 0; j + 1 < s.n; j++, count++) {
      double d = fabs((double)got[j] - s.logprobs[j]);
      gap.mean += d;
      if (d > gap.largest) gap.largest = d;
    }
  }
  assert_true(count > 0);
  gap.mean /= count;
  return gap;
}

#endif
