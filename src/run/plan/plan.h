/* What a run would take: gathered by plan.c, sizes.c and memory.c, told by text.c. Rank 0 alone. Counts are
 * doubles: products of settings may be beyond 64 bits, and nothing here needs the last digit. */
#ifndef TPO_RUN_PLAN_PLAN_H
#define TPO_RUN_PLAN_PLAN_H

#include "base/buf.h"
#include "judge/routes.h"
#include "tpo/run.h"
#include "tpo/text.h"

/* The instructions of an iteration, or those of validation. */
struct plan_set {
  size_t n;
  size_t longest;          /* tokens of the longest prompt */
  double prompt_tokens;    /* of all, each once */
  double most, expected;   /* tokens of one output of each, summed */
  double text_bytes;       /* of the rendered prompts */
  double row_bytes;        /* of a row of samples.h5 for each, its output left out */
  double line_bytes;       /* of the file of instructions */
  double detail_bytes;     /* of a row's score_detail for each */
  double calls, versus;    /* of judges: on the samples of each; on a couple of responses of each */
  double pair_token_bytes; /* of a pair's prompt for each */
};

struct plan_judge {
  const char *kind;                 /* KIND[:ARG]; borrowed */
  const char *unit;                 /* what a call is: "comparisons" */
  bool asks;                        /* it needs calls at all */
  double train, validation, versus; /* calls on all iterations' samples; on validation's, in one pass */
};

struct plan_watch {     /* an entry of run.watch, measured once */
  const char *name;     /* borrowed */
  int k, marker_tokens; /* of a response marker that its layout may insert */
  struct plan_set set;
  double bytes, most_bytes; /* of its file */
};

struct plan_files { /* bytes */
  double prompts, samples, scored, pairs, validation;
};

struct plan {
  const struct tpo_session *session;
  const struct tpo_config *config; /* the session's, but that the model may lack a chat template */
  struct tpo_arch arch;
  struct tpo_tokenizer *tokenizer;
  struct tpo_template *tmpl;
  char *yaml; /* the configuration, as files carry it */
  int expect_tokens;
  int budget;        /* tokens drawn for an output at most */
  int marker_tokens; /* of a response marker that may be inserted besides */
  bool compares;     /* the judge compares responses with each other */
  struct routes routes;
  struct plan_judge *judges; /* [routes.n_judges] */
  struct plan_set *train;    /* [iterations] */
  struct plan_set validation;
  struct plan_watch *watch; /* [config->run.n_watch] */
  double checkpoint, state; /* bytes of checkpoint.h5, and of one state of training in its journal */
  double reference;         /* of a run in steps: bytes of weights alone, beside its state */
};

/* Counts an instruction, rendered, but for judges' calls on it. */
int plan_add_prompt(const struct plan *plan, struct plan_set *set, const struct tpo_instruction *item,
                    struct tpo_error *err);

/* watch.c */
int plan_watches(struct plan *plan, struct tpo_error *err);
double plan_watch_bytes(const struct plan *plan, bool most); /* of all their files of one model */
/* The largest of their journals, which has every draw of an entry until its file is written. */
double plan_watch_journal_bytes(const struct plan *plan, bool most);
void plan_print_watches(const struct plan *plan, struct tpo_buf *out);

/* sizes.c */
/* A file of samples, k of each instruction of the set, scored or not. */
double plan_samples_bytes(const struct plan *plan, const struct plan_set *set, double k, bool scored,
                          bool most);
int plan_checkpoint_sizes(struct plan *plan, struct tpo_error *err);
/* Files of an iteration, with outputs as long as expected or, `most`, as long as can be. */
void plan_file_sizes(const struct plan *plan, const struct plan_set *set, bool most, struct plan_files *out);
/* Of the whole run folder: when it is done, and the most that stands in it at any time. */
void plan_disk(const struct plan *plan, bool most, double *end, double *peak);
/* Bytes free on the file system that `path` would be on; negative: it can't be told. */
double plan_free_space(const char *path);

/* How often iteration i (0: the start model) samples the validation instructions, and how often their
 * responses are compared with those of another model. */
int plan_validations(const struct plan *plan, int iteration);
int plan_comparisons(const struct plan *plan, int iteration);
/* Pairs of a set at most, and the optimizer steps over them in all epochs. */
double plan_pairs(const struct plan *plan, const struct plan_set *set);
double plan_steps(const struct plan *plan, const struct plan_set *set);

/* steps.c: of a run in steps (run.sync_steps) */
/* What a row of a table tells of, and its first column's name: an iteration, or the step that ends it. */
const char *plan_row_title(const struct plan *plan);
void plan_row_name(const struct plan *plan, int iteration, char out[24]);
void plan_print_steps(const struct plan *plan, struct tpo_buf *out);
/* Bytes of what stands beside the files of such an iteration while it works on them, and of what the whole run
 * keeps: states of training, weights of a reference. */
double plan_steps_journal(const struct plan *plan, const struct plan_set *set, bool most);
double plan_steps_kept(const struct plan *plan);
bool plan_steps_keeps_reference(const struct plan *plan); /* beside the state of training */

/* memory.c */
void plan_print_memory(const struct plan *plan, struct tpo_buf *out);

/* text.c */
void plan_print(const struct plan *plan, struct tpo_buf *out);

#endif
