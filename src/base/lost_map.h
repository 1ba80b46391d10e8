/* A mapped file whose bytes can't be had: its disk fails, or it was cut while it was read. The kernel tells
 * that by a signal, which ends a process without a word. */
#ifndef TPO_BASE_LOST_MAP_H
#define TPO_BASE_LOST_MAP_H

/* From here on such a process says which file it is, on standard error, and exits with status 1. For
 * programs: a library leaves signals alone. */
void tpo_lost_map_tell(void);

#endif
