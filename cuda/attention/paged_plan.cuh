/* How a step's attention over the paged cache is cut into work.
 *
 * Positions fall into chunks of PAGED_CHUNK. Within a chunk, a row's (maximum, sum, weighted values) come
 * about in one fixed way; a row's chunks are then folded in ascending order. That alone determines its bits,
 * so the plan is free in everything else:
 * - a tile is a set of rows that find the same blocks in some chunks: the rows of a prompt, or the samples of
 *   a prompt over the blocks that they share. A block of threads reads keys and values once for all of them.
 * - an item is a tile with a range of chunks. A range in which all of the tile's rows begin may be long: it is
 *   folded as it is computed. Any other item is one chunk, whose parts wait in memory to be folded by a second
 *   kernel. Long ranges need no parts; short ones spread few rows over the whole GPU.
 *
 * A window makes a row begin at the chunk of the first position that it sees. Positions that no row of a tile
 * sees are not read, nor are their places in the block table: what stands there may be no block. Sequences
 * share chunks that their windows hold whole, those whose first such chunk is the same. */
#ifndef TPO_CUDA_PAGED_PLAN_CUH
#define TPO_CUDA_PAGED_PLAN_CUH

#include "ops.cuh"

enum { PAGED_CHUNK = 128 };

/* The plan on the device: this, and at the given numbers of bytes from it the lists. */
struct alignas(16) tpo_paged_header {
  int32_t n_items, n_folds;
  uint32_t items, rows, folds;
  uint32_t from; /* [n_items] the first position that rows of the item see */
  int32_t unused[2];
};

struct alignas(16) tpo_paged_item {
  int32_t seq;        /* row of the block table that leads to the tile's keys and values */
  int32_t chunk, end; /* chunks [chunk, end) */
  int32_t tokens;     /* the tile's rows see positions before this, but none before `from` */
  int32_t first_row;  /* in the list of rows */
  int32_t n_rows;
  int32_t part; /* to be added to its rows' `part` */
  int32_t wide; /* 0: at most tiling.narrow rows */
};

struct alignas(16) tpo_paged_row {
  int32_t row, pos;
  int32_t part; /* where the tile's first part of this row goes; -1: the item gives the final result */
  int32_t unused;
};

/* A row whose parts are to be folded. */
struct alignas(16) tpo_paged_fold {
  int32_t row, first_part, n_parts, unused;
};

/* How heads and rows share tiles of 16 (narrow) or 64 (wide) queries. */
struct tpo_paged_tiling {
  int heads;        /* query heads of a key head that share a tile */
  int splits;       /* tiles for all query heads of a key head */
  int narrow, wide; /* rows in a tile */
  int blocks;       /* blocks of threads that run at once on the whole GPU */
};

struct tpo_paged_tiling tpo_paged_tiling(const struct tpo_cuda *cuda, struct tpo_attention_shape shape);

/* A part in memory: (maximum, sum, 0, 0), then the head's values. */
static inline int tpo_paged_part_floats(int head_dim)
{
  return (head_dim + 3) / 4 * 4 + 4;
}

struct tpo_paged_plan; /* the host's side of it; rows->plan */

/* NULL when memory is short. */
struct tpo_paged_plan *tpo_paged_plan_new();
void tpo_paged_plan_free(struct tpo_paged_plan *plan);
/* Plans n rows and brings the plan to the device, with room for its parts. False on an error, which is
 * remembered for check. */
bool tpo_paged_plan_make(struct tpo_cuda *cuda, struct tpo_paged_plan *plan,
                         const struct tpo_paged_host *host, int n, int max_blocks,
                         struct tpo_attention_shape shape, int block_tokens);
const struct tpo_paged_header *tpo_paged_plan_device(const struct tpo_paged_plan *plan);
/* Whether a row has its chunks in several items. */
bool tpo_paged_plan_folds(const struct tpo_paged_plan *plan);

/* For tests: tiles' chunks that the plan has read, the rows' chunks that they serve, and its
 * parts; where the parts lie on the device: those of a row one after another, rows in order, each
 * [heads, floats of a part]. */
extern "C" void tpo_cuda_paged_counts(const void *plan, size_t *read, size_t *served, size_t *parts);
extern "C" const float *tpo_cuda_paged_parts(struct tpo_backend *be);

#endif
