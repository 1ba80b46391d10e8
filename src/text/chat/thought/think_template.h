/* Text of a Jinja template that is put together here, to be written out with a model. */
#ifndef TPO_TEXT_CHAT_THOUGHT_THINK_TEMPLATE_H
#define TPO_TEXT_CHAT_THOUGHT_THINK_TEMPLATE_H

#include <jansson.h>
#include "base/buf.h"
#include "text/chat/template.h"

/* A string constant, with the escapes that all engines know; a JSON value as a constant. */
void tpo_jinja_quote(struct tpo_buf *out, const char *text, size_t len);
void tpo_jinja_constant(struct tpo_buf *out, const json_t *value);

/* The template that a configuration's pieces are. */
void tpo_pieces_template(const struct tpo_template_config *pieces, struct tpo_buf *out);

#endif
