/* The parts of the page; each appends to out and leaves out what the run does not have. */
#ifndef TPO_REPORT_PARTS_H
#define TPO_REPORT_PARTS_H

#include "report/load.h"

void part_headline(struct tpo_buf *out, const struct report *report);
void part_result(struct tpo_buf *out, const struct report *report);
void part_table(struct tpo_buf *out, const struct report *report);
void part_charts(struct tpo_buf *out, const struct report *report);
void trend_charts(struct tpo_buf *out, const struct report *report); /* part_charts: over the iterations */
/* The same charts with a line a run: [n <= MOST_BESIDE] reports and what they are called. */
enum { MOST_BESIDE = 4 };
void trend_charts_beside(struct tpo_buf *out, const struct report *const *reports, const char (*names)[16],
                         size_t n);
void segment_charts(struct tpo_buf *out, const struct report *report); /* part_charts: of a run in steps */
void time_chart(struct tpo_buf *out, const struct report *report);     /* part_charts: where the time went */
void part_groups(struct tpo_buf *out, const struct report *report);
void part_thoughts(struct tpo_buf *out, const struct report *report);
void part_watch(struct tpo_buf *out, const struct report *report);
void part_configuration(struct tpo_buf *out, const struct report *report);

/* Prompts with all their samples, an iteration after the other, each file read and let go in turn; also takes
 * the scores into the iterations, so it comes before part_charts. */
int part_samples(struct tpo_buf *out, struct report *report, struct tpo_error *err);
/* What the model answered the validation instructions at the start and after each iteration. */
void part_validation(struct tpo_buf *out, const struct report *report);

/* One sample as an <article>. title: how it is headed; chosen, rejected: in how many pairs it is. */
void sample_card(struct tpo_buf *out, const struct tpo_sample_row *row, const char *title, int chosen,
                 int rejected);
/* The instruction in full, and the checks that it carries. */
void prompt_body(struct tpo_buf *out, const struct tpo_sample_row *row);

#endif
