/* Exchanges of tensors in a backend's memory, at any number of ranks. */
#include "mpi_backend.h"
#include "backend/backend.h"
#include "base/shard.h"

enum { N = 1003 };

static struct tpo_backend *backend;
static const struct tpo_ops *ops;
static int rank, size;

static float part(int rank_of, size_t i)
{
  return (float)(rank_of * 3 + 1) * 0.37f + (float)i / 7.0f;
}

static float sum(size_t i)
{
  float total = part(0, i);
  for (int r = 1; r < size; r++) total += part(r, i);
  return total;
}

static void *device_alloc(size_t bytes)
{
  void *memory;
  CHECK(ops->alloc(backend, bytes, &memory, &err) == 0);
  return memory;
}

static float *device_parts(void)
{
  float host[N], *x = device_alloc(sizeof host);
  for (size_t i = 0; i < N; i++) host[i] = part(rank, i);
  ops->upload(backend, x, host, sizeof host);
  return x;
}

/* Elements [begun, N) have been summed. */
static void check_sums(const float *x, size_t begun)
{
  float host[N];
  size_t first, count;
  tpo_comm_shard(comm, N, rank, &first, &count);
  ops->download(backend, host, x, sizeof host);
  CHECK(ops->check(backend, &err) == 0);
  for (size_t i = first; i < first + count; i++) {
    float expected = i < begun ? part(rank, i) : sum(i);
    CHECK(memcmp(&host[i], &expected, sizeof expected) == 0);
  }
}

static void ranges_are_summed_at_their_owners_in_any_pieces(void)
{
  const size_t lengths[] = {N, 1, 17, 250, 600};
  for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
    float *x = device_parts();
    for (size_t end = N; end > 0;) {
      size_t first = end > lengths[k] ? end - lengths[k] : 0;
      CHECK(tpo_comm_reduce_begin(comm, x, N, first, end - first, &err) == 0);
      end = first;
    }
    CHECK(tpo_comm_finish(comm, &err) == 0);
    check_sums(x, 0);
    ops->free(backend, x);
  }
}

static void what_was_not_asked_for_stays(void)
{
  float *x = device_parts();
  CHECK(tpo_comm_reduce_begin(comm, x, N, 500, N - 500, &err) == 0);
  CHECK(tpo_comm_finish(comm, &err) == 0);
  check_sums(x, 500);
  ops->free(backend, x);
}

/* What the backend has begun to write before an exchange is what travels; what it does after tpo_comm_order
 * finds what came. */
static void exchanges_are_ordered_with_the_backend_s_work(void)
{
  float host[N], *x = device_alloc(sizeof host), *copy = device_alloc(sizeof host);
  for (size_t i = 0; i < N; i++) host[i] = part(rank, i);
  ops->upload(backend, copy, host, sizeof host);
  ops->copy(backend, x, copy, sizeof host);
  CHECK(tpo_comm_reduce_begin(comm, x, N, 0, N, &err) == 0);
  CHECK(tpo_comm_order(comm, 0, &err) == 0);
  ops->copy(backend, copy, x, sizeof host);
  check_sums(copy, 0);
  CHECK(tpo_comm_finish(comm, &err) == 0);
  ops->free(backend, x);
  ops->free(backend, copy);
}

/* More exchanges than may be under way at once, two buffers in turn, in elements of two sizes. */
static void shards_spread_to_all_ranks_piece_by_piece(size_t element)
{
  enum { PIECE = 11 };
  size_t first, count;
  tpo_comm_shard(comm, N, rank, &first, &count);
  unsigned char own[4 * N], back[4 * N];
  for (size_t i = 0; i < count * element; i++) own[i] = (unsigned char)((first * element + i) * 31 % 251);
  char *shard = device_alloc(count * element + 1), *all = device_alloc(N * element);
  char *pieces[2] = {device_alloc(PIECE * element), device_alloc(PIECE * element)};
  ops->upload(backend, shard, own, count * element);
  CHECK(tpo_comm_spread_begin(comm, shard, element, N, &(struct tpo_range){0, PIECE}, 1, pieces[0], &err) ==
        0);
  for (size_t at = 0, k = 0; at < N; at += PIECE, k++) {
    size_t n = N - at < PIECE ? N - at : PIECE, next = at + n;
    bool more = next < N;
    struct tpo_range range = {next, N - next < PIECE ? N - next : PIECE};
    if (more)
      CHECK(tpo_comm_spread_begin(comm, shard, element, N, &range, 1, pieces[(k + 1) % 2], &err) == 0);
    CHECK(tpo_comm_order(comm, more, &err) == 0);
    ops->copy(backend, all + at * element, pieces[k % 2], n * element);
  }
  CHECK(tpo_comm_finish(comm, &err) == 0);
  ops->download(backend, back, all, N * element);
  CHECK(ops->check(backend, &err) == 0);
  for (size_t i = 0; i < N * element; i++) CHECK(back[i] == i * 31 % 251);
  ops->free(backend, shard);
  ops->free(backend, all);
  for (int i = 0; i < 2; i++) ops->free(backend, pieces[i]);
}

/* One exchange brings a range of every rank's neighbourhood, ends of shards within them: as if all of the array
 * had been asked for. */
static void ranges_of_all_owners_come_one_after_another(void)
{
  size_t first, count, n_out = 0;
  tpo_comm_shard(comm, N, rank, &first, &count);
  uint16_t own[N], back[N];
  for (size_t i = 0; i < count; i++) own[i] = (uint16_t)(first + i);
  struct tpo_range ranges[8];
  for (int r = 0; r < size; r++) {
    size_t begin = (size_t)(N * r / size + 7), end = (size_t)(N * (r + 1) / size + (r % 2 ? 3 : 7));
    ranges[r] = (struct tpo_range){begin, (end < N ? end : N) - begin};
    n_out += ranges[r].count;
  }
  char *shard = device_alloc(count * sizeof *own + 1), *out = device_alloc(sizeof back);
  ops->upload(backend, shard, own, count * sizeof *own);
  CHECK(tpo_comm_spread_begin(comm, shard, sizeof *own, N, ranges, size, out, &err) == 0);
  CHECK(tpo_comm_finish(comm, &err) == 0);
  ops->download(backend, back, out, n_out * sizeof *own);
  CHECK(ops->check(backend, &err) == 0);
  const uint16_t *at = back;
  for (int r = 0; r < size; r++)
    for (size_t i = 0; i < ranges[r].count; i++) CHECK(*at++ == ranges[r].first + i);
  ops->free(backend, shard);
  ops->free(backend, out);
}

/* On every rank: nothing has begun, and the next exchange is as good as any. */
static void ranges_in_disorder_are_refused(void)
{
  static const struct tpo_range bad[][2] = {{{4, 4}, {7, 1}}, {{8, 4}, {0, 4}}, {{0, 1}, {N, 1}}};
  struct tpo_range many[9] = {{0, 1}};
  char *shard = device_alloc(4 * N), *out = device_alloc(4 * N);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(tpo_comm_spread_begin(comm, shard, 4, N, bad[i], 2, out, &err) == TPO_E_USAGE);
  for (int i = 0; i < 9; i++) many[i] = (struct tpo_range){(size_t)i, 1};
  CHECK(tpo_comm_spread_begin(comm, shard, 4, N, many, size + 1, out, &err) == TPO_E_USAGE);
  CHECK(strstr(err.message, "at most one a rank"));
  CHECK(tpo_comm_finish(comm, &err) == 0);
  ops->free(backend, shard);
  ops->free(backend, out);
}

static void without_a_backend_tensors_are_in_host_memory(void)
{
  float x[N], all[N];
  size_t first, count;
  tpo_comm_shard(comm, N, rank, &first, &count);
  for (size_t i = 0; i < N; i++) x[i] = part(rank, i);
  CHECK(!tpo_comm_attached(comm));
  CHECK(tpo_comm_reduce_begin(comm, x, N, 0, N, &err) == 0);
  CHECK(tpo_comm_spread_begin(comm, x + first, sizeof *x, N, &(struct tpo_range){0, N}, 1, all, &err) == 0);
  CHECK(tpo_comm_finish(comm, &err) == 0);
  for (size_t i = 0; i < N; i++) CHECK(all[i] == sum(i));
}

static void a_rank_knows_its_place_on_its_host(void)
{
  CHECK(tpo_comm_local_rank(comm) >= 0 && tpo_comm_local_rank(comm) < tpo_comm_local_size(comm));
  if (tpo_comm_local_size(comm) == size) CHECK(tpo_comm_local_rank(comm) == rank);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  rank = tpo_comm_rank(comm);
  size = tpo_comm_size(comm);
  a_rank_knows_its_place_on_its_host();
  without_a_backend_tensors_are_in_host_memory();
  for (int times = 0; times < 2; times++) { /* detached and attached again, to another backend */
    backend = test_backend();
    ops = tpo_ops(backend);
    CHECK(tpo_comm_attach(comm, backend, &err) == 0);
    CHECK(tpo_comm_attached(comm) == backend);
    ranges_are_summed_at_their_owners_in_any_pieces();
    what_was_not_asked_for_stays();
    exchanges_are_ordered_with_the_backend_s_work();
    shards_spread_to_all_ranks_piece_by_piece(2);
    shards_spread_to_all_ranks_piece_by_piece(4);
    ranges_in_disorder_are_refused();
    ranges_of_all_owners_come_one_after_another();
    tpo_comm_detach(comm);
    tpo_backend_close(backend);
  }
  tpo_comm_close(comm);
  return 0;
}
