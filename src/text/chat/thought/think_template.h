/* Text of a Jinja template that is put together here, to be written out with a model. */
#ifndef TPO_TEXT_CHAT_THOUGHT_THINK_TEMPLATE_H
#define TPO_TEXT_CHAT_THOUGHT_THINK_TEMPLATE_H

#include <jansson.h>
#include "base/buf.h"
#include "text/chat/template.h"

/* A string constant, with the escapes that all engines know; a JSON value as a constant. */
void tpo_jinja_quote(struct tpo_buf *out, const char *text, size_t len);
void tpo_jinja_unquote(struct tpo_buf *out, const char *quoted); /* one so written, back */
void tpo_jinja_constant(struct tpo_buf *out, const json_t *value);

/* The marker before the response which a template that tpo_thought_template made asks for, appended; nothing of any
 * other template, and of a layout without one. */
void tpo_template_asked_marker(const char *source, struct tpo_buf *out);

/* The template that a configuration's pieces are. */
void tpo_pieces_template(const struct tpo_template_config *pieces, struct tpo_buf *out);

#endif
