/* Measures what is watched: answers, scores, and the difference from the start model's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "config/watches.h"
#include "eval/answers.h"
#include "measure/dynamics.h"
#include "run/loop.h"
#include "run/watch/watch.h"
#include "tpo/measure.h"

void watch_step_name(const struct watched *w, const char *suffix, char out[WATCH_STEP])
{
  snprintf(out, WATCH_STEP, "watch-%s%s", w->entry->name, suffix);
}

static int watch_path(const struct loop *loop, int iteration, const struct watched *w, const char *suffix,
                      char out[4096], struct tpo_error *err)
{
  char name[WATCH_STEP];
  watch_step_name(w, suffix, name);
  return loop_path(loop, iteration, name, out, err);
}

/* Of one measurement. NaN where there is no such number. */
struct figures {
  size_t n;        /* instructions with a value */
  size_t unjudged; /* those without, since their check failed */
  double value, se;
  double base, base_se; /* the start model's, on the same instructions */
  double difference, difference_se;
  size_t n_paired;
  size_t outputs, unparsed; /* all, and those that count as watch_kind_unparsed does */
  size_t cut;               /* that ended at a budget or at the context's end, not by themselves */
};

static void count_outputs(const struct tpo_samples *samples, struct figures *f)
{
  f->outputs = samples->n;
  for (size_t i = 0; i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    f->unparsed += !row->format_ok;
    f->cut += row->finish == TPO_FINISH_LENGTH || row->finish == TPO_FINISH_CONTEXT;
  }
}

/* samples: of the iteration; start: of the start model, the same for iteration 0. */
static int reckon(const struct watched *w, const struct tpo_samples *start, const struct tpo_samples *samples,
                  struct figures *f, struct tpo_error *err)
{
  double unparsed = watch_kind_unparsed(w), now;
  double *values = tpo_calloc(samples->n + 1, sizeof *values, err);
  if (!values) return TPO_E_MEMORY;
  *f = (struct figures){.difference = NAN, .difference_se = NAN};
  f->n = prompt_scores(samples, unparsed, values, &f->unjudged);
  f->value = mean_and_error(values, f->n, &f->se);
  count_outputs(samples, f);
  f->n_paired =
      tpo_paired_difference(start, samples, unparsed, &f->difference, &f->difference_se, &f->base, &now);
  free(values);
  return 0;
}

static bool is_loss(const struct figures *f)
{
  return f->n_paired >= LEAST_COMPARED && isfinite(f->difference_se) && f->difference < -2 * f->difference_se;
}

/* Shares in percent, scores as they are. */
static double shown(const struct watched *w, double value)
{
  return w->entry->kind == TPO_WATCH_RULE ? value : 100 * value;
}

/* "; 3 of 8 outputs don't parse", since the value alone does not tell these from wrong answers; else empty. */
static void tell_unparsed(const struct figures *f, const char *before, char out[64])
{
  *out = '\0';
  if (f->unparsed) snprintf(out, 64, "%s%zu of %zu outputs don't parse", before, f->unparsed, f->outputs);
}

static void tell(const struct loop *loop, const struct watched *w, const struct figures *f)
{
  bool share = w->entry->kind != TPO_WATCH_RULE;
  char name[LOOP_PLACE], against[96] = "", unparsed[64];
  int decimals = share ? 1 : 3;
  tell_unparsed(f, "; ", unparsed);
  loop_model_name(loop, loop->iteration, name);
  if (loop->iteration > 0 && isfinite(f->difference_se))
    snprintf(against, sizeof against, " (%+.*f ± %.*f against the start)", decimals, shown(w, f->difference),
             decimals, shown(w, f->difference_se));
  else if (loop->iteration > 0 && isfinite(f->difference))
    snprintf(against, sizeof against, " (%+.*f against the start, by one instruction)", decimals,
             shown(w, f->difference));
  if (isfinite(f->value))
    tpo_log(TPO_LOG_INFO, "%s: watch %s: %s %.*f%s%s%s", name, w->entry->name,
            watch_kind_value(w->entry->kind), decimals, shown(w, f->value), share ? " %" : "", against,
            unparsed);
  else
    tpo_log(TPO_LOG_WARN, "%s: watch %s has no value: no response could be scored", name, w->entry->name);
  if (loop->iteration > 0 && is_loss(f))
    tpo_log(TPO_LOG_WARN, "%s: watch %s is worse than at the start by more than two standard errors", name,
            w->entry->name);
}

static json_t *number(double value)
{
  return isfinite(value) ? json_real(value) : json_null();
}

/* Takes more, the figures of the kind's own. */
static json_t *event_of(const struct watched *w, const struct figures *f, const struct tpo_samples *samples,
                        const struct tpo_redraw_counts *redrawn, double seconds, json_t *more)
{
  double share = samples->n ? (double)redrawn->unparsed / (double)samples->n : NAN;
  json_t *event = json_pack(
      "{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:I, s:o, s:o, s:I, s:I, s:o, s:I, s:I, s:f}", "name",
      w->entry->name, "kind", watch_kind_name(w->entry->kind), "instructions", w->instructions_hash, "n",
      (json_int_t)f->n, "samples", (json_int_t)samples->n, "value", number(f->value), "value_se",
      number(f->se), "compared", (json_int_t)f->n_paired, "difference", number(f->difference),
      "difference_se", number(f->difference_se), "resampled", (json_int_t)redrawn->resampled, "unparsed",
      (json_int_t)redrawn->unparsed, "unparsed_share", number(share), "cut", (json_int_t)f->cut, "unjudged",
      (json_int_t)f->unjudged, "seconds", seconds);
  if (event && json_object_update(event, more) < 0) {
    json_decref(event);
    event = NULL;
  }
  json_decref(more);
  return event;
}

/* To the file, and into the metrics. Rank 0. Takes more. */
static int keep(struct loop *loop, const struct watched *w, struct tpo_samples *samples,
                const struct tpo_redraw_counts *redrawn, double seconds, json_t *more, struct tpo_error *err)
{
  char path[4096];
  struct tpo_samples start = {0};
  struct figures f = {0};
  samples->config = strdup(loop->config_yaml);
  int status = watch_path(loop, loop->iteration, w, ".h5", path, err);
  if (status == 0) status = tpo_samples_write(samples, path, err);
  if (status == 0 && loop->iteration > 0) status = watch_path(loop, 0, w, ".h5", path, err);
  if (status == 0 && loop->iteration > 0) status = tpo_samples_read(&start, path, err);
  if (status == 0) status = reckon(w, loop->iteration > 0 ? &start : samples, samples, &f, err);
  tpo_samples_free(&start);
  if (status < 0) {
    json_decref(more);
    return status;
  }
  tell(loop, w, &f);
  return loop_event(loop, "watch", event_of(w, &f, samples, redrawn, seconds, more), err);
}

static int answer(struct loop *loop, const struct watched *w, struct tpo_samples *samples,
                  struct tpo_redraw_counts *redrawn, struct tpo_error *err)
{
  char journal[4096];
  struct tpo_session session = *loop->session;
  struct eval_draw draw = eval_draw_of(&w->settings);
  session.config = &w->settings;
  draw.sampling = w->settings.sampling;
  draw.retry_temperature = w->retry_temperature;
  draw.what = "watching";
  draw.journal = journal;
  draw.drop_other = true;
  int status = watch_path(loop, loop->iteration, w, ".h5" LOOP_JOURNAL, journal, err);
  if (status == 0)
    status = eval_answer(&session, &loop->policy, &w->instructions, &draw, samples, redrawn, err);
  return loop_agree(loop, status, err);
}

static int share(struct loop *loop, struct watched *w, struct tpo_error *err)
{
  if (w->shared) return 0;
  int status = loop_share_instructions(loop, &w->instructions, err);
  w->shared = status == 0;
  return status;
}

int step_watch(struct loop *loop, struct tpo_error *err)
{
  struct watched *w = &loop->watched[loop->watching];
  struct tpo_samples samples = {0};
  struct tpo_redraw_counts redrawn;
  json_t *more = loop->first ? json_object() : NULL;
  double begin = tpo_seconds();
  int status = loop->first && !more ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : 0;
  status = loop_agree(loop, status, err);
  if (status == 0) status = share(loop, w, err);
  if (status == 0) status = loop_use_policy(loop, loop->iteration + 1, err);
  if (status == 0) status = answer(loop, w, &samples, &redrawn, err);
  if (status == 0) status = loop_agree(loop, watch_kind_score(loop->session, w, &samples, more, err), err);
  if (status == 0 && loop->first)
    status = keep(loop, w, &samples, &redrawn, tpo_seconds() - begin, more, err);
  else
    json_decref(more);
  tpo_samples_free(&samples);
  return loop_agree(loop, status, err);
}

static int tell_start(struct loop *loop, struct watched *w, struct tpo_buf *out, struct tpo_error *err)
{
  char path[4096], before[32] = "none", after[32] = "none", unparsed[64];
  struct tpo_samples start = {0}, end = {0};
  struct figures f = {0};
  const char *format = w->entry->kind == TPO_WATCH_RULE ? "%.3f" : "%.1f %%";
  int status = watch_path(loop, 0, w, ".h5", path, err), decimals = w->entry->kind == TPO_WATCH_RULE ? 3 : 1;
  if (status == 0) status = tpo_samples_read(&start, path, err);
  if (status == 0) status = watch_path(loop, tpo_run_iterations(&loop->config->run), w, ".h5", path, err);
  if (status == 0) status = tpo_samples_read(&end, path, err);
  if (status == 0) status = reckon(w, &start, &end, &f, err);
  tpo_samples_free(&start);
  tpo_samples_free(&end);
  if (status < 0) return status;
  if (isfinite(f.base)) snprintf(before, sizeof before, format, shown(w, f.base));
  if (isfinite(f.value)) snprintf(after, sizeof after, format, shown(w, f.value));
  tpo_buf_printf(out, "  %-24s %10s %10s", w->entry->name, before, after);
  if (isfinite(f.difference)) tpo_buf_printf(out, "   %+.*f", decimals, shown(w, f.difference));
  if (isfinite(f.difference_se)) tpo_buf_printf(out, " ± %.*f", decimals, shown(w, f.difference_se));
  tell_unparsed(&f, "   ", unparsed);
  tpo_buf_printf(out, "%s%s\n",
                 is_loss(&f) ? "   WORSE than at the start, by more than two standard errors" : "", unparsed);
  return 0;
}

static bool is_measured(const struct loop *loop, const struct watched *w)
{
  char step[WATCH_STEP];
  watch_step_name(w, "", step);
  return manifest_has(&loop->manifest, 0, step) &&
         manifest_has(&loop->manifest, tpo_run_iterations(&loop->config->run), step);
}

int loop_watch_text(struct loop *loop, struct tpo_buf *out, struct tpo_error *err)
{
  int n = loop->config->run.n_watch, status = 0;
  char name[LOOP_PLACE];
  if (n == 0) return 0;
  tpo_buf_printf(out, "\n%-26s %10s %10s   paired difference\n", "Watched besides:", "before", "after");
  for (int i = 0; i < n && status == 0; i++) {
    struct watched *w = &loop->watched[i];
    if (is_measured(loop, w))
      status = tell_start(loop, w, out, err);
    else
      tpo_buf_printf(out, "  %-24s not measured: %s, which is half done, comes first\n", w->entry->name,
                     loop_model_name(loop, manifest_last(&loop->manifest), name));
  }
  return status;
}
