/* Log lines on standard error, as text or JSON; ranks other than 0 tell errors alone. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/visible.h"

static _Atomic int log_level = TPO_LOG_INFO;
static _Atomic bool log_json = false;
static _Atomic int log_rank = 0;
static const struct log_bar *log_bar;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void log_lock(void)
{
  pthread_mutex_lock(&lock);
}

void log_unlock(void)
{
  pthread_mutex_unlock(&lock);
}

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

void log_set_bar(const struct log_bar *bar)
{
  log_lock();
  log_bar = bar;
  log_unlock();
}

static void append_json(struct tpo_buf *line, enum tpo_log_level level, const char *fields,
                        const char *message)
{
  static const char *const names[] = {"error", "warning", "info", "debug"};
  char now[32];
  tpo_timestamp(now);
  tpo_buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"rank\":%d,\"message\":", now, names[level],
                 log_rank);
  tpo_json_append_string(line, message, strlen(message));
  if (fields) tpo_buf_printf(line, ",%s", fields);
  tpo_buf_puts(line, "}\n");
}

static void append_plain(struct tpo_buf *line, enum tpo_log_level level, const char *message)
{
  static const char *const prefixes[] = {"error: ", "warning: ", "", "debug: "};
  if (log_rank != 0) tpo_buf_printf(line, "rank %d: ", log_rank);
  tpo_buf_printf(line, "%s%s\n", prefixes[level], message);
}

/* One write a line, so that lines of several ranks don't mix. There is nobody to tell when it fails. */
static void write_line(const struct tpo_buf *line)
{
  if (!line->data || line->failed) return;
  log_lock();
  if (log_bar) log_bar->hide(log_bar->arg);
  ssize_t written = write(STDERR_FILENO, line->data, line->len);
  (void)written;
  if (log_bar) log_bar->show(log_bar->arg);
  log_unlock();
}

static void log_message(enum tpo_log_level level, const char *fields, const char *format, va_list args)
{
  if ((int)level > log_level || (log_rank != 0 && level != TPO_LOG_ERROR)) return;
  struct tpo_buf message = {0}, shown = {0}, line = {0};
  va_list again;
  va_copy(again, args);
  char text[4096];
  int len = vsnprintf(text, sizeof text, format, args);
  if (len >= 0 && (size_t)len < sizeof text)
    tpo_buf_append(&message, text, (size_t)len);
  else if (len >= 0 && (message.data = malloc((size_t)len + 1)))
    vsnprintf(message.data, (size_t)len + 1, format, again);
  va_end(again);
  if (len < 0) return;
  const char *whole = message.data ? message.data : text;
  tpo_visible_append(&shown, whole, strlen(whole));
  if (log_json)
    append_json(&line, level, fields, shown.data ? shown.data : "");
  else
    append_plain(&line, level, shown.data ? shown.data : "");
  write_line(&line);
  tpo_buf_free(&line);
  tpo_buf_free(&shown);
  tpo_buf_free(&message);
}

void tpo_log(enum tpo_log_level level, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  log_message(level, NULL, format, args);
  va_end(args);
}

void log_with_fields(enum tpo_log_level level, const char *fields, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  log_message(level, fields, format, args);
  va_end(args);
}
