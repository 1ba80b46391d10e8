/* Carves a pass's states out of one allocation, as many tokens as each pass has; layers that don't fit are
 * computed again in backward. */
#include "model/activations.h"

#include <stdlib.h>

#include "base/memory.h"

/* Hands out pieces of one allocation; with base NULL it only adds up what will be needed. */
struct carver {
  char *base;
  size_t used;
};

static void *carve(struct carver *c, int n, int features, size_t size)
{
  void *piece = c->base ? c->base + c->used : NULL;
  c->used += ((size_t)n * (size_t)features * size + 63) / 64 * 64;
  return piece;
}

/* What a layer norms besides its inputs, in families where it does. */
static void carve_normed(struct carver *c, const struct tpo_model *model, int n, bool in_place,
                         struct tpo_layer_state *s)
{
  const struct tpo_arch *arch = &model->arch;
  const struct tpo_family_row *family = tpo_family(arch);
  size_t act = model->ops->activation_size;
  s->raw = s->qkv;
  if (family->qk != TPO_QK_PLAIN && !in_place) {
    s->raw = carve(c, n, (int)tpo_dim(arch, TPO_QKV_DIM), act);
    s->rstd_qk = carve(c, n, family->qk == TPO_QK_WHOLE ? 2 : arch->heads + arch->kv_heads, sizeof(float));
  }
  if (family->norms == TPO_NORMS_BEFORE) return;
  s->attn_out = carve(c, n, arch->hidden, act);
  s->ffn_out = in_place ? s->attn_out : carve(c, n, arch->hidden, act);
  s->rstd_attn_out = carve(c, n, 1, sizeof(float));
  s->rstd_ffn_out = carve(c, n, 1, sizeof(float));
}

/* What a layer leaves behind besides its input. */
static void carve_states(struct carver *c, const struct tpo_model *model, int n, bool in_place,
                         struct tpo_layer_state *s)
{
  const struct tpo_arch *arch = &model->arch;
  size_t act = model->ops->activation_size;
  int q = (int)tpo_dim(arch, TPO_Q_DIM), kv = (int)tpo_dim(arch, TPO_KV_DIM);
  s->qkv = carve(c, n, q + 2 * kv, act);
  s->attn = carve(c, n, q, act);
  s->lse = carve(c, n, arch->heads, sizeof(float));
  s->gate_up = carve(c, n, 2 * arch->ffn, act);
  s->rstd_in = carve(c, n, 1, sizeof(float));
  s->rstd_mid = carve(c, n, 1, sizeof(float));
  s->mid = in_place ? s->in : carve(c, n, arch->hidden, act);
  carve_normed(c, model, n, in_place, s);
}

static void carve_layers(struct carver *c, struct tpo_activations *a, int n)
{
  const struct tpo_model *model = a->model;
  size_t act = model->ops->activation_size;
  int layers = model->arch.layers, hidden = model->arch.hidden;
  struct tpo_layer_state shared = {0};
  a->x = carve(c, n, hidden, act);
  shared.in = a->x;
  if (a->kept < layers) carve_states(c, model, n, !a->training, &shared);
  for (int i = 0; i < layers; i++) {
    struct tpo_layer_state *s = &a->layers[i];
    void *in = a->training ? carve(c, n, hidden, act) : a->x;
    *s = shared;
    if (i < a->kept) carve_states(c, model, n, false, s);
    s->in = in;
    if (i > 0) a->layers[i - 1].out = in;
  }
  a->layers[layers - 1].out = a->x;
}

/* Where layers and head do their work. No layer is computed between the head's forward and its backward, so the
 * two have the same memory. */
static void carve_scratch(struct carver *c, struct tpo_activations *a, int n)
{
  const struct tpo_arch *arch = &a->model->arch;
  size_t act = a->model->ops->activation_size, from = c->used, layers;
  int hidden = arch->hidden, q = (int)tpo_dim(arch, TPO_Q_DIM), kv = (int)tpo_dim(arch, TPO_KV_DIM);
  struct tpo_layer_scratch *w = &a->scratch;
  struct tpo_head_state *h = &a->head;
  w->normed = carve(c, n, hidden, act);
  w->act = carve(c, n, arch->ffn, act);
  if (a->training) {
    w->dnormed = carve(c, n, hidden, act);
    w->dattn = carve(c, n, q, act);
    w->dqkv = carve(c, n, q + 2 * kv, act);
    w->dact = carve(c, n, arch->ffn, act);
    w->dgate_up = carve(c, n, 2 * arch->ffn, act);
  }
  layers = c->used;
  c->used = from;
  h->in = carve(c, n, hidden, act);
  h->normed = carve(c, n, hidden, act);
  if (a->training) {
    h->dnormed = carve(c, n, hidden, act);
    h->din = carve(c, n, hidden, act);
  }
  if (c->used < layers) c->used = layers;
}

static void carve_rest(struct carver *c, struct tpo_activations *a, int n)
{
  int32_t **const ints[] = {&a->ids, &a->pos, &a->index, &a->targets};
  struct tpo_head_state *h = &a->head;
  for (int i = 0; i < 4; i++) *ints[i] = carve(c, n, 1, sizeof(int32_t));
  h->rstd = carve(c, n, 1, sizeof(float));
  h->lse = carve(c, n, 1, sizeof(float));
  h->logprob = carve(c, n, 1, sizeof(float));
  h->dlogprob = carve(c, n, 1, sizeof(float));
  h->index = a->index;
  h->targets = a->targets;
  carve_scratch(c, a, n);
  if (a->training) a->dx = carve(c, n, a->model->arch.hidden, a->model->ops->activation_size);
}

/* Lays out a pass of n tokens in memory from base on; base NULL only adds up. The bytes. */
static size_t carve_all(struct tpo_activations *a, int n, void *base)
{
  struct carver carver = {.base = base};
  carve_layers(&carver, a, n);
  carve_rest(&carver, a, n);
  return carver.used;
}

/* Bytes of all that is there whatever number of layers keep their states. */
static size_t fixed_bytes(struct tpo_activations *a, int n)
{
  a->kept = 0;
  return carve_all(a, n, NULL);
}

int tpo_activations_kept(int layers, size_t fixed, size_t states, size_t limit)
{
  size_t fit = limit > fixed ? (limit - fixed) / states : 0;
  /* Where only one is left to compute again, it may as well keep what that would be computed into. */
  return fit + 1 < (size_t)layers ? (int)fit : layers;
}

/* What a layer's kept states take. */
static size_t state_bytes(const struct tpo_model *model, int n)
{
  struct carver counter = {0};
  struct tpo_layer_state state = {0};
  carve_states(&counter, model, n, false, &state);
  return counter.used;
}

/* Where nobody has said how much may be taken: a GPU's memory is there for this; the host's serves everything
 * else that runs on it. Results do not depend on it, only speed does. */
static size_t default_limit(const struct tpo_model *model, size_t fixed)
{
  size_t available = model->ops->memory_available(model->be);
  if (available == 0) return fixed + ((size_t)1 << 30);
  return model->ops->asynchronous ? available / 100 * 85 : fixed + available / 4;
}

/* Sets a->kept to as many layers as `limit` bytes hold with the rest. */
static void keep_layers(struct tpo_activations *a, int n, size_t limit)
{
  size_t fixed = fixed_bytes(a, n);
  if (a->training)
    a->kept = tpo_activations_kept(a->model->arch.layers, fixed, state_bytes(a->model, n), limit);
}

/* The arrays on the host, and the layers' states. */
static int make_arrays(struct tpo_activations *a, struct tpo_error *err)
{
  a->layers = tpo_calloc((size_t)a->model->arch.layers, sizeof *a->layers, err);
  a->host_ints = tpo_calloc(2 * (size_t)a->capacity, sizeof *a->host_ints, err);
  a->host_floats = tpo_calloc((size_t)a->capacity, sizeof *a->host_floats, err);
  return a->layers && a->host_ints && a->host_floats ? 0 : TPO_E_MEMORY;
}

/* Memory for passes of a->capacity tokens, laid out for one of so many. */
static int make(struct tpo_activations *a, struct tpo_error *err)
{
  struct tpo_model *model = a->model;
  int code = make_arrays(a, err);
  if (code < 0) return code;
  size_t limit = model->activation_bytes ? model->activation_bytes : model->activation_limit;
  if (limit == 0 && a->training) limit = default_limit(model, fixed_bytes(a, a->capacity));
  keep_layers(a, a->capacity, limit);
  a->bytes = carve_all(a, a->capacity, NULL);
  if (model->ops->alloc(model->be, a->bytes, &a->memory, err) < 0) {
    tpo_fail_prefix(err,
                    "no room for the activations of %d tokens "
                    "(lower train.micro_batch_tokens, or drop the longest pairs)",
                    a->capacity);
    return TPO_E_MEMORY;
  }
  a->tokens = a->capacity;
  carve_all(a, a->tokens, a->memory);
  return 0;
}

/* Lays out what is there for a pass of n tokens: the fewer, the more layers keep their states. */
static void lay_out(struct tpo_activations *a, int n)
{
  if (a->tokens == n) return;
  keep_layers(a, n, a->bytes);
  a->tokens = n;
  carve_all(a, n, a->memory);
}

int tpo_activations_ensure(struct tpo_activations **acts, struct tpo_model *model, int n, bool training,
                           struct tpo_error *err)
{
  struct tpo_activations *a = *acts;
  int rounded = (n + 63) / 64 * 64;
  if (a && a->model == model && a->capacity >= rounded && a->training == training) {
    lay_out(a, rounded);
    return 0;
  }
  tpo_activations_free(a);
  *acts = NULL;
  a = tpo_calloc(1, sizeof *a, err);
  if (!a) return TPO_E_MEMORY;
  a->model = model;
  a->training = training;
  a->capacity = rounded;
  int code = make(a, err);
  if (code < 0) {
    tpo_activations_free(a);
    return code;
  }
  *acts = a;
  return 0;
}

void tpo_activations_limit(struct tpo_model *model, size_t bytes)
{
  model->activation_limit = bytes;
}

void tpo_activations_free(struct tpo_activations *acts)
{
  if (!acts) return;
  if (acts->memory) acts->model->ops->free(acts->model->be, acts->memory);
  free(acts->layers);
  free(acts->host_ints);
  free(acts->host_floats);
  free(acts);
}

size_t tpo_activations_bytes(const struct tpo_arch *arch, size_t activation_size, int n_tokens, bool training,
                             size_t *layer)
{
  const struct tpo_ops ops = {.activation_size = activation_size};
  struct tpo_model model = {.ops = &ops, .arch = *arch};
  struct tpo_activations a = {.model = &model, .training = training};
  int n = (n_tokens + 63) / 64 * 64;
  a.layers = calloc((size_t)arch->layers, sizeof *a.layers);
  size_t bytes = a.layers ? fixed_bytes(&a, n) : 0;
  if (layer) *layer = state_bytes(&model, n);
  free(a.layers);
  return bytes;
}

struct tpo_training_shape tpo_training_shape(const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                                             int n_tokens)
{
  return (struct tpo_training_shape){
      .attention = tpo_arch_shape(arch),
      .hidden = arch->hidden,
      .ffn = arch->ffn,
      .vocab = arch->vocab_size,
      .tokens = n_tokens,
      .longest = n_tokens < arch->context ? n_tokens : arch->context,
      .weights = dtype == TPO_DTYPE_BF16 ? TPO_BF16 : TPO_F32,
  };
}
