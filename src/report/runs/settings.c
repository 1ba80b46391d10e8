/* Whether runs were judged and validated alike, and which other settings of theirs differ. */
#include <string.h>

#include "config/keys.h"
#include "report/runs/runs.h"

/* Of one key, to out: "key: A's | B's | …", where not all are the same. 1: they differ. */
static int put_key(const struct compared *c, int key, struct tpo_buf *out, struct tpo_error *err)
{
  struct tpo_buf line = {0}, first = {0};
  bool differs = false;
  tpo_buf_puts(&line, config_keys[key].path);
  for (size_t i = 0; i < c->n_runs; i++) {
    struct tpo_buf value = {0};
    config_append_value(&c->runs[i].report.config, key, i ? &value : &first);
    const struct tpo_buf *this = i ? &value : &first;
    tpo_buf_puts(&line, i ? " | " : ": ");
    tpo_buf_append(&line, this->data, this->len);
    differs |= i > 0 && (value.len != first.len || memcmp(value.data, first.data, first.len) != 0);
    line.failed |= this->failed;
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

/* One sentence of all that isn't alike; lines: [n lines] of put_key. */
static int refuse(const struct compared *c, struct tpo_buf *lines, bool force, struct tpo_error *err)
{
  lines->data[lines->len - 1] = '\0';
  for (char *end = lines->data; (end = strchr(end, '\n'));) *end = ';';
  if (force) {
    tpo_log(TPO_LOG_WARN,
            "these runs were not judged and validated alike, so differences are not the models' alone: %s",
            lines->data);
    return 0;
  }
  return tpo_fail(
      err, TPO_E_USAGE,
      "%s and %s%s were not judged and validated alike, so that their scores say nothing beside each "
      "other: %.2000s (--force shows them nevertheless)",
      c->runs[0].name, c->runs[1].name, c->n_runs > 2 ? " and the others" : "", lines->data);
}

int compared_settings(struct compared *c, bool force, struct tpo_error *err)
{
  struct tpo_buf unlike = {0};
  int status = 0;
  for (size_t i = 0; i < c->n_runs; i++)
    if (!c->runs[i].report.has_config && !force)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s: how it was judged and validated is not known, since its config.yaml can't be read "
                      "(--force compares nevertheless)",
                      c->runs[i].name);
  for (int key = 0; key < config_n_keys && status >= 0; key++) {
    bool bears = config_bears_on_validation(key);
    if (bears || config_bears_on_results(key)) status = put_key(c, key, bears ? &unlike : &c->settings, err);
  }
  if (status > 0) status = 0;
  if (status == 0 && unlike.len > 0) status = refuse(c, &unlike, force, err);
  tpo_buf_free(&unlike);
  return status;
}
