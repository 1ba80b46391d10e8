/* What the report knows of a run: manifest, metrics and configuration, and the samples that it shows. Files
 * that are missing because a run has not come that far are no matter; one that can't be read is noted on the
 * page. */
#ifndef TPO_REPORT_LOAD_H
#define TPO_REPORT_LOAD_H

#include "base/json.h"
#include "tpo/config.h"
#include "tpo/store.h"

enum report_event {
  EVENT_SAMPLE,
  EVENT_JUDGE,
  EVENT_PAIRS,
  EVENT_LEFT_OUT,
  EVENT_GAP,
  EVENT_KL,
  EVENT_VALIDATE,
  EVENT_SELECTED,
  EVENT_WIN_PREVIOUS,
  EVENT_WIN_BASELINE,
  N_EVENTS
};
enum report_phase {
  PHASE_VALIDATE,
  PHASE_PROMPTS,
  PHASE_SAMPLE,
  PHASE_JUDGE,
  PHASE_PAIRS,
  PHASE_DPO,
  PHASE_STEPS, /* of a run in steps: all of an interval's sampling, judging, pairing and training */
  PHASE_WATCH, /* of all that is watched */
  N_PHASES
};
/* Of a training step. */
enum report_field {
  FIELD_LOSS,
  FIELD_ACCURACY,
  FIELD_MARGIN,
  FIELD_CHOSEN_LOGPROB,
  FIELD_REJECTED_LOGPROB,
  FIELD_GRAD_NORM,
  FIELD_LR,
  FIELD_TOKENS,
  FIELD_SECONDS,
  N_FIELDS
};
/* Of a segment: the steps that the samples of one policy serve, in a run in steps. */
enum report_segment_field {
  SEGMENT_FIRST_STEP,
  SEGMENT_SCORE,
  SEGMENT_THOUGHT,
  SEGMENT_RESPONSE,
  SEGMENT_PROMPTS,
  SEGMENT_PAIRS,
  SEGMENT_RHO,
  N_SEGMENT_FIELDS
};
/* Where its time went. */
enum report_spent { SPENT_SAMPLE, SPENT_JUDGE, SPENT_REFERENCE, SPENT_TRAIN, SPENT_WAIT, N_SPENT };

struct report_step {
  int iteration;
  bool skipped;            /* it had no pair */
  double values[N_FIELDS]; /* NaN where missing */
};

struct report_segment {
  int iteration;
  double values[N_SEGMENT_FIELDS]; /* NaN where missing */
};

struct report_iteration {
  int number;
  json_t *events[N_EVENTS];                     /* the last of each; owned; NULL when there is none */
  json_t *epochs;                               /* array of "epoch" events; owned; may be NULL */
  json_t *breakdowns;                           /* of "groups", "group_wins" and "thoughts" events, alike */
  json_t *watch;                                /* of "watch" events, alike */
  double seconds[N_PHASES];                     /* of finished steps; NaN otherwise */
  double spent[N_SPENT], samples, drawn_tokens; /* sums over its segments; NaN without */
  struct tpo_samples validation;
  double validation_mean, validation_se; /* over prompts, from validation.h5; NaN without */
  double *scores;                        /* [n_scores] of the iteration's samples */
  size_t n_scores;
};

struct report {
  const char *dir;
  json_t *manifest; /* an object, or NULL */
  struct tpo_config config;
  bool has_config;
  char *config_text;                   /* config.yaml as it stands; may be NULL */
  struct report_iteration *iterations; /* [n_iterations] by number */
  size_t n_iterations, iterations_capacity;
  struct report_step *steps; /* [n_steps] in order */
  size_t n_steps, steps_capacity;
  int reached;                     /* the last step that an event tells, from 1; 0: none */
  struct report_segment *segments; /* [n_segments] in order */
  size_t n_segments, segments_capacity;
  struct tpo_buf notes; /* <li> elements: what could not be read */
};

int report_load(struct report *report, const char *dir, struct tpo_error *err);
void report_free(struct report *report);
/* Adds "<li>message</li>" and drops the error. */
void report_note(struct report *report, const struct tpo_error *problem);

/* That a run in steps has made the step of that number, from 1. NaN: nothing. */
void report_reach(struct report *report, double step);
/* A member of a JSON object as a number: NaN unless it is one. object may be NULL. */
double report_number(const json_t *object, const char *key);
/* The last event of that name that is "of" (or "against") that and, unless by is NULL, "by" that; or NULL. */
const json_t *report_breakdown(const struct report_iteration *it, const char *name, const char *of,
                               const char *by);
double report_event_number(const struct report_iteration *it, enum report_event event, const char *key);
/* "DIR/iter-NNN/NAME" in out; true when that file is there. */
bool report_file(const struct report *report, int iteration, const char *name, char out[4096]);
/* Validation score: what the metrics say, else the mean of the file. NaN: not validated. */
double report_validation(const struct report_iteration *it);
/* What a validation output that does not parse counted with in that iteration: what the metrics say, else the
 * judge's score of an empty response. A judge that compares gives such outputs scores of their own. */
double report_unparsed(const struct report *report, const struct report_iteration *it);
/* Mean score of the prompt whose first row is `first`, as the run counts it: an output that does not parse
 * counts with `unparsed` unless it has a score, and a response that the judge failed on makes it NaN. */
double report_prompt_score(const struct tpo_samples *samples, size_t first, double unparsed);

#endif
