/* Inside the `http` judge: the address, the messages and the pauses of OpenAI's chat completions protocol.
 * Nothing here opens a connection. */
#ifndef TPO_ASK_HTTP_PROTOCOL_H
#define TPO_ASK_HTTP_PROTOCOL_H

#include <time.h>
#include "base/buf.h"
#include "ask/ask.h"

struct http_url {
  char *address;  /* of the chat completions */
  char *shown;    /* the same without its query, for messages */
  bool encrypted; /* https */
  bool local;     /* the host is this machine */
};
/* text: http or https, the base ("http://host:port/v1") or the whole address. Errors are TPO_E_USAGE and
 * never show a password. http_url_free also after an error. */
int http_url_parse(struct http_url *url, const char *text, struct tpo_error *err);
void http_url_free(struct http_url *url);

/* The fields that a request has beside model and messages, unless judge.request says otherwise; the last two only
 * where the likeliest tokens are wanted. */
enum http_own {
  HTTP_TEMPERATURE,
  HTTP_MAX_TOKENS,
  HTTP_N,
  HTTP_SEED,
  HTTP_LOGPROBS,
  HTTP_TOP_LOGPROBS,
  HTTP_N_OWN
};
extern const char *const http_own_fields[HTTP_N_OWN];

struct http_settings {
  char *model;
  double temperature;
  int max_tokens;
  uint64_t seed;             /* its low 31 bits are sent: more than that some servers refuse */
  json_t *request;           /* judge.request, an object; NULL: none */
  bool replaced[HTTP_N_OWN]; /* by it, or left out */
  char *fields;              /* it as the body's end; NULL: none */
  int most_tokens;           /* of an answer, by max_tokens or what is in its place */
  const char *limit;         /* what limits an answer's tokens, for messages */
  const char *size_key;      /* what most_tokens comes from, the same but where no limit is sent */
};
/* That judge.request, the text of a JSON object or NULL, gives nothing that is not for it to give. */
int http_check_request(const char *request, struct tpo_error *err);
int http_settings_open(struct http_settings *settings, const struct tpo_judge_config *config, uint64_t seed,
                       struct tpo_error *err);
void http_settings_close(struct http_settings *settings); /* also after an error */
/* How many of the likeliest tokens a request asks for where so many are wanted: judge.request may say less, or none. */
int http_top_tokens(const struct http_settings *settings, int wanted);
/* Appends the body of a request. Bytes that are not UTF-8 become U+FFFD. */
void http_write_body(struct tpo_buf *out, const struct http_settings *settings,
                     const struct ask_question *question);

/* A body as JSON, unless it has more values than `most` (TPO_E_UNSUPPORTED). */
enum { HTTP_MOST_VALUES = 100000 };
json_t *http_parse(const char *body, size_t len, size_t most, struct tpo_error *err);
/* Bytes that a reply of so many tokens has at most, generously: 64 for each, 64 KiB for what is around
 * them, never more than 4 MiB. With the likeliest tokens in each token's place: 256 more for each of them and for
 * the token itself, and so many times 4 MiB. */
size_t http_longest_body(int max_tokens, int top_tokens);

/* Replaces each occurrence of key (NULL or "": of nothing) in text by "[key]", those too that the escapes of
 * JSON, addresses and HTML disguise, and, of a key of HTTP_SHORT_KEY characters or more, those in base64. */
void http_redact(struct tpo_buf *text, const char *key);

enum { HTTP_TEXT = 320 }; /* bytes of a message from a server, as we show it */
/* What a server tells in the body of an error. */
struct http_told {
  /* JSON's error.message and its like, else the body's beginning; on one line, without control characters and
   * without key; "" for an empty body. */
  char text[HTTP_TEXT];
  int status; /* 400 to 599, which the error's own code or type stands for; 0: none that is known */
  /* Of the request, which the error names as the one it is about, maybe with what is within it
   * ("reasoning.effort"); "": none. */
  char field[64];
};
void http_read_error(const char *body, size_t len, const char *key, struct http_told *told);
/* What to do about a request that was refused as `told` says: false and "" where it names no field of ours. */
enum { HTTP_ADVICE = 256 };
bool http_advise(const struct http_settings *settings, const struct http_told *told, char out[HTTP_ADVICE]);
/* The same of what such a body has as its `error`. */
void http_take_error(const json_t *error, const char *key, struct http_told *told);
/* Of such a body: the message; NULL: there is none. */
const char *http_find_message(const json_t *body);
/* A text of a server's, as http_told's. */
void http_show(const char *text, size_t len, const char *key, char out[HTTP_TEXT]);

/* How an answer ended, by its finish_reason. */
enum http_finish {
  HTTP_FINISH_WHOLE,  /* the model was done; also where nothing is told */
  HTTP_FINISH_LIMIT,  /* a limit on tokens cut it off */
  HTTP_FINISH_FILTER, /* a filter of the server's broke it off, or the model refused */
  HTTP_FINISH_OTHER   /* whatever else: a call of a tool, a server out of breath, a word that isn't known */
};
enum http_finish http_finish_of(const char *reason); /* takes NULL */

/* What is known of the reply that is read. */
struct http_expected {
  const char *key;   /* NULL: none */
  const char *limit; /* as http_settings', for messages */
  int top_tokens;    /* that were asked for */
};
struct http_reply {
  char *text;                               /* choices[0].message.content, without key; free() it */
  struct ask_answer top;                    /* its first token's likeliest alone; ask_answer_clear() it */
  bool truncated;                           /* finish_reason: a limit on tokens ended it */
  int64_t prompt_tokens, completion_tokens; /* 0 where not told */
  struct http_told error;                   /* HTTP_ERROR */
};
enum http_reading { HTTP_READ, HTTP_MALFORMED, HTTP_NO_TEXT, HTTP_ERROR, HTTP_READ_NO_MEMORY };
/* Reads the body of a success. MALFORMED: no JSON, maybe cut off; ERROR: an error that goes as a success; NO_TEXT:
 * JSON without an answer, with an empty one where the tokens went into reasoning, or with one that something other
 * than its end or a limit on tokens ended; why tells more about these.
 * What a server tells apart as reasoning is never read as the answer. A short key (HTTP_SHORT_KEY) is no secret
 * and could be part of any answer: it stays. */
enum { HTTP_SHORT_KEY = 8 };
enum http_reading http_read_reply(const char *body, size_t len, const struct http_expected *expected,
                                  struct http_reply *reply, char why[HTTP_TEXT]);
/* A text of an answer's, without key; a NUL, which JSON allows and C does not, becomes U+FFFD. free() it. */
char *http_take_text(const json_t *text, const char *key);
/* Of choices[0], the likeliest in the place of the answer's first token, at most `most`, into out: those that have a
 * text and a log-probability; none where they aren't told as the protocol has them. */
int http_read_top(const json_t *choice, const char *key, int most, struct ask_answer *out,
                  struct tpo_error *err);
/* Whether a request was refused for asking for them. */
bool http_refuses_top(const struct http_told *told);

/* Seconds to wait after a question's attempt number `failures` (from 1) failed: doubling from half a second
 * to half a minute, of which a random share between a half and all, keyed by (seed, question, failures). */
double http_pause(int failures, uint64_t seed, uint64_t question);
/* *seconds from the value of a Retry-After header, a number of seconds, with a fraction or without, or a date;
 * never negative. false: it is neither. */
bool http_retry_after(const char *value, time_t now, double *seconds);
/* The same of a retry-after-ms header, a number of milliseconds. */
bool http_retry_after_ms(const char *value, double *seconds);

/* That name can be an environment variable's. */
int http_check_key_name(const char *name, struct tpo_error *err);
/* That a header can carry the key. Its value is in no message. */
int http_check_key(const char *name, const char *key, struct tpo_error *err);

#endif
