/* Rotary position embedding (Su et al. 2021): the table of cosines and sines, with the frequency scaling of
 * Llama 3.1 and 3.2 where the architecture asks for it. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

#define TWO_PI 6.283185307179586476925287

/* Llama 3 keeps short wavelengths, divides long ones' frequency by the factor, and goes smoothly between. */
static double scale_llama3(const struct tpo_arch *arch, double frequency)
{
  double wavelength = TWO_PI / frequency, original = arch->rope.original_context;
  if (wavelength < original / arch->rope.high_freq) return frequency;
  if (wavelength > original / arch->rope.low_freq) return frequency / arch->rope.factor;
  double smooth =
      (original / wavelength - arch->rope.low_freq) / (arch->rope.high_freq - arch->rope.low_freq);
  return (1 - smooth) * frequency / arch->rope.factor + smooth * frequency;
}

void tpo_rope_frequencies(const struct tpo_arch *arch, float *out)
{
  for (int i = 0; i < arch->head_dim / 2; i++) {
    /* In fp32 as the models were trained: at large positions the
     * rounding of a frequency shows in the angle. */
    float frequency = 1.0f / powf((float)arch->rope.theta, (float)(2 * i) / (float)arch->head_dim);
    if (arch->rope.kind == TPO_ROPE_LINEAR) frequency = (float)(frequency / arch->rope.factor);
    if (arch->rope.kind == TPO_ROPE_LLAMA3) frequency = (float)scale_llama3(arch, frequency);
    out[i] = frequency;
  }
}

static void fill(const struct tpo_arch *arch, const float *frequencies, int positions, float *cos_sin)
{
  int half = arch->head_dim / 2;
  for (int p = 0; p < positions; p++) {
    float *row = cos_sin + (size_t)p * arch->head_dim; // half cosines, half sines
    for (int i = 0; i < half; i++) {
      float angle = (float)p * frequencies[i];
      row[i] = (float)cos(angle);
      row[half + i] = (float)sin(angle);
    }
  }
}

int tpo_rope_ensure(struct tpo_model *model, int n, struct tpo_error *err)
{
  const struct tpo_arch *arch = &model->arch;
  if (n <= model->positions) return 0;
  int positions = model->positions > 0 ? model->positions : 1024;
  while (positions < n) positions *= 2;
  if (positions > arch->context) positions = arch->context;
  size_t elements = (size_t)positions * (size_t)arch->head_dim;
  float *host = tpo_calloc(elements + (size_t)arch->head_dim, sizeof(float), err);
  if (!host) return TPO_E_MEMORY;
  void *table;
  int code = model->ops->alloc(model->be, elements * sizeof(float), &table, err);
  if (code == 0) {
    tpo_rope_frequencies(arch, host + elements);
    fill(arch, host + elements, positions, host);
    model->ops->upload(model->be, table, host, elements * sizeof(float));
    model->ops->free(model->be, model->cos_sin);
    model->cos_sin = table;
    model->positions = positions;
  }
  free(host);
  return code;
}
