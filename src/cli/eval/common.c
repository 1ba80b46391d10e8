/* Where evaluations' results go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/eval/eval.h"
#include "config/keys.h"

int eval_refuse(const struct invocation *in, const char *const *names, const char *wanted,
                struct tpo_error *err)
{
  for (size_t i = 0; names[i]; i++)
    if (option_value(in, names[i]))
      return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s goes with %s", in->command->name, names[i], wanted);
  return 0;
}

int eval_refuse_draw(const struct invocation *in, bool computes, struct tpo_error *err)
{
  static const char *const names[] = {"--thought", "--k",          "--temperature", "--resample",
                                      "--top-p",   "--max-tokens", "--slots",       NULL};
  static const char *const dtype[] = {"--dtype", NULL};
  int status = eval_refuse(in, names, "a model that is asked (--model)", err);
  return status < 0 || computes ? status : eval_refuse(in, dtype, "a model that this program computes", err);
}

bool eval_is_set(const struct invocation *in, const char *key)
{
  return strcmp(config_origin(&in->config, config_find_key(key, strlen(key))), "default") != 0;
}

int eval_out_path(const struct invocation *in, const char *option, char out[4096], struct tpo_error *err)
{
  const char *path = option_value(in, option);
  size_t len = path ? strlen(path) : 0;
  *out = '\0';
  if (!path) return 0;
  if (len == 0 || len >= 4096 || strcmp(path, "-") == 0)
    return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s: expected a file's name", in->command->name, option);
  if (len > 3 && strcmp(path + len - 3, ".gz") == 0)
    return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s %s: expected a name without .gz, since it is written plain",
                    in->command->name, option, path);
  memcpy(out, path, len + 1);
  return 0;
}

int eval_save_path(const struct invocation *in, const char *name, char out[4096], struct tpo_error *err)
{
  const char *folder = option_value(in, "--save");
  bool first = !in->comm || tpo_comm_rank(in->comm) == 0;
  *out = '\0';
  if (!folder) return 0;
  int status = first ? tpo_make_dirs(folder, err) : 0;
  if (status == 0) status = tpo_path_join(out, 4096, folder, name, err);
  if (status < 0)
    status = tpo_fail(err, TPO_E_USAGE, "tpo %s: --save: %s", in->command->name, strdupa(err->message));
  return in->comm ? tpo_comm_agree(in->comm, status, err) : status;
}

void eval_result_name(const char *evaluation, const char *way, char out[EVAL_NAME])
{
  snprintf(out, EVAL_NAME, "%.60s%s%.60s", evaluation, way ? "-" : "", way ? way : "");
  for (char *c = out; *c; c++)
    if (*c == ':') *c = '-';
}

static int save(const struct invocation *in, const char *text, const json_t *result, struct tpo_error *err)
{
  char name[EVAL_NAME], file[EVAL_NAME + 8], path[4096];
  const json_t *way = json_object_get(result, "prompting");
  if (!way) way = json_object_get(result, "part");
  eval_result_name(json_string_value(json_object_get(result, "evaluation")), json_string_value(way), name);
  snprintf(file, sizeof file, "%s.json", name);
  if (tpo_path_join(path, sizeof path, option_value(in, "--save"), file, err) < 0) return TPO_E_USAGE;
  return tpo_write_file(path, text, strlen(text), err);
}

int eval_finish(const struct invocation *in, json_t *result, struct tpo_error *err)
{
  char *text = result ? json_dumps(result, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
  const char *name = json_string_value(json_object_get(result, "evaluation"));
  int status = text && name ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
  if (status == 0) printf("%s\n", text);
  if (status == 0 && option_value(in, "--save")) status = save(in, text, result, err);
  free(text);
  json_decref(result);
  return status;
}
