/* The instructions that C++ has no words for, each with its host meaning for the emulated build
 * (tests/emulation/include/ptx_host.h). Fragment layouts are those of the PTX ISA: lane = threadIdx.x % 32,
 * group = lane / 4, quad = lane % 4. */
#ifndef TPO_CUDA_PTX_CUH
#define TPO_CUDA_PTX_CUH

#include "portable.cuh"

/* d += a b with a [16, 16] row-major, b [16, 8] column-major in bf16, d [16, 8] in fp32 (mma.m16n8k16).
 * a[0]: row group, columns 2 quad, +1; a[1]: row group + 8, the same columns; a[2], a[3]: the same rows,
 * columns 2 quad + 8, +9. b[0]: rows 2 quad, +1 of column group; b[1]: rows 2 quad + 8, +9. d[0], d[1]: row
 * group, columns 2 quad, +1; d[2], d[3]: row group + 8. The element of the lower index is in the lower half
 * of a register. */
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

/* Four 8 x 8 matrices of 16-bit elements from shared memory: the lanes 8 i .. 8 i + 7 give the addresses of
 * the rows (16 bytes each, 16-byte aligned) of matrix i; the lane gets, in r[i], elements 2 quad and 2 quad +
 * 1 of row group; with _trans of column group. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *shared_row);
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *shared_row);

/* Copies 16 bytes from global to shared memory in the background (both 16-byte aligned); with valid false the
 * 16 bytes become zero and global is not read. A group is what was started since the last commit; wait<N>
 * returns when all but this thread's N latest groups are there (a __syncthreads makes them visible to the
 * other threads). */
__device__ __forceinline__ void cp_async_16(void *shared, const void *global, bool valid);
__device__ __forceinline__ void cp_async_commit();
template <int N> __device__ __forceinline__ void cp_async_wait();

/* A barrier of the whole block of THREADS threads that its warps may come to in different places of the program.
 * __syncthreads must be one place for all; bar.sync with a barrier and a count of its own counts who comes. */
template <int THREADS> __device__ __forceinline__ void block_barrier();

/* Loads and stores of data that is used once: they leave the caches to others. */
__device__ __forceinline__ uint4 load_streaming(const uint4 *p);
__device__ __forceinline__ void store_streaming(uint4 *p, uint4 x);

#ifdef __CUDACC__

template <int THREADS> __device__ __forceinline__ void block_barrier()
{
  asm volatile("bar.sync 1, %0;\n" ::"n"(THREADS) : "memory");
}

__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
               "{%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ uint32_t shared_address(const void *p)
{
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *shared_row)
{
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared_row))
               : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *shared_row)
{
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared_row))
               : "memory");
}

__device__ __forceinline__ void cp_async_16(void *shared, const void *global, bool valid)
{
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void cp_async_commit()
{
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

template <int N> __device__ __forceinline__ void cp_async_wait()
{
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

__device__ __forceinline__ uint4 load_streaming(const uint4 *p)
{
  return __ldcs(p);
}

__device__ __forceinline__ void store_streaming(uint4 *p, uint4 x)
{
  __stcs(p, x);
}

#else
#include <ptx_host.h>
#endif

#endif
