/* How far the sampling model is from the start model, and the trainer's log-probabilities from the sampler's,
 * over a few of an iteration's outputs, split over the ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "measure/dynamics.h"
#include "run/events.h"
#include "run/loop.h"

enum { GAP_OUTPUTS = 8 }; /* where no KL estimate is wanted */

/* What is computed of the outputs, the same on all ranks; rank r computes outputs r, r + size, ... */
struct outputs {
  const struct tpo_samples *set;
  size_t n_tokens;      /* of this rank's outputs, prompts left out */
  float *policy, *seed; /* [n_tokens] */
};

/* What one output tells; summed over ranks, of which one has it and the others zeros. */
struct measured {
  struct kl_sums kl;
  double gap, largest_gap;
};
enum { MEASURES = sizeof(struct measured) / sizeof(double) };

static bool is_own(const struct loop *loop, size_t output)
{
  return output % (size_t)tpo_comm_size(loop->session->comm) == (size_t)tpo_comm_rank(loop->session->comm);
}

/* Spread over the iteration's samples. */
static int pack_chosen(const struct loop *loop, struct tpo_buf *packed, struct tpo_error *err)
{
  const struct tpo_samples *all = &loop->samples;
  size_t most = loop->config->run.kl_outputs ? (size_t)loop->config->run.kl_outputs : GAP_OUTPUTS;
  size_t n = all->n < most ? all->n : most;
  int status = 0;
  for (size_t i = 0; i < n && status == 0; i++)
    status = tpo_sample_pack(&all->rows[i * all->n / n], packed, err);
  return status == 0 && packed->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory to send samples") : status;
}

int loop_choose_outputs(const struct loop *loop, struct tpo_samples *outputs, struct tpo_error *err)
{
  struct tpo_buf packed = {0};
  int status = loop_agree(loop, loop->first ? pack_chosen(loop, &packed, err) : 0, err);
  void *bytes = packed.data;
  size_t len = packed.len;
  if (status == 0) status = tpo_comm_bcast_bytes(loop->session->comm, &bytes, &len, 0, err);
  if (status == 0) status = tpo_samples_unpack(outputs, bytes, len, err);
  free(bytes);
  outputs->output_tokens = loop->samples.output_tokens; /* rank 0's */
  status = loop_agree(loop, status, err);
  return status < 0 ? status
                    : tpo_comm_bcast(loop->session->comm, &outputs->output_tokens,
                                     sizeof outputs->output_tokens, 0, err);
}

static int prepare(const struct loop *loop, struct outputs *o, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; status == 0 && i < o->set->n; i++) {
    const struct tpo_sample_row *row = &o->set->rows[i];
    if (row->n_prompt < 1)
      status = tpo_fail(err, TPO_E_INPUT, "prompt %s, sample %d: no prompt tokens", row->prompt_id, row->k);
    if (is_own(loop, i)) o->n_tokens += (size_t)row->n_tokens;
  }
  if (status == 0) o->policy = tpo_calloc(o->n_tokens, sizeof *o->policy, err);
  if (status == 0) o->seed = tpo_calloc(o->n_tokens, sizeof *o->seed, err);
  if (status == 0 && (!o->policy || !o->seed)) status = TPO_E_MEMORY;
  return loop_agree(loop, status, err);
}

/* One forward pass over outputs [first, end) that are this rank's, n_tokens of them with their prompts;
 * log-probabilities of what was generated to out, one output after another. */
static int forward(struct tpo_model *model, const struct loop *loop, const struct outputs *o, size_t first,
                   size_t end, int n_tokens, float *out, struct tpo_error *err)
{
  int32_t *ids = tpo_calloc((size_t)n_tokens, sizeof *ids, err);
  int32_t *cu_seqlens = tpo_calloc(end - first + 1, sizeof *cu_seqlens, err);
  int32_t *longest = tpo_calloc(end - first, sizeof *longest, err);
  uint8_t *wanted = tpo_calloc((size_t)n_tokens, sizeof *wanted, err);
  float *logprob = tpo_calloc((size_t)n_tokens, sizeof *logprob, err);
  int status = ids && cu_seqlens && longest && wanted && logprob ? 0 : TPO_E_MEMORY;
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = cu_seqlens, .wanted = wanted, .longest = longest};
  for (size_t i = first; i < end && status == 0; i++) {
    const struct tpo_sample_row *row = &o->set->rows[i];
    if (!is_own(loop, i) || row->n_tokens == 0) continue;
    memcpy(ids + batch.n_tokens, row->prompt_ids, (size_t)row->n_prompt * sizeof *ids);
    batch.n_tokens += row->n_prompt;
    memcpy(ids + batch.n_tokens, row->token_ids, (size_t)row->n_tokens * sizeof *ids);
    memset(wanted + batch.n_tokens - 1, 1, (size_t)row->n_tokens);
    batch.n_tokens += row->n_tokens;
    longest[batch.n_seqs] = tpo_arch_longest(tpo_model_arch(model), row->n_prompt, o->set->output_tokens,
                                             row->n_prompt + row->n_tokens);
    cu_seqlens[++batch.n_seqs] = batch.n_tokens;
  }
  if (status == 0 && batch.n_seqs > 0) status = tpo_model_logprobs(model, &batch, logprob, err);
  for (int i = 0; i < batch.n_tokens && status == 0; i++)
    if (wanted[i]) *out++ = logprob[i];
  free(ids);
  free(cu_seqlens);
  free(longest);
  free(wanted);
  free(logprob);
  return status;
}

/* Outputs of one pass; the other ranks are taken to be as far with theirs. */
static void tell_outputs(const struct loop *loop, const struct outputs *o, size_t done)
{
  tpo_session_tell(loop->session, &(struct tpo_progress){.phase = "distances",
                                                         .unit = "outputs",
                                                         .done = (double)done,
                                                         .total = (double)o->set->n});
}

/* The model of `path` over this rank's outputs, packed as the trainer packs. */
static int pass(struct loop *loop, const struct outputs *o, const char *path, float *out,
                struct tpo_error *err)
{
  struct tpo_model *model;
  int status = loop_reference_model(loop, path, &model, err);
  if (status < 0) return status;
  tell_outputs(loop, o, 0);
  for (size_t first = 0, end; first < o->set->n && status == 0; first = end) {
    int64_t tokens = 0, generated = 0;
    status = tpo_stopped(NULL, err);
    for (end = first; end < o->set->n; end++) {
      const struct tpo_sample_row *row = &o->set->rows[end];
      if (!is_own(loop, end) || row->n_tokens == 0) continue;
      int64_t more = (int64_t)row->n_prompt + row->n_tokens;
      if (tokens > 0 && tokens + more > loop->config->train.micro_batch_tokens) break;
      tokens += more;
      generated += row->n_tokens;
    }
    if (status == 0) status = forward(model, loop, o, first, end, (int)tokens, out, err);
    out += generated;
    if (status == 0 && end < o->set->n) tell_outputs(loop, o, end);
  }
  tpo_model_rest(model);
  status = loop_agree(loop, status, err);
  if (status == 0) tell_outputs(loop, o, o->set->n);
  return status;
}

/* The sampler's own log-probabilities of this rank's outputs. */
static void take_sampled(const struct loop *loop, const struct outputs *o, float *out)
{
  for (size_t i = 0; i < o->set->n; i++) {
    const struct tpo_sample_row *row = &o->set->rows[i];
    if (!is_own(loop, i) || row->n_tokens == 0) continue;
    memcpy(out, row->token_logprobs, (size_t)row->n_tokens * sizeof *out);
    out += row->n_tokens;
  }
}

/* Both models' log-probabilities. The weights that drew an interval's samples are gone behind its steps: what they
 * gave their tokens was kept. */
static int both_passes(struct loop *loop, const struct outputs *o, struct tpo_error *err)
{
  char policy[4096], seed[4096];
  int status = loop_policy_path(loop, loop->iteration, policy, err);
  if (status == 0) status = loop_policy_path(loop, 1, seed, err);
  if (status == 0 && tpo_run_in_steps(&loop->config->run)) {
    take_sampled(loop, o, o->policy);
    return pass(loop, o, seed, o->seed, err);
  }
  if (status == 0) status = pass(loop, o, policy, o->policy, err);
  if (status < 0 || loop->config->run.kl_outputs == 0) return status;
  if (loop->iteration > 1) return pass(loop, o, seed, o->seed, err);
  memcpy(o->seed, o->policy, o->n_tokens * sizeof *o->seed);
  return 0;
}

static void measure(const struct loop *loop, const struct outputs *o, struct measured *out)
{
  size_t at = 0;
  for (size_t i = 0; i < o->set->n; i++) {
    const struct tpo_sample_row *row = &o->set->rows[i];
    if (!is_own(loop, i)) continue;
    kl_add(&out[i].kl, o->policy + at, o->seed + at, row->inserted, row->n_tokens);
    for (int j = 0; j < row->n_tokens; j++) {
      if (row->inserted[j]) continue;
      double gap = fabs((double)o->policy[at + (size_t)j] - (double)row->token_logprobs[j]);
      out[i].gap += gap;
      out[i].largest_gap = fmax(out[i].largest_gap, gap);
    }
    at += (size_t)row->n_tokens;
  }
}

static int tell(struct loop *loop, const struct measured *of, size_t n, struct tpo_error *err)
{
  struct kl kl;
  char name[LOOP_PLACE];
  double gap = 0, largest = 0;
  struct kl_sums *sums = tpo_calloc(n, sizeof *sums, err);
  double *scratch = tpo_calloc(n, sizeof *scratch, err);
  int status = sums && scratch ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < n && status == 0; i++) {
    sums[i] = of[i].kl;
    gap += of[i].gap;
    largest = fmax(largest, of[i].largest_gap);
  }
  if (status == 0) {
    kl_of(sums, n, scratch, &kl);
    if (!tpo_run_in_steps(&loop->config->run))
      status = loop_event(loop, "logprob_gap",
                          event_logprob_gap(largest, kl.tokens ? gap / (double)kl.tokens : NAN), err);
  }
  if (status == 0 && loop->config->run.kl_outputs > 0) {
    status = loop_event(loop, "kl", event_kl(&kl), err);
    if (kl.tokens > 0)
      tpo_log(TPO_LOG_INFO, "%s: KL to the start model %.4g nats a token (%zu output%s)",
              loop_stretch_name(loop, name), kl.per_token, kl.outputs, kl.outputs == 1 ? "" : "s");
  }
  free(sums);
  free(scratch);
  return status;
}

int loop_measure_distances(struct loop *loop, const struct tpo_samples *outputs, struct tpo_error *err)
{
  struct outputs o = {.set = outputs};
  struct measured *of = NULL;
  int status = prepare(loop, &o, err);
  if (status == 0) status = both_passes(loop, &o, err);
  if (status == 0) {
    of = tpo_calloc(outputs->n, sizeof *of, err);
    status = loop_agree(loop, of ? 0 : TPO_E_MEMORY, err);
  }
  if (status == 0) {
    measure(loop, &o, of);
    status = tpo_comm_allreduce_sum_f64(loop->session->comm, (double *)of, outputs->n * MEASURES, err);
  }
  if (status == 0 && loop->first) status = tell(loop, of, outputs->n, err);
  free(of);
  free(o.policy);
  free(o.seed);
  return loop_agree(loop, status, err);
}
