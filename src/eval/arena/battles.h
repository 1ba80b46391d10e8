/* Battles: who won against whom, as Arena-Hard v0.1 counts its judge's verdicts.
 *
 *   struct arena_battles battles = {0};
 *   arena_model_of(&battles, "gpt-4-0314", &baseline, &err);
 *   arena_model_of(&battles, "mine", &model, &err);
 *   arena_add_game(&battles, baseline, model, 0, "A>>B", &err); // three battles that the baseline won
 *   ...
 *   arena_battles_free(&battles); */
#ifndef TPO_EVAL_ARENA_BATTLES_H
#define TPO_EVAL_ARENA_BATTLES_H

#include <jansson.h>
#include "tpo/base.h"

struct arena_battle {
  int32_t a, b; /* of models */
  double won;   /* by a: 1, 0, or 1/2 for a tie */
};
struct arena_model {
  char *name;
  size_t games;              /* that were played against the baseline; 0: battles alone are known */
  size_t null_games;         /* of these, without a verdict */
  size_t unknown_labels;     /* with one that is none of the five */
  size_t wins, losses, ties; /* battles, against all others */
};
struct arena_battles {
  struct arena_model *models; /* [n_models] */
  size_t n_models, models_capacity;
  struct arena_battle *list; /* [n] */
  size_t n, capacity;
  json_t *index; /* model's name -> place */
  json_t *files; /* an array: the paths that arena_read took them from; NULL: none */
};

/* The model of this name, a new one where there is none. */
int arena_model_of(struct arena_battles *battles, const char *name, int32_t *out, struct tpo_error *err);
/* copies battles of this outcome. */
int arena_add_battle(struct arena_battles *battles, struct arena_battle battle, int copies,
                     struct tpo_error *err);

/* One game of a question: game 0 shows the baseline's answer as A and the model's as B, game 1 the model's as A.
 * label NULL: no verdict. A strong verdict, >>, makes three battles, another one; no verdict, and a label that
 * is none of the five, makes none and is counted. */
enum { ARENA_GAMES = 2 };
int arena_add_game(struct arena_battles *battles, int32_t baseline, int32_t model, int game,
                   const char *label, struct tpo_error *err);
void arena_battles_free(struct arena_battles *battles);

#endif
