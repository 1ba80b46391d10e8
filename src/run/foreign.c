/* What stands in a folder that holds no run: files of the names that a run writes are somebody's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/loop.h"
#include "run/online/online.h"

static bool is_iteration(const char *name)
{
  static const char begin[] = "iter-";
  size_t n = sizeof begin - 1;
  return strncmp(name, begin, n) == 0 && strlen(name) >= n + 3 &&
         name[n + strspn(name + n, "0123456789")] == '\0';
}

static bool is_empty_folder(int dir, const char *name)
{
  bool empty = true;
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (!folder) {
    if (fd >= 0) close(fd);
    return false;
  }
  for (struct dirent *entry; empty && (entry = readdir(folder));)
    empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
  closedir(folder);
  return empty;
}

/* What a run that was killed before its first manifest leaves: a metrics.jsonl with nothing in it. */
static bool is_empty_file(const struct stat *info)
{
  return S_ISREG(info->st_mode) && info->st_size == 0;
}

/* A file that a run writes into its own folder alone; false: none of these is there. */
static bool find_file(int dir, char name[LOOP_FOREIGN])
{
  static const char *const files[] = {"config.yaml",   "report.html", "prompts/validation.jsonl",
                                      "metrics.jsonl", LOOP_NOTICE,   LOOP_STATUS,
                                      ONLINE_STATE};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    struct stat info;
    if (fstatat(dir, files[i], &info, AT_SYMLINK_NOFOLLOW) < 0) continue;
    if (strcmp(files[i], "metrics.jsonl") == 0 && is_empty_file(&info)) continue;
    snprintf(name, LOOP_FOREIGN, "%s", files[i]);
    return true;
  }
  return false;
}

int loop_find_foreign(const struct loop *loop, char name[LOOP_FOREIGN], struct tpo_error *err)
{
  const char *path = loop->config->run.dir;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return 0;
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (!folder) {
    tpo_fail(err, TPO_E_USAGE, "run.dir: %s can't be read: %m", path);
    if (fd >= 0) close(fd);
    return TPO_E_USAGE;
  }
  bool found = find_file(fd, name);
  for (struct dirent *entry; !found && (entry = readdir(folder));) {
    found = is_iteration(entry->d_name) && !is_empty_folder(fd, entry->d_name);
    if (found) snprintf(name, LOOP_FOREIGN, "%s", entry->d_name);
  }
  closedir(folder);
  return found;
}
