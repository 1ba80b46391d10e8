/* The packed forward and its backward. */
#include "model/activations.h"
#include "model/fixture.h"

enum { TOKENS = 60, SEQS = 3, VOCAB = 67 };
static const int32_t bounds[SEQS + 1] = {0, 20, 33, TOKENS};

struct setting {
  struct tpo_backend *be;
  struct tpo_model *model;
  int32_t *ids;
  uint8_t wanted[TOKENS];
  float dlogprob[TOKENS];
  struct tpo_batch batch;
};

/* Of each sequence the tokens from the third on are wanted, but for every fourth. */
static void open_setting(struct setting *s, enum which_backend which, enum tpo_compute_dtype dtype, bool tied,
                         size_t activation_bytes)
{
  s->be = open_backend(which);
  s->model = small_model(s->be, dtype, tied, activation_bytes);
  s->ids = fixed_ids(TOKENS, VOCAB);
  struct tpo_rng rng;
  tpo_rng_init(&rng, 3, TPO_STREAM_SYNTH, 1, 0);
  for (int q = 0; q < SEQS; q++)
    for (int i = bounds[q]; i < bounds[q + 1]; i++) {
      s->wanted[i] = i - bounds[q] > 2 && i % 4 != 0 && i + 1 < bounds[q + 1];
      s->dlogprob[i] = s->wanted[i] ? (float)tpo_rng_normal(&rng) : 0;
    }
  s->batch = (struct tpo_batch){
      .ids = s->ids, .cu_seqlens = bounds, .n_tokens = TOKENS, .n_seqs = SEQS, .wanted = s->wanted};
}

static void close_setting(struct setting *s)
{
  free(s->ids);
  tpo_model_close(s->model);
  tpo_backend_close(s->be);
}

static float *gradient(struct setting *s)
{
  struct tpo_error err = {0};
  struct tpo_activations *acts = NULL;
  float logprob[TOKENS], *grad = calloc(tpo_model_param_count(s->model), sizeof *grad);
  assert_non_null(grad);
  assert_ok(tpo_model_forward(s->model, &s->batch, &acts, logprob, &err));
  assert_ok(tpo_model_backward(s->model, &s->batch, acts, s->dlogprob, grad, NULL, &err));
  tpo_activations_free(acts);
  return grad;
}

static double loss(struct setting *s)
{
  struct tpo_error err = {0};
  float logprob[TOKENS];
  double sum = 0;
  assert_ok(tpo_model_logprobs(s->model, &s->batch, logprob, &err));
  for (int i = 0; i < TOKENS; i++) sum += (double)logprob[i] * s->dlogprob[i];
  return sum;
}

/* Moves a tensor's weights along a random direction: the loss must change by gradient . direction. */
static void check_direction(struct setting *s, const struct tpo_param *param, const float *grad,
                            uint64_t seed)
{
  size_t n = (size_t)(param->rows * param->cols), count = tpo_model_param_count(s->model);
  float *master = tpo_model_master(s->model), *moved = malloc(count * sizeof *moved);
  float *direction = malloc(n * sizeof *direction);
  struct tpo_rng rng;
  tpo_rng_init(&rng, seed, TPO_STREAM_SYNTH, 2, 0);
  for (size_t i = 0; i < n; i++) direction[i] = (float)tpo_rng_normal(&rng);
  double predicted = 0, losses[2];
  const double step = 1e-3 / sqrt((double)n);
  for (size_t i = 0; i < n; i++) predicted += (double)grad[param->offset + i] * direction[i];
  for (int side = 0; side < 2; side++) {
    memcpy(moved, master, count * sizeof *moved);
    for (size_t i = 0; i < n; i++) moved[param->offset + i] += (float)((side ? -step : step) * direction[i]);
    tpo_model_set_weights(s->model, moved);
    losses[side] = loss(s);
  }
  double found = (losses[0] - losses[1]) / (2 * step), scale = 0;
  for (size_t i = 0; i < n; i++) scale += (double)grad[param->offset + i] * grad[param->offset + i];
  if (!(fabs(found - predicted) < 0.02 * sqrt(scale) + 0.02 * fabs(predicted)))
    fail_msg("%s: finite difference %g, gradient %g", param->name, found, predicted);
  tpo_model_set_weights(s->model, master);
  free(moved);
  free(direction);
}

static void check_finite_differences(enum which_backend which, bool tied)
{
  struct setting s;
  open_setting(&s, which, TPO_DTYPE_FP32, tied, 0);
  float *grad = gradient(&s);
  size_t n;
  const struct tpo_param *params = tpo_model_params(s.model, &n);
  for (size_t i = 0; i < n; i++) check_direction(&s, &params[i], grad, i);
  free(grad);
  close_setting(&s);
}

static void gradients_agree_with_finite_differences(void **state)
{
  (void)state;
  check_finite_differences(REFERENCE, true);
  check_finite_differences(REFERENCE, false);
  check_finite_differences(CPU, true);
  check_finite_differences(CPU, false);
}

/* Of a pass of n tokens that keeps the states of so many layers. */
static size_t limit_of(const struct setting *s, int n, int layers)
{
  size_t layer, fixed = tpo_activations_bytes(tpo_model_arch(s->model), sizeof(float), n, true, &layer);
  return fixed + (size_t)layers * layer;
}

static void recomputed_layers_give_the_same_bits_as_kept_ones(void **state)
{
  (void)state;
  for (int i = 0; i < 4; i++) {
    float *grads[3];
    size_t bytes = 0;
    for (int b = 0; b < 3; b++) { /* no layer, some, all */
      struct setting s;
      open_setting(&s, i < 2 ? REFERENCE : CPU, i % 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32, false, 1);
      s.model->activation_bytes = b == 2 ? (size_t)1 << 30 : limit_of(&s, TOKENS, b);
      grads[b] = gradient(&s);
      bytes = tpo_model_param_count(s.model) * sizeof(float);
      close_setting(&s);
    }
    assert_memory_equal(grads[0], grads[1], bytes);
    assert_memory_equal(grads[0], grads[2], bytes);
    for (int b = 0; b < 3; b++) free(grads[b]);
  }
}

/* The first of four sequences alone, in the memory of all of them. */
static void shorter_passes_keep_more_layers_in_the_same_memory(void **state)
{
  (void)state;
  enum { ALL = 256, ONE = 64 };
  const int32_t quarters[] = {0, ONE, 2 * ONE, 3 * ONE, ALL};
  struct setting s;
  struct tpo_error err = {0};
  struct tpo_activations *acts = NULL;
  float derivative[ALL];
  open_setting(&s, CPU, TPO_DTYPE_FP32, false, 1);
  s.model->activation_bytes = limit_of(&s, ALL, 1);
  size_t params = tpo_model_param_count(s.model) * sizeof(float);
  int32_t *ids = fixed_ids(ALL, VOCAB);
  for (int i = 0; i < ALL; i++) derivative[i] = i % ONE == ONE - 1 ? 0 : 0.1f;
  struct tpo_batch all = {.ids = ids, .cu_seqlens = quarters, .n_tokens = ALL, .n_seqs = 4}, one = all;
  one.n_tokens = ONE;
  one.n_seqs = 1;
  float *reused = calloc(1, params), *fresh = calloc(1, params);
  assert_ok(tpo_model_forward(s.model, &all, &acts, NULL, &err));
  assert_int_equal(acts->kept, 1);
  assert_int_equal(acts->bytes, limit_of(&s, ALL, 1));
  const void *memory = acts->memory;
  assert_ok(tpo_model_forward(s.model, &one, &acts, NULL, &err));
  assert_int_equal(acts->kept, 3);
  assert_ptr_equal(acts->memory, memory);
  assert_ok(tpo_model_backward(s.model, &one, acts, derivative, reused, NULL, &err));
  assert_ok(tpo_model_forward(s.model, &all, &acts, NULL, &err));
  assert_int_equal(acts->kept, 1);
  assert_ptr_equal(acts->memory, memory);
  tpo_activations_free(acts);
  acts = NULL;
  assert_ok(tpo_model_forward(s.model, &one, &acts, NULL, &err));
  assert_ok(tpo_model_backward(s.model, &one, acts, derivative, fresh, NULL, &err));
  assert_memory_equal(reused, fresh, params);
  tpo_activations_free(acts);
  free(ids);
  free(reused);
  free(fresh);
  close_setting(&s);
}

static void training_releases_the_memory_of_evaluation(void **state)
{
  (void)state;
  struct setting s;
  struct tpo_error err = {0};
  struct tpo_activations *acts = NULL;
  float before[TOKENS], after[TOKENS];
  open_setting(&s, CPU, TPO_DTYPE_FP32, false, 0);
  assert_ok(tpo_model_logprobs(s.model, &s.batch, before, &err));
  assert_non_null(s.model->evaluation);
  assert_ok(tpo_model_forward(s.model, &s.batch, &acts, NULL, &err));
  assert_null(s.model->evaluation);
  assert_ok(tpo_model_logprobs(s.model, &s.batch, after, &err));
  assert_memory_equal(before, after, sizeof before);
  tpo_activations_free(acts);
  close_setting(&s);
}

static void training_and_evaluation_give_the_same_bits(void **state)
{
  (void)state;
  for (int i = 0; i < 4; i++) {
    struct setting s;
    struct tpo_error err = {0};
    struct tpo_activations *acts = NULL;
    float a[TOKENS], b[TOKENS];
    open_setting(&s, i < 2 ? REFERENCE : CPU, i % 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32, true, 0);
    assert_ok(tpo_model_logprobs(s.model, &s.batch, a, &err));
    assert_ok(tpo_model_forward(s.model, &s.batch, &acts, b, &err));
    assert_memory_equal(a, b, sizeof a);
    tpo_activations_free(acts);
    close_setting(&s);
  }
}

static void a_sequence_does_not_depend_on_what_it_is_packed_with(void **state)
{
  (void)state;
  for (int i = 0; i < 4; i++) {
    struct setting s;
    struct tpo_error err = {0};
    float packed[TOKENS], alone[TOKENS];
    open_setting(&s, i < 2 ? REFERENCE : CPU, i % 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32, true, 0);
    s.batch.wanted = NULL;
    assert_ok(tpo_model_logprobs(s.model, &s.batch, packed, &err));
    for (int q = 0; q < SEQS; q++) {
      const int32_t own[2] = {0, bounds[q + 1] - bounds[q]};
      struct tpo_batch one = {.ids = s.ids + bounds[q], .cu_seqlens = own, .n_tokens = own[1], .n_seqs = 1};
      assert_ok(tpo_model_logprobs(s.model, &one, alone, &err));
      assert_memory_equal(packed + bounds[q], alone, (size_t)own[1] * sizeof *alone);
    }
    close_setting(&s);
  }
}

static void only_wanted_tokens_have_a_logprob(void **state)
{
  (void)state;
  struct setting s;
  struct tpo_error err = {0};
  float some[TOKENS], all[TOKENS];
  open_setting(&s, CPU, TPO_DTYPE_FP32, true, 0);
  assert_ok(tpo_model_logprobs(s.model, &s.batch, some, &err));
  s.batch.wanted = NULL;
  assert_ok(tpo_model_logprobs(s.model, &s.batch, all, &err));
  for (int i = 0; i < TOKENS; i++) assert_true(s.wanted[i] ? some[i] == all[i] && some[i] < 0 : some[i] == 0);
  memset(s.wanted, 0, sizeof s.wanted);
  s.batch.wanted = s.wanted;
  assert_ok(tpo_model_logprobs(s.model, &s.batch, some, &err));
  for (int i = 0; i < TOKENS; i++) assert_true(some[i] == 0);
  close_setting(&s);
}

static void the_same_batch_gives_the_same_gradient_bits_again(void **state)
{
  (void)state;
  struct setting s;
  open_setting(&s, CPU, TPO_DTYPE_BF16, true, 0);
  float *a = gradient(&s), *b = gradient(&s);
  assert_memory_equal(a, b, tpo_model_param_count(s.model) * sizeof *a);
  free(a);
  free(b);
  close_setting(&s);
}

static void refuse(struct setting *s, struct tpo_batch batch, const char *part)
{
  struct tpo_error err = {0};
  float logprob[200];
  assert_true(tpo_model_logprobs(s->model, &batch, logprob, &err) < 0);
  assert_contains(err.message, part);
}

static void batches_that_make_no_sense_are_refused(void **state)
{
  (void)state;
  struct setting s;
  open_setting(&s, REFERENCE, TPO_DTYPE_FP32, true, 0);
  const int32_t empty[] = {0, 20, 20, TOKENS}, past[] = {0, 20, 90, TOKENS}, early[] = {0, 20, 33, 50};
  const int32_t long_one[] = {0, 129};
  struct tpo_batch bad = s.batch;
  bad.cu_seqlens = empty, refuse(&s, bad, "sequence 1"), bad = s.batch;
  bad.cu_seqlens = past, refuse(&s, bad, "sequence 1"), bad = s.batch;
  bad.cu_seqlens = early, bad.wanted = NULL, refuse(&s, bad, "end at token 50 of 60"), bad = s.batch;
  s.wanted[19] = 1, refuse(&s, bad, "wanted, but there is none"), s.wanted[19] = 0;
  s.ids[25] = VOCAB, refuse(&s, bad, "token id 67 at position 5"), s.ids[25] = -1,
  refuse(&s, bad, "token id -1");
  int32_t *many = fixed_ids(129, VOCAB);
  bad = (struct tpo_batch){.ids = many, .cu_seqlens = long_one, .n_tokens = 129, .n_seqs = 1};
  refuse(&s, bad, "more than the model's context of 128");
  free(many);
  close_setting(&s);
}

static void backward_refuses_what_its_forward_did_not_see(void **state)
{
  (void)state;
  struct setting s;
  struct tpo_error err = {0};
  struct tpo_activations *acts = NULL;
  float logprob[TOKENS];
  open_setting(&s, REFERENCE, TPO_DTYPE_FP32, true, 0);
  float *grad = calloc(tpo_model_param_count(s.model), sizeof *grad);
  assert_true(tpo_model_backward(s.model, &s.batch, NULL, s.dlogprob, grad, NULL, &err) < 0);
  assert_ok(tpo_model_forward(s.model, &s.batch, &acts, logprob, &err));
  s.dlogprob[0] = 1;
  assert_true(tpo_model_backward(s.model, &s.batch, acts, s.dlogprob, grad, NULL, &err) < 0);
  assert_contains(err.message, "token 0 has a derivative");
  assert_ok(tpo_model_forward(s.model, &s.batch, &acts, logprob, &err));
  s.dlogprob[0] = NAN;
  assert_int_equal(tpo_model_backward(s.model, &s.batch, acts, s.dlogprob, grad, NULL, &err), TPO_E_NUMERIC);
  s.dlogprob[0] = 0;
  assert_true(tpo_model_backward(s.model, &s.batch, acts, s.dlogprob, grad, NULL, &err) < 0);
  free(grad);
  tpo_activations_free(acts);
  close_setting(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gradients_agree_with_finite_differences),
      cmocka_unit_test(recomputed_layers_give_the_same_bits_as_kept_ones),
      cmocka_unit_test(shorter_passes_keep_more_layers_in_the_same_memory),
      cmocka_unit_test(training_releases_the_memory_of_evaluation),
      cmocka_unit_test(training_and_evaluation_give_the_same_bits),
      cmocka_unit_test(a_sequence_does_not_depend_on_what_it_is_packed_with),
      cmocka_unit_test(only_wanted_tokens_have_a_logprob),
      cmocka_unit_test(the_same_batch_gives_the_same_gradient_bits_again),
      cmocka_unit_test(batches_that_make_no_sense_are_refused),
      cmocka_unit_test(backward_refuses_what_its_forward_did_not_see),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
