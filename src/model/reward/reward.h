/* The inside of a reward model: a transformer's body, and the head that turns hidden states into scores. */
#ifndef TPO_MODEL_REWARD_REWARD_H
#define TPO_MODEL_REWARD_REWARD_H

#include "model/kv_cache.h"

enum reward_kind {
  REWARD_LABEL, /* one linear layer with one output */
  REWARD_GATED  /* ArmoRM: objectives, mixed by a gate that looks at the prompt */
};

/* What config.json and judge.head tell of a head. */
struct reward_settings {
  enum reward_kind kind;
  char weight[96];    /* label: names of its tensors; the bias is there where the file has it */
  char bias[96];      /* */
  bool normalise;     /* label: score = (raw - mean) / std */
  double mean, std;   /* */
  int objectives;     /* gated */
  int gate_layers;    /* gated: hidden layers of the gate */
  int gate_width;     /* gated: outputs of each */
  double temperature; /* gated */
  int64_t pad;        /* scored is the last token that is another; -1: the last one */
};

struct reward_head {
  struct reward_settings settings;
  int hidden;
  struct tpo_param *params; /* [n_params] the head's tensors; offsets into values */
  size_t n_params;
  float *values;           /* all of them, one after another */
  double *state, *scratch; /* [width] layers' inputs and outputs; width: the widest layer's */
};

/* head.c */
/* Lists the head's tensors; their values are read later. reward_head_free releases, also after a failure. */
int reward_head_init(struct reward_head *head, const struct reward_settings *settings, int hidden,
                     bool with_bias, struct tpo_error *err);
void reward_head_free(struct reward_head *head);
size_t reward_head_count(const struct reward_head *head); /* numbers of all tensors together */
/* Makes room for the values and for computing. */
int reward_head_allocate(struct reward_head *head, struct tpo_error *err);
/* gating [objectives] from a hidden state [hidden]; only of gated heads. */
void reward_head_gate(struct reward_head *head, const float *hidden, double *gating);
/* result->score, raw and objectives from the scored token's hidden state, with result->gating as it stands;
 * ok = false where the score is no finite number. */
void reward_head_score(struct reward_head *head, const float *hidden, struct tpo_reward_result *result);

/* settings.c */
int reward_settings_read(struct reward_settings *settings, const json_t *config, const char *head,
                         const char *place, struct tpo_error *err);

struct tpo_reward {
  struct tpo_model *model;
  struct reward_head head;
  int batch_tokens;
  size_t kv_bytes;
  struct tpo_watch watch;
  struct tpo_reward_stats stats;

  /* Made by the first texts, and again by longer ones. */
  struct tpo_kv_cache *cache;
  int n_blocks, width; /* blocks of the cache; of a text at most */
  int rows;            /* tokens of a pass that it was made for */
};

/* open.c */
/* How it computes from here on, and what it counts anew; the model and its head are those that it was opened with. */
void reward_begin(struct tpo_reward *reward, const struct tpo_reward_options *options);
/* score.c */
void reward_rest(struct tpo_reward *reward); /* gives back all but weights; the next texts make it again */

#endif
