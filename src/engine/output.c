/* A sample that has ended: its text and its parts, told once, and the row that it is stored as. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "engine/state.h"
#include "text/unicode/space.h"

/* Bytes that are no UTF-8 (a code point cut off at the last token), and a NUL, become U+FFFD. */
static void append_valid(struct tpo_buf *out, const char *text, size_t len)
{
  for (size_t at = 0; at < len;) {
    uint32_t cp = tpo_utf8_next(text, len, &at);
    tpo_utf8_append(out, cp ? cp : 0xfffd);
  }
}

int tokens_behind(const struct tpo_tokenizer *tokenizer, const struct tpo_ids *spoken, const int32_t *tokens,
                  int n, size_t text_len, size_t end)
{
  int behind = 0;
  while (behind < n) {
    size_t len;
    token_bytes(tokenizer, spoken, tokens[n - 1 - behind], &len);
    if (text_len < end || (text_len == end && len > 0)) break;
    text_len -= len;
    behind++;
  }
  return behind;
}

/* What is judged ends where white space before the stop string begins. A response of nothing else was not
 * judged; the marker before it keeps its loss. */
static int count_unjudged(const struct tpo_engine *e, const struct sequence *s)
{
  if (s->text_end == SIZE_MAX || s->text_end >= s->text.len) return 0;
  size_t begin = s->phase_text, end = s->text_end;
  tpo_trim(s->text.data, &begin, &end);
  return tokens_behind(e->tokenizer, &e->spoken_ids, s->tokens, s->n_tokens, s->text.len,
                       begin < end ? end : s->phase_text);
}

/* The layout is read from the whole text, not from where the thought's budget was found to end: markers of
 * the prompt's end, and those that come again, count too. */
int sequence_output(struct tpo_engine *e, const struct sequence *s, struct tpo_output *out,
                    struct tpo_error *err)
{
  static const struct tpo_thought_config no_thought = {0};
  struct tpo_buf *text = &e->ended_text;
  tpo_buf_clear(text);
  append_valid(text, s->text.data, s->text.len < s->text_end ? s->text.len : s->text_end);
  if (text->failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for the text of a sample");
  *out = (struct tpo_output){.request = s->group->request,
                             .k = s->k,
                             .tokens = s->tokens,
                             .logprobs = s->logprobs,
                             .inserted = s->inserted,
                             .n = s->n_tokens,
                             .n_thought = s->n_thought,
                             .n_unjudged = count_unjudged(e, s),
                             .finish = s->finish,
                             .text = text->data ? text->data : ""};
  tpo_thought_parse(e->thought ? e->thought : &no_thought, out->text, text->len, &out->parsed);
  return 0;
}

static double sum_of_sampled(const struct tpo_output *output)
{
  double sum = 0;
  for (int i = 0; i < output->n; i++)
    if (!output->inserted[i]) sum += output->logprobs[i];
  return sum;
}

static char *copy_range(const char *text, size_t begin, size_t end)
{
  return strndup(text + begin, end - begin);
}

int tpo_engine_make_row(const struct tpo_output *output, const struct tpo_instruction_view *instruction,
                        struct tpo_samples *samples, struct tpo_error *err)
{
  const struct tpo_parsed *parsed = &output->parsed;
  char *thought = copy_range(output->text, parsed->thought_begin, parsed->thought_end);
  char *response = copy_range(output->text, parsed->response_begin, parsed->response_end);
  struct tpo_sample_row row = {.prompt_id = instruction->id,
                               .instruction = instruction->instruction,
                               .prompt_text = instruction->prompt_text,
                               .meta = instruction->meta,
                               .k = output->k,
                               .text = output->text,
                               .thought = thought,
                               .response = parsed->response_ok ? response : "",
                               .format_ok = parsed->format_ok,
                               .finish = output->finish,
                               .prompt_ids = output->request->prompt_ids,
                               .n_prompt = output->request->n_prompt,
                               .token_ids = output->tokens,
                               .token_logprobs = output->logprobs,
                               .inserted = output->inserted,
                               .n_tokens = output->n,
                               .n_thought_tokens = output->n_thought,
                               .n_unjudged_tokens = output->n_unjudged,
                               .logprob = sum_of_sampled(output),
                               .score_detail = "{}"};
  int status = thought && response ? tpo_samples_add(samples, &row, err)
                                   : tpo_fail(err, TPO_E_MEMORY, "no memory for the text of a sample");
  free(thought);
  free(response);
  return status;
}
