/* The engine over models whose layers, some or all, attend through a window: what they keep in the cache is bounded
 * by it, is given back, and what is sampled is that of a cache that keeps everything. Every test runs for a model
 * of either kind. */
#include "engine/state.h"
#include "engine/world.h"

enum { WINDOW = 10, BLOCK = 4, CHUNK = 6 };

static int setup_mixed(void **state)
{
  w.window = WINDOW;
  w.windowed = 2;
  return setup(state);
}

static int setup_windowed(void **state)
{
  w.window = WINDOW;
  w.windowed = 3;
  return setup(state);
}

static struct {
  struct tpo_engine *engine;
  int least_free[TPO_REACHES]; /* blocks, while tokens came */
  int most_beyond; /* of a window's blocks for each sample, while all samples had left their prompts' behind; -1 */
} pools;

static bool all_are_beyond_their_prompts(const struct tpo_engine *e)
{
  for (const struct group *g = e->groups; g; g = g->next)
    if (g->started < g->request->k_count) return false;
  for (int i = 0; i < e->n_running; i++)
    if (e->sequences[e->running[i]].position < e->sequences[e->running[i]].group->prefix + WINDOW)
      return false;
  return e->n_running > 0;
}

static void watch_pools(void *arg, const struct tpo_request *request, int sample, const char *bytes,
                        size_t len)
{
  (void)arg, (void)request, (void)sample, (void)bytes, (void)len;
  const struct tpo_engine *e = pools.engine;
  for (int r = 0; r < TPO_REACHES; r++)
    if (e->blocks[r].n_free < pools.least_free[r]) pools.least_free[r] = e->blocks[r].n_free;
  if (!all_are_beyond_their_prompts(e)) return;
  const struct tpo_blocks *blocks = &e->blocks[TPO_REACH_WINDOW];
  int each = (blocks->n - blocks->n_free + e->n_running - 1) / e->n_running;
  if (each > pools.most_beyond) pools.most_beyond = each;
}

/* Runs all prompts, and sees that every block comes back. *out (may be NULL): sorted samples. */
static int run_watched(const struct tpo_engine_options *given, int used[TPO_REACHES], struct tpo_samples *out,
                       struct tpo_error *err)
{
  struct tpo_engine_options options = *given;
  struct tpo_engine_client client = {.next = next_request, .output = take_output, .token = watch_pools};
  options.sampling = &w.sampling;
  options.thought = &w.thought;
  options.seed = 12;
  options.run_ahead = w.run_ahead;
  w.next = 0;
  if (tpo_engine_open(&pools.engine, w.model, w.tok, w.tmpl, &options, err) < 0) return err->code;
  for (int r = 0; r < TPO_REACHES; r++) pools.least_free[r] = INT32_MAX;
  pools.most_beyond = -1;
  int status = tpo_engine_run(pools.engine, &client, err);
  size_t taken = 0;
  for (int r = 0; r < TPO_REACHES; r++) {
    const struct tpo_blocks *blocks = &pools.engine->blocks[r];
    if (pools.engine->cache) assert_int_equal(blocks->n_free, blocks->n);
    if (used) used[r] = blocks->n - pools.least_free[r];
    taken += (size_t)blocks->n * tpo_kv_block_bytes(w.model, r, options.block_tokens);
  }
  if (options.kv_bytes > 0) assert_true(taken <= options.kv_bytes);
  tpo_engine_close(pools.engine);
  static const char *const ids[n_prompts] = {"a", "b", "c", "d", "e"};
  if (status == 0) status = tpo_samples_sort(&w.samples, ids, n_prompts, err);
  if (out) *out = w.samples;
  if (out) w.samples = (struct tpo_samples){0};
  return status;
}

static struct tpo_samples run_bounded(const struct tpo_engine_options *options, int used[TPO_REACHES])
{
  struct tpo_error err = {0};
  struct tpo_samples samples;
  if (run_watched(options, used, &samples, &err) < 0) fail_msg("%s", err.message);
  return samples;
}

/* Blocks that hold a whole sequence are never given back before it ends. */
static struct tpo_samples run_keeping_everything(void)
{
  return run((struct tpo_engine_options){.block_tokens = 128});
}

static size_t bytes_of(int all, int window)
{
  return (size_t)all * tpo_kv_block_bytes(w.model, TPO_REACH_ALL, BLOCK) +
         (size_t)window * tpo_kv_block_bytes(w.model, TPO_REACH_WINDOW, BLOCK);
}

/* Most blocks of a sequence, of `fed` tokens at once, in the window's pool; and of the longest in the other. */
static int in_window(int fed)
{
  return (WINDOW - 1 + fed + BLOCK - 2) / BLOCK + 1;
}

static int longest(void)
{
  return (w.requests[n_prompts - 1].n_prompt + w.sampling.max_tokens + BLOCK - 1) / BLOCK;
}

static void samples_go_far_beyond_the_window_in_a_cache_that_holds_hardly_more(void **state)
{
  (void)state;
  w.sampling.max_tokens = 60;
  struct tpo_samples expected = run_keeping_everything();
  int prefix = (w.requests[n_prompts - 1].n_prompt + BLOCK - 1) / BLOCK,
      least = in_window(CHUNK) + in_window(1);
  assert_true(least + 3 < prefix); /* one prompt alone would not fit whole, nor would what is sampled */
  assert_true(least + 3 < longest() - prefix);
  for (int more = 0; more < 4; more++) {
    w.sampling.slots = 1 + 5 * more;
    struct tpo_engine_options options = {.block_tokens = BLOCK,
                                         .prefill_chunk = CHUNK,
                                         .kv_bytes = bytes_of(prefix + longest(), least + more)};
    struct tpo_samples got = run_bounded(&options, NULL);
    assert_same(&expected, &got);
    tpo_samples_free(&got);
  }
  tpo_samples_free(&expected);
}

static void too_little_for_the_window_is_refused(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_engine_options options = {
      .block_tokens = BLOCK, .prefill_chunk = CHUNK, .kv_bytes = bytes_of(2, 2)};
  assert_int_equal(run_watched(&options, NULL, NULL, &err), TPO_E_MEMORY);
  assert_non_null(strstr(err.message, "KV cache"));
}

static void sample_does_not_depend_on_slots_blocks_chunks_or_order(void **state)
{
  (void)state;
  struct tpo_samples expected = run_keeping_everything();
  static const struct {
    int slots, block_tokens, prefill_chunk;
  } settings[] = {{1, 1, 512}, {2, 3, 1}, {3, 7, 5}, {64, 16, 3}, {15, 10, 11}};
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    w.sampling.slots = settings[i].slots;
    for (int j = 0; j < n_prompts; j++) w.order[j] = (3 * j + (int)i) % n_prompts;
    struct tpo_engine_options options = {.block_tokens = settings[i].block_tokens,
                                         .prefill_chunk = settings[i].prefill_chunk};
    struct tpo_samples got = run_bounded(&options, NULL);
    assert_same(&expected, &got);
    tpo_samples_free(&got);
  }
  tpo_samples_free(&expected);
}

/* A marker's tokens are fed at once. */
static void inserted_markers_fit_into_the_window(void **state)
{
  (void)state;
  set_thought(true, 21, 15);
  struct tpo_samples expected = run_keeping_everything();
  struct tpo_engine_options options = {.block_tokens = 2, .prefill_chunk = 1};
  int used[TPO_REACHES];
  w.sampling.slots = n_prompts * k;
  struct tpo_samples got = run_bounded(&options, used);
  assert_same(&expected, &got);
  if (w.windowed == 2) assert_true(used[TPO_REACH_WINDOW] < used[TPO_REACH_ALL]);
  tpo_samples_free(&got);
  tpo_samples_free(&expected);
}

static void what_samples_share_of_their_prompt_is_given_back_behind_the_window(void **state)
{
  (void)state;
  struct tpo_engine_options options = {.block_tokens = BLOCK, .prefill_chunk = CHUNK};
  w.sampling.slots = n_prompts * k;
  struct tpo_samples got = run_bounded(&options, NULL);
  assert_in_range(pools.most_beyond, 1, in_window(1));
  tpo_samples_free(&got);
}

static void a_run_that_fails_gives_every_block_back(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  struct tpo_engine_options options = {.block_tokens = BLOCK, .prefill_chunk = CHUNK};
  for (int after = 0; after < n_prompts * k; after += 4) {
    w.outputs_left = after;
    assert_int_equal(run_watched(&options, NULL, NULL, &err), TPO_E_IO);
    reset(state);
  }
}

static int reset_ahead(void **state)
{
  reset(state);
  w.run_ahead = TPO_RUN_AHEAD_ALWAYS;
  return 0;
}

static int reset_behind(void **state)
{
  reset(state);
  w.run_ahead = TPO_RUN_AHEAD_NEVER;
  return 0;
}

int main(void)
{
#define BOTH(test) cmocka_unit_test_setup(test, reset_behind), cmocka_unit_test_setup(test, reset_ahead)
  const struct CMUnitTest tests[] = {
      BOTH(samples_go_far_beyond_the_window_in_a_cache_that_holds_hardly_more),
      cmocka_unit_test_setup(too_little_for_the_window_is_refused, reset_behind),
      BOTH(sample_does_not_depend_on_slots_blocks_chunks_or_order),
      BOTH(inserted_markers_fit_into_the_window),
      BOTH(what_samples_share_of_their_prompt_is_given_back_behind_the_window),
      BOTH(a_run_that_fails_gives_every_block_back),
  };
  int failed = cmocka_run_group_tests_name("some layers of a window", tests, setup_mixed, teardown);
  return failed + cmocka_run_group_tests_name("all of a window", tests, setup_windowed, teardown);
}
