/* Carves a pass's states out of one allocation; layers that don't fit are computed again in backward. */
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

static void carve_rest(struct carver *c, struct tpo_activations *a, int n)
{
  const struct tpo_arch *arch = &a->model->arch;
  size_t act = a->model->ops->activation_size;
  int hidden = arch->hidden, q = (int)tpo_dim(arch, TPO_Q_DIM), kv = (int)tpo_dim(arch, TPO_KV_DIM);
  int32_t **const ints[] = {&a->ids, &a->pos, &a->index, &a->targets};
  for (int i = 0; i < 4; i++) *ints[i] = carve(c, n, 1, sizeof(int32_t));
  struct tpo_layer_scratch *w = &a->scratch;
  struct tpo_head_state *h = &a->head;
  w->normed = carve(c, n, hidden, act);
  w->act = carve(c, n, arch->ffn, act);
  h->in = carve(c, n, hidden, act);
  h->normed = carve(c, n, hidden, act);
  h->rstd = carve(c, n, 1, sizeof(float));
  h->lse = carve(c, n, 1, sizeof(float));
  h->logprob = carve(c, n, 1, sizeof(float));
  h->dlogprob = carve(c, n, 1, sizeof(float));
  h->index = a->index;
  h->targets = a->targets;
  if (!a->training) return;
  w->dnormed = carve(c, n, hidden, act);
  w->dattn = carve(c, n, q, act);
  w->dqkv = carve(c, n, q + 2 * kv, act);
  w->dact = carve(c, n, arch->ffn, act);
  w->dgate_up = carve(c, n, 2 * arch->ffn, act);
  h->dnormed = carve(c, n, hidden, act);
  h->din = carve(c, n, hidden, act);
  a->dx = carve(c, n, hidden, act);
}

/* Bytes of all that is there whatever number of layers keep their states. */
static size_t fixed_bytes(struct tpo_activations *a)
{
  struct carver counter = {0};
  carve_layers(&counter, a, a->capacity);
  carve_rest(&counter, a, a->capacity);
  return counter.used;
}

/* A GPU's memory is there for this; the host's serves everything else that runs on it. Results do not depend
 * on the budget, only speed does. */
static size_t default_budget(struct tpo_activations *a)
{
  const struct tpo_model *model = a->model;
  size_t available = model->ops->memory_available(model->be);
  if (available == 0) return (size_t)1 << 30;
  if (!model->ops->asynchronous) return available / 4;
  size_t usable = available / 100 * 85, fixed = fixed_bytes(a);
  return usable > fixed ? usable - fixed : 0;
}

/* a->kept is 0 so far. */
static int layers_to_keep(struct tpo_activations *a)
{
  const struct tpo_model *model = a->model;
  struct carver counter = {0};
  struct tpo_layer_state state = {0};
  carve_states(&counter, model, a->capacity, false, &state);
  size_t budget = model->activation_bytes ? model->activation_bytes : default_budget(a);
  size_t layers = budget / counter.used;
  return layers < (size_t)model->arch.layers ? (int)layers : model->arch.layers;
}

static int make(struct tpo_activations *a, struct tpo_error *err)
{
  struct tpo_model *model = a->model;
  a->layers = tpo_calloc((size_t)model->arch.layers, sizeof *a->layers, err);
  a->host_ints = tpo_calloc(2 * (size_t)a->capacity, sizeof *a->host_ints, err);
  a->host_floats = tpo_calloc((size_t)a->capacity, sizeof *a->host_floats, err);
  if (!a->layers || !a->host_ints || !a->host_floats) return TPO_E_MEMORY;
  if (a->training) a->kept = layers_to_keep(a);
  struct carver carver = {0};
  for (int pass = 0; pass < 2; pass++) {
    carver.used = 0;
    carve_layers(&carver, a, a->capacity);
    carve_rest(&carver, a, a->capacity);
    if (pass == 1) break;
    if (model->ops->alloc(model->be, carver.used, &a->memory, err) < 0) {
      tpo_fail_prefix(err,
                      "no room for the activations of %d tokens "
                      "(lower train.micro_batch_tokens, or drop the longest pairs)",
                      a->capacity);
      return TPO_E_MEMORY;
    }
    carver.base = a->memory;
  }
  return 0;
}

int tpo_activations_ensure(struct tpo_activations **acts, struct tpo_model *model, int n, bool training,
                           struct tpo_error *err)
{
  struct tpo_activations *a = *acts;
  if (a && a->model == model && a->capacity >= n && a->training == training) return 0;
  int capacity = (n + 63) / 64 * 64;
  tpo_activations_free(a);
  *acts = NULL;
  a = tpo_calloc(1, sizeof *a, err);
  if (!a) return TPO_E_MEMORY;
  a->model = model;
  a->training = training;
  a->capacity = capacity;
  int code = make(a, err);
  if (code < 0) {
    tpo_activations_free(a);
    return code;
  }
  *acts = a;
  return 0;
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

size_t tpo_activations_bytes(const struct tpo_arch *arch, size_t activation_size, int n_tokens, bool training)
{
  const struct tpo_ops ops = {.activation_size = activation_size};
  struct tpo_model model = {.ops = &ops, .arch = *arch};
  struct tpo_activations a = {.model = &model, .training = training, .capacity = (n_tokens + 63) / 64 * 64};
  a.layers = calloc((size_t)arch->layers, sizeof *a.layers);
  size_t bytes = a.layers ? fixed_bytes(&a) : 0;
  free(a.layers);
  return bytes;
}
