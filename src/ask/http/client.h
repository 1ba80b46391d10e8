/* Connections to one server: several requests under way at once, without threads. */
#ifndef TPO_ASK_HTTP_CLIENT_H
#define TPO_ASK_HTTP_CLIENT_H

#include "base/buf.h"
#include "ask/http/protocol.h"

enum http_fault {
  HTTP_DONE,        /* there is a status and a whole body */
  HTTP_UNREACHABLE, /* no connection */
  HTTP_BROKEN,      /* the connection broke, or the time was over */
  HTTP_UNTRUSTED,   /* its certificate is not in order, or ours are not there */
  HTTP_TOO_LONG,    /* a success with a body over the limit; an error's is cut there */
  HTTP_NO_MEMORY
};

/* One request and what came back. Zero-initialise; http_exchange_free in the end. */
struct http_exchange {
  size_t number; /* by which the caller knows it */
  void *easy;    /* libcurl's handle, kept from one request to the next */
  bool under_way;
  enum http_fault fault;
  int status;                               /* 200, ... */
  size_t longest;                           /* bytes of body at most */
  struct tpo_buf body;                      /* as it came */
  char retry_after[64], retry_after_ms[64]; /* headers of these names; "": none */
  char problem[HTTP_TEXT];                  /* what a fault is about */
};

struct http_client;
struct http_client_options {
  const struct http_url *url; /* borrowed */
  const char *key;            /* NULL: none; copied */
  int timeout;                /* seconds for one request */
};
int http_client_open(struct http_client **out, const struct http_client_options *options,
                     struct tpo_error *err);
/* Sends a body, borrowed until the exchange is done. longest: bytes of the reply's body at most. */
int http_client_start(struct http_client *client, struct http_exchange *exchange, const struct tpo_buf *body,
                      size_t longest, struct tpo_error *err);
/* Lets the requests under way go on; returns after `seconds`, or sooner when something happened. */
int http_client_wait(struct http_client *client, double seconds, struct tpo_error *err);
/* An exchange that is done and has not been told yet; NULL: none. */
struct http_exchange *http_client_next(struct http_client *client);
/* Ends it where it is under way. */
void http_exchange_free(struct http_client *client, struct http_exchange *exchange);
void http_client_close(struct http_client *client); /* takes NULL; its exchanges are freed before */

#endif
