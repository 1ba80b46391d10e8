/* The journal of a judging. An entry's key is the first row of a batch; its value: u64 attempt, u64 bytes of
 * results, results, lines of counts. Besides there is one entry for each attempt, whose value names the
 * judging: "attempt N", N from 1. */
#include "steps/judged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "config/judge_kinds.h"
#include "config/keys.h"
#include "judge/identity.h"
#include "tpo/judge.h"

enum { RESULT_HEAD = 32, ENTRY_HEAD = 16 };

void judgement_pack(struct tpo_buf *out, const struct judgement *judgement)
{
  uint64_t row = judgement->row, ok = judgement->ok, len = judgement->n_detail;
  tpo_buf_append(out, &row, sizeof row);
  tpo_buf_append(out, &ok, sizeof ok);
  tpo_buf_append(out, &judgement->score, sizeof judgement->score);
  tpo_buf_append(out, &len, sizeof len);
  tpo_buf_append(out, judgement->detail, judgement->n_detail);
}

bool judgement_unpack(struct judgement *judgement, const char *bytes, size_t len, size_t *at)
{
  uint64_t row, ok, n_detail;
  if (len - *at < RESULT_HEAD) return false;
  memcpy(&row, bytes + *at, 8);
  memcpy(&ok, bytes + *at + 8, 8);
  memcpy(&judgement->score, bytes + *at + 16, 8);
  memcpy(&n_detail, bytes + *at + 24, 8);
  if (n_detail > len - *at - RESULT_HEAD) return false;
  judgement->row = (size_t)row;
  judgement->ok = ok != 0;
  judgement->detail = bytes + *at + RESULT_HEAD;
  judgement->n_detail = (size_t)n_detail;
  *at += RESULT_HEAD + (size_t)n_detail;
  return true;
}

/* An entry of an earlier attempt, borrowed from the journal. */
struct batch {
  uint64_t attempt;
  const char *results, *counts;
  size_t n_results, n_counts;
  size_t *prompts; /* [n_prompts] that it has */
  size_t n_prompts, n_failed;
};

/* What rank 0 reads. */
struct reading {
  const struct judged_prompts *of;
  struct journal *journal;
  struct batch *batches; /* [n] */
  size_t n, capacity;
};

static void free_reading(struct reading *r)
{
  for (size_t i = 0; i < r->n; i++) free(r->batches[i].prompts);
  free(r->batches);
}

static bool split(const struct journal_piece *piece, struct batch *batch)
{
  const char *bytes = piece->bytes;
  uint64_t n_results;
  if (piece->len < ENTRY_HEAD) return false;
  memcpy(&batch->attempt, bytes, 8);
  memcpy(&n_results, bytes + 8, 8);
  if (n_results > piece->len - ENTRY_HEAD) return false;
  batch->results = bytes + ENTRY_HEAD;
  batch->n_results = (size_t)n_results;
  batch->counts = batch->results + n_results;
  batch->n_counts = piece->len - ENTRY_HEAD - batch->n_results;
  return true;
}

/* The results of one prompt at *at, all of them; false: there is something else. */
static bool take_prompt(const struct judged_prompts *of, size_t p, struct batch *batch, size_t *at)
{
  struct judgement one;
  bool failed = false;
  for (size_t row = of->firsts[p]; row < of->firsts[p + 1]; row++) {
    if (!judgement_unpack(&one, batch->results, batch->n_results, at) || one.row != row) return false;
    failed = failed || (of->samples->rows[row].format_ok && !one.ok);
  }
  batch->prompts[batch->n_prompts++] = p;
  batch->n_failed += failed;
  return true;
}

/* The prompts of the batch; false: these are no results of them. */
static bool find_prompts(const struct judged_prompts *of, size_t first, struct batch *batch)
{
  size_t p = first;
  for (size_t at = 0; at < batch->n_results;) {
    struct judgement next;
    size_t peek = at;
    if (!judgement_unpack(&next, batch->results, batch->n_results, &peek)) return false;
    while (p < of->n && of->firsts[p] < next.row) p++;
    if (p == of->n || !take_prompt(of, p++, batch, &at)) return false;
  }
  return batch->n_prompts > 0;
}

static int add_batch(struct reading *r, size_t first, const struct journal_piece *piece,
                     struct tpo_error *err)
{
  struct batch batch = {0};
  if (!split(piece, &batch)) return 0;
  int status = tpo_grow(&r->batches, &r->capacity, r->n + 1, sizeof *r->batches, err);
  if (status == 0 && !(batch.prompts = tpo_calloc(batch.n_results / RESULT_HEAD, sizeof *batch.prompts, err)))
    status = TPO_E_MEMORY;
  if (status == 0 && find_prompts(r->of, first, &batch))
    r->batches[r->n++] = batch;
  else
    free(batch.prompts);
  return status;
}

/* What is damaged counts as not judged. */
static int read_batches(struct reading *r, struct tpo_error *err)
{
  int status = 0;
  for (size_t p = 0; p < r->of->n && status == 0; p++) {
    uint64_t key = r->of->firsts[p];
    struct journal_piece piece;
    struct tpo_error problem = {0};
    int found = journal_find(r->journal, &key, sizeof key, &piece, &problem);
    if (found < 0 && found != TPO_E_INPUT) return tpo_fail(err, found, "%s", problem.message);
    if (found > 0) status = add_batch(r, p, &piece, err);
  }
  return status;
}

static int later_first(const void *a, const void *b)
{
  const struct batch *one = a, *other = b;
  if (one->attempt != other->attempt) return one->attempt > other->attempt ? -1 : 1;
  return one->prompts[0] < other->prompts[0] ? -1 : one->prompts[0] > other->prompts[0];
}

/* Leaves out batches of which a later attempt, or this one, judged a prompt again. */
static void drop_overlaps(struct reading *r, bool *done)
{
  size_t kept = 0;
  if (r->n > 0) qsort(r->batches, r->n, sizeof *r->batches, later_first);
  for (size_t i = 0; i < r->n; i++) {
    struct batch *batch = &r->batches[i];
    bool again = false;
    for (size_t p = 0; p < batch->n_prompts; p++) again = again || done[batch->prompts[p]];
    for (size_t p = 0; p < batch->n_prompts && !again; p++) done[batch->prompts[p]] = true;
    if (again)
      free(batch->prompts);
    else
      r->batches[kept++] = *batch;
  }
  r->n = kept;
}

/* More failures than are allowed end a judging: whoever goes on from there has mended their reason, so they
 * are judged again, with the batches that they are in. */
static void drop_failures(struct reading *r, double max_failed, bool *done)
{
  size_t failed = 0, prompts = 0, kept = 0;
  for (size_t i = 0; i < r->n; i++) {
    failed += r->batches[i].n_failed;
    prompts += r->batches[i].n_prompts;
  }
  if ((double)failed <= max_failed * (double)prompts) return;
  for (size_t i = 0; i < r->n; i++) {
    struct batch *batch = &r->batches[i];
    if (batch->n_failed == 0) {
      r->batches[kept++] = *batch;
      continue;
    }
    for (size_t p = 0; p < batch->n_prompts; p++) done[batch->prompts[p]] = false;
    free(batch->prompts);
  }
  r->n = kept;
  tpo_log(TPO_LOG_INFO, "%zu prompts that the judge failed on are judged again", failed);
}

static void take_batches(struct judged *judged, const struct reading *r)
{
  for (size_t i = 0; i < r->n; i++) {
    tpo_buf_append(&judged->results, r->batches[i].results, r->batches[i].n_results);
    tpo_buf_append(&judged->counts, r->batches[i].counts, r->batches[i].n_counts);
    judged->n_done += r->batches[i].n_prompts;
  }
}

/* Rank 0's part. */
static int take_up(struct judged *judged, const struct judged_prompts *prompts,
                   const struct tpo_judge_config *config, struct tpo_error *err)
{
  struct reading r = {.of = prompts, .journal = judged->kept->journal};
  int status = read_batches(&r, err);
  if (status == 0) {
    drop_overlaps(&r, judged->done);
    drop_failures(&r, config->max_failed, judged->done);
    take_batches(judged, &r);
  }
  free_reading(&r);
  if (status == 0 && (judged->results.failed || judged->counts.failed))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
  if (status == 0) status = kept_name_attempt(judged->kept, &judged->attempt, judged->work, err);
  if (status == 0 && judged->n_done > 0)
    tpo_log(TPO_LOG_INFO, "%s: %zu of %zu prompts are judged already; going on with the others",
            judged->kept->folder, judged->n_done, prompts->n);
  return status;
}

/* Of the samples, what a judge is shown. */
static int hash_samples(const struct tpo_samples *samples, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    const char *const texts[] = {row->prompt_id, row->instruction, row->meta, row->response};
    const int32_t numbers[] = {row->k, row->format_ok};
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
      tpo_hash_add(&hash, texts[t] ? texts[t] : "", texts[t] ? strlen(texts[t]) + 1 : 1);
    tpo_hash_add(&hash, numbers, sizeof numbers);
  }
  tpo_hash_end(&hash, hex);
  return 0;
}

static void put_setting(const struct tpo_config *config, int key, struct tpo_buf *out)
{
  struct tpo_buf value = {0};
  config_append_value(config, key, &value);
  tpo_buf_printf(out, "%s: ", config_keys[key].path);
  config_tell_addresses(value.data ? value.data : "", out);
  tpo_buf_putc(out, '\n');
  out->failed = out->failed || value.failed;
  tpo_buf_free(&value);
}

void judged_settings(const struct tpo_config *config, struct tpo_buf *out)
{
  for (int key = 0; key < config_n_keys; key++)
    if (config_in_section(key, "judge") && config_bears_on_results(key)) put_setting(config, key, out);
}

int judged_describe(const struct tpo_config *config, struct tpo_buf *out, struct tpo_error *err)
{
  bool computes = tpo_judge_needs_model(&config->judge);
  judged_settings(config, out);
  for (int key = 0; key < config_n_keys; key++) {
    const char *path = config_keys[key].path;
    if (strcmp(path, "seed") == 0 || (computes && strcmp(path, "model.dtype") == 0))
      put_setting(config, key, out);
  }
  return judge_identify(&config->judge, out, err);
}

/* All that the judgements depend on; free() it. */
static int describe(const struct tpo_session *session, const struct tpo_samples *samples, const char *what,
                    char **out, struct tpo_error *err)
{
  char hash[33];
  struct tpo_buf text = {0};
  int status = hash_samples(samples, hash, err);
  if (status == 0) tpo_buf_printf(&text, "what: %s\nsamples: %s\n", what, hash);
  if (status == 0) status = judged_describe(session->config, &text, err);
  *out = tpo_buf_take(&text);
  return status == 0 && !*out ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : status;
}

/* What rank 0 found, to all. */
static int share(struct judged *judged, const struct judged_prompts *prompts, struct tpo_error *err)
{
  struct tpo_comm *comm = judged->kept->comm;
  uint64_t numbers[2] = {judged->n_done, judged->attempt};
  int status = tpo_comm_bcast(comm, judged->done, prompts->n * sizeof *judged->done, 0, err);
  if (status == 0) status = tpo_comm_bcast(comm, numbers, sizeof numbers, 0, err);
  if (status == 0) status = tpo_comm_bcast(comm, judged->work, sizeof judged->work, 0, err);
  judged->n_done = (size_t)numbers[0];
  judged->attempt = numbers[1];
  return status;
}

int judged_open(struct judged *out, const struct tpo_session *session, const struct judged_prompts *prompts,
                const char *what, const struct tpo_score_options *options, struct tpo_error *err)
{
  *out = (struct judged){.done = tpo_calloc(prompts->n, sizeof *out->done, err)};
  if (prompts->work) snprintf(out->work, sizeof out->work, "%s", prompts->work);
  for (size_t p = 0; out->done && prompts->done && p < prompts->n; p++) out->done[p] = prompts->done[p] > 0;
  bool first = tpo_comm_rank(session->comm) == 0, keeps = options && options->journal && prompts->n > 0;
  char *work = NULL;
  int status = out->done ? 0 : TPO_E_MEMORY;
  if (status == 0 && keeps && first) status = describe(session, prompts->samples, what, &work, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0 && keeps)
    status = kept_open(&out->kept, session->comm, options->journal, work ? work : "",
                       options->drop_other ? KEPT_ASIDE : KEPT_REFUSE, err);
  free(work);
  if (status < 0 || !keeps) return status;
  if (first) status = take_up(out, prompts, &session->config->judge, err);
  status = tpo_comm_agree(session->comm, status, err);
  return status < 0 ? status : share(out, prompts, err);
}

int judged_append(struct judged *judged, size_t first, const char *results, size_t n_results,
                  const char *counts, size_t n_counts, struct tpo_error *err)
{
  if (!judged->kept) return 0;
  struct tpo_buf value = {0};
  uint64_t key = first, n = n_results;
  tpo_buf_append(&value, &judged->attempt, 8);
  tpo_buf_append(&value, &n, 8);
  tpo_buf_append(&value, results, n_results);
  tpo_buf_append(&value, counts, n_counts);
  int status = value.failed
                   ? tpo_fail(err, TPO_E_MEMORY, "no memory for scores")
                   : journal_append(judged->kept->journal, &key, sizeof key, value.data, value.len, err);
  tpo_buf_free(&value);
  return status;
}

size_t judged_count_scored(const struct judged *judged)
{
  struct judgement one;
  size_t n = 0;
  for (size_t at = 0; judgement_unpack(&one, judged->results.data, judged->results.len, &at);) n += one.ok;
  return n;
}

void judged_close(struct judged *judged)
{
  kept_close(judged->kept);
  tpo_buf_free(&judged->results);
  tpo_buf_free(&judged->counts);
  free(judged->done);
}
