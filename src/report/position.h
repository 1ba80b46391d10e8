/* Where in its run an iteration stands: at its number, or, where the run draws samples between steps
 * (run.sync_steps), at the training step that it ends with. */
#ifndef TPO_REPORT_POSITION_H
#define TPO_REPORT_POSITION_H

#include "report/load.h"

bool report_in_steps(const struct report *report);
/* The iteration's number, or its last step, of those that are made. 0: the start model's. */
int report_position(const struct report *report, int iteration);
/* "iteration" or "step"; first letter large: "Iteration", "Step". */
const char *report_unit(const struct report *report, bool large);
/* Of the iteration: "iteration 3" or "steps 201 to 300". */
void put_stretch(struct tpo_buf *out, const struct report *report, int iteration, bool large);
/* As a column is headed: "start", or the position. */
void put_column_head(struct tpo_buf *out, const struct report *report, int iteration);

#endif
