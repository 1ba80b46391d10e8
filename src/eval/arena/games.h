/* Games that were judged, written so that arena_read, and upstream, read them. */
#ifndef TPO_EVAL_ARENA_GAMES_H
#define TPO_EVAL_ARENA_GAMES_H

#include "eval/arena/judging.h"

/* Columns question_id, model, game1, game2. Names that a table can't hold, with a tab or a line break, are an error,
 * which arena_games_check tells before anything is asked. */
int arena_games_write_table(const struct arena_judging *judging, const char *model, const char *path,
                            struct tpo_error *err);
int arena_games_check(const struct arena_judging *judging, const char *model, struct tpo_error *err);
/* Upstream's judgments, JSON Lines: question_id, model, judge, games of [{user_prompt, judgment, score}]. */
int arena_games_write_judgments(const struct arena_judging *judging, const char *model, const char *judge,
                                const char *path, struct tpo_error *err);

#endif
