/* How far sampling is, in tokens over all ranks, while neither the lengths of what is still to be drawn nor
 * the other ranks' counts are known. */
#ifndef TPO_STEPS_FORECAST_H
#define TPO_STEPS_FORECAST_H

struct forecast {
  double outputs;     /* wanted of all ranks */
  double budget;      /* tokens of an output at most */
  double at_once;     /* outputs that this rank draws at the same time */
  double done, share; /* what was told last, so that neither goes back; 0 at first */
};

/* Of this rank but for `taken`; outputs. */
struct forecast_seen {
  double taken;     /* whose prompts some rank took from the queue, of all */
  double own_taken; /* and those that this rank took */
  double ended;
  double tokens;       /* drawn and inserted so far */
  double ended_tokens; /* those of outputs that ended */
};

/* Tokens done and in total, over all ranks:
 *
 *   The others are taken to be as far as this rank with what they took: its counts * taken / own_taken.
 *   An output that has not ended is reckoned with the mean length of those that have, or of all that are begun
 *   as far as they are drawn, where that is more. The first to end are short ones, so that mean counts in full
 *   only when as many have ended as are drawn at once; before, it is mixed in that proportion with the budget,
 *   which is all that is known at the beginning.
 *   Each output that has not ended takes at least one more token, so the total is not reached before the end.
 *   Where the total has to grow, it grows no further than that the share done stays what was told. */
void forecast(struct forecast *f, const struct forecast_seen *seen, double *done, double *total);

/* What took part of a whole did, for all of it: own * taken / own_taken. */
double forecast_for_all(double own, double taken, double own_taken);

#endif
