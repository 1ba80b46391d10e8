/* What is read from a judge model's answer: a verdict, a number, or why there is none.
 *
 *   struct judge_reader reader;
 *   judge_reader_open(&reader, config, &err);
 *   struct tpo_buf said = {0};
 *   struct judge_found found;
 *   judge_read_number(&reader, answer, &said, &found, &err);
 *   if (found.reading == JUDGE_READ) use(found.number);
 *   judge_reader_close(&reader); */
#ifndef TPO_JUDGE_VERDICT_H
#define TPO_JUDGE_VERDICT_H

#include "ask/ask.h"
#include "base/buf.h"
#include "judge/pattern.h"
#include "tpo/config.h"

/* [[A]], [[ tie ]], [[7.5]]: what the built-in texts ask for. */
#define JUDGE_VERDICT_PATTERN "\\[\\[([^\\[\\]]*)\\]\\]"

enum judge_verdict {
  JUDGE_VERDICT_NONE,
  JUDGE_VERDICT_A,
  JUDGE_VERDICT_B,
  JUDGE_VERDICT_TIE,
  JUDGE_VERDICT_BOTH,    /* a tie: both answers are good */
  JUDGE_VERDICT_NEITHER, /* a tie: neither is */
};

/* What came of an answer; all but the first are no verdict and no number. */
enum judge_reading {
  JUDGE_READ,
  JUDGE_NO_MATCH,     /* of judge.pattern, outside thoughts */
  JUDGE_NOT_NAMED,    /* a match whose group is no verdict, or no number */
  JUDGE_TOO_LARGE,    /* a number beyond JUDGE_LARGEST_SCORE */
  JUDGE_CONTRADICTED, /* another match before the last, where judge.verdict_rule is `only` */
  JUDGE_GIVEN_UP,     /* a search took too many steps, or too long */
  JUDGE_CUT_OFF,      /* a limit on tokens ended the answer: what it came to is not known */
  JUDGE_OPEN_THOUGHT, /* it ends in a thought */
  N_JUDGE_READINGS
};

enum { JUDGE_MATCH = 64 }; /* bytes of a match that are told */
struct judge_found {
  enum judge_reading reading;
  enum judge_verdict verdict; /* NONE where nothing was read */
  double weight;              /* of a verdict: how much a win counts */
  double number;
  const char *limit;       /* CUT_OFF: the answer's, or NULL */
  char match[JUDGE_MATCH]; /* the last one's text, cut off there; "" where there is none */
  char first[JUDGE_MATCH]; /* CONTRADICTED: the match that differs from it */
};

/* How a configuration has answers read, and the parts that its settings became. */
struct judge_reader {
  struct judge_pattern *pattern, *thought; /* thought NULL: tags alone */
  const struct tpo_verdict_label *labels;  /* [n_labels] borrowed; n_labels 0: A, B, C, tie, both, neither */
  int n_labels;
  bool only; /* a match that differs from another makes no verdict of both */
  /* All of an answer is searched, not its end alone, and a thought that never closes is said. judge_reader_open leaves
   * it false. */
  bool all;
};
/* judge.pattern, judge.thought_pattern and judge.verdicts. Errors are TPO_E_USAGE and name the key. */
int judge_reader_check(const struct tpo_judge_config *config, struct tpo_error *err);
/* The configuration must outlive it. judge_reader_close also after an error. */
int judge_reader_open(struct judge_reader *reader, const struct tpo_judge_config *config,
                      struct tpo_error *err);
void judge_reader_close(struct judge_reader *reader);

/* The last match counts, of those outside thoughts (judge/answer.h) that begin in the last 256 KiB (reader->all:
 * anywhere) of what is said, which becomes the contents of `said`. Letter case and white space around the group are not
 * looked at; a number is a decimal one within ±JUDGE_LARGEST_SCORE, nothing else in the group. Errors:
 * memory was short, or a signal ended the reading (TPO_E_INTERRUPTED). answer->ok. */
int judge_read_verdict(const struct judge_reader *reader, const struct ask_answer *answer,
                       struct tpo_buf *said, struct judge_found *found, struct tpo_error *err);
int judge_read_number(const struct judge_reader *reader, const struct ask_answer *answer,
                      struct tpo_buf *said, struct judge_found *found, struct tpo_error *err);

#endif
