/* Tokens inside a tag: names, numbers, strings with Python's escapes, operators. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/buf.h"
#include "base/utf8.h"
#include "text/jinja/ast.h"
#include "text/jinja/parse/lexer_state.h"

static bool is_digit_of(char c, int base)
{
  return base == 16 ? isxdigit((unsigned char)c) : c >= '0' && c < '0' + base;
}

/* Past digits with single underscores between them; `at` itself where there is no digit. */
static size_t past_digits(const struct jinja_lexer *l, size_t at, int base)
{
  size_t end = at;
  while (at < l->n && is_digit_of(l->s[at], base)) {
    end = ++at;
    if (at < l->n && l->s[at] == '_') at++;
  }
  return end;
}

/* Past the float at `at`; 0: it is none. */
static size_t past_float(const struct jinja_lexer *l, size_t at)
{
  if (at > 0 && l->s[at - 1] == '.') return 0;
  size_t whole = past_digits(l, at, 10), end = 0, mantissa = whole;
  if (whole < l->n && l->s[whole] == '.') {
    size_t fraction = past_digits(l, whole + 1, 10);
    if (fraction > whole + 1) end = mantissa = fraction;
  }
  if (mantissa < l->n && (l->s[mantissa] == 'e' || l->s[mantissa] == 'E')) {
    size_t from = mantissa + 1;
    if (from < l->n && (l->s[from] == '+' || l->s[from] == '-')) from++;
    size_t exponent = past_digits(l, from, 10);
    if (exponent > from) end = exponent;
  }
  return end;
}

/* Past the integer at `at`, whose base and first digit are told. */
static size_t past_integer(const struct jinja_lexer *l, size_t at, int *base, size_t *digits)
{
  char letter = l->s[at] == '0' && at + 1 < l->n ? (char)tolower((unsigned char)l->s[at + 1]) : 0;
  *base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  *digits = at;
  if (*base != 10) {
    *digits = at + 2 + (at + 2 < l->n && l->s[at + 2] == '_');
    size_t end = past_digits(l, *digits, *base);
    if (end > *digits) return end;
    *digits = at;
    *base = 10;
  }
  /* Like Python's, a decimal number begins with no zero but those of 0 itself. */
  return past_digits(l, at, l->s[at] == '0' ? 1 : 10);
}

/* The digits without underscores. */
static int number_text(struct jinja_lexer *l, size_t begin, size_t end, char **out)
{
  char *copy = jinja_alloc(l->run, end - begin + 1);
  if (!copy) return TPO_E_MEMORY;
  *out = copy;
  for (size_t i = begin; i < end; i++)
    if (l->s[i] != '_') *copy++ = l->s[i];
  *copy = 0;
  return TPO_OK;
}

static int lex_number(struct jinja_lexer *l)
{
  char *digits;
  int base = 10, status;
  size_t at = l->at, begin = at, end = past_float(l, at);
  bool real = end > 0;
  if (!real) end = past_integer(l, at, &base, &begin);
  if ((status = number_text(l, begin, end, &digits)) < 0 ||
      (status = jinja_lex_push(l, real ? JINJA_T_FLOAT : JINJA_T_INTEGER, at, digits, strlen(digits))) < 0)
    return status;
  struct jinja_token *token = &l->out->items[l->out->n - 1];
  l->at = end;
  if (real) {
    token->real = strtod(digits, NULL);
    return TPO_OK;
  }
  errno = 0;
  token->integer = strtoll(digits, NULL, base);
  if (errno == ERANGE)
    return jinja_fail(l->run, TPO_E_UNSUPPORTED, "the integer %.40s needs more than 64 bits", digits);
  return TPO_OK;
}

/* Whether cp may stand in a name, or begin one. */
static bool is_name(uint32_t cp, bool first)
{
  if (cp < 0x80) return cp == '_' || isalpha((int)cp) || (!first && isdigit((int)cp));
  switch (utf8proc_category((utf8proc_int32_t)cp)) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_NL: return true;
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_PC: return !first;
  default: return false;
  }
}

static size_t past_name(const struct jinja_lexer *l, size_t at)
{
  bool first = true;
  uint32_t cp;
  for (int used; at < l->n; at += (size_t)used, first = false) {
    used = tpo_utf8_decode((const uint8_t *)l->s + at, l->n - at, &cp);
    if (used <= 0 || !is_name(cp, first)) break;
  }
  return at;
}

/* The run's copy of [begin, end) as a token. */
static int push_copy(struct jinja_lexer *l, enum jinja_token_kind kind, size_t at, const char *text,
                     size_t len)
{
  char *copy = jinja_alloc(l->run, len + 1);
  if (!copy) return TPO_E_MEMORY;
  if (len > 0) memcpy(copy, text, len);
  copy[len] = 0;
  return jinja_lex_push(l, kind, at, copy, len);
}

/* A simple escape's character; -1: it is none. */
static int simple_escape(char c)
{
  static const char letters[] = "\\'\"abfnrtv", meant[] = "\\'\"\a\b\f\n\r\t\v";
  const char *found = c ? strchr(letters, c) : NULL;
  return found ? meant[found - letters] : -1;
}

/* \xHH, \uHHHH, \UHHHHHHHH: digits of them at `at`. */
static int hex_escape(struct jinja_lexer *l, size_t at, size_t end, size_t digits, struct tpo_buf *out)
{
  uint32_t cp = 0;
  for (size_t i = 0; i < digits; i++) {
    if (at + i >= end || !isxdigit((unsigned char)l->s[at + i]))
      return jinja_fail(l->run, TPO_E_INPUT, "an escape \\%c in a string wants %zu hexadecimal digits",
                        l->s[at - 1], digits);
    char c = l->s[at + i];
    cp = cp << 4 | (uint32_t)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
  }
  if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
    return jinja_fail(l->run, TPO_E_INPUT, "an escape in a string is U+%04X, which is no character",
                      (unsigned)cp);
  tpo_utf8_append(out, cp);
  return (int)digits;
}

/* The escape whose backslash is before `at`. Returns the bytes used, or a negative code. */
static int lex_escape(struct jinja_lexer *l, size_t at, size_t end, struct tpo_buf *out)
{
  char c = l->s[at];
  uint32_t cp = 0;
  int simple = simple_escape(c), used = 0;
  if (simple >= 0) {
    tpo_buf_putc(out, (char)simple);
    return 1;
  }
  switch (c) {
  case '\n': return 1;
  case 'x': used = hex_escape(l, at + 1, end, 2, out); break;
  case 'u': used = hex_escape(l, at + 1, end, 4, out); break;
  case 'U': used = hex_escape(l, at + 1, end, 8, out); break;
  case 'N': return jinja_fail(l->run, TPO_E_UNSUPPORTED, "the escape \\N{...} in a string is not supported");
  default:
    for (; used < 3 && at + (size_t)used < end && is_digit_of(l->s[at + (size_t)used], 8); used++)
      cp = cp * 8 + (uint32_t)(l->s[at + (size_t)used] - '0');
    if (used > 0) {
      tpo_utf8_append(out, cp);
      return used;
    }
    tpo_buf_putc(out, '\\');
    /* jinja2 escapes what is not ASCII first, so that a backslash before it escapes the escape's own. */
    used = tpo_utf8_decode((const uint8_t *)l->s + at, end - at, &cp);
    if (cp >= 0x80)
      tpo_buf_printf(out, cp < 0x100 ? "x%02x" : cp < 0x10000 ? "u%04x" : "U%08x", (unsigned)cp);
    else
      tpo_buf_putc(out, c);
    return used;
  }
  return used < 0 ? used : used + 1;
}

static int lex_string(struct jinja_lexer *l)
{
  size_t at = l->at, end = at + 1;
  char quote = l->s[at];
  while (end < l->n && l->s[end] != quote) end += l->s[end] == '\\' ? 2 : 1;
  jinja_lex_line(l, at);
  if (end >= l->n) return jinja_fail(l->run, TPO_E_INPUT, "a string without its closing %c", quote);
  struct tpo_buf text = {0};
  int status = TPO_OK;
  for (size_t i = at + 1; i < end && status >= 0;) {
    size_t plain = i;
    while (plain < end && l->s[plain] != '\\') plain++;
    tpo_buf_append(&text, l->s + i, plain - i);
    if ((i = plain) == end) break;
    status = lex_escape(l, i + 1, end, &text);
    if (status >= 0) i += 1 + (size_t)status;
  }
  if (status >= 0 && text.failed) status = jinja_fail(l->run, TPO_E_MEMORY, "out of memory");
  if (status >= 0) status = push_copy(l, JINJA_T_STRING, at, text.data, text.len);
  tpo_buf_free(&text);
  l->at = end + 1;
  return status;
}

static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                        "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                        ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

static const char *operator_at(const struct jinja_lexer *l, size_t at)
{
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    size_t len = strlen(operators[i]);
    if (l->n - at >= len && memcmp(l->s + at, operators[i], len) == 0) return operators[i];
  }
  return NULL;
}

struct brackets {
  char open[2 * JINJA_NESTING_MAX]; /* the closing one of each */
  size_t n;
};

static int balance(struct jinja_lexer *l, struct brackets *b, char c)
{
  const char *opening = strchr("([{", c);
  if (c && opening) {
    if (b->n == sizeof b->open)
      return jinja_fail(l->run, TPO_E_UNSUPPORTED, "more than %zu brackets in each other", sizeof b->open);
    b->open[b->n++] = ")]}"[opening - "([{"];
  } else if (c == ')' || c == ']' || c == '}') {
    if (b->n == 0) return jinja_fail(l->run, TPO_E_INPUT, "unexpected \"%c\"", c);
    if (b->open[--b->n] != c)
      return jinja_fail(l->run, TPO_E_INPUT, "unexpected \"%c\", expected \"%c\"", c, b->open[b->n]);
  }
  return TPO_OK;
}

static int lex_operator(struct jinja_lexer *l, struct brackets *b)
{
  const char *op = operator_at(l, l->at);
  jinja_lex_line(l, l->at);
  if (!op) {
    size_t at = l->at;
    uint32_t cp = tpo_utf8_next(l->s, l->n, &at);
    return jinja_fail(l->run, TPO_E_INPUT, "unexpected character U+%04X", (unsigned)cp);
  }
  int status = op[1] ? TPO_OK : balance(l, b, op[0]);
  if (status < 0) return status;
  status = jinja_lex_push(l, JINJA_T_OPERATOR, l->at, op, strlen(op));
  l->at += strlen(op);
  return status;
}

static int lex_token(struct jinja_lexer *l, struct brackets *b)
{
  char c = l->s[l->at];
  if (isdigit((unsigned char)c)) return lex_number(l);
  if (c == '"' || c == '\'') return lex_string(l);
  size_t at = l->at, end = past_name(l, at);
  if (end == at) return lex_operator(l, b);
  l->at = end;
  return push_copy(l, JINJA_T_NAME, at, l->s + at, end - at);
}

int jinja_lex_tag(struct jinja_lexer *l, bool output, size_t mark, size_t *end)
{
  struct brackets b = {.n = 0};
  int status =
      jinja_lex_push(l, output ? JINJA_T_OUTPUT_BEGIN : JINJA_T_BLOCK_BEGIN, mark, output ? "{{" : "{%", 2);
  int line = l->line;
  while (status == TPO_OK && l->at < l->n) {
    *end = b.n == 0 ? jinja_lex_closing(l, l->at, output ? "}}" : "%}") : 0;
    if (*end)
      return jinja_lex_push(l, output ? JINJA_T_OUTPUT_END : JINJA_T_BLOCK_END, l->at, output ? "}}" : "%}",
                            2);
    size_t after = jinja_lex_skip_space(l, l->at);
    if (after > l->at)
      l->at = after;
    else
      status = lex_token(l, &b);
  }
  if (status < 0) return status;
  l->run->line = line;
  return jinja_fail(l->run, TPO_E_INPUT, "a tag without its closing \"%s\"", output ? "}}" : "%}");
}
