/* Samples as HDF5: one row a sample. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "store/hdf5/h5.h"
#include "store/output_tokens.h"
#include "store/show.h"
#include "tpo/store.h"

/* The row with what the file holds in another form. */
struct file_row {
  struct tpo_sample_row row;
  const char *finish;
  uint8_t format_ok, scored;
};

#define AT(field) offsetof(struct file_row, row.field)
static const struct tpo_h5_column columns[] = {
    {"prompt_id", TPO_H5_TEXTS, TPO_H5_TEXT, AT(prompt_id)},
    {"instruction", TPO_H5_TEXTS, TPO_H5_TEXT, AT(instruction)},
    {"prompt_text", TPO_H5_TEXTS, TPO_H5_TEXT, AT(prompt_text)},
    {"meta", TPO_H5_TEXTS, TPO_H5_TEXT, AT(meta)},
    {"k", TPO_H5_VALUES, TPO_H5_I32, AT(k)},
    {"text", TPO_H5_TEXTS, TPO_H5_TEXT, AT(text)},
    {"thought", TPO_H5_TEXTS, TPO_H5_TEXT, AT(thought)},
    {"response", TPO_H5_TEXTS, TPO_H5_TEXT, AT(response)},
    {"format_ok", TPO_H5_VALUES, TPO_H5_U8, offsetof(struct file_row, format_ok)},
    {"finish_reason", TPO_H5_TEXTS, TPO_H5_TEXT, offsetof(struct file_row, finish)},
    {"prompt_token_offset", TPO_H5_OFFSETS, TPO_H5_I64, AT(n_prompt)},
    {"prompt_token_ids", TPO_H5_RAGGED, TPO_H5_I32, AT(prompt_ids)},
    {"token_offset", TPO_H5_OFFSETS, TPO_H5_I64, AT(n_tokens)},
    {"token_ids", TPO_H5_RAGGED, TPO_H5_I32, AT(token_ids)},
    {"token_logprob", TPO_H5_RAGGED, TPO_H5_F32, AT(token_logprobs)},
    {"inserted", TPO_H5_RAGGED, TPO_H5_U8, AT(inserted)},
    {"n_thought_tokens", TPO_H5_VALUES, TPO_H5_I32, AT(n_thought_tokens)},
    {"n_unjudged_tokens", TPO_H5_NEWER, TPO_H5_I32, AT(n_unjudged_tokens)},
    {"logprob", TPO_H5_VALUES, TPO_H5_F64, AT(logprob)},
    {"step", TPO_H5_SPARSE, TPO_H5_I32, AT(step)},
    /* Scored files only, from here on. */
    {"scored", TPO_H5_VALUES, TPO_H5_U8, offsetof(struct file_row, scored)},
    {"score", TPO_H5_VALUES, TPO_H5_F64, AT(score)},
    {"score_detail", TPO_H5_TEXTS, TPO_H5_TEXT, AT(score_detail)},
};
#undef AT
enum { N_COLUMNS = sizeof columns / sizeof columns[0], N_SCORE_COLUMNS = 3 };

static int column_count(bool is_scored)
{
  return is_scored ? N_COLUMNS : N_COLUMNS - N_SCORE_COLUMNS;
}

static int bad_row(const char *path, size_t i, const char *what, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: sample %zu: %s", path, i, what);
}

static int compare_ids(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Rows of a prompt stand together, k ascending. */
static int check_order(const struct tpo_samples *samples, const char *path, struct tpo_error *err)
{
  const char **ids = tpo_calloc(samples->n, sizeof *ids, err);
  size_t n_ids = 0;
  int status = ids ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < samples->n && status == 0; i++) {
    const struct tpo_sample_row *row = &samples->rows[i], *last = row - 1;
    if (n_ids == 0 || strcmp(last->prompt_id, row->prompt_id) != 0)
      ids[n_ids++] = row->prompt_id;
    else if (row->k <= last->k)
      status = bad_row(path, i, "its k must be greater than the k of the prompt's sample before it", err);
  }
  if (status == 0) qsort(ids, n_ids, sizeof *ids, compare_ids);
  for (size_t i = 1; i < n_ids && status == 0; i++)
    if (strcmp(ids[i - 1], ids[i]) == 0)
      status = tpo_fail(err, TPO_E_INPUT, "%s: the samples of prompt '%s' don't stand together", path,
                        tpo_show_name(ids[i], strlen(ids[i])).text);
  free(ids);
  return status;
}

static int check_row(const struct tpo_sample_row *row, const char *path, size_t i, struct tpo_error *err)
{
  if (row->k < 0) return bad_row(path, i, "its k is below 0", err);
  if (row->step < 0) return bad_row(path, i, "its step is below 0", err);
  if (row->n_thought_tokens < 0 || row->n_thought_tokens > row->n_tokens)
    return bad_row(path, i, "n_thought_tokens must be from 0 to its number of tokens", err);
  if (row->n_unjudged_tokens < 0 || row->n_unjudged_tokens > row->n_tokens)
    return bad_row(path, i, "n_unjudged_tokens must be from 0 to its number of tokens", err);
  if (row->scored && !isfinite(row->score)) return bad_row(path, i, "its score is not a finite number", err);
  for (int32_t t = 0; t < row->n_prompt; t++)
    if (row->prompt_ids[t] < 0) return bad_row(path, i, "prompt_token_ids has an id below 0", err);
  for (int32_t t = 0; t < row->n_tokens; t++) {
    if (row->token_ids[t] < 0) return bad_row(path, i, "token_ids has an id below 0", err);
    if (row->inserted[t] > 1) return bad_row(path, i, "inserted must hold 0 or 1", err);
  }
  return 0;
}

static int check_samples(const struct tpo_samples *samples, const char *path, struct tpo_error *err)
{
  int status = check_order(samples, path, err);
  for (size_t i = 0; i < samples->n && status == 0; i++) status = check_row(&samples->rows[i], path, i, err);
  return status;
}

static struct file_row *make_file_rows(const struct tpo_samples *samples, struct tpo_error *err)
{
  struct file_row *rows = tpo_calloc(samples->n, sizeof *rows, err);
  for (size_t i = 0; rows && i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    rows[i] = (struct file_row){.row = *row,
                                .finish = tpo_finish_name(row->finish),
                                .format_ok = row->format_ok,
                                .scored = row->scored};
    if (!row->scored) rows[i].row.score = NAN;
  }
  return rows;
}

int tpo_samples_write(const struct tpo_samples *samples, const char *path, struct tpo_error *err)
{
  struct tpo_h5_writer w = {0};
  int status = check_samples(samples, path, err);
  if (status < 0) return status;
  struct file_row *rows = make_file_rows(samples, err);
  if (!rows) return TPO_E_MEMORY;
  status = tpo_h5_create(&w, path, samples->is_scored ? "scored" : "samples", samples->config, err);
  if (status == 0) {
    if (samples->is_scored && samples->judge_counts)
      status = tpo_h5_put_attribute(&w, "/", "judge_counts", samples->judge_counts, err);
    if (status == 0) status = store_put_output_tokens(&w, samples->output_tokens, err);
    if (status == 0)
      status =
          tpo_h5_put_rows(&w, columns, column_count(samples->is_scored), rows, sizeof *rows, samples->n, err);
    if (status == 0) status = tpo_h5_commit(&w, err);
    tpo_h5_writer_close(&w);
  }
  free(rows);
  return status;
}

static bool parse_finish(const char *text, enum tpo_finish *finish)
{
  for (int f = TPO_FINISH_STOP; f <= TPO_FINISH_CONTEXT; f++)
    if (strcmp(text, tpo_finish_name((enum tpo_finish)f)) == 0) {
      *finish = (enum tpo_finish)f;
      return true;
    }
  return false;
}

static int take_row(struct tpo_sample_row *out, const struct file_row *in, bool is_scored, const char *path,
                    size_t i, struct tpo_error *err)
{
  *out = in->row;
  out->format_ok = in->format_ok == 1;
  out->scored = in->scored == 1;
  if (!is_scored) out->score_detail = "{}";
  if (!out->scored) out->score = NAN;
  if (in->format_ok > 1 || in->scored > 1)
    return bad_row(path, i, "format_ok and scored must be 0 or 1", err);
  if (!parse_finish(in->finish, &out->finish))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: sample %zu: finish_reason is '%s', expected stop, stop_string, length or context",
                    path, i, tpo_show_name(in->finish, strlen(in->finish)).text);
  return 0;
}

static int read_rows(struct tpo_samples *samples, const struct tpo_h5_reader *r, struct tpo_error *err)
{
  uint64_t n = 0;
  int status = tpo_h5_row_count(r, columns[0].name, columns[0].type, &n, err);
  if (status < 0) return status;
  struct tpo_arena arena = {0};
  struct file_row *rows = tpo_calloc(n, sizeof *rows, err);
  samples->rows = rows ? tpo_calloc(n, sizeof *samples->rows, err) : NULL;
  status = samples->rows ? tpo_h5_get_rows(r, columns, column_count(samples->is_scored), rows, sizeof *rows,
                                           n, &arena, err)
                         : TPO_E_MEMORY;
  samples->arena = arena.blocks;
  samples->capacity = n;
  for (size_t i = 0; i < n && status == 0; i++)
    status = take_row(&samples->rows[i], &rows[i], samples->is_scored, r->path, i, err);
  samples->n = status == 0 ? n : 0;
  free(rows);
  return status;
}

int tpo_samples_read(struct tpo_samples *samples, const char *path, struct tpo_error *err)
{
  struct tpo_h5_reader r;
  *samples = (struct tpo_samples){0};
  int status = tpo_h5_open(&r, path, NULL, err);
  if (status < 0) return status;
  samples->is_scored = strcmp(r.format, "scored") == 0;
  if (!samples->is_scored && strcmp(r.format, "samples") != 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: holds %s, expected samples or scored", path, r.format);
  if (status == 0) status = tpo_h5_get_attribute(&r, "/", "config", &samples->config, err);
  if (status >= 0 && samples->is_scored)
    status = tpo_h5_get_attribute(&r, "/", "judge_counts", &samples->judge_counts, err);
  if (status >= 0) status = store_get_output_tokens(&r, &samples->output_tokens, err);
  if (status >= 0) status = read_rows(samples, &r, err);
  if (status == 0) status = check_samples(samples, path, err);
  tpo_h5_reader_close(&r);
  if (status < 0) tpo_samples_free(samples);
  return status;
}
