/* A step's journal: what any rank appended, rank 0 has later; what is of other work is refused, set aside or dropped; a folder
 * that not all ranks see is an error on all of them. */
#include "steps/kept.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "mpi_check.h"

#define WORK "what: squares\nseed: 0\n"

static char folder[64];

static struct kept *open_ok(void)
{
  struct kept *kept;
  CHECK(kept_open(&kept, comm, folder, WORK, KEPT_REFUSE, &err) == 0);
  return kept;
}

static void what_ranks_append_the_next_attempt_has(void)
{
  int rank = tpo_comm_rank(comm), size = tpo_comm_size(comm);
  struct journal_piece piece;
  struct kept *kept = open_ok();
  for (int i = rank; i < 100; i += size) {
    int square = i * i;
    CHECK(journal_append(kept->journal, &i, sizeof i, &square, sizeof square, &err) == 0);
  }
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  kept_close(kept);
  kept = open_ok();
  CHECK(rank > 0 || journal_size(kept->journal) == 100);
  for (int i = 0; i < 100 && rank == 0; i++) {
    int square = i * i;
    CHECK(journal_find(kept->journal, &i, sizeof i, &piece, &err) == 1 && piece.len == sizeof square &&
          memcmp(piece.bytes, &square, sizeof square) == 0);
  }
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  kept_close(kept);
}

static void a_failure_tells_what_is_kept(void)
{
  struct tpo_error told = {0};
  struct kept *kept = open_ok();
  double mine = tpo_comm_rank(comm) == 0 ? 1234 : 0;
  CHECK(tpo_fail(&told, TPO_E_INTERRUPTED, "stopped") ==
        kept_tell(kept, told.code, mine, 1e6, "squares", &told));
  CHECK(strstr(told.message, "stopped; 1,234 of 1,000,000 squares are kept in /"));
  tpo_fail(&told, TPO_E_IO, "nothing");
  CHECK(kept_tell(kept, told.code, 0, 100, "squares", &told) == TPO_E_IO &&
        strcmp(told.message, "nothing") == 0);
  kept_close(kept);
}

static void an_empty_one_goes(void)
{
  int rank = tpo_comm_rank(comm), size = tpo_comm_size(comm);
  const struct {
    int status;
    double n; /* the last rank's */
    bool stays;
  } cases[] = {{TPO_E_IO, 1, true}, {0, 1, true}, {0, 0, false}, {TPO_E_COMM, 0, true}, {TPO_E_IO, 0, false}};
  char other[80];
  snprintf(other, sizeof other, "%s.empty", folder);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct kept *kept;
    CHECK(kept_open(&kept, comm, other, WORK, KEPT_REFUSE, &err) == 0);
    CHECK(rank > 0 || journal_append(kept->journal, "attempt", 7, "", 0, &err) == 0);
    CHECK(tpo_comm_barrier(comm, &err) == 0);
    kept_drop_empty(kept, cases[i].status, rank == size - 1 ? cases[i].n : 0);
    kept_close(kept);
    CHECK(tpo_comm_barrier(comm, &err) == 0);
    CHECK(journal_exists(other) == cases[i].stays);
    CHECK(tpo_comm_barrier(comm, &err) == 0);
  }
}

static void other_work_is_set_aside_whole(void)
{
  struct kept *kept;
  char aside[80], next[80];
  bool first = tpo_comm_rank(comm) == 0;
  snprintf(aside, sizeof aside, "%s.1", folder);
  snprintf(next, sizeof next, "%s.2", folder);
  for (int i = 0; i < 2; i++) { /* the second time the first name is taken */
    const char *work = i == 0 ? "what: squares\nseed: 1\n" : "what: squares\nseed: 2\n";
    CHECK(kept_open(&kept, comm, folder, work, KEPT_ASIDE, &err) == 0);
    CHECK(!first || journal_size(kept->journal) == 0);
    CHECK(!first || journal_append(kept->journal, &i, sizeof i, &i, sizeof i, &err) == 0);
    CHECK(tpo_comm_barrier(comm, &err) == 0);
    kept_close(kept);
    CHECK(tpo_comm_barrier(comm, &err) == 0);
  }
  CHECK(journal_exists(aside) && journal_exists(next));
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  CHECK(!first || journal_remove(next, &err) == 0);
  CHECK(!first || (journal_remove(folder, &err) == 0 && rename(aside, folder) == 0));
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  kept = open_ok();
  CHECK(!first || journal_size(kept->journal) == 100);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  kept_close(kept);
  CHECK(kept_open(&kept, comm, folder, "what: cubes\n", KEPT_ASIDE, &err) == TPO_E_USAGE && !kept);
}

static void other_work_is_refused_or_dropped(void)
{
  struct kept *kept;
  CHECK(kept_open(&kept, comm, folder, "what: squares\nseed: 1\n", KEPT_REFUSE, &err) == TPO_E_USAGE &&
        !kept);
  CHECK(strstr(err.message, "`seed: 0` there, `seed: 1` now"));
  CHECK(kept_open(&kept, comm, folder, "what: cubes\nseed: 1\n", KEPT_DROP, &err) == TPO_E_USAGE && !kept);
  CHECK(strstr(err.message, "`what: squares` there, `what: cubes` now"));
  CHECK(kept_open(&kept, comm, folder, "what: squares\nseed: 1\n", KEPT_DROP, &err) == 0);
  CHECK(tpo_comm_rank(comm) > 0 || journal_size(kept->journal) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  kept_close(kept);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  CHECK(!tpo_file_exists(folder)); /* nothing was appended */
  CHECK(tpo_comm_barrier(comm, &err) == 0);
}

static void all_ranks_must_see_the_folder(void)
{
  struct kept *kept;
  char mine[80];
  bool last = tpo_comm_rank(comm) == tpo_comm_size(comm) - 1;
  if (tpo_comm_size(comm) == 1) return;
  snprintf(mine, sizeof mine, "%s%s", folder, last ? ".elsewhere" : "");
  CHECK(kept_open(&kept, comm, mine, WORK, KEPT_REFUSE, &err) == TPO_E_USAGE && !kept);
  CHECK(strstr(err.message, "all ranks see"));
  CHECK(!last || !tpo_file_exists(mine));
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  rmdir(folder);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 60, &err) == 0);
  tpo_log_setup(TPO_LOG_ERROR, false, tpo_comm_rank(comm)); /* a warning is expected */
  snprintf(folder, sizeof folder, "/tmp/tpo_kept.%d", (int)getpid());
  CHECK(tpo_comm_bcast(comm, folder, sizeof folder, 0, &err) == 0);
  what_ranks_append_the_next_attempt_has();
  a_failure_tells_what_is_kept();
  an_empty_one_goes();
  other_work_is_set_aside_whole();
  other_work_is_refused_or_dropped();
  all_ranks_must_see_the_folder();
  tpo_comm_close(comm);
  return 0;
}
