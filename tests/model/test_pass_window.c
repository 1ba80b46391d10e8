/* The inference pass over a window's own blocks, and with rotations that are chosen by a sequence's length. */
#include "model/pass_check.h"

enum { WINDOW = 11 };

/* In the place of the one that was there. */
static void take_model(struct setting *s, const struct tpo_arch *arch)
{
  struct tpo_error err = {0};
  enum tpo_compute_dtype dtype = tpo_model_dtype(s->model);
  tpo_kv_cache_destroy(s->cache);
  tpo_model_close(s->model);
  s->model = model_of(s->be, arch, dtype, 0);
  assert_ok(tpo_kv_cache_create(&s->cache, s->model, all_blocks, BLOCK, &err));
}

static struct setting open_windowed(enum which_backend which, enum tpo_compute_dtype dtype, uint64_t windowed)
{
  struct setting s = open_setting(which, dtype);
  struct tpo_arch arch = small_arch(true);
  arch.window = WINDOW;
  arch.windowed.bits[0] = windowed;
  take_model(&s, &arch);
  return s;
}

/* Chunks of all sequences; in the window's layers each has few blocks that come again and again, and what lies
 * before the window is no block at all. */
static void prefill_within_the_window(struct setting *s, int chunk, struct table *out)
{
  int32_t blocks[N_SEQS * MAX_BLOCKS], windowed[N_SEQS * MAX_BLOCKS];
  struct rows rows = {0};
  int few = tpo_kv_blocks_seen(tpo_model_arch(s->model), TPO_REACH_WINDOW, chunk, BLOCK);
  assert_true(few < MAX_BLOCKS);
  for (int begin = 0; begin < LEN; begin += chunk) {
    int first = begin < WINDOW ? 0 : (begin - WINDOW + 1) / BLOCK;
    for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) {
      blocks[i] = i;
      windowed[i] = i % MAX_BLOCKS < first ? -1 : 3 + i / MAX_BLOCKS + N_SEQS * (i % MAX_BLOCKS % few);
    }
    for (int seq = 0; seq < N_SEQS; seq++)
      for (int pos = begin; pos < begin + chunk && pos < LEN; pos++) add_row(&rows, s, seq, pos);
    run_over(s, &rows, blocks, windowed, out);
  }
}

static void logits_do_not_depend_on_blocks_behind_the_window(void **state)
{
  (void)state;
  static struct table alone, other;
  static const int chunks[] = {1, 5, 13};
  for (int which = REFERENCE; which <= LAST_BACKEND; which++)
    for (uint64_t i = 0; i < 4; i++) {
      struct setting s = open_windowed((enum which_backend)which, i / 2 ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32,
                                       i % 2 ? 5 : 7); /* some layers, all */
      decode_alone(&s, &alone);
      for (size_t j = 0; j < sizeof chunks / sizeof *chunks; j++) {
        memset(&other, 0, sizeof other);
        prefill_within_the_window(&s, chunks[j], &other);
        assert_same(&alone, &other, "few blocks");
      }
      check_agreement(&s);
      close_setting(&s);
    }
}

static void layers_of_a_window_need_their_own_blocks(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct setting s = open_windowed(REFERENCE, TPO_DTYPE_FP32, 2);
  int32_t id = 3, seq = 0, pos = 2 * BLOCK, blocks[3] = {5, 6, 7}, given_back[3] = {-1, 6, 7};
  struct tpo_pass good = {.n = 1,
                          .ids = &id,
                          .seq = &seq,
                          .pos = &pos,
                          .blocks = {blocks, blocks},
                          .n_seqs = 1,
                          .max_blocks = 3},
                  bad = good;
  float *logits;
  assert_ok(tpo_model_pass(s.model, s.cache, &good, &logits, &err));
  bad.blocks[TPO_REACH_WINDOW] = NULL, refuse(&s, bad, "through a window"), bad = good;
  bad.blocks[TPO_REACH_ALL] = NULL, refuse(&s, bad, "to everything"), bad = good;
  bad.blocks[TPO_REACH_WINDOW] = given_back, refuse(&s, bad, "block -1"); /* position 6 is seen */
  pos = 2 * BLOCK + 2;                                                    /* 8 is the first */
  good.blocks[TPO_REACH_WINDOW] = given_back;
  assert_ok(tpo_model_pass(s.model, s.cache, &good, &logits, &err));
  good.blocks[TPO_REACH_ALL] = given_back, refuse(&s, good, "block -1");
  tpo_kv_cache_destroy(s.cache);
  assert_int_equal(tpo_kv_cache_create(&s.cache, s.model, (int[TPO_REACHES]){4, 0}, BLOCK, &err),
                   TPO_E_USAGE);
  assert_contains(err.message, "0 blocks of 8 tokens");
  close_setting(&s);
}

enum { SHORT = 48 };
static const int32_t longest[N_SEQS] = {SHORT, SHORT + 1, 128};

static void open_longrope(struct setting *s)
{
  struct tpo_arch arch = small_arch(true);
  arch.rope = (struct tpo_rope){.kind = TPO_ROPE_LONGROPE,
                                .theta = 10000,
                                .factor = 4,
                                .attention_factor = 1.2,
                                .original_context = SHORT,
                                .short_factors = {1, 1.1, 1.2, 1.3},
                                .long_factors = {2, 3, 4, 5}};
  take_model(s, &arch);
  memcpy(s->ids + LEN, s->ids, LEN * sizeof *s->ids);
}

/* All sequences side by side, token by token. */
static void decode_together(struct setting *s, struct table *out)
{
  static int32_t blocks[N_SEQS * MAX_BLOCKS];
  struct tpo_error err = {0};
  float *logits;
  for (int i = 0; i < N_SEQS * MAX_BLOCKS; i++) blocks[i] = i;
  for (int pos = 0; pos < LEN; pos++) {
    const int32_t seq[] = {0, 1, 2}, at[] = {pos, pos, pos};
    int32_t ids[N_SEQS];
    for (int i = 0; i < N_SEQS; i++) ids[i] = s->ids[i * LEN + pos];
    struct tpo_pass pass = {.n = N_SEQS,
                            .ids = ids,
                            .seq = seq,
                            .pos = at,
                            .blocks = {blocks},
                            .longest = longest,
                            .n_seqs = N_SEQS,
                            .max_blocks = MAX_BLOCKS,
                            .logit_rows = seq,
                            .n_logits = N_SEQS,
                            .recorded = true};
    assert_ok(tpo_model_pass(s->model, s->cache, &pass, &logits, &err));
    for (int i = 0; i < N_SEQS; i++)
      tpo_ops(s->be)->download(s->be, out->logits[i][pos], logits + (size_t)i * VOCAB, VOCAB * sizeof(float));
    assert_ok(tpo_ops(s->be)->check(s->be, &err));
  }
}

/* Sequences that can come to different lengths, on either side of the longest for which the short factors are, in
 * one pass: each is rotated as the packed forward rotates it when told the same. */
static void check_longest(struct setting *s)
{
  static struct table got;
  const int32_t bounds[] = {0, LEN, 2 * LEN, 3 * LEN};
  struct tpo_error err = {0};
  float logprob[N_SEQS * LEN];
  open_longrope(s);
  struct tpo_batch batch = {
      .ids = s->ids, .cu_seqlens = bounds, .n_tokens = N_SEQS * LEN, .n_seqs = N_SEQS, .longest = longest};
  assert_ok(tpo_model_logprobs(s->model, &batch, logprob, &err));
  decode_together(s, &got);
  double largest = 0, sum = 0, apart = 0;
  for (int i = 0; i < N_SEQS * LEN; i++) {
    if (i % LEN == LEN - 1) continue;
    double gap = fabs(log_softmax(got.logits[i / LEN][i % LEN], s->ids[i + 1]) - logprob[i]);
    largest = fmax(largest, gap);
    sum += gap;
    if (i < LEN) apart = fmax(apart, fabs((double)logprob[i] - logprob[LEN + i]));
  }
  assert_true(tpo_model_dtype(s->model) == TPO_DTYPE_FP32 ? largest < 1e-4
                                                          : sum / (N_SEQS * (LEN - 1)) < 0.05);
  assert_true(apart > 0.1); /* the same tokens, rotated by other factors */
}

static void rotations_are_chosen_by_what_a_sequence_can_come_to(void **state)
{
  (void)state;
  for_all(check_longest);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(logits_do_not_depend_on_blocks_behind_the_window),
      cmocka_unit_test(layers_of_a_window_need_their_own_blocks),
      cmocka_unit_test(rotations_are_chosen_by_what_a_sequence_can_come_to),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
