/* The label that a judgment ends with, by Arena-Hard's rule: [[A>B]] and its like, of which all in the text must
 * be the same.
 *
 *   struct arena_reader reader;
 *   arena_reader_open(&reader, &config->judge, &err);
 *   enum arena_reading reading = arena_read_verdict(&reader, judgment, label, &err);
 *   arena_reader_close(&reader); */
#ifndef TPO_EVAL_ARENA_VERDICT_H
#define TPO_EVAL_ARENA_VERDICT_H

#include "judge/verdict.h"

struct arena_reader {
  struct judge_reader judge;
  struct tpo_buf said;
};
enum arena_reading {
  ARENA_LABEL,        /* there is one, if perhaps none of the five that count */
  ARENA_CONTRADICTED, /* there are two or more that differ */
  ARENA_WITHOUT,      /* there is none: the judge may be asked to go on */
};
/* Of the configuration, which must outlive it, judge.thought_pattern counts: what a judge thinks (src/judge) is
 * no verdict, but for a thought that never closes, which the benchmark reads like all the rest. */
int arena_reader_open(struct arena_reader *reader, const struct tpo_judge_config *config,
                      struct tpo_error *err);
void arena_reader_close(struct arena_reader *reader);
/* label: without its brackets; "" where there is none. Negative: memory was short, or a signal came. */
int arena_read_verdict(struct arena_reader *reader, const char *judgment, char label[JUDGE_MATCH],
                       struct tpo_error *err);

#endif
