/* The owner file: claimed, kept alive by a thread, taken over, released. */
#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "store/owner_text.h"

struct owner {
  char path[4096];
  struct owner_text self;
  struct owner_pace pace;
  pthread_t thread;
  bool is_running, warned;
  bool stopping; /* under the mutex */
  pthread_mutex_t mutex;
  pthread_cond_t wake;
};

/* 1: the file's text; 0: there is no file; or a negative error. */
static int read_owner(const char *path, char text[OWNER_TEXT], struct tpo_error *err)
{
  struct stat info;
  memset(text, 0, OWNER_TEXT);
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ESTALE)) return 0;
  bool is_file = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  ssize_t n = is_file ? pread(fd, text, OWNER_TEXT - 1, 0) : 0;
  int why = errno;
  if (fd >= 0) close(fd);
  if (fd >= 0 && !is_file) return tpo_fail(err, TPO_E_IO, "%s: expected the file of a run's owner", path);
  if (fd < 0 || n < 0) return tpo_fail(err, TPO_E_IO, "%s: can't be read: %s", path, strerror(why));
  return 1;
}

/* Over what is there, or, fresh, only where nothing is; a failure's reason is in errno. */
static int write_owner(const struct owner *owner, bool fresh)
{
  char text[OWNER_TEXT];
  size_t len = owner_text_write(&owner->self, text);
  int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (fresh ? O_CREAT | O_EXCL : 0);
  int fd = open(owner->path, flags, 0666);
  if (fd < 0) return -1;
  bool ok =
      pwrite(fd, text, len, 0) == (ssize_t)len && (fresh || ftruncate(fd, (off_t)len) == 0) && fsync(fd) == 0;
  int why = errno;
  if (close(fd) < 0 && ok) return -1;
  errno = why;
  return ok ? 0 : -1;
}

static int cannot_write(const struct owner *owner, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", owner->path, strerror(errno));
}

static bool names_us(const struct owner *owner, const char text[OWNER_TEXT])
{
  struct owner_text other;
  return owner_text_read(&other, text) && strcmp(other.token, owner->self.token) == 0;
}

static bool is_ours(const struct owner *owner)
{
  char text[OWNER_TEXT];
  return read_owner(owner->path, text, NULL) > 0 && names_us(owner, text);
}

/* The age is by this host's clock, which needn't be the other's: for people alone. */
static void tell(const char *path, const struct owner_text *other, char out[400])
{
  char who[320];
  struct stat info;
  owner_text_tell(other, who);
  double age = stat(path, &info) == 0 ? difftime(time(NULL), info.st_mtime) : 0;
  snprintf(out, 400, "%s, whose heartbeat is %.0f s old", who, age > 0 ? age : 0);
}

static void tell_replaced(const struct owner *owner)
{
  char who[400], folder[4096];
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(owner->path, '/') - owner->path), owner->path);
  bool known = owner_tell(folder, who);
  tpo_log(TPO_LOG_ERROR,
          "%s no longer names this process%s%s; it stops, since two would write over each other", owner->path,
          known ? " but " : "", known ? who : "");
}

/* Returns whether this process still is the owner. A file that was removed comes back; one that can't be
 * read now may be next time. */
static bool beat(struct owner *owner)
{
  char text[OWNER_TEXT];
  int found = read_owner(owner->path, text, NULL);
  if (found > 0 && !names_us(owner, text)) {
    tell_replaced(owner);
    tpo_interrupt_ask(SIGTERM);
    return false;
  }
  owner->self.beat++;
  if (write_owner(owner, found == 0) < 0 && !owner->warned) {
    owner->warned = true;
    tpo_log(TPO_LOG_WARN, "%s: can't be written: %s; another run could take this folder for abandoned",
            owner->path, strerror(errno));
  }
  return true;
}

static void until(double seconds, struct timespec *out)
{
  clock_gettime(CLOCK_MONOTONIC, out);
  long long nanos = out->tv_nsec + (long long)(seconds * 1e9);
  out->tv_sec += nanos / 1000000000;
  out->tv_nsec = nanos % 1000000000;
}

static void *keep_beating(void *arg)
{
  struct owner *owner = arg;
  bool ours = true;
  struct timespec next;
  pthread_mutex_lock(&owner->mutex);
  while (!owner->stopping && ours) {
    int waited = 0;
    until(owner->pace.period, &next);
    while (!owner->stopping && waited == 0)
      waited = pthread_cond_timedwait(&owner->wake, &owner->mutex, &next);
    if (owner->stopping) break;
    pthread_mutex_unlock(&owner->mutex);
    ours = beat(owner);
    pthread_mutex_lock(&owner->mutex);
  }
  pthread_mutex_unlock(&owner->mutex);
  return NULL;
}

/* Signals are for the threads that were there before. */
static int start_beating(struct owner *owner, struct tpo_error *err)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&owner->thread, NULL, keep_beating, owner);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  owner->is_running = !failed;
  return failed ? tpo_fail(err, TPO_E_MEMORY, "the thread of the run's heartbeat can't be started: %s",
                           strerror(failed))
                : 0;
}

static int nap(double seconds, struct tpo_error *err)
{
  struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  if (!tpo_interrupted()) nanosleep(&time, NULL);
  return tpo_stopped(NULL, err);
}

static int refuse(const struct owner *owner, const struct owner_text *other, struct tpo_error *err)
{
  char who[400];
  tell(owner->path, other, who);
  return tpo_fail(err, TPO_E_USAGE,
                  "%.*s: another process is running in this folder, %s; name another --run-dir",
                  (int)(strrchr(owner->path, '/') - owner->path), owner->path, who);
}

/* 0: the text stood still; 1: the file is gone. */
static int watch(const struct owner *owner, const char first[OWNER_TEXT], struct tpo_error *err)
{
  char now[OWNER_TEXT];
  struct owner_text other;
  const struct owner_pace *pace = &owner->pace;
  for (double begin = tpo_seconds(); tpo_seconds() - begin < pace->watch;) {
    int status = nap(pace->period / 20, err);
    if (status < 0) return status;
    int found = read_owner(owner->path, now, err);
    if (found <= 0) return found < 0 ? found : 1;
    if (strcmp(now, first) != 0 && owner_text_read(&other, now)) /* else it is being written just now */
      return refuse(owner, &other, err);
  }
  return 0;
}

/* 0 once it is ruled out that the process which the text names is there still; 1: the file is gone. *here:
 * it was one of this host. */
static int rule_out(const struct owner *owner, const char text[OWNER_TEXT], bool *here, struct tpo_error *err)
{
  char who[320];
  struct owner_text other;
  bool known = owner_text_read(&other, text);
  snprintf(who, sizeof who, "a process that it doesn't tell, being damaged");
  if (known) owner_text_tell(&other, who);
  *here = known && owner_text_is_here(&other, &owner->self);
  if (*here) {
    if (owner_text_is_alive(&other)) return refuse(owner, &other, err);
    tpo_log(TPO_LOG_WARN, "%s: taken over from %s, which has ended without removing it", owner->path, who);
    return 0;
  }
  tpo_log(TPO_LOG_WARN, "%s names %s; for %g s it is watched whether its heartbeat moves", owner->path, who,
          owner->pace.watch);
  int status = watch(owner, text, err);
  if (status == 0)
    tpo_log(TPO_LOG_WARN, "%s: taken over from %s, whose heartbeat doesn't move", owner->path, who);
  return status;
}

/* What was ruled out is still what is there: then ours is written over it. Of several that do so at the
 * same moment the last one is the owner. 1: somebody else was faster. */
static int take_over(struct owner *owner, const char before[OWNER_TEXT], double settle, struct tpo_error *err)
{
  char now[OWNER_TEXT];
  int found = read_owner(owner->path, now, err);
  if (found < 0) return found;
  if (found == 0 || strcmp(now, before) != 0) return 1;
  if (write_owner(owner, false) < 0) return errno == ENOENT ? 1 : cannot_write(owner, err);
  int status = nap(settle, err);
  return status < 0 ? status : !is_ours(owner);
}

static int claim(struct owner *owner, struct tpo_error *err)
{
  for (;;) {
    bool here = false;
    char text[OWNER_TEXT];
    if (write_owner(owner, true) == 0) return 0;
    if (errno != EEXIST && errno != ELOOP) return cannot_write(owner, err);
    int status = read_owner(owner->path, text, err);
    if (status == 0) continue; /* it was removed just now */
    if (status > 0) status = rule_out(owner, text, &here, err);
    if (status == 0)
      status = take_over(owner, text, here && owner->pace.locked ? 0 : owner->pace.settle, err);
    if (status <= 0) return status;
  }
}

static int init(struct owner *owner, const char *folder, const struct owner_pace *pace, struct tpo_error *err)
{
  pthread_condattr_t clock;
  owner->pace = *pace;
  pthread_mutex_init(&owner->mutex, NULL);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&owner->wake, &clock);
  pthread_condattr_destroy(&clock);
  int status = tpo_path_join(owner->path, sizeof owner->path, folder, OWNER_FILE, err);
  return status < 0 ? status : owner_text_of_self(&owner->self, err);
}

int owner_claim(struct owner **out, const char *folder, const struct owner_pace *pace, struct tpo_error *err)
{
  *out = NULL;
  struct owner *owner = tpo_calloc(1, sizeof *owner, err);
  if (!owner) return TPO_E_MEMORY;
  int status = init(owner, folder, pace, err);
  bool claimed = status == 0 && (status = claim(owner, err)) == 0;
  if (claimed) status = start_beating(owner, err);
  if (status == 0)
    *out = owner;
  else if (claimed)
    owner_release(owner);
  else
    free(owner);
  return status;
}

void owner_release(struct owner *owner)
{
  if (!owner) return;
  pthread_mutex_lock(&owner->mutex);
  owner->stopping = true;
  pthread_cond_signal(&owner->wake);
  pthread_mutex_unlock(&owner->mutex);
  if (owner->is_running) pthread_join(owner->thread, NULL);
  if (is_ours(owner)) unlink(owner->path);
  pthread_cond_destroy(&owner->wake);
  pthread_mutex_destroy(&owner->mutex);
  free(owner);
}

bool owner_tell(const char *folder, char out[400])
{
  char path[4096], text[OWNER_TEXT];
  struct owner_text other;
  if (tpo_path_join(path, sizeof path, folder, OWNER_FILE, NULL) < 0 || read_owner(path, text, NULL) <= 0 ||
      !owner_text_read(&other, text))
    return false;
  tell(path, &other, out);
  return true;
}
