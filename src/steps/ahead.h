/* Judging ahead: while a rank samples, a thread of its own has prompts judged whose samples are all there.
 *
 *   ahead_open(&ahead, &session, &instructions, &options, work, &err);      // all ranks
 *   generate_kept(..., ahead_client(ahead), ...);
 *   score_rest(&session, &samples, &options.score, ahead_scoring(ahead), work, &failures, &err);
 *   ahead_close(ahead);
 *
 * The thread has the judge to itself from ahead_open until sampling has ended on its rank; it calls neither MPI nor HDF5.
 * What it was not done with by then others judge. */
#ifndef TPO_STEPS_AHEAD_H
#define TPO_STEPS_AHEAD_H

#include "steps/generate.h"
#include "steps/scoring.h"

struct ahead;

/* The judge is one that waits (tpo_judge_waits). What is given is borrowed; work: as judge_env has it. */
int ahead_open(struct ahead **out, const struct tpo_session *session,
               const struct tpo_instructions *instructions, const struct tpo_judged_options *options,
               const char *work, struct tpo_error *err);
/* By which it is told of samples; borrowed. */
const struct generate_client *ahead_client(struct ahead *ahead);
/* What was scored, once sampling has ended; borrowed. */
struct scoring *ahead_scoring(struct ahead *ahead);
/* Of this rank: when its last sample was there, and when its thread was at its end besides (tpo_seconds; 0: there was
 * nothing to draw on any rank), and the seconds in between that it had nothing to do in. */
struct ahead_times {
  double sampled, ended, waited;
};
struct ahead_times ahead_times(const struct ahead *ahead);
void ahead_close(struct ahead *ahead); /* takes NULL */

#endif
