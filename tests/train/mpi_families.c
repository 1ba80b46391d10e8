/* Every family is trained: the loss falls, and ranks that share the parameters out do what one does alone. */
#include "fixture.h"
#include "base/philox.h"
#include "family_folders.h"

enum { PAIRS = 4, STEPS = 3, LONGEST = 24 };

static struct tpo_comm *alone;

/* Longer than the models' windows and, together with their prompts, than longrope's original context. */
static struct tpo_pairs random_pairs(void)
{
  struct tpo_pairs pairs = {0};
  for (int i = 0; i < PAIRS; i++) {
    int32_t ids[3][LONGEST];
    struct tpo_rng rng;
    tpo_rng_init(&rng, 5, TPO_STREAM_SYNTH, (uint64_t)i, 0);
    for (int j = 0; j < 3 * LONGEST; j++) ids[j / LONGEST][j % LONGEST] = (int32_t)tpo_rng_below(&rng, 96);
    struct tpo_pair_row row = {.prompt_id = "p",
                               .prompt_ids = ids[0],
                               .chosen_ids = ids[1],
                               .rejected_ids = ids[2],
                               .n_prompt = 3 + 5 * i,
                               .n_chosen = LONGEST,
                               .n_rejected = LONGEST - 2 * i,
                               .chosen_ref_logprob = NAN,
                               .rejected_ref_logprob = NAN};
    CHECK(tpo_pairs_add(&pairs, &row, &err) == 0);
  }
  return pairs;
}

/* What training came to. */
struct outcome {
  double losses[STEPS];
  size_t n;
  float *weights; // [n] master weights
};

/* STEPS of all pairs each. */
static struct outcome train(struct tpo_comm *ranks, const char *folder, enum tpo_compute_dtype dtype)
{
  struct tpo_train_config config = fixture_config();
  config.batch = PAIRS;
  config.epochs = STEPS;
  config.learning_rate = 3e-4;
  struct setup s = {.backend = test_backend(), .pairs = random_pairs(), .config = config, .ranks = ranks};
  s.model = open_model(s.backend, folder, dtype, ranks);
  CHECK(tpo_trainer_open(&s.trainer, s.model, ranks, &config, 7, NULL, &err) == 0);
  CHECK(tpo_train_reference_logprobs(s.model, ranks, &config, &s.pairs, NULL, NULL, &err) == 0);
  struct outcome out = {.n = s.trainer->n_params};
  struct tpo_train_metrics metrics;
  for (int step = 0; step < STEPS; step++) {
    CHECK(tpo_trainer_step(s.trainer, &s.pairs, step, &metrics, &err) == 1);
    out.losses[step] = metrics.loss;
  }
  out.weights = malloc(out.n * sizeof *out.weights);
  CHECK(out.weights);
  whole_master(&s, out.weights);
  setup_close(&s);
  return out;
}

/* From ln 2, where policy and reference are one model. */
static void the_loss_falls(const struct outcome *outcome, const char *folder)
{
  const double *loss = outcome->losses;
  bool falls = fabs(loss[0] - log(2)) < 1e-15;
  for (int step = 1; step < STEPS; step++) falls = falls && loss[step] < loss[step - 1] - 1e-3;
  if (!falls) fprintf(stderr, "%s: losses are %g, %g, %g\n", folder, loss[0], loss[1], loss[2]);
  CHECK(falls);
}

static void train_family(const char *folder)
{
  struct outcome together = train(comm, folder, TPO_DTYPE_FP32),
                 single = train(alone, folder, TPO_DTYPE_FP32);
  struct outcome rounded = train(comm, folder, TPO_DTYPE_BF16);
  the_loss_falls(&together, folder);
  the_loss_falls(&rounded, folder);
  for (int step = 0; step < STEPS; step++) CHECK(fabs(together.losses[step] - single.losses[step]) < 1e-6);
  CHECK(equal_to_rounding(together.weights, single.weights, single.n));
  free(together.weights);
  free(single.weights);
  free(rounded.weights);
}

/* A folder's name: that family alone. */
int main(int argc, char **argv)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  alone = open_alone();
  for (int i = 0; i < FAMILIES; i++)
    if (argc < 2 || strcmp(argv[1], families[i]) == 0) train_family(family_folder(i));
  tpo_comm_close(alone);
  tpo_comm_close(comm);
  return 0;
}
