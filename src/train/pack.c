/* Who works on which pairs, and pairs packed one after another into forward passes. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "model/model.h"
#include "train/state.h"

int64_t pair_tokens(const struct tpo_pair_row *row)
{
  return 2 * (int64_t)row->n_prompt + row->n_chosen + row->n_rejected;
}

int pair_loss_tokens(const struct tpo_pair_row *row, bool chosen)
{
  const uint8_t *mask = chosen ? row->chosen_mask : row->rejected_mask;
  int n = chosen ? row->n_chosen : row->n_rejected, count = 0;
  for (int i = row->n_prompt > 0 ? 0 : 1; i < n; i++) count += !mask || mask[i];
  return count;
}

struct length {
  int64_t tokens;
  uint32_t slot;
};

static int longest_first(const void *a, const void *b)
{
  const struct length *x = a, *y = b;
  if (x->tokens != y->tokens) return x->tokens < y->tokens ? 1 : -1;
  return x->slot < y->slot ? -1 : x->slot > y->slot;
}

void share_free(struct share *share)
{
  free(share->rows);
  free(share->slots);
  memset(share, 0, sizeof *share);
}

int share_pairs(struct share *share, const struct tpo_comm *comm, const struct tpo_pairs *pairs,
                const uint32_t *rows, size_t n, struct tpo_error *err)
{
  int size = tpo_comm_size(comm), me = tpo_comm_rank(comm);
  memset(share, 0, sizeof *share);
  struct length *lengths = tpo_calloc(n, sizeof *lengths, err);
  int64_t *load = tpo_calloc((size_t)size, sizeof *load, err);
  bool *mine = tpo_calloc(n, sizeof *mine, err);
  share->rows = tpo_calloc(n, sizeof *share->rows, err);
  share->slots = tpo_calloc(n, sizeof *share->slots, err);
  int status = lengths && load && mine && share->rows && share->slots ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    for (size_t i = 0; i < n; i++)
      lengths[i] = (struct length){.tokens = pair_tokens(&pairs->rows[rows[i]]), .slot = (uint32_t)i};
    qsort(lengths, n, sizeof *lengths, longest_first);
    for (size_t i = 0; i < n; i++) {
      int least = 0;
      for (int r = 1; r < size; r++)
        if (load[r] < load[least]) least = r;
      load[least] += lengths[i].tokens;
      mine[lengths[i].slot] = least == me;
    }
    for (size_t i = 0; i < n; i++) {
      if (!mine[i]) continue;
      share->rows[share->n] = rows[i];
      share->slots[share->n++] = (uint32_t)i;
    }
  }
  free(lengths);
  free(load);
  free(mine);
  if (status < 0) share_free(share);
  return status;
}

void micro_batch_free(struct micro_batch *mb)
{
  free(mb->ids);
  free(mb->cu_seqlens);
  free(mb->longest);
  free(mb->wanted);
  free(mb->loss_pairs);
  free(mb->results);
  memset(mb, 0, sizeof *mb);
}

static int reserve(struct micro_batch *mb, int n_tokens, int n_pairs, struct tpo_error *err)
{
  size_t tokens = (size_t)n_tokens, pairs = (size_t)n_pairs;
  if (tokens > mb->token_capacity || pairs > mb->pair_capacity) {
    micro_batch_free(mb);
    mb->ids = tpo_calloc(tokens, sizeof *mb->ids, err);
    mb->wanted = tpo_calloc(tokens, sizeof *mb->wanted, err);
    mb->cu_seqlens = tpo_calloc(2 * pairs + 1, sizeof *mb->cu_seqlens, err);
    mb->longest = tpo_calloc(2 * pairs, sizeof *mb->longest, err);
    mb->loss_pairs = tpo_calloc(pairs, sizeof *mb->loss_pairs, err);
    mb->results = tpo_calloc(pairs, sizeof *mb->results, err);
    if (!mb->ids || !mb->wanted || !mb->cu_seqlens || !mb->longest || !mb->loss_pairs || !mb->results) {
      micro_batch_free(mb);
      return TPO_E_MEMORY;
    }
    mb->token_capacity = tokens;
    mb->pair_capacity = pairs;
  }
  memset(mb->wanted, 0, tokens * sizeof *mb->wanted);
  return 0;
}

/* Appends prompt and output as sequence s.
 * The position before an output's token carries that token's loss. */
static void append(struct micro_batch *mb, const struct tpo_arch *arch, int s, int32_t output_tokens,
                   const struct tpo_pair_row *row, const int32_t *output, const uint8_t *mask, int n)
{
  int at = mb->cu_seqlens[s], begin = at + row->n_prompt;
  if (row->n_prompt) memcpy(mb->ids + at, row->prompt_ids, (size_t)row->n_prompt * sizeof *mb->ids);
  if (n) memcpy(mb->ids + begin, output, (size_t)n * sizeof *mb->ids);
  for (int i = row->n_prompt > 0 ? 0 : 1; i < n; i++) mb->wanted[begin + i - 1] = !mask || mask[i];
  mb->cu_seqlens[s + 1] = begin + n;
  mb->longest[s] = tpo_arch_longest(arch, row->n_prompt, output_tokens, row->n_prompt + n);
}

static bool is_long(const struct tpo_arch *arch, const struct tpo_pair_row *row, int n, int32_t output_tokens)
{
  int64_t tokens = (int64_t)row->n_prompt + n;
  return tpo_rope_is_long(arch, tpo_arch_longest(arch, row->n_prompt, output_tokens, tokens));
}

size_t tpo_train_rotated_otherwise(const struct tpo_pairs *pairs, const struct tpo_arch *arch,
                                   int32_t output_tokens)
{
  size_t found = 0;
  for (size_t i = 0; i < pairs->n; i++) {
    const struct tpo_pair_row *row = &pairs->rows[i];
    const int outputs[] = {row->n_chosen, row->n_rejected};
    bool differs = false;
    for (int o = 0; o < 2; o++)
      differs |= is_long(arch, row, outputs[o], pairs->output_tokens) !=
                 is_long(arch, row, outputs[o], output_tokens);
    found += differs;
  }
  return found;
}

int micro_batch_fill(struct micro_batch *mb, const struct tpo_model *model, const struct tpo_pairs *pairs,
                     const uint32_t *rows, size_t n, int most_tokens, struct tpo_error *err)
{
  const struct tpo_arch *arch = tpo_model_arch(model);
  const int32_t most = pairs->output_tokens;
  int64_t total = 0;
  int n_pairs = 0;
  while ((size_t)n_pairs < n) {
    int64_t more = pair_tokens(&pairs->rows[rows[n_pairs]]);
    if (more > INT_MAX)
      return tpo_fail(err, TPO_E_INPUT, "pair %u: %lld tokens are more than one forward pass can take",
                      rows[n_pairs], (long long)more);
    if (n_pairs > 0 && total + more > most_tokens) break;
    total += more;
    n_pairs++;
  }
  int status = reserve(mb, (int)total, n_pairs, err);
  if (status < 0) return status;
  mb->n_pairs = n_pairs;
  mb->n_tokens = (int)total;
  mb->cu_seqlens[0] = 0;
  int32_t wanted = 0; /* so far */
  for (int j = 0; j < n_pairs; j++) {
    const struct tpo_pair_row *row = &pairs->rows[rows[j]];
    append(mb, arch, 2 * j, most, row, row->chosen_ids, row->chosen_mask, row->n_chosen);
    append(mb, arch, 2 * j + 1, most, row, row->rejected_ids, row->rejected_mask, row->n_rejected);
    struct tpo_loss_pair *loss = &mb->loss_pairs[j];
    *loss = (struct tpo_loss_pair){.chosen = wanted,
                                   .n_chosen = pair_loss_tokens(row, true),
                                   .n_rejected = pair_loss_tokens(row, false),
                                   .ref_chosen = row->chosen_ref_logprob,
                                   .ref_rejected = row->rejected_ref_logprob};
    loss->rejected = wanted + loss->n_chosen;
    loss->nll_tokens = loss->n_chosen;
    wanted = loss->rejected + loss->n_rejected;
  }
  return 0;
}

struct tpo_batch micro_batch_view(const struct micro_batch *mb)
{
  return (struct tpo_batch){.ids = mb->ids,
                            .cu_seqlens = mb->cu_seqlens,
                            .n_tokens = mb->n_tokens,
                            .n_seqs = 2 * mb->n_pairs,
                            .wanted = mb->wanted,
                            .longest = mb->longest};
}

struct pair_outcome pair_outcome(const struct tpo_loss_result *result)
{
  return (struct pair_outcome){result->chosen, result->rejected, result->loss, result->margin};
}

int micro_batch_losses(struct micro_batch *mb, struct tpo_backend *be, const struct tpo_train_config *config,
                       size_t n_global, struct tpo_wanted wanted, struct tpo_error *err)
{
  const struct tpo_loss_args args = {.kind = config->loss,
                                     .beta = config->beta,
                                     .label_smoothing = config->label_smoothing,
                                     .nll = config->nll,
                                     .scale = 1.0 / (double)n_global};
  tpo_ops(be)->preference_loss(be, wanted.logprob, wanted.dlogprob, mb->loss_pairs, mb->results, mb->n_pairs,
                               &args);
  return tpo_ops(be)->check(be, err);
}
