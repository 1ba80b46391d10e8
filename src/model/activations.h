/* Memory of a packed forward pass, and of the backward that may follow it. */
#ifndef TPO_MODEL_ACTIVATIONS_H
#define TPO_MODEL_ACTIVATIONS_H

#include "model/transformer.h"

struct tpo_activations {
  struct tpo_model *model; /* borrowed; must be alive when this is freed */
  bool training;           /* with what backward needs */
  int capacity;            /* tokens of the longest pass that there is room for */
  int tokens;              /* of the pass that the memory is laid out for */
  int kept;     /* layers whose states are kept; the others keep their input and are computed again */
  size_t bytes; /* of memory */
  void *memory; /* all of the below that is backend memory */
  struct tpo_layer_state *layers; // [arch.layers]
  struct tpo_layer_scratch scratch;
  struct tpo_head_state head;
  void *x;                              // [n, hidden] the residual stream after the last layer
  void *dx;                             // [n, hidden]
  int32_t *ids, *pos, *index, *targets; // [capacity] backend memory
  int32_t *host_ints;                   // [2, capacity]
  float *host_floats;                   // [capacity]
  int n_tokens, n_wanted;               /* of the last forward; n_tokens 0: none that a backward may follow */
};

/* Makes *acts (NULL: a new one) hold n tokens, laid out for as many. */
int tpo_activations_ensure(struct tpo_activations **acts, struct tpo_model *model, int n, bool training,
                           struct tpo_error *err);
/* What the activations of training may take from now on, where the model's options don't say it. */
void tpo_activations_limit(struct tpo_model *model, size_t bytes);
/* How many of so many layers can keep their states within `limit` bytes. fixed: what is taken if none does; states: of a layer
 * (both as tpo_activations_bytes tells). All but the last of them take `states` each. */
int tpo_activations_kept(int layers, size_t fixed, size_t states, size_t limit);
/* What passes of n tokens ask of the backend's scratch memory. */
struct tpo_training_shape tpo_training_shape(const struct tpo_arch *arch, enum tpo_compute_dtype dtype,
                                             int n_tokens);

#endif
