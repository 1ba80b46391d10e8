/* What lets a caller run ahead of a backend: fetches, recordings, ids chosen on the device. */
#include "ops_check.h"

#include <stdlib.h>

static void a_fetch_gives_what_stood_there_when_it_began(void **state)
{
  (void)state;
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    const struct tpo_ops *ops = tpo_ops(be);
    int32_t *x = check_alloc(1000 * sizeof *x), host[1000], first[1000], second[10];
    for (int i = 0; i < 1000; i++) host[i] = i;
    ops->upload(be, x, host, sizeof host);
    ops->fetch_begin(be, 0, x, sizeof first);
    for (int i = 0; i < 1000; i++) host[i] = -i;
    ops->upload(be, x, host, sizeof host);
    ops->fetch_begin(be, 3, x, sizeof second);
    assert_int_equal(ops->fetch_end(be, 0, first, sizeof first, NULL), 0);
    assert_int_equal(ops->fetch_end(be, 3, second, sizeof second, NULL), 0);
    for (int i = 0; i < 1000; i++) assert_int_equal(first[i], i);
    for (int i = 0; i < 10; i++) assert_int_equal(second[i], -i);
  }
}

static void uploads_larger_than_the_staging_ring_arrive_whole(void **state)
{
  (void)state;
  size_t n = 3 << 20;
  uint32_t *host = malloc(n * sizeof *host), *back = malloc(n * sizeof *back);
  for (size_t i = 0; i < n; i++) host[i] = (uint32_t)(i * 2654435761u);
  struct tpo_backend *be = check_cpus[check_n_cpus - 1].be;
  void *x;
  assert_int_equal(tpo_ops(be)->alloc(be, n * sizeof *host, &x, NULL), 0);
  tpo_ops(be)->upload(be, x, host, n * sizeof *host);
  tpo_ops(be)->download(be, back, x, n * sizeof *host);
  assert_memory_equal(host, back, n * sizeof *host);
  tpo_ops(be)->free(be, x);
  free(host);
  free(back);
}

static void ids_come_from_the_drawn_tokens_where_asked(void **state)
{
  (void)state;
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    int32_t *ids = check_alloc(300 * sizeof *ids), *from = check_alloc(300 * sizeof *from),
            *tokens = check_alloc(8 * sizeof *tokens);
    for (int i = 0; i < 8; i++) tokens[i] = 1000 + i;
    for (int i = 0; i < 300; i++) {
      ids[i] = i;
      from[i] = i % 3 == 0 ? i % 8 : -1;
    }
    tpo_ops(be)->select_ids(be, ids, from, tokens, 300);
    check_wait(be);
    for (int i = 0; i < 300; i++) assert_int_equal(ids[i], i % 3 == 0 ? 1000 + i % 8 : i);
  }
}

/* x[0] = silu(x[0]) x[1] by recorded work. */
static void gated(struct tpo_backend *be, uint64_t key, float *x, float *one)
{
  const struct tpo_ops *ops = tpo_ops(be);
  if (ops->replay(be, key)) return;
  ops->swiglu(be, x, one, 1, 1);
  ops->copy(be, x, one, sizeof *one);
  ops->record_end(be);
}

static void recorded_work_runs_again_on_what_its_memory_holds(void **state)
{
  (void)state;
  for (int b = 0; b <= check_n_cpus; b++) {
    struct tpo_backend *be = b < check_n_cpus ? check_cpus[b].be : check_reference;
    const struct tpo_ops *ops = tpo_ops(be);
    float *x = zeros(2), *one = zeros(1), *y = zeros(2), *expected = zeros(1);
    for (int round = 0; round < 4; round++) {
      float host[2] = {0.5f + (float)round, 3};
      ops->upload(be, x, host, sizeof host);
      ops->upload(be, y, host, sizeof host);
      ops->swiglu(be, y, expected, 1, 1);
      if (round == 3) ops->forget(be); /* recorded anew */
      gated(be, 7, x, one);
      check_wait(be);
      assert_bits("recorded", x, expected, 1);
    }
    bool records = be == check_cuda;
    assert_int_equal(ops->replay(be, 7), records);
    ops->forget(be);
    check_wait(be);
  }
}

static void free_memory_is_told_and_too_much_is_refused_in_words(void **state)
{
  (void)state;
  struct tpo_backend *be = check_cpus[check_n_cpus - 1].be;
  size_t available = tpo_ops(be)->memory_available(be);
  assert_true(available > 1 << 20);
  void *x;
  struct tpo_error err = {0};
  /* On the host, what malloc itself isn't asked for: under the sanitizer that would end the test. */
  size_t too_much = be == check_cuda ? (size_t)1 << 60 : SIZE_MAX;
  assert_int_equal(tpo_ops(be)->alloc(be, too_much, &x, &err), TPO_E_MEMORY);
  assert_null(x);
  assert_true(strlen(err.message) > 20);
  if (be == check_cuda) assert_non_null(strstr(err.message, "free"));
  assert_int_equal(tpo_ops(be)->check(be, NULL), 0); /* told once */
}

static void ranks_of_a_host_share_its_free_memory(void **state)
{
  (void)state;
  struct tpo_backend *alone, *shared;
  struct tpo_backend_options options = {.kind = TPO_BACKEND_CPU, .threads = 1, .local_size = 1};
  assert_int_equal(tpo_backend_open_with(&alone, &options, NULL), 0);
  options.local_rank = 2;
  options.local_size = 64;
  assert_int_equal(tpo_backend_open_with(&shared, &options, NULL), 0);
  size_t all = tpo_ops(alone)->memory_available(alone), share = tpo_ops(shared)->memory_available(shared);
  assert_in_range(share, all / 128, all / 32); /* others' use of memory changes meanwhile */
  tpo_backend_close(alone);
  tpo_backend_close(shared);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      CHECK_TEST(a_fetch_gives_what_stood_there_when_it_began),
      CHECK_TEST(uploads_larger_than_the_staging_ring_arrive_whole),
      CHECK_TEST(ids_come_from_the_drawn_tokens_where_asked),
      CHECK_TEST(recorded_work_runs_again_on_what_its_memory_holds),
      CHECK_TEST(ranks_of_a_host_share_its_free_memory),
      CHECK_TEST(free_memory_is_told_and_too_much_is_refused_in_words),
  };
  return cmocka_run_group_tests(tests, check_open, check_close);
}
