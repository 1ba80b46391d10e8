/* Makes text from files safe to print, and short. */
#include "store/show.h"
#include <string.h>
#include "base/utf8.h"

/* C0 and C1 controls, and the characters that reorder or break the text around them. */
static bool is_unsafe(uint32_t cp)
{
  return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x200b && cp <= 0x200f) ||
         (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff;
}

struct tpo_shown tpo_show_name(const void *bytes, size_t len)
{
  enum { LONGEST = 100 };
  struct tpo_shown shown;
  const uint8_t *in = bytes;
  size_t used = 0, i = 0;
  while (i < len) {
    uint32_t cp;
    int n = tpo_utf8_decode(in + i, len - i, &cp);
    size_t width = n > 0 && !is_unsafe(cp) ? (size_t)n : 1;
    if (used + width > LONGEST) break;
    if (n > 0 && !is_unsafe(cp))
      memcpy(shown.text + used, in + i, width);
    else
      shown.text[used] = '?';
    used += width;
    i += n > 0 ? (size_t)n : 1;
  }
  if (i < len) {
    memcpy(shown.text + used, "...", 3);
    used += 3;
  }
  shown.text[used] = '\0';
  return shown;
}

void tpo_show_text(FILE *out, const void *bytes, size_t len, size_t limit)
{
  const uint8_t *in = bytes;
  size_t i = 0;
  for (size_t shown = 0; i < len && shown < limit; shown++) {
    uint32_t cp;
    int n = tpo_utf8_decode(in + i, len - i, &cp);
    if (n == 0) {
      fprintf(out, "\\x%02x", in[i]);
      i++;
      continue;
    }
    switch (cp) {
    case '\n': fputs("\\n", out); break;
    case '\t': fputs("\\t", out); break;
    case '\r': fputs("\\r", out); break;
    default:
      if (!is_unsafe(cp))
        fwrite(in + i, 1, (size_t)n, out);
      else if (cp < 0x100)
        fprintf(out, "\\x%02x", (unsigned)cp);
      else
        fprintf(out, "\\u%04x", (unsigned)cp);
    }
    i += (size_t)n;
  }
  if (i < len) fprintf(out, "... (%zu bytes)", len);
}
