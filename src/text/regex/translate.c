/* Goes through a pattern: groups and their options, quantifiers, literals. */
#include "text/regex/translate.h"

#include <stdio.h>
#include <string.h>
#include "base/utf8.h"

/* Oniguruma repeats what was repeated; PCRE2 reads the second quantifier as part of the first. */
static void group_last(struct tpo_pattern *p)
{
  tpo_buf_puts(p->out, "(?:)");
  if (p->out->failed) return;
  char *at = p->out->data + p->atom;
  memmove(at + 3, at, p->out->len - 4 - p->atom);
  memcpy(at, "(?:", 3);
}

static void begin_atom(struct tpo_pattern *p)
{
  p->atom = p->out->len;
  p->repeatable = true;
  p->repeated = false;
}

/* {n}, {n,}, {,m}, {n,m}: their length, 0 when the brace is a character. */
static size_t interval(const struct tpo_pattern *p, unsigned *least, unsigned *most, bool *fixed)
{
  char text[24] = {0};
  size_t n = p->len - p->at < sizeof text - 1 ? p->len - p->at : sizeof text - 1;
  memcpy(text, p->text + p->at, n);
  size_t low = strspn(text + 1, "0123456789"), comma = text[1 + low] == ',';
  size_t high = comma ? strspn(text + 2 + low, "0123456789") : 0, all = 1 + low + comma + high;
  if (low + high == 0 || low > 6 || high > 6 || text[all] != '}') return 0;
  *least = 0;
  for (size_t i = 0; i < low; i++) *least = *least * 10 + (unsigned)(text[1 + i] - '0');
  *most = high ? 0 : comma ? UINT32_MAX : *least;
  for (size_t i = 0; i < high; i++) *most = *most * 10 + (unsigned)(text[2 + low + i] - '0');
  *fixed = !comma;
  return all + 1;
}

static bool take(struct tpo_pattern *p, char c)
{
  bool there = p->at < p->len && p->text[p->at] == c;
  p->at += there;
  return there;
}

/* At a quantifier: 1 when it was one, 0 when the brace is a character. */
static int translate_quantifier(struct tpo_pattern *p)
{
  char c = p->text[p->at];
  unsigned least = 0, most = 0;
  bool fixed = false;
  size_t used = c == '{' ? interval(p, &least, &most, &fixed) : 1;
  if (used == 0) return 0;
  if (!p->repeatable) return tpo_pattern_fault(p, "a quantifier of nothing");
  if (most < least) return tpo_pattern_refuse(p, "a quantifier whose bounds are turned");
  if (p->repeated) group_last(p);
  p->at += used;
  if (c != '{')
    tpo_buf_putc(p->out, c);
  else if (most == UINT32_MAX)
    tpo_buf_printf(p->out, "{%u,}", least);
  else
    tpo_buf_printf(p->out, "{%u,%u}", least, most);
  if (!fixed && take(p, '?'))
    tpo_buf_putc(p->out, '?');
  else if (c != '{' && take(p, '+'))
    tpo_buf_putc(p->out, '+');
  p->repeated = true;
  return 1;
}

static int open_group(struct tpo_pattern *p, const char *as, bool looks)
{
  if (p->depth == TPO_MAX_GROUPS) return tpo_pattern_refuse(p, "so deep a group");
  p->groups[p->depth++] =
      (struct tpo_pattern_group){.begin = p->out->len, .caseless = p->caseless, .looks = looks};
  tpo_buf_puts(p->out, as);
  p->repeatable = false;
  return TPO_OK;
}

/* (?i), (?m-i:...); m is PCRE2's s. An option without a colon holds to the end of the group around it, of all
 * of its alternatives that follow. */
static int translate_options(struct tpo_pattern *p)
{
  struct tpo_buf options = {0};
  bool on = true, caseless = p->caseless;
  int status = TPO_OK;
  tpo_buf_puts(&options, "(?");
  for (p->at += 2; p->at < p->len && p->text[p->at] && strchr("im-", p->text[p->at]); p->at++) {
    char c = p->text[p->at];
    if (c == '-') on = false;
    if (c == 'i') caseless = on;
    tpo_buf_putc(&options, c == 'm' ? 's' : c);
  }
  tpo_buf_puts(&options, ":");
  tpo_buf_putc(&options, '\0');
  bool alone = take(p, ')');
  if (options.failed)
    status = tpo_fail(p->err, TPO_E_MEMORY, "%s: no memory for a regular expression", p->place);
  else if (!alone && !take(p, ':'))
    status = tpo_pattern_refuse(p, "this kind of group");
  else if (!alone)
    status = open_group(p, options.data, false);
  else {
    tpo_buf_puts(p->out, options.data);
    p->groups[p->depth - 1].more++;
    p->repeatable = false;
  }
  if (status == TPO_OK) p->caseless = caseless;
  tpo_buf_free(&options);
  return status;
}

static int translate_named_group(struct tpo_pattern *p)
{
  char close = p->text[p->at + 2] == '<' ? '>' : '\'';
  size_t from = p->at + 3;
  const char *end = memchr(p->text + from, close, p->len - from);
  size_t n = end ? (size_t)(end - p->text) - from : 0;
  char name[40];
  if (n == 0 || n > 32) return tpo_pattern_refuse(p, "this name of a group");
  snprintf(name, sizeof name, "(?<%.*s>", (int)n, p->text + from);
  p->named = true;
  p->at = from + n + 1;
  return open_group(p, name, false);
}

static int translate_group(struct tpo_pattern *p)
{
  static const struct {
    const char *text;
    bool looks;
  } alike[] = {{"(?:", false}, {"(?>", false}, {"(?=", true}, {"(?!", true}, {"(?<=", true}, {"(?<!", true}};
  const char *text = p->text + p->at;
  size_t left = p->len - p->at;
  if (left > 1 && text[1] == '*') return tpo_pattern_refuse(p, "(*");
  if (left < 2 || text[1] != '?') {
    p->at++;
    return open_group(p, "(", false);
  }
  for (size_t i = 0; i < sizeof alike / sizeof *alike; i++) {
    size_t n = strlen(alike[i].text);
    if (left < n || memcmp(text, alike[i].text, n) != 0) continue;
    p->at += n;
    return open_group(p, alike[i].text, alike[i].looks);
  }
  if (left > 2 && text[2] == '#') {
    const char *end = memchr(text, ')', left);
    if (!end) return tpo_pattern_fault(p, "an open (?#");
    p->at = (size_t)(end - p->text) + 1;
    return TPO_OK;
  }
  if (left > 3 && (text[2] == '<' || text[2] == '\'')) return translate_named_group(p);
  return translate_options(p);
}

static int close_group(struct tpo_pattern *p)
{
  if (p->depth == 1) return tpo_pattern_fault(p, "a ) without its (");
  struct tpo_pattern_group *group = &p->groups[--p->depth];
  for (int i = 0; i <= group->more; i++) tpo_buf_putc(p->out, ')');
  p->caseless = group->caseless;
  p->atom = group->begin;
  p->repeatable = !group->looks;
  p->repeated = false;
  p->at++;
  return TPO_OK;
}

/* A place between a character of \w and one that is none; PCRE2's \w is another. */
static int translate_boundary(struct tpo_pattern *p, bool inverted)
{
  struct tpo_set set = {0};
  struct tpo_buf word = {0};
  size_t back = p->at;
  struct tpo_pattern inner = *p;
  inner.text = "w";
  inner.at = 0;
  inner.len = 1;
  int status = tpo_pattern_named_set(&inner, &set);
  p->views = inner.views;
  p->n_sets = inner.n_sets;
  p->at = back + 1;
  if (status > 0) status = tpo_charclass_write(&p->views, &set, false, &word, p->err);
  tpo_buf_putc(&word, '\0');
  if (status == TPO_OK && !word.failed)
    tpo_buf_printf(p->out,
                   inverted ? "(?-i:(?<=%s)(?=%s)|(?<!%s)(?!%s))" : "(?-i:(?<=%s)(?!%s)|(?<!%s)(?=%s))",
                   word.data, word.data, word.data, word.data);
  p->repeatable = false;
  tpo_set_free(&set);
  tpo_buf_free(&word);
  return status;
}

/* Letters that Oniguruma finds alike with two or three others, which PCRE2 does not: under (?i) alone. */
static bool folds_wide(const struct tpo_pattern *p, uint32_t before, uint32_t cp)
{
  static const struct tpo_range wide[] = {
      {0xdf, 0xdf},   {0x130, 0x130}, {0x149, 0x149},   {0x1f0, 0x1f0},   {0x300, 0x345},   {0x390, 0x390},
      {0x3b0, 0x3b0}, {0x587, 0x587}, {0x1e96, 0x1e9e}, {0x1f50, 0x1f56}, {0x1f80, 0x1ffc}, {0xfb00, 0xfb17}};
  static const char *const pairs[] = {"ss", "ff", "fi", "fl", "st"};
  if (!p->caseless) return false;
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
    if (cp >= wide[i].from && cp <= wide[i].to) return true;
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if ((before | 32) == (uint8_t)pairs[i][0] && (cp | 32) == (uint8_t)pairs[i][1]) return true;
  return false;
}

static int write_literal(struct tpo_pattern *p, uint32_t cp, uint32_t before)
{
  if (folds_wide(p, before, cp))
    return tpo_pattern_refuse(p, "a letter or a pair of letters that Unicode folds to several, under (?i),");
  begin_atom(p);
  bool plain = cp >= 0x80 || (cp >= '0' && cp <= '9') || ((cp | 32) >= 'a' && (cp | 32) <= 'z');
  if (!plain)
    tpo_buf_printf(p->out, "\\x{%x}", cp);
  else
    tpo_utf8_append(p->out, cp);
  return TPO_OK;
}

/* A set that an escape names (\d, \p{L}); *named: one stood there. */
static int translate_named_set(struct tpo_pattern *p, bool *named)
{
  struct tpo_set set = {0};
  int found = tpo_pattern_named_set(p, &set);
  *named = found > 0;
  if (*named) {
    begin_atom(p);
    if (p->caseless) tpo_buf_puts(p->out, "(?-i:");
    p->views.whole = false;
    found = tpo_charclass_write(&p->views, &set, false, p->out, p->err);
    if (p->caseless) tpo_buf_puts(p->out, ")");
  }
  tpo_set_free(&set);
  return found;
}

/* The group of that digit; any other escape is refused. */
static int translate_reference(struct tpo_pattern *p, char c)
{
  const char what[] = {'\\', c, '\0'};
  if (c < '1' || c > '9') return tpo_pattern_refuse(p, what);
  if (p->named || (p->at + 1 < p->len && p->text[p->at + 1] >= '0' && p->text[p->at + 1] <= '9'))
    return tpo_pattern_refuse(p, "this reference to a group");
  begin_atom(p);
  tpo_buf_printf(p->out, "\\g{%c}", c);
  p->at++;
  return TPO_OK;
}

static int translate_escape(struct tpo_pattern *p, uint32_t before, uint32_t *literal)
{
  if (++p->at == p->len) return tpo_pattern_fault(p, "a backslash at the end");
  char c = p->text[p->at];
  if (c == 'b' || c == 'B') return translate_boundary(p, c == 'B');
  if (c && strchr("AzZG", c)) {
    tpo_buf_printf(p->out, "\\%c", c);
    p->at++;
    p->repeatable = false;
    return TPO_OK;
  }
  if (c && strchr("RNO", c)) {
    begin_atom(p);
    tpo_buf_puts(p->out, c == 'R' ? "(?:\\R)" : c == 'N' ? "[^\\n]" : "(?s:.)");
    p->at++;
    return TPO_OK;
  }
  bool named;
  int status = translate_named_set(p, &named);
  if (status < 0 || named) return status;
  if (c == 'X') return tpo_pattern_refuse(p, "\\X");
  int found = tpo_pattern_character(p, literal);
  if (found > 0) return write_literal(p, *literal, before);
  return found < 0 ? found : translate_reference(p, c);
}

/* One thing of the pattern. *literal: the character before, when that is one; then this one. */
static int translate_next(struct tpo_pattern *p, uint32_t *literal)
{
  uint32_t before = *literal;
  char c = p->text[p->at];
  *literal = 0;
  if (c == '\\') return translate_escape(p, before, literal);
  if (c == '(') return translate_group(p);
  if (c == ')') return close_group(p);
  if (c == '*' || c == '+' || c == '?' || c == '{') {
    int status = translate_quantifier(p);
    if (status != 0) return status < 0 ? status : TPO_OK;
  }
  if (c == '[') {
    begin_atom(p);
    return tpo_pattern_set(p);
  }
  if (c == '|' || c == '^' || c == '$') {
    p->repeatable = false;
    tpo_buf_putc(p->out, c);
    p->at++;
    return TPO_OK;
  }
  if (c == '.') {
    begin_atom(p);
    tpo_buf_putc(p->out, c);
    p->at++;
    return TPO_OK;
  }
  p->at += (size_t)tpo_utf8_decode((const uint8_t *)p->text + p->at, p->len - p->at, literal);
  return write_literal(p, *literal, before);
}

int tpo_pattern_translate(struct tpo_pattern *pattern)
{
  uint32_t literal = 0;
  int status = TPO_OK;
  pattern->depth = 1; /* the pattern itself */
  pattern->n_sets = 0;
  pattern->groups[0] = (struct tpo_pattern_group){0};
  while (status == TPO_OK && pattern->at < pattern->len) status = translate_next(pattern, &literal);
  if (status == TPO_OK && pattern->depth > 1) status = tpo_pattern_fault(pattern, "a group without its )");
  for (int i = 0; i < pattern->groups[0].more; i++) tpo_buf_putc(pattern->out, ')');
  return status;
}
