/* GSM8K (Cobbe et al., "Training Verifiers to Solve Math Word Problems", 2021): its rows, the ways of asking, and
 * which of the responses that are there give the right number. No model is asked, and nothing needs ranks.
 *
 *   struct eval_gsm8k_set set = {0};
 *   struct eval_gsm8k_prompting how = {EVAL_GSM8K_DIRECT, 0};
 *   eval_gsm8k_read(&set, "test.jsonl", 0, &err);
 *   eval_gsm8k_ask(&set, how, &instructions, &err);
 *   ... eval_answer(session, &policy, &instructions, &draw, &samples, &counts, &err) ...
 *   eval_gsm8k_score(&set, &samples, eval_gsm8k_of_text, &score, &err);
 *   printf("%.4f of %zu\n", score.accuracy, score.n); */
#ifndef TPO_EVAL_TASKS_GSM8K_H
#define TPO_EVAL_TASKS_GSM8K_H

#include "tpo/data.h"
#include "tpo/store.h"

struct eval_gsm8k_set {
  size_t n;
  struct eval_gsm8k_row {
    char id[24];    /* the row's `index`, else its number in the file from 0 */
    char *question; /* owned by the set */
    double final;   /* the number behind the answer's "####" */
  } * rows;
  size_t capacity;
};
/* Rows {question, answer "... #### N"} as published, or with `index` and `final` beside them; JSON Lines, an
 * array, TSV or CSV, plain or gzip. limit: the first so many; 0: all. Errors name the row. */
int eval_gsm8k_read(struct eval_gsm8k_set *set, const char *path, size_t limit, struct tpo_error *err);
void eval_gsm8k_free(struct eval_gsm8k_set *set);

enum eval_gsm8k_way {
  EVAL_GSM8K_DIRECT,      /* to reason, and to end with the number */
  EVAL_GSM8K_THOUGHT,     /* for a thought layout, which makes room for reasoning: to end with the number */
  EVAL_GSM8K_ANSWER_ONLY, /* for the number alone */
  EVAL_GSM8K_SHOTS,       /* after worked examples, as turns of the chat */
};
struct eval_gsm8k_prompting {
  enum eval_gsm8k_way way;
  int shots; /* 1 to EVAL_GSM8K_MOST_SHOTS; else 0 */
};
enum { EVAL_GSM8K_MOST_SHOTS = 8 };
/* "direct", "thought", "answer-only" or "shots:N"; TPO_E_USAGE. */
int eval_gsm8k_prompting_parse(struct eval_gsm8k_prompting *out, const char *text, struct tpo_error *err);
/* What the model is asked: an instruction a row, in their order, its id the row's. All but the thought way are
 * meant for plain chat, without a thought layout. instructions begins empty; tpo_instructions_free(). */
int eval_gsm8k_ask(const struct eval_gsm8k_set *set, struct eval_gsm8k_prompting how,
                   struct tpo_instructions *instructions, struct tpo_error *err);

/* Where a response's number was found. */
enum eval_gsm8k_place {
  EVAL_GSM8K_NOWHERE, /* it gives none */
  EVAL_GSM8K_BOXED, /* the last number within the last \boxed{...} that closes, within 1000 bytes, and holds one */
  EVAL_GSM8K_SENTENCE, /* the first number behind the last "the answer is" or "the final answer is"; the one behind the
                          last "=" of that sentence, where there is one */
  EVAL_GSM8K_LAST, /* the last number of the text */
  EVAL_GSM8K_MARK, /* all that stands behind the last "A:" in its line, "$" and commas aside */
};
const char *eval_gsm8k_place_name(enum eval_gsm8k_place place);
struct eval_gsm8k_answer {
  enum eval_gsm8k_place place;
  double number; /* NaN of nowhere */
};
typedef struct eval_gsm8k_answer eval_gsm8k_rule(const char *text);
/* A model's text: boxed, else sentence, else last. Numbers may have a sign (the Unicode minus too), "$", thousands
 * separators (also LaTeX's "{,}" and "\,"), decimals, an exponent; a percent sign and Markdown's underscores are passed
 * over. A fraction is two numbers, and a sign between two numbers belongs to neither. An ordinal ("3rd") is no number,
 * and neither is one that is too large for a double. */
eval_gsm8k_rule eval_gsm8k_of_text;
/* Labelled solutions: mark. */
eval_gsm8k_rule eval_gsm8k_of_solution;
/* Equal up to a millionth: "18.00" is 18. */
bool eval_gsm8k_same(double answer, double final);

struct eval_gsm8k {
  size_t n;                      /* rows that have a response; only these count */
  size_t missing;                /* rows without one */
  size_t n_responses, n_correct; /* of them */
  size_t unparsed;               /* responses that don't have the layout, and so are empty */
  size_t no_answer;              /* other responses without a number */
  double accuracy;               /* mean over the rows of the shares of right responses; NaN of none */
  double standard_error;         /* of that mean; NaN of fewer than two rows */
  double *outcomes;              /* [set->n] those shares; NaN where there is no response */
  struct eval_gsm8k_verdict {
    struct eval_gsm8k_answer answer;
    bool correct;
  } * verdicts; /* [samples->n] */
};
/* samples: rows by the questions' ids, any number of each; another id is an error. Text of a response that is not
 * UTF-8 is no number. out is overwritten; eval_gsm8k_score_free() it also after a failure. */
int eval_gsm8k_score(const struct eval_gsm8k_set *set, const struct tpo_samples *samples,
                     eval_gsm8k_rule *rule, struct eval_gsm8k *out, struct tpo_error *err);
void eval_gsm8k_score_free(struct eval_gsm8k *score);

#endif
