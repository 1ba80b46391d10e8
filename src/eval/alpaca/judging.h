/* A judge's preferences between a baseline's outputs and a model's, asked for as alpaca_eval asks: which of two
 * outputs, m and M, is better.
 *
 *   struct alpaca_judging options = {.journal = "annotations.json.journal"};
 *   struct alpaca_judged judged = {0};
 *   alpaca_judge(session, baseline, outputs, &options, &judged, &err);
 *   ... rank 0: alpaca_outputs_write(judged.annotations, "annotations.json", &err);
 *   alpaca_judged_free(&judged); */
#ifndef TPO_EVAL_ALPACA_JUDGING_H
#define TPO_EVAL_ALPACA_JUDGING_H

#include <jansson.h>
#include "judge/texts.h"
#include "tpo/steps.h"

struct alpaca_judging {
  /* Both orders are asked for, and the preference is their mean: another metric than alpaca_eval's, which asks for the
   * one that is drawn (alpaca/order.h). */
  bool both_positions;
  const char *journal; /* as eval_asking's */
  bool drop_other;
};
struct alpaca_judged {  /* on rank 0 */
  json_t *annotations;  /* array of annotations.json's records, in the baseline's order */
  json_t *counts;       /* what came of the questions, and what the judge's model counted */
  size_t n_unanswered;  /* rows without a preference */
  char unanswered[320]; /* why the first of them has none */
};

/* baseline and outputs as alpaca_outputs_read gives them, the same on all ranks, matched by their instructions: an
 * output of another instruction is an error, an instruction of the baseline without one is left out with a warning, and
 * the records then have an "index", the baseline's row. Equal outputs are a draw and not asked about. */
int alpaca_judge(const struct tpo_session *session, const json_t *baseline, const json_t *outputs,
                 const struct alpaca_judging *options, struct alpaca_judged *out, struct tpo_error *err);
void alpaca_judged_free(struct alpaca_judged *judged);
/* What asks, and how answers are read: the configuration's texts, or the built-in ones. judge_texts_close also after
 * an error. */
int alpaca_judge_texts(struct judge_texts *texts, const struct tpo_judge_config *config,
                       struct tpo_error *err);
/* Before anything is asked or opened: the judge's settings. */
int alpaca_judge_check(const struct tpo_judge_config *config, struct tpo_error *err);

#endif
