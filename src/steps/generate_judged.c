/* Sampling and judging as one step: where the judge can, both at the same time. */
#include "base/clock.h"
#include "steps/ahead.h"
#include "steps/judging.h"
#include "steps/kept_samples.h"

/* What a call works with. */
struct judged_call {
  const struct tpo_session *session;
  const struct tpo_policy *policy;
  const struct tpo_instructions *instructions;
  const struct tpo_judged_options *options;
  struct tpo_samples *samples;
  struct tpo_judged_stats *stats;
};

static int judge_behind(const struct judged_call *call, struct tpo_error *err)
{
  double begin = tpo_seconds();
  const struct tpo_judged_options *options = call->options;
  int status = tpo_generate(call->session, call->policy, call->instructions, &options->generate,
                            call->samples, &call->stats->generate, err);
  call->stats->sample_seconds = tpo_seconds() - begin;
  if (status == 0)
    status = tpo_score_samples(call->session, call->samples, &options->score, &call->stats->failures, err);
  call->stats->judge_seconds = tpo_seconds() - begin - call->stats->sample_seconds;
  return status;
}

/* The name, in the samples' journal, under which a judge that keeps its answers is asked, so that it knows what it was
 * asked for before: the scores' journal isn't there until all samples are. Without that, "". */
static int name_work(const struct judged_call *call, struct kept *kept, char work[33], struct tpo_error *err)
{
  uint64_t attempt;
  struct tpo_comm *comm = call->session->comm;
  if (!kept || !tpo_judge_keeps_answers(&call->session->config->judge)) return 0;
  int status = tpo_comm_rank(comm) == 0 ? kept_name_attempt(kept, &attempt, work, err) : 0;
  status = tpo_comm_agree(comm, status, err);
  return status < 0 ? status : tpo_comm_bcast(comm, work, 33, 0, err);
}

/* Sampling, with the judge's threads beside it, and what they left. */
static int judge_beside(const struct judged_call *call, struct kept *kept, struct tpo_error *err)
{
  char work[33] = "";
  struct ahead *ahead = NULL;
  double begin = tpo_seconds(), waited = 0;
  const struct tpo_judged_options *options = call->options;
  struct tpo_judged_stats *stats = call->stats;
  int status = name_work(call, kept, work, err);
  if (status == 0) status = ahead_open(&ahead, call->session, call->instructions, options, work, err);
  if (status == 0) {
    status = generate_kept(call->session, call->policy, call->instructions, &options->generate, kept,
                           ahead_client(ahead), call->samples, &stats->generate, err);
    if (status < 0 && kept) kept_drop_empty(kept, status, stats->generate.kept);
  }
  if (status == 0) {
    ahead_seconds(ahead, &stats->sample_seconds, &waited);
    status = score_rest(call->session, call->samples, &options->score, ahead_scoring(ahead), work,
                        &stats->failures, err);
    stats->judge_seconds = tpo_seconds() - begin - stats->sample_seconds;
    stats->wait_seconds = waited;
  }
  ahead_close(ahead);
  return status;
}

/* Each rank's seconds become the slowest one's. */
static int share_seconds(const struct judged_call *call, struct tpo_error *err)
{
  struct tpo_judged_stats *stats = call->stats;
  double seconds[] = {stats->sample_seconds, stats->judge_seconds, stats->wait_seconds};
  int status =
      tpo_comm_allreduce_max_f64(call->session->comm, seconds, sizeof seconds / sizeof *seconds, err);
  stats->sample_seconds = seconds[0];
  stats->judge_seconds = seconds[1];
  stats->wait_seconds = seconds[2];
  return status;
}

int tpo_generate_judged(const struct tpo_session *session, const struct tpo_policy *policy,
                        const struct tpo_instructions *instructions, const struct tpo_judged_options *options,
                        struct tpo_samples *samples, struct tpo_judged_stats *stats, struct tpo_error *err)
{
  const struct judged_call call = {session, policy, instructions, options, samples, stats};
  *stats = (struct tpo_judged_stats){0};
  if (!tpo_judge_waits(&session->config->judge)) {
    int status = judge_behind(&call, err);
    return status < 0 ? status : share_seconds(&call, err);
  }
  struct kept *kept;
  int status = kept_samples_open(&kept, session, policy, instructions, &options->generate, err);
  if (status == 0) status = judge_beside(&call, kept, err);
  kept_close(kept);
  return status < 0 ? status : share_seconds(&call, err);
}
