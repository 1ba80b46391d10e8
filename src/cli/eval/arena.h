/* What the parts of `tpo eval arena` share. */
#ifndef TPO_CLI_EVAL_ARENA_H
#define TPO_CLI_EVAL_ARENA_H

#include "cli/eval/eval.h"
#include "eval/arena/battles.h"

/* What is asked for: to reckon with battles or games that are there, or to write a model's answers. */
struct arena_request {
  const char *battles, *games; /* files; one, or neither: a model answers */
  const char *prompts;
  char name[256];                /* of the model that answers */
  char out[4096], journal[4096]; /* of its answers; journal: of what is finished of them */
  bool resume;
  const char *anchor; /* the baseline's name; NULL: not given */
  int64_t rounds;
};

/* The parts, each on all ranks: *result, on rank 0, is what eval_finish prints. */
int arena_reckon(struct cli_session *s, const struct arena_request *request, json_t **result,
                 struct tpo_error *err);
int arena_draw(struct cli_session *s, const struct arena_request *request, json_t **result,
               struct tpo_error *err);
/* Rank 0: the result of battles, with its provenance begun; NULL: err. */
json_t *arena_result(const struct cli_session *s, const struct arena_battles *battles,
                     const struct arena_request *request, struct tpo_error *err);

#endif
