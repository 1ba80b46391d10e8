/* What a run in steps tells of each of its segments (run.sync_steps): the samples that one policy drew, and where
 * the time of its steps went. */
#ifndef TPO_REPORT_SEGMENTS_H
#define TPO_REPORT_SEGMENTS_H

#include "report/load.h"

/* Of an event "segment" of the iteration; false: too many of them, or no memory. */
bool take_segment(struct report *report, struct report_iteration *it, const json_t *event);
/* Seconds that went into that: of the iteration's segments, or of its own step. NaN: not known. */
double report_seconds(const struct report_iteration *it, enum report_spent spent);
/* Samples, or their tokens, drawn for training up to the end of an iteration, in a run of either kind; NaN: it is
 * not known. */
double report_drawn(const struct report *report, int iteration, bool tokens);

#endif
