/* Takes the key out of texts in which a server says it back, in each form that it may have there: as it is,
 * with some of its characters escaped as in JSON, addresses or HTML, and in base64, alone or as a part of
 * more. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ask/http/protocol.h"

enum {
  MOST_BACKSLASHES = 8, /* JSON in a string of JSON has several for one character */
  MOST_AGAIN = 3        /* times that an escape of addresses or HTML was escaped again */
};

/* Bytes at text, which begins with a backslash, that stand for c; 0 when they don't. */
static size_t json_at(const char *text, size_t len, char c)
{
  char hex[6];
  size_t n = 0;
  while (n < len && n < MOST_BACKSLASHES && text[n] == '\\') n++;
  snprintf(hex, sizeof hex, "u%04x", (unsigned char)c);
  if (len - n >= 5 && strncasecmp(text + n, hex, 5) == 0) return n + 5;
  if (c == '\\') return 1; /* the others are taken with what follows */
  return n < len && text[n] == c ? n + 1 : 0;
}

/* The same behind '%': 2F, or 252F where it was escaped once more. */
static size_t percent_at(const char *text, size_t len, char c, size_t more)
{
  char hex[3];
  size_t n = 1;
  snprintf(hex, sizeof hex, "%02x", (unsigned char)c);
  for (; more > 0 && len - n >= 2 && memcmp(text + n, "25", 2) == 0; more--) n += 2;
  return more == 0 && len - n >= 2 && strncasecmp(text + n, hex, 2) == 0 ? n + 2 : 0;
}

/* Whether the name of an entity, without '&' and ';', is c's: "amp", "#38", "#x26". */
static bool is_entity(const char *name, size_t len, char c)
{
  static const struct {
    const char *name;
    char c;
  } entities[] = {{"amp", '&'}, {"lt", '<'},    {"gt", '>'},   {"quot", '"'},  {"apos", '\''},
                  {"sol", '/'}, {"bsol", '\\'}, {"plus", '+'}, {"equals", '='}};
  char digits[12], *end;
  for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
    if (c == entities[i].c && strlen(entities[i].name) == len && memcmp(name, entities[i].name, len) == 0)
      return true;
  if (len < 2 || len >= sizeof digits || name[0] != '#') return false;
  snprintf(digits, sizeof digits, "%.*s", (int)len, name);
  bool is_hex = digits[1] == 'x' || digits[1] == 'X';
  const char *number = digits + (is_hex ? 2 : 1);
  return isxdigit((unsigned char)*number) && strtoul(number, &end, is_hex ? 16 : 10) == (unsigned char)c &&
         *end == '\0';
}

/* The same behind '&': "lt;", or "amp;lt;" where it was escaped once more. */
static size_t html_at(const char *text, size_t len, char c, size_t more)
{
  enum { LONGEST_ENTITY = 12 };
  size_t n = 1;
  for (; more > 0 && len - n >= 4 && memcmp(text + n, "amp;", 4) == 0; more--) n += 4;
  const char *end = memchr(text + n, ';', len - n < LONGEST_ENTITY ? len - n : LONGEST_ENTITY);
  return more == 0 && end && is_entity(text + n, (size_t)(end - text) - n, c) ? (size_t)(end - text) + 1 : 0;
}

/* Bytes at text that stand for c, 0 when they don't. more: how often what stands for it was escaped again. */
static size_t char_at(const char *text, size_t len, char c, size_t more)
{
  if (len == 0) return 0;
  size_t n = 0;
  switch (*text) {
  case '\\': return json_at(text, len, c);
  case '%': n = percent_at(text, len, c, more); break;
  case '&': n = html_at(text, len, c, more); break;
  default: break;
  }
  return n > 0 ? n : *text == c;
}

static size_t escaped_key_at(const char *text, size_t len, const char *key, size_t more)
{
  size_t at = 0;
  for (; *key; key++) {
    size_t n = char_at(text + at, len - at, *key, more);
    if (n == 0) return 0;
    at += n;
  }
  return at;
}

/* The same for a key. Works on any text, so also on JSON that is cut off or wrong. */
static size_t key_at(const char *text, size_t len, const char *key)
{
  size_t found = strlen(key);
  if (found <= len && memcmp(text, key, found) == 0) return found;
  found = 0;
  for (size_t more = 0; more <= MOST_AGAIN && found == 0; more++)
    found = escaped_key_at(text, len, key, more);
  return found;
}

/* Base64 of the key behind `before` bytes of something else, without the digits in which others have a
 * part. */
static void put_base64(struct tpo_buf *out, const char *key, size_t before)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t end = 8 * (before + strlen(key)); /* bits */
  for (size_t bit = (8 * before + 5) / 6 * 6; bit + 6 <= end; bit += 6) {
    unsigned digit = 0;
    for (size_t i = bit; i < bit + 6; i++)
      digit = digit << 1 | ((unsigned char)key[i / 8 - before] >> (7 - i % 8) & 1);
    tpo_buf_putc(out, digits[digit]);
  }
}

/* Bytes at text that are these digits, '+' and '/' also as addresses have them, and the digit behind them, of
 * which the key's last bits are a part. */
static size_t base64_at(const char *text, size_t len, const struct tpo_buf *digits)
{
  size_t at = 0;
  for (size_t i = 0; i < digits->len; i++) {
    char c = digits->data[i];
    size_t n = char_at(text + at, len - at, c, 0);
    if (n == 0 && (c == '+' || c == '/')) n = char_at(text + at, len - at, c == '+' ? '-' : '_', 0);
    if (n == 0) return 0;
    at += n;
  }
  return at > 0 && at < len && isalnum((unsigned char)text[at]) ? at + 1 : at;
}

/* Bytes at text that are the key in some form. */
static size_t any_at(const char *text, size_t len, const char *key, const struct tpo_buf base64[3])
{
  size_t found = key_at(text, len, key);
  for (size_t before = 0; before < 3 && found == 0; before++) found = base64_at(text, len, &base64[before]);
  return found;
}

void http_redact(struct tpo_buf *text, const char *key)
{
  if (!key || !*key || !text->data) return;
  struct tpo_buf clean = {0}, base64[3] = {{0}, {0}, {0}};
  /* Of a shorter one, base64 is so short that it may be a part of any text. */
  for (size_t before = 0; before < 3 && strlen(key) >= HTTP_SHORT_KEY; before++)
    put_base64(&base64[before], key, before);
  for (size_t at = 0; at < text->len;) {
    size_t found = any_at(text->data + at, text->len - at, key, base64);
    if (found > 0)
      tpo_buf_puts(&clean, "[key]");
    else
      tpo_buf_putc(&clean, text->data[at]);
    at += found > 0 ? found : 1;
  }
  for (size_t before = 0; before < 3; before++) {
    if (base64[before].data) explicit_bzero(base64[before].data, base64[before].len);
    tpo_buf_free(&base64[before]);
  }
  tpo_buf_free(text);
  *text = clean;
}
