/* Shows how far a command is: a bar on a terminal, lines in the log elsewhere. */
#ifndef TPO_BASE_PROGRESS_H
#define TPO_BASE_PROGRESS_H

#include "base/log.h"

enum progress_kind {
  PROGRESS_NONE,
  PROGRESS_BAR,  /* on the descriptor's last line, drawn at most ten times a second */
  PROGRESS_LINES /* in the log, seldom: progress_update */
};

struct progress {
  enum progress_kind kind;
  int fd;                /* the terminal */
  double (*clock)(void); /* seconds */
  struct log_bar bar;    /* what the log knows of it */
  /* The phase: */
  char phase[24];
  double begin, first; /* when it was told first, and what was done by then */
  double done;
  bool ended;
  double told, told_done; /* the last line of it; its beginning where there is none */
  bool any_line;
  /* The bar: */
  double drawn; /* when */
  char text[400];
  bool visible;
};

/* clock NULL: tpo_seconds. A bar is hidden while the log writes a line, until progress_end. */
void progress_begin(struct progress *p, enum progress_kind kind, int fd, double (*clock)(void));
/* progress: a struct progress. A line is written where at least 10 seconds (a minute, from the tenth minute of
 * a phase on) have passed since the last one of the phase and something was done in them; where a twentieth
 * more is done and 2 seconds have passed; and at the end of a phase that had a line. A phase of under 2
 * seconds has none, one of a day about 1500. */
void progress_update(void *progress, const struct tpo_progress *at);
/* Around output that is not the log's: nothing but what stood there before is left, and drawn again after. */
void progress_hide(void *progress);
void progress_show(void *progress);
/* Nothing is left on the terminal. May be called again. */
void progress_end(struct progress *p);

#endif
