/* Inside `tpo eval alpaca`: what was asked for, and its parts, each of which hands its result to the next: inputs,
 * outputs, annotations, metrics. */
#ifndef TPO_CLI_EVAL_ALPACA_H
#define TPO_CLI_EVAL_ALPACA_H

#include "cli/eval/eval.h"
#include "eval/alpaca/given.h"
#include "tpo/data.h"

/* Where a result goes: the file that its option names, and one in --save's folder; "": nowhere. */
struct alpaca_places {
  char paths[2][4096];
};
struct alpaca_request {
  bool draws, judges, resume;
  const char *prompts, *outputs, *baseline, *annotations, *difficulty,
      *gamed;          /* of the options; NULL: not given */
  char generator[256]; /* what rows without a name are of */
  bool renames;        /* it was given, and is what rows with a name are of, too */
  bool both_positions;
  double c; /* NaN: by cross-validation */
  struct alpaca_places outputs_to, annotations_to, leaderboards_to;
  char outputs_journal[4096], annotations_journal[4096]; /* "": none */
};
/* What is there of the work. */
struct alpaca_parts {
  json_t *result, *provenance;     /* rank 0; NULL elsewhere */
  struct tpo_instructions prompts; /* all ranks; n 0: none are given */
  json_t *outputs;  /* all ranks, where they are judged; rank 0 alone else; NULL: neither read nor drawn */
  json_t *baseline; /* all ranks; NULL: nothing is judged */
  struct alpaca_given given; /* rank 0 */
};

/* The first place; "": none. */
const char *alpaca_place(const struct alpaca_places *places);

/* A part's options; usage errors. */
int alpaca_draw_read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err);
int alpaca_judge_read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err);
int alpaca_metrics_read_request(struct invocation *in, struct alpaca_request *r, struct tpo_error *err);

/* All files but annotations, before any work: what is wrong with one of them is told at once. All ranks. */
int alpaca_read_inputs(const struct cli_session *s, const struct alpaca_request *r,
                       struct alpaca_parts *parts, struct tpo_error *err);
/* A model's outputs, where they weren't read; all ranks. */
int alpaca_get_outputs(const struct cli_session *s, const struct alpaca_request *r,
                       struct alpaca_parts *parts, struct tpo_error *err);
/* Outputs, beside the baseline's, become annotations, which are written; all ranks. */
int alpaca_get_annotations(const struct cli_session *s, const struct alpaca_request *r,
                           struct alpaca_parts *parts, struct tpo_error *err);
/* The annotations' metrics; rank 0. */
int alpaca_get_metrics(const struct alpaca_request *r, struct alpaca_parts *parts, struct tpo_error *err);

#endif
