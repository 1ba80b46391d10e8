/* A model's metrics among others' in a CSV. */
#include "eval/alpaca/leaderboard.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

enum { MOST_BYTES = 64 << 20 };
static const char header[] =
    ",win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total,discrete_win_rate,mode,"
    "avg_length,length_controlled_winrate,lc_standard_error";

static void put_cell(struct tpo_buf *out, double x)
{
  tpo_buf_putc(out, ',');
  if (isfinite(x)) tpo_json_append_double(out, x);
}

static void put_name(struct tpo_buf *out, const char *name)
{
  tpo_buf_putc(out, '"');
  for (; *name; name++) {
    if (*name == '"') tpo_buf_putc(out, '"');
    tpo_buf_putc(out, *name);
  }
  tpo_buf_putc(out, '"');
}

static void put_row(struct tpo_buf *out, const struct alpaca_metrics *m, const char *name)
{
  put_name(out, name);
  put_cell(out, m->raw.win_rate);
  put_cell(out, m->raw.standard_error);
  tpo_buf_printf(out, ",%zu,%zu,%zu,%zu", m->raw.n_wins, m->raw.n_wins_base, m->raw.n_draws, m->raw.n_total);
  put_cell(out, m->raw.discrete_win_rate);
  tpo_buf_puts(out, ",community,");
  if (isfinite(m->mean_length)) tpo_buf_printf(out, "%.0f", floor(m->mean_length));
  put_cell(out, m->controlled.win_rate);
  put_cell(out, m->controlled.standard_error);
  tpo_buf_putc(out, '\n');
}

/* Behind the record that begins at `at`: a line, but that quotes may hold line ends. */
static const char *end_of_record(const char *at, const char *end)
{
  bool quoted = false;
  for (; at < end; at++) {
    if (*at == '"') quoted = !quoted;
    if (*at == '\n' && !quoted) return at + 1;
  }
  return end;
}

/* Whether the record's first cell says name. */
static bool is_of(const char *at, const char *end, const char *name)
{
  bool quoted = at < end && *at == '"';
  for (at += quoted; at < end; at++, name++) {
    if (quoted && *at == '"' && (++at == end || *at != '"')) break;
    if (!quoted && strchr(",\r\n", *at)) break;
    if (!*name || *at != *name) return false;
  }
  return *name == '\0';
}

/* The whole file; nothing where none is there yet. Free file also after an error. */
static int read_file(const char *path, struct tpo_buf *file, struct tpo_error *err)
{
  if (!tpo_is_regular(path)) return 0;
  int status = tpo_read_file(path, MOST_BYTES, file, err);
  if (status < 0 || file->len == 0) return status;
  size_t n = (size_t)(end_of_record(file->data, file->data + file->len) - file->data);
  while (n > 0 && strchr("\r\n", file->data[n - 1])) n--;
  if (n == strlen(header) && memcmp(file->data, header, n) == 0) return 0;
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s is there and has other columns than a leaderboard, whose first line is \"%s\"; name another "
      "file",
      path, header);
}

int alpaca_leaderboard_check(const char *path, struct tpo_error *err)
{
  struct tpo_buf file = {0};
  int status = read_file(path, &file, err);
  tpo_buf_free(&file);
  return status;
}

/* The records behind the header, this one's replaced. */
static void put_rows(struct tpo_buf *out, const char *at, const char *end, const struct alpaca_metrics *m,
                     const char *name)
{
  bool put = false;
  for (const char *next; at < end; at = next) {
    next = end_of_record(at, end);
    bool ours = is_of(at, next, name);
    if (ours && !put) put_row(out, m, name);
    put |= ours;
    if (!ours) tpo_buf_append(out, at, (size_t)(next - at));
    if (!ours && next[-1] != '\n') tpo_buf_putc(out, '\n');
  }
  if (!put) put_row(out, m, name);
}

int alpaca_leaderboard_put(const struct alpaca_metrics *m, const char *path, struct tpo_error *err)
{
  struct tpo_buf out = {0}, name = {0}, file = {0};
  int status = read_file(path, &file, err);
  const char *at = file.data, *end = at + file.len;
  if (file.len > 0) at = end_of_record(at, end);
  tpo_buf_printf(&name, "%s%s", m->model ? m->model : "Current model",
                 m->both_positions ? " (both positions)" : "");
  tpo_buf_printf(&out, "%s\n", header);
  if (status == 0 && !name.failed) put_rows(&out, at, end, m, name.data);
  if (status == 0 && (out.failed || name.failed))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for a leaderboard");
  if (status == 0) status = tpo_write_file(path, out.data, out.len, err);
  tpo_buf_free(&file);
  tpo_buf_free(&out);
  tpo_buf_free(&name);
  return status;
}
