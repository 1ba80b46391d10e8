/* The reference's log-probabilities, with progress; and how a session's listener is told. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "steps/kept.h"
#include "tpo/steps.h"

void tpo_session_tell(const struct tpo_session *session, const struct tpo_progress *at)
{
  if (session->progress) session->progress(session->progress_arg, at);
}

struct listener {
  const struct tpo_session *session;
  double pairs;
};

static void tell_pairs(const struct listener *l, double done)
{
  tpo_session_tell(l->session, &(struct tpo_progress){
                                   .phase = "reference", .unit = "pairs", .done = done, .total = l->pairs});
}

/* All ranks have about as many tokens, so this one's share is taken for theirs; all is done when they say so. */
static void tell_share(void *arg, double share)
{
  const struct listener *l = arg;
  tell_pairs(l, fmax(fmin(floor(share * l->pairs), l->pairs - 1), 0));
}

/* What an earlier attempt computed, and where this one's goes. */
struct keeping {
  struct kept *kept;
  double *known; /* [n_pairs, 2] */
  size_t n, mine;
};

/* The bytes of a pair's number, lowest first. */
static void pair_key(uint8_t key[4], size_t pair)
{
  for (int i = 0; i < 4; i++) key[i] = (uint8_t)(pair >> 8 * i);
}

static int keep_pair(void *arg, size_t pair, double chosen, double rejected, struct tpo_error *err)
{
  struct keeping *k = arg;
  uint8_t key[4];
  double values[2] = {chosen, rejected};
  pair_key(key, pair);
  int status = journal_append(k->kept->journal, key, sizeof key, values, sizeof values, err);
  k->mine += status == 0;
  return status;
}

/* Rank 0's, which are all. */
static int find_known(struct keeping *k, struct tpo_error *err)
{
  for (size_t i = 0; i < k->n; i++) {
    uint8_t key[4];
    struct journal_piece piece;
    pair_key(key, i);
    int found = journal_find(k->kept->journal, key, sizeof key, &piece, err);
    if (found < 0) return found;
    if (found == 0 || piece.len != 2 * sizeof(double)) continue;
    memcpy(k->known + 2 * i, piece.bytes, piece.len);
    k->mine++;
  }
  if (k->mine > 0)
    tpo_log(TPO_LOG_INFO, "%s: %zu of %zu reference log-probabilities are kept there", k->kept->folder,
            k->mine, k->n);
  return 0;
}

static int open_keeping(struct keeping *k, const struct tpo_session *session, struct tpo_model *reference,
                        const struct tpo_pairs *pairs, const char *journal, bool drop_others,
                        struct tpo_error *err)
{
  char *work = NULL;
  struct tpo_comm *comm = session->comm;
  *k = (struct keeping){.known = tpo_calloc(2 * pairs->n, sizeof *k->known, err), .n = pairs->n};
  for (size_t i = 0; k->known && i < 2 * pairs->n; i++) k->known[i] = NAN;
  int status = k->known ? tpo_train_reference_work(reference, pairs, &work, err) : TPO_E_MEMORY;
  status = tpo_comm_agree(comm, status, err);
  if (status == 0)
    status = kept_open(&k->kept, comm, journal, work, drop_others ? KEPT_DROP : KEPT_REFUSE, err);
  free(work);
  if (status == 0) status = tpo_comm_agree(comm, tpo_comm_rank(comm) == 0 ? find_known(k, err) : 0, err);
  if (status == 0) status = tpo_comm_bcast(comm, k->known, 2 * pairs->n * sizeof *k->known, 0, err);
  return status;
}

int tpo_reference_logprobs(const struct tpo_session *session, struct tpo_model *reference,
                           struct tpo_pairs *pairs, const char *journal, bool drop_others,
                           struct tpo_error *err)
{
  struct listener listener = {session, (double)pairs->n};
  struct tpo_watch watch = {tell_share, &listener};
  struct keeping keeping;
  tell_pairs(&listener, 0);
  int status = open_keeping(&keeping, session, reference, pairs, journal, drop_others, err);
  struct tpo_train_keeper keeper = {.known = keeping.known, .keep = keep_pair, .arg = &keeping};
  if (status == 0) {
    status = tpo_train_reference_logprobs(reference, session->comm, &session->config->train, pairs, &keeper,
                                          &watch, err);
    if (status < 0)
      status = kept_tell(keeping.kept, status, (double)keeping.mine, (double)pairs->n,
                         "reference log-probabilities", err);
  }
  if (status == 0) tell_pairs(&listener, listener.pairs);
  kept_close(keeping.kept);
  free(keeping.known);
  return status;
}
