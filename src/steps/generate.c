/* Sampling over ranks: prompts are jobs of a shared queue, longest first; samples are gathered to rank 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "tpo/engine.h"
#include "tpo/steps.h"

struct prompt {
  struct tpo_request request;
  struct tpo_ids ids;
  char *text;
};

struct work {
  const struct tpo_session *session;
  const struct tpo_policy *policy;
  const struct tpo_instructions *instructions;
  const struct tpo_generate_options *options;
  struct prompt *prompts; /* [instructions->n], in their order */
  uint32_t *order;        /* [instructions->n] longest prompt first */
  struct tpo_comm_queue *queue;
  struct tpo_samples *local;
  double begin;
  int64_t tokens; /* drawn on this rank */
};

static int render_prompts(struct work *w, struct tpo_error *err)
{
  size_t n = w->instructions->n;
  int context = tpo_model_arch(w->policy->model)->context;
  w->prompts = tpo_calloc(n, sizeof *w->prompts, err);
  w->order = tpo_calloc(n, sizeof *w->order, err);
  if (!w->prompts || !w->order) return TPO_E_MEMORY;
  for (size_t i = 0; i < n; i++) {
    const struct tpo_instruction *item = &w->instructions->items[i];
    struct prompt *p = &w->prompts[i];
    struct tpo_buf text = {0};
    int status = tpo_thought_render(w->options->thought, w->policy->tmpl, item->instruction, item->messages,
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
                                      .k_first = w->options->k_first,
                                      .k_count = w->options->k_counts ? w->options->k_counts[i]
                                                                      : w->options->sampling->k,
                                      .user = (void *)item};
    w->order[i] = (uint32_t)i;
  }
  return 0;
}

static int longer_first(const void *a, const void *b, void *arg)
{
  const struct work *w = arg;
  uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
  int difference = w->prompts[j].request.n_prompt - w->prompts[i].request.n_prompt;
  return difference != 0 ? difference : (i > j) - (i < j);
}

static int next_request(void *arg, const struct tpo_request **request, struct tpo_error *err)
{
  struct work *w = arg;
  int64_t job;
  int status = tpo_comm_queue_next(w->queue, &job, err);
  if (status == 1) *request = &w->prompts[w->order[job]].request;
  return status;
}

static int take_output(void *arg, const struct tpo_output *output, struct tpo_error *err)
{
  struct work *w = arg;
  const struct tpo_instruction *item = output->request->user;
  const struct prompt *p = &w->prompts[item - w->instructions->items];
  struct tpo_instruction_view view = {
      .id = item->id, .instruction = item->instruction, .meta = item->meta, .prompt_text = p->text};
  return tpo_engine_make_row(output, w->policy->tokenizer, w->options->thought, &view, w->local, err);
}

static void count_token(void *arg, const struct tpo_request *request, int k, int32_t token, bool inserted)
{
  struct work *w = arg;
  (void)request, (void)k, (void)token, (void)inserted;
  w->tokens++;
  if (!w->session->progress || w->tokens % 16 != 0) return;
  char note[64];
  double seconds = tpo_seconds() - w->begin, n = (double)w->instructions->n;
  double taken = (double)tpo_comm_queue_taken(w->queue), size = tpo_comm_size(w->session->comm);
  snprintf(note, sizeof note, "%.0f tokens/s a rank", (double)w->tokens / (seconds > 0 ? seconds : 1));
  double done = (double)w->local->n * size / w->options->sampling->k;
  w->session->progress(w->session->progress_arg, w->options->what ? w->options->what : "sampling",
                       done < taken ? done : taken, n, note);
}

/* Every rank's rows as bytes to rank 0, which unpacks them. */
static int gather_rows(struct work *w, struct tpo_samples *samples, struct tpo_error *err)
{
  struct tpo_buf packed = {0};
  int status = 0;
  for (size_t i = 0; i < w->local->n && status == 0; i++)
    status = tpo_sample_pack(&w->local->rows[i], &packed, err);
  if (status == 0 && packed.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory to send samples");
  status = tpo_comm_agree(w->session->comm, status, err);
  void *all = NULL;
  size_t len = 0;
  if (status == 0) status = tpo_comm_gather_bytes(w->session->comm, packed.data, packed.len, &all, &len, err);
  tpo_buf_free(&packed);
  if (status == 0 && all) status = tpo_samples_unpack(samples, all, len, err);
  free(all);
  return tpo_comm_agree(w->session->comm, status, err);
}

static int sort_rows(const struct work *w, struct tpo_samples *samples, struct tpo_error *err)
{
  const char **ids = tpo_calloc(w->instructions->n, sizeof *ids, err);
  if (!ids) return TPO_E_MEMORY;
  for (size_t i = 0; i < w->instructions->n; i++) ids[i] = w->instructions->items[i].id;
  int status = tpo_samples_sort(samples, ids, w->instructions->n, err);
  free(ids);
  return status;
}

static int run_engine(struct work *w, struct tpo_generate_stats *stats, struct tpo_error *err)
{
  struct tpo_engine *engine;
  struct tpo_engine_options options = {.sampling = w->options->sampling,
                                       .thought = w->options->thought,
                                       .seed = w->session->config->seed,
                                       .iteration = w->options->iteration};
  int status =
      tpo_engine_open(&engine, w->policy->model, w->policy->tokenizer, w->policy->tmpl, &options, err);
  if (status < 0) return status;
  struct tpo_source source = {.arg = w, .next = next_request, .output = take_output, .token = count_token};
  w->begin = tpo_seconds();
  status = tpo_engine_run(engine, &source, err);
  struct tpo_engine_stats s;
  tpo_engine_stats(engine, &s);
  *stats = (struct tpo_generate_stats){.samples = (double)w->local->n,
                                       .prompt_tokens = (double)s.prompt_tokens,
                                       .sampled_tokens = (double)s.sampled_tokens,
                                       .inserted_tokens = (double)s.inserted_tokens,
                                       .seconds = s.seconds};
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

static void free_prompts(struct work *w)
{
  for (size_t i = 0; w->prompts && i < w->instructions->n; i++) {
    tpo_ids_free(&w->prompts[i].ids);
    free(w->prompts[i].text);
  }
  free(w->prompts);
  free(w->order);
}

int tpo_generate(const struct tpo_session *session, const struct tpo_policy *policy,
                 const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
                 struct tpo_samples *samples, struct tpo_generate_stats *stats, struct tpo_error *err)
{
  struct tpo_samples local = {0};
  struct work w = {.session = session,
                   .policy = policy,
                   .instructions = instructions,
                   .options = options,
                   .local = &local};
  int status = render_prompts(&w, err);
  if (status == 0) qsort_r(w.order, instructions->n, sizeof *w.order, longer_first, &w);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = tpo_comm_queue_create(session->comm, &w.queue, (int64_t)instructions->n, err);
  if (status == 0) {
    status = run_engine(&w, stats, err);
    status = tpo_comm_agree(session->comm, status, err);
    int destroyed = tpo_comm_queue_destroy(w.queue, status == 0 ? err : NULL);
    if (status == 0) status = destroyed;
  }
  if (status == 0) status = add_stats(session, stats, err);
  if (status == 0) status = gather_rows(&w, samples, err);
  if (status == 0 && tpo_comm_rank(session->comm) == 0) status = sort_rows(&w, samples, err);
  free_prompts(&w);
  tpo_samples_free(&local);
  return tpo_comm_agree(session->comm, status, err);
}
