/* Opens the backend that is asked for, or the one that this machine is best served by. */
#include <stdio.h>

#include "backend/backend.h"
#include "backend/cpu/cpu.h"
#ifdef TPO_HAVE_CUDA
#include "backend/cuda.h"
#endif

#ifdef TPO_HAVE_CUDA
static int open_cuda(struct tpo_backend **out, const struct tpo_backend_options *options,
                     struct tpo_error *err)
{
  return tpo_cuda_open(out, options->local_rank, options->local_size, err);
}

/* The emulated GPU is for tests: nobody gets it who didn't ask. */
static bool prefer_cuda(void)
{
#ifdef TPO_CUDA_EMULATED
  return false;
#else
  return tpo_cuda_device_count() > 0;
#endif
}
#else
static int open_cuda(struct tpo_backend **out, const struct tpo_backend_options *options,
                     struct tpo_error *err)
{
  (void)out, (void)options;
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "backend cuda is not built into this program (configure with -DTPO_CUDA=on); use cpu");
}

static bool prefer_cuda(void)
{
  return false;
}
#endif

static int open_cpu(struct tpo_backend **out, const struct tpo_backend_options *options,
                    struct tpo_error *err)
{
  int code = tpo_cpu_open(out, options, err);
  if (code == 0) (*out)->sharers = options->local_size;
  return code;
}

int tpo_backend_open_with(struct tpo_backend **out, const struct tpo_backend_options *options,
                          struct tpo_error *err)
{
  *out = NULL;
  switch (options->kind) {
  case TPO_BACKEND_AUTO: return prefer_cuda() ? open_cuda(out, options, err) : open_cpu(out, options, err);
  case TPO_BACKEND_CPU: return open_cpu(out, options, err);
  case TPO_BACKEND_CUDA: return open_cuda(out, options, err);
  }
  return tpo_fail(err, TPO_E_UNSUPPORTED, "backend number %d is unknown; expected auto, cpu or cuda",
                  (int)options->kind);
}

int tpo_backend_open(struct tpo_backend **out, enum tpo_backend_kind kind, int threads, struct tpo_error *err)
{
  struct tpo_backend_options options = {.kind = kind, .threads = threads, .local_size = 1};
  return tpo_backend_open_with(out, &options, err);
}

void tpo_backend_close(struct tpo_backend *be)
{
  if (be) be->close(be);
}

const char *tpo_backend_describe(const struct tpo_backend *be)
{
  return be->description;
}

const char *tpo_backend_kernels(const struct tpo_backend *be)
{
  return be->kernels;
}

const char *tpo_backend_list(void)
{
  static char text[256];
  enum tpo_cpu_isa isa = tpo_cpu_detect();
  tpo_cpu_choose(TPO_ISA_AUTO, &isa, NULL);
#ifdef TPO_HAVE_CUDA
  snprintf(text, sizeof text, "cpu (%s), %s", tpo_cpu_isa_name(isa), tpo_cuda_list());
#else
  snprintf(text, sizeof text, "cpu (%s)", tpo_cpu_isa_name(isa));
#endif
  return text;
}
