/* A judge's preferences between a baseline's outputs and a model's, read from AlpacaEval's annotations.json or
 * from columns.
 *
 *   struct alpaca_annotations a = {0};
 *   alpaca_annotations_read(&a, "annotations.json", &err);
 *   alpaca_raw_of(&a, &raw);
 *   alpaca_annotations_free(&a); */
#ifndef TPO_EVAL_ALPACA_ANNOTATIONS_H
#define TPO_EVAL_ALPACA_ANNOTATIONS_H

#include "tpo/base.h"

struct alpaca_row {
  double preference;   /* in [1, 2]: 1 + the probability that the model is preferred; NaN: there is none */
  double len_1, len_2; /* code points of the outputs: the baseline's, the model's */
  size_t position;     /* from 0: where its difficulty is looked up */
};
struct alpaca_annotations {
  struct alpaca_row *rows; /* [n] */
  size_t n, capacity;
  bool has_lengths;
  bool both_positions; /* as the rows' `both_positions` says: another metric than alpaca_eval's */
  char *baseline, *model, *annotator; /* as every row names them; NULL where none does */
};

/* Columns or fields `preference` (0, an old form of the draw, becomes 1.5; null or NaN is none), lengths as `len_1`
 * and `len_2` or of the texts `output_1` and `output_2`. A row's position is its `pos`, else its `index`, else its
 * place in the file, which is what alpaca_eval goes by. Refused, with the place: preferences outside [1, 2], rows
 * of several models, baselines or annotators, an instruction (`instruction`, else `index`, else `pos`) that comes
 * twice. */
int alpaca_annotations_read(struct alpaca_annotations *out, const char *path, struct tpo_error *err);
/* For rows that were not read from a file. */
int alpaca_annotations_add(struct alpaca_annotations *a, const struct alpaca_row *row, struct tpo_error *err);
void alpaca_annotations_free(struct alpaca_annotations *a);
/* The model is the baseline: draws everywhere, between outputs of one name, or, where names aren't told, of one length.
 * The name alone doesn't tell: two checkpoints may both be called "best.h5". */
bool alpaca_is_baseline(const struct alpaca_annotations *a);

#endif
