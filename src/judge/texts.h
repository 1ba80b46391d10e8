/* What the kinds that ask a language model have in common: the texts of judge.prompt and judge.system, and
 * how answers are read. */
#ifndef TPO_JUDGE_TEXTS_H
#define TPO_JUDGE_TEXTS_H

#include "judge/prompt.h"
#include "judge/verdict.h"

struct judge_texts {
  char *system; /* NULL: none */
  char *prompt;
  struct judge_reader reader;
};
/* names: the placeholders that judge.prompt needs. Errors are TPO_E_USAGE. */
int judge_texts_check(const struct tpo_judge_config *config, const char *const *names, size_t n_names,
                      struct tpo_error *err);
/* The configuration's, which must outlive them, or else the built-in ones; the built-in system message
 * belongs to the built-in prompt. judge_texts_close also after an error. */
int judge_texts_open(struct judge_texts *texts, const struct tpo_judge_config *config, const char *system,
                     const char *prompt, struct tpo_error *err);
void judge_texts_close(struct judge_texts *texts);

#endif
