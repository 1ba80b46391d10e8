/* Attention over the paged cache: out_i = sum of softmax(cap(q_i . k_j scale)) v_j over j <= pos_i, of a window
 * the last of them; cap(s) = softcap tanh(s / softcap), or s where there is none.
 *
 * What is computed together, and in which order a row's chunks come together, stands in paged_plan.cuh.
 * Within a chunk of 128 positions a row and head has t_j = cap(q . k_j scale) log2(e), the maximum m of the
 * t_j, p_j = 2^(t_j - m), the sum l of the p_j (32 positions at a time, then these four in order) and o =
 * sum of p_j v_j. Chunk c is folded into what came before it by m' = max(m, m_c), with l, o and l_c, o_c
 * scaled to m'.
 *
 * paged_tensor.cu and paged_plain.cu compute the items. fold_parts, here, has a warp a row and head whose
 * chunks are in several items: it reads their parts, (head_dim + 4) * 4 bytes each, and folds them. */
#include "paged_work.cuh"

#include <stdlib.h>

struct tpo_cuda_paged {
  struct {
    struct tpo_paged_plan *plan;
    bool prepared;               /* in this pass */
  } reach[2];                    /* of paged_prepare: rows that see everything before, and a window of it */
  struct tpo_paged_plan *caller; /* for callers that didn't prepare */
  int32_t *host;                 /* [host_ints] their rows */
  size_t host_ints;
};

namespace {

template <class Act> __global__ void __launch_bounds__(128) fold_parts(paged_arguments a)
{
  constexpr int width = 4; /* times 32 dimensions at a time */
  int lane = (int)threadIdx.x % 32, warps = (int)gridDim.x * 4;
  const tpo_paged_fold *folds = plan_list<tpo_paged_fold>(a, a.plan->folds);
  int n = a.plan->n_folds * a.heads;
  for (int w = (int)blockIdx.x * 4 + (int)threadIdx.x / 32; w < n; w += warps) {
    tpo_paged_fold fold = folds[w / a.heads];
    int head = w % a.heads;
    const float *first = part_at(a, fold.first_part, head);
    size_t step = (size_t)a.heads * ((a.head_dim + 3) / 4 * 4 + 4);
    Act *out = static_cast<Act *>(a.out) + ((size_t)fold.row * a.heads + head) * a.head_dim;
    for (int c = lane; c < a.head_dim; c += 32 * width) {
      float m = first[0], l = first[1], sum[width];
#pragma unroll
      for (int i = 0; i < width; i++) sum[i] = c + 32 * i < a.head_dim ? first[4 + c + 32 * i] : 0;
#pragma unroll 4
      for (int part = 1; part < fold.n_parts; part++) {
        const float *from = first + part * step;
        fold_factors f = fold_sums(m, l, from[0], from[1]);
#pragma unroll
        for (int i = 0; i < width; i++)
          sum[i] = fold_value(sum[i], c + 32 * i < a.head_dim ? from[4 + c + 32 * i] : 0, f);
      }
      float inverse = __frcp_rn(l);
#pragma unroll
      for (int i = 0; i < width; i++)
        if (c + 32 * i < a.head_dim) out[c + 32 * i] = from_float<Act>(sum[i] * inverse);
    }
  }
}

/* Rows may lie in page-locked memory of the host too. */
bool fetch(struct tpo_cuda *cuda, int32_t *to, const int32_t *from, size_t n)
{
  return tpo_cuda_ok(cuda, cudaMemcpyAsync(to, from, n * sizeof *to, cudaMemcpyDefault, cuda->stream),
                     "download") &&
         tpo_cuda_ok(cuda, cudaStreamSynchronize(cuda->stream), "download");
}

bool reserve_host(struct tpo_cuda *cuda, size_t ints)
{
  struct tpo_cuda_paged *paged = cuda->paged;
  if (ints <= paged->host_ints) return true;
  void *grown = realloc(paged->host, ints * sizeof(int32_t));
  if (!grown) {
    tpo_cuda_fail(cuda, TPO_E_MEMORY, "out of memory");
    return false;
  }
  paged->host = static_cast<int32_t *>(grown);
  paged->host_ints = ints;
  return true;
}

/* A plan for rows that were not prepared: what it needs is fetched from the device, the rows first, since
 * they tell how many sequences there are. */
struct tpo_paged_plan *plan_for_caller(struct tpo_cuda *cuda, const struct tpo_kv_layer *kv,
                                       struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  struct tpo_cuda_paged *paged = cuda->paged;
  size_t n = (size_t)rows->n, n_seqs = 0;
  if (tpo_cuda_recording(cuda)) {
    tpo_cuda_fail(cuda, TPO_E_STATE, "attention_paged is recorded without paged_prepare");
    return NULL;
  }
  if (!reserve_host(cuda, 2 * n) || !fetch(cuda, paged->host, rows->seq, n) ||
      !fetch(cuda, paged->host + n, rows->pos, n))
    return NULL;
  for (size_t i = 0; i < n; i++)
    if ((size_t)paged->host[i] >= n_seqs) n_seqs = (size_t)paged->host[i] + 1;
  size_t blocks = n_seqs * (size_t)rows->max_blocks;
  if (!reserve_host(cuda, 2 * n + blocks) || !fetch(cuda, paged->host + 2 * n, rows->blocks, blocks))
    return NULL;
  struct tpo_paged_host host = {paged->host, paged->host + n, paged->host + 2 * n, (int)n_seqs};
  bool made =
      tpo_paged_plan_make(cuda, paged->caller, &host, rows->n, rows->max_blocks, shape, kv->block_tokens);
  return made ? paged->caller : NULL;
}

/* Kernels may be loaded when they are launched first; the first pass that has parts to fold may be one that is
 * being recorded, when nothing can be loaded. */
cudaError_t load_fold_parts()
{
  cudaFuncAttributes ignored;
  cudaError_t result = cudaFuncGetAttributes(&ignored, fold_parts<float>);
  return result == cudaSuccess ? cudaFuncGetAttributes(&ignored, fold_parts<__nv_bfloat16>) : result;
}

} // namespace

int tpo_cuda_paged_open(struct tpo_cuda *cuda, struct tpo_error *err)
{
  struct tpo_cuda_paged *paged = static_cast<struct tpo_cuda_paged *>(calloc(1, sizeof *paged));
  cuda->paged = paged;
  if (paged) {
    for (auto &reach : paged->reach) reach.plan = tpo_paged_plan_new();
    paged->caller = tpo_paged_plan_new();
  }
  if (!paged || !paged->reach[0].plan || !paged->reach[1].plan || !paged->caller)
    return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  cudaError_t loaded = load_fold_parts();
  return loaded == cudaSuccess
             ? 0
             : tpo_fail(err, TPO_E_UNSUPPORTED, "GPU %d: a kernel of attention can't be loaded: %s",
                        cuda->device, cudaGetErrorString(loaded));
}

void tpo_cuda_paged_close(struct tpo_cuda *cuda)
{
  if (!cuda->paged) return;
  for (auto &reach : cuda->paged->reach) tpo_paged_plan_free(reach.plan);
  tpo_paged_plan_free(cuda->paged->caller);
  free(cuda->paged->host);
  free(cuda->paged);
  cuda->paged = NULL;
}

void tpo_cuda_paged_prepare(struct tpo_backend *be, struct tpo_paged_rows *rows,
                            const struct tpo_paged_host *host, struct tpo_attention_shape shape,
                            int block_tokens)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  const int reach = shape.window > 0;
  struct tpo_paged_plan *plan = cuda->paged->reach[reach].plan;
  cuda->paged->reach[reach].prepared = true;
  rows->plan = NULL;
  if (rows->n > 0 && tpo_paged_plan_make(cuda, plan, host, rows->n, rows->max_blocks, shape, block_tokens))
    rows->plan = plan;
}

void tpo_cuda_paged_begin(struct tpo_cuda *cuda)
{
  for (auto &reach : cuda->paged->reach) reach.prepared = false;
}

unsigned tpo_cuda_paged_folds(const struct tpo_cuda *cuda)
{
  unsigned folds = 0;
  for (int i = 0; i < 2; i++) {
    const auto &reach = cuda->paged->reach[i];
    if (reach.prepared && tpo_paged_plan_folds(reach.plan)) folds |= 1u << i;
  }
  return folds;
}

extern "C" const float *tpo_cuda_paged_parts(struct tpo_backend *be)
{
  return static_cast<const float *>(tpo_cuda_scratch(tpo_cuda_of(be), TPO_CUDA_SLOT_PAGED, 1));
}

static paged_arguments arguments_of(const struct tpo_paged_plan *plan, const struct tpo_kv_layer *kv,
                                    const void *qkv, void *out, float *parts,
                                    struct tpo_attention_shape shape, const struct tpo_paged_rows *rows,
                                    struct tpo_paged_tiling tiling)
{
  const float scale_log2 = TPO_ATTENTION_LOG2E * tpo_attention_scale(shape),
              softcap_log2 = TPO_ATTENTION_LOG2E * shape.softcap;
  return {tpo_paged_plan_device(plan),
          rows->blocks,
          kv->k,
          kv->v,
          qkv,
          out,
          parts,
          rows->max_blocks,
          kv->block_tokens,
          shape.heads,
          shape.kv_heads,
          shape.head_dim,
          tiling.heads,
          tiling.splits,
          scale_log2,
          tpo_attention_window(shape),
          tpo_attention_capping(shape),
          shape.softcap > 0 ? softcap_log2 : scale_log2,
          softcap_log2};
}

template <class Act>
void tpo_cuda_attention_paged(struct tpo_backend *be, const struct tpo_kv_layer *kv, const void *qkv,
                              void *out, struct tpo_attention_shape shape, const struct tpo_paged_rows *rows)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (rows->n == 0) return;
  const struct tpo_paged_plan *plan = static_cast<const struct tpo_paged_plan *>(rows->plan);
  if (!plan) plan = plan_for_caller(cuda, kv, shape, rows);
  float *parts = static_cast<float *>(tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_PAGED, 1)); /* as it was planned */
  if (!plan || !parts) return;
  const struct tpo_paged_tiling tiling = tpo_paged_tiling(cuda, shape);
  const paged_arguments a = arguments_of(plan, kv, qkv, out, parts, shape, rows, tiling);
  const bool local = tpo_attention_is_local(shape);
  /* Grids depend on nothing that changes between replays of a recording, which are of passes that all have
   * folds, or none. */
  long long chunks = ((long long)rows->max_blocks * kv->block_tokens + PAGED_CHUNK - 1) / PAGED_CHUNK;
  long long works = chunks * rows->n * shape.kv_heads * tiling.splits,
            folds = (long long)rows->n * shape.heads;
  if (sizeof(Act) != 2 || kv->dtype != TPO_BF16 || !tpo_paged_tensor(cuda, a, local, works))
    tpo_paged_plain<Act>(cuda, a, kv->dtype, local, works);
  tpo_cuda_launched(cuda, "attention_paged");
  if (!tpo_paged_plan_folds(plan)) return;
  long long blocks = (folds + 3) / 4, most = cuda->multiprocessors * 8;
  TPO_LAUNCH(fold_parts<Act>, dim3((unsigned)(blocks < most ? blocks : most)), dim3(128), 0, cuda->stream, a);
  tpo_cuda_launched(cuda, "attention_paged: parts");
}

template void tpo_cuda_attention_paged<float>(struct tpo_backend *, const struct tpo_kv_layer *, const void *,
                                              void *, struct tpo_attention_shape,
                                              const struct tpo_paged_rows *);
template void tpo_cuda_attention_paged<__nv_bfloat16>(struct tpo_backend *, const struct tpo_kv_layer *,
                                                      const void *, void *, struct tpo_attention_shape,
                                                      const struct tpo_paged_rows *);
