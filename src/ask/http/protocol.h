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

struct http_settings {
  char *model;
  double temperature;
  int max_tokens;
  uint64_t seed; /* its low 31 bits are sent: more than that some servers refuse */
};
/* Appends the body of a request. Bytes that are not UTF-8 become U+FFFD. */
void http_write_body(struct tpo_buf *out, const struct http_settings *settings,
                     const struct ask_question *question);

/* Bytes that a reply of max_tokens tokens has at most, generously: 64 for each, 64 KiB for what is around
 * them, never more than 16 MiB. JSON of small items takes 80 times its bytes in memory. */
size_t http_longest_body(int max_tokens);

/* Replaces each occurrence of key (NULL or "": of nothing) in text by "[key]", those too that the escapes of
 * JSON, addresses and HTML disguise, and, of a key of HTTP_SHORT_KEY characters or more, those in base64. */
void http_redact(struct tpo_buf *text, const char *key);

enum { HTTP_TEXT = 320 }; /* bytes of a message from a server, as we show it */
/* What a server tells in the body of an error: JSON's error.message and its like, else the body's beginning;
 * on one line, without control characters and without key; "" for an empty body. */
void http_error_text(const char *body, size_t len, const char *key, char out[HTTP_TEXT]);

struct http_reply {
  char *text;                               /* choices[0].message.content, without key; free() it */
  bool truncated;                           /* finish_reason: a limit on tokens ended it */
  int64_t prompt_tokens, completion_tokens; /* 0 where not told */
};
enum http_reading { HTTP_READ, HTTP_MALFORMED, HTTP_NO_TEXT, HTTP_READ_NO_MEMORY };
/* Reads the body of a success. MALFORMED: no JSON, maybe cut off; NO_TEXT: JSON without an answer, or with
 * an empty one where the tokens went into reasoning; why tells more about both. What a server tells apart
 * as reasoning is never read as the answer. A short key (HTTP_SHORT_KEY) is no secret and could be part of
 * any answer: it stays. */
enum { HTTP_SHORT_KEY = 8 };
enum http_reading http_read_reply(const char *body, size_t len, const char *key, struct http_reply *reply,
                                  char why[HTTP_TEXT]);

/* Seconds to wait after a question's attempt number `failures` (from 1) failed: doubling from half a second
 * to half a minute, of which a random share between a half and all, keyed by (seed, question, failures). */
double http_pause(int failures, uint64_t seed, uint64_t question);
/* *seconds from the value of a Retry-After header, a number of seconds or a date; never negative. false: it
 * is neither. */
bool http_retry_after(const char *value, time_t now, double *seconds);

/* That name can be an environment variable's. */
int http_check_key_name(const char *name, struct tpo_error *err);
/* That a header can carry the key. Its value is in no message. */
int http_check_key(const char *name, const char *key, struct tpo_error *err);

#endif
