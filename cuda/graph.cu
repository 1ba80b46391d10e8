/* Recorded work as CUDA graphs: a decode pass is some hundred launches of a few microseconds
 * each, whose launching takes longer than their running; replayed as one graph they follow
 * each other without the host. */
#include "ops.cuh"

#include <stdlib.h>

struct recording {
  uint64_t key;
  unsigned folds; /* of the pass, as tpo_cuda_paged_folds */
  cudaGraphExec_t graph;
};

struct tpo_cuda_record {
  struct recording *list; /* [n]; some dozens: one or two for each batch-size class */
  int n, capacity;
  bool active; /* the stream is being captured, for `key` and `folds` */
  uint64_t key;
  unsigned folds;
};

int tpo_cuda_record_open(struct tpo_cuda *cuda, struct tpo_error *err)
{
  cuda->record = static_cast<struct tpo_cuda_record *>(calloc(1, sizeof *cuda->record));
  return cuda->record ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
}

void tpo_cuda_record_close(struct tpo_cuda *cuda)
{
  if (!cuda->record) return;
  tpo_cuda_forget(&cuda->base);
  free(cuda->record->list);
  free(cuda->record);
  cuda->record = NULL;
}

bool tpo_cuda_recording(const struct tpo_cuda *cuda)
{
  return cuda->record && cuda->record->active;
}

int tpo_cuda_replay(struct tpo_backend *be, uint64_t key)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  struct tpo_cuda_record *record = cuda->record;
  const unsigned folds = tpo_cuda_paged_folds(cuda);
  for (int i = 0; i < record->n; i++)
    if (record->list[i].key == key && record->list[i].folds == folds) {
      tpo_cuda_ok(cuda, cudaGraphLaunch(record->list[i].graph, cuda->stream), "replaying recorded work");
      return 1;
    }
  if (record->n == record->capacity) {
    int capacity = record->capacity ? 2 * record->capacity : 16;
    void *list = realloc(record->list, (size_t)capacity * sizeof *record->list);
    if (!list) return 0; /* the work is run as it comes */
    record->list = static_cast<struct recording *>(list);
    record->capacity = capacity;
  }
  record->active = tpo_cuda_ok(cuda, cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal),
                               "recording work");
  record->key = key;
  record->folds = folds;
  return 0;
}

void tpo_cuda_record_end(struct tpo_backend *be)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  struct tpo_cuda_record *record = cuda->record;
  if (!record->active) return;
  record->active = false;
  cudaGraph_t graph = NULL;
  cudaGraphExec_t exec = NULL;
  if (!tpo_cuda_ok(cuda, cudaStreamEndCapture(cuda->stream, &graph), "recording work")) return;
  if (cuda->error.code == 0 && tpo_cuda_ok(cuda, cudaGraphInstantiate(&exec, graph, 0), "recording work")) {
    record->list[record->n].key = record->key;
    record->list[record->n].folds = record->folds;
    record->list[record->n].graph = exec;
    record->n++;
    tpo_cuda_ok(cuda, cudaGraphLaunch(exec, cuda->stream), "replaying recorded work");
  }
  cudaGraphDestroy(graph);
}

void tpo_cuda_forget(struct tpo_backend *be)
{
  struct tpo_cuda *cuda = tpo_cuda_of(be);
  struct tpo_cuda_record *record = cuda->record;
  if (!record) return;
  if (record->n > 0) cudaStreamSynchronize(cuda->stream); /* a graph that runs may not be destroyed */
  for (int i = 0; i < record->n; i++) cudaGraphExecDestroy(record->list[i].graph);
  record->n = 0;
}
