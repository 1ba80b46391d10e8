/* In which keys a run's configuration differs from the one that it was started with. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/keys.h"
#include "run/loop.h"

enum { TOLD = 4 }; /* keys that a message names */

/* Where a step's samples come from, what is computed of them and what the state of training is of: a run in steps goes on
 * with no other values. */
static bool is_of_steps(const char *key)
{
  static const char *const keys[] = {"seed",
                                     "model.dtype",
                                     "run.sync_steps",
                                     "run.steps",
                                     "run.checkpoint_steps",
                                     "run.reference",
                                     "train.loss",
                                     "train.beta",
                                     "train.label_smoothing",
                                     "train.nll",
                                     "train.learning_rate",
                                     "train.schedule",
                                     "train.warmup",
                                     "train.weight_decay",
                                     "train.adam_beta1",
                                     "train.adam_beta2",
                                     "train.adam_eps",
                                     "train.grad_clip",
                                     "train.batch",
                                     "train.epochs",
                                     "train.shuffle"};
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

/* The keys that differ to out: all that bear on results, or those that a run in steps keeps alone; their number. */
static int list_changes(const struct tpo_config *before, const struct tpo_config *now, bool of_steps,
                        struct tpo_buf *out)
{
  int n = 0;
  for (int key = 0; key < config_n_keys; key++)
    if (config_bears_on_results(key) && (!of_steps || is_of_steps(config_keys[key].path)))
      n += compare(before, now, key, n < TOLD, out);
  if (n > TOLD) tpo_buf_printf(out, ", and %d more", n - TOLD);
  return n;
}

/* What the run was started with; the defaults where that can't be read, which tells nothing (false). */
static bool load_before(const struct loop *loop, struct tpo_config *before)
{
  char path[4096];
  struct tpo_error ignored = {0};
  tpo_config_default(before);
  return loop_path(loop, -1, "config.yaml", path, &ignored) == 0 &&
         tpo_config_load(before, path, NULL, &ignored) == 0;
}

int loop_check_changes(const struct loop *loop, bool allow_changes, struct tpo_error *err)
{
  const char *dir = loop->config->run.dir;
  struct tpo_buf fixed = {0}, all = {0};
  struct tpo_config before;
  int status = 0;
  bool known = load_before(loop, &before);
  bool in_steps = tpo_run_in_steps(&loop->config->run) || tpo_run_in_steps(&before.run);
  if (known && in_steps && list_changes(&before, loop->config, true, &fixed) > 0)
    status = tpo_fail(err, TPO_E_STATE,
                      "%s was started with another configuration: %s; a run in steps goes on (--resume) with "
                      "the same values of these alone",
                      dir, fixed.data);
  else if (allow_changes)
    tpo_log(TPO_LOG_WARN, "the configuration differs from the one that this run was started with");
  else if (known && list_changes(&before, loop->config, false, &all) > 0)
    status = tpo_fail(err, TPO_E_STATE,
                      "%s was started with another configuration: %s; --allow-changes goes on all the same",
                      dir, all.data);
  else
    status = tpo_fail(err, TPO_E_STATE,
                      "%s was started with another configuration (its config.yaml tells which); "
                      "--allow-changes goes on all the same",
                      dir);
  tpo_config_free(&before);
  tpo_buf_free(&fixed);
  tpo_buf_free(&all);
  return status;
}
