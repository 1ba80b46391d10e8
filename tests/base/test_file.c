/* Mapped files, lines of plain and gzip files, atomic writing. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <zlib.h>
#include "unit.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/lost_map.h"

static const char *in(void **state, const char *name)
{
  static char path[4][4200];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf(path[turn], sizeof path[turn], "%s/%s", (char *)*state, name);
  return path[turn];
}

static void put(const char *path, const char *bytes, size_t len)
{
  struct tpo_error err = {0};
  if (tpo_write_file(path, bytes, len, &err) < 0) fail_msg("%s", err.message);
}

static void put_gzip(const char *path, const char *bytes, size_t len)
{
  gzFile gz = gzopen(path, "wb");
  assert_int_equal(gzwrite(gz, bytes, (unsigned)len), (int)len);
  assert_int_equal(gzclose(gz), Z_OK);
}

static void map_gives_the_bytes(void **state)
{
  struct tpo_error err = {0};
  struct tpo_map map;
  put(in(state, "a"), "abc\0d", 5);
  assert_int_equal(tpo_map_open(&map, in(state, "a"), &err), 0);
  assert_int_equal(map.size, 5);
  assert_memory_equal(map.data, "abc\0d", 5);
  tpo_map_close(&map);
  put(in(state, "empty"), "", 0);
  assert_int_equal(tpo_map_open(&map, in(state, "empty"), &err), 0);
  assert_int_equal(map.size, 0);
  tpo_map_close(&map);
  assert_int_equal(tpo_map_open(&map, in(state, "absent"), &err), TPO_E_USAGE);
  assert_contains(err.message, "absent");
  assert_int_equal(tpo_map_open(&map, *state, &err), TPO_E_USAGE);
  assert_contains(err.message, "folder");
  assert_int_equal(mkfifo(in(state, "fifo"), 0600), 0);
  assert_int_equal(tpo_map_open(&map, in(state, "fifo"), &err), TPO_E_USAGE);
}

static void check_lines(const char *path)
{
  struct tpo_error err = {0};
  struct tpo_lines lines;
  assert_int_equal(tpo_lines_open(&lines, path, &err), 0);
  assert_int_equal(tpo_lines_next(&lines, &err), 1);
  assert_string_equal(lines.line.data, "first");
  assert_int_equal(tpo_lines_next(&lines, &err), 1);
  assert_int_equal(lines.line.len, 0);
  assert_int_equal(tpo_lines_next(&lines, &err), 1);
  assert_int_equal(lines.line.len, 3);
  assert_memory_equal(lines.line.data, "a\0b", 4);
  assert_int_equal(tpo_lines_next(&lines, &err), 1);
  assert_int_equal(lines.line.len, 200000);
  assert_int_equal(tpo_lines_next(&lines, &err), 1);
  assert_string_equal(lines.line.data, "no newline");
  assert_int_equal(lines.number, 5);
  assert_int_equal(tpo_lines_next(&lines, &err), 0);
  tpo_lines_close(&lines);
}

static void lines_read_plain_and_gzip_alike(void **state)
{
  static char text[200064];
  size_t len = 0;
  memcpy(text, "first\r\n\na\0b\n", 12), len = 12;
  memset(text + len, 'x', 200000), len += 200000;
  memcpy(text + len, "\nno newline", 11), len += 11;
  put(in(state, "plain"), text, len);
  put_gzip(in(state, "packed.gz"), text, len);
  check_lines(in(state, "plain"));
  check_lines(in(state, "packed.gz"));
}

static void damaged_gzip_is_an_error_not_an_end(void **state)
{
  char text[5000];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)("0123456789\nabc"[(i * i) % 14]);
  put_gzip(in(state, "whole.gz"), text, sizeof text);
  struct tpo_error err = {0};
  struct tpo_map map;
  assert_int_equal(tpo_map_open(&map, in(state, "whole.gz"), &err), 0);
  for (size_t cut = 10; cut < map.size; cut += 7) {
    struct tpo_buf buf = {0};
    put(in(state, "cut.gz"), (const char *)map.data, cut);
    assert_int_equal(tpo_read_file(in(state, "cut.gz"), 1 << 20, &buf, &err), TPO_E_INPUT);
    assert_contains(err.message, "cut.gz");
    tpo_buf_free(&buf);
  }
  char *damaged = malloc(map.size);
  memcpy(damaged, map.data, map.size);
  damaged[map.size - 6] ^= 1; /* the checksum */
  put(in(state, "bad.gz"), damaged, map.size);
  struct tpo_buf buf = {0};
  assert_int_equal(tpo_read_file(in(state, "bad.gz"), 1 << 20, &buf, &err), TPO_E_INPUT);
  tpo_buf_free(&buf);
  free(damaged);
  tpo_map_close(&map);
}

static void read_file_is_bounded(void **state)
{
  struct tpo_error err = {0};
  struct tpo_buf buf = {0};
  put(in(state, "ten"), "0123456789", 10);
  assert_int_equal(tpo_read_file(in(state, "ten"), 10, &buf, &err), 0);
  assert_string_equal(buf.data, "0123456789");
  assert_int_equal(tpo_read_file(in(state, "ten"), 9, &buf, &err), TPO_E_INPUT);
  assert_int_equal(tpo_read_file(in(state, "absent"), 9, &buf, &err), TPO_E_USAGE);
  assert_int_equal(tpo_read_file(*state, 9, &buf, &err), TPO_E_USAGE);
  tpo_buf_free(&buf);
  put(in(state, "empty"), "", 0);
  assert_int_equal(tpo_read_file(in(state, "empty"), 9, &buf, &err), 0);
  assert_string_equal(buf.data, "");
  tpo_buf_free(&buf);
}

static void atomic_write_shows_all_or_nothing(void **state)
{
  struct tpo_error err = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s", in(state, "out"));
  put(path, "old", 3);
  struct tpo_atomic file;
  assert_int_equal(tpo_atomic_begin(&file, path, &err), 0);
  put(file.temp_path, "half", 4);
  struct tpo_buf buf = {0};
  assert_int_equal(tpo_read_file(path, 100, &buf, &err), 0);
  assert_string_equal(buf.data, "old");
  char temp[4200];
  snprintf(temp, sizeof temp, "%s", file.temp_path);
  tpo_atomic_abort(&file);
  assert_false(tpo_file_exists(temp));
  assert_int_equal(tpo_atomic_begin(&file, path, &err), 0);
  put(file.temp_path, "new", 3);
  assert_int_equal(tpo_atomic_commit(&file, &err), 0);
  tpo_buf_clear(&buf);
  assert_int_equal(tpo_read_file(path, 100, &buf, &err), 0);
  assert_string_equal(buf.data, "new");
  assert_false(tpo_file_exists(temp));
  tpo_buf_free(&buf);
}

static void output_names_that_are_no_files_are_refused(void **state)
{
  struct tpo_error err = {0};
  assert_int_equal(tpo_write_file("/dev/null", "x", 1, &err), TPO_E_USAGE);
  assert_int_equal(tpo_write_file(*state, "x", 1, &err), TPO_E_USAGE);
  assert_int_equal(tpo_write_file("", "x", 1, &err), TPO_E_USAGE);
  assert_int_equal(tpo_write_file(in(state, "no/such/folder"), "x", 1, &err), TPO_E_IO);
  assert_contains(err.message, "no/such/folder");
  char name[5000];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_int_equal(tpo_write_file(name, "x", 1, &err), TPO_E_USAGE);
}

static void a_link_is_written_through(void **state)
{
  put(in(state, "target"), "old", 3);
  assert_int_equal(symlink(in(state, "target"), in(state, "link")), 0);
  put(in(state, "link"), "new", 3);
  struct stat info;
  assert_int_equal(lstat(in(state, "link"), &info), 0);
  assert_true(S_ISLNK(info.st_mode));
  struct tpo_buf buf = {0};
  assert_int_equal(tpo_read_file(in(state, "target"), 100, &buf, NULL), 0);
  assert_string_equal(buf.data, "new");
  tpo_buf_free(&buf);
}

static void temporary_names_are_not_foreseen(void **state)
{
  struct tpo_error err = {0};
  struct tpo_atomic one, other;
  struct stat info;
  const char *path = in(state, "out"), *mine = in(state, "mine");
  char planted[4300];
  put(mine, "mine", 4);
  snprintf(planted, sizeof planted, "%s.tmp.%ld", path, (long)getpid());
  assert_int_equal(symlink(mine, planted), 0);
  put(path, "new", 3);
  assert_int_equal(stat(mine, &info), 0);
  assert_int_equal(info.st_size, 4);
  assert_int_equal(tpo_atomic_begin(&one, path, &err), 0);
  assert_int_equal(tpo_atomic_begin(&other, path, &err), 0);
  assert_string_not_equal(one.temp_path, other.temp_path);
  assert_int_equal(strlen(one.temp_path), strlen(path) + strlen(".tmp.") + 16);
  tpo_atomic_abort(&one);
  tpo_atomic_abort(&other);
}

static void a_link_put_in_a_temporary_files_place_is_not_followed(void **state)
{
  struct tpo_error err = {0};
  struct tpo_atomic file;
  struct stat info;
  const char *mine = in(state, "mine");
  put(mine, "mine", 4);
  assert_int_equal(tpo_atomic_begin(&file, in(state, "out"), &err), 0);
  assert_int_equal(unlink(file.temp_path), 0);
  assert_int_equal(symlink(mine, file.temp_path), 0);
  assert_int_equal(tpo_atomic_open(&file), -1);
  assert_int_equal(tpo_atomic_commit(&file, &err), TPO_E_IO);
  assert_int_equal(stat(mine, &info), 0);
  assert_int_equal(info.st_size, 4);
  assert_int_equal(access(in(state, "out"), F_OK), -1);
}

static void the_longest_name_can_be_written(void **state)
{
  struct tpo_error err = {0};
  char name[257];
  memset(name, 'n', 256);
  name[256] = '\0';
  assert_int_equal(tpo_write_file(in(state, name), "x", 1, &err), TPO_E_IO);
  assert_contains(err.message, "File name too long");
  name[255] = '\0';
  put(in(state, name), "x", 1);
  assert_true(tpo_file_exists(in(state, name)));
}

static void a_files_mode_is_what_the_umask_leaves(void **state)
{
  struct stat info;
  mode_t kept = umask(027);
  put(in(state, "out"), "x", 1);
  umask(kept);
  assert_int_equal(stat(in(state, "out"), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0640);
}

static void failed_write_keeps_the_old_file(void **state)
{
  struct tpo_error err = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s", in(state, "out"));
  put(path, "old", 3);
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit saved, small;
  getrlimit(RLIMIT_FSIZE, &saved);
  small = saved;
  small.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &small); /* writes past 1000 bytes fail as a full disk does */
  static char big[100000];
  int status = tpo_write_file(path, big, sizeof big, &err);
  setrlimit(RLIMIT_FSIZE, &saved);
  assert_int_equal(status, TPO_E_IO);
  assert_contains(err.message, "out");
  struct tpo_buf buf = {0};
  assert_int_equal(tpo_read_file(path, 100, &buf, &err), 0);
  assert_string_equal(buf.data, "old");
  tpo_buf_free(&buf);
}

static void make_dirs_makes_parents_and_repeats(void **state)
{
  struct tpo_error err = {0};
  for (int i = 0; i < 2; i++) assert_int_equal(tpo_make_dirs(in(state, "a/b//c/"), &err), 0);
  assert_true(tpo_is_dir(in(state, "a/b/c")));
  put(in(state, "file"), "x", 1);
  assert_int_equal(tpo_make_dirs(in(state, "file/sub"), &err), TPO_E_IO);
  assert_contains(err.message, "file");
  assert_false(tpo_is_dir(in(state, "file")));
  assert_int_equal(tpo_make_dirs("", &err), TPO_E_USAGE);
}

static void a_folder_that_cannot_be_made_is_told_by_its_reason(void **state)
{
  struct tpo_error err = {0};
  (void)state;
  assert_int_equal(tpo_make_dirs("/sys/kernel/nothing", &err),
                   TPO_E_IO); /* a file system that has no new folders */
  assert_contains(err.message, "/sys/kernel/nothing: the folder can't be made: ");
  assert_null(strstr(err.message, strerror(ENOENT)));
}

static void what_nobody_can_look_for_is_not_absent(void **state)
{
  struct tpo_error err = {0};
  put(in(state, "file"), "x", 1);
  assert_int_equal(tpo_look_for(in(state, "file"), &err), 1);
  assert_int_equal(tpo_look_for(in(state, "absent"), &err), 0);
  assert_int_equal(tpo_look_for(in(state, "file/inside"), &err), 0);
  assert_int_equal(symlink("round", in(state, "round")), 0);
  assert_int_equal(tpo_look_for(in(state, "round/and/round"), &err), TPO_E_USAGE);
  assert_contains(err.message, "round/and/round: can't be looked for: ");
  assert_contains(err.message, strerror(ELOOP));
}

/* What a process says, and its exit status, that reads a mapped file after it was cut. */
static int read_cut_map(const char *path, char *said, size_t size)
{
  int pipes[2], status = -1;
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork();
  if (child == 0) {
    struct tpo_map map;
    dup2(pipes[1], STDERR_FILENO);
    tpo_lost_map_tell();
    if (tpo_map_open(&map, path, NULL) < 0 || truncate(path, 0) < 0) _exit(126);
    _exit(*(volatile const uint8_t *)map.data);
  }
  close(pipes[1]);
  ssize_t len = read(pipes[0], said, size - 1);
  said[len > 0 ? len : 0] = '\0';
  close(pipes[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void a_mapped_file_that_is_lost_is_named(void **state)
{
  char said[4300], expected[4300];
  put(in(state, "weights"), "some bytes", 10);
  assert_int_equal(read_cut_map(in(state, "weights"), said, sizeof said), 1);
  snprintf(expected, sizeof expected, "tpo: %s: reading failed: ", in(state, "weights"));
  assert_contains(said, expected);
}

static void paths_join_and_are_bounded(void **state)
{
  (void)state;
  char out[8];
  struct tpo_error err = {0};
  assert_int_equal(tpo_path_join(out, sizeof out, "ab", "cd", &err), 0);
  assert_string_equal(out, "ab/cd");
  assert_int_equal(tpo_path_join(out, sizeof out, "ab/", "cd", &err), 0);
  assert_string_equal(out, "ab/cd");
  assert_int_equal(tpo_path_join(out, sizeof out, "abcd", "efg", &err), TPO_E_USAGE);
}

static void space_is_checked_at_the_nearest_parent(void **state)
{
  struct tpo_error err = {0};
  assert_int_equal(tpo_check_space(in(state, "not/there/yet"), 1, &err), 0);
  assert_int_equal(tpo_check_space("not-there-either", 1, &err), 0);
  assert_int_equal(tpo_check_space(in(state, "x"), UINT64_MAX, &err), TPO_E_IO);
  assert_contains(err.message, "free");
}

static void hashes_match_known_values_and_files(void **state)
{
  struct tpo_error err = {0};
  assert_true(tpo_hash64("", 0) == 0x2d06800538d394c2ull); /* XXH3 of nothing, from its specification */
  assert_true(tpo_hash64_str("abc") == tpo_hash64("abc", 3));
  char hex[33], file_hex[33];
  struct tpo_hash hash;
  assert_int_equal(tpo_hash_begin(&hash, &err), 0);
  tpo_hash_end(&hash, hex);
  assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
  assert_int_equal(tpo_hash_begin(&hash, &err), 0);
  tpo_hash_add(&hash, "ab", 2);
  tpo_hash_add(&hash, "c", 1);
  tpo_hash_end(&hash, hex);
  put(in(state, "abc"), "abc", 3);
  uint64_t size = 0;
  assert_int_equal(tpo_hash_file(in(state, "abc"), file_hex, &size, &err), 0);
  assert_string_equal(hex, file_hex);
  assert_int_equal(size, 3);
  assert_int_equal(tpo_hash_file(in(state, "absent"), file_hex, &size, &err), TPO_E_USAGE);
  assert_int_equal(tpo_hash_file(*state, file_hex, &size, &err), TPO_E_IO);
}

static void change_byte(const char *path, int64_t at)
{
  int fd = open(path, O_WRONLY);
  assert_true(fd >= 0 && pwrite(fd, "x", 1, at) == 1);
  close(fd);
}

static void a_sampled_hash_tells_files_apart(void **state)
{
  struct tpo_error err = {0};
  const char *small = in(state, "small"), *large = in(state, "large");
  const int64_t size = (int64_t)300 << 20; /* bytes, without blocks on disk */
  char hex[33], other[33];
  put(small, "abc", 3);
  assert_int_equal(tpo_hash_file(small, other, NULL, &err), 0);
  assert_int_equal(tpo_hash_sampled(small, hex, &err), 0);
  assert_string_equal(hex, other); /* a small one is hashed whole */
  put(large, "", 0);
  assert_int_equal(truncate(large, size), 0);
  assert_int_equal(tpo_hash_sampled(large, hex, &err), 0);
  assert_int_equal(tpo_hash_sampled(large, other, &err), 0);
  assert_string_equal(hex, other);
  change_byte(large, size - 1);
  assert_int_equal(tpo_hash_sampled(large, other, &err), 0);
  assert_string_not_equal(hex, other);
  strcpy(hex, other);
  change_byte(large, 0);
  assert_int_equal(tpo_hash_sampled(large, other, &err), 0);
  assert_string_not_equal(hex, other);
  strcpy(hex, other);
  assert_int_equal(truncate(large, size + (1 << 20)), 0);
  assert_int_equal(tpo_hash_sampled(large, other, &err), 0);
  assert_string_not_equal(hex, other);
  assert_int_equal(tpo_hash_sampled(in(state, "absent"), hex, &err), TPO_E_USAGE);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      with_folder(map_gives_the_bytes),
      with_folder(lines_read_plain_and_gzip_alike),
      with_folder(damaged_gzip_is_an_error_not_an_end),
      with_folder(read_file_is_bounded),
      with_folder(atomic_write_shows_all_or_nothing),
      with_folder(temporary_names_are_not_foreseen),
      with_folder(a_link_put_in_a_temporary_files_place_is_not_followed),
      with_folder(the_longest_name_can_be_written),
      with_folder(a_files_mode_is_what_the_umask_leaves),
      with_folder(output_names_that_are_no_files_are_refused),
      with_folder(a_link_is_written_through),
      with_folder(failed_write_keeps_the_old_file),
      with_folder(make_dirs_makes_parents_and_repeats),
      with_folder(a_folder_that_cannot_be_made_is_told_by_its_reason),
      with_folder(what_nobody_can_look_for_is_not_absent),
      with_folder(a_mapped_file_that_is_lost_is_named),
      with_folder(paths_join_and_are_bounded),
      with_folder(space_is_checked_at_the_nearest_parent),
      with_folder(hashes_match_known_values_and_files),
      with_folder(a_sampled_hash_tells_files_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
