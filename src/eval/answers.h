/* A model's responses to instructions, drawn as validations draw them: what an evaluation of a model begins
 * with. */
#ifndef TPO_EVAL_ANSWERS_H
#define TPO_EVAL_ANSWERS_H

#include "tpo/steps.h"

struct eval_draw {
  struct tpo_sampling_config sampling;      /* k and temperature are these; texts are borrowed */
  const struct tpo_thought_config *thought; /* borrowed */
  int resample;                             /* further draws for an output that doesn't keep the layout */
  double retry_temperature;                 /* of these where sampling.temperature is 0 */
  uint32_t iteration;                       /* keys the randomness */
  const char *what;                         /* the phase that progress tells */
  const char *journal;                      /* folder of what is finished; NULL: none */
  bool drop_other;                          /* as tpo_generate_options' */
};
/* From the configuration: run.validation_k samples at run.validation_temperature, run.validation_resample
 * further draws. */
struct eval_draw eval_draw_of(const struct tpo_config *config);

/* All ranks hold the same instructions; rank 0 gets the rows. An output without a response after all draws has
 * format_ok false and an empty response. */
int eval_answer(const struct tpo_session *session, const struct tpo_policy *policy,
                const struct tpo_instructions *instructions, const struct eval_draw *draw,
                struct tpo_samples *samples, struct tpo_redraw_counts *counts, struct tpo_error *err);
/* Outputs that a limit ended: on tokens, or the context's. */
size_t eval_cut_off(const struct tpo_samples *samples);

#endif
