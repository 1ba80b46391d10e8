/* Metrics written out. */
#include "eval/alpaca/result.h"

#include <math.h>

static json_t *number(double x)
{
  return isfinite(x) ? json_real(x) : json_null();
}

static json_t *text(const char *value)
{
  return value ? json_string(value) : json_null();
}

/* As alpaca_eval cuts it. */
static json_t *whole(double x)
{
  return isfinite(x) ? json_integer((json_int_t)x) : json_null();
}

static void put_coefficients(json_t *out, const struct alpaca_controlled *c)
{
  json_object_set_new(out, "c", number(c->c));
  json_object_set_new(out, "c_chosen_by",
                      isnan(c->c) ? json_null()
                                  : json_string(c->cross_validated ? "cross-validation" : "--c"));
  json_object_set_new(
      out, "coefficients",
      *c->missing ? json_null()
                  : json_pack("{s:f, s:f, s:f}", "length", c->b[0], "difficulty", c->b[1], "model", c->b[2]));
  if (!c->cross_validated || *c->missing) return;
  json_t *tried = json_array();
  for (int k = 0; k < ALPACA_CS; k++)
    json_array_append_new(tried, json_pack("{s:f, s:f}", "c", c->cs[k], "log_loss", c->scores[k]));
  json_object_set_new(out, "cross_validation", tried);
}

static void put_raw(json_t *out, const struct alpaca_raw *raw)
{
  json_object_set_new(out, "win_rate", number(raw->win_rate));
  json_object_set_new(out, "standard_error", number(raw->standard_error));
  json_object_set_new(out, "n_wins", json_integer((json_int_t)raw->n_wins));
  json_object_set_new(out, "n_wins_base", json_integer((json_int_t)raw->n_wins_base));
  json_object_set_new(out, "n_draws", json_integer((json_int_t)raw->n_draws));
  json_object_set_new(out, "n_total", json_integer((json_int_t)raw->n_total));
  json_object_set_new(out, "n_missing", json_integer((json_int_t)raw->n_missing));
  json_object_set_new(out, "discrete_win_rate", number(raw->discrete_win_rate));
}

/* A sentence under the name of each number that is null. */
static json_t *missing(const struct alpaca_metrics *m)
{
  json_t *out = json_object();
  const char *few = m->raw.n_total == 0 ? "no row has a preference" : "one row has no standard error";
  if (isnan(m->raw.win_rate)) json_object_set_new(out, "win_rate", json_string(few));
  if (isnan(m->raw.discrete_win_rate)) json_object_set_new(out, "discrete_win_rate", json_string(few));
  if (isnan(m->raw.standard_error)) json_object_set_new(out, "standard_error", json_string(few));
  if (isnan(m->mean_length))
    json_object_set_new(out, "avg_length",
                        json_string("the annotations have no lengths, and no outputs were given"));
  if (*m->controlled.missing) {
    json_object_set_new(out, "length_controlled_winrate", json_string(m->controlled.missing));
    json_object_set_new(out, "lc_standard_error", json_string(m->controlled.missing));
  } else if (isnan(m->controlled.standard_error))
    json_object_set_new(out, "lc_standard_error", json_string("one row has no standard error"));
  if (!*m->controlled.missing && isnan(m->controlled.c))
    json_object_set_new(out, "c",
                        json_string("the model is the baseline: 50 by construction, without a fit"));
  return out;
}

json_t *alpaca_result(const struct alpaca_metrics *m)
{
  json_t *out = json_object(), *why = missing(m);
  json_object_set_new(out, "model", text(m->model));
  json_object_set_new(out, "baseline", text(m->baseline));
  json_object_set_new(out, "annotator", text(m->annotator));
  if (m->both_positions) json_object_set_new(out, "variant", json_string("both positions"));
  put_raw(out, &m->raw);
  json_object_set_new(out, "length_controlled_winrate", number(m->controlled.win_rate));
  json_object_set_new(out, "lc_standard_error", number(m->controlled.standard_error));
  json_object_set_new(out, "avg_length", whole(m->mean_length));
  json_object_set_new(out, "lengths_of", text(isnan(m->mean_length) ? NULL : m->lengths_of));
  put_coefficients(out, &m->controlled);
  if (json_object_size(why) > 0)
    json_object_set_new(out, "missing", why);
  else
    json_decref(why);
  return out;
}
