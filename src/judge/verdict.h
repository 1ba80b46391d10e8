/* What a judge model is asked, and what is read from its answer.
 *
 *   struct judge_pattern *pattern;
 *   judge_pattern_open(&pattern, config->pattern ? config->pattern : JUDGE_VERDICT_PATTERN, &err);
 *   struct judge_field fields[] = {{"instruction", text}, {"response", response}};
 *   char *question = judge_prompt_fill(config->prompt, fields, 2);
 *   ...
 *   double score;
 *   if (judge_read_number(pattern, answer, &score)) ...
 *   judge_pattern_close(pattern); */
#ifndef TPO_JUDGE_VERDICT_H
#define TPO_JUDGE_VERDICT_H

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

/* [[A]], [[ tie ]], [[7.5]]: what the built-in texts ask for. White space around the verdict is not looked
 * at. */
#define JUDGE_VERDICT_PATTERN "\\[\\[([^\\[\\]]*)\\]\\]"

/* A compiled regular expression (PCRE2, UTF-8) whose first group is the verdict. Only read after it is made:
 * threads may share it. */
struct judge_pattern;
/* NULL err: only whether it is one. Errors are TPO_E_USAGE: it does not compile (where and why), has no
 * group, is longer than 4096 bytes. */
int judge_pattern_open(struct judge_pattern **out, const char *pattern, struct tpo_error *err);
void judge_pattern_close(struct judge_pattern *pattern);

/* The last match counts, of those that begin in a text's last 256 KiB. Matching is limited, in steps for each
 * match and in seconds for all of them; a text that takes more has no verdict. After a signal
 * (tpo_interrupted) nothing is read any more: what then is no verdict means nothing. */
enum judge_verdict {
  JUDGE_VERDICT_NONE, /* no match, or a group that is none of these */
  JUDGE_VERDICT_A,
  JUDGE_VERDICT_B,
  JUDGE_VERDICT_TIE,    /* C, tie */
  JUDGE_VERDICT_BOTH,   /* both */
  JUDGE_VERDICT_NEITHER /* neither */
};
/* Letter case and white space around it aside. */
enum judge_verdict judge_read_verdict(const struct judge_pattern *pattern, const char *text);
/* The group as a decimal number within ±JUDGE_LARGEST_SCORE, nothing else in it but white space; false where
 * there is none. */
bool judge_read_number(const struct judge_pattern *pattern, const char *text, double *out);
/* TPO_E_INTERRUPTED after a signal, else 0: asked after an answer in which nothing was found. */
int judge_reading_stopped(struct tpo_error *err);

#endif
