/* Which model it is, by samples: the same wherever it was loaded from, another one when any parameter
 * changed. */
#include "model/model.h"
#include "model/fixture.h"
#include "model/identity.h"

static const char *identity(struct tpo_model *model)
{
  static char hex[4][33];
  static int next;
  struct tpo_error err = {0};
  char *out = hex[next++ % 4];
  assert_ok(model_identify(model, out, &err));
  assert_int_equal(strlen(out), 32);
  return out;
}

static void a_model_is_itself_wherever_it_was_loaded_from(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(REFERENCE);
  struct tpo_model *folder = open_model(be, FIXTURES "llama3_untied_bf16", TPO_DTYPE_FP32);
  struct tpo_model *gguf = open_model(be, FIXTURES "llama3_bf16.gguf", TPO_DTYPE_BF16);
  struct tpo_model *other = open_model(be, FIXTURES "no_groups_f32", TPO_DTYPE_FP32);
  assert_string_equal(identity(folder), identity(gguf));
  assert_string_not_equal(identity(folder), identity(other));
  tpo_model_close(folder);
  tpo_model_close(gguf);
  tpo_model_close(other);
  tpo_backend_close(be);
}

/* Training changes all rows of a parameter, so two of them tell. */
static void a_change_of_any_parameter_shows(void **state)
{
  (void)state;
  for (int i = 0; i < 2; i++) {
    struct tpo_error err = {0};
    struct tpo_backend *be = open_backend(i ? CPU : REFERENCE);
    struct tpo_model *model = small_model(be, i ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32, true, 0);
    size_t n;
    const struct tpo_param *params = tpo_model_params(model, &n);
    for (size_t p = 0; p < n; p++) {
      size_t count = (size_t)(params[p].rows * params[p].cols);
      float *rows = malloc(count * sizeof *rows), *more = malloc(count * sizeof *more);
      const char *before = identity(model);
      assert_ok(tpo_model_get_rows(model, p, 0, params[p].rows, rows, &err));
      for (size_t k = 0; k < count; k++) more[k] = rows[k] * 1.5f;
      assert_ok(tpo_model_put_rows(model, p, 0, params[p].rows, more, &err));
      if (strcmp(identity(model), before) == 0) fail_msg("a change of %s is not seen", params[p].name);
      assert_ok(tpo_model_put_rows(model, p, 0, params[p].rows, rows, &err));
      assert_string_equal(identity(model), before);
      free(rows);
      free(more);
    }
    tpo_model_close(model);
    tpo_backend_close(be);
  }
}

/* Checkpoints and journals hold it: it stays what it was before there were other families. */
static void llamas_hash_is_for_ever(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model *model = open_model(be, FIXTURES "default_tied_f32", TPO_DTYPE_FP32);
  assert_string_equal(identity(model), "24541ef33c768c2a43f04b85a0cc9172");
  assert_string_equal(tpo_model_hash(model), "8da175fb57c8c41a14427f01ebfadb8d");
  tpo_model_close(model);
  model = open_model(be, FIXTURES "linear_sharded_f16", TPO_DTYPE_FP32);
  assert_string_equal(identity(model), "7724bec6aee28ad58be507f8f99ef93f");
  tpo_model_close(model);
  tpo_backend_close(be);
}

/* One field after another is set, and each is seen. */
static void all_that_a_model_computes_with_shows(void **state)
{
  (void)state;
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_model *model = small_model(be, TPO_DTYPE_FP32, true, 0);
  struct tpo_arch *a = &model->arch;
  char before[33] = "";
  for (int field = 0; field < 18; field++) {
    switch (field) {
    case 0: break;
    case 1: a->window = 8; break;
    case 2: tpo_layer_add(&a->windowed, 1); break;
    case 3: tpo_layer_add(&a->unrotated, 1); break;
    case 4: a->attention_scale = 0.5; break;
    case 5: a->attention_softcap = 50; break;
    case 6: a->final_softcap = 50; break;
    case 7: a->embedding_scale = 3; break;
    case 8: a->residual_scale = 3; break;
    case 9: a->logits_scale = 3; break;
    case 10: a->has_local_rope = true, a->local_rope.theta = 20000; break;
    case 11: a->rope.kind = TPO_ROPE_YARN; break;
    case 12: a->rope.beta_fast = 32; break;
    case 13: a->rope.untruncated = true; break;
    case 14: a->rope.attention_factor = 2; break;
    case 15: a->rope.kind = TPO_ROPE_LONGROPE; break;
    case 16: a->rope.short_factors[1] = 2; break;
    case 17: a->rope.long_factors[3] = 2; break;
    }
    if (strcmp(identity(model), before) == 0) fail_msg("field %d is not seen", field);
    snprintf(before, sizeof before, "%s", identity(model));
  }
  a->rotated = 4;
  assert_string_not_equal(identity(model), before);
  tpo_model_close(model);
  tpo_backend_close(be);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_model_is_itself_wherever_it_was_loaded_from),
      cmocka_unit_test(a_change_of_any_parameter_shows),
      cmocka_unit_test(llamas_hash_is_for_ever),
      cmocka_unit_test(all_that_a_model_computes_with_shows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
