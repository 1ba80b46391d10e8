#include <stdio.h>

#include "backend/backend.h"
#include "backend/cpu/cpu.h"

int tpo_backend_open(struct tpo_backend **out, enum tpo_backend_kind kind, int threads, struct tpo_error *err)
{
  *out = NULL;
  switch (kind) {
  case TPO_BACKEND_AUTO:
  case TPO_BACKEND_CPU: return tpo_cpu_open(out, threads, err);
  case TPO_BACKEND_CUDA:
    return tpo_fail(err, TPO_E_UNSUPPORTED, "backend cuda is not built into this program; use cpu");
  }
  return tpo_fail(err, TPO_E_UNSUPPORTED, "backend number %d is unknown; expected auto, cpu or cuda",
                  (int)kind);
}

void tpo_backend_close(struct tpo_backend *be)
{
  if (be) be->close(be);
}

const char *tpo_backend_describe(const struct tpo_backend *be)
{
  return be->description;
}

bool tpo_backend_has_bf16(const struct tpo_backend *be)
{
  return be->has_bf16;
}

const char *tpo_backend_list(void)
{
  static char text[64];
  enum tpo_cpu_isa isa = tpo_cpu_detect();
  tpo_cpu_choose(&isa, NULL);
  snprintf(text, sizeof text, "cpu (%s)", tpo_cpu_isa_name(isa));
  return text;
}
