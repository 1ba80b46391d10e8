/* The tables of parameters and of families are sound, and the parameters keep their order. */
#include "model/fixture.h"
#include "model/model.h"

static struct tpo_arch some_arch(bool tied)
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

struct list {
  struct tpo_arch arch;
  struct tpo_param *params;
  size_t n, count;
};

static struct list list_of(struct tpo_arch arch)
{
  struct list list = {.arch = arch};
  struct tpo_error err = {0};
  assert_ok(tpo_params_list(&arch, &list.params, &list.n, &list.count, &err));
  return list;
}

static bool is_same_weight(const struct tpo_param *a, const struct tpo_param *b)
{
  return a->layer == b->layer && a->kind->weight == b->kind->weight;
}

static void check_names(const struct list *list)
{
  char a[96], b[96];
  for (size_t i = 0; i < list->n; i++)
    for (size_t j = 0; j < i; j++) {
      assert_string_not_equal(list->params[i].name, list->params[j].name);
      tpo_param_gguf_name(&list->params[i], a);
      tpo_param_gguf_name(&list->params[j], b);
      assert_string_not_equal(a, b);
    }
}

static void no_two_parameters_have_one_name(void **state)
{
  (void)state;
  for (int tied = 0; tied < 2; tied++) {
    struct list list = list_of(some_arch(tied));
    check_names(&list);
    free(list.params);
  }
}

static void parameters_of_a_weight_lie_together_with_equal_columns(void **state)
{
  (void)state;
  struct list list = list_of(some_arch(false));
  for (size_t i = 0, end; i < list.n; i = end) {
    end = tpo_params_weight_end(list.params, list.n, i);
    for (size_t j = 0; j < list.n; j++) {
      assert_true(is_same_weight(&list.params[i], &list.params[j]) == (j >= i && j < end));
      if (j >= i && j < end) assert_int_equal(list.params[j].kind->cols, list.params[i].kind->cols);
    }
  }
  free(list.params);
}

static void shapes_fill_the_flat_array(void **state)
{
  (void)state;
  for (int tied = 0; tied < 2; tied++) {
    struct list list = list_of(some_arch(tied));
    size_t elements = 0;
    for (size_t i = 0; i < list.n; i++) {
      assert_int_equal(list.params[i].offset, elements);
      elements += (size_t)list.params[i].rows * (size_t)list.params[i].cols;
    }
    assert_int_equal(list.count, elements);
    assert_int_equal(tpo_arch_param_count(&list.arch), elements);
    assert_int_equal(tpo_params_number(&list.arch), list.n);
    free(list.params);
  }
}

/* Checkpoints, their content hashes and the trainer's shards go by this order. */
static void the_order_names_and_shapes_are_those_of_files(void **state)
{
  (void)state;
  static const struct {
    const char *name, *gguf;
    int64_t rows, cols;
  } expected[] = {
      {"model.embed_tokens.weight", "token_embd.weight", 67, 24},
      {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", 24, 1},
      {"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", 32, 24},
      {"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", 16, 24},
      {"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", 16, 24},
      {"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", 24, 32},
      {"model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", 24, 1},
      {"model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", 40, 24},
      {"model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", 40, 24},
      {"model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", 24, 40},
      {"model.layers.1.input_layernorm.weight", "blk.1.attn_norm.weight", 24, 1},
  };
  struct list list = list_of(some_arch(false));
  char name[96];
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    const struct tpo_param *param = &list.params[i];
    tpo_param_gguf_name(param, name);
    assert_string_equal(param->name, expected[i].name);
    assert_string_equal(name, expected[i].gguf);
    assert_int_equal(param->rows, expected[i].rows);
    assert_int_equal(param->cols, expected[i].cols);
  }
  assert_int_equal(list.n, 3 + 3 * 9);
  assert_string_equal(list.params[list.n - 2].name, "model.norm.weight");
  assert_string_equal(list.params[list.n - 1].name, "lm_head.weight");
  free(list.params);
}

static struct tpo_model *random_model(struct tpo_backend *be, bool tied)
{
  struct tpo_arch arch = some_arch(tied);
  struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_FP32};
  struct tpo_model *model;
  struct tpo_error err = {0};
  assert_ok(tpo_model_create_random(&model, &arch, 5, &options, &err));
  return model;
}

static void check_places(const struct tpo_model *model)
{
  for (size_t i = 0, end; i < model->n_params; i = end) {
    end = tpo_params_weight_end(model->params, model->n_params, i);
    int row = 0;
    for (size_t j = i; j < end; row += (int)model->params[j++].rows) {
      const struct tpo_place *place = &model->places[j];
      bool is_vector = model->params[j].kind->cols == TPO_ONE;
      assert_true(is_vector ? place->vector && !place->linear : place->linear && !place->vector);
      assert_ptr_equal(place->linear, model->places[i].linear);
      if (!is_vector) assert_int_equal(place->row0, row);
    }
  }
}

static void a_layer_computes_with_the_weights_that_the_table_names(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *model = random_model(be, false);
  const struct tpo_layer *layer = &model->layers[1];
  const size_t first = 1 + 9;
  check_places(model);
  assert_int_equal(layer->first, model->params[first].offset);
  assert_ptr_equal(layer->input_norm.vector, model->places[first].vector);
  assert_ptr_equal(layer->qkv.linear, model->places[first + 3].linear);
  assert_int_equal(layer->qkv.offset, model->params[first + 1].offset);
  assert_ptr_equal(layer->gate_up.linear, model->places[first + 7].linear);
  assert_ptr_equal(model->lm_head.linear, model->places[model->n_params - 1].linear);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void a_tied_head_is_the_embedding(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *model = random_model(be, true);
  check_places(model);
  assert_non_null(model->embed.linear);
  assert_ptr_equal(model->lm_head.linear, model->embed.linear);
  assert_int_equal(model->lm_head.offset, model->embed.offset);
  tpo_model_close(model);
  tpo_backend_close(be);
}

static void a_family_is_found_by_each_of_its_names_and_by_no_other(void **state)
{
  (void)state;
  /* Gemma 3 has those names that Llama hasn't. */
  const struct tpo_arch llama = {.family = TPO_FAMILY_LLAMA}, gemma3 = {.family = TPO_FAMILY_GEMMA3};
  for (int which = 0; which < TPO_FAMILY_NAMES; which++) {
    const struct tpo_arch *arch = tpo_family(&llama)->names[which] ? &llama : &gemma3;
    const char *name = tpo_family(arch)->names[which];
    enum tpo_family found = (enum tpo_family)99;
    char list[TPO_FAMILY_LIST];
    assert_non_null(name);
    assert_true(tpo_family_find(&found, (enum tpo_family_name)which, name, strlen(name)));
    assert_int_equal(found, arch->family);
    assert_false(tpo_family_find(NULL, (enum tpo_family_name)which, name, strlen(name) - 1));
    assert_false(tpo_family_find(NULL, (enum tpo_family_name)which, "mamba", 5));
    tpo_family_list((enum tpo_family_name)which, false, list);
    assert_contains(list, name);
    assert_null(strchr(list, '"'));
    assert_true(strlen(list) + 40 < sizeof list);
    assert_null(strstr(strstr(list, name) + 1, "llama,"));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_two_parameters_have_one_name),
      cmocka_unit_test(parameters_of_a_weight_lie_together_with_equal_columns),
      cmocka_unit_test(shapes_fill_the_flat_array),
      cmocka_unit_test(the_order_names_and_shapes_are_those_of_files),
      cmocka_unit_test(a_layer_computes_with_the_weights_that_the_table_names),
      cmocka_unit_test(a_tied_head_is_the_embedding),
      cmocka_unit_test(a_family_is_found_by_each_of_its_names_and_by_no_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
