/* The plan as a person reads it. */
#include <math.h>
#include <stdio.h>

#include "backend/ops.h"
#include "base/digits.h"
#include "base/file.h"
#include "run/plan/plan.h"
#include "text/chat/template.h"
#include "tpo/judge.h"

/* A line of a table: what it is about, then numbers, right-aligned. */
static void row(struct tpo_buf *out, const char *name, const double *values, int n)
{
  char text[40];
  tpo_buf_printf(out, "  %-9s", name);
  for (int i = 0; i < n; i++) tpo_buf_printf(out, " %14s", tpo_group_digits(values[i], text));
  tpo_buf_putc(out, '\n');
}

static void header(const struct plan *plan, struct tpo_buf *out, const char *const *names, int n)
{
  tpo_buf_printf(out, "  %-9s", plan_row_title(plan));
  for (int i = 0; i < n; i++) tpo_buf_printf(out, " %14s", names[i]);
  tpo_buf_putc(out, '\n');
}

static void add(double *total, const double *values, int n)
{
  for (int i = 0; i < n; i++) total[i] += values[i];
}

static void print_iterations(const struct plan *plan, struct tpo_buf *out)
{
  enum { N = 8 };
  bool steps = tpo_run_in_steps(&plan->config->run);
  const char *const names[N] = {"prompts", "prompt tokens", "samples",  "tokens, about",
                                "at most", "judge calls",   "pairs <=", steps ? "steps" : "steps <="};
  double total[N] = {0};
  char name[24];
  tpo_buf_puts(out, "\nSampling and training\n");
  header(plan, out, names, N);
  for (int i = 0; i < tpo_run_iterations(&plan->config->run); i++) {
    const struct plan_set *set = &plan->train[i];
    double k = plan->config->sampling.k;
    const double values[N] = {(double)set->n,        set->prompt_tokens,   (double)set->n * k,
                              k * set->expected,     k * set->most,        set->calls,
                              plan_pairs(plan, set), plan_steps(plan, set)};
    plan_row_name(plan, i + 1, name);
    row(out, name, values, N);
    add(total, values, N);
  }
  row(out, "total", total, N);
}

static void print_validation(const struct plan *plan, struct tpo_buf *out)
{
  enum { N = 6 };
  static const char *const names[N] = {"validations",   "samples", "with redraws",
                                       "tokens, about", "at most", "judge calls"};
  const struct plan_set *set = &plan->validation;
  const struct tpo_run_config *run = &plan->config->run;
  double total[N] = {0}, k = run->validation_k;
  char name[24], n[40], tokens[40];
  if (set->n == 0) {
    tpo_buf_puts(out, "\nNo validation (data.validation_prompts is 0).\n");
    return;
  }
  tpo_buf_printf(out,
                 "\nValidation: %s instructions of %s prompt tokens, %d sample%s of each; "
                 "what does not parse is drawn\nagain up to %d times (run.validation_resample)\n",
                 tpo_group_digits((double)set->n, n), tpo_group_digits(set->prompt_tokens, tokens),
                 run->validation_k, run->validation_k == 1 ? "" : "s", run->validation_resample);
  header(plan, out, names, N);
  for (int i = 0; i <= tpo_run_iterations(&plan->config->run); i++) {
    double v = plan_validations(plan, i), again = 1 + run->validation_resample;
    double calls = plan->compares ? plan_comparisons(plan, i) * set->versus : v * set->calls;
    const double values[N] = {v,
                              v * (double)set->n * k,
                              v * (double)set->n * k * again,
                              v * k * set->expected,
                              v * k * set->most * again,
                              calls};
    plan_row_name(plan, i, name);
    row(out, name, values, N);
    add(total, values, N);
  }
  row(out, "total", total, N);
}

/* Calls in all, judge by judge. */
static void print_judges(const struct plan *plan, struct tpo_buf *out)
{
  double validations = 0, comparisons = 0;
  char all[40], train[40], validation[40];
  struct tpo_error problem = {0};
  for (int i = 0; i <= tpo_run_iterations(&plan->config->run); i++) {
    validations += plan_validations(plan, i);
    comparisons += plan_comparisons(plan, i);
  }
  tpo_buf_puts(out, "\nJudge calls at most: outputs that do not parse are not judged\n");
  for (int j = 0; j < plan->routes.n_judges; j++) {
    const struct plan_judge *judge = &plan->judges[j];
    double v = plan->compares ? comparisons * judge->versus : validations * judge->validation;
    tpo_buf_printf(out, "  %s: ", judge->kind);
    if (judge->train + v > 0)
      tpo_buf_printf(out, "%s %s, %s of them on samples and %s in validation\n",
                     tpo_group_digits(judge->train + v, all), judge->unit,
                     tpo_group_digits(judge->train, train), tpo_group_digits(v, validation));
    else
      tpo_buf_printf(out, "%s\n", judge->asks ? "no calls" : judge->unit);
  }
  if (plan->compares && plan->validation.n > 0)
    tpo_buf_printf(out,
                   "  Validation responses are compared with the start model's, "
                   "the previous %s's and run.baseline's, each in both positions.\n",
                   tpo_run_in_steps(&plan->config->run) ? "checkpoint" : "iteration");
  if (tpo_judge_check(&plan->config->judge, &problem) < 0)
    tpo_buf_printf(out, "  warning: %s\n", problem.message);
}

static void file_line(struct tpo_buf *out, const char *name, double about, double most, const char *note)
{
  char a[40], m[40];
  tpo_buf_printf(out, "  %-30s %12s %12s%s%s\n", name, tpo_size_text(about, a), tpo_size_text(most, m),
                 *note ? "  " : "", note);
}

static void print_files(const struct plan *plan, struct tpo_buf *out)
{
  struct plan_files f, m;
  const struct plan_set *first = &plan->train[0];
  const struct tpo_run_config *run = &plan->config->run;
  bool bf16 = plan->config->model.dtype == TPO_DTYPE_BF16, all = plan->config->train.save_optimizer;
  char note[160], title[40] = "Files of the first iteration";
  plan_file_sizes(plan, first, false, &f);
  plan_file_sizes(plan, first, true, &m);
  if (tpo_run_in_steps(run))
    snprintf(title, sizeof title, "Files of the first %d steps", tpo_run_interval(run));
  tpo_buf_printf(out, "\n%-33s %12s %12s\n", title, "about", "at most");
  file_line(out, "iter-001/prompts.jsonl", f.prompts, m.prompts, "");
  file_line(out, "iter-001/samples.h5", f.samples, m.samples, "");
  file_line(out, "iter-001/scored.h5", f.scored, m.scored, "");
  file_line(out, "iter-001/pairs.h5", f.pairs, m.pairs, "");
  snprintf(note, sizeof note, "weights in %s%s%s", bf16 ? "bf16" : "fp32",
           bf16  ? (all ? ", fp32 masters" : " and fp32 masters")
           : all ? ", masters"
                 : "",
           all ? " and two moments" : "");
  file_line(out, "iter-001/checkpoint.h5", plan->checkpoint, plan->checkpoint, note);
  if (!tpo_run_in_steps(run))
    file_line(out, "iter-001/checkpoint.h5.journal", plan->state, plan->state,
              "a state, while training goes on");
  if (plan->validation.n > 0) file_line(out, "iter-001/validation.h5", f.validation, m.validation, "");
  if (run->n_watch > 0)
    file_line(out, "iter-001/watch-*.h5", plan_watch_bytes(plan, false), plan_watch_bytes(plan, true), "");
  if (!tpo_run_in_steps(run)) return;
  file_line(out, "iter-001/steps.journal", plan_steps_journal(plan, first, false),
            plan_steps_journal(plan, first, true), "samples and pairs so far, until those files are written");
  file_line(out, "training.state", plan->state, plan->state,
            "the run's one state, beside which the next one is written");
  if (plan_steps_keeps_reference(plan))
    file_line(out, "training.state/reference-*.h5", plan->reference, plan->reference,
              "the reference's weights alone");
}

static void print_disk(const struct plan *plan, struct tpo_buf *out)
{
  const char *dir = plan->config->run.dir;
  double end, peak, most_end, most_peak, space = plan_free_space(dir);
  char a[40], b[40], c[40], d[40];
  plan_disk(plan, false, &end, &peak);
  plan_disk(plan, true, &most_end, &most_peak);
  tpo_buf_printf(out, "\nDisk: about %s when done (at most %s), up to %s (%s) on the way\n",
                 tpo_size_text(end, a), tpo_size_text(most_end, b), tpo_size_text(peak, c),
                 tpo_size_text(most_peak, d));
  tpo_buf_puts(out,
               "  Not counted: the report, metrics, TensorBoard's events and answers kept from a server.\n");
  if (space < 0)
    tpo_buf_printf(out, "  How much is free at %s can't be told.\n", dir);
  else if (space < most_peak)
    tpo_buf_printf(out, "  warning: %s are free at %s, which %s enough\n", tpo_size_text(space, a), dir,
                   space < peak ? "is not" : "may not be");
  else
    tpo_buf_printf(out, "  %s are free at %s.\n", tpo_size_text(space, a), dir);
  char manifest[4096];
  if (tpo_path_join(manifest, sizeof manifest, dir, "manifest.json", NULL) == 0 && tpo_file_exists(manifest))
    tpo_buf_printf(out, "  warning: %s holds a run already\n", dir);
}

static void print_title(const struct plan *plan, struct tpo_buf *out)
{
  const struct tpo_run_config *run = &plan->config->run;
  int n = tpo_run_iterations(run);
  bool steps = tpo_run_in_steps(run);
  tpo_buf_printf(out, "Plan of %s: %d %s%s", run->dir, steps ? run->steps : n, steps ? "step" : "iteration",
                 (steps ? run->steps : n) == 1 ? "" : "s");
  if (steps && n > 1) tpo_buf_printf(out, ", with a checkpoint after each %d", tpo_run_interval(run));
  tpo_buf_puts(out, ". Nothing was computed or written.\n\n");
}

/* Tokens that a step computes with, in all. */
static void print_training_tokens(const struct plan *plan, struct tpo_buf *out)
{
  const struct tpo_config *c = plan->config;
  double tokens = 0;
  char n[40];
  for (int i = 0; i < tpo_run_iterations(&c->run); i++) {
    const struct plan_set *set = &plan->train[i];
    double of_each = set->n ? plan_pairs(plan, set) / (double)set->n : 0;
    tokens += 2 * of_each * (set->prompt_tokens + set->most + (double)set->n * plan->marker_tokens) *
              c->train.epochs;
  }
  if (tpo_run_in_steps(&c->run))
    tpo_buf_printf(out, "  training the pairs of %d instructions a step; at most %s tokens in all\n",
                   c->train.batch, tpo_group_digits(tokens, n));
  else
    tpo_buf_printf(out, "  training %d pairs a step, %d epoch%s; at most %s tokens in all\n", c->train.batch,
                   c->train.epochs, c->train.epochs == 1 ? "" : "s", tpo_group_digits(tokens, n));
}

void plan_print(const struct plan *plan, struct tpo_buf *out)
{
  const struct tpo_config *c = plan->config;
  const struct tpo_arch *arch = &plan->arch;
  char n[40];
  print_title(plan, out);
  tpo_buf_printf(out, "  model    %s, %s parameters, %s\n", c->model.path,
                 tpo_group_digits((double)tpo_arch_param_count(arch), n),
                 c->model.dtype == TPO_DTYPE_BF16 ? "bf16" : "fp32");
  tpo_buf_printf(out, "  thought  %s\n", c->thought.name && *c->thought.name ? c->thought.name : "unnamed");
  tpo_buf_printf(out, "  outputs  %d of each instruction, of at most %d tokens", c->sampling.k, plan->budget);
  if (plan->marker_tokens > 0) tpo_buf_printf(out, " and %d of an inserted marker", plan->marker_tokens);
  tpo_buf_puts(out, "\n           where it says \"about\", they are taken to have ");
  if (plan->expect_tokens > 0)
    tpo_buf_printf(out, "%d tokens (--expect-tokens)\n", plan->expect_tokens);
  else
    tpo_buf_puts(out, "half of that (--expect-tokens N: another number)\n");
  print_training_tokens(plan, out);
  if (plan->tmpl->kind == TPO_TEMPLATE_NONE)
    tpo_buf_printf(
        out,
        "\n  warning: %s has no chat template (in tokenizer_config.json or chat_template.jinja):\n"
        "  what one puts around messages is not counted. The run itself needs one, or its pieces under\n"
        "  `template:`\n",
        c->model.path);
  print_iterations(plan, out);
  plan_print_steps(plan, out);
  print_validation(plan, out);
  plan_print_watches(plan, out);
  print_judges(plan, out);
  print_files(plan, out);
  print_disk(plan, out);
  plan_print_memory(plan, out);
}
