/* run: the loop that composes the steps into iterations, in a run folder that every step leaves its files in,
 * and the plan of what it will take.
 *
 *   struct tpo_session session = {.config = &config, .comm = comm, .backend = be};
 *   char *summary = NULL;
 *   if (tpo_run(&session, false, false, &summary, &err) == 0 && summary) puts(summary);
 *   free(summary);
 *
 * All ranks call every function here together and return the same status. */
#ifndef TPO_RUN_H
#define TPO_RUN_H

#include "tpo/steps.h"

/* The whole thing, into config.run.dir. resume: go on after the last finished step; allow_changes: even when
 * the configuration differs from the run folder's. summary: what to tell the user at the end, on rank 0;
 * free(). */
TPO_API int tpo_run(const struct tpo_session *session, bool resume, bool allow_changes, char **summary,
                    struct tpo_error *err);

/* What tpo_run would take, as a text for people: prompts, samples and tokens, judge calls, training steps,
 * files and memory. Instructions are chosen and rendered as in the run; no weights are read, and nothing is
 * written. A model without a chat template is planned for with a warning: its prompts are contents alone.
 * expect_tokens: what an output is taken to have where not its most is told; 0: half of that. *text
 * is on rank 0, free() it. Fails where the run would for lack of instructions or room in the context. */
TPO_API int tpo_run_plan(const struct tpo_session *session, int expect_tokens, char **text,
                         struct tpo_error *err);

#endif
