/* Regular expressions of a configuration (PCRE2, UTF-8), searched for in texts that a model wrote: with
 * limits, so that no answer takes for ever.
 *
 *   struct judge_pattern *pattern;
 *   judge_pattern_open(&pattern, "judge.pattern", "\\[\\[(.*?)\\]\\]", JUDGE_PATTERN_GROUP, &err);
 *   if (judge_pattern_search(pattern, span_of(answer), 0, take_match, state, &err) == JUDGE_SEARCH_GIVEN_UP) ...
 *   judge_pattern_close(pattern); */
#ifndef TPO_JUDGE_PATTERN_H
#define TPO_JUDGE_PATTERN_H

#include "checks/text.h"
#include "tpo/base.h"

/* Only read after it is made: threads may share it. */
struct judge_pattern;
enum judge_pattern_use {
  JUDGE_PATTERN_GROUP, /* its first group is what is looked for; at most 200,000 steps for a match */
  JUDGE_PATTERN_WHOLE  /* all that it matches, which may be long: at most 20,000,000 steps */
};
/* key: the setting, for messages. err NULL: only whether it is one. Errors are TPO_E_USAGE: it does not
 * compile (where and why), lacks the group, is longer than 4096 bytes. */
int judge_pattern_open(struct judge_pattern **out, const char *key, const char *pattern,
                       enum judge_pattern_use use, struct tpo_error *err);
void judge_pattern_close(struct judge_pattern *pattern); /* takes NULL */

struct judge_match {
  struct span whole, group; /* parts of the text; group.text NULL: the group took no part in the match */
};
typedef void judge_take_match(void *arg, const struct judge_match *match);

enum { JUDGE_SEARCH_DONE, JUDGE_SEARCH_GIVEN_UP };
/* Tells `take` of the matches that begin at byte `from` or later, in order. GIVEN_UP: a match took more
 * steps than are allowed, all of them more than 10 seconds, or a signal came (tpo_interrupted): there may
 * be more. Negative: memory was short. text is valid UTF-8, `from` between its characters. */
int judge_pattern_search(const struct judge_pattern *pattern, struct span text, size_t from,
                         judge_take_match *take, void *arg, struct tpo_error *err);

#endif
