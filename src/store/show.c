/* Makes text from files safe to print, and short. */
#include "store/show.h"
#include <string.h>
#include "base/visible.h"

struct tpo_shown tpo_show_name(const void *bytes, size_t len)
{
  enum { LONGEST = 100 };
  struct tpo_shown shown;
  const char *in = bytes;
  size_t used = 0, i = 0;
  for (size_t n; i < len; i += n) {
    char label[TPO_LABEL_BYTES];
    n = tpo_visible_next(in + i, len - i, label);
    size_t width = label[0] ? strlen(label) : n;
    if (used + width > LONGEST) break;
    memcpy(shown.text + used, label[0] ? label : in + i, width);
    used += width;
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
  const char *in = bytes;
  size_t i = 0;
  for (size_t shown = 0, n; i < len && shown < limit; shown++, i += n) {
    char label[TPO_LABEL_BYTES];
    n = tpo_visible_next(in + i, len - i, label);
    if (label[0])
      fputs(label, out);
    else
      fwrite(in + i, 1, n, out);
  }
  if (i < len) fprintf(out, "... (%zu bytes)", len);
}
