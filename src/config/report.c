/* Problems of a configuration are gathered, so that all of them are told at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/keys.h"

enum { MAX_LINES = 100 };

void config_problem(struct config_report *report, int code, const char *place, int line, const char *format,
                    ...)
{
  struct tpo_error message = {0}; /* for its bounded, printable text */
  char text[sizeof message.message];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (line > 0)
    tpo_fail(&message, code, "%s:%d: %s", place, line, text);
  else
    tpo_fail(&message, code, "%s: %s", place, text);
  if (report->count++ == 0) {
    report->code = code;
    memcpy(report->first, message.message, sizeof report->first);
  }
  if (report->count <= MAX_LINES) tpo_buf_printf(&report->lines, "%s\n", message.message);
}

int config_report_end(struct config_report *report, char **out, struct tpo_error *err)
{
  if (out) *out = NULL;
  if (report->count == 0) return 0;
  if (report->count > MAX_LINES)
    tpo_buf_printf(&report->lines, "and %d more problems\n", report->count - MAX_LINES);
  if (out)
    *out = tpo_buf_take(&report->lines);
  else
    tpo_buf_free(&report->lines);
  if (report->count == 1) return tpo_fail(err, report->code, "%s", report->first);
  return tpo_fail(err, report->code, "%.950s (the first of %d problems)", report->first, report->count);
}
