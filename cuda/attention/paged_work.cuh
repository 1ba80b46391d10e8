/* What the kernels of paged attention share: their arguments, the order in which blocks take work, the rows
 * of a tile, and the folding of chunks. */
#ifndef TPO_CUDA_PAGED_WORK_CUH
#define TPO_CUDA_PAGED_WORK_CUH

#include "attention_tile.cuh"
#include "paged_plan.cuh"

#include <math.h>

struct paged_arguments {
  const struct tpo_paged_header *plan;
  const int32_t *blocks;
  const void *k, *v, *qkv;
  void *out;
  float *parts;
  int max_blocks, block_tokens;
  int heads, kv_heads, head_dim;
  int tile_heads, splits;
  float scale; /* of q . k, times log2(e) */

  /* Of kernels that are LOCAL alone (attention_tile.cuh). */
  int window;
  float capping;     /* what cap_score takes; 0: no softcap */
  float capped_log2; /* what a score is multiplied by after cap_score; `scale` where there is no softcap */
  float softcap_log2;
};

/* One block's share: an item and the query heads first .. first + heads - 1, of key head kv_head. */
struct paged_work {
  const struct tpo_paged_item *item;
  int kv_head, first, heads;
};

template <class T> __device__ __forceinline__ const T *plan_list(const paged_arguments &a, uint32_t offset)
{
  return reinterpret_cast<const T *>(reinterpret_cast<const unsigned char *>(a.plan) + offset);
}

/* The first position that a row of the work sees; blocks wholly before it are not looked at. */
__device__ __forceinline__ int first_position(const paged_arguments &a, const paged_work &work)
{
  return plan_list<int32_t>(a, a.plan->from)[work.item - plan_list<tpo_paged_item>(a, a.plan->items)];
}

/* The block's work in this round, the order turning at the end of each round so that no block gets the
 * longest item of every round; false after the last. */
__device__ __forceinline__ bool take_work(paged_work &work, const paged_arguments &a, int round)
{
  int many = (int)gridDim.x, me = (int)blockIdx.x, of_item = a.kv_heads * a.splits;
  int w = round * many + (round % 2 ? many - 1 - me : me);
  if (w >= a.plan->n_items * of_item) return false;
  work.item = plan_list<tpo_paged_item>(a, a.plan->items) + w / of_item;
  int group = a.heads / a.kv_heads, split = w % a.splits * a.tile_heads;
  work.kv_head = w % of_item / a.splits;
  work.first = work.kv_head * group + split;
  work.heads = group - split < a.tile_heads ? group - split : a.tile_heads;
  return true;
}

__device__ __forceinline__ float *part_at(const paged_arguments &a, int part, int head)
{
  int floats = (a.head_dim + 3) / 4 * 4 + 4;
  return a.parts + ((size_t)part * a.heads + head) * floats;
}

/* Folding a chunk (or part) into the sum before it. */
struct fold_factors {
  float keep, add;
};

__device__ __forceinline__ fold_factors fold_sums(float &m, float &l, float chunk_m, float chunk_l)
{
  float highest = fmaxf(m, chunk_m);
  fold_factors f = {exp2_fast(m - highest), exp2_fast(chunk_m - highest)};
  m = highest;
  l = __fmaf_rn(chunk_l, f.add, __fmul_rn(l, f.keep));
  return f;
}

__device__ __forceinline__ float fold_value(float sum, float chunk, fold_factors f)
{
  return __fmaf_rn(chunk, f.add, __fmul_rn(sum, f.keep));
}

/* A query of a tile. */
struct paged_query {
  int row, pos, head, part; /* pos -1: no such row */
};

__device__ __forceinline__ paged_query find_row(const paged_arguments &a, const paged_work &work, int query)
{
  paged_query r = {0, -1, 0, 0};
  int index = query / a.tile_heads, head = query % a.tile_heads;
  if (index >= work.item->n_rows || head >= work.heads) return r;
  const tpo_paged_row *row = plan_list<tpo_paged_row>(a, a.plan->rows) + work.item->first_row + index;
  r.row = row->row;
  r.pos = row->pos;
  r.head = work.first + head;
  r.part = row->part < 0 ? -1 : row->part + work.item->part;
  return r;
}

/* paged_tensor.cu: bf16 queries and cache, on at most `most` blocks. False where head_dim isn't one of its
 * own. `local`: there is a window or a softcap. */
bool tpo_paged_tensor(struct tpo_cuda *cuda, const paged_arguments &a, bool local, long long most);
/* paged_plain.cu */
template <class Act>
void tpo_paged_plain(struct tpo_cuda *cuda, const paged_arguments &a, enum tpo_dtype cache, bool local,
                     long long most);

#endif
