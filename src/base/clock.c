#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"

double tpo_seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tpo_timestamp(char out[32])
{
  time_t now = time(NULL);
  const char *fixed = getenv("SOURCE_DATE_EPOCH");
  if (fixed && *fixed) {
    char *end;
    long long seconds = strtoll(fixed, &end, 10);
    /* Up to the end of the year 9999, the last that the form can show. */
    if (*end == '\0' && seconds >= 0 && seconds <= 253402300799LL) now = (time_t)seconds;
  }
  struct tm utc;
  gmtime_r(&now, &utc);
  if (strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) out[0] = '\0';
}
