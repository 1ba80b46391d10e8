/* A tokenizer's files and a text (parts: text, tokenizer.json, tokenizer_config.json, generation_config.json,
 * special_tokens_map.json). Any text is encoded, to tokens that there are. */
#include "base/buf.h"
#include "fuzz/fuzz.h"
#include "tpo/text.h"

static void encode_and_decode(const struct tpo_tokenizer *tok, struct part text, unsigned flags)
{
  struct tpo_ids ids = {0}, again = {0};
  struct tpo_buf whole = {0}, second = {0};
  struct tpo_error err = {0};
  const char *bytes = (const char *)text.data;
  CLAIM(tpo_tokenizer_encode(tok, bytes, text.len, flags, &ids, &err) == 0, "%s", err.message);
  CLAIM(tpo_tokenizer_encode(tok, bytes, text.len, flags, &again, &err) == 0, "%s", err.message);
  CLAIM(ids.n == again.n && (!ids.n || memcmp(ids.ids, again.ids, ids.n * sizeof *ids.ids) == 0));
  for (size_t i = 0; i < ids.n; i++) {
    size_t len;
    bool special;
    CLAIM(tpo_tokenizer_token(tok, ids.ids[i], &len, &special), "no token %d", ids.ids[i]);
  }
  CLAIM(tpo_tokenizer_decode(tok, ids.ids, ids.n, true, &whole, &err) == 0, "%s", err.message);
  CLAIM(tpo_tokenizer_decode(tok, ids.ids, ids.n, false, &second, &err) == 0, "%s", err.message);
  CLAIM(second.len <= whole.len, "hidden special tokens make %zu bytes of %zu", second.len, whole.len);
  tpo_ids_free(&ids);
  tpo_ids_free(&again);
  tpo_buf_free(&whole);
  tpo_buf_free(&second);
}

static void ends_are_tokens(const struct tpo_tokenizer *tok)
{
  struct tpo_ids ends = {0};
  struct tpo_error err = {0};
  if (!fuzz_refused(tpo_tokenizer_end_ids(tok, NULL, &ends, &err), &err))
    for (size_t i = 0; i < ends.n; i++) CLAIM(ends.ids[i] >= 0, "end token %d", ends.ids[i]);
  tpo_ids_free(&ends);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[5];
  struct tpo_tokenizer *tok;
  struct tpo_error err = {0};
  fuzz_parts(data, size, parts, 5);
  fuzz_put("tokenizer.json", parts[1]);
  fuzz_put_or_remove("tokenizer_config.json", parts[2]);
  fuzz_put_or_remove("generation_config.json", parts[3]);
  fuzz_put_or_remove("special_tokens_map.json", parts[4]);
  if (fuzz_refused(tpo_tokenizer_open(&tok, fuzz_folder(), &err), &err)) return 0;
  for (unsigned flags = 0; flags < 8; flags += 3) encode_and_decode(tok, parts[0], flags);
  ends_are_tokens(tok);
  tpo_tokenizer_close(tok);
  return 0;
}
