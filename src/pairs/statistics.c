/* What a selection counted, as JSON. */
#include "pairs/statistics.h"

#include <math.h>

#include "base/json.h"

json_t *pair_statistics_object(const struct tpo_pair_statistics *s)
{
  const struct {
    const char *name;
    size_t value;
  } counts[] = {{"prompts", s->prompts},
                {"pairs", s->pairs},
                {"ties", s->ties},
                {"single_valued", s->single_valued},
                {"too_few", s->too_few},
                {"below_margin", s->below_margin},
                {"unjudged", s->unjudged},
                {"unscored", s->unscored},
                {"no_tokens", s->no_tokens},
                {"unjudged_tokens", s->unjudged_tokens},
                {"parse_failures", s->parse_failures},
                {"rejected_parse_failures", s->rejected_parse_failures},
                {"failures_passed_over", s->failures_passed_over}};
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"rho", s->rho},
                 {"mean_chosen_length", s->mean_chosen_length},
                 {"mean_rejected_length", s->mean_rejected_length},
                 {"mean_chosen_tokens", s->mean_chosen_tokens},
                 {"mean_rejected_tokens", s->mean_rejected_tokens}};
  json_t *object = json_object();
  bool failed = !object;
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    failed |= json_object_set_new(object, counts[i].name, json_integer((json_int_t)counts[i].value)) < 0;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    double value = numbers[i].value;
    failed |=
        json_object_set_new(object, numbers[i].name, isfinite(value) ? json_real(value) : json_null()) < 0;
  }
  if (!failed) return object;
  json_decref(object);
  return NULL;
}

char *tpo_pair_statistics_json(const struct tpo_pair_statistics *statistics)
{
  json_t *object = pair_statistics_object(statistics);
  char *text = tpo_json_dump(object);
  json_decref(object);
  return text;
}
