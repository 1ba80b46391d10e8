/* The parts of the model that ranks share among each other: ranges of weights, of the master weights, and of
 * the gradient as it is completed. */
#include "model/model.h"
#include "model/fixture.h"
#include "base/dtype.h"

static float *flat_weights(struct tpo_model *model, float scale)
{
  size_t count = tpo_model_param_count(model);
  float *flat = malloc(count * sizeof *flat);
  for (size_t i = 0; i < count; i++) flat[i] = tpo_model_master(model)[i] * scale;
  return flat;
}

/* In pieces of whole rows, of the model's dtype. */
static void set_in_pieces(struct tpo_model *model, const float *flat, enum tpo_dtype dtype)
{
  struct tpo_error err = {0};
  size_t n, count = tpo_model_param_count(model), size = tpo_dtype_size(dtype);
  const struct tpo_param *params = tpo_model_params(model, &n);
  char *values = malloc(count * size);
  tpo_convert(values, dtype, flat, TPO_F32, count);
  size_t cut = params[2].offset + 3 * (size_t)params[2].cols;
  assert_ok(tpo_model_set_range(model, 0, cut, values, &err));
  assert_ok(tpo_model_set_range(model, cut, count - cut, values + cut * size, &err));
  free(values);
}

static void ranges_set_what_the_whole_array_sets(void **state)
{
  (void)state;
  for (int i = 0; i < 4; i++) {
    enum tpo_compute_dtype dtype = i % 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32;
    struct tpo_backend *be = open_backend(i < 2 ? CPU : REFERENCE);
    struct tpo_model *model = small_model(be, dtype, i < 2, 0);
    float *flat = flat_weights(model, 1.01f);
    char before[33], whole[33];
    snprintf(before, sizeof before, "%s", tpo_model_hash(model));
    tpo_model_set_weights(model, flat);
    snprintf(whole, sizeof whole, "%s", tpo_model_hash(model));
    assert_string_not_equal(before, whole);
    tpo_model_set_weights(model, tpo_model_master(model));
    assert_string_equal(tpo_model_hash(model), before);
    set_in_pieces(model, flat, dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32);
    assert_string_equal(tpo_model_hash(model), whole);
    free(flat);
    tpo_model_close(model);
    tpo_backend_close(be);
  }
}

static void a_range_that_cuts_a_row_is_refused(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *model = small_model(be, TPO_DTYPE_FP32, true, 0);
  float *flat = flat_weights(model, 1);
  assert_int_equal(tpo_model_set_range(model, 0, 25, flat, &err), TPO_E_USAGE);
  assert_contains(err.message, "cut a row of model.embed_tokens.weight");
  free(flat);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void shards_of_the_master_weights_make_the_whole(void **state)
{
  (void)state;
  enum { RANKS = 3 };
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *whole = open_model(be, FIXTURES "llama3_untied_bf16", TPO_DTYPE_FP32);
  size_t next = 0, first, count;
  for (int r = 0; r < RANKS; r++) {
    struct tpo_model_options options = {
        .backend = be, .dtype = TPO_DTYPE_FP32, .keep_master = true, .shard_rank = r, .shard_size = RANKS};
    struct tpo_model *model;
    assert_ok(tpo_model_open(&model, FIXTURES "llama3_untied_bf16", &options, &err));
    tpo_model_master_range(model, &first, &count);
    assert_int_equal(first, next);
    assert_memory_equal(tpo_model_master(model), tpo_model_master(whole) + first, count * sizeof(float));
    assert_string_equal(tpo_model_hash(model), tpo_model_hash(whole));
    next = first + count;
    tpo_model_close(model);
  }
  assert_int_equal(next, tpo_model_param_count(whole));
  tpo_model_close(whole);
  tpo_backend_close(be);
}

struct watcher {
  const float *grad;
  float *seen; /* the gradient when it was said to be complete */
  size_t end;
  int calls;
};

static void watch(void *arg, size_t first, size_t count)
{
  struct watcher *w = arg;
  assert_int_equal(first + count, w->end);
  memcpy(w->seen + first, w->grad + first, count * sizeof *w->seen);
  w->end = first;
  w->calls++;
}

static void the_gradient_is_complete_where_it_is_said_to_be(void **state)
{
  (void)state;
  for (int tied = 0; tied < 2; tied++) {
    struct tpo_error err = {0};
    struct tpo_backend *be = open_backend(CPU);
    struct tpo_model *model = small_model(be, TPO_DTYPE_FP32, tied, 0);
    const int bounds[3] = {0, 20, 30};
    int32_t *ids = fixed_ids(30, tpo_model_arch(model)->vocab_size);
    struct tpo_batch batch = {.ids = ids, .cu_seqlens = bounds, .n_tokens = 30, .n_seqs = 2};
    struct tpo_activations *acts = NULL;
    size_t count = tpo_model_param_count(model);
    float *grad = calloc(count, sizeof *grad), *seen = calloc(count, sizeof *seen), logprob[30];
    float *from_backend = calloc(count, sizeof *from_backend), dlogprob[30];
    for (int i = 0; i < 30; i++) dlogprob[i] = i == 19 || i == 29 ? 0 : 0.1f * (float)(i % 7) - 0.2f;
    struct watcher w = {.grad = grad, .seen = seen, .end = count};
    const struct tpo_grad_ready ready = {watch, &w};
    assert_ok(tpo_model_forward(model, &batch, &acts, logprob, &err));
    assert_ok(tpo_model_backward(model, &batch, acts, dlogprob, grad, &ready, &err));
    assert_int_equal(w.end, 0);
    assert_int_equal(w.calls, tpo_model_arch(model)->layers + 2);
    assert_memory_equal(grad, seen, count * sizeof *grad);

    /* The derivatives may also be put where the forward pass left the log-probabilities. */
    assert_ok(tpo_model_forward(model, &batch, &acts, NULL, &err));
    struct tpo_wanted wanted = tpo_activations_wanted(acts);
    assert_int_equal(wanted.n, 28);
    for (int i = 0, k = 0; i < 30; i++) {
      if (i == 19 || i == 29) continue;
      assert_true(wanted.logprob[k] == logprob[i]);
      wanted.dlogprob[k++] = dlogprob[i];
    }
    assert_ok(tpo_model_backward(model, &batch, acts, NULL, from_backend, NULL, &err));
    assert_memory_equal(grad, from_backend, count * sizeof *grad);
    free(from_backend);
    free(seen);
    free(grad);
    free(ids);
    tpo_activations_free(acts);
    tpo_model_close(model);
    tpo_backend_close(be);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ranges_set_what_the_whole_array_sets),
      cmocka_unit_test(a_range_that_cuts_a_row_is_refused),
      cmocka_unit_test(shards_of_the_master_weights_make_the_whole),
      cmocka_unit_test(the_gradient_is_complete_where_it_is_said_to_be),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
