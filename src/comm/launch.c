/* Ranks of one host see each other by listening on names of the kernel's own (abstract sockets), which go
 * with the process and leave no file. Nobody answers there: that the name exists, and whose it is, is all
 * that is asked, so a stopped process is seen as well. */
#include "comm/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/process.h"

/* The number in an environment variable, `missing` when it is absent or no number. */
static long env_number(const char *name, long missing)
{
  const char *text = getenv(name);
  if (!text || !*text) return missing;
  errno = 0;
  char *end;
  long value = strtol(text, &end, 10);
  return errno || *end ? missing : value;
}

/* The first of the variables that holds a number. */
static long first_number(const char *const *names, size_t n, long missing)
{
  for (size_t i = 0; i < n; i++) {
    long value = env_number(names[i], -1);
    if (value >= 0) return value;
  }
  return missing;
}

static uint64_t read_job(void)
{
  static const char *const names[] = {"PMIX_NAMESPACE", "PMIX_SERVER_URI2", "SLURM_JOB_ID", "SLURM_STEP_ID",
                                      "PMI_PORT"};
  char text[1024] = "";
  size_t len = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names && len < sizeof text; i++) {
    const char *value = getenv(names[i]);
    if (value && *value) len += (size_t)snprintf(text + len, sizeof text - len, "%s=%s ", names[i], value);
  }
  return len ? tpo_hash64_str(text) : 0;
}

/* A Slurm job's own variables alone say nothing: the batch script has them too, and MPI initialised there
 * would end the process. */
int comm_launch_read(struct comm_launch *launch, struct tpo_error *err)
{
  static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
  static const char *const locals[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"};
  long tasks = getenv("SLURM_PROCID") ? env_number("SLURM_STEP_NUM_TASKS", 0) : 0;
  *launch = (struct comm_launch){.started = true, .announced = -1};
  if (getenv("OMPI_COMM_WORLD_SIZE"))
    launch->size = env_number("OMPI_COMM_WORLD_SIZE", 0);
  else if (getenv("PMI_RANK"))
    launch->size = env_number("PMI_SIZE", 0);
  else if (getenv("PMIX_RANK"))
    launch->size = tasks;
  else
    launch->started = false;
  launch->rank = (int)first_number(ranks, sizeof ranks / sizeof *ranks, -1);
  launch->local_size = (int)first_number(locals, sizeof locals / sizeof *locals, 0);
  launch->job = launch->started ? read_job() : 0;
  if (!launch->started && tasks > 1)
    return tpo_fail(err, TPO_E_USAGE,
                    "srun started %ld tasks that cannot find each other; use srun --mpi=pmix, or mpirun",
                    tasks);
  return 0;
}

/* A name in the abstract space: it begins with a NUL. */
static socklen_t name_of(const struct comm_launch *launch, int rank, struct sockaddr_un *address)
{
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  int len = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "tpo-start-%016llx-%d",
                     (unsigned long long)launch->job, rank);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

void comm_launch_announce(struct comm_launch *launch)
{
  struct sockaddr_un address;
  if (!launch->job || launch->rank < 0) return;
  socklen_t len = name_of(launch, launch->rank, &address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && (bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, SOMAXCONN) < 0)) {
    close(fd);
    fd = -1;
  }
  launch->announced = fd;
}

void comm_launch_withdraw(struct comm_launch *launch)
{
  if (launch->announced >= 0) close(launch->announced);
  launch->announced = -1;
}

static enum comm_presence state_of(pid_t pid)
{
  char state = '?';
  long long started;
  if (pid > 0) tpo_process_stat(pid, &state, &started);
  return state == 'T' || state == 't' ? COMM_STOPPED : state == 'D' ? COMM_BLOCKED : COMM_PRESENT;
}

struct comm_seen comm_launch_look(const struct comm_launch *launch, int rank)
{
  struct comm_seen seen = {COMM_ABSENT, 0};
  struct sockaddr_un address;
  struct ucred owner = {0};
  socklen_t len = name_of(launch, rank, &address), size = sizeof owner;
  if (rank == launch->rank) return (struct comm_seen){COMM_PRESENT, getpid()};
  int fd = launch->job ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
  if (fd < 0) return seen;
  if (connect(fd, (struct sockaddr *)&address, len) == 0) {
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0) seen.pid = owner.pid;
    seen.presence = state_of(seen.pid);
  } else if (errno == EAGAIN) {
    seen.presence = COMM_PRESENT; /* so many have asked already that no more are taken */
  }
  close(fd);
  return seen;
}

/* "ranks 1, 2" of those with that presence; returns how many they are. */
static int append_ranks(struct tpo_buf *text, const struct comm_seen *seen, long size,
                        enum comm_presence presence)
{
  enum { TOLD_MOST = 16 };
  int n = 0, told = 0;
  for (long r = 0; r < size; r++) n += seen[r].presence == presence;
  if (n > 0) tpo_buf_puts(text, n == 1 ? "rank" : "ranks");
  for (long r = 0; r < size && told < TOLD_MOST; r++) {
    if (seen[r].presence != presence) continue;
    tpo_buf_printf(text, told++ ? ", %ld" : " %ld", r);
    if (presence >= COMM_STOPPED && seen[r].pid > 0) tpo_buf_printf(text, " (process %d)", (int)seen[r].pid);
  }
  if (n > told) tpo_buf_printf(text, " and %d more", n - told);
  return n;
}

/* Those that came but don't go on. */
static bool tell_halted(const struct comm_launch *launch, const struct comm_seen *seen, const char *host,
                        struct tpo_buf *text)
{
  static const char *const what[] = {[COMM_STOPPED] = "stopped by a signal or a debugger",
                                     [COMM_BLOCKED] = "waiting for a disk or a network file system"};
  bool any = false;
  for (int presence = COMM_STOPPED; presence <= COMM_BLOCKED; presence++) {
    struct tpo_buf ranks = {0};
    int n = append_ranks(&ranks, seen, launch->size, (enum comm_presence)presence);
    if (n > 0)
      tpo_buf_printf(text, "%s%s on host %s %s %s", any ? ", " : "", ranks.data ? ranks.data : "", host,
                     n == 1 ? "is" : "are", what[presence]);
    any = any || n > 0;
    tpo_buf_free(&ranks);
  }
  return any;
}

/* Where all of this host's ranks have come; local_size tells whether those are all. */
static void tell_come(const struct comm_launch *launch, const struct comm_seen *seen, const char *host,
                      struct tpo_buf *text)
{
  static const char elsewhere[] =
      "; another host may be down or slow, or its ranks hang before their program "
      "begins (a file system, a container)";
  if (launch->local_size == launch->size) {
    tpo_buf_printf(text,
                   "all came, on host %s, but MPI did not connect them; its network interfaces or its shared "
                   "memory may not be usable",
                   host);
  } else if (launch->local_size > 0) {
    tpo_buf_printf(text, "all %d of host %s came, so that one of another host is missing%s",
                   launch->local_size, host, elsewhere);
  } else {
    append_ranks(text, seen, launch->size, COMM_PRESENT);
    tpo_buf_printf(text, " came on host %s, of the others nothing is known here%s", host, elsewhere);
  }
}

/* Those of this host that were not seen, where that many are missing of it. */
static bool tell_absent(const struct comm_launch *launch, const struct comm_seen *seen, const char *host,
                        struct tpo_buf *text)
{
  int come = 0;
  for (long r = 0; r < launch->size; r++) come += seen[r].presence != COMM_ABSENT;
  if (come >= launch->local_size) return false;
  if (launch->local_size == launch->size) {
    append_ranks(text, seen, launch->size, COMM_ABSENT);
    tpo_buf_printf(text, " did not come, on host %s", host);
  } else {
    tpo_buf_printf(text, "of the %d ranks on host %s only ", launch->local_size, host);
    append_ranks(text, seen, launch->size, COMM_PRESENT);
    tpo_buf_puts(text, " came");
  }
  tpo_buf_puts(text,
               "; one may hang before its program begins (a file system, a container, a wrapper), or end "
               "without a word");
  return true;
}

bool comm_launch_explain(const struct comm_launch *launch, const struct comm_seen *seen, const char *host,
                         int seconds, struct tpo_buf *text)
{
  tpo_buf_puts(text, "the ");
  if (launch->size > 0) tpo_buf_printf(text, "%ld ", launch->size);
  tpo_buf_printf(text, "ranks were not together within %d seconds (run.start_deadline): ", seconds);
  if (!launch->job) {
    tpo_buf_printf(text, "one on host %s waited for the others, of which nothing is known", host);
    return false;
  }
  if (tell_halted(launch, seen, host, text) || tell_absent(launch, seen, host, text)) return true;
  tell_come(launch, seen, host, text);
  return false;
}
