/* The rotary embedding's frequencies and tables, compared with transformers' (make_rope.py). */
#include "model/fixture.h"

enum { CONTEXT = 4096 };

static void read_floats(const json_t *row, const char *key, double *out, int n)
{
  const json_t *list = json_object_get(row, key);
  assert_int_equal(json_array_size(list), n);
  for (int i = 0; i < n; i++) out[i] = json_number_value(json_array_get(list, (size_t)i));
}

static void compare(const struct tpo_arch *arch, const json_t *row, size_t number, bool longer)
{
  int n = tpo_rope_rotated(arch) / 2;
  double expected[TPO_ROPE_FACTORS];
  float got[TPO_ROPE_FACTORS];
  read_floats(row, longer ? "long" : "short", expected, n);
  tpo_rope_frequencies(arch, &arch->rope, longer, got);
  for (int i = 0; i < n; i++)
    if (!(fabs(got[i] - expected[i]) <= 1e-6 * expected[i]))
      fail_msg("row %zu, %s, pair %d: %.9g, not %.9g", number, longer ? "long" : "short", i, (double)got[i],
               expected[i]);
}

static json_t *rows;

static struct tpo_arch arch_of(size_t row)
{
  struct tpo_arch arch;
  struct tpo_error err = {0};
  assert_ok(
      tpo_arch_from_json(&arch, json_object_get(json_array_get(rows, row), "config"), "rope.json", &err));
  return arch;
}

static void frequencies_are_transformers(void **state)
{
  (void)state;
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    struct tpo_arch arch = arch_of(i);
    double factor = json_number_value(json_object_get(row, "factor"));
    double got = arch.rope.attention_factor > 0 ? arch.rope.attention_factor : 1;
    if (!(fabs(got - factor) <= 1e-12)) fail_msg("row %zu: factor %.17g, not %.17g", i, got, factor);
    compare(&arch, row, i, false);
    compare(&arch, row, i, tpo_rope_varies(&arch));
  }
}

/* A model that has nothing but its ropes' tables. */
static struct tpo_model empty_model(struct tpo_backend *be, const struct tpo_arch *arch)
{
  return (struct tpo_model){.be = be, .ops = tpo_ops(be), .arch = *arch};
}

static void free_tables(struct tpo_model *model)
{
  for (int reach = 0; reach < TPO_REACHES; reach++) model->ops->free(model->be, model->ropes[reach].cos_sin);
}

/* Row of position pos for a sequence of up to `longest` tokens, which has cosines, then sines. */
static void check_row(const struct tpo_model *model, int layer, int longest, int pos,
                      const struct tpo_rope *rope, bool longer)
{
  float frequencies[TPO_ROPE_FACTORS];
  int rotated = tpo_rope_rotated(&model->arch);
  const float *row = tpo_rope_of(model, layer) + (size_t)tpo_rope_row(model, longest, pos) * (size_t)rotated;
  double factor = rope->attention_factor > 0 ? rope->attention_factor : 1;
  tpo_rope_frequencies(&model->arch, rope, longer, frequencies);
  for (int i = 0; i < rotated / 2; i++) {
    float angle = (float)pos * frequencies[i];
    assert_true(fabs(row[i] - cos(angle) * factor) <= 1e-6);
    assert_true(fabs(row[rotated / 2 + i] - sin(angle) * factor) <= 1e-6);
  }
}

/* However the tables grow, a sequence is rotated by one set of factors from its first token to its last. */
static void longrope_is_chosen_by_what_a_sequence_can_become(void **state)
{
  (void)state;
  size_t last = json_array_size(rows) - 1;
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_arch arch = arch_of(last);
  struct tpo_model model = empty_model(be, &arch);
  assert_true(tpo_rope_varies(&arch));
  for (int n = 10; n <= CONTEXT; n = n == 10 ? 1500 : n == 1500 ? CONTEXT : CONTEXT + 1) {
    assert_ok(tpo_rope_ensure(&model, n, &err));
    check_row(&model, 0, 1024, 0, &arch.rope, false);
    check_row(&model, 0, 1024, 9, &arch.rope, false);
    check_row(&model, 0, 1024, 1023, &arch.rope, false);
    check_row(&model, 0, 1025, 0, &arch.rope, true);
    check_row(&model, 0, 1025, 9, &arch.rope, true);
    check_row(&model, 0, CONTEXT, n - 1, &arch.rope, true);
  }
  assert_int_equal(model.ropes_made, 3);
  free_tables(&model);
  arch = arch_of(last - 1); /* its original context is its context */
  assert_false(tpo_rope_varies(&arch));
  model = empty_model(be, &arch);
  assert_ok(tpo_rope_ensure(&model, CONTEXT, &err));
  check_row(&model, 0, CONTEXT, CONTEXT - 1, &arch.rope, false);
  free_tables(&model);
  tpo_backend_close(be);
}

static void layers_are_rotated_by_their_own_table_or_not_at_all(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_arch arch = arch_of(2);
  arch.window = 8;
  arch.has_local_rope = true;
  arch.local_rope.theta = 123;
  tpo_layer_add(&arch.windowed, 1);
  struct tpo_model model = empty_model(be, &arch);
  assert_ok(tpo_rope_ensure(&model, 100, &err));
  check_row(&model, 0, 100, 99, &arch.rope, false);
  check_row(&model, 1, 100, 99, &arch.local_rope, false);
  tpo_layer_add(&model.arch.unrotated, 1);
  assert_null(tpo_rope_of(&model, 1));
  model.arch.has_local_rope = false;
  tpo_layer_add(&model.arch.windowed, 0);
  check_row(&model, 0, 100, 99, &arch.rope, false);
  free_tables(&model);
  tpo_backend_close(be);
}

int main(void)
{
  struct tpo_error err = {0};
  rows = tpo_json_load(FIXTURES "rope.json", 1 << 20, &err);
  if (!rows) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(frequencies_are_transformers),
      cmocka_unit_test(longrope_is_chosen_by_what_a_sequence_can_become),
      cmocka_unit_test(layers_are_rotated_by_their_own_table_or_not_at_all),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  json_decref(rows);
  return failed;
}
