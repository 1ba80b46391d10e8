/* What a run measures besides validation: run.watch. Each entry's instructions are read and checked before the
 * run, and answered by the start model and by each iteration's. Its draws are keyed as validation's are, so
 * nothing else in the run depends on them. */
#ifndef TPO_RUN_WATCH_H
#define TPO_RUN_WATCH_H

#include <jansson.h>

#include "base/buf.h"
#include "eval/tasks/gsm8k.h"
#include "tpo/steps.h"

struct loop;

struct watched {                        /* an entry, ready to be measured */
  const struct tpo_watch_config *entry; /* borrowed */
  struct tpo_config settings, own;      /* as watch_settings gives them, with judge rule */
  double retry_temperature;             /* of drawing again what does not parse, where the entry's is 0 */
  struct tpo_instructions
      instructions;                /* those that are measured: rank 0, and all ranks once they are shared */
  struct eval_gsm8k_set questions; /* kind gsm8k: all of the file's; rank 0 */
  char instructions_hash[33];      /* rank 0 */
  char hash[33];                   /* of settings and prompts: rank 0 */
  bool opened, shared;
};

/* Settings of an entry, without its instructions. */
int watched_open(struct watched *w, const struct tpo_config *config, int at, struct tpo_error *err);
/* Its instructions, and the hash: for one rank by itself. Errors name FILE:LINE. */
int watched_read(struct watched *w, struct tpo_error *err);
/* Of all that a measurement depends on but for the model; prompts: a text that stands for the instructions. */
int watched_hash(const struct watched *w, const char *prompts, char hex[33], struct tpo_error *err);
void watched_close(struct watched *w);

/* What each kind of watch is made of (kinds.c). */
/* The file's instructions as the model is asked them. check as for tpo_instructions_read_checked. */
int watch_kind_read(struct watched *w, struct tpo_instructions *all,
                    int (*check)(void *arg, const struct tpo_instruction *item, struct tpo_error *err),
                    void *arg, struct tpo_error *err);
/* That an instruction's responses can be scored. */
int watch_kind_check(const struct watched *w, const struct tpo_instruction *item, struct tpo_error *err);
/* Scores rank 0's samples in place; all ranks. Figures of the kind's own go to event (rank 0's, else NULL). */
int watch_kind_score(const struct tpo_session *session, const struct watched *w, struct tpo_samples *samples,
                     json_t *event, struct tpo_error *err);
/* What an output that does not parse counts with where it has no score. */
double watch_kind_unparsed(const struct watched *w);
/* What the value is: "accuracy". */
const char *watch_kind_value(enum tpo_watch_kind kind);

/* All of run.watch, read, checked and compared with what the run measured before (all ranks). */
int loop_open_watched(struct loop *loop, struct tpo_error *err);
void loop_close_watched(struct loop *loop);
/* Measures loop->watched[loop->watching] on the model of loop->iteration. */
int step_watch(struct loop *loop, struct tpo_error *err);
/* "watch-NAME", the step; "watch-NAME.h5", its file. */
enum { WATCH_STEP = 48 };
void watch_step_name(const struct watched *w, const char *suffix, char out[WATCH_STEP]);
/* Of the closing text. Rank 0. */
int loop_watch_text(struct loop *loop, struct tpo_buf *out, struct tpo_error *err);

#endif
