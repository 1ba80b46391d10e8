/* The kernel bench's memory, its numbers, and the comparison of what the two sides made. */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All random numbers are pieces of one table: to fill gigabytes must not take minutes. */
enum { TABLE = 1 << 20 };
static float table[TABLE];

static void fill_table(void)
{
  if (table[0] != 0) return;
  uint64_t state = 88172645463325252u;
  for (int i = 0; i < TABLE; i++) {
    double sum = 0;
    for (int k = 0; k < 4; k++) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      sum += (double)(state >> 11) * 0x1p-53;
    }
    table[i] = (float)((sum - 2) * sqrt(3)); /* near normal, variance 1 */
  }
}

static void fail(const char *what, const char *message)
{
  fprintf(stderr, "bench_gpu_kernels: %s: %s\n", what, message);
  exit(1);
}

static void *allocate(struct job *job, size_t bytes)
{
  struct tpo_error err = {0};
  void *p = NULL;
  if (job->n_memory == JOB_BLOCKS) fail(job->what, "too many buffers");
  if (job->side->ops->alloc(job->side->be, bytes ? bytes : 1, &p, &err) < 0) fail(job->what, err.message);
  return job->memory[job->n_memory++] = p;
}

void *job_host(struct job *job, size_t bytes)
{
  void *p = calloc(1, bytes ? bytes : 1);
  if (!p || job->n_host == JOB_BLOCKS) fail(job->what, "no host memory");
  return job->host_memory[job->n_host++] = p;
}

static void fill(struct job *job, void *p, size_t n, uint32_t stream, float scale, bool bf16, bool rounded)
{
  const struct tpo_ops *ops = job->side->ops;
  size_t size = bf16 ? 2 : 4, first = n < TABLE ? n : TABLE;
  fill_table();
  char *piece = calloc(first, size);
  if (!piece) fail(job->what, "no host memory");
  for (size_t i = 0; i < first; i++) {
    float x = scale * table[(i + (size_t)stream * 40503) % TABLE];
    uint16_t half = tpo_f32_to_bf16(x);
    if (rounded) x = tpo_bf16_to_f32(half);
    if (bf16)
      memcpy(piece + 2 * i, &half, 2);
    else
      memcpy(piece + 4 * i, &x, 4);
  }
  ops->upload(job->side->be, p, piece, first * size);
  for (size_t done = first; done < n;) { /* the rest is copies of it */
    size_t more = done < n - done ? done : n - done;
    ops->copy(job->side->be, (char *)p + done * size, p, more * size);
    done += more;
  }
  free(piece);
}

void *job_space(struct job *job, size_t n)
{
  return allocate(job, n * job->side->ops->activation_size);
}

float *job_float_space(struct job *job, size_t n)
{
  return allocate(job, n * sizeof(float));
}

void *job_numbers(struct job *job, size_t n, uint32_t stream, float scale)
{
  void *p = job_space(job, n);
  fill(job, p, n, stream, scale, job->side->fast, true);
  return p;
}

float *job_floats(struct job *job, size_t n, uint32_t stream, float scale)
{
  float *p = job_float_space(job, n);
  fill(job, p, n, stream, scale, false, false);
  return p;
}

int32_t *job_integers(struct job *job, const int32_t *host, size_t n)
{
  int32_t *p = allocate(job, n * sizeof *p);
  job->side->ops->upload(job->side->be, p, host, n * sizeof *p);
  return p;
}

void job_weight(struct job *job, int rows, int cols, int copies)
{
  const struct tpo_ops *ops = job->side->ops;
  struct tpo_error err = {0};
  enum { PIECE = 4096 };
  for (int c = 0; c < copies && job->n_weights < JOB_WEIGHTS; c++) {
    struct tpo_linear **w = &job->w[job->n_weights++];
    enum tpo_dtype dtype = job->side->fast ? TPO_BF16 : TPO_F32;
    if (ops->linear_create(job->side->be, rows, cols, dtype, w, &err) < 0) fail(job->what, err.message);
    int piece = rows < PIECE ? rows : PIECE;
    struct job scratch = {.side = job->side};
    float *from = job_float_space(&scratch, (size_t)piece * cols);
    fill(&scratch, from, (size_t)piece * cols, 7 + (uint32_t)c, 0.02f, false, true);
    float *host = job_host(&scratch, (size_t)piece * cols * sizeof *host);
    ops->download(job->side->be, host, from, (size_t)piece * cols * sizeof *host);
    for (int row = 0; row < rows; row += piece)
      ops->linear_set(job->side->be, *w, row, rows - row < piece ? rows - row : piece, host, TPO_F32);
    job_free(&scratch);
  }
}

void job_out(struct job *job, const char *name, const void *p, size_t n, enum kind kind)
{
  if (job->n_outs == JOB_OUTS) fail(job->what, "too many outputs");
  job->outs[job->n_outs++] = (struct out){name, p, n, kind};
}

void job_wait(struct job *job)
{
  struct tpo_error err = {0};
  if (job->side->ops->check(job->side->be, &err) < 0) fail(job->what, err.message);
}

void job_free(struct job *job)
{
  job_wait(job);
  for (int i = 0; i < job->n_weights; i++) job->side->ops->linear_free(job->side->be, job->w[i]);
  for (int i = 0; i < job->n_memory; i++) job->side->ops->free(job->side->be, job->memory[i]);
  for (int i = 0; i < job->n_host; i++) free(job->host_memory[i]);
  job->n_weights = job->n_memory = job->n_host = 0;
}

/* An output as numbers in host memory; the caller frees them. */
static double *download(struct job *job, const struct out *out)
{
  bool half = out->kind == ACTIVATIONS && job->side->fast;
  size_t size = half ? 2 : 4;
  char *raw = malloc(out->n * size);
  double *values = malloc(out->n * sizeof *values);
  if (!raw || !values) fail(job->what, "no host memory");
  job->side->ops->download(job->side->be, raw, out->p, out->n * size);
  job_wait(job);
  for (size_t i = 0; i < out->n; i++) {
    float x;
    int32_t k;
    memcpy(&x, raw + size * i, half ? 0 : 4);
    memcpy(&k, raw + size * i, half ? 0 : 4);
    uint16_t bits = 0;
    if (half) memcpy(&bits, raw + size * i, 2);
    values[i] = half ? tpo_bf16_to_f32(bits) : out->kind == INTEGERS ? k : x;
  }
  free(raw);
  return values;
}

double job_difference(struct job *got, struct job *expected, const char **worst)
{
  double largest = 0;
  *worst = got->n_outs ? got->outs[0].name : "";
  for (int o = 0; o < got->n_outs; o++) {
    double *a = download(got, &got->outs[o]), *b = download(expected, &expected->outs[o]), gap = 0, size = 0;
    for (size_t i = 0; i < got->outs[o].n; i++) {
      gap += (a[i] - b[i]) * (a[i] - b[i]);
      size += b[i] * b[i];
    }
    double ratio = size > 0 ? sqrt(gap / size) : INFINITY; /* all zeros: the job checks nothing */
    if (!(ratio <= largest)) {
      largest = isnan(ratio) ? INFINITY : ratio;
      *worst = got->outs[o].name;
    }
    free(a);
    free(b);
  }
  return largest;
}
