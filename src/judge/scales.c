/* Judges' means and deviations: taken from samples, kept in a file, applied to scores. */
#include "judge/scales.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

/* What a row's detail tells of its score; NULL where it is not one to be scaled. New reference. */
static json_t *routed_detail(const struct tpo_sample_row *row)
{
  const char *text = row->score_detail;
  json_t *detail = row->scored ? tpo_json_parse(text, strlen(text), "detail", NULL) : NULL;
  const json_t *own = json_object_get(detail, "detail");
  if (json_is_string(json_object_get(detail, "judge")) && json_is_number(json_object_get(detail, "raw")) &&
      !json_object_get(own, "comparisons"))
    return detail;
  json_decref(detail);
  return NULL;
}

static const char *judge_of(const json_t *detail)
{
  return json_string_value(json_object_get(detail, "judge"));
}

static double raw_of(const json_t *detail)
{
  return json_number_value(json_object_get(detail, "raw"));
}

static int out_of_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for the judges' scales");
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
static int add_score(json_t *sums, const json_t *detail)
{
  json_t *sum = json_object_get(sums, judge_of(detail));
  double n = json_number_value(json_object_get(sum, "responses")) + 1;
  double mean = json_number_value(json_object_get(sum, "mean"));
  double squares = json_number_value(json_object_get(sum, "squares"));
  double raw = raw_of(detail), next = mean + (raw - mean) / n;
  squares += (raw - mean) * (raw - next);
  if (!isfinite(squares)) return TPO_E_NUMERIC;
  json_t *now = json_pack("{s:f, s:f, s:f}", "responses", n, "mean", next, "squares", squares);
  return json_object_set_new(sums, judge_of(detail), now) < 0 ? TPO_E_MEMORY : 0;
}

/* Adds the scales of judges that `scales` lacks. Returns how many, or a negative error. */
static int add_scales(json_t *scales, const struct tpo_samples *samples, struct tpo_error *err)
{
  json_t *sums = json_object(), *sum;
  const char *judge;
  int status = sums ? 0 : TPO_E_MEMORY, added = 0;
  for (size_t i = 0; i < samples->n && status == 0; i++) {
    json_t *detail = routed_detail(&samples->rows[i]);
    if (detail && !json_object_get(scales, judge_of(detail))) status = add_score(sums, detail);
    json_decref(detail);
  }
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

/* The new detail lives in the samples' arena. */
static int scale_row(struct tpo_sample_row *row, json_t *detail, const json_t *scale, struct tpo_arena *arena,
                     struct tpo_error *err)
{
  json_t *mean = json_object_get(scale, "mean"), *sd = json_object_get(scale, "sd");
  double score = (raw_of(detail) - json_number_value(mean)) / json_number_value(sd);
  if (!isfinite(score))
    return tpo_fail(err, TPO_E_NUMERIC, "sample %d of prompt %s: the score %g of %s can't be put on a scale",
                    row->k, row->prompt_id, raw_of(detail), judge_of(detail));
  char *text = NULL, *kept = NULL;
  if (json_object_set_new(detail, "scale", json_pack("{s:O, s:O}", "mean", mean, "sd", sd)) == 0)
    text = tpo_json_dump(detail);
  if (text) kept = tpo_arena_strdup(arena, text);
  free(text);
  if (!kept) return out_of_memory(err);
  row->score = score;
  row->score_detail = kept;
  return 0;
}

int tpo_scale_scores(struct tpo_samples *samples, const char *path, struct tpo_error *err)
{
  json_t *scales = read_scales(path, err);
  if (!scales) return err && err->code ? err->code : TPO_E_INPUT;
  int status = add_scales(scales, samples, err);
  if (status > 0 && path) status = write_scales(scales, path, err);
  struct tpo_arena arena = {samples->arena};
  for (size_t i = 0; i < samples->n && status >= 0; i++) {
    json_t *detail = routed_detail(&samples->rows[i]);
    if (detail)
      status = scale_row(&samples->rows[i], detail, json_object_get(scales, judge_of(detail)), &arena, err);
    json_decref(detail);
  }
  samples->arena = arena.blocks;
  json_decref(scales);
  return status < 0 ? status : 0;
}
