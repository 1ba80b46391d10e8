/* The emulated runtime: memory, streams, events, graphs and errors behave like a GPU's, at its most
 * inconvenient. */
#include "emulation_check.h"

__global__ void fill(float *x, float value, int n)
{
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = value;
}

__global__ void add_one(float *x, int n)
{
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += 1;
}

__global__ void use_dynamic(float *out)
{
  TPO_DYNAMIC_SHARED(float, all);
  all[threadIdx.x] = 1;
  out[threadIdx.x] = all[threadIdx.x];
}

__global__ void diverge()
{
  if (threadIdx.x == 0) __syncthreads();
}

static void device_memory_starts_undefined(void **)
{
  device_array<float> x(1000);
  for (float v : x.host()) assert_true(isnan(v));
}

static void memory_runs_out(void **)
{
  setenv("TPO_EMULATION_MEMORY", "100000", 1);
  size_t available = 0, total = 0;
  assert_ok(cudaMemGetInfo(&available, &total));
  assert_int_equal(total, 100000);
  {
    device_array<char> most(90000);
    assert_ok(cudaMemGetInfo(&available, &total));
    assert_int_equal(available, 10000);
    void *p = NULL;
    assert_error(cudaMalloc(&p, 10001), cudaErrorMemoryAllocation);
    assert_null(p);
    assert_error(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_ok(cudaGetLastError());
  }
  device_array<char> again(100000);
  unsetenv("TPO_EMULATION_MEMORY");
}

static void chosen_allocation_fails(void **)
{
  setenv("TPO_EMULATION_FAIL", "malloc:2", 1);
  void *p[3] = {NULL, NULL, NULL};
  assert_ok(cudaMalloc(&p[0], 8));
  assert_error(cudaMalloc(&p[1], 8), cudaErrorMemoryAllocation);
  assert_ok(cudaMalloc(&p[2], 8));
  unsetenv("TPO_EMULATION_FAIL");
  cudaFree(p[0]);
  cudaFree(p[2]);
}

static void copies_are_checked(void **)
{
  device_array<float> x(10);
  float host[12] = {0};
  assert_ok(cudaMemcpy(x.data, host, 40, cudaMemcpyHostToDevice));
  assert_error(cudaMemcpy(x.data, host, 44, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  assert_error(cudaMemcpy(host, x.data + 1, 40, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  assert_error(cudaMemcpy(host, x.data, 40, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  assert_error(cudaMemset(x.data, 0, 41), cudaErrorInvalidValue);
  assert_error(cudaMemset(host, 0, 4), cudaErrorInvalidValue);
  assert_error(cudaFree(x.data + 1), cudaErrorInvalidValue);
  assert_error(cudaFreeHost(x.data), cudaErrorInvalidValue);
}

static void launches_are_checked(void **)
{
  device_array<float> out(1024);
  TPO_LAUNCH(fill, 1, 1025, 0, 0, out.data, 1.0f, 1024);
  assert_error(finish(), cudaErrorInvalidConfiguration);
  TPO_LAUNCH(fill, 0, 32, 0, 0, out.data, 1.0f, 1024);
  assert_error(finish(), cudaErrorInvalidConfiguration);
  TPO_LAUNCH(fill, dim3(1, 65536), 32, 0, 0, out.data, 1.0f, 1024);
  assert_error(finish(), cudaErrorInvalidConfiguration);
  TPO_LAUNCH(use_dynamic, 1, 32, 48 * 1024, 0, out.data);
  assert_ok(finish());
  TPO_LAUNCH(use_dynamic, 1, 32, 48 * 1024 + 1, 0, out.data);
  assert_error(finish(), cudaErrorInvalidValue);
  assert_error(cudaFuncSetAttribute(use_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1),
               cudaErrorInvalidValue);
  cudaGetLastError();
  assert_ok(cudaFuncSetAttribute(use_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024));
  TPO_LAUNCH(use_dynamic, 1, 32, 227 * 1024, 0, out.data);
  assert_ok(finish());
}

static void kernel_error_stays(void **)
{
  device_array<float> x(4);
  TPO_LAUNCH(diverge, 1, 32, 0, 0);
  assert_error(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  void *p = NULL;
  assert_error(cudaMalloc(&p, 4), cudaErrorLaunchFailure);
  assert_error(cudaMemset(x.data, 0, 4), cudaErrorLaunchFailure);
  assert_error(cudaGetLastError(), cudaErrorLaunchFailure);
  assert_error(cudaGetLastError(), cudaErrorLaunchFailure);
  cudaDeviceReset();
  assert_ok(cudaMemset(x.data, 0, 4));
}

static void chosen_launch_fails(void **)
{
  setenv("TPO_EMULATION_FAIL", "kernel:add_:2", 1);
  device_array<float> x(std::vector<float>(4, 0.0f));
  TPO_LAUNCH(add_one, 1, 32, 0, 0, x.data, 4);
  TPO_LAUNCH(fill, 1, 32, 0, 0, x.data, 5.0f, 4);
  assert_ok(cudaDeviceSynchronize());
  TPO_LAUNCH(add_one, 1, 32, 0, 0, x.data, 4);
  assert_error(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  assert_contains(tpo_emulation_last_error(), "add_one");
  unsetenv("TPO_EMULATION_FAIL");
}

#ifndef __SANITIZE_ADDRESS__
__global__ void write_at(float *x, ptrdiff_t at)
{
  x[at] = 1;
}

static void wild_access_is_an_error(void **)
{
  device_array<float> x(4);
  TPO_LAUNCH(write_at, 1, 1, 0, 0, x.data, -(reinterpret_cast<intptr_t>(x.data) / 4) + 4);
  assert_error(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  assert_contains(tpo_emulation_last_error(), "illegal memory access at 0x10 ");
}

__global__ void recurse(float *x, int depth)
{
  volatile float large[1000];
  large[depth % 1000] = x[0];
  if (depth > 0) recurse(x, depth - 1);
  x[0] += large[depth % 1000];
}

static void stack_overflow_is_an_error(void **)
{
  device_array<float> x(std::vector<float>(1, 0.0f));
  TPO_LAUNCH(recurse, 1, 1, 0, 0, x.data, 10);
  assert_ok(finish());
  TPO_LAUNCH(recurse, 1, 1, 0, 0, x.data, 10000);
  assert_error(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  assert_contains(tpo_emulation_last_error(), "stack overflows");
}
#endif

static void work_waits_for_a_synchronisation(void **)
{
  cudaStream_t stream;
  assert_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  device_array<float> x(std::vector<float>(4, 0.0f));
  float *host;
  assert_ok(cudaMallocHost(&host, 16));
  host[0] = -1;
  TPO_LAUNCH(fill, 1, 32, 0, stream, x.data, 3.0f, 4);
  assert_ok(cudaMemcpyAsync(host, x.data, 16, cudaMemcpyDeviceToHost, stream));
  assert_true(host[0] == -1);
  assert_ok(cudaStreamSynchronize(stream));
  assert_true(host[0] == 3);
  /* Page-locked memory is read when the copy is done, pageable memory at the call. */
  float pageable[4] = {7, 7, 7, 7};
  host[0] = 8;
  assert_ok(cudaMemcpyAsync(x.data, host, 4, cudaMemcpyHostToDevice, stream));
  assert_ok(cudaMemcpyAsync(x.data + 1, pageable, 4, cudaMemcpyHostToDevice, stream));
  host[0] = 9;
  pageable[0] = 10;
  assert_ok(cudaStreamQuery(stream));
  assert_true(x.host()[0] == 9);
  assert_true(x.host()[1] == 7);
  cudaFreeHost(host);
  cudaStreamDestroy(stream);
}

static void event_orders_two_streams(void **)
{
  cudaStream_t first, second;
  cudaEvent_t event;
  assert_ok(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
  assert_ok(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  assert_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  device_array<float> x(std::vector<float>(4, 0.0f));
  TPO_LAUNCH(fill, 1, 32, 0, first, x.data, 3.0f, 4);
  assert_ok(cudaEventRecord(event, first));
  TPO_LAUNCH(add_one, 1, 32, 0, first, x.data, 4); /* not waited for */
  assert_ok(cudaStreamWaitEvent(second, event, 0));
  device_array<float> y(4);
  assert_ok(cudaMemcpyAsync(y.data, x.data, 16, cudaMemcpyDeviceToDevice, second));
  assert_ok(cudaStreamSynchronize(second));
  assert_true(y.host()[0] == 3);
  assert_ok(cudaEventQuery(event));
  assert_ok(cudaStreamSynchronize(first));
  assert_true(x.host()[0] == 4);
  cudaEventDestroy(event);
  cudaStreamDestroy(first);
  cudaStreamDestroy(second);
}

static void default_stream_waits_for_blocking_streams(void **)
{
  cudaStream_t blocking, other;
  assert_ok(cudaStreamCreate(&blocking));
  assert_ok(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  device_array<float> x(std::vector<float>(2, 0.0f));
  float seen[2];
  TPO_LAUNCH(fill, 1, 32, 0, blocking, x.data, 3.0f, 1);
  TPO_LAUNCH(fill, 1, 32, 0, other, x.data + 1, 3.0f, 1);
  assert_ok(cudaMemcpy(seen, x.data, 8, cudaMemcpyDeviceToHost));
  assert_true(seen[0] == 3);
  assert_true(seen[1] == 0);
  cudaStreamDestroy(blocking);
  cudaStreamDestroy(other);
}

static void events_measure_time(void **)
{
  cudaEvent_t start, end;
  assert_ok(cudaEventCreate(&start));
  assert_ok(cudaEventCreate(&end));
  device_array<float> x(1 << 16);
  assert_ok(cudaEventRecord(start, 0));
  TPO_LAUNCH(fill, 256, 256, 0, 0, x.data, 1.0f, 1 << 16);
  assert_ok(cudaEventRecord(end, 0));
  float time = -1;
  assert_error(cudaEventElapsedTime(&time, start, end), cudaErrorNotReady);
  assert_ok(cudaEventSynchronize(end));
  assert_ok(cudaEventElapsedTime(&time, start, end));
  assert_true(time > 0 && time < 10000);
  cudaEventDestroy(start);
  cudaEventDestroy(end);
}

struct capture {
  cudaStream_t stream;
  device_array<float> x;
  cudaGraph_t graph = NULL;
  cudaGraphExec_t exec = NULL;

  capture() : x(std::vector<float>(4, 0.0f))
  {
    assert_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    assert_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    TPO_LAUNCH(add_one, 1, 32, 0, stream, x.data, 4);
  }
  ~capture()
  {
    if (exec) cudaGraphExecDestroy(exec);
    if (graph) cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
  }
};

static void graph_does_its_work_at_each_launch(void **)
{
  capture c;
  assert_ok(cudaMemcpyAsync(c.x.data + 1, c.x.data, 4, cudaMemcpyDeviceToDevice, c.stream));
  assert_ok(cudaMemsetAsync(c.x.data + 2, 0, 4, c.stream));
  cudaStreamCaptureStatus status;
  assert_ok(cudaStreamIsCapturing(c.stream, &status));
  assert_int_equal(status, cudaStreamCaptureStatusActive);
  assert_ok(cudaStreamEndCapture(c.stream, &c.graph));
  assert_ok(cudaGraphInstantiate(&c.exec, c.graph, 0));
  assert_true(c.x.host()[0] == 0);
  for (int i = 1; i <= 3; i++) {
    assert_ok(cudaGraphLaunch(c.exec, c.stream));
    assert_ok(cudaStreamSynchronize(c.stream));
    const std::vector<float> got = c.x.host();
    assert_true(got[0] == static_cast<float>(i) && got[1] == got[0] && got[2] == 0 && got[3] == got[0]);
  }
}

static void capture_takes_in_forked_streams(void **)
{
  capture c;
  cudaStream_t other;
  cudaEvent_t fork, join;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  assert_ok(cudaEventRecord(fork, c.stream));
  assert_ok(cudaStreamWaitEvent(other, fork, 0));
  TPO_LAUNCH(add_one, 1, 32, 0, other, c.x.data, 4);
  assert_ok(cudaEventRecord(join, other));
  assert_ok(cudaStreamWaitEvent(c.stream, join, 0));
  TPO_LAUNCH(add_one, 1, 32, 0, c.stream, c.x.data, 4);
  assert_ok(cudaStreamEndCapture(c.stream, &c.graph));
  assert_ok(cudaGraphInstantiate(&c.exec, c.graph, 0));
  assert_ok(cudaGraphLaunch(c.exec, c.stream));
  assert_ok(cudaStreamSynchronize(c.stream));
  assert_true(c.x.host()[0] == 3);
  assert_error(cudaStreamWaitEvent(other, join, 0), cudaErrorCapturedEvent);
  cudaStreamDestroy(other);
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
}

static void synchronising_ruins_a_capture(void **)
{
  capture c;
  assert_error(cudaStreamSynchronize(c.stream), cudaErrorStreamCaptureUnsupported);
  assert_error(cudaStreamEndCapture(c.stream, &c.graph), cudaErrorStreamCaptureInvalidated);
  assert_null(c.graph);
  assert_ok(cudaStreamSynchronize(c.stream));
}

static void allocating_ruins_a_capture(void **)
{
  capture c;
  void *p = NULL;
  assert_error(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
  assert_error(cudaStreamEndCapture(c.stream, &c.graph), cudaErrorStreamCaptureInvalidated);
}

static void pageable_copy_ruins_a_capture(void **)
{
  capture c;
  float host = 1;
  assert_error(cudaMemcpyAsync(c.x.data, &host, 4, cudaMemcpyHostToDevice, c.stream),
               cudaErrorStreamCaptureUnsupported);
  assert_error(cudaStreamEndCapture(c.stream, &c.graph), cudaErrorStreamCaptureInvalidated);
}

static void missing_device_is_told(void **)
{
  int count = -1, version = 0;
  setenv("TPO_EMULATION_DEVICES", "0", 1);
  assert_error(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  assert_int_equal(count, 0);
  setenv("TPO_EMULATION_DEVICES", "2", 1);
  cudaGetLastError();
  assert_ok(cudaGetDeviceCount(&count));
  assert_int_equal(count, 2);
  assert_ok(cudaSetDevice(1));
  assert_error(cudaSetDevice(2), cudaErrorInvalidDevice);
  assert_ok(cudaSetDevice(0));
  unsetenv("TPO_EMULATION_DEVICES");
  setenv("TPO_EMULATION_DRIVER", "11040", 1);
  assert_error(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  assert_ok(cudaDriverGetVersion(&version));
  assert_int_equal(version, 11040);
  unsetenv("TPO_EMULATION_DRIVER");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      emulation_test(device_memory_starts_undefined),
      emulation_test(memory_runs_out),
      emulation_test(chosen_allocation_fails),
      emulation_test(copies_are_checked),
      emulation_test(launches_are_checked),
      emulation_test(kernel_error_stays),
      emulation_test(chosen_launch_fails),
#ifndef __SANITIZE_ADDRESS__
      emulation_test(wild_access_is_an_error),
      emulation_test(stack_overflow_is_an_error),
#endif
      emulation_test(work_waits_for_a_synchronisation),
      emulation_test(event_orders_two_streams),
      emulation_test(default_stream_waits_for_blocking_streams),
      emulation_test(events_measure_time),
      emulation_test(graph_does_its_work_at_each_launch),
      emulation_test(capture_takes_in_forked_streams),
      emulation_test(synchronising_ruins_a_capture),
      emulation_test(allocating_ruins_a_capture),
      emulation_test(pageable_copy_ruins_a_capture),
      emulation_test(missing_device_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
