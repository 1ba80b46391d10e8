/* A GGUF file of a known family, dequantised as it is read.
 *
 * Of some families GGUF keeps q and k for the interleaved rotary embedding (dimension 2i pairs with 2i + 1):
 * within each head, row 2i + j of the file is row j * head_dim/2 + i of the rotate-half convention that the
 * operations use. */
#include "model/files/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ggml_blocks.h"
#include "base/memory.h"
#include "store/gguf.h"

/* The metadata of a model. Its keys begin with the family's name, which the names of them here leave out. */
struct metadata {
  const struct tpo_gguf *gguf;
  const char *family;
};

struct key {
  char name[96];
};

static struct key key_of(const struct metadata *meta, const char *name)
{
  struct key key;
  snprintf(key.name, sizeof key.name, "%s.%s", meta->family, name);
  return key;
}

static bool string_is(struct tpo_gguf_string s, const char *text)
{
  return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* otherwise < 0: the key is required. layers > 0: it may have an integer for each layer, all equal. */
static int get_size_of_layers(const struct metadata *meta, const char *name, int64_t otherwise, int layers,
                              int *out, struct tpo_error *err)
{
  const struct key key = key_of(meta, name);
  int64_t value = otherwise;
  int code = layers > 0 ? tpo_gguf_get_int_of_layers(meta->gguf, key.name, layers, &value, err)
                        : tpo_gguf_get_int(meta->gguf, key.name, &value, err);
  if (code < 0) return code;
  if (value < 0 && otherwise < 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: no metadata key %s", meta->gguf->path, key.name);
  if (value < 0 || value > 1 << 24)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s is %lld, expected at most %d", meta->gguf->path, key.name,
                    (long long)value, 1 << 24);
  *out = (int)value;
  return 0;
}

static int get_size(const struct metadata *meta, const char *name, int64_t otherwise, int *out,
                    struct tpo_error *err)
{
  return get_size_of_layers(meta, name, otherwise, 0, out, err);
}

/* GGUF keeps settings as fp32; the shortest decimal
 * that is the same fp32 is what the model's author wrote. */
static double undo_fp32(double value)
{
  for (int digits = 1; digits <= 9; digits++) {
    char text[40];
    snprintf(text, sizeof text, "%.*g", digits, value);
    if ((float)strtod(text, NULL) == (float)value) return strtod(text, NULL);
  }
  return value;
}

static int get_real(const struct metadata *meta, const char *name, double *out, struct tpo_error *err)
{
  int code = tpo_gguf_get_double(meta->gguf, key_of(meta, name).name, out, err);
  if (code < 0) return code;
  if (code == 1) *out = undo_fp32(*out);
  return code;
}

static int read_family(enum tpo_family *out, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  struct tpo_gguf_string arch;
  int code = tpo_gguf_get_string(gguf, "general.architecture", &arch, err);
  if (code < 0) return code;
  if (code == 0) return tpo_fail(err, TPO_E_INPUT, "%s: no metadata key general.architecture", gguf->path);
  if (tpo_family_find(out, TPO_NAME_GGUF, arch.data, arch.len)) return 0;
  char known[TPO_FAMILY_LIST];
  tpo_family_list(TPO_NAME_GGUF, true, known);
  return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: general.architecture \"%.*s\" is not supported; expected %s",
                  gguf->path, arch.len > 60 ? 60 : (int)arch.len, arch.data, known);
}

/* Settings that would change the computation and that this transformer does not have. */
static int refuse_options(const struct metadata *meta, struct tpo_error *err)
{
  static const char *const must_be_zero[] = {
      "expert_count", "attention.sliding_window", "attention.clamp_kqv", "attention.max_alibi_bias",
      "logit_scale",  "residual_scale",           "embedding_scale",     "attention.scale"};
  for (size_t i = 0; i < sizeof must_be_zero / sizeof *must_be_zero; i++) {
    const struct key key = key_of(meta, must_be_zero[i]);
    double value = 0;
    int code = tpo_gguf_get_double(meta->gguf, key.name, &value, err);
    if (code < 0) return code;
    if (value != 0)
      return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s = %g is not supported; expected it to be absent",
                      meta->gguf->path, key.name, value);
  }
  return 0;
}

static int read_head_sizes(struct tpo_arch *arch, const struct metadata *meta, struct tpo_error *err)
{
  int value_length = 0, rotated = 0;
  if (arch->heads < 1 || arch->kv_heads < 1)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: %s.attention.head_count is %d and head_count_kv %d; expected at least 1",
                    meta->gguf->path, meta->family, arch->heads, arch->kv_heads);
  int code = get_size_of_layers(meta, "attention.key_length", arch->hidden / arch->heads, arch->layers,
                                &arch->head_dim, err);
  if (code == 0)
    code =
        get_size_of_layers(meta, "attention.value_length", arch->head_dim, arch->layers, &value_length, err);
  if (code == 0)
    code = get_size_of_layers(meta, "rope.dimension_count", arch->head_dim, arch->layers, &rotated, err);
  if (code < 0) return code;
  if (value_length == arch->head_dim && rotated == arch->head_dim) return 0;
  return tpo_fail(
      err, TPO_E_UNSUPPORTED,
      "%s: key length %d, value length %d and rope.dimension_count %d differ; expected them to be equal",
      meta->gguf->path, arch->head_dim, value_length, rotated);
}

static int read_sizes(struct tpo_arch *arch, const struct metadata *meta, struct tpo_error *err)
{
  int code = get_size(meta, "block_count", -1, &arch->layers, err);
  if (code == 0) code = get_size(meta, "context_length", -1, &arch->context, err);
  if (code == 0) code = get_size(meta, "embedding_length", -1, &arch->hidden, err);
  if (code == 0) code = get_size_of_layers(meta, "feed_forward_length", -1, arch->layers, &arch->ffn, err);
  if (code == 0) code = get_size_of_layers(meta, "attention.head_count", -1, arch->layers, &arch->heads, err);
  if (code == 0)
    code =
        get_size_of_layers(meta, "attention.head_count_kv", arch->heads, arch->layers, &arch->kv_heads, err);
  if (code == 0) code = read_head_sizes(arch, meta, err);
  if (code < 0) return code;
  const struct tpo_gguf_tensor *embed = tpo_gguf_find_tensor(meta->gguf, tpo_param_embed()->gguf);
  int64_t rows = embed && embed->n_dims == 2 && embed->dims[1] <= 1 << 24 ? (int64_t)embed->dims[1] : -1;
  return get_size(meta, "vocab_size", rows, &arch->vocab_size, err);
}

/* Llama 3.1 and 3.2 come with a tensor of divisors for the frequencies and without the settings that made it.
 * All published ones use low 1, high 4 and an original context of 8192; only the factor differs. */
static int read_rope_freqs(struct tpo_arch *arch, const struct metadata *meta, struct tpo_error *err)
{
  const struct tpo_gguf *gguf = meta->gguf;
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(gguf, TPO_GGUF_ROPE_FREQS);
  if (!t) return 0;
  int half = arch->head_dim / 2;
  if (half < 1 || half > 512 || t->n_dims != 1 || t->dims[0] != (uint64_t)half || t->type != 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor " TPO_GGUF_ROPE_FREQS " is not %d numbers of type F32",
                    gguf->path, half);
  float divisors[512], plain[512], scaled[512];
  int code = tpo_gguf_dequantize(t, 0, (uint64_t)half, divisors, err);
  if (code < 0) return tpo_fail_prefix(err, "%s: tensor " TPO_GGUF_ROPE_FREQS, gguf->path);
  double largest = 1;
  for (int i = 0; i < half; i++) largest = fmax(largest, divisors[i]);
  tpo_rope_frequencies(arch, &arch->rope, false, plain);
  if (largest > 1) {
    int64_t original = 8192;
    const struct key key = key_of(meta, "rope.scaling.original_context_length");
    if (tpo_gguf_get_int(gguf, key.name, &original, err) < 0 || original < 1 || original > 1 << 24)
      original = 8192;
    arch->rope.kind = TPO_ROPE_LLAMA3;
    arch->rope.factor = undo_fp32(largest);
    arch->rope.low_freq = 1;
    arch->rope.high_freq = 4;
    arch->rope.original_context = (int)original;
  }
  tpo_rope_frequencies(arch, &arch->rope, false, scaled);
  for (int i = 0; i < half; i++)
    if (!(fabs(plain[i] / scaled[i] - divisors[i]) <= 1e-3 * divisors[i]))
      return tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: tensor " TPO_GGUF_ROPE_FREQS " holds %g at %d, "
                      "where Llama 3 scaling (factor %g, low 1, high 4, original context %d) has %g; "
                      "another scaling is not supported",
                      gguf->path, (double)divisors[i], i, largest, arch->rope.original_context,
                      (double)(plain[i] / scaled[i]));
  return 0;
}

static int read_rope(struct tpo_arch *arch, const struct metadata *meta, struct tpo_error *err)
{
  const struct tpo_gguf *gguf = meta->gguf;
  const struct key type_key = key_of(meta, "rope.scaling.type");
  struct tpo_gguf_string type = {.data = "none", .len = 4};
  double factor = 0;
  arch->rope.theta = tpo_family(arch)->rope_theta;
  if (get_real(meta, "rope.freq_base", &arch->rope.theta, err) < 0 ||
      tpo_gguf_get_string(gguf, type_key.name, &type, err) < 0 ||
      get_real(meta, "rope.scaling.factor", &factor, err) < 0 ||
      (factor == 0 && get_real(meta, "rope.scale_linear", &factor, err) < 0))
    return TPO_E_INPUT;
  if (string_is(type, "linear") || (string_is(type, "none") && factor != 0 && factor != 1)) {
    arch->rope.kind = TPO_ROPE_LINEAR;
    arch->rope.factor = factor;
    if (tpo_gguf_find_tensor(gguf, TPO_GGUF_ROPE_FREQS))
      return tpo_fail(err, TPO_E_UNSUPPORTED,
                      "%s: linear rope scaling together with tensor " TPO_GGUF_ROPE_FREQS, gguf->path);
    return 0;
  }
  if (!string_is(type, "none"))
    return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: %s \"%.*s\" is not supported; expected none or linear",
                    gguf->path, type_key.name, type.len > 60 ? 60 : (int)type.len, type.data);
  return read_rope_freqs(arch, meta, err);
}

static int read_arch(struct tpo_arch *arch, const struct tpo_gguf *gguf, struct tpo_error *err)
{
  memset(arch, 0, sizeof *arch);
  int code = tpo_gguf_check_whole(gguf, err);
  if (code == 0) code = read_family(&arch->family, gguf, err);
  if (code < 0) return code;
  const struct metadata meta = {.gguf = gguf, .family = tpo_family(arch)->names[TPO_NAME_GGUF]};
  code = refuse_options(&meta, err);
  if (code == 0 && gguf->n_tensors == 0)
    return tpo_fail(err, TPO_E_USAGE, "%s: holds no tensors (a vocabulary alone); a model is needed here",
                    gguf->path);
  if (code == 0) code = read_sizes(arch, &meta, err);
  if (code == 0) code = read_rope(arch, &meta, err);
  if (code < 0) return code;
  const char *epsilon = "attention.layer_norm_rms_epsilon";
  code = get_real(&meta, epsilon, &arch->rms_eps, err);
  if (code == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: no metadata key %s", gguf->path, key_of(&meta, epsilon).name);
  arch->tied = !tpo_gguf_find_tensor(gguf, tpo_param_lm_head()->gguf);
  return code < 0 ? code : tpo_arch_check(arch, gguf->path, err);
}

static int check_tensor(const struct tpo_gguf *gguf, const struct tpo_param *param, struct tpo_error *err)
{
  char name[96];
  tpo_param_gguf_name(param, name);
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(gguf, name);
  if (!t)
    return tpo_fail(err, TPO_E_INPUT, "%s: tensor %s is missing (%s, [%lld, %lld])", gguf->path, name,
                    param->name, (long long)param->rows, (long long)param->cols);
  int64_t dims[4];
  for (int d = 0; d < t->n_dims; d++) {
    uint64_t dim = t->dims[t->n_dims - 1 - d];
    dims[d] = dim > INT64_MAX ? INT64_MAX : (int64_t)dim;
  }
  return tpo_source_check_shape(param, name, dims, t->n_dims, gguf->path, err);
}

static bool is_known(const struct tpo_param *params, size_t n, struct tpo_gguf_string found)
{
  if (string_is(found, TPO_GGUF_ROPE_FREQS)) return true;
  for (size_t i = 0; i < n; i++) {
    char name[96];
    tpo_param_gguf_name(&params[i], name);
    if (string_is(found, name)) return true;
  }
  return false;
}

static int check(struct tpo_source *source, const struct tpo_param *params, size_t n, struct tpo_error *err)
{
  const struct tpo_gguf *gguf = source->state;
  for (size_t i = 0; i < n; i++) {
    int code = check_tensor(gguf, &params[i], err);
    if (code < 0) return code;
  }
  for (uint64_t i = 0; i < gguf->n_tensors; i++) {
    struct tpo_gguf_string found = gguf->tensors[i].name;
    if (!is_known(params, n, found))
      return tpo_fail(err, TPO_E_UNSUPPORTED, "%s: unexpected tensor %.*s; a %s model of its sizes has none",
                      gguf->path, found.len > 90 ? 90 : (int)found.len, found.data,
                      tpo_family(&source->arch)->names[TPO_NAME_PROSE]);
  }
  return 0;
}

/* Row of the file that holds row `row` of q or k in the rotate-half convention. */
static int64_t interleaved_row(int64_t row, int head_dim)
{
  int64_t head = row / head_dim, within = row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (within % half) + within / half;
}

static bool is_interleaved(const struct tpo_source *source, const struct tpo_param *param)
{
  return param->kind->rotary && tpo_family(&source->arch)->gguf_interleaves;
}

static int read_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                     int64_t n_rows, float *out, struct tpo_error *err)
{
  const struct tpo_gguf *gguf = source->state;
  char name[96];
  tpo_param_gguf_name(&params[i], name);
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(gguf, name);
  uint64_t cols = (uint64_t)params[i].cols;
  int code = 0;
  if (is_interleaved(source, &params[i]))
    for (int64_t r = 0; code == 0 && r < n_rows; r++)
      code = tpo_gguf_dequantize(t, (uint64_t)interleaved_row(row0 + r, source->arch.head_dim) * cols, cols,
                                 out + (size_t)r * cols, err);
  else
    code = tpo_gguf_dequantize(t, (uint64_t)row0 * cols, (uint64_t)n_rows * cols, out, err);
  return code < 0 ? tpo_fail_prefix(err, "%s: tensor %s", gguf->path, name) : 0;
}

static const void *raw_rows(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                            int64_t n_rows, void *room, uint32_t *ggml_type)
{
  char name[96];
  tpo_param_gguf_name(&params[i], name);
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(source->state, name);
  const struct tpo_ggml_block *block = tpo_ggml_find_block(t->type);
  if (!block || params[i].cols % block->elements != 0) return NULL;
  *ggml_type = t->type;
  size_t row_bytes = (size_t)params[i].cols / block->elements * block->bytes;
  if (!is_interleaved(source, &params[i])) return t->data + (size_t)row0 * row_bytes;
  for (int64_t r = 0; r < n_rows; r++)
    memcpy((uint8_t *)room + (size_t)r * row_bytes,
           t->data + (size_t)interleaved_row(row0 + r, source->arch.head_dim) * row_bytes, row_bytes);
  return room;
}

static const char *file_of(struct tpo_source *source, const struct tpo_param *param)
{
  (void)param;
  return source->path;
}

static void close_source(struct tpo_source *source)
{
  tpo_gguf_close(source->state);
  free(source->state);
  source->state = NULL;
}

int tpo_source_open_gguf(struct tpo_source *source, const char *path, bool weights, struct tpo_error *err)
{
  struct tpo_gguf *gguf = tpo_calloc(1, sizeof *gguf, err);
  if (!gguf) return TPO_E_MEMORY;
  int code = tpo_gguf_open(gguf, path, err);
  if (code < 0) {
    free(gguf);
    return code;
  }
  source->state = gguf;
  code = read_arch(&source->arch, gguf, err);
  if (code < 0 || !weights) {
    close_source(source);
    return code;
  }
  source->check = check;
  source->read = read_rows;
  source->raw = raw_rows;
  source->file_of = file_of;
  source->close = close_source;
  return 0;
}
