/* Every family as transformers computes it: log-probabilities and gradients; and against itself: in passes over the
 * cache, recomputed, and set piece by piece. */
#include "model/activations.h"
#include "model/families.h"
#include "model/gradients.h"

enum { LEN = 64, BLOCK = 8, BLOCKS = 8 };

static void compare_with_transformers(struct tpo_backend *be, const char *folder)
{
  char expected[512];
  snprintf(expected, sizeof expected, "%s/logprobs.json", folder);
  for (int bf16 = 0; bf16 < 2; bf16++) {
    struct tpo_model *model = open_model(be, folder, bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
    struct gap gap = compare_logprobs(model, expected);
    if (!bf16 && !(gap.largest < 2e-4)) fail_msg("%s: fp32 is off by %g", folder, gap.largest);
    if (bf16 && !(gap.mean < 0.05)) fail_msg("%s: bf16 is off by %g on average", folder, gap.mean);
    tpo_model_close(model);
  }
}

static void log_probabilities_are_those_of_transformers(void **state)
{
  (void)state;
  on_all_machines(compare_with_transformers);
}

static void compare_with_torch(struct tpo_backend *be, const char *folder)
{
  check_gradients(be, folder, TPO_DTYPE_FP32, 1e-3);
  check_gradients(be, folder, TPO_DTYPE_BF16, 0.12); /* CUDA's activations are rounded */
}

static void gradients_are_those_of_torch(void **state)
{
  (void)state;
  on_all_machines(compare_with_torch);
}

/* log p(ids[i+1] | ...) of a row of logits */
static double logprob_of(const float *logits, int vocab, int32_t id)
{
  double highest = -INFINITY, sum = 0;
  for (int i = 0; i < vocab; i++) highest = fmax(highest, logits[i]);
  for (int i = 0; i < vocab; i++) sum += exp(logits[i] - highest);
  return logits[id] - highest - log(sum);
}

/* Tokens [first, end) of the sequence, all of whose blocks are there. */
static void pass_over(struct tpo_model *model, struct tpo_kv_cache *cache, const int32_t *ids, int first,
                      int end, float *logits)
{
  struct tpo_error err = {0};
  int32_t seq[LEN] = {0}, pos[LEN], rows[LEN], blocks[BLOCKS], n = end - first;
  const int32_t longest = LEN;
  int vocab = tpo_model_arch(model)->vocab_size;
  const struct tpo_ops *ops = tpo_ops(tpo_model_backend(model));
  float *there;
  for (int i = 0; i < n; i++) pos[i] = first + i, rows[i] = i;
  for (int i = 0; i < BLOCKS; i++) blocks[i] = BLOCKS - 1 - i;
  struct tpo_pass pass = {.n = n,
                          .ids = ids + first,
                          .seq = seq,
                          .pos = pos,
                          .blocks = {blocks, blocks},
                          .longest = &longest,
                          .n_seqs = 1,
                          .max_blocks = BLOCKS,
                          .logit_rows = rows,
                          .n_logits = n};
  assert_ok(tpo_model_pass(model, cache, &pass, &there, &err));
  ops->download(tpo_model_backend(model), logits + (size_t)first * vocab, there,
                (size_t)n * vocab * sizeof(float));
  assert_ok(ops->check(tpo_model_backend(model), &err));
}

/* A prompt in two uneven pieces, then token by token. In bf16 keys and values are rounded in the cache alone. */
static struct gap compare_paged_with_packed(struct tpo_backend *be, const char *folder,
                                            enum tpo_compute_dtype dtype)
{
  struct tpo_error err = {0};
  struct tpo_model *model = open_model(be, folder, dtype);
  struct gap gap = {0, 0};
  struct tpo_kv_cache *cache;
  int vocab = tpo_model_arch(model)->vocab_size;
  int32_t *ids = fixed_ids(LEN, vocab);
  const int32_t bounds[2] = {0, LEN};
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = bounds, .n_tokens = LEN, .n_seqs = 1};
  float packed[LEN], *logits = malloc((size_t)LEN * vocab * sizeof *logits);
  assert_ok(tpo_model_logprobs(model, &batch, packed, &err));
  assert_ok(tpo_kv_cache_create(&cache, model, (const int[TPO_REACHES]){BLOCKS, BLOCKS}, BLOCK, &err));
  pass_over(model, cache, ids, 0, 37, logits);
  pass_over(model, cache, ids, 37, 50, logits);
  for (int i = 50; i < LEN; i++) pass_over(model, cache, ids, i, i + 1, logits);
  for (int i = 0; i + 1 < LEN; i++) {
    double d = fabs(logprob_of(logits + (size_t)i * vocab, vocab, ids[i + 1]) - packed[i]);
    gap.mean += d / (LEN - 1);
    if (!(d <= gap.largest)) gap.largest = d;
  }
  tpo_kv_cache_destroy(cache);
  free(logits);
  free(ids);
  tpo_model_close(model);
  return gap;
}

static void check_passes_over_the_cache(struct tpo_backend *be, const char *folder)
{
  struct gap gap = compare_paged_with_packed(be, folder, TPO_DTYPE_FP32);
  if (!(gap.largest < 1e-4 && gap.mean < 1e-4)) fail_msg("%s: fp32 is off by %g", folder, gap.largest);
  gap = compare_paged_with_packed(be, folder, TPO_DTYPE_BF16);
  if (!(gap.mean < 0.05)) fail_msg("%s: bf16 is off by %g on average", folder, gap.mean);
}

static void passes_over_the_cache_give_what_packed_ones_give(void **state)
{
  (void)state;
  on_all_machines(check_passes_over_the_cache);
}

static void compare_recomputed_with_kept(struct tpo_backend *be, const char *folder)
{
  struct gradient_case c;
  read_gradient_case(folder, &c);
  for (int bf16 = 0; bf16 < 2; bf16++) {
    struct tpo_model *model = open_model(be, folder, bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
    size_t bytes = tpo_model_param_count(model) * sizeof(float);
    size_t layer, act = model->ops->activation_size;
    size_t fixed = tpo_activations_bytes(&model->arch, act, c.n, true, &layer);
    model->activation_bytes = (size_t)1 << 30;
    float *kept = gradient_of(model, &c);
    for (int layers = 0; layers + 1 < model->arch.layers; layers++) {
      model->activation_bytes = fixed + (size_t)layers * layer;
      float *recomputed = gradient_of(model, &c);
      assert_memory_equal(recomputed, kept, bytes);
      free(recomputed);
    }
    free(kept);
    tpo_model_close(model);
  }
}

static void recomputed_layers_give_the_same_bits_as_kept_ones(void **state)
{
  (void)state;
  on_all_machines(compare_recomputed_with_kept);
}

static void compare_training_with_evaluation(struct tpo_backend *be, const char *folder)
{
  struct tpo_error err = {0};
  struct gradient_case c;
  read_gradient_case(folder, &c);
  for (int bf16 = 0; bf16 < 2; bf16++) {
    struct tpo_model *model = open_model(be, folder, bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
    const int32_t bounds[2] = {0, c.n};
    struct tpo_batch batch = {.ids = c.ids, .cu_seqlens = bounds, .n_tokens = c.n, .n_seqs = 1};
    struct tpo_activations *acts = NULL;
    float a[256], b[256];
    assert_ok(tpo_model_logprobs(model, &batch, a, &err));
    assert_ok(tpo_model_forward(model, &batch, &acts, b, &err));
    assert_memory_equal(a, b, (size_t)c.n * sizeof *a);
    tpo_activations_free(acts);
    tpo_model_close(model);
  }
}

static void training_and_evaluation_give_the_same_bits(void **state)
{
  (void)state;
  on_all_machines(compare_training_with_evaluation);
}

/* Every number a bit larger; in a bf16 model they are rounded. */
static float *other_weights(struct tpo_model *model)
{
  size_t count = tpo_model_param_count(model);
  float *flat = malloc(count * sizeof *flat);
  assert_non_null(flat);
  tpo_ops(model->be)->download(model->be, flat, tpo_model_master(model), count * sizeof *flat);
  for (size_t i = 0; i < count; i++) flat[i] *= 1.03f;
  return flat;
}

/* As ranks do that share the parameters out: in backend memory, of the model's dtype, whole rows at a time. */
static void set_in_pieces(struct tpo_model *model, const float *flat)
{
  struct tpo_error err = {0};
  size_t n, count = tpo_model_param_count(model), done = 0;
  enum tpo_dtype dtype = model->dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32;
  size_t size = tpo_dtype_size(dtype);
  const struct tpo_param *params = tpo_model_params(model, &n);
  char *values = malloc(count * size);
  void *there;
  assert_ok(model->ops->alloc(model->be, count * size, &there, &err));
  tpo_convert(values, dtype, flat, TPO_F32, count);
  model->ops->upload(model->be, there, values, count * size);
  for (size_t i = 0; i < n; i++) { /* each cut lies in the middle of a parameter */
    size_t cut = params[i].offset + (size_t)(params[i].rows / 2 * params[i].cols);
    assert_ok(tpo_model_set_range(model, done, cut - done, (char *)there + done * size, &err));
    done = cut;
  }
  assert_ok(tpo_model_set_range(model, done, count - done, (char *)there + done * size, &err));
  assert_ok(model->ops->check(model->be, &err));
  model->ops->free(model->be, there);
  free(values);
}

static void compute(struct tpo_model *model, float logprob[256])
{
  struct tpo_error err = {0};
  int32_t *ids = fixed_ids(LEN, tpo_model_arch(model)->vocab_size);
  const int32_t bounds[2] = {0, LEN};
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = bounds, .n_tokens = LEN, .n_seqs = 1};
  assert_ok(tpo_model_logprobs(model, &batch, logprob, &err));
  free(ids);
}

static void compare_ways_to_set_weights(struct tpo_backend *be, const char *folder)
{
  struct tpo_error err = {0};
  float before[256], whole[256], pieces[256];
  void *there;
  for (int bf16 = 0; bf16 < 2; bf16++) {
    struct tpo_model *model = open_model(be, folder, bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
    size_t bytes = tpo_model_param_count(model) * sizeof(float);
    float *flat = other_weights(model);
    assert_ok(model->ops->alloc(be, bytes, &there, &err));
    model->ops->upload(be, there, flat, bytes);
    compute(model, before);
    tpo_model_set_weights(model, there);
    compute(model, whole);
    assert_memory_not_equal(before, whole, LEN * sizeof *whole);
    tpo_model_set_weights(model, tpo_model_master(model));
    compute(model, pieces);
    assert_memory_equal(before, pieces, LEN * sizeof *whole);
    set_in_pieces(model, flat);
    compute(model, pieces);
    assert_memory_equal(whole, pieces, LEN * sizeof *whole);
    model->ops->free(be, there);
    free(flat);
    tpo_model_close(model);
  }
}

static void ranges_set_what_the_whole_array_sets(void **state)
{
  (void)state;
  on_all_machines(compare_ways_to_set_weights);
}

static float *download(struct tpo_model *model, const void *from, size_t n)
{
  float *host = malloc(n * sizeof *host);
  assert_non_null(host);
  model->ops->download(model->be, host, from, n * sizeof *host);
  return host;
}

static void check_scaled_embedding(struct tpo_model *model, float scale)
{
  struct tpo_error err = {0};
  const size_t hidden = (size_t)model->arch.hidden;
  const int32_t id = 5;
  float *x, *row;
  void *there;
  assert_ok(model->ops->alloc(model->be, hidden * sizeof(float), &there, &err));
  tpo_embed_forward(model, &id, there, 1);
  x = download(model, there, hidden);
  row = download(model, tpo_model_master(model) + 5 * hidden, hidden);
  for (size_t i = 0; i < hidden; i++) assert_true(x[i] == row[i] * scale);
  free(row);
  free(x);
  model->ops->free(model->be, there);
}

/* sqrt(hidden) is rounded where the model computes in bf16, as the weights that it multiplies are. */
static void embeddings_are_scaled_as_the_model_is_computed(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(REFERENCE);
  int scaled = 0;
  for (int i = 0; i < 2 * FAMILIES; i++) {
    bool bf16 = i % 2;
    struct tpo_model *model = open_model(be, family_folder(i / 2), bf16 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32);
    if (tpo_family(&model->arch)->scales_embedding) {
      check_scaled_embedding(model, bf16 ? 5.65625f : sqrtf(32));
      scaled++;
    }
    tpo_model_close(model);
  }
  assert_true(scaled >= 4); /* Gemma's families */
  tpo_backend_close(be);
}

/* Whatever a family's files keep of them. */
static void norms_of_a_random_model_multiply_by_1(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  for (int i = 0; i < FAMILIES; i++) {
    struct tpo_arch arch;
    struct tpo_model *model;
    struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_BF16};
    assert_ok(tpo_arch_read(&arch, family_folder(i), &err));
    assert_ok(tpo_model_create_random(&model, &arch, 3, &options, &err));
    const struct tpo_layer *p = &model->layers[1];
    bool whole = tpo_family(&arch)->qk == TPO_QK_WHOLE;
    const struct {
      const struct tpo_weight *weight;
      int n;
    } norms[] = {{&model->final_norm, arch.hidden},
                 {&p->input_norm, arch.hidden},
                 {&p->post_norm, arch.hidden},
                 {&p->attn_out_norm, arch.hidden},
                 {&p->ffn_out_norm, arch.hidden},
                 {&p->q_norm, (whole ? arch.heads : 1) * arch.head_dim},
                 {&p->k_norm, (whole ? arch.kv_heads : 1) * arch.head_dim}};
    for (size_t k = 0; k < sizeof norms / sizeof *norms; k++)
      for (int c = 0; norms[k].weight->norm && c < norms[k].n; c++)
        assert_true(norms[k].weight->norm[c] == 1);
    assert_true(!p->qkv_bias.vector || (p->qkv_bias.vector[0] != 0 && fabsf(p->qkv_bias.vector[0]) < 0.2f));
    tpo_model_close(model);
  }
  tpo_backend_close(be);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(log_probabilities_are_those_of_transformers),
      cmocka_unit_test(gradients_are_those_of_torch),
      cmocka_unit_test(passes_over_the_cache_give_what_packed_ones_give),
      cmocka_unit_test(recomputed_layers_give_the_same_bits_as_kept_ones),
      cmocka_unit_test(training_and_evaluation_give_the_same_bits),
      cmocka_unit_test(ranges_set_what_the_whole_array_sets),
      cmocka_unit_test(embeddings_are_scaled_as_the_model_is_computed),
      cmocka_unit_test(norms_of_a_random_model_multiply_by_1),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
