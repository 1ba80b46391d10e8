/* Battles from files: Arena-Hard's own, its judge's games, and our tables of both.
 *
 *   arena_read(&battles, ARENA_GAMES_FILE, "games.tsv", NULL, &err);
 *   arena_find_baseline(&battles, NULL, &baseline, &err); */
#ifndef TPO_EVAL_ARENA_READ_H
#define TPO_EVAL_ARENA_READ_H

#include "eval/arena/battles.h"

enum arena_file {
  /* Records `winner` = baseline, model or tie, with the `model`'s name; or `model_a`, `model_b` and `winner` =
   * model_a, model_b, tie or "tie (bothbad)", which come in any number for a question. */
  ARENA_BATTLES_FILE,
  /* Records `question_id`, `game1`, `game2`, the verdicts' labels, with the `model`'s name; or upstream's
   * judgments, `question_id`, `model` and `games`, up to two of {"score": label or null}. A question of a model
   * may stand there once. */
  ARENA_GAMES_FILE,
};
/* Adds what a file holds, or each file of a folder (*.jsonl, *.json, *.tsv, *.csv, *.gz), in the order of their
 * names, of which none may come twice (m.tsv, m.tsv.gz). Where records name no model, the file's name without its endings does. baseline: what the model is
 * called that games, and battles of the first form, were played against; NULL: "baseline". */
int arena_read(struct arena_battles *battles, enum arena_file kind, const char *path, const char *baseline,
               struct tpo_error *err);
/* The model named, NULL: "baseline" where there is one, else the model_a of the first battle if it takes part in
 * all. Errors name what models there are. */
int arena_find_baseline(const struct arena_battles *battles, const char *name, size_t *baseline,
                        struct tpo_error *err);

#endif
