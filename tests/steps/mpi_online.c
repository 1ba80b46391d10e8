/* Training on pairs that come while it goes on: skipped steps, states, checkpoints, at any number of ranks. */
#include <unistd.h>

#include "train/fixture.h"
#include "tpo/steps.h"

enum { MOST = 8192, STEPS = 8 };

static struct tpo_comm *alone;
static char folder[64], file[80];

/* A process's part of a run. */
struct part {
  struct tpo_config config;
  struct tpo_session session;
  struct tpo_policy policy;
  struct tpo_pairs pairs;
  struct tpo_online_options options;
  struct tpo_online *online;
};

static void part_make(struct part *p, struct tpo_comm *ranks, enum tpo_compute_dtype dtype)
{
  *p = (struct part){.pairs = fixture_pairs(), .options = {.journal = folder, .config_yaml = "seed: 7\n"}};
  tpo_config_default(&p->config);
  p->config.seed = 7;
  p->config.train = fixture_config();
  p->config.train.epochs = 1;
  p->config.run.steps = STEPS;
  p->config.run.sync_steps = 2;
  p->session = (struct tpo_session){.config = &p->config, .comm = ranks, .backend = test_backend()};
  p->policy.model = fixture_model(p->session.backend, dtype, ranks);
}

static int part_open(struct part *p, struct tpo_error *e)
{
  char once[sizeof folder]; /* the folder's name may go */
  struct tpo_online_options options = p->options;
  strcpy(once, folder);
  options.journal = once;
  int status = tpo_online_open(&p->online, &p->session, &p->policy, &options, e);
  memset(once, '?', sizeof once);
  return status;
}

static void part_free(struct part *p)
{
  tpo_online_close(p->online);
  tpo_comm_detach(p->session.comm);
  tpo_model_close(p->policy.model);
  tpo_backend_close(p->session.backend);
  tpo_pairs_free(&p->pairs);
  tpo_config_free(&p->config);
}

static void part_begin(struct part *p, struct tpo_comm *ranks)
{
  part_make(p, ranks, TPO_DTYPE_FP32);
  CHECK(part_open(p, &err) == 0);
}

static void forget(void)
{
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) CHECK(tpo_trainer_forget(folder, &err) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
}

/* Those of a step: one to four, and none of steps 0 and 4. */
static struct tpo_pairs pairs_of(const struct part *p, int64_t at)
{
  struct tpo_pairs some = p->pairs;
  some.rows += at;
  some.n = (size_t)at % 4;
  if (at == 7) some.rows = p->pairs.rows;
  return some;
}

static void go_to(struct part *p, int64_t end)
{
  struct tpo_train_metrics m;
  for (int64_t at = tpo_online_done(p->online); at < end; at++) {
    struct tpo_pairs pairs = pairs_of(p, at);
    CHECK(tpo_online_step(p->online, &pairs, &m, &err) == 0 && m.step == at);
    CHECK(m.lr == tpo_train_lr(&p->config.train, at, STEPS));
    CHECK(pairs.n > 0 ? isfinite(m.loss) && m.tokens > 0 && m.grad_norm > 0
                      : isnan(m.loss) && isnan(m.grad_norm) && m.tokens == 0 && m.seconds == 0);
    CHECK(tpo_online_done(p->online) == at + 1);
    if (at % 2 == 1) tpo_online_pause(p->online);
  }
}

static void weights_of(const struct part *p, float *out)
{
  size_t first, count, n = tpo_model_param_count(p->policy.model);
  const struct tpo_ops *ops = tpo_ops(p->session.backend);
  tpo_model_master_range(p->policy.model, &first, &count);
  ops->download(p->session.backend, out + first, tpo_model_master(p->policy.model), count * sizeof *out);
  CHECK(ops->check(p->session.backend, &err) == 0);
  CHECK(comm_allgather_f32(p->session.comm, out, n, &err) == 0);
}

/* All steps in one go, a state of the end left behind. */
static void whole_run(struct tpo_comm *ranks, enum tpo_compute_dtype dtype, float *weights)
{
  struct part p;
  part_make(&p, ranks, dtype);
  CHECK(part_open(&p, &err) == 0 && tpo_online_done(p.online) == 0 && tpo_online_mark_of(p.online) == -1);
  go_to(&p, STEPS);
  weights_of(&p, weights);
  part_free(&p);
}

/* Skipped steps count in the schedule, and are no update. */
static void steps_are_the_trainer_s_updates(void)
{
  static float whole[MOST], updates[MOST], before[MOST];
  struct part p;
  struct tpo_trainer *trainer;
  struct tpo_train_metrics m;
  struct tpo_error e = {0};
  part_begin(&p, comm);
  weights_of(&p, before);
  go_to(&p, 1);
  weights_of(&p, whole);
  CHECK(memcmp(before, whole, sizeof whole) == 0);
  go_to(&p, STEPS);
  weights_of(&p, whole);
  CHECK(tpo_online_step(p.online, &p.pairs, &m, &e) == TPO_E_USAGE && strstr(e.message, "all 8 steps"));
  part_free(&p);
  part_make(&p, comm, TPO_DTYPE_FP32);
  CHECK(tpo_trainer_open(&trainer, p.policy.model, comm, &p.config.train, 7, NULL, &err) == 0);
  for (int64_t at = 0; at < STEPS; at++) {
    struct tpo_pairs pairs = pairs_of(&p, at);
    if (pairs.n > 0) CHECK(tpo_trainer_update(trainer, &pairs, at, STEPS, &m, &err) == 0);
  }
  CHECK(trainer->step == 6);
  weights_of(&p, updates);
  tpo_trainer_close(trainer);
  part_free(&p);
  CHECK(memcmp(whole, updates, sizeof whole) == 0);
}

/* Kept after each of the steps once, also where the last was skipped. */
static void what_is_kept_goes_on_with_the_same_bits(enum tpo_compute_dtype dtype)
{
  static float whole[MOST], resumed[MOST];
  struct part p;
  whole_run(comm, dtype, whole);
  for (int64_t after = 1; after <= STEPS; after += dtype == TPO_DTYPE_FP32 ? 1 : 4) {
    part_make(&p, comm, dtype);
    CHECK(part_open(&p, &err) == 0);
    go_to(&p, after);
    tpo_online_mark(p.online, 100 + after);
    CHECK(tpo_online_keep(p.online, &err) == 0);
    part_free(&p);
    part_make(&p, comm, dtype);
    CHECK(part_open(&p, &err) == 0);
    CHECK(tpo_online_done(p.online) == after && tpo_online_mark_of(p.online) == 100 + after);
    go_to(&p, STEPS);
    weights_of(&p, resumed);
    CHECK(memcmp(whole, resumed, sizeof whole) == 0);
    part_free(&p);
    forget();
  }
}

/* Kept by all ranks, gone on with by one, and the reverse. */
static void another_number_of_ranks_goes_on_to_rounding(void)
{
  static float whole[MOST], resumed[MOST];
  struct tpo_comm *ranks[] = {comm, alone};
  struct part p;
  whole_run(comm, TPO_DTYPE_FP32, whole);
  for (int writer = 0; writer < 2; writer++) {
    if (writer == 0 || tpo_comm_rank(comm) == 0) {
      part_begin(&p, ranks[writer]);
      go_to(&p, 4);
      CHECK(tpo_online_keep(p.online, &err) == 0);
      part_free(&p);
    }
    CHECK(tpo_comm_barrier(comm, &err) == 0);
    if (writer == 1 || tpo_comm_rank(comm) == 0) {
      part_begin(&p, ranks[1 - writer]);
      CHECK(tpo_online_done(p.online) == 4);
      go_to(&p, STEPS);
      weights_of(&p, resumed);
      CHECK(equal_to_rounding(whole, resumed, 5104));
      part_free(&p);
    }
    forget();
  }
}

/* The model that samples are drawn with is the one that a checkpoint has. */
static void the_policy_computes_with_what_is_saved(void)
{
  struct part p;
  struct tpo_pairs before = fixture_pairs(), now = fixture_pairs(), saved = fixture_pairs();
  part_begin(&p, comm);
  CHECK(tpo_train_own_logprobs(p.policy.model, &p.config.train, &before, &err) == 0);
  go_to(&p, 3);
  CHECK(tpo_online_save(p.online, file, &err) == 0);
  CHECK(tpo_train_own_logprobs(p.policy.model, &p.config.train, &now, &err) == 0);
  struct tpo_model_options options = {.backend = p.session.backend, .dtype = TPO_DTYPE_FP32};
  struct tpo_model *model;
  CHECK(tpo_model_open(&model, file, &options, &err) == 0);
  CHECK(tpo_train_own_logprobs(model, &p.config.train, &saved, &err) == 0);
  tpo_model_close(model);
  for (size_t i = 0; i < now.n; i++)
    CHECK(now.rows[i].chosen_ref_logprob == saved.rows[i].chosen_ref_logprob &&
          now.rows[i].chosen_ref_logprob != before.rows[i].chosen_ref_logprob);
  struct tpo_checkpoint *c;
  char *text;
  size_t len;
  CHECK(tpo_checkpoint_open(&c, file, &err) == 0);
  CHECK(tpo_checkpoint_get_blob(c, "state", &text, &len, &err) == 1);
  CHECK(strstr(text, "\"steps_done\":3") && strstr(text, "\"step\":2"));
  free(text);
  tpo_checkpoint_close(c);
  tpo_pairs_free(&before);
  tpo_pairs_free(&now);
  tpo_pairs_free(&saved);
  part_free(&p);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) unlink(file);
}

static void states_are_kept_when_they_are_due(void)
{
  struct part p;
  int64_t updates = 0;
  part_make(&p, comm, TPO_DTYPE_FP32);
  p.config.train.state_minutes = 1e-9;
  CHECK(part_open(&p, &err) == 0);
  go_to(&p, 4); /* the state of step 4 is due before the next one */
  CHECK(tpo_trainer_kept(folder, &updates) && updates == 2);
  go_to(&p, 5);
  CHECK(tpo_trainer_kept(folder, &updates) && updates == 3);
  part_free(&p);
  part_begin(&p, comm); /* each half hour */
  CHECK(tpo_online_done(p.online) == 4);
  go_to(&p, 7);
  part_free(&p);
  part_begin(&p, comm);
  CHECK(tpo_online_done(p.online) == 4);
  part_free(&p);
  forget();
}

static void an_interruption_keeps_the_state_and_says_so(void)
{
  struct part p;
  struct tpo_error e = {0};
  char first[80];
  snprintf(first, sizeof first, "%s/state-000001.3", folder);
  part_begin(&p, comm);
  CHECK(tpo_fail(&e, TPO_E_INTERRUPTED, "stopped") == tpo_online_stop(p.online, TPO_E_INTERRUPTED, &e));
  CHECK(strstr(e.message, "stopped") && !strstr(e.message, "kept")); /* nothing was done */
  go_to(&p, 5);
  tpo_online_mark(p.online, 55);
  tpo_fail(&e, TPO_E_IO, "full");
  CHECK(tpo_online_stop(p.online, TPO_E_IO, &e) == TPO_E_IO && strcmp(e.message, "full") == 0);
  tpo_fail(&e, TPO_E_INTERRUPTED, "stopped");
  CHECK(tpo_online_stop(p.online, TPO_E_INTERRUPTED, &e) == TPO_E_INTERRUPTED);
  CHECK(strstr(e.message, "stopped; 5 of 8 steps are kept in /tmp/"));
  part_free(&p);
  part_begin(&p, comm);
  CHECK(tpo_online_done(p.online) == 5 && tpo_online_mark_of(p.online) == 55);
  tpo_fail(&e, TPO_E_INTERRUPTED, "again"); /* the state that is there is the one to tell of */
  CHECK(tpo_online_stop(p.online, TPO_E_INTERRUPTED, &e) == TPO_E_INTERRUPTED);
  CHECK(strstr(e.message, "again; 5 of 8 steps are kept in /tmp/") && tpo_file_exists(first));
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  go_to(&p, 6);
  CHECK(tpo_online_keep(p.online, &err) == 0);
  part_free(&p);
  part_begin(&p, comm);
  CHECK(tpo_online_done(p.online) == 6 && tpo_online_mark_of(p.online) == 55);
  part_free(&p);
  forget();
}

/* Opening fails with these words, and with drop_others begins anew with the weights as they are. */
static void expect_other(struct part *p, const char *words)
{
  static float before[MOST], after[MOST];
  struct tpo_error e = {0};
  weights_of(p, before);
  CHECK(part_open(p, &e) == TPO_E_STATE && !p->online);
  if (!strstr(e.message, words)) fprintf(stderr, "%s\n", e.message);
  CHECK(strstr(e.message, words));
  p->options.drop_others = true;
  CHECK(part_open(p, &err) == 0 && tpo_online_done(p->online) == 0);
  weights_of(p, after);
  CHECK(memcmp(before, after, sizeof before) == 0);
  part_free(p);
}

static void keep_four(void)
{
  struct part p;
  part_begin(&p, comm);
  go_to(&p, 4);
  CHECK(tpo_online_keep(p.online, &err) == 0);
  part_free(&p);
}

static void a_state_of_other_training_is_refused_or_dropped(void)
{
  struct part p;
  keep_four();
  part_make(&p, comm, TPO_DTYPE_FP32);
  p.config.run.steps = 9;
  expect_other(&p, "`run.steps: 8` there, `run.steps: 9` now");
  keep_four();
  part_make(&p, comm, TPO_DTYPE_FP32);
  p.config.train.beta = 0.25;
  expect_other(&p, "training was begun with train.beta = 0.3, now it is 0.25");
  keep_four();
  part_make(&p, comm, TPO_DTYPE_FP32);
  p.config.seed = 8;
  expect_other(&p, "training was begun with the seed 7, now it is 8");
  keep_four();
  part_make(&p, comm, TPO_DTYPE_BF16);
  expect_other(&p, "`model.dtype: fp32` there, `model.dtype: bf16` now");
}

static void damage_states(void)
{
  char command[200];
  snprintf(command, sizeof command, "for f in '%s'/state-*/*.journal; do truncate -s -1400 \"$f\"; done",
           folder);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) CHECK(system(command) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
}

static void a_damaged_state_is_dropped(void)
{
  static float whole[MOST], again[MOST];
  struct part p;
  whole_run(comm, TPO_DTYPE_FP32, whole);
  keep_four();
  damage_states();
  part_begin(&p, comm);
  CHECK(tpo_online_done(p.online) == 0 && tpo_online_mark_of(p.online) == -1);
  go_to(&p, STEPS);
  weights_of(&p, again);
  CHECK(memcmp(whole, again, sizeof whole) == 0);
  part_free(&p);
  forget();
}

/* A state of step 4, and a checkpoint of the same. */
static void keep_and_save_four(enum tpo_compute_dtype dtype, bool optimizer)
{
  struct part p;
  part_make(&p, comm, dtype);
  p.config.train.save_optimizer = optimizer;
  CHECK(part_open(&p, &err) == 0);
  go_to(&p, 4);
  tpo_online_mark(p.online, 44);
  CHECK(tpo_online_keep(p.online, &err) == 0);
  CHECK(tpo_online_save(p.online, file, &err) == 0);
  part_free(&p);
}

static void forget_checkpoint(void)
{
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) CHECK(unlink(file) == 0);
  forget();
}

/* Where the state is missing or damaged. What is damaged stays until there is another. */
static void a_checkpoint_goes_on_with_the_same_bits(enum tpo_compute_dtype dtype)
{
  static float whole[MOST], resumed[MOST];
  struct part p;
  int64_t updates;
  whole_run(comm, dtype, whole);
  for (int damaged = 0; damaged < 2; damaged++) {
    keep_and_save_four(dtype, true);
    if (damaged)
      damage_states();
    else
      forget();
    part_make(&p, comm, dtype);
    p.options.checkpoint = file;
    CHECK(part_open(&p, &err) == 0);
    CHECK(tpo_online_done(p.online) == 4 && tpo_online_mark_of(p.online) == -1);
    CHECK(tpo_online_kept(p.online) == -1 && tpo_trainer_kept(folder, &updates) == damaged);
    CHECK(tpo_online_keep(p.online, &err) == 0 && tpo_online_kept(p.online) == 4);
    go_to(&p, STEPS);
    weights_of(&p, resumed);
    CHECK(memcmp(whole, resumed, sizeof whole) == 0);
    part_free(&p);
    part_make(&p, comm, dtype);
    CHECK(part_open(&p, &err) == 0 && tpo_online_done(p.online) == 4);
    part_free(&p);
    forget_checkpoint();
  }
}

static void a_checkpoint_gives_way_to_a_state_and_needs_its_optimizer(void)
{
  struct part p;
  struct tpo_error e = {0};
  int64_t updates;
  keep_and_save_four(TPO_DTYPE_FP32, false);
  part_make(&p, comm, TPO_DTYPE_FP32);
  p.options.checkpoint = file;
  CHECK(part_open(&p, &err) == 0 && tpo_online_mark_of(p.online) == 44);
  part_free(&p);
  damage_states();
  part_make(&p, comm, TPO_DTYPE_FP32);
  p.options.checkpoint = file;
  CHECK(part_open(&p, &e) == TPO_E_STATE && !p.online);
  if (tpo_comm_rank(comm) == 0)
    CHECK(strstr(e.message, folder) && strstr(e.message, ": the state is not whole)") &&
          strstr(e.message, file) && strstr(e.message, "saved with its optimizer"));
  CHECK(tpo_trainer_kept(folder, &updates));
  part_free(&p);
  forget_checkpoint();
}

/* As the model computes with them, whatever checkpoints have besides. */
static void a_reference_s_file_has_the_weights_alone(void)
{
  struct part p;
  struct tpo_pairs now = fixture_pairs(), saved = fixture_pairs();
  struct tpo_checkpoint *c;
  struct tpo_model *model;
  int dtype, n_dims;
  int64_t dims[8];
  size_t n;
  part_make(&p, comm, TPO_DTYPE_BF16);
  const char *name = tpo_model_params(p.policy.model, &n)[0].name;
  p.config.train.save_optimizer = true;
  CHECK(part_open(&p, &err) == 0);
  go_to(&p, 3);
  CHECK(tpo_online_save_weights(p.online, file, &err) == 0);
  CHECK(tpo_train_own_logprobs(p.policy.model, &p.config.train, &now, &err) == 0);
  CHECK(tpo_checkpoint_open(&c, file, &err) == 0);
  CHECK(tpo_checkpoint_shape(c, "model", name, &dtype, &n_dims, dims, &err) == 1);
  CHECK(tpo_checkpoint_shape(c, "optimizer/master", name, &dtype, &n_dims, dims, &err) == 0);
  CHECK(tpo_checkpoint_shape(c, "optimizer/m", name, &dtype, &n_dims, dims, &err) == 0);
  tpo_checkpoint_close(c);
  struct tpo_model_options options = {.backend = p.session.backend, .dtype = TPO_DTYPE_BF16};
  CHECK(tpo_model_open(&model, file, &options, &err) == 0);
  CHECK(tpo_train_own_logprobs(model, &p.config.train, &saved, &err) == 0);
  tpo_model_close(model);
  for (size_t i = 0; i < now.n; i++)
    CHECK(now.rows[i].chosen_ref_logprob == saved.rows[i].chosen_ref_logprob);
  tpo_pairs_free(&now);
  tpo_pairs_free(&saved);
  part_free(&p);
  forget_checkpoint();
}

/* Where a state can't be written because it is time, training goes on all the same. */
static void no_room_for_a_state_is_a_warning(void)
{
  static float whole[MOST], poor[MOST];
  struct part p;
  struct tpo_error e = {0};
  whole_run(comm, TPO_DTYPE_FP32, whole);
  part_begin(&p, comm);
  go_to(&p, 4);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) { /* a file where the folder was */
    CHECK(rmdir(folder) == 0);
    FILE *in_its_place = fopen(folder, "w");
    CHECK(in_its_place && fclose(in_its_place) == 0);
  }
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  CHECK(tpo_online_keep(p.online, &e) == TPO_E_IO && tpo_online_kept(p.online) == -1);
  CHECK(strstr(e.message, "; the state of training after 4 steps can't be kept") &&
        strstr(e.message, folder));
  p.config.train.state_minutes = 1e-9;
  tpo_fail(&e, TPO_E_INTERRUPTED, "stopped");
  CHECK(tpo_online_stop(p.online, TPO_E_INTERRUPTED, &e) == TPO_E_INTERRUPTED);
  if (!strstr(e.message, "stopped; the state after 4 steps can't be kept: "))
    fprintf(stderr, "%s\n", e.message);
  CHECK(strstr(e.message, "stopped; the state after 4 steps can't be kept: ") && strstr(e.message, folder));
  go_to(&p, STEPS);
  weights_of(&p, poor);
  CHECK(memcmp(whole, poor, sizeof whole) == 0);
  part_free(&p);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) CHECK(unlink(folder) == 0);
  CHECK(tpo_comm_barrier(comm, &err) == 0);
}

static void one_training_has_the_folder(void)
{
  struct part p, other;
  struct tpo_error e = {0};
  part_begin(&p, comm);
  part_make(&other, comm, TPO_DTYPE_FP32);
  for (int i = 0; i < 2; i++) { /* who was refused leaves no way in */
    CHECK(part_open(&other, &e) == TPO_E_USAGE);
    CHECK(tpo_comm_rank(comm) > 0 || strstr(e.message, "another process is at work"));
  }
  part_free(&other);
  part_free(&p);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  alone = open_alone();
  tpo_log_setup(TPO_LOG_ERROR, false, tpo_comm_rank(comm)); /* warnings are expected */
  snprintf(folder, sizeof folder, "/tmp/tpo_online.%d", (int)getpid());
  CHECK(tpo_comm_bcast(comm, folder, sizeof folder, 0, &err) == 0);
  snprintf(file, sizeof file, "%s.h5", folder);
  steps_are_the_trainer_s_updates();
  what_is_kept_goes_on_with_the_same_bits(TPO_DTYPE_FP32);
  what_is_kept_goes_on_with_the_same_bits(TPO_DTYPE_BF16);
  another_number_of_ranks_goes_on_to_rounding();
  the_policy_computes_with_what_is_saved();
  states_are_kept_when_they_are_due();
  an_interruption_keeps_the_state_and_says_so();
  a_state_of_other_training_is_refused_or_dropped();
  a_damaged_state_is_dropped();
  a_checkpoint_goes_on_with_the_same_bits(TPO_DTYPE_FP32);
  a_checkpoint_goes_on_with_the_same_bits(TPO_DTYPE_BF16);
  a_checkpoint_gives_way_to_a_state_and_needs_its_optimizer();
  a_reference_s_file_has_the_weights_alone();
  no_room_for_a_state_is_a_warning();
  one_training_has_the_folder();
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  CHECK(!tpo_file_exists(folder));
  tpo_comm_close(alone);
  tpo_comm_close(comm);
  return 0;
}
