/* Rows of activations in packs of 16 bytes. A row that is not 16-byte aligned, or ends inside a pack, takes
 * the same packs element by element: what a thread owns, and so every sum's order, is the same either way. */
#ifndef TPO_CUDA_PACK_CUH
#define TPO_CUDA_PACK_CUH

#include "backend.cuh"

static inline bool tpo_aligned_16(const void *p)
{
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

/* True when every row of [n, dim] can be read and written in whole packs. */
template <class T> static inline bool tpo_whole_packs(const void *rows, int dim)
{
  return tpo_aligned_16(rows) && dim % tpo_pack<T>::count == 0;
}

/* Elements [first, first + count) of a row of whole packs; zeros from `end` on. */
template <class T> __device__ __forceinline__ tpo_pack<T> load_whole_pack(const T *row, int first, int end)
{
  tpo_pack<T> pack;
  if (first < end) {
    pack = *reinterpret_cast<const tpo_pack<T> *>(row + first);
  } else {
#pragma unroll
    for (int i = 0; i < tpo_pack<T>::count; i++) pack.at[i] = from_float<T>(0.0f);
  }
  return pack;
}

/* The same of any row. */
template <class T>
__device__ __forceinline__ tpo_pack<T> load_pack(const T *__restrict__ row, int first, int end, bool whole)
{
  if (whole) return load_whole_pack(row, first, end);
  tpo_pack<T> pack;
#pragma unroll
  for (int i = 0; i < tpo_pack<T>::count; i++)
    pack.at[i] = first + i < end ? row[first + i] : from_float<T>(0.0f);
  return pack;
}

template <class T>
__device__ __forceinline__ void store_pack(T *__restrict__ row, int first, int end, bool whole,
                                           const tpo_pack<T> &pack)
{
  if (whole) {
    if (first < end) *reinterpret_cast<tpo_pack<T> *>(row + first) = pack;
  } else {
#pragma unroll
    for (int i = 0; i < tpo_pack<T>::count; i++)
      if (first + i < end) row[first + i] = pack.at[i];
  }
}

/* As many fp32 weights as a pack of activations has elements. */
template <int COUNT> struct tpo_weights {
  float at[COUNT];
  __device__ __forceinline__ void load(const float *w, int first, int end)
  {
#pragma unroll
    for (int i = 0; i < COUNT; i += 4) {
      const tpo_pack<float> four = load_whole_pack(w, first + i, end);
#pragma unroll
      for (int j = 0; j < 4; j++) at[i + j] = four.at[j];
    }
  }
  /* Of any weights. */
  __device__ __forceinline__ void load(const float *w, int first, int end, bool whole)
  {
    if (whole) return load(w, first, end);
#pragma unroll
    for (int i = 0; i < COUNT; i++) at[i] = first + i < end ? w[first + i] : 0.0f;
  }
};

#endif
