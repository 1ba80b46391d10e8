/* What run.watch adds to a run: its instructions are read, chosen and rendered as the run would. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "run/plan/plan.h"
#include "run/watch/watch.h"
#include "steps/judge_item.h"
#include "store/hdf5/layout.h"
#include "tpo/judge.h"

/* About, of an output's score_detail. */
static double detail_bytes(const struct watched *w, const struct tpo_instruction *item)
{
  enum { ANSWER = 45 };
  const struct tpo_judge_item asked = judge_item_of_instruction(item);
  bool checks = w->entry->kind != TPO_WATCH_GSM8K; /* told as the rule judge tells them */
  return tpo_h5_text_bytes(checks ? tpo_judge_cost(&w->settings.judge, &asked, 1, 0).detail_bytes : ANSWER);
}

/* Counted with the settings that it is drawn with. */
static int add_instructions(const struct plan *plan, const struct watched *w, struct plan_watch *out,
                            struct tpo_error *err)
{
  struct plan own = *plan; /* borrows */
  own.config = &w->settings;
  own.budget = tpo_config_output_limit(&w->settings.thought, w->settings.sampling.max_tokens);
  int status = tpo_thought_marker_tokens(&w->settings.thought, plan->tokenizer, &own.marker_tokens, err);
  for (size_t i = 0; i < w->instructions.n && status == 0; i++) {
    status = plan_add_prompt(&own, &out->set, &w->instructions.items[i], err);
    out->set.detail_bytes += detail_bytes(w, &w->instructions.items[i]);
    if (status == 0) status = tpo_stopped(NULL, err);
  }
  if (status < 0) return status;
  out->marker_tokens = own.marker_tokens;
  out->bytes = plan_samples_bytes(&own, &out->set, out->k, true, false);
  out->most_bytes = plan_samples_bytes(&own, &out->set, out->k, true, true);
  return 0;
}

static int plan_one(struct plan *plan, int at, struct tpo_error *err)
{
  struct watched w = {0};
  struct plan_watch *out = &plan->watch[at];
  int status = watched_open(&w, plan->config, at, err);
  if (status == 0) status = watched_read(&w, err);
  *out = (struct plan_watch){.name = w.entry->name, .k = w.entry->k};
  if (status == 0) status = add_instructions(plan, &w, out, err);
  watched_close(&w);
  return status;
}

int plan_watches(struct plan *plan, struct tpo_error *err)
{
  int n = plan->config->run.n_watch, status = 0;
  plan->watch = tpo_calloc((size_t)n, sizeof *plan->watch, err);
  if (!plan->watch) return TPO_E_MEMORY;
  for (int i = 0; i < n && status == 0; i++) status = plan_one(plan, i, err);
  return status;
}

double plan_watch_bytes(const struct plan *plan, bool most)
{
  double bytes = 0;
  for (int i = 0; i < plan->config->run.n_watch; i++)
    bytes += most ? plan->watch[i].most_bytes : plan->watch[i].bytes;
  return bytes;
}

double plan_watch_journal_bytes(const struct plan *plan, bool most)
{
  double largest = 0;
  for (int i = 0; i < plan->config->run.n_watch; i++)
    largest = fmax(largest, most ? plan->watch[i].most_bytes : plan->watch[i].bytes);
  return largest * (most ? 1 + plan->config->run.validation_resample : 1);
}

void plan_print_watches(const struct plan *plan, struct tpo_buf *out)
{
  int n = plan->config->run.n_watch, models = 1 + tpo_run_iterations(&plan->config->run);
  double again = 1 + plan->config->run.validation_resample;
  char text[5][40];
  if (n == 0) return;
  tpo_buf_printf(out,
                 "\nWatch (run.watch): of the start model and %s, %d times; what does not parse is "
                 "drawn\nagain up to %d times (run.validation_resample)\n",
                 tpo_run_in_steps(&plan->config->run) ? "at each checkpoint" : "after each iteration", models,
                 plan->config->run.validation_resample);
  tpo_buf_printf(out, "  %-32s %14s %14s %14s %14s %14s\n", "watch", "prompts", "samples", "with redraws",
                 "tokens, about", "at most");
  for (int i = 0; i < n; i++) {
    const struct plan_watch *w = &plan->watch[i];
    double samples = (double)w->set.n * w->k * models;
    tpo_buf_printf(out, "  %-32s %14s %14s %14s %14s %14s\n", w->name,
                   tpo_group_digits((double)w->set.n, text[0]), tpo_group_digits(samples, text[1]),
                   tpo_group_digits(samples * again, text[2]),
                   tpo_group_digits(w->set.expected * w->k * models, text[3]),
                   tpo_group_digits(w->set.most * w->k * models * again, text[4]));
  }
}
