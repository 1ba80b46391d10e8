/* A step's journal over the ranks. */
#include "steps/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/digits.h"
#include "base/file.h"
#include "base/memory.h"

/* Whether what the folder keeps is of the same kind, by the first line of both works. */
static bool is_of_kind(const char *folder, const char *work)
{
  char begin[128];
  journal_begin_of_work(folder, begin, sizeof begin);
  size_t len = strlen(begin);
  return strncmp(work, begin, len) == 0 && (work[len] == '\n' || len == 0 || len == sizeof begin - 1);
}

/* Renames the folder, whose journal `why` tells of. */
static int set_aside(const char *folder, const char *why, struct tpo_error *err)
{
  char path[4096];
  for (int i = 1;; i++) {
    if ((size_t)snprintf(path, sizeof path, "%s.%d", folder, i) >= sizeof path)
      return tpo_fail(err, TPO_E_USAGE, "%.60s...: the folder's name is too long", folder);
    if (access(path, F_OK) < 0 && errno == ENOENT) break;
  }
  if (rename(folder, path) < 0) return tpo_fail(err, TPO_E_IO, "%s can't be renamed to %s: %m", folder, path);
  tpo_log(TPO_LOG_WARN,
          "%s; what it keeps is now in %s, nothing of it is lost, and this begins at its beginning", why,
          path);
  return 0;
}

/* Of other work: makes room for this. */
static int drop(const char *folder, const char *why, enum kept_other other, struct tpo_error *err)
{
  if (other == KEPT_ASIDE) return set_aside(folder, why, err);
  tpo_log(TPO_LOG_WARN, "%s; it is begun anew", why);
  return journal_remove(folder, err);
}

static void unlock(struct kept *kept)
{
  if (kept->lock >= 0) close(kept->lock);
  kept->lock = -1;
}

static int open_read(struct kept *kept, const char *work, struct tpo_error *err)
{
  unlock(kept); /* of a folder that was put aside, or was not there yet */
  int status = journal_open(&kept->journal, kept->folder, work, 0, JOURNAL_READ, err);
  return status < 0 ? status : journal_lock(kept->folder, &kept->lock, err);
}

/* Rank 0's, which reads what there is. */
static int open_first(struct kept *kept, const char *work, enum kept_other other, struct tpo_error *err)
{
  struct tpo_error why = {0};
  int status = journal_lock(kept->folder, &kept->lock, err);
  if (status < 0) return status;
  status = open_read(kept, work, &why);
  if (status == TPO_E_STATE && other != KEPT_REFUSE && is_of_kind(kept->folder, work)) {
    status = drop(kept->folder, why.message, other, err);
    return status < 0 ? status : open_read(kept, work, err);
  }
  if (status != TPO_E_STATE) return status == 0 ? 0 : tpo_fail(err, status, "%s", why.message);
  return tpo_fail(err, TPO_E_USAGE, "%s; go on as it was begun, or remove the folder to begin anew",
                  why.message);
}

/* An empty file in the folder by which other ranks know it; it looks like a journal's, so that it is removed
 * with it where this process is killed before it does so. */
static int put_mark(const struct kept *kept, char mark[64], struct tpo_error *err)
{
  char path[4096];
  unsigned long long number;
  if (getrandom(&number, sizeof number, 0) != sizeof number)
    return tpo_fail(err, TPO_E_IO, "%s: no random number for a file's name: %m", kept->folder);
  snprintf(mark, 64, "seen-%016llx.journal", number);
  int status = tpo_path_join(path, sizeof path, kept->folder, mark, err);
  if (status < 0) return status;
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) return tpo_fail(err, TPO_E_IO, "%s: can't be made: %m", path);
  close(fd);
  return 0;
}

static int see_mark(const struct kept *kept, const char *mark, struct tpo_error *err)
{
  char path[4096], host[256] = "";
  int status = tpo_path_join(path, sizeof path, kept->folder, mark, err);
  if (status < 0 || access(path, F_OK) == 0) return status;
  gethostname(host, sizeof host - 1);
  return tpo_fail(err, TPO_E_USAGE,
                  "%s: rank 0 made this folder, and it is not seen on %s; every rank keeps there what it has "
                  "finished, so that the output must be on a file system that all ranks see",
                  kept->folder, *host ? host : "this host");
}

/* The other ranks', once it is known that it is the same folder. */
static int open_others(struct kept *kept, const char *work, struct tpo_error *err)
{
  char mark[64] = "", path[4096];
  int rank = tpo_comm_rank(kept->comm);
  if (tpo_comm_size(kept->comm) == 1) return 0;
  int status = tpo_comm_agree(kept->comm, rank == 0 ? put_mark(kept, mark, err) : 0, err);
  if (status == 0) status = tpo_comm_bcast(kept->comm, mark, sizeof mark, 0, err);
  if (status == 0 && rank > 0) {
    status = see_mark(kept, mark, err);
    if (status == 0) status = journal_open(&kept->journal, kept->folder, work, rank, JOURNAL_WRITE, err);
  }
  status = tpo_comm_agree(kept->comm, status, err);
  if (rank == 0 && *mark && tpo_path_join(path, sizeof path, kept->folder, mark, NULL) == 0) unlink(path);
  return status;
}

/* Rank 0's text, for all; free() it. */
static int share_text(struct tpo_comm *comm, const char *text, char **out, struct tpo_error *err)
{
  bool first = tpo_comm_rank(comm) == 0;
  void *bytes = first ? strdup(text) : NULL;
  size_t len = bytes ? strlen(bytes) + 1 : 0;
  int status = tpo_comm_agree(comm, first && !bytes ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : 0, err);
  if (status == 0) status = tpo_comm_bcast_bytes(comm, &bytes, &len, 0, err);
  *out = bytes;
  return status;
}

int kept_open(struct kept **out, struct tpo_comm *comm, const char *folder, const char *work,
              enum kept_other other, struct tpo_error *err)
{
  char *shared = NULL;
  struct kept *kept = tpo_calloc(1, sizeof *kept, err);
  int status = kept ? 0 : TPO_E_MEMORY;
  *out = NULL;
  if (kept) {
    *kept = (struct kept){.comm = comm, .folder = strdup(folder), .lock = -1};
    if (!kept->folder) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  }
  if (status == 0 && tpo_comm_rank(comm) == 0) status = open_first(kept, work, other, err);
  status = tpo_comm_agree(comm, status, err);
  if (status == 0) status = share_text(comm, work, &shared, err);
  if (status == 0) status = open_others(kept, shared, err);
  free(shared);
  if (status == 0)
    *out = kept;
  else
    kept_close(kept);
  return status;
}

void kept_close(struct kept *kept)
{
  if (!kept) return;
  journal_close(kept->journal);
  unlock(kept);
  if (kept->folder && tpo_comm_rank(kept->comm) == 0) rmdir(kept->folder); /* where nothing is in it */
  free(kept->folder);
  free(kept);
}

static int make_name(char name[33], struct tpo_error *err)
{
  uint64_t random[2];
  if (getrandom(random, sizeof random, 0) != sizeof random)
    return tpo_fail(err, TPO_E_IO, "no random number: %m");
  snprintf(name, 33, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
  return 0;
}

int kept_name_attempt(struct kept *kept, uint64_t *attempt, char name[33], struct tpo_error *err)
{
  struct journal_piece piece;
  char key[40];
  for (*attempt = 1;; ++*attempt) {
    snprintf(key, sizeof key, "attempt %llu", (unsigned long long)*attempt);
    int found = journal_find(kept->journal, key, strlen(key), &piece, err);
    if (found < 0) return found;
    if (found == 0) break;
    if (piece.len != 32) continue;
    memcpy(name, piece.bytes, 32);
    name[32] = '\0';
  }
  int status = *name ? 0 : make_name(name, err);
  return status < 0 ? status : journal_append(kept->journal, key, strlen(key), name, 32, err);
}

int kept_tell(const struct kept *kept, int status, double mine, double all, const char *what,
              struct tpo_error *err)
{
  char some[40], of[40];
  if (status == 0 || status == TPO_E_COMM) return status; /* after that, nobody can be asked */
  if (tpo_comm_allreduce_sum_f64(kept->comm, &mine, 1, NULL) < 0 || mine == 0 || !err) return status;
  return tpo_fail(err, status, "%s; %s of %s %s are kept in %s", strdupa(err->message),
                  tpo_group_digits(mine, some), tpo_group_digits(all, of), what, kept->folder);
}

void kept_drop_empty(struct kept *kept, int status, double n)
{
  struct tpo_error err = {0};
  if (status == TPO_E_COMM || tpo_comm_allreduce_sum_f64(kept->comm, &n, 1, NULL) < 0) return;
  if (n == 0 && tpo_comm_rank(kept->comm) == 0 && journal_remove(kept->folder, &err) < 0)
    tpo_log(TPO_LOG_WARN, "%s", err.message);
}
