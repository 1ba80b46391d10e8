/* Who works in a folder, where locks may not hold: a file that names host and process, whose heartbeat is
 * written every few seconds.
 *
 * File systems that hosts share may have no locks (Lustre without flock) or give each host its own (NFS
 * with local locks). Clocks of hosts differ, so no age decides: whoever finds the file of a process that
 * it can't look at watches whether its heartbeat moves. */
#ifndef TPO_STORE_OWNER_H
#define TPO_STORE_OWNER_H

#include "tpo/base.h"

#define OWNER_FILE "owner.json"

/* Seconds. */
struct owner_pace {
  double period; /* between two heartbeats */
  double watch;  /* so long a heartbeat that doesn't move is watched before the folder is taken over */
  double settle; /* after taking over, until it is certain that no other did at the same moment */
  bool locked;   /* the caller holds a lock of the folder's, which other processes of this host respect */
};
#define OWNER_PERIOD 5.
#define OWNER_WATCH 20.
#define OWNER_SETTLE 1.

struct owner;

/* Makes this process the owner of the folder, until owner_release; a thread keeps the heartbeat going. The
 * file of a process on this host that is gone is taken over at once, another one when its heartbeat
 * doesn't move, either with a warning. An owner that finds itself replaced (it was stopped for long) says
 * so and asks this process to stop, as SIGTERM would. Errors: TPO_E_USAGE, another process works there,
 * whose host and number the message has; TPO_E_INTERRUPTED while watching; TPO_E_IO, what stands there is
 * no file, or none can be written. */
int owner_claim(struct owner **out, const char *folder, const struct owner_pace *pace, struct tpo_error *err);
/* Ends the thread and removes the file if it is still this process's. NULL is fine. */
void owner_release(struct owner *owner);
/* Who the folder's file names, "pid 7 on host b07, whose heartbeat is 3 s old", for people; false: nobody. */
bool owner_tell(const char *folder, char out[400]);

#endif
