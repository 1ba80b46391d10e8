/* White space, Unicode's and all. */
#include "text/unicode/space.h"

#include "base/utf8.h"

bool tpo_is_space(uint32_t cp)
{
  return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
         (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
         cp == 0x3000;
}

void tpo_trim(const char *text, size_t *begin, size_t *end)
{
  uint32_t cp;
  int used;
  while (*begin < *end && (used = tpo_utf8_decode((const uint8_t *)text + *begin, *end - *begin, &cp)) &&
         tpo_is_space(cp))
    *begin += (size_t)used;
  while (*end > *begin) {
    size_t from = *end - 1;
    while (from > *begin && *end - from < 4 && ((uint8_t)text[from] & 0xc0) == 0x80) from--;
    used = tpo_utf8_decode((const uint8_t *)text + from, *end - from, &cp);
    if (used != (int)(*end - from) || !tpo_is_space(cp)) break;
    *end = from;
  }
}
