/* Which backend and which of its instruction sets is opened, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "unit.h"

#include "backend/cpu/cpu.h"

/* A test asks for more memory than there can be; AddressSanitizer would otherwise end the process. */
TPO_API const char *__asan_default_options(void); /* visible to the sanitizer's library */
const char *__asan_default_options(void)
{
  return "allocator_may_return_null=1";
}

static void an_unknown_instruction_set_is_refused_by_name(void **state)
{
  (void)state;
  struct tpo_backend *be;
  struct tpo_error err = {0};
  setenv("TPO_CPU_ISA", "sse9", 1);
  assert_int_equal(tpo_backend_open(&be, TPO_BACKEND_AUTO, 1, &err), TPO_E_USAGE);
  unsetenv("TPO_CPU_ISA");
  assert_non_null(strstr(err.message, "sse9"));
  assert_null(be);
  tpo_backend_close(NULL);
}

static void the_instruction_set_that_is_asked_for_is_taken_or_refused(void **state)
{
  (void)state;
  static const char *const names[] = {"scalar", "avx2", "avx512", "avx512_bf16"};
  const int highest = (int)tpo_cpu_detect();
  setenv("TPO_CPU_ISA", "scalar", 1); /* is for what nobody asked for */
  for (int level = 0; level < 4; level++) {
    struct tpo_backend *be;
    struct tpo_error err = {0};
    struct tpo_backend_options options = {.kind = TPO_BACKEND_CPU,
                                          .threads = 1,
                                          .local_size = 1,
                                          .isa = (enum tpo_isa)(TPO_ISA_SCALAR + level)};
    int status = tpo_backend_open_with(&be, &options, &err);
    assert_int_equal(status, level <= highest ? 0 : TPO_E_USAGE);
    if (status == 0) {
      assert_int_equal((int)tpo_cpu(be)->isa, level);
      assert_string_equal(tpo_backend_kernels(be), names[level]);
      tpo_backend_close(be);
    } else {
      assert_null(be);
      assert_non_null(strstr(err.message, names[level]));
      assert_non_null(strstr(err.message, names[highest]));
    }
  }
  unsetenv("TPO_CPU_ISA");
}

static void a_backend_that_is_not_built_in_is_refused_by_name(void **state)
{
  (void)state;
#ifdef TPO_HAVE_CUDA
  skip();
#endif
  struct tpo_backend *be;
  struct tpo_error err = {0};
  assert_int_equal(tpo_backend_open(&be, TPO_BACKEND_CUDA, 1, &err), TPO_E_UNSUPPORTED);
  assert_null(be);
  assert_non_null(strstr(err.message, "cuda"));
}

static void a_failed_scratch_allocation_is_reported_once_by_check(void **state)
{
  (void)state;
  struct tpo_backend *be;
  struct tpo_error err = {0};
  assert_int_equal(tpo_backend_open(&be, TPO_BACKEND_CPU, 1, &err), 0);
  assert_null(tpo_cpu_scratch(tpo_cpu(be), TPO_CPU_SLOT_OPS, SIZE_MAX - 8));
  assert_int_equal(tpo_ops(be)->check(be, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "scratch"));
  assert_int_equal(tpo_ops(be)->check(be, &err), 0);
  tpo_backend_close(be);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_unknown_instruction_set_is_refused_by_name),
      cmocka_unit_test(the_instruction_set_that_is_asked_for_is_taken_or_refused),
      cmocka_unit_test(a_backend_that_is_not_built_in_is_refused_by_name),
      cmocka_unit_test(a_failed_scratch_allocation_is_reported_once_by_check),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
