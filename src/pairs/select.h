/* Inside the pairs layer: the pairs of one prompt. */
#ifndef TPO_PAIRS_SELECT_H
#define TPO_PAIRS_SELECT_H

#include "tpo/pairs.h"

struct prompt_group { /* rows first .. first + n - 1 of the samples */
  size_t first, n;
};

struct groups {
  struct prompt_group *items;
  size_t n, capacity;
};

/* What the choice needs to know of one sample. */
struct candidate {
  size_t row;
  double score;  /* raw */
  double length; /* of the response, in length_unit */
  double z_score, z_length;
  double controlled; /* z_score - rho * z_length */
};

struct choice { /* rows */
  size_t chosen, rejected;
  bool parse_failure; /* the rejected output */
  double margin;      /* of controlled scores; NaN for a parse failure */
};

enum outcome {
  OUTCOME_PAIRS,
  OUTCOME_TIE,
  OUTCOME_SINGLE_VALUED,
  OUTCOME_TOO_FEW,
  OUTCOME_BELOW_MARGIN,
  OUTCOME_UNJUDGED
};

/* Scratch of one selection, kept from prompt to prompt. */
struct selection {
  struct candidate *candidates; /* usable samples in order of k */
  size_t n_candidates, candidates_capacity;
  size_t *failures; /* rows whose format failed */
  size_t n_failures, failures_capacity;
  struct choice *choices; /* of the prompt last selected */
  size_t n_choices, choices_capacity;
  bool unjudged; /* a response of the prompt has no score */
};

/* Of the row's response. */
double response_length(const struct tpo_sample_row *row, enum tpo_length_unit unit);
/* Whether some token of the row would carry loss in a rejected output, where inserted ones have none. */
bool has_loss_token(const struct tpo_sample_row *row);
/* Fills selection->choices for one prompt; *outcome tells why when there are none. failures: samples whose
 * format failed are rejected; otherwise they are not there. */
int select_prompt(struct selection *selection, const struct tpo_samples *samples, struct prompt_group group,
                  const struct tpo_pairs_config *config, double rho, bool failures, enum outcome *outcome,
                  struct tpo_error *err);
/* keep[g], of each group: whether its failures may be rejected (share.c). *passed_over: groups with failures
 * that a pair could have had, but for the share. */
int keep_failures(bool *keep, size_t *passed_over, struct selection *selection,
                  const struct tpo_samples *samples, const struct groups *groups,
                  const struct tpo_pair_options *options, double rho, struct tpo_error *err);
void selection_free(struct selection *selection);

#endif
