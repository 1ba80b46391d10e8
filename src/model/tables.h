/* The two tables that say what a model is: the families that are known (families.c), and the parameters that
 * a model has (params.c). A family's names, and a tensor's names, shape and place, stand there and nowhere
 * else: what reads, writes, counts and allocates weights goes through these tables, so that another family is
 * a row of one and whatever tensors of its own it has are rows of the other. */
#ifndef TPO_MODEL_TABLES_H
#define TPO_MODEL_TABLES_H

#include "tpo/model.h"

/* families.c */
enum tpo_family_name {
  TPO_NAME_PROSE,        /* as messages call it */
  TPO_NAME_MODEL_TYPE,   /* config.json's "model_type"; a model's hash begins with it */
  TPO_NAME_CAUSAL_LM,    /* the first of config.json's "architectures": a language model, */
  TPO_NAME_LABEL_REWARD, /* a reward model whose head is one linear layer, */
  TPO_NAME_GATED_REWARD, /* ArmoRM */
  TPO_NAME_OUTER_TYPE,   /* "model_type" of a model whose text part is one of the family, */
  TPO_NAME_OUTER_LM,     /* and the first of its "architectures": a language model, */
  TPO_NAME_OUTER_REWARD, /* a reward model whose head is one linear layer */
  TPO_NAME_GGUF,         /* general.architecture; the family's keys in GGUF begin with it */
  TPO_FAMILY_NAMES
};

enum tpo_norms {
  TPO_NORMS_BEFORE,   /* of what goes into attention and feed-forward; */
  TPO_NORMS_AFTER,    /* of what comes out of them, before it is added; */
  TPO_NORMS_SANDWICH, /* both */
};
enum tpo_qk {
  TPO_QK_PLAIN,
  TPO_QK_HEADS,
  TPO_QK_WHOLE
}; /* RMSNorm of queries and keys: each head, all together */
enum tpo_glu { TPO_GLU_SILU, TPO_GLU_GELU_TANH };

/* Which layers see a window alone where config.json doesn't name them one by one. */
enum tpo_windows {
  TPO_WINDOWS_ALL,       /* those of a model that has a window: all, */
  TPO_WINDOWS_LATE,      /* from "max_window_layers" on, */
  TPO_WINDOWS_UNROTATED, /* those without rotary embedding; */
  TPO_WINDOWS_PERIOD     /* all but each window_period-th */
};

/* Keys of config.json that not every family's models have; in a model of another family they are refused
 * unless they say that there is nothing. */
enum tpo_config_keys {
  TPO_KEYS_WINDOW = 1 << 0,            /* sliding_window */
  TPO_KEYS_WINDOW_SWITCH = 1 << 1,     /* use_sliding_window */
  TPO_KEYS_LAYER_TYPES = 1 << 2,       /* layer_types, with windows in any layers */
  TPO_KEYS_UNROTATED = 1 << 3,         /* no_rope_layers, no_rope_layer_interval */
  TPO_KEYS_LOCAL_ROPE = 1 << 4,        /* rope_local_base_freq, rope_parameters by kind of layer */
  TPO_KEYS_PARTIAL_ROTARY = 1 << 5,    /* partial_rotary_factor */
  TPO_KEYS_QUERY_SCALE = 1 << 6,       /* query_pre_attn_scalar */
  TPO_KEYS_ATTENTION_SOFTCAP = 1 << 7, /* attn_logit_softcapping */
  TPO_KEYS_FINAL_SOFTCAP = 1 << 8,     /* final_logit_softcapping */
  TPO_KEYS_MULTIPLIERS = 1 << 9,       /* of embedding, residual, attention, logits */
  /* Written only, with the value that this transformer has. */
  TPO_KEYS_HEAD_DIM = 1 << 10,       /* also where it follows from the others */
  TPO_KEYS_ATTENTION_BIAS = 1 << 11, /* off */
  TPO_KEYS_MLP_BIAS = 1 << 12,       /* off */
  TPO_KEYS_PAD = 1 << 13,            /* pad_token_id null, since absent is a token */
  /* Overlooked, as transformers does: the family's models have the biases that its class has. */
  TPO_KEYS_IDLE_BIAS = 1 << 14 /* attention_bias */
};

struct tpo_family_row {
  const char *names[TPO_FAMILY_NAMES]; /* NULL: there is none */
  unsigned keys;                       /* of enum tpo_config_keys */
  /* What holds where a file doesn't tell; 0: it must, or it follows from other sizes. */
  int vocab_size, heads, kv_heads, head_dim, context;
  double rms_eps, rope_theta, local_rope_theta;
  bool tied;
  enum tpo_windows windows;
  int window, late_windows_from, window_period, unrotated_period;
  int query_scalar; /* queries are divided by its root */
  double attention_softcap, final_softcap;

  bool longrope_alone;   /* the scaling of its rotary embedding is longrope, once called su or yarn */
  bool scales_embedding; /* by the root of the hidden size */
  enum tpo_norms norms;
  enum tpo_qk qk;
  enum tpo_glu glu;
  bool gelu_is_tanh; /* "hidden_act": "gelu" says TPO_GLU_GELU_TANH, whose own word came later */
  bool qkv_bias;
  bool fused;                  /* files hold q, k and v as one tensor, and gate and up as one */
  bool rounds_embedding_scale; /* to bf16, in a model that computes with it */
  bool norms_from_one;         /* Hugging Face keeps norms' difference from 1; GGUF keeps them whole */
  bool gguf_interleaves;       /* GGUF keeps its rotated rows for the interleaved rotary embedding */
};

const struct tpo_family_row *tpo_family(const struct tpo_arch *arch);
/* Whether a family has that name of the kind; *out (may be NULL): which one. */
bool tpo_family_find(enum tpo_family *out, enum tpo_family_name which, const char *text, size_t len);
/* All families' names of the kind, each once, for a message that tells what was expected: "one", "two". */
enum { TPO_FAMILY_LIST = 512 };
void tpo_family_list(enum tpo_family_name which, bool quoted, char out[TPO_FAMILY_LIST]);

/* params.c */
enum tpo_dim {
  TPO_ONE,    /* as cols: a vector */
  TPO_VOCAB,  /* tokens */
  TPO_HIDDEN, /* features of the residual stream */
  TPO_Q_DIM,  /* heads * head_dim */
  TPO_KV_DIM, /* kv_heads * head_dim */
  TPO_FFN,    /* features between the feed-forward's products */
  TPO_HEAD_DIM,
  TPO_QKV_DIM, /* TPO_Q_DIM + 2 TPO_KV_DIM, fused: q, k, v */
  TPO_GATE_UP  /* 2 TPO_FFN, fused: gate, up */
};

int64_t tpo_dim(const struct tpo_arch *arch, enum tpo_dim dim);

/* A row of the table. The parameters of one weight lie one after another, with the same cols, and are its
 * rows in this order: q, k and v are one product. */
struct tpo_param_kind {
  const char *name, *gguf; /* in Hugging Face and in GGUF; a layer's after "model.layers.N." and "blk.N." */
  enum tpo_dim rows, cols;
  bool of_layer; /* each layer has one */
  size_t weight; /* the struct tpo_weight in struct tpo_layer, or in struct tpo_model */
  bool (*exists)(const struct tpo_arch *); /* NULL: in every model */
  bool rotary;                             /* its rows are rotated, by heads */
  bool norm;                               /* the weight of a norm */
};

/* What files tell about the architecture by having these or not. */
const struct tpo_param_kind *tpo_param_embed(void);
const struct tpo_param_kind *tpo_param_lm_head(void);
/* What files may hold besides, which are no parameters: divisors of the rotary embedding's frequencies (Llama
 * 3's; longrope's for long and for short sequences), and the end of the name of a layer's table of those. */
#define TPO_GGUF_ROPE_FREQS "rope_freqs.weight"
#define TPO_GGUF_ROPE_LONG "rope_factors_long.weight"
#define TPO_GGUF_ROPE_SHORT "rope_factors_short.weight"
#define TPO_HF_ROPE_TABLE ".self_attn.rotary_emb.inv_freq"

/* *out [*n], malloc'ed; *count: elements of the flat array. */
int tpo_params_list(const struct tpo_arch *arch, struct tpo_param **out, size_t *n, size_t *count,
                    struct tpo_error *err);
/* How many there are: *n above. */
size_t tpo_params_number(const struct tpo_arch *arch);
/* The end of the parameters that params[i], the first of its weight, has the weight together with. */
size_t tpo_params_weight_end(const struct tpo_param *params, size_t n, size_t i);
void tpo_param_gguf_name(const struct tpo_param *param, char out[96]);
/* Rows of a parameter that are moved at once, so that staging memory stays small. */
int64_t tpo_param_chunk(const struct tpo_param *param);

#endif
