/* Memory of a packed forward pass, and of the backward that may follow it. */
#ifndef TPO_MODEL_ACTIVATIONS_H
#define TPO_MODEL_ACTIVATIONS_H

#include "model/transformer.h"

struct tpo_activations {
  struct tpo_model *model; /* borrowed; must be alive when this is freed */
  bool training;           /* with what backward needs */
  int capacity;            /* tokens */
  int kept;     /* layers whose states are kept; the others keep their input and are computed again */
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

/* Makes *acts (NULL: a new one) hold n tokens. */
int tpo_activations_ensure(struct tpo_activations **acts, struct tpo_model *model, int n, bool training,
                           struct tpo_error *err);

#endif
