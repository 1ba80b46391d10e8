/* Annotations become metrics, raw and length-controlled. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/eval/alpaca.h"
#include "eval/alpaca/leaderboard.h"
#include "eval/alpaca/outputs.h"
#include "eval/provenance.h"

static int read_c(struct invocation *in, double *out, struct tpo_error *err)
{
  const char *text = option_value(in, "--c");
  char *end = NULL;
  *out = NAN;
  if (!text) return 0;
  *out = strtod(text, &end);
  if (end != text && !*end && *out > 0 && isfinite(*out)) return 0;
  return tpo_fail(err, TPO_E_USAGE, "tpo eval alpaca: --c is %.60s; expected a number above 0", text);
}

int alpaca_metrics_read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err)
{
  r->difficulty = option_value(in, "--difficulty");
  r->gamed = option_value(in, "--gamed");
  return read_c(in, &r->c, err);
}

static const char *why_uncontrolled(const struct alpaca_request *r, const struct alpaca_given *given)
{
  if (!r->gamed)
    return "--gamed was not given: the regression is fitted together with the gamed baseline's rows, without which it "
           "gives other numbers";
  return given->n_difficulty > 0
             ? NULL
             : "--difficulty was not given, and the gamed rows have no instruction_difficulty";
}

static int control(const struct alpaca_request *r, const struct alpaca_annotations *a, const char *place,
                   const struct alpaca_given *given, struct alpaca_controlled *out, struct tpo_error *err)
{
  const char *why = alpaca_is_baseline(a) ? NULL : why_uncontrolled(r, given);
  *out = (struct alpaca_controlled){.win_rate = NAN, .standard_error = NAN, .c = NAN};
  if (why) {
    snprintf(out->missing, sizeof out->missing, "%s", why);
    return 0;
  }
  int status = alpaca_controlled_of(a, given, r->c, place, out, err);
  if (status == 0 && *out->missing) tpo_log(TPO_LOG_WARN, "no length-controlled win rate: %s", out->missing);
  return status;
}

static int write_leaderboards(const struct alpaca_request *r, const struct alpaca_metrics *m,
                              struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < 2 && status == 0; i++)
    if (*r->leaderboards_to.paths[i]) status = alpaca_leaderboard_put(m, r->leaderboards_to.paths[i], err);
  return status;
}

/* Fields that the outputs had already, their mean length, become the metrics'. */
static int put(const struct alpaca_request *r, const struct alpaca_annotations *a, const char *place,
               struct alpaca_parts *parts, struct tpo_error *err)
{
  struct alpaca_metrics m = {.model = a->model        ? a->model
                                      : *r->generator ? r->generator
                                                      : NULL,
                             .baseline = a->baseline,
                             .annotator = a->annotator,
                             .both_positions = a->both_positions,
                             .lengths_of = "annotations"};
  alpaca_raw_of(a, &m.raw);
  m.mean_length = m.raw.mean_length;
  if (parts->outputs) {
    m.mean_length = alpaca_outputs_mean_length(parts->outputs);
    m.lengths_of = "outputs";
  }
  int status = control(r, a, place, &parts->given, &m.controlled, err);
  json_t *fields = status == 0 ? alpaca_result(&m) : NULL;
  if (status == 0 && (!fields || json_object_update(parts->result, fields) < 0))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
  json_decref(fields);
  return status < 0 ? status : write_leaderboards(r, &m, err);
}

static int rename_model(struct alpaca_annotations *a, const char *name, struct tpo_error *err)
{
  free(a->model);
  a->model = strdup(name);
  return a->model ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for a name");
}

/* Those that were just written are read like any others. */
int alpaca_get_metrics(const struct alpaca_request *r, struct alpaca_parts *parts, struct tpo_error *err)
{
  struct alpaca_annotations a = {0};
  const char *path = r->annotations ? r->annotations : alpaca_place(&r->annotations_to);
  int status = alpaca_annotations_read(&a, path, err);
  if (status == 0 && r->renames) status = rename_model(&a, r->generator, err);
  if (status == 0) status = eval_provenance_file(parts->provenance, "annotations", path, err);
  if (status == 0) status = put(r, &a, path, parts, err);
  alpaca_annotations_free(&a);
  return status;
}
