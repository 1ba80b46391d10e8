/* What one step hands on to the next in memory. A run that is taken up between the two reads it from the
 * files, on rank 0 alone, and tells the other ranks. */
#include <stdlib.h>

#include "base/buf.h"
#include "data/pack.h"
#include "run/loop.h"
#include "store/pairs_pack.h"

/* Rank 0's packed bytes, or its failure to pack them, to all ranks. */
static int share_bytes(const struct loop *loop, int status, const struct tpo_buf *packed, void **bytes,
                       size_t *len, struct tpo_error *err)
{
  *bytes = packed->data;
  *len = packed->len;
  status = loop_agree(loop, status, err);
  return status < 0 ? status : tpo_comm_bcast_bytes(loop->session->comm, bytes, len, 0, err);
}

int loop_share_instructions(const struct loop *loop, struct tpo_instructions *set, struct tpo_error *err)
{
  struct tpo_buf packed = {0};
  void *bytes;
  size_t len;
  int status = loop->first ? instructions_pack(set, &packed, err) : 0;
  status = share_bytes(loop, status, &packed, &bytes, &len, err);
  if (status == 0 && !loop->first) status = instructions_unpack(set, bytes, len, err);
  free(bytes);
  return loop_agree(loop, status, err);
}

int loop_share_pairs(const struct loop *loop, struct tpo_pairs *pairs, struct tpo_error *err)
{
  struct tpo_buf packed = {0};
  void *bytes;
  size_t len;
  int status = loop->first ? pairs_pack(pairs, &packed, err) : 0;
  status = share_bytes(loop, status, &packed, &bytes, &len, err);
  if (status == 0 && !loop->first) status = pairs_unpack(pairs, bytes, len, err);
  free(bytes);
  return loop_agree(loop, status, err);
}

int loop_have_prompts(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = 0;
  if (loop->first && loop->prompts.n == 0) {
    status = loop_path(loop, loop->iteration, "prompts.jsonl", path, err);
    if (status == 0) status = tpo_instructions_read(&loop->prompts, path, err);
  }
  status = loop_agree(loop, status, err);
  return status < 0 ? status : loop_share_instructions(loop, &loop->prompts, err);
}

int loop_have_validation(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = 0;
  if (loop->validation_shared) return 0;
  if (loop->first && loop->validation.n == 0) {
    status = loop_path(loop, -1, "prompts/validation.jsonl", path, err);
    if (status == 0) status = tpo_instructions_read(&loop->validation, path, err);
  }
  status = loop_agree(loop, status, err);
  if (status == 0) status = loop_share_instructions(loop, &loop->validation, err);
  loop->validation_shared = status == 0;
  return status;
}

int loop_have_samples(struct loop *loop, const char *file, struct tpo_error *err)
{
  char path[4096];
  int status = 0;
  if (loop->first && loop->samples.n == 0) {
    status = loop_path(loop, loop->iteration, file, path, err);
    if (status == 0) status = tpo_samples_read(&loop->samples, path, err);
  }
  return loop_agree(loop, status, err);
}

int loop_have_pairs(struct loop *loop, struct tpo_error *err)
{
  char path[4096];
  int status = 0;
  if (loop->pairs.n > 0) return 0; /* on all ranks, or on none */
  if (loop->first) {
    status = loop_path(loop, loop->iteration, "pairs.h5", path, err);
    if (status == 0) status = tpo_pairs_read(&loop->pairs, path, err);
  }
  status = loop_agree(loop, status, err);
  return status < 0 ? status : loop_share_pairs(loop, &loop->pairs, err);
}

void loop_drop_iteration(struct loop *loop)
{
  tpo_instructions_free(&loop->prompts);
  tpo_samples_free(&loop->samples);
  tpo_pairs_free(&loop->pairs);
}

void loop_drop_all(struct loop *loop)
{
  loop_drop_iteration(loop);
  tpo_instructions_free(&loop->chosen[0]);
  tpo_instructions_free(&loop->chosen[1]);
  tpo_instructions_free(&loop->validation);
  tpo_samples_free(&loop->start.samples);
  tpo_samples_free(&loop->last.samples);
}
