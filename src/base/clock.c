/* Monotonic seconds, and timestamps that SOURCE_DATE_EPOCH can fix. */
#include <stdbool.h>
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

/* Whether SOURCE_DATE_EPOCH tells the time: up to the end of the year
 * 9999, the last that a timestamp shows. */
static bool fixed_time(time_t *out)
{
  const char *fixed = getenv("SOURCE_DATE_EPOCH");
  char *end;
  if (!fixed || !*fixed) return false;
  long long seconds = strtoll(fixed, &end, 10);
  if (*end != '\0' || seconds < 0 || seconds > 253402300799LL) return false;
  *out = (time_t)seconds;
  return true;
}

double tpo_wall_seconds(void)
{
  struct timespec now;
  time_t fixed;
  if (fixed_time(&fixed)) return (double)fixed;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tpo_timestamp(char out[32])
{
  time_t now;
  if (!fixed_time(&now)) now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  if (strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) out[0] = '\0';
}
