/* What a backslash says alike in a set and outside: properties, and characters by number or name. */
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"
#include "text/regex/translate.h"

int tpo_pattern_refuse(struct tpo_pattern *pattern, const char *what)
{
  return tpo_fail(pattern->err, TPO_E_UNSUPPORTED,
                  "%s: %s is not supported in the regular expression \"%.*s\"", pattern->place, what,
                  (int)(pattern->len < 300 ? pattern->len : 300), pattern->text);
}

int tpo_pattern_fault(struct tpo_pattern *pattern, const char *what)
{
  return tpo_fail(pattern->err, TPO_E_INPUT, "%s: the regular expression \"%.*s\" has %s", pattern->place,
                  (int)(pattern->len < 300 ? pattern->len : 300), pattern->text, what);
}

int tpo_pattern_count_set(struct tpo_pattern *pattern)
{
  if (pattern->n_sets++ < TPO_MAX_SETS) return TPO_OK;
  return tpo_fail(pattern->err, TPO_E_INPUT,
                  "%s: a regular expression with more than %d sets and classes of characters, \"%.*s\"",
                  pattern->place, TPO_MAX_SETS, (int)(pattern->len < 80 ? pattern->len : 80), pattern->text);
}

/* PCRE2's properties that may shorten a class of this one. */
static int want_views(struct tpo_pattern *pattern, const char *plain)
{
  static const char *const wide[] = {"L", "M", "Nd", "P", "S"};
  static const char *const short_names[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc",
                                            "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps",
                                            "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So",
                                            "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cn"};
  int status = TPO_OK;
  if (strcmp(plain, "\\s") == 0 || strcmp(plain, "\\h") == 0) return TPO_OK; /* a few ranges */
  if (strcmp(plain, "\\d") == 0) return tpo_views_want(&pattern->views, "Nd", pattern->err);
  if (strcmp(plain, "(digits)") == 0) return tpo_views_want(&pattern->views, "N", pattern->err);
  if (strcmp(plain, "(punctuation)") == 0) return tpo_views_want(&pattern->views, "P", pattern->err);
  for (size_t i = 0; i < sizeof short_names / sizeof *short_names; i++)
    if (strcasecmp(plain, short_names[i]) == 0)
      return tpo_views_want(&pattern->views, short_names[i], pattern->err);
  if (*plain >= 'a' && *plain <= 'z') return tpo_views_want(&pattern->views, plain, pattern->err);
  for (size_t i = 0; i < sizeof wide / sizeof *wide && status == TPO_OK; i++)
    status = tpo_views_want(&pattern->views, wide[i], pattern->err);
  return status;
}

/* \p{name}, \p{^name}, \P{name}; the brace is at pattern->at + 1. */
static int braced_property(struct tpo_pattern *pattern, struct tpo_set *set)
{
  const char *text = pattern->text + pattern->at, *end = memchr(text, '}', pattern->len - pattern->at);
  char name[40];
  size_t n = 0;
  bool inverted = text[0] == 'P';
  if (tpo_pattern_count_set(pattern) < 0) return TPO_E_INPUT;
  if (!end) return tpo_pattern_fault(pattern, "a \\p{ without its }");
  const char *c = text + 2;
  if (c < end && *c == '^') {
    inverted = !inverted;
    c++;
  }
  for (; c < end && n + 1 < sizeof name; c++) {
    if (*c == ' ' || *c == '_' || *c == '-') continue;
    name[n++] = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
  }
  name[n] = '\0';
  /* Names with other characters are the table's own. */
  bool good =
      c == end && n > 0 && (pattern->own || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == n);
  /* Oniguruma's \w, but not its [\w], has the superscripts and fractions of Latin-1. */
  bool narrow = good && pattern->in_set && strcmp(name, "word") == 0;
  int found = narrow ? tpo_set_add_property(set, "[:word:]", 8, pattern->err)
              : good ? tpo_set_add_property(set, name, n, pattern->err)
                     : 0;
  if (found < 0) return found;
  if (!found) {
    char what[80];
    snprintf(what, sizeof what, "the property %.*s", (int)(end - text < 40 ? end - text + 1 : 40), text);
    return tpo_pattern_refuse(pattern, what);
  }
  pattern->at = (size_t)(end - pattern->text) + 1;
  int status = want_views(pattern, name);
  if (status == TPO_OK && inverted) status = tpo_set_invert(set, pattern->err);
  return status < 0 ? status : 1;
}

int tpo_pattern_named_set(struct tpo_pattern *pattern, struct tpo_set *set)
{
  char c = pattern->text[pattern->at];
  if ((c == 'p' || c == 'P') && pattern->at + 1 < pattern->len && pattern->text[pattern->at + 1] == '{')
    return braced_property(pattern, set);
  if (c == '\0' || !strchr("sSdDwWhH", c)) return 0;
  char name[] = "\\?";
  name[1] = (char)(c | 32);
  if (tpo_pattern_count_set(pattern) < 0) return TPO_E_INPUT;
  pattern->at++;
  bool narrow = pattern->in_set && name[1] == 'w';
  int status = tpo_set_add_property(set, narrow ? "[:word:]" : name, narrow ? 8 : 2, pattern->err);
  if (status >= 0) status = want_views(pattern, name);
  if (status >= 0 && c < 'a') status = tpo_set_invert(set, pattern->err);
  return status < 0 ? status : 1;
}

/* Up to `most` digits of a base at *at. Returns how many there were. */
static int digits(const struct tpo_pattern *pattern, size_t *at, int base, int most, uint32_t *value)
{
  int n = 0;
  for (*value = 0; n < most && *at < pattern->len; n++, (*at)++) {
    char c = pattern->text[*at];
    int digit = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : 99;
    if (digit >= base) break;
    *value = *value * (uint32_t)base + (uint32_t)digit;
  }
  return n;
}

/* \xHH, \x{H...}, \uHHHH, \0oo */
static int numbered(struct tpo_pattern *pattern, char kind, uint32_t *cp)
{
  size_t at = pattern->at + (kind == '0' ? 0 : 1);
  bool braced = kind == 'x' && at < pattern->len && pattern->text[at] == '{';
  int n, least = kind == 'u' ? 4 : 1;
  if (braced) at++;
  n = digits(pattern, &at, kind == '0' ? 8 : 16, braced ? 8 : kind == 'x' ? 2 : kind == 'u' ? 4 : 3, cp);
  if (braced && (at == pattern->len || pattern->text[at++] != '}')) n = 0;
  bool byte = kind == 'x' && !braced && *cp >= 0x80; /* Oniguruma takes it for a byte of UTF-8 */
  if (n < least || byte || *cp > TPO_LAST_CODE_POINT || (*cp >= 0xd800 && *cp < 0xe000)) {
    char what[] = "this \\?";
    what[6] = kind;
    return tpo_pattern_refuse(pattern, what);
  }
  pattern->at = at;
  return 1;
}

int tpo_pattern_character(struct tpo_pattern *pattern, uint32_t *cp)
{
  static const char names[] = "tnrfaev", meant[] = "\t\n\r\f\a\x1b\v";
  char c = pattern->text[pattern->at];
  if (c == 'x' || c == 'u' || c == '0') return numbered(pattern, c, cp);
  const char *named = c ? strchr(names, c) : NULL;
  if (named) {
    *cp = (uint8_t)meant[named - names];
    pattern->at++;
    return 1;
  }
  if (c && strchr("123456789CMcQEKkgyY", c)) return 0;
  pattern->at +=
      (size_t)tpo_utf8_decode((const uint8_t *)pattern->text + pattern->at, pattern->len - pattern->at, cp);
  return 1;
}
