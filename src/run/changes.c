/* In which keys a run's configuration differs from the one that it was started with. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/keys.h"
#include "run/loop.h"

enum { TOLD = 4 }; /* keys that a message names */

/* Where a step's samples come from follows from these: no other values are gone on with. */
static bool is_of_shape(const char *key)
{
  static const char *const keys[] = {"run.sync_steps", "run.steps", "run.checkpoint_steps", "train.batch"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(keys[i], key) == 0) return true;
  return false;
}

/* Adds "run.steps was 100 and is 50" to out where the values differ. */
static bool compare(const struct tpo_config *before, const struct tpo_config *now, int key, bool tells,
                    struct tpo_buf *out)
{
  struct tpo_buf was = {0}, is = {0};
  config_append_value(before, key, &was);
  config_append_value(now, key, &is);
  tpo_buf_putc(&was, '\0');
  tpo_buf_putc(&is, '\0');
  bool differs = was.data && is.data && strcmp(was.data, is.data) != 0;
  if (differs && tells)
    tpo_buf_printf(out, "%s%s was %.60s and is %.60s", out->len ? ", " : "", config_keys[key].path, was.data,
                   is.data);
  tpo_buf_free(&was);
  tpo_buf_free(&is);
  return differs;
}

/* The keys that differ to out: all that bear on results, or those of the shape alone; their number. */
static int list_changes(const struct loop *loop, bool shape, struct tpo_buf *out)
{
  char path[4096];
  struct tpo_config before;
  struct tpo_error ignored = {0}; /* a file that can't be read tells nothing */
  int n = 0;
  if (loop_path(loop, -1, "config.yaml", path, &ignored) < 0) return 0;
  tpo_config_default(&before);
  if (tpo_config_load(&before, path, NULL, &ignored) == 0)
    for (int key = 0; key < config_n_keys; key++)
      if (config_bears_on_results(key) && (!shape || is_of_shape(config_keys[key].path)))
        n += compare(&before, loop->config, key, n < TOLD, out);
  tpo_config_free(&before);
  if (n > TOLD) tpo_buf_printf(out, ", and %d more", n - TOLD);
  return n;
}

int loop_check_changes(const struct loop *loop, bool allow_changes, struct tpo_error *err)
{
  const char *dir = loop->config->run.dir;
  struct tpo_buf shape = {0}, all = {0};
  int status = 0, n = list_changes(loop, true, &shape);
  bool in_steps = tpo_run_in_steps(&loop->config->run) || manifest_has_ever(&loop->manifest, "steps");
  if (in_steps && n > 0)
    status = tpo_fail(
        err, TPO_E_STATE,
        "%s was started with another configuration: %s; which samples a step gets follows from it, so "
        "--resume goes on with the same alone",
        dir, shape.data);
  else if (allow_changes)
    tpo_log(TPO_LOG_WARN, "the configuration differs from the one that this run was started with");
  else if (list_changes(loop, false, &all) > 0)
    status = tpo_fail(err, TPO_E_STATE,
                      "%s was started with another configuration: %s; --allow-changes goes on all the same",
                      dir, all.data);
  else
    status = tpo_fail(err, TPO_E_STATE,
                      "%s was started with another configuration (its config.yaml tells which); "
                      "--allow-changes goes on all the same",
                      dir);
  tpo_buf_free(&shape);
  tpo_buf_free(&all);
  return status;
}
