/* What the verdicts on one prompt's comparisons add up to. */
#ifndef TPO_JUDGE_COMPARE_TALLY_H
#define TPO_JUDGE_COMPARE_TALLY_H

#include <jansson.h>
#include "judge/compare/schedule.h"
#include "judge/verdict.h"

/* A comparison's outcome: its verdict, or OUTCOME_FAILED where there was no answer. */
enum { OUTCOME_FAILED = -1 };
struct tally_outcome {
  int verdict;   /* enum judge_verdict or OUTCOME_FAILED */
  double weight; /* of a win */
};

/* A response's part in it, both positions counted. comparisons are those with an answer: the
 * sum of wins, losses, ties and unparsable. missing: of the failed, those with a response that
 * has others with an answer. */
struct tally_record {
  int wins, losses, ties, unparsable, failed, comparisons, missing;
};

/* Sums over prompts, and over ranks too. comparisons are those with an answer; failed ones come on top. */
struct tally_counts {
  int64_t comparisons, a_wins, b_wins, ties, both, neither, unparsable, failed;
  int64_t pairs_consistent; /* pairs with a winner in both positions, the same response */
  int64_t pairs_flipped;    /* the same position */
  int64_t triples; /* of responses each of which won more, by weight, against each of the others, or less */
  int64_t cyclic_triples; /* a beat b, b beat c, c beat a */
};

/* outcomes [n]. wins [k, k]: B[m][n] = the weights of m's wins against n, added up; records [k]. Both are
 * written, counts, which know no weights, are added to. */
int tally(const struct comparison *comparisons, const struct tally_outcome *outcomes, size_t n, int k,
          double *wins, struct tally_record *records, struct tally_counts *counts, struct tpo_error *err);
json_t *tally_counts_json(const struct tally_counts *counts); /* NULL when memory is short */

#endif
