/* Case mappings as Python has them: Unicode's full ones, so that one character may become three. */
#include <string.h>
#include <utf8proc.h>
#include "text/jinja/builtin/builtins.h"

/* SpecialCasing.txt without its conditions: what utf8proc's single code points can't say. */
static const struct {
  uint32_t cp;
  const char *upper, *title;
} special[] = {
    {0xdf, "\x53\x53", "\x53\x73"},
    {0x149, "\xca\xbc\x4e", "\xca\xbc\x4e"},
    {0x1f0, "\x4a\xcc\x8c", "\x4a\xcc\x8c"},
    {0x390, "\xce\x99\xcc\x88\xcc\x81", "\xce\x99\xcc\x88\xcc\x81"},
    {0x3b0, "\xce\xa5\xcc\x88\xcc\x81", "\xce\xa5\xcc\x88\xcc\x81"},
    {0x587, "\xd4\xb5\xd5\x92", "\xd4\xb5\xd6\x82"},
    {0x1e96, "\x48\xcc\xb1", "\x48\xcc\xb1"},
    {0x1e97, "\x54\xcc\x88", "\x54\xcc\x88"},
    {0x1e98, "\x57\xcc\x8a", "\x57\xcc\x8a"},
    {0x1e99, "\x59\xcc\x8a", "\x59\xcc\x8a"},
    {0x1e9a, "\x41\xca\xbe", "\x41\xca\xbe"},
    {0x1f50, "\xce\xa5\xcc\x93", "\xce\xa5\xcc\x93"},
    {0x1f52, "\xce\xa5\xcc\x93\xcc\x80", "\xce\xa5\xcc\x93\xcc\x80"},
    {0x1f54, "\xce\xa5\xcc\x93\xcc\x81", "\xce\xa5\xcc\x93\xcc\x81"},
    {0x1f56, "\xce\xa5\xcc\x93\xcd\x82", "\xce\xa5\xcc\x93\xcd\x82"},
    {0x1f80, "\xe1\xbc\x88\xce\x99", "\xe1\xbe\x88"},
    {0x1f81, "\xe1\xbc\x89\xce\x99", "\xe1\xbe\x89"},
    {0x1f82, "\xe1\xbc\x8a\xce\x99", "\xe1\xbe\x8a"},
    {0x1f83, "\xe1\xbc\x8b\xce\x99", "\xe1\xbe\x8b"},
    {0x1f84, "\xe1\xbc\x8c\xce\x99", "\xe1\xbe\x8c"},
    {0x1f85, "\xe1\xbc\x8d\xce\x99", "\xe1\xbe\x8d"},
    {0x1f86, "\xe1\xbc\x8e\xce\x99", "\xe1\xbe\x8e"},
    {0x1f87, "\xe1\xbc\x8f\xce\x99", "\xe1\xbe\x8f"},
    {0x1f88, "\xe1\xbc\x88\xce\x99", "\xe1\xbe\x88"},
    {0x1f89, "\xe1\xbc\x89\xce\x99", "\xe1\xbe\x89"},
    {0x1f8a, "\xe1\xbc\x8a\xce\x99", "\xe1\xbe\x8a"},
    {0x1f8b, "\xe1\xbc\x8b\xce\x99", "\xe1\xbe\x8b"},
    {0x1f8c, "\xe1\xbc\x8c\xce\x99", "\xe1\xbe\x8c"},
    {0x1f8d, "\xe1\xbc\x8d\xce\x99", "\xe1\xbe\x8d"},
    {0x1f8e, "\xe1\xbc\x8e\xce\x99", "\xe1\xbe\x8e"},
    {0x1f8f, "\xe1\xbc\x8f\xce\x99", "\xe1\xbe\x8f"},
    {0x1f90, "\xe1\xbc\xa8\xce\x99", "\xe1\xbe\x98"},
    {0x1f91, "\xe1\xbc\xa9\xce\x99", "\xe1\xbe\x99"},
    {0x1f92, "\xe1\xbc\xaa\xce\x99", "\xe1\xbe\x9a"},
    {0x1f93, "\xe1\xbc\xab\xce\x99", "\xe1\xbe\x9b"},
    {0x1f94, "\xe1\xbc\xac\xce\x99", "\xe1\xbe\x9c"},
    {0x1f95, "\xe1\xbc\xad\xce\x99", "\xe1\xbe\x9d"},
    {0x1f96, "\xe1\xbc\xae\xce\x99", "\xe1\xbe\x9e"},
    {0x1f97, "\xe1\xbc\xaf\xce\x99", "\xe1\xbe\x9f"},
    {0x1f98, "\xe1\xbc\xa8\xce\x99", "\xe1\xbe\x98"},
    {0x1f99, "\xe1\xbc\xa9\xce\x99", "\xe1\xbe\x99"},
    {0x1f9a, "\xe1\xbc\xaa\xce\x99", "\xe1\xbe\x9a"},
    {0x1f9b, "\xe1\xbc\xab\xce\x99", "\xe1\xbe\x9b"},
    {0x1f9c, "\xe1\xbc\xac\xce\x99", "\xe1\xbe\x9c"},
    {0x1f9d, "\xe1\xbc\xad\xce\x99", "\xe1\xbe\x9d"},
    {0x1f9e, "\xe1\xbc\xae\xce\x99", "\xe1\xbe\x9e"},
    {0x1f9f, "\xe1\xbc\xaf\xce\x99", "\xe1\xbe\x9f"},
    {0x1fa0, "\xe1\xbd\xa8\xce\x99", "\xe1\xbe\xa8"},
    {0x1fa1, "\xe1\xbd\xa9\xce\x99", "\xe1\xbe\xa9"},
    {0x1fa2, "\xe1\xbd\xaa\xce\x99", "\xe1\xbe\xaa"},
    {0x1fa3, "\xe1\xbd\xab\xce\x99", "\xe1\xbe\xab"},
    {0x1fa4, "\xe1\xbd\xac\xce\x99", "\xe1\xbe\xac"},
    {0x1fa5, "\xe1\xbd\xad\xce\x99", "\xe1\xbe\xad"},
    {0x1fa6, "\xe1\xbd\xae\xce\x99", "\xe1\xbe\xae"},
    {0x1fa7, "\xe1\xbd\xaf\xce\x99", "\xe1\xbe\xaf"},
    {0x1fa8, "\xe1\xbd\xa8\xce\x99", "\xe1\xbe\xa8"},
    {0x1fa9, "\xe1\xbd\xa9\xce\x99", "\xe1\xbe\xa9"},
    {0x1faa, "\xe1\xbd\xaa\xce\x99", "\xe1\xbe\xaa"},
    {0x1fab, "\xe1\xbd\xab\xce\x99", "\xe1\xbe\xab"},
    {0x1fac, "\xe1\xbd\xac\xce\x99", "\xe1\xbe\xac"},
    {0x1fad, "\xe1\xbd\xad\xce\x99", "\xe1\xbe\xad"},
    {0x1fae, "\xe1\xbd\xae\xce\x99", "\xe1\xbe\xae"},
    {0x1faf, "\xe1\xbd\xaf\xce\x99", "\xe1\xbe\xaf"},
    {0x1fb2, "\xe1\xbe\xba\xce\x99", "\xe1\xbe\xba\xcd\x85"},
    {0x1fb3, "\xce\x91\xce\x99", "\xe1\xbe\xbc"},
    {0x1fb4, "\xce\x86\xce\x99", "\xce\x86\xcd\x85"},
    {0x1fb6, "\xce\x91\xcd\x82", "\xce\x91\xcd\x82"},
    {0x1fb7, "\xce\x91\xcd\x82\xce\x99", "\xce\x91\xcd\x82\xcd\x85"},
    {0x1fbc, "\xce\x91\xce\x99", "\xe1\xbe\xbc"},
    {0x1fc2, "\xe1\xbf\x8a\xce\x99", "\xe1\xbf\x8a\xcd\x85"},
    {0x1fc3, "\xce\x97\xce\x99", "\xe1\xbf\x8c"},
    {0x1fc4, "\xce\x89\xce\x99", "\xce\x89\xcd\x85"},
    {0x1fc6, "\xce\x97\xcd\x82", "\xce\x97\xcd\x82"},
    {0x1fc7, "\xce\x97\xcd\x82\xce\x99", "\xce\x97\xcd\x82\xcd\x85"},
    {0x1fcc, "\xce\x97\xce\x99", "\xe1\xbf\x8c"},
    {0x1fd2, "\xce\x99\xcc\x88\xcc\x80", "\xce\x99\xcc\x88\xcc\x80"},
    {0x1fd3, "\xce\x99\xcc\x88\xcc\x81", "\xce\x99\xcc\x88\xcc\x81"},
    {0x1fd6, "\xce\x99\xcd\x82", "\xce\x99\xcd\x82"},
    {0x1fd7, "\xce\x99\xcc\x88\xcd\x82", "\xce\x99\xcc\x88\xcd\x82"},
    {0x1fe2, "\xce\xa5\xcc\x88\xcc\x80", "\xce\xa5\xcc\x88\xcc\x80"},
    {0x1fe3, "\xce\xa5\xcc\x88\xcc\x81", "\xce\xa5\xcc\x88\xcc\x81"},
    {0x1fe4, "\xce\xa1\xcc\x93", "\xce\xa1\xcc\x93"},
    {0x1fe6, "\xce\xa5\xcd\x82", "\xce\xa5\xcd\x82"},
    {0x1fe7, "\xce\xa5\xcc\x88\xcd\x82", "\xce\xa5\xcc\x88\xcd\x82"},
    {0x1ff2, "\xe1\xbf\xba\xce\x99", "\xe1\xbf\xba\xcd\x85"},
    {0x1ff3, "\xce\xa9\xce\x99", "\xe1\xbf\xbc"},
    {0x1ff4, "\xce\x8f\xce\x99", "\xce\x8f\xcd\x85"},
    {0x1ff6, "\xce\xa9\xcd\x82", "\xce\xa9\xcd\x82"},
    {0x1ff7, "\xce\xa9\xcd\x82\xce\x99", "\xce\xa9\xcd\x82\xcd\x85"},
    {0x1ffc, "\xce\xa9\xce\x99", "\xe1\xbf\xbc"},
    {0xfb00, "\x46\x46", "\x46\x66"},
    {0xfb01, "\x46\x49", "\x46\x69"},
    {0xfb02, "\x46\x4c", "\x46\x6c"},
    {0xfb03, "\x46\x46\x49", "\x46\x66\x69"},
    {0xfb04, "\x46\x46\x4c", "\x46\x66\x6c"},
    {0xfb05, "\x53\x54", "\x53\x74"},
    {0xfb06, "\x53\x54", "\x53\x74"},
    {0xfb13, "\xd5\x84\xd5\x86", "\xd5\x84\xd5\xb6"},
    {0xfb14, "\xd5\x84\xd4\xb5", "\xd5\x84\xd5\xa5"},
    {0xfb15, "\xd5\x84\xd4\xbb", "\xd5\x84\xd5\xab"},
    {0xfb16, "\xd5\x8e\xd5\x86", "\xd5\x8e\xd5\xb6"},
    {0xfb17, "\xd5\x84\xd4\xbd", "\xd5\x84\xd5\xad"},
};

static const char *find_special(uint32_t cp, enum jinja_case how)
{
  size_t low = 0, high = sizeof special / sizeof *special;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (special[middle].cp == cp) return how == JINJA_UPPER ? special[middle].upper : special[middle].title;
    if (special[middle].cp < cp)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

static bool cased(uint32_t cp)
{
  return jinja_is_upper(cp) || jinja_is_lower(cp) || jinja_is_title(cp);
}

/* Word_Break: MidLetter, MidNumLet and Single_Quote. */
static bool joins_words(uint32_t cp)
{
  static const uint16_t joining[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                     0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
  for (size_t i = 0; i < sizeof joining / sizeof *joining; i++)
    if (joining[i] == cp) return true;
  return false;
}

/* Case_Ignorable: marks, formats, modifiers and what joins words. */
static bool ignorable(uint32_t cp)
{
  switch (utf8proc_category((utf8proc_int32_t)cp)) {
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_SK: return true;
  default: return joins_words(cp);
  }
}

/* A sigma that ends a word: a letter stands before it and none after it. */
static bool final_sigma(const struct jinja_string *s, size_t begin)
{
  size_t at = begin, next;
  uint32_t cp = 0;
  while (at > 0) {
    next = at = jinja_previous(s, at);
    cp = jinja_next(s, &next);
    if (!ignorable(cp)) break;
    cp = 0;
  }
  if (!cp || !cased(cp)) return false;
  at = begin;
  jinja_next(s, &at);
  while (at < s->len) {
    cp = jinja_next(s, &at);
    if (!ignorable(cp)) return !cased(cp);
  }
  return true;
}

static void lower(struct jinja_builder *b, const struct jinja_string *s, size_t begin, uint32_t cp)
{
  tpo_origin origin = s->origins[begin];
  if (cp == 0x3a3)
    jinja_build_code_point(b, final_sigma(s, begin) ? 0x3c2 : 0x3c3, origin);
  else if (cp == 0x130)
    jinja_build_bytes(b, "i\xcc\x87", 3, origin);
  else
    jinja_build_code_point(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp), origin);
}

static void fold(struct jinja_builder *b, uint32_t cp, tpo_origin origin)
{
  utf8proc_int32_t folded[8];
  int boundary = 0;
  utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, folded, 8, UTF8PROC_CASEFOLD, &boundary);
  for (utf8proc_ssize_t i = 0; i < n && i < 8; i++) jinja_build_code_point(b, (uint32_t)folded[i], origin);
}

void jinja_build_cased(struct jinja_builder *b, const struct jinja_string *s, size_t at, enum jinja_case how)
{
  size_t next = at;
  uint32_t cp = jinja_next(s, &next);
  tpo_origin origin = s->origins[at];
  const char *more = how == JINJA_UPPER || how == JINJA_TITLE ? find_special(cp, how) : NULL;
  if (more)
    jinja_build_bytes(b, more, strlen(more), origin);
  else if (how == JINJA_LOWER)
    lower(b, s, at, cp);
  else if (how == JINJA_FOLD)
    fold(b, cp, origin);
  else
    jinja_build_code_point(b,
                           (uint32_t)(how == JINJA_UPPER ? utf8proc_toupper((utf8proc_int32_t)cp)
                                                         : utf8proc_totitle((utf8proc_int32_t)cp)),
                           origin);
}

/* What stands in ASCII from `at` on, at once; where it ends. */
static size_t convert_ascii(struct jinja_builder *b, const struct jinja_string *s, size_t at, bool upper)
{
  size_t end = at;
  while (end < s->len && (uint8_t)s->bytes[end] < 0x80) end++;
  jinja_build_slice(b, s, at, end);
  if (b->failed) return end;
  for (char *c = b->bytes + b->len - (end - at); at < end; at++, c++)
    if (upper ? *c >= 'a' && *c <= 'z' : *c >= 'A' && *c <= 'Z') *c ^= 0x20;
  return end;
}

int jinja_convert_case(struct jinja_run *run, const struct jinja_string *s, enum jinja_case how,
                       struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  jinja_build_reserve(&b, s->len);
  for (size_t at = 0; at < s->len && !b.failed;) {
    if ((uint8_t)s->bytes[at] < 0x80) {
      at = convert_ascii(&b, s, at, how == JINJA_UPPER || how == JINJA_TITLE);
    } else {
      jinja_build_cased(&b, s, at, how);
      jinja_next(s, &at);
    }
  }
  return jinja_build_end_like(&b, s, out);
}

int jinja_capitalize(struct jinja_run *run, const struct jinja_string *s, struct jinja_value *out)
{
  struct jinja_builder b = {.run = run};
  for (size_t at = 0; at < s->len; jinja_next(s, &at))
    jinja_build_cased(&b, s, at, at == 0 ? JINJA_TITLE : JINJA_LOWER);
  return jinja_build_end_like(&b, s, out);
}
