/* Arena-Hard's games: a judge's model compares a model's answers with a baseline's, each question in both
 * positions, and says which is better and how much.
 *
 *   arena_judging_open(&judging, &config, &questions, &answers, &baseline, &err);
 *   arena_judging_ask(judging, session, &options, &err);
 *   ... rank 0: judging->contests[i].games[0].label
 *   arena_judging_close(judging); */
#ifndef TPO_EVAL_ARENA_JUDGING_H
#define TPO_EVAL_ARENA_JUDGING_H

#include "eval/arena/answers.h"
#include "eval/arena/battles.h"
#include "eval/arena/verdict.h"
#include "eval/asking.h"
#include "judge/texts.h"
#include "tpo/data.h"

struct arena_game {
  char *asked; /* the question to the judge */
  char
      *judgment; /* all that the judge said, upstream's way: a line break before each answer; NULL: nothing */
  char label[JUDGE_MATCH]; /* "": no verdict */
};
struct arena_contest {
  const char *id;                       /* the question's, borrowed */
  struct arena_game games[ARENA_GAMES]; /* of the first A is the baseline, of the second the model */
};
struct arena_judging {
  struct judge_texts texts;
  struct arena_reader reader;
  struct arena_contest *contests; /* [n] in the questions' order */
  size_t n;
  size_t without_answer,
      without_baseline; /* questions that one of the files has no answer to: they aren't judged */
  /* Games, on rank 0: asked once more; whose verdicts differ; without a verdict in the end; that the judge failed on,
   * at first or when it was to go on; with an answer that judge.max_tokens cut off. */
  size_t asked_again, contradicted, without, failed, failed_again, cut_off;
  size_t failed_contests; /* with a game that the judge failed on */
  char *why;              /* it failed first; NULL: it never did */
  json_t *counts;         /* what the judge counted; NULL: nothing */
};

/* What can be told of the settings alone: Arena-Hard's verdicts are read by its own rule, so that judge.pattern and
 * other judge.verdicts don't go with it; judge.prompt has its fields. */
int arena_judging_check(const struct tpo_judge_config *config, struct tpo_error *err);
/* config, the questions and the answers are borrowed; no question with both answers is an error. */
int arena_judging_open(struct arena_judging **out, const struct tpo_judge_config *config,
                       const struct tpo_instructions *questions, const struct arena_answers *model,
                       const struct arena_answers *baseline, struct tpo_error *err);
/* All ranks, alike. Where an answer has no label at all the judge is asked to go on, once. More than the share
 * judge.max_failed of the questions with a game that it failed on is an error. */
int arena_judging_ask(struct arena_judging *judging, const struct tpo_session *session, const char *journal,
                      struct tpo_error *err);
/* On rank 0, as battles of these two. */
int arena_judging_battles(const struct arena_judging *judging, const char *model, const char *baseline,
                          struct arena_battles *battles, struct tpo_error *err);
void arena_judging_close(struct arena_judging *judging); /* takes NULL */

#endif
