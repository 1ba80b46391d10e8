/* Checkpoints are read back as written; damaged and foreign ones are refused. */
#include "store/hdf5_files.h"
#include <sys/mount.h>
#include <unistd.h>
#include "base/dtype.h"

static const float weights[] = {1, 2, 3, 4, 5, 6};
static const uint16_t halves[] = {0x3f80, 0xc000, 0x0001};
static const char tokenizer[] = "{\"model\":\"caf\xc3\xa9\"}";
static const char bytes[] = "\0\1\2\xff";

static void put(struct tpo_checkpoint_writer *w, const char *group, const char *name, int dtype, int n_dims,
                const int64_t *dims, const void *data)
{
  struct tpo_error err = {0};
  if (tpo_checkpoint_put(w, group, name, dtype, n_dims, dims, data, &err) < 0) fail_msg("%s", err.message);
}

static void write_checkpoint(const char *name)
{
  struct tpo_checkpoint_writer *w;
  struct tpo_error err = {0};
  const int64_t matrix[] = {2, 3}, three[] = {3}, none[] = {0, 4};
  if (tpo_checkpoint_create(&w, in_folder(name), "seed: 1\n", &err) < 0) fail_msg("%s", err.message);
  put(w, "model", "model.norm.weight", TPO_BF16, 1, three, halves);
  put(w, "model", "a.weight", TPO_F32, 2, matrix, weights);
  put(w, "model", "half", TPO_F16, 1, three, halves);
  put(w, "model", "empty", TPO_F32, 2, none, weights);
  put(w, "model", "scalar", TPO_F32, 0, NULL, weights);
  put(w, "optimizer/m", "a.weight", TPO_F32, 2, matrix, weights);
  assert_int_equal(tpo_checkpoint_put_blob(w, "state", "{\"step\":7}", 10, NULL), 0);
  assert_int_equal(
      tpo_checkpoint_put_blob(w, "tokenizer/tokenizer.json", tokenizer, sizeof tokenizer - 1, NULL), 0);
  assert_int_equal(tpo_checkpoint_put_blob(w, "tokenizer/raw", bytes, 4, NULL), 0);
  assert_int_equal(tpo_checkpoint_put_blob(w, "architecture", "", 0, NULL), 0);
  if (tpo_checkpoint_commit(w, &err) < 0) fail_msg("%s", err.message);
  tpo_checkpoint_writer_close(w);
}

static struct tpo_checkpoint *open_checkpoint(const char *name)
{
  struct tpo_checkpoint *c;
  struct tpo_error err = {0};
  if (tpo_checkpoint_open(&c, in_folder(name), &err) < 0) fail_msg("%s", err.message);
  return c;
}

static void tensors_are_read_back_in_their_types(void **state)
{
  (void)state;
  int dtype, n_dims;
  int64_t dims[8];
  char out[24];
  write_checkpoint("c.h5");
  struct tpo_checkpoint *c = open_checkpoint("c.h5");
  assert_int_equal(tpo_checkpoint_shape(c, "model", "a.weight", &dtype, &n_dims, dims, NULL), 1);
  assert_int_equal(dtype, TPO_F32);
  assert_int_equal(n_dims, 2);
  assert_int_equal(dims[0], 2);
  assert_int_equal(dims[1], 3);
  assert_int_equal(tpo_checkpoint_get(c, "model", "a.weight", out, 24, NULL), 0);
  assert_memory_equal(out, weights, 24);
  assert_int_equal(tpo_checkpoint_get(c, "optimizer/m", "a.weight", out, 24, NULL), 0);
  assert_memory_equal(out, weights, 24);
  assert_int_equal(tpo_checkpoint_shape(c, "model", "model.norm.weight", &dtype, &n_dims, dims, NULL), 1);
  assert_int_equal(dtype, TPO_BF16);
  assert_int_equal(tpo_checkpoint_get(c, "model", "model.norm.weight", out, 6, NULL), 0);
  assert_memory_equal(out, halves, 6);
  assert_int_equal(tpo_checkpoint_shape(c, "model", "half", &dtype, &n_dims, dims, NULL), 1);
  assert_int_equal(dtype, TPO_F16);
  assert_int_equal(tpo_checkpoint_get(c, "model", "half", out, 6, NULL), 0);
  assert_memory_equal(out, halves, 6);
  assert_int_equal(tpo_checkpoint_get(c, "model", "empty", out, 0, NULL), 0);
  assert_int_equal(tpo_checkpoint_shape(c, "model", "scalar", &dtype, &n_dims, dims, NULL), 1);
  assert_int_equal(n_dims, 0);
  assert_int_equal(tpo_checkpoint_get(c, "model", "scalar", out, 4, NULL), 0);
  assert_memory_equal(out, weights, 4);
  tpo_checkpoint_close(c);
}

static void absent_and_mismatched_tensors_are_told_apart(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  int dtype, n_dims;
  int64_t dims[8];
  char out[24];
  write_checkpoint("c.h5");
  struct tpo_checkpoint *c = open_checkpoint("c.h5");
  assert_int_equal(tpo_checkpoint_shape(c, "model", "b.weight", &dtype, &n_dims, dims, NULL), 0);
  assert_int_equal(tpo_checkpoint_shape(c, "optimizer/v", "a.weight", &dtype, &n_dims, dims, NULL), 0);
  assert_refused(tpo_checkpoint_get(c, "model", "b.weight", out, 24, &err), err,
                 "no tensor 'model/b.weight'");
  assert_refused(tpo_checkpoint_get(c, "model", "a.weight", out, 20, &err), err, "has 24 bytes, expected 20");
  assert_refused(tpo_checkpoint_get(c, "tokenizer", "raw", out, 4, &err), err, "has type uint8");
  assert_refused(tpo_checkpoint_shape(c, "model", "..", &dtype, &n_dims, dims, &err), err, "'..'");
  assert_refused(tpo_checkpoint_shape(c, "model", "a/b", &dtype, &n_dims, dims, &err), err, "'a/b'");
  tpo_checkpoint_close(c);
}

static void blobs_are_read_back_byte_for_byte(void **state)
{
  (void)state;
  char *out;
  size_t len;
  write_checkpoint("c.h5");
  struct tpo_checkpoint *c = open_checkpoint("c.h5");
  assert_int_equal(tpo_checkpoint_get_blob(c, "tokenizer/tokenizer.json", &out, &len, NULL), 1);
  assert_int_equal(len, sizeof tokenizer - 1);
  assert_memory_equal(out, tokenizer, sizeof tokenizer);
  free(out);
  assert_int_equal(tpo_checkpoint_get_blob(c, "tokenizer/raw", &out, &len, NULL), 1);
  assert_int_equal(len, 4);
  assert_memory_equal(out, bytes, 5); /* a NUL follows */
  free(out);
  assert_int_equal(tpo_checkpoint_get_blob(c, "architecture", &out, &len, NULL), 1);
  assert_int_equal(len, 0);
  assert_string_equal(out, "");
  free(out);
  assert_int_equal(tpo_checkpoint_get_blob(c, "tokenizer/none", &out, &len, NULL), 0);
  assert_int_equal(tpo_checkpoint_get_blob(c, "none/none", &out, &len, NULL), 0);
  tpo_checkpoint_close(c);
}

struct names {
  char text[200];
  int stop_at;
};

static int collect(void *arg, const char *name, struct tpo_error *err)
{
  struct names *names = arg;
  strcat(names->text, name);
  strcat(names->text, " ");
  return --names->stop_at == 0 ? tpo_fail(err, TPO_E_STATE, "enough") : 0;
}

static void names_come_sorted_and_a_failure_stops_them(void **state)
{
  (void)state;
  struct names all = {"", 0}, two = {"", 2};
  write_checkpoint("c.h5");
  struct tpo_checkpoint *c = open_checkpoint("c.h5");
  assert_int_equal(tpo_checkpoint_each(c, "model", collect, &all, NULL), 0);
  assert_string_equal(all.text, "a.weight empty half model.norm.weight scalar ");
  assert_int_equal(tpo_checkpoint_each(c, "model", collect, &two, NULL), TPO_E_STATE);
  assert_string_equal(two.text, "a.weight empty ");
  assert_int_equal(tpo_checkpoint_each(c, "optimizer/v", collect, &two, NULL), 0);
  tpo_checkpoint_close(c);
}

static void equal_checkpoints_give_equal_bytes_and_verify(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  write_checkpoint("a.h5");
  usleep(1100000); /* the time of day is in seconds where it is told */
  write_checkpoint("b.h5");
  unsetenv("SOURCE_DATE_EPOCH");
  assert_same_bytes(in_folder("a.h5"), in_folder("b.h5"));
  if (tpo_store_verify(in_folder("a.h5"), &err) < 0) fail_msg("%s", err.message);
}

static void one_changed_bit_of_a_weight_is_found(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_buf file = {0};
  write_checkpoint("c.h5");
  read_whole(in_folder("c.h5"), &file);
  char *at = memmem(file.data, file.len, weights, sizeof weights);
  assert_non_null(at);
  at[5] ^= 1;
  assert_int_equal(tpo_write_file(in_folder("c.h5"), file.data, file.len, NULL), 0);
  assert_refused(tpo_store_verify(in_folder("c.h5"), &err), err, "hash");
  tpo_buf_free(&file);
}

static void what_is_not_committed_leaves_nothing(void **state)
{
  (void)state;
  struct tpo_checkpoint_writer *w;
  struct tpo_error err = {0};
  const int64_t dims[] = {6}, negative[] = {-1};
  assert_int_equal(tpo_checkpoint_create(&w, in_folder("c.h5"), NULL, NULL), 0);
  put(w, "model", "a", TPO_F32, 1, dims, weights);
  assert_refused(tpo_checkpoint_put(w, "model", "a", TPO_F32, 1, dims, weights, &err), err, "'model/a'");
  assert_refused(tpo_checkpoint_put(w, "model", "a/b", TPO_F32, 1, dims, weights, &err), err, "'a/b'");
  assert_refused(tpo_checkpoint_put(w, "model", "n", TPO_F32, 1, negative, weights, &err), err, "'model/n'");
  tpo_checkpoint_writer_close(w);
  assert_int_equal(count_files(folder), 0);
  assert_refused(tpo_checkpoint_create(&w, in_folder("none/c.h5"), NULL, &err), err, "none/c.h5");
  assert_null(w);
}

static void a_bare_uint16_is_not_taken_for_bfloat16(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  int dtype, n_dims;
  int64_t dims[8];
  write_checkpoint("c.h5");
  replace(in_folder("c.h5"), "model/half", H5T_STD_U16LE, 3, halves);
  struct tpo_checkpoint *c = open_checkpoint("c.h5");
  assert_refused(tpo_checkpoint_shape(c, "model", "half", &dtype, &n_dims, dims, &err), err,
                 "has type uint16");
  tpo_checkpoint_close(c);
}

static void a_file_cut_anywhere_is_refused_with_its_name(void **state)
{
  (void)state;
  write_checkpoint("c.h5");
  refused_when_cut(in_folder("c.h5"));
}

static void damaged_bytes_are_refused_or_read_within_bounds(void **state)
{
  (void)state;
  write_checkpoint("c.h5");
  damaged_copies_are_refused_or_read(in_folder("c.h5"), 2000);
}

/* Tensors of 256 KiB until the file system of 2 MiB is full. */
static void a_full_disk_is_one_error_and_leaves_nothing(void **state)
{
  (void)state;
  static float tensor[64 * 1024];
  const int64_t dims[] = {64 * 1024};
  struct tpo_checkpoint_writer *w;
  struct tpo_error err = {0};
  if (mount("none", folder, "tmpfs", 0, "size=2m") != 0) skip();
  assert_int_equal(tpo_checkpoint_create(&w, in_folder("c.h5"), NULL, NULL), 0);
  int status = 0, written = 0;
  for (; status == 0 && written < 20; written++) {
    char name[20];
    snprintf(name, sizeof name, "t%d", written);
    status = tpo_checkpoint_put(w, "model", name, TPO_F32, 1, dims, tensor, &err);
  }
  assert_int_equal(status, TPO_E_IO);
  assert_refused(status, err, "c.h5");
  assert_true(written > 2);
  tpo_checkpoint_writer_close(w);
  assert_int_equal(count_files(folder), 0);
  umount(folder);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(tensors_are_read_back_in_their_types),
      IN_FOLDER(absent_and_mismatched_tensors_are_told_apart),
      IN_FOLDER(blobs_are_read_back_byte_for_byte),
      IN_FOLDER(names_come_sorted_and_a_failure_stops_them),
      IN_FOLDER(equal_checkpoints_give_equal_bytes_and_verify),
      IN_FOLDER(one_changed_bit_of_a_weight_is_found),
      IN_FOLDER(what_is_not_committed_leaves_nothing),
      IN_FOLDER(a_bare_uint16_is_not_taken_for_bfloat16),
      IN_FOLDER(a_file_cut_anywhere_is_refused_with_its_name),
      IN_FOLDER(a_full_disk_is_one_error_and_leaves_nothing),
      IN_FOLDER(damaged_bytes_are_refused_or_read_within_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
