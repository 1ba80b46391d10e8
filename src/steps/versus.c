/* Two models' responses to the same prompts, compared by a judge that can do nothing else. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "measure/dynamics.h"
#include "steps/judging.h"
#include "tpo/judge.h"

/* The sample of the same prompt and number; NULL: there is none. */
static const struct tpo_sample_row *find_row(const struct tpo_samples *samples,
                                             const struct tpo_sample_row *like, size_t *at)
{
  size_t row = tpo_samples_find(samples, like->prompt_id, at);
  if (row == samples->n) return NULL;
  *at = row; /* the next one may be of the same prompt */
  for (size_t end = tpo_samples_prompt_end(samples, row); row < end; row++)
    if (samples->rows[row].k == like->k) return &samples->rows[row];
  return NULL;
}

/* What needs no judge is decided; of the others couples are made, and which rows they are of. */
static int make_couples(struct tpo_samples *samples, const struct tpo_samples *before,
                        struct tpo_samples *couples, size_t *rows, struct tpo_error *err)
{
  int status = 0;
  size_t at = 0, n = 0;
  for (size_t i = 0; i < samples->n && status == 0; i++) {
    struct tpo_sample_row *row = &samples->rows[i];
    const struct tpo_sample_row *old = find_row(before, row, &at);
    if (!old)
      status = tpo_fail(err, TPO_E_STATE, "prompt %s has no sample %d to be compared with", row->prompt_id,
                        row->k);
    else if (row->format_ok && old->format_ok) {
      rows[n++] = i;
      status = tpo_samples_add(couples, old, err);
      if (status == 0) status = tpo_samples_add(couples, row, err);
    } else {
      row->scored = true;
      row->score = row->format_ok == old->format_ok ? 0.5 : row->format_ok;
      row->score_detail = "{}";
    }
  }
  return status;
}

/* The share that the couple's second response won. */
static bool won_share(const char *detail, double *share)
{
  json_t *o = tpo_json_parse(detail, strlen(detail), "detail", NULL);
  const json_t *inner = json_object_get(o, "detail"); /* a route's is within */
  const json_t *counts = json_is_object(inner) ? inner : o;
  const json_t *wins = json_object_get(counts, "wins"), *losses = json_object_get(counts, "losses"),
               *all = json_object_get(counts, "comparisons");
  bool ok = json_is_number(wins) && json_is_number(losses) && json_number_value(all) > 0;
  if (ok) {
    double w = json_number_value(wins), l = json_number_value(losses), n = json_number_value(all);
    *share = (w + (n - w - l) / 2) / n;
  }
  json_decref(o);
  return ok;
}

/* Scores compare too: a judge's that was chosen by the prompt, and sums. */
static double share_of_scores(const struct tpo_sample_row *couple)
{
  return couple[1].score > couple[0].score ? 1 : couple[1].score < couple[0].score ? 0 : 0.5;
}

/* failures: couples of which a response has no score. */
static int take_shares(struct tpo_samples *samples, const struct tpo_samples *couples, const size_t *rows,
                       size_t *failures, struct tpo_error *err)
{
  struct tpo_arena arena = {samples->arena};
  int status = 0;
  *failures = 0;
  for (size_t c = 0; c < couples->n / 2 && status == 0; c++) {
    const struct tpo_sample_row *couple = &couples->rows[2 * c];
    struct tpo_sample_row *row = &samples->rows[rows[c]];
    row->scored = couple[0].scored && couple[1].scored;
    *failures += !row->scored;
    if (row->scored && !won_share(couple[1].score_detail, &row->score)) row->score = share_of_scores(couple);
    const char *detail = couple[couple[0].scored].score_detail; /* a failure's tells why */
    row->score_detail = tpo_arena_strdup(&arena, detail);
    if (!row->score_detail) status = tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
  }
  samples->arena = arena.blocks;
  samples->is_scored = true;
  return status;
}

int tpo_score_versus(const struct tpo_session *session, struct tpo_samples *samples,
                     const struct tpo_samples *before, const struct tpo_score_options *options,
                     size_t *failures, struct tpo_error *err)
{
  /* Both positions are asked whatever judge.comparisons says. */
  struct tpo_config config = *session->config;
  struct tpo_session within = *session;
  config.judge.comparisons = 0;
  within.config = &config;
  struct tpo_samples couples = {0};
  bool first = tpo_comm_rank(session->comm) == 0;
  size_t *rows = first ? tpo_calloc(samples->n, sizeof *rows, err) : NULL;
  int status = first && !rows ? TPO_E_MEMORY : 0;
  if (status == 0 && first) status = make_couples(samples, before, &couples, rows, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = score_couples(&within, &couples, options, failures, err);
  if (status == 0 && first) {
    status = take_shares(samples, &couples, rows, failures, err);
    free(samples->judge_counts);
    samples->judge_counts = couples.judge_counts;
    couples.judge_counts = NULL;
  }
  free(rows);
  tpo_samples_free(&couples);
  return tpo_comm_agree(session->comm, status, err);
}
