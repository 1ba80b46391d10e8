/* The server's address. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include "ask/http/protocol.h"

static const char endpoint[] = "/chat/completions";

/* A part of the address, "" where it has none; free(). NULL when memory is short. */
static char *part_of(CURLU *parts, CURLUPart part)
{
  char *text = NULL, *copy = NULL;
  CURLUcode code = curl_url_get(parts, part, &text, 0);
  if (code != CURLUE_OUT_OF_MEMORY) copy = strdup(code == CURLUE_OK ? text : "");
  curl_free(text);
  return copy;
}

static bool has(CURLU *parts, CURLUPart part)
{
  char *text = part_of(parts, part);
  bool found = !text || *text;
  free(text);
  return found;
}

static int check_parts(CURLU *parts, const char *text, struct tpo_error *err)
{
  char *scheme = part_of(parts, CURLUPART_SCHEME);
  bool known = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
  free(scheme);
  if (has(parts, CURLUPART_USER) || has(parts, CURLUPART_PASSWORD))
    return tpo_fail(err, TPO_E_USAGE,
                    "judge.kind: the URL holds a user or password, which would be written to logs and files; "
                    "a key belongs in the environment variable that judge.key_env names");
  if (!known)
    return tpo_fail(err, TPO_E_USAGE,
                    "judge.kind: %s: expected an address that begins with http:// or https://", text);
  const char *slashes = strstr(text, "://");
  if (!slashes || slashes[3] == '/') /* libcurl would take what follows for the host */
    return tpo_fail(err, TPO_E_USAGE, "judge.kind: %s: expected the server's name behind two slashes", text);
  if (has(parts, CURLUPART_FRAGMENT))
    return tpo_fail(err, TPO_E_USAGE, "judge.kind: %s: a server's address has no part behind a '#'", text);
  return 0;
}

/* "/v1/" becomes "/v1/chat/completions"; a whole address stays. */
static int complete_path(CURLU *parts, struct tpo_error *err)
{
  struct tpo_buf whole = {0};
  char *path = part_of(parts, CURLUPART_PATH);
  size_t len = path ? strlen(path) : 0, tail = strlen(endpoint);
  while (len > 0 && path[len - 1] == '/') len--;
  tpo_buf_append(&whole, path, len);
  if (len < tail || strncmp(path + len - tail, endpoint, tail) != 0) tpo_buf_puts(&whole, endpoint);
  bool done = path && !whole.failed && curl_url_set(parts, CURLUPART_PATH, whole.data, 0) == CURLUE_OK;
  free(path);
  tpo_buf_free(&whole);
  return done ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's address");
}

static bool is_local_v4(const unsigned char address[4])
{
  static const unsigned char any[4] = {0};
  return address[0] == 127 || memcmp(address, any, 4) == 0;
}

/* ::, ::1, and those of version 4 in the form ::ffff:127.0.0.1. text: in brackets, maybe with a zone. */
static bool is_local_v6(const char *text)
{
  static const unsigned char zeros[15] = {0}, mapped[12] = {[10] = 0xff, [11] = 0xff};
  unsigned char address[16];
  char host[64];
  size_t len = strcspn(text + 1, "]%");
  if (len >= sizeof host) return false;
  memcpy(host, text + 1, len);
  host[len] = '\0';
  if (inet_pton(AF_INET6, host, address) != 1) return false;
  return (memcmp(address, zeros, 15) == 0 && address[15] <= 1) ||
         (memcmp(address, mapped, 12) == 0 && is_local_v4(address + 12));
}

/* "localhost." is the same name, which not every resolver knows. */
static int drop_dot(CURLU *parts, struct tpo_error *err)
{
  char *host = part_of(parts, CURLUPART_HOST);
  bool done = host && (strcasecmp(host, "localhost.") != 0 ||
                       curl_url_set(parts, CURLUPART_HOST, "localhost", 0) == CURLUE_OK);
  free(host);
  return done ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's address");
}

/* Addresses 127.x.x.x only: a name may begin like one. One of zeros is where servers say that they listen, and
 * leads to this machine too. */
static bool is_local(CURLU *parts)
{
  char *host = part_of(parts, CURLUPART_HOST);
  unsigned char address[4];
  bool local = host && (strcasecmp(host, "localhost") == 0 ||
                        (inet_pton(AF_INET, host, address) == 1 && is_local_v4(address)) ||
                        (*host == '[' && is_local_v6(host)));
  free(host);
  return local;
}

static int take_parts(struct http_url *url, CURLU *parts, struct tpo_error *err)
{
  int status = complete_path(parts, err);
  if (status == 0) status = drop_dot(parts, err);
  if (status < 0) return status;
  char *scheme = part_of(parts, CURLUPART_SCHEME);
  url->encrypted = scheme && strcmp(scheme, "https") == 0;
  url->local = is_local(parts);
  free(scheme);
  url->address = part_of(parts, CURLUPART_URL);
  curl_url_set(parts, CURLUPART_QUERY, NULL, 0);
  url->shown = part_of(parts, CURLUPART_URL);
  return url->address && *url->address && url->shown
             ? 0
             : tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's address");
}

int http_url_parse(struct http_url *url, const char *text, struct tpo_error *err)
{
  *url = (struct http_url){0};
  CURLU *parts = curl_url();
  if (!parts) return tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's address");
  CURLUcode code = curl_url_set(parts, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME);
  int status = 0;
  if (code == CURLUE_OUT_OF_MEMORY)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's address");
  else if (code != CURLUE_OK) /* what stands before an '@' may be a password */
    status = tpo_fail(err, TPO_E_USAGE,
                      "judge.kind: %s is no address of a server, expected http://HOST[:PORT]/v1: %s",
                      strchr(text, '@') ? "what is given" : text, curl_url_strerror(code));
  else
    status = check_parts(parts, text, err);
  if (status == 0) status = take_parts(url, parts, err);
  curl_url_cleanup(parts);
  return status;
}

void http_url_free(struct http_url *url)
{
  free(url->address);
  free(url->shown);
  *url = (struct http_url){0};
}
