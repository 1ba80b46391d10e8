/* A segment before it is trained on: its prompts are sampled with the weights of the moment and judged, pairs are
 * selected, and their references computed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/online/online.h"

/* Those of the iteration's prompts that the segment has, borrowed. */
static struct tpo_instructions slice(const struct online *o, const struct segment_facts *facts)
{
  size_t batch = (size_t)o->loop->config->train.batch;
  struct tpo_instructions out = {.n = (size_t)facts->steps * batch};
  out.items = o->loop->prompts.items + (size_t)(facts->first - o->first) * batch;
  return out;
}

/* Seconds since then, which is now. */
static double lap(double *since)
{
  double now = tpo_seconds(), seconds = now - *since;
  *since = now;
  return seconds;
}

static int draw(struct online *o, struct segment *out, struct early *early, struct tpo_error *err)
{
  char samples[4096], scores[4096];
  const struct loop *loop = o->loop;
  const struct tpo_instructions prompts = slice(o, &out->facts);
  struct tpo_judged_stats stats = {0};
  struct tpo_judged_options options = {.generate = {.sampling = &loop->config->sampling,
                                                    .thought = &loop->config->thought,
                                                    .iteration = (uint32_t)out->facts.first + 1,
                                                    .what = "sampling",
                                                    .journal = samples,
                                                    .drop_other = true,
                                                    .by_rows = true},
                                       .judged = early_judged,
                                       .between = early_between,
                                       .arg = early};
  int status = loop_path(loop, loop->iteration, "samples.h5" LOOP_JOURNAL, samples, err);
  if (status == 0) status = loop_keep_judgements(loop, "scored.h5", scores, &options.score, err);
  if (status == 0 && loop->first) status = online_journal_begin(o, out->facts.first, err);
  status = loop_agree(loop, status, err);
  if (status == 0)
    status =
        tpo_generate_judged(loop->session, &loop->policy, &prompts, &options, &out->samples, &stats, err);
  out->facts.generated = stats.generate;
  out->facts.failures = stats.failures;
  out->facts.sample += stats.sample_seconds;
  out->facts.judge = -stats.sample_seconds; /* of all until the pairs are selected */
  out->facts.wait = stats.wait_seconds;
  out->facts.output_tokens = out->samples.output_tokens;
  return status;
}

/* A prompt's step, by its number among the segment's. */
static int32_t step_of(const struct online *o, const struct segment *s, size_t prompt)
{
  return (int32_t)(s->facts.first + 1 + (int64_t)(prompt / (size_t)o->loop->config->train.batch));
}

/* All prompts have samples, and pairs are in the order of their prompts. */
static void number_steps(const struct online *o, struct segment *s)
{
  size_t prompt = 0, pair = 0;
  for (size_t i = 0, end; i < s->samples.n; i = end, prompt++) {
    end = tpo_samples_prompt_end(&s->samples, i);
    for (size_t row = i; row < end; row++) s->samples.rows[row].step = step_of(o, s, prompt);
    for (; pair < s->pairs.n && (size_t)s->pairs.rows[pair].chosen_row < end; pair++)
      s->pairs.rows[pair].step = step_of(o, s, prompt);
  }
}

/* That no pair is left is not an error here: the step goes without. */
static int leave_out(struct online *o, struct segment *s, struct tpo_error *err)
{
  char name[40];
  struct tpo_error why = {0};
  snprintf(name, sizeof name, "step %lld", (long long)s->facts.first + 1);
  if (s->pairs.n == 0) return 0;
  int status =
      tpo_train_filter_pairs(&s->pairs, &o->loop->config->train,
                             tpo_model_arch(o->loop->policy.model)->context, name, &s->facts.filtered, &why);
  if (status == TPO_E_INPUT && s->pairs.n == 0) {
    tpo_log(TPO_LOG_WARN, "%s", why.message);
    return 0;
  }
  return status < 0 ? tpo_fail(err, status, "%s", why.message) : 0;
}

struct tpo_pair_options online_pair_options(const struct online *o, const struct segment_facts *facts,
                                            struct tpo_pairs_config *fixed)
{
  const struct tpo_config *config = o->loop->config;
  *fixed = config->pairs;
  fixed->length_auto = false;
  fixed->length_penalty = facts->rho;
  return (struct tpo_pair_options){.config = fixed,
                                   .train_forced = config->thought.train_forced,
                                   .seed = config->seed,
                                   .iteration = (uint32_t)facts->first + 1};
}

/* On rank 0. */
static int pair(struct online *o, struct segment *s, struct tpo_error *err)
{
  struct tpo_pairs_config fixed;
  const struct tpo_pair_options options = online_pair_options(o, &s->facts, &fixed);
  int status = tpo_select_pairs(&s->pairs, &s->samples, &options, &s->facts.statistics, err);
  if (status == 0) number_steps(o, s);
  return status < 0 ? status : leave_out(o, s, err);
}

/* All are kept with the segment. */
static int keep_nothing(void *arg, size_t i, double chosen, double rejected, struct tpo_error *err)
{
  (void)arg, (void)i, (void)chosen, (void)rejected, (void)err;
  return 0;
}

static int compute_references(struct online *o, struct segment *s, const struct early *early,
                              struct tpo_error *err)
{
  struct tpo_model *model;
  /* The file of pairs names one reference or none. The first step's is told to training, which looks whether it is
   * the model that it begins with. */
  struct tpo_train_keeper keeper = {.keep = keep_nothing,
                                    .unnamed = s->facts.first > 0 && online_references_differ(o)};
  double *known = NULL;
  if (s->pairs.n == 0) return 0;
  int status = early_known(early, &s->pairs, &known, err);
  keeper.known = known;
  if (status == 0) status = online_reference_model(o, s->facts.first, &model, err);
  if (status == 0)
    status = tpo_train_reference_logprobs(model, o->loop->session->comm, &o->loop->config->train, &s->pairs,
                                          &keeper, NULL, err);
  free(known);
  loop_rest_models(o->loop, true);
  return status;
}

/* Rank 0's facts are those of all. */
static int share_facts(struct online *o, struct segment *s, struct tpo_error *err)
{
  return tpo_comm_bcast(o->loop->session->comm, &s->facts, sizeof s->facts, 0, err);
}

static int select_pairs(struct online *o, struct segment *out, struct tpo_error *err)
{
  const struct loop *loop = o->loop;
  int status = loop_agree(loop, loop->first ? pair(o, out, err) : 0, err);
  if (status == 0) status = share_facts(o, out, err);
  return status < 0 ? status : loop_share_pairs(loop, &out->pairs, err);
}

/* since: what was done last. */
static int make(struct online *o, struct segment *out, struct early *early, double since,
                struct tpo_error *err)
{
  const struct loop *loop = o->loop;
  int status = draw(o, out, early, err);
  if (status == 0) status = select_pairs(o, out, err);
  out->facts.judge = fmax(0, out->facts.judge + lap(&since));
  if (status == 0) status = compute_references(o, out, early, err);
  out->facts.reference += lap(&since);
  if (status == 0) status = loop_agree(loop, loop->first ? online_journal_put(o, out, err) : 0, err);
  if (status < 0) return status;
  loop_drop_journal(loop, "samples.h5");
  loop_drop_journal(loop, "scored.h5");
  out->facts.reference += lap(&since);
  return 0;
}

/* How its pairs are selected is known before it is sampled. */
static int begin(struct online *o, int64_t first, struct segment *out, struct tpo_error *err)
{
  const struct loop *loop = o->loop;
  int64_t left = o->end - first, most = loop->config->run.sync_steps;
  out->facts = (struct segment_facts){.first = first, .steps = (int32_t)(left < most ? left : most)};
  tpo_online_pause(o->training);
  int status = loop_agree(loop, loop->first ? online_choose_rho(o, first, &out->facts.rho, err) : 0, err);
  return status < 0 ? status : share_facts(o, out, err);
}

/* What rank 0's journal has of it, to all. */
static int recall(struct online *o, int64_t first, struct segment *out, bool *found, struct tpo_error *err)
{
  const struct loop *loop = o->loop;
  int status = loop->first ? online_journal_get(o, first, out, err) : 0;
  double has = status == 1;
  status = loop_agree(loop, status < 0 ? status : 0, err);
  if (status == 0) status = tpo_comm_allreduce_max_f64(loop->session->comm, &has, 1, err);
  *found = has > 0;
  if (status < 0 || !*found) return status;
  status = share_facts(o, out, err);
  return status < 0 ? status : loop_share_pairs(loop, &out->pairs, err);
}

/* What was trained on can't be sampled again: the weights that drew it are gone. */
static int check_untrained(const struct online *o, int64_t first, struct tpo_error *err)
{
  int64_t done = tpo_online_done(o->training);
  if (done <= first) return 0;
  return tpo_fail(err, TPO_E_STATE,
                  "%s/iter-%03d/" ONLINE_JOURNAL
                  " has no samples of step %lld (or they are damaged), which was "
                  "trained on: training has done %lld steps; the run can't go on without them",
                  o->loop->config->run.dir, o->loop->iteration, (long long)first + 1, (long long)done);
}

int online_segment(struct online *o, int64_t first, struct segment *out, struct tpo_error *err)
{
  struct early early = {0};
  bool found = false;
  double since = tpo_seconds();
  *out = (struct segment){0};
  int status = recall(o, first, out, &found, err);
  if (status < 0 || found) return status;
  status = loop_agree(o->loop, check_untrained(o, first, err), err);
  if (status == 0) status = begin(o, first, out, err);
  out->facts.sample = lap(&since);
  if (status == 0) status = early_open(&early, o, &out->facts, err);
  out->facts.reference = lap(&since);
  if (status == 0) status = make(o, out, &early, since, err);
  early_close(&early);
  return status;
}
