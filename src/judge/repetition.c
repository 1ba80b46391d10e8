/* What repetition costs a response. */
#include "judge/repetition.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tpo/checks.h"

static int take(double weight, const char *response, struct tpo_judge_result *result, struct tpo_error *err)
{
  double share = tpo_checks_repetition(response);
  const char *text = result->detail ? result->detail : "{}";
  json_t *detail = tpo_json_parse(text, strlen(text), "a judge's detail", err);
  if (!detail) return TPO_E_INPUT;
  json_t *term = json_pack("{s:f, s:f}", "share", share, "weight", weight);
  char *noted = NULL;
  if (share >= 0 && json_object_set_new(detail, "repetition_term", term) == 0) noted = tpo_json_dump(detail);
  json_decref(detail);
  if (!noted) return tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
  free(result->detail);
  result->detail = noted;
  result->score -= weight * share;
  return 0;
}

int repetition_take(double weight, const struct tpo_judge_item *items, int n_items,
                    struct tpo_judge_result *results, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < n_items; i++)
    for (int k = 0; k < items[i].n_responses && status == 0; k++, results++)
      if (results->ok) status = take(weight, items[i].responses[k], results, err);
  return status;
}

double repetition_taken(const json_t *detail)
{
  const json_t *term = json_object_get(detail, "repetition_term");
  return json_number_value(json_object_get(term, "share")) *
         json_number_value(json_object_get(term, "weight"));
}
