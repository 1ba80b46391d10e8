/* Which questions of a call are equal, answered by the cache, or open. */
#include "ask/http/work.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for questions to the judge's server");
}

int http_work_set(struct http_work *w, const struct http_job *job, bool ok, const char *text,
                  struct tpo_error *err)
{
  struct ask_answer *answer = &w->answers[job->question];
  *answer = (struct ask_answer){.ok = ok, .text = strdup(text)};
  return answer->text ? 0 : no_memory(err);
}

void http_work_tell_limit(const struct http_chat *chat, struct ask_answer *answer, bool cut_off)
{
  answer->cut_off = cut_off;
  answer->limit = chat->settings.limit;
}

void http_work_count_top(struct http_chat *chat, int wanted, int told)
{
  chat->top_wanted += wanted > 0;
  chat->top_told += wanted > 0 && told > 0;
}

static int hash_job(const struct http_chat *chat, const struct ask_question *question, struct tpo_buf *body,
                    char key[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  struct ask_question bare = *question; /* an answer with its likeliest tokens serves who needs none */
  bare.top_tokens = 0;
  tpo_buf_clear(body);
  http_write_body(body, &chat->settings, &bare);
  if (body->failed) return no_memory(err);
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  tpo_hash_add(&hash, chat->url.address, strlen(chat->url.address) + 1);
  tpo_hash_add(&hash, body->data, body->len);
  tpo_hash_end(&hash, key);
  return 0;
}

static int by_key(const void *a, const void *b)
{
  const struct http_job *one = *(struct http_job *const *)a, *other = *(struct http_job *const *)b;
  int order = strcmp(one->key, other->key);
  return order ? order : one->question < other->question ? -1 : one->question > other->question;
}

/* Finds equal questions; the first of them is the one to be asked. */
static void join_equal(struct http_work *w)
{
  for (size_t i = 0; i < w->n; i++) w->open[i] = &w->jobs[i];
  qsort(w->open, w->n, sizeof(struct http_job *), by_key);
  for (size_t i = 1; i < w->n; i++) {
    struct http_job *before = w->open[i - 1], *first = before->same ? before->same : before;
    if (strcmp(before->key, w->open[i]->key) != 0) continue;
    w->open[i]->same = first;
    if (first->top_tokens < w->open[i]->top_tokens) first->top_tokens = w->open[i]->top_tokens;
  }
}

/* What work that is taken up again had asked for counts as asked: its counts are those of work that nothing
 * stopped. */
static void take_kept(struct http_chat *chat, struct ask_answer *answer, const struct http_job *job,
                      const struct http_kept *kept)
{
  *answer =
      (struct ask_answer){.ok = true, .text = kept->text, .top = kept->top.top, .n_top = kept->top.n_top};
  http_work_tell_limit(chat, answer, kept->truncated);
  chat->cached += !kept->ours;
  http_work_count_top(chat, job->top_tokens, answer->n_top);
  if (!kept->ours) return;
  chat->requests += kept->requests;
  chat->retried += kept->requests - 1;
  chat->truncated += kept->truncated;
  chat->prompt_tokens += kept->prompt_tokens;
  chat->completion_tokens += kept->completion_tokens;
}

/* What the cache knows is answered; the rest is open. */
static int look_up(struct http_work *w, struct tpo_error *err)
{
  struct http_chat *chat = w->chat;
  for (size_t i = 0; i < w->n; i++) {
    struct http_job *job = &w->jobs[i];
    struct http_kept kept;
    if (job->same) continue;
    int found = chat->cache ? http_cache_get(chat->cache, job->key, job->top_tokens, &kept, err) : 0;
    if (found < 0) return found;
    if (found)
      take_kept(chat, &w->answers[i], job, &kept);
    else
      w->open[w->n_open++] = job;
  }
  return 0;
}

int http_work_look_again(struct http_work *w, const struct http_job *job, struct tpo_error *err)
{
  struct http_kept kept;
  if (!w->chat->cache || job->top_tokens == 0) return 0;
  int found = http_cache_get(w->chat->cache, job->key, 0, &kept, err);
  if (found <= 0) return found;
  take_kept(w->chat, &w->answers[job->question], job, &kept);
  w->settled++;
  return 1;
}

int http_work_open(struct http_work *w, struct tpo_error *err)
{
  struct tpo_buf body = {0};
  w->jobs = tpo_calloc(w->n, sizeof *w->jobs, err);
  w->open = tpo_calloc(w->n, sizeof(struct http_job *), err);
  int status = w->jobs && w->open ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < w->n && status == 0; i++) {
    w->jobs[i].question = i;
    w->jobs[i].top_tokens = http_top_tokens(&w->chat->settings, w->questions[i].top_tokens);
    status = hash_job(w->chat, &w->questions[i], &body, w->jobs[i].key, err);
  }
  tpo_buf_free(&body);
  if (status < 0) return status;
  join_equal(w);
  status = look_up(w, err);
  w->n_slots = w->n_open < (size_t)w->chat->slots ? w->n_open : (size_t)w->chat->slots;
  if (status == 0) w->slots = tpo_calloc(w->n_slots, sizeof *w->slots, err);
  for (size_t i = 0; w->slots && i < w->n_slots; i++) w->slots[i].exchange.number = i;
  return status < 0 || w->slots ? status : TPO_E_MEMORY;
}

/* Equal questions get equal answers. */
int http_work_copy(struct http_work *w, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < w->n && status == 0; i++) {
    if (!w->jobs[i].same) continue;
    const struct ask_answer *first = &w->answers[w->jobs[i].same->question];
    status = http_work_set(w, &w->jobs[i], first->ok, first->text, err);
    http_work_tell_limit(w->chat, &w->answers[i], first->cut_off);
    if (status == 0) status = ask_answer_copy_top(&w->answers[i], first->top, first->n_top, err);
    w->chat->repeated++;
  }
  return status;
}

void http_work_close(struct http_work *w)
{
  for (size_t i = 0; w->slots && i < w->n_slots; i++) {
    http_exchange_free(w->chat->client, &w->slots[i].exchange);
    tpo_buf_free(&w->slots[i].body);
  }
  free(w->slots);
  free(w->open);
  free(w->jobs);
}
