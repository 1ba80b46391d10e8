/* Steps that no pair was there for: how many in a row end a run, and why they had none. That is asked of their samples
 * once they are too many, so that what earlier attempts and earlier intervals made of them counts, too. */
#include "run/online/online.h"
#include "tpo/measure.h"
#include "train/limit.h"

enum { MOST_WITHOUT = 20 }; /* steps in a row */

struct reasons {
  int64_t first, end; /* of these steps */
  struct tpo_pair_statistics of;
  size_t left_out,
      too_long; /* pairs that were there, but not to be trained on; of them, those for their length */
  struct pair_limit limit;
};

static bool is_too_long(const struct reasons *r, const struct tpo_pair_row *row, bool cut)
{
  return cut ? !pair_can_be_cut(r->limit, row) : !pair_fits(r->limit, row);
}

static void add(struct reasons *r, const struct tpo_pair_statistics *more, const struct tpo_pairs *pairs,
                bool cut)
{
  r->of.prompts += more->prompts;
  r->of.ties += more->ties;
  r->of.single_valued += more->single_valued;
  r->of.too_few += more->too_few;
  r->of.below_margin += more->below_margin;
  r->of.unjudged += more->unjudged;
  r->of.failures_passed_over += more->failures_passed_over;
  r->left_out += pairs->n;
  for (size_t i = 0; i < pairs->n; i++) r->too_long += is_too_long(r, &pairs->rows[i], cut);
}

/* The steps' part of a set of samples, which is in the order of steps. */
static int add_samples(struct online *o, const struct tpo_samples *samples, const struct segment_facts *facts,
                       struct reasons *r, struct tpo_error *err)
{
  struct tpo_pairs_config fixed;
  const struct tpo_pair_options options = online_pair_options(o, facts, &fixed);
  struct tpo_samples part = *samples;
  struct tpo_pairs pairs = {0};
  struct tpo_pair_statistics statistics;
  while (part.n > 0 && part.rows->step <= r->first) part.rows++, part.n--;
  while (part.n > 0 && part.rows[part.n - 1].step > r->end) part.n--;
  if (part.n == 0) return 0;
  int status = tpo_select_pairs(&pairs, &part, &options, &statistics, err);
  if (status == 0) add(r, &statistics, &pairs, o->loop->config->train.truncate == TPO_TRUNCATE_LEFT);
  tpo_pairs_free(&pairs);
  return status;
}

/* Of an interval before this one, of which the length penalty is known at its end alone. */
static int add_interval(struct online *o, int iteration, struct reasons *r, struct tpo_error *err)
{
  char path[4096];
  struct tpo_samples samples = {0};
  const struct segment_facts facts = {.first = r->first, .rho = o->rho};
  int status = loop_path(o->loop, iteration, "scored.h5", path, err);
  if (status == 0) status = tpo_samples_read(&samples, path, err);
  if (status == 0) status = add_samples(o, &samples, &facts, r, err);
  tpo_samples_free(&samples);
  return status;
}

static int add_segment(struct online *o, int64_t first, struct reasons *r, struct tpo_error *err)
{
  struct segment s;
  int found = online_journal_get(o, first, &s, err);
  int status = found == 1 ? add_samples(o, &s.samples, &s.facts, r, err) : found;
  segment_free(&s);
  return status;
}

static int gather(struct online *o, struct reasons *r, struct tpo_error *err)
{
  const struct tpo_run_config *run = &o->loop->config->run;
  int status = online_journal_reopen(o, err);
  for (int i = (int)(r->first / tpo_run_interval(run)) + 1; i < o->loop->iteration && status == 0; i++)
    status = add_interval(o, i, r, err);
  for (int64_t first = o->first; first < r->end && status == 0; first += run->sync_steps)
    status = add_segment(o, first, r, err);
  return status;
}

static const char *remedy(const struct reasons *r)
{
  if (2 * r->too_long <= r->of.prompts)
    return "more samples (sampling.k), a larger train.batch, other instructions or a judge that tells "
           "responses apart are needed";
  return r->limit.by_key ? "a larger train.max_pair_tokens or a smaller sampling.max_tokens is needed"
                         : "shorter instructions or a smaller sampling.max_tokens are needed";
}

/* What only some runs have a word of. */
static void tell_more(const struct reasons *r, char out[300])
{
  int used = 0;
  *out = '\0';
  if (r->left_out > 0)
    used = snprintf(out, 300,
                    ", %zu had a pair that can't be trained on, %zu of these longer than %s, %d tokens",
                    r->left_out, r->too_long, pair_limit_name(r->limit), r->limit.most);
  if (r->of.failures_passed_over > 0)
    snprintf(out + used, 300 - (size_t)used, ", of %zu pairs.max_failure_share left out what doesn't parse",
             r->of.failures_passed_over);
}

static int tell(const struct reasons *r, bool all, struct tpo_error *err)
{
  const struct tpo_pair_statistics *s = &r->of;
  char row[60], more[300];
  snprintf(row, sizeof row, "%d such steps in a row end a run", MOST_WITHOUT);
  tell_more(r, more);
  return tpo_fail(
      err, TPO_E_STATE,
      "steps %lld to %lld had no preference pair to train on, and %s: of their %zu prompts %zu had equal scores "
      "only, %zu too few usable samples, %zu a score difference that pairs.margin excludes, %zu were not judged "
      "in full%s; %s",
      (long long)r->first + 1, (long long)r->end, all ? "the run has no others" : row, s->prompts,
      s->single_valued + s->ties, s->too_few, s->below_margin, s->unjudged, more, remedy(r));
}

int online_check_without(struct online *o, int64_t step, struct tpo_error *err)
{
  struct loop *loop = o->loop;
  bool all = o->without == loop->config->run.steps;
  struct reasons r = {.first = step + 1 - o->without, .end = step + 1};
  if (o->without < MOST_WITHOUT && !all) return 0;
  if (!loop->first) return tpo_fail(err, TPO_E_STATE, "no preference pair to train on");
  r.limit = pair_limit_of(&loop->config->train, tpo_model_arch(loop->policy.model)->context);
  int status = gather(o, &r, err);
  return status < 0 ? status : tell(&r, all && o->without < MOST_WITHOUT, err);
}
