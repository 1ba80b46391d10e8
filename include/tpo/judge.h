/* judge: scores for responses. A judge sees the instruction and the responses, never a thought.
 *
 *   struct tpo_judge *judge;
 *   tpo_judge_open(&judge, &config.judge, &err);                      // kind "rule"
 *   tpo_judge_score(judge, items, n_items, results, &err);
 *   tpo_judge_close(judge);
 *
 * Kinds register in one table (src/judge/judge.c); more come beside `rule`. A judge's failure is never a
 * score: the result's `ok` is false and its detail tells why. */
#ifndef TPO_JUDGE_H
#define TPO_JUDGE_H

#include "tpo/base.h"
#include "tpo/config.h"

struct tpo_judge;

struct tpo_judge_item {
  const char *id;
  const char *instruction;
  const char *meta; /* JSON object: reference, checks, messages, ... */
  int n_responses;
  const char *const *responses; /* [n_responses] UTF-8; NULL entries (format failed) are not scored */
};
struct tpo_judge_result { /* one response */
  bool ok;
  double score;
  char *detail; /* JSON object; free() */
};

/* config->kind is KIND[:ARG]. An unknown kind is refused with the list of those there are. */
int tpo_judge_open(struct tpo_judge **out, const struct tpo_judge_config *config, struct tpo_error *err);
/* results: [sum of n_responses], in order. */
int tpo_judge_score(struct tpo_judge *judge, const struct tpo_judge_item *items, int n_items,
                    struct tpo_judge_result *results, struct tpo_error *err);
void tpo_judge_close(struct tpo_judge *judge);
const char *tpo_judge_kinds(void); /* "rule" */

/* One verifiable check on a text: the 25 constraint types of IFEval (Zhou et al. 2023) and reference answers
 * (reference:exact, reference:numeric, reference:regex). check: JSON object with "type" and its arguments.
 * instruction is the prompt (repeat_prompt needs it unless the check carries prompt_to_repeat). Returns 1
 * followed, 0 not, negative: unknown type or bad arguments. loose: IFEval's eight variants (without first
 * line, last line, both; without asterisks); any that passes counts. */
int tpo_check_response(const char *check_json, const char *instruction, const char *response, bool loose,
                       struct tpo_error *err);
const char *const *tpo_check_types(size_t *n); /* names, for documentation and error messages */
/* Validates all the checks of an instruction's meta, without a response. */
int tpo_checks_validate(const char *meta, struct tpo_error *err);

#endif
