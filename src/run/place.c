/* What people are told an iteration is: its number, or, in a run in steps, the training steps that it ends with. */
#include <stdio.h>

#include "config/last_step.h"
#include "run/loop.h"

const char *loop_model_name(const struct loop *loop, int iteration, char out[LOOP_PLACE])
{
  const struct tpo_run_config *run = &loop->config->run;
  if (iteration == 0)
    snprintf(out, LOOP_PLACE, "start model");
  else if (tpo_run_in_steps(run))
    snprintf(out, LOOP_PLACE, "step %d", config_last_step(run, iteration));
  else
    snprintf(out, LOOP_PLACE, "iteration %d", iteration);
  return out;
}

const char *loop_stretch_name(const struct loop *loop, char out[LOOP_PLACE])
{
  const struct tpo_run_config *run = &loop->config->run;
  int first = config_last_step(run, loop->iteration - 1) + 1, last = config_last_step(run, loop->iteration);
  if (!tpo_run_in_steps(run) || first == last) return loop_model_name(loop, loop->iteration, out);
  snprintf(out, LOOP_PLACE, "steps %d to %d", first, last);
  return out;
}

const char *loop_rival_name(const struct loop *loop, const struct won *won, char out[LOOP_RIVAL])
{
  char name[LOOP_PLACE];
  if (!won->previous || !tpo_run_in_steps(&loop->config->run))
    snprintf(out, LOOP_RIVAL, "%s iteration %d", won->previous ? "this run's" : "the baseline's",
             won->iteration);
  else
    snprintf(out, LOOP_RIVAL, "this run's %s", loop_model_name(loop, won->iteration, name));
  return out;
}
