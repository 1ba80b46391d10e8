/* Validation: held-back instructions, the same ones with the same keys each time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "measure/dynamics.h"
#include "run/events.h"
#include "run/group_events.h"
#include "run/loop.h"
#include "tpo/judge.h"

/* A judge that only compares tells how often the responses win against the start model's, which has half by
 * definition. */
static int score_validation(struct loop *loop, struct tpo_samples *samples, struct tpo_error *err)
{
  char journal[4096];
  size_t failures = 0;
  struct tpo_score_options options;
  const struct tpo_samples *start = NULL;
  int status = loop_keep_judgements(loop, "validation.h5" LOOP_JUDGED, journal, &options, err);
  if (status < 0) return status;
  if (!tpo_judge_compares(&loop->config->judge))
    return tpo_score_samples(loop->session, samples, &options, &failures, err);
  if (loop->iteration == 0) { /* this is the start model */
    for (size_t i = 0; i < samples->n; i++) {
      samples->rows[i].scored = true;
      samples->rows[i].score = 0.5;
    }
    samples->is_scored = true;
    return 0;
  }
  status = loop_agree(loop, loop->first ? loop_validated(loop, 0, &start, err) : 0, err);
  return status < 0 ? status : tpo_score_versus(loop->session, samples, start, &options, &failures, err);
}

int loop_validated(struct loop *loop, int iteration, const struct tpo_samples **out, struct tpo_error *err)
{
  char path[4096];
  struct validated *of = iteration == 0 ? &loop->start : &loop->last;
  int status = 0;
  if (of->samples.n == 0 || of->iteration != iteration) {
    tpo_samples_free(&of->samples);
    of->iteration = iteration;
    status = loop_path(loop, iteration, "validation.h5", path, err);
    if (status == 0) status = tpo_samples_read(&of->samples, path, err);
  }
  *out = &of->samples;
  return status;
}

int loop_sample_validation(struct loop *loop, struct tpo_samples *samples, struct tpo_redraw_counts *counts,
                           struct tpo_error *err)
{
  char journal[4096];
  const struct tpo_instructions *set = &loop->validation;
  struct tpo_generate_stats stats = {0};
  const struct tpo_run_config *run = &loop->config->run;
  struct tpo_sampling_config sampling = loop->config->sampling;
  sampling.k = run->validation_k;
  sampling.temperature = run->validation_temperature;
  struct tpo_generate_options options = {.sampling = &sampling,
                                         .thought = &loop->config->thought,
                                         .what = "validating",
                                         .journal = journal,
                                         .drop_other = true};
  int status = loop_path(loop, loop->iteration, "validation.h5" LOOP_JOURNAL, journal, err);
  if (status == 0) status = loop_have_validation(loop, err);
  if (status == 0) status = tpo_generate(loop->session, &loop->policy, set, &options, samples, &stats, err);
  if (status == 0)
    status = tpo_redraw(loop->session, &loop->policy, set, &options, run->validation_resample,
                        loop->config->sampling.temperature, samples, counts, err);
  if (status == 0) status = score_validation(loop, samples, err);
  return loop_agree(loop, status, err);
}

int loop_unparsed(struct loop *loop, double *score, struct tpo_error *err)
{
  char path[4096];
  const struct tpo_samples none = {0}, *start = &none;
  bool compares = tpo_judge_compares(&loop->config->judge);
  int status = 0;
  if (!loop->unparsed_known) {
    loop->unparsed = compares ? 0 : loop->config->judge.empty_score;
    status = loop_path(loop, 0, "validation.h5", path, err);
    if (status == 0 && !compares && (loop->start.samples.n > 0 || tpo_file_exists(path)))
      status = loop_validated(loop, 0, &start, err);
    if (status == 0) loop->unparsed = fmin(loop->unparsed, lowest_score(start));
    loop->unparsed_known = status == 0;
  }
  *score = loop->unparsed;
  return status;
}

int loop_validation_score(struct loop *loop, const struct tpo_samples *samples, double *score,
                          struct tpo_error *err)
{
  struct sample_dynamics dynamics;
  double unparsed;
  int status = loop_unparsed(loop, &unparsed, err);
  if (status == 0) status = sample_dynamics(samples, unparsed, &dynamics, err);
  if (status < 0) return status;
  char name[LOOP_PLACE];
  *score = dynamics.mean_score;
  if (isnan(*score))
    status = tpo_fail(err, TPO_E_STATE, "%s: the judge %s failed on every validation instruction",
                      loop_stretch_name(loop, name), loop->config->judge.kind);
  return status;
}

/* The validation instructions, once a run, before anything is trained. */
static int write_validation_prompts(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = loop_path(loop, -1, "prompts", path, err);
  if (status == 0) status = tpo_make_dirs(path, err);
  if (status == 0) status = loop_path(loop, -1, "prompts/validation.jsonl", path, err);
  if (status == 0) status = loop_choose_instructions(loop, &loop->validation, err);
  return status < 0 ? status : tpo_instructions_write(&loop->validation, path, err);
}

static void tell_score(const struct loop *loop, double score, double difference, double se)
{
  char name[LOOP_PLACE], against[80] = "";
  loop_model_name(loop, loop->iteration, name);
  if (loop->iteration > 0 && isfinite(se))
    snprintf(against, sizeof against, " (%+.3f ± %.3f against the start)", difference, se);
  else if (loop->iteration > 0 && isfinite(difference))
    snprintf(against, sizeof against, " (%+.3f against the start, by one instruction)", difference);
  if (isfinite(score))
    tpo_log(TPO_LOG_INFO, "%s: validation score %.3f%s", name, score, against);
  else
    tpo_log(TPO_LOG_WARN, "%s: no validation score, since the judge failed on every instruction", name);
}

static int validation_event(struct loop *loop, const struct tpo_samples *samples,
                            const struct tpo_redraw_counts *counts, struct tpo_error *err)
{
  const struct tpo_samples *before = NULL;
  struct tpo_sample_summary s;
  struct sample_dynamics dynamics;
  double unparsed, difference, se, mean_before, mean_now;
  int status = loop_unparsed(loop, &unparsed, err);
  if (status == 0) status = sample_dynamics(samples, unparsed, &dynamics, err);
  if (status == 0) status = loop_validated(loop, 0, &before, err);
  if (status < 0) return status;
  tpo_summarize(samples, &s);
  tpo_paired_difference(before, samples, unparsed, &difference, &se, &mean_before, &mean_now);
  tell_score(loop, dynamics.mean_score, difference, se);
  if (s.failures)
    tpo_log(TPO_LOG_WARN, "the judge failed on %zu validation responses; their %zu instructions are left out",
            s.failures, dynamics.unjudged);
  status = loop_event(
      loop, "validate",
      event_validation(&s, &dynamics, difference, se, unparsed, counts, samples->judge_counts), err);
  if (status == 0) status = loop_tell_validated_groups(loop, samples, before, unparsed, err);
  return status < 0 ? status : loop_tell_thoughts(loop, samples, "validate", err);
}

/* To the file, and into the metrics. Rank 0. */
static int keep_validation(struct loop *loop, struct tpo_samples *samples,
                           const struct tpo_redraw_counts *counts, struct tpo_error *err)
{
  char path[4096];
  samples->config = strdup(loop->config_yaml);
  int status = loop_path(loop, loop->iteration, "validation.h5", path, err);
  if (status == 0) status = tpo_samples_write(samples, path, err);
  return status < 0 ? status : validation_event(loop, samples, counts, err);
}

int step_validate(struct loop *loop, struct tpo_error *err)
{
  struct validated now = {.iteration = loop->iteration};
  struct validated *kept = loop->iteration == 0 ? &loop->start : &now;
  struct tpo_redraw_counts counts;
  int status = loop->iteration == 0 && loop->first ? write_validation_prompts(loop, err) : 0;
  status = loop_agree(loop, status, err);
  if (status == 0) status = loop_use_policy(loop, loop->iteration + 1, err);
  if (status == 0) status = loop_sample_validation(loop, &kept->samples, &counts, err);
  if (status == 0 && loop->first) status = keep_validation(loop, &kept->samples, &counts, err);
  status = loop_agree(loop, status, err);
  if (status == 0) status = loop_win_rates(loop, &kept->samples, err);
  if (loop->iteration > 0) { /* the one before has been compared with */
    tpo_samples_free(&loop->last.samples);
    loop->last = now;
  }
  return loop_agree(loop, status, err);
}
