/* From a sequence's tokens to the stored row: text, thought, response, and whether it parses. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "engine/state.h"

/* Bytes that are no UTF-8 (a code point cut off at the last token) become U+FFFD; the token ids keep the
 * exact bytes. */
static void append_valid(struct tpo_buf *out, const char *text, size_t len)
{
  size_t at = 0;
  while (at < len) {
    uint32_t cp;
    int n = tpo_utf8_decode((const uint8_t *)text + at, len - at, &cp);
    if (n == 0 || cp == 0)
      tpo_buf_puts(out, "\xef\xbf\xbd");
    else
      tpo_buf_append(out, text + at, (size_t)n);
    at += n == 0 ? 1 : (size_t)n;
  }
}

static char *copy_range(const char *text, size_t begin, size_t end)
{
  return strndup(text + begin, end - begin);
}

int tpo_engine_make_row(const struct tpo_output *output, const struct tpo_tokenizer *tokenizer,
                        const struct tpo_thought_config *thought,
                        const struct tpo_instruction_view *instruction, struct tpo_samples *samples,
                        struct tpo_error *err)
{
  static const struct tpo_thought_config no_thought = {0};
  struct tpo_buf raw = {0}, text = {0};
  if (thought && thought->prefill) tpo_buf_puts(&raw, thought->prefill);
  double logprob = 0;
  for (int i = 0; i < output->n; i++) {
    tpo_token_text(tokenizer, output->tokens[i], &raw);
    if (!output->inserted[i]) logprob += output->logprobs[i];
  }
  size_t len = raw.len < output->text_end ? raw.len : output->text_end;
  append_valid(&text, raw.data ? raw.data : "", len);
  bool failed = raw.failed || text.failed;
  tpo_buf_free(&raw);
  char *whole = tpo_buf_take(&text);
  if (failed || !whole) {
    free(whole);
    return tpo_fail(err, TPO_E_MEMORY, "no memory for the text of a sample");
  }
  struct tpo_parsed parsed;
  tpo_thought_parse(thought ? thought : &no_thought, whole, strlen(whole), &parsed);
  char *thought_text = copy_range(whole, parsed.thought_begin, parsed.thought_end);
  char *response = copy_range(whole, parsed.response_begin, parsed.response_end);
  int status = TPO_E_MEMORY;
  if (thought_text && response)
    status = tpo_samples_add(samples,
                             &(struct tpo_sample_row){
                                 .prompt_id = instruction->id,
                                 .instruction = instruction->instruction,
                                 .prompt_text = instruction->prompt_text,
                                 .meta = instruction->meta,
                                 .k = output->k,
                                 .text = whole,
                                 .thought = thought_text,
                                 .response = parsed.format_ok ? response : "",
                                 .format_ok = parsed.format_ok,
                                 .finish = output->finish,
                                 .prompt_ids = output->request->prompt_ids,
                                 .n_prompt = output->request->n_prompt,
                                 .token_ids = output->tokens,
                                 .token_logprobs = output->logprobs,
                                 .inserted = output->inserted,
                                 .n_tokens = output->n,
                                 .n_thought_tokens = output->n_thought,
                                 .logprob = logprob,
                                 .score_detail = "{}",
                             },
                             err);
  else
    tpo_fail(err, TPO_E_MEMORY, "no memory for the text of a sample");
  free(thought_text);
  free(response);
  free(whole);
  return status;
}
