/* `tpo eval alpaca`: AlpacaEval 2's win rates. */
#include "cli/eval/alpaca.h"

#include "cli/same.h"
#include "eval/provenance.h"

static const struct option options[] = {
    {"--annotations", 0, "FILE", NULL, "a judge's preferences: alpaca_eval's annotations.json, or columns"},
    {"--difficulty", 0, "FILE", NULL,
     "the instructions' difficulty, columns or CSV: needed for the length-controlled rate"},
    {"--gamed", 0, "FILE", NULL,
     "rows of the gamed baseline, columns or CSV: needed for the length-controlled rate"},
    {"--c", 0, "C", NULL, "the regression's C; without it by cross-validation"},
    {"--leaderboard", 0, "FILE", NULL, "the metrics as a CSV in alpaca_eval's columns"},
    OPTION_SAVE,
    OPTION_END,
};

static int read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err)
{
  int status = option_require(in, "--annotations", &r->annotations, err);
  return status < 0 ? status : alpaca_metrics_read_request(in, r, err);
}

/* Rank 0. */
static int reckon(const struct cli_session *s, const struct alpaca_request *r, json_t *result,
                  struct tpo_error *err)
{
  struct alpaca_annotations a = {0};
  json_t *provenance = eval_provenance(&s->session, err);
  int status = provenance ? alpaca_annotations_read(&a, r->annotations, err) : TPO_E_MEMORY;
  if (status == 0) status = eval_provenance_file(provenance, "annotations", r->annotations, err);
  if (status == 0) status = alpaca_metrics_put(r, &a, result, provenance, err);
  if (status == 0 && json_object_set(result, "provenance", provenance) < 0)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
  json_decref(provenance);
  alpaca_annotations_free(&a);
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct alpaca_request request = {0};
  int status = agree_on_usage(in, read_request(in, &request, err), err);
  if (status == 0) status = alpaca_metrics_check(in, &request, err);
  if (status < 0) return status;
  cli_session_open_plain(&s, in);
  json_t *result = NULL;
  if (cli_first_rank(&s)) {
    result = json_pack("{s:s}", "evaluation", "alpaca");
    status =
        result ? reckon(&s, &request, result, err) : tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
    if (status == 0) status = eval_finish(in, json_incref(result), err);
    json_decref(result);
  }
  status = tpo_comm_agree(in->comm, status, err);
  cli_session_close(&s);
  return status;
}

const struct command cmd_eval_alpaca = {
    .name = "eval alpaca",
    .arguments = "",
    .summary = "AlpacaEval 2: win rates against a baseline, raw and length-controlled",
    .options = options,
    .needs_comm = true,
    .run = run,
};
