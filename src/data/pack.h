/* Instructions as bytes, for sending between ranks of one program. */
#ifndef TPO_DATA_PACK_H
#define TPO_DATA_PACK_H

#include "base/buf.h"
#include "tpo/data.h"

int instructions_pack(const struct tpo_instructions *set, struct tpo_buf *out, struct tpo_error *err);
/* Adds what the bytes hold to set. */
int instructions_unpack(struct tpo_instructions *set, const void *bytes, size_t len, struct tpo_error *err);

#endif
