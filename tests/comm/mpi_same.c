/* Ranks that compare what must not differ: all leave with the same answer, whichever of them it is. */
#include <string.h>
#include <unistd.h>
#include "mpi_check.h"

static int rank, size;

static int compare(const char *value, struct tpo_error *e)
{
  const struct tpo_comm_fact facts[] = {{"model", "m"}, {"seed", value}};
  *e = (struct tpo_error){0};
  return tpo_comm_same(comm, "has other settings", facts, 2, e);
}

static void equal_facts_pass(void)
{
  struct tpo_error e;
  for (int i = 0; i < 20; i++) CHECK(compare("5", &e) == 0 && e.message[0] == '\0');
}

static void each_rank_that_differs_is_named_on_all(void)
{
  char host[256] = "", expected[600];
  gethostname(host, sizeof host - 1);
  for (int other = 1; other < size; other++) {
    struct tpo_error e;
    CHECK(compare(rank == other ? "7" : "5", &e) == TPO_E_USAGE);
    snprintf(expected, sizeof expected,
             "rank %d on host %s has other settings: seed is 7 there and 5 on rank 0", other, host);
    CHECK(strcmp(e.message, expected) == 0);
    /* An agreement behind it names no rank before it. */
    CHECK(tpo_comm_agree(comm, TPO_E_USAGE, &e) == TPO_E_USAGE && strcmp(e.message, expected) == 0);
  }
}

static void rank_0_is_what_the_others_are_compared_with(void)
{
  struct tpo_error e;
  int status = compare(rank == 0 ? "7" : "5", &e);
  CHECK(status == (size > 1 ? TPO_E_USAGE : 0));
  CHECK(size == 1 || strncmp(e.message, "rank 1 on host ", 15) == 0);
  CHECK(size < 3 || strstr(e.message, size == 3 ? "; rank 2 differs too" : "; ranks 2, 3 differ too"));
}

static void a_rank_that_does_not_know_is_no_hindrance(void)
{
  struct tpo_error e;
  CHECK(compare(rank == size - 1 ? NULL : "5", &e) == 0);
  CHECK(compare("5", &e) == 0);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  rank = tpo_comm_rank(comm);
  size = tpo_comm_size(comm);
  equal_facts_pass();
  each_rank_that_differs_is_named_on_all();
  rank_0_is_what_the_others_are_compared_with();
  a_rank_that_does_not_know_is_no_hindrance();
  tpo_comm_close(comm);
  return 0;
}
