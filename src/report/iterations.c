/* The table of iterations: a row a quantity, a column an iteration, so that it stays readable on a narrow
 * page. */
#include <math.h>
#include <string.h>
#include "report/html.h"
#include "report/parts.h"
#include "report/position.h"
#include "report/segments.h"

struct context {
  const struct report *report;
  const struct report_iteration *it;
};

struct row {
  const char *name, *about; /* about: a sentence for who does not know the term */
  enum report_event event;
  const char *key;
  int decimals;
  enum { NUMBER, PERCENT, OWN } kind;
  bool (*put)(struct tpo_buf *out, const struct context *c); /* OWN; false: nothing to show */
};

static bool put_validation(struct tpo_buf *out, const struct context *c)
{
  double score = report_validation(c->it);
  if (isfinite(score)) html_number(out, score, 3);
  return isfinite(score);
}

static bool put_difference(struct tpo_buf *out, const struct context *c)
{
  double difference = report_event_number(c->it, EVENT_VALIDATE, "difference");
  if (c->it->number == 0 || !isfinite(difference)) return false;
  html_signed(out, difference, 3);
  html_error(out, report_event_number(c->it, EVENT_VALIDATE, "difference_se"), 3);
  return true;
}

static bool put_sampling_rate(struct tpo_buf *out, const struct context *c)
{
  double rate = report_event_number(c->it, EVENT_SAMPLE, "tokens") /
                report_event_number(c->it, EVENT_SAMPLE, "seconds");
  if (isfinite(rate)) html_number(out, rate, 0);
  return isfinite(rate);
}

/* The value of a field at the iteration's first and last training step, and how many there are. */
static size_t step_ends(const struct context *c, enum report_field field, double *first, double *last)
{
  size_t n = 0;
  for (size_t i = 0; i < c->report->n_steps; i++) {
    const struct report_step *step = &c->report->steps[i];
    if (step->iteration != c->it->number || step->skipped) continue;
    if (n++ == 0) *first = step->values[field];
    *last = step->values[field];
  }
  return n;
}

static bool put_ends(struct tpo_buf *out, const struct context *c, enum report_field field, int decimals)
{
  double first, last;
  if (step_ends(c, field, &first, &last) == 0) return false;
  html_number(out, first, decimals);
  tpo_buf_puts(out, " → ");
  html_number(out, last, decimals);
  return true;
}

static bool put_loss(struct tpo_buf *out, const struct context *c)
{
  return put_ends(out, c, FIELD_LOSS, 4);
}

static bool put_margin(struct tpo_buf *out, const struct context *c)
{
  return put_ends(out, c, FIELD_MARGIN, 3);
}

static bool put_accuracy(struct tpo_buf *out, const struct context *c)
{
  return put_ends(out, c, FIELD_ACCURACY, 2);
}

static bool put_step_count(struct tpo_buf *out, const struct context *c, bool skipped)
{
  size_t n = 0;
  for (size_t i = 0; i < c->report->n_steps; i++)
    n += c->report->steps[i].iteration == c->it->number && (!skipped || c->report->steps[i].skipped);
  if (n) html_number(out, (double)n, 0);
  return n > 0;
}

static bool put_steps(struct tpo_buf *out, const struct context *c)
{
  return put_step_count(out, c, false);
}

static bool put_skipped(struct tpo_buf *out, const struct context *c)
{
  return put_step_count(out, c, true);
}

static bool put_training_rate(struct tpo_buf *out, const struct context *c)
{
  double tokens = 0, seconds = 0;
  for (size_t i = 0; i < c->report->n_steps; i++) {
    const struct report_step *step = &c->report->steps[i];
    if (step->iteration != c->it->number || !isfinite(step->values[FIELD_TOKENS]) ||
        !isfinite(step->values[FIELD_SECONDS]))
      continue;
    tokens += step->values[FIELD_TOKENS];
    seconds += step->values[FIELD_SECONDS];
  }
  double rate = tokens / seconds;
  if (isfinite(rate)) html_number(out, rate, 0);
  return isfinite(rate);
}

static bool put_epochs(struct tpo_buf *out, const struct context *c)
{
  double kept = report_event_number(c->it, EVENT_SELECTED, "epoch");
  size_t i;
  json_t *epoch;
  json_array_foreach(c->it->epochs, i, epoch)
  {
    double number = report_number(epoch, "epoch");
    bool is_kept = number == kept;
    tpo_buf_puts(out, i ? "<br>" : "");
    html_number(out, number, 0);
    tpo_buf_puts(out, is_kept ? ": <strong>" : ": ");
    html_number(out, report_number(epoch, "score"), 3);
    if (is_kept) tpo_buf_puts(out, "</strong> kept");
  }
  return json_array_size(c->it->epochs) > 0;
}

/* One that moves from segment to segment has a range; the event has the last segment's. */
static bool put_rho(struct tpo_buf *out, const struct context *c)
{
  double low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < c->report->n_segments; i++) {
    const struct report_segment *segment = &c->report->segments[i];
    if (segment->iteration != c->it->number || !isfinite(segment->values[SEGMENT_RHO])) continue;
    low = fmin(low, segment->values[SEGMENT_RHO]);
    high = fmax(high, segment->values[SEGMENT_RHO]);
  }
  if (low > high) low = high = report_event_number(c->it, EVENT_PAIRS, "rho");
  if (!isfinite(low)) return false;
  html_number(out, low, 2);
  if (low < high) {
    tpo_buf_puts(out, " to ");
    html_number(out, high, 2);
  }
  return true;
}

/* What else the judge counted; those that are 0, and what is no number, are left out. */
static bool put_counts(struct tpo_buf *out, const struct context *c)
{
  enum { MOST_COUNTS = 48, MOST_NAME = 48 };
  int shown = 0;
  const char *name;
  json_t *value;
  json_object_foreach(json_object_get(c->it->events[EVENT_JUDGE], "counts"), name, value)
  {
    if (!json_is_number(value) || json_number_value(value) == 0) continue;
    if (shown == MOST_COUNTS) {
      tpo_buf_puts(out, "<br>…");
      break;
    }
    if (shown++) tpo_buf_puts(out, "<br>");
    html_excerpt(out, name, MOST_NAME);
    tpo_buf_puts(out, ": ");
    html_number(out, json_number_value(value), json_is_integer(value) ? 0 : 3);
  }
  return shown > 0;
}

static bool put_gap(struct tpo_buf *out, const struct context *c)
{
  double largest = report_event_number(c->it, EVENT_GAP, "max");
  double mean = report_event_number(c->it, EVENT_GAP, "mean");
  if (!isfinite(largest) && !isfinite(mean)) return false;
  html_number(out, largest, 4);
  tpo_buf_puts(out, " / ");
  html_number(out, mean, 4);
  return true;
}

static bool put_win_rate(struct tpo_buf *out, const struct context *c, enum report_event event)
{
  double rate = report_event_number(c->it, event, "win_rate");
  if (!isfinite(rate)) return false;
  html_percent(out, rate, 1);
  html_error(out, 100 * report_event_number(c->it, event, "standard_error"), 1);
  return true;
}

static bool put_win_previous(struct tpo_buf *out, const struct context *c)
{
  return put_win_rate(out, c, EVENT_WIN_PREVIOUS);
}

static bool put_win_baseline(struct tpo_buf *out, const struct context *c)
{
  return put_win_rate(out, c, EVENT_WIN_BASELINE);
}

static bool put_quartiles(struct tpo_buf *out, const struct context *c, enum report_event event,
                          const char *const keys[3], int decimals)
{
  bool any = false;
  for (int q = 0; q < 3; q++) {
    double value = report_event_number(c->it, event, keys[q]);
    any |= isfinite(value);
    if (q > 0) tpo_buf_puts(out, " / ");
    html_number(out, value, decimals);
  }
  return any;
}

static bool put_thought_quartiles(struct tpo_buf *out, const struct context *c)
{
  static const char *const keys[] = {"thought_tokens_25", "thought_tokens_50", "thought_tokens_75"};
  return put_quartiles(out, c, EVENT_SAMPLE, keys, 0);
}

static bool put_response_quartiles(struct tpo_buf *out, const struct context *c)
{
  static const char *const keys[] = {"response_tokens_25", "response_tokens_50", "response_tokens_75"};
  return put_quartiles(out, c, EVENT_SAMPLE, keys, 0);
}

static bool put_score_quartiles(struct tpo_buf *out, const struct context *c)
{
  static const char *const keys[] = {"score_25", "score_50", "score_75"};
  return put_quartiles(out, c, EVENT_JUDGE, keys, 3);
}

static bool put_kl_output(struct tpo_buf *out, const struct context *c)
{
  double kl = report_event_number(c->it, EVENT_KL, "per_output");
  if (!isfinite(kl)) return false;
  html_number(out, kl, 3);
  html_error(out, report_event_number(c->it, EVENT_KL, "per_output_se"), 3);
  return true;
}

/* What was spent for the model up to here, in samples or in their tokens. */
static bool put_drawn(struct tpo_buf *out, const struct context *c, bool tokens)
{
  double drawn = report_drawn(c->report, c->it->number, tokens);
  if (c->it->number == 0 || !isfinite(drawn)) return false;
  html_number(out, drawn, 0);
  return true;
}

static bool put_drawn_samples(struct tpo_buf *out, const struct context *c)
{
  return put_drawn(out, c, false);
}

static bool put_drawn_tokens(struct tpo_buf *out, const struct context *c)
{
  return put_drawn(out, c, true);
}

static bool put_gain(struct tpo_buf *out, const struct context *c)
{
  double thousands = report_drawn(c->report, c->it->number, false) / 1000,
         difference = report_event_number(c->it, EVENT_VALIDATE, "difference");
  if (c->it->number == 0 || !isfinite(difference) || !(thousands > 0)) return false;
  html_signed(out, difference / thousands, 4);
  html_error(out, report_event_number(c->it, EVENT_VALIDATE, "difference_se") / thousands, 4);
  return true;
}

static bool put_phase(struct tpo_buf *out, const struct context *c, enum report_phase phase)
{
  if (!isfinite(c->it->seconds[phase])) return false;
  html_duration(out, c->it->seconds[phase]);
  return true;
}

/* The sum over the segments of a run in steps. */
static bool put_spent(struct tpo_buf *out, const struct context *c, enum report_spent spent)
{
  double seconds = report_seconds(c->it, spent);
  if (isfinite(seconds)) html_duration(out, seconds);
  return isfinite(seconds);
}

static bool put_sample_time(struct tpo_buf *out, const struct context *c)
{
  return put_spent(out, c, SPENT_SAMPLE);
}

static bool put_judge_time(struct tpo_buf *out, const struct context *c)
{
  return put_spent(out, c, SPENT_JUDGE);
}

static bool put_pairs_time(struct tpo_buf *out, const struct context *c)
{
  return !report_in_steps(c->report) && put_spent(out, c, SPENT_REFERENCE);
}

static bool put_reference_time(struct tpo_buf *out, const struct context *c)
{
  return report_in_steps(c->report) && put_spent(out, c, SPENT_REFERENCE);
}

static bool put_dpo_time(struct tpo_buf *out, const struct context *c)
{
  return put_spent(out, c, SPENT_TRAIN);
}

static bool put_wait_time(struct tpo_buf *out, const struct context *c)
{
  return put_spent(out, c, SPENT_WAIT);
}

static bool put_steps_time(struct tpo_buf *out, const struct context *c)
{
  return put_phase(out, c, PHASE_STEPS);
}

static bool put_validate_time(struct tpo_buf *out, const struct context *c)
{
  return put_phase(out, c, PHASE_VALIDATE);
}

static bool put_watch_time(struct tpo_buf *out, const struct context *c)
{
  return put_phase(out, c, PHASE_WATCH);
}

#define NUMBER_ROW(name, about, event, key, decimals)                                                        \
  {                                                                                                          \
    name, about, event, key, decimals, NUMBER, NULL                                                          \
  }
#define PERCENT_ROW(name, about, event, key)                                                                 \
  {                                                                                                          \
    name, about, event, key, 1, PERCENT, NULL                                                                \
  }
#define OWN_ROW(name, about, put)                                                                            \
  {                                                                                                          \
    name, about, EVENT_SAMPLE, NULL, 0, OWN, put                                                             \
  }
static const struct row rows[] = {
    {"Validation", NULL, 0, NULL, 0, OWN, NULL},
    OWN_ROW("score", "mean judge score on the held-back instructions", put_validation),
    OWN_ROW("difference from start", "paired by instruction, ± its standard error", put_difference),
    OWN_ROW("win rate, model before",
            "share of instructions won against the model that was validated before it, ties half, ± its "
            "standard error",
            put_win_previous),
    OWN_ROW("win rate, baseline", "the same against the run of run.baseline", put_win_baseline),
    PERCENT_ROW("format kept", "outputs with a thought and a response", EVENT_VALIDATE, "format_rate"),
    NUMBER_ROW("drawn again", "outputs that did not parse", EVENT_VALIDATE, "resampled", 0),
    PERCENT_ROW("still unparsed", "outputs that never parsed", EVENT_VALIDATE, "unparsed_share"),
    NUMBER_ROW("failures", "responses that the judge could not score", EVENT_VALIDATE, "failures", 0),
    NUMBER_ROW("left out", "instructions with such a response, which no score counts", EVENT_VALIDATE,
               "unjudged", 0),
    NUMBER_ROW("thought, tokens", NULL, EVENT_VALIDATE, "mean_thought_tokens", 1),
    NUMBER_ROW("response, tokens", NULL, EVENT_VALIDATE, "mean_response_tokens", 1),
    {"Sampling", NULL, 0, NULL, 0, OWN, NULL},
    NUMBER_ROW("prompts", NULL, EVENT_SAMPLE, "prompts", 0),
    NUMBER_ROW("samples", NULL, EVENT_SAMPLE, "samples", 0),
    PERCENT_ROW("format kept", "outputs with a thought and a response", EVENT_SAMPLE, "format_rate"),
    NUMBER_ROW("kept, strict", "samples that thought.parse: strict takes: each marker once, in order",
               EVENT_SAMPLE, "parsed_strict", 0),
    NUMBER_ROW("kept, search", "samples that thought.parse: search takes: the first markers in order",
               EVENT_SAMPLE, "parsed_search", 0),
    NUMBER_ROW("thought, tokens", NULL, EVENT_SAMPLE, "mean_thought_tokens", 1),
    OWN_ROW("thought, quartiles", "tokens below which are 25, 50 and 75 % of outputs", put_thought_quartiles),
    NUMBER_ROW("response, tokens", NULL, EVENT_SAMPLE, "mean_response_tokens", 1),
    OWN_ROW("response, quartiles", "tokens below which are 25, 50 and 75 % of outputs",
            put_response_quartiles),
    NUMBER_ROW("response, characters", NULL, EVENT_SAMPLE, "mean_response_chars", 1),
    PERCENT_ROW("repetition", "share of a response's 4-word sequences that stood in it before", EVENT_SAMPLE,
                "repetition"),
    OWN_ROW("tokens/s", "sampled, all ranks together", put_sampling_rate),
    {"Judge", NULL, 0, NULL, 0, OWN, NULL},
    NUMBER_ROW("mean score", "over outputs that have a score", EVENT_JUDGE, "mean_score", 3),
    OWN_ROW("score, quartiles", "scores below which are 25, 50 and 75 % of outputs that have one",
            put_score_quartiles),
    NUMBER_ROW("best of a prompt", "mean over prompts of the best sample's score", EVENT_JUDGE, "best_score",
               3),
    NUMBER_ROW("worst of a prompt", "mean over prompts of the worst sample's score", EVENT_JUDGE,
               "worst_score", 3),
    NUMBER_ROW("failures", "samples that the judge could not score", EVENT_JUDGE, "failures", 0),
    OWN_ROW("counted", "what the judge counted, by its names; what is 0 is left out", put_counts),
    {"Pairs", NULL, 0, NULL, 0, OWN, NULL},
    NUMBER_ROW("pairs", "a chosen and a rejected output of one prompt", EVENT_PAIRS, "pairs", 0),
    OWN_ROW("ρ", "weight of the length in z(score) − ρ z(length)", put_rho),
    NUMBER_ROW("chosen, characters", "mean length of chosen responses", EVENT_PAIRS, "mean_chosen_length", 1),
    NUMBER_ROW("rejected, characters", "mean length of rejected responses", EVENT_PAIRS,
               "mean_rejected_length", 1),
    NUMBER_ROW("chosen, tokens", "the same in tokens of the responses", EVENT_PAIRS, "mean_chosen_tokens", 1),
    NUMBER_ROW("rejected, tokens", "the same in tokens of the responses", EVENT_PAIRS, "mean_rejected_tokens",
               1),
    NUMBER_ROW("chosen − rejected, characters", "mean over pairs whose outputs both parse", EVENT_PAIRS,
               "length_difference", 1),
    NUMBER_ROW("chosen − rejected, tokens", "the same in tokens of the responses", EVENT_PAIRS,
               "length_difference_tokens", 1),
    PERCENT_ROW("prompts with ties only", "share of prompts without a pair because scores are equal",
                EVENT_PAIRS, "tie_share"),
    PERCENT_ROW("prompts without a pair", "for any of the reasons below", EVENT_PAIRS, "unpaired_share"),
    NUMBER_ROW("skipped: one score only", "prompts whose samples all have the same score", EVENT_PAIRS,
               "single_valued", 0),
    NUMBER_ROW("skipped: ties", "prompts whose best and worst are equal", EVENT_PAIRS, "ties", 0),
    NUMBER_ROW("skipped: too few usable", "prompts with fewer than two usable samples", EVENT_PAIRS,
               "too_few", 0),
    NUMBER_ROW("skipped: below margin", "prompts whose score difference is not above the margin", EVENT_PAIRS,
               "below_margin", 0),
    NUMBER_ROW("skipped: not all judged", "prompts of which the judge left a response without a score",
               EVENT_PAIRS, "unjudged", 0),
    NUMBER_ROW("samples without score", "left out because the judge failed on them", EVENT_PAIRS, "unscored",
               0),
    NUMBER_ROW("format failures", "samples without a response", EVENT_PAIRS, "parse_failures", 0),
    NUMBER_ROW("rejected for format", "pairs whose rejected output is a format failure", EVENT_PAIRS,
               "rejected_parse_failures", 0),
    NUMBER_ROW("failures passed over", "prompts whose format failures pairs.max_failure_share left out",
               EVENT_PAIRS, "failures_passed_over", 0),
    {"Training", NULL, 0, NULL, 0, OWN, NULL},
    NUMBER_ROW("pairs too long", "left out of training, as are those of the next two rows", EVENT_LEFT_OUT,
               "too_long", 0),
    NUMBER_ROW("pairs without a response", "an output has no token that carries loss", EVENT_LEFT_OUT,
               "no_response", 0),
    NUMBER_ROW("pairs of equal outputs", "chosen and rejected are the same tokens", EVENT_LEFT_OUT,
               "identical", 0),
    NUMBER_ROW("prompts cut", "to their last tokens, to fit (train.truncate)", EVENT_LEFT_OUT, "cut", 0),
    OWN_ROW("steps", NULL, put_steps),
    OWN_ROW("steps skipped", "none of the step's prompts gave a pair", put_skipped),
    OWN_ROW("loss, first → last", "before each update; ln 2 = 0.6931 at the start of DPO", put_loss),
    OWN_ROW("margin, first → last", "β times how far chosen moved ahead of rejected", put_margin),
    OWN_ROW("accuracy, first → last", "share of pairs with a positive margin", put_accuracy),
    OWN_ROW("validation after epoch", "whose weights were kept", put_epochs),
    OWN_ROW("log-probability gap, max / mean", "between sampler and trainer, a token, in nats", put_gap),
    OWN_ROW("tokens/s", "trained, all ranks together", put_training_rate),
    {"Distance from the start model", NULL, 0, NULL, 0, OWN, NULL},
    NUMBER_ROW("KL a token, k1",
               "mean log-ratio of the model that sampled "
               "to the start model over sampled tokens, in nats",
               EVENT_KL, "per_token", 5),
    NUMBER_ROW("KL a token, k3", "an estimate of the same that is never negative", EVENT_KL, "k3_per_token",
               5),
    OWN_ROW("KL an output", "mean over outputs of the log-ratio's sum, ± its standard error, in nats",
            put_kl_output),
    {"Cost", NULL, 0, NULL, 0, OWN, NULL},
    OWN_ROW("samples drawn", "for training, from the start up to here", put_drawn_samples),
    OWN_ROW("tokens drawn", "of those samples", put_drawn_tokens),
    OWN_ROW("gain for 1000 samples",
            "difference from start over thousands of samples drawn, ± its standard error", put_gain),
    {"Time", NULL, 0, NULL, 0, OWN, NULL},
    OWN_ROW("sample", NULL, put_sample_time),
    OWN_ROW("judge", NULL, put_judge_time),
    OWN_ROW("pairs", "with reference log-probabilities", put_pairs_time),
    OWN_ROW("reference", NULL, put_reference_time),
    OWN_ROW("train", NULL, put_dpo_time),
    OWN_ROW("waiting", "within these: a rank had nothing to do", put_wait_time),
    OWN_ROW("steps, all in all", "these together, with what is kept and written beside them", put_steps_time),
    OWN_ROW("validate", NULL, put_validate_time),
    OWN_ROW("watch", NULL, put_watch_time),
};
#undef NUMBER_ROW
#undef PERCENT_ROW
#undef OWN_ROW
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static bool is_group(const struct row *row)
{
  return row->kind == OWN && !row->put;
}

static bool put_cell(struct tpo_buf *out, const struct row *row, const struct context *c)
{
  if (row->kind == OWN) return row->put(out, c);
  double value = report_event_number(c->it, row->event, row->key);
  if (!isfinite(value)) return false;
  (row->kind == PERCENT ? html_percent : html_number)(out, value, row->decimals);
  return true;
}

/* Appends the row, unless no iteration has anything to show in it. */
static bool put_row(struct tpo_buf *out, const struct report *report, const struct row *row)
{
  size_t before = out->len;
  bool any = false;
  tpo_buf_puts(out, "<tr><th scope=\"row\"");
  if (row->about) {
    tpo_buf_puts(out, " title=\"");
    html_attribute(out, row->about);
    tpo_buf_putc(out, '"');
  }
  tpo_buf_puts(out, ">");
  html_text(out, row->name);
  tpo_buf_puts(out, "</th>");
  for (size_t i = 0; i < report->n_iterations; i++) {
    const struct context c = {report, &report->iterations[i]};
    tpo_buf_puts(out, "<td>");
    any |= put_cell(out, row, &c);
    tpo_buf_puts(out, "</td>");
  }
  tpo_buf_puts(out, "</tr>\n");
  if (!any && !out->failed) out->data[out->len = before] = '\0';
  return any;
}

/* What the rows mean, for readers who can't point at them. */
static void put_glossary(struct tpo_buf *out)
{
  const char *group = "";
  tpo_buf_puts(out, "<details><summary>What the rows mean</summary>\n<dl class=\"glossary\">\n");
  for (size_t r = 0; r < N_ROWS; r++) {
    if (is_group(&rows[r])) group = rows[r].name;
    if (!rows[r].about) continue;
    tpo_buf_printf(out, "<dt>%s: ", group);
    html_text(out, rows[r].name);
    tpo_buf_puts(out, "</dt><dd>");
    html_text(out, rows[r].about);
    tpo_buf_puts(out, "</dd>\n");
  }
  tpo_buf_puts(out, "</dl></details>\n");
}

void part_table(struct tpo_buf *out, const struct report *report)
{
  if (report->n_iterations == 0) return;
  tpo_buf_printf(out,
                 "<section id=\"iterations\">\n<h2>%ss</h2>\n"
                 "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of %ss\">"
                 "<table class=\"iterations\">\n<thead><tr>"
                 "<th scope=\"col\"><span class=\"sr\">quantity</span></th>",
                 report_unit(report, true), report_unit(report, false));
  for (size_t i = 0; i < report->n_iterations; i++)
    put_column_head(out, report, report->iterations[i].number);
  tpo_buf_puts(out, "</tr></thead>\n");
  for (size_t r = 0; r < N_ROWS;) {
    size_t before = out->len;
    bool any = false;
    tpo_buf_printf(out, "<tbody>\n<tr class=\"group\"><th colspan=\"%zu\" scope=\"rowgroup\">%s</th></tr>\n",
                   report->n_iterations + 1, rows[r].name);
    for (r++; r < N_ROWS && !is_group(&rows[r]); r++) any |= put_row(out, report, &rows[r]);
    tpo_buf_puts(out, "</tbody>\n");
    if (!any && !out->failed) out->data[out->len = before] = '\0';
  }
  tpo_buf_puts(out, "</table></div>\n");
  put_glossary(out);
  tpo_buf_puts(out, "</section>\n");
}
