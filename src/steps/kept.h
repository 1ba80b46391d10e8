/* What a step over the ranks has finished, kept in a journal (store/journal) while the rest goes on: every
 * rank appends, rank 0 has what earlier attempts left.
 *
 *   kept_open(&kept, comm, "out.h5.journal", work, KEPT_REFUSE, &err);        // all ranks
 *   if (rank == 0) found = journal_find(kept->journal, key, n_key, &piece, &err);
 *   ... rank 0 tells what is done; then each rank, for what it does of the rest:
 *   journal_append(kept->journal, key, n_key, bytes, len, &err);
 *   ...
 *   if (status < 0) status = kept_tell(kept, status, n_mine, n_all, "samples", &err);
 *   kept_close(kept);                         // the journal stays: whoever writes the result removes it
 */
#ifndef TPO_STEPS_KEPT_H
#define TPO_STEPS_KEPT_H

#include "store/journal/journal.h"
#include "tpo/comm.h"

struct kept {
  struct tpo_comm *comm;
  struct journal *journal;
  char *folder;
  int lock; /* rank 0's, by which no other command works with the folder; -1: none */
};

/* What becomes of a journal of other work in the folder. */
enum kept_other {
  KEPT_REFUSE, /* an error, TPO_E_USAGE, that names what differs */
  KEPT_ASIDE, /* renamed, FOLDER.1 or the next that is free, with a warning; one whose first line differs is refused */
  KEPT_DROP /* removed, with a warning; but one whose first line differs, "what: samples" say, is refused */
};

/* All ranks. work: lines "NAME: VALUE\n" of all that the results depend on, rank 0's. A rank that doesn't see
 * the folder that rank 0 made is an error. */
int kept_open(struct kept **out, struct tpo_comm *comm, const char *folder, const char *work,
              enum kept_other other, struct tpo_error *err);
/* After the ranks agreed that no more is appended; takes NULL. A folder with nothing in it goes. */
void kept_close(struct kept *kept);

/* Rank 0: the number of this attempt at the work, from 1, and a name that the first attempt made, unless it had one in
 * `name` ("": none), and all have: by it a judge knows what it was asked for before (tpo_judge_env.work). Kept in the
 * journal under "attempt N". */
int kept_name_attempt(struct kept *kept, uint64_t *attempt, char name[33], struct tpo_error *err);

/* After a failure on which all ranks agreed: adds to its message how much is kept, "; 1,234 of 4,000 samples
 * are kept in out.h5.journal", where it is anything. mine: this rank's, summed over the ranks. Returns status. */
int kept_tell(const struct kept *kept, int status, double mine, double all, const char *what,
              struct tpo_error *err);
/* After an outcome on which all ranks agreed: a journal that keeps nothing only stands in the way of whoever begins anew
 * with other settings, so it goes. n: what it keeps, summed over the ranks. */
void kept_drop_empty(struct kept *kept, int status, double n);

#endif
