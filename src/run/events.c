/* The events of metrics.jsonl as JSON objects. */
#include "run/events.h"

#include <math.h>

#include "pairs/statistics.h"
#include "run/fields.h"

json_t *event_sample(const struct tpo_sample_summary *s, const struct sample_dynamics *d,
                     const struct parse_counts *parsed, const struct tpo_generate_stats *stats)
{
  const struct field fields[] = {COUNT("prompts", s->prompts),
                                 COUNT("samples", s->samples),
                                 REAL("tokens", stats->sampled_tokens),
                                 REAL("seconds", stats->seconds),
                                 REAL("format_rate", s->format_rate),
                                 COUNT("parsed_strict", parsed->strict),
                                 COUNT("parsed_search", parsed->search),
                                 REAL("mean_thought_tokens", s->mean_thought_tokens),
                                 QUARTILES("thought_tokens", d->thought_tokens),
                                 REAL("mean_response_tokens", s->mean_response_tokens),
                                 QUARTILES("response_tokens", d->response_tokens),
                                 REAL("mean_response_chars", s->mean_response_chars),
                                 REAL("repetition", d->repetition)};
  return FIELDS(json_object(), fields);
}

/* What a judge counted, JSON; may be NULL. */
static bool add_counts(json_t *event, const char *counts)
{
  json_t *counted = event && counts ? json_loads(counts, 0, NULL) : NULL;
  return !counted || json_object_set_new(event, "counts", counted) == 0;
}

json_t *event_judge(const struct tpo_sample_summary *s, const struct sample_dynamics *d, size_t failures,
                    const char *counts)
{
  const struct field fields[] = {COUNT("scored", s->scored),        REAL("mean_score", s->mean_score),
                                 REAL("best_score", s->best_score), REAL("worst_score", s->worst_score),
                                 QUARTILES("score", d->scored),     COUNT("failures", failures)};
  json_t *event = FIELDS(json_object(), fields);
  if (add_counts(event, counts)) return event;
  json_decref(event);
  return NULL;
}

json_t *event_pairs(const struct tpo_pair_statistics *s, const struct length_difference *difference)
{
  double prompts = s->prompts ? (double)s->prompts : NAN, even = (double)(s->ties + s->single_valued);
  double without = even + (double)(s->too_few + s->below_margin + s->unjudged);
  const struct field fields[] = {REAL("tie_share", even / prompts), REAL("unpaired_share", without / prompts),
                                 REAL("length_difference", difference->chars),
                                 REAL("length_difference_tokens", difference->tokens)};
  return FIELDS(pair_statistics_object(s), fields);
}

json_t *event_step(const struct tpo_train_metrics *m)
{
  const struct field fields[] = {COUNT("step", m->step),
                                 REAL("epoch", m->epoch),
                                 REAL("lr", m->lr),
                                 REAL("loss", m->loss),
                                 REAL("accuracy", m->accuracy),
                                 REAL("margin", m->margin),
                                 REAL("chosen_logprob", m->chosen_logprob),
                                 REAL("rejected_logprob", m->rejected_logprob),
                                 REAL("grad_norm", m->grad_norm),
                                 COUNT("tokens", m->tokens),
                                 REAL("seconds", m->seconds)};
  return FIELDS(json_object(), fields);
}

json_t *event_left_out(const struct tpo_train_filtered *f)
{
  return json_pack("{s:I, s:I, s:I, s:I}", "too_long", (json_int_t)f->too_long, "no_response",
                   (json_int_t)f->no_response, "identical", (json_int_t)f->identical, "cut",
                   (json_int_t)f->cut);
}

json_t *event_logprob_gap(double max, double mean)
{
  const struct field fields[] = {REAL("max", max), REAL("mean", mean)};
  return FIELDS(json_object(), fields);
}

json_t *event_kl(const struct kl *kl)
{
  const struct field fields[] = {COUNT("outputs", kl->outputs),      COUNT("tokens", kl->tokens),
                                 REAL("per_output", kl->per_output), REAL("per_output_se", kl->per_output_se),
                                 REAL("per_token", kl->per_token),   REAL("k3_per_token", kl->k3_per_token)};
  return FIELDS(json_object(), fields);
}

json_t *event_validation(const struct tpo_sample_summary *s, const struct sample_dynamics *d,
                         double difference, double difference_se, double unparsed,
                         const struct tpo_redraw_counts *redrawn, const char *counts)
{
  double samples = s->samples ? (double)s->samples : NAN;
  const struct field fields[] = {COUNT("n", s->prompts),
                                 REAL("mean_score", d->mean_score),
                                 REAL("mean_score_se", d->score_se),
                                 QUARTILES("score", d->score),
                                 REAL("format_rate", s->format_rate),
                                 REAL("mean_thought_tokens", s->mean_thought_tokens),
                                 QUARTILES("thought_tokens", d->thought_tokens),
                                 REAL("mean_response_tokens", s->mean_response_tokens),
                                 QUARTILES("response_tokens", d->response_tokens),
                                 REAL("mean_response_chars", s->mean_response_chars),
                                 REAL("repetition", d->repetition),
                                 REAL("difference", difference),
                                 REAL("difference_se", difference_se),
                                 COUNT("resampled", redrawn->resampled),
                                 COUNT("unparsed", redrawn->unparsed),
                                 REAL("unparsed_share", (double)redrawn->unparsed / samples),
                                 REAL("unparsed_score", unparsed),
                                 COUNT("failures", s->failures),
                                 COUNT("unjudged", d->unjudged)};
  json_t *event = FIELDS(json_object(), fields);
  if (add_counts(event, counts)) return event;
  json_decref(event);
  return NULL;
}

json_t *event_epoch(int epoch, double score, const struct tpo_redraw_counts *redrawn)
{
  const struct field fields[] = {COUNT("epoch", epoch), REAL("score", score),
                                 COUNT("resampled", redrawn->resampled),
                                 COUNT("unparsed", redrawn->unparsed)};
  return FIELDS(json_object(), fields);
}

json_t *event_win_rate(const char *against, int iteration, const struct win_rate *rate)
{
  const struct field fields[] = {COUNT("baseline_iteration", iteration),
                                 COUNT("n", rate->n),
                                 COUNT("wins", rate->wins),
                                 COUNT("losses", rate->losses),
                                 COUNT("ties", rate->ties),
                                 COUNT("unmatched", rate->unmatched),
                                 COUNT("unjudged", rate->unjudged),
                                 REAL("win_rate", rate->rate),
                                 REAL("standard_error", rate->standard_error)};
  return FIELDS(json_pack("{s:s}", "against", against), fields);
}
