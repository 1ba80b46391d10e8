/* Several runs beside each other, on the validation instructions that all of them have: each one's figures,
 * and how the others differ from the first, instruction by instruction. */
#ifndef TPO_REPORT_RUNS_RUNS_H
#define TPO_REPORT_RUNS_RUNS_H

#include "base/memory.h"
#include "measure/dynamics.h"
#include "measure/figures.h"
#include "measure/groups.h"
#include "report/load.h"
#include "tpo/report.h"

struct compared_run {
  struct report report;
  const char *name;                  /* the folder as it was given */
  const struct report_iteration *at; /* whose validation is compared */
  /* The rows of instructions that all runs have, in the first run's order; what they point to is the report's. */
  struct tpo_samples view;
  size_t unmatched;          /* instructions that not all others have */
  double *values[N_FIGURES]; /* [n] */
  struct estimate now[N_FIGURES];
  /* From the second run on, against the first: */
  struct estimate change[N_FIGURES]; /* of the paired differences */
  struct win_rate won;               /* by score */
  struct estimate won_rate;          /* of 1, 1/2 and 0 an instruction */
  double *outcomes;                  /* [rows of view], as win_rate_of_scores has them */
  struct groups groups[N_GROUP_BY];
};

struct compared {
  struct compared_run *runs; /* [n_runs] */
  size_t n_runs;
  size_t n; /* instructions that all have */
  double
      unparsed; /* what an output that does not parse counts with, in all runs: the least that it does in one */
  bool shares; /* the judge compares: scores are shares of what was won against a run's own start model */
  struct tpo_buf unlike;   /* the same of what judging and validation go by, where it was forced */
  struct tpo_buf settings; /* "key: A's | B's" lines: those that bear on results and are not the same */
  size_t *order;           /* [n] instructions, the one that runs' scores differ most in first */
};

int compared_load(struct compared *c, const char *const *dirs, size_t n_dirs,
                  const struct tpo_compare_options *options, struct tpo_error *err);
void compared_free(struct compared *c);

/* Inside. */
/* That runs are of the same judge and validation: an error that names all that is not, or, where it is
 * forced, a warning. Fills `settings`. */
int compared_settings(struct compared *c, bool force, struct tpo_error *err);
/* Fills `view` of all runs, n and unmatched. */
int compared_match(struct compared *c, struct tpo_error *err);
/* All the rest. */
int compared_numbers(struct compared *c, uint64_t seed, struct tpo_error *err);
/* Of each run, the first row of each instruction in its view: [n_runs][n], one block to free; NULL, with err, where
 * memory is short. */
size_t **compared_all_rows(const struct compared *c, struct tpo_error *err);
/* The run's last KL a token up to what is compared; NaN: none. */
double compared_kl(const struct compared_run *run);
/* Whether the run came to its end. */
bool compared_is_done(const struct compared_run *run);
/* Whether any run has the figure. Checks are the rule judge's alone. */
bool compared_has(const struct compared *c, enum figure figure);
/* The last "watch" event of that name of what is compared; NULL: none. */
const json_t *compared_watch(const struct compared_run *run, const char *name);
/* The names that any run watches, one after the other; NULL: no more. Begin with at of zeros. */
const char *compared_next_watch(const struct compared *c, size_t at[2]);
/* "the start model", "iteration 3", "step 20". */
void run_place(const struct compared_run *run, struct tpo_buf *out);
/* Of groups by what numbers are told in: shares of checks in %, scores as they are. */
int group_decimals(enum group_by by, double *factor);

/* "A", "B", …, "Z", "27". */
void run_letter(size_t run, char out[16]);
const char *figure_key(enum figure figure);  /* "response_tokens" */
const char *figure_name(enum figure figure); /* "response, tokens" */
int figure_decimals(enum figure figure, double *factor);

int compared_text(const struct compared *c, size_t shown, struct tpo_buf *out, struct tpo_error *err);
int compared_json(const struct compared *c, size_t shown, struct tpo_buf *out, struct tpo_error *err);
int compared_page(const struct compared *c, size_t shown, struct tpo_buf *out, struct tpo_error *err);

#endif
