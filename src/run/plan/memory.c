/* The memory that each rank takes at most: training's, sampling's or judging's, whichever is most. */
#include <math.h>

#include "base/digits.h"
#include "model/model.h"
#include "run/keeping.h"
#include "run/plan/plan.h"
#include "tpo/judge.h"

enum { BLOCK_TOKENS = 16, PREFILL = 512 }; /* the engine's own, where nobody says otherwise */

struct memory {
  struct tpo_train_memory training;
  struct keeping other;      /* of a model that the policy is compared with, and of judges' */
  size_t total;              /* of training */
  size_t held;               /* of it, what stays while others are at work: sampling, judging */
  double cache, passes, all; /* of sampling */
  bool within_training;      /* sampling goes on beside what training keeps, between its epochs or steps */
  double longest;            /* tokens of the longest sequence */
  double judging;            /* all that is there while judges compute, beside their caches and passes */
  struct tpo_train_extent extent;
  double most; /* of a rank */
};

static double blocks(double tokens)
{
  return ceil(tokens / BLOCK_TOKENS);
}

/* Tokens of the longest prompt to train on. */
static double longest_trained(const struct plan *plan)
{
  double longest = 0;
  for (int i = 0; i < tpo_run_iterations(&plan->config->run); i++)
    longest = fmax(longest, (double)plan->train[i].longest);
  return longest;
}

/* Of a prompt of so many tokens and its output. */
static double sequence(const struct plan *plan, double prompt)
{
  return fmin(prompt + plan->config->sampling.max_tokens + plan->marker_tokens, plan->arch.context);
}

/* Pairs of the iteration that has most of them. */
static struct tpo_train_extent extent(const struct plan *plan)
{
  double pairs = 0;
  for (int i = 0; i < tpo_run_iterations(&plan->config->run); i++)
    pairs = fmax(pairs, plan_pairs(plan, &plan->train[i]));
  return (struct tpo_train_extent){.pairs = (size_t)fmin(pairs, 1e15),
                                   .outputs = (size_t)plan->config->run.kl_outputs,
                                   .pair_tokens = 2 * (int64_t)sequence(plan, longest_trained(plan))};
}

/* The cache of all slots, as the engine makes it: each layer holds whole sequences, or what a window reaches. */
static double cache_bytes(const struct tpo_model *model, int slots, double longest, double prompt, int fed)
{
  double bytes = 0;
  for (int reach = 0; reach < TPO_REACHES; reach++) {
    size_t block = tpo_kv_block_bytes(model, reach, BLOCK_TOKENS);
    if (block == 0) continue;
    double own = fmin(blocks(longest), tpo_kv_blocks_seen(&model->arch, reach, fed, BLOCK_TOKENS));
    double prefix = fmin(blocks(prompt), tpo_kv_blocks_seen(&model->arch, reach, PREFILL, BLOCK_TOKENS));
    bytes += (slots * own + 4 * prefix + 1) * (double)block;
  }
  return bytes;
}

/* That, as far as memory goes. */
static void sampling_memory(const struct plan *plan, struct memory *m)
{
  const struct tpo_config *c = plan->config;
  struct tpo_backend *be = plan->session->backend;
  bool bf16 = c->model.dtype == TPO_DTYPE_BF16;
  const struct tpo_model model = {
      .ops = tpo_ops_for(be, bf16 ? TPO_BF16 : TPO_F32), .arch = plan->arch, .dtype = c->model.dtype};
  double prompt = fmax((double)plan->validation.longest, longest_trained(plan));
  int marker = plan->marker_tokens;
  for (int i = 0; i < c->run.n_watch; i++) {
    prompt = fmax(prompt, (double)plan->watch[i].set.longest);
    if (plan->watch[i].marker_tokens > marker) marker = plan->watch[i].marker_tokens;
  }
  m->longest = fmin(prompt + c->sampling.max_tokens + marker, plan->arch.context);
  int slots = c->sampling.slots, row = 1 + marker;
  const struct tpo_pass_limits limits = {.rows = PREFILL + slots * row,
                                         .seqs = 2 * slots,
                                         .max_blocks = (int)blocks(m->longest) + 4,
                                         .logits = slots};
  m->passes = (double)tpo_pass_bytes(&model, &limits);
  m->cache = cache_bytes(&model, slots, m->longest, prompt, row);
  size_t available = model.ops->memory_available(be);
  if (available > 0)
    m->cache = fmin(m->cache, (double)tpo_kv_cache_limit(&model, available, (size_t)m->passes));
}

/* Weights of other models than the policy that stay. */
static size_t other_bytes(const struct memory *m)
{
  return (m->other.kept ? m->other.bytes : 0) + (m->other.judges_kept ? (size_t)m->other.judges_bytes : 0);
}

/* In a run in steps, references are computed while others are sampled, where prompts are judged meanwhile. */
static double reference_meanwhile(const struct plan *plan, const struct memory *m)
{
  bool meanwhile = tpo_run_in_steps(&plan->config->run) && tpo_judge_waits(&plan->config->judge);
  return meanwhile ? (double)m->training.activations : 0;
}

static void gather(const struct plan *plan, struct memory *m)
{
  const struct tpo_session *s = plan->session;
  const struct tpo_config *c = plan->config;
  struct tpo_train_memory *t = &m->training;
  m->extent = extent(plan);
  tpo_train_memory(t, &plan->arch, c->model.dtype, &c->train, &m->extent, s->backend, s->comm);
  run_keeping(&m->other, s, &plan->arch);
  size_t other = other_bytes(m);
  m->total = tpo_train_memory_total(t) + other;
  sampling_memory(plan, m);
  m->within_training = tpo_run_in_steps(&c->run) || (c->run.validate_each_epoch && plan->validation.n > 0);
  m->held = t->weights + t->program + (m->within_training ? t->shard + t->exchange : t->master) + other;
  m->all = (double)m->held + m->cache + m->passes + reference_meanwhile(plan, m);
  /* Judges' models that don't stay are open while responses are judged, when no step and no sampling goes on. */
  m->judging = (double)m->held + (m->other.judges_kept ? 0 : m->other.judges_bytes);
  m->most = fmax(fmax((double)m->total, m->all), m->judging);
}

/* What else of the run is there while something is sampled or judged. */
static const char *held_text(const struct plan *plan, const struct memory *m)
{
  bool steps = tpo_run_in_steps(&plan->config->run);
  if (!m->within_training)
    return m->other.kept ? "the master weights and the other model's" : "the master weights";
  if (m->other.kept)
    return steps ? "what training keeps between steps, and the other model's weights"
                 : "what training keeps between epochs, and the other model's weights";
  return steps ? "what training keeps between steps" : "what training keeps between epochs";
}

/* Models that stay and have figures of their own below. */
static const char *kept_beside(const struct memory *m)
{
  if (m->other.kept)
    return m->other.judges_kept ? ";\n    beside it the other model's weights and the judge's"
                                : ";\n    beside it the other model's weights";
  return m->other.judges_kept ? ";\n    beside it the judge's weights" : "";
}

static void print_training(const struct memory *m, struct tpo_buf *out)
{
  const struct tpo_train_memory *t = &m->training;
  char total[40], w[40], sh[40], g[40], act[40], rest[40];
  double activations = (double)(tpo_train_memory_total(t) - tpo_train_memory_least(t) + t->activations);
  tpo_buf_printf(
      out,
      "  training: %s: weights %s, master weights and moments %s, gradient %s, activations of %d\n  tokens %s",
      tpo_size_text((double)m->total, total), tpo_size_text((double)t->weights, w),
      tpo_size_text((double)t->shard, sh), tpo_size_text((double)t->gradient, g), t->tokens,
      tpo_size_text(activations, act));
  tpo_buf_printf(out, " (the states of %d of %d layers are kept%s), the rest %s%s\n", t->kept, t->layers,
                 t->kept < t->layers ? ", which is what is free now" : "",
                 tpo_size_text((double)(t->scratch + t->exchange + t->program), rest), kept_beside(m));
  if (t->kept > 0)
    tpo_buf_printf(out, "    Where less is free, down to %s, states are computed twice.\n",
                   tpo_size_text((double)(tpo_train_memory_least(t) + other_bytes(m)), total));
}

/* A reference, or the start model that the KL is measured to. */
static void print_other(const struct memory *m, struct tpo_buf *out)
{
  char bytes[40];
  if (!m->other.compares) return;
  tpo_buf_printf(
      out,
      "  another model that the policy is compared with (run.reference, run.kl_outputs): weights %s, %s\n",
      tpo_size_text((double)m->other.bytes, bytes),
      m->other.kept    ? "which stay in\n    memory from their first use on and are counted here"
      : m->other.again ? "read for each\n    use: beside training there is no room to keep them"
                       : "read once,\n    while nothing is trained");
}

/* When judges' models are there. */
static const char *judges_stay(const struct memory *m)
{
  if (m->other.judges_kept)
    return "Its weights stay in memory\n    from their first use on, and are counted above, too.";
  if (m->other.judges_again && m->other.judges_known)
    return "Its weights are read for each segment: beside\n    training there is no room to keep them.";
  if (m->other.judges_again) return "Its weights are read for each segment.";
  return "It is closed while sampling and training go on.";
}

static void print_judging(const struct plan *plan, const struct memory *m, struct tpo_buf *out)
{
  char all[40], w[40], judges[40];
  if (!tpo_judge_needs_model(&plan->config->judge)) return;
  tpo_size_text(m->other.judges_bytes, judges);
  tpo_buf_printf(
      out,
      "  judging: %s and more: weights %s, the judge's %s, and %s;\n    its cache and passes take of what is "
      "then free. %s\n",
      tpo_size_text(m->judging, all), tpo_size_text((double)m->training.weights, w),
      m->other.judges_known ? judges : "(not known: its model can't be read)", held_text(plan, m),
      judges_stay(m));
}

/* Ranks on a host share its memory, of which training leaves a tenth to others. */
static void print_job(const struct plan *plan, const struct memory *m, struct tpo_buf *out)
{
  int ranks = tpo_comm_local_size(plan->session->comm);
  if (tpo_ops(plan->session->backend)->asynchronous) return;
  tpo_buf_printf(out, "  Slurm: --mem=%.0fM for a node with %d rank%s\n",
                 ceil(m->most * ranks * 1.15 / 1048576), ranks, ranks == 1 ? "" : "s");
}

static void print_sampling(const struct plan *plan, const struct memory *m, struct tpo_buf *out)
{
  char w[40], cache[40], passes[40], all[40], reference[40];
  double meanwhile = reference_meanwhile(plan, m);
  tpo_buf_printf(
      out,
      "  sampling: %s: weights %s, key-value cache up to %s (sampling.slots: %d sequences\n    of %.0f tokens), "
      "passes %s",
      tpo_size_text(m->all, all), tpo_size_text((double)m->training.weights, w),
      tpo_size_text(m->cache, cache), plan->config->sampling.slots, m->longest,
      tpo_size_text(m->passes, passes));
  if (meanwhile > 0)
    tpo_buf_printf(out, ", references computed meanwhile %s", tpo_size_text(meanwhile, reference));
  tpo_buf_printf(out, "%s,\n    and %s\n", m->other.judges_kept ? ", the judge's weights" : "",
                 held_text(plan, m));
}

void plan_print_memory(const struct plan *plan, struct tpo_buf *out)
{
  const struct tpo_session *s = plan->session;
  const struct tpo_config *c = plan->config;
  struct memory m = {0};
  struct tpo_error problem = {0};
  char most[40], program[40];
  int ranks = tpo_comm_size(s->comm);
  gather(plan, &m);
  tpo_buf_printf(out, "\nMemory of each of %d rank%s (%s): at most %s", ranks, ranks == 1 ? "" : "s",
                 tpo_ops(s->backend)->name, tpo_size_text(m.most, most));
  if (m.training.program > 0)
    tpo_buf_printf(out, ", %s of it the program's own", tpo_size_text((double)m.training.program, program));
  tpo_buf_putc(out, '\n');
  print_training(&m, out);
  print_other(&m, out);
  print_sampling(plan, &m, out);
  print_judging(plan, &m, out);
  print_job(plan, &m, out);
  if (tpo_train_check_memory(&plan->arch, c->model.dtype, &c->train, &m.extent, s->backend, s->comm,
                             &problem) < 0)
    tpo_buf_printf(out, "  warning: %s\n", problem.message);
}
