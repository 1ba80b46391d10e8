/* Sampling and judging as one step. */
#include "base/clock.h"
#include "tpo/judge.h"
#include "tpo/steps.h"

/* Each rank's seconds become the slowest one's. */
static int share_stats(const struct tpo_session *session, struct tpo_judged_stats *stats,
                       struct tpo_error *err)
{
  double seconds[] = {stats->sample_seconds, stats->judge_seconds, stats->wait_seconds};
  int status = tpo_comm_allreduce_max_f64(session->comm, seconds, sizeof seconds / sizeof *seconds, err);
  stats->sample_seconds = seconds[0];
  stats->judge_seconds = seconds[1];
  stats->wait_seconds = seconds[2];
  return status;
}

int tpo_generate_judged(const struct tpo_session *session, const struct tpo_policy *policy,
                        const struct tpo_instructions *instructions, const struct tpo_judged_options *options,
                        struct tpo_samples *samples, struct tpo_judged_stats *stats, struct tpo_error *err)
{
  double begin = tpo_seconds();
  *stats = (struct tpo_judged_stats){0};
  int status =
      tpo_generate(session, policy, instructions, &options->generate, samples, &stats->generate, err);
  stats->sample_seconds = tpo_seconds() - begin;
  if (status == 0) status = tpo_score_samples(session, samples, &options->score, &stats->failures, err);
  stats->judge_seconds = tpo_seconds() - begin - stats->sample_seconds;
  return status < 0 ? status : share_stats(session, stats, err);
}
