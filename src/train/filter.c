/* Which pairs can be trained on, and what is told of the others. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "train/limit.h"
#include "train/state.h"

enum { MOST_TOLD = 20 }; /* pairs left out that have a line of their own in the log */

struct filter {
  const char *name;
  const struct tpo_pairs *pairs;
  struct pair_limit limit;
  bool cut;
  struct tpo_train_filtered counts;
};

/* The same tokens, of which the same carry loss: their margin is 0 whatever the model. */
static bool is_identical(const struct tpo_pair_row *row)
{
  size_t n = (size_t)row->n_chosen;
  return row->n_chosen == row->n_rejected &&
         memcmp(row->chosen_ids, row->rejected_ids, n * sizeof *row->chosen_ids) == 0 &&
         memcmp(row->chosen_mask, row->rejected_mask, n) == 0;
}

/* Where the pair stands, then its id: "pairs.jsonl:7: pair \"x\"". */
static void place_of(const struct filter *f, const struct tpo_pair_row *row, char *out, size_t size)
{
  int used = 0;
  switch (f->pairs->origin) {
  case TPO_PAIRS_LINES: used = snprintf(out, size, "%.4096s:%" PRId64 ": ", f->name, row->place); break;
  case TPO_PAIRS_ROWS: used = snprintf(out, size, "%.4096s: row %" PRId64 ": ", f->name, row->place); break;
  case TPO_PAIRS_MADE:
    used = snprintf(out, size, "%.4096s: samples %d and %d: ", f->name, row->chosen_row, row->rejected_row);
  }
  snprintf(out + used, size - (size_t)used, "pair \"%.100s\"", row->prompt_id);
}

static void tell(const struct filter *f, const struct tpo_pair_row *row, const char *why)
{
  const struct tpo_train_filtered *c = &f->counts;
  char place[4400];
  if (c->too_long + c->no_response + c->identical > MOST_TOLD) return;
  place_of(f, row, place, sizeof place);
  tpo_log(TPO_LOG_WARN, "%s is left out: %s", place, why);
}

static void leave_out_long(struct filter *f, const struct tpo_pair_row *row)
{
  char why[160];
  f->counts.too_long++;
  snprintf(why, sizeof why, "%" PRId64 " tokens%s are more than %d, %s",
           (int64_t)row->n_prompt + pair_longest_output(row),
           f->cut && !pair_can_be_cut(f->limit, row) ? " (its output alone leaves no room for a prompt)" : "",
           f->limit.most, pair_limit_name(f->limit));
  tell(f, row, why);
}

/* The prompt's last tokens that fit stay. */
static void cut_prompt(struct filter *f, struct tpo_pair_row *row)
{
  int32_t room = f->limit.most - pair_longest_output(row);
  row->prompt_ids += row->n_prompt - room;
  row->n_prompt = room;
  row->chosen_ref_logprob = row->rejected_ref_logprob = NAN;
  f->counts.cut++;
}

/* Whether it stays; its prompt may be shorter then. */
static bool keep(struct filter *f, struct tpo_pair_row *row)
{
  bool has_chosen = pair_loss_tokens(row, true) > 0;
  if (!has_chosen || pair_loss_tokens(row, false) == 0) {
    f->counts.no_response++;
    tell(f, row,
         has_chosen ? "its rejected output has no token that carries loss"
                    : "its chosen output has no token that carries loss");
    return false;
  }
  if (is_identical(row)) {
    f->counts.identical++;
    tell(f, row, "chosen and rejected are identical");
    return false;
  }
  if (pair_fits(f->limit, row)) return true;
  if (f->cut && pair_can_be_cut(f->limit, row)) {
    cut_prompt(f, row);
    return true;
  }
  leave_out_long(f, row);
  return false;
}

static int finish(const struct filter *f, struct tpo_pairs *pairs, size_t kept, struct tpo_error *err)
{
  const struct tpo_train_filtered *c = &f->counts;
  size_t n = pairs->n, left_out = n - kept;
  char reasons[200];
  snprintf(reasons, sizeof reasons,
           "%zu too long, %zu without a response, %zu with chosen and rejected identical", c->too_long,
           c->no_response, c->identical);
  if (left_out > MOST_TOLD)
    tpo_log(TPO_LOG_WARN, "%s: and %zu more pairs are left out", f->name, left_out - MOST_TOLD);
  if (left_out > 0 && kept > 0)
    tpo_log(TPO_LOG_WARN, "%s: %zu of %zu pairs are left out: %s", f->name, left_out, n, reasons);
  if (c->cut > 0) {
    pairs->ref_model[0] = '\0'; /* log-probabilities that the file has are those of the whole prompts */
    tpo_log(TPO_LOG_INFO, "%s: the prompts of %zu of %zu pairs are cut to their last tokens, to fit %d, %s",
            f->name, c->cut, n, f->limit.most, pair_limit_name(f->limit));
  }
  pairs->n = kept;
  if (kept > 0) return 0;
  return n == 0
             ? tpo_fail(err, TPO_E_INPUT, "%s: there are no pairs in it", f->name)
             : tpo_fail(err, TPO_E_INPUT, "%s: none of %zu pairs can be trained on: %s", f->name, n, reasons);
}

int tpo_train_filter_pairs(struct tpo_pairs *pairs, const struct tpo_train_config *config, int context,
                           const char *name, struct tpo_train_filtered *filtered, struct tpo_error *err)
{
  if (context < 2)
    return tpo_fail(err, TPO_E_USAGE, "a context of %d tokens: at least 2 are expected", context);
  struct filter f = {.name = name,
                     .pairs = pairs,
                     .limit = pair_limit_of(config, context),
                     .cut = config->truncate == TPO_TRUNCATE_LEFT};
  size_t kept = 0;
  for (size_t i = 0; i < pairs->n; i++)
    if (keep(&f, &pairs->rows[i])) pairs->rows[kept++] = pairs->rows[i];
  int status = finish(&f, pairs, kept, err);
  if (filtered) *filtered = f.counts;
  return status;
}
