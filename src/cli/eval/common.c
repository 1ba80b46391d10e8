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

static int save(const struct invocation *in, const char *text, const char *name, struct tpo_error *err)
{
  char file[128], path[4096];
  snprintf(file, sizeof file, "%.100s.json", name);
  if (tpo_path_join(path, sizeof path, option_value(in, "--save"), file, err) < 0) return TPO_E_USAGE;
  return tpo_write_file(path, text, strlen(text), err);
}

int eval_finish(const struct invocation *in, json_t *result, struct tpo_error *err)
{
  char *text = result ? json_dumps(result, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
  const char *name = json_string_value(json_object_get(result, "evaluation"));
  int status = text && name ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
  if (status == 0) printf("%s\n", text);
  if (status == 0 && option_value(in, "--save")) status = save(in, text, name, err);
  free(text);
  json_decref(result);
  return status;
}
