/* `tpo eval arena --answers`: games that a judge's model decides, and what they come to. */
#include <math.h>
#include <string.h>

#include "cli/eval/arena.h"
#include "config/judge_kinds.h"
#include "eval/arena/games.h"
#include "eval/arena/judging.h"
#include "eval/arena/prompt.h"
#include "eval/provenance.h"
#include "steps/same.h"
#include "tpo/judge.h"

struct judged {
  struct tpo_instructions questions;
  struct arena_answers model, baseline;
  struct arena_judging *judging;
};

static int read_all(struct judged *d, const struct tpo_config *config, const struct arena_request *request,
                    struct tpo_error *err)
{
  int status = tpo_instructions_read_some(&d->questions, request->prompts, config->data.skip_bad, err);
  if (status == 0) status = arena_answers_read(&d->model, request->answers, err);
  if (status == 0) status = arena_answers_read(&d->baseline, request->baseline, err);
  if (status == 0)
    status = arena_judging_open(&d->judging, &config->judge, &d->questions, &d->model, &d->baseline, err);
  if (status == 0 && (*request->tables[0] || *request->tables[1]))
    status = arena_games_check(d->judging, d->model.model, err);
  return status;
}

/* Rank 0, before anything is asked. */
static void tell_before(const struct judged *d, const struct tpo_config *config)
{
  const struct tpo_judge_config *judge = &config->judge;
  const struct arena_judging *j = d->judging;
  if (j->without_answer + j->without_baseline > 0)
    tpo_log(TPO_LOG_WARN, "%zu of %zu questions have no answer of %s, %zu none of %s: they are not judged",
            j->without_answer, d->questions.n, d->model.model, j->without_baseline, d->baseline.model);
  tpo_log(
      TPO_LOG_INFO,
      "%zu questions, two games each: judge.temperature %g, judge.max_tokens %d (the benchmark's: 0 and 4096)",
      j->n, judge->temperature, judge->max_tokens);
}

static void tell_after(const struct arena_judging *j)
{
  if (j->failed + j->failed_again > 0)
    tpo_log(TPO_LOG_WARN,
            "the judge failed on %zu games, and on %zu that it was to go on with; the first reason: %s",
            j->failed, j->failed_again, j->why);
  if (j->without > 0)
    tpo_log(TPO_LOG_WARN, "%zu of %zu games have no verdict, %zu since their verdicts differ", j->without,
            j->n * ARENA_GAMES, j->contradicted);
  if (j->cut_off > 0)
    tpo_log(TPO_LOG_WARN, "%zu of the judge's answers were cut off by judge.max_tokens", j->cut_off);
}

static int write_games(const struct judged *d, const struct tpo_config *config, const struct arena_request *r,
                       struct tpo_error *err)
{
  const char *kind = strndupa(config->judge.kind, config_judge_told(config->judge.kind));
  const char *judge = config->judge.model && *config->judge.model ? config->judge.model : kind;
  int status = 0;
  for (int i = 0; i < ARENA_PLACES; i++) {
    if (status == 0 && *r->judgments[i])
      status = arena_games_write_judgments(d->judging, d->model.model, judge, r->judgments[i], err);
    if (status == 0 && *r->tables[i])
      status = arena_games_write_table(d->judging, d->model.model, r->tables[i], err);
  }
  if (status == 0) drop_journal(r->journal);
  return status;
}

static json_t *tokens(const struct arena_answers *answers)
{
  double mean = arena_mean_tokens(answers);
  return isnan(mean) ? json_null() : json_integer((json_int_t)mean);
}

/* Before the provenance, which is long. */
static int describe(const struct judged *d, json_t *result, struct tpo_error *err)
{
  json_t *provenance = json_incref(json_object_get(result, "provenance"));
  const struct arena_judging *j = d->judging;
  json_t *more = json_pack(
      "{s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "n_questions", (json_int_t)j->n, "avg_tokens",
      tokens(&d->model), "baseline_avg_tokens", tokens(&d->baseline), "without_answer",
      (json_int_t)j->without_answer, "without_baseline", (json_int_t)j->without_baseline, "asked_again",
      (json_int_t)j->asked_again, "contradicted", (json_int_t)j->contradicted, "failed_games",
      (json_int_t)j->failed, "failed_again", (json_int_t)j->failed_again, "cut_off", (json_int_t)j->cut_off);
  int failed = !more || json_object_del(result, "provenance") < 0 || json_object_update(result, more) < 0;
  if (!failed && j->counts) failed = json_object_set(result, "judge_counts", j->counts) < 0;
  if (json_object_set_new(result, "provenance", provenance) < 0) failed = 1;
  json_decref(more);
  return failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for the result") : 0;
}

static int add_provenance(const struct judged *d, const struct tpo_config *config,
                          const struct arena_request *r, json_t *provenance, struct tpo_error *err)
{
  int status = eval_provenance_file(provenance, "prompts", r->prompts, err);
  if (status == 0) status = eval_provenance_file(provenance, "answers", r->answers, err);
  if (status == 0) status = eval_provenance_file(provenance, "baseline", r->baseline, err);
  const struct judge_texts *texts = &d->judging->texts;
  return status < 0 ? status
                    : eval_provenance_judge(provenance, &config->judge, texts->system, texts->prompt, err);
}

/* Rank 0. */
static int finish(const struct cli_session *s, const struct judged *d, const struct arena_request *request,
                  json_t **result, struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct arena_request named = *request;
  struct arena_battles battles = {0};
  named.anchor = d->baseline.model;
  tell_after(d->judging);
  int status = write_games(d, config, request, err);
  if (status == 0)
    status = arena_judging_battles(d->judging, d->model.model, d->baseline.model, &battles, err);
  if (status == 0 && !(*result = arena_result(s, &battles, &named, err))) status = err->code;
  if (status == 0) status = describe(d, *result, err);
  if (status == 0) status = add_provenance(d, config, request, json_object_get(*result, "provenance"), err);
  arena_battles_free(&battles);
  return status;
}

int arena_judge(struct cli_session *s, const struct arena_request *request, json_t **result,
                struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  struct tpo_comm *comm = s->session.comm;
  struct judged d = {0};
  int status = same_judge(comm, &config->judge, err);
  if (status == 0) status = tpo_comm_agree(comm, read_all(&d, config, request, err), err);
  if (status == 0 && cli_first_rank(s)) tell_before(&d, config);
  if (status == 0) status = arena_judging_ask(d.judging, &s->session, request->journal, err);
  if (status == 0 && cli_first_rank(s)) status = finish(s, &d, request, result, err);
  progress_end(&s->bar);
  arena_judging_close(d.judging);
  arena_answers_free(&d.model);
  arena_answers_free(&d.baseline);
  tpo_instructions_free(&d.questions);
  return tpo_comm_agree(comm, status, err);
}
