/* Rotary position embedding (Su et al. 2021): the tables of cosines and sines, with the frequencies scaled as
 * the architecture asks for. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

#define TWO_PI 6.283185307179586476925287

int tpo_rope_rotated(const struct tpo_arch *arch)
{
  return arch->rotated > 0 ? arch->rotated : arch->head_dim;
}

double tpo_rope_yarn_scale(double factor, double weight)
{
  return factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1;
}

double tpo_rope_longrope_scale(double factor, int original_context)
{
  return factor <= 1 ? 1 : sqrt(1 + log(factor) / log(original_context));
}

/* Llama 3 keeps short wavelengths, divides long ones' frequency by the factor, and goes smoothly between. */
static double scale_llama3(const struct tpo_rope *rope, double frequency)
{
  double wavelength = TWO_PI / frequency, original = rope->original_context;
  if (wavelength < original / rope->high_freq) return frequency;
  if (wavelength > original / rope->low_freq) return frequency / rope->factor;
  double smooth = (original / wavelength - rope->low_freq) / (rope->high_freq - rope->low_freq);
  return (1 - smooth) * frequency / rope->factor + smooth * frequency;
}

/* The pair of features that turns so many times over the original context. */
static double pair_of_rotations(const struct tpo_rope *rope, int rotated, double rotations)
{
  return rotated * log(rope->original_context / (rotations * TWO_PI)) / (2 * log(rope->theta));
}

/* YaRN (Peng et al. 2023, section 3.2): pairs that turn often over the original context keep their frequency,
 * those that hardly turn have it divided by the factor, and a ramp over the pairs goes between. */
static float scale_yarn(const struct tpo_rope *rope, int rotated, int pair, float power)
{
  double low = pair_of_rotations(rope, rotated, rope->beta_fast);
  double high = pair_of_rotations(rope, rotated, rope->beta_slow);
  if (!rope->untruncated) {
    low = floor(low);
    high = ceil(high);
  }
  low = fmax(low, 0);
  high = fmin(high, rotated - 1);
  if (high == low) high += 0.001; /* a step */
  float ramp = fminf(fmaxf(((float)pair - (float)low) / (float)(high - low), 0), 1), kept = 1 - ramp;
  return 1 / ((float)rope->factor * power) * (1 - kept) + 1 / power * kept;
}

void tpo_rope_frequencies(const struct tpo_arch *arch, const struct tpo_rope *rope, bool longer, float *out)
{
  const double *factors = longer ? rope->long_factors : rope->short_factors;
  int rotated = tpo_rope_rotated(arch);
  for (int i = 0; i < rotated / 2; i++) {
    /* In fp32 as the models were trained: at large positions the
     * rounding of a frequency shows in the angle. */
    float power = powf((float)rope->theta, (float)(2 * i) / (float)rotated);
    float frequency = 1.0f / power;
    if (rope->kind == TPO_ROPE_LINEAR) frequency = (float)(frequency / rope->factor);
    if (rope->kind == TPO_ROPE_LLAMA3) frequency = (float)scale_llama3(rope, frequency);
    if (rope->kind == TPO_ROPE_YARN) frequency = scale_yarn(rope, rotated, i, power);
    if (rope->kind == TPO_ROPE_LONGROPE) frequency = 1.0f / ((float)factors[i] * power);
    out[i] = frequency;
  }
}

/* rows [positions, rotated], by frequencies [rotated / 2] */
static void fill(const float *frequencies, int rotated, double scale, int positions, float *rows)
{
  int half = rotated / 2;
  for (int p = 0; p < positions; p++) {
    float *row = rows + (size_t)p * (size_t)rotated;
    for (int i = 0; i < half; i++) {
      float angle = (float)p * frequencies[i];
      row[i] = (float)(cos(angle) * scale);
      row[half + i] = (float)(sin(angle) * scale);
    }
  }
}

bool tpo_rope_varies(const struct tpo_arch *arch)
{
  return arch->rope.kind == TPO_ROPE_LONGROPE && arch->rope.original_context < arch->context;
}

bool tpo_rope_is_long(const struct tpo_arch *arch, int64_t longest)
{
  return tpo_rope_varies(arch) && longest > arch->rope.original_context;
}

/* Both kinds of rows, where there are two. host [long_at + positions, rotated] and room for frequencies */
static void fill_table(const struct tpo_arch *arch, const struct tpo_rope *rope,
                       const struct tpo_rope_table *table, float *host)
{
  int rotated = tpo_rope_rotated(arch);
  size_t before = (size_t)table->long_at * (size_t)rotated;
  float *frequencies = host + before + (size_t)table->positions * (size_t)rotated;
  double scale = rope->attention_factor > 0 ? rope->attention_factor : 1;
  tpo_rope_frequencies(arch, rope, false, frequencies);
  fill(frequencies, rotated, scale, table->long_at ? table->long_at : table->positions, host);
  if (table->long_at == 0) return;
  tpo_rope_frequencies(arch, rope, true, frequencies);
  fill(frequencies, rotated, scale, table->positions, host + before);
}

/* The rows of short sequences are all there from the start, so that those of long ones stay where they are. */
static int make_table(struct tpo_model *model, const struct tpo_rope *rope, int positions,
                      struct tpo_rope_table *table, struct tpo_error *err)
{
  struct tpo_rope_table made = {.positions = positions,
                                .long_at = tpo_rope_varies(&model->arch) ? rope->original_context : 0};
  size_t rotated = (size_t)tpo_rope_rotated(&model->arch);
  size_t elements = ((size_t)made.long_at + (size_t)positions) * rotated;
  float *host = tpo_calloc(elements + rotated, sizeof(float), err);
  if (!host) return TPO_E_MEMORY;
  void *rows;
  int code = model->ops->alloc(model->be, elements * sizeof(float), &rows, err);
  if (code == 0) {
    fill_table(&model->arch, rope, &made, host);
    model->ops->upload(model->be, rows, host, elements * sizeof(float));
    model->ops->free(model->be, table->cos_sin);
    made.cos_sin = rows;
    *table = made;
    model->ropes_made++;
  }
  free(host);
  return code;
}

int tpo_rope_ensure(struct tpo_model *model, int n, struct tpo_error *err)
{
  const struct tpo_arch *arch = &model->arch;
  const struct tpo_rope *ropes[TPO_REACHES] = {&arch->rope, arch->has_local_rope ? &arch->local_rope : NULL};
  int code = 0;
  for (int reach = 0; code == 0 && reach < TPO_REACHES; reach++) {
    struct tpo_rope_table *table = &model->ropes[reach];
    if (!ropes[reach] || n <= table->positions) continue;
    int positions = table->positions > 0 ? table->positions : 1024;
    while (positions < n) positions *= 2;
    if (positions > arch->context) positions = arch->context;
    code = make_table(model, ropes[reach], positions, table, err);
  }
  return code;
}

const float *tpo_rope_of(const struct tpo_model *model, int layer)
{
  const struct tpo_arch *arch = &model->arch;
  if (tpo_layer_in(&arch->unrotated, layer)) return NULL;
  bool local = arch->has_local_rope && tpo_layer_in(&arch->windowed, layer);
  return model->ropes[local ? TPO_REACH_WINDOW : TPO_REACH_ALL].cos_sin;
}

int tpo_rope_row(const struct tpo_model *model, int longest, int pos)
{
  const struct tpo_rope_table *table = &model->ropes[TPO_REACH_ALL];
  return pos + (tpo_rope_is_long(&model->arch, longest) ? table->long_at : 0);
}
