/* Outputs matched with the baseline's, by their instructions. */
#include "eval/alpaca/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/visible.h"
#include "eval/alpaca/order.h"

const char *alpaca_text(const json_t *record, const char *field)
{
  return json_string_value(json_object_get(record, field));
}

/* instruction -> its record's number; NULL: memory was short. */
static json_t *numbers_of(const json_t *records)
{
  size_t i;
  json_t *record, *out = json_object();
  json_array_foreach((json_t *)records, i, record)
  {
    const char *instruction = alpaca_text(record, "instruction");
    if (json_object_set_new(out, instruction, json_integer((json_int_t)i)) == 0) continue;
    json_decref(out);
    return NULL;
  }
  return out;
}

static int refuse_strangers(const json_t *known, const json_t *outputs, struct tpo_error *err)
{
  size_t i;
  json_t *record;
  json_array_foreach((json_t *)outputs, i, record)
  {
    char shown[80];
    if (json_object_get(known, alpaca_text(record, "instruction"))) continue;
    tpo_visible_copy(shown, sizeof shown, alpaca_text(record, "instruction"));
    return tpo_fail(err, TPO_E_INPUT,
                    "output %zu answers an instruction that the baseline has no output for: \"%s\"", i + 1,
                    shown);
  }
  return 0;
}

static int add(struct alpaca_pair *pair, const json_t *baseline, const json_t *model, size_t row,
               struct tpo_error *err)
{
  *pair = (struct alpaca_pair){.baseline = baseline, .model = model, .row = row};
  pair->same = strcmp(alpaca_text(baseline, "output"), alpaca_text(model, "output")) == 0;
  return alpaca_is_switched(alpaca_text(model, "instruction"), &pair->switched, err);
}

int alpaca_pairs_of(struct alpaca_pair **out, size_t *n, const json_t *baseline, const json_t *outputs,
                    struct tpo_error *err)
{
  size_t i;
  json_t *record, *known = numbers_of(baseline), *given = numbers_of(outputs);
  *n = 0;
  *out = tpo_calloc(json_array_size(baseline), sizeof **out, err);
  int status = known && given && *out ? refuse_strangers(known, outputs, err)
                                      : tpo_fail(err, TPO_E_MEMORY, "no memory for outputs");
  json_array_foreach((json_t *)baseline, i, record)
  {
    const json_t *at = json_object_get(given, alpaca_text(record, "instruction"));
    if (status < 0) break;
    if (!at) continue;
    status = add(*out + (*n)++, record, json_array_get(outputs, (size_t)json_integer_value(at)), i, err);
  }
  json_decref(known);
  json_decref(given);
  return status;
}
