/* Samples in memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "tpo/store.h"

const char *tpo_finish_name(enum tpo_finish finish)
{
  switch (finish) {
  case TPO_FINISH_STOP: return "stop";
  case TPO_FINISH_STOP_STRING: return "stop_string";
  case TPO_FINISH_LENGTH: return "length";
  case TPO_FINISH_CONTEXT: return "context";
  }
  return "unknown";
}

int32_t tpo_sample_response_tokens(const struct tpo_sample_row *row)
{
  int32_t n =
      row->n_tokens - row->n_thought_tokens - row->n_unjudged_tokens - (row->finish == TPO_FINISH_STOP);
  return n > 0 ? n : 0;
}

/* Copies *text (or `missing`) to the arena. When `before`, the last row's text, is the same, it is shared: a
 * prompt's samples repeat much. */
static bool own_text(struct tpo_arena *arena, const char **text, const char *before, const char *missing)
{
  const char *source = *text ? *text : missing;
  *text = before && strcmp(before, source) == 0 ? before : tpo_arena_strdup(arena, source);
  return *text != NULL;
}

/* Copies an array to the arena; NULL becomes zeros. */
static void *own_array(struct tpo_arena *arena, const void *source, int32_t n, size_t size)
{
  size_t bytes = (size_t)n * size;
  void *copy = tpo_arena_alloc(arena, bytes);
  if (copy && source && bytes > 0) memcpy(copy, source, bytes);
  return copy;
}

static bool own_row(struct tpo_arena *arena, struct tpo_sample_row *row, const struct tpo_sample_row *last)
{
  static const struct tpo_sample_row none;
  const struct tpo_sample_row *before = last ? last : &none;
  bool is_owned = own_text(arena, &row->prompt_id, before->prompt_id, "") &&
                  own_text(arena, &row->instruction, before->instruction, "") &&
                  own_text(arena, &row->prompt_text, before->prompt_text, "") &&
                  own_text(arena, &row->meta, before->meta, "{}") && own_text(arena, &row->text, NULL, "") &&
                  own_text(arena, &row->thought, NULL, "") && own_text(arena, &row->response, NULL, "") &&
                  own_text(arena, &row->score_detail, before->score_detail, "{}");
  if (!is_owned) return false;
  if (last && row->n_prompt > 0 && last->n_prompt == row->n_prompt &&
      memcmp(last->prompt_ids, row->prompt_ids, (size_t)row->n_prompt * sizeof row->prompt_ids[0]) == 0)
    row->prompt_ids = last->prompt_ids;
  else
    row->prompt_ids = own_array(arena, row->prompt_ids, row->n_prompt, sizeof row->prompt_ids[0]);
  row->token_ids = own_array(arena, row->token_ids, row->n_tokens, sizeof row->token_ids[0]);
  row->token_logprobs = own_array(arena, row->token_logprobs, row->n_tokens, sizeof row->token_logprobs[0]);
  row->inserted = own_array(arena, row->inserted, row->n_tokens, sizeof row->inserted[0]);
  return row->prompt_ids && row->token_ids && row->token_logprobs && row->inserted;
}

int tpo_samples_add(struct tpo_samples *samples, const struct tpo_sample_row *row, struct tpo_error *err)
{
  if (row->n_prompt < 0 || row->n_tokens < 0 || (row->n_prompt > 0 && !row->prompt_ids) ||
      (row->n_tokens > 0 && !row->token_ids))
    return tpo_fail(err, TPO_E_USAGE, "sample of prompt '%s': token counts %d and %d without their tokens",
                    row->prompt_id ? row->prompt_id : "", row->n_prompt, row->n_tokens);
  if (tpo_grow(&samples->rows, &samples->capacity, samples->n + 1, sizeof *samples->rows, err) < 0)
    return TPO_E_MEMORY;
  struct tpo_arena arena = {samples->arena};
  struct tpo_sample_row copy = *row;
  bool is_owned = own_row(&arena, &copy, samples->n > 0 ? &samples->rows[samples->n - 1] : NULL);
  samples->arena = arena.blocks;
  if (!is_owned) return tpo_fail(err, TPO_E_MEMORY, "out of memory for a sample of %d tokens", row->n_tokens);
  if (!copy.scored) copy.score = NAN;
  samples->rows[samples->n++] = copy;
  return 0;
}

void tpo_samples_free(struct tpo_samples *samples)
{
  struct tpo_arena arena = {samples->arena};
  tpo_arena_free(&arena);
  free(samples->rows);
  free(samples->config);
  free(samples->judge_counts);
  *samples = (struct tpo_samples){0};
}

struct ranked_id {
  const char *id;
  size_t rank;
};

static int by_id(const void *a, const void *b)
{
  const struct ranked_id *x = a, *y = b;
  int order = strcmp(x->id, y->id);
  return order != 0 ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

static int by_id_alone(const void *a, const void *b)
{
  return strcmp(((const struct ranked_id *)a)->id, ((const struct ranked_id *)b)->id);
}

struct ranked_row {
  size_t rank, place; /* place: where it stood */
  int32_t k;
};

static int by_rank(const void *a, const void *b)
{
  const struct ranked_row *x = a, *y = b;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  if (x->k != y->k) return x->k < y->k ? -1 : 1;
  return (x->place > y->place) - (x->place < y->place);
}

/* Fills keys [samples->n] from the ids, sorted and each once. */
static int rank_rows(const struct tpo_samples *samples, const struct ranked_id *ids, size_t n_ids,
                     struct ranked_row *keys, struct tpo_error *err)
{
  for (size_t i = 0; i < samples->n; i++) {
    struct ranked_id key = {.id = samples->rows[i].prompt_id};
    const struct ranked_id *found = n_ids > 0 ? bsearch(&key, ids, n_ids, sizeof *ids, by_id_alone) : NULL;
    if (!found)
      return tpo_fail(err, TPO_E_STATE, "sample %zu is of prompt '%.200s', which is not among the prompts", i,
                      key.id);
    keys[i] = (struct ranked_row){.rank = found->rank, .place = i, .k = samples->rows[i].k};
  }
  return 0;
}

size_t tpo_samples_prompt_end(const struct tpo_samples *samples, size_t first)
{
  size_t end = first + 1;
  while (end < samples->n && strcmp(samples->rows[end].prompt_id, samples->rows[first].prompt_id) == 0) end++;
  return end;
}

size_t tpo_samples_find(const struct tpo_samples *samples, const char *id, size_t *at)
{
  for (size_t i = 0; i < samples->n; i++) {
    size_t row = (*at + i) % samples->n;
    if (strcmp(samples->rows[row].prompt_id, id) != 0) continue;
    while (row > 0 && strcmp(samples->rows[row - 1].prompt_id, id) == 0) row--;
    *at = tpo_samples_prompt_end(samples, row) % samples->n;
    return row;
  }
  return samples->n;
}

int tpo_samples_sort(struct tpo_samples *samples, const char *const *prompt_ids, size_t n_prompts,
                     struct tpo_error *err)
{
  struct ranked_id *ids = tpo_calloc(n_prompts, sizeof *ids, err);
  struct ranked_row *keys = ids ? tpo_calloc(samples->n, sizeof *keys, err) : NULL;
  struct tpo_sample_row *sorted = keys ? tpo_calloc(samples->n, sizeof *sorted, err) : NULL;
  int status = sorted ? 0 : TPO_E_MEMORY;
  size_t n_ids = 0;
  if (status == 0) {
    for (size_t i = 0; i < n_prompts; i++) ids[i] = (struct ranked_id){.id = prompt_ids[i], .rank = i};
    qsort(ids, n_prompts, sizeof *ids, by_id);
    for (size_t i = 0; i < n_prompts; i++) /* the first of equal ids has the least rank */
      if (n_ids == 0 || strcmp(ids[n_ids - 1].id, ids[i].id) != 0) ids[n_ids++] = ids[i];
    status = rank_rows(samples, ids, n_ids, keys, err);
  }
  if (status == 0) {
    qsort(keys, samples->n, sizeof *keys, by_rank);
    for (size_t i = 0; i < samples->n; i++) sorted[i] = samples->rows[keys[i].place];
    if (samples->n > 0) memcpy(samples->rows, sorted, samples->n * sizeof *sorted);
  }
  free(ids);
  free(keys);
  free(sorted);
  return status;
}

static void put_field(struct tpo_buf *line, const char *name, const char *text)
{
  tpo_buf_printf(line, ",\"%s\":", name);
  tpo_json_append_string(line, text, strlen(text));
}

static void put_json(struct tpo_buf *line, const struct tpo_sample_row *row, bool is_scored)
{
  tpo_buf_puts(line, "{\"id\":");
  tpo_json_append_string(line, row->prompt_id, strlen(row->prompt_id));
  tpo_buf_printf(line, ",\"k\":%d", row->k);
  if (row->step > 0) tpo_buf_printf(line, ",\"step\":%d", row->step);
  put_field(line, "text", row->text);
  put_field(line, "thought", row->thought);
  put_field(line, "response", row->response);
  tpo_buf_printf(line, ",\"format_ok\":%s", row->format_ok ? "true" : "false");
  put_field(line, "finish_reason", tpo_finish_name(row->finish));
  tpo_buf_printf(line, ",\"n_prompt_tokens\":%d,\"n_tokens\":%d,\"n_thought_tokens\":%d,\"logprob\":",
                 row->n_prompt, row->n_tokens, row->n_thought_tokens);
  tpo_json_append_double(line, row->logprob);
  if (is_scored) {
    tpo_buf_puts(line, ",\"score\":");
    tpo_json_append_double(line, row->scored ? row->score : NAN); /* null without a score */
  }
  tpo_buf_puts(line, "}\n");
}

int tpo_samples_write_jsonl(const struct tpo_samples *samples, FILE *out, struct tpo_error *err)
{
  struct tpo_buf line = {0};
  int status = 0;
  for (size_t i = 0; i < samples->n && status == 0; i++) {
    tpo_buf_clear(&line);
    put_json(&line, &samples->rows[i], samples->is_scored);
    if (line.failed)
      status = tpo_fail(err, TPO_E_MEMORY, "out of memory for a line of JSON");
    else if (fwrite(line.data, 1, line.len, out) != line.len)
      status = tpo_fail(err, TPO_E_IO, "sample %zu can't be written as JSON: %m", i);
  }
  if (status == 0 && fflush(out) != 0)
    status = tpo_fail(err, TPO_E_IO, "samples can't be written as JSON: %m");
  tpo_buf_free(&line);
  return status;
}
