/* Buffers, checked allocation and arenas. */
#include "unit.h"
#include "base/buf.h"
#include "base/memory.h"

static void buf_grows_and_hands_over(void **state)
{
  (void)state;
  struct tpo_buf buf = {0};
  for (int i = 0; i < 10000; i++) tpo_buf_printf(&buf, "%d,", i % 10);
  tpo_buf_putc(&buf, 'x');
  tpo_buf_append(&buf, "\0y", 2);
  assert_false(buf.failed);
  assert_int_equal(buf.len, 20003);
  assert_memory_equal(buf.data + 19998, "9,x\0y\0", 6);
  char *text = tpo_buf_take(&buf);
  assert_memory_equal(text, "0,1,2,", 6);
  free(text);
  assert_null(buf.data);
  text = tpo_buf_take(&buf); /* an empty one is "", not NULL */
  assert_string_equal(text, "");
  free(text);
}

static void buf_remembers_failure_until_cleared(void **state)
{
  (void)state;
  struct tpo_buf buf = {0};
  tpo_buf_puts(&buf, "kept");
  tpo_buf_append(&buf, "x", SIZE_MAX); /* never read: refused by its size */
  assert_true(buf.failed);
  tpo_buf_puts(&buf, " more");
  assert_string_equal(buf.data, "kept");
  struct tpo_buf copy = buf;
  assert_null(tpo_buf_take(&copy));
}

static void allocation_sizes_are_checked(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  assert_null(tpo_calloc(SIZE_MAX / 2, 3, &err));
  assert_int_equal(err.code, TPO_E_MEMORY);
  void *empty = tpo_calloc(0, 8, &err);
  assert_non_null(empty);
  free(empty);

  int *numbers = NULL;
  size_t capacity = 0;
  for (size_t i = 0; i < 1000; i++) {
    assert_int_equal(tpo_grow(&numbers, &capacity, i + 1, sizeof *numbers, &err), 0);
    numbers[i] = (int)i;
  }
  assert_int_equal(numbers[999], 999);
  assert_int_equal(tpo_grow(&numbers, &capacity, SIZE_MAX / 2, sizeof *numbers, &err), TPO_E_MEMORY);
  assert_int_equal(numbers[500], 500);
  free(numbers);
}

static void arena_gives_zeroed_aligned_separate_memory(void **state)
{
  (void)state;
  struct tpo_arena arena = {0};
  unsigned char *pieces[300];
  for (int i = 0; i < 300; i++) {
    size_t bytes = i % 50 == 49 ? 100000 : (size_t)i * 3;
    pieces[i] = tpo_arena_alloc(&arena, bytes);
    assert_int_equal((uintptr_t)pieces[i] % 16, 0);
    for (size_t b = 0; b < bytes; b++) assert_int_equal(pieces[i][b], 0);
    memset(pieces[i], i, bytes);
  }
  for (int i = 1; i < 300; i++) assert_int_equal(pieces[i][0], (unsigned char)i);
  assert_string_equal(tpo_arena_strdup(&arena, "text"), "text");
  assert_memory_equal(tpo_arena_memdup(&arena, "a\0b", 3), "a\0b\0", 4);
  assert_null(tpo_arena_alloc(&arena, SIZE_MAX - 4));
  tpo_arena_free(&arena);
  assert_null(arena.blocks);
}

static void available_memory_is_that_of_this_machine(void **state)
{
  (void)state;
  size_t available = tpo_memory_available();
  assert_true(available > (size_t)1 << 20);
  assert_true(available <= (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(buf_grows_and_hands_over),
      cmocka_unit_test(buf_remembers_failure_until_cleared),
      cmocka_unit_test(allocation_sizes_are_checked),
      cmocka_unit_test(arena_gives_zeroed_aligned_separate_memory),
      cmocka_unit_test(available_memory_is_that_of_this_machine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
