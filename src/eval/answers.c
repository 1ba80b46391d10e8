/* Responses to instructions, drawn and, where they don't parse, drawn again. */
#include "eval/answers.h"

struct eval_draw eval_draw_of(const struct tpo_config *config)
{
  struct eval_draw draw = {.sampling = config->sampling,
                           .thought = &config->thought,
                           .resample = config->run.validation_resample,
                           .retry_temperature = config->sampling.temperature,
                           .what = "answering"};
  draw.sampling.k = config->run.validation_k;
  draw.sampling.temperature = config->run.validation_temperature;
  return draw;
}

int eval_answer(const struct tpo_session *session, const struct tpo_policy *policy,
                const struct tpo_instructions *instructions, const struct eval_draw *draw,
                struct tpo_samples *samples, struct tpo_redraw_counts *counts, struct tpo_error *err)
{
  struct tpo_generate_stats stats = {0};
  const struct tpo_generate_options options = {.sampling = &draw->sampling,
                                               .thought = draw->thought,
                                               .iteration = draw->iteration,
                                               .what = draw->what,
                                               .journal = draw->journal,
                                               .drop_other = draw->drop_other};
  int status = tpo_generate(session, policy, instructions, &options, samples, &stats, err);
  if (status < 0) return status;
  return tpo_redraw(session, policy, instructions, &options, draw->resample, draw->retry_temperature, samples,
                    counts, err);
}

size_t eval_cut_off(const struct tpo_samples *samples)
{
  size_t n = 0;
  for (size_t i = 0; i < samples->n; i++)
    n += samples->rows[i].finish == TPO_FINISH_LENGTH || samples->rows[i].finish == TPO_FINISH_CONTEXT;
  return n;
}
