/* The tiny model and the pairs of make_fixtures.py, and what PyTorch says of them. */
#ifndef TPO_TESTS_TRAIN_FIXTURE_H
#define TPO_TESTS_TRAIN_FIXTURE_H

#include <math.h>
#include <string.h>
#include "comm/state.h"
#include "mpi_backend.h"
#include "base/file.h"
#include "base/json.h"
#include "store/safetensors.h"
#include "train/state.h"

#define FIXTURES TPO_SOURCE_DIR "/tests/train/"

static inline struct tpo_model *open_model(struct tpo_backend *backend, const char *folder,
                                           enum tpo_compute_dtype dtype, const struct tpo_comm *ranks)
{
  struct tpo_model_options options = {.backend = backend,
                                      .dtype = dtype,
                                      .keep_master = true,
                                      .shard_rank = tpo_comm_rank(ranks),
                                      .shard_size = tpo_comm_size(ranks)};
  struct tpo_model *model;
  CHECK(tpo_model_open(&model, folder, &options, &err) == 0);
  return model;
}

static inline struct tpo_model *fixture_model(struct tpo_backend *backend, enum tpo_compute_dtype dtype,
                                              const struct tpo_comm *ranks)
{
  return open_model(backend, FIXTURES "tiny", dtype, ranks);
}

static inline json_t *fixture_numbers(void)
{
  json_t *numbers = tpo_json_load(FIXTURES "expected.json", 1 << 20, &err);
  CHECK(numbers);
  return numbers;
}

static inline double fixture_number(const json_t *object, const char *key)
{
  const json_t *value = json_object_get(object, key);
  CHECK(json_is_number(value));
  return json_number_value(value);
}

/* Pairs with the fixture's reference log-probabilities. */
static inline struct tpo_pairs fixture_pairs(void)
{
  struct tpo_pairs pairs = {0};
  CHECK(tpo_train_read_pairs(&pairs, FIXTURES "pairs.jsonl", NULL, NULL, &err) == 0);
  struct tpo_lines lines;
  CHECK(tpo_lines_open(&lines, FIXTURES "pairs.jsonl", &err) == 0);
  for (size_t i = 0; i < pairs.n; i++) {
    CHECK(tpo_lines_next(&lines, &err) == 1);
    json_t *line = tpo_json_parse(lines.line.data, lines.line.len, "pairs.jsonl", &err);
    CHECK(line);
    pairs.rows[i].chosen_ref_logprob = fixture_number(line, "ref_chosen");
    pairs.rows[i].rejected_ref_logprob = fixture_number(line, "ref_rejected");
    json_decref(line);
  }
  tpo_lines_close(&lines);
  return pairs;
}

static inline struct tpo_train_config fixture_config(void)
{
  json_t *numbers = fixture_numbers();
  const json_t *s = json_object_get(numbers, "settings");
  struct tpo_train_config config = {
      .loss = TPO_LOSS_DPO,
      .beta = fixture_number(s, "beta"),
      .learning_rate = fixture_number(s, "learning_rate"),
      .schedule = TPO_SCHEDULE_COSINE,
      .warmup = fixture_number(s, "warmup"),
      .weight_decay = fixture_number(s, "weight_decay"),
      .adam_beta1 = fixture_number(s, "adam_beta1"),
      .adam_beta2 = fixture_number(s, "adam_beta2"),
      .adam_eps = fixture_number(s, "adam_eps"),
      .grad_clip = fixture_number(s, "grad_clip"),
      .batch = (int)fixture_number(s, "batch"),
      .epochs = (int)fixture_number(s, "epochs"),
      .micro_batch_tokens = 60, /* one or two pairs: a batch is accumulated from several passes */
  };
  json_decref(numbers);
  return config;
}

/* Everything that a training test needs; closed by setup_close. */
struct setup {
  struct tpo_backend *backend;
  struct tpo_model *model;
  struct tpo_pairs pairs;
  struct tpo_train_config config;
  struct tpo_comm *ranks;
  struct tpo_trainer *trainer;
};

static inline struct setup setup_open_as(struct tpo_comm *ranks, const struct tpo_train_config *config,
                                         enum tpo_compute_dtype dtype)
{
  struct setup s = {.backend = test_backend(), .pairs = fixture_pairs(), .config = *config, .ranks = ranks};
  s.model = fixture_model(s.backend, dtype, ranks);
  CHECK(tpo_trainer_open(&s.trainer, s.model, ranks, config, 7, NULL, &err) == 0);
  return s;
}

static inline struct setup setup_open(struct tpo_comm *ranks, const struct tpo_train_config *config)
{
  return setup_open_as(ranks, config, TPO_DTYPE_FP32);
}

static inline void setup_close(struct setup *s)
{
  tpo_trainer_close(s->trainer);
  tpo_comm_detach(s->ranks);
  tpo_model_close(s->model);
  tpo_pairs_free(&s->pairs);
  tpo_backend_close(s->backend);
}

/* All of an epoch's steps; on_step on every rank, which may fail on one: all ranks leave with its status. */
static inline int run_epoch(const struct setup *s, int epoch,
                            int (*on_step)(void *arg, const struct tpo_train_metrics *m, struct tpo_error *e),
                            void *arg, struct tpo_error *e)
{
  struct tpo_train_metrics metrics;
  int status;
  while ((status = tpo_trainer_step(s->trainer, &s->pairs, epoch, &metrics, e)) == 1) {
    status = tpo_comm_agree(s->ranks, on_step ? on_step(arg, &metrics, e) : 0, e);
    if (status < 0) break;
  }
  return status;
}

/* The ranks' master weights together, [n_params] on every rank. */
static inline void whole_master(const struct setup *s, float *out)
{
  struct tpo_comm *ranks = s->ranks;
  const struct tpo_trainer *t = s->trainer;
  const struct tpo_ops *ops = tpo_ops(s->backend);
  ops->download(s->backend, out + t->shard_first, tpo_model_master(s->model), t->shard_count * sizeof *out);
  CHECK(ops->check(s->backend, &err) == 0);
  CHECK(comm_allgather_f32(ranks, out, t->n_params, &err) == 0);
}

/* The same process as a rank of its own: what it computes is what one rank alone would. */
static inline struct tpo_comm *open_alone(void)
{
  static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  struct tpo_comm *alone;
  CHECK(tpo_comm_open(&alone, 30, &err) == 0);
  CHECK(tpo_comm_size(alone) == 1);
  return alone;
}

static inline double largest_difference(const float *a, const float *b, size_t n)
{
  double largest = 0;
  for (size_t i = 0; i < n; i++) {
    double d = fabs((double)a[i] - (double)b[i]);
    if (!(d <= largest)) largest = d; /* NaN counts */
  }
  return largest;
}

/* Weights that should differ by the rounding of gradient sums alone. Adam divides a gradient by its own size,
 * so a few elements whose gradient is near its epsilon show far more than the rest. */
static inline bool equal_to_rounding(const float *a, const float *b, size_t n)
{
  double squares = 0;
  for (size_t i = 0; i < n; i++) squares += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
  return sqrt(squares / (double)n) < 1e-6 && largest_difference(a, b, n) < 5e-5;
}

#endif
