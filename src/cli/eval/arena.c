/* `tpo eval arena`: Arena-Hard v0.1. */
#include "cli/eval/arena.h"

#include <stdio.h>
#include <string.h>

#include "cli/same.h"
#include "eval/arena/judging.h"
#include "tpo/judge.h"

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
    {"--answers", 0, "F", NULL, "a model's answers, to be judged against those of --baseline"},
    {"--baseline", 0, "F", NULL, "the baseline's answers"},
    {"--judge", 'j', "KIND:ARG", "judge.kind", "with --answers: http:URL or pairwise:MODEL"},
    {"--games-out", 0, "FILE", NULL,
     "with --answers: the games, upstream's judgments in JSON Lines, or a table where it ends with .tsv"},
    {"--prompts", 'p', "FILE", NULL,
     "the questions, upstream's question.jsonl or instructions as of tpo generate"},
    {"--out", 'o', "FILE", NULL, "with --model: its answers, upstream's JSON Lines"},
    {"--name", 0, "NAME", NULL, "what the model is called in them (default: its path's last part)"},
    OPTIONS_DRAW,
    OPTION_SAVE,
    OPTION_END,
};

/* What draws and judges needs a place for what it comes to. */
static int require_place(const struct invocation *in, const char *option, const char *why,
                         struct tpo_error *err)
{
  if (option_value(in, option) || option_value(in, "--save")) return 0;
  return tpo_fail(err, TPO_E_USAGE, "tpo eval arena: %s goes with %s FILE or --save DIR", why, option);
}

static int read_draw(struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  const char *model;
  int status = require_model(in, &model, err);
  if (status == 0) status = require_place(in, "--out", "--model, whose answers are written,", err);
  if (status == 0) status = eval_out_path(in, "--out", r->outs[0], err);
  if (status < 0) return status;
  if (option_value(in, "--name"))
    snprintf(r->name, sizeof r->name, "%s", option_value(in, "--name"));
  else
    eval_model_name(model, r->name);
  if (!*r->name) return tpo_fail(err, TPO_E_USAGE, "tpo eval arena: --name is empty");
  return check_config(in, TPO_CHECK_SAMPLING, err);
}

/* The key's default is another rule, which nobody asked for. */
static int check_rule(const struct invocation *in, struct tpo_error *err)
{
  if (!option_is_key_set(in, "judge.verdict_rule") || in->config.judge.verdict_rule == TPO_VERDICT_ONLY)
    return 0;
  return tpo_fail(err, TPO_E_USAGE,
                  "judge.verdict_rule: Arena-Hard has its own, only: labels that differ are no verdict");
}

static int read_judge(struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  char path[4096] = "";
  int status = option_require(in, "--baseline", &r->baseline, err);
  if (status == 0) status = require_place(in, "--games-out", "--answers, whose games are kept,", err);
  if (status == 0) status = eval_out_path(in, "--games-out", path, err);
  if (status == 0) status = check_shared(in, "--answers", r->answers, err);
  if (status == 0) status = check_shared(in, "--baseline", r->baseline, err);
  if (status == 0) status = check_rule(in, err);
  if (status == 0) status = arena_judging_check(&in->config.judge, err);
  if (status == 0) status = eval_ask_check(&in->config.judge, err);
  size_t len = strlen(path);
  memcpy(len > 4 && strcmp(path + len - 4, ".tsv") == 0 ? r->tables[0] : r->judgments[0], path, len + 1);
  return status;
}

static bool computes(const struct invocation *in, const struct arena_request *r)
{
  return r->task == ARENA_DRAW || (r->task == ARENA_JUDGE && tpo_judge_needs_model(&in->config.judge));
}

/* An option that says nothing to the task would be overlooked. */
static int check_options(const struct invocation *in, const struct arena_request *r, struct tpo_error *err)
{
  enum { RECKON = 1 << ARENA_RECKON, DRAW = 1 << ARENA_DRAW, JUDGE = 1 << ARENA_JUDGE };
  static const char *const tasks[] = {"battles or games that are there", "a model that answers",
                                      "answers to judge"};
  static const struct {
    const char *name;
    int goes_with;
  } table[] = {
      {"--battles", RECKON},     {"--games", RECKON},   {"--anchor", RECKON}, {"--bootstrap", RECKON | JUDGE},
      {"--answers", JUDGE},      {"--baseline", JUDGE}, {"--judge", JUDGE},   {"--games-out", JUDGE},
      {"--model", DRAW},         {"--out", DRAW},       {"--name", DRAW},     {"--prompts", DRAW | JUDGE},
      {"--resume", DRAW | JUDGE}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (option_value(in, table[i].name) && !(table[i].goes_with & 1 << r->task))
      return tpo_fail(err, TPO_E_USAGE, "tpo eval arena: %s says nothing to %s", table[i].name,
                      tasks[r->task]);
  return r->task == ARENA_DRAW ? 0 : eval_refuse_draw(in, computes(in, r), err);
}

static int choose_task(const struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  const char *model = in->config.model.path;
  r->task = r->battles || r->games ? ARENA_RECKON : r->answers ? ARENA_JUDGE : ARENA_DRAW;
  if ((r->task == ARENA_RECKON && r->battles && r->games) || (r->task == ARENA_DRAW && (!model || !*model)))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo eval arena: expected one of --battles F, --games F, --model M and --answers F");
  return check_options(in, r, err);
}

static int read_request(struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  *r = (struct arena_request){.battles = option_value(in, "--battles"),
                              .games = option_value(in, "--games"),
                              .answers = option_value(in, "--answers"),
                              .anchor = option_value(in, "--anchor"),
                              .resume = option_value(in, "--resume") != NULL};
  int status = choose_task(in, r, err);
  if (status == 0) status = option_int(in, "--bootstrap", 1, 1000000, 100, &r->rounds, err);
  if (status < 0 || r->task == ARENA_RECKON) return status;
  status = option_require(in, "--prompts", &r->prompts, err);
  if (status == 0) status = check_shared(in, "--prompts", r->prompts, err);
  if (status < 0) return status;
  return r->task == ARENA_DRAW ? read_draw(in, r, err) : read_judge(in, r, err);
}

/* All ranks. */
static int check_places(const struct invocation *in, const struct arena_request *r, struct tpo_error *err)
{
  const char *const inputs[] = {r->prompts, r->answers, r->baseline, r->battles, r->games};
  const struct eval_place places[] = {{"--out", r->outs[0], r->outs[1]},
                                      {"--games-out", r->judgments[0], r->judgments[1]},
                                      {"--games-out", r->tables[0], r->tables[1]}};
  const char *result = r->task == ARENA_DRAW ? "arena-answers.json" : "arena.json";
  return eval_check_places(in, places, 3, inputs, 5, result, err);
}

static int check_inputs(struct invocation *in, const struct arena_request *r, struct tpo_error *err)
{
  int status = check_same_file(in, r->prompts, err);
  if (status == 0 && r->answers) status = check_same_file(in, r->answers, err);
  return status < 0 || !r->baseline ? status : check_same_file(in, r->baseline, err);
}

/* Of what is named, else in --save's folder. */
static const char *first_place(const struct arena_request *r)
{
  const char *const named[] = {r->outs[0], r->judgments[0], r->tables[0], r->outs[1]};
  for (int i = 0; i < 4; i++)
    if (*named[i]) return named[i];
  return r->judgments[1];
}

/* All ranks. */
static int check_files(struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  bool draws = r->task == ARENA_DRAW;
  char(*saved)[4096] = draws ? r->outs : r->judgments;
  bool judges = r->task == ARENA_JUDGE;
  int status =
      draws || judges ? eval_save_path(in, draws ? "answers.jsonl" : "judgments.jsonl", saved[1], err) : 0;
  if (status == 0 && judges) status = eval_save_path(in, "games.tsv", r->tables[1], err);
  if (status == 0) status = check_places(in, r, err);
  if (status < 0 || r->task == ARENA_RECKON) return status;
  status = check_inputs(in, r, err);
  return status < 0 ? status
                    : check_journal(in, first_place(r), r->resume,
                                    draws ? "finished answers" : "judged games", r->journal, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  typedef int task(struct cli_session *, const struct arena_request *, json_t **, struct tpo_error *);
  static task *const tasks[] = {
      [ARENA_RECKON] = arena_reckon, [ARENA_DRAW] = arena_draw, [ARENA_JUDGE] = arena_judge};
  struct cli_session s;
  struct arena_request request;
  char folder[4096];
  json_t *result = NULL;
  int status = agree_on_usage(in, read_request(in, &request, err), err);
  if (status == 0) status = check_files(in, &request, err);
  if (status == 0) status = cli_session_open_for(&s, in, computes(in, &request), err);
  if (status < 0) return status;
  if (request.task == ARENA_JUDGE) eval_cache_beside(&s, request.journal, folder);
  status = tasks[request.task](&s, &request, &result, err);
  if (status == 0 && cli_first_rank(&s)) status = eval_finish(in, json_incref(result), err);
  status = tpo_comm_agree(in->comm, status, err);
  json_decref(result);
  cli_session_close(&s);
  return request.task == ARENA_RECKON ? status : tell_to_resume(status, err);
}

const struct command cmd_eval_arena = {
    .name = "eval arena",
    .arguments = "",
    .summary = "Arena-Hard: a model's answers, a judge's games, scores and intervals",
    .options = options,
    .needs_comm = true,
    .no_default = "--judge",
    .run = run,
};
