/* The files of an interval, from its journal, and the events that an iteration has. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "run/events.h"
#include "run/online/online.h"
#include "steps/counts.h"

/* What is added up over segments. */
struct totals {
  struct tpo_pair_statistics statistics;
  struct tpo_train_filtered filtered;
  struct tpo_generate_stats generated;
  size_t failures;
  struct tpo_buf counts; /* of the judge, a line of JSON each */
};

/* A mean over n of one and m of the other. */
static void join_means(double *mean, double n, double other, double m)
{
  if (m > 0) *mean = n > 0 ? (*mean * n + other * m) / (n + m) : other;
}

static void add_statistics(struct tpo_pair_statistics *sum, const struct tpo_pair_statistics *add)
{
  double n = (double)(sum->pairs - sum->rejected_parse_failures);
  double m = (double)(add->pairs - add->rejected_parse_failures);
  join_means(&sum->mean_chosen_length, n, add->mean_chosen_length, m);
  join_means(&sum->mean_rejected_length, n, add->mean_rejected_length, m);
  join_means(&sum->mean_chosen_tokens, n, add->mean_chosen_tokens, m);
  join_means(&sum->mean_rejected_tokens, n, add->mean_rejected_tokens, m);
  sum->prompts += add->prompts;
  sum->pairs += add->pairs;
  sum->ties += add->ties;
  sum->single_valued += add->single_valued;
  sum->too_few += add->too_few;
  sum->below_margin += add->below_margin;
  sum->unjudged += add->unjudged;
  sum->unscored += add->unscored;
  sum->no_tokens += add->no_tokens;
  sum->unjudged_tokens += add->unjudged_tokens;
  sum->parse_failures += add->parse_failures;
  sum->rejected_parse_failures += add->rejected_parse_failures;
  sum->failures_passed_over += add->failures_passed_over;
  sum->rho = add->rho; /* the last */
}

static void add_totals(struct totals *t, const struct segment *s)
{
  const struct segment_facts *f = &s->facts;
  add_statistics(&t->statistics, &f->statistics);
  t->filtered.too_long += f->filtered.too_long;
  t->filtered.no_response += f->filtered.no_response;
  t->filtered.identical += f->filtered.identical;
  t->filtered.cut += f->filtered.cut;
  t->generated.samples += f->generated.samples;
  t->generated.sampled_tokens += f->generated.sampled_tokens;
  t->generated.drawn_tokens += f->generated.drawn_tokens;
  t->generated.seconds += f->generated.seconds;
  t->failures += (size_t)f->failures;
  if (s->samples.judge_counts) tpo_buf_printf(&t->counts, "%s\n", s->samples.judge_counts);
}

static int append(struct loop *loop, const struct segment *s, struct tpo_error *err)
{
  size_t before = loop->samples.n;
  int status = 0;
  if (before + s->samples.n > INT32_MAX)
    return tpo_fail(err, TPO_E_USAGE,
                    "more than %d samples between two checkpoints: a smaller run.checkpoint_steps",
                    INT32_MAX);
  for (size_t i = 0; i < s->samples.n && status == 0; i++)
    status = tpo_samples_add(&loop->samples, &s->samples.rows[i], err);
  loop->samples.output_tokens = s->samples.output_tokens;
  for (size_t i = 0; i < s->pairs.n && status == 0; i++) {
    struct tpo_pair_row row = s->pairs.rows[i];
    row.chosen_row += (int32_t)before;
    row.rejected_row += (int32_t)before;
    status = tpo_pairs_add(&loop->pairs, &row, err);
  }
  /* The reference's name, where one model gave all of them. */
  if (status < 0 || s->pairs.n == 0) return status;
  if (loop->pairs.n == s->pairs.n)
    strcpy(loop->pairs.ref_model, s->pairs.ref_model);
  else if (strcmp(loop->pairs.ref_model, s->pairs.ref_model) != 0)
    loop->pairs.ref_model[0] = '\0';
  loop->pairs.output_tokens = s->pairs.output_tokens;
  return 0;
}

static int gather(struct online *o, struct totals *totals, struct tpo_error *err)
{
  struct loop *loop = o->loop;
  int status = 0;
  totals->statistics = (struct tpo_pair_statistics){.mean_chosen_length = NAN,
                                                    .mean_rejected_length = NAN,
                                                    .mean_chosen_tokens = NAN,
                                                    .mean_rejected_tokens = NAN};
  for (int64_t first = o->first; first < o->end && status == 0; first += loop->config->run.sync_steps) {
    struct segment s;
    int found = online_journal_get(o, first, &s, err);
    if (found == 0)
      status = tpo_fail(err, TPO_E_STATE, "iter-%03d/" ONLINE_JOURNAL " has no entry of step %lld",
                        loop->iteration, (long long)first + 1);
    else
      status = found < 0 ? found : append(loop, &s, err);
    if (status == 0) add_totals(totals, &s);
    segment_free(&s);
  }
  return status;
}

static int write_prompts(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = loop_path(loop, loop->iteration, "prompts.jsonl", path, err);
  return status < 0 ? status : tpo_instructions_write(&loop->prompts, path, err);
}

static int write_all(struct loop *loop, struct totals *t, struct tpo_error *err)
{
  int status = write_prompts(loop, err);
  loop->samples.judge_counts = counts_sum(t->counts.data ? t->counts.data : "", t->counts.len, err);
  if (status == 0 && !loop->samples.judge_counts) status = TPO_E_MEMORY;
  loop->samples.is_scored = false;
  if (status == 0) status = loop_keep_samples(loop, &t->generated, err);
  loop->samples.is_scored = true;
  if (status == 0) status = loop_keep_scores(loop, t->failures, err);
  if (status == 0) status = loop_tell_pairs(loop, &t->statistics, err);
  if (status == 0) status = loop_event(loop, "left_out", event_left_out(&t->filtered), err);
  return status < 0 ? status : loop_keep_pairs(loop, err);
}

int online_write_files(struct online *o, struct tpo_error *err)
{
  struct totals totals = {0};
  struct loop *loop = o->loop;
  int status = loop->first ? online_journal_reopen(o, err) : 0;
  if (status == 0 && loop->first) status = gather(o, &totals, err);
  if (status == 0 && loop->first) status = write_all(loop, &totals, err);
  tpo_buf_free(&totals.counts);
  return loop_agree(loop, status, err);
}
