/* An attribute of samples' and pairs' files: the most tokens that an output could have had. */
#ifndef TPO_STORE_OUTPUT_TOKENS_H
#define TPO_STORE_OUTPUT_TOKENS_H

#include "store/hdf5/h5.h"

/* 0, not known: no attribute. */
int store_put_output_tokens(struct tpo_h5_writer *w, int32_t n, struct tpo_error *err);
/* *n is 0 where a file has none. */
int store_get_output_tokens(const struct tpo_h5_reader *r, int32_t *n, struct tpo_error *err);

#endif
