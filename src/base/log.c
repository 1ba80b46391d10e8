/* Log lines on standard error, as text or JSON; ranks other than 0 tell errors alone. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/visible.h"

static _Atomic int log_level = TPO_LOG_INFO;
static _Atomic bool log_json = false;
static _Atomic int log_rank = 0;

void tpo_log_setup(enum tpo_log_level level, bool json, int rank)
{
  log_level = level;
  log_json = json;
  log_rank = rank;
}

enum tpo_log_level tpo_log_level(void)
{
  return (enum tpo_log_level)log_level;
}

static void append_json(struct tpo_buf *line, enum tpo_log_level level, const char *message)
{
  static const char *const names[] = {"error", "warning", "info", "debug"};
  char now[32];
  tpo_timestamp(now);
  tpo_buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"rank\":%d,\"message\":", now, names[level],
                 log_rank);
  tpo_json_append_string(line, message, strlen(message));
  tpo_buf_puts(line, "}\n");
}

static void append_plain(struct tpo_buf *line, enum tpo_log_level level, const char *message)
{
  static const char *const prefixes[] = {"error: ", "warning: ", "", "debug: "};
  if (log_rank != 0) tpo_buf_printf(line, "rank %d: ", log_rank);
  tpo_buf_printf(line, "%s%s\n", prefixes[level], message);
}

void tpo_log(enum tpo_log_level level, const char *format, ...)
{
  if ((int)level > log_level || (log_rank != 0 && level != TPO_LOG_ERROR)) return;
  struct tpo_buf message = {0}, shown = {0}, line = {0};
  va_list args;
  va_start(args, format);
  char text[4096];
  int len = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (len < 0) return;
  if ((size_t)len < sizeof text) {
    tpo_buf_append(&message, text, (size_t)len);
  } else if ((message.data = malloc((size_t)len + 1))) {
    va_start(args, format);
    vsnprintf(message.data, (size_t)len + 1, format, args);
    va_end(args);
  }
  const char *whole = message.data ? message.data : text;
  tpo_visible_append(&shown, whole, strlen(whole));
  if (log_json)
    append_json(&line, level, shown.data ? shown.data : "");
  else
    append_plain(&line, level, shown.data ? shown.data : "");
  /* One write a line, so that lines of several ranks don't mix. There is nobody to tell when it fails. */
  if (line.data && !line.failed) {
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written;
  }
  tpo_buf_free(&line);
  tpo_buf_free(&shown);
  tpo_buf_free(&message);
}
