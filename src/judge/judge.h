/* Inside the judge layer: what a kind of judge provides. */
#ifndef TPO_JUDGE_JUDGE_KIND_H
#define TPO_JUDGE_JUDGE_KIND_H

#include <jansson.h>
#include "ask/ask.h"
#include "tpo/judge.h"

struct tpo_judge_kind {
  const char *name; /* before the colon in judge.kind */
  /* argument: what follows the colon, or NULL. */
  int (*check)(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err);
  /* *state is handed to the others. */
  int (*open)(void **state, const char *argument, const struct tpo_judge_config *config,
              const struct tpo_judge_env *env, struct tpo_error *err);
  int (*score)(void *state, const struct tpo_judge_item *items, int n_items, struct tpo_judge_result *results,
               struct tpo_error *err);
  void (*close)(void *state);
  json_t *(*counts)(const void *state);                       /* NULL: none */
  bool (*needs_model)(const struct tpo_judge_config *config); /* NULL: no */
  bool (*compares)(const struct tpo_judge_config *config);    /* NULL: no */
};
extern const struct tpo_judge_kind tpo_judge_rule;
extern const struct tpo_judge_kind tpo_judge_reward;
extern const struct tpo_judge_kind tpo_judge_http;
extern const struct tpo_judge_kind tpo_judge_https;
extern const struct tpo_judge_kind tpo_judge_command;
extern const struct tpo_judge_kind tpo_judge_route;
extern const struct tpo_judge_kind tpo_judge_pairwise;

/* The reason of a response that is not there. */
#define JUDGE_NO_RESPONSE "not scored: the output has no response"
/* Whether a setting or argument has a value. */
static inline bool judge_given(const char *text)
{
  return text && *text;
}

/* What a kind that asks a language model opens it with. */
struct ask_options judge_ask_options(const struct tpo_judge_config *config, const struct tpo_judge_env *env);

/* Sets a result without a score, the reason as its detail {"error": why}; `why` may hold bytes that are not
 * UTF-8. */
int judge_set_failure(struct tpo_judge_result *result, const char *why, struct tpo_error *err);
/* Sets a score and its detail; takes detail. */
int judge_set_score(struct tpo_judge_result *result, double score, json_t *detail, struct tpo_error *err);

#endif
