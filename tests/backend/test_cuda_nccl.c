/* The CUDA backend's collectives, called as comm calls them, with one rank: all of NCCL that one GPU can
 * show. What several ranks send each other is in tests/comm/mpi_tensors.c. */
#include <time.h>

#include "backend/backend.h"
#include "backend/cuda.h"
#include "unit.h"

enum { N = 1000 };

static struct tpo_backend *be;
static const struct tpo_ops *ops;
static const struct tpo_collectives *nccl;
static struct tpo_device_comm *comm;
static struct tpo_error err;

static int open_cuda(void **state)
{
  (void)state;
  if (tpo_backend_open(&be, TPO_BACKEND_CUDA, 0, &err) < 0) {
    print_error("%s\n", err.message);
    return -1;
  }
  ops = tpo_ops(be);
  nccl = be->collectives;
  return 0;
}

static int close_cuda(void **state)
{
  (void)state;
  tpo_backend_close(be);
  return 0;
}

static void nap(void)
{
  const struct timespec interval = {0, 100000};
  nanosleep(&interval, NULL);
}

static void wait_started(void)
{
  int started;
  while ((started = nccl->started(comm, &err)) == 0) nap();
  if (started < 0) fail_msg("%s", err.message);
}

static void wait_done(uint64_t number)
{
  int done;
  while ((done = nccl->done(comm, number, &err)) == 0) nap();
  if (done < 0) fail_msg("%s", err.message);
}

static void open_one_rank(void)
{
  unsigned char id[256] = {0};
  assert_true(nccl->id_bytes <= sizeof id);
  if (nccl->make_id(id, &err) < 0 || nccl->open(&comm, be, id, 0, 1, &err) < 0) fail_msg("%s", err.message);
  wait_started();
}

static void ready(void)
{
  if (ops->check(be, &err) < 0) fail_msg("%s", err.message);
}

static float *device_floats(float first)
{
  float host[N];
  void *p;
  for (int i = 0; i < N; i++) host[i] = first + (float)i;
  if (ops->alloc(be, sizeof host, &p, &err) < 0) fail_msg("%s", err.message);
  ops->upload(be, p, host, sizeof host);
  return p;
}

static void assert_floats(const float *x, float first)
{
  float host[N];
  ops->download(be, host, x, sizeof host);
  ready();
  for (int i = 0; i < N; i++)
    if (host[i] != first + (float)i) fail_msg("element %d is %g, expected %g", i, host[i], first + (float)i);
}

/* The parts of a range, as comm makes one for each owner. */
static int parts(struct tpo_transfer *transfers, const float *send, float *recv, size_t element_bytes)
{
  const size_t ends[] = {1, 16, 700, N};
  size_t at = 0;
  for (int i = 0; i < 4; i++) {
    transfers[i] = (struct tpo_transfer){send + at, recv + at, (ends[i] - at) * element_bytes, 0};
    at = ends[i];
  }
  return 4;
}

static void a_group_of_reductions_gives_the_only_rank_s_values(void **state)
{
  (void)state;
  struct tpo_transfer transfers[4];
  float *x = device_floats(3), *y = device_floats(-5);
  open_one_rank();
  assert_int_equal(nccl->reduce(comm, 0, transfers, parts(transfers, x, x, 1), &err), 0);
  wait_started();
  assert_int_equal(nccl->reduce(comm, 1, transfers, parts(transfers, x, y, 1), &err), 0);
  wait_started();
  wait_done(0);
  wait_done(1);
  assert_floats(x, 3);
  assert_floats(y, 3);
  nccl->close(comm);
  ops->free(be, x);
  ops->free(be, y);
}

static void a_group_of_broadcasts_moves_bytes(void **state)
{
  (void)state;
  struct tpo_transfer transfers[4];
  float *x = device_floats(7), *y = device_floats(0);
  open_one_rank();
  assert_int_equal(nccl->broadcast(comm, 0, transfers, parts(transfers, x, y, sizeof *x), &err), 0);
  wait_started();
  wait_done(0);
  assert_floats(y, 7);
  nccl->close(comm);
  ops->free(be, x);
  ops->free(be, y);
}

static void an_exchange_follows_the_backend_and_is_followed_by_it(void **state)
{
  (void)state;
  float *x = device_floats(1), *y = device_floats(2), *z = device_floats(3);
  struct tpo_transfer transfer = {x, y, N * sizeof *x, 0};
  open_one_rank();
  for (uint64_t number = 0; number < 2 * TPO_EXCHANGES + 3; number++) { /* the events go round */
    ops->copy(be, x, number % 2 ? z : y, N * sizeof *x);                /* which the exchange then sends */
    ops->zero(be, y, N * sizeof *y);
    assert_int_equal(nccl->broadcast(comm, number, &transfer, 1, &err), 0);
    wait_started();
    assert_int_equal(nccl->order(comm, number, &err), 0);
    ops->copy(be, x, y, N * sizeof *x); /* what the exchange has brought */
    assert_floats(x, number == 0 ? 2 : 3);
    if (number >= TPO_EXCHANGES - 1) wait_done(number + 1 - TPO_EXCHANGES);
  }
  nccl->close(comm);
  float *all[] = {x, y, z};
  for (int i = 0; i < 3; i++) ops->free(be, all[i]);
}

/* And nothing of it is left: the backend computes, and another communicator can be opened. */
static void an_abort_ends_what_is_under_way(void **state)
{
  (void)state;
  float *x = device_floats(4), *y = device_floats(0);
  struct tpo_transfer transfer = {x, y, N * sizeof *x, 0};
  for (int rest = 0; rest < 3; rest++) {
    open_one_rank();
    for (int i = 0; i < rest; i++) {
      assert_int_equal(nccl->broadcast(comm, (uint64_t)i, &transfer, 1, &err), 0);
      wait_started();
    }
    nccl->abort(comm);
    ready();
    assert_floats(x, 4);
  }
  open_one_rank();
  assert_int_equal(nccl->broadcast(comm, 0, &transfer, 1, &err), 0);
  wait_started();
  wait_done(0);
  assert_floats(y, 4);
  nccl->close(comm);
  ops->free(be, x);
  ops->free(be, y);
}

/* Its collective stays in the stream for ever, which the abort must outwait. */
static void an_exchange_that_fails_is_told_and_aborted(void **state)
{
  (void)state;
  if (!strstr(be->description, "emulated")) skip();
  float *x = device_floats(4);
  struct tpo_transfer transfer = {x, x, N * sizeof *x, 0};
  open_one_rank();
  setenv("TPO_EMULATION_FAIL", "nccl:1", 1);
  assert_int_equal(nccl->broadcast(comm, 0, &transfer, 1, &err), 0);
  assert_int_equal(nccl->started(comm, &err), TPO_E_COMM);
  assert_int_equal(nccl->done(comm, 0, &err), TPO_E_COMM);
  assert_non_null(strstr(err.message, "NCCL: "));
  unsetenv("TPO_EMULATION_FAIL");
  nccl->abort(comm);
  ready();
  assert_floats(x, 4);
  ops->free(be, x);
}

static void a_rank_outside_the_communicator_is_refused(void **state)
{
  (void)state;
  unsigned char id[256] = {0};
  assert_int_equal(nccl->make_id(id, &err), 0);
  assert_int_equal(nccl->open(&comm, be, id, 1, 1, &err), TPO_E_COMM);
  assert_non_null(strstr(err.message, "NCCL: "));
  assert_null(comm);
  ready();
}

static void communicators_have_ids_of_their_own_and_backends_one_place(void **state)
{
  (void)state;
  unsigned char first[256] = {0}, second[256] = {0};
  assert_int_equal(nccl->make_id(first, &err), 0);
  assert_int_equal(nccl->make_id(second, &err), 0);
  assert_memory_not_equal(first, second, nccl->id_bytes);
  assert_true(nccl->place(be) != 0);
  assert_true(nccl->place(be) == nccl->place(be));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_group_of_reductions_gives_the_only_rank_s_values),
      cmocka_unit_test(a_group_of_broadcasts_moves_bytes),
      cmocka_unit_test(an_exchange_follows_the_backend_and_is_followed_by_it),
      cmocka_unit_test(an_abort_ends_what_is_under_way),
      cmocka_unit_test(an_exchange_that_fails_is_told_and_aborted),
      cmocka_unit_test(a_rank_outside_the_communicator_is_refused),
      cmocka_unit_test(communicators_have_ids_of_their_own_and_backends_one_place),
  };
  return cmocka_run_group_tests(tests, open_cuda, close_cuda);
}
