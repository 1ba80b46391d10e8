/* Another chat template for a tokenizer that is written out. */
#ifndef TPO_TEXT_LOAD_SET_TEMPLATE_H
#define TPO_TEXT_LOAD_SET_TEMPLATE_H

#include "tpo/text.h"

/* In place of the tokenizer's own. */
int tpo_tokenizer_set_template(struct tpo_tokenizer *tok, const char *source, struct tpo_error *err);
/* Appends a tokenizer_config.json in which that JSON text is the member chat_template instead of the file's, be
 * that one or a list of them; all else stays as it is, byte for byte. place begins messages. */
int tpo_tokenizer_config_put(const char *json, size_t len, const char *value, size_t value_len,
                             const char *place, struct tpo_buf *out, struct tpo_error *err);
/* One template, as a string. */
int tpo_tokenizer_config_put_template(const char *json, size_t len, const char *source, const char *place,
                                      struct tpo_buf *out, struct tpo_error *err);

#endif
