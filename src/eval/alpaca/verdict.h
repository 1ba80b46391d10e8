/* What a judge's answer to "m or M?" comes to: 1 where the first output (m) is preferred, 2 for the second (M), and
 * between where the judge's probabilities are told. */
#ifndef TPO_EVAL_ALPACA_VERDICT_H
#define TPO_EVAL_ALPACA_VERDICT_H

#include "ask/ask.h"
#include "judge/pattern.h"

/* 2 - p(m) / (p(m) + p(M)) of the first token's likeliest ones, one that isn't among them having probability 0; NaN:
 * neither is. */
double alpaca_tokens_preference(const struct ask_token *top, int n_top);
/* Of the text: outside thoughts (thought: judge.thought_pattern's, or NULL), its last line, without marks around it, is
 * m or M, or ends with one behind a colon. *out NaN: it isn't, or a limit on tokens ended a longer answer. */
int alpaca_text_preference(const struct ask_answer *answer, const struct judge_pattern *thought, double *out,
                           struct tpo_error *err);
/* Of an answer: the tokens' where the likeliest of them is m or M; else the text's, which the first token's tail
 * doesn't overrule ("**m**"); where the text says nothing, again the tokens'. *by_tokens: it is theirs. */
int alpaca_preference(const struct ask_answer *answer, const struct judge_pattern *thought, double *out,
                      bool *by_tokens, struct tpo_error *err);

#endif
