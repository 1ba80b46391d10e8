#ifndef TPO_TEXT_GGUF_TO_GGUF_H
#define TPO_TEXT_GGUF_TO_GGUF_H

#include "store/gguf_write.h"
#include "tpo/text.h"

/* Puts the tokenizer and the chat template into a GGUF file's metadata, as many tokens as the model's vocabulary
 * has. A tokenizer that GGUF has no words for is refused by the name of what it has. */
int tpo_tokenizer_put_gguf(const struct tpo_tokenizer *tok, int vocab_size, struct tpo_gguf_writer *w,
                           struct tpo_error *err);

#endif
