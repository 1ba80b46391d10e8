/* Chunks as other programs filter them, taken back into bytes. Not left to the library: it believes what a
 * filter gives to be as long as the chunk, and its plug-ins are code from elsewhere. */
#ifndef TPO_STORE_HDF5_FILTERS_H
#define TPO_STORE_HDF5_FILTERS_H

#include "tpo/base.h"

enum tpo_h5_filter_id { H5_GZIP = 1, H5_SHUFFLE = 2, H5_FLETCHER32 = 3, H5_LZF = 32000 };
enum { MOST_FILTERS = 8, MOST_GROWTH = 1040 /* gzip's, with room to spare: 1032 to 1 */ };

struct tpo_h5_filter {
  int id;
  uint32_t element; /* shuffle: bytes of an element */
};

struct tpo_h5_pipeline {
  struct tpo_h5_filter filters[MOST_FILTERS]; /* in the order in which they were applied */
  int n;
};

/* "gzip", ..., also of those that are not read; NULL for others. */
const char *tpo_h5_filter_name(int id);
bool tpo_h5_filter_known(int id);
bool tpo_h5_filter_compresses(int id);
/* The n_out bytes of a chunk from its n_in bytes in the file, but for filters whose bit is set in skipped.
 * False: they are not those of a chunk. Both buffers have room for n_in bytes and for n_out + 4 *
 * MOST_FILTERS, and are overwritten; the result is in *bytes, one of the two. */
bool tpo_h5_unfilter(const struct tpo_h5_pipeline *pipeline, uint32_t skipped, uint8_t *in, size_t n_in,
                     uint8_t *out, size_t n_out, const uint8_t **bytes);

#endif
