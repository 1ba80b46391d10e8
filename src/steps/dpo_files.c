/* Files of training that goes on. */
#include "steps/dpo_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "store/journal/journal.h"
#include "tpo/steps.h"

int dpo_best_path(char path[4096], const char *folder, int epoch, struct tpo_error *err)
{
  char name[40];
  snprintf(name, sizeof name, "best-%03d.h5", epoch);
  return tpo_path_join(path, 4096, folder, name, err);
}

void dpo_drop_files(const char *folder, int but_epoch)
{
  DIR *dir = opendir(folder);
  if (!dir) return;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char path[4096];
    int epoch, len = 0;
    if (sscanf(entry->d_name, "best-%d.h5%n", &epoch, &len) != 1 || len == 0) continue;
    if (epoch == but_epoch && entry->d_name[len] == '\0') continue;
    if (tpo_path_join(path, sizeof path, folder, entry->d_name, NULL) == 0) unlink(path);
  }
  closedir(dir);
}

/* Between two file systems. */
static int copy(const char *from, const struct tpo_atomic *to, struct tpo_error *err)
{
  char bytes[1 << 16];
  ssize_t n = -1;
  int in = open(from, O_RDONLY | O_CLOEXEC), out = tpo_atomic_open(to), status = 0;
  while (in >= 0 && out >= 0 && (n = read(in, bytes, sizeof bytes)) > 0)
    if (tpo_write_all(out, bytes, (size_t)n) < 0) break;
  if (n != 0)
    status = tpo_fail(err, TPO_E_IO, "%s can't be copied to %s: %s", from, to->path, strerror(errno));
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return status;
}

int dpo_move(const char *from, const char *to, struct tpo_error *err)
{
  struct tpo_atomic file;
  int status = tpo_atomic_begin(&file, to, err);
  if (status < 0) return status;
  if (rename(from, file.temp_path) < 0)
    status = errno == EXDEV ? copy(from, &file, err)
                            : tpo_fail(err, TPO_E_IO, "%s can't become %s: %s", from, to, strerror(errno));
  if (status == 0) return tpo_atomic_commit(&file, err);
  tpo_atomic_abort(&file);
  return status;
}

static bool has_best(const char *folder)
{
  bool found = false;
  DIR *dir = opendir(folder);
  if (!dir) return false;
  for (struct dirent *entry; !found && (entry = readdir(dir));) {
    int epoch, len = 0;
    found = sscanf(entry->d_name, "best-%d.h5%n", &epoch, &len) == 1 && len > 0 && entry->d_name[len] == '\0';
  }
  closedir(dir);
  return found;
}

bool tpo_dpo_kept(const char *journal, int64_t *steps)
{
  return tpo_trainer_kept(journal, steps) || has_best(journal);
}

int tpo_dpo_forget(const char *journal, struct tpo_error *err)
{
  int status = tpo_trainer_forget(journal, err);
  if (status == 0) dpo_drop_files(journal, -1);
  return status < 0 ? status : journal_remove(journal, err);
}
