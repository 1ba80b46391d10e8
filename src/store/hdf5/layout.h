/* How many bytes of a file HDF5 will take for what this layer writes, told before it is written. Counts are
 * doubles: products of settings may be beyond 64 bits. */
#ifndef TPO_STORE_HDF5_LAYOUT_H
#define TPO_STORE_HDF5_LAYOUT_H

#include "tpo/base.h"

/* What a text's place in its dataset takes, wherever the text lies. */
enum { TPO_H5_TEXT_PLACE = 16 };

/* A text of `len` bytes with its place, among many alike. */
double tpo_h5_text_bytes(double len);
/* Of the file itself, its datasets and groups. */
double tpo_h5_metadata_bytes(double datasets, double groups);

/* Heaps that texts are put into, each into the first with room. Zero-initialise; tpo_h5_heaps_free. */
struct tpo_h5_heaps {
  double *free; /* [n] */
  size_t n, capacity;
  double bytes; /* of all heaps; the texts' places come on top */
};
int tpo_h5_heaps_put(struct tpo_h5_heaps *heaps, double len, struct tpo_error *err);
void tpo_h5_heaps_free(struct tpo_h5_heaps *heaps);

#endif
