/* The splits behind the names of tokenizer.ggml.pre. As a list they are applied one after the other, each
 * match of each becoming a piece of its own. */
#include <stdio.h>
#include <string.h>
#include "text/tokenizer.h"

#define SPACES "|\\s+(?!\\S)|\\s+"
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" SPACES
#define WORDS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" SPACES
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define NOT_WORD "[^\\r\\n\\p{L}\\p{N}]?"

/* The cased letters, as DeepSeek's tokenizer lists them. */
#define DEEPSEEK_LETTERS                                                                                     \
  "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"            \
  "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}"     \
  "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"            \
  "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"          \
  "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}"          \
  "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}"                     \
  "\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"                    \
  "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}"          \
  "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"            \
  "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"                     \
  "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"                     \
  "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"           \
  "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"          \
  "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"                         \
  "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"                     \
  "\\x{1e900}-\\x{1e943}"

static const struct tpo_gguf_pre known[] = {
    {"gpt-2", false, false, {GPT2}},
    {"smollm", false, false, {"\\p{N}", GPT2}},
    {"starcoder", false, false, {"\\p{N}", GPT2}},
    {"refact", false, false, {"\\p{N}", GPT2}},
    {"llama-bpe", true, true, {CONTRACTIONS WORDS "\\p{N}{1,3}" REST}},
    {"falcon3", true, true, {CONTRACTIONS WORDS "\\p{N}{1,3}" REST}},
    {"dbrx", false, false, {CONTRACTIONS WORDS "\\p{N}{1,3}" REST}},
    {"smaug-bpe", false, false, {CONTRACTIONS WORDS "\\p{N}{1,3}" REST}},
    {"qwen2", false, false, {CONTRACTIONS WORDS "\\p{N}" REST}},
    {"deepseek-r1-qwen", false, false, {CONTRACTIONS WORDS "\\p{N}" REST}},
    {"gpt-4o",
     false,
     false,
     {NOT_WORD UPPER "*" LOWER "+" CONTRACTIONS "?|" NOT_WORD UPPER "+" LOWER "*" CONTRACTIONS
                     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+" SPACES}},
    {"tekken",
     true,
     true,
     {NOT_WORD UPPER "*" LOWER "+|" NOT_WORD UPPER "+" LOWER
                     "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+" SPACES}},
    {"deepseek-llm",
     false,
     false,
     {"[\\r\\n]", "\\s?[" DEEPSEEK_LETTERS "]+",
      "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+", "\\s+$",
      "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", "\\p{N}+"}},
};

const struct tpo_gguf_pre *tpo_gguf_pre_find(const char *name, size_t len)
{
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0) return &known[i];
  return NULL;
}

static bool cuts_alike(const struct tpo_gguf_pre *pre, const struct tpo_pretokenizer *with)
{
  size_t n = 0;
  for (; pre->patterns[n]; n++) {
    if (n == with->n_splits) return false;
    const struct tpo_split *split = &with->splits[n];
    if (split->glyphs || split->invert || split->behavior != TPO_SPLIT_ISOLATED ||
        strcmp(split->pattern, pre->patterns[n]) != 0)
      return false;
  }
  return n == with->n_splits;
}

const struct tpo_gguf_pre *tpo_gguf_pre_of(const struct tpo_tokenizer *tok)
{
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].ignore_merges == tok->bpe.ignore_merges && cuts_alike(&known[i], &tok->pre))
      return &known[i];
  return NULL;
}

void tpo_gguf_pre_list(char out[256])
{
  size_t at = 0;
  for (size_t i = 0; i < sizeof known / sizeof *known && at < 256; i++)
    at += (size_t)snprintf(out + at, 256 - at, "%s%s", i ? ", " : "", known[i].name);
}
