/* Sizes of what HDF5 makes of our files. */
#include "store/hdf5/layout.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

/* How HDF5 lays out what we write: texts lie in heaps of 4096 bytes, 16 of them a header, each text behind 16
 * bytes of its own and filled up to 8; a longer one has a heap for itself. A text's place takes 16 bytes
 * more. Metadata come in blocks of 2048 bytes: 342 for a dataset and its name, 340 for a group and 500 for
 * the file, as measured on checkpoints. */
enum { HEAP_BYTES = 4096, HEAP_HEADER = 16, TEXT_HEADER = 16 };
enum { BLOCK_BYTES = 2048, DATASET_BYTES = 342, GROUP_BYTES = 340, FILE_BYTES = 500 };

static double object_bytes(double len)
{
  return len > 0 ? TEXT_HEADER + ceil(len / 8) * 8 : 0;
}

/* A heap takes whole texts only, and its end stays unused. */
double tpo_h5_text_bytes(double len)
{
  double object = object_bytes(len), room = HEAP_BYTES - HEAP_HEADER;
  if (object == 0) return TPO_H5_TEXT_PLACE;
  if (object > room) return TPO_H5_TEXT_PLACE + HEAP_HEADER + object;
  return TPO_H5_TEXT_PLACE + HEAP_BYTES / floor(room / object);
}

double tpo_h5_metadata_bytes(double datasets, double groups)
{
  return ceil((datasets * DATASET_BYTES + groups * GROUP_BYTES + FILE_BYTES) / BLOCK_BYTES) * BLOCK_BYTES;
}

int tpo_h5_heaps_put(struct tpo_h5_heaps *heaps, double len, struct tpo_error *err)
{
  double object = object_bytes(len);
  size_t i = 0;
  while (i < heaps->n && heaps->free[i] < object) i++;
  if (i == heaps->n) {
    if (tpo_grow(&heaps->free, &heaps->capacity, i + 1, sizeof *heaps->free, err) < 0) return TPO_E_MEMORY;
    double size = HEAP_HEADER + object > HEAP_BYTES ? HEAP_HEADER + object : HEAP_BYTES;
    heaps->free[heaps->n++] = size - HEAP_HEADER;
    heaps->bytes += size;
  }
  heaps->free[i] -= object;
  return 0;
}

void tpo_h5_heaps_free(struct tpo_h5_heaps *heaps)
{
  free(heaps->free);
}
