/* Samples as bytes, for sending between ranks and keeping in a journal, whose format it is part of: another layout
 * needs another MAGIC, so that the old one is drawn again. A length, the numbers, then texts and arrays in
 * a fixed order, all in this machine's byte order. */
#include <string.h>
#include "base/buf.h"
#include "base/memory.h"
#include "tpo/store.h"

enum { N_TEXTS = 8, MAGIC = 0x53504d33 };

struct packed {
  uint32_t magic;
  uint32_t text_bytes[N_TEXTS]; /* without NUL */
  int32_t k, n_prompt, n_tokens, n_thought_tokens, n_unjudged_tokens, finish, step;
  uint8_t format_ok, scored, unused[6]; /* no hole in the struct, so its bytes are all set */
  double logprob, score;
};

static void list_texts(const struct tpo_sample_row *row, const char *texts[N_TEXTS])
{
  texts[0] = row->prompt_id;
  texts[1] = row->instruction;
  texts[2] = row->prompt_text;
  texts[3] = row->meta;
  texts[4] = row->text;
  texts[5] = row->thought;
  texts[6] = row->response;
  texts[7] = row->score_detail;
}

int tpo_sample_pack(const struct tpo_sample_row *row, struct tpo_buf *buf, struct tpo_error *err)
{
  const char *texts[N_TEXTS];
  struct packed head = {.magic = MAGIC,
                        .k = row->k,
                        .n_prompt = row->n_prompt,
                        .n_tokens = row->n_tokens,
                        .n_thought_tokens = row->n_thought_tokens,
                        .n_unjudged_tokens = row->n_unjudged_tokens,
                        .finish = (int32_t)row->finish,
                        .step = row->step,
                        .format_ok = row->format_ok,
                        .scored = row->scored,
                        .logprob = row->logprob,
                        .score = row->score};
  list_texts(row, texts);
  for (int i = 0; i < N_TEXTS; i++) {
    size_t len = texts[i] ? strlen(texts[i]) : 0;
    if (len > UINT32_MAX) return tpo_fail(err, TPO_E_UNSUPPORTED, "a text of a sample has %zu bytes", len);
    head.text_bytes[i] = (uint32_t)len;
  }
  size_t prompt = (size_t)row->n_prompt, tokens = (size_t)row->n_tokens;
  uint8_t zeros[4] = {0};
  tpo_buf_append(buf, &head, sizeof head);
  for (int i = 0; i < N_TEXTS; i++) tpo_buf_append(buf, texts[i] ? texts[i] : "", head.text_bytes[i]);
  tpo_buf_append(buf, row->prompt_ids, prompt * sizeof row->prompt_ids[0]);
  tpo_buf_append(buf, row->token_ids, tokens * sizeof row->token_ids[0]);
  for (size_t i = 0; i < tokens; i++)
    tpo_buf_append(buf, row->token_logprobs ? (const void *)&row->token_logprobs[i] : zeros, sizeof(float));
  for (size_t i = 0; i < tokens; i++) tpo_buf_append(buf, row->inserted ? &row->inserted[i] : zeros, 1);
  return buf->failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory for a sample's bytes") : 0;
}

struct input {
  const uint8_t *at;
  size_t left;
  struct tpo_arena *arena;
  bool is_short; /* too few bytes, or no memory */
};

/* A copy of the next bytes, aligned and with a NUL after it. */
static const void *take(struct input *in, uint64_t bytes)
{
  void *copy = bytes <= in->left ? tpo_arena_memdup(in->arena, in->at, bytes) : NULL;
  if (!copy) {
    in->is_short = true;
    return NULL;
  }
  in->at += bytes;
  in->left -= bytes;
  return copy;
}

static bool unpack_row(struct input *in, struct tpo_sample_row *row)
{
  struct packed head;
  const char *texts[N_TEXTS];
  if (in->left < sizeof head) return false;
  memcpy(&head, in->at, sizeof head);
  in->at += sizeof head;
  in->left -= sizeof head;
  if (head.magic != MAGIC || head.n_prompt < 0 || head.n_tokens < 0 || head.finish < TPO_FINISH_STOP ||
      head.finish > TPO_FINISH_CONTEXT || head.step < 0 || head.format_ok > 1 || head.scored > 1)
    return false;
  for (int i = 0; i < N_TEXTS; i++) texts[i] = take(in, head.text_bytes[i]);
  uint64_t prompt = (uint64_t)head.n_prompt, tokens = (uint64_t)head.n_tokens;
  *row = (struct tpo_sample_row){.prompt_id = texts[0],
                                 .instruction = texts[1],
                                 .prompt_text = texts[2],
                                 .meta = texts[3],
                                 .text = texts[4],
                                 .thought = texts[5],
                                 .response = texts[6],
                                 .score_detail = texts[7],
                                 .k = head.k,
                                 .format_ok = head.format_ok,
                                 .finish = (enum tpo_finish)head.finish,
                                 .step = head.step,
                                 .n_prompt = head.n_prompt,
                                 .n_tokens = head.n_tokens,
                                 .n_thought_tokens = head.n_thought_tokens,
                                 .n_unjudged_tokens = head.n_unjudged_tokens,
                                 .logprob = head.logprob,
                                 .scored = head.scored,
                                 .score = head.score};
  row->prompt_ids = take(in, prompt * sizeof row->prompt_ids[0]);
  row->token_ids = take(in, tokens * sizeof row->token_ids[0]);
  row->token_logprobs = take(in, tokens * sizeof row->token_logprobs[0]);
  row->inserted = take(in, tokens);
  return !in->is_short;
}

int tpo_samples_unpack(struct tpo_samples *samples, const void *bytes, size_t len, struct tpo_error *err)
{
  struct tpo_arena arena = {0};
  struct input in = {.at = bytes, .left = len, .arena = &arena};
  int status = 0;
  while (in.left > 0 && status == 0) {
    struct tpo_sample_row row;
    if (unpack_row(&in, &row))
      status = tpo_samples_add(samples, &row, err);
    else
      status = tpo_fail(err, TPO_E_INPUT, "a sample's bytes are cut or damaged at byte %zu of %zu",
                        len - in.left, len);
    tpo_arena_free(&arena);
  }
  return status;
}
