/* What battles come to, as JSON. */
#ifndef TPO_EVAL_ARENA_SCORE_H
#define TPO_EVAL_ARENA_SCORE_H

#include "eval/arena/battles.h"

struct arena_rounds {
  size_t n; /* of the bootstrap */
  uint64_t seed;
  const struct tpo_watch *watch; /* told of rounds that are done; may be NULL */
};
/* {"evaluation": "arena", "baseline", "rounds", "n_battles"} and, of a model,
 *   "model", "score", "lower", "upper": percent; null where nothing tells them, and "note" tells why
 *   "elo", "wins", "losses", "ties", "n_battles", and where games are known "games", "null_games", "unknown_labels"
 * beside these where there is one besides the baseline, else in an array "models", best first. NULL: err. */
json_t *arena_score(const struct arena_battles *battles, size_t baseline, const struct arena_rounds *rounds,
                    struct tpo_error *err);

#endif
