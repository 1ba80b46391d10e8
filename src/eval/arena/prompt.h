/* The texts of Arena-Hard's judging, in our words. */
#ifndef TPO_EVAL_ARENA_PROMPT_H
#define TPO_EVAL_ARENA_PROMPT_H

extern const char arena_system[];
/* With {instruction}, {response_a} and {response_b}; the sentence of config/verdicts.h that asks for the five labels
 * comes behind it. */
extern const char arena_question[];
extern const char arena_go_on[]; /* what is said to an answer without a label */

#endif
