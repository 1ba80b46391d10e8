/* Runs the steps of a normalizer; Unicode's normal forms come from utf8proc. */
#include "text/normalize.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/memory.h"
#include "base/utf8.h"

static char *copy(const char *text, size_t len)
{
  char *out = malloc(len + 1);
  if (!out) return NULL;
  memcpy(out, text, len);
  out[len] = '\0';
  return out;
}

int tpo_normalizer_add_form(struct tpo_normalizer *norm, enum tpo_normal_kind kind, struct tpo_error *err)
{
  if (norm->inert.n == 0 && tpo_set_add_property(&norm->inert, "(inert)", strlen("(inert)"), err) < 0)
    return TPO_E_MEMORY;
  return tpo_normalizer_add(norm, kind, "", 0, "", 0, err);
}

int tpo_normalizer_add(struct tpo_normalizer *norm, enum tpo_normal_kind kind, const char *what,
                       size_t what_len, const char *by, size_t by_len, struct tpo_error *err)
{
  if (norm->n >= 64) return tpo_fail(err, TPO_E_INPUT, "a normalizer of more than 64 steps");
  if (tpo_grow(&norm->steps, &norm->capacity, norm->n + 1, sizeof *norm->steps, err) < 0) return TPO_E_MEMORY;
  struct tpo_normal_step step = {.kind = kind,
                                 .what = copy(what, what_len),
                                 .what_len = what_len,
                                 .by = copy(by, by_len),
                                 .by_len = by_len};
  if (!step.what || !step.by) {
    free(step.what);
    free(step.by);
    return tpo_fail(err, TPO_E_MEMORY, "no memory for a normalizer");
  }
  norm->steps[norm->n++] = step;
  return TPO_OK;
}

void tpo_normalizer_free(struct tpo_normalizer *norm)
{
  for (size_t i = 0; i < norm->n; i++) {
    free(norm->steps[i].what);
    free(norm->steps[i].by);
  }
  free(norm->steps);
  tpo_set_free(&norm->inert);
  *norm = (struct tpo_normalizer){0};
}

static bool is_ascii(const char *text, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if ((uint8_t)text[i] >= 0x80) return false;
  return true;
}

static int to_form(enum tpo_normal_kind kind, const char *text, size_t len, struct tpo_buf *out,
                   struct tpo_error *err)
{
  int options = UTF8PROC_STABLE;
  options |= kind == TPO_NORMAL_NFC || kind == TPO_NORMAL_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (kind == TPO_NORMAL_NFKC || kind == TPO_NORMAL_NFKD) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t *result = NULL;
  utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &result, options);
  if (n < 0)
    return tpo_fail(err, TPO_E_INPUT, "a text of %zu bytes can't be normalised: %s", len, utf8proc_errmsg(n));
  tpo_buf_append(out, result, (size_t)n);
  free(result);
  return TPO_OK;
}

/* Characters that are passed by change nothing around them either. */
static int to_form_between(const struct tpo_normalizer *norm, enum tpo_normal_kind kind, const char *text,
                           size_t len, struct tpo_buf *out, struct tpo_error *err)
{
  size_t from = 0, at = 0;
  int status = TPO_OK;
  while (at < len && status == TPO_OK) {
    size_t begin = at;
    if (!tpo_set_has(&norm->inert, tpo_utf8_next(text, len, &at))) continue;
    if (begin > from) status = to_form(kind, text + from, begin - from, out, err);
    tpo_buf_append(out, text + begin, at - begin);
    from = at;
  }
  return status < 0 || from == len ? status : to_form(kind, text + from, len - from, out, err);
}

static void replace(const struct tpo_normal_step *step, const char *text, size_t len, struct tpo_buf *out)
{
  const char *end = text + len;
  while (text < end) {
    const char *found = memmem(text, (size_t)(end - text), step->what, step->what_len);
    if (!found) break;
    tpo_buf_append(out, text, (size_t)(found - text));
    tpo_buf_append(out, step->by, step->by_len);
    text = found + step->what_len;
  }
  tpo_buf_append(out, text, (size_t)(end - text));
}

int tpo_normalize(const struct tpo_normalizer *norm, const char **text, size_t *len, bool begins,
                  struct tpo_buf buffers[2], struct tpo_error *err)
{
  int which = 0;
  for (size_t i = 0; i < norm->n; i++) {
    const struct tpo_normal_step *step = &norm->steps[i];
    struct tpo_buf *out = &buffers[which];
    tpo_buf_clear(out);
    if (step->kind == TPO_NORMAL_PREPEND) {
      if (*len == 0 || !begins) continue;
      tpo_buf_append(out, step->by, step->by_len);
      tpo_buf_append(out, *text, *len);
    } else if (step->kind == TPO_NORMAL_REPLACE) {
      if (!memmem(*text, *len, step->what, step->what_len)) continue;
      replace(step, *text, *len, out);
    } else {
      if (is_ascii(*text, *len)) continue;
      int status = to_form_between(norm, step->kind, *text, *len, out, err);
      if (status < 0) return status;
    }
    if (out->failed) return tpo_fail(err, TPO_E_MEMORY, "no memory to normalise a text of %zu bytes", *len);
    *text = out->data ? out->data : "";
    *len = out->len;
    which = !which;
  }
  return TPO_OK;
}
