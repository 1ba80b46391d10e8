/* A language model that is asked questions: our engine's, or a server's. */
#ifndef TPO_JUDGE_CHAT_H
#define TPO_JUDGE_CHAT_H

#include <jansson.h>
#include "tpo/judge.h"

struct judge_question {
  const char *system; /* NULL: none */
  const char *user;
};
struct judge_answer {
  bool ok;
  char *text; /* the answer, or why there is none; free() */
};

struct judge_chat {
  void *state;
  /* answers [n], in the order of the questions. A question that stays without an answer has ok = false;
   * a negative status ends it all. Looks at tpo_interrupted() between steps. */
  int (*ask)(void *state, const struct judge_question *questions, size_t n, struct judge_answer *answers,
             struct tpo_error *err);
  json_t *(*counts)(const void *state);
  void (*close)(void *state);
};

/* What can be told of a model without reading its weights: its tensors, its tokenizer, that its chat template
 * is known. */
int judge_chat_check_engine(const char *path, struct tpo_error *err);
/* The model in a folder or file, which was checked, on env->backend. */
int judge_chat_open_engine(struct judge_chat *out, const char *path, const struct tpo_judge_config *config,
                           const struct tpo_judge_env *env, struct tpo_error *err);
/* A server; url is the base, "http://host:port/v1", or the whole address of its chat completions. */
int judge_chat_open_http(struct judge_chat *out, const char *url, const struct tpo_judge_config *config,
                         const struct tpo_judge_env *env, struct tpo_error *err);
int judge_chat_check_http(const char *url, const struct tpo_judge_config *config, struct tpo_error *err);

/* Comparing an item's responses two by two through a chat: what `pairwise` does, and `http` in its pairwise
 * mode. */
struct judge_pairwise;
int judge_pairwise_check(const struct tpo_judge_config *config, struct tpo_error *err);
/* Takes the chat, also when it fails. */
int judge_pairwise_open(struct judge_pairwise **out, struct judge_chat chat,
                        const struct tpo_judge_config *config, const struct tpo_judge_env *env,
                        struct tpo_error *err);
int judge_pairwise_score(struct judge_pairwise *pairwise, const struct tpo_judge_item *items, int n_items,
                         struct tpo_judge_result *results, struct tpo_error *err);
json_t *judge_pairwise_counts(const struct judge_pairwise *pairwise); /* the chat's among them */
void judge_pairwise_close(struct judge_pairwise *pairwise);

#endif
