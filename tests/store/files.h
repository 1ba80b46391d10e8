/* What the tests of this layer share: files held in memory (so that thousands of damaged ones cost little), a
 * folder that goes away, and cmocka. */
#ifndef TESTS_STORE_FILES_H
#define TESTS_STORE_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/philox.h"

#define FIXTURES TPO_SOURCE_DIR "/tests/store/fixtures/"

/* A file in memory. It has a name of its own: HDF5 resolves links and would not find a memfd's. */
struct memory_file {
  int fd;
  char path[64];
};

static inline struct memory_file memory_file_open(void)
{
  struct memory_file file = {.path = "/dev/shm/tpo-store-XXXXXX"};
  file.fd = mkstemp(file.path);
  assert_true(file.fd >= 0);
  return file;
}

static inline void memory_file_close(struct memory_file *file)
{
  close(file->fd);
  unlink(file->path);
}

static inline void memory_file_set(struct memory_file *file, const void *bytes, size_t len)
{
  assert_int_equal(ftruncate(file->fd, 0), 0);
  assert_int_equal(pwrite(file->fd, bytes, len, 0), (ssize_t)len);
}

static inline void read_whole(const char *path, struct tpo_buf *buf)
{
  struct tpo_error err = {0};
  if (tpo_read_file(path, 64 << 20, buf, &err) < 0) fail_msg("%s", err.message);
}

/* Changes one to eight bytes at random places within bytes[0..len): bits flipped, or values that lengths
 * break on. */
static inline void damage(struct tpo_rng *rng, uint8_t *bytes, size_t len)
{
  static const uint8_t nasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, '"', '{', ']', '9'};
  uint32_t n = 1 + tpo_rng_below(rng, 8);
  for (uint32_t i = 0; i < n; i++) {
    size_t at = tpo_rng_below(rng, (uint32_t)len);
    if (tpo_rng_below(rng, 2))
      bytes[at] ^= (uint8_t)(1u << tpo_rng_below(rng, 8));
    else
      bytes[at] = nasty[tpo_rng_below(rng, sizeof nasty)];
  }
}

/* One sentence that names the file: what every refusal must be. */
#define assert_refused(status, err, name)                                                                    \
  do {                                                                                                       \
    assert_true((status) < 0);                                                                               \
    assert_int_equal((err).code, (status));                                                                  \
    if (!strstr((err).message, (name))) fail_msg("'%s' does not name '%s'", (err).message, (name));          \
    if (strchr((err).message, '\n')) fail_msg("'%s' is more than a line", (err).message);                    \
  } while (0)

static char folder[64];

static inline int make_folder(void **state)
{
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/tpo-store-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static inline int count_files(const char *path)
{
  int n = 0;
  DIR *dir = opendir(path);
  assert_non_null(dir);
  for (struct dirent *entry; (entry = readdir(dir));) n += entry->d_name[0] != '.';
  closedir(dir);
  return n;
}

/* Files only; the tests make no folders in it. */
static inline int remove_folder(void **state)
{
  (void)state;
  DIR *dir = opendir(folder);
  if (!dir) return 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    unlink(path);
  }
  closedir(dir);
  return rmdir(folder);
}

static inline const char *in_folder(const char *name)
{
  static char path[4][512];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
  return path[turn];
}

#endif
