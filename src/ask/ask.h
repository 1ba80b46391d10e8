/* ask: a question to a language model and its answer, whoever computes it: our engine, or a server.
 *
 *   struct ask_chat chat;
 *   struct ask_options options = {.config = &config->judge, .backend = be, .dtype = dtype, .seed = seed};
 *   ask_open_engine(&chat, "models/judge", &options, &err);
 *   ask_batch_open(&batch, &chat, "You are a judge.", take_answer, state, &err);
 *   ask_batch_add(batch, question, (struct ask_place){result, 0}, &err);
 *   ...
 *   ask_batch_run(batch, &err);
 *   ask_batch_close(batch);
 *   chat.close(chat.state); */
#ifndef TPO_ASK_ASK_H
#define TPO_ASK_ASK_H

#include <jansson.h>
#include "tpo/backend.h"
#include "tpo/base.h"
#include "tpo/config.h"

struct tpo_model_shelf;

/* Whoever answers nothing that can be used so many times in a row is asked no more, however many failures are
 * allowed: what is wrong must be seen before more is spent. */
enum { ASK_IN_A_ROW = 100 };

struct ask_question {
  const char *system; /* NULL: none */
  const char *user;
  /* What the model said to that, and what it is asked next; both NULL: nothing yet. */
  const char *answered, *follow_up;
  /* How many of the likeliest first tokens are asked for with their log-probabilities, at most ASK_MOST_TOP; 0:
   * none. Only a server tells them, and not every one. */
  int top_tokens;
};
enum { ASK_MOST_TOP = 32 };
struct ask_token {
  char *text;     /* free() */
  double logprob; /* natural log */
};
struct ask_answer {
  bool ok;
  bool cut_off;          /* ok: a limit on tokens ended the answer before the model did */
  char *text;            /* the answer with its thoughts, or why there is none; free() */
  const char *limit;     /* the key that limits the tokens, for messages; static; NULL: judge.max_tokens */
  struct ask_token *top; /* [n_top] of the first token, likeliest first; free(), as ask_answer_clear does */
  int n_top;             /* 0: they weren't asked for, or aren't told */
};
void ask_answer_clear(struct ask_answer *answer); /* frees what it holds, and empties it */
/* Adds a token behind the others, of text [len]; copies n of them; brings them into their order. */
int ask_answer_add_top(struct ask_answer *answer, const char *text, size_t len, double logprob,
                       struct tpo_error *err);
int ask_answer_copy_top(struct ask_answer *answer, const struct ask_token *top, int n, struct tpo_error *err);
void ask_answer_sort_top(struct ask_answer *answer);

struct ask_chat {
  void *state;
  /* answers [n], in the order of the questions. A question that stays without an answer has ok = false;
   * a negative status ends it all. Looks at tpo_interrupted() between steps. watch (may be NULL) is told of the
   * questions that are settled. */
  int (*ask)(void *state, const struct ask_question *questions, size_t n, struct ask_answer *answers,
             const struct tpo_watch *watch, struct tpo_error *err);
  json_t *(*counts)(const void *state);
  void (*close)(void *state);
};

/* What a chat is opened with; borrowed while it is open. */
struct ask_options {
  const struct tpo_judge_config *config; /* how answers are drawn; a server's model, key and patience */
  struct tpo_backend *backend;           /* for a model that is computed here */
  enum tpo_compute_dtype dtype;          /* of such a model */
  struct tpo_model_shelf *models; /* where it is taken from and goes back to; NULL: it is read and closed */
  uint64_t seed;
  int rank, size;        /* this process among those that ask at the same time; size 0 counts as 1 */
  double deadline;       /* seconds that the others wait for this one at most; 0: for ever */
  const char *cache_dir; /* where a server's answers are kept; NULL: nowhere */
  const char *work;      /* as tpo_judge_env's */
};

/* What can be told of a model without reading its weights: its tensors, its tokenizer, that its chat template
 * is known. */
int ask_check_engine(const char *path, struct tpo_error *err);
/* The model in a folder or file, which was checked, on options->backend. */
int ask_open_engine(struct ask_chat *out, const char *path, const struct ask_options *options,
                    struct tpo_error *err);
/* A server; url is the base, "http://host:port/v1", or the whole address of its chat completions. */
int ask_check_http(const char *url, const struct tpo_judge_config *config, struct tpo_error *err);
int ask_open_http(struct ask_chat *out, const char *url, const struct ask_options *options,
                  struct tpo_error *err);

/* Questions that are asked many at a time. Those beyond ASK_AT_ONCE wait, so that their texts don't all lie
 * in memory. */
enum { ASK_AT_ONCE = 4096 };

/* Where a question belongs. */
struct ask_place {
  void *of;
  size_t at;
};
/* Takes a question's answer, whose text is not NULL; to keep that, set it to NULL. */
typedef int ask_take(void *arg, struct ask_place place, struct ask_answer *answer, struct tpo_error *err);

struct ask_batch;
/* chat and system (may be NULL) are borrowed; take gets arg. */
int ask_batch_open(struct ask_batch **out, const struct ask_chat *chat, const char *system, ask_take *take,
                   void *arg, struct tpo_error *err);
/* watch (borrowed; may be NULL) is told how many of `total` questions are settled, of the batch's whole
 * life. */
void ask_batch_watch(struct ask_batch *batch, const struct tpo_watch *watch, size_t total);
/* Takes question, also when it fails; NULL is an error, memory was short. A full batch is asked. */
int ask_batch_add(struct ask_batch *batch, char *question, struct ask_place place, struct tpo_error *err);
int ask_batch_run(struct ask_batch *batch, struct tpo_error *err); /* those that still wait */
void ask_batch_close(struct ask_batch *batch);                     /* takes NULL */

#endif
