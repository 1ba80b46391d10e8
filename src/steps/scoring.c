/* Batches of prompts through one judge. */
#include "steps/scoring.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "steps/counts.h"
#include "steps/judge_item.h"
#include "steps/judged.h"
#include "steps/judging.h"

enum { LEAST = 16 }; /* responses of a batch: fewer leave idle what a judge does at once */

int scoring_begin(struct scoring *s, const struct tpo_judge_config *config, size_t n_prompts, size_t n_rows,
                  struct tpo_error *err)
{
  struct scoring_batch *b = &s->batch;
  *s = (struct scoring){.config = config, .n_prompts = n_prompts, .n_rows = n_rows, .pace = -1};
  s->trusted = scoring_least(s);
  b->items = tpo_calloc(n_prompts, sizeof *b->items, err);
  b->responses = tpo_calloc(n_rows, sizeof *b->responses, err);
  b->rows = tpo_calloc(n_rows, sizeof *b->rows, err);
  b->results = tpo_calloc(n_rows, sizeof *b->results, err);
  return b->items && b->responses && b->rows && b->results ? 0 : TPO_E_MEMORY;
}

size_t scoring_least(const struct scoring *s)
{
  return s->n_rows > 0 ? (LEAST * s->n_prompts + s->n_rows - 1) / s->n_rows : 1;
}

void scoring_clear(struct scoring *s)
{
  struct scoring_batch *b = &s->batch;
  for (size_t i = 0; i < b->n_responses; i++) free(b->results[i].detail);
  memset(b->results, 0, b->n_responses * sizeof *b->results);
  b->n_items = 0;
  b->n_responses = 0;
}

void scoring_add(struct scoring *s, const struct tpo_sample_row *rows, size_t n, size_t first)
{
  struct scoring_batch *b = &s->batch;
  struct tpo_judge_item *item = &b->items[b->n_items++];
  *item = judge_item_of_sample(&rows[0]);
  item->n_responses = (int)n;
  item->responses = b->responses + b->n_responses;
  for (size_t i = 0; i < n; i++) {
    b->responses[b->n_responses] = rows[i].format_ok ? rows[i].response : NULL;
    b->rows[b->n_responses++] = first + i;
  }
}

/* After a batch of n prompts; works: each judge that was asked scored something. */
static void trust(struct scoring *s, size_t n, bool works)
{
  size_t least = scoring_least(s), more = 2 * (n > least ? n : least);
  if (!works) more = least;
  if (!works || more > s->trusted) s->trusted = more > SCORING_MOST ? SCORING_MOST : more;
}

static void pack_results(struct scoring *s)
{
  const struct scoring_batch *b = &s->batch;
  for (size_t i = 0; i < b->n_responses; i++) {
    const struct tpo_judge_result *result = &b->results[i];
    const struct judgement judgement = {.row = b->rows[i],
                                        .ok = result->ok,
                                        .score = result->score,
                                        .detail = result->detail,
                                        .n_detail = result->detail ? strlen(result->detail) : 0};
    judgement_pack(&s->results, &judgement);
    s->n_scored += result->ok;
  }
}

static char *count(const struct scoring *s, struct tpo_error *err)
{
  char *counts = tpo_judge_counts(s->judge);
  if (!counts) tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's counts");
  return counts;
}

static const char *judge_cache_dir(const struct tpo_session *session, char out[4096])
{
  const char *given = session->config->judge.cache;
  if (given && *given) return given;
  if (!session->judge_dir || tpo_path_join(out, 4096, session->judge_dir, "judge-cache", NULL) < 0)
    return NULL;
  return out;
}

struct tpo_judge_env judge_env(const struct tpo_session *session, const char *work, char cache[4096])
{
  return (struct tpo_judge_env){.backend = session->backend,
                                .deadline = session->config->run.deadline,
                                .dtype = session->config->model.dtype,
                                .models = session->judge_models,
                                .seed = session->config->seed,
                                .rank = tpo_comm_rank(session->comm),
                                .size = tpo_comm_size(session->comm),
                                .cache_dir = judge_cache_dir(session, cache),
                                .work = *work ? work : NULL};
}

static void tell(void *arg, double share)
{
  const struct scoring *s = arg;
  tpo_watch_tell(&s->watch, share);
}

int scoring_open(struct scoring *s, const struct tpo_session *session, const char *work,
                 struct tpo_error *err)
{
  struct tpo_judge_env env = judge_env(session, work, s->cache);
  env.watch = (struct tpo_watch){tell, s};
  return tpo_judge_open(&s->judge, s->config, &env, err);
}

int scoring_opened(struct scoring *s, struct tpo_error *err)
{
  if (s->counted) return 0;
  s->counted = count(s, err);
  if (s->counted) tpo_buf_printf(&s->counts, "%s\n", s->counted);
  return s->counted ? 0 : TPO_E_MEMORY;
}

/* What it counted in the batch. */
static int add_counts(struct scoring *s, struct tpo_error *err)
{
  char *now = count(s, err);
  int status = now ? counts_between(s->counted, now, &s->counts, err) : TPO_E_MEMORY;
  free(s->counted);
  s->counted = now;
  return status;
}

static int add_piece(struct scoring *s, struct scoring_piece piece, struct tpo_error *err)
{
  if (s->results.failed || s->counts.failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
  int status = tpo_grow(&s->pieces, &s->capacity, s->n_pieces + 1, sizeof *s->pieces, err);
  if (status < 0) return status;
  piece.results_end = s->results.len;
  piece.counts_end = s->counts.len;
  s->pieces[s->n_pieces++] = piece;
  return 0;
}

static int score(struct scoring *s, struct tpo_error *err)
{
  struct failure_batch found;
  const struct scoring_batch *b = &s->batch;
  struct scoring_piece piece = {
      .row = b->rows[0], .n_prompts = (size_t)b->n_items, .results = s->results.len, .counts = s->counts.len};
  int status = tpo_judge_score(s->judge, b->items, b->n_items, b->results, err);
  if (status < 0) return status;
  status = failures_follow(&s->failures, s->config, b->responses, b->results, b->n_responses, &found, err);
  trust(s, piece.n_prompts, found.every);
  pack_results(s);
  if (status == 0) status = add_counts(s, err);
  piece.any = found.any;
  return status < 0 ? status : add_piece(s, piece, err);
}

int scoring_run(struct scoring *s, struct tpo_error *err)
{
  double begin = tpo_seconds();
  int status = tpo_stopped("judging", err);
  if (status == 0) status = score(s, err);
  s->pace = (tpo_seconds() - begin) / s->batch.n_items;
  return status;
}

size_t scoring_sure(const struct scoring *s)
{
  size_t n = s->n_pieces;
  if (s->failures.n == 0) return n;
  while (n > 0 && !s->pieces[n - 1].any) n--;
  return n > 0 ? n - 1 : 0;
}

bool scoring_has_answers(const struct scoring *s)
{
  char *counts = s->judge ? tpo_judge_counts(s->judge) : NULL;
  bool any = counts && counts_tell_answers(counts);
  free(counts);
  return any;
}

void scoring_free(struct scoring *s)
{
  if (s->batch.results) scoring_clear(s);
  free(s->batch.items);
  free(s->batch.responses);
  free(s->batch.rows);
  free(s->batch.results);
  tpo_judge_close(s->judge);
  failure_row_free(&s->failures);
  tpo_buf_free(&s->results);
  tpo_buf_free(&s->counts);
  free(s->counted);
  free(s->pieces);
  *s = (struct scoring){0};
}
