/* What the parts of `tpo eval arena` share. */
#ifndef TPO_CLI_EVAL_ARENA_H
#define TPO_CLI_EVAL_ARENA_H

#include "cli/eval/eval.h"
#include "eval/arena/battles.h"

/* What is asked for: to reckon with battles or games that are there, to write a model's answers, or to have
 * answers judged. */
enum arena_task { ARENA_RECKON, ARENA_DRAW, ARENA_JUDGE };
enum { ARENA_PLACES = 2 };
struct arena_request {
  enum arena_task task;
  const char *battles, *games; /* files to reckon with, one of them */
  const char *prompts;
  const char *answers, *baseline; /* files of answers to judge */
  char name[256];                 /* of the model that answers */
  /* Files of its answers, and of the games that are judged: the one that is named, and that in --save's folder; "":
   * none. */
  char outs[ARENA_PLACES][4096], judgments[ARENA_PLACES][4096], tables[ARENA_PLACES][4096];
  char journal[4096]; /* of what is finished of them */
  bool resume;
  const char *anchor; /* the baseline's name; NULL: not given */
  int64_t rounds;
};

/* The parts, each on all ranks: *result, on rank 0, is what eval_finish prints. */
int arena_reckon(struct cli_session *s, const struct arena_request *request, json_t **result,
                 struct tpo_error *err);
int arena_draw(struct cli_session *s, const struct arena_request *request, json_t **result,
               struct tpo_error *err);
int arena_judge(struct cli_session *s, const struct arena_request *request, json_t **result,
                struct tpo_error *err);
/* Rank 0: the result of battles, with its provenance begun; NULL: err. */
json_t *arena_result(const struct cli_session *s, const struct arena_battles *battles,
                     const struct arena_request *request, struct tpo_error *err);

#endif
