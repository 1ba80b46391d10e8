/* Pairs in memory, and as an HDF5 file with a row for each. */
#include <stdlib.h>
#include <string.h>
#include "store/hdf5/h5.h"
#include "store/output_tokens.h"
#include "tpo/store.h"

#define AT(field) offsetof(struct tpo_pair_row, field)
static const struct tpo_h5_column columns[] = {
    {"prompt_id", TPO_H5_TEXTS, TPO_H5_TEXT, AT(prompt_id)},
    {"chosen", TPO_H5_VALUES, TPO_H5_I32, AT(chosen_row)},
    {"rejected", TPO_H5_VALUES, TPO_H5_I32, AT(rejected_row)},
    {"chosen_score", TPO_H5_VALUES, TPO_H5_F64, AT(chosen_score)},
    {"rejected_score", TPO_H5_VALUES, TPO_H5_F64, AT(rejected_score)},
    {"margin", TPO_H5_VALUES, TPO_H5_F64, AT(margin)},
    {"prompt_token_offset", TPO_H5_OFFSETS, TPO_H5_I64, AT(n_prompt)},
    {"prompt_token_ids", TPO_H5_RAGGED, TPO_H5_I32, AT(prompt_ids)},
    {"chosen_token_offset", TPO_H5_OFFSETS, TPO_H5_I64, AT(n_chosen)},
    {"chosen_token_ids", TPO_H5_RAGGED, TPO_H5_I32, AT(chosen_ids)},
    {"chosen_mask", TPO_H5_RAGGED, TPO_H5_U8, AT(chosen_mask)},
    {"rejected_token_offset", TPO_H5_OFFSETS, TPO_H5_I64, AT(n_rejected)},
    {"rejected_token_ids", TPO_H5_RAGGED, TPO_H5_I32, AT(rejected_ids)},
    {"rejected_mask", TPO_H5_RAGGED, TPO_H5_U8, AT(rejected_mask)},
    {"chosen_ref_logprob", TPO_H5_VALUES, TPO_H5_F64, AT(chosen_ref_logprob)},
    {"rejected_ref_logprob", TPO_H5_VALUES, TPO_H5_F64, AT(rejected_ref_logprob)},
    {"step", TPO_H5_SPARSE, TPO_H5_I32, AT(step)},
};
#undef AT
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static const int32_t *own_ids(struct tpo_arena *arena, const int32_t *ids, int32_t n)
{
  return tpo_arena_memdup(arena, ids, (size_t)n * sizeof *ids);
}

/* NULL: every token carries loss. */
static const uint8_t *own_mask(struct tpo_arena *arena, const uint8_t *mask, int32_t n)
{
  uint8_t *copy = tpo_arena_memdup(arena, mask, mask ? (size_t)n : 0);
  if (copy && !mask) {
    copy = tpo_arena_alloc(arena, (size_t)n);
    if (copy) memset(copy, 1, (size_t)n);
  }
  return copy;
}

int tpo_pairs_add(struct tpo_pairs *pairs, const struct tpo_pair_row *row, struct tpo_error *err)
{
  if (row->n_prompt < 0 || row->n_chosen < 0 || row->n_rejected < 0 ||
      (row->n_prompt > 0 && !row->prompt_ids) || (row->n_chosen > 0 && !row->chosen_ids) ||
      (row->n_rejected > 0 && !row->rejected_ids))
    return tpo_fail(err, TPO_E_USAGE, "pair of prompt '%s': token counts %d, %d and %d without their tokens",
                    row->prompt_id ? row->prompt_id : "", row->n_prompt, row->n_chosen, row->n_rejected);
  if (tpo_grow(&pairs->rows, &pairs->capacity, pairs->n + 1, sizeof *pairs->rows, err) < 0)
    return TPO_E_MEMORY;
  struct tpo_arena arena = {pairs->arena};
  struct tpo_pair_row copy = *row;
  copy.prompt_id = tpo_arena_strdup(&arena, row->prompt_id ? row->prompt_id : "");
  copy.prompt_ids = own_ids(&arena, row->prompt_ids, row->n_prompt);
  copy.chosen_ids = own_ids(&arena, row->chosen_ids, row->n_chosen);
  copy.rejected_ids = own_ids(&arena, row->rejected_ids, row->n_rejected);
  copy.chosen_mask = own_mask(&arena, row->chosen_mask, row->n_chosen);
  copy.rejected_mask = own_mask(&arena, row->rejected_mask, row->n_rejected);
  pairs->arena = arena.blocks;
  if (!copy.prompt_id || !copy.prompt_ids || !copy.chosen_ids || !copy.rejected_ids || !copy.chosen_mask ||
      !copy.rejected_mask)
    return tpo_fail(err, TPO_E_MEMORY, "out of memory for a pair of %d and %d tokens", row->n_chosen,
                    row->n_rejected);
  pairs->rows[pairs->n++] = copy;
  return 0;
}

void tpo_pairs_free(struct tpo_pairs *pairs)
{
  struct tpo_arena arena = {pairs->arena};
  tpo_arena_free(&arena);
  free(pairs->rows);
  free(pairs->config);
  free(pairs->statistics);
  *pairs = (struct tpo_pairs){0};
}

int tpo_pairs_write(const struct tpo_pairs *pairs, const char *path, struct tpo_error *err)
{
  struct tpo_h5_writer w = {0};
  int status = tpo_h5_create(&w, path, "pairs", pairs->config, err);
  if (status < 0) return status;
  status = tpo_h5_put_attribute(&w, "/", "statistics", pairs->statistics ? pairs->statistics : "{}", err);
  if (status == 0) status = tpo_h5_put_attribute(&w, "/", "ref_model", pairs->ref_model, err);
  if (status == 0) status = store_put_output_tokens(&w, pairs->output_tokens, err);
  if (status == 0)
    status = tpo_h5_put_rows(&w, columns, N_COLUMNS, pairs->rows, sizeof *pairs->rows, pairs->n, err);
  if (status == 0) status = tpo_h5_commit(&w, err);
  tpo_h5_writer_close(&w);
  return status;
}

static bool are_ids(const int32_t *ids, int32_t n)
{
  for (int32_t i = 0; i < n; i++)
    if (ids[i] < 0) return false;
  return true;
}

static bool is_mask(const uint8_t *mask, int32_t n)
{
  for (int32_t i = 0; i < n; i++)
    if (mask[i] > 1) return false;
  return true;
}

static int check_row(const struct tpo_pair_row *row, const char *path, size_t i, struct tpo_error *err)
{
  const char *what = NULL;
  if (row->chosen_row < -1 || row->rejected_row < -1) what = "chosen and rejected must be row numbers, or -1";
  if (row->step < 0) what = "its step is below 0";
  if (!are_ids(row->prompt_ids, row->n_prompt)) what = "prompt_token_ids has an id below 0";
  if (!are_ids(row->chosen_ids, row->n_chosen)) what = "chosen_token_ids has an id below 0";
  if (!are_ids(row->rejected_ids, row->n_rejected)) what = "rejected_token_ids has an id below 0";
  if (!is_mask(row->chosen_mask, row->n_chosen)) what = "chosen_mask must hold 0 or 1";
  if (!is_mask(row->rejected_mask, row->n_rejected)) what = "rejected_mask must hold 0 or 1";
  return what ? tpo_fail(err, TPO_E_INPUT, "%s: pair %zu: %s", path, i, what) : 0;
}

static int read_attributes(struct tpo_pairs *pairs, const struct tpo_h5_reader *r, struct tpo_error *err)
{
  char *model = NULL;
  int status = tpo_h5_get_attribute(r, "/", "config", &pairs->config, err);
  if (status >= 0) status = tpo_h5_get_attribute(r, "/", "statistics", &pairs->statistics, err);
  if (status >= 0) status = tpo_h5_get_attribute(r, "/", "ref_model", &model, err);
  if (status == 1 && strlen(model) >= sizeof pairs->ref_model)
    status = tpo_fail(err, TPO_E_INPUT, "%s: attribute ref_model has %zu characters, expected at most 32",
                      r->path, strlen(model));
  if (status == 1) memcpy(pairs->ref_model, model, strlen(model) + 1);
  free(model);
  if (status >= 0) status = store_get_output_tokens(r, &pairs->output_tokens, err);
  return status < 0 ? status : 0;
}

static int read_rows(struct tpo_pairs *pairs, const struct tpo_h5_reader *r, struct tpo_error *err)
{
  struct tpo_arena arena = {0};
  uint64_t n = 0;
  int status = tpo_h5_row_count(r, columns[0].name, columns[0].type, &n, err);
  if (status < 0) return status;
  pairs->rows = tpo_calloc(n, sizeof *pairs->rows, err);
  if (!pairs->rows) return TPO_E_MEMORY;
  status = tpo_h5_get_rows(r, columns, N_COLUMNS, pairs->rows, sizeof *pairs->rows, n, &arena, err);
  pairs->arena = arena.blocks;
  pairs->n = pairs->capacity = n;
  pairs->origin = TPO_PAIRS_ROWS;
  for (size_t i = 0; i < n && status == 0; i++) {
    pairs->rows[i].place = (int64_t)i;
    status = check_row(&pairs->rows[i], r->path, i, err);
  }
  return status;
}

int tpo_pairs_read(struct tpo_pairs *pairs, const char *path, struct tpo_error *err)
{
  struct tpo_h5_reader r;
  *pairs = (struct tpo_pairs){0};
  int status = tpo_h5_open(&r, path, "pairs", err);
  if (status < 0) return status;
  status = read_attributes(pairs, &r, err);
  if (status == 0) status = read_rows(pairs, &r, err);
  tpo_h5_reader_close(&r);
  if (status < 0) tpo_pairs_free(pairs);
  return status;
}
