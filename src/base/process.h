/* What the system tells of this host and of processes on it. */
#ifndef TPO_BASE_PROCESS_H
#define TPO_BASE_PROCESS_H

#include "tpo/base.h"

enum { TPO_HOST_NAME = 256 };
void tpo_host_name(char out[TPO_HOST_NAME]); /* "unknown" where it has none */
/* The process's state, a letter as in ps, and when it was started, in ticks since the host was. False where nothing
 * is told of it. */
bool tpo_process_stat(long long pid, char *state, long long *started);

#endif
