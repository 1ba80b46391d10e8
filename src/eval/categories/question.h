/* Which category an instruction belongs to, as a language model is asked and as its answer is read. */
#ifndef TPO_EVAL_CATEGORIES_QUESTION_H
#define TPO_EVAL_CATEGORIES_QUESTION_H

#include "eval/categories/list.h"

/* free() it; NULL when memory is short. */
char *category_question(const struct category_list *list, const char *instruction);

/* The category that an answer, without its thoughts, says, to *found; -1: none, or several. A line says one that is its
 * number, its name, or both (letter case, marks around it and what follows a name behind a colon or in parentheses aside),
 * where a name counts before a number, and of two names the longer; if such lines differ, those that are marked as the answer
 * ("Category: ...") count. Without such a line it is the one category whose name stands somewhere in the text, longer names first,
 * but for lines that deny something in English ("It is not Mathematics."), which say nothing. */
int category_read(const struct category_list *list, const char *answer, int *found, struct tpo_error *err);

#endif
