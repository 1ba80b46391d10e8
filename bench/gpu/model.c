/* Times whole passes of a model of Llama-3-8B's shapes with random bf16 weights on the GPU:
 *
 *   bench_gpu_model generate [--small] [--layers L] [--sequences N] [--context N] [--steps N] [--no-graphs]
 *   bench_gpu_model dpo [--small] [--layers L] [--pairs N] [--length N] [--steps N] [--micro-batch TOKENS]
 *
 * generate: prompts of `context` tokens are read into the paged cache, then all sequences go on token by
 * token, drawn at temperature 0.8 and top-p 0.95 on the device; a step is recorded as a CUDA graph and played
 * again unless --no-graphs. dpo: whole training steps, on as many layers
 * as the memory holds unless --layers says. Writes a line of JSON. Checked: the paged pass agrees with the
 * packed one, the loss starts at ln 2 and falls. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/philox.h"
#include "model/model.h"
#include "tpo/comm.h"
#include "tpo/train.h"

struct settings {
  bool small, no_graphs;
  int layers, sequences, context, steps, pairs, length, micro_batch;
};

static const struct tpo_arch llama = {.vocab_size = 128256,
                                      .hidden = 4096,
                                      .layers = 32,
                                      .heads = 32,
                                      .kv_heads = 8,
                                      .head_dim = 128,
                                      .ffn = 14336,
                                      .context = 8192,
                                      .rms_eps = 1e-5,
                                      .rope.theta = 500000};
static const struct tpo_arch small_arch = {.vocab_size = 512,
                                           .hidden = 128,
                                           .layers = 2,
                                           .heads = 2,
                                           .kv_heads = 1,
                                           .head_dim = 64,
                                           .ffn = 192,
                                           .context = 512,
                                           .rms_eps = 1e-5,
                                           .rope.theta = 500000};

static double layer_parameters(const struct tpo_arch *a)
{
  double width = (a->heads + 2.0 * a->kv_heads) * a->head_dim;
  return a->hidden * (width + (double)a->heads * a->head_dim + 3.0 * a->ffn) + 2.0 * a->hidden;
}

/* Normal weights from one piece that repeats, odd in length: eight thousand million different ones would take
 * minutes. */
static int make_model(struct tpo_model **out, const struct tpo_arch *arch,
                      const struct tpo_model_options *options, struct tpo_error *err)
{
  enum { PIECE = 1000003 };
  size_t n_params;
  int64_t most = 0;
  int status = tpo_model_allocate(out, arch, options, err);
  if (status < 0) return status;
  const struct tpo_param *params = tpo_model_params(*out, &n_params);
  for (size_t i = 0; i < n_params; i++)
    if (tpo_param_chunk(&params[i]) * params[i].cols > most)
      most = tpo_param_chunk(&params[i]) * params[i].cols;
  float *host = malloc((size_t)most * sizeof *host);
  if (!host) return tpo_fail(err, TPO_E_MEMORY, "no memory for weights on their way");
  struct tpo_rng rng;
  tpo_rng_init(&rng, 1, TPO_STREAM_INIT, 0, 0);
  for (int64_t j = 0; j < most; j++)
    host[j] = j < PIECE ? (float)(0.02 * tpo_rng_normal(&rng)) : host[j - PIECE];
  for (size_t i = 0; status == 0 && i < n_params; i++) {
    int64_t chunk = tpo_param_chunk(&params[i]);
    float one[1 << 15];
    for (int64_t j = 0; params[i].cols == 1 && j < params[i].rows; j++) one[j] = 1;
    for (int64_t row = 0; status == 0 && row < params[i].rows; row += chunk) {
      int64_t n = params[i].rows - row < chunk ? params[i].rows - row : chunk;
      status = tpo_model_put_rows(*out, i, row, n, params[i].cols == 1 ? one + row : host, err);
    }
  }
  free(host);
  return status;
}

/* ---- generation */

struct generation {
  struct tpo_backend *be;
  const struct tpo_ops *ops;
  struct tpo_model *model;
  struct tpo_kv_cache *cache;
  const struct settings *s;
  int vocab, max_blocks;
  int32_t *ids;                                     // [sequences, context]
  int32_t *blocks;                                  // [sequences, max_blocks]
  int32_t *row_ids, *seq, *pos, *logit_rows, *from; // [rows of a pass]
  int32_t *drawn;                                   // [sequences] backend memory
  float *logprob;                                   // [sequences] backend memory
  struct tpo_sample_params *sampling;               // [sequences]
};

enum { BLOCK_TOKENS = 16, WARM_STEPS = 4 };

static int prefill(struct generation *g, int first, int n_seqs, float **logits, struct tpo_error *err)
{
  int context = g->s->context, rows = n_seqs * context;
  for (int r = 0; r < rows; r++) {
    g->row_ids[r] = g->ids[(size_t)first * context + r];
    g->seq[r] = first + r / context;
    g->pos[r] = r % context;
  }
  for (int i = 0; i < n_seqs; i++) g->logit_rows[i] = (i + 1) * context - 1;
  struct tpo_pass pass = {.n = rows,
                          .ids = g->row_ids,
                          .seq = g->seq,
                          .pos = g->pos,
                          .blocks = {g->blocks},
                          .n_seqs = g->s->sequences,
                          .max_blocks = g->max_blocks,
                          .logit_rows = g->logit_rows,
                          .n_logits = n_seqs};
  return tpo_model_pass(g->model, g->cache, &pass, logits, err);
}

static int draw(struct generation *g, const float *logits, int first, int n)
{
  for (int i = 0; i < n; i++) {
    struct tpo_sample_key key = {.seed = 1, .prompt = (uint64_t)(first + i)};
    g->sampling[first + i].uniform = tpo_sample_uniform(&key, (uint32_t)g->pos[0]);
  }
  g->ops->sample(g->be, logits, g->sampling + first, g->drawn + first, g->logprob + first, n, g->vocab);
  return 0;
}

static int decode(struct generation *g, int position, struct tpo_error *err)
{
  int n = g->s->sequences;
  float *logits;
  for (int i = 0; i < n; i++) {
    g->row_ids[i] = 0;
    g->seq[i] = g->from[i] = g->logit_rows[i] = i;
    g->pos[i] = position;
  }
  struct tpo_pass pass = {.n = n,
                          .ids = g->row_ids,
                          .seq = g->seq,
                          .pos = g->pos,
                          .blocks = {g->blocks},
                          .n_seqs = n,
                          .max_blocks = g->max_blocks,
                          .logit_rows = g->logit_rows,
                          .n_logits = n,
                          .from = g->from,
                          .drawn = g->drawn,
                          .recorded = !g->s->no_graphs};
  int status = tpo_model_pass(g->model, g->cache, &pass, &logits, err);
  return status < 0 ? status : draw(g, logits, 0, n);
}

/* The same sequence through the packed pass: log p of its last token must be that of the paged pass. */
static int check_passes(struct generation *g, double *gap, struct tpo_error *err)
{
  int context = g->s->context, n = context - 1;
  int32_t cu_seqlens[] = {0, context}, last = g->ids[context - 1];
  float *packed = calloc((size_t)context, sizeof *packed), *logits, paged;
  if (!packed) return tpo_fail(err, TPO_E_MEMORY, "no memory");
  struct tpo_batch batch = {.ids = g->ids, .cu_seqlens = cu_seqlens, .n_tokens = context, .n_seqs = 1};
  int status = tpo_model_logprobs(g->model, &batch, packed, err);
  for (int r = 0; r < n; r++) {
    g->seq[r] = 0;
    g->pos[r] = r;
  }
  int32_t logit_row = n - 1;
  struct tpo_pass pass = {.n = n,
                          .ids = g->ids,
                          .seq = g->seq,
                          .pos = g->pos,
                          .blocks = {g->blocks},
                          .n_seqs = g->s->sequences,
                          .max_blocks = g->max_blocks,
                          .logit_rows = &logit_row,
                          .n_logits = 1};
  if (status == 0) status = tpo_model_pass(g->model, g->cache, &pass, &logits, err);
  if (status == 0) {
    g->ops->upload(g->be, g->drawn, &last, sizeof last);
    g->ops->token_logprob(g->be, logits, g->drawn, g->logprob, 1, g->vocab);
    g->ops->download(g->be, &paged, g->logprob, sizeof paged);
    status = g->ops->check(g->be, err);
    *gap = fabs((double)paged - packed[context - 2]);
    if (status == 0 && !(*gap < 0.05))
      status = tpo_fail(err, TPO_E_NUMERIC, "the paged pass gives log-probability %g, the packed one %g",
                        paged, packed[context - 2]);
  }
  free(packed);
  return status;
}

static int make_generation(struct generation *g, struct tpo_error *err)
{
  const struct settings *s = g->s;
  size_t rows = (size_t)s->sequences * s->context;
  g->max_blocks = (s->context + WARM_STEPS + s->steps) / BLOCK_TOKENS + 1;
  g->ids = calloc(rows, sizeof *g->ids);
  g->blocks = calloc((size_t)s->sequences * g->max_blocks, sizeof *g->blocks);
  int32_t **arrays[] = {&g->row_ids, &g->seq, &g->pos, &g->logit_rows, &g->from};
  for (int i = 0; i < 5; i++)
    if (!(*arrays[i] = calloc(rows, sizeof **arrays[i]))) return tpo_fail(err, TPO_E_MEMORY, "no memory");
  g->sampling = calloc((size_t)s->sequences, sizeof *g->sampling);
  if (!g->ids || !g->blocks || !g->sampling) return tpo_fail(err, TPO_E_MEMORY, "no memory");
  struct tpo_rng rng;
  tpo_rng_init(&rng, 2, TPO_STREAM_INIT, 0, 0);
  for (size_t i = 0; i < rows; i++) g->ids[i] = (int32_t)tpo_rng_below(&rng, (uint32_t)g->vocab);
  for (int i = 0; i < s->sequences; i++) {
    g->sampling[i] = (struct tpo_sample_params){.temperature = 0.8f, .top_p = 0.95f};
    for (int b = 0; b < g->max_blocks; b++) g->blocks[i * g->max_blocks + b] = b * s->sequences + i;
  }
  void *drawn, *logprob;
  int n_blocks[TPO_REACHES] = {s->sequences * g->max_blocks};
  int status = tpo_kv_cache_create(&g->cache, g->model, n_blocks, BLOCK_TOKENS, err);
  if (status == 0) status = g->ops->alloc(g->be, (size_t)s->sequences * 4, &drawn, err);
  if (status == 0) status = g->ops->alloc(g->be, (size_t)s->sequences * 4, &logprob, err);
  if (status < 0) return status;
  g->drawn = drawn;
  g->logprob = logprob;
  return 0;
}

static int run_generate(struct tpo_backend *be, const struct settings *s, struct tpo_error *err)
{
  struct tpo_arch arch = s->small ? small_arch : llama;
  if (s->layers) arch.layers = s->layers;
  struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_BF16};
  struct generation g = {.be = be, .ops = tpo_ops_for(be, TPO_BF16), .s = s, .vocab = arch.vocab_size};
  double gap = 0, start = tpo_seconds();
  int status = make_model(&g.model, &arch, &options, err),
      at_once = s->context < 8192 ? 8192 / s->context : 1;
  double loading = tpo_seconds() - start;
  if (status == 0) status = make_generation(&g, err);
  if (status == 0) status = check_passes(&g, &gap, err);
  start = tpo_seconds();
  for (int first = 0; status == 0 && first < s->sequences; first += at_once) {
    int n = s->sequences - first < at_once ? s->sequences - first : at_once;
    float *logits;
    status = prefill(&g, first, n, &logits, err);
    if (status == 0) status = draw(&g, logits, first, n);
  }
  if (status == 0) status = g.ops->check(be, err);
  double prefill_seconds = tpo_seconds() - start;
  int position = s->context;
  for (int i = 0; status == 0 && i < WARM_STEPS; i++) status = decode(&g, position++, err);
  if (status == 0) status = g.ops->check(be, err);
  start = tpo_seconds();
  for (int i = 0; status == 0 && i < s->steps; i++) status = decode(&g, position++, err);
  if (status == 0) status = g.ops->check(be, err);
  double seconds = (tpo_seconds() - start) / s->steps;
  if (status < 0) return status;
  double body = arch.layers * layer_parameters(&arch), head = (double)arch.vocab_size * arch.hidden;
  double tokens = s->context + WARM_STEPS + s->steps / 2.0; /* in each cache, on average */
  double cache = 4.0 * arch.layers * arch.kv_heads * arch.head_dim * tokens * s->sequences;
  double rows = (double)s->sequences * s->context;
  double prefill_flops = 2 * body * rows + 2 * head * s->sequences +
                         2.0 * rows * s->context * arch.heads * arch.head_dim * arch.layers;
  printf("{\"model\": \"generate\", \"layers\": %d, \"sequences\": %d, \"context\": %d, \"steps\": %d, "
         "\"graphs\": %s, \"load_seconds\": %.3g, \"prefill_seconds\": %.6g, \"prefill_flops\": %.6g, "
         "\"step_seconds\": %.6g, \"tokens_per_second\": %.6g, \"step_bytes\": %.6g, \"step_flops\": %.6g, "
         "\"gap\": %.3g}\n",
         arch.layers, s->sequences, s->context, s->steps, s->no_graphs ? "false" : "true", loading,
         prefill_seconds, prefill_flops, seconds, s->sequences / seconds, 2 * (body + head) + cache,
         2 * (body + head) * s->sequences, gap);
  return 0;
}

/* ---- training */

struct steps {
  double begin, seconds[64], losses[64];
  int n;
};

static void keep_step(struct steps *steps, const struct tpo_train_metrics *m)
{
  if (steps->n == 64) return;
  steps->seconds[steps->n] = m->seconds;
  steps->losses[steps->n++] = m->loss;
}

/* Pairs of one length: a quarter prompt, the rest output. */
static int make_pairs(struct tpo_pairs *pairs, const struct settings *s, int vocab, struct tpo_error *err)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, 3, TPO_STREAM_INIT, 0, 0);
  int32_t *ids = calloc((size_t)s->length * 2, sizeof *ids);
  if (!ids) return tpo_fail(err, TPO_E_MEMORY, "no memory");
  int n_prompt = s->length / 4, status = 0;
  for (int i = 0; status == 0 && i < s->pairs; i++) {
    char name[32];
    snprintf(name, sizeof name, "pair-%d", i);
    for (int j = 0; j < 2 * s->length; j++) ids[j] = (int32_t)tpo_rng_below(&rng, (uint32_t)vocab);
    struct tpo_pair_row row = {.prompt_id = name,
                               .chosen_row = -1,
                               .rejected_row = -1,
                               .prompt_ids = ids,
                               .chosen_ids = ids + n_prompt,
                               .rejected_ids = ids + s->length,
                               .n_prompt = n_prompt,
                               .n_chosen = s->length - n_prompt,
                               .n_rejected = s->length - n_prompt,
                               .chosen_ref_logprob = NAN,
                               .rejected_ref_logprob = NAN};
    status = tpo_pairs_add(pairs, &row, err);
  }
  free(ids);
  return status;
}

/* As many layers as fit with 18 bytes a parameter (bf16 weights, and masters, gradients and two moments in
 * fp32) and a sixth of the memory for activations and the LM head's chunks. */
static int layers_that_fit(const struct tpo_arch *arch, size_t available)
{
  double left = available * 5.0 / 6 / 18 - 2.0 * arch->vocab_size * arch->hidden;
  int layers = (int)(left / layer_parameters(arch));
  return layers < 1 ? 1 : layers > arch->layers ? arch->layers : layers;
}

static int by_size(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int report_training(const struct tpo_arch *arch, const struct settings *s, struct steps *steps,
                           double reference, struct tpo_error *err)
{
  double first = steps->losses[0], last = steps->losses[steps->n - 1];
  if (!(fabs(first - log(2)) < 1e-3) || !(last < first - 1e-4))
    return tpo_fail(err, TPO_E_NUMERIC, "the loss went from %g to %g; expected ln 2 first, then less", first,
                    last);
  qsort(steps->seconds + 1, (size_t)steps->n - 1, sizeof(double), by_size); /* the first step is warm-up */
  double seconds = steps->seconds[1 + (steps->n - 1) / 2];
  double tokens = 2.0 * s->pairs * s->length, outputs = tokens * 3 / 4;
  double body = arch->layers * layer_parameters(arch), head = (double)arch->vocab_size * arch->hidden;
  double attention = 2.0 * tokens * s->length * arch->heads * arch->head_dim * arch->layers;
  double forward = 2 * body * tokens + 2 * head * outputs + attention;
  printf("{\"model\": \"dpo\", \"layers\": %d, \"pairs\": %d, \"length\": %d, "
         "\"micro_batch\": %d, \"step_seconds\": %.6g, "
         "\"tokens_per_second\": %.6g, \"step_flops\": %.6g, \"reference_seconds\": %.6g, "
         "\"reference_flops\": %.6g, \"first_loss\": %.9g, \"last_loss\": %.6g, \"parameters\": %.6g}\n",
         arch->layers, s->pairs, s->length, s->micro_batch, seconds, tokens / seconds, 3 * forward, reference,
         forward, first, last, body + 2 * head);
  return 0;
}

static int run_dpo(struct tpo_backend *be, const struct settings *s, struct tpo_error *err)
{
  struct tpo_arch arch = s->small ? small_arch : llama;
  arch.layers = s->layers ? s->layers : layers_that_fit(&arch, tpo_ops(be)->memory_available(be));
  struct tpo_config config;
  struct tpo_comm *comm = NULL;
  struct tpo_model *model = NULL;
  struct tpo_trainer *trainer = NULL;
  struct tpo_train_metrics metrics;
  struct tpo_pairs pairs = {0};
  struct steps steps = {0};
  tpo_config_default(&config);
  config.train.batch = s->pairs;
  config.train.learning_rate = 1e-5;
  config.train.schedule = TPO_SCHEDULE_CONSTANT;
  config.train.warmup = 0;
  config.train.micro_batch_tokens = s->micro_batch;
  struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_BF16, .keep_master = true};
  int status = tpo_comm_open_alone(&comm, err);
  if (status == 0) status = tpo_comm_attach(comm, be, err);
  if (status == 0) status = make_model(&model, &arch, &options, err);
  if (status == 0) status = make_pairs(&pairs, s, arch.vocab_size, err);
  if (status == 0)
    status = tpo_train_reference_logprobs(model, comm, &config.train, &pairs, NULL, NULL, err); /* warms up */
  double start = tpo_seconds();
  if (status == 0) status = tpo_train_reference_logprobs(model, comm, &config.train, &pairs, NULL, NULL, err);
  double reference = tpo_seconds() - start;
  if (status == 0) status = tpo_trainer_open(&trainer, model, comm, &config.train, 1, NULL, err);
  for (int epoch = 0; status == 0 && epoch < s->steps; epoch++)
    while ((status = tpo_trainer_step(trainer, &pairs, epoch, &metrics, err)) == 1)
      keep_step(&steps, &metrics);
  if (status == 0) status = report_training(&arch, s, &steps, reference, err);
  tpo_trainer_close(trainer);
  tpo_pairs_free(&pairs);
  tpo_model_close(model);
  if (comm) tpo_comm_detach(comm);
  tpo_comm_close(comm);
  tpo_config_free(&config);
  return status;
}

static int read_settings(struct settings *s, int argc, char **argv)
{
  for (int i = 2; i < argc; i++) {
    if (strcmp(argv[i], "--small") == 0) s->small = true;
    if (strcmp(argv[i], "--no-graphs") == 0) s->no_graphs = true;
  }
  *s = s->small ? (struct settings){true, s->no_graphs, 0, 4, 40, 4, 2, 24, 48}
                : (struct settings){false, s->no_graphs, 0, 256, 512, 32, 16, 1024, 16384};
  const struct {
    const char *name;
    int *value;
  } options[] = {{"--layers", &s->layers},
                 {"--sequences", &s->sequences},
                 {"--context", &s->context},
                 {"--steps", &s->steps},
                 {"--pairs", &s->pairs},
                 {"--length", &s->length},
                 {"--micro-batch", &s->micro_batch}};
  for (int i = 2; i < argc; i++) {
    int known = strcmp(argv[i], "--small") == 0 || strcmp(argv[i], "--no-graphs") == 0;
    for (size_t o = 0; !known && o < sizeof options / sizeof *options; o++)
      if (strcmp(argv[i], options[o].name) == 0 && i + 1 < argc) {
        *options[o].value = atoi(argv[++i]);
        known = 1;
      }
    if (!known) return -1;
  }
  return s->steps >= 2 && s->steps <= 64 && s->context > 2 && s->length > 3 && s->micro_batch > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
  struct settings s = {0};
  bool generate = argc > 1 && strcmp(argv[1], "generate") == 0, dpo = argc > 1 && strcmp(argv[1], "dpo") == 0;
  if ((!generate && !dpo) || read_settings(&s, argc, argv) < 0) {
    fprintf(stderr,
            "usage: bench_gpu_model generate|dpo [--small] [--layers L] [--sequences N] "
            "[--context N] [--steps N] [--no-graphs] [--pairs N] [--length N] [--micro-batch TOKENS]\n");
    return 2;
  }
  struct tpo_error err = {0};
  struct tpo_backend *be = NULL;
  int status = tpo_backend_open(&be, TPO_BACKEND_CUDA, 0, &err);
  if (status == 0) status = generate ? run_generate(be, &s, &err) : run_dpo(be, &s, &err);
  if (status < 0) {
    fprintf(stderr, "bench_gpu_model: %s\n", err.message);
    return 1;
  }
  return 0; /* what is allocated goes with the process */
}
