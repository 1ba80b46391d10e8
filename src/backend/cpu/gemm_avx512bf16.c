/* Matrix products of bf16 pairs with AVX512_BF16: vdpbf16ps adds two products to each fp32 sum. */
#define TPO_SIMD_AVX512
#define PAIRS
#define MR 8
#define NV 3
#define NAME(x) avx512bf16_##x
#define VW __m512bh
#define LOAD_W(p) ((__m512bh)_mm512_load_si512(p))
#define SPLAT_W(p) ((__m512bh)_mm512_set1_epi32((int)*(p)))
#define MULTIPLY_ADD(c, a, b) _mm512_dpbf16_ps(c, a, b)
#include "backend/cpu/gemm_tile.h"

static __mmask16 first_lanes(int n)
{
  return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

static void avx512bf16_round(uint16_t *dst, const float *src, int n)
{
  for (int i = 0; i < n; i += 16) {
    __mmask16 mask = first_lanes(n - i);
    __m256i bits = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, src + i));
    _mm256_mask_storeu_epi16(dst + i, mask, bits);
  }
}

/* 16 words, each the pair (even[j], odd[j]). */
static inline __m512i pair_words(const float *even, const float *odd, __mmask16 mask)
{
  __m512 low = _mm512_maskz_loadu_ps(mask, even);
  __m512 high = odd ? _mm512_maskz_loadu_ps(mask, odd) : _mm512_setzero_ps();
  __m512i words_low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
  __m512i words_high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
  return _mm512_or_si512(words_low, _mm512_slli_epi32(words_high, 16));
}

static void avx512bf16_pack_b(uint32_t *dst, const float *even, const float *odd, int n)
{
  for (int i = 0; i < n; i += 16) {
    __mmask16 mask = first_lanes(n - i);
    _mm512_mask_storeu_epi32(dst + i, mask, pair_words(even + i, odd ? odd + i : NULL, mask));
  }
}

static void avx512bf16_pack_a(uint32_t *dst, ptrdiff_t stride, const float *even, const float *odd, int n)
{
  for (int i = 0; i < n; i += 16, dst += 2 * stride) {
    __mmask16 mask = first_lanes(n - i);
    __m512i words = pair_words(even + i, odd ? odd + i : NULL, mask);
    _mm512_mask_storeu_epi32(dst, mask & 0xff, words);
    if (n - i > 8) _mm512_mask_storeu_epi32(dst + stride - 8, mask & 0xff00, words);
  }
}

const struct tpo_gemm_kernel tpo_gemm_avx512bf16 = {.mr = MR,
                                                    .nr = NR,
                                                    .kc = 640,
                                                    .pairs = true,
                                                    .tile = avx512bf16_tile,
                                                    .round = avx512bf16_round,
                                                    .pack_a = avx512bf16_pack_a,
                                                    .pack_b = avx512bf16_pack_b,
                                                    .sum_exp = avx512bf16_sum_exp,
                                                    .softmax_scaled = avx512bf16_softmax_scaled};
