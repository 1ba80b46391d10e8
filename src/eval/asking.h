/* Questions of an evaluation to a judge's model, over the ranks: each asks a share, what is answered is kept
 * in a journal, and rank 0 gets the answers in the order of the questions.
 *
 *   struct eval_question questions[] = {{.key = "12.1", .ask = {.system = system, .user = text}}};
 *   eval_ask(session, questions, n, &options, answers, &err);
 *   ... rank 0 reads answers[i].text
 *   eval_answers_free(answers, n); */
#ifndef TPO_EVAL_ASKING_H
#define TPO_EVAL_ASKING_H

#include "ask/ask.h"
#include "tpo/steps.h"

struct eval_question {
  const char *key; /* what it is kept by: unlike all others' */
  struct ask_question ask;
};
struct eval_asking {
  const char *what; /* the phase that progress tells: "judging" */
  /* Folder, which stays: who has written the result removes it, but for one without any answer; NULL: none. Several rounds of questions may be kept in
   * one, of the same `work`: an answer serves whoever asks the same under the same key. */
  const char *journal;
  const char *work; /* lines "NAME: VALUE\n" of what the answers depend on besides the judge's settings */
  bool drop_other;  /* a journal of other work is put aside with a warning; else an error */
};

/* All ranks, with the same questions. The judge is session->config->judge, of kind http:URL or pairwise:MODEL;
 * any other is refused (TPO_E_USAGE). Its answers are cached in session->judge_dir or judge.cache as a judge's
 * are. answers [n] on rank 0 (NULL on others): a question that stays without an answer has ok = false and the
 * reason as its text, and is asked again by whoever goes on from the journal; which key limits tokens is not told.
 * Ends early as judges do: ASK_IN_A_ROW answers in a row that failed. counts (rank 0; may be
 * NULL): what was counted, over all ranks, to be freed by json_decref. */
int eval_ask(const struct tpo_session *session, const struct eval_question *questions, size_t n,
             const struct eval_asking *options, struct ask_answer *answers, json_t **counts,
             struct tpo_error *err);
/* Of what was asked: an error where the judge failed (an answer that isn't ok, why the first) on more than the share
 * judge.max_failed of n. what: "rows"; journal: where the other answers are kept for another attempt; NULL: nowhere. */
int eval_check_failed(const struct tpo_judge_config *judge, size_t failed, size_t n, const char *what,
                      const char *why, const char *journal, struct tpo_error *err);
/* Before anything is asked: what can be told of the judge without a question. */
int eval_ask_check(const struct tpo_judge_config *judge, struct tpo_error *err);
void eval_answers_free(struct ask_answer *answers, size_t n); /* their texts, and answers itself */

#endif
