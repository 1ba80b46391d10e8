/* Updates beside epochs: those that an epoch would make of the same batches, at any number of ranks. */
#include <unistd.h>
#include "fixture.h"

enum { MOST = 8192, STEPS = 6 };

static char folder[4096];

/* Rows [first, first + n) of the pairs, borrowed. */
static struct tpo_pairs some(const struct tpo_pairs *pairs, size_t first, size_t n)
{
  struct tpo_pairs part = *pairs;
  part.rows = pairs->rows + first;
  part.n = n;
  return part;
}

/* The batch that an epoch without shuffling has as its step `at`. */
static struct tpo_pairs batch_of(const struct setup *s, int64_t at)
{
  size_t batch = (size_t)s->config.batch, per_epoch = (s->pairs.n + batch - 1) / batch;
  size_t first = ((size_t)at % per_epoch) * batch, left = s->pairs.n - first;
  return some(&s->pairs, first, left < batch ? left : batch);
}

/* Updates [from, to) of STEPS in all; pauses: after each of them. */
static void update(struct setup *s, int64_t from, int64_t to, bool pauses, struct tpo_train_metrics *metrics)
{
  for (int64_t at = from; at < to; at++) {
    struct tpo_pairs batch = batch_of(s, at);
    CHECK(tpo_trainer_update(s->trainer, &batch, at, STEPS, &metrics[at], &err) == 0);
    if (!pauses) continue;
    tpo_trainer_pause(s->trainer);
    CHECK(!s->trainer->grad && !s->trainer->activations);
  }
}

static bool same_step(const struct tpo_train_metrics *a, const struct tpo_train_metrics *b)
{
  return a->step == b->step && a->lr == b->lr && a->loss == b->loss && a->accuracy == b->accuracy &&
         a->margin == b->margin && a->chosen_logprob == b->chosen_logprob &&
         a->rejected_logprob == b->rejected_logprob && a->grad_norm == b->grad_norm && a->tokens == b->tokens;
}

struct history {
  struct tpo_train_metrics lines[STEPS];
  int n;
};

static int note(void *arg, const struct tpo_train_metrics *m, struct tpo_error *e)
{
  (void)e;
  struct history *history = arg;
  CHECK(history->n < STEPS);
  history->lines[history->n++] = *m;
  return 0;
}

static void they_give_an_epoch_s_weights(enum tpo_compute_dtype dtype)
{
  static float epochs[MOST], updates[MOST];
  struct tpo_train_config config = fixture_config(); /* two epochs of three batches, in order */
  struct history history = {.n = 0};
  struct setup s = setup_open_as(comm, &config, dtype);
  for (int epoch = 0; epoch < 2; epoch++) CHECK(run_epoch(&s, epoch, note, &history, &err) == 0);
  CHECK(history.n == STEPS);
  whole_master(&s, epochs);
  setup_close(&s);
  for (int pauses = 0; pauses < 2; pauses++) {
    struct tpo_train_metrics metrics[STEPS];
    s = setup_open_as(comm, &config, dtype);
    update(&s, 0, STEPS, pauses, metrics);
    for (int i = 0; i < STEPS; i++)
      CHECK(same_step(&metrics[i], &history.lines[i]) && metrics[i].epoch == 0 && metrics[i].seconds > 0);
    whole_master(&s, updates);
    CHECK(memcmp(epochs, updates, sizeof epochs) == 0);
    setup_close(&s);
  }
}

/* Steps are skipped in between: the schedule goes by `at`, AdamW by the updates that there were. */
static void what_was_skipped_is_no_update(void)
{
  static float close[MOST], apart[MOST];
  struct tpo_train_config config = fixture_config();
  const int64_t at[] = {1, 4};
  struct tpo_train_metrics metrics;
  struct setup s = setup_open(comm, &config);
  for (int i = 0; i < 2; i++) {
    struct tpo_pairs batch = batch_of(&s, i);
    CHECK(tpo_trainer_update(s.trainer, &batch, at[i], STEPS, &metrics, &err) == 0);
    CHECK(metrics.step == at[i] && metrics.lr == tpo_train_lr(&config, at[i], STEPS));
  }
  CHECK(s.trainer->step == 2 && s.trainer->epoch == 0 && s.trainer->position == 0);
  setup_close(&s);
  config.schedule = TPO_SCHEDULE_CONSTANT;
  config.warmup = 0;
  for (int apart_now = 0; apart_now < 2; apart_now++) {
    s = setup_open(comm, &config);
    for (int i = 0; i < 2; i++) {
      struct tpo_pairs batch = batch_of(&s, i);
      CHECK(tpo_trainer_update(s.trainer, &batch, apart_now ? at[i] : i, STEPS, &metrics, &err) == 0);
    }
    whole_master(&s, apart_now ? apart : close);
    setup_close(&s);
  }
  CHECK(memcmp(close, apart, sizeof close) == 0);
}

/* An epoch that an update comes into, and a pause, has the rest of its own batches. */
static void an_epoch_goes_on_around_them(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open(comm, &config);
  struct tpo_train_metrics metrics, between;
  int steps = 0, status;
  while ((status = tpo_trainer_step(s.trainer, &s.pairs, 0, &metrics, &err)) == 1) {
    struct tpo_pairs batch = batch_of(&s, steps), first = batch_of(&s, 0);
    int64_t tokens = 0;
    for (size_t i = 0; i < batch.n; i++) tokens += pair_tokens(&batch.rows[i]);
    CHECK(metrics.tokens == tokens);
    CHECK(tpo_trainer_update(s.trainer, &first, steps, STEPS, &between, &err) == 0);
    if (steps == 1) tpo_trainer_pause(s.trainer);
    steps++;
  }
  CHECK(status == 0 && steps == 3 && s.trainer->step == 6 && s.trainer->epoch == 1);
  setup_close(&s);
}

static void pairs_that_are_not_fit_are_refused(void)
{
  static float before[MOST], after[MOST];
  struct tpo_train_config config = fixture_config();
  config.loss = TPO_LOSS_IPO; /* whose loss grows with the square */
  struct setup s = setup_open(comm, &config);
  struct tpo_pairs none = some(&s.pairs, 0, 0), two = some(&s.pairs, 3, 2);
  struct tpo_train_metrics metrics;
  struct tpo_error e = {0};
  whole_master(&s, before);
  CHECK(tpo_trainer_update(s.trainer, &none, 0, STEPS, &metrics, &e) == TPO_E_INPUT);
  double reference = two.rows[1].rejected_ref_logprob;
  two.rows[1].rejected_ref_logprob = NAN;
  CHECK(tpo_trainer_update(s.trainer, &two, 0, STEPS, &metrics, &e) == TPO_E_INPUT);
  CHECK(strstr(e.message, "pair 1 (") && strstr(e.message, "no reference log-probabilities"));
  two.rows[1].rejected_ref_logprob = 1e200; /* a loss that is no number: told by the step's number */
  CHECK(tpo_trainer_update(s.trainer, &two, 5, STEPS, &metrics, &e) == TPO_E_NUMERIC);
  CHECK(strstr(e.message, "step 5, pair 1 ("));
  two.rows[1].rejected_ref_logprob = reference;
  whole_master(&s, after);
  CHECK(memcmp(before, after, sizeof before) == 0 && s.trainer->step == 0);
  CHECK(tpo_trainer_update(s.trainer, &two, 0, STEPS, &metrics, &err) == 0);
  setup_close(&s);
}

/* By one rank alone, of all pairs at once and of each by itself. */
static void own_logprobs_are_those_of_all_ranks_together(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open(comm, &config);
  struct tpo_pairs expected = fixture_pairs(), found = fixture_pairs(), none = some(&s.pairs, 0, 0);
  CHECK(tpo_train_reference_logprobs(s.model, comm, &config, &expected, NULL, NULL, &err) == 0);
  for (int single = 0; single < 2; single++) {
    size_t size = single ? 1 : found.n;
    for (size_t i = 0; i < found.n; i++)
      found.rows[i].chosen_ref_logprob = found.rows[i].rejected_ref_logprob = NAN;
    for (size_t at = 0; at < found.n; at += size) {
      struct tpo_pairs part = some(&found, at, size);
      snprintf(part.ref_model, sizeof part.ref_model, "as it was");
      CHECK(tpo_train_own_logprobs(s.model, &config, &part, &err) == 0);
      CHECK(strcmp(part.ref_model, "as it was") == 0);
    }
    for (size_t i = 0; i < found.n; i++)
      CHECK(found.rows[i].chosen_ref_logprob == expected.rows[i].chosen_ref_logprob &&
            found.rows[i].rejected_ref_logprob == expected.rows[i].rejected_ref_logprob);
  }
  CHECK(tpo_train_own_logprobs(s.model, &config, &none, &err) == 0);
  tpo_pairs_free(&expected);
  tpo_pairs_free(&found);
  setup_close(&s);
}

/* A state whose work knows no pairs. */
static void a_kept_state_goes_on_with_the_same_bits(void)
{
  static float whole[MOST], resumed[MOST];
  struct tpo_train_config config = fixture_config();
  struct tpo_train_metrics metrics[STEPS];
  struct tpo_error e = {0};
  char *work, *of_pairs, *state;
  struct setup s = setup_open(comm, &config);
  CHECK(tpo_trainer_work(s.trainer, NULL, &work, &err) == 0);
  CHECK(tpo_trainer_work(s.trainer, &s.pairs, &of_pairs, &err) == 0);
  CHECK(!strstr(work, "pairs: ") && strstr(of_pairs, "pairs: "));
  update(&s, 0, 4, true, metrics);
  CHECK(tpo_trainer_keep(s.trainer, folder, work, "{}", true, &err) == 0);
  update(&s, 4, STEPS, false, metrics);
  whole_master(&s, whole);
  setup_close(&s);
  s = setup_open(comm, &config);
  CHECK(tpo_trainer_take_up(s.trainer, folder, of_pairs, &state, &e) == TPO_E_STATE);
  CHECK(tpo_trainer_take_up(s.trainer, folder, work, &state, &err) == 1 && s.trainer->step == 4);
  update(&s, 4, STEPS, false, metrics);
  whole_master(&s, resumed);
  CHECK(memcmp(whole, resumed, sizeof whole) == 0);
  free(state);
  free(work);
  free(of_pairs);
  setup_close(&s);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  snprintf(folder, sizeof folder, "/tmp/tpo_updates.%d", (int)getpid());
  CHECK(tpo_comm_bcast(comm, folder, sizeof folder, 0, &err) == 0);
  they_give_an_epoch_s_weights(TPO_DTYPE_FP32);
  they_give_an_epoch_s_weights(TPO_DTYPE_BF16);
  what_was_skipped_is_no_update();
  an_epoch_goes_on_around_them();
  pairs_that_are_not_fit_are_refused();
  own_logprobs_are_those_of_all_ranks_together();
  a_kept_state_goes_on_with_the_same_bits();
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (tpo_comm_rank(comm) == 0) {
    CHECK(tpo_trainer_forget(folder, &err) == 0);
    CHECK(rmdir(folder) == 0);
  }
  tpo_comm_close(comm);
  return 0;
}
