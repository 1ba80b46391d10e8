/* The status as a person reads it. */
#include <math.h>
#include <string.h>

#include "base/visible.h"
#include "report/html.h"
#include "report/load.h"
#include "report/status/status.h"

enum { MOST_TOLD = 16 };

static const char *text_of(const json_t *object, const char *key)
{
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

/* Of a file that anybody may have written. */
static void put_text(struct tpo_buf *out, const json_t *object, const char *key)
{
  const char *text = text_of(object, key);
  tpo_visible_append(out, text, strlen(text));
}

static void put_ago(struct tpo_buf *out, double seconds)
{
  if (!isfinite(seconds)) return;
  html_duration(out, fmax(seconds, 0));
  tpo_buf_puts(out, " ago");
}

static void put_state(struct tpo_buf *out, const json_t *facts)
{
  const char *state = text_of(facts, "state");
  bool owned = *text_of(facts, "owner");
  tpo_buf_puts(out, "state        ");
  put_text(out, facts, "state");
  if (owned || (*text_of(facts, "message") && strcmp(state, "finished") != 0)) tpo_buf_puts(out, ": ");
  put_text(out, facts, owned ? "owner" : strcmp(state, "finished") != 0 ? "message" : "");
  if (strcmp(state, "working") == 0) {
    tpo_buf_puts(out, ", whose heartbeat is ");
    html_duration(out, fmax(report_number(facts, "heartbeat"), 0));
    tpo_buf_puts(out, " old");
  } else if (strcmp(state, "gone") == 0)
    tpo_buf_puts(out, " worked here and is no more, without having ended the run; --resume goes on");
  else if (strcmp(state, "silent") == 0) {
    tpo_buf_puts(out, " worked here, and gave its last sign of life ");
    put_ago(out, report_number(facts, "heartbeat"));
    tpo_buf_puts(out, " by this host's clock");
  }
  tpo_buf_putc(out, '\n');
}

/* A count as people write it: one beyond any that there is, by its size alone. */
static void put_count(struct tpo_buf *out, double n)
{
  tpo_buf_printf(out, fabs(n) < 1e15 ? "%.0f" : "%.3g", n);
}

static void put_phase(struct tpo_buf *out, const json_t *facts)
{
  double done = report_number(facts, "done"), total = report_number(facts, "total"),
         rate = report_number(facts, "rate"), updated = report_number(facts, "updated");
  if (!*text_of(facts, "phase")) return;
  tpo_buf_puts(out, "phase        ");
  put_text(out, facts, "phase");
  if (isfinite(done)) {
    tpo_buf_puts(out, ": ");
    put_count(out, done);
    if (total > 0) tpo_buf_puts(out, " of ");
    if (total > 0) put_count(out, total);
    tpo_buf_putc(out, ' ');
    put_text(out, facts, "unit");
    if (total > 0 && done >= 0 && done <= total) tpo_buf_printf(out, " (%.0f %%)", 100 * done / total);
  }
  if (isfinite(rate)) tpo_buf_printf(out, ", %.3g a second", rate);
  if (isfinite(report_number(facts, "seconds_left"))) {
    tpo_buf_puts(out, ", ");
    html_duration(out, report_number(facts, "seconds_left"));
    tpo_buf_puts(out, " left of the phase");
  }
  if (*text_of(facts, "note")) tpo_buf_puts(out, "; ");
  put_text(out, facts, "note");
  if (isfinite(updated)) tpo_buf_puts(out, "\ntold         ");
  put_ago(out, updated);
  tpo_buf_putc(out, '\n');
}

/* " of iteration 3" */
static void put_iteration(struct tpo_buf *out, const json_t *object)
{
  double iteration = report_number(object, "iteration");
  if (!isfinite(iteration)) return;
  tpo_buf_puts(out, " of iteration ");
  put_count(out, iteration);
}

static void put_place(struct tpo_buf *out, const json_t *facts)
{
  const json_t *last = json_object_get(facts, "finished");
  double iteration = report_number(facts, "iteration"), iterations = report_number(facts, "iterations");
  if (isfinite(iteration)) {
    tpo_buf_puts(out, "iteration    ");
    put_count(out, iteration);
    if (isfinite(iterations)) tpo_buf_puts(out, " of ");
    if (isfinite(iterations)) put_count(out, iterations);
    if (isfinite(report_number(facts, "ranks")))
      tpo_buf_printf(out, ", on %.0f rank(s)", report_number(facts, "ranks"));
    tpo_buf_putc(out, '\n');
  }
  if (!last) return;
  tpo_buf_puts(out, "finished     ");
  put_text(out, last, "step");
  put_iteration(out, last);
  tpo_buf_puts(out, ", and all before it, in ");
  html_duration(out, report_number(facts, "finished_seconds"));
  tpo_buf_putc(out, '\n');
}

static void put_kept(struct tpo_buf *out, const json_t *facts)
{
  double age = report_number(facts, "checkpoint_age"), training = report_number(facts, "training_kept");
  if (*text_of(facts, "checkpoint")) {
    tpo_buf_puts(out, "checkpoint   ");
    put_text(out, facts, "checkpoint");
    tpo_buf_puts(out, isfinite(age) ? ", " : ", which is not there");
    put_ago(out, age);
    tpo_buf_putc(out, '\n');
  }
  if (!isfinite(training)) return;
  tpo_buf_puts(out, "training     its state was kept ");
  put_ago(out, training);
  tpo_buf_putc(out, '\n');
}

static void put_event(struct tpo_buf *out, const json_t *facts)
{
  const json_t *event = json_object_get(facts, "last_event");
  if (!event) return;
  tpo_buf_puts(out, "last event   ");
  put_text(out, event, "event");
  put_iteration(out, event);
  if (isfinite(report_number(event, "step"))) {
    tpo_buf_puts(out, ", step ");
    put_count(out, report_number(event, "step") + 1);
  }
  if (isfinite(report_number(event, "loss")))
    tpo_buf_printf(out, ", loss %.4g", report_number(event, "loss"));
  if (isfinite(report_number(event, "mean_score")))
    tpo_buf_printf(out, ", mean score %.4g", report_number(event, "mean_score"));
  if (isfinite(report_number(event, "age"))) tpo_buf_puts(out, ", ");
  put_ago(out, report_number(event, "age"));
  tpo_buf_putc(out, '\n');
}

static void put_ranks(struct tpo_buf *out, const json_t *facts)
{
  const json_t *list = json_object_get(facts, "last_written"), *sign;
  size_t i;
  if (!list) return;
  tpo_buf_puts(out, "ranks        what each kept last, behind the newest of all:");
  json_array_foreach(list, i, sign)
  {
    if (i == MOST_TOLD) {
      tpo_buf_printf(out, ", … (%zu; --json has all)", json_array_size(list));
      break;
    }
    tpo_buf_printf(out, "%s %.0f: ", i ? "," : "", report_number(sign, "rank"));
    html_duration(out, report_number(sign, "behind"));
  }
  tpo_buf_putc(out, '\n');
}

void status_text(const json_t *facts, struct tpo_buf *out)
{
  tpo_buf_puts(out, "run          ");
  put_text(out, facts, "run");
  tpo_buf_putc(out, '\n');
  put_state(out, facts);
  put_place(out, facts);
  if (strcmp(text_of(facts, "state"), "finished") != 0) put_phase(out, facts);
  put_kept(out, facts);
  put_event(out, facts);
  if (strcmp(text_of(facts, "state"), "finished") != 0) put_ranks(out, facts);
}
