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

/* A decimal number, without a sign or an exponent; false: it is none. */
static bool read_number(const char *text, double *out)
{
  size_t digits = strspn(text, "0123456789"), end = digits;
  if (text[end] == '.') end += 1 + strspn(text + end + 1, "0123456789");
  if (digits == 0 || text[end] != '\0') return false;
  *out = fmin(strtod(text, NULL), 1e9);
  return true;
}

bool http_retry_after(const char *value, time_t now, double *seconds)
{
  if (read_number(value, seconds)) return true;
  /* Dates only: curl_getdate would read a bare number as one, too. */
  bool is_word = !strchr("0123456789+-.", *value);
  time_t then = is_word ? curl_getdate(value, NULL) : -1;
  if (then == -1) return false;
  *seconds = then > now ? difftime(then, now) : 0;
  return true;
}

bool http_retry_after_ms(const char *value, double *seconds)
{
  if (!read_number(value, seconds)) return false;
  *seconds /= 1000;
  return true;
}
