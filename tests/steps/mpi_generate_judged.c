/* Sampling with judging beside it: what comes of it is what comes of one after the other, whatever the judge does, on any
 * number of ranks; and what is told meanwhile. */
#include "engine/world.h"
#include "mpi_check.h"

#include <jansson.h>

#include "base/clock.h"
#include "tpo/steps.h"
#include "tpo/judge.h"

enum { PROMPTS = 40, K = 3 };

static char ids[PROMPTS][16], texts[PROMPTS][20];
static struct tpo_instruction items[PROMPTS];
static struct tpo_instructions instructions = {.n = PROMPTS, .items = items};
static struct tpo_config config;
static struct tpo_session session = {.config = &config};
static struct tpo_policy policy;
static char folder[64]; /* of all ranks */

/* One prompt's scores, which depend on the texts. */
static void judge_prompt(const json_t *prompt, const char *mode)
{
  size_t k;
  json_t *response, *scores = json_array(), *details = json_array();
  json_array_foreach(json_object_get(prompt, "responses"), k, response)
  {
    const char *text = json_string_value(json_object_get(response, "text"));
    json_int_t score = (json_int_t)strlen(text), fails = strcmp(mode, "none") == 0;
    for (const char *c = text; *c; c++) score += (unsigned char)*c;
    if (strcmp(mode, "some") == 0) fails = score % 5 == 0;
    json_array_append_new(scores, fails ? json_null() : json_integer(score));
    json_array_append_new(details, json_pack("{s:o}", fails ? "error" : "n",
                                             fails ? json_string("not today") : json_integer(score)));
  }
  json_t *answer =
      json_pack("{s:O, s:o, s:o}", "id", json_object_get(prompt, "id"), "scores", scores, "details", details);
  json_dumpf(answer, stdout, 0);
  printf("\n");
  fflush(stdout);
  json_decref(answer);
}

/* This program as the judge. TPO_TEST_JUDGE: "all" responses get a score; "some" don't; "none" does; "held" is all,
 * once a file is there; "slow" is all, a prompt after the other; "dies" ends after three prompts; "late" does so after ten, once the file is there. */
static int judge_prompts(void)
{
  const char *mode = getenv("TPO_TEST_JUDGE");
  json_t *prompt;
  bool late = strcmp(mode, "late") == 0, held = late || strcmp(mode, "held") == 0;
  for (int i = 0; held && i < 2000 && access(getenv("TPO_TEST_GO"), F_OK) < 0; i++) usleep(10000);
  bool slow = strcmp(mode, "slow") == 0;
  for (int n = 0; (prompt = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL)); n++) {
    if (n == (late ? 10 : 3) && (late || strcmp(mode, "dies") == 0)) {
      fprintf(stderr, "worn out\n");
      return 1;
    }
    if (slow) usleep(100000);
    judge_prompt(prompt, mode);
    json_decref(prompt);
  }
  return 0;
}

/* What came of a judging. */
struct outcome {
  struct tpo_samples samples;
  size_t failures;
  int status;
  struct tpo_error err;
};

static void outcome_free(struct outcome *o)
{
  tpo_samples_free(&o->samples);
}

static struct tpo_judged_options options(void)
{
  return (struct tpo_judged_options){
      .generate = {.sampling = &config.sampling, .thought = &config.thought, .iteration = 3}};
}

static struct outcome one_after_the_other(void)
{
  struct outcome o = {0};
  struct tpo_generate_stats stats;
  struct tpo_judged_options both = options();
  CHECK(tpo_generate(&session, &policy, &instructions, &both.generate, &o.samples, &stats, &err) == 0);
  o.status = tpo_score_samples(&session, &o.samples, NULL, &o.failures, &o.err);
  return o;
}

static struct outcome together(const struct tpo_judged_options *given, struct tpo_judged_stats *stats)
{
  struct outcome o = {0};
  struct tpo_judged_options plain = options();
  struct tpo_judged_stats ignored;
  o.status = tpo_generate_judged(&session, &policy, &instructions, given ? given : &plain, &o.samples,
                                 stats ? stats : &ignored, &o.err);
  o.failures = (stats ? stats : &ignored)->failures;
  return o;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
  CHECK(a->status == b->status && strcmp(a->err.message, b->err.message) == 0);
  CHECK(a->failures == b->failures && a->samples.n == b->samples.n);
  if (tpo_comm_rank(comm) > 0) return;
  CHECK(a->samples.n == instructions.n * K && a->samples.is_scored && b->samples.is_scored);
  assert_same(&a->samples, &b->samples);
  for (size_t i = 0; i < a->samples.n; i++) {
    const struct tpo_sample_row *x = &a->samples.rows[i], *y = &b->samples.rows[i];
    CHECK(x->scored == y->scored && memcmp(&x->score, &y->score, sizeof x->score) == 0);
    CHECK(strcmp(x->score_detail, y->score_detail) == 0);
  }
  CHECK(strcmp(a->samples.judge_counts, b->samples.judge_counts) == 0);
}

static void check_mode(const char *mode, int status)
{
  setenv("TPO_TEST_JUDGE", mode, 1);
  struct outcome expected = one_after_the_other(), got = together(NULL, NULL);
  CHECK(expected.status == status);
  check_same(&expected, &got);
  outcome_free(&expected);
  outcome_free(&got);
}

static void scores_and_failures_are_those_of_one_after_the_other(void)
{
  check_mode("all", 0);
  config.judge.max_failed = 1;
  check_mode("some", 0);
  config.judge.max_failed = 0;
  check_mode("some", TPO_E_STATE);
  instructions.n = 1; /* most ranks get nothing */
  check_mode("all", 0);
  instructions.n = PROMPTS;
  config.judge.max_failed = 0.1;
}

/* Scales come of all scores, when all are there. */
static void judges_that_are_mixed_are_scaled_as_before(void)
{
  char *kind = config.judge.kind, term[4096], *routes[] = {(char *)"id=p3 -> rule", term};
  struct tpo_judge_term terms[] = {{.kind = kind, .weight = 1}, {.kind = (char *)"rule", .weight = -2}};
  snprintf(term, sizeof term, "* -> %s", kind);
  config.judge.standardise = true;
  config.judge.kind = (char *)"sum";
  config.judge.terms = terms;
  config.judge.n_terms = 2;
  check_mode("all", 0);
  config.judge.kind = (char *)"route";
  config.judge.routes = routes;
  config.judge.n_routes = 2;
  check_mode("all", 0);
  config.judge.kind = kind;
  config.judge.n_routes = config.judge.n_terms = 0;
  config.judge.standardise = false;
}

/* On one rank 100 responses come in a row; where more share them, too many have failed. */
static void a_judge_that_fails_on_everything_is_asked_no_more(void)
{
  setenv("TPO_TEST_JUDGE", "none", 1);
  struct outcome got = together(NULL, NULL);
  CHECK(got.status == TPO_E_STATE);
  CHECK(strstr(got.err.message, tpo_comm_size(comm) == 1
                                    ? "responses in a row; the last: the program gave no score: not today"
                                    : "gave no score to"));
  outcome_free(&got);
}

static struct {
  size_t rows, calls, between;
  double scores;
  int status;
  double at;    /* when an error was given back */
  double delay; /* seconds that the other work takes */
  bool interrupts;
} told;

static int judged(void *arg, const struct tpo_sample_row *rows, size_t n, struct tpo_error *error)
{
  CHECK(arg == &told && n == K);
  told.calls++;
  for (size_t i = 0; i < n; i++) {
    CHECK(strcmp(rows[i].prompt_id, rows[0].prompt_id) == 0 && rows[i].k == (int32_t)i);
    CHECK(rows[i].scored == rows[i].format_ok && rows[i].n_tokens > 0);
    CHECK(strncmp(rows[i].score_detail, "{", 1) == 0);
    told.rows++;
    told.scores += rows[i].score;
  }
  if (told.status < 0 && told.at == 0) told.at = tpo_seconds();
  return told.status < 0 ? tpo_fail(error, told.status, "no room for what is told") : 0;
}

static int between(void *arg, struct tpo_error *error)
{
  (void)arg, (void)error;
  usleep((useconds_t)(1e6 * told.delay));
  if (told.interrupts && tpo_comm_rank(comm) == 0) raise(SIGTERM);
  /* More calls than there are passes: then the judge alone is waited for. */
  if (++told.between == 30) CHECK(tpo_write_file(getenv("TPO_TEST_GO"), "", 0, &err) == 0);
  return told.between < 26;
}

static double sum(double x)
{
  CHECK(tpo_comm_allreduce_sum_f64(comm, &x, 1, &err) == 0);
  return x;
}

static struct tpo_judged_options telling(void)
{
  struct tpo_judged_options all = options();
  memset(&told, 0, sizeof told);
  all.judged = judged;
  all.between = between;
  all.arg = &told;
  return all;
}

static void hold_judge(void)
{
  setenv("TPO_TEST_JUDGE", "held", 1);
  unlink(getenv("TPO_TEST_GO"));
  CHECK(tpo_comm_barrier(comm, &err) == 0);
}

/* Each prompt on the rank that sampled it. While the judge alone is waited for, there is time for other work. */
static void who_samples_is_told_of_scores_and_may_work_meanwhile(void)
{
  hold_judge();
  struct tpo_judged_stats stats;
  struct tpo_judged_options all = telling();
  struct outcome got = together(&all, &stats);
  double scores = 0;
  CHECK(got.status == 0);
  for (size_t i = 0; i < got.samples.n; i++) scores += got.samples.rows[i].score;
  CHECK(sum((double)told.rows) == PROMPTS * K && sum(told.scores) == sum(scores));
  CHECK(told.calls == 0 || told.between >= 1);
  CHECK(stats.judge_seconds >= 0.15 && stats.wait_seconds >= 0.15 && stats.generate.samples == PROMPTS * K);
  outcome_free(&got);
}

static void an_error_of_who_is_told_ends_it(void)
{
  setenv("TPO_TEST_JUDGE", "all", 1);
  struct tpo_judged_options all = telling();
  told.status = TPO_E_IO;
  struct outcome got = together(&all, NULL);
  CHECK(got.status == TPO_E_IO && strstr(got.err.message, "no room for what is told"));
  outcome_free(&got);
}

/* What it took is told once, though the first rank is the last to have its samples, and the others wait for that: until
 * then it is sampling, and what comes behind it is judging. */
static void seconds_add_up(const char *kind)
{
  char *judge = config.judge.kind;
  struct tpo_judged_stats stats;
  setenv("TPO_TEST_JUDGE", "all", 1);
  if (kind) config.judge.kind = (char *)kind;
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  struct tpo_judged_options all = telling();
  if (tpo_comm_rank(comm) == 0) told.delay = 0.03;
  double begin = tpo_seconds();
  struct outcome got = together(&all, &stats);
  double took = tpo_seconds() - begin, sum_told = stats.sample_seconds + stats.judge_seconds;
  CHECK(got.status == 0 && stats.sample_seconds > 0 && stats.judge_seconds >= 0);
  CHECK(sum_told > took - 0.1 && sum_told < took + 0.1);
  CHECK(fabs(sum(stats.sample_seconds) / tpo_comm_size(comm) - stats.sample_seconds) < 1e-6);
  CHECK(stats.wait_seconds >= 0 && stats.wait_seconds <= sum_told);
  outcome_free(&got);
  config.judge.kind = judge;
}

/* A batch of the judge's takes no longer than a small part of the deadline, or than seconds where there is no other
 * rank, so an error doesn't wait for it. By its trust alone the second batch had 12 prompts. */
static void an_error_waits_for_no_long_batch(void)
{
  double deadline = config.run.deadline;
  setenv("TPO_TEST_JUDGE", "slow", 1);
  struct tpo_judged_options all = telling();
  told.status = TPO_E_IO;
  config.run.deadline = 1;
  struct outcome got = together(&all, NULL);
  CHECK(got.status == TPO_E_IO && (told.at == 0 || tpo_seconds() - told.at < 0.8));
  config.run.deadline = deadline;
  outcome_free(&got);
}

/* Where the journal knows the model by rows, nothing reads all weights. One that is not the same has other samples. */
static void the_journal_knows_the_model_by_rows(void)
{
  char samples[80];
  const float other[32] = {1};
  struct tpo_judged_options all = options();
  struct tpo_judged_stats stats;
  float own[32];
  size_t n;
  const struct tpo_param *params = tpo_model_params(w.model, &n);
  snprintf(samples, sizeof samples, "%s/rows.journal", folder);
  setenv("TPO_TEST_JUDGE", "all", 1);
  all.generate.journal = samples;
  all.generate.by_rows = true;
  CHECK(n > 0 && params[0].cols == 32 && tpo_model_get_rows(w.model, 0, 0, 1, own, &err) == 0);
  CHECK(tpo_model_set_range(w.model, 0, 32, own, &err) == 0); /* a hash of before is forgotten */
  for (int i = 0; i < 2; i++) {
    struct outcome got = together(&all, &stats);
    CHECK(got.status == 0 && stats.generate.kept == (i ? PROMPTS * K : 0) && !w.model->hash_known);
    outcome_free(&got);
  }
  CHECK(tpo_model_set_range(w.model, 0, 32, other, &err) == 0);
  struct outcome got = together(&all, NULL);
  CHECK(got.status == TPO_E_USAGE && strstr(got.err.message, "model"));
  CHECK(tpo_model_set_range(w.model, 0, 32, own, &err) == 0);
  outcome_free(&got);
}

/* The program dies; with its successor, samples come from the journal, and later the scores too, without a judge. */
static void what_is_kept_is_gone_on_from(const struct outcome *expected)
{
  char samples[80], scores[80];
  snprintf(samples, sizeof samples, "%s/samples.journal", folder);
  snprintf(scores, sizeof scores, "%s/scores.journal", folder);
  struct tpo_judged_options all = options();
  struct tpo_judged_stats stats;
  all.generate.journal = samples;
  all.score.journal = scores;
  setenv("TPO_TEST_JUDGE", "dies", 1);
  struct outcome died = together(&all, NULL);
  CHECK(died.status < 0 && strstr(died.err.message, "worn out"));
  setenv("TPO_TEST_JUDGE", "all", 1);
  struct outcome got = together(&all, NULL);
  check_same(expected, &got);
  setenv("TPO_TEST_JUDGE", "dies", 1);
  struct outcome again = together(&all, &stats);
  check_same(expected, &again);
  CHECK(stats.generate.kept == PROMPTS * K);
  outcome_free(&died);
  outcome_free(&got);
  outcome_free(&again);
}

/* The program dies when all samples are there: the batches that it scored until then are not judged again. */
static void what_was_judged_beside_is_kept(const struct outcome *expected)
{
  char samples[96], scores[96];
  struct tpo_judged_options all = telling();
  hold_judge();
  setenv("TPO_TEST_JUDGE", "late", 1);
  snprintf(samples, sizeof samples, "%s/late-samples.journal", folder);
  snprintf(scores, sizeof scores, "%s/late-scores.journal", folder);
  all.generate.journal = samples;
  all.score.journal = scores;
  struct outcome died = together(&all, NULL);
  CHECK(died.status < 0 && strstr(died.err.message, "worn out"));
  CHECK(strstr(died.err.message, " of 40 prompts' judgements are kept in "));
  setenv("TPO_TEST_JUDGE", "all", 1);
  struct outcome got = together(&all, NULL);
  check_same(expected, &got);
  outcome_free(&died);
  outcome_free(&got);
}

/* The samples are drawn again, and judged again beside that: what the scores' journal has of them gives way. */
static void scores_that_are_made_again_count_once(const struct outcome *expected)
{
  char scores[80];
  snprintf(scores, sizeof scores, "%s/again.journal", folder);
  setenv("TPO_TEST_JUDGE", "all", 1);
  struct tpo_judged_options all = options();
  all.score.journal = scores;
  for (int i = 0; i < 2; i++) {
    struct outcome got = together(&all, NULL);
    check_same(expected, &got);
    outcome_free(&got);
  }
}

/* The last test: who was interrupted stays so. */
static void a_signal_ends_sampling_and_judging(void)
{
  hold_judge();
  tpo_interrupt_install();
  struct tpo_judged_options all = telling();
  told.interrupts = true;
  struct outcome got = together(&all, NULL);
  bool raised = sum(tpo_comm_rank(comm) == 0 ? (double)told.between : 0) > 0;
  CHECK(got.status == (raised ? TPO_E_INTERRUPTED : 0));
  outcome_free(&got);
}

static void make_world(void *own)
{
  static char kind[4200];
  char path[4096];
  void *state = own;
  CHECK(setup(&state) == 0);
  reset(&state);
  snprintf(folder, sizeof folder, "%.60s", (char *)state);
  CHECK(tpo_comm_bcast(comm, folder, sizeof folder, 0, &err) == 0);
  ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
  CHECK(len > 0);
  snprintf(kind, sizeof kind, "command:%.*s judge", (int)len, path);
  snprintf(path, sizeof path, "%s/go", folder);
  setenv("TPO_TEST_GO", path, 1);
  tpo_config_default(&config);
  config.judge.kind = kind;
  config.sampling = w.sampling;
  config.sampling.k = K;
  config.sampling.slots = 5;
  config.sampling.max_tokens = 10;
  config.thought = w.thought;
  session.comm = comm;
  session.backend = w.be;
  policy = (struct tpo_policy){.model = w.model, .tokenizer = w.tok, .tmpl = w.tmpl};
  for (int i = 0; i < PROMPTS; i++) {
    snprintf(ids[i], sizeof ids[i], "p%d", i);
    snprintf(texts[i], sizeof texts[i], "Say %d.", i * i * i);
    items[i] = (struct tpo_instruction){.id = ids[i], .instruction = texts[i], .meta = "{}"};
  }
  *(void **)own = state;
}

int main(int argc, char **argv)
{
  void *state;
  if (argc > 1 && strcmp(argv[1], "judge") == 0) return judge_prompts();
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  tpo_log_setup(TPO_LOG_ERROR, false, tpo_comm_rank(comm));
  make_world(&state);
  scores_and_failures_are_those_of_one_after_the_other();
  judges_that_are_mixed_are_scaled_as_before();
  a_judge_that_fails_on_everything_is_asked_no_more();
  who_samples_is_told_of_scores_and_may_work_meanwhile();
  an_error_of_who_is_told_ends_it();
  an_error_waits_for_no_long_batch();
  seconds_add_up(NULL);
  seconds_add_up("rule");
  the_journal_knows_the_model_by_rows();
  setenv("TPO_TEST_JUDGE", "all", 1);
  struct outcome expected = one_after_the_other();
  what_is_kept_is_gone_on_from(&expected);
  if (tpo_comm_size(comm) == 1)
    what_was_judged_beside_is_kept(&expected); /* others may die while samples are drawn */
  scores_that_are_made_again_count_once(&expected);
  outcome_free(&expected);
  a_signal_ends_sampling_and_judging();
  CHECK(tpo_comm_barrier(comm, NULL) == 0);
  teardown(&state);
  tpo_comm_close(comm);
  return 0;
}
