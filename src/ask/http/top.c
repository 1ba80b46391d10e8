/* The likeliest tokens that a server tells with an answer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ask/http/protocol.h"

#define ROUNDED 1e-3 /* so much above 0 is the rounding of a certain token's */

int http_read_top(const json_t *choice, const char *key, int most, struct ask_answer *out,
                  struct tpo_error *err)
{
  const json_t *content = json_object_get(json_object_get(choice, "logprobs"), "content");
  const json_t *top = json_object_get(json_array_get(content, 0), "top_logprobs");
  for (size_t i = 0; i < json_array_size(top) && out->n_top < most; i++) {
    const json_t *entry = json_array_get(top, i), *text = json_object_get(entry, "token");
    const json_t *logprob = json_object_get(entry, "logprob");
    double value = json_number_value(logprob);
    if (!json_is_string(text) || !json_is_number(logprob) || value > ROUNDED) continue;
    char *token = http_take_text(text, key);
    int status = token ? ask_answer_add_top(out, token, strlen(token), fmin(value, 0), err)
                       : tpo_fail(err, TPO_E_MEMORY, "no memory for an answer's tokens");
    free(token);
    if (status < 0) return status;
  }
  ask_answer_sort_top(out);
  return 0;
}

/* No question of a user's is about that: the name alone, in whatever sentence, tells what is refused. The field may
 * also be the model, which can't tell them. */
bool http_refuses_top(const struct http_told *told)
{
  bool other = *told->field && strcmp(told->field, "model") != 0;
  return strcasestr(other ? told->field : told->text, "logprob") != NULL;
}
