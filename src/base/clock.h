/* Monotonic seconds, and timestamps for files. */
#ifndef TPO_BASE_CLOCK_H
#define TPO_BASE_CLOCK_H

double tpo_seconds(void); /* monotonic */
/* Seconds since 1970 now, or SOURCE_DATE_EPOCH when that is set. */
double tpo_wall_seconds(void);
/* "2026-01-31T12:00:00Z" now, or of SOURCE_DATE_EPOCH when that is set, so that files can be reproduced byte
 * for byte. */
void tpo_timestamp(char out[32]);

#endif
