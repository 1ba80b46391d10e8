/* Where a run stands, from what is in its folder alone. */
#ifndef TPO_REPORT_STATUS_STATUS_H
#define TPO_REPORT_STATUS_STATUS_H

#include "base/buf.h"
#include "base/json.h"

/* The facts that there are, as an object (README.md beside this folder has its fields); NULL where memory is short. */
json_t *status_facts(const char *dir, double now);
/* For people. */
void status_text(const json_t *facts, struct tpo_buf *out);

/* Inside. Each adds to `facts` what it finds; what is missing or can't be read adds nothing. */
void status_of_owner(json_t *facts, const char *dir, double now);
void status_of_ranks(json_t *facts, const char *dir);
void status_of_training(json_t *facts, const char *dir, double now);
/* Seconds from the file's last change until now; NaN: it is not there. */
double status_age(const char *path, double now);

#endif
