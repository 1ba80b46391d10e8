/* The emulated cublasLt and the 16-bit types. */
#include <algorithm>

#include "emulation_check.h"

#include <cublasLt.h>
#include <cuda_fp16.h>

/* The value among the candidates nearest to x; of two, the one whose bits are even. */
template <class Value> static unsigned nearest(double x, unsigned first, unsigned last, Value value)
{
  unsigned best = first;
  for (unsigned bits = first; bits <= last; bits++) {
    const double distance = fabs(value(bits) - x), least = fabs(value(best) - x);
    if (distance < least || (distance == least && bits % 2 == 0)) best = bits;
  }
  return best;
}

static void bf16_rounds_to_nearest_even(void **)
{
  for (unsigned bits = 0; bits < 65536; bits++) {
    const __nv_bfloat16 half = __ushort_as_bfloat16(static_cast<unsigned short>(bits));
    const float x = __bfloat162float(half);
    const unsigned back = __bfloat16_as_ushort(__float2bfloat16_rn(x));
    if (isnan(x)) {
      assert_int_equal(back, 0x7fff);
      continue;
    }
    assert_int_equal(back, bits);
    if ((bits & 0x7fff) >= 0x7f7f) continue;
    for (unsigned below : {1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const float between = __uint_as_float(bits << 16 | below);
      const unsigned expected = nearest(
          between, bits, bits + 1, [](unsigned b) { return static_cast<double>(__uint_as_float(b << 16)); });
      assert_int_equal(__bfloat16_as_ushort(__float2bfloat16_rn(between)), expected);
    }
  }
  assert_int_equal(__bfloat16_as_ushort(__float2bfloat16_rn(3.4e38f)), 0x7f80);
}

static double fp16_value(unsigned bits)
{
  const int exponent = bits >> 10 & 31;
  const double mantissa = bits & 1023;
  const double magnitude = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

static void fp16_rounds_to_nearest_even(void **)
{
  for (unsigned bits = 0; bits < 65536; bits++) {
    const float x = __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
    const unsigned magnitude = bits & 0x7fff;
    if (magnitude > 0x7c00) {
      assert_true(isnan(x));
      continue;
    }
    assert_int_equal(__half_as_ushort(__float2half_rn(x)), bits);
    if (magnitude >= 0x7bff) continue;
    assert_true(static_cast<double>(x) == fp16_value(bits));
    const double step = fp16_value(bits + 1) - fp16_value(bits);
    for (double part : {0.25, 0.49, 0.5, 0.51, 0.75}) {
      const float between = static_cast<float>(fp16_value(bits) + part * step);
      assert_int_equal(__half_as_ushort(__float2half_rn(between)),
                       nearest(between, bits, bits + 1, fp16_value));
    }
  }
  assert_int_equal(__half_as_ushort(__float2half_rn(65519.0f)), 0x7bff);
  assert_int_equal(__half_as_ushort(__float2half_rn(65520.0f)), 0x7c00);
  assert_true(isinf(__half2float(__ushort_as_half(0xfc00))));
}

struct matrix {
  cudaDataType_t type;
  size_t rows, cols, ld;
  std::vector<float> values; /* column-major with ld, as rounded to the type */
  device_array<char> data;
  cublasLtMatrixLayout_t layout;

  size_t element() const { return type == CUDA_R_32F ? 4 : 2; }
  matrix(cudaDataType_t type, size_t rows, size_t cols, size_t ld, unsigned seed)
      : type(type), rows(rows), cols(cols), ld(ld), values(ld * cols),
        data(ld * cols * (type == CUDA_R_32F ? 4 : 2))
  {
    std::vector<char> raw(values.size() * element());
    for (size_t i = 0; i < values.size(); i++) {
      seed = seed * 1664525u + 1013904223u;
      const float x = static_cast<float>(seed >> 8) / 0x1p24f - 0.5f;
      if (type == CUDA_R_32F) {
        values[i] = x;
        memcpy(&raw[4 * i], &x, 4);
      } else {
        const __nv_bfloat16 half = __float2bfloat16_rn(x);
        values[i] = __bfloat162float(half);
        memcpy(&raw[2 * i], &half, 2);
      }
    }
    assert_ok(cudaMemcpy(data.data, raw.data(), raw.size(), cudaMemcpyHostToDevice));
    assert_int_equal(cublasLtMatrixLayoutCreate(&layout, type, rows, cols, static_cast<int64_t>(ld)), 0);
  }
  ~matrix() { cublasLtMatrixLayoutDestroy(layout); }
  float at(size_t row, size_t col) const { return values[row + col * ld]; }
  std::vector<float> host() const
  {
    const std::vector<char> raw = data.host();
    std::vector<float> out(values.size());
    for (size_t i = 0; i < out.size(); i++) {
      unsigned short half;
      memcpy(&half, &raw[element() * i], 2);
      out[i] = tpo_bf16_value(half);
      if (type == CUDA_R_32F) memcpy(&out[i], &raw[4 * i], 4);
    }
    return out;
  }
};

struct multiplication {
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t desc;

  multiplication(bool transpose_a, bool transpose_b)
  {
    const int32_t a = transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, b = transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    assert_int_equal(cublasLtCreate(&handle), 0);
    assert_int_equal(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), 0);
    assert_int_equal(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a), 0);
    assert_int_equal(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b), 0);
  }
  ~multiplication()
  {
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
  }
  cublasStatus_t run(float alpha, const matrix &a, const matrix &b, float beta, matrix &d,
                     cudaStream_t stream = 0)
  {
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, desc, a.layout, b.layout, d.layout,
                                                           d.layout, NULL, 1, &found, &count);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    assert_int_equal(count, 1);
    return cublasLtMatmul(handle, desc, &alpha, a.data.data, a.layout, b.data.data, b.layout, &beta,
                          d.data.data, d.layout, d.data.data, d.layout, &found.algo, NULL, 0, stream);
  }
};

static void check_product(bool ta, bool tb, cudaDataType_t in, cudaDataType_t out)
{
  const size_t m = 37, n = 11, k = 29;
  matrix a(in, ta ? k : m, ta ? m : k, 40, 1), b(in, tb ? n : k, tb ? k : n, 33, 2), d(out, m, n, 41, 3);
  multiplication product(ta, tb);
  assert_int_equal(product.run(1.5f, a, b, 0.5f, d), 0);
  const std::vector<float> got = d.host();
  for (size_t j = 0; j < n; j++) {
    for (size_t i = 0; i < 41; i++) {
      double expected = d.at(i, j);
      if (i < m) {
        double sum = 0;
        for (size_t at = 0; at < k; at++) {
          sum += static_cast<double>(ta ? a.at(at, i) : a.at(i, at)) * (tb ? b.at(j, at) : b.at(at, j));
        }
        expected = 1.5 * sum + 0.5 * d.at(i, j);
      }
      assert_true(fabs(got[i + j * 41] - expected) <=
                  (out == CUDA_R_32F ? 1e-5 : 4e-3) * (1 + fabs(expected)));
    }
  }
}

static void product_is_right_for_all_transposes_and_types(void **)
{
  for (int transposes = 0; transposes < 4; transposes++) {
    const bool ta = transposes & 1, tb = transposes & 2;
    check_product(ta, tb, CUDA_R_32F, CUDA_R_32F);
    check_product(ta, tb, CUDA_R_16BF, CUDA_R_32F);
    check_product(ta, tb, CUDA_R_16BF, CUDA_R_16BF);
  }
}

/* Column j of D depends on column j of B alone, in all bits. */
static void column_does_not_depend_on_the_others(void **)
{
  matrix a(CUDA_R_32F, 100, 20, 100, 1), all(CUDA_R_32F, 100, 9, 100, 2), d(CUDA_R_32F, 20, 9, 20, 3);
  multiplication product(true, false);
  assert_int_equal(product.run(1, a, all, 0, d), 0);
  const std::vector<float> together = d.host();
  for (size_t j = 0; j < 9; j++) {
    matrix one(CUDA_R_32F, 100, 1, 100, 2), alone(CUDA_R_32F, 20, 1, 20, 4);
    assert_ok(cudaMemcpy(one.data.data, all.data.data + 400 * j, 400, cudaMemcpyDeviceToDevice));
    assert_int_equal(product.run(1, a, one, 0, alone), 0);
    assert_memory_equal(alone.host().data(), &together[20 * j], 80);
  }
}

static void zero_beta_ignores_what_was_there(void **)
{
  matrix a(CUDA_R_32F, 4, 4, 4, 1), b(CUDA_R_32F, 4, 4, 4, 2), d(CUDA_R_32F, 4, 4, 4, 3);
  assert_ok(cudaMemset(d.data.data, 0xff, 64));
  multiplication product(false, false);
  assert_int_equal(product.run(1, a, b, 0, d), 0);
  for (float x : d.host()) assert_false(isnan(x));
}

static void unknown_combinations_are_refused(void **)
{
  matrix a(CUDA_R_32F, 4, 4, 4, 1), b(CUDA_R_16BF, 4, 4, 4, 2), d(CUDA_R_32F, 4, 4, 4, 3);
  matrix other(CUDA_R_32F, 3, 4, 4, 3), short_d(CUDA_R_16BF, 4, 4, 4, 3);
  multiplication product(false, false);
  assert_int_equal(product.run(1, a, b, 0, d), CUBLAS_STATUS_NOT_SUPPORTED);
  assert_int_equal(product.run(1, a, a, 0, short_d), CUBLAS_STATUS_NOT_SUPPORTED);
  assert_int_equal(product.run(1, a, other, 0, d), CUBLAS_STATUS_INVALID_VALUE);
  d.data.data += 4;
  assert_int_equal(product.run(1, a, a, 0, d), CUBLAS_STATUS_INVALID_VALUE);
  d.data.data -= 4;
  assert_contains(tpo_emulation_last_error(), "D is less aligned");
}

static int answers(multiplication &product, const matrix &a, const matrix &d, uint32_t reductions,
                   cublasLtMatmulHeuristicResult_t (&found)[4])
{
  cublasLtMatmulPreference_t preference;
  int n = 0;
  assert_int_equal(cublasLtMatmulPreferenceCreate(&preference), 0);
  assert_int_equal(cublasLtMatmulPreferenceSetAttribute(preference,
                                                        CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                        &reductions, sizeof reductions),
                   0);
  assert_int_equal(cublasLtMatmulAlgoGetHeuristic(product.handle, product.desc, a.layout, a.layout, d.layout,
                                                  d.layout, preference, 4, found, &n),
                   0);
  cublasLtMatmulPreferenceDestroy(preference);
  return n;
}

static void set_bias(multiplication &product, const void *bias)
{
  const uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  assert_int_equal(
      cublasLtMatmulDescSetAttribute(product.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
      0);
  assert_int_equal(
      cublasLtMatmulDescSetAttribute(product.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias), 0);
}

static void bias_is_added_to_each_column_before_rounding(void **)
{
  for (cudaDataType_t type : {CUDA_R_32F, CUDA_R_16BF}) {
    matrix a(type, 20, 8, 20, 1), b(type, 8, 5, 8, 2), d(type, 20, 5, 24, 3), bias(type, 20, 1, 20, 4);
    multiplication product(false, false);
    set_bias(product, bias.data.data);
    assert_int_equal(product.run(1, a, b, 0, d), 0);
    const std::vector<float> got = d.host();
    for (size_t j = 0; j < 5; j++)
      for (size_t i = 0; i < 20; i++) {
        double expected = bias.at(i, 0);
        for (size_t k = 0; k < 8; k++) expected += static_cast<double>(a.at(i, k)) * b.at(k, j);
        if (type == CUDA_R_16BF)
          expected = __bfloat162float(__float2bfloat16_rn(static_cast<float>(expected)));
        assert_true(fabs(got[i + j * 24] - expected) <= (type == CUDA_R_32F ? 1e-6 : 4e-3));
      }
  }
}

static void bias_of_another_type_place_or_length_is_refused(void **)
{
  matrix a(CUDA_R_16BF, 20, 8, 20, 1), b(CUDA_R_16BF, 8, 5, 8, 2), d(CUDA_R_16BF, 20, 5, 20, 3);
  matrix bias(CUDA_R_16BF, 20, 1, 20, 4), shorter(CUDA_R_16BF, 19, 1, 19, 4);
  multiplication product(false, false);
  const int32_t fp32 = CUDA_R_32F, same = -1;
  set_bias(product, NULL);
  assert_int_equal(product.run(1, a, b, 0, d), CUBLAS_STATUS_NOT_SUPPORTED);
  set_bias(product, bias.data.data);
  assert_int_equal(
      cublasLtMatmulDescSetAttribute(product.desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &fp32, sizeof fp32),
      0);
  assert_int_equal(product.run(1, a, b, 0, d), CUBLAS_STATUS_NOT_SUPPORTED);
  assert_int_equal(
      cublasLtMatmulDescSetAttribute(product.desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &same, sizeof same),
      0);
  set_bias(product, shorter.data.data);
  assert_int_equal(product.run(1, a, b, 0, d), CUBLAS_STATUS_INVALID_VALUE);
  assert_contains(tpo_emulation_last_error(), "the bias reaches beyond its memory");
  const std::vector<float> host(20);
  set_bias(product, host.data());
  assert_int_equal(product.run(1, a, b, 0, d), CUBLAS_STATUS_INVALID_VALUE);
  assert_contains(tpo_emulation_last_error(), "the bias is memory that the device cannot use");
}

/* The address in the description that an algorithm is asked for with is what it counts on. */
static void bias_less_aligned_than_promised_is_refused(void **)
{
  matrix a(CUDA_R_32F, 4, 4, 4, 1), d(CUDA_R_32F, 4, 4, 4, 3), bias(CUDA_R_32F, 8, 1, 8, 4);
  multiplication product(false, false);
  cublasLtMatmulHeuristicResult_t found[4];
  set_bias(product, bias.data.data);
  answers(product, a, d, 0, found);
  set_bias(product, bias.data.data + 4);
  const float one = 1, zero = 0;
  assert_int_equal(cublasLtMatmul(product.handle, product.desc, &one, a.data.data, a.layout, a.data.data,
                                  a.layout, &zero, d.data.data, d.layout, d.data.data, d.layout,
                                  &found[0].algo, NULL, 0, 0),
                   CUBLAS_STATUS_INVALID_VALUE);
  assert_contains(tpo_emulation_last_error(), "the bias is less aligned");
  assert_int_equal(product.run(1, a, a, 0, d), 0); /* asked for anew */
}

static void k_is_split_only_where_the_preference_allows_it(void **)
{
  matrix a(CUDA_R_32F, 4, 4, 4, 1), d(CUDA_R_32F, 4, 4, 4, 3);
  multiplication product(false, false);
  for (uint32_t reductions : {0u, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_MASK)}) {
    cublasLtMatmulHeuristicResult_t found[4];
    int n = answers(product, a, d, reductions, found), split = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
      int32_t splits = 0;
      assert_int_equal(cublasLtMatmulAlgoConfigGetAttribute(&found[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                                            &splits, sizeof splits, NULL),
                       0);
      split += splits > 1;
    }
    assert_int_equal(split, reductions ? 1 : 0);
  }
}

static void chosen_numbers_of_rows_are_refused(void **)
{
  matrix a(CUDA_R_32F, 4, 4, 4, 1), d(CUDA_R_32F, 4, 4, 4, 3);
  multiplication product(false, false);
  cublasLtMatmulHeuristicResult_t found[4], result;
  answers(product, a, d, 0, found);
  cublasLtMatmulAlgo_t alone = found[0].algo;
  const uint16_t cluster = CUBLASLT_CLUSTER_SHAPE_1x1x1;
  assert_int_equal(cublasLtMatmulAlgoConfigSetAttribute(&alone, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID,
                                                        &cluster, sizeof cluster),
                   0);
  const struct {
    const char *rule;
    cublasStatus_t any, single;
  } cases[] = {{"5", CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_SUCCESS},
               {"4", CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_SUCCESS},
               {"4:all", CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED}};
  for (const auto &c : cases) {
    setenv("TPO_EMULATION_REFUSE", c.rule, 1);
    assert_int_equal(cublasLtMatmulAlgoCheck(product.handle, product.desc, a.layout, a.layout, d.layout,
                                             d.layout, &found[0].algo, &result),
                     c.any);
    assert_int_equal(cublasLtMatmulAlgoCheck(product.handle, product.desc, a.layout, a.layout, d.layout,
                                             d.layout, &alone, &result),
                     c.single);
    assert_int_equal(product.run(1, a, a, 0, d), c.any); /* the check is no more than what a product does */
  }
  unsetenv("TPO_EMULATION_REFUSE");
}

static void product_is_captured_by_graphs(void **)
{
  matrix a(CUDA_R_32F, 4, 4, 4, 1), d(CUDA_R_32F, 4, 4, 4, 3);
  multiplication product(false, false);
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  assert_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  assert_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  assert_int_equal(product.run(1, a, a, 1, d, stream), 0);
  assert_ok(cudaStreamEndCapture(stream, &graph));
  assert_ok(cudaGraphInstantiate(&exec, graph, 0));
  assert_true(d.host() == d.values);
  for (int i = 0; i < 2; i++) assert_ok(cudaGraphLaunch(exec, stream));
  assert_ok(cudaStreamSynchronize(stream));
  double expected = d.at(0, 0);
  for (size_t k = 0; k < 4; k++) expected += 2.0 * a.at(0, k) * a.at(k, 0);
  assert_true(fabs(d.host()[0] - expected) < 1e-6);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      emulation_test(bf16_rounds_to_nearest_even),
      emulation_test(fp16_rounds_to_nearest_even),
      emulation_test(product_is_right_for_all_transposes_and_types),
      emulation_test(column_does_not_depend_on_the_others),
      emulation_test(zero_beta_ignores_what_was_there),
      emulation_test(unknown_combinations_are_refused),
      emulation_test(bias_is_added_to_each_column_before_rounding),
      emulation_test(bias_of_another_type_place_or_length_is_refused),
      emulation_test(bias_less_aligned_than_promised_is_refused),
      emulation_test(k_is_split_only_where_the_preference_allows_it),
      emulation_test(chosen_numbers_of_rows_are_refused),
      emulation_test(product_is_captured_by_graphs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
