/* Accesses beyond the end of an array are found: by AddressSanitizer where the build has it, which ends the
 * process; otherwise writes are, when the block ends or the memory is freed. */
#include "emulation_check.h"

#include <string>

#include <sys/wait.h>
#include <unistd.h>

__global__ void read_device(float *x, int at)
{
  x[0] = x[at + static_cast<int>(threadIdx.x)];
}

__global__ void write_device(float *x, int at)
{
  x[at + static_cast<int>(threadIdx.x)] = 1;
}

__global__ void read_shared(float *x, int at)
{
  TPO_SHARED(float, fixed, 9);
  if (threadIdx.x == 0) fixed[8] = 1;
  __syncthreads();
  const float *p = fixed;
  x[0] = p[at];
}

__global__ void write_shared(float *x, int at)
{
  TPO_SHARED(float, fixed, 9);
  __syncthreads();
  float *p = fixed;
  p[at] = x[0] = 1;
}

__global__ void write_dynamic(float *x, int at)
{
  TPO_DYNAMIC_SHARED(float, dynamic);
  dynamic[at] = x[0] = 1;
}

__global__ void use_freed(float *x, int)
{
  x[0] = 1;
}

/* All of 9 floats. */
static void run(void (*kernel)(float *, int), int at, bool keep)
{
  float *x = NULL;
  cudaMalloc(&x, 36);
  if (!keep) cudaFree(x);
  TPO_LAUNCH(kernel, 1, 1, 36, 0, x, at);
  cudaDeviceSynchronize();
  if (keep) cudaFree(x);
}

/* What a process that runs the kernel prints, and whether it came to its end without an error. */
static bool passes(void (*kernel)(float *, int), int at, bool keep, std::string *text)
{
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    close(ends[0]);
    run(kernel, at, keep);
    _exit(cudaPeekAtLastError() == cudaSuccess ? 0 : 3);
  }
  close(ends[1]);
  char buffer[4096];
  text->clear();
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    text->append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0;
}

static void check(void (*kernel)(float *, int), const char *expected)
{
  std::string text;
  if (!passes(kernel, 8, true, &text)) fail_msg("the last element: %s", text.c_str());
  if (passes(kernel, 9, true, &text)) fail_msg("one beyond the end is not found");
  assert_contains(text.c_str(), expected);
}

#ifdef __SANITIZE_ADDRESS__
static void reads_and_writes_beyond_the_end_are_found(void **)
{
  check(read_device, "heap-buffer-overflow");
  check(write_device, "heap-buffer-overflow");
  check(read_shared, "use-after-poison");
  check(write_shared, "use-after-poison");
  check(write_dynamic, "use-after-poison");
}

static void use_of_freed_memory_is_found(void **)
{
  std::string text;
  assert_false(passes(use_freed, 0, false, &text));
  assert_contains(text.c_str(), "heap-use-after-free");
  assert_contains(text.c_str(), "use_freed");
}
#else
static void writes_beyond_the_end_are_found(void **)
{
  check(write_device, "written after the end of device memory of 36 bytes");
  check(write_shared, "written 0 bytes after the end of shared fixed (36 bytes)");
  check(write_dynamic, "written 0 bytes after the end of shared dynamic memory (36 bytes)");
}
#endif

int main(void)
{
  const struct CMUnitTest tests[] = {
#ifdef __SANITIZE_ADDRESS__
      emulation_test(reads_and_writes_beyond_the_end_are_found),
      emulation_test(use_of_freed_memory_is_found),
#else
      emulation_test(writes_beyond_the_end_are_found),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
