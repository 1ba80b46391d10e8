/* Difficulties and gamed rows, from our columns and from upstream's CSVs. */
#include "eval/alpaca/given.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/rows.h"

enum { MOST_POSITIONS = 1 << 24 };

double alpaca_difficulty_at(const struct alpaca_given *given, size_t position)
{
  return position < given->n_difficulty ? given->difficulty[position] : NAN;
}

int alpaca_require_difficulty(const struct alpaca_given *given, size_t position, const char *place,
                              size_t row, struct tpo_error *err)
{
  if (!isnan(alpaca_difficulty_at(given, position))) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: row %zu is of instruction %zu (from 0), of which %s gives no difficulty", place,
                  row + 1, position, given->difficulties_of ? given->difficulties_of : "no file");
}

int alpaca_given_check(const struct alpaca_given *given, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < given->n_gamed && status == 0; i++)
    status = alpaca_require_difficulty(given, given->gamed[i].position,
                                       given->gamed_of ? given->gamed_of : "the gamed rows", i, err);
  return status;
}

static int take_finite(const struct eval_row *row, const char *name, double *out, struct tpo_error *err)
{
  char shown[EVAL_SHOWN];
  int status = eval_row_number(row, name, out, err);
  if (status < 0 || isfinite(*out)) return status;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is %s; expected a finite number", row->place, name,
                  eval_shown(*out, shown));
}

static int take_position(const struct eval_row *row, size_t *out, struct tpo_error *err)
{
  static const char *const names[] = {"index", ""};
  const char *name = eval_row_which(row, names, 2);
  double number = 0;
  char shown[EVAL_SHOWN];
  int status = take_finite(row, name ? name : "index", &number, err);
  if (status < 0) return status;
  *out = (size_t)fmax(number, 0);
  if (number >= 0 && number < MOST_POSITIONS && number == floor(number)) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is %s; expected an instruction's number, from 0", row->place,
                  name ? name : "index", eval_shown(number, shown));
}

static int set_difficulty(struct alpaca_given *given, size_t position, double value, struct tpo_error *err)
{
  int status = tpo_grow(&given->difficulty, &given->difficulty_capacity, position + 1, sizeof(double), err);
  if (status < 0) return status;
  while (given->n_difficulty <= position) given->difficulty[given->n_difficulty++] = NAN;
  given->difficulty[position] = value;
  return 0;
}

/* The column that holds difficulties: of a known name, else the one beside the number. */
static const char *difficulty_column(const struct eval_row *row)
{
  static const char *const names[] = {"difficulty", "instruction_difficulty"};
  const char *known = eval_row_which(row, names, 2), *name, *other = NULL;
  json_t *value;
  json_object_foreach((json_t *)row->fields, name, value)
  {
    if (*name && strcmp(name, "index") != 0) other = other ? "difficulty" : name;
  }
  return known ? known : other ? other : "difficulty";
}

static int take_difficulty(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct alpaca_given *given = arg;
  size_t position = 0;
  double value = 0;
  int status = take_position(row, &position, err);
  if (status == 0) status = take_finite(row, difficulty_column(row), &value, err);
  if (status < 0) return status;
  if (!isnan(alpaca_difficulty_at(given, position)))
    return tpo_fail(err, TPO_E_INPUT, "%s: instruction %zu has a difficulty already", row->place, position);
  return set_difficulty(given, position, value, err);
}

int alpaca_difficulty_read(struct alpaca_given *given, const char *path, struct tpo_error *err)
{
  given->n_difficulty = 0;
  given->difficulties_of = path;
  return eval_rows_read(path, take_difficulty, given, err);
}

static int take_chance(const struct eval_row *row, double *out, struct tpo_error *err)
{
  static const char *const names[] = {"preference", "preference_surrogate"};
  const char *column = eval_row_which(row, names, 2);
  char shown[EVAL_SHOWN];
  int status = eval_row_number(row, column ? column : "preference", out, err);
  if (status < 0 || isnan(*out) || (*out >= 0 && *out <= 1)) return status;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is %s; expected a probability, from 0 to 1", row->place,
                  column, eval_shown(*out, shown));
}

static int take_gamed(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct alpaca_given *given = arg;
  struct alpaca_gamed out = {0};
  double difficulty = 0;
  bool has = eval_row_has(row, "instruction_difficulty");
  int status = take_position(row, &out.position, err);
  if (status == 0) status = take_finite(row, "std_delta_len", &out.delta_length, err);
  if (status == 0) status = take_chance(row, &out.preference, err);
  if (status == 0 && has) status = take_finite(row, "instruction_difficulty", &difficulty, err);
  if (has) given->difficulties_of = given->gamed_of;
  if (status == 0 && has) status = set_difficulty(given, out.position, difficulty, err);
  if (status == 0)
    status = tpo_grow(&given->gamed, &given->gamed_capacity, given->n_gamed + 1, sizeof *given->gamed, err);
  if (status == 0) given->gamed[given->n_gamed++] = out;
  return status;
}

int alpaca_gamed_read(struct alpaca_given *given, const char *path, struct tpo_error *err)
{
  given->gamed_of = path;
  return eval_rows_read(path, take_gamed, given, err);
}

void alpaca_given_free(struct alpaca_given *given)
{
  free(given->difficulty);
  free(given->gamed);
  *given = (struct alpaca_given){0};
}
