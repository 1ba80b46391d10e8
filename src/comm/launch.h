/* What the launcher tells in the environment, before MPI is initialised: which rank this is, of how many, and
 * which of this host's have come. */
#ifndef TPO_COMM_LAUNCH_H
#define TPO_COMM_LAUNCH_H

#include <sys/types.h>
#include "base/buf.h"
#include "tpo/base.h"

struct comm_launch {
  bool started;   /* by a launcher that speaks to MPI */
  long size;      /* ranks; 0: not told */
  int rank;       /* -1: not told */
  int local_size; /* ranks on this host; 0: not told */
  uint64_t job;   /* tells this job's ranks from those of others on this host; 0: not told */
  int announced;  /* socket that the others look for; -1: none */
};

/* TPO_E_USAGE where a launcher started ranks that can't find each other. */
int comm_launch_read(struct comm_launch *launch, struct tpo_error *err);

/* Makes this rank known on its host until it is withdrawn, or the process ends. */
void comm_launch_announce(struct comm_launch *launch);
void comm_launch_withdraw(struct comm_launch *launch);

enum comm_presence {
  COMM_ABSENT, /* or on another host */
  COMM_PRESENT,
  COMM_STOPPED, /* by a signal or a debugger */
  COMM_BLOCKED, /* in the kernel, by a disk or a network file system */
};
struct comm_seen {
  enum comm_presence presence;
  pid_t pid; /* 0: not known */
};
/* What of that rank is seen on this host. */
struct comm_seen comm_launch_look(const struct comm_launch *launch, int rank);

/* Appends one sentence: who is missing, as far as it can be told from what this rank sees [size] on its host.
 * Returns whether a rank of this host keeps the others waiting. */
bool comm_launch_explain(const struct comm_launch *launch, const struct comm_seen *seen, const char *host,
                         int seconds, struct tpo_buf *text);

#endif
