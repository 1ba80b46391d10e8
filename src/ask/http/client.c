/* libcurl's multi interface. Certificates are checked in any case, against those of the system or the file
 * that CURL_CA_BUNDLE or SSL_CERT_FILE names, as curl does; redirects are not followed. */
#include "ask/http/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

_Static_assert(HTTP_TEXT >= CURL_ERROR_SIZE, "libcurl's messages must fit");

struct http_client {
  const struct http_url *url;
  CURLM *multi;
  struct curl_slist *headers;
  const char *certificates; /* file; NULL: the system's */
  char *key;
  long timeout;
  bool initialised;
};

static bool add_header(struct http_client *client, const char *header)
{
  struct curl_slist *longer = curl_slist_append(client->headers, header);
  if (longer) client->headers = longer;
  return longer != NULL;
}

static bool add_headers(struct http_client *client)
{
  bool done = add_header(client, "Content-Type: application/json") &&
              add_header(client, "Accept: application/json") &&
              add_header(client, "Expect:"); /* no round trip before a long body */
  if (!done || !client->key) return done;
  struct tpo_buf line = {0};
  tpo_buf_printf(&line, "Authorization: Bearer %s", client->key);
  done = !line.failed && add_header(client, line.data);
  if (line.data) explicit_bzero(line.data, line.len);
  tpo_buf_free(&line);
  return done;
}

static const char *certificates(void)
{
  static const char *const names[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE"};
  for (size_t i = 0; i < 2; i++) {
    const char *file = getenv(names[i]);
    if (file && *file) return file;
  }
  return NULL;
}

int http_client_open(struct http_client **out, const struct http_client_options *options,
                     struct tpo_error *err)
{
  *out = NULL;
  struct http_client *client = tpo_calloc(1, sizeof *client, err);
  if (!client) return TPO_E_MEMORY;
  client->url = options->url;
  client->timeout = options->timeout;
  client->certificates = certificates();
  client->initialised = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  client->multi = client->initialised ? curl_multi_init() : NULL;
  client->key = options->key ? strdup(options->key) : NULL;
  if (!client->multi || (options->key && !client->key) || !add_headers(client)) {
    http_client_close(client);
    return tpo_fail(err, TPO_E_MEMORY, "libcurl can't be set up");
  }
  *out = client;
  return 0;
}

void http_client_close(struct http_client *client)
{
  if (!client) return;
  for (struct curl_slist *h = client->headers; h; h = h->next) explicit_bzero(h->data, strlen(h->data));
  curl_slist_free_all(client->headers);
  curl_multi_cleanup(client->multi);
  if (client->initialised) curl_global_cleanup();
  if (client->key) explicit_bzero(client->key, strlen(client->key));
  free(client->key);
  free(client);
}

static size_t take_body(char *bytes, size_t one, size_t n, void *arg)
{
  (void)one; /* 1 */
  struct http_exchange *x = arg;
  if (n > x->longest - x->body.len) {
    x->fault = HTTP_TOO_LONG;
    return 0;
  }
  tpo_buf_append(&x->body, bytes, n);
  return x->body.failed ? 0 : n;
}

/* Copies a header's value where the line is of that name ("retry-after:"). */
static void keep_header(const char *line, size_t len, const char *name, char out[64])
{
  size_t at = strlen(name);
  if (len < at || strncasecmp(line, name, at) != 0) return;
  while (at < len && (line[at] == ' ' || line[at] == '\t')) at++;
  while (len > at && (unsigned char)line[len - 1] <= ' ') len--;
  if (len - at >= 64) return;
  memcpy(out, line + at, len - at);
  out[len - at] = '\0';
}

/* A new status line begins the headers of another reply. */
static size_t take_header(char *bytes, size_t one, size_t n, void *arg)
{
  (void)one;
  struct http_exchange *x = arg;
  if (n > 5 && strncasecmp(bytes, "HTTP/", 5) == 0) x->retry_after[0] = x->retry_after_ms[0] = '\0';
  keep_header(bytes, n, "retry-after:", x->retry_after);
  keep_header(bytes, n, "retry-after-ms:", x->retry_after_ms);
  return n;
}

/* What stays the same for all requests of an exchange. */
static CURLcode set_up(struct http_client *client, struct http_exchange *x)
{
  CURL *easy = x->easy;
  CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, client->url->address);
#if LIBCURL_VERSION_NUM >= 0x075500
  if (!code) code = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  if (!code) code = curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  /* What goes to this machine does not go through another, whatever proxy the environment names. */
  if (!code && client->url->local) code = curl_easy_setopt(easy, CURLOPT_PROXY, "");
  if (!code) code = curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!code && client->certificates) code = curl_easy_setopt(easy, CURLOPT_CAINFO, client->certificates);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->headers);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_USERAGENT, "tpo/" TPO_VERSION);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_TIMEOUT, client->timeout);
  if (!code)
    code = curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, client->timeout < 30 ? client->timeout : 30L);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
  if (!code) code = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->problem);
  return code;
}

int http_client_start(struct http_client *client, struct http_exchange *x, const struct tpo_buf *body,
                      size_t longest, struct tpo_error *err)
{
  CURLcode code = CURLE_OK;
  if (!x->easy) {
    x->easy = curl_easy_init();
    code = x->easy ? set_up(client, x) : CURLE_OUT_OF_MEMORY;
  }
  tpo_buf_clear(&x->body);
  x->longest = longest;
  x->fault = HTTP_DONE;
  x->status = 0;
  x->retry_after[0] = x->retry_after_ms[0] = x->problem[0] = '\0';
  if (!code) code = curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, body->data);
  if (!code) code = curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
  x->under_way = !code && curl_multi_add_handle(client->multi, x->easy) == CURLM_OK;
  if (x->under_way) return 0;
  return tpo_fail(err, code == CURLE_OUT_OF_MEMORY ? TPO_E_MEMORY : TPO_E_IO, "a request can't be made: %s",
                  curl_easy_strerror(code));
}

int http_client_wait(struct http_client *client, double seconds, struct tpo_error *err)
{
  int running;
  CURLMcode code = curl_multi_perform(client->multi, &running);
  if (!code) code = curl_multi_poll(client->multi, NULL, 0, (int)(1000 * seconds), NULL);
  if (!code) code = curl_multi_perform(client->multi, &running);
  if (!code) return 0;
  return tpo_fail(err, code == CURLM_OUT_OF_MEMORY ? TPO_E_MEMORY : TPO_E_IO,
                  "waiting for a server failed: %s", curl_multi_strerror(code));
}

static enum http_fault fault_of(const struct http_exchange *x, CURLcode code)
{
  curl_off_t connected = 0;
  switch (code) {
  case CURLE_OK: return HTTP_DONE;
  case CURLE_WRITE_ERROR: return x->fault == HTTP_TOO_LONG ? HTTP_TOO_LONG : HTTP_NO_MEMORY;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_ISSUER_ERROR: return HTTP_UNTRUSTED;
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_COULDNT_CONNECT:
  case CURLE_SSL_CONNECT_ERROR: return HTTP_UNREACHABLE;
  case CURLE_OPERATION_TIMEDOUT:
    curl_easy_getinfo(x->easy, CURLINFO_CONNECT_TIME_T, &connected);
    return connected > 0 ? HTTP_BROKEN : HTTP_UNREACHABLE;
  default: return HTTP_BROKEN;
  }
}

struct http_exchange *http_client_next(struct http_client *client)
{
  int left;
  CURLMsg *message = curl_multi_info_read(client->multi, &left);
  while (message && message->msg != CURLMSG_DONE) message = curl_multi_info_read(client->multi, &left);
  if (!message) return NULL;
  struct http_exchange *x;
  long status = 0;
  CURLcode code = message->data.result; /* gone with the handle's removal */
  curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
  curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_multi_remove_handle(client->multi, x->easy);
  x->under_way = false;
  x->status = (int)status;
  x->fault = fault_of(x, code);
  if (x->fault == HTTP_TOO_LONG && status / 100 != 2)
    x->fault = HTTP_DONE; /* its beginning tells the error */
  /* libcurl says so of a line over its limit, too. */
  if (code == CURLE_OUT_OF_MEMORY)
    snprintf(x->problem, sizeof x->problem, "the reply's headers are too long, or memory is short");
  else if (code != CURLE_OK && !x->problem[0])
    snprintf(x->problem, sizeof x->problem, "%s", curl_easy_strerror(code));
  return x;
}

void http_exchange_free(struct http_client *client, struct http_exchange *x)
{
  if (x->under_way) curl_multi_remove_handle(client->multi, x->easy);
  curl_easy_cleanup(x->easy);
  tpo_buf_free(&x->body);
  *x = (struct http_exchange){0};
}
