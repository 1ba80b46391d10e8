/* Validation: held-back instructions, the same ones with the same keys each time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "measure/dynamics.h"
#include "run/events.h"
#include "run/loop.h"
#include "tpo/judge.h"

/* A judge that only compares tells how often the responses win against the start model's, which has half by
 * definition. */
static int score_validation(struct loop *loop, struct tpo_samples *samples, struct tpo_error *err)
{
  char path[4096];
  size_t failures = 0;
  struct tpo_samples start = {0};
  if (!tpo_judge_compares(&loop->config->judge))
    return tpo_judge_samples(loop->session, samples, &failures, err);
  if (loop->iteration == 0) { /* this is the start model */
    for (size_t i = 0; i < samples->n; i++) {
      samples->rows[i].scored = true;
      samples->rows[i].score = 0.5;
    }
    samples->is_scored = true;
    return 0;
  }
  int status = loop->first ? loop_path(loop, 0, "validation.h5", path, err) : 0;
  if (status == 0 && loop->first) status = tpo_samples_read(&start, path, err);
  status = loop_agree(loop, status, err);
  if (status == 0) status = tpo_judge_versus(loop->session, samples, &start, &failures, err);
  tpo_samples_free(&start);
  return status;
}

int loop_sample_validation(struct loop *loop, struct tpo_samples *samples, struct tpo_redraw_counts *counts,
                           struct tpo_error *err)
{
  char path[4096];
  struct tpo_instructions set = {0};
  struct tpo_generate_stats stats = {0};
  const struct tpo_run_config *run = &loop->config->run;
  struct tpo_sampling_config sampling = loop->config->sampling;
  sampling.k = run->validation_k;
  sampling.temperature = run->validation_temperature;
  struct tpo_generate_options options = {
      .sampling = &sampling, .thought = &loop->config->thought, .what = "validating"};
  int status = loop_path(loop, -1, "prompts/validation.jsonl", path, err);
  if (status == 0) status = tpo_instructions_read(&set, path, err);
  status = loop_agree(loop, status, err);
  if (status == 0) status = tpo_generate(loop->session, &loop->policy, &set, &options, samples, &stats, err);
  if (status == 0)
    status = tpo_redraw(loop->session, &loop->policy, &set, &options, run->validation_resample,
                        loop->config->sampling.temperature, samples, counts, err);
  if (status == 0) status = score_validation(loop, samples, err);
  tpo_instructions_free(&set);
  return loop_agree(loop, status, err);
}

int loop_unparsed(struct loop *loop, bool raw, double *score, struct tpo_error *err)
{
  char path[4096];
  struct tpo_samples start = {0};
  bool compares = tpo_judge_compares(&loop->config->judge);
  int status = 0;
  if (!loop->unparsed_known) {
    loop->unparsed[0] = loop->unparsed[1] = compares ? 0 : loop->config->judge.empty_score;
    status = loop_path(loop, 0, "validation.h5", path, err);
    if (status == 0 && !compares && tpo_file_exists(path)) status = tpo_samples_read(&start, path, err);
    for (int of = 0; of < 2 && status == 0; of++)
      loop->unparsed[of] = fmin(loop->unparsed[of], lowest_score(&start, of));
    tpo_samples_free(&start);
    loop->unparsed_known = status == 0;
  }
  *score = loop->unparsed[raw];
  return status;
}

int loop_validation_score(struct loop *loop, const struct tpo_samples *samples, double *score,
                          struct tpo_error *err)
{
  struct sample_dynamics dynamics;
  double unparsed;
  int status = loop_unparsed(loop, false, &unparsed, err);
  if (status == 0) status = sample_dynamics(samples, unparsed, &dynamics, err);
  if (status < 0) return status;
  *score = dynamics.mean_score;
  if (isnan(*score))
    status = tpo_fail(err, TPO_E_STATE, "iteration %d: the judge %s failed on every validation instruction",
                      loop->iteration, loop->config->judge.kind);
  return status;
}

/* The validation instructions, once a run, before anything is trained. */
static int write_validation_prompts(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  struct tpo_instructions set = {0};
  int status = loop_path(loop, -1, "prompts", path, err);
  if (status == 0) status = tpo_make_dirs(path, err);
  if (status == 0) status = loop_path(loop, -1, "prompts/validation.jsonl", path, err);
  if (status == 0) status = loop_choose_instructions(loop, &set, err);
  if (status == 0) status = tpo_instructions_write(&set, path, err);
  tpo_instructions_free(&set);
  return status;
}

static int validation_event(struct loop *loop, const struct tpo_samples *samples,
                            const struct tpo_redraw_counts *counts, struct tpo_error *err)
{
  char path[4096];
  struct tpo_samples before = {0};
  struct tpo_sample_summary s;
  struct sample_dynamics dynamics;
  double unparsed, difference, se, mean_before, mean_now;
  int status = loop_path(loop, 0, "validation.h5", path, err);
  if (status == 0) status = loop_unparsed(loop, false, &unparsed, err);
  if (status == 0) status = sample_dynamics(samples, unparsed, &dynamics, err);
  if (status == 0) status = tpo_samples_read(&before, path, err);
  if (status < 0) return status;
  tpo_summarize(samples, &s);
  tpo_paired_difference(&before, samples, unparsed, &difference, &se, &mean_before, &mean_now);
  tpo_samples_free(&before);
  if (loop->iteration == 0)
    tpo_log(TPO_LOG_INFO, "start model: validation score %.3f", dynamics.mean_score);
  else
    tpo_log(TPO_LOG_INFO, "iteration %d: validation score %.3f (%+.3f ± %.3f against the start)",
            loop->iteration, dynamics.mean_score, difference, se);
  if (s.failures)
    tpo_log(TPO_LOG_WARN, "the judge failed on %zu validation responses; their %zu instructions are left out",
            s.failures, dynamics.unjudged);
  return loop_event(loop, "validate",
                    event_validation(&s, &dynamics, difference, se, unparsed, counts, samples->judge_counts),
                    err);
}

int step_validate(struct loop *loop, struct tpo_error *err)
{
  char path[4096], policy[4096];
  struct tpo_samples samples = {0};
  struct tpo_redraw_counts counts;
  int status = loop->iteration == 0 && loop->first ? write_validation_prompts(loop, err) : 0;
  if (status == 0) status = loop_policy_path(loop, loop->iteration + 1, policy, err);
  status = loop_agree(loop, status, err);
  if (status == 0) status = loop_open_policy(loop, policy, false, err);
  if (status == 0) status = loop_sample_validation(loop, &samples, &counts, err);
  if (status == 0 && loop->first) {
    samples.config = strdup(loop->config_yaml);
    status = loop_path(loop, loop->iteration, "validation.h5", path, err);
    if (status == 0) status = tpo_samples_write(&samples, path, err);
    if (status == 0) status = validation_event(loop, &samples, &counts, err);
  }
  status = loop_agree(loop, status, err);
  if (status == 0) status = loop_win_rates(loop, &samples, err);
  tpo_samples_free(&samples);
  return loop_agree(loop, status, err);
}
