/* The shelf: models that were put back are those that the next one gets, one to each, and without their caches. */
#include "model/shelf.h"
#include "judge/reward_folder.h"
#include "model/model.h"
#include "model/reward/reward.h"

#define FOLDER FIXTURES "default_tied_f32"
#define OTHER FIXTURES "no_groups_f32"

static struct tpo_model *take(struct tpo_model_shelf *shelf, const char *path, struct tpo_backend *be,
                              enum tpo_compute_dtype dtype)
{
  struct tpo_model *model;
  struct tpo_error err = {0};
  struct tpo_model_options options = {.backend = be, .dtype = dtype};
  assert_ok(shelf_take_model(&model, shelf, path, &options, &err));
  return model;
}

static struct tpo_model_shelf *open_shelf(void)
{
  struct tpo_error err = {0};
  struct tpo_model_shelf *shelf;
  assert_ok(tpo_model_shelf_open(&shelf, &err));
  return shelf;
}

static void evaluate(struct tpo_model *model)
{
  struct tpo_error err = {0};
  const int32_t ids[] = {1, 2, 3}, ends[] = {0, 3};
  const struct tpo_batch batch = {.ids = ids, .cu_seqlens = ends, .n_tokens = 3, .n_seqs = 1};
  float logprob[3];
  assert_ok(tpo_model_logprobs(model, &batch, logprob, &err));
  assert_non_null(model->evaluation);
}

static void what_was_put_back_is_there_again(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model_shelf *shelf = open_shelf();
  struct tpo_model *model = take(shelf, FOLDER, be, TPO_DTYPE_FP32);
  evaluate(model);
  shelf_put_model(shelf, model);
  assert_null(model->evaluation);
  struct tpo_model *again = take(shelf, FOLDER, be, TPO_DTYPE_FP32);
  assert_ptr_equal(again, model);
  evaluate(again);
  shelf_put_model(shelf, again);
  tpo_model_shelf_close(shelf);
  tpo_backend_close(be);
}

/* Those of another file, of another type, and one that somebody has, are others. */
static void each_gets_the_model_that_was_asked_for(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model_shelf *shelf = open_shelf();
  shelf_put_model(shelf, take(shelf, FOLDER, be, TPO_DTYPE_FP32));
  struct tpo_model *models[] = {
      take(shelf, FOLDER, be, TPO_DTYPE_BF16), take(shelf, OTHER, be, TPO_DTYPE_FP32),
      take(shelf, FOLDER, be, TPO_DTYPE_FP32), take(shelf, FOLDER, be, TPO_DTYPE_FP32)};
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < i; j++) assert_ptr_not_equal(models[i], models[j]);
  assert_int_equal(tpo_model_dtype(models[0]), TPO_DTYPE_BF16);
  assert_string_not_equal(tpo_model_hash(models[1]), tpo_model_hash(models[2]));
  assert_string_equal(tpo_model_hash(models[2]), tpo_model_hash(models[3]));
  for (int i = 0; i < 4; i++) shelf_put_model(shelf, models[i]);
  tpo_model_shelf_close(shelf);
  tpo_backend_close(be);
}

/* Told by weights that were changed in memory: a model that was read again has those of its file. */
static void clearing_closes_those_that_nobody_has(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model_shelf *shelf = open_shelf();
  struct tpo_model *model = take(shelf, FOLDER, be, TPO_DTYPE_FP32);
  char of_file[33], changed[33];
  snprintf(of_file, sizeof of_file, "%s", tpo_model_hash(model));
  float *zeros = calloc(tpo_model_param_count(model), sizeof *zeros);
  assert_ok(tpo_model_set_range(model, 0, tpo_model_param_count(model), zeros, &err));
  snprintf(changed, sizeof changed, "%s", tpo_model_hash(model));
  assert_string_not_equal(changed, of_file);
  tpo_model_shelf_clear(shelf); /* it is lent */
  shelf_put_model(shelf, model);
  model = take(shelf, FOLDER, be, TPO_DTYPE_FP32);
  assert_string_equal(tpo_model_hash(model), changed);
  shelf_put_model(shelf, model);
  tpo_model_shelf_clear(shelf);
  model = take(shelf, FOLDER, be, TPO_DTYPE_FP32);
  assert_string_equal(tpo_model_hash(model), of_file);
  shelf_put_model(shelf, model);
  tpo_model_shelf_close(shelf);
  tpo_model_shelf_clear(NULL);
  tpo_model_shelf_close(NULL);
  free(zeros);
  tpo_backend_close(be);
}

static void what_can_not_be_read_leaves_the_shelf_as_it_was(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model_shelf *shelf = open_shelf();
  struct tpo_model *model = take(shelf, FOLDER, be, TPO_DTYPE_FP32), *none;
  struct tpo_reward *no_reward;
  struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_FP32};
  struct tpo_reward_options reward = {.backend = be, .dtype = TPO_DTYPE_FP32};
  shelf_put_model(shelf, model);
  assert_true(shelf_take_model(&none, shelf, "/nowhere/model", &options, &err) < 0);
  assert_null(none);
  assert_true(shelf_take_reward(&no_reward, shelf, FOLDER, &reward, &err) < 0); /* a language model */
  assert_null(no_reward);
  assert_ptr_equal(take(shelf, FOLDER, be, TPO_DTYPE_FP32), model);
  shelf_put_model(shelf, model);
  shelf_put_model(shelf, NULL);
  shelf_put_reward(shelf, NULL);
  tpo_model_shelf_close(shelf);
  tpo_backend_close(be);
}

static void without_a_shelf_a_model_is_opened_and_closed(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model *model = take(NULL, FOLDER, be, TPO_DTYPE_FP32);
  evaluate(model);
  shelf_put_model(NULL, model);
  tpo_backend_close(be);
}

static struct tpo_reward *take_reward(struct tpo_model_shelf *shelf, const char *folder,
                                      struct tpo_backend *be, int batch_tokens)
{
  struct tpo_error err = {0};
  struct tpo_reward *reward;
  struct tpo_reward_options options = {.backend = be, .dtype = TPO_DTYPE_FP32, .batch_tokens = batch_tokens};
  assert_ok(shelf_take_reward(&reward, shelf, folder, &options, &err));
  return reward;
}

static struct tpo_reward_result score(struct tpo_reward *reward)
{
  struct tpo_error err = {0};
  struct tpo_reward_result result;
  const int32_t ids[] = {3, 4, 5, 6, 7};
  const struct tpo_reward_text text = {ids, 5, true};
  assert_ok(tpo_reward_score(reward, &text, 1, &result, &err));
  assert_true(result.ok);
  return result;
}

static void a_reward_model_computes_and_counts_as_a_fresh_one(void **state)
{
  struct tpo_reward_stats first, second;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model_shelf *shelf = open_shelf();
  put_reward_folder(*state, "seqcls", NULL);
  struct tpo_reward *reward = take_reward(shelf, *state, be, 100);
  double one = score(reward).score;
  tpo_reward_stats(reward, &first);
  shelf_put_reward(shelf, reward);
  assert_null(reward->cache);
  assert_ptr_equal(take_reward(shelf, *state, be, 2), reward);
  assert_int_equal(reward->batch_tokens, 2);
  assert_true(score(reward).score == one);
  tpo_reward_stats(reward, &second);
  assert_int_equal(first.scored, 1);
  assert_int_equal(second.scored, 1);
  assert_int_equal(second.computed, first.computed);
  assert_true(second.passes > first.passes);
  shelf_put_reward(shelf, reward);
  tpo_model_shelf_close(shelf);
  tpo_backend_close(be);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_was_put_back_is_there_again),
      cmocka_unit_test(each_gets_the_model_that_was_asked_for),
      cmocka_unit_test(clearing_closes_those_that_nobody_has),
      cmocka_unit_test(what_can_not_be_read_leaves_the_shelf_as_it_was),
      cmocka_unit_test(without_a_shelf_a_model_is_opened_and_closed),
      cmocka_unit_test_setup_teardown(a_reward_model_computes_and_counts_as_a_fresh_one, make_folder,
                                      remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
