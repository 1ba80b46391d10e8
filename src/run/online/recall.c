/* What goes on from one interval to the next, from the files of those that are finished. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "run/online/online.h"

/* rho of the last segment, and steps without a pair at the end, in the pairs of the interval before; 1: the steps of all
 * of it were without, and so those of the one before it count too. */
static int recall_pairs(struct online *o, int iteration, struct tpo_error *err)
{
  char path[4096];
  struct tpo_pairs pairs;
  int64_t interval = tpo_run_interval(&o->loop->config->run), end = iteration * interval,
          last = end - interval;
  int status = loop_path(o->loop, iteration, "pairs.h5", path, err);
  if (status == 0) status = tpo_pairs_read(&pairs, path, err);
  if (status < 0) return status;
  json_t *statistics = json_loads(pairs.statistics ? pairs.statistics : "{}", 0, NULL);
  if (end == o->first) o->rho = json_number_value(json_object_get(statistics, "rho"));
  json_decref(statistics);
  for (size_t i = 0; i < pairs.n; i++)
    if (pairs.rows[i].step > last) last = pairs.rows[i].step;
  bool none = pairs.n == 0;
  o->without += (int)(end - last);
  tpo_pairs_free(&pairs);
  return none;
}

/* The samples of as many intervals as the window has prompts of. */
static int recall_window(struct online *o, struct tpo_error *err)
{
  char path[4096];
  const struct tpo_config *config = o->loop->config;
  int each = tpo_config_prompts_per_iteration(config), status = 0;
  int last = o->loop->iteration - 1, n = (config->run.rho_window - 1) / each + 1;
  if (!config->pairs.length_auto) return 0;
  for (int i = last - n < 0 ? 1 : last - n + 1; i <= last && status == 0; i++) {
    struct tpo_samples samples;
    status = loop_path(o->loop, i, "scored.h5", path, err);
    if (status == 0) status = tpo_samples_read(&samples, path, err);
    if (status < 0) return status;
    status = window_add(o, &samples, err);
    tpo_samples_free(&samples);
  }
  return status;
}

static int recall(struct online *o, struct tpo_error *err)
{
  int more = 1;
  for (int i = o->loop->iteration - 1; i >= 1 && more == 1; i--) more = recall_pairs(o, i, err);
  return more < 0 ? more : recall_window(o, err);
}

int online_recall(struct online *o, struct tpo_error *err)
{
  const struct loop *loop = o->loop;
  double shared[2];
  int status = loop_agree(loop, loop->first ? recall(o, err) : 0, err);
  shared[0] = o->rho;
  shared[1] = o->without;
  if (status == 0) status = tpo_comm_bcast(loop->session->comm, shared, sizeof shared, 0, err);
  o->rho = shared[0];
  o->without = (int)shared[1];
  return status;
}
