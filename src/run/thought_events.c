/* What sort of thoughts the model writes, as an event. */
#include "measure/thoughts.h"
#include "run/fields.h"
#include "run/group_events.h"

static const char *kind_name(int kind)
{
  return kind < N_THOUGHT_KINDS ? thought_rules[kind].name : "other";
}

static bool add_kind(json_t *shares, json_t *examples, int kind, size_t n, const struct thought_counts *of)
{
  json_t *share = of->thoughts ? json_real((double)n / (double)of->thoughts) : json_null();
  bool ok = json_object_set_new(shares, kind_name(kind), share) == 0;
  if (of->examples[kind])
    ok = ok && json_object_set_new(examples, kind_name(kind), json_string(of->examples[kind])) == 0;
  return ok;
}

static json_t *event_thoughts(const char *of, const struct thought_counts *c)
{
  json_t *shares = json_object(), *examples = json_object();
  const struct field fields[] = {COUNT("thoughts", c->thoughts),
                                 COUNT("empty", c->empty),
                                 COUNT("drafts", c->drafts),
                                 REAL("draft_overlap", c->draft_overlap),
                                 REAL("draft_overlap_se", c->draft_overlap_se),
                                 REAL("undrafted_overlap", c->undrafted_overlap)};
  bool ok = shares && examples;
  for (int k = 0; k <= N_THOUGHT_KINDS && ok; k++)
    ok = add_kind(shares, examples, k, k < N_THOUGHT_KINDS ? c->of[k] : c->other, c);
  json_t *event = FIELDS(json_pack("{s:s, s:s}", "of", of, "rules", "English keywords"), fields);
  ok = ok && event && json_object_set(event, "shares", shares) == 0 &&
       json_object_set(event, "examples", examples) == 0;
  json_decref(shares);
  json_decref(examples);
  if (ok) return event;
  json_decref(event);
  return NULL;
}

int loop_tell_thoughts(struct loop *loop, const struct tpo_samples *samples, const char *of,
                       struct tpo_error *err)
{
  const char *marker = loop->config->thought.response_marker;
  struct thought_counts counts;
  if (!marker || !*marker) return 0; /* an output is response alone */
  int status = thoughts_count(&counts, samples, err);
  if (status < 0) return status;
  status = loop_event(loop, "thoughts", event_thoughts(of, &counts), err);
  thoughts_free(&counts);
  return status;
}
