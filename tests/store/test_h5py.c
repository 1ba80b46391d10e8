/* Another reader's word on our files: runs h5py_reads.py with the Python that TPO_PYTHON names. */
#include "store/hdf5_files.h"
#include <sys/wait.h>

static void h5py_reads_every_kind_of_file(void **state)
{
  (void)state;
  const char *python = getenv("TPO_PYTHON");
  struct tpo_samples samples;
  struct tpo_pairs pairs;
  char command[1024];
  if (!python) skip();
  make_samples(&samples);
  assert_int_equal(tpo_samples_write(&samples, in_folder("samples.h5"), NULL), 0);
  samples.is_scored = true;
  assert_int_equal(tpo_samples_write(&samples, in_folder("scored.h5"), NULL), 0);
  samples.rows[5].step = 2;
  assert_int_equal(tpo_samples_write(&samples, in_folder("steps.h5"), NULL), 0);
  tpo_samples_free(&samples);
  assert_int_equal(tpo_samples_write(&samples, in_folder("empty.h5"), NULL), 0);
  make_pairs(&pairs);
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("pairs.h5"), NULL), 0);
  tpo_pairs_free(&pairs);
  write_small_checkpoint(in_folder("checkpoint.h5"));
  snprintf(command, sizeof command, "'%s' '%s' '%s'/*.h5", python,
           TPO_SOURCE_DIR "/tests/store/h5py_reads.py", folder);
  int status = system(command);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
  assert_int_equal(status, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(h5py_reads_every_kind_of_file, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
