/* `tpo eval alpaca`: AlpacaEval 2's win rates. */
#include "cli/eval/alpaca.h"

#include <string.h>

#include "cli/same.h"
#include "eval/provenance.h"
#include "steps/same.h"
#include "tpo/judge.h"

static const struct option options[] = {
    OPTION_MODEL,
    {"--prompts", 'p', "FILE", NULL,
     "with --model or --baseline: instructions, alpaca_eval's JSON, JSON Lines or TSV"},
    {"--out", 'o', "FILE", NULL, "with --model: its outputs, a model_outputs.json"},
    {"--generator", 0, "NAME", NULL,
     "the model's name, whatever its file says (default: the file's, else of its path)"},
    OPTIONS_DRAW,
    {"--outputs", 0, "FILE", NULL, "a model's outputs, in place of --model"},
    {"--baseline", 0, "FILE", NULL, "the baseline's outputs: the model's are judged against them"},
    {"--judge", 'j', "KIND[:ARG]", "judge.kind", "who judges: http:URL or pairwise:DIR"},
    {"--both-positions", 0, NULL, NULL,
     "ask in both orders and take the mean: another metric than alpaca_eval's"},
    {"--annotations-out", 0, "FILE", NULL, "the judge's preferences, an annotations.json"},
    {"--annotations", 0, "FILE", NULL,
     "a judge's preferences in place of all above: annotations.json, or columns"},
    {"--difficulty", 0, "FILE", NULL,
     "the instructions' difficulty, columns or CSV: needed for the length-controlled rate"},
    {"--gamed", 0, "FILE", NULL,
     "rows of the gamed baseline, columns or CSV: needed for the length-controlled rate"},
    {"--c", 0, "C", NULL, "the regression's C; without it by cross-validation"},
    {"--leaderboard", 0, "FILE", NULL,
     "a CSV in alpaca_eval's columns that gets the metrics as a row, among others it may have"},
    OPTION_SAVE,
    OPTION_END,
};

const char *alpaca_place(const struct alpaca_places *places)
{
  return *places->paths[0] ? places->paths[0] : places->paths[1];
}

/* All ranks. */
static int choose_places(const struct invocation *in, const char *option, const char *name,
                         struct alpaca_places *places, struct tpo_error *err)
{
  int status = eval_save_path(in, name, places->paths[1], err);
  return status < 0 ? status : eval_out_path(in, option, places->paths[0], err);
}

/* What is there to begin with: annotations, outputs, or a model. */
static int choose_parts(struct invocation *in, struct alpaca_request *r, struct tpo_error *err)
{
  r->annotations = option_value(in, "--annotations");
  r->outputs = option_value(in, "--outputs");
  r->baseline = option_value(in, "--baseline");
  r->prompts = option_value(in, "--prompts");
  r->resume = option_value(in, "--resume") != NULL;
  r->both_positions = option_value(in, "--both-positions") != NULL;
  r->draws = !r->annotations && !r->outputs;
  r->judges = r->baseline != NULL;
  bool model = option_value(in, "--model") != NULL;
  if ((r->annotations != NULL) + (r->outputs != NULL) + model > 1 || (r->annotations && r->baseline))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo eval alpaca: expected one of --annotations, --outputs with --baseline, and --model");
  if (r->draws && !in->config.model.path)
    return tpo_fail(
        err, TPO_E_USAGE,
        "tpo eval alpaca: --annotations FILE, --outputs FILE or --model M is required: what there is to "
        "evaluate");
  if (r->outputs && !r->baseline)
    return tpo_fail(err, TPO_E_USAGE, "tpo eval alpaca: --outputs goes with --baseline FILE and --judge");
  return 0;
}

/* Options of parts that aren't gone through would be forgotten silently. */
static int refuse_idle(struct invocation *in, const struct alpaca_request *r, struct tpo_error *err)
{
  static const char *const drawing[] = {"--out", NULL};
  static const char *const judging[] = {"--both-positions", "--annotations-out", "--judge", NULL};
  static const char *const before[] = {"--prompts", "--resume", NULL};
  static const char *const metrics[] = {"--difficulty", "--gamed", "--c", "--leaderboard", NULL};
  bool computes = r->judges && tpo_judge_needs_model(&in->config.judge);
  int status = r->draws ? 0 : eval_refuse(in, drawing, "--model", err);
  if (status == 0 && !r->draws) status = eval_refuse_draw(in, computes, err);
  if (status == 0 && !r->judges) status = eval_refuse(in, judging, "--baseline", err);
  if (status == 0 && r->annotations) status = eval_refuse(in, before, "--model, or with --baseline", err);
  if (status == 0 && !r->judges && !r->annotations)
    status = eval_refuse(in, metrics, "--annotations, or with --baseline", err);
  return status;
}

static int read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err)
{
  int status = choose_parts(in, r, err);
  if (status == 0) status = refuse_idle(in, r, err);
  if (status == 0) status = alpaca_draw_read_request(in, r, err);
  if (status == 0) status = alpaca_judge_read_request(in, r, err);
  if (status == 0) status = alpaca_metrics_read_request(in, r, err);
  if (status == 0 && r->prompts) status = check_shared(in, "--prompts", r->prompts, err);
  if (status == 0 && r->outputs) status = check_shared(in, "--outputs", r->outputs, err);
  if (status == 0 && r->baseline) status = check_shared(in, "--baseline", r->baseline, err);
  return status;
}

/* All ranks. */
static int check_inputs(struct invocation *in, const struct alpaca_request *r, struct tpo_error *err)
{
  int status = check_same_file(in, r->prompts, err);
  if (status == 0) status = check_same_file(in, r->outputs, err);
  if (status == 0) status = check_same_file(in, r->baseline, err);
  if (status == 0 && r->judges) status = same_judge(in->comm, &in->config.judge, err);
  return status;
}

/* All ranks: nothing that is read is written, nor anything twice. */
static int check_places(struct invocation *in, const struct alpaca_request *r, struct tpo_error *err)
{
  const char *const inputs[] = {r->prompts, r->outputs, r->baseline, r->annotations, r->difficulty, r->gamed};
  const struct eval_place places[] = {
      {"--out", r->outputs_to.paths[0], r->outputs_to.paths[1]},
      {"--annotations-out", r->annotations_to.paths[0], r->annotations_to.paths[1]},
      {"--leaderboard", r->leaderboards_to.paths[0], r->leaderboards_to.paths[1]}};
  bool outputs_alone = r->draws && !r->judges;
  return eval_check_places(in, places, 3, inputs, 6, outputs_alone ? "alpaca-outputs.json" : "alpaca.json",
                           err);
}

static int set_places(struct invocation *in, struct alpaca_request *r, struct tpo_error *err)
{
  int status = r->draws ? choose_places(in, "--out", "model_outputs.json", &r->outputs_to, err) : 0;
  if (status == 0 && r->judges)
    status = choose_places(in, "--annotations-out", "annotations.json", &r->annotations_to, err);
  if (status == 0 && (r->judges || r->annotations))
    status = choose_places(in, "--leaderboard", "leaderboard.csv", &r->leaderboards_to, err);
  if (status == 0) status = check_places(in, r, err);
  if (status == 0 && r->draws)
    status = check_journal(in, alpaca_place(&r->outputs_to), r->resume, "finished outputs",
                           r->outputs_journal, err);
  if (status == 0 && r->judges)
    status = check_journal(in, alpaca_place(&r->annotations_to), r->resume, "answers of the judge",
                           r->annotations_journal, err);
  return status;
}

static int evaluate(const struct cli_session *s, const struct alpaca_request *r, struct alpaca_parts *parts,
                    struct tpo_error *err)
{
  int status = 0;
  if (cli_first_rank(s)) {
    bool outputs_alone = !r->annotations && !r->judges;
    parts->result =
        json_pack("{s:s, s:s*}", "evaluation", "alpaca", "part", outputs_alone ? "outputs" : NULL);
    parts->provenance = eval_provenance(&s->session, err);
    if (!parts->result || !parts->provenance)
      status = tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
  }
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0) status = alpaca_read_inputs(s, r, parts, err);
  if (status == 0 && !r->annotations) status = alpaca_get_outputs(s, r, parts, err);
  if (status == 0 && r->judges) status = alpaca_get_annotations(s, r, parts, err);
  if (status == 0 && cli_first_rank(s) && (r->judges || r->annotations))
    status = alpaca_get_metrics(r, parts, err);
  return tpo_comm_agree(s->session.comm, status, err);
}

/* Rank 0. What is kept of a work is dropped when all of it is done, so that judging can be taken up without drawing
 * again. */
static int finish(struct invocation *in, const struct alpaca_request *r, struct alpaca_parts *parts,
                  struct tpo_error *err)
{
  int status = json_object_set(parts->result, "provenance", parts->provenance) < 0
                   ? tpo_fail(err, TPO_E_MEMORY, "no memory for the result")
                   : eval_finish(in, json_incref(parts->result), err);
  if (status == 0 && *r->outputs_journal) drop_journal(r->outputs_journal);
  if (status == 0 && *r->annotations_journal) drop_journal(r->annotations_journal);
  return status;
}

static int work(struct cli_session *s, struct invocation *in, const struct alpaca_request *r,
                struct tpo_error *err)
{
  struct alpaca_parts parts = {0};
  int status = evaluate(s, r, &parts, err);
  progress_end(&s->bar);
  if (status == 0 && cli_first_rank(s)) status = finish(in, r, &parts, err);
  json_decref(parts.result);
  json_decref(parts.provenance);
  json_decref(parts.outputs);
  json_decref(parts.baseline);
  tpo_instructions_free(&parts.prompts);
  alpaca_given_free(&parts.given);
  return tpo_comm_agree(s->session.comm, status, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct alpaca_request request = {0};
  char folder[4096];
  int status = agree_on_usage(in, read_request(in, &request, err), err);
  if (status == 0) status = check_inputs(in, &request, err);
  if (status == 0) status = set_places(in, &request, err);
  if (status < 0) return status;
  bool computes = request.draws || (request.judges && tpo_judge_needs_model(&in->config.judge));
  status = cli_session_open_for(&s, in, computes, err);
  if (status < 0) return status;
  if (request.judges) eval_cache_beside(&s, alpaca_place(&request.annotations_to), folder);
  status = work(&s, in, &request, err);
  cli_session_close(&s);
  return *request.outputs_journal || *request.annotations_journal ? tell_to_resume(status, err) : status;
}

const struct command cmd_eval_alpaca = {
    .name = "eval alpaca",
    .arguments = "",
    .summary = "AlpacaEval 2: win rates against a baseline, raw and length-controlled",
    .options = options,
    .needs_comm = true,
    .notes =
        "Begins with a model (--model, --prompts, --out), its outputs (--outputs) or annotations (--annotations). "
        "Outputs are judged\nagainst a --baseline: judge.prompt asks with {instruction}, {output_1} and {output_2} for "
        "m or M, and judge.max_tokens\nmay be 1 where the server tells log-probabilities. The length-controlled rate "
        "needs --gamed and --difficulty.",
    .no_default = "--judge",
    .run = run,
};
