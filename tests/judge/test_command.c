/* The command judge: words, requests, answers, and programs that misbehave. */
#include "unit.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/json.h"
#include "judge/program/process.h"
#include "tpo/judge.h"

static const struct tpo_judge_env env = {.size = 1};

static void expect_words(const char *command, const char *const *expected)
{
  struct tpo_error err = {0};
  char **words = judge_command_words(command, &err);
  if (!words) fail_msg("%s: %s", command, err.message);
  size_t i = 0;
  for (; expected[i]; i++) assert_string_equal(words[i], expected[i]);
  assert_null(words[i]);
  free(words);
}

static void a_command_is_split_as_a_shell_would(void **state)
{
  (void)state;
  expect_words("judge", (const char *[]){"judge", NULL});
  expect_words("  a b\t c\n", (const char *[]){"a", "b", "c", NULL});
  expect_words("a 'b  c' \"d e\"", (const char *[]){"a", "b  c", "d e", NULL});
  expect_words("a'b'\"c\"d", (const char *[]){"abcd", NULL});
  expect_words("a '' \"\"", (const char *[]){"a", "", "", NULL});
  expect_words("a\\ b \\'c", (const char *[]){"a b", "'c", NULL});
  expect_words("a 'b\\' \"c\\\"d\\\\e\\f\"", (const char *[]){"a", "b\\", "c\"d\\e\\f", NULL});
  expect_words("a $HOME * | ;", (const char *[]){"a", "$HOME", "*", "|", ";", NULL});
}

static bool has_variable(char *const *environment, const char *name)
{
  size_t len = strlen(name);
  for (; *environment; environment++)
    if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=') return true;
  return false;
}

static void environment_has_nothing_that_tells_a_rank_who_it_is(void **state)
{
  (void)state;
  static const char *const gone[] = {"OMPI_COMM_WORLD_RANK",
                                     "OMPI_MCA_ess_base_jobid",
                                     "PMIX_RANK",
                                     "PMI_FD",
                                     "PMI2_X",
                                     "PRTE_LAUNCHED",
                                     "HYDRA_X",
                                     "HYDI_X",
                                     "MPI_LOCALRANKID",
                                     "MV2_COMM_WORLD_RANK",
                                     "SLURM_STEP_ID",
                                     "SLURM_STEPID",
                                     "SLURM_PROCID",
                                     "SLURM_NTASKS",
                                     "SLURM_LOCALID",
                                     "SLURM_PMIX_PORT",
                                     "SLURM_CPU_BIND",
                                     "SLURM_CPU_BIND_LIST",
                                     "SECRET_NAME"};
  static const char *const there[] = {"SLURM_JOB_ID", "SLURM_NTASKS_PER_NODE", "SLURM_PROCIDS", "MPI_HOME",
                                      "PATH",         "SECRET_NAMES",          "MY_OMPI_X"};
  struct tpo_error err = {0};
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) setenv(gone[i], "1", 1);
  for (size_t i = 0; i < sizeof there / sizeof *there; i++)
    setenv(there[i], "/bin", strcmp(there[i], "PATH") != 0);
  char **environment = judge_program_environment("SECRET_NAME", &err);
  assert_non_null(environment);
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
    if (has_variable(environment, gone[i])) fail_msg("%s is there", gone[i]);
    unsetenv(gone[i]);
  }
  for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
    if (!has_variable(environment, there[i])) fail_msg("%s is gone", there[i]);
    if (strcmp(there[i], "PATH") != 0) unsetenv(there[i]);
  }
  free(environment);
}

static void a_command_without_words_or_with_an_open_quote_is_refused(void **state)
{
  (void)state;
  static const char *const commands[] = {"", "  ", "''", "a 'b", "a \"b\\\""};
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    struct tpo_error err = {0};
    assert_null(judge_command_words(commands[i], &err));
    assert_int_equal(err.code, TPO_E_USAGE);
  }
}

/* A shell script in the folder; its path to `out`. */
static void write_script(const char *folder, const char *body, char out[4096])
{
  snprintf(out, 4096, "%s/judge.sh", folder);
  FILE *f = fopen(out, "w");
  assert_non_null(f);
  fprintf(f, "#!/bin/sh\n%s\n", body);
  fclose(f);
  assert_int_equal(chmod(out, 0755), 0);
}

static void expect_refused(const char *kind, const char *words)
{
  struct tpo_judge_config config = {.kind = (char *)kind, .timeout = 5};
  struct tpo_error err = {0};
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  assert_contains(err.message, words);
}

static void a_program_that_is_not_there_is_refused(void **state)
{
  char path[4096], kind[4200];
  expect_refused("command", "no program is named");
  expect_refused("command:", "no program is named");
  expect_refused("command:no-such-program-anywhere -x", "no-such-program-anywhere");
  expect_refused("command:./no-such-file", "does not exist");
  write_script(*state, "", path);
  chmod(path, 0644);
  snprintf(kind, sizeof kind, "command:%s", path);
  expect_refused(kind, "may be executed");
  snprintf(kind, sizeof kind, "command:%s", (char *)*state);
  expect_refused(kind, "may be executed");
  struct tpo_judge_config config = {.kind = (char *)"command:sh -c true", .timeout = 5};
  assert_int_equal(tpo_judge_check(&config, NULL), 0);
}

static const char *const responses[] = {"one", NULL, "th\"r\nee"};
static const struct tpo_judge_item items[] = {
    {"a", "Say \xe2\x82\xac.", "{\"reference\":7,\"id\":\"x\",\"category\":\"math\"}", 3, responses},
    {"b", "Nothing.", NULL, 1, responses + 1},
    {"c", "More.", NULL, 1, responses},
};

/* Scores the items with a script; 5 results. */
static int score(const char *folder, const char *body, int timeout, struct tpo_judge_result results[5],
                 char **counts, struct tpo_error *err)
{
  char path[4096], kind[4200];
  write_script(folder, body, path);
  snprintf(kind, sizeof kind, "command:%s", path);
  struct tpo_judge_config config = {.kind = kind, .timeout = timeout, .key_env = (char *)"TPO_JUDGE_KEY"};
  struct tpo_judge *judge;
  if (tpo_judge_open(&judge, &config, &env, err) < 0) return err->code;
  int status = tpo_judge_score(judge, items, 3, results, err);
  if (counts) *counts = status == 0 ? tpo_judge_counts(judge) : NULL;
  tpo_judge_close(judge);
  return status;
}

static void free_results(struct tpo_judge_result results[5])
{
  for (int i = 0; i < 5; i++) free(results[i].detail);
}

#define GOOD_A                                                                                               \
  "echo '{\"id\":\"a\",\"scores\":[1.5,null],\"details\":[{\"why\":\"x\"},{\"error\":\"too long\"}]}'\n"
#define GOOD_C "echo '{\"id\":\"c\",\"scores\":[-2]}'\n"
#define LOG_REQUESTS "read a; echo \"$a\" > \"$0.log\"; " GOOD_A "read b; echo \"$b\" >> \"$0.log\"; " GOOD_C

static void answers_become_scores_and_null_a_failure(void **state)
{
  struct tpo_judge_result results[5];
  struct tpo_error err = {0};
  char *counts;
  if (score(*state, LOG_REQUESTS, 5, results, &counts, &err) < 0) fail_msg("%s", err.message);
  assert_true(results[0].ok && results[0].score == 1.5);
  assert_string_equal(results[0].detail, "{\"program\":{\"why\":\"x\"}}");
  assert_false(results[1].ok);
  assert_contains(results[1].detail, "no response");
  assert_false(results[2].ok);
  assert_string_equal(results[2].detail, "{\"error\":\"the program gave no score: too long\"}");
  assert_false(results[3].ok);
  assert_true(results[4].ok && results[4].score == -2);
  assert_string_equal(results[4].detail, "{}");
  assert_string_equal(counts, "{\"prompts\":2,\"responses\":3,\"failed\":1}");
  free(counts);
  free_results(results);
}

static void a_request_holds_the_prompt_its_fields_and_usable_responses(void **state)
{
  struct tpo_judge_result results[5];
  struct tpo_error err = {0};
  char path[4096], line[1024];
  if (score(*state, LOG_REQUESTS, 5, results, NULL, &err) < 0) fail_msg("%s", err.message);
  free_results(results);
  snprintf(path, sizeof path, "%s/judge.sh.log", (char *)*state);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_non_null(fgets(line, sizeof line, f));
  fclose(f);
  /* The shell's echo turns the escaped newline into one. */
  assert_contains(line,
                  "{\"id\":\"a\",\"instruction\":\"Say \xe2\x82\xac.\",\"reference\":7,\"category\":\"math\","
                  "\"responses\":[{\"k\":0,\"text\":\"one\"},{\"k\":2,\"text\":\"th");
}

static void expect_failure(const char *folder, const char *body, int timeout, int code, const char *words)
{
  struct tpo_judge_result results[5];
  struct tpo_error err = {0};
  int status = score(folder, body, timeout, results, NULL, &err);
  if (status == 0) fail_msg("no failure: %s", body);
  if (!strstr(err.message, words) || !strstr(err.message, "judge program '"))
    fail_msg("%s\nlacks: %s", err.message, words);
  if (strchr(err.message, '\n')) fail_msg("more than a line: %s", err.message);
  assert_int_equal(status, code);
  assert_int_equal(err.code, code);
}

static void a_wrong_answer_names_what_is_wrong(void **state)
{
  static const struct {
    const char *line, *words;
  } cases[] = {
      {"hello", "answer 1 is wrong, it: not valid JSON"},
      {"", "not valid JSON"},
      {"[1]", "it is no object"},
      {"{\"scores\":[1,2]}", "\"id\" is no string"},
      {"{\"id\":\"c\",\"scores\":[1,2]}", "\"id\" is another"},
      {"{\"id\":\"a\"}", "\"scores\" are no array"},
      {"{\"id\":\"a\",\"scores\":7}", "\"scores\" are no array"},
      {"{\"id\":\"a\",\"scores\":[1]}", "1 scores for 2 responses"},
      {"{\"id\":\"a\",\"scores\":[1,2,3]}", "3 scores for 2 responses"},
      {"{\"id\":\"a\",\"scores\":[1,\"2\"]}", "score 2 is neither a number nor null"},
      {"{\"id\":\"a\",\"scores\":[true,2]}", "score 1 is neither a number nor null"},
      {"{\"id\":\"a\",\"scores\":[NaN,2]}", "not valid JSON"},
      {"{\"id\":\"a\",\"scores\":[1e999,2]}", "not valid JSON"},
      {"{\"id\":\"a\",\"scores\":[1,-Infinity]}", "not valid JSON"},
      {"{\"id\":\"a\",\"scores\":[1e308,2]}", "score 1 is 1e+308, beyond 1e+15"},
      {"{\"id\":\"a\",\"scores\":[1,-1.5e15]}", "score 2 is -1500000000000000, beyond 1e+15"},
      {"{\"id\":\"a\",\"scores\":[1,1000000000000001]}", "score 2 is 1000000000000001, beyond 1e+15"},
      {"{\"id\":\"a\",\"scores\":[123456789012345678901234567890,2]}", "beyond 1e+15, where"},
      {"{\"id\":\"a\",\"scores\":[1,2],\"scores\":[1,2]}", "not valid JSON"},
      {"{\"id\":\"a\",\"scores\":[1,2],\"details\":{}}", "\"details\" are no array"},
      {"{\"id\":\"a\",\"scores\":[1,2],\"details\":[{}]}", "\"details\" are no array"},
      {"{\"id\":\"a\",\"scores\":[1,2],\"details\":[{},3]}", "neither an object nor null"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char body[512];
    snprintf(body, sizeof body, "read a; echo '%s'; cat > /dev/null", cases[i].line);
    expect_failure(*state, body, 5, TPO_E_INPUT, cases[i].words);
    expect_failure(*state, body, 5, TPO_E_INPUT, "it wrote: ");
  }
}

static void a_line_that_nobody_asked_for_is_an_error(void **state)
{
  expect_failure(*state, "read a; " GOOD_A "read b; printf '%s\\n' '{\"id\":\"c\",\"scores\":[-2]}' ready", 5,
                 TPO_E_INPUT, "no request asked for");
}

static void the_end_of_the_program_is_told_with_its_last_words(void **state)
{
  expect_failure(*state,
                 "read a; " GOOD_A "echo one >&2; echo two >&2; echo three >&2; echo four >&2; exit 3", 5,
                 TPO_E_IO, "exit status 3 after 1 of 2 answers; its last words: two | three | four");
  expect_failure(*state, "kill -9 $$", 5, TPO_E_IO, "signal 9 (Killed) after 0 of 2 answers");
  expect_failure(*state, "exit 0", 5, TPO_E_IO, "exit status 0 after 0 of 2");
  expect_failure(*state, "read a; printf '{\"id\"'", 5, TPO_E_IO, "in the middle of a line");
  expect_failure(*state, "exec >&-; sleep 60", 5, TPO_E_IO, "closed its standard output");
}

static void a_child_that_keeps_the_output_open_does_not_hide_the_end(void **state)
{
  expect_failure(*state, "sleep 60 2>&- & exit 4", 30, TPO_E_IO, "exit status 4");
}

static void silence_is_an_error_after_the_timeout(void **state)
{
  double start = tpo_seconds();
  expect_failure(*state, "read a; echo hm >&2; sleep 60", 1, TPO_E_IO,
                 "no answer to request 1 of 2 came within 1 s (judge.timeout)");
  expect_failure(*state, "read a; " GOOD_A "echo hm >&2; sleep 60", 1, TPO_E_IO, "its last words: hm");
  expect_failure(*state, "read a; while :; do printf x; sleep 0.1; done", 1, TPO_E_IO, "a piece of a line");
  expect_failure(*state, "exec <&-; sleep 60", 1, TPO_E_IO, "no answer to request 1");
  assert_true(tpo_seconds() - start < 20);
}

static void output_without_newlines_is_bounded(void **state)
{
  expect_failure(*state, "read a; exec tr '\\0' x < /dev/zero", 30, TPO_E_INPUT, "16 MiB without a newline");
}

static void a_program_that_does_not_end_is_ended(void **state)
{
  struct tpo_judge_result results[5];
  struct tpo_error err = {0};
  char path[4096], text[64] = "";
  double start = tpo_seconds();
  /* Neither it nor its child leaves at the end of its input or by SIGTERM. */
  int status = score(*state,
                     "trap '' TERM; sleep 100 & echo $$ $! > \"$0.pids\"; read a; " GOOD_A "read b; " GOOD_C
                     "while :; do sleep 1; done",
                     5, results, NULL, &err);
  if (status < 0) fail_msg("%s", err.message);
  free_results(results);
  assert_true(tpo_seconds() - start < 10);
  snprintf(path, sizeof path, "%s/judge.sh.pids", (char *)*state);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_non_null(fgets(text, sizeof text, f));
  fclose(f);
  int pid = 0, child = 0;
  assert_int_equal(sscanf(text, "%d %d", &pid, &child), 2);
  assert_int_equal(kill(pid, 0), -1);
  /* The child was killed too; it may take a moment to die, and whoever inherits it to reap it. */
  char how = 'R';
  snprintf(path, sizeof path, "/proc/%d/stat", child);
  for (int i = 0; i < 500 && how != 'Z'; i++, usleep(10000)) {
    f = fopen(path, "r");
    if (!f || fscanf(f, "%*d %*s %c", &how) != 1) how = 'Z';
    if (f) fclose(f);
  }
  assert_int_equal(how, 'Z');
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void the_program_gets_neither_the_key_nor_our_descriptors(void **state)
{
  struct tpo_judge_result results[5];
  struct tpo_error err = {0};
  char path[4096], text[256] = "";
  setenv("TPO_JUDGE_KEY", "secret", 1);
  setenv("TPO_JUDGE_KEY_2", "kept", 1);
  int fd = open("/dev/null", O_RDONLY), high = fcntl(fd, F_DUPFD, 100);
  signal(SIGPIPE, SIG_IGN);
  int status = score(
      *state,
      "{ echo \"<$TPO_JUDGE_KEY> $TPO_JUDGE_KEY_2\"; ls /proc/self/fd; grep SigIgn /proc/self/status; } | "
      "tr '\\n' ' ' > \"$0.seen\"; " LOG_REQUESTS,
      5, results, NULL, &err);
  signal(SIGPIPE, SIG_DFL);
  close(fd);
  close(high);
  unsetenv("TPO_JUDGE_KEY");
  if (status < 0) fail_msg("%s", err.message);
  free_results(results);
  snprintf(path, sizeof path, "%s/judge.sh.seen", (char *)*state);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_non_null(fgets(text, sizeof text, f));
  fclose(f);
  assert_contains(text, "<> kept");
  assert_null(strstr(text, " 100 "));
  assert_contains(text, "SigIgn:\t");
  assert_int_equal(strtoull(strstr(text, "SigIgn:") + 7, NULL, 16) >> (SIGPIPE - 1) & 1, 0);
}

/* With SIGPIPE as it is by default: a program that reads nothing must not end us. */
static void a_program_that_reads_nothing_is_an_error_not_our_end(void **state)
{
  size_t size = 1 << 20;
  char *big = malloc(size + 1), path[4096], kind[4200];
  assert_non_null(big);
  memset(big, 'x', size);
  big[size] = '\0';
  const char *texts[] = {big};
  struct tpo_judge_item item = {"a", "Big.", NULL, 1, texts};
  static const struct {
    const char *body, *words;
  } cases[] = {{"exit 5", "exit status 5"},
               {"exec <&-; sleep 0.3; exit 6", "exit status 6"},
               {"sleep 60", "did not read the request"},
               {"exec <&-; sleep 60", "standard input is closed"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_script(*state, cases[i].body, path);
    snprintf(kind, sizeof kind, "command:%s", path);
    struct tpo_judge_config config = {.kind = kind, .timeout = 1};
    struct tpo_judge *judge;
    struct tpo_judge_result result;
    struct tpo_error err = {0};
    assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), 0);
    assert_int_equal(tpo_judge_score(judge, &item, 1, &result, &err), TPO_E_IO);
    if (!strstr(err.message, cases[i].words)) fail_msg("%s", err.message);
    tpo_judge_close(judge);
  }
  free(big);
}

/* What this test's own program does when it is the judge: reads a line, writes one of 2 MB. */
static int answer_big(void)
{
  char *line = NULL;
  size_t capacity = 0;
  for (int n = 1; getline(&line, &capacity, stdin) > 0; n++) {
    printf("{\"id\":\"a\",\"scores\":[%d],\"details\":[{\"x\":\"", n);
    for (int i = 0; i < 2000000; i++) putchar('y');
    puts("\"}]}");
    fflush(stdout);
  }
  free(line);
  return 0;
}

/* 40 MB each way. The program reads nothing while it writes, so a judge that only wrote until all is read
 * would wait forever. */
static void big_requests_and_big_answers_do_not_wait_for_each_other(void **state)
{
  enum { N = 20 };
  size_t size = 2 << 20;
  (void)state;
  char *big = malloc(size + 1);
  assert_non_null(big);
  memset(big, 'x', size);
  big[size] = '\0';
  const char *texts[] = {big};
  struct tpo_judge_item many[N];
  struct tpo_judge_result results[N];
  struct tpo_error err = {0};
  for (int i = 0; i < N; i++) many[i] = (struct tpo_judge_item){"a", "Big.", NULL, 1, texts};
  struct tpo_judge_config config = {.kind = (char *)"command:/proc/self/exe answer-big", .timeout = 60};
  struct tpo_judge *judge;
  assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), 0);
  int status = tpo_judge_score(judge, many, N, results, &err);
  if (status < 0) fail_msg("%s", err.message);
  for (int i = 0; i < N; i++) {
    assert_true(results[i].ok && results[i].score == i + 1);
    free(results[i].detail);
  }
  tpo_judge_close(judge);
  free(big);
}

static void the_program_lives_over_calls(void **state)
{
  char path[4096], kind[4200];
  struct tpo_error err = {0};
  const char *texts[] = {"r"};
  struct tpo_judge_item item = {"a", "Once more.", NULL, 1, texts};
  write_script(
      *state,
      "n=0; while read line; do n=$((n+1)); echo \"{\\\"id\\\":\\\"a\\\",\\\"scores\\\":[$n]}\"; done", path);
  snprintf(kind, sizeof kind, "command:'%s'", path);
  struct tpo_judge_config config = {.kind = kind, .timeout = 5};
  struct tpo_judge *judge;
  assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), 0);
  struct tpo_judge_result none;
  for (int i = 1; i <= 3; i++) {
    struct tpo_judge_result result;
    if (tpo_judge_score(judge, &item, 1, &result, &err) < 0) fail_msg("%s", err.message);
    assert_true(result.ok && result.score == i);
    free(result.detail);
  }
  assert_int_equal(tpo_judge_score(judge, &item, 0, &none, &err), 0);
  tpo_judge_close(judge);
}

static void a_script_without_an_interpreter_is_told(void **state)
{
  char path[4096], kind[4200];
  write_script(*state, "", path);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs("echo hello\n", f);
  fclose(f);
  snprintf(kind, sizeof kind, "command:%s", path);
  struct tpo_judge_config config = {.kind = kind, .timeout = 5};
  struct tpo_judge *judge;
  struct tpo_error err = {0};
  assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), TPO_E_IO);
  assert_contains(err.message, "first line");
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(int argc, char **argv)
{
  if (argc == 2 && strcmp(argv[1], "answer-big") == 0) return answer_big();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_command_is_split_as_a_shell_would),
      cmocka_unit_test(environment_has_nothing_that_tells_a_rank_who_it_is),
      cmocka_unit_test(a_command_without_words_or_with_an_open_quote_is_refused),
      WITH_FOLDER(a_program_that_is_not_there_is_refused),
      WITH_FOLDER(answers_become_scores_and_null_a_failure),
      WITH_FOLDER(a_request_holds_the_prompt_its_fields_and_usable_responses),
      WITH_FOLDER(a_wrong_answer_names_what_is_wrong),
      WITH_FOLDER(a_line_that_nobody_asked_for_is_an_error),
      WITH_FOLDER(the_end_of_the_program_is_told_with_its_last_words),
      WITH_FOLDER(a_child_that_keeps_the_output_open_does_not_hide_the_end),
      WITH_FOLDER(silence_is_an_error_after_the_timeout),
      WITH_FOLDER(output_without_newlines_is_bounded),
      WITH_FOLDER(a_program_that_does_not_end_is_ended),
      WITH_FOLDER(the_program_gets_neither_the_key_nor_our_descriptors),
      WITH_FOLDER(a_program_that_reads_nothing_is_an_error_not_our_end),
      WITH_FOLDER(big_requests_and_big_answers_do_not_wait_for_each_other),
      WITH_FOLDER(the_program_lives_over_calls),
      WITH_FOLDER(a_script_without_an_interpreter_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
