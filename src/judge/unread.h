/* Answers in which no verdict or number was read: counted by why, and told. */
#ifndef TPO_JUDGE_UNREAD_H
#define TPO_JUDGE_UNREAD_H

#include <jansson.h>
#include "judge/verdict.h"

struct judge_unread {
  int64_t of[N_JUDGE_READINGS]; /* [JUDGE_READ] stays 0 */
  bool warned;
};
void judge_unread_add(struct judge_unread *unread, const struct judge_found *found);
int64_t judge_unread_total(const struct judge_unread *unread);
/* Into a judge's counts: no_match, not_named, too_large, contradicted, given_up, cut_off, open_thought; those
 * that are 0 too, so that the order doesn't depend on which came first. False: memory was short. */
bool judge_unread_put(const struct judge_unread *unread, json_t *counts);
/* Takes those that are 0 out of counts that were added up, in which no more comes. */
void judge_unread_omit(json_t *counts);
/* From counts, as judge_unread_put gave them or under a judge's name ("http.no_match"). */
void judge_unread_take(struct judge_unread *unread, const json_t *counts);
/* "3 matched what is none ([[x]], [[y]]); 2 were cut off, ...". matched [n_matched]: such matches. */
void judge_unread_tell(const struct judge_unread *unread, const char *const *matched, size_t n_matched,
                       struct tpo_buf *out);
/* Must be seen before a run has stopped for them, or found no pair: a warning, once, when they are more
 * than half of the n answers so far (a batch may have few). what: "verdict", "number". */
void judge_unread_warn(struct judge_unread *unread, int64_t n, const char *what);

/* Why this answer has no number. */
void judge_found_tell(const struct judge_found *found, const char *what, struct tpo_buf *out);

#endif
