/* What one rank's judge makes of prompts, batch by batch: results, counts, and what of them may be kept. A thread may
 * do it, as long as nobody else looks.
 *
 *   scoring_begin(&scoring, &config.judge, n_prompts, n_rows, &err);
 *   scoring_open(&scoring, &session, "", &err);
 *   scoring_opened(&scoring, &err);
 *   scoring_clear(&scoring);
 *   scoring_add(&scoring, rows, n, first);
 *   scoring_run(&scoring, &err); // scoring.batch.results
 *   scoring_free(&scoring); */
#ifndef TPO_STEPS_SCORING_H
#define TPO_STEPS_SCORING_H

#include "base/buf.h"
#include "steps/failures.h"
#include "tpo/steps.h"

/* Prompts as the judge gets them, and where its results go. */
struct scoring_batch {
  struct tpo_judge_item *items;     /* [n_items] */
  const char **responses;           /* [n_responses] */
  size_t *rows;                     /* [n_responses] the sample that each response is of, among all */
  struct tpo_judge_result *results; /* [n_responses] */
  int n_items;
  size_t n_responses;
};

/* A batch that was scored: where it is in results and counts. */
struct scoring_piece {
  size_t row, n_prompts; /* row: the first one */
  size_t results, results_end, counts, counts_end;
  bool any; /* some response has a score, or none was judged */
};

struct scoring {
  const struct tpo_judge_config *config;
  struct tpo_judge *judge; /* NULL: not open */
  char cache[4096];        /* the judge's folder */
  struct tpo_watch watch;  /* of the batch under way */
  size_t n_prompts, n_rows;
  size_t trusted; /* prompts of a batch, at most: more each time that all judges scored something */
  int status;     /* negative: it ended before all was scored, `err` says why; what was scored counts */
  struct tpo_error err;
  double pace; /* seconds that a prompt of the last batch took; negative: none was scored yet */
  size_t n_scored;
  struct failure_row failures;
  struct scoring_batch batch;
  struct tpo_buf results, counts; /* judgement_pack; lines */
  char *counted;                  /* what the judge had counted when the last batch ended */
  struct scoring_piece *pieces;   /* [n_pieces] */
  size_t n_pieces, capacity;
};

enum {
  SCORING_MOST = 256,       /* prompts of a batch */
  SCORING_OF_DEADLINE = 10, /* a batch takes a tenth of run.deadline */
};

/* For at most so many prompts and rows in all. scoring_free also after an error. */
int scoring_begin(struct scoring *s, const struct tpo_judge_config *config, size_t n_prompts, size_t n_rows,
                  struct tpo_error *err);
/* Prompts with as many responses, about, as a judge should have at least, so that what it does at once isn't idle. */
size_t scoring_least(const struct scoring *s);
/* Its judge. work: as judge_env has it. It stays where it is while the judge is open. */
int scoring_open(struct scoring *s, const struct tpo_session *session, const char *work,
                 struct tpo_error *err);
/* The judge is there: what it counts is told where it comes to nothing, too. Does nothing when it is called again. */
int scoring_opened(struct scoring *s, struct tpo_error *err);
/* The next batch begins: without prompts. */
void scoring_clear(struct scoring *s);
/* A prompt's n samples, borrowed until scoring_clear; first: the number of the first one among all. */
void scoring_add(struct scoring *s, const struct tpo_sample_row *rows, size_t n, size_t first);
/* Scores the batch. An error of the judge's, or where it fails on everything (failures_follow). */
int scoring_run(struct scoring *s, struct tpo_error *err);
/* Pieces from the first on that may be kept now. What ends in failures is held until the judge scores something again:
 * were it to fail on everything from there on, whoever goes on has those judged again. */
size_t scoring_sure(const struct scoring *s);
/* Whether the judge's server has answered anything, in a batch that failed too. */
bool scoring_has_answers(const struct scoring *s);
void scoring_free(struct scoring *s); /* closes the judge */

#endif
