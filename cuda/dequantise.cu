/* ggml blocks to fp32, with the decoders of base/ggml_blocks.h.
 *
 * A thread does one step of a block: the elements that are one byte of quants apart, 1 to 8 of them. The 16
 * or 32 threads of a block read its quants side by side, and each of their stores is a whole piece of 64 or
 * 128 bytes; the scales come from the L1 cache. Bytes moved: the blocks (0.56 to 1.06 an element) and 4 an
 * element written; the bound is the memory's bandwidth. Weights come here once, over a slower bus. */
#include "ops.cuh"

extern "C" {
#include "base/ggml_blocks.h"
}

namespace {

enum { THREADS = 256 };

/* threadIdx.x: the step, threadIdx.y: the block of ggml. */
template <uint32_t TYPE>
__global__ void __launch_bounds__(THREADS)
    dequantise(const uint8_t *__restrict__ raw, float *__restrict__ out, size_t n_blocks,
               tpo_ggml_block block)
{
  size_t b = static_cast<size_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  int step = static_cast<int>(threadIdx.x);
  if (b < n_blocks) tpo_ggml_steps(TYPE, raw + b * block.bytes, out + b * block.elements, step, step + 1);
}

template <uint32_t TYPE>
void launch(struct tpo_cuda *cuda, const void *raw, float *out, size_t n, const tpo_ggml_block *block)
{
  size_t n_blocks = n / block->elements, each = THREADS / block->steps;
  TPO_LAUNCH((dequantise<TYPE>), dim3(static_cast<unsigned>((n_blocks + each - 1) / each)),
             dim3(block->steps, static_cast<unsigned>(each)), 0, cuda->stream,
             static_cast<const uint8_t *>(raw), out, n_blocks, *block);
  tpo_cuda_launched(cuda, "dequantise");
}

} // namespace

void tpo_cuda_dequantise(struct tpo_backend *be, const void *raw, uint32_t ggml_type, float *out, size_t n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  const tpo_ggml_block *block = tpo_ggml_find_block(ggml_type);
  if (n == 0) return;
  switch (ggml_type) {
  case TPO_GGML_F16: return launch<TPO_GGML_F16>(cuda, raw, out, n, block);
  case TPO_GGML_BF16: return launch<TPO_GGML_BF16>(cuda, raw, out, n, block);
  case TPO_GGML_Q4_0: return launch<TPO_GGML_Q4_0>(cuda, raw, out, n, block);
  case TPO_GGML_Q4_1: return launch<TPO_GGML_Q4_1>(cuda, raw, out, n, block);
  case TPO_GGML_Q5_0: return launch<TPO_GGML_Q5_0>(cuda, raw, out, n, block);
  case TPO_GGML_Q5_1: return launch<TPO_GGML_Q5_1>(cuda, raw, out, n, block);
  case TPO_GGML_Q8_0: return launch<TPO_GGML_Q8_0>(cuda, raw, out, n, block);
  case TPO_GGML_Q4_K: return launch<TPO_GGML_Q4_K>(cuda, raw, out, n, block);
  case TPO_GGML_Q5_K: return launch<TPO_GGML_Q5_K>(cuda, raw, out, n, block);
  case TPO_GGML_Q6_K: return launch<TPO_GGML_Q6_K>(cuda, raw, out, n, block);
  default: tpo_cuda_fail(cuda, TPO_E_UNSUPPORTED, "ggml type %u cannot be dequantised", ggml_type);
  }
}
