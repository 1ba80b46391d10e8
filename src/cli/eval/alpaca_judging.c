/* Outputs beside the baseline's are judged, and the annotations written. */
#include <string.h>

#include "cli/eval/alpaca.h"
#include "eval/alpaca/judging.h"
#include "eval/alpaca/outputs.h"
#include "eval/provenance.h"

int alpaca_judge_read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err)
{
  if (!r->judges) return 0;
  if (!option_value(in, "--save")) {
    const char *annotations;
    int status = option_require(in, "--annotations-out", &annotations, err);
    if (status < 0) return status;
  }
  return alpaca_judge_check(&in->config.judge, err);
}

static int put_judge(const struct tpo_judge_config *judge, json_t *provenance, struct tpo_error *err)
{
  struct judge_texts texts;
  int status = alpaca_judge_texts(&texts, judge, err);
  if (status == 0) status = eval_provenance_judge(provenance, judge, texts.system, texts.prompt, err);
  judge_texts_close(&texts);
  return status;
}

/* Rank 0. */
static int keep(const struct alpaca_request *r, const struct tpo_judge_config *judge,
                struct alpaca_judged *judged, struct alpaca_parts *parts, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < 2 && status == 0; i++)
    if (*r->annotations_to.paths[i])
      status = alpaca_outputs_write(judged->annotations, r->annotations_to.paths[i], err);
  json_object_set(parts->result, "judging", judged->counts);
  if (judged->n_unanswered > 0)
    tpo_log(TPO_LOG_WARN, "%zu of %zu rows have no preference; the first: %s", judged->n_unanswered,
            json_array_size(judged->annotations), judged->unanswered);
  return status < 0 ? status : put_judge(judge, parts->provenance, err);
}

int alpaca_get_annotations(const struct cli_session *s, const struct alpaca_request *r,
                           struct alpaca_parts *parts, struct tpo_error *err)
{
  struct alpaca_judged judged = {0};
  const struct alpaca_judging options = {.both_positions = r->both_positions,
                                         .journal = *r->annotations_journal ? r->annotations_journal : NULL};
  int status = alpaca_judge(&s->session, parts->baseline, parts->outputs, &options, &judged, err);
  if (status == 0 && cli_first_rank(s)) status = keep(r, &s->session.config->judge, &judged, parts, err);
  alpaca_judged_free(&judged);
  return tpo_comm_agree(s->session.comm, status, err);
}
