/* Whether a template takes contents as strings or as lists of parts.
 *
 * Templates of models that see images go through a content's parts, and pass over a string without a word, or
 * refuse it. Servers find out which by the template's source and hand over what it reads; here, it is seen in
 * what is rendered. */
#include <string.h>
#include "text/chat/probe.h"

/* A string may be shown changed; a list must not be shown as one, which is no text but its dump. */
static bool shows(const struct tpo_template *tmpl, const struct tpo_rendered *r, size_t first, size_t i)
{
  const char *content = probe_content(i);
  struct tpo_span at;
  size_t len = strlen(content);
  if (!probe_find(r, first, i, &at)) return false;
  return !tmpl->parts || (at.end - at.begin >= len && memcmp(r->text.data + at.begin, content, len) == 0);
}

/* 2: the template shows the user's message and the answer; 1: the former, as a prompt; 0: neither. */
static int measure(const struct tpo_template *tmpl, int *status, struct tpo_error *err)
{
  for (size_t last = PROBE_ANSWER; last >= PROBE_USER; last--)
    for (size_t first = PROBE_USER + 1; first-- > PROBE_SYSTEM && *status == TPO_OK;) {
      struct tpo_rendered r = {0};
      bool shown = probe_render(tmpl, first, last, &r, status, err);
      for (size_t i = PROBE_USER; i <= last && shown; i++) shown = shows(tmpl, &r, first, i);
      tpo_rendered_free(&r);
      if (shown) return last == PROBE_ANSWER ? 2 : 1;
    }
  return 0;
}

int probe_parts(struct tpo_template *tmpl, struct tpo_error *err)
{
  int status = TPO_OK, most = measure(tmpl, &status, err);
  if (most == 2 || status < 0 || tmpl->kind != TPO_TEMPLATE_MODEL) return status;
  tmpl->parts = true;
  if (measure(tmpl, &status, err) <= most) tmpl->parts = false;
  return status;
}
