/* How long to wait before a server is asked again. */
#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/philox.h"
#include "ask/http/protocol.h"

double http_pause(int failures, uint64_t seed, uint64_t question)
{
  const double first = 0.5, longest = 30;
  struct tpo_rng rng;
  tpo_rng_init(&rng, seed, TPO_STREAM_PAUSE, question, (uint32_t)failures);
  double pause = failures > 10 ? longest : fmin(longest, ldexp(first, failures - 1));
  return pause * (0.5 + 0.5 * tpo_rng_uniform(&rng));
}

bool http_retry_after(const char *value, time_t now, double *seconds)
{
  size_t digits = strspn(value, "0123456789");
  if (digits > 0 && value[digits] == '\0') {
    *seconds = digits < 10 ? strtod(value, NULL) : 1e9;
    return true;
  }
  /* Dates only: curl_getdate would read a bare number as one, too. */
  time_t then = digits == 0 && *value != '-' ? curl_getdate(value, NULL) : -1;
  if (then == -1) return false;
  *seconds = then > now ? difftime(then, now) : 0;
  return true;
}
