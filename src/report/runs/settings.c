/* Whether runs were judged and validated alike, and which other settings of theirs differ. */
#include <string.h>

#include "base/utf8.h"
#include "config/keys.h"
#include "report/runs/runs.h"

enum { MOST_VALUE = 80 }; /* characters */

/* A run's own configuration holds every key, `run` last: one without it is cut off. */
static bool is_known(const struct report *report)
{
  const char *text = report->config_text;
  return report->has_config && text && (strncmp(text, "run:", 4) == 0 || strstr(text, "\nrun:"));
}

static void put_value(struct tpo_buf *out, const struct tpo_buf *value)
{
  size_t at = 0;
  for (int n = 0; n < MOST_VALUE && at < value->len; n++) tpo_utf8_next(value->data, value->len, &at);
  tpo_buf_append(out, value->data, at);
  if (at < value->len) tpo_buf_puts(out, "…");
}

/* Of one key, to out: "key: A's | B's | …", where not all are the same. 1: they differ. */
static int put_key(const struct compared *c, int key, struct tpo_buf *out, struct tpo_error *err)
{
  struct tpo_buf line = {0}, first = {0};
  bool differs = false;
  tpo_buf_puts(&line, config_keys[key].path);
  for (size_t i = 0; i < c->n_runs; i++) {
    struct tpo_buf value = {0};
    if (is_known(&c->runs[i].report))
      config_append_value(&c->runs[i].report.config, key, &value);
    else
      tpo_buf_puts(&value, "not known");
    tpo_buf_puts(&line, i ? " | " : ": ");
    put_value(&line, &value);
    if (i == 0) tpo_buf_append(&first, value.data, value.len);
    differs |= value.len != first.len || memcmp(value.data, first.data, first.len) != 0;
    line.failed |= value.failed || first.failed;
    tpo_buf_free(&value);
  }
  if (differs) {
    tpo_buf_append(out, line.data, line.len);
    tpo_buf_putc(out, '\n');
  }
  bool failed = line.failed || out->failed;
  tpo_buf_free(&line);
  tpo_buf_free(&first);
  return failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : differs;
}

/* The program that wrote each, where not all are of one version. */
static void put_versions(struct compared *c)
{
  const char *first = json_string_value(json_object_get(c->runs[0].report.manifest, "tpo_version"));
  struct tpo_buf line = {0};
  bool differs = false;
  for (size_t i = 0; i < c->n_runs; i++) {
    const char *own = json_string_value(json_object_get(c->runs[i].report.manifest, "tpo_version"));
    differs |= strcmp(own ? own : "", first ? first : "") != 0;
    tpo_buf_printf(&line, "%s%.80s", i ? " | " : "tpo: ", own ? own : "not known");
  }
  if (differs) tpo_buf_printf(&c->settings, "%s\n", line.data ? line.data : "");
  tpo_buf_free(&line);
}

/* One sentence of all that isn't alike. */
static int refuse(const struct compared *c, struct tpo_error *err)
{
  struct tpo_buf listed = {0};
  for (const char *at = c->unlike.data, *end; *at; at = end + 1) {
    end = strchr(at, '\n');
    if (listed.len) tpo_buf_puts(&listed, "; ");
    tpo_buf_append(&listed, at, (size_t)(end - at));
  }
  tpo_fail(err, TPO_E_USAGE,
           "runs that were judged or validated otherwise say nothing beside each other (--force shows them "
           "nevertheless); in the order given: %.700s",
           listed.data ? listed.data : "");
  tpo_buf_free(&listed);
  return TPO_E_USAGE;
}

static int need_configurations(const struct compared *c, struct tpo_error *err)
{
  for (size_t i = 0; i < c->n_runs; i++)
    if (!is_known(&c->runs[i].report))
      return tpo_fail(
          err, TPO_E_INPUT,
          "%s: how it was judged and validated is not known, since its config.yaml is missing or can't "
          "be read to its end (--force compares nevertheless)",
          c->runs[i].name);
  return 0;
}

int compared_settings(struct compared *c, bool force, struct tpo_error *err)
{
  int status = force ? 0 : need_configurations(c, err);
  for (int key = 0; key < config_n_keys && status >= 0; key++) {
    bool bears = config_bears_on_validation(key);
    if (bears || config_bears_on_results(key))
      status = put_key(c, key, bears ? &c->unlike : &c->settings, err);
  }
  if (status < 0) return status;
  put_versions(c);
  if (c->unlike.len == 0) return 0;
  if (!force) return refuse(c, err);
  tpo_log(TPO_LOG_WARN,
          "these runs were not judged and validated alike: differences are not the models' alone");
  return 0;
}
