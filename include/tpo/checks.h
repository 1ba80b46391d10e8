/* checks: what can be verified of a text without a model: constraints, reference answers, language,
 * repetition.
 *
 *   if (tpo_checks_validate("{\"checks\": [{\"type\": \"punctuation:no_comma\"}]}", &err) < 0) ...
 *   double repeated = tpo_checks_repetition(text);
 *
 * src/checks/README.md lists the types. */
#ifndef TPO_CHECKS_H
#define TPO_CHECKS_H

#include "tpo/base.h"

/* Validates all the checks of an instruction's meta, without a response. */
TPO_API int tpo_checks_validate(const char *meta, struct tpo_error *err);

/* Share of a text's word 4-grams that stood in it before, in [0, 1]: what the rule judge takes off for.
 * Negative when memory is short. */
TPO_API double tpo_checks_repetition(const char *text);

#endif
