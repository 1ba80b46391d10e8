/* GGUF files that are written are read again as they were, and are whole or not there. */
#include "unit.h"

#include <sys/stat.h>
#include "store/gguf_write.h"

static const float numbers[6] = {1, -2, 3.5f, 4, 5, 6};

static struct tpo_gguf_writer *begin(const char *path)
{
  struct tpo_error err = {0};
  struct tpo_gguf_writer *w;
  if (tpo_gguf_writer_open(&w, path, &err) < 0) fail_msg("%s", err.message);
  tpo_gguf_put_string(w, "general.architecture", "x", 1);
  tpo_gguf_put_u32(w, "a.number", 4000000000u);
  tpo_gguf_put_f32(w, "a.real", 0.1);
  tpo_gguf_put_bool(w, "a.truth", true);
  tpo_gguf_put_array(w, "some.words", TPO_GGUF_STRING, 2);
  tpo_gguf_add_string(w, "one", 3);
  tpo_gguf_add_string(w, "", 0);
  const int32_t ids[3] = {-1, 0, 7};
  tpo_gguf_put_array(w, "some.ids", TPO_GGUF_I32, 3);
  for (int i = 0; i < 3; i++) tpo_gguf_add_item(w, &ids[i], sizeof ids[i]);
  assert_int_equal(tpo_gguf_writer_declare(w, "matrix", 0, 2, 3, &err), 0);
  assert_int_equal(tpo_gguf_writer_declare(w, "vector", 0, 5, 1, &err), 0);
  return w;
}

static void write_all(struct tpo_gguf_writer *w)
{
  struct tpo_error err = {0};
  for (int i = 0; i < 6; i++) assert_int_equal(tpo_gguf_writer_data(w, &numbers[i], 4, &err), 0);
  assert_int_equal(tpo_gguf_writer_data(w, numbers, 5 * 4, &err), 0);
  if (tpo_gguf_writer_commit(w, &err) < 0) fail_msg("%s", err.message);
  tpo_gguf_writer_close(w);
}

static void check_values(const struct tpo_gguf *gguf)
{
  int64_t number;
  double real;
  bool truth;
  uint64_t cursor = 0;
  struct tpo_gguf_string word;
  assert_int_equal(tpo_gguf_get_int(gguf, "a.number", &number, NULL), 1);
  assert_int_equal(number, 4000000000);
  assert_int_equal(tpo_gguf_get_double(gguf, "a.real", &real, NULL), 1);
  assert_true(real == (double)0.1f);
  assert_int_equal(tpo_gguf_get_bool(gguf, "a.truth", &truth, NULL), 1);
  assert_true(truth);
  const struct tpo_gguf_value *words = tpo_gguf_find(gguf, "some.words");
  assert_int_equal(tpo_gguf_next_string(words, &cursor, &word), 1);
  assert_int_equal(word.len, 3);
  assert_int_equal(tpo_gguf_next_string(words, &cursor, &word), 1);
  assert_int_equal(word.len, 0);
  assert_int_equal(tpo_gguf_next_string(words, &cursor, &word), 0);
  assert_int_equal(tpo_gguf_find(gguf, "some.ids")->count, 3);
}

static void what_is_written_is_read(void **state)
{
  char path[4200];
  struct tpo_gguf gguf;
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/out.gguf", (char *)*state);
  write_all(begin(path));
  if (tpo_gguf_open(&gguf, path, &err) < 0) fail_msg("%s", err.message);
  check_values(&gguf);
  const struct tpo_gguf_tensor *matrix = tpo_gguf_find_tensor(&gguf, "matrix");
  const struct tpo_gguf_tensor *vector = tpo_gguf_find_tensor(&gguf, "vector");
  assert_int_equal(matrix->n_dims, 2);
  assert_int_equal(matrix->dims[0], 3);
  assert_int_equal(matrix->dims[1], 2);
  assert_int_equal(vector->n_dims, 1);
  assert_memory_equal(matrix->data, numbers, sizeof numbers);
  assert_memory_equal(vector->data, numbers, 5 * 4);
  assert_int_equal((vector->data - gguf.map.data) % 32, 0);
  assert_int_equal(gguf.map.size % 32, 0);
  tpo_gguf_close(&gguf);
}

static void what_is_not_committed_leaves_nothing(void **state)
{
  char path[4200];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/out.gguf", (char *)*state);
  struct tpo_gguf_writer *w = begin(path);
  assert_int_equal(tpo_gguf_writer_data(w, numbers, 8, &err), 0);
  assert_true(tpo_gguf_writer_commit(w, &err) < 0);
  assert_contains(err.message, "0 of 2 tensors were given");
  tpo_gguf_writer_close(w);
  assert_int_equal(rmdir(*state), 0); /* no file of another name, either */
  assert_int_equal(mkdir(*state, 0700), 0);
}

static void misuse_is_told(void **state)
{
  char path[4200];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/out.gguf", (char *)*state);
  struct tpo_gguf_writer *w = begin(path);
  assert_true(tpo_gguf_writer_declare(w, "odd", 8, 2, 33, &err) < 0); /* rows of Q8_0 */
  assert_contains(err.message, "'odd'");
  assert_true(tpo_gguf_writer_declare(w, "huge", 0, (int64_t)1 << 40, (int64_t)1 << 40, &err) < 0);
  assert_true(tpo_gguf_writer_data(w, numbers, 28, &err) < 0);
  assert_contains(err.message, "28 bytes given for tensor number 0, of which 24 are left");
  assert_true(tpo_gguf_writer_declare(w, "late", 0, 1, 1, &err) < 0);
  tpo_gguf_writer_close(w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_is_written_is_read, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(what_is_not_committed_leaves_nothing, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(misuse_is_told, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
