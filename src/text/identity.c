/* Which tokenizer this is. */
#include "text/identity.h"

#include <string.h>

#include "base/hash.h"
#include "text/tokenizer.h"

/* With its length, so that two texts don't run into each other. */
static void add(struct tpo_hash *hash, const void *bytes, size_t len)
{
  uint64_t n = len;
  tpo_hash_add(hash, &n, sizeof n);
  tpo_hash_add(hash, bytes, len);
}

static void add_text(struct tpo_hash *hash, const char *text)
{
  add(hash, text ? text : "", text ? strlen(text) : 0);
}

static void add_vocabulary(struct tpo_hash *hash, const struct tpo_tokenizer *tok)
{
  for (size_t i = 0; i < tok->vocab.n; i++) {
    const struct tpo_token *token = &tok->vocab.tokens[i];
    add(hash, token->bytes ? token->bytes : "", token->bytes ? token->len : 0);
    tpo_hash_add(hash, &token->kind, sizeof token->kind);
  }
  for (size_t i = 0; i < tok->n_merges; i++) {
    const int32_t pair[] = {tok->merges[i].left, tok->merges[i].right};
    tpo_hash_add(hash, pair, sizeof pair);
  }
}

int tokenizer_identify(const struct tpo_tokenizer *tok, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  const int32_t ids[] = {tok->bos, tok->eos, tok->unk, tok->pad};
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (int i = 0; i < TPO_N_FILES; i++) add(&hash, tok->files[i].bytes, tok->files[i].len);
  if (!tok->files[TPO_FILE_TOKENIZER].bytes) add_vocabulary(&hash, tok);
  add_text(&hash, tok->gguf_pre);
  add_text(&hash, tok->chat_template);
  if (tok->tool_template) add_text(&hash, tok->tool_template);
  tpo_hash_add(&hash, ids, sizeof ids);
  add(&hash, tok->prefix.ids, tok->prefix.n * sizeof *tok->prefix.ids);
  add(&hash, tok->suffix.ids, tok->suffix.n * sizeof *tok->suffix.ids);
  add(&hash, tok->ends.ids, tok->ends.n * sizeof *tok->ends.ids);
  tpo_hash_end(&hash, hex);
  return 0;
}
