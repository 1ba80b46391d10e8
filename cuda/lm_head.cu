/* The LM head with log-softmax and gather, and its gradient:
 *
 *   z_i = W h_i, lse_i = log sum_v exp z_iv, logprob_i = z_i[target_i] - lse_i
 *   dz_iv = dlogprob_i ([v = target_i] - exp(z_iv - lse_i)), dh_i = W^T dz_i, dW = sum_i dz_i h_i^T
 *
 * Logits exist for ROWS tokens by COLS vocabulary entries at a time: 32 MiB, which a product writes and the
 * next kernel reads out of L2 (50 MB on an H100), and 256 tiles of 128 x 256, two for each of 132
 * multiprocessors. A block of the kernels below owns a row of such a chunk, 16 logits a thread, read once:
 * the forward kernel leaves their maximum and sum of exponentials as a partial result, the backward one
 * writes dz. They move 4 and 4 + sizeof(Act) bytes a logit; with 4096 hidden dimensions that is about a
 * fifteenth of the product's time.
 *
 * dz is kept for the whole vocabulary, of ROWS tokens or as many as DZ_BYTES allow. So dh is one product,
 * whose sum over the vocabulary is never rounded to Act on the way; and the fp32 dW, which each set of rows
 * reads and writes whole (8 bytes an element, against 6 ROWS operations of the three products), costs
 * bandwidth seldom enough.
 *
 * Capped logits are c tanh(z / c), made where z is read (CAP), and dz gets their slope 1 - (z / c)^2.
 *
 * The vocabulary is divided in the same way for any number of rows, and the kernels treat each row by itself:
 * bits don't depend on the number of rows. */
#include "ops.cuh"
#include "reduce.cuh"

#include <math.h>

enum { ROWS = 2048, ROWS_STEP = 128, COLS = 4096, THREADS = 256, JOIN_THREADS = 128 };
static const size_t DZ_BYTES = (size_t)512 << 20;

struct head_partial {
  float largest, sum; /* of exp(logit - largest) */
};

template <class T, int COUNT> struct alignas(COUNT * sizeof(T)) head_several {
  T at[COUNT];
};

/* The thread's share of a chunk's row:
 * groups of PACK neighbours, -infinity past the end. count % PACK == 0. */
template <int PACK> struct head_share {
  static constexpr int GROUPS = COLS / (THREADS * PACK);
  head_several<float, PACK> group[GROUPS];

  static __device__ __forceinline__ int first(int g) { return (g * THREADS + (int)threadIdx.x) * PACK; }

  __device__ __forceinline__ void load(const float *__restrict__ row, int count)
  {
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
      if (first(g) < count) {
        group[g] = *reinterpret_cast<const head_several<float, PACK> *>(row + first(g));
      } else {
#pragma unroll
        for (int p = 0; p < PACK; p++) group[g].at[p] = -INFINITY;
      }
    }
  }
  __device__ __forceinline__ void cap(int count, float softcap)
  {
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
#pragma unroll
      for (int p = 0; p < PACK; p++)
        if (first(g) < count) group[g].at[p] = tpo_soft_cap(group[g].at[p], softcap);
  }
};

/* partials [n, n_chunks]; logprob gets the target's logit where this chunk has it. */
template <int PACK, bool CAP>
__global__ void __launch_bounds__(THREADS)
    head_partials(const float *__restrict__ logits, const int32_t *__restrict__ targets,
                  head_partial *__restrict__ partials, float *__restrict__ logprob, int col0, int count,
                  int chunk, int n_chunks, float softcap)
{
  TPO_SHARED(float, scratch, THREADS / 32);
  size_t i = blockIdx.x;
  const float *row = logits + i * (size_t)count;
  head_share<PACK> z;
  z.load(row, count);
  if (CAP) z.cap(count, softcap);
  float largest = -INFINITY;
#pragma unroll
  for (int g = 0; g < z.GROUPS; g++)
#pragma unroll
    for (int p = 0; p < PACK; p++) largest = fmaxf(largest, z.group[g].at[p]);
  largest = block_max<THREADS>(largest, scratch);
  float sum = 0, origin = largest > -INFINITY ? largest : 0;
#pragma unroll
  for (int g = 0; g < z.GROUPS; g++)
#pragma unroll
    for (int p = 0; p < PACK; p++) sum += expf(z.group[g].at[p] - origin);
  sum = block_sum<THREADS>(sum, scratch);
  if (threadIdx.x != 0) return;
  partials[i * (size_t)n_chunks + (size_t)chunk] = {largest, sum};
  int target = targets[i] - col0; /* negative where there is none */
  if (target >= 0 && target < count) logprob[i] = CAP ? tpo_soft_cap(row[target], softcap) : row[target];
}

/* Joins a row's partial results in the order of the vocabulary, in double precision. */
__global__ void __launch_bounds__(JOIN_THREADS)
    head_join(const head_partial *__restrict__ partials, const int32_t *__restrict__ targets,
              float *__restrict__ logprob, float *__restrict__ lse, int n, int n_chunks)
{
  int i = (int)(blockIdx.x * JOIN_THREADS + threadIdx.x);
  if (i >= n) return;
  const head_partial *row = partials + (size_t)i * (size_t)n_chunks;
  float largest = row[0].largest;
  for (int c = 1; c < n_chunks; c++) largest = fmaxf(largest, row[c].largest);
  double sum = 0;
  for (int c = 0; c < n_chunks; c++) sum += row[c].sum * exp((double)row[c].largest - (double)largest);
  double value = (double)largest + log(sum);
  lse[i] = (float)value;
  logprob[i] = targets[i] < 0 ? 0.0f : (float)((double)logprob[i] - value);
}

/* dz [n, vocab]: this chunk's columns. */
template <class Act, int PACK, bool CAP>
__global__ void __launch_bounds__(THREADS)
    head_gradient(const float *__restrict__ logits, const int32_t *__restrict__ targets,
                  const float *__restrict__ lse, const float *__restrict__ dlogprob, Act *__restrict__ dz,
                  int col0, int count, int vocab, float softcap)
{
  size_t i = blockIdx.x;
  head_share<PACK> z;
  z.load(logits + i * (size_t)count, count);
  if (CAP) z.cap(count, softcap);
  Act *out = dz + i * (size_t)vocab + (size_t)col0;
  bool wanted = targets[i] >= 0;
  int target = targets[i] - col0; /* negative where there is none */
  float lse_i = lse[i], scale = dlogprob[i];
#pragma unroll
  for (int g = 0; g < z.GROUPS; g++) {
    head_several<Act, PACK> d;
    int col = z.first(g);
#pragma unroll
    for (int p = 0; p < PACK; p++) {
      float one = col + p == target ? 1.0f : 0.0f;
      float change = scale * (one - expf(z.group[g].at[p] - lse_i));
      if (CAP) {
        float share = z.group[g].at[p] / softcap;
        change *= 1.0f - share * share;
      }
      d.at[p] = from_float<Act>(wanted ? change : 0.0f);
    }
    if (col < count) *reinterpret_cast<head_several<Act, PACK> *>(out + col) = d;
  }
}

static int min_int(int a, int b)
{
  return a < b ? a : b;
}

static size_t round_up(size_t bytes)
{
  return (bytes + 255) / 256 * 256;
}

static size_t logits_bytes(int rows, int vocab)
{
  return round_up((size_t)rows * (size_t)min_int(COLS, vocab) * sizeof(float));
}

/* A chunk's columns of some rows, for the kernels that read its logits. */
struct head_chunk {
  const float *logits; // [rows, count]
  const int32_t *targets;
  int rows, col0, count;
  float softcap;
};

template <int PACK, bool CAP>
static void launch_partials(struct tpo_cuda *cuda, const head_chunk &c, head_partial *partials,
                            float *logprob, int n_chunks)
{
  TPO_LAUNCH((head_partials<PACK, CAP>), dim3((unsigned)c.rows), dim3(THREADS), 0, cuda->stream, c.logits,
             c.targets, partials, logprob, c.col0, c.count, c.col0 / COLS, n_chunks, c.softcap);
  tpo_cuda_launched(cuda, "lm_head_logprob");
}

static void leave_partials(struct tpo_cuda *cuda, const head_chunk &c, head_partial *partials, float *logprob,
                           int n_chunks)
{
  bool packs = c.count % 4 == 0, cap = c.softcap > 0;
  if (packs && cap)
    launch_partials<4, true>(cuda, c, partials, logprob, n_chunks);
  else if (packs)
    launch_partials<4, false>(cuda, c, partials, logprob, n_chunks);
  else if (cap)
    launch_partials<1, true>(cuda, c, partials, logprob, n_chunks);
  else
    launch_partials<1, false>(cuda, c, partials, logprob, n_chunks);
}

template <class Act>
void tpo_cuda_lm_head_logprob(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                              const int32_t *targets, float *logprob, float *lse, int n, float softcap)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n <= 0) return;
  int vocab = w->rows, n_chunks = tpo_ceil_div(vocab, COLS), most = min_int(n, ROWS);
  size_t logits_size = logits_bytes(most, vocab);
  char *scratch = static_cast<char *>(tpo_cuda_scratch(
      cuda, TPO_CUDA_SLOT_LM_HEAD, logits_size + (size_t)most * (size_t)n_chunks * sizeof(head_partial)));
  if (!scratch) return;
  float *logits = reinterpret_cast<float *>(scratch);
  head_partial *partials = reinterpret_cast<head_partial *>(scratch + logits_size);
  for (int row0 = 0; row0 < n; row0 += ROWS) {
    int rows = min_int(ROWS, n - row0);
    const Act *h_rows = static_cast<const Act *>(h) + (size_t)row0 * (size_t)w->cols;
    for (int chunk = 0; chunk < n_chunks; chunk++) {
      int col0 = chunk * COLS, count = min_int(COLS, vocab - col0);
      tpo_cuda_logits<Act>(cuda, w, col0, count, h_rows, logits, rows);
      const head_chunk c = {logits, targets + row0, rows, col0, count, softcap};
      leave_partials(cuda, c, partials, logprob + row0, n_chunks);
    }
    TPO_LAUNCH(head_join, dim3((unsigned)tpo_ceil_div(rows, JOIN_THREADS)), dim3(JOIN_THREADS), 0,
               cuda->stream, partials, targets + row0, logprob + row0, lse + row0, rows, n_chunks);
    tpo_cuda_launched(cuda, "lm_head_logprob");
  }
}

/* How many rows of dz exist at once. */
template <class Act> static int gradient_rows(int vocab)
{
  size_t rows = DZ_BYTES / ((size_t)vocab * sizeof(Act)) / ROWS_STEP * ROWS_STEP;
  return rows < ROWS_STEP ? ROWS_STEP : rows < ROWS ? (int)rows : ROWS;
}

template <class Act> static size_t gradient_bytes(int vocab, int rows)
{
  return logits_bytes(rows, vocab) + (size_t)rows * (size_t)vocab * sizeof(Act);
}

template <class Act> size_t tpo_cuda_lm_head_scratch(int vocab, int n)
{
  int most = min_int(n, ROWS);
  size_t forward =
      logits_bytes(most, vocab) + (size_t)most * (size_t)tpo_ceil_div(vocab, COLS) * sizeof(head_partial);
  size_t backward = gradient_bytes<Act>(vocab, min_int(n, gradient_rows<Act>(vocab)));
  return forward > backward ? forward : backward;
}

template <class Act, int PACK, bool CAP>
static void launch_gradient(struct tpo_cuda *cuda, const head_chunk &c, const float *lse,
                            const float *dlogprob, Act *dz, int vocab)
{
  TPO_LAUNCH((head_gradient<Act, PACK, CAP>), dim3((unsigned)c.rows), dim3(THREADS), 0, cuda->stream,
             c.logits, c.targets, lse, dlogprob, dz, c.col0, c.count, vocab, c.softcap);
  tpo_cuda_launched(cuda, "lm_head_logprob_backward");
}

template <class Act>
static void leave_gradient(struct tpo_cuda *cuda, const head_chunk &c, const float *lse,
                           const float *dlogprob, Act *dz, int vocab)
{
  bool packs = vocab % 4 == 0 /* and then c.count % 4 == 0, too */, cap = c.softcap > 0;
  if (packs && cap)
    launch_gradient<Act, 4, true>(cuda, c, lse, dlogprob, dz, vocab);
  else if (packs)
    launch_gradient<Act, 4, false>(cuda, c, lse, dlogprob, dz, vocab);
  else if (cap)
    launch_gradient<Act, 1, true>(cuda, c, lse, dlogprob, dz, vocab);
  else
    launch_gradient<Act, 1, false>(cuda, c, lse, dlogprob, dz, vocab);
}

template <class Act>
void tpo_cuda_lm_head_logprob_backward(struct tpo_backend *be, const struct tpo_linear *w, const void *h,
                                       const int32_t *targets, const float *lse, const float *dlogprob,
                                       void *dh, float *dw, int n, float softcap)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n <= 0) return;
  int vocab = w->rows, step = gradient_rows<Act>(vocab), most = min_int(n, step);
  size_t logits_size = logits_bytes(most, vocab);
  char *scratch =
      static_cast<char *>(tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_LM_HEAD, gradient_bytes<Act>(vocab, most)));
  if (!scratch) return;
  float *logits = reinterpret_cast<float *>(scratch);
  Act *dz = reinterpret_cast<Act *>(scratch + logits_size);
  for (int row0 = 0; row0 < n; row0 += step) {
    int rows = min_int(step, n - row0);
    const Act *h_rows = static_cast<const Act *>(h) + (size_t)row0 * (size_t)w->cols;
    Act *dh_rows = static_cast<Act *>(dh) + (size_t)row0 * (size_t)w->cols;
    for (int col0 = 0; col0 < vocab; col0 += COLS) {
      int count = min_int(COLS, vocab - col0);
      tpo_cuda_logits<Act>(cuda, w, col0, count, h_rows, logits, rows);
      const head_chunk c = {logits, targets + row0, rows, col0, count, softcap};
      leave_gradient<Act>(cuda, c, lse + row0, dlogprob + row0, dz, vocab);
    }
    tpo_cuda_logits_backward<Act>(cuda, w, 0, vocab, dz, h_rows, dh_rows, false, dw, rows);
  }
}

template <class Act>
void tpo_cuda_lm_head_logits(struct tpo_backend *be, const struct tpo_linear *w, const void *h, float *logits,
                             int n, float softcap)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n <= 0) return;
  tpo_cuda_logits<Act>(cuda, w, 0, w->rows, h, logits, n);
  if (softcap > 0) tpo_cuda_cap_logits(cuda, logits, softcap, (size_t)n * (size_t)w->rows);
}

#define INSTANTIATE(Act)                                                                                     \
  template size_t tpo_cuda_lm_head_scratch<Act>(int vocab, int n);                                           \
  template void tpo_cuda_lm_head_logprob<Act>(struct tpo_backend *, const struct tpo_linear *, const void *, \
                                              const int32_t *, float *, float *, int, float);                \
  template void tpo_cuda_lm_head_logprob_backward<Act>(struct tpo_backend *, const struct tpo_linear *,      \
                                                       const void *, const int32_t *, const float *,         \
                                                       const float *, void *, float *, int, float);          \
  template void tpo_cuda_lm_head_logits<Act>(struct tpo_backend *, const struct tpo_linear *, const void *,  \
                                             float *, int, float);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
