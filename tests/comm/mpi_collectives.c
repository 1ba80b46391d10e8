/* What the collectives promise, at any number of ranks. */
#include <math.h>
#include <string.h>
#include "comm/state.h"
#include "mpi_check.h"
#include "base/clock.h"
#include "base/philox.h"

static int rank, size;

static float noise(uint64_t rank_of, size_t i)
{
  uint32_t out[4], key[2] = {(uint32_t)rank_of, 7}, counter[4] = {(uint32_t)i, (uint32_t)(i >> 32), 0, 0};
  tpo_philox4x32(counter, key, out);
  return ldexpf((float)(int32_t)out[0], (int)(out[1] % 40) - 50);
}

static void shards_cover_everything_once(void)
{
  size_t lengths[] = {0, 1, 15, 16, 17, 63, 64, 1000, 134515008};
  for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
    size_t next = 0;
    for (int r = 0; r < size; r++) {
      size_t first, count;
      tpo_comm_shard(comm, lengths[k], r, &first, &count);
      CHECK(first == next && first % 16 == 0);
      next = first + count;
    }
    CHECK(next == lengths[k]);
  }
}

static void sums_are_added_in_the_order_of_ranks(size_t n)
{
  float *x = malloc(n * sizeof *x + 1);
  CHECK(x);
  for (size_t i = 0; i < n; i++) x[i] = noise((uint64_t)rank, i);
  CHECK(comm_allreduce_sum_f32(comm, x, n, &err) == 0);
  for (size_t i = 0; i < n; i++) {
    float expected = noise(0, i);
    for (int r = 1; r < size; r++) expected += noise((uint64_t)r, i);
    CHECK(memcmp(&x[i], &expected, sizeof expected) == 0);
  }
  free(x);
}

static void doubles_are_summed_and_maximised(void)
{
  enum { N = 1500 };
  double sums[N], highest[N];
  for (int i = 0; i < N; i++) {
    sums[i] = (rank + 1) * 0.1 + i;
    highest[i] = (rank + i) % size;
  }
  if (rank == size - 1) highest[3] = NAN;
  CHECK(tpo_comm_allreduce_sum_f64(comm, sums, N, &err) == 0);
  CHECK(tpo_comm_allreduce_max_f64(comm, highest, N, &err) == 0);
  for (int i = 0; i < N; i++) {
    double expected = 0.1 + i;
    for (int r = 1; r < size; r++) expected += (r + 1) * 0.1 + i;
    CHECK(sums[i] == expected);
    CHECK(i == 3 ? isnan(highest[i]) : highest[i] == size - 1);
  }
}

static void bytes_are_broadcast_and_gathered(void)
{
  for (int root = 0; root < size; root++) {
    char word[32] = "";
    if (rank == root) snprintf(word, sizeof word, "root %d", root);
    CHECK(tpo_comm_bcast(comm, word, sizeof word, root, &err) == 0);
    CHECK(word[5] == '0' + root);

    void *data = NULL;
    size_t len = 0;
    if (rank == root) {
      data = calloc(1, len = (size_t)root * 100000);
      CHECK(data || len == 0);
      if (len) memset(data, root, len);
    }
    CHECK(tpo_comm_bcast_bytes(comm, &data, &len, root, &err) == 0);
    CHECK(len == (size_t)root * 100000);
    for (size_t i = 0; i < len; i++) CHECK(((char *)data)[i] == root);
    free(data);
  }

  char text[64];
  int len = snprintf(text, sizeof text, "%.*s", rank * 3, "abcdefghijkl"); /* nothing from rank 0 */
  void *all = NULL;
  size_t all_len = 0;
  CHECK(tpo_comm_gather_bytes(comm, text, (size_t)len, &all, &all_len, &err) == 0);
  if (rank == 0) {
    CHECK(all_len == (size_t)(3 * size * (size - 1) / 2));
    const char *expected = "abcabcdefabcdefghi";
    CHECK(memcmp(all, expected, all_len) == 0);
  } else {
    CHECK(all == NULL);
  }
  free(all);
}

static void all_ranks_leave_with_the_lowest_failing_rank_s_message(void)
{
  struct tpo_error e = {0};
  CHECK(tpo_comm_agree(comm, 0, &e) == 0 && e.message[0] == '\0');
  int status = 0;
  if (rank == size - 1) status = tpo_fail(&e, TPO_E_IO, "disk %d is full", rank);
  if (rank == size - 2) status = tpo_fail(&e, TPO_E_NUMERIC, "loss of rank %d is not finite", rank);
  int agreed = tpo_comm_agree(comm, status, &e);
  char expected[100];
  if (size == 1)
    snprintf(expected, sizeof expected, "disk 0 is full");
  else
    snprintf(expected, sizeof expected, "rank %d: loss of rank %d is not finite", size - 2, size - 2);
  CHECK(agreed == (size == 1 ? TPO_E_IO : TPO_E_NUMERIC));
  CHECK(strcmp(e.message, expected) == 0 && e.code == agreed);
  /* On its way up the failure is agreed on again, with a place put before it: the rank is named once. */
  tpo_fail_prefix(&e, "iteration 2");
  CHECK(tpo_comm_agree(comm, agreed, &e) == agreed);
  char longer[120];
  snprintf(longer, sizeof longer, "iteration 2: %s", expected);
  CHECK(strcmp(e.message, longer) == 0);
  CHECK(tpo_comm_agree(comm, 0, NULL) == 0);
}

static void measure_sums(void)
{
  size_t n = 8 << 20;
  float *x = calloc(n, sizeof *x);
  CHECK(x);
  double start = tpo_seconds();
  for (int i = 0; i < 3; i++) CHECK(comm_allreduce_sum_f32(comm, x, n, &err) == 0);
  double each = (tpo_seconds() - start) / 3;
  start = tpo_seconds();
  for (int i = 0; i < 100; i++) CHECK(tpo_comm_agree(comm, 0, &err) == 0);
  double agree = (tpo_seconds() - start) / 100;
  if (rank == 0)
    printf("%s: sum of %zu MiB %.1f ms (%.2f GB/s), agreement %.0f us\n", tpo_comm_describe(comm),
           n * 4 >> 20, each * 1e3, (double)n * 4e-9 / each, agree * 1e6);
  free(x);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  rank = tpo_comm_rank(comm);
  size = tpo_comm_size(comm);
  CHECK(tpo_comm_local_size(comm) <= size);
  shards_cover_everything_once();
  size_t lengths[] = {0, 1, 17, 1000, 600000};
  for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
    sums_are_added_in_the_order_of_ranks(lengths[k]);
  doubles_are_summed_and_maximised();
  bytes_are_broadcast_and_gathered();
  all_ranks_leave_with_the_lowest_failing_rank_s_message();
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  measure_sums();
  tpo_comm_close(comm);
  return 0;
}
