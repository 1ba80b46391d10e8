/* Where evaluations' results go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/eval/eval.h"

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

void eval_result_name(const char *evaluation, const char *prompting, char out[EVAL_NAME])
{
  snprintf(out, EVAL_NAME, "%.60s%s%.60s", evaluation, prompting ? "-" : "", prompting ? prompting : "");
  for (char *c = out; *c; c++)
    if (*c == ':') *c = '-';
}

static int save(const struct invocation *in, const char *text, const json_t *result, struct tpo_error *err)
{
  char name[EVAL_NAME], file[EVAL_NAME + 8], path[4096];
  eval_result_name(json_string_value(json_object_get(result, "evaluation")),
                   json_string_value(json_object_get(result, "prompting")), name);
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
