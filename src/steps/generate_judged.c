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
  double begun; /* tpo_seconds */
  struct ahead_times times;
};

/* Once all ranks have ended sampling: when the last one had its last sample, and how long this one waited for another. A
 * rank that drew nothing, since all was kept, has it now. */
static int take_times(struct judged_call *call, struct tpo_error *err)
{
  const struct ahead_times *own = &call->times;
  double now = tpo_seconds() - call->begun, ended = own->ended > 0 ? own->ended - call->begun : now,
         last[] = {own->sampled > 0 ? own->sampled - call->begun : now, ended};
  int status = tpo_comm_allreduce_max_f64(call->session->comm, last, sizeof last / sizeof *last, err);
  call->stats->sample_seconds = last[0];
  call->times.waited += last[1] - ended;
  return status;
}

/* At the end. */
static int share_times(const struct judged_call *call, struct tpo_error *err)
{
  struct tpo_judged_stats *stats = call->stats;
  double seconds[] = {tpo_seconds() - call->begun, call->times.waited};
  int status =
      tpo_comm_allreduce_max_f64(call->session->comm, seconds, sizeof seconds / sizeof *seconds, err);
  stats->judge_seconds = seconds[0] - stats->sample_seconds;
  stats->wait_seconds = seconds[1];
  return status;
}

static int note_end(void *arg, int status, struct tpo_error *err)
{
  struct ahead_times *times = arg;
  (void)err;
  times->sampled = times->ended = tpo_seconds();
  return status;
}

static int judge_behind(struct judged_call *call, struct kept *kept, struct tpo_error *err)
{
  const struct tpo_judged_options *options = call->options;
  const struct generate_client client = {.arg = &call->times, .ended = note_end};
  int status = generate_kept(call->session, call->policy, call->instructions, &options->generate, kept,
                             &client, call->samples, &call->stats->generate, err);
  if (status == 0) status = take_times(call, err);
  if (status == 0)
    status = tpo_score_samples(call->session, call->samples, &options->score, &call->stats->failures, err);
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
static int judge_beside(struct judged_call *call, struct kept *kept, struct tpo_error *err)
{
  char work[33] = "";
  struct ahead *ahead = NULL;
  const struct tpo_judged_options *options = call->options;
  struct tpo_judged_stats *stats = call->stats;
  int status = name_work(call, kept, work, err);
  if (status == 0) status = ahead_open(&ahead, call->session, call->instructions, options, work, err);
  if (status == 0) {
    status = generate_kept(call->session, call->policy, call->instructions, &options->generate, kept,
                           ahead_client(ahead), call->samples, &stats->generate, err);
    if (status < 0 && kept) kept_drop_empty(kept, status, stats->generate.kept);
    call->times = ahead_times(ahead);
  }
  if (status == 0) status = take_times(call, err);
  if (status == 0)
    status = score_rest(call->session, call->samples, &options->score, ahead_scoring(ahead), work,
                        &stats->failures, err);
  ahead_close(ahead);
  return status;
}

int tpo_generate_judged(const struct tpo_session *session, const struct tpo_policy *policy,
                        const struct tpo_instructions *instructions, const struct tpo_judged_options *options,
                        struct tpo_samples *samples, struct tpo_judged_stats *stats, struct tpo_error *err)
{
  struct judged_call call = {session, policy, instructions, options, samples, stats, .begun = tpo_seconds()};
  struct kept *kept;
  bool beside = tpo_judge_waits(&session->config->judge);
  *stats = (struct tpo_judged_stats){0};
  int status = kept_samples_open(&kept, session, policy, instructions, &options->generate, err);
  if (status == 0) status = beside ? judge_beside(&call, kept, err) : judge_behind(&call, kept, err);
  kept_close(kept);
  return status < 0 ? status : share_times(&call, err);
}
