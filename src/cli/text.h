/* What the commands about text share. */
#ifndef TPO_CLI_TEXT_H
#define TPO_CLI_TEXT_H

#include "cli/cli.h"
#include "tpo/text.h"

/* In double quotes, with what can't be seen by its name (base/visible.h), and \" and \\ for these two. */
void append_quoted(struct tpo_buf *out, const char *text, size_t len);
/* That of --model. */
int open_tokenizer(const struct invocation *in, struct tpo_tokenizer **tok, struct tpo_error *err);

/* The layout of a configuration, once the model's template is open: `auto` becomes one, what the template can't do is
 * refused, what is odd is logged. */
int settle_on_layout(struct tpo_config *config, const struct tpo_tokenizer *tok,
                     const struct tpo_template *tmpl, struct tpo_error *err);

#endif
