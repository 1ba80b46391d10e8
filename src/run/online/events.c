/* Events of steps and segments as JSON objects. */
#include "run/online/events.h"

#include "run/events.h"
#include "run/fields.h"

static json_t *event_skipped(const struct online_step *s)
{
  json_t *event = json_pack("{s:b}", "skipped", 1);
  const struct field fields[] = {COUNT("step", s->metrics->step), REAL("lr", s->metrics->lr),
                                 REAL("rho", s->rho), COUNT("prompts", s->prompts), COUNT("pairs", s->pairs)};
  return event ? FIELDS(event, fields) : NULL;
}

json_t *event_online_step(const struct online_step *s)
{
  if (s->pairs == 0) return event_skipped(s);
  json_t *event = event_step(s->metrics);
  const struct field fields[] = {REAL("rho", s->rho), COUNT("prompts", s->prompts), COUNT("pairs", s->pairs)};
  if (event) json_object_del(event, "epoch"); /* there is none */
  return event ? FIELDS(event, fields) : NULL;
}

json_t *event_segment(const struct segment *s, const struct tpo_sample_summary *summary, double train)
{
  const struct segment_facts *f = &s->facts;
  const struct field seconds[] = {REAL("sample", f->sample), REAL("judge", f->judge),
                                  REAL("reference", f->reference), REAL("train", train),
                                  REAL("wait", f->wait)};
  const struct field fields[] = {COUNT("first_step", f->first + 1),
                                 COUNT("steps", f->steps),
                                 COUNT("prompts", summary->prompts),
                                 COUNT("samples", summary->samples),
                                 COUNT("pairs", s->pairs.n),
                                 REAL("rho", f->rho),
                                 REAL("mean_score", summary->mean_score),
                                 REAL("format_rate", summary->format_rate),
                                 REAL("response_tokens", summary->mean_response_tokens),
                                 REAL("thought_tokens", summary->mean_thought_tokens),
                                 COUNT("failures", f->failures),
                                 REAL("drawn_tokens", f->generated.sampled_tokens)};
  json_t *event = FIELDS(json_object(), fields), *of = FIELDS(json_object(), seconds);
  if (event && (!of || json_object_set(event, "seconds", of) < 0)) {
    json_decref(event);
    event = NULL;
  }
  json_decref(of);
  return event;
}
