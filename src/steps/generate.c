/* Sampling over ranks: prompts are jobs of a shared queue, longest first; samples are gathered to rank 0. Of
 * a prompt whose samples are kept in part, what is missing. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "steps/generate.h"
#include "steps/kept_samples.h"
#include "steps/sampled.h"
#include "tpo/engine.h"
#include "tpo/steps.h"

struct prompt {
  struct tpo_request request;
  struct tpo_ids ids;
  char *text;
  size_t first; /* of its samples among all, counted prompt by prompt */
};

struct sampling {
  const struct tpo_session *session;
  const struct tpo_policy *policy;
  const struct tpo_instructions *instructions;
  const struct tpo_generate_options *options;
  struct prompt *prompts;               /* [instructions->n], in their order */
  uint32_t *order;                      /* [instructions->n] longest prompt first */
  size_t n_samples;                     /* of all prompts */
  const struct generate_client *client; /* NULL: nobody follows */
  struct kept *kept;                    /* NULL: nothing is kept */
  size_t n_kept;                        /* samples that were there */
  size_t n_added;                       /* samples of this rank that are there since */
  struct tpo_request *jobs;             /* [n_jobs] samples that follow each other and are to be drawn */
  size_t n_jobs, jobs_capacity;
  struct tpo_comm_queue *queue;
  struct tpo_samples *local;
  struct sampled sampled;
};

static int render_prompts(struct sampling *s, struct tpo_error *err)
{
  size_t n = s->instructions->n;
  int context = tpo_model_arch(s->policy->model)->context, marker_tokens;
  int encoded = tpo_thought_marker_tokens(s->options->thought, s->policy->tokenizer, &marker_tokens, err);
  if (encoded < 0) return encoded;
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
    status = tpo_config_check_room(s->options->thought, s->options->sampling->max_tokens, marker_tokens,
                                   p->ids.n, context, err);
    if (status < 0) return tpo_fail_prefix(err, "prompt %s", item->id);
    p->request = (struct tpo_request){.id = item->id,
                                      .prompt_ids = p->ids.ids,
                                      .n_prompt = (int)p->ids.n,
                                      .k_first = s->options->k_first,
                                      .k_count = s->options->k_counts ? s->options->k_counts[i]
                                                                      : s->options->sampling->k,
                                      .index = i};
    p->first = s->n_samples;
    s->n_samples += (size_t)p->request.k_count;
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

/* Of a sample that is wanted: 1 where it was kept, 0 where it is to be drawn. */
static int find_one(struct sampling *s, const struct tpo_request *request, int k, struct tpo_samples *samples,
                    size_t *unreadable, struct tpo_error *err)
{
  struct tpo_error why = {0};
  int found = kept_sample_find(s->kept, request->id, k, s->options->sampling->temperature, samples, &why);
  if (found >= 0) return found;
  if (found != TPO_E_INPUT) return tpo_fail(err, found, "%s", why.message);
  if (++*unreadable == 1)
    tpo_log(TPO_LOG_WARN, "%s: sample %d of prompt %s can't be read: %s", s->kept->folder, k, request->id,
            why.message);
  return 0;
}

/* Rank 0's, of what is wanted, to samples; done [n_samples]: 1 where it is there. */
static int find_kept(struct sampling *s, uint8_t *done, struct tpo_samples *samples, struct tpo_error *err)
{
  int status = 0;
  size_t unreadable = 0;
  for (size_t i = 0; i < s->instructions->n && status >= 0; i++) {
    const struct prompt *p = &s->prompts[i];
    for (int j = 0; j < p->request.k_count && status >= 0; j++) {
      status = find_one(s, &p->request, p->request.k_first + j, samples, &unreadable, err);
      done[p->first + (size_t)j] = status == 1;
    }
  }
  if (unreadable > 0)
    tpo_log(TPO_LOG_WARN, "%s: %zu samples there can't be read and are drawn again", s->kept->folder,
            unreadable);
  return status < 0 ? status : 0;
}

static int take_kept(struct sampling *s, uint8_t *done, struct tpo_samples *samples, struct tpo_error *err)
{
  struct tpo_comm *comm = s->session->comm;
  bool first = tpo_comm_rank(comm) == 0;
  if (!s->kept) return 0;
  int status = tpo_comm_agree(comm, first ? find_kept(s, done, samples, err) : 0, err);
  if (status == 0) status = tpo_comm_bcast(comm, done, s->n_samples, 0, err);
  for (size_t i = 0; i < s->n_samples && status == 0; i++) s->n_kept += done[i];
  if (s->n_kept > 0 && first)
    tpo_log(TPO_LOG_INFO, "%s: %zu of %zu samples are kept there; the rest is drawn", s->kept->folder,
            s->n_kept, s->n_samples);
  return status;
}

/* Of a prompt, each row of samples that are not there. */
static int add_jobs(struct sampling *s, const struct prompt *p, const uint8_t *done, struct tpo_error *err)
{
  int n = p->request.k_count, status = 0;
  for (int k = 0, end; k < n && status == 0; k = end) {
    end = k + 1;
    if (done[p->first + (size_t)k]) continue;
    while (end < n && !done[p->first + (size_t)end]) end++;
    status = tpo_grow(&s->jobs, &s->jobs_capacity, s->n_jobs + 1, sizeof *s->jobs, err);
    if (status < 0) break;
    struct tpo_request *job = &s->jobs[s->n_jobs++];
    *job = p->request;
    job->k_first += k;
    job->k_count = end - k;
  }
  return status;
}

/* What is kept, and jobs for the rest, the same on all ranks. */
static int plan_jobs(struct sampling *s, struct tpo_samples *samples, struct tpo_error *err)
{
  uint8_t *done = tpo_calloc(s->n_samples, sizeof *done, err);
  int status = tpo_comm_agree(s->session->comm, done ? 0 : TPO_E_MEMORY, err);
  if (status == 0) status = take_kept(s, done, samples, err);
  for (size_t i = 0; i < s->instructions->n && status == 0; i++)
    status = add_jobs(s, &s->prompts[s->order[i]], done, err);
  free(done);
  return tpo_comm_agree(s->session->comm, status, err);
}

static int next_request(void *arg, const struct tpo_request **request, struct tpo_error *err)
{
  struct sampling *s = arg;
  int64_t job;
  int status = tpo_comm_queue_next(s->queue, &job, err);
  if (status != 1) return status;
  *request = &s->jobs[job];
  sampled_take(&s->sampled, *request);
  return 1;
}

static int take_output(void *arg, const struct tpo_output *output, struct tpo_error *err)
{
  struct sampling *s = arg;
  const struct tpo_instruction *item = &s->instructions->items[output->request->index];
  const struct prompt *p = &s->prompts[output->request->index];
  struct tpo_instruction_view view = {
      .id = item->id, .instruction = item->instruction, .meta = item->meta, .prompt_text = p->text};
  sampled_output(&s->sampled, output);
  int status = tpo_engine_make_row(output, &view, s->local, err);
  if (status < 0) return status;
  const struct tpo_sample_row *row = &s->local->rows[s->local->n - 1];
  if (s->kept) {
    status = kept_sample_add(s->kept, row, s->options->sampling->temperature, err);
    s->n_added += status == 0;
  }
  if (status < 0 || !s->client || !s->client->drawn) return status;
  return s->client->drawn(s->client->arg, output->request->index, row, err);
}

static int work_between(void *arg, struct tpo_error *err)
{
  const struct sampling *s = arg;
  return s->client->between(s->client->arg, err);
}

static void count_token(void *arg, const struct tpo_request *request, int k, const char *bytes, size_t len)
{
  struct sampling *s = arg;
  (void)request, (void)k, (void)bytes, (void)len;
  sampled_token(&s->sampled);
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

static int begin_progress(struct sampling *s, struct tpo_error *err)
{
  const struct tpo_sampling_config *sampling = s->options->sampling;
  int limit = tpo_config_output_limit(s->options->thought, sampling->max_tokens),
      context = tpo_model_arch(s->policy->model)->context;
  s->sampled.queue = s->queue;
  s->sampled.jobs = s->jobs;
  s->sampled.forecast.budget = limit < context ? limit : context;
  s->sampled.forecast.at_once = sampling->slots;
  return sampled_begin(&s->sampled, s->n_jobs, err);
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
  struct tpo_engine_client client = {.arg = s,
                                     .next = next_request,
                                     .output = take_output,
                                     .token = count_token,
                                     .between = s->client && s->client->between ? work_between : NULL};
  status = begin_progress(s, err);
  if (status == 0) status = tpo_engine_run(engine, &client, err);
  struct tpo_engine_stats counts;
  tpo_engine_stats(engine, &counts);
  stats->prompt_tokens = (double)counts.prompt_tokens;
  stats->drawn_tokens = (double)counts.sampled_tokens;
  stats->seconds = counts.seconds;
  tpo_engine_close(engine);
  return s->client ? s->client->ended(s->client->arg, status, err) : status;
}

/* All jobs, over the ranks. */
static int draw(struct sampling *s, struct tpo_generate_stats *stats, struct tpo_error *err)
{
  struct tpo_comm *comm = s->session->comm;
  if (s->n_jobs == 0) return 0; /* all is kept */
  int status = tpo_comm_queue_create(comm, &s->queue, (int64_t)s->n_jobs, err);
  if (status < 0) return status;
  status = tpo_comm_agree(comm, run_engine(s, stats, err), err);
  int destroyed = tpo_comm_queue_destroy(s->queue, status == 0 ? err : NULL);
  return status < 0 ? status : destroyed;
}

/* Of what was drawn over the ranks, and of rank 0's samples, which is all of them. */
static int add_stats(const struct sampling *s, const struct tpo_samples *samples,
                     struct tpo_generate_stats *stats, struct tpo_error *err)
{
  double inserted = 0, tokens = 0;
  for (size_t i = 0; i < samples->n; i++) {
    tokens += samples->rows[i].n_tokens;
    for (int32_t t = 0; t < samples->rows[i].n_tokens; t++) inserted += samples->rows[i].inserted[t];
  }
  double sums[] = {(double)samples->n, tokens - inserted, inserted, stats->prompt_tokens,
                   stats->drawn_tokens};
  int status = tpo_comm_allreduce_sum_f64(s->session->comm, sums, sizeof sums / sizeof *sums, err);
  if (status == 0) status = tpo_comm_allreduce_max_f64(s->session->comm, &stats->seconds, 1, err);
  *stats = (struct tpo_generate_stats){.samples = sums[0],
                                       .sampled_tokens = sums[1],
                                       .inserted_tokens = sums[2],
                                       .kept = (double)s->n_kept,
                                       .prompt_tokens = sums[3],
                                       .drawn_tokens = sums[4],
                                       .seconds = stats->seconds};
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
  free(s->jobs);
}

int generate_kept(const struct tpo_session *session, const struct tpo_policy *policy,
                  const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
                  struct kept *kept, const struct generate_client *client, struct tpo_samples *samples,
                  struct tpo_generate_stats *stats, struct tpo_error *err)
{
  struct tpo_samples local = {0};
  struct sampling s = {.session = session,
                       .policy = policy,
                       .instructions = instructions,
                       .options = options,
                       .client = client,
                       .kept = kept,
                       .local = &local,
                       .sampled = {.session = session,
                                   .phase = options->what ? options->what : "sampling",
                                   .n_prompts = instructions->n}};
  *stats = (struct tpo_generate_stats){0};
  int status = render_prompts(&s, err);
  if (status == 0) qsort_r(s.order, instructions->n, sizeof *s.order, longer_first, &s);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = plan_jobs(&s, samples, err);
  for (size_t i = 0; i < samples->n; i++) s.sampled.before += samples->rows[i].n_tokens;
  if (status == 0) status = draw(&s, stats, err);
  if (status < 0) stats->kept = (double)(s.n_added + samples->n);
  if (status < 0 && kept)
    status = kept_tell(kept, status, (double)(s.n_added + samples->n), (double)s.n_samples, "samples", err);
  if (status == 0) status = gather_rows(&s, samples, err);
  if (status == 0) status = add_stats(&s, samples, stats, err);
  samples->output_tokens = options->sampling->max_tokens;
  if (status == 0) sampled_end(&s.sampled, stats->sampled_tokens + stats->inserted_tokens);
  if (status == 0 && tpo_comm_rank(session->comm) == 0) status = sort_rows(&s, samples, err);
  free_prompts(&s);
  sampled_free(&s.sampled);
  tpo_samples_free(&local);
  return tpo_comm_agree(session->comm, status, err);
}

int tpo_generate(const struct tpo_session *session, const struct tpo_policy *policy,
                 const struct tpo_instructions *instructions, const struct tpo_generate_options *options,
                 struct tpo_samples *samples, struct tpo_generate_stats *stats, struct tpo_error *err)
{
  struct kept *kept;
  int status = kept_samples_open(&kept, session, policy, instructions, options, err);
  if (status == 0)
    status = generate_kept(session, policy, instructions, options, kept, NULL, samples, stats, err);
  kept_close(kept);
  return status;
}
