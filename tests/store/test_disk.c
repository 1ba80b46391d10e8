/* What goes wrong on the disk under an HDF5 file is told by its reason, and the library lets go of the
 * file. */
#include "store/hdf5_files.h"
#include <errno.h>

/* From here on every write to fd fails; what is read from it is nothing. */
static void fail_writes(int fd)
{
  int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
  assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
  assert_true(dup2(sealed, fd) >= 0);
  close(sealed);
}

/* Reads of what no process has mapped: an input/output error. */
static void fail_reads(int fd)
{
  int memory = open("/proc/self/mem", O_RDONLY);
  assert_true(dup2(memory, fd) >= 0);
  close(memory);
}

static void assert_let_go(void)
{
  assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

/* 6 MB of texts: more than the library keeps to itself, so that it throws away what could not be written. */
static void put_texts(struct tpo_h5_writer *w, const char *name, int expected, struct tpo_error *err)
{
  enum { N = 20000, LENGTH = 300 };
  static char text[LENGTH + 1];
  const char **texts = malloc(N * sizeof *texts);
  uint64_t n = N;
  memset(text, 'x', LENGTH);
  for (int i = 0; i < N; i++) texts[i] = text;
  assert_int_equal(tpo_h5_put(w, name, TPO_H5_TEXT, 1, &n, texts, err), expected);
  free(texts);
}

static void a_failed_write_is_told_by_its_reason_and_the_file_is_let_go(void **state)
{
  const uint64_t n = 5;
  const int32_t values[5] = {0};
  (void)state;
  for (int before = 0; before < 3; before++) {
    struct tpo_h5_writer w = {0};
    struct tpo_error err = {0};
    assert_int_equal(tpo_h5_create(&w, in_folder("w.h5"), "samples", "", &err), 0);
    if (before > 0) assert_int_equal(tpo_h5_put(&w, "values", TPO_H5_I32, 1, &n, values, &err), 0);
    if (before > 1) put_texts(&w, "first", 0, &err);
    fail_writes(tpo_h5_disk_fd(w.disk));
    put_texts(&w, "group/texts", TPO_E_IO, &err);
    assert_non_null(strstr(err.message, "w.h5: dataset 'group/texts' can't be written: "));
    assert_non_null(strstr(err.message, strerror(EPERM)));
    tpo_h5_writer_close(&w);
    assert_let_go();
    assert_false(tpo_file_exists(in_folder("w.h5")));
  }
}

static void a_write_that_fails_at_the_end_leaves_no_file(void **state)
{
  struct tpo_h5_writer w = {0};
  struct tpo_error err = {0};
  const uint64_t n = 5;
  const int32_t values[5] = {0};
  (void)state;
  assert_int_equal(tpo_h5_create(&w, in_folder("w.h5"), "samples", "", &err), 0);
  assert_int_equal(tpo_h5_put(&w, "values", TPO_H5_I32, 1, &n, values, &err), 0);
  fail_writes(tpo_h5_disk_fd(w.disk));
  assert_int_equal(tpo_h5_commit(&w, &err), TPO_E_IO);
  assert_non_null(strstr(err.message, strerror(EPERM)));
  tpo_h5_writer_close(&w);
  assert_let_go();
  assert_false(tpo_file_exists(in_folder("w.h5")));
}

static void a_failed_read_is_no_damage(void **state)
{
  struct tpo_samples samples;
  struct tpo_h5_reader r;
  struct tpo_error err = {0};
  int32_t k[6];
  (void)state;
  make_samples(&samples);
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), &err), 0);
  tpo_samples_free(&samples);
  assert_int_equal(tpo_h5_open(&r, in_folder("s.h5"), "samples", &err), 0);
  fail_reads(tpo_h5_disk_fd(r.disk));
  assert_int_equal(tpo_h5_get(&r, "k", TPO_H5_I32, 6, k, &err), TPO_E_IO);
  assert_non_null(strstr(err.message, "s.h5: reading failed: "));
  assert_non_null(strstr(err.message, strerror(EIO)));
  tpo_h5_reader_close(&r);
  assert_let_go();
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(a_failed_write_is_told_by_its_reason_and_the_file_is_let_go),
      IN_FOLDER(a_write_that_fails_at_the_end_leaves_no_file),
      IN_FOLDER(a_failed_read_is_no_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
