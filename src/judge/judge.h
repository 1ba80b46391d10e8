/* Inside the judge layer: what a kind of judge provides. */
#ifndef TPO_JUDGE_JUDGE_H
#define TPO_JUDGE_JUDGE_H

#include <jansson.h>
#include "ask/ask.h"
#include "base/buf.h"
#include "tpo/judge.h"

/* config: whose kind is this one, here and below. */
struct judge_kind {
  /* argument: what follows the colon in judge.kind, or NULL. */
  int (*check)(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err);
  /* *state is handed to the others. */
  int (*open)(void **state, const char *argument, const struct tpo_judge_config *config,
              const struct tpo_judge_env *env, struct tpo_error *err);
  int (*score)(void *state, const struct tpo_judge_item *items, int n_items, struct tpo_judge_result *results,
               struct tpo_error *err);
  void (*close)(void *state);
  json_t *(*counts)(const void *state); /* NULL: none */

  /* What is known before anything is opened; each as tpo_judge_... of its name. */
  struct tpo_judge_cost (*cost)(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                                int k, int comparisons);
  int (*validate)(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                  struct tpo_error *err);                       /* NULL: nothing can be wrong with an item */
  bool (*needs_model)(const struct tpo_judge_config *config);   /* NULL: no */
  bool (*compares)(const struct tpo_judge_config *config);      /* NULL: no */
  bool (*keeps_answers)(const struct tpo_judge_config *config); /* NULL: no */
  int (*identify)(const char *argument, const struct tpo_judge_config *config, struct tpo_buf *out,
                  struct tpo_error *err); /* as judge_identify (judge/identity.h); NULL: no model */
  /* The language model that it asks, for questions of another kind (judge/chat.h); NULL: none. */
  int (*check_chat)(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err);
  int (*open_chat)(struct ask_chat *out, const char *argument, const struct tpo_judge_config *config,
                   const struct tpo_judge_env *env, struct tpo_error *err);
  bool mixes; /* its scores come from judges whose scales differ */
};
extern const struct judge_kind judge_kind_rule;
extern const struct judge_kind judge_kind_reward;
extern const struct judge_kind judge_kind_pairwise;
extern const struct judge_kind judge_kind_http;
extern const struct judge_kind judge_kind_command;
extern const struct judge_kind judge_kind_route;
extern const struct judge_kind judge_kind_sum;

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
/* The largest score, and with a minus the smallest, that is taken from others: larger ones are not told apart
 * in double precision, and have no finite mean. */
#define JUDGE_LARGEST_SCORE 1e15
/* Sets a score and its detail; takes detail. */
int judge_set_score(struct tpo_judge_result *result, double score, json_t *detail, struct tpo_error *err);
/* The same of a result without a score, whose detail has the reason as "error" and more. */
int judge_set_unscored(struct tpo_judge_result *result, json_t *detail, struct tpo_error *err);

#endif
