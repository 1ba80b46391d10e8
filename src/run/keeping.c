/* Whether models stay in memory beside the policy, one that it is compared with and the judges', told before any of them
 * is there. */
#include "run/keeping.h"

#include <math.h>

#include "backend/ops.h"
#include "config/judge_kinds.h"
#include "judge/routes.h"
#include "tpo/judge.h"
#include "tpo/train.h"

static double element_bytes(const struct tpo_config *config)
{
  return config->model.dtype == TPO_DTYPE_BF16 ? 2 : 4;
}

/* Parameters of a judge's model; 0: what is there doesn't tell, as tpo_judge_check says elsewhere. */
static double judge_parameters(const struct tpo_judge_config *judge)
{
  struct tpo_arch arch;
  const char *folder = NULL;
  struct tpo_error ignored = {0};
  bool scores = config_judge_kind(judge->kind, &folder) == JUDGE_KIND_REWARD;
  if (!folder) return 0;
  int status = scores ? tpo_reward_check(&arch, folder, judge->head, &ignored)
                      : tpo_arch_read(&arch, folder, &ignored);
  return status < 0 ? 0 : (double)tpo_arch_param_count(&arch);
}

/* Of the weights of all judges' models on a rank, as far as they can be told (else *known: false). */
static double judges_bytes(const struct tpo_config *config, bool *known)
{
  struct routes routes = {0};
  struct tpo_error ignored = {0};
  double bytes = 0;
  *known = routes_open(&routes, &config->judge, &ignored) == 0;
  for (int j = 0; *known && j < routes.n_judges; j++) {
    if (!tpo_judge_needs_model(&routes.judges[j])) continue;
    double n = judge_parameters(&routes.judges[j]);
    bytes += n * element_bytes(config);
    if (n == 0) *known = false;
  }
  routes_free(&routes);
  return bytes;
}

/* Steps that a run in steps trains before another model becomes its reference, which until then is not the policy. */
static int reference_steps(const struct tpo_run_config *run)
{
  if (run->reference == TPO_REFERENCE_EVERY) return run->reference_every;
  return run->reference == TPO_REFERENCE_PREVIOUS ? tpo_run_interval(run) : run->steps;
}

/* An interval's samples are compared with the start model behind its steps, the first one's too. */
static void find_use_in_steps(const struct tpo_run_config *run, struct keeping *out)
{
  bool segments = run->sync_steps < run->steps && reference_steps(run) > run->sync_steps;
  out->compares = segments || run->kl_outputs > 0;
  out->again = segments || (run->kl_outputs > 0 && tpo_run_iterations(run) > 1);
}

static void find_use(const struct tpo_run_config *run, struct keeping *out)
{
  int iterations = tpo_run_iterations(run);
  bool start = run->kl_outputs > 0 || run->reference == TPO_REFERENCE_START;
  if (tpo_run_in_steps(run)) {
    find_use_in_steps(run, out);
    return;
  }
  out->compares = start && iterations > 1;
  out->again = start && iterations > 2;
}

/* What training takes at most, keeping the states of all layers, whatever its pairs: to compute those twice in each step
 * costs more than to read weights once an iteration. */
static struct tpo_train_memory training_memory(const struct tpo_session *s, const struct tpo_arch *arch)
{
  struct tpo_train_memory t;
  tpo_train_memory(&t, arch, s->config->model.dtype, &s->config->train, NULL, s->backend, s->comm);
  t.kept = t.layers;
  return t;
}

/* What is there of the policy while nothing is trained. */
static double resting_bytes(const struct tpo_train_memory *t)
{
  return (double)(t->weights + t->shard + t->program);
}

/* The host's memory serves others besides, of which training leaves a tenth. */
static double room(const struct tpo_session *session)
{
  const struct tpo_ops *ops = tpo_ops(session->backend);
  return (double)ops->memory_available(session->backend) * (ops->asynchronous ? 0.97 : 0.9);
}

/* Beside training, and beside the judge's models, which are there at another time, if they don't stay. The caches of
 * sampling and judging take of what is then free. */
static bool other_fits(const struct keeping *k, const struct tpo_train_memory *t, double room)
{
  double training = (double)tpo_train_memory_total(t), judging = resting_bytes(t) + k->judges_bytes;
  return fmax(training, judging) + (double)k->bytes <= room;
}

/* The other model stays if it can; else it is there while references are computed, when nothing is trained. */
static bool judges_fit(const struct keeping *k, const struct tpo_train_memory *t, double room)
{
  double training = (double)tpo_train_memory_total(t), other = k->compares ? (double)k->bytes : 0;
  double comparing = resting_bytes(t) + (double)t->activations + other;
  if (k->kept) training += other;
  return fmax(training, comparing) + k->judges_bytes <= room;
}

void run_keeping(struct keeping *out, const struct tpo_session *session, const struct tpo_arch *arch)
{
  const struct tpo_run_config *run = &session->config->run;
  *out = (struct keeping){.bytes =
                              (size_t)((double)tpo_arch_param_count(arch) * element_bytes(session->config))};
  find_use(run, out);
  out->judges_bytes = judges_bytes(session->config, &out->judges_known);
  out->judges_again = tpo_run_in_steps(run) && tpo_judge_needs_model(&session->config->judge);
  if (!out->again && !out->judges_again) return;
  const struct tpo_train_memory t = training_memory(session, arch);
  double most = room(session);
  out->kept = out->again && other_fits(out, &t, most);
  out->judges_kept = out->judges_again && out->judges_known && judges_fit(out, &t, most);
}
