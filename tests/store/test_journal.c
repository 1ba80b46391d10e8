/* What a journal was given it gives back: to the process itself, to later ones, however many files it has and wherever
 * a killed process stopped writing. */
#include "store/journal/journal.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <signal.h>
#include "store/files.h"
#include "tpo/store.h"

#define WORK "model: 12\nseed: 0\n"

static struct journal *open_ok(enum journal_use use, int rank)
{
  struct journal *journal;
  struct tpo_error err = {0};
  if (journal_open(&journal, folder, WORK, rank, use, &err) < 0) fail_msg("%s", err.message);
  return journal;
}

static void append(struct journal *journal, const char *key, const char *value)
{
  struct tpo_error err = {0};
  if (journal_append(journal, key, strlen(key), value, strlen(value), &err) < 0) fail_msg("%s", err.message);
}

static void assert_holds(struct journal *journal, const char *key, const char *value)
{
  struct journal_piece piece;
  struct tpo_error err = {0};
  int found = journal_find(journal, key, strlen(key), &piece, &err);
  if (found < 0) fail_msg("%s", err.message);
  assert_int_equal(found, value != NULL);
  if (!value) return;
  assert_int_equal(piece.len, strlen(value));
  assert_memory_equal(piece.bytes, value, piece.len);
}

static int remove_journal(void **state)
{
  struct tpo_error err = {0};
  (void)state;
  return journal_remove(folder, &err);
}

/* The one file that the journal has. */
static const char *only_file(void)
{
  static char path[512];
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  for (struct dirent *entry; (entry = readdir(dir));)
    if (entry->d_name[0] != '.') snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
  closedir(dir);
  return path;
}

static void what_was_appended_is_found_by_this_process_and_the_next(void **state)
{
  (void)state;
  struct journal *journal = open_ok(JOURNAL_READ, 0);
  assert_int_equal(count_files(folder), 0); /* none before there is something to keep */
  assert_holds(journal, "a", NULL);
  append(journal, "a", "one");
  append(journal, "b", "");
  assert_holds(journal, "a", "one");
  assert_holds(journal, "b", "");
  append(journal, "a", "two"); /* the last counts */
  assert_holds(journal, "a", "two");
  assert_int_equal(journal_size(journal), 2);
  journal_close(journal);
  journal = open_ok(JOURNAL_READ, 0);
  assert_holds(journal, "a", "two");
  assert_holds(journal, "b", "");
  assert_holds(journal, "c", NULL);
  append(journal, "c", "three");
  assert_holds(journal, "c", "three");
  journal_close(journal);
  assert_int_equal(count_files(folder), 2);
}

static int collect(void *arg, const void *key, size_t n_key, struct journal_piece piece,
                   struct tpo_error *err)
{
  (void)err;
  tpo_buf_printf(arg, "%.*s=%.*s;", (int)n_key, (const char *)key, (int)piece.len, (const char *)piece.bytes);
  return 0;
}

static void ranks_files_are_merged_by_key(void **state)
{
  (void)state;
  struct tpo_buf all = {0};
  struct tpo_error err = {0};
  struct journal *ranks[3];
  for (int i = 0; i < 3; i++) ranks[i] = open_ok(JOURNAL_WRITE, i);
  append(ranks[1], "p", "1");
  append(ranks[0], "q", "0");
  append(ranks[2], "q", "2");
  append(ranks[0], "r", "0");
  for (int i = 0; i < 3; i++) journal_close(ranks[i]);
  struct journal *journal = open_ok(JOURNAL_READ, 0);
  append(journal, "s", "of this process");
  assert_int_equal(journal_each(journal, collect, &all, &err), 0);
  assert_string_equal(all.data, "q=2;r=0;p=1;");
  tpo_buf_free(&all);
  journal_close(journal);
}

static void many_keys_are_all_found(void **state)
{
  (void)state;
  enum { MANY = 20000 };
  char key[32], value[32];
  struct journal *journal = open_ok(JOURNAL_WRITE, 0);
  for (int i = 0; i < MANY; i++) {
    snprintf(key, sizeof key, "%d", i);
    snprintf(value, sizeof value, "v%d", 3 * i);
    append(journal, key, value);
  }
  journal_close(journal);
  journal = open_ok(JOURNAL_READ, 0);
  for (int i = 0; i < MANY; i++) {
    snprintf(key, sizeof key, "%d", i);
    snprintf(value, sizeof value, "v%d", 3 * i);
    assert_holds(journal, key, value);
  }
  journal_close(journal);
}

static void write_three(struct tpo_buf *bytes)
{
  struct journal *journal = open_ok(JOURNAL_WRITE, 0);
  append(journal, "first", "alpha");
  append(journal, "second", "beta");
  append(journal, "third", "gamma");
  journal_close(journal);
  read_whole(only_file(), bytes);
}

static void put_back(const char *bytes, size_t len)
{
  struct tpo_error err = {0};
  if (tpo_write_file(only_file(), bytes, len, &err) < 0) fail_msg("%s", err.message);
}

/* Each length that a killed process can have left: the entries that are whole are there, and no other. */
static void a_file_cut_off_anywhere_gives_its_whole_entries(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  write_three(&bytes);
  size_t before = 0;
  for (size_t len = 0; len <= bytes.len; len++) {
    put_back(bytes.data, len);
    struct journal *journal = open_ok(JOURNAL_READ, 0);
    size_t n = journal_size(journal);
    assert_true(n == before || n == before + 1);
    before = n;
    if (n > 0) assert_holds(journal, "first", "alpha");
    if (n > 1) assert_holds(journal, "second", "beta");
    if (n > 2) assert_holds(journal, "third", "gamma");
    journal_close(journal);
  }
  assert_int_equal(before, 3);
  tpo_buf_free(&bytes);
}

static int is_true(void *arg, const void *key, size_t n_key, struct journal_piece piece,
                   struct tpo_error *err)
{
  static const char *const entries[][2] = {{"first", "alpha"}, {"second", "beta"}, {"third", "gamma"}};
  (void)err;
  ++*(int *)arg;
  for (int i = 0; i < 3; i++)
    if (n_key == strlen(entries[i][0]) && memcmp(key, entries[i][0], n_key) == 0 &&
        piece.len == strlen(entries[i][1]) && memcmp(piece.bytes, entries[i][1], piece.len) == 0)
      return 0;
  fail_msg("an entry that nobody wrote: %.*s", (int)n_key, (const char *)key);
  return -1;
}

static void damaged_bytes_never_become_an_entry(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  struct tpo_rng rng;
  struct tpo_error err = {0};
  int kept = 0;
  write_three(&bytes);
  tpo_rng_init(&rng, 5, 0, 0, 0);
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  for (int turn = 0; turn < 2000; turn++) {
    char *copy = malloc(bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    damage(&rng, (uint8_t *)copy, bytes.len);
    put_back(copy, bytes.len);
    free(copy);
    struct journal *journal;
    int status = journal_open(&journal, folder, WORK, 0, JOURNAL_READ, &err);
    assert_int_equal(status, 0); /* a damaged head tells nothing of its work */
    assert_int_equal(journal_each(journal, is_true, &kept, &err), 0);
    journal_close(journal);
  }
  tpo_log_setup(TPO_LOG_WARN, false, 0);
  assert_true(kept > 0);
  tpo_buf_free(&bytes);
}

static void a_damaged_value_costs_its_entry_alone(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  write_three(&bytes);
  char *at = memmem(bytes.data, bytes.len, "beta", 4);
  assert_non_null(at);
  at[2] ^= 1;
  put_back(bytes.data, bytes.len);
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  struct journal *journal = open_ok(JOURNAL_READ, 0);
  tpo_log_setup(TPO_LOG_WARN, false, 0);
  assert_holds(journal, "first", "alpha");
  assert_holds(journal, "second", NULL);
  assert_holds(journal, "third", "gamma");
  journal_close(journal);
  tpo_buf_free(&bytes);
}

static void work_of_another_kind_is_refused_by_its_line(void **state)
{
  (void)state;
  struct journal *journal = open_ok(JOURNAL_WRITE, 0), *other;
  append(journal, "a", "b");
  journal_close(journal);
  static const char *const works[][2] = {{"model: 12\nseed: 1\n", "`seed: 0` there, `seed: 1` now"},
                                         {"model: 7\nseed: 0\n", "`model: 12` there, `model: 7` now"},
                                         {"model: 12\n", "`seed: 0` there, `` now"},
                                         {WORK "k: 8\n", "`` there, `k: 8` now"}};
  for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
    struct tpo_error err = {0};
    int status = journal_open(&other, folder, works[i][0], 0, JOURNAL_READ, &err);
    assert_refused(status, err, works[i][1]);
    assert_int_equal(status, TPO_E_STATE);
    assert_null(other);
  }
}

/* On a disk that is full in the middle of an entry. */
static void fail_to_append(struct journal *journal)
{
  struct tpo_error err = {0};
  struct rlimit before, limit;
  char big[5000];
  memset(big, 'x', sizeof big);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  limit = (struct rlimit){2000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  int status = journal_append(journal, "big", 3, big, sizeof big, &err);
  setrlimit(RLIMIT_FSIZE, &before);
  assert_refused(status, err, folder);
  assert_int_equal(status, TPO_E_IO);
}

static void a_first_entry_that_fails_leaves_no_file(void **state)
{
  (void)state;
  struct journal *journal = open_ok(JOURNAL_READ, 0);
  fail_to_append(journal);
  assert_int_equal(count_files(folder), 0);
  assert_false(journal_exists(folder));
  append(journal, "b", "two");
  assert_holds(journal, "b", "two");
  journal_close(journal);
  journal = open_ok(JOURNAL_READ, 0);
  assert_int_equal(journal_size(journal), 1);
  assert_holds(journal, "b", "two");
  journal_close(journal);
}

/* What was there before stays, and what fits later is taken. */
static void a_failed_write_leaves_what_was_there(void **state)
{
  (void)state;
  struct journal *journal = open_ok(JOURNAL_READ, 0);
  append(journal, "a", "one");
  fail_to_append(journal);
  append(journal, "b", "two");
  journal_close(journal);
  journal = open_ok(JOURNAL_READ, 0);
  assert_int_equal(journal_size(journal), 2);
  assert_holds(journal, "a", "one");
  assert_holds(journal, "b", "two");
  journal_close(journal);
}

static void keys_have_bounds(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  static char key[65536];
  struct journal *journal = open_ok(JOURNAL_WRITE, 0);
  assert_refused(journal_append(journal, key, 0, "x", 1, &err), err, "a key of 0 bytes");
  assert_refused(journal_append(journal, key, sizeof key, "x", 1, &err), err, "a key of 65536 bytes");
  journal_close(journal);
}

static void removing_takes_the_journal_alone(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  assert_false(journal_exists(folder));
  struct journal *journal = open_ok(JOURNAL_WRITE, 0);
  append(journal, "a", "one");
  journal_close(journal);
  assert_true(journal_exists(folder));
  int fd = open(in_folder("notes.txt"), O_CREAT | O_WRONLY, 0666);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(journal_remove(folder, &err), 0);
  assert_false(journal_exists(folder));
  assert_int_equal(count_files(folder), 1);
  unlink(in_folder("notes.txt"));
  assert_int_equal(journal_remove(folder, &err), 0);
  assert_false(tpo_is_dir(folder));
  assert_int_equal(journal_remove(folder, &err), 0);
}

/* Nothing is read, made or removed where it leads. */
static void a_folder_that_is_a_link_is_not_followed(void **state)
{
  (void)state;
  char link[600], slash[610];
  struct tpo_error err = {0};
  struct tpo_buf bytes = {0}, after = {0};
  write_three(&bytes);
  snprintf(link, sizeof link, "%s.link", folder);
  snprintf(slash, sizeof slash, "%s/", link);
  assert_int_equal(symlink(folder, link), 0);
  const char *names[] = {link, slash};
  for (int i = 0; i < 2; i++) {
    struct journal *journal;
    for (enum journal_use use = JOURNAL_WRITE; use <= JOURNAL_READ; use++) {
      int status = journal_open(&journal, names[i], WORK, 0, use, &err);
      assert_refused(status, err, ": a link, which is not followed");
      assert_int_equal(status, TPO_E_USAGE);
      assert_null(journal);
    }
    assert_refused(journal_remove(names[i], &err), err, ": a link, which is not followed");
  }
  unlink(link);
  read_whole(only_file(), &after);
  assert_int_equal(count_files(folder), 1);
  assert_true(after.len == bytes.len && memcmp(after.data, bytes.data, bytes.len) == 0);
  assert_int_equal(symlink("nowhere", link), 0);
  assert_refused(journal_refuse_link(link, &err), err, link);
  unlink(link);
  assert_int_equal(journal_refuse_link(link, &err), 0);
  assert_int_equal(journal_refuse_link(folder, &err), 0);
  tpo_buf_free(&bytes);
  tpo_buf_free(&after);
}

/* Its folder and its files, and nothing else. */
static void a_journal_is_no_result(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_samples samples;
  struct tpo_buf bytes = {0};
  assert_int_equal(journal_refuse(folder, &err), 0);
  write_three(&bytes);
  const char *paths[] = {folder, only_file()};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(tpo_samples_read(&samples, paths[i], &err), TPO_E_USAGE);
    assert_non_null(strstr(err.message, ": a journal of unfinished work"));
    assert_int_equal(tpo_inspect(paths[i], 1, stdout, &err), TPO_E_USAGE);
    assert_non_null(strstr(err.message, ": a journal of unfinished work"));
  }
  bytes.data[0] ^= 1;
  put_back(bytes.data, bytes.len);
  assert_int_equal(journal_refuse(only_file(), &err), 0);
  tpo_buf_free(&bytes);
}

#define JOURNAL_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_journal)

static void what_a_journal_is_of_can_be_asked(void **state)
{
  (void)state;
  char begin[10];
  journal_begin_of_work(folder, begin, sizeof begin);
  assert_string_equal(begin, "");
  struct journal *journal = open_ok(JOURNAL_WRITE, 0);
  append(journal, "a", "b");
  journal_close(journal);
  journal_begin_of_work(folder, begin, sizeof begin);
  assert_string_equal(begin, "model: 12");
  journal_begin_of_work(folder, begin, 6);
  assert_string_equal(begin, "model");
}

static void one_process_at_a_time_has_a_folder(void **state)
{
  (void)state;
  int first, second;
  struct tpo_error err = {0};
  assert_int_equal(journal_lock("/nowhere/out.h5.journal", &first, &err), 0);
  assert_int_equal(first, -1);
  struct journal *journal = open_ok(JOURNAL_WRITE, 0);
  assert_int_equal(journal_lock(folder, &first, &err), 0);
  assert_true(first >= 0);
  assert_int_equal(journal_lock(folder, &second, &err), TPO_E_USAGE);
  assert_int_equal(second, -1);
  assert_non_null(strstr(err.message, folder));
  assert_non_null(strstr(err.message, "another process is at work with it"));
  close(first);
  assert_int_equal(journal_lock(folder, &second, &err), 0);
  close(second);
  journal_close(journal);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      JOURNAL_TEST(what_a_journal_is_of_can_be_asked),
      JOURNAL_TEST(what_was_appended_is_found_by_this_process_and_the_next),
      JOURNAL_TEST(ranks_files_are_merged_by_key),
      JOURNAL_TEST(many_keys_are_all_found),
      JOURNAL_TEST(a_file_cut_off_anywhere_gives_its_whole_entries),
      JOURNAL_TEST(damaged_bytes_never_become_an_entry),
      JOURNAL_TEST(a_damaged_value_costs_its_entry_alone),
      JOURNAL_TEST(work_of_another_kind_is_refused_by_its_line),
      JOURNAL_TEST(a_first_entry_that_fails_leaves_no_file),
      JOURNAL_TEST(a_failed_write_leaves_what_was_there),
      JOURNAL_TEST(keys_have_bounds),
      JOURNAL_TEST(removing_takes_the_journal_alone),
      JOURNAL_TEST(a_folder_that_is_a_link_is_not_followed),
      JOURNAL_TEST(a_journal_is_no_result),
      JOURNAL_TEST(one_process_at_a_time_has_a_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
