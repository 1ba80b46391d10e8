/* What Python's str methods know of characters: utf8proc's categories, and the properties that it lacks. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "text/jinja/builtin/builtins.h"
#include "text/unicode/space.h"

struct range {
  uint32_t first, last;
};

/* Numeric_Type=Digit without the decimals: superscripts, circled digits, ... */
static const struct range digits[] = {
    {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
    {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
    {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
    {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a},
};

/* Numeric values of letters: ideographs for numbers. */
static const struct range numerals[] = {
    {0x3405, 0x3405},   {0x3483, 0x3483},   {0x382a, 0x382a},   {0x3b4d, 0x3b4d},   {0x4e00, 0x4e00},
    {0x4e03, 0x4e03},   {0x4e07, 0x4e07},   {0x4e09, 0x4e09},   {0x4e5d, 0x4e5d},   {0x4e8c, 0x4e8c},
    {0x4e94, 0x4e94},   {0x4e96, 0x4e96},   {0x4ebf, 0x4ec0},   {0x4edf, 0x4edf},   {0x4ee8, 0x4ee8},
    {0x4f0d, 0x4f0d},   {0x4f70, 0x4f70},   {0x5104, 0x5104},   {0x5146, 0x5146},   {0x5169, 0x5169},
    {0x516b, 0x516b},   {0x516d, 0x516d},   {0x5341, 0x5341},   {0x5343, 0x5345},   {0x534c, 0x534c},
    {0x53c1, 0x53c4},   {0x56db, 0x56db},   {0x58f1, 0x58f1},   {0x58f9, 0x58f9},   {0x5e7a, 0x5e7a},
    {0x5efe, 0x5eff},   {0x5f0c, 0x5f0e},   {0x5f10, 0x5f10},   {0x62fe, 0x62fe},   {0x634c, 0x634c},
    {0x67d2, 0x67d2},   {0x6f06, 0x6f06},   {0x7396, 0x7396},   {0x767e, 0x767e},   {0x8086, 0x8086},
    {0x842c, 0x842c},   {0x8cae, 0x8cae},   {0x8cb3, 0x8cb3},   {0x8d30, 0x8d30},   {0x9621, 0x9621},
    {0x9646, 0x9646},   {0x964c, 0x964c},   {0x9678, 0x9678},   {0x96f6, 0x96f6},   {0xf96b, 0xf96b},
    {0xf973, 0xf973},   {0xf978, 0xf978},   {0xf9b2, 0xf9b2},   {0xf9d1, 0xf9d1},   {0xf9d3, 0xf9d3},
    {0xf9fd, 0xf9fd},   {0x20001, 0x20001}, {0x20064, 0x20064}, {0x200e2, 0x200e2}, {0x20121, 0x20121},
    {0x2092a, 0x2092a}, {0x20983, 0x20983}, {0x2098c, 0x2098c}, {0x2099c, 0x2099c}, {0x20aea, 0x20aea},
    {0x20afd, 0x20afd}, {0x20b19, 0x20b19}, {0x22390, 0x22390}, {0x22998, 0x22998}, {0x23b1b, 0x23b1b},
    {0x2626d, 0x2626d}, {0x2f890, 0x2f890},
};

/* Other_Lowercase. */
static const struct range other_lower[] = {
    {0xaa, 0xaa},       {0xba, 0xba},       {0x2b0, 0x2b8},     {0x2c0, 0x2c1},     {0x2e0, 0x2e4},
    {0x345, 0x345},     {0x37a, 0x37a},     {0x1d2c, 0x1d6a},   {0x1d78, 0x1d78},   {0x1d9b, 0x1dbf},
    {0x2071, 0x2071},   {0x207f, 0x207f},   {0x2090, 0x209c},   {0x2170, 0x217f},   {0x24d0, 0x24e9},
    {0x2c7c, 0x2c7d},   {0xa69c, 0xa69d},   {0xa770, 0xa770},   {0xa7f8, 0xa7f9},   {0xab5c, 0xab5f},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba},
};

/* Other_Uppercase. */
static const struct range other_upper[] = {
    {0x2160, 0x216f}, {0x24b6, 0x24cf}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189},
};

static bool in_ranges(const struct range *ranges, size_t n, uint32_t cp)
{
  size_t low = 0;
  while (n > 0) {
    size_t middle = low + n / 2;
    if (cp > ranges[middle].last)
      low = middle + 1, n -= n / 2 + 1;
    else if (cp < ranges[middle].first)
      n /= 2;
    else
      return true;
  }
  return false;
}
#define IN(ranges, cp) in_ranges(ranges, sizeof(ranges) / sizeof *(ranges), cp)

static utf8proc_category_t category(uint32_t cp)
{
  return utf8proc_category((utf8proc_int32_t)cp);
}

bool jinja_is_line_end(uint32_t cp)
{
  return (cp >= 10 && cp <= 13) || (cp >= 28 && cp <= 30) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

bool jinja_is_upper(uint32_t cp)
{
  if (cp < 0x80) return cp >= 'A' && cp <= 'Z';
  return category(cp) == UTF8PROC_CATEGORY_LU || IN(other_upper, cp);
}

bool jinja_is_lower(uint32_t cp)
{
  if (cp < 0x80) return cp >= 'a' && cp <= 'z';
  return category(cp) == UTF8PROC_CATEGORY_LL || IN(other_lower, cp);
}

bool jinja_is_title(uint32_t cp)
{
  return category(cp) == UTF8PROC_CATEGORY_LT;
}

bool jinja_is_letter(uint32_t cp)
{
  utf8proc_category_t c = category(cp);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool jinja_is_decimal(uint32_t cp)
{
  return category(cp) == UTF8PROC_CATEGORY_ND;
}

bool jinja_is_digit(uint32_t cp)
{
  return jinja_is_decimal(cp) || IN(digits, cp);
}

bool jinja_is_numeric(uint32_t cp)
{
  utf8proc_category_t c = category(cp);
  return (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO) || IN(numerals, cp);
}

/* Decimals of a script stand in rows of ten, in order, which begin where the one before is none. */
static int decimal_value(uint32_t cp)
{
  if (cp < 0x80) return (int)cp - '0';
  if (cp >= 0x1d7ce && cp <= 0x1d7ff) return (int)((cp - 0x1d7ce) % 10); /* five rows without a gap */
  int value = 0;
  while (value < 9 && jinja_is_decimal(cp - 1)) cp--, value++;
  return value;
}

/* The string as ASCII, without white space around it and with underscores between digits left out; NULL:
 * what int() and float() refuse. out holds s->len + 1 bytes. */
static const char *plain_number(const struct jinja_string *s, char *out)
{
  size_t at = 0, end = s->len, n = 0;
  while (end > 0) {
    size_t begin = jinja_previous(s, end), next = begin;
    if (!tpo_is_space(jinja_next(s, &next))) break;
    end = begin;
  }
  bool started = false;
  while (at < end) {
    uint32_t cp = jinja_next(s, &at);
    if (!started && tpo_is_space(cp)) continue;
    started = true;
    if (cp >= 0x80 && !jinja_is_decimal(cp)) return NULL;
    out[n++] = cp < 0x80 ? (char)cp : (char)('0' + decimal_value(cp));
    if (cp == 0 || tpo_is_space(cp)) return NULL;
  }
  out[n] = '\0';
  return n > 0 ? out : NULL;
}

static bool is_alnum(char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Underscores may stand between two digits alone. */
static bool drop_underscores(char *text)
{
  char *to = text;
  for (char *from = text; *from; from++) {
    if (*from != '_')
      *to++ = *from;
    else if (from == text || !is_alnum(from[-1]) || !is_alnum(from[1]))
      return false;
  }
  *to = '\0';
  return true;
}

static unsigned prefix_base(const char *digits)
{
  if (digits[0] != '0') return 0;
  char c = digits[1] | 32;
  return c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
}

enum { NUMBER_TEXT_MAX = 400 };

bool jinja_parse_int(const struct jinja_string *s, int base, int64_t *out)
{
  char text[NUMBER_TEXT_MAX + 1];
  if (s->len > NUMBER_TEXT_MAX || !plain_number(s, text)) return false;
  char *digits = text + (*text == '-' || *text == '+');
  unsigned prefix = prefix_base(digits);
  if (prefix && (base == 0 || (unsigned)base == prefix)) {
    base = (int)prefix;
    digits += 2;
    if (*digits == '_') digits++;
  } else if (base == 0) {
    base = 10;
    if (*digits == '0' && strspn(digits, "0_") != strlen(digits)) return false; /* as in 012 */
  }
  if (!drop_underscores(digits) || !*digits) return false;
  int64_t value = 0;
  for (const char *c = digits; *c; c++) {
    int digit = *c >= '0' && *c <= '9' ? *c - '0' : is_alnum(*c) ? (*c | 32) - 'a' + 10 : 99;
    if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
        __builtin_sub_overflow(value, digit, &value)) /* below zero there is one more */
      return false;
  }
  return *text == '-' ? (*out = value, true) : !__builtin_sub_overflow((int64_t)0, value, out);
}

bool jinja_parse_float(const struct jinja_string *s, double *out)
{
  char text[NUMBER_TEXT_MAX + 1], *end;
  if (s->len > NUMBER_TEXT_MAX || !plain_number(s, text) || !drop_underscores(text)) return false;
  const char *digits = text + (*text == '-' || *text == '+');
  if (strpbrk(digits, "xXpP(")) return false; /* C's hexadecimal floats and nan(...) */
  *out = strtod(text, &end);
  return *end == '\0';
}
