/* The emulated kernel language: warp operations, barriers and PTX instructions do what the GPU's do, and what
 * a GPU leaves undefined or hangs on is an error. */
#include "emulation_check.h"

__global__ void shuffle_all(int *out, int width)
{
  const int lane = threadIdx.x, value = 100 + lane;
  out[lane] = __shfl_sync(0xffffffffu, value, 5, width);
  out[32 + lane] = __shfl_up_sync(0xffffffffu, value, 3, width);
  out[64 + lane] = __shfl_down_sync(0xffffffffu, value, 3, width);
  out[96 + lane] = __shfl_xor_sync(0xffffffffu, value, 6, width);
}

static void shuffles_stay_in_their_segment(void **)
{
  for (int width : {32, 16, 8}) {
    device_array<int> out(128);
    TPO_LAUNCH(shuffle_all, 1, 32, 0, 0, out.data, width);
    assert_ok(finish());
    const std::vector<int> got = out.host();
    for (int lane = 0; lane < 32; lane++) {
      const int first = lane / width * width, last = first + width - 1;
      assert_int_equal(got[lane], 100 + first + 5);
      assert_int_equal(got[32 + lane], 100 + (lane - 3 < first ? lane : lane - 3));
      assert_int_equal(got[64 + lane], 100 + (lane + 3 > last ? lane : lane + 3));
      assert_int_equal(got[96 + lane], 100 + ((lane ^ 6) > last ? lane : lane ^ 6));
    }
  }
}

__global__ void shuffle_doubles(double *x)
{
  x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}

static void shuffles_move_8_bytes(void **)
{
  std::vector<double> values(64);
  for (int i = 0; i < 64; i++) values[i] = 1.0 / (i + 3);
  device_array<double> x(values);
  TPO_LAUNCH(shuffle_doubles, 1, 64, 0, 0, x.data);
  assert_ok(finish());
  const std::vector<double> got = x.host();
  for (int i = 0; i < 64; i++) assert_true(got[i] == values[i ^ 1]);
}

__global__ void vote(unsigned *out)
{
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned *mine = out + 12 * warp;
  const unsigned results[] = {
      __ballot_sync(0xffffffffu, lane % 3 == warp),
      static_cast<unsigned>(__any_sync(0xffffffffu, lane == 40 * warp)),
      static_cast<unsigned>(__all_sync(0xffffffffu, lane < 20 + 20 * warp)),
      __reduce_add_sync(0xffffffffu, lane),
      __reduce_max_sync(0xffffffffu, lane * 7 % 32),
      static_cast<unsigned>(__reduce_min_sync(0xffffffffu, 5 - static_cast<int>(lane))),
      __match_any_sync(0xffffffffu, lane / 8),
      static_cast<unsigned>(__syncthreads_count(lane < 3)),
      static_cast<unsigned>(__syncthreads_or(threadIdx.x == 63)),
      static_cast<unsigned>(__syncthreads_and(threadIdx.x != 63)),
      __ballot_sync(0xffffffffu, __popc(lane) == 1),
      warp};
  if (lane == 9) {
    for (int i = 0; i < 12; i++) mine[i] = results[i];
  }
}

static void votes_count_all_lanes(void **)
{
  device_array<unsigned> out(24);
  TPO_LAUNCH(vote, 1, 64, 0, 0, out.data);
  assert_ok(finish());
  const std::vector<unsigned> got = out.host();
  const unsigned expected[24] = {
      0x49249249u, 1, 0, 496, 31, static_cast<unsigned>(-26), 0xff00, 6, 1, 0, 0x10116u, 0,
      0x92492492u, 0, 1, 496, 31, static_cast<unsigned>(-26), 0xff00, 6, 1, 0, 0x10116u, 1};
  for (int i = 0; i < 24; i++) assert_int_equal(got[i], expected[i]);
}

__global__ void count_up(int *total, unsigned long long *bits, unsigned *highest)
{
  TPO_SHARED(int, sum, 1);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  atomicAdd(sum, static_cast<int>(threadIdx.x));
  atomicOr(bits, 1ull << (threadIdx.x % 64));
  atomicMax(highest, threadIdx.x * 5 % 96);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(total, sum[0]);
}

static void atomics_lose_nothing(void **)
{
  device_array<int> total(std::vector<int>(1, 7));
  device_array<unsigned long long> bits(std::vector<unsigned long long>(1, 0));
  device_array<unsigned> highest(std::vector<unsigned>(1, 0));
  TPO_LAUNCH(count_up, 3, 96, 0, 0, total.data, bits.data, highest.data);
  assert_ok(finish());
  assert_int_equal(total.host()[0], 7 + 3 * 96 * 95 / 2);
  assert_true(bits.host()[0] == ~0ull);
  assert_int_equal(highest.host()[0], 95);
}

/* Each thread's place, with all three dimensions of blocks and grids. */
__global__ void places(int *out)
{
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const unsigned place = block * threads + thread;
  __syncthreads();
  out[place] = static_cast<int>(place);
}

static void every_thread_of_the_grid_runs_once(void **)
{
  for (const char *order : {"forward", "reverse", "shuffle", "shuffle:7"}) {
    setenv("TPO_EMULATION_ORDER", order, 1);
    device_array<int> out(2 * 3 * 2 * 96);
    TPO_LAUNCH(places, dim3(2, 3, 2), dim3(8, 4, 3), 0, 0, out.data);
    assert_ok(finish());
    const std::vector<int> got = out.host();
    for (size_t i = 0; i < got.size(); i++) assert_int_equal(got[i], i);
  }
  unsetenv("TPO_EMULATION_ORDER");
}

template <class T> __global__ void sort_of_sum(const T *x, T *y)
{
  TPO_SHARED(T, part, 256);
  TPO_DYNAMIC_SHARED(T, copy);
  part[threadIdx.x] = copy[255 - threadIdx.x] = x[blockIdx.x * 256 + threadIdx.x];
  for (unsigned half = 128; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
  }
  __syncthreads();
  y[blockIdx.x * 256 + threadIdx.x] = part[0] + copy[threadIdx.x];
}

template <class T> static void check_sums()
{
  std::vector<T> values(512);
  for (int i = 0; i < 512; i++) values[i] = static_cast<T>(i);
  device_array<T> x(values), y(512);
  TPO_LAUNCH(sort_of_sum<T>, 2, 256, 256 * sizeof(T), 0, x.data, y.data);
  assert_ok(finish());
  const std::vector<T> got = y.host();
  for (int i = 0; i < 512; i++) {
    const int block = i / 256, sum = 255 * 128 + block * 256 * 256;
    assert_true(got[i] == static_cast<T>(sum + block * 256 + 255 - i % 256));
  }
}

static void barriers_order_shared_memory(void **)
{
  for (const char *order : {"forward", "reverse", "shuffle:3"}) {
    setenv("TPO_EMULATION_ORDER", order, 1);
    check_sums<float>();
    check_sums<double>();
  }
  unsetenv("TPO_EMULATION_ORDER");
}

__global__ void see_garbage(float *out)
{
  TPO_SHARED(float, fixed, 4);
  TPO_DYNAMIC_SHARED(float, dynamic);
  out[threadIdx.x] = fixed[threadIdx.x % 4] + dynamic[threadIdx.x % 8];
  __syncthreads();
  fixed[threadIdx.x % 4] = dynamic[threadIdx.x % 8] = 0;
}

static void shared_memory_starts_undefined_in_every_block(void **)
{
  device_array<float> out(32);
  TPO_LAUNCH(see_garbage, 3, 32, 32, 0, out.data);
  assert_ok(finish());
  for (float x : out.host()) assert_true(isnan(x));
}

__global__ void some_synchronise(int threads)
{
  if (static_cast<int>(threadIdx.x) < threads) __syncthreads();
}

__global__ void two_barriers(int split)
{
  if (static_cast<int>(threadIdx.x) < split) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

static void divergent_barrier_is_an_error(void **)
{
  TPO_LAUNCH(some_synchronise, 1, 64, 0, 0, 64);
  assert_ok(finish());
  TPO_LAUNCH(some_synchronise, 1, 64, 0, 0, 48);
  assert_error(finish(), cudaErrorLaunchFailure);
  assert_contains(tpo_emulation_last_error(), "some_synchronise");
  assert_contains(tpo_emulation_last_error(),
                  "__syncthreads is not reached by every thread of the block: 16 of 64");
  assert_contains(tpo_emulation_last_error(), "test_emulation_kernels.cu:");
}

static void threads_at_different_barriers_are_an_error(void **)
{
  TPO_LAUNCH(two_barriers, 1, 64, 0, 0, 64);
  assert_ok(finish());
  TPO_LAUNCH(two_barriers, 1, 64, 0, 0, 32);
  assert_error(finish(), cudaErrorLaunchFailure);
  assert_contains(tpo_emulation_last_error(), "different __syncthreads");
}

__global__ void counted_barriers(int *out, int split)
{
  TPO_SHARED(int, seen, 64);
  seen[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (static_cast<int>(threadIdx.x) < split) {
    block_barrier<64>();
    out[threadIdx.x] = seen[63 - threadIdx.x];
  } else {
    block_barrier<64>();
    out[threadIdx.x] = seen[63 - threadIdx.x];
  }
}

static void warps_may_come_to_a_counted_barrier_in_different_places(void **)
{
  device_array<int> out(96);
  TPO_LAUNCH(counted_barriers, 1, 64, 0, 0, out.data, 32);
  assert_ok(finish());
  for (int i = 0; i < 64; i++) assert_int_equal(out.host()[static_cast<size_t>(i)], 63 - i);
  TPO_LAUNCH(counted_barriers, 1, 32, 0, 0, out.data, 32);
  assert_error(finish(), cudaErrorLaunchFailure);
  assert_contains(tpo_emulation_last_error(), "a barrier for 64 threads in a block of 32");
}

__global__ void half_shuffles(int *out, int lanes)
{
  if (static_cast<int>(threadIdx.x % 32) < lanes) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
  __syncthreads();
}

static void incomplete_warp_operation_is_an_error(void **)
{
  device_array<int> out(64);
  TPO_LAUNCH(half_shuffles, 1, 64, 0, 0, out.data, 32);
  assert_ok(finish());
  TPO_LAUNCH(half_shuffles, 1, 64, 0, 0, out.data, 16);
  assert_error(finish(), cudaErrorLaunchFailure);
  assert_contains(tpo_emulation_last_error(), "deadlock");
  assert_contains(tpo_emulation_last_error(), "__shfl_xor_sync");
}

__global__ void mixed_operations(int split)
{
  if (static_cast<int>(threadIdx.x) < split) {
    __ballot_sync(0xffffffffu, 1);
  } else {
    __shfl_sync(0xffffffffu, 1, 0);
  }
}

static void lanes_at_different_operations_are_an_error(void **)
{
  TPO_LAUNCH(mixed_operations, 1, 32, 0, 0, 0);
  assert_ok(finish());
  TPO_LAUNCH(mixed_operations, 1, 32, 0, 0, 8);
  assert_error(finish(), cudaErrorLaunchFailure);
  assert_contains(tpo_emulation_last_error(), "different operations");
}

/* c [16, 16] = a [16, 16] b [16, 16]; b_transposed holds b^T. Both ways to load b give the same product. */
__global__ void multiply(const __nv_bfloat16 *a, const __nv_bfloat16 *b, const __nv_bfloat16 *b_transposed,
                         float *c, float *c_other)
{
  TPO_SHARED(__nv_bfloat16, tile, 768);
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) {
    tile[i] = a[i];
    tile[256 + i] = b[i];
    tile[512 + i] = b_transposed[i];
  }
  __syncthreads();
  uint32_t fa[4], fb[4], ft[4];
  ldmatrix_x4(fa, tile + lane % 16 * 16 + lane / 16 * 8);
  ldmatrix_x4_trans(fb, tile + 256 + lane % 16 * 16 + lane / 16 * 8);
  ldmatrix_x4(ft, tile + 512 + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
  for (int half = 0; half < 2; half++) {
    const uint32_t first[2] = {fb[2 * half], fb[2 * half + 1]}, second[2] = {ft[2 * half], ft[2 * half + 1]};
    float d[4] = {0, 0, 0, 0}, e[4] = {0, 0, 0, 0};
    mma_m16n8k16(d, fa, first);
    mma_m16n8k16(e, fa, second);
    for (int i = 0; i < 4; i++) {
      const int at = (lane / 4 + i / 2 * 8) * 16 + half * 8 + lane % 4 * 2 + i % 2;
      c[at] = d[i];
      c_other[at] = e[i];
    }
  }
}

static void mma_of_ldmatrix_is_the_product(void **)
{
  std::vector<__nv_bfloat16> a(256), b(256), t(256);
  for (int i = 0; i < 256; i++) {
    a[i] = static_cast<float>(i * 7 % 23 - 11);
    b[i] = static_cast<float>(i * 5 % 19 - 9) / 4;
  }
  for (int i = 0; i < 256; i++) t[i % 16 * 16 + i / 16] = b[i];
  device_array<__nv_bfloat16> da(a), db(b), dt(t);
  device_array<float> c(256), other(256);
  TPO_LAUNCH(multiply, 1, 32, 0, 0, da.data, db.data, dt.data, c.data, other.data);
  assert_ok(finish());
  const std::vector<float> got = c.host(), got_other = other.host();
  for (int i = 0; i < 256; i++) {
    float sum = 0;
    for (int k = 0; k < 16; k++) sum += float(a[i / 16 * 16 + k]) * float(b[k * 16 + i % 16]);
    assert_true(got[i] == sum);
    assert_true(got_other[i] == sum);
  }
}

__global__ void load_misaligned(uint32_t *out, int offset)
{
  TPO_SHARED(__nv_bfloat16, tile, 512);
  for (int i = threadIdx.x; i < 512; i += 32) tile[i] = 1.0f;
  __syncthreads();
  uint32_t r[4];
  ldmatrix_x4(r, tile + threadIdx.x * 8 + offset);
  out[threadIdx.x] = r[0];
}

static void ldmatrix_wants_aligned_shared_rows(void **)
{
  device_array<uint32_t> out(32);
  TPO_LAUNCH(load_misaligned, 1, 32, 0, 0, out.data, 8);
  assert_ok(finish());
  assert_int_equal(out.host()[0], 0x3f803f80);
  TPO_LAUNCH(load_misaligned, 1, 32, 0, 0, out.data, 4);
  assert_error(finish(), cudaErrorMisalignedAddress);
  cudaDeviceReset();
  TPO_LAUNCH(load_misaligned, 1, 32, 0, 0, out.data, 264);
  assert_error(finish(), cudaErrorIllegalAddress);
  assert_contains(tpo_emulation_last_error(), "tile");
}

/* out: what is seen before any wait, after a wait for all but the latest group, and after a wait for all. */
__global__ void copy_in_background(const float *x, float *out)
{
  TPO_SHARED(float, buffer, 3 * 128);
  float *mine = buffer + threadIdx.x * 4;
  cp_async_16(mine, x + threadIdx.x * 4, true);
  cp_async_commit();
  cp_async_16(mine + 128, x + 128 + threadIdx.x * 4, true);
  cp_async_16(mine + 256, x, false);
  cp_async_commit();
  out[threadIdx.x] = mine[0];
  cp_async_wait<1>();
  out[32 + threadIdx.x] = mine[1];
  out[64 + threadIdx.x] = mine[129];
  cp_async_wait<0>();
  out[96 + threadIdx.x] = mine[130];
  out[128 + threadIdx.x] = mine[256];
}

static void background_copies_arrive_at_the_wait(void **)
{
  std::vector<float> values(256);
  for (int i = 0; i < 256; i++) values[i] = static_cast<float>(i);
  device_array<float> x(values), out(160);
  TPO_LAUNCH(copy_in_background, 1, 32, 0, 0, x.data, out.data);
  assert_ok(finish());
  const std::vector<float> got = out.host();
  for (int i = 0; i < 32; i++) {
    assert_true(isnan(got[i]));
    assert_true(got[32 + i] == values[i * 4 + 1]);
    assert_true(isnan(got[64 + i]));
    assert_true(got[96 + i] == values[128 + i * 4 + 2]);
    assert_true(got[128 + i] == 0);
  }
}

__global__ void uses_arrays(float *out)
{
  TPO_SHARED(float, first, 10 * 1024);
  TPO_SHARED(float, second, 3 * 1024);
  first[threadIdx.x] = second[threadIdx.x] = 0;
  out[threadIdx.x] = 0;
}

static void too_many_shared_arrays_are_an_error(void **)
{
  device_array<float> out(32);
  TPO_LAUNCH(uses_arrays, 1, 32, 0, 0, out.data);
  assert_error(finish(), cudaErrorInvalidConfiguration);
  assert_contains(tpo_emulation_last_error(), "too much shared memory");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      emulation_test(shuffles_stay_in_their_segment),
      emulation_test(shuffles_move_8_bytes),
      emulation_test(votes_count_all_lanes),
      emulation_test(atomics_lose_nothing),
      emulation_test(every_thread_of_the_grid_runs_once),
      emulation_test(barriers_order_shared_memory),
      emulation_test(shared_memory_starts_undefined_in_every_block),
      emulation_test(divergent_barrier_is_an_error),
      emulation_test(threads_at_different_barriers_are_an_error),
      emulation_test(warps_may_come_to_a_counted_barrier_in_different_places),
      emulation_test(incomplete_warp_operation_is_an_error),
      emulation_test(lanes_at_different_operations_are_an_error),
      emulation_test(mma_of_ldmatrix_is_the_product),
      emulation_test(ldmatrix_wants_aligned_shared_rows),
      emulation_test(background_copies_arrive_at_the_wait),
      emulation_test(too_many_shared_arrays_are_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
