/* Counts wins, ties and missing answers, and verdicts that contradict each other. */
#include "judge/compare/tally.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

static void count_outcome(int outcome, struct tally_counts *counts)
{
  counts->comparisons += outcome != OUTCOME_FAILED;
  counts->a_wins += outcome == JUDGE_VERDICT_A;
  counts->b_wins += outcome == JUDGE_VERDICT_B;
  counts->ties += outcome == JUDGE_VERDICT_TIE;
  counts->both += outcome == JUDGE_VERDICT_BOTH;
  counts->neither += outcome == JUDGE_VERDICT_NEITHER;
  counts->unparsable += outcome == JUDGE_VERDICT_NONE;
  counts->failed += outcome == OUTCOME_FAILED;
}

static void record_outcome(int outcome, bool first, struct tally_record *record)
{
  bool decided = outcome == JUDGE_VERDICT_A || outcome == JUDGE_VERDICT_B;
  bool won = outcome == (first ? JUDGE_VERDICT_A : JUDGE_VERDICT_B);
  record->comparisons += outcome != OUTCOME_FAILED;
  record->wins += won;
  record->losses += decided && !won;
  record->unparsable += outcome == JUDGE_VERDICT_NONE;
  record->failed += outcome == OUTCOME_FAILED;
  record->ties += !decided && outcome != JUDGE_VERDICT_NONE && outcome != OUTCOME_FAILED;
}

/* a's wins against b, less b's against a. */
static double lead(const double *wins, int k, int a, int b)
{
  return wins[a * k + b] - wins[b * k + a];
}

static void count_triples(const double *wins, int k, struct tally_counts *counts)
{
  for (int a = 0; a < k; a++)
    for (int b = a + 1; b < k; b++) {
      double ab = lead(wins, k, a, b);
      for (int c = b + 1; c < k && ab != 0; c++) {
        double bc = lead(wins, k, b, c), ca = lead(wins, k, c, a);
        if (bc == 0 || ca == 0) continue;
        counts->triples++;
        counts->cyclic_triples += (ab > 0) == (bc > 0) && (bc > 0) == (ca > 0);
      }
    }
}

/* decided [k, k]: 1 where the comparison with the row as A was won by A, 2 by B, else 0. */
static void count_pairs(const uint8_t *decided, int k, struct tally_counts *counts)
{
  for (int a = 0; a < k; a++)
    for (int b = a + 1; b < k; b++) {
      uint8_t one = decided[a * k + b], other = decided[b * k + a];
      if (one == 0 || other == 0) continue;
      counts->pairs_flipped += one == other;
      counts->pairs_consistent += one != other;
    }
}

/* After all are recorded. */
static void record_missing(const struct comparison *comparison, struct tally_record *records)
{
  struct tally_record *a = &records[comparison->first], *b = &records[comparison->second];
  a->missing += b->comparisons > 0;
  b->missing += a->comparisons > 0;
}

int tally(const struct comparison *comparisons, const struct tally_outcome *outcomes, size_t n, int k,
          double *wins, struct tally_record *records, struct tally_counts *counts, struct tpo_error *err)
{
  size_t cells = (size_t)k * (size_t)k;
  uint8_t *decided = tpo_calloc(cells, sizeof *decided, err);
  if (!decided) return TPO_E_MEMORY;
  memset(wins, 0, cells * sizeof *wins);
  memset(records, 0, (size_t)k * sizeof *records);
  for (size_t i = 0; i < n; i++) {
    int a = comparisons[i].first, b = comparisons[i].second, outcome = outcomes[i].verdict;
    count_outcome(outcome, counts);
    record_outcome(outcome, true, &records[a]);
    record_outcome(outcome, false, &records[b]);
    if (outcome == JUDGE_VERDICT_A) wins[a * k + b] += outcomes[i].weight;
    if (outcome == JUDGE_VERDICT_B) wins[b * k + a] += outcomes[i].weight;
    decided[a * k + b] = outcome == JUDGE_VERDICT_A ? 1 : outcome == JUDGE_VERDICT_B ? 2 : 0;
  }
  for (size_t i = 0; i < n; i++)
    if (outcomes[i].verdict == OUTCOME_FAILED) record_missing(&comparisons[i], records);
  count_pairs(decided, k, counts);
  count_triples(wins, k, counts);
  free(decided);
  return 0;
}

json_t *tally_counts_json(const struct tally_counts *c)
{
  return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "comparisons",
                   (json_int_t)c->comparisons, "a_wins", (json_int_t)c->a_wins, "b_wins",
                   (json_int_t)c->b_wins, "ties", (json_int_t)c->ties, "both", (json_int_t)c->both, "neither",
                   (json_int_t)c->neither, "unparsable", (json_int_t)c->unparsable, "failed",
                   (json_int_t)c->failed, "pairs_consistent", (json_int_t)c->pairs_consistent,
                   "pairs_flipped", (json_int_t)c->pairs_flipped, "triples", (json_int_t)c->triples,
                   "cyclic_triples", (json_int_t)c->cyclic_triples);
}
