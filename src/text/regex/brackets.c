/* Sets in brackets: ranges, classes, sets in sets and intersections are worked out here, so that PCRE2 sees
 * plain classes only. */
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"
#include "text/regex/translate.h"

enum { MAX_NESTING = 16 };

/* A set being read: the sides of && before this one, and this one. */
struct reading {
  struct tpo_set before, side;
  bool has_before, any; /* any: the side has something */
  bool compound;        /* has sets in sets or && */
  struct tpo_set named; /* what the named classes of all sides have */
};

static int read_set(struct tpo_pattern *pattern, struct tpo_set *set, bool *inverted, struct reading *r,
                    int depth);

static bool ahead(const struct tpo_pattern *pattern, const char *what)
{
  size_t n = strlen(what);
  return pattern->len - pattern->at >= n && memcmp(pattern->text + pattern->at, what, n) == 0;
}

/* [:name:]; 0 when it isn't one. */
static int read_posix(struct tpo_pattern *pattern, struct tpo_set *set)
{
  const char *text = pattern->text + pattern->at;
  size_t left = pattern->len - pattern->at;
  const char *end = memmem(text, left < 24 ? left : 24, ":]", 2);
  if (!end) return 0;
  bool inverted = text[2] == '^';
  char name[24];
  int n = snprintf(name, sizeof name, "[:%.*s", (int)(end + 2 - text) - (inverted ? 3 : 2),
                   text + (inverted ? 3 : 2));
  int found = tpo_set_add_property(set, name, (size_t)n, pattern->err);
  if (found == 0) return tpo_pattern_refuse(pattern, "a [: :] of this name");
  if (tpo_pattern_count_set(pattern) < 0) return TPO_E_INPUT;
  int status = found < 0 ? found : tpo_views_want(&pattern->views, "L", pattern->err);
  if (status == TPO_OK && inverted) status = tpo_set_invert(set, pattern->err);
  pattern->at += (size_t)(end + 2 - text);
  return status < 0 ? status : 1;
}

/* What is a set of its own within the set: 1 when there was one. */
static int read_inner(struct tpo_pattern *pattern, struct reading *r, int depth)
{
  struct tpo_set inner = {0};
  int found = 0;
  if (ahead(pattern, "[:")) {
    found = read_posix(pattern, &inner);
  } else if (ahead(pattern, "\\") && pattern->at + 1 < pattern->len) {
    pattern->at++;
    pattern->in_set = true;
    found = tpo_pattern_named_set(pattern, &inner);
    pattern->in_set = false;
    if (found == 0) pattern->at--;
  }
  if (found > 0 && tpo_set_unite(&r->named, &inner, pattern->err) < 0) found = TPO_E_MEMORY;
  if (found == 0 && ahead(pattern, "[")) {
    struct reading nested = {0};
    bool inverted = false;
    pattern->at++;
    r->compound = true;
    found = read_set(pattern, &inner, &inverted, &nested, depth + 1);
    if (found == TPO_OK && inverted) found = tpo_set_invert(&inner, pattern->err);
    if (found == TPO_OK) found = 1;
  }
  if (found > 0) tpo_set_tidy(&r->side);
  if (found > 0 && tpo_set_unite(&r->side, &inner, pattern->err) < 0) found = TPO_E_MEMORY;
  tpo_set_free(&inner);
  return found;
}

static int read_character(struct tpo_pattern *pattern, uint32_t *cp)
{
  if (!ahead(pattern, "\\")) {
    pattern->at +=
        (size_t)tpo_utf8_decode((const uint8_t *)pattern->text + pattern->at, pattern->len - pattern->at, cp);
    return TPO_OK;
  }
  if (++pattern->at == pattern->len) return tpo_pattern_fault(pattern, "a backslash at the end");
  if (ahead(pattern, "b")) {
    *cp = '\b';
    pattern->at++;
    return TPO_OK;
  }
  int found = tpo_pattern_character(pattern, cp);
  return found ? (found < 0 ? found : TPO_OK) : tpo_pattern_refuse(pattern, "this escape in a set");
}

static int end_side(struct tpo_pattern *pattern, struct reading *r)
{
  if (!r->any) return tpo_pattern_refuse(pattern, "a side of && that is empty");
  int status = TPO_OK;
  tpo_set_tidy(&r->side);
  if (r->has_before) { /* both: what neither lacks */
    status = tpo_set_invert(&r->before, pattern->err);
    if (status == TPO_OK) status = tpo_set_subtract(&r->side, &r->before, pattern->err);
  }
  tpo_set_free(&r->before);
  r->before = r->side;
  r->side = (struct tpo_set){0};
  r->has_before = true;
  r->any = false;
  return status;
}

/* A character, or the range that it begins. */
static int read_range(struct tpo_pattern *pattern, struct reading *r)
{
  uint32_t from, to;
  int status = read_character(pattern, &from);
  to = from;
  bool dash = ahead(pattern, "-") && !ahead(pattern, "-]") && !ahead(pattern, "-&&");
  if (status == TPO_OK && dash) {
    pattern->at++;
    if (ahead(pattern, "[")) return tpo_pattern_refuse(pattern, "a range that ends with a set");
    struct tpo_set no_set = {0};
    if (ahead(pattern, "\\") && pattern->at + 1 < pattern->len) {
      size_t back = pattern->at++;
      status = tpo_pattern_named_set(pattern, &no_set);
      pattern->at = back;
      tpo_set_free(&no_set);
      if (status > 0) return tpo_pattern_fault(pattern, "a range that ends with a class");
    }
    if (status == TPO_OK) status = pattern->at < pattern->len ? read_character(pattern, &to) : TPO_OK;
    if (status == TPO_OK && to < from)
      return tpo_pattern_fault(pattern, "a range that ends before it begins");
  }
  if (status == TPO_OK) status = tpo_set_add(&r->side, from, to, pattern->err);
  return status;
}

static int read_item(struct tpo_pattern *pattern, struct reading *r, int depth)
{
  if (ahead(pattern, "&&")) {
    r->compound = true;
    pattern->at += 2;
    return end_side(pattern, r);
  }
  int found = read_inner(pattern, r, depth);
  if (found == 0)
    found = read_range(pattern, r);
  else if (found > 0 && ahead(pattern, "-") && !ahead(pattern, "-]") && !ahead(pattern, "-&&")) {
    if (pattern->text[pattern->at - 1] != ']')
      return tpo_pattern_fault(pattern, "a range that begins with a class");
  }
  r->any = true;
  return found < 0 ? found : TPO_OK;
}

static int read_set(struct tpo_pattern *pattern, struct tpo_set *set, bool *inverted, struct reading *r,
                    int depth)
{
  if (depth > MAX_NESTING) return tpo_pattern_refuse(pattern, "so deep a set in sets");
  if (tpo_pattern_count_set(pattern) < 0) return TPO_E_INPUT;
  *inverted = ahead(pattern, "^");
  pattern->at += *inverted;
  int status = TPO_OK;
  for (bool first = true; status == TPO_OK; first = false) {
    if (pattern->at == pattern->len) status = tpo_pattern_fault(pattern, "a set without its ]");
    if (status < 0 || (!first && ahead(pattern, "]"))) break;
    status = first && ahead(pattern, "]") &&
                     !memchr(pattern->text + pattern->at + 1, ']', pattern->len - pattern->at - 1)
                 ? tpo_pattern_fault(pattern, "an empty set")
                 : read_item(pattern, r, depth);
  }
  pattern->at++;
  if (status == TPO_OK) status = end_side(pattern, r);
  tpo_set_free(&r->side);
  *set = r->before;
  r->before = (struct tpo_set){0};
  return status;
}

/* Whether letters are in a set without those of the other case. */
static bool minds_case(const struct tpo_set *set)
{
  static const uint32_t pairs[][2] = {{'A', 'a'}, {'Z', 'z'}, {0x1c4, 0x1c5}, {0x1c5, 0x1c6}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (tpo_set_has(set, pairs[i][0]) != tpo_set_has(set, pairs[i][1])) return true;
  return false;
}

int tpo_pattern_set(struct tpo_pattern *pattern)
{
  struct tpo_set set = {0};
  struct reading r = {0};
  bool inverted;
  pattern->at++;
  int status = read_set(pattern, &set, &inverted, &r, 0);
  if (status == TPO_OK && pattern->caseless && (r.compound || minds_case(&r.named)))
    status =
        tpo_pattern_refuse(pattern, r.compound ? "a set in a set or && under (?i)"
                                               : "a property of upper or lower case in a set under (?i)");
  pattern->views.whole = pattern->caseless;
  if (status == TPO_OK)
    status = tpo_charclass_write(&pattern->views, &set, inverted, pattern->out, pattern->err);
  tpo_set_free(&r.named);
  tpo_set_free(&set);
  return status;
}
