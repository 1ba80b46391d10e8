/* A samples or scored file (HDF5). What is read is grouped by prompt, and the same after it was written and
 * read again, or sent to another rank. */
#include "base/buf.h"
#include "fuzz/hdf5.h"
#include "fuzz/fuzz.h"
#include "tpo/store.h"

static void same_row(const struct tpo_sample_row *a, const struct tpo_sample_row *b)
{
  CLAIM(strcmp(a->prompt_id, b->prompt_id) == 0 && a->k == b->k, "%s, %d", a->prompt_id, a->k);
  CLAIM(strcmp(a->instruction, b->instruction) == 0 && strcmp(a->prompt_text, b->prompt_text) == 0);
  CLAIM(strcmp(a->text, b->text) == 0 && strcmp(a->thought, b->thought) == 0, "%s", a->text);
  CLAIM(strcmp(a->response, b->response) == 0 && strcmp(a->meta, b->meta) == 0, "%s", a->response);
  CLAIM(a->format_ok == b->format_ok && a->finish == b->finish && a->n_thought_tokens == b->n_thought_tokens);
  CLAIM(a->n_unjudged_tokens == b->n_unjudged_tokens, "%d", a->n_unjudged_tokens);
  CLAIM(a->step == b->step && a->step >= 0, "%d and %d", a->step, b->step);
  CLAIM(a->n_prompt == b->n_prompt && a->n_tokens == b->n_tokens && a->n_prompt >= 0 && a->n_tokens >= 0);
  size_t n = (size_t)a->n_tokens, prompt = (size_t)a->n_prompt;
  CLAIM(!prompt || memcmp(a->prompt_ids, b->prompt_ids, prompt * sizeof *a->prompt_ids) == 0);
  CLAIM(!n || memcmp(a->token_ids, b->token_ids, n * sizeof *a->token_ids) == 0);
  CLAIM(!n || memcmp(a->token_logprobs, b->token_logprobs, n * sizeof *a->token_logprobs) == 0);
  CLAIM(!n || memcmp(a->inserted, b->inserted, n) == 0);
  CLAIM(a->scored == b->scored && (!a->scored || a->score == b->score), "%g and %g", a->score, b->score);
}

static void same(const struct tpo_samples *a, const struct tpo_samples *b)
{
  CLAIM(a->n == b->n, "%zu and %zu samples", a->n, b->n);
  for (size_t i = 0; i < a->n; i++) same_row(&a->rows[i], &b->rows[i]);
}

static void written_reads_the_same(const struct tpo_samples *samples)
{
  struct tpo_samples again = {0};
  struct tpo_error err = {0};
  CLAIM(tpo_samples_write(samples, fuzz_path("again.h5"), &err) == 0, "%s", err.message);
  CLAIM(tpo_samples_read(&again, fuzz_path("again.h5"), &err) == 0, "%s", err.message);
  same(samples, &again);
  tpo_samples_free(&again);
}

/* Rows on their way between ranks; half of them are no rows. */
static void sent_arrives_the_same(const struct tpo_samples *samples)
{
  struct tpo_samples again = {0};
  struct tpo_error err = {0};
  struct tpo_buf bytes = {0};
  for (size_t i = 0; i < samples->n; i++)
    CLAIM(tpo_sample_pack(&samples->rows[i], &bytes, &err) == 0, "%s", err.message);
  CLAIM(tpo_samples_unpack(&again, bytes.data, bytes.len, &err) == 0, "%s", err.message);
  same(samples, &again);
  tpo_samples_free(&again);
  fuzz_refused(tpo_samples_unpack(&again, bytes.data, bytes.len / 2, &err), &err);
  tpo_samples_free(&again);
  tpo_buf_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  char path[512];
  snprintf(path, sizeof path, "%s", fuzz_put("samples.h5", (struct part){data, size}));
  FILE *out = fopen("/dev/null", "w");
  CLAIM(out);
  if (!fuzz_refused(tpo_samples_read(&samples, path, &err), &err)) {
    for (size_t i = 0; i < samples.n;) {
      size_t end = tpo_samples_prompt_end(&samples, i);
      CLAIM(end > i && end <= samples.n, "%zu to %zu of %zu", i, end, samples.n);
      i = end;
    }
    fuzz_refused(tpo_samples_write_jsonl(&samples, out, &err), &err);
    written_reads_the_same(&samples);
    sent_arrives_the_same(&samples);
  }
  tpo_samples_free(&samples);
  fuzz_refused(tpo_inspect(path, 20, out, &err), &err);
  fclose(out);
  fuzz_refused(tpo_store_verify(path, &err), &err);
  return 0;
}
