/* Training that was saved goes on as if it had never stopped. */
#include <unistd.h>
#include "fixture.h"

static struct tpo_comm *alone;
static char folder[4096];

struct interruption {
  int after; /* steps until the callback stops the epoch; 0: never */
  int steps;
};

static int count(void *arg, const struct tpo_train_metrics *m, struct tpo_error *e)
{
  (void)m;
  struct interruption *i = arg;
  i->steps++;
  return i->after && i->steps == i->after ? tpo_fail(e, TPO_E_INTERRUPTED, "stopped") : 0;
}

static struct tpo_train_config shuffled(void)
{
  struct tpo_train_config config = fixture_config();
  config.shuffle = true;
  return config;
}

static void in_folder(char path[4200], const char *name)
{
  snprintf(path, 4200, "%s/%s", folder, name);
}

/* The weights after both epochs; from a checkpoint when one is named. */
static void finish_as(struct tpo_comm *ranks, enum tpo_compute_dtype dtype, const char *from, float *weights,
                      int expected_steps)
{
  struct tpo_train_config config = shuffled();
  struct setup s = setup_open_as(ranks, &config, dtype);
  if (from) CHECK(tpo_trainer_load(s.trainer, from, &err) == 0);
  struct interruption i = {0};
  for (int epoch = 0; epoch < 2; epoch++) CHECK(run_epoch(&s, epoch, count, &i, &err) == 0);
  CHECK(i.steps == expected_steps && s.trainer->step == 6);
  whole_master(&s, weights);
  setup_close(&s);
}

static void finish(struct tpo_comm *ranks, const char *from, float *weights, int expected_steps)
{
  finish_as(ranks, TPO_DTYPE_FP32, from, weights, expected_steps);
}

static void stop_after_as(struct tpo_comm *ranks, enum tpo_compute_dtype dtype, int steps, const char *path,
                          const char *extra, bool with_optimizer)
{
  struct tpo_train_config config = shuffled();
  struct setup s = setup_open_as(ranks, &config, dtype);
  struct interruption i = {.after = steps};
  int status = 0;
  for (int epoch = 0; epoch < 2 && status == 0; epoch++) status = run_epoch(&s, epoch, count, &i, &err);
  CHECK(status == TPO_E_INTERRUPTED && i.steps == steps);
  CHECK(tpo_trainer_save(s.trainer, path, NULL, "seed: 7\n", extra, with_optimizer, &err) == 0);
  setup_close(&s);
}

static void stop_after(struct tpo_comm *ranks, int steps, const char *path, const char *extra,
                       bool with_optimizer)
{
  stop_after_as(ranks, TPO_DTYPE_FP32, steps, path, extra, with_optimizer);
}

static void a_resumed_run_ends_with_the_same_bits(void)
{
  static float whole[8192], resumed[8192];
  finish(comm, NULL, whole, 6);
  for (int steps = 1; steps <= 6; steps++) {
    char path[4200];
    in_folder(path, "stopped.h5");
    stop_after(comm, steps, path, NULL, true);
    finish(comm, path, resumed, 6 - steps);
    CHECK(memcmp(whole, resumed, sizeof whole) == 0);
  }
}

/* What a bf16 model rounds away is in the master weights. */
static void so_does_a_resumed_run_in_bf16(void)
{
  static float whole[8192], resumed[8192];
  char path[4200];
  in_folder(path, "bf16.h5");
  finish_as(comm, TPO_DTYPE_BF16, NULL, whole, 6);
  stop_after_as(comm, TPO_DTYPE_BF16, 2, path, NULL, true);
  finish_as(comm, TPO_DTYPE_BF16, path, resumed, 4);
  CHECK(memcmp(whole, resumed, sizeof whole) == 0);
}

/* Saved by all ranks, resumed by one alone, and the reverse. */
static void another_number_of_ranks_goes_on_to_rounding(void)
{
  static float whole[8192], resumed[8192];
  char path[4200], own[4300];
  finish(comm, NULL, whole, 6);
  in_folder(path, "together.h5");
  stop_after(comm, 2, path, NULL, true);
  finish(alone, path, resumed, 4);
  CHECK(equal_to_rounding(whole, resumed, 5104));
  snprintf(own, sizeof own, "%s.%d", path, tpo_comm_rank(comm));
  stop_after(alone, 4, own, NULL, true);
  finish(comm, own, resumed, 2);
  CHECK(equal_to_rounding(whole, resumed, 5104));
}

static void the_checkpoint_is_a_model_and_carries_what_the_caller_adds(void)
{
  char path[4200];
  in_folder(path, "extra.h5");
  stop_after(comm, 3, path, "{\"best\":0.25}", true);
  struct tpo_checkpoint *c;
  CHECK(tpo_checkpoint_open(&c, path, &err) == 0);
  char *text;
  size_t len;
  CHECK(tpo_checkpoint_get_blob(c, "state", &text, &len, &err) == 1);
  json_t *state = tpo_json_parse(text, len, "state", &err);
  CHECK(state && fixture_number(state, "best") == 0.25 && fixture_number(state, "step") == 3);
  json_decref(state);
  free(text);
  tpo_checkpoint_close(c);

  struct tpo_train_config config = shuffled();
  struct setup s = setup_open(comm, &config);
  CHECK(tpo_trainer_load(s.trainer, path, &err) == 0);
  struct tpo_model_options options = {.backend = s.backend, .dtype = TPO_DTYPE_FP32, .keep_master = true};
  struct tpo_model *model;
  CHECK(tpo_model_open(&model, path, &options, &err) == 0);
  static float trained[8192];
  whole_master(&s, trained);
  static float loaded[8192];
  tpo_ops(s.backend)->download(s.backend, loaded, tpo_model_master(model),
                               s.trainer->n_params * sizeof(float));
  CHECK(memcmp(loaded, trained, s.trainer->n_params * sizeof(float)) == 0);
  tpo_model_close(model);
  setup_close(&s);
}

static void expect_refusal(struct setup *s, const char *path, const char *words)
{
  struct tpo_error e = {0};
  CHECK(tpo_trainer_load(s->trainer, path, &e) == TPO_E_STATE);
  if (!strstr(e.message, words)) fprintf(stderr, "%s\n", e.message);
  CHECK(strstr(e.message, words));
}

static void a_state_that_belongs_elsewhere_is_refused(void)
{
  char path[4200], weights_only[4200];
  in_folder(path, "state.h5");
  in_folder(weights_only, "weights.h5");
  stop_after(comm, 2, path, NULL, true);
  stop_after(comm, 2, weights_only, NULL, false);

  struct tpo_train_config config = shuffled();
  struct setup s = setup_open(comm, &config);
  static float before[8192], after[8192];
  whole_master(&s, before);
  expect_refusal(&s, weights_only, "optimizer");
  whole_master(&s, after);
  CHECK(memcmp(before, after, sizeof before) == 0 && s.trainer->step == 0);
  CHECK(tpo_trainer_load(s.trainer, path, &err) == 0);
  s.pairs.rows[4].chosen_ref_logprob += 1;
  struct tpo_error e = {0};
  CHECK(run_epoch(&s, 0, NULL, NULL, &e) == TPO_E_STATE);
  CHECK(strstr(e.message, "other pairs"));
  setup_close(&s);

  config.beta = 0.25;
  s = setup_open(comm, &config);
  expect_refusal(&s, path, "train.beta = 0.3, now it is 0.25");
  setup_close(&s);
}

/* Trains for so many steps and keeps the state in the folder. */
static void keep_after(struct tpo_comm *ranks, enum tpo_compute_dtype dtype, int steps, const char *path,
                       bool weights)
{
  struct tpo_train_config config = shuffled();
  struct setup s = setup_open_as(ranks, &config, dtype);
  struct interruption i = {.after = steps};
  char *work;
  CHECK(tpo_trainer_work(s.trainer, &s.pairs, &work, &err) == 0);
  int status = 0;
  for (int epoch = 0; epoch < 2 && status == 0; epoch++) status = run_epoch(&s, epoch, count, &i, &err);
  CHECK(status == TPO_E_INTERRUPTED);
  CHECK(tpo_trainer_keep(s.trainer, path, work, "{\"mark\": 12}", weights, &err) == 0);
  free(work);
  setup_close(&s);
}

/* tpo_trainer_take_up for these pairs. */
static int take_up(struct setup *s, const char *path, char **state, struct tpo_error *e)
{
  char *work;
  CHECK(tpo_trainer_work(s->trainer, &s->pairs, &work, &err) == 0);
  int found = tpo_trainer_take_up(s->trainer, path, work, state, e);
  free(work);
  return found;
}

static void finish_kept(struct tpo_comm *ranks, enum tpo_compute_dtype dtype, const char *path,
                        int steps_left, float *weights)
{
  struct tpo_train_config config = shuffled();
  struct setup s = setup_open_as(ranks, &config, dtype);
  struct interruption i = {0};
  char *state = NULL;
  CHECK(take_up(&s, path, &state, &err) == 1);
  CHECK(strstr(state, "\"mark\":12"));
  free(state);
  CHECK(s.trainer->step == 6 - steps_left);
  for (int epoch = 0; epoch < 2; epoch++) CHECK(run_epoch(&s, epoch, count, &i, &err) == 0);
  CHECK(i.steps == steps_left);
  whole_master(&s, weights);
  setup_close(&s);
}

static void a_kept_state_goes_on_with_the_same_bits(void)
{
  static float whole[8192], resumed[8192];
  char path[4200];
  int64_t steps;
  in_folder(path, "kept");
  CHECK(!tpo_trainer_kept(path, &steps));
  finish(comm, NULL, whole, 6);
  for (int after = 2; after <= 5; after += 3) {
    keep_after(comm, TPO_DTYPE_FP32, after, path, true);
    CHECK(tpo_trainer_kept(path, &steps) && steps == after);
    finish_kept(comm, TPO_DTYPE_FP32, path, 6 - after, resumed);
    CHECK(memcmp(whole, resumed, sizeof whole) == 0);
  }
  in_folder(path, "kept-bf16");
  finish_as(comm, TPO_DTYPE_BF16, NULL, whole, 6);
  keep_after(comm, TPO_DTYPE_BF16, 2, path, true);
  finish_kept(comm, TPO_DTYPE_BF16, path, 4, resumed);
  CHECK(memcmp(whole, resumed, sizeof whole) == 0);
}

/* The three arrays together, on every rank. */
static void whole_state(const struct setup *s, float out[3][8192])
{
  const struct tpo_trainer *t = s->trainer;
  const float *arrays[] = {t->master, t->m, t->v};
  for (int i = 0; i < 3; i++) {
    tpo_ops(s->backend)
        ->download(s->backend, out[i] + t->shard_first, arrays[i], t->shard_count * sizeof(float));
    CHECK(comm_allgather_f32(s->ranks, out[i], t->n_params, &err) == 0);
  }
}

static void a_state_is_the_same_on_another_number_of_ranks(void)
{
  static float together[3][8192], by_one[3][8192];
  char path[4200], *state;
  struct tpo_train_config config = shuffled();
  struct tpo_comm *ranks[] = {comm, alone};
  for (int writer = 0; writer < 2; writer++) {
    in_folder(path, writer ? "by-one" : "by-all");
    if (writer == 0 || tpo_comm_rank(comm) == 0) keep_after(ranks[writer], TPO_DTYPE_FP32, 4, path, true);
    CHECK(tpo_comm_barrier(comm, &err) == 0);
    for (int reader = 0; reader < 2; reader++) {
      struct setup s = setup_open(ranks[reader], &config);
      CHECK(take_up(&s, path, &state, &err) == 1);
      free(state);
      whole_state(&s, reader ? by_one : together);
      setup_close(&s);
    }
    CHECK(memcmp(together, by_one, sizeof together) == 0 && together[2][7] != 0);
  }
}

/* Of other pairs, of other settings: refused by name, and the trainer is as it was. */
static void a_kept_state_of_other_work_is_refused(void)
{
  char path[4200], *state;
  struct tpo_error e = {0};
  in_folder(path, "other");
  keep_after(comm, TPO_DTYPE_FP32, 2, path, true);
  struct tpo_train_config config = shuffled();
  struct setup s = setup_open(comm, &config);
  s.pairs.rows[4].chosen_ref_logprob += 1;
  CHECK(take_up(&s, path, &state, &e) == TPO_E_STATE && strstr(e.message, "pairs: "));
  setup_close(&s);
  s = setup_open_as(comm, &config, TPO_DTYPE_BF16);
  CHECK(take_up(&s, path, &state, &e) == TPO_E_STATE);
  setup_close(&s);
  config.beta = 0.25;
  s = setup_open(comm, &config);
  CHECK(take_up(&s, path, &state, &e) == TPO_E_STATE &&
        strstr(e.message, "train.beta = 0.3, now it is 0.25"));
  CHECK(s.trainer->step == 0 && !state);
  setup_close(&s);
}

/* A file that lost its end: the trainer isn't touched. */
static void a_damaged_state_is_told(void)
{
  static float before[3][8192], after[3][8192];
  char path[4200], command[8600], *state;
  struct tpo_error e = {0};
  in_folder(path, "damaged");
  keep_after(comm, TPO_DTYPE_FP32, 2, path, true);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  snprintf(command, sizeof command, "for f in '%s'/state-*/*.journal; do truncate -s -1400 \"$f\"; done",
           path);
  if (tpo_comm_rank(comm) == 0) CHECK(system(command) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  struct tpo_train_config config = shuffled();
  struct setup s = setup_open(comm, &config);
  whole_state(&s, before);
  CHECK(take_up(&s, path, &state, &e) == TPO_E_INPUT && strstr(e.message, "damaged"));
  whole_state(&s, after);
  CHECK(memcmp(before, after, sizeof before) == 0 && s.trainer->step == 0);
  setup_close(&s);
}

/* A state counts once all of it is there; the one before stays until then, and goes afterwards. */
static void a_state_that_was_not_finished_does_not_count(void)
{
  static float resumed[8192];
  char path[4200], command[8600];
  int64_t steps;
  in_folder(path, "part");
  keep_after(comm, TPO_DTYPE_FP32, 2, path, true);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  snprintf(command, sizeof command, "cp -r '%s/state-000001.2' '%s/state-000002.5.part'", path, path);
  if (tpo_comm_rank(comm) == 0) CHECK(system(command) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  CHECK(tpo_trainer_kept(path, &steps) && steps == 2);
  finish_kept(comm, TPO_DTYPE_FP32, path, 4, resumed);
  keep_after(comm, TPO_DTYPE_FP32, 3, path, true);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  snprintf(command, sizeof command, "test \"$(ls '%s')\" = state-000002.3", path);
  if (tpo_comm_rank(comm) == 0) CHECK(system(command) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
}

static void a_folder_that_cannot_be_written_fails_on_all_ranks(void)
{
  struct tpo_train_config config = shuffled();
  struct setup s = setup_open(comm, &config);
  struct tpo_error e = {0};
  CHECK(tpo_trainer_save(s.trainer, "/nonexistent-folder/x.h5", NULL, NULL, NULL, true, &e) < 0);
  CHECK(e.message[0]);
  CHECK(tpo_trainer_keep(s.trainer, "/proc/nowhere", "work: x\n", NULL, true, &e) == TPO_E_IO);
  setup_close(&s);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  alone = open_alone();
  if (tpo_comm_rank(comm) == 0) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tpo-resume-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(folder));
  }
  CHECK(tpo_comm_bcast(comm, folder, sizeof folder, 0, &err) == 0);
  a_resumed_run_ends_with_the_same_bits();
  so_does_a_resumed_run_in_bf16();
  another_number_of_ranks_goes_on_to_rounding();
  the_checkpoint_is_a_model_and_carries_what_the_caller_adds();
  a_state_that_belongs_elsewhere_is_refused();
  a_kept_state_goes_on_with_the_same_bits();
  a_state_is_the_same_on_another_number_of_ranks();
  a_kept_state_of_other_work_is_refused();
  a_damaged_state_is_told();
  a_state_that_was_not_finished_does_not_count();
  a_folder_that_cannot_be_written_fails_on_all_ranks();
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) {
    char command[4200];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    CHECK(system(command) == 0);
  }
  tpo_comm_close(alone);
  tpo_comm_close(comm);
  return 0;
}
