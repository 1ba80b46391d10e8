/* The kernels for machines with AVX512. */
#define TPO_SIMD_AVX512
#include "backend/cpu/simd/attention.h"
#include "backend/cpu/simd/attention_backward.h"
#include "backend/cpu/simd/rows.h"
#include "backend/cpu/simd/sample.h"

const struct tpo_simd tpo_simd_avx512 = {
    .rms_norm = rms_norm,
    .rms_norm_backward = rms_norm_backward,
    .rms_norm_backward_in_place = rms_norm_backward_in_place,
    .rope = rope,
    .swiglu = swiglu,
    .swiglu_backward = swiglu_backward,
    .geglu = geglu,
    .geglu_backward = geglu_backward,
    .add_scaled = add_scaled,
    .shift = shift,
    .add = add,
    .softcap = softcap,
    .softcap_backward = softcap_backward,
    .to_bf16 = to_bf16,
    .adamw = adamw,
    .sum_squares = sum_squares,
    .flash = flash,
    .flash_backward = flash_backward,
    .sample_highest = sample_highest,
    .sample_sums = sample_sums,
    .sample_gather = sample_gather,
};
