/* Sampling over ranks: prompts are jobs of a shared queue, longest first; samples are gathered to rank 0. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "steps/forecast.h"
#include "tpo/engine.h"
#include "tpo/steps.h"

struct prompt {
  struct tpo_request request;
  struct tpo_ids ids;
  char *text;
  int open; /* outputs that have not ended, where the prompt is this rank's */
};

/* What progress is told from; counts of this rank where nothing else is said. */
struct sampled {
  struct forecast forecast;
  struct forecast_seen seen;
  int64_t counted;                       /* prompts of the queue whose outputs are in seen.taken */
  int64_t prompts, ended;                /* taken, and those of them whose outputs have all ended */
  int64_t tokens, ended_tokens, look_at; /* the clock is looked at again at so many tokens */
  double begin, told;
};

struct sampling {
  const struct tpo_session *session;
  const struct tpo_policy *policy;
  const struct tpo_instructions *instructions;
  const struct tpo_generate_options *options;
  struct prompt *prompts; /* [instructions->n], in their order */
  uint32_t *order;        /* [instructions->n] longest prompt first */
  struct tpo_comm_queue *queue;
  struct tpo_samples *local;
  struct sampled sampled;
};

static int render_prompts(struct sampling *s, struct tpo_error *err)
{
  size_t n = s->instructions->n;
  int context = tpo_model_arch(s->policy->model)->context;
  s->prompts = tpo_calloc(n, sizeof *s->prompts, err);
  s->order = tpo_calloc(n, sizeof *s->order, err);
  if (!s->prompts || !s->order) return TPO_E_MEMORY;
  for (size_t i = 0; i < n; i++) {
    const struct tpo_instruction *item = &s->instructions->items[i];
    struct prompt *p = &s->prompts[i];
    struct tpo_buf text = {0};
    int status = tpo_thought_render(s->options->thought, s->policy->tmpl, item->instruction, item->messages,
                                    &p->ids, &text, err);
    p->text = tpo_buf_take(&text);
    if (status < 0) return tpo_fail_prefix(err, "prompt %s", item->id);
    if (!p->text) return tpo_fail(err, TPO_E_MEMORY, "no memory for prompt %s", item->id);
    if (p->ids.n >= (size_t)context)
      return tpo_fail(err, TPO_E_INPUT,
                      "prompt %s has %zu tokens; the model's context of %d leaves no room for an answer",
                      item->id, p->ids.n, context);
    p->request = (struct tpo_request){.id = item->id,
                                      .prompt_ids = p->ids.ids,
                                      .n_prompt = (int)p->ids.n,
                                      .k_first = s->options->k_first,
                                      .k_count = s->options->k_counts ? s->options->k_counts[i]
                                                                      : s->options->sampling->k,
                                      .index = i};
    p->open = p->request.k_count;
    s->sampled.forecast.outputs += p->open;
    s->order[i] = (uint32_t)i;
  }
  return 0;
}

static int longer_first(const void *a, const void *b, void *arg)
{
  const struct sampling *s = arg;
  uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
  int difference = s->prompts[j].request.n_prompt - s->prompts[i].request.n_prompt;
  return difference != 0 ? difference : (i > j) - (i < j);
}

static int next_request(void *arg, const struct tpo_request **request, struct tpo_error *err)
{
  struct sampling *s = arg;
  int64_t job;
  int status = tpo_comm_queue_next(s->queue, &job, err);
  if (status != 1) return status;
  *request = &s->prompts[s->order[job]].request;
  s->sampled.prompts++;
  s->sampled.seen.own_taken += (*request)->k_count;
  return 1;
}

static int take_output(void *arg, const struct tpo_output *output, struct tpo_error *err)
{
  struct sampling *s = arg;
  const struct tpo_instruction *item = &s->instructions->items[output->request->index];
  struct prompt *p = &s->prompts[output->request->index];
  struct tpo_instruction_view view = {
      .id = item->id, .instruction = item->instruction, .meta = item->meta, .prompt_text = p->text};
  s->sampled.seen.ended++;
  s->sampled.ended_tokens += output->n;
  s->sampled.ended += --p->open == 0;
  return tpo_engine_make_row(output, &view, s->local, err);
}

static void tell_tokens(const struct sampling *s, double done, double total, double prompts)
{
  char note[64];
  snprintf(note, sizeof note, "%.0f of %zu prompts", floor(prompts), s->instructions->n);
  tpo_session_tell(s->session,
                   &(struct tpo_progress){.phase = s->options->what ? s->options->what : "sampling",
                                          .unit = "tokens",
                                          .done = done,
                                          .total = total,
                                          .note = note});
}

static void tell_progress(struct sampling *s)
{
  struct sampled *of = &s->sampled;
  double done, total, now = tpo_seconds();
  int64_t taken = tpo_comm_queue_taken(s->queue);
  while (of->counted < taken) of->seen.taken += s->prompts[s->order[of->counted++]].request.k_count;
  of->seen.tokens = (double)of->tokens;
  of->seen.ended_tokens = (double)of->ended_tokens;
  forecast(&of->forecast, &of->seen, &done, &total);
  tell_tokens(s, done, total, forecast_for_all((double)of->ended, (double)taken, (double)of->prompts));
  of->told = now;
}

/* Called very often: looks at the clock some fifty times a second, and tells at most ten times. */
static void count_token(void *arg, const struct tpo_request *request, int k, const char *bytes, size_t len)
{
  struct sampling *s = arg;
  struct sampled *of = &s->sampled;
  (void)request, (void)k, (void)bytes, (void)len;
  if (++of->tokens < of->look_at || !s->session->progress) return;
  double now = tpo_seconds(), seconds = now - of->begin;
  of->look_at = of->tokens + 1 + (int64_t)((double)of->tokens / (seconds > 0.02 ? 50 * seconds : 1));
  if (now - of->told >= 0.1) tell_progress(s);
}

/* Every rank's rows as bytes to rank 0, which unpacks them. */
static int gather_rows(struct sampling *s, struct tpo_samples *samples, struct tpo_error *err)
{
  struct tpo_buf packed = {0};
  int status = 0;
  for (size_t i = 0; i < s->local->n && status == 0; i++)
    status = tpo_sample_pack(&s->local->rows[i], &packed, err);
  if (status == 0 && packed.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory to send samples");
  status = tpo_comm_agree(s->session->comm, status, err);
  void *all = NULL;
  size_t len = 0;
  if (status == 0) status = tpo_comm_gather_bytes(s->session->comm, packed.data, packed.len, &all, &len, err);
  tpo_buf_free(&packed);
  if (status == 0 && all) status = tpo_samples_unpack(samples, all, len, err);
  free(all);
  return tpo_comm_agree(s->session->comm, status, err);
}

static int sort_rows(const struct sampling *s, struct tpo_samples *samples, struct tpo_error *err)
{
  const char **ids = tpo_calloc(s->instructions->n, sizeof *ids, err);
  if (!ids) return TPO_E_MEMORY;
  for (size_t i = 0; i < s->instructions->n; i++) ids[i] = s->instructions->items[i].id;
  int status = tpo_samples_sort(samples, ids, s->instructions->n, err);
  free(ids);
  return status;
}

static void begin_progress(struct sampling *s)
{
  const struct tpo_sampling_config *sampling = s->options->sampling;
  struct forecast *f = &s->sampled.forecast;
  int limit = tpo_config_output_limit(s->options->thought, sampling->max_tokens),
      context = tpo_model_arch(s->policy->model)->context;
  f->budget = limit < context ? limit : context;
  f->at_once = sampling->slots < f->outputs ? sampling->slots : f->outputs;
  s->sampled.begin = tpo_seconds();
  tell_tokens(s, 0, f->outputs * f->budget, 0);
}

static int run_engine(struct sampling *s, struct tpo_generate_stats *stats, struct tpo_error *err)
{
  struct tpo_engine *engine;
  struct tpo_engine_options options = {.sampling = s->options->sampling,
                                       .thought = s->options->thought,
                                       .seed = s->session->config->seed,
                                       .iteration = s->options->iteration};
  int status =
      tpo_engine_open(&engine, s->policy->model, s->policy->tokenizer, s->policy->tmpl, &options, err);
  if (status < 0) return status;
  struct tpo_engine_client client = {
      .arg = s, .next = next_request, .output = take_output, .token = count_token};
  begin_progress(s);
  status = tpo_engine_run(engine, &client, err);
  struct tpo_engine_stats counts;
  tpo_engine_stats(engine, &counts);
  *stats = (struct tpo_generate_stats){.samples = (double)s->local->n,
                                       .prompt_tokens = (double)counts.prompt_tokens,
                                       .sampled_tokens = (double)counts.sampled_tokens,
                                       .inserted_tokens = (double)counts.inserted_tokens,
                                       .seconds = counts.seconds};
  tpo_engine_close(engine);
  return status;
}

static int add_stats(const struct tpo_session *session, struct tpo_generate_stats *stats,
                     struct tpo_error *err)
{
  double sums[] = {stats->samples, stats->prompt_tokens, stats->sampled_tokens, stats->inserted_tokens};
  int status = tpo_comm_allreduce_sum_f64(session->comm, sums, 4, err);
  if (status == 0) status = tpo_comm_allreduce_max_f64(session->comm, &stats->seconds, 1, err);
  stats->samples = sums[0];
  stats->prompt_tokens = sums[1];
  stats->sampled_tokens = sums[2];
  stats->inserted_tokens = sums[3];
  return status;
}

static void free_prompts(struct sampling *s)
{
  for (size_t i = 0; s->prompts && i < s->instructions->n; i++) {
    tpo_ids_free(&s->prompts[i].ids);
    free(s->prompts[i].text);
  }
  free(s->prompts);
  free(s->order);
}

int tpo_generate(const struct tpo_session *session, const struct tpo_policy *policy,
                 const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
                 struct tpo_samples *samples, struct tpo_generate_stats *stats, struct tpo_error *err)
{
  struct tpo_samples local = {0};
  struct sampling s = {.session = session,
                       .policy = policy,
                       .instructions = instructions,
                       .options = options,
                       .local = &local};
  int status = render_prompts(&s, err);
  if (status == 0) qsort_r(s.order, instructions->n, sizeof *s.order, longer_first, &s);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = tpo_comm_queue_create(session->comm, &s.queue, (int64_t)instructions->n, err);
  if (status == 0) {
    status = run_engine(&s, stats, err);
    status = tpo_comm_agree(session->comm, status, err);
    int destroyed = tpo_comm_queue_destroy(s.queue, status == 0 ? err : NULL);
    if (status == 0) status = destroyed;
  }
  if (status == 0) status = add_stats(session, stats, err);
  if (status == 0) {
    double tokens = stats->sampled_tokens + stats->inserted_tokens;
    tell_tokens(&s, tokens, tokens, (double)instructions->n);
  }
  if (status == 0) status = gather_rows(&s, samples, err);
  if (status == 0 && tpo_comm_rank(session->comm) == 0) status = sort_rows(&s, samples, err);
  free_prompts(&s);
  tpo_samples_free(&local);
  return tpo_comm_agree(session->comm, status, err);
}
