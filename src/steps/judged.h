/* Judgements that are made, kept in a journal while the rest is: a judging that was stopped is taken up
 * again, on any number of ranks, and comes to the same result and the same counts.
 *
 * What is kept are batches: their results and what the judge counted in them are one entry, so that neither
 * is there without the other. */
#ifndef TPO_STEPS_JUDGED_H
#define TPO_STEPS_JUDGED_H

#include "base/buf.h"
#include "steps/kept.h"
#include "tpo/steps.h"

/* What is judged: rows of samples, prompt by prompt. */
struct judged_prompts {
  const struct tpo_samples *samples;
  const size_t *firsts; /* [n + 1] the row that each begins at; last: samples->n */
  size_t n;
  const double *done; /* [n] 1: this attempt has judged it already; NULL: none */
  const char *work;   /* that it was judged under; NULL or "": none */
};

struct judged {
  struct kept *kept; /* NULL: nothing is kept */
  bool *done;        /* [prompts->n] on all ranks: judged by an earlier attempt, or as prompts->done says */
  size_t n_done;     /* by earlier attempts */
  /* Rank 0: of those, the results as pack_judgement() writes them, and lines of counts. */
  struct tpo_buf results, counts;
  uint64_t attempt; /* from 1; what a later one judged counts before what an earlier one did */
  char work[33];    /* names this judging to the judge (tpo_judge_env); "": it is never taken up */
};

/* All ranks; rank 0's samples are whole. prompts is alike on all. what: "judgements", say. */
int judged_open(struct judged *out, const struct tpo_session *session, const struct judged_prompts *prompts,
                const char *what, const struct tpo_score_options *options, struct tpo_error *err);
/* A batch whose first row is `first`: its results, and lines of counts. */
int judged_append(struct judged *judged, size_t first, const char *results, size_t n_results,
                  const char *counts, size_t n_counts, struct tpo_error *err);
/* Responses that earlier attempts' results, rank 0's, have a score of. */
size_t judged_count_scored(const struct judged *judged);
void judged_close(struct judged *judged);
/* Lines "NAME: VALUE\n" of the settings "judge." that bear on results, addresses as config_tell_addresses has them. */
void judged_settings(const struct tpo_config *config, struct tpo_buf *out);
/* Lines "NAME: VALUE\n" of all that a judge's answers depend on besides the questions: its settings and the seed, its
 * models and programs. */
int judged_describe(const struct tpo_config *config, struct tpo_buf *out, struct tpo_error *err);

/* One result among bytes: row, ok, score, length of the detail, detail. */
struct judgement {
  size_t row;
  bool ok;
  double score;
  const char *detail; /* not NUL-terminated */
  size_t n_detail;
};
void judgement_pack(struct tpo_buf *out, const struct judgement *judgement);
/* The next one at *at, which moves behind it; false: the end, or bytes that are none (*at isn't len then). */
bool judgement_unpack(struct judgement *judgement, const char *bytes, size_t len, size_t *at);

#endif
