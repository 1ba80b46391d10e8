/* The bar, and the rule by which lines take its place. */
#include "base/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum { FEWEST_CELLS = 8, MOST_CELLS = 30 };
static const double draw_every = 0.1, line_every = 10, later_line_every = 60, later = 600,
                    step_of_line = 0.05, step_every = 2;

void tpo_watch_tell(const struct tpo_watch *watch, double share)
{
  if (watch && watch->tell) watch->tell(watch->arg, share);
}

void progress_begin(struct progress *p, enum progress_kind kind, int fd, double (*clock)(void))
{
  *p = (struct progress){.kind = kind,
                         .fd = fd,
                         .clock = clock ? clock : tpo_seconds,
                         .bar = {.hide = progress_hide, .show = progress_show, .arg = p}};
  if (kind == PROGRESS_BAR) log_set_bar(&p->bar);
}

/* There is nobody to tell when it fails. */
static void put(const struct progress *p, const char *text)
{
  ssize_t written = write(p->fd, text, strlen(text));
  (void)written;
}

void progress_hide(void *progress)
{
  struct progress *p = progress;
  if (p->visible) put(p, "\r\033[K");
  p->visible = false;
  if (p->ended) *p->text = '\0'; /* what is finished isn't drawn again */
}

void progress_show(void *progress)
{
  struct progress *p = progress;
  if (p->kind != PROGRESS_BAR || p->visible || !*p->text) return;
  put(p, p->text);
  p->visible = true;
}

void progress_end(struct progress *p)
{
  log_lock();
  progress_hide(p);
  if (p->kind == PROGRESS_BAR) log_set_bar(NULL);
  p->kind = PROGRESS_NONE;
  log_unlock();
}

/* A phase's rate, units a second, and what is left of it; NAN: not known yet. */
struct pace {
  double rate, seconds_left;
};

static struct pace pace_of(const struct progress *p, const struct tpo_progress *at, double now)
{
  struct pace pace = {NAN, NAN};
  double seconds = now - p->begin, more = at->done - p->first;
  if (!(seconds > 0) || !(more > 0)) return pace;
  pace.rate = more / seconds;
  if (at->total > 0) pace.seconds_left = fmax(at->total - at->done, 0) / pace.rate;
  return pace;
}

/* Full at the end alone. */
static double share_of(const struct tpo_progress *at)
{
  return at->done >= at->total ? 1 : at->done > 0 ? at->done / at->total : 0;
}

static int percent_of(const struct tpo_progress *at)
{
  return (int)(100 * share_of(at));
}

static void append_pace(struct tpo_buf *out, const char *before, const struct tpo_progress *at,
                        const struct pace *pace)
{
  double left = pace->seconds_left;
  if (isfinite(pace->rate))
    tpo_buf_printf(out, pace->rate < 100 ? "%s%.3g %s/s" : "%s%.0f %s/s", before, pace->rate, at->unit);
  if (!isfinite(left) || at->done >= at->total) return;
  if (left < 100)
    tpo_buf_printf(out, "%s%.0f s left", before, left);
  else if (left < 100 * 60)
    tpo_buf_printf(out, "%s%.0f min left", before, left / 60);
  else
    tpo_buf_printf(out, "%s%.1f h left", before, left / 3600);
}

/* No wider than the terminal: a line that goes on in the next one can't be taken away. */
static size_t columns(const struct progress *p)
{
  struct winsize size = {0};
  return ioctl(p->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* "sampling   [###.......]  34 %" and what follows; cells are as many as the rest of the line leaves. */
static void append_bar(struct tpo_buf *out, const struct tpo_progress *at, const char *rest, size_t width)
{
  char cells[MOST_CELLS + 1] = "";
  size_t taken = sizeof "sampling   [] 100 %" - 1 + strlen(rest);
  int n = taken + MOST_CELLS <= width    ? MOST_CELLS
          : taken + FEWEST_CELLS > width ? FEWEST_CELLS
                                         : (int)(width - taken);
  int full = (int)(n * share_of(at));
  for (int i = 0; i < n; i++) cells[i] = i < full ? '#' : '.';
  tpo_buf_printf(out, "%-10s [%s] %3d %%%s", at->phase, cells, percent_of(at), rest);
}

static void draw(struct progress *p, const struct tpo_progress *at, double now)
{
  struct tpo_buf text = {0}, rest = {0};
  struct pace pace = pace_of(p, at, now);
  size_t width = columns(p) - 1;
  append_pace(&rest, "  ", at, &pace);
  if (at->note && *at->note) tpo_buf_printf(&rest, "  %s", at->note);
  if (at->total > 0)
    append_bar(&text, at, rest.data ? rest.data : "", width);
  else
    tpo_buf_printf(&text, "%-10s %.0f %s%s", at->phase, at->done, at->unit, rest.data ? rest.data : "");
  if (!rest.failed && !text.failed) {
    progress_hide(p);
    snprintf(p->text, sizeof p->text, "%.*s", (int)(width < sizeof p->text ? width : sizeof p->text),
             text.data);
    progress_show(p);
  }
  tpo_buf_free(&rest);
  tpo_buf_free(&text);
  p->drawn = now;
}

static void append_number(struct tpo_buf *out, const char *name, double value)
{
  tpo_buf_printf(out, ",\"%s\":", name);
  if (isfinite(value))
    tpo_json_append_double(out, value);
  else
    tpo_buf_puts(out, "null");
}

static void write_line(struct progress *p, const struct tpo_progress *at, double now)
{
  struct tpo_buf text = {0}, fields = {0};
  struct pace pace = pace_of(p, at, now);
  if (at->total > 0)
    tpo_buf_printf(&text, "%s: %d %%, %.0f of %.0f %s", at->phase, percent_of(at), at->done, at->total,
                   at->unit);
  else
    tpo_buf_printf(&text, "%s: %.0f %s", at->phase, at->done, at->unit);
  append_pace(&text, ", ", at, &pace);
  if (at->note && *at->note) tpo_buf_printf(&text, "; %s", at->note);
  tpo_buf_puts(&fields, "\"phase\":");
  tpo_json_append_string(&fields, at->phase, strlen(at->phase));
  tpo_buf_puts(&fields, ",\"unit\":");
  tpo_json_append_string(&fields, at->unit, strlen(at->unit));
  append_number(&fields, "done", at->done);
  append_number(&fields, "total", at->total > 0 ? at->total : NAN);
  append_number(&fields, "rate", floor(pace.rate * 1e3 + 0.5) / 1e3);
  append_number(&fields, "seconds_left", floor(pace.seconds_left * 10 + 0.5) / 10);
  if (!text.failed && !fields.failed) log_with_fields(TPO_LOG_INFO, fields.data, "%s", text.data);
  tpo_buf_free(&text);
  tpo_buf_free(&fields);
  p->told = now;
  p->told_done = at->done;
  p->any_line = true;
}

static bool is_line_due(const struct progress *p, const struct tpo_progress *at, double now)
{
  double since = now - p->told, more = at->done - p->told_done;
  if (at->total > 0 && at->done >= at->total) return p->any_line;
  if (!(more > 0)) return false;
  if (at->total > 0 && more >= step_of_line * at->total && since >= step_every) return true;
  return since >= (now - p->begin < later ? line_every : later_line_every);
}

static void begin_phase(struct progress *p, const struct tpo_progress *at, double now)
{
  snprintf(p->phase, sizeof p->phase, "%s", at->phase);
  p->begin = p->told = now;
  p->first = p->told_done = at->done;
  p->any_line = false;
}

static void update(struct progress *p, const struct tpo_progress *at)
{
  double now = p->clock();
  bool ends = at->total > 0 && at->done >= at->total;
  bool begins =
      p->ended || (at->done < p->done && !ends) || strncmp(p->phase, at->phase, sizeof p->phase - 1) != 0;
  if (begins) begin_phase(p, at, now);
  p->done = at->done;
  p->ended = ends;
  if (p->kind == PROGRESS_LINES && is_line_due(p, at, now)) write_line(p, at, now);
  if (p->kind == PROGRESS_BAR && (begins || p->ended || now - p->drawn >= draw_every)) draw(p, at, now);
}

void progress_update(void *progress, const struct tpo_progress *at)
{
  struct progress *p = progress;
  if (p->kind == PROGRESS_NONE) return;
  log_lock(); /* lines that another thread writes hide what is drawn here */
  update(p, at);
  log_unlock();
}
