/* A server of chat completions in a thread of this process: a question "... N" is answered "A N", with its likeliest
 * tokens where they are asked for. "fail" in a question makes it HTTP 400. */
#ifndef TPO_TESTS_EVAL_SMALL_SERVER_H
#define TPO_TESTS_EVAL_SMALL_SERVER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"

static struct small_server {
  int listener, port;
  pthread_t thread;
  atomic_int requests;
  atomic_int refuses_top; /* the status for whoever asks for the likeliest tokens; 0: they are told */
  atomic_bool fails;      /* HTTP 400 to everything */
} server;

static size_t server_read(int fd, char *bytes, size_t size)
{
  size_t n = 0, need = size;
  for (ssize_t got; n < need && (got = read(fd, bytes + n, size - 1 - n)) > 0;) {
    bytes[n += (size_t)got] = '\0';
    const char *body = strstr(bytes, "\r\n\r\n"), *length = strcasestr(bytes, "content-length:");
    if (body) need = (size_t)(body + 4 - bytes) + strtoul(length + 15, NULL, 10);
  }
  return n;
}

static void server_write(int fd, int status, const char *body)
{
  char head[256];
  int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                   status, strlen(body));
  /* Who has no need of it any more may be gone. */
  if (send(fd, head, (size_t)n, MSG_NOSIGNAL) == n) send(fd, body, strlen(body), MSG_NOSIGNAL);
}

static void server_answer(int fd, const json_t *request)
{
  static const char refusal[] = "{\"error\":{\"message\":\"logprobs are not for sale\"}}";
  const json_t *messages = json_object_get(request, "messages");
  size_t n = json_array_size(messages);
  const char *user = json_string_value(json_object_get(json_array_get(messages, n - 1), "content"));
  bool top = json_object_get(request, "top_logprobs") != NULL;
  char body[1024], likeliest[256] = "null";
  if (server.fails || strstr(user, "fail")) {
    server_write(fd, 400, "{\"error\":{\"message\":\"no answer to that\"}}");
    return;
  }
  if (top && server.refuses_top) {
    server_write(fd, server.refuses_top, refusal);
    return;
  }
  const char *number = strrchr(user, ' ') + 1;
  if (top)
    snprintf(
        likeliest, sizeof likeliest,
        "{\"content\":[{\"top_logprobs\":[{\"token\":\"B\",\"logprob\":-%s.5},{\"token\":\"A\",\"logprob\":"
        "-0.25}]}]}",
        number);
  snprintf(
      body, sizeof body,
      "{\"choices\":[{\"message\":{\"content\":\"A %s of %zu\"},\"finish_reason\":\"%s\",\"logprobs\":%s}],"
      "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":1}}",
      number, n, strstr(user, "cut") ? "length" : "stop", likeliest);
  server_write(fd, 200, body);
}

static void *server_run(void *arg)
{
  static char bytes[1 << 16];
  (void)arg;
  for (int fd; (fd = accept(server.listener, NULL, NULL)) >= 0; close(fd)) {
    size_t n = server_read(fd, bytes, sizeof bytes);
    char *body = n > 0 ? strstr(bytes, "\r\n\r\n") : NULL;
    json_t *request = body ? tpo_json_parse(body + 4, strlen(body + 4), "request", NULL) : NULL;
    if (request) {
      server.requests++;
      server_answer(fd, request);
    }
    json_decref(request);
  }
  return NULL;
}

static bool server_begin(void)
{
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  server.listener = socket(AF_INET, SOCK_STREAM, 0);
  bool ok = server.listener >= 0 && bind(server.listener, (struct sockaddr *)&at, sizeof at) == 0 &&
            listen(server.listener, 128) == 0 &&
            getsockname(server.listener, (struct sockaddr *)&at, &len) == 0;
  server.port = ntohs(at.sin_port);
  return ok && pthread_create(&server.thread, NULL, server_run, NULL) == 0;
}

static void server_end(void)
{
  shutdown(server.listener, SHUT_RDWR);
  pthread_join(server.thread, NULL);
  close(server.listener);
}

#endif
