/* strftime_now: the date that the rendering was given, in C's locale, as Python writes it. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "text/jinja/builtin/builtins.h"

static int parse_date(struct jinja_run *run, struct tm *tm)
{
  *tm = (struct tm){0};
  const char *date = run->date ? run->date : "";
  int year = 0, month = 0,
      fields = sscanf(date, "%4d-%2d-%2dT%2d:%2d:%2d", &year, &month, &tm->tm_mday, &tm->tm_hour, &tm->tm_min,
                      &tm->tm_sec);
  tm->tm_year = year - 1900;
  tm->tm_mon = month - 1;
  struct tm normal = *tm;
  bool good = (fields == 3 || fields == 6) && timegm(&normal) != -1 && normal.tm_mon == tm->tm_mon &&
              normal.tm_mday == tm->tm_mday && normal.tm_hour == tm->tm_hour && normal.tm_min == tm->tm_min;
  if (!good)
    return jinja_fail(run, TPO_E_INPUT,
                      "strftime_now: the date '%s' is not of the form 2024-07-26 or 2024-07-26T12:00:00",
                      date);
  *tm = normal;
  return 0;
}

/* One directive with glibc's flags and width: bytes [begin, end) of the format. */
static int convert(struct jinja_run *run, const struct tm *tm, const struct jinja_string *format,
                   size_t begin, size_t end, struct jinja_builder *b)
{
  char directive[16], text[200];
  char c = format->bytes[end - 1];
  size_t len = end - begin;
  if (c == 'z' || c == 'Z') return 0; /* a time without a zone */
  if (c == 'f') {
    jinja_build_text(b, "000000");
    return 0;
  }
  if (!c || !strchr("aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY%", c) || len >= sizeof directive)
    return jinja_fail(run, TPO_E_UNSUPPORTED, "strftime_now: the directive %%%c is not supported",
                      c ? c : ' ');
  memcpy(directive, format->bytes + begin, len);
  directive[len] = '\0';
  size_t written = strftime(text, sizeof text, directive, tm);
  if (written == 0)
    return jinja_fail(run, TPO_E_UNSUPPORTED, "strftime_now: the directive %s is not supported", directive);
  jinja_build_bytes(b, text, written, 0);
  return 0;
}

int jinja_strftime(struct jinja_run *run, const struct jinja_string *format, struct jinja_value *out)
{
  struct tm tm;
  struct jinja_builder b = {.run = run};
  if (parse_date(run, &tm) < 0) return TPO_E_INPUT;
  for (size_t at = 0; at < format->len;) {
    const char *mark = memchr(format->bytes + at, '%', format->len - at);
    size_t begin = mark ? (size_t)(mark - format->bytes) : format->len;
    jinja_build_slice(&b, format, at, begin);
    if (!mark) break;
    at = begin + 1;
    while (at < format->len && format->bytes[at] && strchr("-_0^#", format->bytes[at])) at++;
    while (at < format->len && at - begin < 5 && format->bytes[at] >= '0' && format->bytes[at] <= '9') at++;
    if (at == format->len) { /* a % without a directive stays what it is */
      jinja_build_slice(&b, format, begin, at);
      break;
    }
    at++;
    if (convert(run, &tm, format, begin, at, &b) < 0) return TPO_E_INPUT;
  }
  return jinja_build_end(&b, out);
}
