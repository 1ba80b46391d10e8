/* Writing a GGUF file (version 3): metadata, then all tensors are declared, then their data follow in that
 * order, each in as many pieces as there are. The file appears whole or not at all. */
#ifndef TPO_STORE_GGUF_WRITE_H
#define TPO_STORE_GGUF_WRITE_H

#include "store/gguf.h"

struct tpo_gguf_writer;

int tpo_gguf_writer_open(struct tpo_gguf_writer **out, const char *path, struct tpo_error *err);
/* Want of memory is told when the first data is written. */
void tpo_gguf_put_u32(struct tpo_gguf_writer *w, const char *key, uint32_t value);
void tpo_gguf_put_f32(struct tpo_gguf_writer *w, const char *key, double value);
void tpo_gguf_put_bool(struct tpo_gguf_writer *w, const char *key, bool value);
void tpo_gguf_put_string(struct tpo_gguf_writer *w, const char *key, const char *text, size_t len);
/* An array of count items, which the caller appends: exactly so many. */
void tpo_gguf_put_array(struct tpo_gguf_writer *w, const char *key, enum tpo_gguf_type item_type,
                        uint64_t count);
void tpo_gguf_add_item(struct tpo_gguf_writer *w, const void *item, size_t bytes); /* not a string */
void tpo_gguf_add_string(struct tpo_gguf_writer *w, const char *text, size_t len);

/* rows [rows, cols], or a vector: cols 1. cols is a whole number of the type's blocks. */
int tpo_gguf_writer_declare(struct tpo_gguf_writer *w, const char *name, uint32_t ggml_type, int64_t rows,
                            int64_t cols, struct tpo_error *err);
int tpo_gguf_writer_data(struct tpo_gguf_writer *w, const void *bytes, size_t len, struct tpo_error *err);
int tpo_gguf_writer_commit(struct tpo_gguf_writer *w, struct tpo_error *err);
void tpo_gguf_writer_close(struct tpo_gguf_writer *w); /* removes what was not committed */

#endif
