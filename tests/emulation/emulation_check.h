/* What the tests of the emulated CUDA build share. */
#ifndef TPO_TESTS_EMULATION_CHECK_H
#define TPO_TESTS_EMULATION_CHECK_H

#include <vector>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
extern "C" {
#include <cmocka.h>
}

#include "ptx.cuh"

#define assert_contains(text, part)                                                                          \
  do {                                                                                                       \
    if (strstr((text), (part)) == NULL) fail_msg("\"%s\" does not contain \"%s\"", (text), (part));          \
  } while (0)
#define assert_ok(call) assert_string_equal(cudaGetErrorName(call), "cudaSuccess")
#define assert_error(call, code) assert_string_equal(cudaGetErrorName(call), #code)

/* Device memory with host access through copies. */
template <class T> struct device_array {
  T *data;
  size_t count;

  explicit device_array(size_t count) : data(nullptr), count(count) { assert_ok(cudaMalloc(&data, bytes())); }
  explicit device_array(const std::vector<T> &from) : device_array(from.size())
  {
    assert_ok(cudaMemcpy(data, from.data(), bytes(), cudaMemcpyHostToDevice));
  }
  ~device_array() { cudaFree(data); }
  device_array(const device_array &) = delete;
  device_array &operator=(const device_array &) = delete;
  size_t bytes() const { return count * sizeof(T); }
  std::vector<T> host() const
  {
    std::vector<T> out(count);
    assert_ok(cudaMemcpy(out.data(), data, bytes(), cudaMemcpyDeviceToHost));
    return out;
  }
};

/* The error of what was launched; the device is then as new. */
static inline cudaError_t finish()
{
  cudaError_t launched = cudaGetLastError();
  cudaError_t result = launched != cudaSuccess ? launched : cudaDeviceSynchronize();
  if (result == cudaSuccess) cudaDeviceReset();
  return result;
}

/* A test that plants an error ends with it. */
static inline int reset_device(void **)
{
  cudaDeviceReset();
  return 0;
}

#define emulation_test(f) cmocka_unit_test_teardown(f, reset_device)

#endif
