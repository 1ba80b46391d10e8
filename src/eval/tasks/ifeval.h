/* IFEval's four figures (Zhou et al., "Instruction-Following Evaluation for Large Language Models", 2023) over
 * responses that are there. No model is asked, and nothing needs ranks.
 *
 *   struct eval_ifeval score = {0};
 *   eval_ifeval_score(&prompts, &samples, &score, &err);
 *   printf("%.4f strict, %.4f loose\n", score.prompt_strict, score.prompt_loose);
 *   eval_ifeval_free(&score); */
#ifndef TPO_EVAL_TASKS_IFEVAL_H
#define TPO_EVAL_TASKS_IFEVAL_H

#include "tpo/data.h"
#include "tpo/store.h"

struct eval_ifeval_type { /* of checks */
  const char *name;
  size_t n, strict, loose; /* how often asked of a response, and followed */
};
/* How one response did: a check's verdicts at verdicts[first .. first + n), in the order of its prompt's. */
struct eval_ifeval_response {
  size_t first, n;
  bool all_strict, all_loose;
};
struct eval_ifeval {
  size_t n_prompts;      /* that have a response; only these count */
  size_t n_responses;    /* to them */
  size_t n_instructions; /* checks of these prompts */
  size_t missing;        /* prompts without a response */
  size_t empty;          /* responses of white space alone, which follow nothing */
  size_t given_up;       /* checks of a pattern that was given up on a response: not followed */
  /* Shares, 0 to 1, NaN of no response. Of prompts, all of whose checks are followed: means over the prompts of
   * the shares of their responses. Of instructions: over all checks of all responses. */
  double prompt_strict, instruction_strict, prompt_loose, instruction_loose;
  double prompt_strict_error,
      prompt_loose_error; /* standard errors of the means over prompts; NaN of fewer than two */
  double *strict, *loose; /* [prompts->n] those shares; NaN where there is no response */
  struct eval_ifeval_response *responses; /* [samples->n] */
  struct eval_ifeval_verdict {
    bool strict, loose;
  } * verdicts;
  struct eval_ifeval_type *types; /* [n_types] those that occur, in the order of src/checks */
  size_t n_types;
};

/* Whether every prompt has checks, and these can be judged; TPO_E_INPUT names the prompt. */
int eval_ifeval_check(const struct tpo_instructions *prompts, struct tpo_error *err);
/* samples: rows by prompt id, any number of each prompt; an id that no prompt has is an error. The checks are the
 * prompts', not those in the rows' meta. out is overwritten; eval_ifeval_free() it also after a failure. */
int eval_ifeval_score(const struct tpo_instructions *prompts, const struct tpo_samples *samples,
                      struct eval_ifeval *out, struct tpo_error *err);
void eval_ifeval_free(struct eval_ifeval *score);

#endif
