/* Finds the name of tokenizer.ggml.pre for a tokenizer, and the tokenizer's splits for a name. */
#include "text/gguf/pre.h"

#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "text/tokenizer.h"

const struct tpo_gguf_pre *tpo_gguf_pre_find(const char *name, size_t len)
{
  for (size_t i = 0; i < tpo_n_gguf_pres; i++)
    if (strlen(tpo_gguf_pres[i].name) == len && memcmp(tpo_gguf_pres[i].name, name, len) == 0)
      return &tpo_gguf_pres[i];
  return NULL;
}

int tpo_gguf_pre_apply(const struct tpo_gguf_pre *pre, struct tpo_tokenizer *tok, struct tpo_error *err)
{
  int status = pre->nfc ? tpo_normalizer_add_form(&tok->normalizer, TPO_NORMAL_NFC, err) : TPO_OK;
  for (const struct tpo_gguf_split *split = pre->splits; split->pattern && status >= 0; split++) {
    tok->pre.glyphs = split->glyphs;
    status = tpo_pretokenizer_add(&tok->pre, split->pattern, strlen(split->pattern), split->behavior, false,
                                  tok->place, err);
  }
  return status;
}

/* The code point of an escape (\\n, \\r, \\t, \\x{H}, \\uHHHH) that stands for a control character or one beyond ASCII, so that
 * it may as well stand there itself; the bytes used, or 0. */
static size_t read_escape(const char *at, uint32_t *cp)
{
  static const char names[] = "nrt", meanings[] = "\n\r\t";
  char *end;
  if (at[0] != '\\' || !at[1]) return 0;
  const char *name = strchr(names, at[1]);
  if (name) {
    *cp = (uint32_t)meanings[name - names];
    return 2;
  }
  bool braces = at[1] == 'x' && at[2] == '{';
  if (!braces && (at[1] != 'u' || strspn(at + 2, "0123456789abcdefABCDEF") < 4)) return 0;
  char digits[8] = {0};
  strncpy(digits, at + (braces ? 3 : 2), braces ? 7 : 4);
  *cp = (uint32_t)strtoul(digits, &end, 16);
  if (*cp < 0x80 || (braces && *end != '}')) return 0;
  return braces ? (size_t)(end - digits) + 4 : 6;
}

/* The next character of a pattern, and whether it is escaped. */
static uint32_t next_character(const char **at)
{
  uint32_t cp = 0;
  size_t used = read_escape(*at, &cp);
  if (used == 0) used = (size_t)tpo_utf8_decode((const uint8_t *)*at, strlen(*at), &cp);
  *at += used ? used : 1;
  return cp;
}

/* Whether two patterns are the same but for the spelling of their characters. */
static bool same_pattern(const char *a, const char *b)
{
  while (*a && *b) {
    if (a[0] == '\\' && b[0] == '\\' && a[1] == '\\' && b[1] == '\\')
      a += 2, b += 2;
    else if (next_character(&a) != next_character(&b))
      return false;
  }
  return !*a && !*b;
}

static bool same_split(const struct tpo_gguf_split *named, const struct tpo_split *split)
{
  bool alike = split->behavior == named->behavior && !split->invert;
  bool rest_removed = named->covers && split->behavior == TPO_SPLIT_REMOVED && split->invert;
  return (alike || rest_removed) && split->glyphs == named->glyphs &&
         same_pattern(split->pattern, named->pattern);
}

static bool cuts_alike(const struct tpo_gguf_pre *pre, const struct tpo_pretokenizer *with)
{
  size_t n = 0;
  for (; pre->splits[n].pattern; n++)
    if (n == with->n_splits || !same_split(&pre->splits[n], &with->splits[n])) return false;
  return n == with->n_splits;
}

/* Whether merging makes every token of its own bytes, so that ignoring the merges of one changes nothing: 1, 0, or
 * negative. */
static int merges_suffice(const struct tpo_tokenizer *tok, struct tpo_error *err)
{
  struct tpo_bpe merging = tok->bpe;
  struct tpo_bpe_scratch scratch = {0};
  struct tpo_ids ids = {0};
  int status = 1;
  merging.ignore_merges = false;
  for (size_t id = 0; id < tok->vocab.n && status == 1; id++) {
    const struct tpo_token *token = &tok->vocab.tokens[id];
    if (tpo_token_text_kind(token) != TPO_TOKEN_NORMAL || token->len == 0) continue;
    ids.n = 0;
    int failed = tpo_bpe_encode(&merging, &tok->vocab, token->bytes, token->len, &scratch, &ids, err);
    status = failed < 0 ? failed : ids.n == 1 && ids.ids[0] == (int32_t)id;
  }
  tpo_bpe_scratch_free(&scratch);
  tpo_ids_free(&ids);
  return status;
}

int tpo_gguf_pre_of(const struct tpo_tokenizer *tok, const struct tpo_gguf_pre **out, struct tpo_error *err)
{
  enum { OTHER_FORM = 1, OTHER_MERGES = 2 };
  const struct tpo_gguf_pre *found[4] = {NULL}; /* by what is otherwise */
  bool nfc = false;
  for (size_t i = 0; i < tok->normalizer.n; i++) nfc |= tok->normalizer.steps[i].kind == TPO_NORMAL_NFC;
  for (size_t i = tpo_n_gguf_pres; i-- > 0;) {
    const struct tpo_gguf_pre *pre = &tpo_gguf_pres[i];
    int otherwise = (pre->nfc != nfc ? OTHER_FORM : 0) |
                    (pre->ignore_merges != tok->bpe.ignore_merges ? OTHER_MERGES : 0);
    if (!pre->embeds && cuts_alike(pre, &tok->pre)) found[otherwise] = pre;
  }
  *out = found[0];
  if (!*out && found[OTHER_MERGES]) {
    int same = merges_suffice(tok, err);
    if (same < 0) return same;
    *out = same ? found[OTHER_MERGES] : NULL;
  }
  /* A form that the tokenizer does not bring its texts into would change what is read of the file. */
  if (!*out && nfc) *out = found[OTHER_FORM];
  return TPO_OK;
}
