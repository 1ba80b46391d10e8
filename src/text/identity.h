/* Whether two tokenizers, with the chat templates that come with them, are one. */
#ifndef TPO_TEXT_IDENTITY_H
#define TPO_TEXT_IDENTITY_H

#include "tpo/text.h"

/* 32 hex digits over the files that it was read from, of a GGUF over its vocabulary, merges and settings. */
int tokenizer_identify(const struct tpo_tokenizer *tok, char hex[33], struct tpo_error *err);

#endif
