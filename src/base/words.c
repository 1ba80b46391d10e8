/* Cuts a text into words by Unicode's categories, and folds their case. */
#include "base/words.h"

#include <ctype.h>
#include <string.h>
#include <utf8proc.h>
#include "base/utf8.h"

static bool is_word_part(uint32_t cp)
{
  if (cp < 128) return isalnum((int)cp);
  utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
  return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) ||
         (c >= UTF8PROC_CATEGORY_MN && c <= UTF8PROC_CATEGORY_ME) ||
         (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

static bool is_mark(uint32_t cp)
{
  utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
  return c >= UTF8PROC_CATEGORY_MN && c <= UTF8PROC_CATEGORY_ME;
}

/* Letters of scripts whose words no spaces separate. */
static bool stands_alone(uint32_t cp)
{
  static const struct {
    uint32_t first, last;
  } ranges[] = {{0x0E00, 0x0EFF}, {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x3040, 0x30FF},
                {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x3FFFF}};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (cp >= ranges[i].first && cp <= ranges[i].last) return true;
  return false;
}

static bool is_apostrophe(uint32_t cp)
{
  return cp == '\'' || cp == 0x2019;
}

/* The code point at `at`; 0 at the end and for bytes that are not UTF-8. *n: bytes to go on by. */
static uint32_t code_point(const char *text, size_t len, size_t at, size_t *n)
{
  uint32_t cp = 0;
  int bytes = tpo_utf8_decode((const uint8_t *)text + at, len - at, &cp);
  *n = bytes > 0 ? (size_t)bytes : 1;
  return bytes > 0 ? cp : 0;
}

bool words_next(const char *text, size_t len, size_t *at, struct word *out)
{
  size_t n = 0;
  uint32_t cp = 0;
  for (; *at < len; *at += n)
    if (is_word_part(cp = code_point(text, len, *at, &n))) break;
  if (*at >= len) return false;
  out->begin = *at;
  *at += n;
  bool alone = stands_alone(cp);
  while (*at < len) {
    cp = code_point(text, len, *at, &n);
    size_t after = 0;
    bool joins =
        !alone && is_apostrophe(cp) && *at + n < len && is_word_part(code_point(text, len, *at + n, &after));
    bool part = alone ? is_mark(cp) : is_word_part(cp) && !stands_alone(cp);
    if (!joins && !part) break;
    *at += n;
  }
  out->end = *at;
  return true;
}

size_t words_count(const char *text)
{
  size_t at = 0, count = 0, len = strlen(text);
  struct word word;
  while (words_next(text, len, &at, &word)) count++;
  return count;
}

/* Of ASCII there is nothing to fold but letter case; NULL: it is no ASCII. */
static char *fold_ascii(const char *text)
{
  size_t len = strlen(text);
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)text[i] >= 128) return NULL;
  char *out = strdup(text);
  for (size_t i = 0; out && i < len; i++) out[i] = (char)tolower((unsigned char)out[i]);
  return out;
}

char *words_fold(const char *text)
{
  char *folded = fold_ascii(text);
  if (folded) return folded;
  utf8proc_uint8_t *out = NULL;
  utf8proc_ssize_t len = utf8proc_map((const utf8proc_uint8_t *)text, 0, &out,
                                      UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE |
                                          UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
  return len < 0 ? NULL : (char *)out;
}
