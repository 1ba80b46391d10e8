/* Judges' means and deviations: taken from samples, kept in a file, applied to scores. */
#include "judge/scales.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "judge/repetition.h"

static int out_of_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for the judges' scales");
}

static const char *judge_of(const json_t *part)
{
  return json_string_value(json_object_get(part, "judge"));
}

static double raw_of(const json_t *part)
{
  return json_number_value(json_object_get(part, "raw"));
}

static double weight_of(const json_t *part)
{
  const json_t *weight = json_object_get(part, "weight");
  return weight ? json_number_value(weight) : 1;
}

/* What a judge gave: a route's detail, or a term of a sum's. */
static bool is_part(const json_t *part)
{
  return json_is_string(json_object_get(part, "judge")) && json_is_number(json_object_get(part, "raw"));
}

/* The parts that a row's score is made of; an empty list where it is not one to be scaled. *detail: that
 * of the row, which the parts belong to, or NULL. New references. */
static json_t *parts_of(const struct tpo_sample_row *row, json_t **detail)
{
  const char *text = row->score_detail;
  json_t *parts = json_array(), *part;
  *detail = row->scored ? tpo_json_parse(text, strlen(text), "detail", NULL) : NULL;
  const json_t *terms = json_object_get(*detail, "terms");
  size_t i;
  json_array_foreach(terms, i, part)
  {
    if (is_part(part)) json_array_append(parts, part);
  }
  bool compared = json_object_get(json_object_get(*detail, "detail"), "comparisons");
  if (is_part(*detail) && !compared) json_array_append(parts, *detail);
  return parts;
}

/* {JUDGE: {"mean": x, "sd": x, "responses": n}}; empty when there is no file. NULL with err set. */
static json_t *read_scales(const char *path, struct tpo_error *err)
{
  if (!path || !tpo_file_exists(path)) {
    json_t *none = json_object();
    if (!none) out_of_memory(err);
    return none;
  }
  json_t *scales = tpo_json_load(path, 1u << 20, err), *scale;
  if (!scales) return NULL;
  const char *judge;
  bool ok = json_is_object(scales);
  json_object_foreach(scales, judge, scale)
  {
    const json_t *mean = json_object_get(scale, "mean"), *sd = json_object_get(scale, "sd");
    ok = ok && json_is_number(mean) && json_is_number(sd) && isfinite(json_number_value(mean)) &&
         isfinite(json_number_value(sd)) && json_number_value(sd) > 0;
    if (!ok) break;
  }
  if (ok) return scales;
  tpo_fail(
      err, TPO_E_INPUT,
      "%s: expected an object with a finite \"mean\" and a \"sd\" above 0 for each judge, as a run writes it",
      path);
  json_decref(scales);
  return NULL;
}

/* Mean and squared deviations of a judge's scores in the batch, updated score by score (Welford). */
static int add_score(json_t *sums, const json_t *part)
{
  json_t *sum = json_object_get(sums, judge_of(part));
  double n = json_number_value(json_object_get(sum, "responses")) + 1;
  double mean = json_number_value(json_object_get(sum, "mean"));
  double squares = json_number_value(json_object_get(sum, "squares"));
  double raw = raw_of(part), next = mean + (raw - mean) / n;
  squares += (raw - mean) * (raw - next);
  if (!isfinite(squares)) return TPO_E_NUMERIC;
  json_t *now = json_pack("{s:f, s:f, s:f}", "responses", n, "mean", next, "squares", squares);
  return json_object_set_new(sums, judge_of(part), now) < 0 ? TPO_E_MEMORY : 0;
}

/* Of a row's scores, those of judges that `scales` lacks. */
static int add_scores(json_t *sums, const json_t *scales, const struct tpo_sample_row *row)
{
  int status = 0;
  size_t p;
  json_t *detail, *parts = parts_of(row, &detail), *part;
  json_array_foreach(parts, p, part)
  {
    if (status == 0 && !json_object_get(scales, judge_of(part))) status = add_score(sums, part);
  }
  json_decref(parts);
  json_decref(detail);
  return status;
}

/* Adds the scales of judges that `scales` lacks. Returns how many, or a negative error. */
static int add_scales(json_t *scales, const struct tpo_samples *samples, struct tpo_error *err)
{
  json_t *sums = json_object(), *sum;
  const char *judge;
  int status = sums ? 0 : TPO_E_MEMORY, added = 0;
  for (size_t i = 0; i < samples->n && status == 0; i++) status = add_scores(sums, scales, &samples->rows[i]);
  json_object_foreach(sums, judge, sum)
  {
    double n = json_number_value(json_object_get(sum, "responses"));
    double squares = json_number_value(json_object_get(sum, "squares"));
    double sd = n > 1 ? sqrt(squares / (n - 1)) : 0;
    if (!(sd > 0)) sd = 1;
    json_t *scale = json_pack("{s:O, s:f, s:I}", "mean", json_object_get(sum, "mean"), "sd", sd, "responses",
                              (json_int_t)n);
    if (json_object_set_new(scales, judge, scale) < 0) status = TPO_E_MEMORY;
    added++;
  }
  json_decref(sums);
  if (status == TPO_E_NUMERIC)
    return tpo_fail(err, status, "scores of a judge spread beyond what a double holds");
  return status < 0 ? out_of_memory(err) : added;
}

static int write_scales(const json_t *scales, const char *path, struct tpo_error *err)
{
  char *text = json_dumps(scales, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
  if (!text) return out_of_memory(err);
  int status = tpo_write_file(path, text, strlen(text), err);
  free(text);
  return status;
}

/* A part's score on a scale; NULL: as it is. */
static double standardised(const json_t *part, const json_t *scale)
{
  if (!scale) return raw_of(part);
  return (raw_of(part) - json_number_value(json_object_get(scale, "mean"))) /
         json_number_value(json_object_get(scale, "sd"));
}

/* Notes the scale, and what a term becomes on it. */
static int note_scale(json_t *part, const json_t *scale)
{
  json_t *noted =
      json_pack("{s:O, s:O}", "mean", json_object_get(scale, "mean"), "sd", json_object_get(scale, "sd"));
  int status = json_object_set_new(part, "scale", noted);
  if (status == 0 && json_object_get(part, "weight"))
    status = json_object_set_new(part, "standardised", json_real(standardised(part, scale)));
  return status;
}

/* The row's score of its parts, less what repetition cost. */
static int scale_parts(const struct tpo_sample_row *row, const json_t *detail, json_t *parts,
                       const json_t *scales, double *score, struct tpo_error *err)
{
  size_t p;
  json_t *part;
  *score = -repetition_taken(detail);
  json_array_foreach(parts, p, part)
  {
    const json_t *scale = json_object_get(scales, judge_of(part));
    *score += weight_of(part) * standardised(part, scale);
    if (!isfinite(*score))
      return tpo_fail(err, TPO_E_NUMERIC,
                      "sample %d of prompt %s: the score %g of %s can't be put on a scale", row->k,
                      row->prompt_id, raw_of(part), judge_of(part));
    if (note_scale(part, scale) < 0) return out_of_memory(err);
  }
  return 0;
}

/* The new detail lives in the samples' arena. */
static int scale_row(struct tpo_sample_row *row, const json_t *scales, struct tpo_arena *arena,
                     struct tpo_error *err)
{
  double score = 0;
  json_t *detail, *parts = parts_of(row, &detail);
  int status = json_array_size(parts) > 0 ? scale_parts(row, detail, parts, scales, &score, err) : 0;
  if (json_array_size(parts) > 0 && status == 0) {
    char *text = tpo_json_dump(detail), *kept = text ? tpo_arena_strdup(arena, text) : NULL;
    free(text);
    if (!kept) status = out_of_memory(err);
    if (kept) row->score = score;
    if (kept) row->score_detail = kept;
  }
  json_decref(parts);
  json_decref(detail);
  return status;
}

int scales_apply(struct tpo_samples *samples, const char *path, struct tpo_error *err)
{
  json_t *scales = read_scales(path, err);
  if (!scales) return err && err->code ? err->code : TPO_E_INPUT;
  int status = add_scales(scales, samples, err);
  if (status > 0 && path) status = write_scales(scales, path, err);
  struct tpo_arena arena = {samples->arena};
  for (size_t i = 0; i < samples->n && status >= 0; i++)
    status = scale_row(&samples->rows[i], scales, &arena, err);
  samples->arena = arena.blocks;
  json_decref(scales);
  return status < 0 ? status : 0;
}

/* The scales that are noted in details. */
static json_t *noted_scales(const struct tpo_samples *samples)
{
  json_t *scales = json_object();
  for (size_t i = 0; i < samples->n; i++) {
    size_t p;
    json_t *detail, *parts = parts_of(&samples->rows[i], &detail), *part;
    json_array_foreach(parts, p, part)
    {
      json_t *scale = json_object_get(part, "scale");
      if (scale && !json_object_get(scales, judge_of(part))) json_object_set(scales, judge_of(part), scale);
    }
    json_decref(parts);
    json_decref(detail);
  }
  return scales;
}

/* A row's score on such scales. */
static double carried_over(const struct tpo_sample_row *row, const json_t *scales)
{
  size_t p;
  bool scaled = false;
  json_t *detail, *parts = parts_of(row, &detail), *part;
  double score = -repetition_taken(detail);
  json_array_foreach(parts, p, part)
  {
    const json_t *own = json_object_get(part, "scale"), *scale = json_object_get(scales, judge_of(part));
    scaled = scaled || own;
    score += weight_of(part) * standardised(part, scale ? scale : own);
  }
  json_decref(parts);
  json_decref(detail);
  return scaled ? score : row->score;
}

int scales_carry_over(const struct tpo_samples *samples, const struct tpo_samples *other, double *scores,
                      struct tpo_error *err)
{
  json_t *scales = noted_scales(samples);
  if (!scales) return out_of_memory(err);
  for (size_t i = 0; i < other->n; i++) scores[i] = carried_over(&other->rows[i], scales);
  json_decref(scales);
  return 0;
}
