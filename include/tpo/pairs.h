/* pairs: chosen and rejected outputs from scored samples, on rank 0.
 *
 *   struct tpo_pairs pairs = {0};
 *   struct tpo_pair_options options = {.config = &config.pairs, .train_forced = config.thought.train_forced};
 *   tpo_select_pairs(&pairs, &samples, &options, &statistics, &err);
 */
#ifndef TPO_PAIRS_H
#define TPO_PAIRS_H

#include "tpo/config.h"
#include "tpo/store.h"

struct tpo_pair_options {
  const struct tpo_pairs_config *config;
  bool train_forced; /* inserted tokens carry loss in the chosen output */
  /* What the draw of config->max_failure_share is keyed by, together with a prompt's id. */
  uint64_t seed;
  uint32_t iteration;
};

struct tpo_pair_statistics {
  size_t prompts, pairs;
  size_t ties;            /* prompts skipped: chosen and rejected have equal (controlled or raw) scores */
  size_t single_valued;   /* prompts skipped: all raw scores equal */
  size_t too_few;         /* prompts skipped: fewer than two usable samples, or none that could be chosen */
  size_t below_margin;    /* prompts skipped: raw score difference not above the margin */
  size_t unjudged;        /* prompts skipped: a judge failed on some of their responses */
  size_t unscored;        /* samples that a judge failed on */
  size_t no_tokens;       /* samples left out: none of their tokens would carry loss */
  size_t unjudged_tokens; /* of the pairs' outputs, without loss: they reach behind what was judged */
  size_t parse_failures;  /* samples whose format failed */
  size_t rejected_parse_failures; /* pairs whose rejected output is one of those */
  size_t failures_passed_over;    /* prompts whose failures were left out to keep to max_failure_share */
  double rho;                     /* used */
  /* Of responses, in code points and in tokens (tpo_sample_response_tokens); over the pairs whose outputs
   * both have a response. NaN when there is no such pair. */
  double mean_chosen_length, mean_rejected_length, mean_chosen_tokens, mean_rejected_tokens;
};

/* z(s) over the K samples of a prompt (population standard deviation; all zero when it is 0), in double.
 * Length is the response's code points or tokens, as length_unit says. The pair is the sample with the highest
 * z(score) - rho * z(length) and the one with the lowest.
 *
 * A sample whose format failed is never chosen; it is the rejected one whenever its prompt has a usable
 * chosen (best-worst mode: the lowest-k such sample; mode all: each such sample pairs with the best), and
 * takes no part in z. It needs no score: rejected_score and margin of such a pair are NaN. Equal scores:
 * lowest k first.
 *
 * Unless reject_failures, samples whose format failed are counted and otherwise not there.
 *
 * At most max_failure_share of all pairs have such a sample as rejected. Prompts that could have one take
 * their turns in the order of a draw keyed by seed, iteration and prompt id; each keeps its failures if the
 * share holds with the pairs that there then are, and is otherwise paired as if it had none (which may leave
 * it without a pair). So no further prompt could keep its own, and neither ranks nor the order of prompts
 * matter. With 1 all keep theirs.
 *
 * A prompt with a response that a judge failed on is skipped: the best or the worst may be that one.
 *
 * Mode all: every two samples whose raw scores differ by more than the margin, the higher one being higher
 * after length control too; at most max_pairs_per_prompt of them, format failures first, then by falling
 * margin.
 *
 * length_auto: the smallest rho of 0, 0.05, ..., 0.5 for which mean chosen length <= mean rejected length
 * (0.5 when none does, with a warning); which failures are kept is asked anew for each. Pairs are appended
 * to `pairs`; their reference log-probabilities are NaN, and take the samples' output_tokens. Masks: inserted tokens are 0 in the rejected output,
 * and in the chosen one too unless train_forced; in both, tokens that reach behind what was judged
 * (n_unjudged_tokens of a sample) are 0.
 *
 * Errors: rho outside [0, 0.5], a share outside [0, 1], unscored or ungrouped samples, prompts that all have
 * one sample (K = 1), prompt tokens that differ between the samples of a prompt, a score that is not finite.
 */
TPO_API int tpo_select_pairs(struct tpo_pairs *pairs, const struct tpo_samples *samples,
                             const struct tpo_pair_options *options, struct tpo_pair_statistics *statistics,
                             struct tpo_error *err);
/* The rho that length_auto would take for these samples, whatever options->config->length_auto says. met: false: chosen
 * responses are longer than rejected ones with the greatest one too. */
TPO_API int tpo_find_length_penalty(const struct tpo_samples *samples, const struct tpo_pair_options *options,
                                    double *rho, bool *met, struct tpo_error *err);
/* statistics as a JSON object; free() it. */
TPO_API char *tpo_pair_statistics_json(const struct tpo_pair_statistics *statistics);

#endif
