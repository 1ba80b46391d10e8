/* The steps of an iteration. Each takes what the ones before it made, and writes files of its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "measure/dynamics.h"
#include "run/events.h"
#include "run/group_events.h"
#include "run/loop.h"
#include "tpo/judge.h"
#include "tpo/pairs.h"
#include "tpo/report.h"
#include "tpo/text.h"
#include "tpo/train.h"

int loop_agree(const struct loop *loop, int status, struct tpo_error *err)
{
  return tpo_comm_agree(loop->session->comm, status, err);
}

int step_prompts(struct loop *loop, struct tpo_error *err)
{
  if (!loop->first) return 0;
  char path[4096];
  int status = loop_choose_instructions(loop, &loop->prompts, err);
  if (status == 0) status = loop_path(loop, loop->iteration, "prompts.jsonl", path, err);
  return status < 0 ? status : tpo_instructions_write(&loop->prompts, path, err);
}

static struct parse_counts count_parsed(const struct tpo_samples *samples,
                                        const struct tpo_thought_config *thought)
{
  struct parse_counts counts = {0};
  for (size_t i = 0; i < samples->n; i++) {
    const char *text = samples->rows[i].text;
    counts.strict += tpo_thought_parses(thought, TPO_PARSE_STRICT, text, strlen(text));
    counts.search += tpo_thought_parses(thought, TPO_PARSE_SEARCH, text, strlen(text));
  }
  return counts;
}

int loop_keep_samples(struct loop *loop, const struct tpo_generate_stats *stats, struct tpo_error *err)
{
  char path[4096], name[LOOP_PLACE];
  struct tpo_sample_summary summary;
  struct sample_dynamics dynamics;
  struct tpo_samples *samples = &loop->samples;
  tpo_summarize(samples, &summary);
  samples->config = strdup(loop->config_yaml);
  int status = loop_path(loop, loop->iteration, "samples.h5", path, err);
  if (status == 0) status = tpo_samples_write(samples, path, err);
  if (status == 0) status = sample_dynamics(samples, 0, &dynamics, err);
  const struct parse_counts parsed = count_parsed(samples, &loop->config->thought);
  if (status == 0)
    status = loop_event(loop, "sample", event_sample(&summary, &dynamics, &parsed, stats), err);
  if (status == 0) status = loop_tell_thoughts(loop, samples, "sample", err);
  if (status == 0)
    tpo_log(TPO_LOG_INFO, "%s: %zu sample%s of %zu prompt%s, %.0f tokens/s, format kept in %.0f %%",
            loop_stretch_name(loop, name), samples->n, samples->n == 1 ? "" : "s", summary.prompts,
            summary.prompts == 1 ? "" : "s", stats->seconds > 0 ? stats->drawn_tokens / stats->seconds : 0,
            100 * summary.format_rate);
  return status;
}

int step_sample(struct loop *loop, struct tpo_error *err)
{
  char journal[4096];
  struct tpo_generate_stats stats = {0};
  const struct tpo_generate_options options = {.sampling = &loop->config->sampling,
                                               .thought = &loop->config->thought,
                                               .iteration = (uint32_t)loop->iteration,
                                               .what = "sampling",
                                               .journal = journal,
                                               .drop_other = true};
  int status = loop_path(loop, loop->iteration, "samples.h5" LOOP_JOURNAL, journal, err);
  if (status == 0) status = loop_have_prompts(loop, err);
  if (status == 0) status = loop_use_policy(loop, loop->iteration, err);
  if (status == 0)
    status =
        tpo_generate(loop->session, &loop->policy, &loop->prompts, &options, &loop->samples, &stats, err);
  tpo_instructions_free(&loop->prompts);
  if (status == 0 && loop->first) status = loop_keep_samples(loop, &stats, err);
  return loop_agree(loop, status, err);
}

int loop_keep_scores(struct loop *loop, size_t failures, struct tpo_error *err)
{
  char path[4096], name[LOOP_PLACE];
  double unparsed;
  struct tpo_sample_summary s;
  struct sample_dynamics dynamics;
  const struct tpo_samples *samples = &loop->samples;
  tpo_summarize(samples, &s);
  int status = loop_path(loop, loop->iteration, "scored.h5", path, err);
  if (status == 0) status = tpo_samples_write(samples, path, err);
  if (status == 0) status = loop_unparsed(loop, &unparsed, err);
  if (status == 0) status = sample_dynamics(samples, unparsed, &dynamics, err);
  if (status == 0)
    status = loop_event(loop, "judge", event_judge(&s, &dynamics, failures, samples->judge_counts), err);
  if (status == 0) status = loop_tell_judged_groups(loop, unparsed, err);
  if (status == 0 && failures)
    tpo_log(TPO_LOG_WARN, "%s: the judge failed on %zu responses; their %zu of %zu prompts are left out",
            loop_stretch_name(loop, name), failures, dynamics.unjudged, s.prompts);
  if (status == 0 && s.scored > 0)
    tpo_log(TPO_LOG_INFO, "%s: mean score %.3f (best of a prompt %.3f, worst %.3f)",
            loop_stretch_name(loop, name), s.mean_score, s.best_score, s.worst_score);
  if (status == 0 && s.scored == 0)
    tpo_log(TPO_LOG_WARN, "%s: none of the %zu outputs has a score", loop_stretch_name(loop, name),
            s.samples);
  return status;
}

int loop_keep_judgements(const struct loop *loop, const char *name, char journal[4096],
                         struct tpo_score_options *options, struct tpo_error *err)
{
  char file[64];
  snprintf(file, sizeof file, "%s" LOOP_JOURNAL, name);
  *options = (struct tpo_score_options){.journal = journal, .drop_other = true};
  return loop_path(loop, loop->iteration, file, journal, err);
}

int step_judge(struct loop *loop, struct tpo_error *err)
{
  char journal[4096];
  size_t failures = 0;
  struct tpo_score_options options;
  int status = loop_keep_judgements(loop, "scored.h5", journal, &options, err);
  if (status == 0) status = loop_have_samples(loop, "samples.h5", err);
  if (status == 0) status = tpo_score_samples(loop->session, &loop->samples, &options, &failures, err);
  if (status == 0 && loop->first) status = loop_keep_scores(loop, failures, err);
  return loop_agree(loop, status, err);
}

static int no_pair(const struct loop *loop, const struct tpo_pair_statistics *s, struct tpo_error *err)
{
  return tpo_fail(
      err, TPO_E_STATE,
      "iteration %d gave no preference pair: of %zu prompts %zu had equal scores only, "
      "%zu too few usable samples, %zu a score difference that pairs.margin excludes, "
      "and %zu were not judged in full; of %zu the samples that don't parse were left out because of "
      "pairs.max_failure_share; more samples (sampling.k), "
      "other instructions or a judge that fails less often are needed",
      loop->iteration, s->prompts, s->single_valued + s->ties, s->too_few, s->below_margin, s->unjudged,
      s->failures_passed_over);
}

int loop_tell_pairs(struct loop *loop, const struct tpo_pair_statistics *statistics, struct tpo_error *err)
{
  char name[LOOP_PLACE];
  struct length_difference difference;
  struct tpo_pairs *pairs = &loop->pairs;
  pairs->statistics = tpo_pair_statistics_json(statistics);
  pairs->config = strdup(loop->config_yaml);
  int status = length_difference(&loop->samples, pairs, &difference, err);
  if (status == 0) status = loop_event(loop, "pairs", event_pairs(statistics, &difference), err);
  tpo_log(TPO_LOG_INFO,
          "%s: %zu pair%s of %zu prompt%s, rho %.2f, %zu with a rejected output that does not parse",
          loop_stretch_name(loop, name), statistics->pairs, statistics->pairs == 1 ? "" : "s",
          statistics->prompts, statistics->prompts == 1 ? "" : "s", statistics->rho,
          statistics->rejected_parse_failures);
  if (statistics->failures_passed_over > 0)
    tpo_log(
        TPO_LOG_INFO,
        "%s: of %zu prompts the outputs that do not parse were left out because of pairs.max_failure_share",
        loop_stretch_name(loop, name), statistics->failures_passed_over);
  return status;
}

/* Selection, on rank 0. */
static int select_pairs(struct loop *loop, struct tpo_error *err)
{
  struct tpo_pair_statistics statistics = {0};
  struct tpo_pairs *pairs = &loop->pairs;
  const struct tpo_pair_options options = {.config = &loop->config->pairs,
                                           .train_forced = loop->config->thought.train_forced,
                                           .seed = loop->config->seed,
                                           .iteration = (uint32_t)loop->iteration};
  int status = tpo_select_pairs(pairs, &loop->samples, &options, &statistics, err);
  if (status == 0 && pairs->n == 0) status = no_pair(loop, &statistics, err);
  return status < 0 ? status : loop_tell_pairs(loop, &statistics, err);
}

/* Of the pairs that can be trained on. */
static int reference_logprobs(struct loop *loop, struct tpo_error *err)
{
  char path[4096], journal[4096];
  struct tpo_model *model;
  bool previous = loop->config->run.reference == TPO_REFERENCE_PREVIOUS;
  struct tpo_pairs *pairs = &loop->pairs;
  char name[40];
  struct tpo_train_filtered filtered;
  int status = loop_policy_path(loop, previous ? loop->iteration : 1, path, err);
  if (status == 0) status = loop_path(loop, loop->iteration, "pairs.h5" LOOP_JOURNAL, journal, err);
  if (status == 0) status = loop_use_policy(loop, loop->iteration, err);
  if (status == 0) status = loop_reference_model(loop, path, &model, err);
  if (status < 0) return status;
  snprintf(name, sizeof name, "iteration %d", loop->iteration);
  status = tpo_train_filter_pairs(pairs, &loop->config->train, tpo_model_arch(model)->context, name,
                                  &filtered, err);
  if (status == 0) status = loop_event(loop, "left_out", event_left_out(&filtered), err);
  status = loop_agree(loop, status, err);
  if (status == 0)
    status = tpo_reference_logprobs(loop->session, model, pairs, journal, loop->allow_changes, err);
  return status;
}

int loop_keep_pairs(const struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = loop_path(loop, loop->iteration, "pairs.h5", path, err);
  return status < 0 ? status : tpo_pairs_write(&loop->pairs, path, err);
}

int step_pairs(struct loop *loop, struct tpo_error *err)
{
  struct tpo_samples outputs = {0};
  int status = loop_have_samples(loop, "scored.h5", err);
  if (status == 0) status = loop_agree(loop, loop->first ? select_pairs(loop, err) : 0, err);
  if (status == 0) status = loop_choose_outputs(loop, &outputs, err);
  tpo_samples_free(&loop->samples);
  if (status == 0) status = loop_share_pairs(loop, &loop->pairs, err);
  if (status == 0) status = reference_logprobs(loop, err);
  if (status == 0) status = loop_agree(loop, loop->first ? loop_keep_pairs(loop, err) : 0, err);
  if (status == 0) status = loop_measure_distances(loop, &outputs, err);
  loop_rest_models(loop, loop->iteration < tpo_run_iterations(&loop->config->run));
  tpo_samples_free(&outputs);
  return status;
}

int loop_tensorboard(const struct loop *loop, struct tpo_error *err)
{
  const struct tpo_run_config *run = &loop->config->run;
  return loop->first && run->tensorboard ? tpo_tensorboard_write(run->dir, err) : 0;
}

static int validate_epoch(struct loop *loop, int epoch, double *score, struct tpo_error *err)
{
  struct tpo_samples samples = {0};
  struct tpo_redraw_counts counts;
  int status = loop_sample_validation(loop, &samples, &counts, err);
  double value = 0;
  if (status == 0 && loop->first) status = loop_validation_score(loop, &samples, &value, err);
  tpo_samples_free(&samples);
  status = loop_agree(loop, status, err);
  if (status == 0) status = tpo_comm_bcast(loop->session->comm, &value, sizeof value, 0, err);
  if (status < 0) return status;
  *score = value;
  if (loop->first) tpo_log(TPO_LOG_INFO, "iteration %d: epoch %d scores %.3f", loop->iteration, epoch, value);
  return loop_event(loop, "epoch", event_epoch(epoch, value, &counts), err);
}

/* The steps of an epoch, from 1, and what tells whether its weights are to be kept. */
static int train_epoch(struct loop *loop, struct tpo_dpo *dpo, int epoch, struct tpo_error *err)
{
  struct tpo_train_metrics metrics;
  double score = NAN;
  int status;
  while ((status = tpo_dpo_step(dpo, &metrics, err)) == 1) {
    status = loop_agree(loop, loop_event(loop, "step", event_step(&metrics), err), err);
    if (status < 0) break;
    if (loop->first) tpo_dpo_mark(dpo, ftell(loop->metrics));
    if (loop->first) loop_tell_notice(loop, tpo_dpo_progress(dpo), metrics.seconds);
  }
  bool more = loop->config->train.epochs > 1; /* than one: its end is the step's own */
  if (status == 0 && more && loop->config->run.validate_each_epoch)
    status = validate_epoch(loop, epoch, &score, err);
  if (status == 0 && more) status = loop_tensorboard(loop, err);
  status = loop_agree(loop, status, err);
  if (status < 0) return status;
  status = tpo_dpo_end_epoch(dpo, score, loop->first ? ftell(loop->metrics) : -1, err);
  if (status == 0 && loop->first) loop_tell_notice(loop, tpo_dpo_progress(dpo), 0);
  if (status == 0) loop_drop_journal(loop, "validation.h5");
  return status;
}

/* Events of epochs that training does not go on from are cut off. */
static int train_epochs(struct loop *loop, struct tpo_dpo *dpo, struct tpo_error *err)
{
  const struct tpo_dpo_progress *progress = tpo_dpo_progress(dpo);
  int status = 0;
  if (loop->first)
    status = loop_cut_metrics(
        loop, progress->mark < 0 ? manifest_metrics_size(&loop->manifest) : progress->mark, err);
  status = loop_agree(loop, status, err);
  while (status == 0 && progress->epochs_done < loop->config->train.epochs)
    status = train_epoch(loop, dpo, progress->epochs_done + 1, err);
  if (status < 0) status = tpo_dpo_stop(dpo, status, err);
  if (loop->first) loop_tell_notice(loop, progress, 0);
  if (status == 0) status = tpo_dpo_finish(dpo, err);
  if (status < 0 || !loop->first) return status;
  if (loop->config->train.epochs > 1)
    status = loop_event(loop, "selected", json_pack("{s:i}", "epoch", progress->best_epoch), err);
  tpo_log(TPO_LOG_INFO, "iteration %d: %lld steps, loss %.4f to %.4f", loop->iteration,
          (long long)progress->steps, progress->first_loss, progress->last_loss);
  return status;
}

/* The weights that training leaves in place are those of its checkpoint, unless an earlier epoch's are the best or
 * nothing was left to train. */
static bool leaves_best(const struct tpo_dpo *dpo, int epochs_before, int epochs)
{
  return epochs_before < epochs && tpo_dpo_progress(dpo)->best_epoch == epochs;
}

int step_dpo(struct loop *loop, struct tpo_error *err)
{
  char out[4096], journal[4096];
  struct tpo_dpo *dpo = NULL;
  bool in_place = false;
  const struct tpo_dpo_options options = {
      .out = out, .journal = journal, .drop_others = loop->allow_changes, .config_yaml = loop->config_yaml};
  int status = loop_path(loop, loop->iteration, "checkpoint.h5", out, err);
  if (status == 0) status = loop_path(loop, loop->iteration, "checkpoint.h5" LOOP_JOURNAL, journal, err);
  if (status == 0) status = loop_have_pairs(loop, err);
  if (status == 0) status = loop_use_policy(loop, loop->iteration, err);
  if (status == 0) status = tpo_dpo_open(&dpo, loop->session, &loop->policy, &loop->pairs, &options, err);
  if (status == 0) {
    int before = tpo_dpo_progress(dpo)->epochs_done;
    status = loop_agree(loop, train_epochs(loop, dpo, err), err);
    in_place = leaves_best(dpo, before, loop->config->train.epochs);
  }
  tpo_dpo_close(dpo);
  if (status == 0) status = loop_weights_are(loop, in_place ? out : NULL, err);
  tpo_pairs_free(&loop->pairs);
  return loop_agree(loop, status, err);
}
