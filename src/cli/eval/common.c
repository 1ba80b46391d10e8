/* Where evaluations' results go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Rank 0; inputs may be absent, and a saved file equal to the named one is the same result. */
static int check_file(const struct invocation *in, const char *option, const char *path,
                      const char *const *inputs, size_t n, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < n && *path && status == 0; i++)
    if (inputs[i] && *inputs[i]) status = check_distinct(in, option, path, inputs[i], err);
  return status;
}

static int check_place(const struct invocation *in, const struct eval_place *place, const char *const *inputs,
                       size_t n, struct tpo_error *err)
{
  int status = check_file(in, place->option, place->named, inputs, n, err);
  return status < 0 ? status : check_file(in, "--save", place->saved, inputs, n, err);
}

static int check_pair(const struct invocation *in, const struct eval_place *a, const struct eval_place *b,
                      struct tpo_error *err)
{
  const char *const ours[] = {a->named, a->saved}, *const others[] = {b->named, b->saved};
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 2; k++)
      if (*ours[i] && *others[k] && tpo_same_file(ours[i], others[k]))
        return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s and %s would both be written to %s; name another",
                        in->command->name, i ? "--save" : a->option, k ? "--save" : b->option, ours[i]);
  return 0;
}

static int check_writable(const struct invocation *in, const struct eval_place *place, struct tpo_error *err)
{
  int status = *place->named ? check_output(in, place->option, place->named, NULL, err) : 0;
  return status < 0 || !*place->saved ? status : check_output(in, "--save", place->saved, NULL, err);
}

int eval_check_places(const struct invocation *in, const struct eval_place *places, size_t n,
                      const char *const *inputs, size_t n_inputs, const char *result, struct tpo_error *err)
{
  char file[4096];
  bool first = !in->comm || tpo_comm_rank(in->comm) == 0;
  int status = eval_save_path(in, result, file, err);
  const struct eval_place finished = {"--save", "", file};
  for (size_t i = 0; i <= n && status == 0; i++) {
    const struct eval_place *place = i < n ? &places[i] : &finished;
    if (first) status = check_place(in, place, inputs, n_inputs, err);
    for (size_t k = i + 1; first && k <= n && status == 0; k++)
      status = check_pair(in, place, k < n ? &places[k] : &finished, err);
    status = tpo_comm_agree(in->comm, status, err);
    if (status == 0) status = check_writable(in, place, err);
  }
  return status;
}

void eval_cache_beside(struct cli_session *s, const char *path, char folder[4096])
{
  const char *slash = strrchr(path, '/');
  snprintf(folder, 4096, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
  s->session.judge_dir = *path ? folder : NULL;
}

/* "best", "iter-001", "checkpoint-500": without what stands before it, it says nothing. */
static bool is_generic(const char *part, size_t len)
{
  static const char *const words[] = {"best",   "checkpoint", "epoch",  "final", "iter",   "last",
                                      "latest", "model",      "policy", "step",  "weights"};
  while (len > 0 && strchr("0123456789-_.", part[len - 1])) len--;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strlen(words[i]) == len && strncmp(part, words[i], len) == 0) return true;
  return len == 0;
}

/* Puts the last part of path[len] before out; returns where it begins, 0 where nothing telling is left of the path. */
static size_t take_part(const char *path, size_t len, char out[256], bool *again)
{
  char before[256];
  while (len > 0 && (path[len - 1] == '/' || (path[len - 1] == '.' && (len == 1 || path[len - 2] == '/'))))
    len--;
  size_t begin = len;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  const char *part = path + begin;
  len -= begin;
  *again = len > 0 && is_generic(part, len);
  if (len == 0) return 0;
  snprintf(before, sizeof before, "%s", out);
  snprintf(out, 256, "%.*s%s%.120s", len > 120 ? 120 : (int)len, part, *before ? "-" : "", before);
  return begin;
}

/* "../a" says nothing of where it is. Links stay as they are called, but where ".." goes through them. */
static void make_full(const char *path, char full[8192])
{
  char here[4096] = "";
  if (*path != '/' && !getcwd(here, sizeof here)) *here = '\0';
  snprintf(full, 8192, "%s%s%.4000s", here, *here ? "/" : "", path);
  char *real = strstr(full, "/..") ? realpath(full, NULL) : NULL;
  if (real) snprintf(full, 8192, "%s", real);
  free(real);
}

void eval_model_name(const char *path, char out[256])
{
  enum { MOST_PARTS = 3 };
  char full[8192];
  make_full(path, full);
  size_t len = strlen(full);
  bool again = true;
  if (len > 5 && strcmp(full + len - 5, ".gguf") == 0) len -= 5;
  if (len > 3 && strncmp(full + len - 3, ".h5", 3) == 0) len -= 3;
  *out = '\0';
  for (int i = 0; i < MOST_PARTS && again && len > 0; i++) len = take_part(full, len, out, &again);
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
