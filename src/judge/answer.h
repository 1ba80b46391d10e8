/* What a judge model says, without what it thought: a verdict that a thought weighs is none.
 *
 * Thoughts are <think>...</think> and <thinking>...</thinking>, letter case aside; a closing tag that no
 * thought was open for ends one that began before the answer (a chat template had opened it), so that all
 * before it is thought; and what judge.thought_pattern matches. */
#ifndef TPO_JUDGE_ANSWER_H
#define TPO_JUDGE_ANSWER_H

#include "base/buf.h"
#include "judge/pattern.h"

enum answer_thoughts {
  ANSWER_THOUGHTS_CLOSED,  /* or there are none */
  ANSWER_THOUGHT_OPEN,     /* the text ends in one */
  ANSWER_THOUGHTS_GIVEN_UP /* the search for the pattern was */
};
/* What a thought is that the text ends in. */
enum answer_open {
  ANSWER_OPEN_IS_THOUGHT, /* the limit on tokens ended it */
  ANSWER_OPEN_IS_SAID     /* none: its tag was merely spoken of */
};
/* Appends what is said: the text, of which bytes that are not UTF-8 become U+FFFD, without its thoughts
 * and, where there were any, the white space around what is left. pattern NULL: none. Returns enum
 * answer_thoughts, or negative: memory was short. */
int judge_answer_said(struct tpo_buf *said, const char *text, const struct judge_pattern *pattern,
                      enum answer_open open, struct tpo_error *err);

#endif
