/* Answers to an evaluation's questions as bytes: in a journal, and on the way to rank 0. A question is known by
 * the hash of all that is asked, so what is kept serves whoever asks the same. */
#ifndef TPO_EVAL_ASKED_H
#define TPO_EVAL_ASKED_H

#include "eval/asking.h"
#include "steps/kept.h"

enum { ASKED_HASH = 32 };

/* Finds a question by its hash. */
struct asked_index {
  struct asked_hash {
    char hex[ASKED_HASH + 1];
    size_t at;
  } * sorted, *own; /* [n] by hash, and in the questions' order */
  size_t n;
  char all[ASKED_HASH + 1]; /* of all questions */
};
/* Two questions that are alike, key and texts, are an error. asked_index_free also after an error. */
int asked_index_open(struct asked_index *index, const struct eval_question *questions, size_t n,
                     struct tpo_error *err);
void asked_index_free(struct asked_index *index);

/* Appends an answer to the question of this hash. */
void asked_pack(struct tpo_buf *out, const char *hash, const struct ask_answer *answer);
/* Takes the answers among bytes to questions that have none; done (may be NULL) and *n count them. Those to other
 * questions are passed over; false: bytes that are none. */
struct asked_into {
  const struct asked_index *index;
  struct ask_answer *answers; /* [index->n] */
  bool *done;
  size_t *n;
};
int asked_unpack(const struct asked_into *into, const void *bytes, size_t len, struct tpo_error *err);

/* An entry: answers, and what was counted since the entry before, lines of JSON. */
struct asked_entry {
  uint64_t attempt, number; /* kept_name_attempt's; from 0 for each rank */
  const struct tpo_buf *answers;
  const char *counts;
  size_t n_counts;
};
int asked_append(struct kept *kept, const struct asked_index *index, const struct asked_entry *entry,
                 struct tpo_error *err);
/* Of all entries, the answers; and into counts the lines of those that were of just these questions, so that what
 * another round of the same work counted stays with that. Damage is an error. */
int asked_read(struct kept *kept, const struct asked_into *into, struct tpo_buf *counts,
               struct tpo_error *err);

#endif
