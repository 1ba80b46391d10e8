/* Without a launcher there is one rank and no MPI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <mpi.h>
#include "comm/state.h"
#include "tpo/comm.h"

static void forget_launchers(void)
{
  const char *names[] = {
      "OMPI_COMM_WORLD_SIZE", "PMIX_RANK",           "PMI_RANK", "PMI_SIZE", "SLURM_PROCID",
      "SLURM_NTASKS",         "SLURM_STEP_NUM_TASKS"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
}

static void started_alone_mpi_is_not_initialised(void **state)
{
  (void)state;
  forget_launchers();
  struct tpo_comm *comm;
  assert_int_equal(tpo_comm_open(&comm, 10, NULL), 0);
  int initialised = 1;
  MPI_Initialized(&initialised);
  assert_false(initialised);
  assert_int_equal(tpo_comm_size(comm), 1);
  assert_int_equal(tpo_comm_rank(comm), 0);
  assert_string_equal(tpo_comm_describe(comm), "1 rank");
  tpo_comm_abort(comm, 3); /* returns */
  float x[3] = {1, 2, 3};
  assert_int_equal(comm_allreduce_sum_f32(comm, x, 3, NULL), 0);
  assert_true(x[0] == 1 && x[1] == 2 && x[2] == 3);
  struct tpo_error err = {0};
  tpo_fail(&err, TPO_E_IO, "no space");
  assert_int_equal(tpo_comm_agree(comm, TPO_E_IO, &err), TPO_E_IO);
  assert_string_equal(err.message, "no space");
  void *all;
  size_t len;
  assert_int_equal(tpo_comm_gather_bytes(comm, "abc", 3, &all, &len, NULL), 0);
  assert_int_equal(len, 3);
  assert_memory_equal(all, "abc", 3);
  free(all);
  tpo_comm_close(comm);
}

static void alone_in_a_launcher_waits_for_nobody(void **state)
{
  (void)state;
  forget_launchers();
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  setenv("PMIX_RANK", "0", 1);
  struct tpo_comm *comm;
  assert_int_equal(tpo_comm_open_alone(&comm, NULL), 0);
  int initialised = 1;
  MPI_Initialized(&initialised);
  assert_false(initialised);
  assert_int_equal(tpo_comm_size(comm), 1);
  assert_int_equal(tpo_comm_agree(comm, 0, NULL), 0);
  tpo_comm_close(comm);
}

static void a_batch_script_of_slurm_is_alone(void **state)
{
  (void)state;
  forget_launchers();
  setenv("SLURM_PROCID", "0", 1);
  setenv("SLURM_NTASKS", "4", 1);
  struct tpo_comm *comm;
  assert_int_equal(tpo_comm_open(&comm, 10, NULL), 0);
  assert_int_equal(tpo_comm_size(comm), 1);
  tpo_comm_close(comm);
}

static void srun_without_pmix_is_refused(void **state)
{
  (void)state;
  forget_launchers();
  setenv("SLURM_PROCID", "1", 1);
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  struct tpo_comm *comm;
  struct tpo_error err = {0};
  assert_int_equal(tpo_comm_open(&comm, 10, &err), TPO_E_USAGE);
  assert_non_null(strstr(err.message, "--mpi=pmix"));
  assert_null(comm);
}

static void a_deadline_below_a_second_is_refused(void **state)
{
  (void)state;
  struct tpo_comm *comm;
  assert_int_equal(tpo_comm_open(&comm, 0, NULL), TPO_E_USAGE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(started_alone_mpi_is_not_initialised),
      cmocka_unit_test(alone_in_a_launcher_waits_for_nobody),
      cmocka_unit_test(a_batch_script_of_slurm_is_alone),
      cmocka_unit_test(srun_without_pmix_is_refused),
      cmocka_unit_test(a_deadline_below_a_second_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
