/* checks: what can be verified of a text without a model: constraints, reference answers, language,
 * repetition.
 *
 *   int followed = tpo_check_response("{\"type\": \"punctuation:no_comma\"}", NULL, text, false, &err);
 *
 * src/checks/README.md lists the types. */
#ifndef TPO_CHECKS_H
#define TPO_CHECKS_H

#include "tpo/base.h"

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

/* Share of a text's word 4-grams that stood in it before, in [0, 1]: what the rule judge takes off for.
 * Negative when memory is short. */
double tpo_text_repetition(const char *text);

#endif
