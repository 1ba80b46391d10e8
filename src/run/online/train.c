/* The steps of a segment: each takes the pairs of its own prompts, however many there are. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/events.h"
#include "run/online/events.h"
#include "run/online/online.h"
#include "tpo/measure.h"

enum { MOST_WITHOUT = 20 }; /* steps in a row without a pair, which end a run */

/* The pairs of a step, from *at on; borrowed. */
static struct tpo_pairs of_step(const struct tpo_pairs *pairs, int64_t step, size_t *at)
{
  struct tpo_pairs out = *pairs;
  size_t first = *at;
  while (*at < pairs->n && pairs->rows[*at].step == step + 1) ++*at;
  out.rows += first;
  out.n = out.capacity = *at - first;
  return out;
}

static int too_many_without(const struct online *o, int64_t step, struct tpo_error *err)
{
  const struct tpo_pair_statistics *s = &o->unpaired;
  return tpo_fail(
      err, TPO_E_STATE,
      "steps %lld to %lld had no preference pair to train on, and %d such steps in a row end a run: of %zu "
      "prompts %zu had equal scores only, %zu too few usable samples, %zu a score difference that "
      "pairs.margin excludes, and %zu were not judged in full; more samples (sampling.k), a larger "
      "train.batch, other instructions or a judge that tells responses apart are needed",
      (long long)step + 2 - MOST_WITHOUT, (long long)step + 1, MOST_WITHOUT, s->prompts,
      s->single_valued + s->ties, s->too_few, s->below_margin, s->unjudged);
}

/* n: the step's pairs. */
static int count_without(struct online *o, int64_t step, size_t n, struct tpo_error *err)
{
  o->without = n > 0 ? 0 : o->without + 1;
  return o->without >= MOST_WITHOUT ? too_many_without(o, step, err) : 0;
}

/* Rank 0. */
static int tell_step(struct online *o, const struct segment *s, const struct tpo_train_metrics *metrics,
                     size_t pairs, struct tpo_error *err)
{
  struct loop *loop = o->loop;
  const struct online_step step = {
      .metrics = metrics, .rho = s->facts.rho, .prompts = (size_t)loop->config->train.batch, .pairs = pairs};
  int status = loop_event(loop, "step", event_online_step(&step), err);
  loop_tell_notice(loop, &o->timing, metrics->seconds);
  return status;
}

/* Rank 0, behind the segment's last step. train: seconds. */
static int tell_segment(struct online *o, const struct segment *s, double train, struct tpo_error *err)
{
  struct tpo_sample_summary summary;
  const struct segment_facts *f = &s->facts;
  tpo_summarize(&s->samples, &summary);
  tpo_log(TPO_LOG_INFO, "step %lld of %d: %zu pairs of %zu prompts, mean score %.3f, format kept in %.0f %%",
          (long long)f->first + f->steps, o->loop->config->run.steps, s->pairs.n, f->statistics.prompts,
          summary.mean_score, 100 * summary.format_rate);
  return loop_event(o->loop, "segment", event_segment(s, &summary, train), err);
}

/* begin: of the segment's training, in this process. The last event comes with the step, so that a state of training which has the one has the other. */
static int make_step(struct online *o, const struct segment *s, const struct tpo_pairs *pairs, double begin,
                     struct tpo_error *err)
{
  struct loop *loop = o->loop;
  struct tpo_train_metrics metrics;
  int status = loop_weights_are(loop, NULL, err);
  if (status == 0) status = tpo_online_step(o->training, pairs, &metrics, err);
  if (status < 0) return status;
  if (loop->first) status = tell_step(o, s, &metrics, pairs->n, err);
  bool last = tpo_online_done(o->training) == s->facts.first + s->facts.steps;
  if (status == 0 && loop->first && last) status = tell_segment(o, s, tpo_seconds() - begin, err);
  status = loop_agree(loop, status, err);
  if (status == 0 && loop->first) tpo_online_mark(o->training, ftell(loop->metrics));
  return status;
}

/* What is written seldom, since it reads all that was told. */
static int tell_tensorboard(struct online *o, struct tpo_error *err)
{
  enum { SECONDS = 30 };
  double now = tpo_seconds();
  if (!o->loop->first || now - o->told < SECONDS) return 0;
  o->told = now;
  return loop_tensorboard(o->loop, err);
}

static void add_unpaired(struct online *o, const struct segment *s)
{
  struct tpo_pair_statistics *sum = &o->unpaired;
  const struct tpo_pair_statistics *add = &s->facts.statistics;
  if (s->pairs.n > 0) *sum = (struct tpo_pair_statistics){0};
  sum->prompts += add->prompts;
  sum->ties += add->ties;
  sum->single_valued += add->single_valued;
  sum->too_few += add->too_few;
  sum->below_margin += add->below_margin;
  sum->unjudged += add->unjudged;
}

int online_train(struct online *o, const struct segment *s, struct tpo_error *err)
{
  size_t at = 0;
  double begin = tpo_seconds();
  int status = 0;
  add_unpaired(o, s);
  for (int64_t step = s->facts.first; step < s->facts.first + s->facts.steps && status == 0; step++) {
    const struct tpo_pairs pairs = of_step(&s->pairs, step, &at);
    if (step >= tpo_online_done(o->training)) status = make_step(o, s, &pairs, begin, err);
    if (status == 0) status = count_without(o, step, pairs.n, err);
    if (status == 0) status = online_keep_reference(o, step + 1, err);
  }
  o->rho = s->facts.rho;
  return loop_agree(o->loop, status < 0 ? status : tell_tensorboard(o, err), err);
}
