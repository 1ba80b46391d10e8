/* What a judge model is asked.
 *
 *   struct judge_field fields[] = {{"instruction", text}, {"response", response}};
 *   char *question = judge_prompt_fill(config->prompt, fields, 2); */
#ifndef TPO_JUDGE_PROMPT_H
#define TPO_JUDGE_PROMPT_H

#include "tpo/judge.h"

/* A placeholder {name} of a prompt and the text it stands for. */
struct judge_field {
  const char *name;
  const char *text; /* borrowed */
};

/* That each of the names stands in the text exactly once as {name}. Errors are TPO_E_USAGE and tell `key`,
 * the setting that the text is of. */
int judge_prompt_check(const char *text, const char *const *names, size_t n_names, const char *key,
                       struct tpo_error *err);
/* The text with every {name} of a field replaced, in one pass: what a field brings in is not looked at
 * again. Other braces stay. free() it; NULL when memory is short. */
char *judge_prompt_fill(const char *text, const struct judge_field *fields, size_t n_fields);
/* What stands for {instruction}: the item's instruction, or, where its meta has `messages` of more than the
 * last user's, all of the chat with the roles' names. free() it; NULL with err set: memory is short. */
char *judge_instruction_text(const struct tpo_judge_item *item, struct tpo_error *err);

#endif
