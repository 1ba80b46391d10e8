/* Training against PyTorch, at any number of ranks. */
#include "train/state.h"
#include "model/model.h"
#include "comm/state.h"
#include "fixture.h"
#include "base/buf.h"

enum { N_PARAMS = 5104 };

static struct tpo_comm *alone;

struct history {
  struct tpo_train_metrics lines[32];
  int n;
};

static int keep(void *arg, const struct tpo_train_metrics *m, struct tpo_error *e)
{
  (void)e;
  struct history *history = arg;
  CHECK(history->n < 32);
  history->lines[history->n++] = *m;
  return 0;
}

static void run_epochs(struct setup *s, int from, int to, struct history *history)
{
  for (int epoch = from; epoch < to; epoch++) CHECK(run_epoch(s, epoch, keep, history, &err) == 0);
}

static void losses_and_gradients_are_pytorch_s(void)
{
  const struct {
    const char *name;
    double smoothing, nll;
    enum tpo_preference_loss loss;
  } kinds[] = {{"dpo", 0, 0, TPO_LOSS_DPO},
               {"smoothed", 0.1, 0, TPO_LOSS_DPO},
               {"ipo", 0, 0, TPO_LOSS_IPO},
               {"nll", 0, 0.7, TPO_LOSS_DPO}};
  struct tpo_safetensors expected;
  CHECK(tpo_safetensors_open(&expected, FIXTURES "expected.safetensors", &err) == 0);
  json_t *numbers = fixture_numbers();
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    struct tpo_train_config config = fixture_config();
    config.loss = kinds[k].loss;
    config.label_smoothing = kinds[k].smoothing;
    config.nll = kinds[k].nll;
    struct setup s = setup_open(comm, &config);
    uint32_t rows[10];
    for (uint32_t i = 0; i < 10; i++) rows[i] = i;
    struct pair_outcome outcomes[10];
    double loss = 0, norm = 0;
    CHECK(train_gradient(s.trainer, &s.pairs, rows, 10, outcomes, &err) == 0);
    for (int i = 0; i < 10; i++) loss += outcomes[i].loss / 10;
    CHECK(train_reduce(s.trainer, &norm, &err) == 0);
    float grad[N_PARAMS];
    tpo_ops(s.backend)->download(s.backend, grad, s.trainer->grad, sizeof grad);
    CHECK(comm_allgather_f32(comm, grad, N_PARAMS, &err) == 0);

    const json_t *number = json_object_get(numbers, kinds[k].name);
    CHECK(fabs(loss - fixture_number(number, "loss")) < 1e-5);
    CHECK(fabs(norm / fixture_number(number, "grad_norm") - 1) < 1e-4);
    size_t n;
    const struct tpo_param *params = tpo_model_params(s.model, &n);
    CHECK(n == 21);
    for (size_t i = 0; i < n; i++) {
      char name[160];
      snprintf(name, sizeof name, "%s/%s", kinds[k].name, params[i].name);
      const struct tpo_safetensor *t = tpo_safetensors_find(&expected, name);
      size_t count = (size_t)(params[i].rows * params[i].cols);
      CHECK(t && t->bytes == count * sizeof(float));
      double off = 0, size = 0;
      for (size_t j = 0; j < count; j++) {
        float e;
        memcpy(&e, t->data + j * sizeof e, sizeof e);
        double d = (double)grad[params[i].offset + j] - (double)e;
        off += d * d;
        size += (double)e * (double)e;
      }
      CHECK(sqrt(off) <= 1e-3 * sqrt(size) && size > 0);
    }
    setup_close(&s);
  }
  json_decref(numbers);
  tpo_safetensors_close(&expected);
}

static void weights_after_six_steps_are_pytorch_s(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open(comm, &config);
  struct history history = {.n = 0};
  run_epochs(&s, 0, 2, &history);
  CHECK(history.n == 6);

  json_t *numbers = fixture_numbers();
  int64_t all_tokens = 0;
  for (size_t i = 0; i < s.pairs.n; i++) all_tokens += pair_tokens(&s.pairs.rows[i]);
  int64_t tokens = 0;
  for (int i = 0; i < 6; i++) {
    const json_t *e = json_array_get(json_object_get(numbers, "steps"), (size_t)i);
    const struct tpo_train_metrics *m = &history.lines[i];
    CHECK(m->step == i);
    CHECK(fabs(m->epoch - (i + 1) / 3.0) < 1e-12);
    CHECK(fabs(m->lr - fixture_number(e, "lr")) < 1e-12);
    CHECK(fabs(m->loss - fixture_number(e, "loss")) < 1e-5);
    CHECK(fabs(m->accuracy - fixture_number(e, "accuracy")) < 1e-12);
    CHECK(fabs(m->margin - fixture_number(e, "margin")) < 1e-4);
    CHECK(fabs(m->chosen_logprob - fixture_number(e, "chosen_logprob")) < 1e-4);
    CHECK(fabs(m->rejected_logprob - fixture_number(e, "rejected_logprob")) < 1e-4);
    CHECK(fabs(m->grad_norm / fixture_number(e, "grad_norm") - 1) < 1e-4);
    CHECK(m->seconds > 0);
    tokens += m->tokens;
  }
  CHECK(tokens == 2 * all_tokens);
  json_decref(numbers);

  struct tpo_safetensors expected;
  CHECK(tpo_safetensors_open(&expected, FIXTURES "expected.safetensors", &err) == 0);
  size_t n;
  const struct tpo_param *params = tpo_model_params(s.model, &n);
  float weights[N_PARAMS];
  whole_master(&s, weights);
  for (size_t i = 0; i < n; i++) {
    char name[160];
    snprintf(name, sizeof name, "after/%s", params[i].name);
    const struct tpo_safetensor *t = tpo_safetensors_find(&expected, name);
    size_t count = (size_t)(params[i].rows * params[i].cols);
    float *e = malloc(count * sizeof *e);
    CHECK(t && e && t->bytes == count * sizeof *e);
    memcpy(e, t->data, t->bytes);
    CHECK(largest_difference(weights + params[i].offset, e, count) < 1e-4);
    free(e);
  }
  tpo_safetensors_close(&expected);
  setup_close(&s);
}

/* Two whole epochs with shuffling; the weights and metrics that come of it. free() the weights. */
static float *train_once(struct tpo_comm *ranks, int micro_batch_tokens, struct history *history)
{
  struct tpo_train_config config = fixture_config();
  config.micro_batch_tokens = micro_batch_tokens;
  config.shuffle = true;
  struct setup s = setup_open(ranks, &config);
  run_epochs(&s, 0, 2, history);
  CHECK(s.trainer->n_params == N_PARAMS);
  size_t bytes = N_PARAMS * sizeof(float);
  float *weights = malloc(bytes);
  CHECK(weights);
  whole_master(&s, weights);
  setup_close(&s);
  return weights;
}

static void a_repeated_run_gives_the_same_bits(void)
{
  struct history first = {.n = 0}, second = {.n = 0};
  float *a = train_once(comm, 60, &first), *b = train_once(comm, 60, &second);
  CHECK(memcmp(a, b, N_PARAMS * sizeof *a) == 0);
  for (int i = 0; i < first.n; i++) {
    first.lines[i].seconds = second.lines[i].seconds = 0;
    CHECK(memcmp(&first.lines[i], &second.lines[i], sizeof first.lines[i]) == 0);
  }
  free(a);
  free(b);
}

static void ranks_together_do_what_one_does_alone(void)
{
  struct history together = {.n = 0}, single = {.n = 0};
  float *a = train_once(comm, 60, &together), *b = train_once(alone, 60, &single);
  CHECK(equal_to_rounding(a, b, N_PARAMS));
  CHECK(together.n == single.n);
  for (int i = 0; i < together.n; i++) {
    CHECK(fabs(together.lines[i].loss - single.lines[i].loss) < 1e-6);
    CHECK(fabs(together.lines[i].grad_norm / single.lines[i].grad_norm - 1) < 1e-5);
    CHECK(together.lines[i].tokens == single.lines[i].tokens);
  }
  /* Before the first update nothing can differ at all. */
  CHECK(together.lines[0].loss == single.lines[0].loss);
  free(a);
  free(b);
}

/* The way between ranks, in the smallest buckets and rounds that there are. */
static void buckets_and_rounds_change_no_bit(enum tpo_compute_dtype dtype)
{
  float weights[2][N_PARAMS];
  char hash[2][33];
  for (int small = 0; small < 2; small++) {
    struct tpo_train_config config = fixture_config();
    struct setup s = setup_open_as(comm, &config, dtype);
    if (small) {
      s.trainer->reduction.least = 1;
      s.trainer->rounds.most = 50;
    }
    struct history history = {.n = 0};
    run_epochs(&s, 0, 2, &history);
    CHECK(s.trainer->reduction.buckets == (small ? tpo_model_arch(s.model)->layers + 2 : 1));
    whole_master(&s, weights[small]);
    snprintf(hash[small], sizeof hash[small], "%s", tpo_model_hash(s.model));
    setup_close(&s);
  }
  CHECK(memcmp(weights[0], weights[1], sizeof weights[0]) == 0);
  CHECK(strcmp(hash[0], hash[1]) == 0);
}

/* The model computes with the master weights, rounded, on every rank. */
static void all_ranks_compute_with_the_rounded_master_weights(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open_as(comm, &config, TPO_DTYPE_BF16);
  struct history history = {.n = 0};
  run_epochs(&s, 0, 1, &history);
  float master[N_PARAMS], *flat;
  whole_master(&s, master);
  char trained[33], first[33];
  snprintf(trained, sizeof trained, "%s", tpo_model_hash(s.model));
  memcpy(first, trained, sizeof first);
  CHECK(tpo_comm_bcast(comm, first, sizeof first, 0, &err) == 0);
  CHECK(strcmp(trained, first) == 0);
  const struct tpo_ops *ops = tpo_ops(s.backend);
  CHECK(ops->alloc(s.backend, sizeof master, (void **)&flat, &err) == 0);
  ops->upload(s.backend, flat, master, sizeof master);
  tpo_model_set_weights(s.model, flat);
  CHECK(strcmp(trained, tpo_model_hash(s.model)) == 0);
  ops->free(s.backend, flat);
  setup_close(&s);
}

static void ranks_without_a_pair_take_part(void)
{
  struct tpo_train_config config = fixture_config();
  config.batch = 1;
  float weights[2][N_PARAMS];
  for (int k = 0; k < 2; k++) {
    struct setup s = setup_open(k ? alone : comm, &config);
    struct history history = {.n = 0};
    run_epochs(&s, 0, 1, &history);
    CHECK(history.n == 10);
    whole_master(&s, weights[k]);
    setup_close(&s);
  }
  CHECK(equal_to_rounding(weights[0], weights[1], N_PARAMS));
}

/* Its master weights would go stale on the other ranks without anybody noticing. */
static void a_model_with_other_shards_is_refused(void)
{
  if (tpo_comm_size(comm) == 1) return;
  struct tpo_train_config config = fixture_config();
  struct tpo_backend *backend = test_backend();
  struct tpo_model *model = fixture_model(backend, TPO_DTYPE_FP32, alone);
  struct tpo_trainer *trainer;
  struct tpo_error e = {0};
  CHECK(tpo_trainer_open(&trainer, model, comm, &config, 7, NULL, &e) == TPO_E_USAGE);
  CHECK(strstr(e.message, "shard_rank"));
  tpo_model_close(model);
  tpo_backend_close(backend);
}

static void packing_changes_nothing_but_rounding(void)
{
  struct history one = {.n = 0}, many = {.n = 0};
  float *a = train_once(comm, 1, &one), *b = train_once(comm, 4096, &many);
  CHECK(equal_to_rounding(a, b, N_PARAMS));
  CHECK(one.lines[0].loss == many.lines[0].loss);
  free(a);
  free(b);
}

static void epochs_and_seeds_have_their_own_order(void)
{
  struct history history = {.n = 0};
  free(train_once(comm, 60, &history));
  CHECK(history.n == 6);
  CHECK(history.lines[0].tokens != history.lines[3].tokens ||
        history.lines[1].tokens != history.lines[4].tokens);
}

static void loss_is_ln_2_before_the_first_update_and_only_then(void)
{
  struct tpo_train_config config = fixture_config();
  config.batch = 10;
  struct setup s = setup_open(comm, &config);
  CHECK(tpo_train_reference_logprobs(s.model, comm, &config, &s.pairs, NULL, NULL, &err) == 0);
  CHECK(strcmp(s.pairs.ref_model, tpo_model_hash(s.model)) == 0);
  double loss, accuracy;
  CHECK(tpo_trainer_evaluate(s.trainer, &s.pairs, &loss, &accuracy, &err) == 0);
  CHECK(fabs(loss - log(2)) < 1e-15 && accuracy == 0);
  struct history history = {.n = 0};
  run_epochs(&s, 0, 2, &history);
  CHECK(history.n == 2);
  CHECK(history.lines[0].margin == 0 && fabs(history.lines[0].loss - log(2)) < 1e-15);
  CHECK(history.lines[1].loss < log(2) - 0.01);
  CHECK(tpo_trainer_evaluate(s.trainer, &s.pairs, &loss, &accuracy, &err) == 0);
  CHECK(loss < history.lines[1].loss && accuracy > 0.5);
  setup_close(&s);
}

/* The hash is worked out when it is first asked for: after a step it would be another model's. */
static void the_reference_is_known_by_the_weights_before_the_first_step(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open(comm, &config);
  char hash[33];
  snprintf(hash, sizeof hash, "%s", tpo_model_hash(s.model));
  setup_close(&s);
  for (int is_other = 0; is_other < 2; is_other++) {
    struct history history = {.n = 0};
    s = setup_open(comm, &config);
    snprintf(s.pairs.ref_model, sizeof s.pairs.ref_model, "%s", is_other ? "another" : hash);
    run_epochs(&s, 0, 1, &history);
    CHECK(s.trainer->is_reference == !is_other);
    setup_close(&s);
  }
}

static void reference_logprobs_are_pytorch_s_and_the_same_at_any_rank_count(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open(comm, &config);
  CHECK(tpo_train_reference_logprobs(s.model, comm, &config, &s.pairs, NULL, NULL, &err) == 0);
  double together[20];
  for (int i = 0; i < 10; i++) {
    together[2 * i] = s.pairs.rows[i].chosen_ref_logprob;
    together[2 * i + 1] = s.pairs.rows[i].rejected_ref_logprob;
  }
  config.micro_batch_tokens = 1000;
  CHECK(tpo_train_reference_logprobs(s.model, alone, &config, &s.pairs, NULL, NULL, &err) == 0);
  for (int i = 0; i < 10; i++) {
    CHECK(together[2 * i] == s.pairs.rows[i].chosen_ref_logprob);
    CHECK(together[2 * i + 1] == s.pairs.rows[i].rejected_ref_logprob);
  }
  struct tpo_lines lines;
  CHECK(tpo_lines_open(&lines, FIXTURES "pairs.jsonl", &err) == 0);
  for (int i = 0; i < 10; i++) {
    CHECK(tpo_lines_next(&lines, &err) == 1);
    json_t *line = tpo_json_parse(lines.line.data, lines.line.len, "pairs.jsonl", &err);
    CHECK(fabs(together[2 * i] - fixture_number(line, "logprob_chosen")) < 1e-4);
    CHECK(fabs(together[2 * i + 1] - fixture_number(line, "logprob_rejected")) < 1e-4);
    json_decref(line);
  }
  tpo_lines_close(&lines);
  setup_close(&s);
}

static void what_is_not_finite_stops_before_the_weights(void)
{
  const struct {
    double reference;
    const char *message;
  } cases[] = {{1e200, "step 0, pair 8 (\"p8\"): the loss is not finite"},
               {1e100, "step 0, pair 8 (\"p8\"): the gradient is not finite"},
               /* 3e38 at each token still fits into fp32; what backward makes of it does not */
               {1.5e39, "step 0, pair 8 (\"p8\"): the gradient is not finite"}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    struct tpo_train_config config = fixture_config();
    config.loss = TPO_LOSS_IPO;
    config.batch = 10;
    struct setup s = setup_open(comm, &config);
    s.pairs.rows[8].chosen_ref_logprob = cases[k].reference;
    float before[N_PARAMS];
    whole_master(&s, before);
    struct history history = {.n = 0};
    struct tpo_error e = {0};
    CHECK(run_epoch(&s, 0, keep, &history, &e) == TPO_E_NUMERIC);
    if (!strstr(e.message, cases[k].message)) fprintf(stderr, "%s\n", e.message);
    CHECK(strstr(e.message, cases[k].message));
    CHECK(history.n == 0 && s.trainer->step == 0);
    float after[N_PARAMS];
    whole_master(&s, after);
    CHECK(memcmp(before, after, sizeof before) == 0);
    setup_close(&s);
  }
}

static int fail_on_rank_0(void *arg, const struct tpo_train_metrics *m, struct tpo_error *e)
{
  (void)m;
  *(int *)arg += 1;
  return tpo_comm_rank(comm) == 0 ? tpo_fail(e, TPO_E_IO, "metrics: disk full") : 0;
}

static void a_failing_callback_stops_all_ranks(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open(comm, &config);
  int calls = 0;
  struct tpo_error e = {0};
  CHECK(run_epoch(&s, 0, fail_on_rank_0, &calls, &e) == TPO_E_IO);
  CHECK(calls == 1 && strstr(e.message, "metrics: disk full"));
  setup_close(&s);
}

static void shares_cover_a_batch_once_and_evenly(void)
{
  struct tpo_pairs pairs = fixture_pairs();
  uint32_t rows[8] = {9, 1, 2, 0, 5, 6, 7, 3};
  struct share share;
  CHECK(share_pairs(&share, comm, &pairs, rows, 8, &err) == 0);
  double seen[8] = {0}, most = 0, all = 0, longest = 0;
  for (size_t i = 0; i < share.n; i++) {
    CHECK(share.rows[i] == rows[share.slots[i]]);
    CHECK(i == 0 || share.slots[i] > share.slots[i - 1]);
    seen[share.slots[i]] += 1;
    most += (double)pair_tokens(&pairs.rows[share.rows[i]]);
  }
  for (int i = 0; i < 8; i++) {
    double tokens = (double)pair_tokens(&pairs.rows[rows[i]]);
    all += tokens;
    if (tokens > longest) longest = tokens;
  }
  CHECK(tpo_comm_allreduce_sum_f64(comm, seen, 8, &err) == 0);
  CHECK(tpo_comm_allreduce_max_f64(comm, &most, 1, &err) == 0);
  for (int i = 0; i < 8; i++) CHECK(seen[i] == 1);
  CHECK(most <= all / tpo_comm_size(comm) + longest);
  share_free(&share);
  tpo_pairs_free(&pairs);
}

struct kept_pairs {
  double values[16][2];
  size_t n;
};

static int keep_one(void *arg, size_t pair, double chosen, double rejected, struct tpo_error *e)
{
  struct kept_pairs *kept = arg;
  (void)e;
  kept->n++;
  kept->values[pair][0] = chosen;
  kept->values[pair][1] = rejected;
  return 0;
}

/* What is known is taken as it is, and only the rest is computed: so that it can be seen, the known is wrong. */
static void known_reference_logprobs_are_not_computed_again(void)
{
  struct tpo_train_config config = fixture_config();
  struct setup s = setup_open(comm, &config);
  struct tpo_pairs expected = fixture_pairs();
  CHECK(tpo_train_reference_logprobs(s.model, comm, &config, &expected, NULL, NULL, &err) == 0);
  struct kept_pairs kept = {.n = 0};
  double known[16][2];
  for (int i = 0; i < 16; i++) known[i][0] = known[i][1] = i % 3 == 0 ? -1000 - i : NAN;
  const struct tpo_train_keeper keeper = {.known = known[0], .keep = keep_one, .arg = &kept};
  CHECK(tpo_train_reference_logprobs(s.model, comm, &config, &s.pairs, &keeper, NULL, &err) == 0);
  double n = (double)kept.n, left = 0;
  for (size_t i = 0; i < s.pairs.n; i++) {
    double chosen = s.pairs.rows[i].chosen_ref_logprob;
    CHECK(i % 3 == 0 ? chosen == -1000 - (double)i : chosen == expected.rows[i].chosen_ref_logprob);
    CHECK(kept.values[i][0] == 0 || kept.values[i][0] == chosen);
    left += i % 3 != 0;
  }
  CHECK(tpo_comm_allreduce_sum_f64(comm, &n, 1, &err) == 0 && n == left);
  tpo_pairs_free(&expected);
  setup_close(&s);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  alone = open_alone();
  shares_cover_a_batch_once_and_evenly();
  the_reference_is_known_by_the_weights_before_the_first_step();
  reference_logprobs_are_pytorch_s_and_the_same_at_any_rank_count();
  known_reference_logprobs_are_not_computed_again();
  losses_and_gradients_are_pytorch_s();
  weights_after_six_steps_are_pytorch_s();
  a_repeated_run_gives_the_same_bits();
  ranks_together_do_what_one_does_alone();
  buckets_and_rounds_change_no_bit(TPO_DTYPE_FP32);
  buckets_and_rounds_change_no_bit(TPO_DTYPE_BF16);
  all_ranks_compute_with_the_rounded_master_weights();
  ranks_without_a_pair_take_part();
  a_model_with_other_shards_is_refused();
  packing_changes_nothing_but_rounding();
  epochs_and_seeds_have_their_own_order();
  loss_is_ln_2_before_the_first_update_and_only_then();
  what_is_not_finite_stops_before_the_weights();
  a_failing_callback_stops_all_ranks();
  tpo_comm_close(alone);
  tpo_comm_close(comm);
  return 0;
}
