/* The steps of a segment: each takes the pairs of its own prompts, however many there are. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/events.h"
#include "run/online/events.h"
#include "run/online/online.h"
#include "tpo/measure.h"

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

/* n: the step's pairs. */
static int count_without(struct online *o, int64_t step, size_t n, struct tpo_error *err)
{
  o->without = n > 0 ? 0 : o->without + 1;
  return online_check_without(o, step, err);
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
  char score[40] = "no score";
  if (summary.scored > 0) snprintf(score, sizeof score, "mean score %.3f", summary.mean_score);
  tpo_log(summary.scored > 0 ? TPO_LOG_INFO : TPO_LOG_WARN,
          "step %lld of %d: %zu pair%s of %zu prompt%s, %s, format kept in %.0f %%",
          (long long)f->first + f->steps, o->loop->config->run.steps, s->pairs.n, s->pairs.n == 1 ? "" : "s",
          f->statistics.prompts, f->statistics.prompts == 1 ? "" : "s", score, 100 * summary.format_rate);
  return loop_event(o->loop, "segment", event_segment(s, &summary, train), err);
}

/* begin: of the segment's training, in this process. The last event comes with the step, so that a state of training
 * which has the one has the other. */
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

int online_train(struct online *o, const struct segment *s, struct tpo_error *err)
{
  size_t at = 0;
  double begin = tpo_seconds();
  int status = 0;
  for (int64_t step = s->facts.first; step < s->facts.first + s->facts.steps && status == 0; step++) {
    const struct tpo_pairs pairs = of_step(&s->pairs, step, &at);
    if (step >= tpo_online_done(o->training)) status = make_step(o, s, &pairs, begin, err);
    if (status == 0) status = count_without(o, step, pairs.n, err);
    if (status == 0) status = online_keep_reference(o, step + 1, err);
  }
  o->rho = s->facts.rho;
  return loop_agree(o->loop, status < 0 ? status : tell_tensorboard(o, err), err);
}
