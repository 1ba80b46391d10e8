/* What llama.cpp takes for granted of each architecture, so that GGUF has no key for it; its reader and its
 * writer here go by the same table. */
#ifndef TPO_MODEL_GGUF_RULES_H
#define TPO_MODEL_GGUF_RULES_H

#include "model/model.h"

enum tpo_gguf_windows {
  TPO_GGUF_NO_WINDOW,      /* a window is another model's */
  TPO_GGUF_WINDOW_IGNORED, /* the key is written, and told here; llama.cpp attends to everything */
  TPO_GGUF_WINDOW
};

struct tpo_gguf_rules {
  enum tpo_gguf_windows windows;
  int window; /* without the key attention.sliding_window; 0: none */
  /* Of so many layers the last attends to everything and the others have the window; 0: all have it. The key
   * attention.sliding_window_pattern says otherwise. */
  int window_period;
  int unrotated_period;                    /* the last of so many layers isn't rotated; 0: all are */
  bool local_rope;                         /* windowed layers have frequencies of their own */
  bool rope_tensors;                       /* divisors of frequencies are read: Llama 3's, longrope's */
  bool partial;                            /* fewer features than a head's may be rotated */
  bool square;                             /* heads * head_dim is the hidden size */
  bool multipliers;                        /* keys for embeddings, residuals, attention and logits */
  double attention_softcap, final_softcap; /* without the keys; 0: none */
  bool final_softcap_key;                  /* there is one; for attention's, where that isn't 0 */
  bool embeds_by_root;                     /* embeddings are multiplied by the root of the hidden size */
  /* q . k is scaled by the root of head_dim, but in the size of so many layers by that of hidden / heads */
  int scaled_by_hidden;
  bool must_tie, must_not_tie; /* the LM head is, or isn't, the embedding */
};

const struct tpo_gguf_rules *tpo_gguf_rules(const struct tpo_arch *arch);
/* What q . k is multiplied by where no key says. */
double tpo_gguf_attention_scale(const struct tpo_arch *arch);
/* All but each period's last, or with last, these alone. */
struct tpo_layer_set tpo_gguf_periodic(int layers, int period, bool last);

#endif
