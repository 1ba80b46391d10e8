/* `tpo inspect` of samples and pairs. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "store/inspect/inspect.h"
#include "store/show.h"
#include "tpo/store.h"

static size_t count_prompts(const struct tpo_samples *samples)
{
  size_t n = 0;
  for (size_t i = 0; i < samples->n; i++)
    n += i == 0 || strcmp(samples->rows[i - 1].prompt_id, samples->rows[i].prompt_id) != 0;
  return n;
}

static double share(size_t part, size_t whole)
{
  return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* The steps of training that rows were drawn for; a file without any tells of none. */
struct steps {
  int32_t first, last; /* 0: none */
};

static void add_step(struct steps *steps, int32_t step)
{
  if (step > 0 && (steps->first == 0 || step < steps->first)) steps->first = step;
  if (step > steps->last) steps->last = step;
}

static void show_steps(FILE *out, const struct steps *steps)
{
  if (steps->last > 0) fprintf(out, "  steps    %d to %d\n", steps->first, steps->last);
}

static void show_totals(FILE *out, const struct tpo_samples *samples)
{
  struct steps steps = {0};
  size_t finishes[4] = {0}, ok = 0, scored = 0;
  double tokens = 0, thought = 0, score = 0;
  for (size_t i = 0; i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    add_step(&steps, row->step);
    finishes[row->finish]++;
    ok += row->format_ok;
    tokens += row->n_tokens;
    thought += row->n_thought_tokens;
    scored += row->scored;
    if (row->scored) score += row->score;
  }
  double n = samples->n > 0 ? (double)samples->n : 1;
  show_steps(out, &steps);
  fprintf(out, "  format   kept in %zu of %zu (%.1f %%)\n", ok, samples->n, share(ok, samples->n));
  const char *between = "";
  fputs("  ended    ", out);
  for (int f = 0; f < 4; f++)
    if (finishes[f] > 0) {
      fprintf(out, "%s%s %zu", between, tpo_finish_name((enum tpo_finish)f), finishes[f]);
      between = ", ";
    }
  fprintf(out, "\n  tokens   %.1f a sample, %.1f of them thought\n", tokens / n, thought / n);
  if (scored > 0)
    fprintf(out, "  score    %.4f mean of %zu scored\n", score / (double)scored, scored);
  else if (samples->is_scored)
    fputs("  score    none scored\n", out);
}

static void show_text_line(FILE *out, const char *label, const char *text, int limit)
{
  if (text[0] == '\0') return;
  fprintf(out, "       %-9s ", label);
  tpo_show_text(out, text, strlen(text), tpo_inspect_text_limit(limit));
  fputc('\n', out);
}

static void show_sample(FILE *out, const struct tpo_sample_row *row, bool is_scored, int limit)
{
  fprintf(out, "  %3d  %-6s  %-11s  %6d  %7d  %10.2f", row->k, row->format_ok ? "kept" : "broken",
          tpo_finish_name(row->finish), row->n_tokens, row->n_thought_tokens, row->logprob);
  if (is_scored && row->scored) fprintf(out, "  %10.4f", row->score);
  if (is_scored && !row->scored) fprintf(out, "  %10s", "none");
  fputc('\n', out);
  show_text_line(out, "thought", row->thought, limit);
  show_text_line(out, "response", row->response, limit);
  if (!row->format_ok) show_text_line(out, "text", row->text, limit);
  if (is_scored && strcmp(row->score_detail, "{}") != 0)
    show_text_line(out, "judged", row->score_detail, limit);
}

/* What stands over a prompt's samples: the step too where it is another than the last prompt's. */
static void show_prompt(FILE *out, const struct tpo_sample_row *row, const struct tpo_sample_row *last,
                        bool is_scored, int limit)
{
  if (row->step > 0 && (!last || last->step != row->step)) fprintf(out, "\nstep %d\n", row->step);
  fprintf(out, "\nprompt %s: ", tpo_show_name(row->prompt_id, strlen(row->prompt_id)).text);
  tpo_show_text(out, row->instruction, strlen(row->instruction), tpo_inspect_text_limit(limit));
  fprintf(out, "\n    k  format  ended        tokens  thought     logprob%s\n",
          is_scored ? "       score" : "");
}

int tpo_inspect_samples(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  struct tpo_samples samples;
  int status = tpo_samples_read(&samples, path, err);
  if (status < 0) return status;
  char kind[100];
  snprintf(kind, sizeof kind, "%zu %ssamples of %zu prompts", samples.n, samples.is_scored ? "scored " : "",
           count_prompts(&samples));
  tpo_inspect_title(out, path, kind);
  status = tpo_inspect_origin(path, out, err);
  if (status == 0) {
    show_totals(out, &samples);
    size_t shown = tpo_inspect_shown(samples.n, limit);
    for (size_t i = 0; i < shown; i++) {
      const struct tpo_sample_row *row = &samples.rows[i], *last = i > 0 ? row - 1 : NULL;
      if (!last || strcmp(last->prompt_id, row->prompt_id) != 0)
        show_prompt(out, row, last, samples.is_scored, limit);
      show_sample(out, row, samples.is_scored, limit);
    }
    tpo_inspect_rest(out, samples.n, shown, "samples");
  }
  tpo_samples_free(&samples);
  return status;
}

/* The length penalty that a selection used; NaN where the file tells of none. */
static double selected_with(const struct tpo_pairs *pairs)
{
  json_t *statistics = pairs->statistics ? json_loads(pairs->statistics, 0, NULL) : NULL;
  const json_t *rho = json_object_get(statistics, "rho");
  double value = json_is_number(rho) ? json_number_value(rho) : NAN;
  json_decref(statistics);
  return value;
}

/* A selection's margins are in z units; a rejected output without a score, whose format failed, has none. */
static void show_margins(FILE *out, const struct tpo_pairs *pairs)
{
  double sum = 0, rho = selected_with(pairs);
  size_t n = 0;
  for (size_t i = 0; i < pairs->n; i++) {
    if (isnan(pairs->rows[i].margin)) continue;
    sum += pairs->rows[i].margin;
    n++;
  }
  fputs("  margin   ", out);
  if (n == 0) fputs("none", out);
  if (n > 0) fprintf(out, "%.4f mean of %zu", sum / (double)n, n);
  if (n > 0 && isfinite(rho))
    fprintf(out, ", in z units of a prompt's samples: z(score) - %g z(length)", rho);
  if (n > 0 && n < pairs->n) fprintf(out, "; %zu pairs have none", pairs->n - n);
  fputc('\n', out);
}

static struct steps steps_of_pairs(const struct tpo_pairs *pairs)
{
  struct steps steps = {0};
  for (size_t i = 0; i < pairs->n; i++) add_step(&steps, pairs->rows[i].step);
  return steps;
}

static void show_pair_totals(FILE *out, const struct tpo_pairs *pairs, const struct steps *steps, int limit)
{
  double prompt = 0, chosen = 0, rejected = 0;
  size_t with_reference = 0;
  for (size_t i = 0; i < pairs->n; i++) {
    const struct tpo_pair_row *row = &pairs->rows[i];
    prompt += row->n_prompt;
    chosen += row->n_chosen;
    rejected += row->n_rejected;
    with_reference += !isnan(row->chosen_ref_logprob) && !isnan(row->rejected_ref_logprob);
  }
  double n = pairs->n > 0 ? (double)pairs->n : 1;
  show_steps(out, steps);
  fprintf(out, "  tokens   mean prompt %.1f, chosen %.1f, rejected %.1f\n", prompt / n, chosen / n,
          rejected / n);
  show_margins(out, pairs);
  fprintf(out, "  reference log-probabilities of %zu pairs", with_reference);
  if (pairs->ref_model[0])
    fprintf(out, ", model %s", tpo_show_name(pairs->ref_model, strlen(pairs->ref_model)).text);
  fputs("\n", out);
  if (pairs->statistics) {
    fputs("  statistics\n", out);
    tpo_inspect_json(out, pairs->statistics, strlen(pairs->statistics), limit);
  }
}

/* A number, or "none" where there is none: a log-probability that was not computed, a score not given. */
static void show_value(FILE *out, int width, int decimals, double value)
{
  if (isnan(value))
    fprintf(out, "  %*s", width, "none");
  else
    fprintf(out, "  %*.*f", width, decimals, value);
}

/* The column of steps is there where rows have one. */
static void show_pair_heading(FILE *out, bool in_steps)
{
  const char *space = in_steps ? "        " : "", *step = in_steps ? "    step" : "";
  fprintf(out, "\n       %s  ------------- chosen --------------  ------------ rejected -------------\n",
          space);
  fprintf(
      out,
      "  pair %s     row     score tokens     logprob     row     score tokens     logprob    margin  prompt\n",
      step);
}

static void show_pair(FILE *out, size_t i, const struct tpo_pair_row *row, bool in_steps)
{
  fprintf(out, "  %5zu", i);
  if (in_steps) fprintf(out, "  %6d", row->step);
  fprintf(out, "  %6d", row->chosen_row);
  show_value(out, 8, 4, row->chosen_score);
  fprintf(out, " %6d", row->n_chosen);
  show_value(out, 12, 2, row->chosen_ref_logprob);
  fprintf(out, "  %6d", row->rejected_row);
  show_value(out, 8, 4, row->rejected_score);
  fprintf(out, " %6d", row->n_rejected);
  show_value(out, 12, 2, row->rejected_ref_logprob);
  show_value(out, 8, 4, row->margin);
  fprintf(out, "  %s\n", tpo_show_name(row->prompt_id, strlen(row->prompt_id)).text);
}

int tpo_inspect_pairs(const char *path, int limit, FILE *out, struct tpo_error *err)
{
  struct tpo_pairs pairs;
  int status = tpo_pairs_read(&pairs, path, err);
  if (status < 0) return status;
  char kind[60];
  snprintf(kind, sizeof kind, "%zu pairs", pairs.n);
  tpo_inspect_title(out, path, kind);
  status = tpo_inspect_origin(path, out, err);
  if (status == 0) {
    const struct steps steps = steps_of_pairs(&pairs);
    show_pair_totals(out, &pairs, &steps, limit);
    size_t shown = tpo_inspect_shown(pairs.n, limit);
    if (shown > 0) show_pair_heading(out, steps.last > 0);
    for (size_t i = 0; i < shown; i++) show_pair(out, i, &pairs.rows[i], steps.last > 0);
    tpo_inspect_rest(out, pairs.n, shown, "pairs");
  }
  tpo_pairs_free(&pairs);
  return status;
}
