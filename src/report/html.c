/* Escapes text for HTML, shows what would deceive, and prints numbers. */
#include "report/html.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"
#include "base/visible.h"

/* Code points that have no meaning in text. */
static bool is_nothing(uint32_t cp)
{
  return (cp >= 0xfdd0 && cp <= 0xfdef) || (cp & 0xfffe) == 0xfffe;
}

static void put_visible(struct tpo_buf *out, uint32_t cp, bool tags)
{
  if (tags) tpo_buf_puts(out, "<span class=\"ctl\">");
  if (cp < 0x20)
    tpo_utf8_append(out, 0x2400 + cp);
  else if (cp == 0x7f)
    tpo_utf8_append(out, 0x2421);
  else
    tpo_buf_printf(out, "\u2039U+%04X\u203a", (unsigned)cp);
  if (tags) tpo_buf_puts(out, "</span>");
}

static void put_escaped(struct tpo_buf *out, uint32_t cp, bool tags)
{
  switch (cp) {
  case '&': tpo_buf_puts(out, "&amp;"); return;
  case '<': tpo_buf_puts(out, "&lt;"); return;
  case '>': tpo_buf_puts(out, "&gt;"); return;
  case '"': tpo_buf_puts(out, "&quot;"); return;
  case '\'': tpo_buf_puts(out, "&#39;"); return;
  case '\n': tpo_buf_puts(out, tags ? "\n" : "&#10;"); return;
  case '\t': tpo_buf_puts(out, tags ? "\t" : "&#9;"); return;
  }
  if (tpo_is_unseen(cp) || is_nothing(cp))
    put_visible(out, cp, tags);
  else
    tpo_utf8_append(out, cp);
}

/* Up to `limit` code points; returns the bytes taken. */
static size_t put_text(struct tpo_buf *out, const char *text, size_t len, size_t limit, bool tags)
{
  size_t at = 0;
  for (size_t count = 0; at < len && count < limit; count++)
    put_escaped(out, tpo_utf8_next(text, len, &at), tags);
  return at;
}

void html_text_n(struct tpo_buf *out, const char *text, size_t len)
{
  put_text(out, text, len, SIZE_MAX, true);
}

void html_text(struct tpo_buf *out, const char *text)
{
  if (text) html_text_n(out, text, strlen(text));
}

void html_attribute(struct tpo_buf *out, const char *text)
{
  if (text) put_text(out, text, strlen(text), SIZE_MAX, false);
}

void html_capped(struct tpo_buf *out, const char *text, size_t limit)
{
  size_t len = strlen(text), taken = put_text(out, text, len, limit, true);
  if (taken < len)
    tpo_buf_printf(out, "<span class=\"cut\">… %zu more characters</span>",
                   tpo_utf8_count(text + taken, len - taken));
}

void html_excerpt(struct tpo_buf *out, const char *text, size_t limit)
{
  size_t len = strlen(text), at = 0, count = 0;
  bool space = false;
  while (at < len) {
    uint32_t cp = tpo_utf8_next(text, len, &at);
    if (cp == ' ' || (cp >= '\t' && cp <= '\r')) {
      space = count > 0;
      continue;
    }
    if (count + space >= limit) {
      tpo_buf_puts(out, "…");
      return;
    }
    if (space) tpo_buf_putc(out, ' ');
    count += 1 + space;
    space = false;
    put_escaped(out, cp, true);
  }
}

/* digits: "1234567.8" -> "1 234 567.8" with narrow no-break spaces. */
static void put_grouped(struct tpo_buf *out, const char *digits)
{
  size_t whole = strspn(digits, "0123456789");
  for (size_t i = 0; i < whole; i++) {
    if (i > 0 && whole > 4 && (whole - i) % 3 == 0) tpo_buf_puts(out, "\u202f");
    tpo_buf_putc(out, digits[i]);
  }
  tpo_buf_puts(out, digits + whole);
}

static void put_number(struct tpo_buf *out, double value, int decimals, bool plus)
{
  char digits[64];
  if (!isfinite(value)) {
    tpo_buf_puts(out, "–");
    return;
  }
  double size = fabs(value);
  if (size >= 1e15 || (size > 0 && decimals > 0 && size < 0.05 * pow(10, -decimals)))
    snprintf(digits, sizeof digits, "%.2e", size);
  else
    snprintf(digits, sizeof digits, "%.*f", decimals, size);
  bool zero = strspn(digits, "0.") == strlen(digits);
  if (value < 0 && !zero)
    tpo_buf_puts(out, "−");
  else if (plus)
    tpo_buf_puts(out, zero ? "±" : "+");
  put_grouped(out, digits);
}

void html_number(struct tpo_buf *out, double value, int decimals)
{
  put_number(out, value, decimals, false);
}

void html_error(struct tpo_buf *out, double error, int decimals)
{
  if (!isfinite(error)) return;
  tpo_buf_puts(out, " ± ");
  html_number(out, error, decimals);
}

void html_signed(struct tpo_buf *out, double value, int decimals)
{
  put_number(out, value, decimals, true);
}

void html_percent(struct tpo_buf *out, double share, int decimals)
{
  put_number(out, 100 * share, decimals, false);
  if (isfinite(share)) tpo_buf_puts(out, " %");
}

void html_duration(struct tpo_buf *out, double seconds)
{
  if (!isfinite(seconds) || seconds < 0 || seconds > 1e12) {
    tpo_buf_puts(out, "–");
    return;
  }
  if (seconds < 59.95) {
    tpo_buf_printf(out, "%.1f s", seconds);
    return;
  }
  int64_t s = (int64_t)llround(seconds);
  if (s < 3600)
    tpo_buf_printf(out, "%lld min %02lld s", (long long)(s / 60), (long long)(s % 60));
  else {
    int64_t minutes = (s + 30) / 60;
    tpo_buf_printf(out, "%lld h %02lld min", (long long)(minutes / 60), (long long)(minutes % 60));
  }
}
