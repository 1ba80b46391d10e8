/* Opening and closing: whether there are other ranks at all, and which. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/process.h"
#include "comm/start.h"
#include "comm/state.h"

enum {
  MEETING_LEAST = 5,                  /* seconds for the first exchange, when all ranks have come */
  SUM_CHUNK_MOST = 128 * 1024,        /* elements: 512 KiB stay in a cache while they are summed */
  SUM_SCRATCH_MOST = 8 * 1024 * 1024, /* elements over all ranks and both generations */
};

/* "Open MPI v4.1.4, package: ..." becomes "Open MPI 4.1.4". */
static void library_name(char *out, size_t size)
{
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int len = 0;
  if (MPI_Get_library_version(text, &len) != MPI_SUCCESS) text[0] = '\0';
  text[strcspn(text, ",\n")] = '\0';
  char *v = strstr(text, " v");
  if (v) memmove(v + 1, v + 2, strlen(v + 2) + 1);
  snprintf(out, size, "%.60s", text[0] ? text : "MPI");
}

static int describe(struct tpo_comm *comm, int *hosts, struct tpo_error *err)
{
  MPI_Comm local;
  int status = comm_check(
      comm, MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &local),
      COMM_OPEN, err);
  if (status < 0) return status;
  int first = 0;
  *hosts = 0;
  MPI_Comm_rank(local, &comm->local_rank);
  MPI_Comm_size(local, &comm->local_size);
  MPI_Comm_free(&local);
  first = comm->local_rank == 0;
  status = comm_check(comm, MPI_Iallreduce(&first, hosts, 1, MPI_INT, MPI_SUM, comm->world, comm->requests),
                      COMM_OPEN, err);
  if (status == 0) status = comm_wait(comm, comm->requests, 1, COMM_OPEN, err);
  if (status < 0) return status;
  char library[64];
  library_name(library, sizeof library);
  snprintf(comm->description, sizeof comm->description, "%d rank%s on %d host%s, %s", comm->size,
           comm->size == 1 ? "" : "s", *hosts, *hosts == 1 ? "" : "s", library);
  return 0;
}

static int exchange_hosts(struct tpo_comm *comm, struct tpo_error *err)
{
  char mine[TPO_HOST_NAME];
  tpo_host_name(mine);
  mine[COMM_HOST - 1] = '\0';
  int result = MPI_Iallgather(mine, COMM_HOST, MPI_CHAR, comm->hosts, COMM_HOST, MPI_CHAR, comm->world,
                              comm->requests);
  int status = comm_check(comm, result, COMM_OPEN, err);
  return status < 0 ? status : comm_wait(comm, comm->requests, 1, COMM_OPEN, err);
}

static int allocate_scratch(struct tpo_comm *comm, struct tpo_error *err)
{
  size_t others = (size_t)comm->size - 1;
  comm->sum_chunk = SUM_SCRATCH_MOST / 2 / others;
  if (comm->sum_chunk > SUM_CHUNK_MOST) comm->sum_chunk = SUM_CHUNK_MOST;
  if (comm->sum_chunk < 1024) comm->sum_chunk = 1024;
  comm->requests = tpo_calloc((size_t)comm->size * 4, sizeof *comm->requests, err);
  comm->gathered = tpo_calloc((size_t)comm->size * COMM_F64_CHUNK, sizeof *comm->gathered, err);
  comm->incoming = tpo_calloc(2 * others * comm->sum_chunk, sizeof *comm->incoming, err);
  comm->transfers = tpo_calloc(2 * (size_t)comm->size, sizeof *comm->transfers, err);
  comm->hosts = tpo_calloc((size_t)comm->size, sizeof *comm->hosts, err);
  return comm->requests && comm->gathered && comm->incoming && comm->transfers && comm->hosts ? 0
                                                                                              : TPO_E_MEMORY;
}

/* What MPI does to bring the ranks together, none of which can be given up. */
static int join_world(struct tpo_comm *comm, long expected, struct tpo_error *err)
{
  int initialised = 0, provided = 0;
  MPI_Initialized(&initialised);
  if (!initialised) {
    int result = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
    if (result != MPI_SUCCESS)
      return tpo_fail(err, TPO_E_COMM, "MPI could not be initialised (error %d)", result);
    comm->owns_mpi = true;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  int status = comm_check(comm, MPI_Comm_dup(MPI_COMM_WORLD, &comm->world), COMM_OPEN, err);
  if (status < 0) return status;
  MPI_Comm_set_errhandler(comm->world, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm->world, &comm->rank);
  MPI_Comm_size(comm->world, &comm->size);
  if (expected > 0 && !initialised && expected != comm->size)
    return tpo_fail(err, TPO_E_COMM,
                    "the launcher started %ld processes but MPI sees %d; "
                    "the launcher and the MPI library that this program was built with do not fit together",
                    expected, comm->size);
  if (comm->size == 1) {
    char library[64];
    library_name(library, sizeof library);
    snprintf(comm->description, sizeof comm->description, "1 rank, %s", library);
    return 0;
  }
  int hosts;
  status = allocate_scratch(comm, err);
  if (status == 0) status = describe(comm, &hosts, err);
  if (status == 0) status = exchange_hosts(comm, err);
  return status < 0 ? status : comm_remote_open(comm, hosts, err);
}

/* Nobody reads another's words before they are 0. */
static int meet(struct tpo_comm *comm, struct tpo_error *err)
{
  if (comm->size == 1) return 0;
  int status = comm_enter(comm, COMM_OPEN, err);
  if (status == 0) status = comm_check(comm, MPI_Ibarrier(comm->world, comm->requests), COMM_OPEN, err);
  return status < 0 ? status : comm_wait(comm, comm->requests, 1, COMM_OPEN, err);
}

static int open_mpi(struct tpo_comm *comm, const struct comm_launch *launch,
                    const struct tpo_comm_options *options, struct tpo_error *err)
{
  struct comm_start *start;
  int status = comm_start_begin(&start, launch, options, err);
  if (status < 0) return status;
  status = join_world(comm, launch->size, err);
  double left = comm_start_end(start);
  if (options->start_deadline > 0) comm->deadline = left < MEETING_LEAST ? MEETING_LEAST : left;
  if (status == 0) status = meet(comm, err);
  if (options->start_deadline > 0) comm->deadline = options->start_deadline;
  return status;
}

static void free_comm(struct tpo_comm *comm)
{
  free(comm->requests);
  free(comm->gathered);
  free(comm->incoming);
  free(comm->transfers);
  free(comm->hosts);
  free(comm);
}

int tpo_comm_open_alone(struct tpo_comm **out, struct tpo_error *err)
{
  struct tpo_comm *comm = tpo_calloc(1, sizeof *comm, err);
  *out = comm;
  if (!comm) return TPO_E_MEMORY;
  comm->size = comm->local_size = 1;
  comm->world = MPI_COMM_NULL;
  comm->window = MPI_WIN_NULL;
  snprintf(comm->description, sizeof comm->description, "1 rank");
  return 0;
}

int tpo_comm_open_with(struct tpo_comm **out, const struct tpo_comm_options *options, struct tpo_error *err)
{
  *out = NULL;
  if (options->deadline < 1)
    return tpo_fail(err, TPO_E_USAGE, "a deadline of %d seconds: at least 1 is expected", options->deadline);
  if (options->start_deadline < 0 || (options->start_deadline > 0 && !options->late))
    return tpo_fail(
        err, TPO_E_USAGE,
        "a deadline of %d seconds for the start: none or more is expected, with who is told of it",
        options->start_deadline);
  struct comm_launch launch;
  int status = comm_launch_read(&launch, err);
  if (status < 0) return status;
  struct tpo_comm *comm;
  status = tpo_comm_open_alone(&comm, err);
  if (status < 0) return status;
  comm->deadline = comm->deadline_later = options->deadline;
  if (launch.started) status = open_mpi(comm, &launch, options, err);
  if (status < 0) {
    free_comm(comm);
    return status;
  }
  *out = comm;
  return 0;
}

int tpo_comm_open(struct tpo_comm **out, int deadline_seconds, struct tpo_error *err)
{
  return tpo_comm_open_with(out, &(struct tpo_comm_options){.deadline = deadline_seconds}, err);
}

void tpo_comm_started(struct tpo_comm *comm)
{
  comm->deadline = comm->deadline_later;
}

void tpo_comm_close(struct tpo_comm *comm)
{
  if (!comm) return;
  tpo_comm_detach(comm);
  /* After a failed exchange MPI's own end, a collective, would wait for ranks that never come: the launcher
   * ends them. */
  bool orderly = !comm->broken && comm->world != MPI_COMM_NULL;
  if (orderly && comm->size > 1) {
    orderly = comm_enter(comm, COMM_CLOSE, NULL) == 0 &&
              comm_check(comm, MPI_Ibarrier(comm->world, comm->requests), COMM_CLOSE, NULL) == 0 &&
              comm_wait(comm, comm->requests, 1, COMM_CLOSE, NULL) == 0;
    if (orderly) comm_remote_close(comm);
  }
  if (orderly) {
    MPI_Comm_free(&comm->world);
    if (comm->owns_mpi) MPI_Finalize();
  }
  if (orderly || comm->size == 1) free_comm(comm); /* messages on their way may still be written into it */
}

void tpo_comm_abort(struct tpo_comm *comm, int exit_status)
{
  if (comm && comm->size > 1) MPI_Abort(comm->world, exit_status);
}

int tpo_comm_rank(const struct tpo_comm *comm)
{
  return comm->rank;
}

int tpo_comm_size(const struct tpo_comm *comm)
{
  return comm->size;
}

int tpo_comm_local_size(const struct tpo_comm *comm)
{
  return comm->local_size;
}

int tpo_comm_local_rank(const struct tpo_comm *comm)
{
  return comm->local_rank;
}

const char *tpo_comm_describe(const struct tpo_comm *comm)
{
  return comm->description;
}
