/* Inside the chat with a server: its state, and the questions of one call: which of them are equal, which the
 * cache knows, and which are open. */
#ifndef TPO_ASK_HTTP_WORK_H
#define TPO_ASK_HTTP_WORK_H

#include "ask/http/cache.h"
#include "ask/http/client.h"
#include "ask/http/protocol.h"

struct http_chat {
  struct http_url url;
  struct http_settings settings;
  struct http_client *client;
  struct http_cache *cache; /* NULL: none */
  char *key, *key_env;      /* key NULL: none */
  int retries, slots, rank;
  bool alone;       /* no other rank asks, too */
  double deadline;  /* seconds that the others wait for this rank; 0: for ever */
  bool reached;     /* some reply came */
  bool answered;    /* some question was answered */
  bool without_top; /* the server refused to tell the likeliest tokens: it is asked no more */
  char refused[33], refused_for[64]; /* the question that was refused for a field, and the field; "": none */
  int unanswered;                    /* questions in a row, whatever the reason */
  double told;                       /* until when, as was told last, the server asks to wait */
  int64_t requests, retried, cached, repeated, truncated, prompt_tokens, completion_tokens;
  int64_t top_wanted, top_told, top_refused; /* answers; requests that were refused for it */
};

struct http_job {
  char key[33];          /* hash of address and request, but for top_tokens */
  int top_tokens;        /* the most that are wanted with this question or an equal one */
  size_t question;       /* index */
  struct http_job *same; /* an equal question before it; NULL: none */
};

struct http_slot {
  struct http_exchange exchange;
  const struct http_job *job; /* NULL: free */
  struct tpo_buf body;
  int failures;
  int top_tokens; /* that the last request asked for */
  bool refused;   /* one was refused for them */
  double due;     /* when the next attempt begins */
};

struct http_work {
  struct http_chat *chat;
  const struct ask_question *questions;
  struct ask_answer *answers;
  struct http_job *jobs;   /* [n] */
  struct http_job **open;  /* [n_open] those to be asked */
  struct http_slot *slots; /* [n_slots] */
  size_t n, n_open, n_slots, next, settled;
  double begun; /* tpo_seconds() */
  const struct tpo_watch *watch;
};

/* Finds equal questions and answers what the cache knows; the rest is open, and slots are there for it.
 * http_work_close also after an error. */
int http_work_open(struct http_work *work, struct tpo_error *err);
/* An open question, now that the server is known to tell no likeliest tokens. 1: the cache has an answer that was asked
 * for without them, which settles it. */
int http_work_look_again(struct http_work *work, const struct http_job *job, struct tpo_error *err);
/* The open ones are settled: equal questions get equal answers. */
int http_work_copy(struct http_work *work, struct tpo_error *err);
void http_work_close(struct http_work *work);

int http_work_set(struct http_work *work, const struct http_job *job, bool ok, const char *text,
                  struct tpo_error *err);
/* Of an answer to a question that wanted so many of the likeliest tokens. */
void http_work_count_top(struct http_chat *chat, int wanted, int told);
void http_work_tell_limit(const struct http_chat *chat, struct ask_answer *answer, bool cut_off);

#endif
