/* The life of one sample: budgets, the marker between thought and response, end tokens and stop strings. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/philox.h"
#include "engine/state.h"

int sequence_init(struct tpo_engine *e, struct sequence *s, struct tpo_error *err)
{
  s->feed_capacity = 1 + (int)e->marker_ids.n;
  s->feed = tpo_calloc((size_t)s->feed_capacity, sizeof *s->feed, err);
  if (!s->feed) return TPO_E_MEMORY;
  if (e->sampling->repetition_penalty != 1) {
    s->seen = tpo_calloc(((size_t)e->vocab + 31) / 32, sizeof *s->seen, err);
    s->seen_tokens = tpo_calloc((size_t)e->vocab, sizeof *s->seen_tokens, err);
    if (!s->seen || !s->seen_tokens) return TPO_E_MEMORY;
  }
  return 0;
}

void sequence_destroy(struct sequence *s)
{
  free(s->feed);
  free(s->tokens);
  free(s->logprobs);
  free(s->inserted);
  free(s->seen);
  free(s->seen_tokens);
  tpo_buf_free(&s->text);
}

static void mark_seen(struct sequence *s, int32_t token)
{
  if (!s->seen || (s->seen[token / 32] >> (token % 32) & 1)) return;
  s->seen[token / 32] |= 1u << (token % 32);
  s->seen_tokens[s->n_seen++] = token;
}

static int reserve_tokens(struct sequence *s, size_t needed, struct tpo_error *err)
{
  size_t tokens = s->token_capacity, logprobs = tokens, inserted = tokens;
  if (tpo_grow(&s->tokens, &tokens, needed, sizeof *s->tokens, err) < 0 ||
      tpo_grow(&s->logprobs, &logprobs, needed, sizeof *s->logprobs, err) < 0 ||
      tpo_grow(&s->inserted, &inserted, needed, sizeof *s->inserted, err) < 0)
    return TPO_E_MEMORY;
  s->token_capacity = tokens;
  return 0;
}

int sequence_start(struct tpo_engine *e, struct sequence *s, struct group *g, int k, struct tpo_error *err)
{
  const struct tpo_request *request = g->request;
  s->group = g;
  s->k = k;
  s->max_tokens = request->max_tokens > 0 ? request->max_tokens : e->sampling->max_tokens;
  s->position = g->prefix;
  s->feed[0] = request->prompt_ids[request->n_prompt - 1];
  s->n_feed = 1;
  s->ahead = -1;
  s->n_tokens = s->phase_tokens = s->n_thought = 0;
  s->phase = e->has_marker ? PHASE_THOUGHT : PHASE_RESPONSE;
  tpo_buf_clear(&s->text);
  tpo_buf_append(&s->text, e->begun.data ? e->begun.data : "", e->begun.len);
  s->phase_text = s->text.len;
  if (s->seen) {
    memset(s->seen, 0, ((size_t)e->vocab + 31) / 32 * sizeof *s->seen);
    s->n_seen = 0;
    for (int i = 0; i < request->n_prompt; i++) mark_seen(s, request->prompt_ids[i]);
  }
  return reserve_tokens(s, (size_t)s->max_tokens + e->marker_ids.n, err);
}

struct tpo_sample_params sequence_params(const struct tpo_engine *e, const struct sequence *s, int ahead)
{
  struct tpo_sample_key key = {
      .seed = e->seed, .prompt = s->group->prompt_key, .iteration = e->iteration, .k = (uint32_t)s->k};
  return (struct tpo_sample_params){
      .temperature = (float)e->sampling->temperature,
      .top_p = (float)e->sampling->top_p,
      .min_p = (float)e->sampling->min_p,
      .top_k = e->sampling->top_k,
      .uniform = tpo_sample_uniform(&key, (uint32_t)(s->n_tokens + ahead)),
  };
}

bool sequence_goes_on(const struct tpo_engine *e, const struct sequence *s)
{
  if (s->n_tokens + 1 >= s->max_tokens || s->position + s->n_feed + 1 >= e->context) return false;
  if (s->phase == PHASE_THOUGHT) {
    int limit = tpo_config_thought_limit(e->thought, s->max_tokens);
    return limit == 0 || s->phase_tokens + 1 < limit;
  }
  return !e->thought || e->thought->response_tokens <= 0 || s->phase_tokens + 1 < e->thought->response_tokens;
}

static bool is_among(const struct tpo_ids *ids, int32_t token)
{
  for (size_t i = 0; i < ids->n; i++)
    if (ids->ids[i] == token) return true;
  return false;
}

const char *token_bytes(const struct tpo_tokenizer *tokenizer, const struct tpo_ids *spoken, int32_t token,
                        size_t *len)
{
  bool special;
  const char *bytes = tpo_tokenizer_token(tokenizer, token, len, &special);
  if (bytes && (!special || (spoken && is_among(spoken, token)))) return bytes;
  *len = 0;
  return "";
}

static int append_token(struct tpo_engine *e, struct sequence *s, int32_t token, float logprob, bool inserted,
                        const struct tpo_engine_client *client, struct tpo_error *err)
{
  if (reserve_tokens(s, (size_t)s->n_tokens + 1, err) < 0) return TPO_E_MEMORY;
  s->tokens[s->n_tokens] = token;
  s->logprobs[s->n_tokens] = logprob;
  s->inserted[s->n_tokens] = inserted;
  s->n_tokens++;
  s->feed[s->n_feed++] = token;
  mark_seen(s, token);
  size_t len;
  const char *bytes = token_bytes(e->tokenizer, &e->spoken_ids, token, &len);
  tpo_buf_append(&s->text, bytes, len);
  if (s->text.failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for the text of a sample");
  if (inserted)
    e->stats.inserted_tokens++;
  else
    e->stats.sampled_tokens++;
  if (client->token) client->token(client->arg, s->group->request, s->k, bytes, len);
  return 0;
}

static void begin_response(struct sequence *s, size_t text_begin)
{
  s->phase = PHASE_RESPONSE;
  s->phase_tokens = 0;
  s->phase_text = text_begin;
  s->n_thought = s->n_tokens;
}

/* The thought ended without its marker: the marker's tokens are inserted behind what was drawn. */
static int force_response(struct tpo_engine *e, struct sequence *s, const struct tpo_engine_client *client,
                          struct tpo_error *err)
{
  for (size_t i = 0; i < e->marker_ids.n; i++)
    if (append_token(e, s, e->marker_ids.ids[i], 0, true, client, err) < 0)
      return err ? err->code : TPO_E_MEMORY;
  begin_response(s, s->text.len);
  return 0;
}

static int end_with(struct sequence *s, enum tpo_finish finish)
{
  s->finish = finish;
  return 1;
}

/* *where becomes the offset of the first `stop` at `from` or behind, if it is before *where. */
static void first_of(const struct sequence *s, size_t from, const char *stop, size_t *where)
{
  const char *hit = memmem(s->text.data + from, s->text.len - from, stop, strlen(stop));
  if (hit && (size_t)(hit - s->text.data) < *where) *where = (size_t)(hit - s->text.data);
}

/* Offset of the first stop string in the response's text, searched only where new text can have completed
 * one. The response marker is one there: it would begin a second response, and models that have just learned
 * the marker repeat it. SIZE_MAX: none. */
static size_t find_stop(const struct tpo_engine *e, const struct sequence *s, size_t old_len)
{
  size_t from = old_len > e->longest_stop ? old_len - e->longest_stop : 0, where = SIZE_MAX;
  if (from < s->phase_text) from = s->phase_text;
  if (s->text.len <= old_len || s->text.len < from) return where;
  for (int i = 0; i < e->sampling->n_stop; i++) first_of(s, from, e->sampling->stop[i], &where);
  if (e->has_marker) first_of(s, from, e->thought->response_marker, &where);
  return where;
}

static bool find_marker(const struct tpo_engine *e, const struct sequence *s, size_t old_len, size_t *end)
{
  const char *marker = e->thought->response_marker;
  size_t len = strlen(marker), from = old_len > len ? old_len - len : 0, where = SIZE_MAX;
  if (from < s->phase_text) from = s->phase_text;
  if (!s->text.data || s->text.len < from) return false;
  first_of(s, from, marker, &where);
  if (where == SIZE_MAX) return false;
  *end = where + len;
  return true;
}

/* What the token just taken means while the thought goes on. 1: finished. */
static int after_thought_token(struct tpo_engine *e, struct sequence *s, size_t old_len,
                               const struct tpo_engine_client *client, struct tpo_error *err)
{
  size_t marker_end;
  if (find_marker(e, s, old_len, &marker_end)) {
    begin_response(s, marker_end);
    return 0;
  }
  int limit = tpo_config_thought_limit(e->thought, s->max_tokens);
  if (limit == 0 || s->phase_tokens < limit) return 0;
  return e->thought->force ? force_response(e, s, client, err) : end_with(s, TPO_FINISH_LENGTH);
}

/* The same while the response goes on. */
static int after_response_token(const struct tpo_engine *e, struct sequence *s, size_t old_len)
{
  s->text_end = find_stop(e, s, old_len);
  if (s->text_end != SIZE_MAX) return end_with(s, TPO_FINISH_STOP_STRING);
  bool at_budget =
      e->thought && e->thought->response_tokens > 0 && s->phase_tokens >= e->thought->response_tokens;
  return at_budget ? end_with(s, TPO_FINISH_LENGTH) : 0;
}

static int accept_drawn(struct tpo_engine *e, struct sequence *s, int32_t token, float logprob, bool end,
                        const struct tpo_engine_client *client, struct tpo_error *err)
{
  size_t old_len = s->text.len;
  if (append_token(e, s, token, logprob, false, client, err) < 0) return TPO_E_MEMORY;
  s->phase_tokens++;
  if (end) return end_with(s, TPO_FINISH_STOP);
  return s->phase == PHASE_THOUGHT ? after_thought_token(e, s, old_len, client, err)
                                   : after_response_token(e, s, old_len);
}

int sequence_accept(struct tpo_engine *e, struct sequence *s, int32_t token, float logprob,
                    const struct tpo_engine_client *client, struct tpo_error *err)
{
  s->text_end = SIZE_MAX;
  s->position += s->n_feed;
  s->n_feed = 0;
  cache_advance_sample(e, s);
  bool end = is_among(&e->end_ids, token);
  /* Where the end of the turn comes before any response, the marker takes its place, and the end token is not
   * kept. */
  bool instead = end && s->phase == PHASE_THOUGHT && e->thought->force;
  int status =
      instead ? force_response(e, s, client, err) : accept_drawn(e, s, token, logprob, end, client, err);
  if (status != 0) return status;
  if (s->n_tokens >= s->max_tokens) return end_with(s, TPO_FINISH_LENGTH);
  return s->position + s->n_feed >= e->context ? end_with(s, TPO_FINISH_CONTEXT) : 0;
}
