/* What is told of this host and this process. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/process.h"
#include "unit.h"

static void a_host_has_the_name_that_the_system_gives_it(void **state)
{
  (void)state;
  char name[TPO_HOST_NAME], expected[TPO_HOST_NAME] = "";
  tpo_host_name(name);
  assert_int_equal(gethostname(expected, sizeof expected - 1), 0);
  assert_string_equal(name, *expected ? expected : "unknown");
}

static void a_process_is_told_by_its_state_and_start(void **state)
{
  (void)state;
  char letter;
  long long mine, theirs, again;
  assert_true(tpo_process_stat(getpid(), &letter, &mine));
  assert_int_equal(letter, 'R');
  pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  kill(child, SIGSTOP);
  waitpid(child, NULL, WUNTRACED);
  assert_true(tpo_process_stat(child, &letter, &theirs));
  assert_int_equal(letter, 'T');
  assert_true(theirs >= mine);
  kill(child, SIGKILL);
  siginfo_t info;
  waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
  assert_true(tpo_process_stat(child, &letter, &again));
  assert_int_equal(letter, 'Z');
  assert_true(again == theirs);
  waitpid(child, NULL, 0);
  assert_false(tpo_process_stat(child, &letter, &again));
  assert_false(tpo_process_stat(-1, &letter, &again));
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_host_has_the_name_that_the_system_gives_it),
                                     cmocka_unit_test(a_process_is_told_by_its_state_and_start)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
