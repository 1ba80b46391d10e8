/* config: every setting of the program, as typed structs.
 *
 * One table (src/config/keys.c) gives each key its type, range, default and documentation; it parses the
 * YAML, fills the defaults, prints `tpo config` and generates the reference page configs/README.md.
 *
 *   struct tpo_config config;
 *   tpo_config_default(&config);
 *   if (tpo_config_load(&config, "configs/quickstart.yaml", &err) < 0) ...
 *   ...
 *   tpo_config_free(&config);
 *
 * The layers above take these structs as their options, so that defaults stand in one place. Strings are
 * owned by the config (NULL or "" where a setting is not given). */
#ifndef TPO_CONFIG_H
#define TPO_CONFIG_H

#include <stdio.h>
#include "tpo/base.h"

enum tpo_compute_dtype { TPO_DTYPE_BF16, TPO_DTYPE_FP32 };
/* Instruction sets of the CPU backend's kernels, in rising order. */
enum tpo_isa { TPO_ISA_AUTO, TPO_ISA_SCALAR, TPO_ISA_AVX2, TPO_ISA_AVX512, TPO_ISA_AVX512_BF16 };
enum tpo_backend_kind { TPO_BACKEND_AUTO, TPO_BACKEND_CPU, TPO_BACKEND_CUDA };

struct tpo_model_config {        /* model: */
  char *path;                    /* folder, .gguf or checkpoint .h5 */
  enum tpo_compute_dtype dtype;  /* bf16 | fp32 */
  enum tpo_backend_kind backend; /* auto | cpu | cuda */
  int threads;                   /* per rank; 0 = cores divided by the ranks on this host */
  enum tpo_isa isa;              /* auto: the highest that pays on this CPU */
};

#define TPO_TEMPLATE_DATE "2024-07-26" /* template.date's default: what Llama 3.2 falls back on */
struct tpo_template_config { /* template: pieces in place of the model's own chat template; all or none */
  char *bos;                 /* text before the first message */
  char *system_prefix, *system_suffix;
  char *user_prefix, *user_suffix;
  char *assistant_prefix, *assistant_suffix;
  char *default_system; /* used when a chat has no system message */
  char *
      date; /* "YYYY-MM-DD", for the model's own template where it asks for today's; NULL: the key's default */
  bool dispensable; /* not a key: where there are no pieces, the model may lack a template, too (a plan) */
};

struct tpo_data_config { /* data: */
  char *train;           /* prompts file; empty: composed instructions (synth) */
  char *validation;      /* prompts file; empty: composed, topics disjoint from training */
  int prompts_per_iteration;
  int validation_prompts;
  int skip_bad; /* bad rows of a file of prompts or pairs that are left out before the file is refused */
};

enum tpo_parse_rule {
  TPO_PARSE_STRICT, /* both markers, in order, each once */
  TPO_PARSE_SEARCH  /* the first thought marker, and the first response marker after it */
};
/* What stands for the instruction in a layout's prompt. */
#define TPO_THOUGHT_SLOT "{instruction}"

struct tpo_thought_config {  /* thought: filled from `thought: auto|a built-in layout|FILE.yaml` */
  char *name;                /* as given; "auto" until tpo_thought_resolve has settled on a layout */
  char *prompt;              /* user turn; holds TPO_THOUGHT_SLOT exactly once */
  char *system;              /* system message, or empty: the chat template's own default */
  char *thought_marker;      /* text that begins the thought, or empty */
  char *response_marker;     /* text that begins the response; empty: all of the output is response */
  char *prefill;             /* text that the assistant's turn is begun with, or empty */
  enum tpo_parse_rule parse; /* strict | search: which outputs have the layout; sampling is the same */
  int thought_tokens;        /* budget of the thought; 0: see tpo_config_thought_limit */
  int response_tokens;       /* budget of the response; 0 = no limit of its own */
  bool force;                /* on_budget: force (insert the response marker) | stop */
  /* inserted tokens carry loss in the chosen output (default true); never in the rejected */
  bool train_forced;
  /* JSON object of variables that the chat template is given beside its own; NULL: none */
  char *template_args;
};

struct tpo_sampling_config { /* sampling: */
  int k;                     /* samples a prompt, default 8 */
  double temperature;        /* 0.8; 0 = greedy */
  double top_p;              /* 0.95; 1 = off */
  int top_k;                 /* 0 = off */
  double min_p;              /* 0 = off */
  double repetition_penalty; /* 1 = off */
  int max_tokens;            /* generated tokens a sample, thought and response together */
  int slots;                 /* sequences generated at once on a rank */
  char **stop;               /* stop strings */
  int n_stop;
};

enum tpo_judge_mode { TPO_JUDGE_ABSOLUTE, TPO_JUDGE_PAIRWISE };
struct tpo_judge_term { /* of a sum */
  char *kind;           /* KIND[:ARG] of a judge that is neither route nor sum */
  double weight;        /* of its score, in [-1e6, 1e6], not 0 */
};
enum tpo_verdict { TPO_VERDICT_A, TPO_VERDICT_B, TPO_VERDICT_TIE };
struct tpo_verdict_label {
  char *text; /* what judge.pattern's group gives; letter case and white space around it aside */
  enum tpo_verdict is;
  double weight; /* how much a win counts, above 0, at most 100; a tie counts nothing */
};
struct tpo_verdicts { /* both NULL: A, B, and as ties C, tie, both, neither */
  char *preset;       /* arena-hard, or NULL */
  struct tpo_verdict_label *labels;
  int n;
};
enum tpo_verdict_rule {
  TPO_VERDICT_LAST, /* the last match counts */
  TPO_VERDICT_ONLY, /* matches that differ are no verdict */
};
struct tpo_judge_config { /* judge: */
  char *kind;             /* rule | reward:DIR | pairwise:DIR | http:URL | command:PROGRAM | route | sum */
  double max_failed;      /* share of prompts with a response without a score above which a run stops, 0.1 */
  bool strict;            /* rule: strict checks only; false: IFEval's loose variants */
  double repetition_penalty; /* rule: weight of the repeated-n-gram share, default 0.5 */
  double empty_score;        /* rule: score of an empty response, default -1 */
  char **routes;             /* route: "FIELD[=VALUE] -> KIND[:ARG]", the first that fits; "*" fits all */
  int n_routes;
  struct tpo_judge_term *terms; /* sum: whose weighted scores are added up */
  int n_terms;
  bool standardise;         /* route, sum: scores in units of each judge's spread */
  double repetition;        /* any: weight of the repeated-n-gram share, taken off every score; 0: none */
  char *head;               /* reward: name of the score head's tensor, NULL: "score" */
  int batch_tokens;         /* reward: most tokens in one forward pass */
  enum tpo_judge_mode mode; /* http: absolute | pairwise */
  char *system, *prompt;    /* pairwise, http: what the judge model is asked; NULL: built-in */
  char *pattern;         /* pairwise, http: regular expression whose group is the verdict; NULL: built-in */
  char *thought_pattern; /* pairwise, http: what it matches is thought; NULL: tags alone */
  struct tpo_verdicts verdicts;       /* pairwise, http: what the group's texts mean in comparisons */
  enum tpo_verdict_rule verdict_rule; /* pairwise, http: last | only */
  int comparisons;                    /* pairwise: ordered comparisons a prompt; 0: all K (K - 1) */
  double elo_prior;   /* pairwise: weight of the prior that keeps undefeated responses finite */
  int max_tokens;     /* pairwise, http: of an answer */
  double temperature; /* pairwise, http */
  int slots;          /* pairwise:DIR: sequences at once */
  char *model;        /* http: the model's name at the server */
  char *request;      /* http: JSON object of fields of the request, null for those left out; NULL: none */
  char *key_env;      /* http: environment variable with the key */
  char *cache;        /* http: folder of answers; NULL: in the run folder, else none */
  int concurrency;    /* http: requests under way, over all ranks */
  int timeout;        /* http, command: seconds for one answer */
  int retries;        /* http: attempts after the first */
};

enum tpo_length_unit { TPO_LENGTH_CHARACTERS, TPO_LENGTH_TOKENS };
enum tpo_pair_mode { TPO_PAIRS_BEST_WORST, TPO_PAIRS_ALL };
struct tpo_pairs_config {  /* pairs: */
  enum tpo_pair_mode mode; /* best-worst | all (every pair whose margin is above `margin`) */
  double length_penalty;   /* rho in [0, 0.5] of s = z(score) - rho * z(length); `auto` sets length_auto */
  bool length_auto;
  enum tpo_length_unit length_unit; /* of the response: code points | tpo_sample_response_tokens */
  double margin;                    /* least difference of raw scores for a pair, default 0 (exclusive) */
  int max_pairs_per_prompt;         /* mode all; 0 = no limit */
  bool reject_failures;             /* an output that does not parse is rejected; false: it is left out */
  double max_failure_share; /* in [0, 1]: most pairs whose rejected output does not parse, of all pairs */
};

enum tpo_schedule { TPO_SCHEDULE_CONSTANT, TPO_SCHEDULE_LINEAR, TPO_SCHEDULE_COSINE };
enum tpo_preference_loss { TPO_LOSS_DPO, TPO_LOSS_IPO };
enum tpo_truncate {
  TPO_TRUNCATE_NONE, /* its pair is left out */
  TPO_TRUNCATE_LEFT, /* its prompt loses its oldest tokens */
};
struct tpo_train_config {                  /* train: */
  enum tpo_preference_loss loss;           /* dpo | ipo */
  double beta;                             /* 0.1 */
  double label_smoothing;                  /* 0; conservative DPO, in [0, 0.5) */
  double nll;                              /* 0; weight of the IRPO term */
  double learning_rate;                    /* 5e-7 */
  enum tpo_schedule schedule;              /* cosine */
  double warmup;                           /* fraction of all steps, 0.1 */
  double weight_decay;                     /* 0 */
  double adam_beta1, adam_beta2, adam_eps; /* 0.9 0.999 1e-8 */
  double grad_clip;                        /* 1; 0 = off */
  int batch;                               /* global number of pairs a step, 128 */
  int epochs;                              /* 1 */
  bool shuffle;                            /* true */
  int micro_batch_tokens;                  /* most tokens in one packed forward pass, 4096 */
  int max_pair_tokens;                     /* of a sequence (prompt + output); 0 = context length */
  enum tpo_truncate truncate;              /* none | left: what becomes of a longer sequence */
  bool save_optimizer; /* true: checkpoints carry m and v (and master weights, as a bf16 model's always do) */
  double state_minutes; /* between two states kept inside an epoch, 30; 0: none there */
};

enum tpo_reference {
  TPO_REFERENCE_PREVIOUS, /* the model that the iteration starts from; in steps: that of the last checkpoint */
  TPO_REFERENCE_START,    /* the one that the run started from */
  TPO_REFERENCE_EVERY     /* in steps: the one after the last step whose number so many divide */
};
enum tpo_watch_kind {
  TPO_WATCH_GSM8K,  /* maths questions with a number as their answer: 1 where the response ends with it */
  TPO_WATCH_IFEVAL, /* instructions with checks: 1 where the response follows all of them */
  TPO_WATCH_RULE,   /* the rule judge's score */
};
struct tpo_watch_config { /* an entry of run.watch */
  char *name;             /* of its numbers: letters, digits, - and _, at most 32 */
  char *prompts;          /* file */
  enum tpo_watch_kind kind;
  int limit;          /* instructions of the file, the same ones each time; 0: all */
  char *thought;      /* a built-in layout's name or a layout's file; NULL: the run's own thought */
  double temperature; /* 0 = greedy */
  int k;              /* samples of each instruction */
};
struct tpo_run_config {         /* run: */
  char *dir;                    /* run folder */
  int iterations;               /* 4 */
  int sync_steps;               /* optimizer steps that a policy's samples serve; 0: an iteration's */
  int steps;                    /* optimizer steps in all; with sync_steps alone */
  int checkpoint_steps;         /* steps between two validations and checkpoints; 0: those at the end alone */
  int rho_window;               /* prompts that pairs.length_penalty: auto looks at there */
  enum tpo_reference reference; /* previous | start | every:N: which model is the DPO reference */
  int reference_every;          /* N, else 0 */
  int validation_k;             /* samples a validation prompt, default 1 */
  double validation_temperature;  /* 0 = greedy */
  int validation_resample;        /* further draws for a validation output that does not parse */
  char *baseline;                 /* run folder to compare with on the validation instructions; NULL: none */
  int kl_outputs;                 /* outputs that the KL estimate is taken over; 0: none */
  bool tensorboard;               /* write TensorBoard event files */
  bool validate_each_epoch;       /* and select the best epoch's checkpoint; false: the last epoch's */
  struct tpo_watch_config *watch; /* measured beside validation; bears on nothing else */
  int n_watch;
  int deadline;       /* seconds a rank may be silent in a collective step before the run ends, 1800 */
  int start_deadline; /* seconds until all ranks are together, 60; 0: no limit */
};
enum { TPO_MOST_ITERATIONS = 10000, TPO_MOST_PROMPTS = 100000000 };
/* Whether samples are drawn anew within an iteration (run.sync_steps). */
static inline bool tpo_run_in_steps(const struct tpo_run_config *run)
{
  return run->sync_steps > 0;
}
/* Steps between two checkpoints, and how many such stretches the run has: its iterations. */
static inline int tpo_run_interval(const struct tpo_run_config *run)
{
  return run->checkpoint_steps > 0 ? run->checkpoint_steps : run->steps;
}
static inline int tpo_run_iterations(const struct tpo_run_config *run)
{
  if (!tpo_run_in_steps(run) || run->steps < 1) return run->iterations;
  int n = (run->steps - 1) / tpo_run_interval(run) + 1;
  return n < TPO_MOST_ITERATIONS ? n : TPO_MOST_ITERATIONS; /* more are refused (tpo_config_check) */
}

struct tpo_config {
  uint64_t seed; /* seed: 0 */
  struct tpo_model_config model;
  struct tpo_template_config template_pieces;
  struct tpo_data_config data;
  struct tpo_thought_config thought;
  struct tpo_sampling_config sampling;
  struct tpo_judge_config judge;
  struct tpo_pairs_config pairs;
  struct tpo_train_config train;
  struct tpo_run_config run;
  struct tpo_config_origins *origins; /* where each value came from; opaque */
};

/* Of a whole iteration; its last stretch of steps may be shorter (tpo_run_in_steps). */
static inline int tpo_config_prompts_per_iteration(const struct tpo_config *config)
{
  int64_t n = (int64_t)tpo_run_interval(&config->run) * config->train.batch;
  if (!tpo_run_in_steps(&config->run) || n < 1) return config->data.prompts_per_iteration;
  return n < TPO_MOST_PROMPTS ? (int)n : TPO_MOST_PROMPTS;
}

TPO_API void tpo_config_default(struct tpo_config *config);
TPO_API void tpo_config_free(struct tpo_config *config);

/* Reads YAML over what config holds. Unknown keys (with the nearest known one suggested), wrong types, values
 * out of range and duplicates are all reported together, a line each "FILE:LINE: ...", in *report (may be
 * NULL; free() it); err gets the first and the count. `thought:` naming FILE.yaml or a built-in is resolved
 * here: a relative path is looked up beside the YAML file, and built-ins are compiled in from
 * configs/thought/. */
TPO_API int tpo_config_load(struct tpo_config *config, const char *path, char **report,
                            struct tpo_error *err);
TPO_API int tpo_config_load_text(struct tpo_config *config, const char *yaml, size_t len, const char *place,
                                 char **report, struct tpo_error *err);
/* One "key.path=value" as given to --set; origin is e.g. "--set" or "--beta". */
TPO_API int tpo_config_set(struct tpo_config *config, const char *assignment, const char *origin,
                           struct tpo_error *err);
/* Sets thought from a built-in's name or a YAML file. */
TPO_API int tpo_config_set_thought(struct tpo_config *config, const char *name_or_path, const char *origin,
                                   struct tpo_error *err);
/* How prompts were made, from the YAML of another configuration, as files of samples, pairs and checkpoints carry
 * it: the sections thought and template take the place of config's own. place begins messages. */
TPO_API int tpo_config_take_prompts(struct tpo_config *config, const char *yaml, const char *place,
                                    struct tpo_error *err);
/* Whether `thought: auto` stands for a layout that was not settled on yet; it holds that of generic till then. */
TPO_API bool tpo_config_thought_is_open(const struct tpo_thought_config *thought);
/* The built-in layout `name` takes the place of thought: auto, in the section, whose keys that were given beside
 * auto stay, and in watches. */
TPO_API int tpo_config_settle_thought(struct tpo_config *config, const char *name, struct tpo_error *err);
/* Values out of range and impossible combinations of the named parts, all of them in *report as above. */
enum {
  TPO_CHECK_SAMPLING = 1, /* model, template, data, thought, sampling: all that `tpo generate` needs */
  TPO_CHECK_PAIRS = 2,    /* that samples of these settings can make pairs */
  TPO_CHECK_TRAINING = 4,
  TPO_CHECK_LOOP = 8, /* judge and run */
  TPO_CHECK_ALL = 15, /* as `tpo run` needs them */
};
TPO_API int tpo_config_check(const struct tpo_config *config, unsigned parts, char **report,
                             struct tpo_error *err);

/* Most tokens of the thought when a sample has max_tokens in all: thought_tokens where that is given;
 * otherwise half of max_tokens when the response marker is forced, and 0, no limit of its own, when it is
 * not. */
TPO_API int tpo_config_thought_limit(const struct tpo_thought_config *thought, int max_tokens);
/* Most tokens of such a sample: the thought's limit and the response's, where both have one, at most
 * max_tokens. */
TPO_API int tpo_config_output_limit(const struct tpo_thought_config *thought, int max_tokens);
/* Where a response marker of marker_tokens may be inserted (0: none is), an output must hold the thought's
 * budget, the marker and a token of the response. TPO_E_USAGE unless sampling.max_tokens does; the message
 * names the place where it was set, the keys, and the least that works. */
TPO_API int tpo_config_check_marker(const struct tpo_config *config, int marker_tokens,
                                    struct tpo_error *err);
/* The same of what the model's context leaves after a prompt of n_prompt tokens, with max_tokens for an
 * output; without a marker it must leave a token. thought may be NULL: none. TPO_E_INPUT; the message goes
 * behind the prompt's name. */
TPO_API int tpo_config_check_room(const struct tpo_thought_config *thought, int max_tokens, int marker_tokens,
                                  size_t n_prompt, int context, struct tpo_error *err);

/* Every key with its value; with_origins adds "# default", "# FILE:LINE", "# --set". The YAML that it prints,
 * loaded again, gives the same config; of thought: auto, what is given beside it. free() the result; NULL when
 * memory is short. */
TPO_API char *tpo_config_print(const struct tpo_config *config, bool with_origins);
/* A key's default as the reference page shows it, "" for an empty one; NULL for no default or no such key. */
TPO_API const char *tpo_config_default_text(const char *key);
/* The reference page (Markdown) of every key. free() the result. */
TPO_API char *tpo_config_reference(void);

#endif
