/* Rows moved about: embedding, its gradient, gathering and scattering. A block copies one row in pieces of 16
 * bytes where the row length allows; each byte is read and written once, so the memory's bandwidth is the
 * bound. */
#include "ops.cuh"

namespace {

enum { THREADS = 128 };

/* out [n, dim] = table[index[i]], converted. */
template <class Out, class In>
__global__ void __launch_bounds__(THREADS)
    take_rows(Out *__restrict__ out, const In *__restrict__ table, const int32_t *__restrict__ index, int dim)
{
  size_t row = blockIdx.x;
  const In *from = table + (size_t)index[row] * dim;
  Out *to = out + row * dim;
  constexpr int each = sizeof(Out) == sizeof(In) ? tpo_pack<In>::count : 1;
  if (each > 1 && dim % each == 0) {
    for (int c = threadIdx.x; c < dim / each; c += THREADS)
      reinterpret_cast<tpo_pack<In> *>(to)[c] = reinterpret_cast<const tpo_pack<In> *>(from)[c];
  } else {
    for (int c = threadIdx.x; c < dim; c += THREADS) to[c] = from_float<Out>(to_float(from[c]));
  }
}

template <class T>
__global__ void __launch_bounds__(THREADS)
    put_rows(T *__restrict__ table, const T *__restrict__ rows, const int32_t *__restrict__ index, int dim)
{
  size_t row = blockIdx.x;
  const T *from = rows + row * dim;
  T *to = table + (size_t)index[row] * dim;
  for (int c = threadIdx.x; c < dim; c += THREADS) to[c] = from[c];
}

/* A block for each row i; that of an id's first row adds up all of the id's rows in their order, the others
 * leave. Every block reads the ids once, n^2 / THREADS steps in all, which stays small beside the rows up to
 * some ten thousand of them. */
template <class Act>
__global__ void __launch_bounds__(THREADS)
    embed_gradient(float *__restrict__ dtable, const Act *__restrict__ dout, const int32_t *__restrict__ ids,
                   int n, int dim)
{
  TPO_SHARED(unsigned, matches, THREADS / 32);
  int i = blockIdx.x, id = ids[i];
  int earlier = 0;
  for (int j = threadIdx.x; j < i; j += THREADS) earlier |= ids[j] == id;
  if (__syncthreads_or(earlier)) return;
  for (int first = i; first < n; first += THREADS) {
    int j = first + threadIdx.x;
    unsigned vote = __ballot_sync(0xffffffffu, j < n && ids[j] == id);
    if (threadIdx.x % 32 == 0) matches[threadIdx.x / 32] = vote;
    __syncthreads();
    for (int w = 0; w < THREADS / 32; w++)
      for (unsigned left = matches[w]; left; left &= left - 1) {
        const Act *from = dout + (size_t)(first + 32 * w + __ffs(left) - 1) * dim;
        float *to = dtable + (size_t)id * dim;
        for (int c = threadIdx.x; c < dim; c += THREADS) to[c] += to_float(from[c]);
      }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(THREADS) select(int32_t *__restrict__ ids, const int32_t *__restrict__ from,
                                                  const int32_t *__restrict__ tokens, int n)
{
  int i = blockIdx.x * THREADS + threadIdx.x;
  if (i < n && from[i] >= 0) ids[i] = max(tokens[from[i]], 0);
}

template <class Out, class In>
void launch_take(struct tpo_cuda *cuda, void *out, const void *table, const int32_t *index, int n, int dim)
{
  if (n == 0) return;
  TPO_LAUNCH((take_rows<Out, In>), dim3((unsigned)n), dim3(THREADS), 0, cuda->stream, static_cast<Out *>(out),
             static_cast<const In *>(table), index, dim);
  tpo_cuda_launched(cuda, "take_rows");
}

} // namespace

template <class Act>
void tpo_cuda_embed(struct tpo_backend *be, const struct tpo_linear *table, const int32_t *ids, void *out,
                    int n)
{
  if (table->dtype == TPO_F32)
    launch_take<Act, float>(tpo_cuda_of(be), out, table->data, ids, n, table->cols);
  else
    launch_take<Act, __nv_bfloat16>(tpo_cuda_of(be), out, table->data, ids, n, table->cols);
}

template <class Act>
void tpo_cuda_embed_backward(struct tpo_backend *be, const int32_t *ids, const void *dout, float *dtable,
                             int n, int dim)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0) return;
  TPO_LAUNCH((embed_gradient<Act>), dim3((unsigned)n), dim3(THREADS), 0, cuda->stream, dtable,
             static_cast<const Act *>(dout), ids, n, dim);
  tpo_cuda_launched(cuda, "embed_backward");
}

template <class Act>
void tpo_cuda_gather_rows(struct tpo_backend *be, const void *x, const int32_t *index, void *out, int n,
                          int dim)
{
  launch_take<Act, Act>(tpo_cuda_of(be), out, x, index, n, dim);
}

template <class Act>
void tpo_cuda_scatter_rows(struct tpo_backend *be, const void *dout, const int32_t *index, void *dx, int n,
                           int n_total, int dim)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  tpo_cuda_zero(be, dx, (size_t)n_total * (size_t)dim * sizeof(Act));
  if (n == 0) return;
  TPO_LAUNCH((put_rows<Act>), dim3((unsigned)n), dim3(THREADS), 0, cuda->stream, static_cast<Act *>(dx),
             static_cast<const Act *>(dout), index, dim);
  tpo_cuda_launched(cuda, "scatter_rows");
}

void tpo_cuda_select_ids(struct tpo_backend *be, int32_t *ids, const int32_t *from, const int32_t *tokens,
                         int n)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (n == 0) return;
  TPO_LAUNCH(select, dim3((unsigned)tpo_ceil_div(n, THREADS)), dim3(THREADS), 0, cuda->stream, ids, from,
             tokens, n);
  tpo_cuda_launched(cuda, "select_ids");
}

#define INSTANTIATE(Act)                                                                                     \
  template void tpo_cuda_embed<Act>(struct tpo_backend *, const struct tpo_linear *, const int32_t *,        \
                                    void *, int);                                                            \
  template void tpo_cuda_embed_backward<Act>(struct tpo_backend *, const int32_t *, const void *, float *,   \
                                             int, int);                                                      \
  template void tpo_cuda_gather_rows<Act>(struct tpo_backend *, const void *, const int32_t *, void *, int,  \
                                          int);                                                              \
  template void tpo_cuda_scatter_rows<Act>(struct tpo_backend *, const void *, const int32_t *, void *, int, \
                                           int, int);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
