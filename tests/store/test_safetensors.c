/* Safetensors: the reference writer's files, our own, sharded ones, and files that lie. */
#include "store/files.h"
#include "store/safetensors.h"

static void open_ok(struct tpo_safetensors *st, const char *path)
{
  struct tpo_error err = {0};
  if (tpo_safetensors_open(st, path, &err) < 0) fail_msg("%s", err.message);
}

static void tensors_of_the_reference_writer_are_read(void **state)
{
  (void)state;
  struct tpo_safetensors st;
  open_ok(&st, FIXTURES "types.safetensors");
  assert_int_equal(st.n_tensors, 6);
  const struct tpo_safetensor *t = tpo_safetensors_find(&st, "a.f32");
  assert_non_null(t);
  assert_true(t->supported);
  assert_int_equal(t->dtype, TPO_F32);
  assert_int_equal(t->n_dims, 2);
  assert_int_equal(t->dims[0], 2);
  assert_int_equal(t->dims[1], 3);
  for (int i = 0; i < 6; i++) assert_true(((const float *)t->data)[i] == (float)i / 4);
  t = tpo_safetensors_find(&st, "b.f16");
  assert_int_equal(t->dtype, TPO_F16);
  for (int i = 0; i < 5; i++) assert_true(tpo_f16_to_f32(((const uint16_t *)t->data)[i]) == (float)i - 2.5f);
  t = tpo_safetensors_find(&st, "c.bf16");
  assert_int_equal(t->dtype, TPO_BF16);
  for (int i = 0; i < 3; i++) assert_true(tpo_bf16_to_f32(((const uint16_t *)t->data)[i]) == (float)i * 1.5f);
  t = tpo_safetensors_find(&st, "d.i64");
  assert_false(t->supported);
  assert_string_equal(t->dtype_name, "I64");
  t = tpo_safetensors_find(&st, "e.scalar");
  assert_int_equal(t->n_dims, 0);
  assert_int_equal(t->bytes, 4);
  t = tpo_safetensors_find(&st, "f.empty");
  assert_int_equal(t->bytes, 0);
  assert_null(tpo_safetensors_find(&st, "g"));
  tpo_safetensors_close(&st);
}

/* A file with this header and `data` bytes 0, 1, 2, ... */
static void put_file(struct tpo_buf *buf, const char *header, size_t data)
{
  uint64_t len = strlen(header);
  tpo_buf_append(buf, &len, 8);
  tpo_buf_puts(buf, header);
  for (size_t i = 0; i < data; i++) tpo_buf_putc(buf, (char)i);
}

static void refused_for(const char *header, size_t data, const char *why)
{
  struct memory_file file = memory_file_open();
  struct tpo_safetensors st;
  struct tpo_buf buf = {0};
  struct tpo_error err = {0};
  put_file(&buf, header, data);
  memory_file_set(&file, buf.data, buf.len);
  int status = tpo_safetensors_open(&st, file.path, &err);
  if (status >= 0) fail_msg("accepted: %s", header);
  assert_refused(status, err, file.path);
  assert_refused(status, err, why);
  memory_file_close(&file);
  tpo_buf_free(&buf);
}

static void contradictory_headers_are_refused(void **state)
{
  (void)state;
  refused_for("", 0, "does not begin with '{'");
  refused_for("[]", 0, "does not begin with '{'");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "JSON");
  refused_for("{\"a\":5}", 0, "must be an object");
  refused_for("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "\"dtype\"");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "\"shape\"");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "\"shape\"");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, "\"shape\"");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
              "\"shape\"");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}", 8,
              "counted");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4,
              "shape");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "\"data_offsets\"");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "\"data_offsets\"");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "shape");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "truncated or damaged");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "has 9");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "gap");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
              "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
              12, "overlaps");
  refused_for("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
              "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
              8, "JSON");
}

static void data_off_its_alignment_is_given_aligned(void **state)
{
  (void)state;
  struct memory_file file = memory_file_open();
  struct tpo_safetensors st;
  struct tpo_buf buf = {0};
  put_file(&buf,
           "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
           "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}",
           9);
  memory_file_set(&file, buf.data, buf.len);
  open_ok(&st, file.path);
  const struct tpo_safetensor *t = tpo_safetensors_find(&st, "b");
  assert_int_equal((uintptr_t)t->data % 4, 0);
  assert_memory_equal(t->data, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
  tpo_safetensors_close(&st);
  memory_file_close(&file);
  tpo_buf_free(&buf);
}

static void a_file_cut_anywhere_is_refused_with_its_name(void **state)
{
  (void)state;
  struct memory_file file = memory_file_open();
  struct tpo_buf bytes = {0};
  read_whole(FIXTURES "types.safetensors", &bytes);
  for (size_t len = 0; len < bytes.len; len++) {
    struct tpo_safetensors st;
    struct tpo_error err = {0};
    memory_file_set(&file, bytes.data, len);
    int status = tpo_safetensors_open(&st, file.path, &err);
    assert_refused(status, err, file.path);
  }
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

static volatile uint8_t sink; /* reading every byte shows a bad pointer to the sanitizers */

static void damaged_bytes_are_refused_or_read_within_bounds(void **state)
{
  (void)state;
  struct memory_file file = memory_file_open();
  struct tpo_buf bytes = {0};
  struct tpo_rng rng;
  int opened = 0, refused = 0;
  read_whole(FIXTURES "types.safetensors", &bytes);
  uint8_t *copy = malloc(bytes.len);
  assert_non_null(copy);
  tpo_rng_init(&rng, 2, TPO_STREAM_INIT, 0, 0);
  for (int i = 0; i < 20000; i++) {
    struct tpo_safetensors st;
    struct tpo_error err = {0};
    memcpy(copy, bytes.data, bytes.len);
    damage(&rng, copy, bytes.len);
    memory_file_set(&file, copy, bytes.len);
    int status = tpo_safetensors_open(&st, file.path, &err);
    if (status < 0) {
      refused++;
      assert_refused(status, err, file.path);
      continue;
    }
    opened++;
    for (int t = 0; t < st.n_tensors; t++)
      for (uint64_t b = 0; b < st.tensors[t].bytes; b++) sink = st.tensors[t].data[b];
    tpo_safetensors_close(&st);
  }
  assert_true(opened > 100 && refused > 100);
  free(copy);
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

static void write_one(const char *path, const char *name, float value)
{
  struct tpo_safetensors_writer *w;
  int64_t dims[] = {1};
  assert_int_equal(tpo_safetensors_writer_open(&w, path, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_declare(w, name, TPO_F32, 1, dims, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_data(w, &value, sizeof value, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_commit(w, NULL), 0);
  tpo_safetensors_writer_close(w);
}

static void what_is_written_is_read_back(void **state)
{
  (void)state;
  struct tpo_safetensors_writer *w;
  struct tpo_safetensors st;
  const char *path = in_folder("model.safetensors");
  const int64_t dims[] = {2, 2}, one[] = {3};
  const float matrix[] = {1, 2, 3, 4};
  const uint16_t halves[] = {0x3f80, 0, 0xc000};
  assert_int_equal(tpo_safetensors_writer_open(&w, path, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_declare(w, "z \"quoted\"", TPO_BF16, 1, one, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_declare(w, "a", TPO_F32, 2, dims, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_data(w, halves, sizeof halves, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_data(w, matrix, sizeof matrix, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_commit(w, NULL), 0);
  tpo_safetensors_writer_close(w);
  open_ok(&st, folder); /* a folder with model.safetensors in it */
  assert_int_equal(st.n_tensors, 2);
  assert_memory_equal(tpo_safetensors_find(&st, "a")->data, matrix, sizeof matrix);
  assert_memory_equal(tpo_safetensors_find(&st, "z \"quoted\"")->data, halves, sizeof halves);
  tpo_safetensors_close(&st);
  assert_int_equal(count_files(folder), 1);
}

static void an_uncommitted_or_incomplete_file_leaves_nothing(void **state)
{
  (void)state;
  struct tpo_safetensors_writer *w;
  struct tpo_error err = {0};
  const int64_t dims[] = {2};
  const float values[] = {1, 2};
  assert_int_equal(tpo_safetensors_writer_open(&w, in_folder("x.safetensors"), NULL), 0);
  assert_int_equal(tpo_safetensors_writer_declare(w, "a", TPO_F32, 1, dims, NULL), 0);
  assert_int_equal(tpo_safetensors_writer_declare(w, "b", TPO_F32, 1, dims, NULL), 0);
  assert_refused(tpo_safetensors_writer_data(w, values, 4, &err), err, "expected 8");
  assert_int_equal(tpo_safetensors_writer_data(w, values, 8, NULL), 0);
  assert_refused(tpo_safetensors_writer_declare(w, "c", TPO_F32, 1, dims, &err), err, "'c'");
  assert_refused(tpo_safetensors_writer_commit(w, &err), err, "1 of 2");
  tpo_safetensors_writer_close(w);
  assert_int_equal(count_files(folder), 0);
}

static void put_index(const char *json)
{
  assert_int_equal(tpo_write_file(in_folder("model.safetensors.index.json"), json, strlen(json), NULL), 0);
}

static void index_refused_for(const char *json, const char *why)
{
  struct tpo_safetensors st;
  struct tpo_error err = {0};
  put_index(json);
  int status = tpo_safetensors_open(&st, folder, &err);
  if (status >= 0) fail_msg("accepted: %s", json);
  assert_refused(status, err, why);
}

static void a_sharded_folder_gives_the_tensors_of_all_shards(void **state)
{
  (void)state;
  struct tpo_safetensors st;
  write_one(in_folder("one.safetensors"), "a", 1);
  write_one(in_folder("two.safetensors"), "b", 2);
  put_index("{\"metadata\":{},\"weight_map\":{\"b\":\"two.safetensors\",\"a\":\"one.safetensors\"}}");
  open_ok(&st, folder);
  assert_int_equal(st.n_shards, 2);
  assert_true(*(const float *)tpo_safetensors_find(&st, "a")->data == 1);
  assert_true(*(const float *)tpo_safetensors_find(&st, "b")->data == 2);
  tpo_safetensors_close(&st);
}

static void a_single_file_goes_before_an_index_beside_it(void **state)
{
  (void)state;
  struct tpo_safetensors st;
  static const char *const left_behind[] = {"{\"weight_map\":{\"a\":\"old.safetensors\"}}", "{",
                                            "{\"weight_map\":{\"a\":\"gone.safetensors\"}}"};
  write_one(in_folder("old.safetensors"), "a", 1);
  write_one(in_folder("model.safetensors"), "a", 2);
  for (size_t i = 0; i < sizeof left_behind / sizeof *left_behind; i++) {
    put_index(left_behind[i]);
    open_ok(&st, folder);
    assert_int_equal(st.n_shards, 1);
    assert_true(*(const float *)tpo_safetensors_find(&st, "a")->data == 2);
    tpo_safetensors_close(&st);
  }
}

static void an_index_at_odds_with_its_shards_is_refused(void **state)
{
  (void)state;
  write_one(in_folder("one.safetensors"), "a", 1);
  write_one(in_folder("two.safetensors"), "b", 2);
  write_one(in_folder("again.safetensors"), "a", 3);
  index_refused_for("{", "JSON");
  index_refused_for("[]", "\"weight_map\"");
  index_refused_for("{\"weight_map\":{\"a\":5}}", "'a' must be a string");
  index_refused_for("{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "within the folder");
  index_refused_for("{\"weight_map\":{\"a\":\"..\"}}", "within the folder");
  index_refused_for("{\"weight_map\":{\"a\":\"none.safetensors\"}}", "none.safetensors");
  index_refused_for("{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}",
                    "'c' should be in");
  index_refused_for("{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}", "should be in");
  index_refused_for("{\"weight_map\":{\"a\":\"one.safetensors\",\"x\":\"again.safetensors\"}}",
                    "both hold tensor 'a'");
}

static void a_folder_without_weights_is_refused(void **state)
{
  (void)state;
  struct tpo_safetensors st;
  struct tpo_error err = {0};
  assert_refused(tpo_safetensors_open(&st, folder, &err), err, "holds neither");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tensors_of_the_reference_writer_are_read),
      cmocka_unit_test(contradictory_headers_are_refused),
      cmocka_unit_test(data_off_its_alignment_is_given_aligned),
      cmocka_unit_test(a_file_cut_anywhere_is_refused_with_its_name),
      cmocka_unit_test(damaged_bytes_are_refused_or_read_within_bounds),
      cmocka_unit_test_setup_teardown(what_is_written_is_read_back, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(an_uncommitted_or_incomplete_file_leaves_nothing, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_sharded_folder_gives_the_tensors_of_all_shards, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_single_file_goes_before_an_index_beside_it, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(an_index_at_odds_with_its_shards_is_refused, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_folder_without_weights_is_refused, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
