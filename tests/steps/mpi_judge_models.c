/* Judging with models that stay (tpo_session.judge_models): scores, details and counts are those of a judge that reads
 * its own, on any number of ranks, and a judging that fails closes them on all. */
#include "judge/reward_folder.h"
#include "model/reward/reward.h"
#include "model/shelf.h"
#include "mpi_check.h"
#include "tpo/judge.h"
#include "tpo/steps.h"

enum { PROMPTS = 6, K = 2, ROWS = PROMPTS * K, LONG = 4000 };

static struct tpo_config config;
static struct tpo_session session = {.config = &config};
static char folder[4096], ids[PROMPTS][16], texts[ROWS][32], too_long[LONG + 1];

static struct tpo_samples make_samples(bool one_fails)
{
  struct tpo_samples s = {0};
  if (tpo_comm_rank(comm) > 0) return s;
  s.rows = calloc(ROWS, sizeof *s.rows);
  CHECK(s.rows);
  for (s.n = 0; s.n < ROWS; s.n++)
    s.rows[s.n] = (struct tpo_sample_row){.prompt_id = ids[s.n / K],
                                          .k = (int32_t)(s.n % K),
                                          .instruction = ids[s.n / K],
                                          .meta = "{}",
                                          .response = one_fails && s.n == 7 ? too_long : texts[s.n],
                                          .format_ok = true};
  return s;
}

/* What a judging came to, on rank 0. */
struct judging {
  double scores[ROWS];
  char details[ROWS][4096], counts[4096];
};

static struct judging *judge(void)
{
  size_t failures;
  struct judging *out = calloc(1, sizeof *out);
  struct tpo_samples s = make_samples(false);
  CHECK(out && tpo_score_samples(&session, &s, NULL, &failures, &err) == 0 && failures == 0);
  for (size_t i = 0; i < s.n; i++) {
    out->scores[i] = s.rows[i].score;
    snprintf(out->details[i], sizeof out->details[i], "%s", s.rows[i].score_detail);
  }
  if (s.n > 0) snprintf(out->counts, sizeof out->counts, "%s", s.judge_counts);
  tpo_samples_free(&s);
  return out;
}

static void expect(const struct judging *expected, bool same)
{
  struct judging *now = judge();
  bool scores = memcmp(expected->scores, now->scores, sizeof now->scores) == 0;
  CHECK(strcmp(expected->counts, now->counts) == 0);
  CHECK(tpo_comm_rank(comm) > 0 || scores == same);
  for (int i = 0; same && i < ROWS; i++) CHECK(strcmp(expected->details[i], now->details[i]) == 0);
  free(now);
}

/* So that what is judged with it is told from what is judged with one that was read again. */
static void change_model(void)
{
  struct tpo_reward *reward;
  const struct tpo_reward_options options = {.backend = session.backend, .dtype = config.model.dtype};
  CHECK(shelf_take_reward(&reward, session.judge_models, folder, &options, &err) == 0);
  CHECK(!reward->cache && reward->stats.scored == 0);
  for (size_t i = 0; i < reward_head_count(&reward->head); i++) reward->head.values[i] *= 1.5f;
  shelf_put_reward(session.judge_models, reward);
}

static void judge_in_vain(void)
{
  size_t failures;
  struct tpo_samples s = make_samples(true);
  CHECK(tpo_score_samples(&session, &s, NULL, &failures, &err) == TPO_E_STATE);
  tpo_samples_free(&s);
}

static void models_stay_until_a_judging_fails(void)
{
  struct judging *fresh = judge();
  CHECK(tpo_model_shelf_open(&session.judge_models, &err) == 0);
  expect(fresh, true);
  expect(fresh, true);
  change_model();
  expect(fresh, false);
  judge_in_vain();
  expect(fresh, true);
  tpo_model_shelf_close(session.judge_models);
  session.judge_models = NULL;
  free(fresh);
}

/* The judges that a judge hands on to. */
static void judges_within_another_find_theirs(void)
{
  char *kind = config.judge.kind;
  struct tpo_judge_term terms[] = {{.kind = kind, .weight = 1}, {.kind = (char *)"rule", .weight = -2}};
  config.judge.kind = (char *)"sum";
  config.judge.terms = terms;
  config.judge.n_terms = 2;
  models_stay_until_a_judging_fails();
  config.judge.kind = kind;
  config.judge.terms = NULL;
  config.judge.n_terms = 0;
}

int main(void)
{
  static char kind[4200];
  void *own = NULL;
  CHECK(tpo_comm_open(&comm, 30, &err) == 0);
  tpo_log_setup(TPO_LOG_ERROR, false, tpo_comm_rank(comm));
  CHECK(make_folder(&own) == 0);
  snprintf(folder, sizeof folder, "%s", (char *)own);
  if (tpo_comm_rank(comm) == 0) put_reward_folder(folder, "armorm", NULL);
  CHECK(tpo_comm_bcast(comm, folder, sizeof folder, 0, &err) == 0);
  snprintf(kind, sizeof kind, "reward:%s", folder);
  tpo_config_default(&config);
  config.judge.kind = kind;
  config.judge.max_failed = 0;
  config.judge.standardise = false;
  config.model.dtype = TPO_DTYPE_FP32;
  session.comm = comm;
  session.backend = open_backend(CPU);
  for (int i = 0; i < PROMPTS; i++) snprintf(ids[i], sizeof ids[i], "p%d", i);
  for (int i = 0; i < ROWS; i++) snprintf(texts[i], sizeof texts[i], "answer %d", i * i);
  memset(too_long, 'a', LONG);
  models_stay_until_a_judging_fails();
  judges_within_another_find_theirs();
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  remove_folder(&own);
  tpo_backend_close(session.backend);
  tpo_comm_close(comm);
  return 0;
}
