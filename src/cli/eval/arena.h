/* What the parts of `tpo eval arena` share. */
#ifndef TPO_CLI_EVAL_ARENA_H
#define TPO_CLI_EVAL_ARENA_H

#include "cli/eval/eval.h"
#include "eval/arena/battles.h"

struct arena_request {
  const char *battles, *games; /* files that are reckoned with */
  const char *anchor;          /* the baseline's name; NULL: not given */
  int64_t rounds;
};

/* Rank 0: the result of battles, with its provenance begun; NULL: err. */
json_t *arena_result(const struct cli_session *s, const struct arena_battles *battles,
                     const struct arena_request *request, struct tpo_error *err);

#endif
