/* What judges have in common that hand on to others, route and sum: the others are checked, opened, asked and
 * counted here. Which items each gets, and what becomes of its results, is theirs. */
#ifndef TPO_JUDGE_SEVERAL_H
#define TPO_JUDGE_SEVERAL_H

#include "judge/routes.h"

struct several {
  struct routes routes;
  struct tpo_judge **judges; /* [routes.n_judges] */
  struct tpo_watch watch;    /* of all judges' items; each judge tells of its own */
  double before, part, all;  /* responses that are asked about: before, with the judge under way, in all */
};

/* several_close also after an error. It stays where it is while it is open. */
int several_open(struct several *several, const struct tpo_judge_config *config,
                 const struct tpo_judge_env *env, struct tpo_error *err);
void several_close(struct several *several);
/* A batch begins, in which judges are asked about so many responses in all, each judge's counted. */
void several_begin(struct several *several, double responses);
/* Gives a judge all its items of the batch at once, so that it can fill its own. results as for
 * tpo_judge_score. */
int several_ask(struct several *several, int judge, const struct tpo_judge_item *items, int n_items,
                struct tpo_judge_result *results, struct tpo_error *err);
/* What a judge made of a response, under its name: {"judge", "raw", "detail"}, or without a score
 * {"error", "judge"}, with "detail" where there is more than the reason, which stands on top, where all
 * judges have it. A new reference; NULL with err set. */
json_t *several_detail(const struct several *several, int judge, const struct tpo_judge_result *own,
                       struct tpo_error *err);
/* Adds each judge's counts as "NAME.COUNT", by the kinds' names. Returns a negative number for lack of
 * memory. */
int several_add_counts(const struct several *several, json_t *counts);

/* Entries of struct judge_kind: whether any of the judges answers yes, all of their lines, those that the
 * item goes to together. */
int several_check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err);
bool several_needs_model(const struct tpo_judge_config *config);
bool several_compares(const struct tpo_judge_config *config);
bool several_keeps_answers(const struct tpo_judge_config *config);
int several_identify(const char *argument, const struct tpo_judge_config *config, struct tpo_buf *out,
                     struct tpo_error *err);
int several_validate(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                     struct tpo_error *err);
struct tpo_judge_cost several_cost(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                                   int k, int comparisons);

#endif
