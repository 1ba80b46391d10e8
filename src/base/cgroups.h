/* The control groups that this process is in, of both versions: what a batch system or a container gave it. */
#ifndef TPO_BASE_CGROUPS_H
#define TPO_BASE_CGROUPS_H

#include "base/buf.h"
#include "tpo/base.h"

/* Where groups are looked for: proc and sys are below root, "/" but in tests. */
struct cgroups {
  const char *root;
  const char *controller; /* "cpu", "memory" */
};
/* A group's folder, as it is below root; second: of version 2. */
typedef void cgroups_take(void *arg, const struct cgroups *groups, const char *folder, bool second);

/* Tells of the process's own group and of all above it up to the mount, in each version that has the controller:
 * limits are set on any of them. A group that isn't seen below the mount (in a container) is taken for it. */
void cgroups_each(const struct cgroups *groups, cgroups_take *take, void *arg);

/* The text of a file below root, without zero bytes, at most 1 MiB; false: it can't be read. tpo_buf_free() it. */
bool cgroups_read(const struct cgroups *groups, const char *path, struct tpo_buf *out);
/* Those of a group's file: path is FOLDER/NAME. false: too long. */
bool cgroups_path(char path[4096], const char *folder, const char *name);
/* A file that holds one whole number; false: it can't be read, or is something else ("max"). */
bool cgroups_read_number(const struct cgroups *groups, const char *path, long long *number);
/* A whole number at *at, which moves behind it and the blank or line's end that follows. */
bool cgroups_next_number(const char **at, long long *number);

#endif
