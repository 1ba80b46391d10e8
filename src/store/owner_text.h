/* What an owner file says of a process, and whether that process is still there. */
#ifndef TPO_STORE_OWNER_TEXT_H
#define TPO_STORE_OWNER_TEXT_H

#include "base/process.h"

enum { OWNER_TEXT = 1024 }; /* bytes of a file with the zero behind it, at most */

struct owner_text {
  char host[TPO_HOST_NAME];
  long long pid, started; /* started: as /proc/PID/stat has it, since the host was started */
  char place[128]; /* of the host's start and the namespace of its processes: where pid means something */
  char token[33];  /* of this owner alone */
  long long beat;
};

int owner_text_of_self(struct owner_text *self, struct tpo_error *err);
/* One line of JSON, of the same length whatever the beat; its length. */
size_t owner_text_write(const struct owner_text *owner, char out[OWNER_TEXT]);
/* false: it is not what was written. */
bool owner_text_read(struct owner_text *owner, const char *text);
/* Whether its process is one of those that `self` sees. */
bool owner_text_is_here(const struct owner_text *owner, const struct owner_text *self);
bool owner_text_is_alive(const struct owner_text *owner);            /* of one that is here */
void owner_text_tell(const struct owner_text *owner, char out[320]); /* "pid 7 on host b07" */

#endif
