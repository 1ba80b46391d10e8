/* `tpo eval categories`: who wins where. */
#include "cli/eval/categories.h"

#include <stdio.h>
#include <string.h>

#include "cli/same.h"
#include "config/judge_kinds.h"
#include "eval/asking.h"
#include "steps/same.h"
#include "store/journal/journal.h"
#include "tpo/judge.h"

static const struct option options[] = {
    {"--a", 0, "FILE", NULL, "samples of the one model, HDF5: it is whose wins are counted"},
    {"--b", 0, "FILE", NULL, "samples of the other, of the same prompts"},
    {"--judge", 'j', "KIND[:ARG]", "judge.kind",
     "who judges: " CONFIG_JUDGE_KINDS_TOLD "; without it the scores that both files hold count"},
    {"--categories", 0, "FILE", NULL,
     "categories to assign, a line each: NAME, or NAME, a tab and what belongs to it (default: 20 of ours)"},
    {"--labels", 0, "FILE", NULL, "records of id and category, which count before what the samples carry"},
    {"--assign", 0, NULL, NULL,
     "the judge's model assigns categories also to prompts whose samples carry one (not those of --labels)"},
    {"--assign-out", 0, "FILE", NULL,
     "write the categories for --labels, JSON Lines (with --save: labels.jsonl there)"},
    {"--resume", 0, NULL, NULL, "go on with what an interrupted command left in the folder of --save"},
    OPTION_DTYPE,
    OPTION_SAVE,
    OPTION_END,
};

static int check_assigns(const struct invocation *in, const struct categories_request *r,
                         struct tpo_error *err)
{
  struct tpo_error why = {0};
  if (eval_ask_check(&in->config.judge, &why) == 0) return 0;
  return tpo_fail(err, TPO_E_USAGE,
                  "tpo eval categories: %s goes with a judge whose model assigns categories: %s",
                  r->assign ? "--assign" : "--categories", why.message);
}

static int read_request(struct invocation *in, struct categories_request *r, struct tpo_error *err)
{
  *r = (struct categories_request){.list = option_value(in, "--categories"),
                                   .labels = option_value(in, "--labels"),
                                   .judged = option_is_key_set(in, "judge.kind"),
                                   .assign = option_value(in, "--assign") != NULL,
                                   .resume = option_value(in, "--resume") != NULL};
  int status = option_require(in, "--a", &r->a, err);
  if (status == 0) status = option_require(in, "--b", &r->b, err);
  if (status == 0) status = eval_out_path(in, "--assign-out", r->assign_out, err);
  if (status == 0 && !(r->judged && tpo_judge_needs_model(&in->config.judge)))
    status = eval_refuse_draw(in, false, err);
  if (status < 0) return status;
  if (r->resume && !option_value(in, "--save"))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo eval categories: --resume goes with --save DIR, where what is finished is kept");
  if (!r->judged && (r->assign || r->list))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo eval categories: %s goes with --judge, whose model assigns categories",
                    r->assign ? "--assign" : "--categories");
  if (r->judged) status = tpo_judge_check(&in->config.judge, err);
  return status == 0 && (r->assign || r->list) ? check_assigns(in, r, err) : status;
}

/* All ranks. */
static int check_inputs(const struct invocation *in, const struct categories_request *r,
                        struct tpo_error *err)
{
  const char *const files[] = {r->a, r->b, r->labels, r->list};
  int status = 0;
  for (size_t i = 0; i < sizeof files / sizeof *files && status == 0; i++) {
    if (!files[i]) continue;
    status = check_same_file(in, files[i], err);
  }
  const struct eval_place places[] = {{"--assign-out", r->assign_out, ""}};
  if (status == 0)
    status = eval_check_places(in, places, 1, files, sizeof files / sizeof *files, "categories.json", err);
  return status < 0 || !r->judged ? status : same_judge(in->comm, &in->config.judge, err);
}

static bool keeps(const char *path)
{
  char journal[4200];
  snprintf(journal, sizeof journal, "%.4100s.journal", path);
  return journal_exists(journal);
}

/* All ranks. */
static int check_files(struct invocation *in, struct categories_request *r, struct tpo_error *err)
{
  static const char *const names[] = {"categories-labels", "categories-a", "categories-b"};
  char paths[3][4096];
  bool any = false;
  int status = *r->assign_out ? 0 : eval_save_path(in, "labels.jsonl", r->assign_out, err);
  if (status == 0) status = check_inputs(in, r, err);
  for (size_t i = 0; i < 3 && status == 0; i++) {
    status = eval_save_path(in, names[i], paths[i], err);
    any = any || (status == 0 && keeps(paths[i]));
  }
  for (size_t i = 0; i < 3 && status == 0 && *paths[i]; i++) {
    bool resumes = r->resume &&
                   (keeps(paths[i]) || (i == 0 && !any)); /* one that wasn't reached is nothing to be told */
    status = check_journal(in, paths[i], resumes, "judgements", r->journals[i], err);
  }
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct categories_request request;
  char folder[4096];
  json_t *result = NULL;
  int status = agree_on_usage(in, read_request(in, &request, err), err);
  if (status == 0) status = check_files(in, &request, err);
  if (status < 0) return status;
  bool computes = request.judged && tpo_judge_needs_model(&in->config.judge);
  status = cli_session_open_for(&s, in, computes, err);
  if (status < 0) return status;
  eval_cache_beside(&s, request.journals[0], folder);
  status = categories_work(&s, &request, &result, err);
  if (status == 0 && cli_first_rank(&s)) status = eval_finish(in, json_incref(result), err);
  for (int i = 0; i < 3 && status == 0 && cli_first_rank(&s); i++)
    if (*request.journals[i]) drop_journal(request.journals[i]);
  status = tpo_comm_agree(in->comm, status, err);
  json_decref(result);
  cli_session_close(&s);
  return *request.journals[0] ? tell_to_resume(status, err) : status;
}

const struct command cmd_eval_categories = {
    .name = "eval categories",
    .arguments = "",
    .summary = "two models' responses compared, by category of the prompt",
    .options = options,
    .needs_comm = true,
    .no_default = "--judge",
    .run = run,
    .notes =
        "A prompt is won where the mean of its samples' scores is higher, or more than half of its comparisons\n"
        "(sample k with sample k, both orders) are won; equal is a tie, which counts half. Its category is that of\n"
        "--labels, else what its samples carry, else what the judge's model (http:URL, pairwise:MODEL) says it is.",
};
