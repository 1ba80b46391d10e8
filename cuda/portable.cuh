/* One source for nvcc and for the emulated build (tests/emulation/README.md): what differs between them.
 *
 *   __global__ void __launch_bounds__(256) scale(float *x, float a, int n)
 *   {
 *     TPO_SHARED(float, tile, 256);              // __shared__ float tile[256]
 *     TPO_DYNAMIC_SHARED(float, rest);           // extern __shared__: bytes are given at the launch
 *     ...
 *   }
 *   TPO_LAUNCH(scale, dim3(blocks), dim3(256), 0, stream, x, a, n);
 *
 * Rules for kernels
 * - Shared memory only through these two macros; TPO_SHARED arrays have one dimension. They start undefined.
 * - A kernel template's name with commas goes in parentheses: TPO_LAUNCH((f<float, 4>), ...).
 * - Warps are complete (block size a multiple of 32) and warp intrinsics get the full mask, in code that all
 *   32 lanes reach.
 * - No managed memory, no device-side printf or allocation, no cooperative launch, no float atomics (results
 *   must repeat bit for bit); integer atomics are fine.
 * - Tensor-core, asynchronous-copy and other PTX instructions only through ptx.cuh (attention_tile.cuh has an
 *   exponential of its own, with its host meaning beside it). */
#ifndef TPO_CUDA_PORTABLE_CUH
#define TPO_CUDA_PORTABLE_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#define TPO_UNPAREN(...) __VA_ARGS__

#ifdef __CUDACC__
#define TPO_SHARED(type, name, count) __shared__ alignas(16) type name[count]
/* One symbol for all kernels, whatever their type: declarations of different types would clash. */
#define TPO_DYNAMIC_SHARED(type, name)                                                                       \
  extern __shared__ __align__(128) unsigned char tpo_dynamic_shared[];                                       \
  type *name = reinterpret_cast<type *>(tpo_dynamic_shared)
#define TPO_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                           \
  kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#else
#include <tpo_emulation.h>
#endif

#endif
