/* What several commands do alike: checks before any work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "config/layouts.h"
#include "store/journal/journal.h"
#include "tpo/steps.h"
#include "tpo/store.h"

int require_model(const struct invocation *in, const char **path, struct tpo_error *err)
{
  *path = in->config.model.path;
  if (*path && **path) return 0;
  return tpo_fail(err, TPO_E_USAGE,
                  "tpo %s: --model M is required: a Hugging Face folder, a .gguf file or a checkpoint .h5",
                  in->command->name);
}

/* The model itself, or a file of its folder. */
static bool is_of_model(const struct invocation *in, const char *path)
{
  const char *model = in->config.model.path, *slash = strrchr(path, '/');
  if (!model || !tpo_file_exists(path)) return false;
  char folder[4096] = ".";
  if (slash && (size_t)(slash - path) + 1 < sizeof folder)
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
  return tpo_same_file(path, model) || tpo_same_file(folder, model);
}

int check_distinct(const struct invocation *in, const char *option, const char *path, const char *input,
                   struct tpo_error *err)
{
  if (input && tpo_same_file(path, input))
    return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s %s is the file that is read (%s); name another",
                    in->command->name, option, path, input);
  if (is_of_model(in, path))
    return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s %s would replace a file of the model; name another",
                    in->command->name, option, path);
  return 0;
}

int check_output(const struct invocation *in, const char *option, const char *path, const char *input,
                 struct tpo_error *err)
{
  int status = 0;
  bool first = !in->comm || tpo_comm_rank(in->comm) == 0;
  if (first && strcmp(path, "-") != 0) {
    status = check_distinct(in, option, path, input, err);
    if (status == 0 && (status = tpo_check_output(path, err)) < 0)
      tpo_fail_prefix(err, "tpo %s: %s", in->command->name, option);
  }
  return in->comm ? tpo_comm_agree(in->comm, status, err) : status;
}

int check_journal(const struct invocation *in, const char *out, bool resume, const char *what,
                  char folder[4096], struct tpo_error *err)
{
  int status = 0;
  bool first = !in->comm || tpo_comm_rank(in->comm) == 0;
  if ((size_t)snprintf(folder, 4096, "%s.journal", out) >= 4096)
    status = tpo_fail(err, TPO_E_USAGE, "tpo %s: --out is too long", in->command->name);
  if (status == 0 && first) {
    bool there = journal_exists(folder);
    if (there && !resume)
      status =
          tpo_fail(err, TPO_E_USAGE,
                   "tpo %s: %s holds %s of an earlier command that did not end: --resume goes on with them; "
                   "without that folder it begins anew",
                   in->command->name, folder, what);
    else if (!there && resume)
      tpo_log(TPO_LOG_INFO, "%s: nothing is kept there, so this begins at the beginning", folder);
  }
  return in->comm ? tpo_comm_agree(in->comm, status, err) : status;
}

void drop_journal(const char *folder)
{
  struct tpo_error err = {0};
  if (journal_remove(folder, &err) < 0) tpo_log(TPO_LOG_WARN, "%s; it is no longer needed", err.message);
}

int tell_to_resume(int status, struct tpo_error *err)
{
  if (status != TPO_E_INTERRUPTED) return status;
  return tpo_fail(err, status, "%s: the same command with --resume goes on", strdupa(err->message));
}

static int check_values(const struct invocation *in, unsigned parts, struct tpo_error *err)
{
  char *report = NULL;
  int status = tpo_config_check(&in->config, parts, &report, err);
  bool first = !in->comm || tpo_comm_rank(in->comm) == 0;
  if (status < 0 && first && report && strchr(report, '\n') != strrchr(report, '\n'))
    fprintf(stderr, "%s", report);
  free(report);
  return status;
}

/* Whether a `thought: auto` is left, in the section or in a watch. */
static bool is_open(const struct tpo_config *config)
{
  bool open = tpo_config_thought_is_open(&config->thought);
  for (int i = 0; i < config->run.n_watch; i++) {
    const struct tpo_thought_config own = {.name = config->run.watch[i].thought};
    open = open || tpo_config_thought_is_open(&own);
  }
  return open;
}

static void tell_settled(const struct invocation *in, const char *why)
{
  if (!in->comm || tpo_comm_rank(in->comm) == 0)
    tpo_log(TPO_LOG_INFO, "thought: auto: the layout is %s, since %s", in->config.thought.name, why);
}

static int settle_by_model(struct invocation *in, struct tpo_error *err)
{
  struct tpo_config *config = &in->config;
  bool of_section = tpo_config_thought_is_open(&config->thought);
  const char *why = "";
  int status = tpo_policy_settle_thought(config, config->model.path, &why, err);
  if (status < 0) return tpo_fail_prefix(err, "thought: auto");
  if (of_section) tell_settled(in, why);
  return 0;
}

int check_config(struct invocation *in, unsigned parts, struct tpo_error *err)
{
  const char *model = in->config.model.path;
  int status = check_values(in, parts, err);
  bool layout = parts & (TPO_CHECK_SAMPLING | TPO_CHECK_TRAINING), there = model && tpo_file_exists(model);
  if (status < 0 || !layout || !there || !is_open(&in->config)) return status;
  status = settle_by_model(in, err);
  return status < 0 ? status : check_values(in, parts, err);
}

int take_prompts(struct invocation *in, const char *yaml, const char *path, struct tpo_error *err)
{
  struct tpo_config *config = &in->config;
  struct tpo_error why = {0};
  bool train_forced = config->thought.train_forced, said = yaml && *yaml;
  int status = 0;
  if (said && tpo_config_take_prompts(config, yaml, "its configuration", &why) < 0) {
    said = false;
    tpo_log(TPO_LOG_WARN, "%s: %s; what is written from it can't tell the thought layout", path, why.message);
  }
  if (!said && !option_is_key_set(in, "thought.name"))
    status = tpo_config_set_thought(config, "none", path, err);
  config->thought.train_forced = train_forced;
  return status;
}

int read_own_prompts(const char *path, struct tpo_config *config, struct tpo_error *err)
{
  char format[16], *yaml = NULL;
  struct tpo_checkpoint *checkpoint;
  struct tpo_error other = {0};
  if (tpo_store_format(path, format, &other) < 0 || strcmp(format, "checkpoint") != 0) return 0;
  int status = tpo_checkpoint_open(&checkpoint, path, err);
  if (status < 0) return status;
  status = tpo_checkpoint_config(checkpoint, &yaml, err);
  tpo_checkpoint_close(checkpoint);
  if (status == 1) {
    struct tpo_error why = {0};
    status = tpo_config_take_prompts(config, yaml, "its configuration", &why);
    status = status < 0 ? tpo_fail(err, why.code, "%s: %s; expected --thought to name the layout instead",
                                   path, why.message)
                        : 1;
  }
  free(yaml);
  return status;
}

int take_own_prompts(struct invocation *in, struct tpo_error *err)
{
  struct tpo_config own;
  const char *model = in->config.model.path;
  if (option_is_key_set(in, "thought.name")) return 0;
  tpo_config_default(&own);
  int status = read_own_prompts(model, &own, err);
  if (status == 1) {
    layout_fill_in(&in->config, &own);
    if (!option_is_key_set(in, "template.user_prefix")) config_exchange_template(&in->config, &own);
    tpo_log(TPO_LOG_INFO, "%s: its thought layout is %s, which it was trained with; --thought takes another",
            model, in->config.thought.name);
  }
  tpo_config_free(&own);
  return status < 0 ? status : 0;
}
