/* Pairs as bytes, for sending between ranks of one program: rows and ref_model, without config and
 * statistics, which rank 0 alone writes. */
#ifndef TPO_STORE_PAIRS_PACK_H
#define TPO_STORE_PAIRS_PACK_H

#include "base/buf.h"
#include "tpo/store.h"

int pairs_pack(const struct tpo_pairs *pairs, struct tpo_buf *out, struct tpo_error *err);
/* pairs is overwritten. */
int pairs_unpack(struct tpo_pairs *pairs, const void *bytes, size_t len, struct tpo_error *err);

#endif
