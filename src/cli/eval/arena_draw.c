/* `tpo eval arena --model`: the model's answers, in a file as the benchmark has it. */
#include <math.h>

#include "cli/eval/arena.h"
#include "eval/answers.h"
#include "eval/arena/answers.h"
#include "eval/provenance.h"
#include "steps/room.h"

struct drawn {
  struct tpo_instructions questions;
  struct tpo_samples samples;
  struct tpo_redraw_counts counts;
  struct tpo_policy policy;
};

/* Rank 0: writes them, and tells of them. */
static int finish(const struct cli_session *s, const struct arena_request *request, const struct drawn *drawn,
                  json_t **result, struct tpo_error *err)
{
  double mean = NAN;
  const char *out = *request->outs[0] ? request->outs[0] : request->outs[1];
  int status = 0;
  for (int i = 0; i < ARENA_PLACES && status == 0; i++)
    if (*request->outs[i])
      status = arena_answers_write(&drawn->samples, request->name, request->outs[i], &mean, err);
  json_t *provenance = status == 0 ? eval_provenance(&s->session, err) : NULL;
  if (status == 0 && !provenance) status = err->code;
  if (status == 0) status = eval_provenance_file(provenance, "prompts", request->prompts, err);
  if (status == 0) status = eval_provenance_file(provenance, "answers", out, err);
  if (status == 0) status = eval_provenance_policy(provenance, &s->session, &drawn->policy, err);
  if (status < 0) {
    json_decref(provenance);
    return status;
  }
  drop_journal(request->journal);
  *result = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:o}", "evaluation", "arena", "part",
                      "answers", "model", request->name, "answers", out, "n", (json_int_t)drawn->questions.n,
                      "avg_tokens", isnan(mean) ? json_null() : json_integer((json_int_t)mean), "resampled",
                      (json_int_t)drawn->counts.resampled, "unparsed", (json_int_t)drawn->counts.unparsed,
                      "cut_off", (json_int_t)eval_cut_off(&drawn->samples), "provenance", provenance);
  return *result ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
}

int arena_draw(struct cli_session *s, const struct arena_request *request, json_t **result,
               struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct drawn drawn = {0};
  struct eval_draw draw = eval_draw_of(config);
  draw.journal = request->journal;
  int status = tpo_policy_open_text(&drawn.policy, config, config->model.path, err);
  if (status == 0 && cli_first_rank(s)) status = tpo_policy_check_thought(&drawn.policy, config, err);
  if (status == 0) status = prompt_room_read(config, &drawn.policy, request->prompts, &drawn.questions, err);
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0) status = tpo_policy_open_model(&drawn.policy, &s->session, NULL, err);
  if (status == 0)
    status =
        eval_answer(&s->session, &drawn.policy, &drawn.questions, &draw, &drawn.samples, &drawn.counts, err);
  progress_end(&s->bar);
  if (status == 0 && cli_first_rank(s)) status = finish(s, request, &drawn, result, err);
  tpo_policy_close(&drawn.policy);
  tpo_samples_free(&drawn.samples);
  tpo_instructions_free(&drawn.questions);
  return tpo_comm_agree(s->session.comm, status, err);
}
