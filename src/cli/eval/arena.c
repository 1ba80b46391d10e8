/* `tpo eval arena`: Arena-Hard v0.1. */
#include "cli/eval/arena.h"

#include <stdio.h>
#include <string.h>

#include "cli/same.h"

static const struct option options[] = {
    {"--battles", 0, "F", NULL,
     "battles: columns question_id, winner (baseline, model or tie) and perhaps model; or upstream's model_a, "
     "model_b, winner; a folder: all its files"},
    {"--games", 0, "F", NULL,
     "games: columns question_id, game1, game2 (labels such as A>>B) and perhaps model; or upstream's "
     "judgments; a folder: all its files"},
    {"--anchor", 0, "NAME", NULL,
     "the baseline's name (default: baseline, or the model_a that takes part in all battles)"},
    {"--bootstrap", 0, "N", NULL, "rounds that intervals come from (default 100)"},
    OPTION_MODEL,
    {"--prompts", 'p', "FILE", NULL,
     "the questions, upstream's question.jsonl or instructions as of tpo generate"},
    {"--out", 'o', "FILE", NULL, "with --model: its answers, upstream's JSON Lines"},
    {"--name", 0, "NAME", NULL, "what the model is called in them (default: its path's last part)"},
    OPTIONS_DRAW,
    OPTION_SAVE,
    OPTION_END,
};

/* "models/a-8B.gguf" is called "a-8B". */
static void choose_name(const struct invocation *in, char out[256])
{
  const char *given = option_value(in, "--name"), *path = given ? given : in->config.model.path;
  size_t len = strlen(path);
  while (!given && len > 1 && path[len - 1] == '/') len--;
  size_t from = len;
  while (!given && from > 0 && path[from - 1] != '/') from--;
  if (given) from = 0;
  if (!given && len > from + 5 && strncmp(path + len - 5, ".gguf", 5) == 0) len -= 5;
  if (!given && len > from + 3 && strncmp(path + len - 3, ".h5", 3) == 0) len -= 3;
  snprintf(out, 256, "%.*s", (int)(len - from), path + from);
}

static int read_draw(struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  const char *model, *out = option_value(in, "--out");
  r->resume = option_value(in, "--resume") != NULL;
  int status = require_model(in, &model, err);
  if (status == 0) status = option_require(in, "--prompts", &r->prompts, err);
  if (status == 0) status = check_shared(in, "--prompts", r->prompts, err);
  if (status < 0) return status;
  if (!out && !option_value(in, "--save"))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo eval arena: --model goes with --out FILE or --save DIR, where its answers go");
  if (out && (strcmp(out, "-") == 0 || (size_t)snprintf(r->out, sizeof r->out, "%s", out) >= sizeof r->out))
    return tpo_fail(err, TPO_E_USAGE, "tpo eval arena: --out: expected a file's name");
  choose_name(in, r->name);
  if (!*r->name) return tpo_fail(err, TPO_E_USAGE, "tpo eval arena: --name is empty");
  return check_config(in, TPO_CHECK_SAMPLING, err);
}

/* What is said of drawing means nothing where battles are there. */
static int check_unasked(const struct invocation *in, struct tpo_error *err)
{
  static const char *const asked[] = {"--model", "--prompts", "--out", "--name", "--resume"};
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
    if (option_value(in, asked[i]))
      return tpo_fail(err, TPO_E_USAGE,
                      "tpo eval arena: %s goes with a model that answers, not with --battles and --games",
                      asked[i]);
  return 0;
}

static int read_request(struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  const char *model = in->config.model.path;
  *r = (struct arena_request){.battles = option_value(in, "--battles"),
                              .games = option_value(in, "--games"),
                              .anchor = option_value(in, "--anchor")};
  bool draws = !r->battles && !r->games && model && *model;
  int status = option_int(in, "--bootstrap", 1, 1000000, 100, &r->rounds, err);
  if (status < 0) return status;
  if (draws) return read_draw(in, r, err);
  if (!r->battles == !r->games)
    return tpo_fail(err, TPO_E_USAGE, "tpo eval arena: expected one of --battles F, --games F and --model M");
  return check_unasked(in, err);
}

/* All ranks. */
static int check_files(struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  char save[4096];
  int status = eval_save_path(in, "answers.jsonl", save, err);
  if (status < 0 || !r->prompts) return status;
  if (!*r->out) memcpy(r->out, save, sizeof save);
  status = check_output(in, "--out", r->out, r->prompts, err);
  if (status == 0) status = check_same_file(in, r->prompts, err);
  return status < 0 ? status : check_journal(in, r->out, r->resume, "finished answers", r->journal, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct arena_request request;
  json_t *result = NULL;
  int status = agree_on_usage(in, read_request(in, &request, err), err);
  if (status == 0) status = check_files(in, &request, err);
  if (status < 0) return status;
  bool draws = request.prompts != NULL;
  if (!draws)
    cli_session_open_plain(&s, in);
  else if ((status = cli_session_open(&s, in, err)) < 0)
    return status;
  status = (draws ? arena_draw : arena_reckon)(&s, &request, &result, err);
  if (status == 0 && cli_first_rank(&s)) status = eval_finish(in, json_incref(result), err);
  status = tpo_comm_agree(in->comm, status, err);
  json_decref(result);
  cli_session_close(&s);
  return draws ? tell_to_resume(status, err) : status;
}

const struct command cmd_eval_arena = {
    .name = "eval arena",
    .arguments = "",
    .summary = "Arena-Hard: a model's answers, scores and intervals from a judge's games",
    .options = options,
    .needs_comm = true,
    .run = run,
};
