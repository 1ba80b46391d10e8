/* Files that appear whole or not at all, and the questions about paths that come before writing one. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/file.h"

/* The folder that holds path, into out. */
static void parent_of(char out[4096], const char *path)
{
  const char *slash = strrchr(path, '/');
  if (!slash)
    snprintf(out, 4096, ".");
  else if (slash == path)
    snprintf(out, 4096, "/");
  else
    snprintf(out, 4096, "%.*s", (int)(slash - path), path);
}

static const char *last_part(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* A temporary name that nobody foresees. A folder's limit on names is met: a long one is cut. */
static int name_temporary(struct tpo_atomic *file)
{
  enum { MARK = 5 + 16, LONGEST = NAME_MAX - MARK };
  unsigned long long number;
  if (getrandom(&number, sizeof number, 0) != sizeof number) return -1;
  const char *name = last_part(file->path);
  size_t len = strlen(name), folder = (size_t)(name - file->path);
  if (len > LONGEST && len <= NAME_MAX) len = LONGEST; /* longer ones the file system refuses itself */
  snprintf(file->temp_path, sizeof file->temp_path, "%.*s.tmp.%016llx", (int)(folder + len), file->path,
           number);
  return 0;
}

/* The file is made by this call or not at all: what another planted under its name, a link say, is never
 * opened. */
static int create_temporary(struct tpo_atomic *file)
{
  enum { ATTEMPTS = 10 };
  int fd = -1;
  for (int i = 0; i < ATTEMPTS && fd < 0; i++) {
    if (name_temporary(file) < 0) return -1;
    fd = open(file->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) return -1;
  }
  return fd;
}

int tpo_atomic_begin(struct tpo_atomic *file, const char *path, struct tpo_error *err)
{
  *file = (struct tpo_atomic){0};
  size_t len = strlen(path);
  if (len == 0) return tpo_fail(err, TPO_E_USAGE, "the output file's name is empty");
  if (len >= sizeof file->path)
    return tpo_fail(err, TPO_E_USAGE, "%.60s...: the file's name is longer than %zu bytes", path,
                    sizeof file->path - 1);
  memcpy(file->path, path, len + 1);
  struct stat info;
  if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) { /* write what the link names, keep the link */
    char *target = realpath(path, NULL);
    bool fits = target && strlen(target) < sizeof file->path;
    if (fits) strcpy(file->path, target);
    free(target);
    if (!fits)
      return tpo_fail(err, TPO_E_USAGE,
                      "%s: expected the name of a file to write, but it is a link to nothing", path);
  }
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
    return tpo_fail(err, TPO_E_USAGE, "%s: expected the name of a file to write, but it is a %s", path,
                    S_ISDIR(info.st_mode) ? "folder" : "device or pipe");
  int fd = create_temporary(file);
  if (fd < 0) {
    int why = errno;
    char folder[4096];
    file->temp_path[0] = '\0';
    parent_of(folder, file->path);
    if (why == ENOENT && !tpo_is_dir(folder))
      return tpo_fail(err, TPO_E_IO, "%s: can't be written: there is no folder %s", path, folder);
    return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", path, strerror(why));
  }
  close(fd);
  return 0;
}

int tpo_atomic_open(const struct tpo_atomic *file)
{
  return open(file->temp_path, O_RDWR | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
}

static int sync_path(const char *path, int flags)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) return -1;
  int result = fsync(fd);
  int why = errno;
  close(fd);
  errno = why;
  /* Some file systems have no fsync for folders. */
  return result < 0 && (flags & O_DIRECTORY) && errno == EINVAL ? 0 : result;
}

int tpo_sync_folder(const char *path)
{
  return sync_path(path, O_DIRECTORY);
}

int tpo_atomic_commit(struct tpo_atomic *file, struct tpo_error *err)
{
  char folder[4096];
  parent_of(folder, file->path);
  if (sync_path(file->temp_path, O_NOFOLLOW) < 0 || rename(file->temp_path, file->path) < 0) {
    int why = errno;
    tpo_atomic_abort(file);
    return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", file->path, strerror(why));
  }
  file->temp_path[0] = '\0';
  if (tpo_sync_folder(folder) < 0)
    return tpo_fail(err, TPO_E_IO, "%s: its folder can't be brought to disk: %s", file->path,
                    strerror(errno));
  return 0;
}

void tpo_atomic_abort(struct tpo_atomic *file)
{
  if (file->temp_path[0]) unlink(file->temp_path);
  file->temp_path[0] = '\0';
}

int tpo_check_output(const char *path, struct tpo_error *err)
{
  struct tpo_atomic file;
  int status = tpo_atomic_begin(&file, path, err);
  if (status == 0) tpo_atomic_abort(&file);
  if (status < 0 && err) err->code = TPO_E_USAGE;
  return status < 0 ? TPO_E_USAGE : 0;
}

static bool same_inode(const char *a, const char *b)
{
  struct stat x, y;
  return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool tpo_same_file(const char *a, const char *b)
{
  char x[4096], y[4096];
  if (tpo_file_exists(a) || tpo_file_exists(b)) return same_inode(a, b);
  parent_of(x, a);
  parent_of(y, b);
  return same_inode(x, y) && strcmp(last_part(a), last_part(b)) == 0;
}

int tpo_write_all(int fd, const void *bytes, size_t len)
{
  for (const char *at = bytes; len > 0;) {
    ssize_t written = write(fd, at, len);
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return -1;
    at += written;
    len -= (size_t)written;
  }
  return 0;
}

static int write_content(const struct tpo_atomic *file, const void *bytes, size_t len)
{
  int fd = tpo_atomic_open(file);
  if (fd < 0) return -1;
  if (tpo_write_all(fd, bytes, len) == 0) return close(fd);
  int why = errno;
  close(fd);
  errno = why;
  return -1;
}

int tpo_write_file(const char *path, const void *bytes, size_t len, struct tpo_error *err)
{
  struct tpo_atomic file;
  int status = tpo_atomic_begin(&file, path, err);
  if (status < 0) return status;
  if (write_content(&file, bytes, len) < 0) {
    int why = errno;
    tpo_atomic_abort(&file);
    return tpo_fail(err, TPO_E_IO, "%s: writing %zu bytes failed: %s", path, len, strerror(why));
  }
  return tpo_atomic_commit(&file, err);
}

int tpo_make_dirs(const char *path, struct tpo_error *err)
{
  char part[4096];
  size_t len = strlen(path);
  if (len == 0 || len >= sizeof part)
    return tpo_fail(err, TPO_E_USAGE, "%.60s: a folder's name must have 1 to %zu bytes", path,
                    sizeof part - 1);
  memcpy(part, path, len + 1);
  for (size_t i = 1; i <= len; i++) {
    if (part[i] != '/' && part[i] != '\0') continue;
    char kept = part[i];
    part[i] = '\0';
    int why = mkdir(part, 0777) < 0 ? errno : 0;
    if (why && !tpo_is_dir(part))
      return tpo_fail(err, TPO_E_IO, "%s: the folder can't be made: %s", part,
                      why == EEXIST ? "a file of this name exists" : strerror(why));
    part[i] = kept;
  }
  return 0;
}

int tpo_look_for(const char *path, struct tpo_error *err)
{
  struct stat info;
  if (stat(path, &info) == 0) return 1;
  if (errno == ENOENT || errno == ENOTDIR) return 0;
  return tpo_fail(err, TPO_E_USAGE, "%s: can't be looked for: %s", path, strerror(errno));
}

bool tpo_file_exists(const char *path)
{
  struct stat info;
  return stat(path, &info) == 0;
}

bool tpo_is_regular(const char *path)
{
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool tpo_is_dir(const char *path)
{
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int tpo_path_join(char *out, size_t size, const char *dir, const char *name, struct tpo_error *err)
{
  size_t len = strlen(dir);
  const char *separator = len == 0 || dir[len - 1] == '/' ? "" : "/";
  int need = snprintf(out, size, "%s%s%s", dir, separator, name);
  if (need < 0 || (size_t)need >= size)
    return tpo_fail(err, TPO_E_USAGE, "%.60s.../%.60s: the path is longer than %zu bytes", dir, name,
                    size - 1);
  return 0;
}

int tpo_check_space(const char *path, uint64_t bytes, struct tpo_error *err)
{
  char place[4096];
  if (strlen(path) >= sizeof place)
    return tpo_fail(err, TPO_E_USAGE, "%.60s...: the path is longer than %zu bytes", path, sizeof place - 1);
  strcpy(place, path);
  struct statvfs info;
  while (statvfs(place, &info) < 0) {
    if (errno != ENOENT || strcmp(place, ".") == 0 || strcmp(place, "/") == 0)
      return tpo_fail(err, TPO_E_IO, "%s: its file system can't be examined: %s", path, strerror(errno));
    char parent[4096];
    parent_of(parent, place);
    strcpy(place, parent);
  }
  uint64_t available = (uint64_t)info.f_bavail * info.f_frsize;
  if (available < bytes)
    return tpo_fail(err, TPO_E_IO, "%s: needs %.1f MB on disk, but only %.1f MB are free", path,
                    (double)bytes / 1e6, (double)available / 1e6);
  return 0;
}
