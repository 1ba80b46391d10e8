/* The bar as a terminal gets it, and the lines that take its place elsewhere; time is the test's. */
#include <fcntl.h>
#include <math.h>
#include <sys/ioctl.h>
#include <termios.h>
#include "unit.h"
#include "base/json.h"
#include "base/progress.h"

static double now;
static double test_clock(void)
{
  return now;
}

/* Standard error, as a pseudo-terminal or a pipe. */
struct caught {
  int other_end, ours, saved;
};

static struct caught catch_errors(bool terminal, int columns)
{
  struct caught c = {-1, -1, dup(STDERR_FILENO)};
  int ends[2];
  if (terminal) {
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    struct termios raw;
    c.other_end = posix_openpt(O_RDWR | O_NOCTTY);
    assert_int_equal(grantpt(c.other_end), 0);
    assert_int_equal(unlockpt(c.other_end), 0);
    c.ours = open(ptsname(c.other_end), O_RDWR | O_NOCTTY);
    assert_true(c.ours >= 0);
    assert_int_equal(tcgetattr(c.ours, &raw), 0);
    raw.c_oflag &= (tcflag_t)~OPOST; /* a newline arrives as it was written */
    assert_int_equal(tcsetattr(c.ours, TCSANOW, &raw), 0);
    assert_int_equal(ioctl(c.ours, TIOCSWINSZ, &size), 0);
  } else {
    assert_int_equal(pipe(ends), 0);
    c.other_end = ends[0];
    c.ours = ends[1];
    fcntl(c.ours, F_SETPIPE_SZ, 1 << 20);
  }
  fcntl(c.other_end, F_SETFL, O_NONBLOCK);
  dup2(c.ours, STDERR_FILENO);
  now = 1000;
  return c;
}

/* What was written since the last time; free() it. */
static char *take(const struct caught *c)
{
  struct tpo_buf text = {0};
  char bytes[4096];
  ssize_t n;
  tpo_buf_append(&text, "", 0);
  while ((n = read(c->other_end, bytes, sizeof bytes)) > 0) tpo_buf_append(&text, bytes, (size_t)n);
  return text.data ? text.data : strdup("");
}

static void release(struct caught *c)
{
  dup2(c->saved, STDERR_FILENO);
  close(c->saved);
  close(c->ours);
  close(c->other_end);
}

static void tell(struct progress *p, const char *phase, double done, double total)
{
  progress_update(p, &(struct tpo_progress){phase, "tokens", done, total, "7 of 9 prompts"});
}

static int count(const char *text, const char *part)
{
  int n = 0;
  for (; (text = strstr(text, part)); text += strlen(part)) n++;
  return n;
}

#define BAR "sampling   [###############...............]  50 %  5 tokens/s  10 s left  7 of 9 prompts"

static void a_log_line_begins_where_the_bar_was(void **state)
{
  (void)state;
  struct caught c = catch_errors(true, 120);
  struct progress p;
  progress_begin(&p, PROGRESS_BAR, STDERR_FILENO, test_clock);
  tell(&p, "sampling", 0, 100);
  now += 10;
  tell(&p, "sampling", 50, 100);
  free(take(&c));
  tpo_log(TPO_LOG_WARN, "mind the gap");
  char *text = take(&c);
  assert_string_equal(text, "\r\033[Kwarning: mind the gap\n" BAR);
  free(text);
  tpo_log_setup(TPO_LOG_WARN, false, 0);
  tpo_log(TPO_LOG_INFO, "nothing is written, so nothing moves");
  tpo_log_setup(TPO_LOG_INFO, false, 0);
  progress_end(&p);
  tpo_log(TPO_LOG_INFO, "bye");
  text = take(&c);
  assert_string_equal(text, "\r\033[Kbye\n");
  free(text);
  release(&c);
}

static void other_output_gets_a_clean_line_too(void **state)
{
  (void)state;
  struct caught c = catch_errors(true, 120);
  struct progress p;
  progress_begin(&p, PROGRESS_BAR, STDERR_FILENO, test_clock);
  progress_hide(&p); /* before anything is drawn */
  progress_show(&p);
  char *text = take(&c);
  assert_string_equal(text, "");
  free(text);
  tell(&p, "sampling", 0, 100);
  now += 10;
  tell(&p, "sampling", 50, 100);
  free(take(&c));
  progress_hide(&p);
  progress_hide(&p);
  text = take(&c);
  assert_string_equal(text, "\r\033[K");
  free(text);
  progress_show(&p);
  progress_show(&p);
  text = take(&c);
  assert_string_equal(text, BAR);
  free(text);
  progress_end(&p);
  progress_end(&p);
  text = take(&c);
  assert_string_equal(text, "\r\033[K");
  free(text);
  release(&c);
}

static void a_finished_bar_does_not_come_back_after_a_log_line(void **state)
{
  (void)state;
  struct caught c = catch_errors(true, 120);
  struct progress p;
  progress_begin(&p, PROGRESS_BAR, STDERR_FILENO, test_clock);
  tell(&p, "sampling", 100, 100);
  char *text = take(&c);
  assert_contains(text, "100 %");
  free(text);
  tpo_log(TPO_LOG_INFO, "100 tokens");
  tpo_log(TPO_LOG_INFO, "written");
  text = take(&c);
  assert_string_equal(text, "\r\033[K100 tokens\nwritten\n");
  free(text);
  tell(&p, "judging", 0, 10);
  text = take(&c);
  assert_memory_equal(text, "judging", 7);
  free(text);
  progress_end(&p);
  release(&c);
}

static void a_bar_is_full_at_the_end_alone(void **state)
{
  (void)state;
  struct caught c = catch_errors(true, 120);
  struct progress p;
  progress_begin(&p, PROGRESS_BAR, STDERR_FILENO, test_clock);
  tell(&p, "sampling", 99999, 100000);
  char *text = take(&c);
  assert_contains(text, "[#############################.]  99 %");
  free(text);
  tell(&p, "sampling", 100000, 100000); /* at once */
  text = take(&c);
  assert_contains(text, "[##############################] 100 %");
  free(text);
  progress_end(&p);
  release(&c);
}

static void a_bar_is_no_wider_than_the_terminal(void **state)
{
  (void)state;
  static const int columns[] = {200, 80, 61, 40, 12, 1};
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
    struct caught c = catch_errors(true, columns[i]);
    struct progress p;
    progress_begin(&p, PROGRESS_BAR, STDERR_FILENO, test_clock);
    tell(&p, "sampling", 0, 1e6);
    now += 1;
    tell(&p, "sampling", 4e4, 1e6);
    progress_hide(&p);
    free(take(&c));
    progress_show(&p);
    char *text = take(&c);
    assert_true(strlen(text) < (size_t)columns[i]);
    if (columns[i] >= 80) assert_contains(text, "7 of 9 prompts");
    free(text);
    progress_end(&p);
    release(&c);
  }
}

static void a_bar_is_drawn_ten_times_a_second_at_most(void **state)
{
  (void)state;
  struct caught c = catch_errors(true, 80);
  struct progress p;
  progress_begin(&p, PROGRESS_BAR, STDERR_FILENO, test_clock);
  tell(&p, "sampling", 0, 1e6);
  free(take(&c));
  for (int i = 1; i <= 200; i++) {
    now += 0.01;
    tell(&p, "sampling", i, 1e6);
  }
  char *text = take(&c);
  assert_in_range(count(text, "sampling"), 15, 20);
  free(text);
  progress_end(&p);
  release(&c);
}

static void quiet_is_quiet(void **state)
{
  (void)state;
  struct caught c = catch_errors(true, 80);
  struct progress p;
  progress_begin(&p, PROGRESS_NONE, STDERR_FILENO, test_clock);
  for (int i = 0; i <= 100; i++, now += 10) tell(&p, "sampling", i, 100);
  progress_show(&p);
  progress_end(&p);
  char *text = take(&c);
  assert_string_equal(text, "");
  free(text);
  release(&c);
}

/* The lines of a phase of `seconds`, told `often` times a second. */
static char *lines_of(double seconds, double often, double total)
{
  struct caught c = catch_errors(false, 0);
  struct progress p;
  struct tpo_buf text = {0};
  progress_begin(&p, PROGRESS_LINES, STDERR_FILENO, test_clock);
  double begin = now;
  tpo_buf_append(&text, "", 0);
  for (double i = 0; i <= seconds * often; i++) {
    now = begin + i / often;
    double share = i / (seconds * often);
    tell(&p, "sampling", total > 0 ? floor(share * total) : i, total);
    char *some = take(&c);
    tpo_buf_append(&text, some, strlen(some));
    free(some);
  }
  progress_end(&p);
  release(&c);
  return text.data;
}

static void lines_are_few(void **state)
{
  (void)state;
  static const struct {
    double seconds, often;
    int least, most;
  } cases[] = {
      {1.9, 10, 0, 0},           /* short: none */
      {10, 10, 4, 6},            /* each 2 seconds, much being done in them */
      {100, 10, 20, 21},         /* each twentieth */
      {600, 10, 60, 80},         /* each 10 seconds */
      {86400, 0.25, 1400, 1600}, /* a day: each minute */
      {1000, 0.01, 10, 10},      /* none but where something was told */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text = lines_of(cases[i].seconds, cases[i].often, 1e6);
    assert_in_range(count(text, "\n"), cases[i].least, cases[i].most);
    assert_int_equal(count(text, "100 %"), count(text, "\n") > 0); /* the end, where there was a line */
    free(text);
  }
  char *text = lines_of(100, 10, 0); /* what the total is, nobody knows */
  assert_int_equal(count(text, "\n"), 10);
  assert_contains(text, "sampling: 100 tokens, 10 tokens/s; 7 of 9 prompts\n");
  free(text);
}

static void a_line_tells_all(void **state)
{
  (void)state;
  struct caught c = catch_errors(false, 0);
  struct progress p;
  progress_begin(&p, PROGRESS_LINES, STDERR_FILENO, test_clock);
  tell(&p, "sampling", 100, 1000); /* a state was taken up: nothing of it was done now */
  now += 10;
  tell(&p, "sampling", 100, 1000); /* nothing moved */
  now += 1;
  tell(&p, "sampling", 125, 1000);
  char *text = take(&c);
  assert_string_equal(text,
                      "sampling: 12 %, 125 of 1000 tokens, 2.27 tokens/s, 6 min left; 7 of 9 prompts\n");
  free(text);
  tell(&p, "training", 0, 10); /* another phase counts anew */
  now += 4;
  tell(&p, "training", 1, 10);
  text = take(&c);
  assert_string_equal(text, "training: 10 %, 1 of 10 tokens, 0.25 tokens/s, 36 s left; 7 of 9 prompts\n");
  free(text);
  release(&c);
}

static void a_json_line_has_numbers(void **state)
{
  (void)state;
  struct caught c = catch_errors(false, 0);
  struct progress p;
  progress_begin(&p, PROGRESS_LINES, STDERR_FILENO, test_clock);
  tpo_log_setup(TPO_LOG_INFO, true, 0);
  tell(&p, "judging", 0, 400);
  now += 10;
  tell(&p, "judging", 100, 400);
  tell(&p, "drafting", 1, 0);
  now += 10;
  tell(&p, "drafting", 2, 0);
  tpo_log_setup(TPO_LOG_INFO, false, 0);
  char *text = take(&c), *rest = strchr(text, '\n') + 1;
  json_t *line = tpo_json_parse(text, (size_t)(rest - text), "log", NULL);
  assert_string_equal(json_string_value(json_object_get(line, "phase")), "judging");
  assert_string_equal(json_string_value(json_object_get(line, "unit")), "tokens");
  assert_string_equal(json_string_value(json_object_get(line, "level")), "info");
  assert_true(json_number_value(json_object_get(line, "done")) == 100);
  assert_true(json_number_value(json_object_get(line, "total")) == 400);
  assert_true(json_number_value(json_object_get(line, "rate")) == 10);
  assert_true(json_number_value(json_object_get(line, "seconds_left")) == 30);
  json_decref(line);
  line = tpo_json_parse(rest, strlen(rest), "log", NULL);
  assert_true(json_is_null(json_object_get(line, "total")));
  assert_true(json_is_null(json_object_get(line, "seconds_left")));
  json_decref(line);
  free(text);
  release(&c);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_log_line_begins_where_the_bar_was),
      cmocka_unit_test(other_output_gets_a_clean_line_too),
      cmocka_unit_test(a_finished_bar_does_not_come_back_after_a_log_line),
      cmocka_unit_test(a_bar_is_full_at_the_end_alone),
      cmocka_unit_test(a_bar_is_no_wider_than_the_terminal),
      cmocka_unit_test(a_bar_is_drawn_ten_times_a_second_at_most),
      cmocka_unit_test(quiet_is_quiet),
      cmocka_unit_test(lines_are_few),
      cmocka_unit_test(a_line_tells_all),
      cmocka_unit_test(a_json_line_has_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
