/* How much memory the process's control groups leave it: what a batch system or a container gave. */
#ifndef TPO_BASE_MEMORY_LIMIT_H
#define TPO_BASE_MEMORY_LIMIT_H

#include <stddef.h>

/* Bytes that may still be taken before the tightest limit of the process's groups and those above them is
 * met, counting file pages as free, which the kernel gives back first; SIZE_MAX: no limit is set. root: the
 * folder that proc and sys are in, "/" but in tests. */
size_t memory_limit_room(const char *root);

#endif
