/* Tokenizers, templates and layouts as several commands take them, and text as they show it. */
#include "cli/text.h"

#include "base/buf.h"
#include "base/visible.h"

void append_quoted(struct tpo_buf *out, const char *text, size_t len)
{
  tpo_buf_putc(out, '"');
  for (size_t i = 0, n; i < len; i += n) {
    for (n = 0; i + n < len && text[i + n] != '"' && text[i + n] != '\\';) n++;
    tpo_visible_append(out, text + i, n);
    if (i + n < len) tpo_buf_printf(out, "\\%c", text[i + n++]);
  }
  tpo_buf_putc(out, '"');
}

int open_tokenizer(const struct invocation *in, struct tpo_tokenizer **tok, struct tpo_error *err)
{
  const char *path;
  int status = require_model(in, &path, err);
  return status < 0 ? status : tpo_tokenizer_open(tok, path, err);
}

int settle_on_layout(struct tpo_config *config, const struct tpo_tokenizer *tok,
                     const struct tpo_template *tmpl, struct tpo_error *err)
{
  int status =
      tpo_config_thought_is_open(&config->thought) ? tpo_thought_resolve(config, tmpl, NULL, err) : 0;
  return status < 0 ? status : tpo_thought_check_and_warn(&config->thought, tok, tmpl, err);
}
