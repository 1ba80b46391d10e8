/* Ranks of a host see each other before MPI is there, and what is told of those that are missing. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit.h"
#include "comm/launch.h"

static void set_launcher(const char *rank, const char *size, const char *local_size)
{
  setenv("OMPI_COMM_WORLD_RANK", rank, 1);
  setenv("OMPI_COMM_WORLD_SIZE", size, 1);
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", local_size, 1);
  char job[32];
  snprintf(job, sizeof job, "test-%d", (int)getppid());
  setenv("PMIX_NAMESPACE", job, 1);
}

static void the_launcher_s_numbers_are_read(void **state)
{
  (void)state;
  struct comm_launch launch;
  struct tpo_error err = {0};
  set_launcher("2", "5", "3");
  assert_int_equal(comm_launch_read(&launch, &err), 0);
  assert_true(launch.started && launch.job != 0);
  assert_int_equal(launch.rank, 2);
  assert_int_equal(launch.size, 5);
  assert_int_equal(launch.local_size, 3);
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "many", 1);
  assert_int_equal(comm_launch_read(&launch, &err), 0);
  assert_int_equal(launch.local_size, 0);
}

/* A process that announces itself as rank 1 and stays. */
static pid_t start_rank_1(void)
{
  int ready[2];
  assert_int_equal(pipe(ready), 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct comm_launch launch;
    comm_launch_read(&launch, NULL);
    launch.rank = 1;
    comm_launch_announce(&launch);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char byte;
  assert_int_equal(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  return pid;
}

static enum comm_presence look_until(const struct comm_launch *launch, enum comm_presence expected)
{
  struct comm_seen seen = {0};
  for (int i = 0; i < 500; i++) {
    seen = comm_launch_look(launch, 1);
    if (seen.presence == expected) break;
    usleep(10000);
  }
  return seen.presence;
}

static void a_rank_is_seen_while_it_lives(void **state)
{
  (void)state;
  struct comm_launch launch;
  struct tpo_error err = {0};
  set_launcher("0", "2", "2");
  assert_int_equal(comm_launch_read(&launch, &err), 0);
  assert_int_equal(comm_launch_look(&launch, 0).presence, COMM_PRESENT); /* itself */
  assert_int_equal(comm_launch_look(&launch, 1).presence, COMM_ABSENT);
  pid_t pid = start_rank_1();
  assert_int_equal(look_until(&launch, COMM_PRESENT), COMM_PRESENT);
  assert_int_equal(comm_launch_look(&launch, 1).pid, pid);
  kill(pid, SIGSTOP);
  assert_int_equal(look_until(&launch, COMM_STOPPED), COMM_STOPPED);
  launch.job++; /* another job on the same host */
  assert_int_equal(comm_launch_look(&launch, 1).presence, COMM_ABSENT);
  launch.job--;
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  assert_int_equal(comm_launch_look(&launch, 1).presence, COMM_ABSENT);
}

static void a_rank_that_withdrew_is_not_seen(void **state)
{
  (void)state;
  struct comm_launch launch, other;
  struct tpo_error err = {0};
  set_launcher("1", "2", "2");
  assert_int_equal(comm_launch_read(&launch, &err), 0);
  other = launch;
  other.rank = 0;
  comm_launch_announce(&launch);
  assert_true(launch.announced >= 0);
  assert_int_equal(comm_launch_look(&other, 1).presence, COMM_PRESENT);
  comm_launch_withdraw(&launch);
  assert_int_equal(comm_launch_look(&other, 1).presence, COMM_ABSENT);
  comm_launch_withdraw(&launch);
}

/* seen: a letter a rank: P present, S stopped (process 7), B blocked (process 8), . absent. */
static const char *explain(const char *seen, int local_size, uint64_t job, bool *here)
{
  static char out[1024];
  struct comm_launch launch = {.size = (long)strlen(seen), .rank = 0, .local_size = local_size, .job = job};
  struct comm_seen ranks[32] = {0};
  struct tpo_buf text = {0};
  for (size_t r = 0; seen[r]; r++)
    ranks[r] = seen[r] == 'P'   ? (struct comm_seen){COMM_PRESENT, 6}
               : seen[r] == 'S' ? (struct comm_seen){COMM_STOPPED, 7}
               : seen[r] == 'B' ? (struct comm_seen){COMM_BLOCKED, 8}
                                : (struct comm_seen){COMM_ABSENT, 0};
  *here = comm_launch_explain(&launch, ranks, "b07", 60, &text);
  snprintf(out, sizeof out, "%s", text.data);
  tpo_buf_free(&text);
  return out;
}

static void who_is_missing_is_told_as_far_as_it_is_known(void **state)
{
  (void)state;
  static const struct {
    const char *seen;
    int local_size;
    uint64_t job;
    bool here;
    const char *part;
  } cases[] = {
      {"P.", 2, 1, true,
       "the 2 ranks were not together within 60 seconds (run.start_deadline): rank 1 did not come, on host b07; "},
      {"P..P", 4, 1, true, ": ranks 1, 2 did not come, on host b07; "},
      {"P...................", 20, 1, true,
       ": ranks 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 and 3 more did not come"},
      {"PSP", 3, 1, true, ": rank 1 (process 7) on host b07 is stopped by a signal or a debugger"},
      {"PSB.", 4, 1, true,
       ": rank 1 (process 7) on host b07 is stopped by a signal or a debugger, rank 2 (process 8) on host "
       "b07 is waiting for a disk or a network file system"},
      {"PSS", 3, 1, true, ": ranks 1 (process 7), 2 (process 7) on host b07 are stopped"},
      {"PP..", 3, 1, true, ": of the 3 ranks on host b07 only ranks 0, 1 came; "},
      {"PP..", 2, 1, false, ": all 2 of host b07 came, so that one of another host is missing; "},
      {"PP", 2, 1, false, ": all came, on host b07, but MPI did not connect them; "},
      {"PP..", 0, 1, false, ": ranks 0, 1 came on host b07, of the others nothing is known here; "},
      {"P...", 4, 0, false, ": one on host b07 waited for the others, of which nothing is known"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bool here;
    const char *text = explain(cases[i].seen, cases[i].local_size, cases[i].job, &here);
    assert_contains(text, cases[i].part);
    assert_int_equal(here, cases[i].here);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_launcher_s_numbers_are_read),
      cmocka_unit_test(a_rank_is_seen_while_it_lives),
      cmocka_unit_test(a_rank_that_withdrew_is_not_seen),
      cmocka_unit_test(who_is_missing_is_told_as_far_as_it_is_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
