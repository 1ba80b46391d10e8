/* The race checker: each planted race is found, and its corrected twin passes. Compiled with
 * -fsanitize=thread in every emulated build. */
#include <string>

#include "emulation_check.h"

#include "reduce.cuh"

/* A kernel's `correct` says whether it synchronises as it must. */
constexpr int neighbour_write_line = __LINE__ + 4;
__global__ void neighbour(int *out, bool correct)
{
  TPO_SHARED(int, value, 64);
  value[threadIdx.x] = threadIdx.x;
  if (correct) __syncthreads();
  out[threadIdx.x] = value[(threadIdx.x + 32) % 64];
}

__global__ void write_after_read(int *out, bool correct)
{
  TPO_DYNAMIC_SHARED(int, value);
  value[threadIdx.x] = threadIdx.x;
  __syncthreads();
  const int other = value[63 - threadIdx.x];
  if (correct) __syncthreads();
  value[threadIdx.x] = other;
  out[threadIdx.x] = value[threadIdx.x];
}

__global__ void write_after_write(int *out, bool correct)
{
  TPO_SHARED(int, value, 1);
  if (threadIdx.x == 0 || (!correct && threadIdx.x == 40)) value[0] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = value[0];
}

/* Two barriers in a loop are needed: one before the sum is read, one before the next round overwrites it. */
__global__ void rounds(int *out, bool correct)
{
  TPO_SHARED(int, sum, 2);
  int total = 0;
  for (int round = 0; round < 3; round++) {
    if (threadIdx.x % 32 == 0) sum[threadIdx.x / 32] = round;
    __syncthreads();
    total += sum[0] + sum[1];
    if (correct) __syncthreads();
  }
  out[threadIdx.x] = total;
}

__global__ void in_a_warp(int *out, bool correct)
{
  TPO_SHARED(int, value, 64);
  value[threadIdx.x] = threadIdx.x;
  if (correct) __syncwarp();
  out[threadIdx.x] = value[threadIdx.x ^ 1];
}

/* __syncwarp orders nothing between warps. */
__global__ void across_warps(int *out, bool correct)
{
  TPO_SHARED(int, value, 64);
  value[threadIdx.x] = threadIdx.x;
  if (correct) {
    __syncthreads();
  } else {
    __syncwarp();
  }
  out[threadIdx.x] = value[63 - threadIdx.x];
}

/* A shuffle is no memory barrier. */
__global__ void after_shuffle(int *out, bool correct)
{
  TPO_SHARED(int, value, 64);
  value[threadIdx.x] = __shfl_xor_sync(0xffffffffu, static_cast<int>(threadIdx.x), 1);
  __shfl_xor_sync(0xffffffffu, 1, 1);
  if (correct) __syncwarp();
  out[threadIdx.x] = value[threadIdx.x ^ 1];
}

__global__ void part_of_an_element(int *out, bool correct)
{
  TPO_SHARED(unsigned char, bytes, 64);
  bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
  if (correct) __syncthreads();
  if (threadIdx.x < 16) out[threadIdx.x] = reinterpret_cast<int *>(bytes)[threadIdx.x];
}

/* Bytes of one word, by different threads, are no race, in whatever sizes the word was accessed before. */
__global__ void bytes_of_a_word(int *out, bool correct)
{
  TPO_SHARED(int, words, 64);
  words[threadIdx.x] = 0;
  __syncthreads();
  unsigned char *bytes = reinterpret_cast<unsigned char *>(words);
  bytes[threadIdx.x] = bytes[threadIdx.x + 64] = 1;
  if (!correct && threadIdx.x == 5) bytes[7] = 2;
  __syncthreads();
  out[threadIdx.x] = words[threadIdx.x];
}

__global__ void atomics(int *out, bool correct)
{
  TPO_SHARED(int, sum, 1);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  atomicAdd(sum, 1);
  if (correct) __syncthreads();
  out[threadIdx.x] = sum[0];
}

__global__ void through_memcpy(int *out, bool correct)
{
  TPO_SHARED(int, value, 256);
  memset(value + 4 * threadIdx.x, static_cast<int>(threadIdx.x), 16);
  if (correct) __syncthreads();
  if (threadIdx.x == 0) memcpy(out, value, 256 * sizeof *value / 4);
}

__global__ void through_ldmatrix(int *out, bool correct)
{
  TPO_SHARED(uint32_t, tile, 128);
  for (unsigned i = threadIdx.x; i < 128; i += 64) tile[i] = i;
  if (correct) __syncthreads();
  uint32_t r[4];
  ldmatrix_x4(r, tile + threadIdx.x % 32 * 4);
  out[threadIdx.x] = static_cast<int>(r[0] ^ r[3]);
}

/* A copy in the background is a write from its start to the wait, and the wait tells its own thread only. */
__global__ void read_too_early(float *x, bool correct)
{
  TPO_SHARED(float, tile, 256);
  cp_async_16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  cp_async_commit();
  if (correct) cp_async_wait<0>();
  x[4 * threadIdx.x] = tile[4 * threadIdx.x];
  cp_async_wait<0>();
}

__global__ void read_of_another(float *x, bool correct)
{
  TPO_SHARED(float, tile, 256);
  cp_async_16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  cp_async_commit();
  cp_async_wait<0>();
  if (correct) __syncthreads();
  x[4 * threadIdx.x] = tile[255 - 4 * threadIdx.x];
}

__global__ void overwrite_what_is_read(float *x, bool correct)
{
  TPO_SHARED(float, tile, 256);
  tile[threadIdx.x] = 1;
  __syncthreads();
  float sum = tile[63 - threadIdx.x];
  if (correct) __syncthreads();
  cp_async_16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  x[4 * threadIdx.x] = sum + tile[threadIdx.x];
}

__global__ void block_sums(float *x, bool correct)
{
  TPO_SHARED(float, scratch, 4);
  const float a = block_sum<64>(x[threadIdx.x], scratch), b = block_max<64>(x[threadIdx.x], scratch + 2);
  if (!correct) scratch[threadIdx.x / 32] = a;
  x[threadIdx.x] = a + b;
}

struct planted {
  const char *name;
  void (*kernel)(int *, bool);
  void (*other_kernel)(float *, bool);
  const char *expected;
};

static const planted all_planted[] = {
    {"neighbour", neighbour, NULL, "of shared value: thread"},
    {"write_after_read", write_after_read, NULL, "of shared dynamic memory: thread"},
    {"write_after_write", write_after_write, NULL, "writes it at"},
    {"rounds", rounds, NULL, "of shared sum: thread"},
    {"in_a_warp", in_a_warp, NULL, "__syncthreads or __syncwarp"},
    {"across_warps", across_warps, NULL, "no __syncthreads is between"},
    {"after_shuffle", after_shuffle, NULL, "__syncthreads or __syncwarp"},
    {"part_of_an_element", part_of_an_element, NULL, "of shared bytes: thread"},
    {"bytes_of_a_word", bytes_of_a_word, NULL, "race on byte 7 of shared words"},
    {"atomics", atomics, NULL, "atomically changes it at"},
    {"through_memcpy", through_memcpy, NULL, "of shared value: thread"},
    {"through_ldmatrix", through_ldmatrix, NULL, "of shared tile: thread"},
    {"read_too_early", NULL, read_too_early, "while the cp_async_16 of thread"},
    {"read_of_another", NULL, read_of_another, "of shared tile: thread"},
    {"overwrite_what_is_read", NULL, overwrite_what_is_read, "of shared tile: thread"},
    {"block_sums", NULL, block_sums, "of shared scratch: thread"},
};

static cudaError_t run(const planted &p, bool correct)
{
  device_array<float> memory(std::vector<float>(256, 1.0f));
  if (p.kernel != NULL) {
    TPO_LAUNCH(p.kernel, 2, 64, 256, 0, reinterpret_cast<int *>(memory.data), correct);
  } else {
    TPO_LAUNCH(p.other_kernel, 2, 64, 0, 0, memory.data, correct);
  }
  return finish();
}

/* Whatever order the threads run in. */
static void planted_races_are_found(void **)
{
  for (const char *order : {"forward", "reverse", "shuffle:5"}) {
    setenv("TPO_EMULATION_ORDER", order, 1);
    for (const planted &p : all_planted) {
      if (run(p, false) != cudaErrorLaunchFailure) fail_msg("%s, %s: not found", p.name, order);
      assert_contains(tpo_emulation_last_error(), "race on byte");
      assert_contains(tpo_emulation_last_error(), p.expected);
      cudaDeviceReset();
    }
  }
  unsetenv("TPO_EMULATION_ORDER");
}

static void corrected_kernels_pass(void **)
{
  for (const char *order : {"forward", "reverse", "shuffle:5"}) {
    setenv("TPO_EMULATION_ORDER", order, 1);
    for (const planted &p : all_planted) {
      if (run(p, true) != cudaSuccess) fail_msg("%s, %s: %s", p.name, order, tpo_emulation_last_error());
    }
  }
  unsetenv("TPO_EMULATION_ORDER");
}

__global__ void beyond_the_end(int *out, int extra)
{
  TPO_SHARED(int, first, 64);
  TPO_SHARED(int, second, 64);
  first[threadIdx.x] = second[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = first[threadIdx.x + extra] + second[threadIdx.x];
}

static void shared_read_beyond_an_array_is_found(void **)
{
  device_array<int> out(64);
  TPO_LAUNCH(beyond_the_end, 1, 64, 0, 0, out.data, 0);
  assert_ok(finish());
  TPO_LAUNCH(beyond_the_end, 1, 64, 0, 0, out.data, 1);
  assert_error(finish(), cudaErrorIllegalAddress);
  assert_contains(tpo_emulation_last_error(),
                  "reads 4 bytes at offset 256 of shared first, which has 256 bytes");
}

/* Unless the tool that reads line tables is missing. */
static void race_report_names_the_lines(void **)
{
  if (system("addr2line --version > /dev/null 2>&1") != 0) skip();
  assert_error(run(all_planted[0], false), cudaErrorLaunchFailure);
  for (int line : {neighbour_write_line, neighbour_write_line + 2}) {
    assert_contains(tpo_emulation_last_error(),
                    (std::string("test_emulation_races.cu:") + std::to_string(line)).c_str());
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      emulation_test(planted_races_are_found),
      emulation_test(corrected_kernels_pass),
      emulation_test(shared_read_beyond_an_array_is_found),
      emulation_test(race_report_names_the_lines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
