/* store: the files of a run, HDF5 that h5py reads: samples (and scored samples), pairs, checkpoints.
 *
 *   struct tpo_samples samples = {0};
 *   if (tpo_samples_read(&samples, "iter-001/samples.h5", &err) < 0) ...
 *   for (size_t i = 0; i < samples.n; i++) puts(samples.rows[i].response);
 *   tpo_samples_free(&samples);
 *
 * Every root carries the attributes tpo_format, tpo_version, created, config and content_hash; that of samples
 * and pairs output_tokens too, a number as text, where it is known. content_hash covers all datasets (names,
 * types, shapes, bytes) but no attribute, so it is equal for equal contents whenever they were written. Files are written to a temporary name, flushed to disk and renamed. Read are
 * also files that another program wrote again: data sets in any order, contiguous or in chunks, filtered by
 * gzip, lzf, shuffle or fletcher32, and texts of a fixed length. Only one thread may use this layer. */
#ifndef TPO_STORE_H
#define TPO_STORE_H

#include <stdio.h>
#include "tpo/base.h"

struct tpo_arena_block;

/* Why generation of a sample ended; stored as text: stop, stop_string, length, context. */
enum tpo_finish {
  TPO_FINISH_STOP,        /* an end token */
  TPO_FINISH_STOP_STRING, /* a stop string, or the response marker again */
  TPO_FINISH_LENGTH,      /* max_tokens or a budget */
  TPO_FINISH_CONTEXT,     /* the model's context is full */
};
TPO_API const char *tpo_finish_name(enum tpo_finish finish);

/* One sample. Strings are UTF-8 and NUL-terminated, owned by the samples' arena. */
struct tpo_sample_row {
  const char *prompt_id;
  const char *instruction;
  const char *prompt_text; /* the rendered chat text that was tokenised */
  const char *meta; /* JSON object: reference, checks, dataset, category, messages as read; "{}" when none */
  int32_t k;
  const char *text;    /* prefill, or the prompt's opened thought + generated text, special tokens left out */
  const char *thought; /* "" when there is none */
  const char
      *response; /* "" where none is told for sure; there without format_ok where the thought is empty */
  bool format_ok;
  enum tpo_finish finish;
  const int32_t *prompt_ids; /* [n_prompt] prefill included */
  int32_t n_prompt;
  const int32_t *token_ids;    /* [n_tokens] generated, end token included */
  const float *token_logprobs; /* [n_tokens] natural log, temperature 1 */
  const uint8_t *inserted;     /* [n_tokens] 1 where the budget's marker was inserted, not sampled */
  int32_t n_tokens;
  int32_t n_thought_tokens; /* tokens up to and including the response marker's last */
  /* The last tokens, of an output that ended at a stop string or a marker that came again: those that say
   * something behind the response that is judged, be it in part. They carry no loss. */
  int32_t n_unjudged_tokens;
  double logprob; /* sum of token_logprobs over sampled tokens */
  bool scored;    /* false: no score (an unscored file, or a judge's failure) */
  double score;
  const char *score_detail; /* JSON object; "{}" when none */
  int32_t step; /* of training, from 1, that it was drawn for; 0: for an iteration's (run.sync_steps: 0) */
};

/* Tokens of the response: those after the one that completes the response marker (all of them where there is
 * no marker), without the token that ended the turn and without those behind what is judged. A token that
 * holds the marker's end and the response's beginning is the marker's. */
TPO_API int32_t tpo_sample_response_tokens(const struct tpo_sample_row *row);

struct tpo_samples {
  size_t n, capacity;
  struct tpo_sample_row *rows;   /* grouped by prompt, k ascending within a prompt */
  struct tpo_arena_block *arena; /* owns strings and arrays: see tpo_samples_add */
  char *config;                  /* effective YAML; owned; may be NULL */
  int32_t output_tokens;         /* most that an output could have had (sampling.max_tokens); 0: not known */
  bool is_scored;                /* which of the two formats the file is */
  char *judge_counts;            /* scored: JSON object of what the judge counted; owned; may be NULL */
};
/* Appends a copy of row (deep). Texts that are NULL become "" ("{}" for
 * JSON), token_logprobs and inserted zeros. */
TPO_API int tpo_samples_add(struct tpo_samples *samples, const struct tpo_sample_row *row,
                            struct tpo_error *err);
/* One past the last of the rows of a prompt whose first row is `first`. */
TPO_API size_t tpo_samples_prompt_end(const struct tpo_samples *samples, size_t first);
/* First row of the prompt, searched from *at on, which moves past it, so that sets in the same order find
 * theirs at once; samples->n: there is none. Begin with *at = 0. */
TPO_API size_t tpo_samples_find(const struct tpo_samples *samples, const char *id, size_t *at);
/* Prompts in the order of their first appearance in prompt_ids[n_prompts],
 * then k. A row of another prompt is an error. */
TPO_API int tpo_samples_sort(struct tpo_samples *samples, const char *const *prompt_ids, size_t n_prompts,
                             struct tpo_error *err);
/* Rows must be grouped by prompt with k ascending. Bytes of texts that
 * are not UTF-8 become U+FFFD; tokens keep all. */
TPO_API int tpo_samples_write(const struct tpo_samples *samples, const char *path, struct tpo_error *err);
/* samples is overwritten. All of these readers check types, lengths, offsets and ranges, and say what they
 * expected. A file of before n_unjudged_tokens was kept has 0 of them, one without steps rows of none. */
TPO_API int tpo_samples_read(struct tpo_samples *samples, const char *path, struct tpo_error *err);
/* JSON Lines, the fields of cli.md. */
TPO_API int tpo_samples_write_jsonl(const struct tpo_samples *samples, FILE *out, struct tpo_error *err);
TPO_API void tpo_samples_free(struct tpo_samples *samples);
/* One row to bytes, and any number of rows in succession from them: for sending samples between ranks. */
TPO_API int tpo_sample_pack(const struct tpo_sample_row *row, struct tpo_buf *buf, struct tpo_error *err);
TPO_API int tpo_samples_unpack(struct tpo_samples *samples, const void *bytes, size_t len,
                               struct tpo_error *err);

/* One preference pair, standing alone. Masks: 1 where a token carries loss. */
struct tpo_pair_row {
  const char *prompt_id;
  int32_t chosen_row, rejected_row;            /* rows of the samples file; -1 when read from JSON Lines */
  double chosen_score, rejected_score, margin; /* raw scores; margin after length control */
  const int32_t *prompt_ids, *chosen_ids, *rejected_ids;
  int32_t n_prompt, n_chosen, n_rejected;
  const uint8_t *chosen_mask, *rejected_mask;      /* [n_chosen], [n_rejected] */
  double chosen_ref_logprob, rejected_ref_logprob; /* sums over masked tokens; NaN until computed */
  int64_t place; /* in the file that it was read from: line, from 1, or row, from 0 */
  int32_t step;  /* that it was made for, as that of a sample */
};
enum tpo_pairs_origin {
  TPO_PAIRS_MADE,  /* here: they have no place */
  TPO_PAIRS_LINES, /* JSON Lines */
  TPO_PAIRS_ROWS,  /* HDF5 */
};
struct tpo_pairs {
  size_t n, capacity;
  struct tpo_pair_row *rows;
  struct tpo_arena_block *arena;
  char *config;
  int32_t output_tokens; /* of the samples */
  /* JSON object: counts of prompts, ties, parse failures..., rho used; owned; may be NULL */
  char *statistics;
  enum tpo_pairs_origin origin;
  char ref_model[33]; /* hash of the model that gave the reference log-probabilities; "" when none */
};
/* Appends a copy (deep). A mask that is NULL: every token carries loss. */
TPO_API int tpo_pairs_add(struct tpo_pairs *pairs, const struct tpo_pair_row *row, struct tpo_error *err);
TPO_API int tpo_pairs_write(const struct tpo_pairs *pairs, const char *path, struct tpo_error *err);
TPO_API int tpo_pairs_read(struct tpo_pairs *pairs, const char *path, struct tpo_error *err);
TPO_API void tpo_pairs_free(struct tpo_pairs *pairs);

/* A checkpoint is written tensor by tensor: nothing needs the whole model in one piece. */
struct tpo_checkpoint_writer;
TPO_API int tpo_checkpoint_create(struct tpo_checkpoint_writer **out, const char *path, const char *config,
                                  struct tpo_error *err);
/* group: "model", "optimizer/m", "optimizer/v", "optimizer/master". dtype of data: fp32, or bf16/fp16 bits,
 * which are stored as uint16 with an attribute "dtype" = "bfloat16" (fp16: HDF5's own 16-bit float). */
TPO_API int tpo_checkpoint_put(struct tpo_checkpoint_writer *w, const char *group, const char *name,
                               int dtype, int n_dims, const int64_t *dims, const void *data,
                               struct tpo_error *err);
/* A JSON text or any bytes: "state", "architecture", "tokenizer/<file>". */
TPO_API int tpo_checkpoint_put_blob(struct tpo_checkpoint_writer *w, const char *name, const void *bytes,
                                    size_t len, struct tpo_error *err);
TPO_API int tpo_checkpoint_commit(struct tpo_checkpoint_writer *w, struct tpo_error *err);
/* Removes what was not committed. */
TPO_API void tpo_checkpoint_writer_close(struct tpo_checkpoint_writer *w);

struct tpo_checkpoint;
TPO_API int tpo_checkpoint_open(struct tpo_checkpoint **out, const char *path, struct tpo_error *err);
TPO_API void tpo_checkpoint_close(struct tpo_checkpoint *c);
/* The YAML of the configuration that it was made with: 1 found (free(*out)), 0 it tells none, negative error. */
TPO_API int tpo_checkpoint_config(struct tpo_checkpoint *c, char **out, struct tpo_error *err);
/* Shape and stored dtype (enum tpo_dtype) of a tensor; 1 found, 0 absent, negative error. */
TPO_API int tpo_checkpoint_shape(struct tpo_checkpoint *c, const char *group, const char *name, int *dtype,
                                 int *n_dims, int64_t dims[8], struct tpo_error *err);
/* Reads a whole tensor into `out` (bytes checked against its shape) in its stored dtype. */
TPO_API int tpo_checkpoint_get(struct tpo_checkpoint *c, const char *group, const char *name, void *out,
                               size_t bytes, struct tpo_error *err);
/* 1 found (free(*out); a NUL follows the bytes), 0 absent. */
TPO_API int tpo_checkpoint_get_blob(struct tpo_checkpoint *c, const char *name, char **out, size_t *len,
                                    struct tpo_error *err);
/* Calls fn for each tensor name of a group, sorted; stops at a negative result and returns it. */
TPO_API int tpo_checkpoint_each(struct tpo_checkpoint *c, const char *group,
                                int (*fn)(void *arg, const char *name, struct tpo_error *err), void *arg,
                                struct tpo_error *err);
/* "samples", "scored", "pairs", "checkpoint"; error when the file is not one of ours. out[16]. */
TPO_API int tpo_store_format(const char *path, char out[16], struct tpo_error *err);
/* Recomputes content_hash from the datasets and compares. */
TPO_API int tpo_store_verify(const char *path, struct tpo_error *err);

/* What is in a run file, checkpoint, GGUF or safetensors file, readably, to out (`tpo inspect`). limit:
 * samples, pairs or tensors shown, long texts cut; below 0: all of everything. No control character of the
 * file is printed. */
TPO_API int tpo_inspect(const char *path, int limit, FILE *out, struct tpo_error *err);

#endif
