/* Reward models: scores as PyTorch gives them, the same whatever they are computed together with, and what is
 * refused. */
#include "judge/reward_folder.h"
#include "judge/reward.h"
#include "model/reward/reward.h"
#include "base/philox.h"

static const char *const fixtures[] = {"seqcls", "openrlhf", "armorm"};
enum { N_FIXTURES = 3, MOST_TEXTS = 64 };

static struct tpo_reward *open_reward(const char *folder, struct tpo_backend *be,
                                      enum tpo_compute_dtype dtype, int batch_tokens, size_t kv_bytes,
                                      const char *head)
{
  struct tpo_error err = {0};
  struct tpo_reward *reward;
  struct tpo_reward_options options = {
      .backend = be, .dtype = dtype, .head = head, .batch_tokens = batch_tokens, .kv_bytes = kv_bytes};
  assert_ok(tpo_reward_open(&reward, folder, &options, &err));
  return reward;
}

/* The texts of a fixture, and of its chats. */
struct texts {
  size_t n;
  struct tpo_reward_text text[MOST_TEXTS];
  json_t *rows[MOST_TEXTS]; /* what is expected of each */
  json_t *expected;
};

static void add_texts(struct texts *texts, const char *key)
{
  const json_t *rows = json_object_get(texts->expected, key);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    json_t *row = json_array_get(rows, i), *ids = json_object_get(row, "ids");
    assert_true(texts->n < MOST_TEXTS);
    size_t n = json_array_size(ids);
    int32_t *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    for (size_t j = 0; j < n; j++) copy[j] = (int32_t)json_integer_value(json_array_get(ids, j));
    texts->text[texts->n] = (struct tpo_reward_text){.ids = copy, .n = n};
    texts->rows[texts->n++] = row;
  }
}

static void load_texts(struct texts *texts, const char *fixture)
{
  char folder[4096];
  snprintf(folder, sizeof folder, REWARD_FIXTURES "%s", fixture);
  *texts = (struct texts){.expected = load_json(folder, "expected.json")};
  add_texts(texts, "texts");
  add_texts(texts, "chats");
}

static void free_texts(struct texts *texts)
{
  for (size_t i = 0; i < texts->n; i++) free((void *)texts->text[i].ids);
  json_decref(texts->expected);
}

static void check_number(double got, const json_t *row, const char *key, double tolerance)
{
  const json_t *value = json_object_get(row, key);
  if (!value) return;
  double expected = json_number_value(value);
  if (!(fabs(got - expected) <= tolerance)) fail_msg("%s is %.9g, expected %.9g", key, got, expected);
}

static void check_numbers(const double *got, const json_t *row, const char *key, double tolerance)
{
  const json_t *values = json_object_get(row, key);
  for (size_t i = 0; i < json_array_size(values); i++) {
    double expected = json_number_value(json_array_get(values, i));
    if (!(fabs(got[i] - expected) <= tolerance))
      fail_msg("%s[%zu] is %.9g, expected %.9g", key, i, got[i], expected);
  }
}

static void check_parity(const char *folder, const char *fixture, enum which_backend which,
                         enum tpo_compute_dtype dtype, double tolerance)
{
  static struct tpo_reward_result results[MOST_TEXTS];
  struct tpo_error err = {0};
  struct texts texts;
  struct tpo_backend *be = open_backend(which);
  struct tpo_reward *reward = open_reward(folder, be, dtype, 100, 0, NULL);
  load_texts(&texts, fixture);
  assert_ok(tpo_reward_score(reward, texts.text, texts.n, results, &err));
  for (size_t i = 0; i < texts.n; i++) {
    if (!results[i].ok) fail_msg("%s: text %zu: %s", fixture, i, results[i].why);
    check_number(results[i].score, texts.rows[i], "score", tolerance);
    check_number(results[i].raw, texts.rows[i], "raw", tolerance);
    check_numbers(results[i].objectives, texts.rows[i], "objectives", tolerance);
    check_numbers(results[i].gating, texts.rows[i], "gating", tolerance);
  }
  free_texts(&texts);
  tpo_reward_close(reward);
  tpo_backend_close(be);
}

static void scores_are_those_of_pytorch(void **state)
{
  for (int f = 0; f < N_FIXTURES; f++) {
    put_reward_folder(*state, fixtures[f], NULL);
    for (int which = REFERENCE; which <= LAST_BACKEND; which++)
      check_parity(*state, fixtures[f], (enum which_backend)which, TPO_DTYPE_FP32, 1e-4);
  }
}

static void bf16_scores_are_near_them(void **state)
{
  for (int f = 0; f < N_FIXTURES; f++) {
    put_reward_folder(*state, fixtures[f], NULL);
    for (int which = REFERENCE; which <= LAST_BACKEND; which++)
      check_parity(*state, fixtures[f], (enum which_backend)which, TPO_DTYPE_BF16, f == 2 ? 0.6 : 0.15);
  }
}

static void assert_same_result(const struct tpo_reward_result *a, const struct tpo_reward_result *b,
                               const char *what)
{
  if (!a->ok || !b->ok || memcmp(&a->score, &b->score, sizeof a->score) != 0 ||
      memcmp(a->objectives, b->objectives, sizeof a->objectives) != 0 ||
      memcmp(a->gating, b->gating, sizeof a->gating) != 0)
    fail_msg("%s: %.17g is not %.17g", what, b->score, a->score);
}

/* Each text by itself. */
static void score_alone(const char *folder, struct tpo_backend *be, enum tpo_compute_dtype dtype,
                        const struct texts *texts, struct tpo_reward_result *results)
{
  struct tpo_error err = {0};
  struct tpo_reward *reward = open_reward(folder, be, dtype, 4096, 0, NULL);
  for (size_t i = 0; i < texts->n; i++)
    assert_ok(tpo_reward_score(reward, &texts->text[i], 1, &results[i], &err));
  tpo_reward_close(reward);
}

/* All at once, in a shuffled order (seed 0: as they are). */
static void compare_together(struct tpo_reward *reward, const struct texts *texts, uint64_t seed,
                             const struct tpo_reward_result *alone, const char *what)
{
  static struct tpo_reward_result results[MOST_TEXTS];
  struct tpo_error err = {0};
  struct tpo_reward_text shuffled[MOST_TEXTS];
  size_t order[MOST_TEXTS];
  struct tpo_rng rng;
  tpo_rng_init(&rng, seed, TPO_STREAM_SYNTH, 0, 0);
  for (size_t i = 0; i < texts->n; i++) order[i] = i;
  for (size_t i = texts->n; seed && i-- > 1;) {
    size_t j = tpo_rng_below(&rng, (uint32_t)i + 1), swap = order[i];
    order[i] = order[j];
    order[j] = swap;
  }
  for (size_t i = 0; i < texts->n; i++) shuffled[i] = texts->text[order[i]];
  assert_ok(tpo_reward_score(reward, shuffled, texts->n, results, &err));
  for (size_t i = 0; i < texts->n; i++) assert_same_result(&alone[order[i]], &results[i], what);
}

static void check_invariance(const char *folder, const char *fixture, enum which_backend which,
                             enum tpo_compute_dtype dtype)
{
  static struct tpo_reward_result alone[MOST_TEXTS];
  static const int sizes[] = {1, 3, 16, 50, 300, 5000};
  struct tpo_backend *be = open_backend(which);
  struct texts texts;
  load_texts(&texts, fixture);
  score_alone(folder, be, dtype, &texts, alone);
  for (size_t i = which == CUDA ? 2 : 0; i < sizeof sizes / sizeof *sizes; i++) {
    char what[100];
    snprintf(what, sizeof what, "%s, %d tokens a pass", fixture, sizes[i]);
    struct tpo_reward *reward = open_reward(folder, be, dtype, sizes[i], 0, NULL);
    compare_together(reward, &texts, 0, alone, what);
    if (which != CUDA) compare_together(reward, &texts, 7 + i, alone, what);
    tpo_reward_close(reward);
  }
  free_texts(&texts);
  tpo_backend_close(be);
}

static void scores_do_not_depend_on_what_is_scored_together(void **state)
{
  for (int f = 0; f < N_FIXTURES; f++) {
    put_reward_folder(*state, fixtures[f], NULL);
    for (int which = REFERENCE; which <= LAST_BACKEND; which++)
      for (int dtype = TPO_DTYPE_BF16; dtype <= TPO_DTYPE_FP32; dtype++)
        check_invariance(*state, fixtures[f], (enum which_backend)which, (enum tpo_compute_dtype)dtype);
  }
}

/* Blocks of the KV cache for one text of 256 tokens, and a few more: texts wait for each other's. */
static void scores_do_not_depend_on_the_memory(void **state)
{
  static struct tpo_reward_result alone[MOST_TEXTS];
  struct tpo_backend *be = open_backend(CPU);
  struct texts texts;
  put_reward_folder(*state, "seqcls", NULL);
  load_texts(&texts, "seqcls");
  score_alone(*state, be, TPO_DTYPE_FP32, &texts, alone);
  const size_t block = 2 * sizeof(float) * 2 * 8 * 16; /* k and v, layers, features, tokens */
  for (size_t blocks = 16; blocks < 40; blocks += 5) {
    struct tpo_reward *reward = open_reward(*state, be, TPO_DTYPE_FP32, 600, blocks * block, NULL);
    compare_together(reward, &texts, 0, alone, "little memory");
    compare_together(reward, &texts, 3, alone, "little memory");
    tpo_reward_close(reward);
  }
  struct tpo_error err = {0};
  struct tpo_reward_result results[MOST_TEXTS];
  struct tpo_reward *reward = open_reward(*state, be, TPO_DTYPE_FP32, 600, 15 * block, NULL);
  assert_int_equal(tpo_reward_score(reward, texts.text, texts.n, results, &err), TPO_E_MEMORY);
  assert_contains(err.message, "longest text, of 256 tokens");
  assert_ok(tpo_reward_score(reward, texts.text, 3, results, &err)); /* shorter ones have room */
  assert_same_result(&alone[2], &results[2], "after a text that had no room");
  tpo_reward_close(reward);
  free_texts(&texts);
  tpo_backend_close(be);
}

static void what_texts_share_is_computed_once(void **state)
{
  struct tpo_error err = {0};
  struct tpo_reward_stats stats;
  struct tpo_reward_result results[8];
  struct tpo_backend *be = open_backend(CPU);
  put_reward_folder(*state, "seqcls", NULL);
  int32_t ids[8][60];
  struct tpo_reward_text texts[8];
  for (int i = 0; i < 8; i++) { /* two prompts of 50 tokens, four responses of 10 each */
    for (int j = 0; j < 60; j++) ids[i][j] = j < 50 ? i / 4 * 100 + j : i * 20 + j;
    texts[i] = (struct tpo_reward_text){.ids = ids[i], .n = 60};
  }
  struct tpo_reward *reward = open_reward(*state, be, TPO_DTYPE_FP32, 4096, 0, NULL);
  assert_ok(tpo_reward_score(reward, texts, 8, results, &err));
  tpo_reward_stats(reward, &stats);
  assert_int_equal(stats.scored, 8);
  assert_int_equal(stats.tokens, 8 * 60);
  assert_int_equal(stats.computed, 2 * (48 + 4 * 12)); /* whole blocks of 16 */
  assert_int_equal(stats.passes, 1);
  for (int i = 0; i < 8; i++) texts[i].apart = i % 2 == 0;
  assert_ok(tpo_reward_score(reward, texts, 8, results, &err));
  int64_t before = stats.computed;
  tpo_reward_stats(reward, &stats);
  assert_int_equal(stats.computed - before, 4 * (48 + 2 * 12));
  tpo_reward_close(reward);
  tpo_backend_close(be);
}

enum { N_RESPONSES = 7, RESPONSE_TEXT = 128 };

/* Prompts of 48 tokens, their gates at 43, with responses of 80: of prompt 0, two that are alike for 64
 * tokens and one that is not; of prompt 1, two, then a longer conversation whose gate is at 101, then one
 * that begins like it. */
static void make_responses(int32_t ids[N_RESPONSES][RESPONSE_TEXT], struct tpo_reward_text texts[N_RESPONSES])
{
  static const int32_t turn[] = {128009, 128006, 78191, 128007, 271};
  static const int prompt[] = {0, 0, 0, 1, 1, 1, 1}, response[] = {0, 0, 1, 2, 3, 4, 4},
                   alike[] = {128, 112, 128, 128, 128, 128, 100};
  for (int i = 0; i < N_RESPONSES; i++) {
    for (int j = 0; j < RESPONSE_TEXT; j++)
      ids[i][j] = j < 48         ? 1000 + 100 * prompt[i] + j
                  : j < alike[i] ? 10000 + 1000 * response[i] + j
                                 : 20000 + j;
    memcpy(&ids[i][43], turn, sizeof turn);
    if (i == 5) memcpy(&ids[i][101], turn, sizeof turn);
    texts[i] = (struct tpo_reward_text){.ids = ids[i], .n = RESPONSE_TEXT};
  }
}

static void the_responses_of_a_prompt_have_one_gate_together(void **state)
{
  static int32_t ids[N_RESPONSES][RESPONSE_TEXT];
  static struct tpo_reward_result alone[N_RESPONSES], together[N_RESPONSES];
  static const int passes[] = {1, 7, 50, 4096};
  struct tpo_error err = {0};
  struct tpo_reward_text texts[N_RESPONSES];
  struct tpo_backend *be = open_backend(CPU);
  put_reward_folder(*state, "armorm", NULL);
  make_responses(ids, texts);
  struct tpo_reward *reward = open_reward(*state, be, TPO_DTYPE_FP32, 0, 0, NULL);
  for (int i = 0; i < N_RESPONSES; i++) assert_ok(tpo_reward_score(reward, &texts[i], 1, &alone[i], &err));
  size_t block = tpo_kv_block_bytes(reward->model, TPO_REACH_ALL, 16);
  tpo_reward_close(reward);
  for (int i = 0; i < 16; i++) { /* also with a cache for hardly more than one text */
    struct tpo_reward_stats stats;
    reward = open_reward(*state, be, TPO_DTYPE_FP32, passes[i % 4], block * (size_t)(8 + i), NULL);
    assert_ok(tpo_reward_score(reward, texts, N_RESPONSES, together, &err));
    for (int j = 0; j < N_RESPONSES; j++)
      assert_same_result(&alone[j], &together[j], "responses of a prompt");
    tpo_reward_stats(reward, &stats);
    assert_int_equal(stats.gates, 4); /* one of prompt 0; three of prompt 1, its gate stands elsewhere once */
    assert_int_equal(stats.computed, (128 + 16 + 80) + (128 + 80) + 80 + 96);
    tpo_reward_close(reward);
  }
  tpo_backend_close(be);
}

/* Texts begin alike, but longer ones are rotated by other factors; layers of a window keep whole texts. */
static void texts_share_only_what_is_computed_alike(void **state)
{
  enum { N = 6, SHORT = 100 };
  static int32_t ids[N][128];
  static const int lengths[N] = {90, 128, 100, 101, 128, 64};
  struct tpo_error err = {0};
  struct tpo_reward_text texts[N];
  struct tpo_reward_result alone[N], together[N];
  struct tpo_reward_stats stats;
  struct tpo_backend *be = open_backend(CPU);
  put_reward_folder(*state, "seqcls", NULL);
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < 128; j++) ids[i][j] = j < 60 ? j : 60 + (17 * i + j) % 100;
    texts[i] = (struct tpo_reward_text){.ids = ids[i], .n = (size_t)lengths[i]};
  }
  struct tpo_reward *reward = open_reward(*state, be, TPO_DTYPE_FP32, 50, 0, NULL);
  struct tpo_arch *arch = &reward->model->arch;
  arch->rope = (struct tpo_rope){
      .kind = TPO_ROPE_LONGROPE, .theta = 10000, .attention_factor = 1.2, .original_context = SHORT};
  for (int i = 0; i < TPO_ROPE_FACTORS; i++) arch->rope.short_factors[i] = 1, arch->rope.long_factors[i] = 3;
  arch->window = 20;
  arch->windowed.bits[0] = 1;
  for (int i = 0; i < N; i++) assert_ok(tpo_reward_score(reward, &texts[i], 1, &alone[i], &err));
  tpo_reward_stats(reward, &stats);
  int64_t before = stats.computed;
  assert_ok(tpo_reward_score(reward, texts, N, together, &err));
  for (int i = 0; i < N; i++) assert_same_result(&alone[i], &together[i], "texts of two lengths");
  tpo_reward_stats(reward, &stats);
  assert_int_equal(stats.computed - before, 90 + 128 + 100 + 101 + (128 - 48) + 64);
  tpo_reward_close(reward);
  tpo_backend_close(be);
}

static void a_text_that_cannot_be_scored_is_told_and_the_others_are_scored(void **state)
{
  struct tpo_error err = {0};
  struct tpo_reward_result results[8];
  struct tpo_backend *be = open_backend(CPU);
  put_reward_folder(*state, "armorm", NULL);
  const int32_t good[] = {128000, 1, 128009, 128006, 78191, 128007, 271, 5, 128009};
  const int32_t outside[] = {128257, 128009, 128006, 78191, 128007, 271, 5}, negative[] = {-1};
  /* the pattern's last token is not there */
  const int32_t cut[] = {128000, 1, 128009, 128006, 78191, 128007};
  int32_t *lengthy = calloc(257, sizeof *lengthy);
  assert_non_null(lengthy);
  const struct tpo_reward_text texts[] = {{good, 9, false},     {NULL, 0, false}, {outside, 7, false},
                                          {negative, 1, false}, {cut, 6, false},  {lengthy, 257, false},
                                          {good, 9, false}};
  static const char *const why[] = {"",
                                    "no token",
                                    "token id 128257 at 0",
                                    "token id -1 at 0",
                                    "128009 128006 78191 128007 271, which the gate needs, was not found",
                                    "257 tokens, more than the reward model's context of 256",
                                    ""};
  struct tpo_reward *reward = open_reward(*state, be, TPO_DTYPE_FP32, 0, 0, NULL);
  assert_ok(tpo_reward_score(reward, texts, 7, results, &err));
  for (int i = 0; i < 7; i++) {
    assert_int_equal(results[i].ok, *why[i] == '\0');
    assert_contains(results[i].why, why[i]);
  }
  assert_same_result(&results[0], &results[6], "the same text twice");
  struct tpo_reward_stats stats;
  tpo_reward_stats(reward, &stats);
  assert_int_equal(stats.scored, 2);
  assert_int_equal(stats.failed, 5);
  assert_ok(tpo_reward_score(reward, texts + 1, 2, results, &err)); /* none that can */
  assert_ok(tpo_reward_score(reward, texts, 0, results, &err));
  tpo_reward_close(reward);

  put_reward_folder(*state, "seqcls", NULL);
  const int32_t padding[] = {279, 279};
  struct tpo_reward_text text = {.ids = padding, .n = 2};
  reward = open_reward(*state, be, TPO_DTYPE_FP32, 0, 0, NULL);
  assert_ok(tpo_reward_score(reward, &text, 1, results, &err));
  assert_contains(results[0].why, "nothing but padding");
  tpo_reward_close(reward);
  tpo_backend_close(be);
  free(lengthy);
}

static void refuse(const char *folder, const char *fixture, const struct change *change, const char *part)
{
  struct tpo_error err = {0};
  struct tpo_reward *reward;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_reward_options options = {.backend = be, .dtype = TPO_DTYPE_FP32};
  put_reward_folder(folder, fixture, change);
  assert_true(tpo_reward_open(&reward, folder, &options, &err) < 0);
  assert_null(reward);
  assert_contains(err.message, part);
  if (!change->poison) { /* found without reading weights */
    struct tpo_arch arch;
    err.message[0] = '\0';
    assert_true(tpo_reward_check(&arch, folder, NULL, &err) < 0);
    assert_contains(err.message, part);
  }
  tpo_backend_close(be);
}

static void heads_that_are_not_as_they_should_be_are_refused(void **state)
{
  static const struct {
    const char *fixture;
    struct change change;
    const char *part;
  } cases[] = {
      {"seqcls", {.drop = "score.weight"}, "tensor score.weight is missing; expected shape [1, 16]"},
      {"seqcls", {.rename = "score.weight", .to = "v_head.weight"}, "tensor score.weight is missing"},
      {"seqcls", {.flatten = "score.weight"}, "tensor score.weight has shape [16], expected [1, 16]"},
      {"seqcls", {.add = "lm_head.weight"}, "unexpected tensor lm_head.weight; no reward model"},
      {"seqcls", {.add = "v_head.bias"}, "unexpected tensor v_head.bias"},
      {"seqcls", {.poison = "score.weight"}, "tensor score.weight holds"},
      {"seqcls", {.drop = "model.norm.weight"}, "tensor model.norm.weight is missing"},
      {"openrlhf", {.drop = "value_head.weight"}, "tensor value_head.weight is missing"},
      {"openrlhf", {.key = "value_head_prefix", .json = "\"score\""}, "tensor score.weight is missing"},
      {"armorm", {.drop = "regression_layer.weight"}, "tensor regression_layer.weight is missing"},
      {"armorm", {.drop = "gating.logit_scale"}, "tensor gating.logit_scale is missing"},
      {"armorm", {.drop = "gating.layers.3.bias"}, "tensor gating.layers.3.bias is missing"},
      {"armorm", {.flatten = "reward_transform_matrix"}, "tensor reward_transform_matrix has shape [361]"},
      {"armorm", {.add = "regression_layer.bias"}, "unexpected tensor regression_layer.bias"},
      {"armorm", {.add = "score.weight"}, "unexpected tensor score.weight"},
      {"armorm", {.poison = "gating.layers.1.weight"}, "tensor gating.layers.1.weight holds"},
      {"armorm", {.key = "gating_hidden_dim", .json = "13"}, "gating.layers.0.weight has shape [12, 16]"},
      {"armorm", {.key = "num_objectives", .json = "18"}, "regression_layer.weight has shape [19, 16]"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    refuse(*state, cases[i].fixture, &cases[i].change, cases[i].part);
}

static void models_that_are_no_such_reward_models_are_refused(void **state)
{
  static const struct {
    const char *fixture, *key, *json, *part;
  } cases[] = {
      {"seqcls", "architectures", "[\"LlamaForCausalLM\"]", "\"LlamaForCausalLM\", which is no reward model"},
      {"seqcls", "architectures", "[\"LlamaForTokenClassification\"]", "which is no reward model"},
      {"seqcls", "architectures", "", "which is no reward model"},
      {"seqcls", "architectures", "[7]", "which is no reward model"},
      {"seqcls", "id2label", "{\"0\":\"a\",\"1\":\"b\"}", "2 labels"},
      {"seqcls", "num_labels", "3", "3 labels"},
      {"seqcls", "model_type", "\"mistral\"", "model_type"},
      {"seqcls", "quantization_config", "{\"bits\":4}", "quantization_config"},
      {"openrlhf", "architectures", "[\"CriticModel\"]", "\"CriticModel\", which is no reward model"},
      {"openrlhf", "value_head_prefix", "\"\"", "1 to 80 bytes"},
      {"openrlhf", "std", "0", "\"std\" a positive one"},
      {"openrlhf", "mean", "", "\"mean\" must be a number"},
      {"openrlhf", "mean", "[1]", "mean"},
      {"armorm", "gating_temperature", "0", "gating_temperature"},
      {"armorm", "num_objectives", "1", "num_objectives"},
      {"armorm", "gating_n_hidden", "1000000", "gating_n_hidden"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct change change = {.key = cases[i].key, .json = cases[i].json};
    refuse(*state, cases[i].fixture, &change, cases[i].part);
  }
  struct tpo_error err = {0};
  struct tpo_arch arch;
  assert_int_equal(tpo_reward_check(&arch, "/no/such/folder", NULL, &err), TPO_E_USAGE);
  assert_contains(err.message, "/no/such/folder");
}

static double score_one(const char *folder, const char *head, const int32_t *ids, size_t n)
{
  struct tpo_error err = {0};
  struct tpo_reward_result result;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_reward *reward = open_reward(folder, be, TPO_DTYPE_FP32, 0, 0, head);
  assert_ok(tpo_reward_score(reward, &(struct tpo_reward_text){.ids = ids, .n = n}, 1, &result, &err));
  assert_true(result.ok);
  tpo_reward_close(reward);
  tpo_backend_close(be);
  return result.score;
}

static void the_head_may_have_another_name_and_a_bias(void **state)
{
  const int32_t ids[] = {4, 9, 17};
  put_reward_folder(*state, "seqcls", NULL);
  double plain = score_one(*state, NULL, ids, 3);
  struct change change = {
      .rename = "score.weight", .to = "v_head.summary.weight", .add = "v_head.summary.bias"};
  put_reward_folder(*state, "seqcls", &change);
  assert_true(fabs(score_one(*state, "v_head.summary", ids, 3) - (plain + 2.5)) < 1e-12);
  assert_true(fabs(score_one(*state, "v_head.summary.weight", ids, 3) - (plain + 2.5)) < 1e-12);
}

static void normalisation_is_as_the_configuration_asks(void **state)
{
  const int32_t ids[] = {4, 9, 17};
  put_reward_folder(*state, "openrlhf", NULL);
  double normal = score_one(*state, NULL, ids, 3);
  struct change off = {.key = "normalize_reward", .json = "false"};
  put_reward_folder(*state, "openrlhf", &off);
  double raw = score_one(*state, NULL, ids, 3);
  assert_true(fabs(normal - (raw - 0.75) / 1.5) < 1e-12);
  struct change unsaid = {.key = "normalize_reward", .json = ""};
  put_reward_folder(*state, "openrlhf", &unsaid); /* the numbers are there to be used */
  assert_true(score_one(*state, NULL, ids, 3) == normal);
  struct change none = {.key = "mean", .json = "", .key2 = "std", .json2 = ""};
  put_reward_folder(*state, "openrlhf", &none);
  struct tpo_error err = {0};
  struct tpo_arch arch;
  /* asked for, but there is nothing to do it with */
  assert_true(tpo_reward_check(&arch, *state, NULL, &err) < 0);
}

static void a_model_without_lm_head_gives_no_logits(void **state)
{
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  put_reward_folder(*state, "seqcls", NULL);
  struct tpo_reward *reward = open_reward(*state, be, TPO_DTYPE_FP32, 0, 0, NULL);
  struct tpo_kv_cache *cache;
  float *logits;
  const int32_t id = 1, zero = 0;
  struct tpo_pass pass = {.n = 1,
                          .ids = &id,
                          .seq = &zero,
                          .pos = &zero,
                          .blocks = {&zero},
                          .n_seqs = 1,
                          .max_blocks = 1,
                          .logit_rows = &zero,
                          .n_logits = 1};
  assert_ok(tpo_kv_cache_create(&cache, reward->model, (int[TPO_REACHES]){1}, 16, &err));
  assert_int_equal(tpo_model_pass(reward->model, cache, &pass, &logits, &err), TPO_E_USAGE);
  assert_contains(err.message, "no LM head");
  tpo_kv_cache_destroy(cache);
  tpo_reward_close(reward);
  tpo_backend_close(be);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
  const struct CMUnitTest tests[] = {
      IN_FOLDER(scores_are_those_of_pytorch),
      IN_FOLDER(bf16_scores_are_near_them),
      IN_FOLDER(scores_do_not_depend_on_what_is_scored_together),
      IN_FOLDER(scores_do_not_depend_on_the_memory),
      IN_FOLDER(what_texts_share_is_computed_once),
      IN_FOLDER(the_responses_of_a_prompt_have_one_gate_together),
      IN_FOLDER(texts_share_only_what_is_computed_alike),
      IN_FOLDER(a_text_that_cannot_be_scored_is_told_and_the_others_are_scored),
      IN_FOLDER(heads_that_are_not_as_they_should_be_are_refused),
      IN_FOLDER(models_that_are_no_such_reward_models_are_refused),
      IN_FOLDER(the_head_may_have_another_name_and_a_bias),
      IN_FOLDER(normalisation_is_as_the_configuration_asks),
      IN_FOLDER(a_model_without_lm_head_gives_no_logits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
