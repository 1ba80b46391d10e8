/* Monotonic seconds, and timestamps for files. */
#ifndef TPO_BASE_CLOCK_H
#define TPO_BASE_CLOCK_H

double tpo_seconds(void); /* monotonic */
/* "2026-01-31T12:00:00Z" now, or of SOURCE_DATE_EPOCH when that is set, so that files can be reproduced byte
 * for byte. */
void tpo_timestamp(char out[32]);

#endif
