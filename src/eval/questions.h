/* Questions that rank 0 has, on all ranks: what eval_ask wants where one rank alone reads what they are made of.
 *
 *   struct eval_questions questions = {0};
 *   if (rank == 0) status = make(&questions);          // eval_questions_add
 *   status = eval_questions_share(comm, status, &questions, &err);
 *   ... eval_ask(session, questions.list, questions.n, &options, answers, &counts, &err);
 *   eval_questions_free(&questions); */
#ifndef TPO_EVAL_QUESTIONS_H
#define TPO_EVAL_QUESTIONS_H

#include "eval/asking.h"

struct eval_questions {
  struct eval_question *list; /* [n] */
  size_t n, capacity;
  struct tpo_arena_block *texts;
};
/* Copies the question's texts. */
int eval_questions_add(struct eval_questions *questions, const struct eval_question *question,
                       struct tpo_error *err);
/* All ranks, with the status that rank 0 made them with; the others come with none. */
int eval_questions_share(struct tpo_comm *comm, int status, struct eval_questions *questions,
                         struct tpo_error *err);
void eval_questions_free(struct eval_questions *questions);

#endif
