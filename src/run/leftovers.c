/* What a killed attempt left of files that it was writing: "<name>.tmp.<16 hex digits>" beside the
 * finished ones, and journals that nothing goes on from. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "run/loop.h"
#include "run/online/online.h"
#include "run/watch/watch.h"

static bool is_temporary(const char *name)
{
  enum { MARK = 5, DIGITS = 16 };
  size_t len = strlen(name);
  if (len <= MARK + DIGITS) return false;
  const char *mark = name + len - MARK - DIGITS;
  return strncmp(mark, ".tmp.", MARK) == 0 && strspn(mark + MARK, "0123456789abcdef") == DIGITS;
}

static bool is_regular(int folder, const char *name)
{
  struct stat info;
  return fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

static void remove_temporary(int folder, const char *dir, const char *name)
{
  if (is_temporary(name) && is_regular(folder, name) && unlinkat(folder, name, 0) == 0)
    tpo_log(TPO_LOG_INFO, "%s/%s: removed, an earlier attempt did not finish it", dir, name);
}

/* Takes fd, of the folder `dir`. What is in a folder is reached through fd alone, and never through a link:
 * one that stands in the run's folder leads to where nothing is the run's. */
static void clear_folder(int fd, const char *dir, bool inner)
{
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (!folder) {
    if (fd >= 0) close(fd);
    return;
  }
  for (struct dirent *entry; (entry = readdir(folder));) {
    const char *name = entry->d_name;
    char path[4096];
    if (name[0] == '.') continue;
    remove_temporary(fd, dir, name);
    bool is_ours = strncmp(name, "iter-", 5) == 0 || strcmp(name, "prompts") == 0 ||
                   strcmp(name, "tensorboard") == 0 || strcmp(name, ONLINE_STATE) == 0;
    if (!inner && is_ours && tpo_path_join(path, sizeof path, dir, name, NULL) == 0)
      clear_folder(openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), path, true);
  }
  closedir(folder);
}

/* Checkpoints are large: left there, they would fill the disk. What can't be removed does no harm. The run's
 * folder itself may be a link: whoever named it meant what it leads to. */
void loop_clear_leftovers(const struct loop *loop)
{
  const char *dir = loop->config->run.dir;
  clear_folder(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir, false);
}

/* Those of a file; what can't be removed does no harm. */
static void drop(const struct loop *loop, int iteration, const char *name)
{
  static const char *const kinds[] = {"", LOOP_JUDGED, LOOP_AGAINST_PREVIOUS, LOOP_AGAINST_BASELINE};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char path[4096], inner[512];
    struct tpo_error err = {0};
    if ((size_t)snprintf(inner, sizeof inner, "%s%s" LOOP_JOURNAL, name, kinds[i]) >= sizeof inner) continue;
    if (loop_path(loop, iteration, inner, path, NULL) == 0 && tpo_dpo_forget(path, &err) < 0)
      tpo_log(TPO_LOG_WARN, "%s; it is no longer needed", err.message);
  }
}

void loop_drop_journal(const struct loop *loop, const char *name)
{
  if (loop->first) drop(loop, loop->iteration, name);
}

/* "watch-NAME.h5.journal" where run.watch has no NAME. */
static bool is_of_no_watch(const struct loop *loop, const char *journal)
{
  static const char end[] = ".h5" LOOP_JOURNAL;
  size_t len = strlen(journal), tail = sizeof end - 1;
  if (strncmp(journal, "watch-", 6) != 0 || len <= tail || strcmp(journal + len - tail, end) != 0)
    return false;
  for (int i = 0; i < loop->config->run.n_watch; i++) {
    char own[WATCH_STEP];
    watch_step_name(&loop->watched[i], ".h5", own);
    if (strlen(own) == len - strlen(LOOP_JOURNAL) && strncmp(journal, own, strlen(own)) == 0) return false;
  }
  return true;
}

/* An iteration's journals of entries that run.watch no longer has. Never through a link, as above. */
static void drop_watches_of_old(const struct loop *loop, int iteration)
{
  char dir[4096];
  if (loop_path(loop, iteration, "", dir, NULL) < 0) return;
  dir[strlen(dir) - (dir[strlen(dir) - 1] == '/')] = '\0'; /* with it, a link would be followed */
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (!folder && fd >= 0) close(fd);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    char file[sizeof entry->d_name];
    if (!is_of_no_watch(loop, entry->d_name)) continue;
    snprintf(file, sizeof file, "%.*s", (int)(strlen(entry->d_name) - strlen(LOOP_JOURNAL)), entry->d_name);
    drop(loop, iteration, file);
  }
  if (folder) closedir(folder);
}

void loop_clear_journals(const struct loop *loop)
{
  size_t i, j;
  json_t *step, *file;
  json_array_foreach(json_object_get(loop->manifest.root, "steps"), i, step)
  {
    const char *of = json_string_value(json_object_get(step, "step"));
    char steps[64];
    snprintf(steps, sizeof steps, "iter-%03d/steps",
             (int)json_integer_value(json_object_get(step, "iteration")));
    if (of && strcmp(of, "steps") == 0) drop(loop, -1, steps);
    json_array_foreach(json_object_get(step, "files"), j, file)
    {
      const char *name = json_string_value(json_object_get(file, "path"));
      if (name) drop(loop, -1, name);
    }
  }
  for (int iteration = 0; iteration == 0 || iteration <= manifest_last(&loop->manifest); iteration++)
    drop_watches_of_old(loop, iteration);
}
