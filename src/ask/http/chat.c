/* A server's model as the one that is asked. A question takes a slot until it is settled, its pauses between
 * attempts too: a server in trouble is asked less and less. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "ask/http/work.h"

enum {
  LONGEST_PAUSE = 600,   /* seconds; a server that asks for more ends the judging */
  LONG_PAUSE = 10,       /* seconds; that a server asks for more is told */
  LAST_WAIT = 5,         /* seconds for the answers under way, once a signal asks to stop */
  LOOK_UP_EVERY_MS = 100 /* for signals */
};

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for questions to the judge's server");
}

/* Frees the slot. */
static int settle(struct http_work *w, struct http_slot *slot, bool ok, const char *text,
                  struct tpo_error *err)
{
  int status = http_work_set(w, slot->job, ok, text, err);
  slot->job = NULL;
  w->settled++;
  return status;
}

/* Every question would get the same: wrong key, address or model, or nothing left to pay with. */
static bool ends_all(int http)
{
  return http / 100 == 3 || (http >= 401 && http <= 405);
}

/* Another attempt may go better. */
static bool passes(int http)
{
  return http == 408 || http == 429 || http >= 500;
}

/* What may be wrong where a server answers so. */
static void find_hint(const struct http_chat *chat, int http, char hint[512])
{
  *hint = '\0';
  if (http / 100 == 3)
    snprintf(hint, 512, "redirects are not followed: give the address itself");
  else if ((http == 401 || http == 403) && chat->key)
    snprintf(hint, 512, "the key is that of the environment variable %s (judge.key_env)", chat->key_env);
  else if (http == 401 || http == 403)
    snprintf(hint, 512, "no key was sent: the environment variable %s (judge.key_env) is not set",
             chat->key_env);
  else if (http == 404 || http == 405)
    snprintf(hint, 512, "is the address right, and has the server a model named %.100s (judge.model)?",
             chat->settings.model);
}

static int fail_for_good(const struct http_work *w, int http, const char *told, const char *hint,
                         struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_IO, "the judge's server %.300s answered HTTP %d%s%s%s%s", w->chat->url.shown,
                  http, *told ? ": " : "", told, *hint ? "; " : "", hint);
}

/* The question stays without an answer. When all do, whatever they fail on, no more is spent. */
static int leave(struct http_work *w, struct http_slot *slot, const char *why, struct tpo_error *err)
{
  struct http_chat *chat = w->chat;
  if (++chat->unanswered < ASK_IN_A_ROW) return settle(w, slot, false, why, err);
  return tpo_fail(err, TPO_E_IO,
                  "the judge's server %.300s left %d questions in a row without an answer; the last: %s",
                  chat->url.shown, chat->unanswered, why);
}

/* No attempt is left. */
static int give_up(struct http_work *w, struct http_slot *slot, const char *why, struct tpo_error *err)
{
  struct http_chat *chat = w->chat;
  char text[HTTP_TEXT + 64];
  if (!chat->reached && slot->exchange.fault == HTTP_UNREACHABLE)
    return tpo_fail(err, TPO_E_IO, "the judge's server %.300s can't be reached, %d attempts: %s",
                    chat->url.shown, slot->failures, why);
  snprintf(text, sizeof text, "no answer in %d attempts, the last: %s", slot->failures, why);
  return leave(w, slot, text, err);
}

/* asks: "asks to wait for", or what else is to be waited for; most: how long is waited, in words. To ask others
 * meanwhile would be what the server asked not to do. */
static int fail_for_now(const struct http_work *w, const char *asks, double seconds, const char *most,
                        const char *why, struct tpo_error *err)
{
  const struct http_cache *cache = w->chat->cache;
  return tpo_fail(err, TPO_E_IO, "the judge's server %.300s %s %.0f s, longer than %s: %s; %s%.300s%s",
                  w->chat->url.shown, asks, seconds, most, why,
                  cache ? "the answers so far are kept in "
                        : "no answer is kept, as judge.cache names no folder",
                  cache ? http_cache_folder(cache) : "", cache ? ": go on later, a run with --resume" : "");
}

/* Seconds that may be waited before the next attempt: the other ranks would take this one for lost at the deadline,
 * a quarter of which is left for the answer itself. */
static double longest_wait(const struct http_work *w)
{
  const struct http_chat *chat = w->chat;
  if (chat->alone || chat->deadline <= 0) return HUGE_VAL;
  return fmax(0, w->begun + 0.75 * chat->deadline - tpo_seconds());
}

/* Seconds that the server asks to wait; 0: it doesn't. */
static double asked_pause(const struct http_exchange *x)
{
  double seconds = 0;
  if (x->fault != HTTP_DONE || http_retry_after_ms(x->retry_after_ms, &seconds)) return seconds;
  return http_retry_after(x->retry_after, time(NULL), &seconds) ? seconds : 0;
}

/* Once for all the questions that wait for the same. */
static void tell_pause(struct http_chat *chat, const char *why, double seconds)
{
  double until = tpo_seconds() + seconds;
  if (seconds <= LONG_PAUSE || until < chat->told + LONG_PAUSE) return;
  chat->told = until;
  tpo_log(TPO_LOG_WARN, "the judge's server %.300s asks to wait %.0f s, which is done: %s", chat->url.shown,
          seconds, why);
}

/* This attempt failed in a way that another may not. */
static int try_again(struct http_work *w, struct http_slot *slot, const char *why, struct tpo_error *err)
{
  struct http_chat *chat = w->chat;
  double asked_for = asked_pause(&slot->exchange), longest = longest_wait(w);
  char most[160];
  slot->failures++;
  snprintf(most, sizeof most, "the %d s that are waited", LONGEST_PAUSE);
  if (asked_for > LONGEST_PAUSE) return fail_for_now(w, "asks to wait for", asked_for, most, why, err);
  if (slot->failures > chat->retries) return give_up(w, slot, why, err);
  double pause = http_pause(slot->failures, chat->settings.seed, tpo_hash64(slot->job->key, 32));
  if (asked_for > pause) pause = asked_for;
  snprintf(most, sizeof most,
           "the %.0f s that are left of the time for which the other ranks wait, run.deadline (%.0f s)",
           longest, chat->deadline);
  if (pause > longest)
    return fail_for_now(w, asked_for == pause ? "asks to wait for" : "failed and is asked again in", pause,
                        most, why, err);
  tell_pause(chat, why, asked_for);
  tpo_log(TPO_LOG_DEBUG, "judge: attempt %d failed, the next in %.1f s: %s", slot->failures, pause, why);
  slot->due = tpo_seconds() + pause;
  return 0;
}

/* Whether a field is at fault that is in each request, and not this question: another was refused for it too, and
 * none was answered so far. */
static bool is_refused_always(struct http_chat *chat, const struct http_job *job,
                              const struct http_told *told)
{
  if (chat->answered || !*told->field) return false;
  if (*chat->refused && strcmp(chat->refused_for, told->field) == 0)
    return strcmp(chat->refused, job->key) != 0;
  snprintf(chat->refused, sizeof chat->refused, "%s", job->key);
  snprintf(chat->refused_for, sizeof chat->refused_for, "%s", told->field);
  return false;
}

/* Statuses with which servers turn away a parameter or, since it is told of the model, the whole request. */
static bool may_refuse_top(int http)
{
  return http == 400 || http == 403 || http == 404 || http == 422 || http == 501;
}

/* The question is asked again at once, without its likeliest tokens, and so are those that follow; unless it was
 * before. */
static int ask_without_top(struct http_work *w, struct http_slot *slot, const char *why,
                           struct tpo_error *err)
{
  struct http_chat *chat = w->chat;
  if (!chat->without_top) /* each rank finds it, and one tells it */
    tpo_log(chat->rank == 0 ? TPO_LOG_WARN : TPO_LOG_DEBUG,
            "the judge's server %.300s doesn't tell the likeliest tokens and is asked without them: %s",
            chat->url.shown, why);
  chat->without_top = slot->refused = true;
  chat->top_refused++;
  slot->due = 0;
  int found = http_work_look_again(w, slot->job, err);
  if (found > 0) slot->job = NULL;
  return found < 0 ? found : 0;
}

/* What the server answered with `http`, or with an error that stands for it. */
static int take_error(struct http_work *w, struct http_slot *slot, int http, const struct http_told *told,
                      struct tpo_error *err)
{
  char text[HTTP_TEXT + HTTP_ADVICE + 32], advice[HTTP_ADVICE] = "", hint[512];
  if (may_refuse_top(http) && slot->top_tokens > 0 && http_refuses_top(told))
    return ask_without_top(w, slot, told->text, err);
  find_hint(w->chat, http, hint);
  if (ends_all(http)) return fail_for_good(w, http, told->text, hint, err);
  if (http == 400 || http == 422) http_advise(&w->chat->settings, told, advice);
  if (*advice && is_refused_always(w->chat, slot->job, told))
    return fail_for_good(w, http, told->text, advice, err);
  snprintf(text, sizeof text, "HTTP %d%s%s%s%s", http, *told->text ? ": " : "", told->text,
           *advice ? "; " : "", advice);
  return passes(http) ? try_again(w, slot, text, err) : leave(w, slot, text, err);
}

static int keep(struct http_chat *chat, const struct http_slot *slot, const struct http_reply *reply,
                struct tpo_error *err)
{
  const struct http_kept kept = {.text = reply->text,
                                 .requests = slot->failures + slot->refused + 1,
                                 .prompt_tokens = reply->prompt_tokens,
                                 .completion_tokens = reply->completion_tokens,
                                 .truncated = reply->truncated,
                                 .top_tokens = slot->top_tokens,
                                 .top = reply->top};
  return chat->cache ? http_cache_put(chat->cache, slot->job->key, &kept, err) : 0;
}

static struct http_expected expected(const struct http_chat *chat, const struct http_slot *slot)
{
  return (struct http_expected){chat->key, chat->settings.limit, slot->top_tokens};
}

static void free_reply(struct http_reply *reply)
{
  free(reply->text);
  ask_answer_clear(&reply->top);
}

static int take_reply(struct http_work *w, struct http_slot *slot, struct http_reply *reply,
                      struct tpo_error *err)
{
  struct http_chat *chat = w->chat;
  struct ask_answer *answer = &w->answers[slot->job->question];
  chat->unanswered = 0;
  chat->answered = true;
  chat->truncated += reply->truncated;
  chat->prompt_tokens += reply->prompt_tokens;
  chat->completion_tokens += reply->completion_tokens;
  http_work_count_top(chat, slot->job->top_tokens, reply->top.n_top);
  int status = keep(chat, slot, reply, err);
  if (status == 0) status = settle(w, slot, true, reply->text, err);
  if (status == 0) status = ask_answer_copy_top(answer, reply->top.top, reply->top.n_top, err);
  http_work_tell_limit(chat, answer, reply->truncated);
  free_reply(reply);
  return status;
}

static int take_success(struct http_work *w, struct http_slot *slot, struct tpo_error *err)
{
  struct http_reply reply;
  char why[HTTP_TEXT];
  const struct tpo_buf *body = &slot->exchange.body;
  const struct http_expected of = expected(w->chat, slot);
  switch (http_read_reply(body->data ? body->data : "", body->len, &of, &reply, why)) {
  case HTTP_MALFORMED: return try_again(w, slot, why, err);
  case HTTP_NO_TEXT: return leave(w, slot, why, err);
  case HTTP_ERROR:
    return reply.error.status ? take_error(w, slot, reply.error.status, &reply.error, err)
                              : try_again(w, slot, reply.error.text, err);
  case HTTP_READ_NO_MEMORY: free_reply(&reply); return no_memory(err);
  case HTTP_READ: break;
  }
  return take_reply(w, slot, &reply, err);
}

static int take_status(struct http_work *w, struct http_slot *slot, struct tpo_error *err)
{
  const struct http_exchange *x = &slot->exchange;
  struct http_told told;
  w->chat->reached = true;
  if (x->status / 100 == 2) return take_success(w, slot, err);
  http_read_error(x->body.data ? x->body.data : "", x->body.len, w->chat->key, &told);
  /* What is used up does not come back by waiting. */
  return take_error(w, slot, x->status == 429 && ends_all(told.status) ? told.status : x->status, &told, err);
}

static int take_exchange(struct http_work *w, struct http_slot *slot, struct tpo_error *err)
{
  struct http_exchange *x = &slot->exchange;
  char text[192];
  switch (x->fault) {
  case HTTP_DONE: return take_status(w, slot, err);
  case HTTP_UNREACHABLE:
  case HTTP_BROKEN: return try_again(w, slot, x->problem, err);
  case HTTP_UNTRUSTED:
    return tpo_fail(err, TPO_E_IO, "the judge's server %.300s is not who it should be: %s",
                    w->chat->url.shown, x->problem);
  case HTTP_TOO_LONG:
    snprintf(text, sizeof text,
             "the reply has more than %zu KiB, which an answer of %d tokens (%s) can't need",
             x->longest >> 10, w->chat->settings.most_tokens, w->chat->settings.size_key);
    return leave(w, slot, text, err);
  default: return no_memory(err);
  }
}

static int start(struct http_work *w, struct http_slot *slot, struct tpo_error *err)
{
  struct http_chat *chat = w->chat;
  struct ask_question question = w->questions[slot->job->question];
  question.top_tokens = slot->top_tokens = chat->without_top ? 0 : slot->job->top_tokens;
  tpo_buf_clear(&slot->body);
  http_write_body(&slot->body, &chat->settings, &question);
  if (slot->body.failed) return no_memory(err);
  chat->requests++;
  chat->retried += slot->failures > 0 || slot->refused;
  return http_client_start(chat->client, &slot->exchange, &slot->body,
                           http_longest_body(chat->settings.most_tokens, slot->top_tokens), err);
}

/* The next question that isn't answered yet; none: the slot stays free. */
static int take_job(struct http_work *w, struct http_slot *slot, double now, struct tpo_error *err)
{
  while (!slot->job && w->next < w->n_open) {
    const struct http_job *job = w->open[w->next++];
    int found = w->chat->without_top ? http_work_look_again(w, job, err) : 0;
    if (found < 0) return found;
    if (found) continue;
    slot->job = job;
    slot->failures = 0;
    slot->refused = false;
    slot->due = now;
  }
  return 0;
}

/* Starts what can be started. *seconds: until the next pause is over, or one must look for signals. */
static int start_due(struct http_work *w, double *seconds, struct tpo_error *err)
{
  double now = tpo_seconds();
  int status = 0;
  *seconds = LOOK_UP_EVERY_MS / 1000.0;
  for (size_t i = 0; i < w->n_slots && status == 0; i++) {
    struct http_slot *slot = &w->slots[i];
    status = take_job(w, slot, now, err);
    if (status < 0 || !slot->job || slot->exchange.under_way) continue;
    if (slot->due <= now)
      status = start(w, slot, err);
    else if (slot->due - now < *seconds)
      *seconds = slot->due - now;
  }
  return status;
}

/* What came of a request when all is to end: whether it is an answer that is kept now. */
static bool keep_last(struct http_work *w, const struct http_exchange *x)
{
  struct http_reply reply;
  char why[HTTP_TEXT];
  if (x->fault != HTTP_DONE || x->status / 100 != 2 || !x->body.data) return false;
  const struct http_slot *slot = &w->slots[x->number];
  const struct http_expected of = expected(w->chat, slot);
  bool kept = http_read_reply(x->body.data, x->body.len, &of, &reply, why) == HTTP_READ &&
              keep(w->chat, slot, &reply, NULL) == 0;
  free_reply(&reply);
  return kept;
}

static size_t count_under_way(const struct http_work *w)
{
  size_t n = 0;
  for (size_t i = 0; i < w->n_slots; i++) n += w->slots[i].exchange.under_way;
  return n;
}

/* The answers under way are paid for: they get a little time, and what comes is kept. */
static int stop(struct http_work *w, struct tpo_error *err)
{
  const struct http_chat *chat = w->chat;
  struct http_exchange *x;
  struct tpo_buf text = {0};
  size_t kept = 0, all = count_under_way(w);
  double until = tpo_seconds() + LAST_WAIT;
  while (chat->cache && count_under_way(w) > 0 && tpo_seconds() < until &&
         http_client_wait(chat->client, LOOK_UP_EVERY_MS / 1000.0, NULL) == 0)
    while ((x = http_client_next(chat->client))) kept += keep_last(w, x);
  struct tpo_error why = {0};
  tpo_stopped("judging", &why);
  tpo_buf_puts(&text, why.message);
  if (all > 0 && chat->cache)
    tpo_buf_printf(&text, "; of %zu requests under way %zu were answered within %d s and %zu are lost", all,
                   kept, LAST_WAIT, all - kept);
  if (chat->cache)
    tpo_buf_printf(&text, "; %s%zu answers are kept in %.300s", chat->alone ? "" : "at least ",
                   http_cache_size(chat->cache), http_cache_folder(chat->cache));
  tpo_fail(err, TPO_E_INTERRUPTED, "%s", text.failed ? "stopped while judging" : text.data);
  tpo_buf_free(&text);
  return TPO_E_INTERRUPTED;
}

static int ask_open(struct http_work *w, struct tpo_error *err)
{
  int status = 0;
  while (status == 0 && w->settled < w->n_open) {
    double seconds;
    struct http_exchange *x;
    if (tpo_interrupted()) return stop(w, err);
    status = start_due(w, &seconds, err);
    if (status == 0) status = http_client_wait(w->chat->client, seconds, err);
    while (status == 0 && (x = http_client_next(w->chat->client)))
      status = take_exchange(w, &w->slots[x->number], err);
    if (status == 0) tpo_watch_tell(w->watch, (double)(w->settled + w->n - w->n_open) / (double)w->n);
  }
  return status;
}

static int http_ask(void *state, const struct ask_question *questions, size_t n, struct ask_answer *answers,
                    const struct tpo_watch *watch, struct tpo_error *err)
{
  struct http_work w = {.chat = state,
                        .questions = questions,
                        .answers = answers,
                        .n = n,
                        .watch = watch,
                        .begun = tpo_seconds()};
  int status = http_work_open(&w, err);
  if (status == 0) status = ask_open(&w, err);
  if (status == 0) status = http_work_copy(&w, err);
  http_work_close(&w);
  return status;
}

static json_t *http_counts(const void *state)
{
  const struct http_chat *chat = state;
  json_t *counts =
      json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "requests", (json_int_t)chat->requests, "retries",
                (json_int_t)chat->retried, "cached", (json_int_t)chat->cached, "repeated",
                (json_int_t)chat->repeated, "truncated", (json_int_t)chat->truncated, "prompt_tokens",
                (json_int_t)chat->prompt_tokens, "completion_tokens", (json_int_t)chat->completion_tokens);
  json_t *top =
      counts && chat->top_wanted > 0
          ? json_pack("{s:I, s:I, s:I}", "top_tokens_wanted", (json_int_t)chat->top_wanted, "top_tokens_told",
                      (json_int_t)chat->top_told, "top_tokens_refused", (json_int_t)chat->top_refused)
          : NULL;
  if (top) json_object_update(counts, top);
  json_decref(top);
  return counts;
}

static void http_close(void *state)
{
  struct http_chat *chat = state;
  http_client_close(chat->client);
  http_cache_close(chat->cache);
  http_url_free(&chat->url);
  if (chat->key) explicit_bzero(chat->key, strlen(chat->key));
  free(chat->key);
  free(chat->key_env);
  http_settings_close(&chat->settings);
  free(chat);
}

int ask_check_http(const char *url, const struct tpo_judge_config *config, struct tpo_error *err)
{
  struct http_url parsed;
  int status = http_url_parse(&parsed, url, err);
  http_url_free(&parsed);
  if (status == 0 && (!config->model || !*config->model))
    status =
        tpo_fail(err, TPO_E_USAGE,
                 "judge.model is not given: the server has to be told the name of the model that judges");
  if (status == 0) status = http_check_request(config->request, err);
  return status < 0 ? status : http_check_key_name(config->key_env, err);
}

/* A rank's part of `concurrency`; at least 1. */
static int share(int concurrency, const struct ask_options *options)
{
  int size = options->size > 0 ? options->size : 1;
  int slots = concurrency / size + (options->rank < concurrency % size);
  return slots > 0 ? slots : 1;
}

static int take_key(struct http_chat *chat, struct tpo_error *err)
{
  const char *key = getenv(chat->key_env);
  if (!key || !*key) return 0;
  int status = http_check_key(chat->key_env, key, err);
  if (status == 0 && !(chat->key = strdup(key))) status = no_memory(err);
  if (status == 0 && !chat->url.encrypted && !chat->url.local)
    tpo_log(TPO_LOG_WARN, "the key in %s and all questions go to %s without encryption", chat->key_env,
            chat->url.shown);
  return status;
}

static int open_parts(struct http_chat *chat, const char *url, const struct ask_options *options,
                      struct tpo_error *err)
{
  const struct tpo_judge_config *config = options->config;
  int status = ask_check_http(url, config, err);
  if (status == 0) status = http_url_parse(&chat->url, url, err);
  if (status < 0) return status;
  status = http_settings_open(&chat->settings, config, options->seed, err);
  if (status < 0) return status;
  chat->key_env = strdup(config->key_env);
  chat->retries = config->retries;
  chat->slots = share(config->concurrency, options);
  chat->alone = options->size <= 1;
  chat->rank = options->rank;
  chat->deadline = options->deadline;
  if (!chat->key_env) return no_memory(err);
  status = take_key(chat, err);
  if (status == 0 && options->cache_dir)
    status = http_cache_open(&chat->cache, options->cache_dir, options->work, options->rank, err);
  struct http_client_options client = {.url = &chat->url, .key = chat->key, .timeout = config->timeout};
  return status < 0 ? status : http_client_open(&chat->client, &client, err);
}

int ask_open_http(struct ask_chat *out, const char *url, const struct ask_options *options,
                  struct tpo_error *err)
{
  struct http_chat *chat = tpo_calloc(1, sizeof *chat, err);
  if (!chat) return TPO_E_MEMORY;
  int status = open_parts(chat, url, options, err);
  if (status < 0) {
    http_close(chat);
    return status;
  }
  *out = (struct ask_chat){.state = chat, .ask = http_ask, .counts = http_counts, .close = http_close};
  return 0;
}
