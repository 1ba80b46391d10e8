/* What a run in steps (run.sync_steps) has of its own: segments, each sampled with the weights of its moment, and what
 * stands beside the files of an iteration, which is a stretch of steps up to a checkpoint. */
#include <math.h>
#include <stdio.h>

#include "base/digits.h"
#include "base/file.h"
#include "run/plan/plan.h"

const char *plan_row_title(const struct plan *plan)
{
  return tpo_run_in_steps(&plan->config->run) ? "to step" : "iteration";
}

void plan_row_name(const struct plan *plan, int iteration, char out[24])
{
  const struct tpo_run_config *run = &plan->config->run;
  int64_t end = (int64_t)iteration * tpo_run_interval(run);
  if (iteration == 0)
    snprintf(out, 24, "start");
  else if (tpo_run_in_steps(run))
    snprintf(out, 24, "%lld", (long long)(end < run->steps ? end : run->steps));
  else
    snprintf(out, 24, "%d", iteration);
}

static const char *reference(const struct tpo_run_config *run, char out[80])
{
  if (run->reference == TPO_REFERENCE_EVERY)
    snprintf(out, 80, "the model after the last step that %d divides", run->reference_every);
  else
    snprintf(out, 80, "%s",
             run->reference == TPO_REFERENCE_START ? "the start model" : "the model of the last checkpoint");
  return out;
}

static void print_penalty(const struct plan *plan, struct tpo_buf *out)
{
  const struct tpo_config *c = plan->config;
  if (c->pairs.length_auto)
    tpo_buf_printf(
        out,
        "  The length penalty is 0 in the first; then it moves by a step of its grid, by the samples of "
        "the last %d\n  instructions before.\n",
        c->run.rho_window);
  else
    tpo_buf_printf(out, "  The length penalty is %g.\n", c->pairs.length_penalty);
}

/* Of all iterations. */
static struct plan_set totals(const struct plan *plan)
{
  struct plan_set all = {0};
  for (int i = 0; i < tpo_run_iterations(&plan->config->run); i++) {
    all.n += plan->train[i].n;
    all.most += plan->train[i].most;
    all.expected += plan->train[i].expected;
    all.calls += plan->train[i].calls;
  }
  return all;
}

void plan_print_steps(const struct plan *plan, struct tpo_buf *out)
{
  const struct tpo_config *c = plan->config;
  const struct tpo_run_config *run = &c->run;
  const struct plan_set all = totals(plan);
  double prompts = (double)run->sync_steps * c->train.batch, k = c->sampling.k,
         of_all = prompts / (double)all.n;
  double segments = ceil((double)run->steps / run->sync_steps);
  char n[6][40], name[80];
  if (!tpo_run_in_steps(run)) return;
  tpo_buf_printf(
      out,
      "\nSegments: %s of %d step%s%s. Each begins with fresh samples of the model as it is then: of %s "
      "instructions\n  %s outputs, about %s tokens (at most %s), %s judge calls; of an instruction one "
      "pair at most.\n",
      tpo_group_digits(segments, n[0]), run->sync_steps, run->sync_steps == 1 ? "" : "s",
      run->steps % run->sync_steps ? ", the last one shorter" : "", tpo_group_digits(prompts, n[1]),
      tpo_group_digits(prompts * k, n[2]), tpo_group_digits(round(k * all.expected * of_all), n[3]),
      tpo_group_digits(round(k * all.most * of_all), n[4]),
      tpo_group_digits(round(all.calls * of_all), n[5]));
  tpo_buf_printf(out, "  The reference is %s.\n", reference(run, name));
  print_penalty(plan, out);
}

/* steps.journal: samples with their scores, and pairs, of all segments so far; and the segment's under way. */
double plan_steps_journal(const struct plan *plan, const struct plan_set *set, bool most)
{
  struct plan_files files;
  const struct tpo_config *c = plan->config;
  double segment = fmin((double)c->run.sync_steps * c->train.batch, (double)set->n);
  plan_file_sizes(plan, set, most, &files);
  return files.scored + files.pairs + (set->n ? files.scored * segment / (double)set->n : 0);
}

/* A state goes once the next one is whole, and so does a reference of which no checkpoint has the weights. */
double plan_steps_kept(const struct plan *plan)
{
  return 2 * plan->state + (plan_steps_keeps_reference(plan) ? 2 * plan->reference : 0);
}

/* The first one that a segment behind the one that begins there needs, and so do the others up to the last. */
bool plan_steps_keeps_reference(const struct plan *plan)
{
  const struct tpo_run_config *run = &plan->config->run;
  return run->reference == TPO_REFERENCE_EVERY && run->sync_steps < run->reference_every &&
         run->reference_every + run->sync_steps < run->steps &&
         run->reference_every % tpo_run_interval(run) != 0;
}
