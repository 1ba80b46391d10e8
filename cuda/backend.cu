/* The CUDA backend's life: finding its GPU, the tables of operations, errors. */
#include "ops.cuh"

extern "C" {
#include "backend/cuda_nccl.h"
}

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tpo_cuda_fail(struct tpo_cuda *cuda, int code, const char *format, ...)
{
  if (cuda->error.code) return;
  va_list args;
  va_start(args, format);
  cuda->error.code = code;
  vsnprintf(cuda->error.message, sizeof cuda->error.message, format, args);
  va_end(args);
}

bool tpo_cuda_ok(struct tpo_cuda *cuda, cudaError_t result, const char *what)
{
  if (result == cudaSuccess) return true;
  tpo_cuda_fail(cuda, result == cudaErrorMemoryAllocation ? TPO_E_MEMORY : TPO_E_IO,
                "GPU %d: %s failed: %s (%s)", cuda->device, what, cudaGetErrorString(result),
                cudaGetErrorName(result));
  return false;
}

void tpo_cuda_launched(struct tpo_cuda *cuda, const char *what)
{
  tpo_cuda_ok(cuda, cudaGetLastError(), what);
}

static void begin_pass(struct tpo_backend *be, enum tpo_pass_kind pass)
{
  tpo_cuda_of(be)->pass = pass;
  tpo_cuda_paged_begin(tpo_cuda_of(be));
}

template <class Act> static void fill_activation_ops(struct tpo_ops *ops)
{
  ops->activation_size = sizeof(Act);
  ops->training_reserve = tpo_cuda_training_reserve<Act>;
  ops->linear_forward = tpo_cuda_linear_forward<Act>;
  ops->linear_forward_add = tpo_cuda_linear_forward_add<Act>;
  ops->linear_forward_bias = tpo_cuda_linear_forward_bias<Act>;
  ops->bias_backward = tpo_cuda_bias_backward<Act>;
  ops->linear_backward_input = tpo_cuda_linear_backward_input<Act>;
  ops->linear_backward_weight = tpo_cuda_linear_backward_weight<Act>;
  ops->embed = tpo_cuda_embed<Act>;
  ops->embed_backward = tpo_cuda_embed_backward<Act>;
  ops->rms_norm = tpo_cuda_rms_norm<Act>;
  ops->rms_norm_backward = tpo_cuda_rms_norm_backward<Act>;
  ops->qk_norm = tpo_cuda_qk_norm<Act>;
  ops->qk_norm_backward = tpo_cuda_qk_norm_backward<Act>;
  ops->add_scaled = tpo_cuda_add_scaled<Act>;
  ops->rope = tpo_cuda_rope<Act>;
  ops->kv_write = tpo_cuda_kv_write<Act>;
  ops->rope_kv_write = tpo_cuda_rope_kv_write<Act>;
  ops->attention_paged = tpo_cuda_attention_paged<Act>;
  ops->attention = tpo_cuda_attention<Act>;
  ops->attention_backward = tpo_cuda_attention_backward<Act>;
  ops->swiglu = tpo_cuda_swiglu<Act>;
  ops->swiglu_backward = tpo_cuda_swiglu_backward<Act>;
  ops->geglu = tpo_cuda_geglu<Act>;
  ops->geglu_backward = tpo_cuda_geglu_backward<Act>;
  ops->lm_head_logprob = tpo_cuda_lm_head_logprob<Act>;
  ops->lm_head_logprob_backward = tpo_cuda_lm_head_logprob_backward<Act>;
  ops->lm_head_logits = tpo_cuda_lm_head_logits<Act>;
  ops->gather_rows = tpo_cuda_gather_rows<Act>;
  ops->scatter_rows = tpo_cuda_scatter_rows<Act>;
}

static void fill_ops(struct tpo_ops *ops)
{
  ops->name = "cuda";
  ops->asynchronous = 1;
  ops->alloc = tpo_cuda_alloc;
  ops->free = tpo_cuda_free;
  ops->upload = tpo_cuda_upload;
  ops->download = tpo_cuda_download;
  ops->copy = tpo_cuda_copy;
  ops->zero = tpo_cuda_zero;
  ops->check = tpo_cuda_check;
  ops->memory_available = tpo_cuda_memory_available;
  ops->training_scratch = tpo_cuda_training_bytes;
  ops->fetch_begin = tpo_cuda_fetch_begin;
  ops->fetch_end = tpo_cuda_fetch_end;
  ops->replay = tpo_cuda_replay;
  ops->record_end = tpo_cuda_record_end;
  ops->forget = tpo_cuda_forget;
  ops->begin_pass = begin_pass;
  ops->linear_create = tpo_cuda_linear_create;
  ops->linear_free = tpo_cuda_linear_free;
  ops->linear_set = tpo_cuda_linear_set;
  ops->linear_get = tpo_cuda_linear_get;
  ops->select_ids = tpo_cuda_select_ids;
  ops->dequantise = tpo_cuda_dequantise;
  ops->shift = tpo_cuda_shift;
  ops->paged_prepare = tpo_cuda_paged_prepare;
  ops->kv_copy_block = tpo_cuda_kv_copy_block;
  ops->sample = tpo_cuda_sample;
  ops->token_logprob = tpo_cuda_token_logprob;
  ops->repetition_penalty = tpo_cuda_repetition_penalty;
  ops->preference_loss = tpo_cuda_preference_loss;
  ops->adamw = tpo_cuda_adamw;
  ops->sum_squares = tpo_cuda_sum_squares;
}

struct tables {
  struct tpo_ops fp32, bf16;
  tables()
  {
    memset(this, 0, sizeof *this);
    fill_ops(&fp32);
    fill_ops(&bf16);
    fill_activation_ops<float>(&fp32);
    fill_activation_ops<__nv_bfloat16>(&bf16);
  }
};

static const struct tables *ops_tables()
{
  static const struct tables made;
  return &made;
}

static void version_text(char *out, size_t size, int version)
{
  snprintf(out, size, "%d.%d", version / 1000, version % 1000 / 10);
}

/* Why no GPU can be used, in words; NULL when one can. */
static const char *why_no_gpu(int *count)
{
  static char text[192];
  *count = 0;
  cudaError_t result = cudaGetDeviceCount(count);
  if (result == cudaSuccess && *count > 0) return NULL;
  int driver = 0, runtime = 0;
  cudaGetLastError();
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  char has[16], needs[16];
  version_text(has, sizeof has, driver);
  version_text(needs, sizeof needs, runtime);
  *count = 0;
  if (driver == 0)
    snprintf(text, sizeof text, "no NVIDIA driver is loaded");
  else if (result == cudaErrorInsufficientDriver || driver / 1000 < runtime / 1000)
    snprintf(text, sizeof text, "the driver supports CUDA %s, this program needs %s: update the driver", has,
             needs);
  else
    snprintf(text, sizeof text, "no GPU is visible (CUDA_VISIBLE_DEVICES?): %s", cudaGetErrorString(result));
  return text;
}

extern "C" int tpo_cuda_device_count(void)
{
  int count;
  return why_no_gpu(&count) ? 0 : count;
}

extern "C" const char *tpo_cuda_list(void)
{
  static char text[224];
  int count;
  const char *why = why_no_gpu(&count);
  cudaDeviceProp properties;
  if (!why && cudaGetDeviceProperties(&properties, 0) == cudaSuccess)
    snprintf(text, sizeof text, "cuda (%d x %.100s)", count, properties.name);
  else
    snprintf(text, sizeof text, "cuda (%s)", why ? why : "the GPU does not answer");
  return text;
}

extern "C" void tpo_cuda_limit_shared(struct tpo_backend *be, size_t bytes)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, cuda->device) != cudaSuccess) return;
  cuda->shared_limit =
      bytes > 0 && bytes < properties.sharedMemPerBlockOptin ? bytes : properties.sharedMemPerBlockOptin;
}

static int choose_device(struct tpo_cuda *cuda, int local_rank, int local_size, struct tpo_error *err)
{
  int count;
  const char *why = why_no_gpu(&count);
  if (why) return tpo_fail(err, TPO_E_UNSUPPORTED, "backend cuda: %s; use cpu", why);
  const char *share = getenv("TPO_CUDA_SHARE_GPU");
  if (local_size > count && !(share && strcmp(share, "1") == 0))
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "backend cuda: %d ranks on this host, but %d GPU%s; start one rank a GPU, "
                    "or set TPO_CUDA_SHARE_GPU=1 to let ranks share one (slow, for tests)",
                    local_size, count, count == 1 ? "" : "s");
  cuda->device = local_rank % count;
  cudaError_t result = cudaSetDevice(cuda->device);
  if (result == cudaSuccess) return 0;
  return tpo_fail(err, TPO_E_UNSUPPORTED, "backend cuda: GPU %d: %s", cuda->device,
                  cudaGetErrorString(result));
}

__global__ void probe(int *x)
{
  if (threadIdx.x == 0) *x = 1;
}

/* Whether this program has code for the GPU: the first launch tells. */
static int check_code(struct tpo_cuda *cuda, const cudaDeviceProp *properties, struct tpo_error *err)
{
  void *x;
  int code = tpo_cuda_alloc(&cuda->base, sizeof(int), &x, err);
  if (code < 0) return code;
  TPO_LAUNCH(probe, dim3(1), dim3(32), 0, cuda->stream, static_cast<int *>(x));
  cudaError_t result = cudaGetLastError();
  if (result == cudaSuccess) result = cudaStreamSynchronize(cuda->stream);
  tpo_cuda_free(&cuda->base, x);
  if (result == cudaSuccess) return 0;
  return tpo_fail(
      err, TPO_E_UNSUPPORTED,
      "backend cuda: GPU %d (%.100s, compute capability %d.%d) cannot run this program's kernels: %s; "
      "configure with -DCMAKE_CUDA_ARCHITECTURES=%d%d",
      cuda->device, properties->name, properties->major, properties->minor, cudaGetErrorString(result),
      properties->major, properties->minor);
}

static int open_parts(struct tpo_cuda *cuda, struct tpo_error *err)
{
  cudaDeviceProp properties;
  cudaError_t result = cudaGetDeviceProperties(&properties, cuda->device);
  if (result == cudaSuccess) result = cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking);
  if (result != cudaSuccess)
    return tpo_fail(err, TPO_E_UNSUPPORTED, "backend cuda: GPU %d: %s", cuda->device,
                    cudaGetErrorString(result));
  cuda->multiprocessors = properties.multiProcessorCount;
  cuda->shared_limit = properties.sharedMemPerBlockOptin;
  snprintf(cuda->base.kernels, sizeof cuda->base.kernels, "cuda sm_%d%d", properties.major, properties.minor);
  snprintf(cuda->base.description, sizeof cuda->base.description, "cuda: GPU %d, %.60s, %.0f GiB",
           cuda->device, properties.name, (double)properties.totalGlobalMem / (1 << 30));
  int code = check_code(cuda, &properties, err);
  if (code == 0) code = tpo_cuda_staging_open(cuda, err);
  if (code == 0) code = tpo_cuda_record_open(cuda, err);
  if (code == 0) code = tpo_cuda_gemm_open(cuda, err);
  if (code == 0) code = tpo_cuda_paged_open(cuda, err);
  return code;
}

static void close_cuda(struct tpo_backend *be)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  if (cuda->stuck) return; /* freeing would wait; all of it ends with the process */
  if (cuda->stream) cudaStreamSynchronize(cuda->stream);
  tpo_cuda_record_close(cuda);
  tpo_cuda_paged_close(cuda);
  tpo_cuda_gemm_close(cuda);
  tpo_cuda_staging_close(cuda);
  for (int i = 0; i < TPO_CUDA_SLOTS; i++) tpo_cuda_free(be, cuda->slots[i].data);
  if (cuda->stream) cudaStreamDestroy(cuda->stream);
  free(cuda);
}

extern "C" int tpo_cuda_open(struct tpo_backend **out, int local_rank, int local_size, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_cuda *cuda = static_cast<struct tpo_cuda *>(calloc(1, sizeof *cuda));
  if (!cuda) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  cuda->base.ops = &ops_tables()->fp32;
  cuda->base.ops_bf16 = &ops_tables()->bf16;
  cuda->base.close = close_cuda;
  cuda->base.has_bf16 = true;
  cuda->base.collectives = &tpo_cuda_collectives;
  int code = choose_device(cuda, local_rank, local_size, err);
  if (code == 0) code = open_parts(cuda, err);
  if (code < 0) {
    close_cuda(&cuda->base);
    return code;
  }
  *out = &cuda->base;
  return 0;
}
