/* What the log has beside the public functions: numbers in a line, and a bar on the terminal that its lines
 * must not run into. */
#ifndef TPO_BASE_LOG_H
#define TPO_BASE_LOG_H

#include "tpo/base.h"

/* Something that stands on the last line of the terminal: taken away before a log line is written, and put
 * back after it. */
struct log_bar {
  void (*hide)(void *arg);
  void (*show)(void *arg);
  void *arg;
};
/* Threads write lines one at a time; who draws the bar keeps them out meanwhile, and may write lines itself. */
void log_lock(void);
void log_unlock(void);
/* Borrowed until the next call; NULL: there is none. */
void log_set_bar(const struct log_bar *bar);

/* As tpo_log; in a JSON log the object has `fields` too: members of an object, '"done":1,"total":2'. */
void log_with_fields(enum tpo_log_level level, const char *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
