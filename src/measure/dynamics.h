/* How a run moves from iteration to iteration: what metrics.jsonl tells beside means. Plain arithmetic on
 * rank 0: the walks over models and judges belong to the layers above. */
#ifndef TPO_MEASURE_DYNAMICS_H
#define TPO_MEASURE_DYNAMICS_H

#include "tpo/store.h"

/* How samples spread, for metrics. Quantiles are interpolated between the two nearest values.
 * An output without a response marker counts with no thought and all of its tokens as
 * response, as in the means above. */
struct quartiles {
  double q25, q50, q75; /* NaN of no values */
};
struct sample_dynamics {
  struct quartiles thought_tokens, response_tokens; /* over outputs */
  struct quartiles scored;                          /* over the scores of outputs that have one */
  struct quartiles score;                           /* over prompts' mean scores, as prompt_score has them */
  double mean_score;                                /* their mean; NaN of none */
  double score_se;                                  /* its standard error; NaN of fewer than two prompts */
  size_t unjudged;   /* prompts left out of the three: the judge failed on a response of theirs */
  double repetition; /* mean of tpo_checks_repetition over responses of outputs that parse; NaN of none */
};
/* Instructions that a difference needs to be told as one: the standard error of fewer is too rough to judge by. */
enum { LEAST_COMPARED = 8 };
/* Mean score of the prompt whose first row is `first`. An output that does not parse counts with
 * `unparsed` unless it was given a score; NaN where a response has no score, since a judge's failure is no
 * number. scores: [samples->n] in the place of the rows' own; NULL: those. */
double prompt_score(const struct tpo_samples *samples, size_t first, double unparsed, const double *scores);
/* The lowest score given; NaN of none. */
double lowest_score(const struct tpo_samples *samples);
/* Of all prompts but those that are NaN, which are counted, to scores [prompts]; their number. */
size_t prompt_scores(const struct tpo_samples *samples, double unparsed, double *scores, size_t *unjudged);
/* Mean of values [n]; NaN of none. standard_error: of that mean, NaN of fewer than two. */
double mean_and_error(const double *values, size_t n, double *standard_error);
/* Sorts values [n]. */
struct quartiles quartiles_of(double *values, size_t n);
int sample_dynamics(const struct tpo_samples *samples, double unparsed, struct sample_dynamics *out,
                    struct tpo_error *err);

/* Chosen minus rejected response, means over the pairs whose outputs both parse; NaN of none. The pairs' rows
 * are those of samples. */
struct length_difference {
  size_t pairs;
  double chars, tokens;
};
int length_difference(const struct tpo_samples *samples, const struct tpo_pairs *pairs,
                      struct length_difference *out, struct tpo_error *err);

/* How often the responses in `now` are better than those in `before`, by instruction: an instruction is won
 * where the mean of its scores is higher, and even where they are equal. Instructions are matched by id and
 * text. */
struct win_rate {
  size_t n, wins, losses, ties;
  size_t unmatched;      /* instructions of `now` that `before` lacks */
  size_t unjudged;       /* left out: the judge failed on a response */
  double rate;           /* (wins + ties / 2) / n; NaN of none */
  double standard_error; /* over instructions; NaN of fewer than two */
};
/* As tpo_samples_find; an instruction of the same id and another text is not found. */
size_t find_instruction(const struct tpo_samples *samples, const struct tpo_sample_row *like, size_t *at);
/* By the scores that both hold, or those in their place, as prompt_score has them. outcomes: [now->n] or NULL;
 * by an instruction's first row, 1 won, 0 lost, 1/2 even, NaN elsewhere and where it was not compared. */
void win_rate_of_scores(const struct tpo_samples *now, const double *now_scores,
                        const struct tpo_samples *before, const double *before_scores, double unparsed,
                        double *outcomes, struct win_rate *out);
/* By the shares that tpo_score_versus gave: won above one half. */
void win_rate_of_shares(const struct tpo_samples *now, double *outcomes, struct win_rate *out);

/* Estimate of the Kullback-Leibler divergence of a model from a reference by sampled outputs
 * (Schulman 2020, Approximating KL Divergence): with l_t = log reference(y_t) - log model(y_t),
 * k1 = -l_t, whose mean is unbiased, and k3 = exp(l_t) - 1 - l_t, never negative and of less variance. Both
 * hold for outputs drawn from the model itself: outputs drawn at another temperature or within a nucleus
 * estimate another mean. */
struct kl {
  size_t outputs, tokens;
  double per_output, per_output_se; /* mean over outputs of their sums of k1, nats; NaN of fewer than two */
  double per_token, k3_per_token;   /* means over tokens */
};
/* Sums over one output: add k1, k3 and tokens of output after output. */
struct kl_sums {
  double k1, k3, tokens;
};
/* model, reference: [n] log-probabilities of the sampled tokens;
 * inserted [n]: those left out; may be NULL. */
void kl_add(struct kl_sums *sums, const float *model, const float *reference, const uint8_t *inserted, int n);
/* scratch: [n]. */
void kl_of(const struct kl_sums *outputs, size_t n, double *scratch, struct kl *out);

#endif
