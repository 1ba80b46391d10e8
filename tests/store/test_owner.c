/* One process in a folder at a time, without locks. */
#include "unit.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include "base/clock.h"
#include "base/file.h"
#include "store/owner.h"
#include "store/owner_text.h"

static const struct owner_pace pace = {.period = 0.05, .watch = 0.5, .settle = 0.2};
static const struct owner_pace patient = {.period = 0.05, .watch = 60, .settle = 0.2};

static void nap(double seconds)
{
  struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&time, NULL);
}

static char *path_in(const char *folder, const char *name)
{
  static char path[4096];
  struct tpo_error err = {0};
  assert_int_equal(tpo_path_join(path, sizeof path, folder, name, &err), 0);
  return path;
}

static void put(const char *folder, const char *text)
{
  FILE *f = fopen(path_in(folder, OWNER_FILE), "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

/* The file of a process as it would be with these changes. */
static void put_other(const char *folder, const char *host, long long pid, long long later)
{
  char text[OWNER_TEXT];
  struct owner_text other;
  struct tpo_error err = {0};
  assert_int_equal(owner_text_of_self(&other, &err), 0);
  if (host) snprintf(other.host, sizeof other.host, "%s", host);
  if (pid) other.pid = pid;
  other.started += later;
  owner_text_write(&other, text);
  put(folder, text);
}

static bool get(const char *folder, struct owner_text *out)
{
  struct tpo_buf text = {0};
  bool found = tpo_read_file(path_in(folder, OWNER_FILE), OWNER_TEXT, &text, NULL) == 0;
  tpo_buf_append(&text, "", 1);
  found = found && owner_text_read(out, text.data);
  tpo_buf_free(&text);
  return found;
}

static double claim(const char *folder, const struct owner_pace *how, struct owner **owner)
{
  struct tpo_error err = {0};
  double begin = tpo_seconds();
  if (owner_claim(owner, folder, how, &err) < 0) fail_msg("%s", err.message);
  return tpo_seconds() - begin;
}

static void expect_refused(const char *folder, const struct owner_pace *how, int code, const char *words)
{
  struct tpo_error err = {0};
  struct owner *owner;
  assert_int_equal(owner_claim(&owner, folder, how, &err), code);
  assert_null(owner);
  if (!strstr(err.message, words)) fail_msg("%s\nlacks: %s", err.message, words);
}

static void a_claim_stands_in_the_file_and_its_heart_beats(void **state)
{
  struct owner *owner;
  struct owner_text first, then;
  char host[256] = "", who[400], expected[400];
  claim(*state, &pace, &owner);
  assert_true(get(*state, &first));
  gethostname(host, sizeof host - 1);
  assert_string_equal(first.host, host);
  assert_int_equal(first.pid, getpid());
  assert_true(owner_tell(*state, who));
  snprintf(expected, sizeof expected, "pid %d on host %s, whose heartbeat is ", (int)getpid(), host);
  assert_contains(who, expected);
  double begin = tpo_seconds();
  do {
    nap(0.02);
    assert_true(tpo_seconds() - begin < 20);
  } while (!get(*state, &then) || then.beat < first.beat + 2);
  assert_string_equal(then.token, first.token);
  owner_release(owner);
  assert_false(tpo_file_exists(path_in(*state, OWNER_FILE)));
  assert_false(owner_tell(*state, who));
  owner_release(NULL);
}

static void a_living_process_of_this_host_is_refused_at_once(void **state)
{
  struct owner *owner;
  char words[100];
  claim(*state, &pace, &owner);
  double begin = tpo_seconds();
  snprintf(words, sizeof words, "another process is running in this folder, pid %d on host ", (int)getpid());
  expect_refused(*state, &patient, TPO_E_USAGE, words);
  assert_true(tpo_seconds() - begin < 30);
  assert_true(get(*state, &(struct owner_text){0}));
  owner_release(owner);
}

static void a_process_of_this_host_that_has_ended_is_followed_at_once(void **state)
{
  struct owner *owner;
  struct owner_text now;
  pid_t child = fork();
  if (child == 0) {
    if (owner_claim(&owner, *state, &pace, NULL) == 0) raise(SIGKILL);
    _exit(1);
  }
  double begin = tpo_seconds(); /* a zombie for now, as mpirun's are for a while */
  while (!get(*state, &now) || kill(child, 0) < 0) assert_true(tpo_seconds() - begin < 20);
  siginfo_t info;
  assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
  assert_true(claim(*state, &patient, &owner) < 30);
  assert_true(get(*state, &now) && now.pid == getpid());
  owner_release(owner);
  waitpid(child, NULL, 0);
  put_other(*state, NULL, child, 0);
  assert_true(claim(*state, &patient, &owner) < 30);
  owner_release(owner);
  put_other(*state, NULL, getppid(), -7); /* the number is another process's now */
  assert_true(claim(*state, &patient, &owner) < 30);
  owner_release(owner);
}

static void a_heart_that_does_not_beat_is_taken_over_after_the_watch(void **state)
{
  static const char *const damaged[] = {
      "",
      "{",
      "[]",
      "{\"beat\":1,\"pid\":1}",
      "\xff\xfe",
      "null\n",
      "{\"beat\":1,\"pid\":-1,\"started\":1,\"token\":\"a\",\"place\":\"b\",\"host\":\"c\"}"};
  struct owner *owner;
  struct owner_text now;
  put_other(*state, "elsewhere", 0, 0);
  assert_true(claim(*state, &pace, &owner) >= pace.watch);
  assert_true(get(*state, &now) && now.pid == getpid() && strcmp(now.host, "elsewhere") != 0);
  owner_release(owner);
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    put(*state, damaged[i]);
    assert_true(claim(*state, &pace, &owner) >= pace.watch);
    assert_true(get(*state, &now));
    owner_release(owner);
  }
}

static void a_heart_that_beats_elsewhere_is_refused(void **state)
{
  char text[OWNER_TEXT];
  struct owner_text other;
  struct tpo_error err = {0};
  assert_int_equal(owner_text_of_self(&other, &err), 0);
  strcpy(other.host, "b0\n7");
  other.pid = 4711;
  owner_text_write(&other, text);
  put(*state, text);
  pid_t child = fork();
  if (child == 0)
    for (;; nap(0.1)) {
      int fd = open(path_in(*state, OWNER_FILE), O_WRONLY);
      other.beat++;
      size_t len = owner_text_write(&other, text);
      if (fd < 0 || pwrite(fd, text, len, 0) != (ssize_t)len) _exit(1);
      close(fd);
    }
  expect_refused(*state, &patient, TPO_E_USAGE,
                 "pid 4711 on host b0\\n7, whose heartbeat is 0 s old; name another --run-dir");
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

static void of_many_that_take_over_one_stays(void **state)
{
  enum { N = 5 };
  pid_t children[N];
  int owners = 0;
  put_other(*state, "elsewhere", 0, 0);
  for (int i = 0; i < N; i++)
    if ((children[i] = fork()) == 0) {
      struct owner *owner;
      int status = owner_claim(&owner, *state, &pace, NULL);
      if (status == 0) nap(5); /* the others look at it meanwhile */
      if (status == 0) owner_release(owner);
      _exit(status == 0 ? 0 : status == TPO_E_USAGE ? 1 : 2);
    }
  for (int i = 0; i < N; i++) {
    int status;
    waitpid(children[i], &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    owners += WEXITSTATUS(status) == 0;
  }
  assert_int_equal(owners, 1);
  assert_false(tpo_file_exists(path_in(*state, OWNER_FILE)));
}

static void an_owner_that_was_replaced_stops(void **state)
{
  struct owner *owner;
  struct owner_text now;
  int status;
  pid_t child = fork(); /* since what asks to stop is never taken back */
  if (child == 0) {
    if (owner_claim(&owner, *state, &pace, NULL) < 0) _exit(1);
    put_other(*state, "elsewhere", 0, 0);
    for (int i = 0; i < 1000 && !tpo_interrupted(); i++) nap(0.02);
    owner_release(owner);
    _exit(tpo_interrupted() == SIGTERM ? 0 : 2);
  }
  waitpid(child, &status, 0);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  assert_true(get(*state, &now));
  assert_string_equal(now.host, "elsewhere");
}

static void a_file_that_was_removed_comes_back(void **state)
{
  struct owner *owner;
  struct owner_text first, now;
  claim(*state, &pace, &owner);
  assert_true(get(*state, &first));
  unlink(path_in(*state, OWNER_FILE));
  double begin = tpo_seconds();
  while (!get(*state, &now)) assert_true(tpo_seconds() - begin < 20);
  assert_string_equal(now.token, first.token);
  assert_int_equal(tpo_interrupted(), 0);
  owner_release(owner);
}

static void what_is_no_file_is_refused(void **state)
{
  char target[4200];
  snprintf(target, sizeof target, "%s/elsewhere", (const char *)*state);
  assert_int_equal(symlink(target, path_in(*state, OWNER_FILE)), 0);
  expect_refused(*state, &pace, TPO_E_IO, OWNER_FILE);
  assert_false(tpo_file_exists(target));
  unlink(path_in(*state, OWNER_FILE));
  assert_int_equal(mkfifo(path_in(*state, OWNER_FILE), 0600), 0);
  expect_refused(*state, &pace, TPO_E_IO, "expected the file of a run's owner");
  unlink(path_in(*state, OWNER_FILE));
  assert_int_equal(mkdir(path_in(*state, OWNER_FILE), 0700), 0);
  expect_refused(*state, &pace, TPO_E_IO, "expected the file of a run's owner");
  expect_refused("/no/such/folder", &pace, TPO_E_IO, "/no/such/folder/" OWNER_FILE ": can't be written");
}

static void a_text_keeps_its_length(void **state)
{
  (void)state;
  char text[OWNER_TEXT], later[OWNER_TEXT];
  struct owner_text self, again;
  struct tpo_error err = {0};
  assert_int_equal(owner_text_of_self(&self, &err), 0);
  size_t len = owner_text_write(&self, text);
  self.beat = 999999999999;
  assert_int_equal(owner_text_write(&self, later), len);
  assert_true(owner_text_read(&again, later));
  assert_true(again.beat == self.beat && again.pid == self.pid && again.started == self.started);
  assert_string_equal(again.place, self.place);
  assert_true(owner_text_is_here(&again, &self) && owner_text_is_alive(&again));
  again.started++;
  assert_false(owner_text_is_alive(&again));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(a_claim_stands_in_the_file_and_its_heart_beats),
      IN_FOLDER(a_living_process_of_this_host_is_refused_at_once),
      IN_FOLDER(a_process_of_this_host_that_has_ended_is_followed_at_once),
      IN_FOLDER(a_heart_that_does_not_beat_is_taken_over_after_the_watch),
      IN_FOLDER(a_heart_that_beats_elsewhere_is_refused),
      IN_FOLDER(of_many_that_take_over_one_stays),
      IN_FOLDER(an_owner_that_was_replaced_stops),
      IN_FOLDER(a_file_that_was_removed_comes_back),
      IN_FOLDER(what_is_no_file_is_refused),
      cmocka_unit_test(a_text_keeps_its_length),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
