/* What the kinds of watch are made of: which rows they take, and what a response is worth. */
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "checks/checks.h"
#include "eval/tasks/ifeval.h"
#include "run/watch/watch.h"
#include "steps/judge_item.h"
#include "tpo/judge.h"

const char *watch_kind_value(enum tpo_watch_kind kind)
{
  static const char *const values[] = {[TPO_WATCH_GSM8K] = "accuracy",
                                       [TPO_WATCH_IFEVAL] = "accuracy by prompt, strict",
                                       [TPO_WATCH_RULE] = "mean score"};
  return values[kind];
}

/* With a layout that has a thought, reasoning has its place there; else the question asks for it. */
static int read_questions(struct watched *w, struct tpo_instructions *all,
                          int (*check)(void *arg, const struct tpo_instruction *item, struct tpo_error *err),
                          void *arg, struct tpo_error *err)
{
  const char *marker = w->settings.thought.response_marker, *path = w->entry->prompts;
  const struct eval_gsm8k_prompting how = {.way = marker && *marker ? EVAL_GSM8K_THOUGHT : EVAL_GSM8K_DIRECT};
  int status = eval_gsm8k_read(&w->questions, path, 0, err);
  if (status == 0) status = eval_gsm8k_ask(&w->questions, how, all, err);
  for (size_t i = 0; i < all->n && status == 0; i++) {
    status = check(arg, &all->items[i], err);
    if (status < 0) tpo_fail_prefix(err, "%s, question %s", path, all->items[i].id);
  }
  return status;
}

int watch_kind_read(struct watched *w, struct tpo_instructions *all,
                    int (*check)(void *arg, const struct tpo_instruction *item, struct tpo_error *err),
                    void *arg, struct tpo_error *err)
{
  if (w->entry->kind == TPO_WATCH_GSM8K) return read_questions(w, all, check, arg, err);
  return tpo_instructions_read_checked(all, w->entry->prompts, w->settings.data.skip_bad, check, arg, err);
}

int watch_kind_check(const struct watched *w, const struct tpo_instruction *item, struct tpo_error *err)
{
  const struct tpo_judge_item asked = judge_item_of_instruction(item);
  json_t *checks = checks_of_meta(item->meta ? item->meta : "{}", err);
  size_t n = json_array_size(checks);
  if (!checks) return TPO_E_INPUT;
  json_decref(checks);
  if (n == 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "no check to follow (\"instruction_id_list\", \"checks\" or \"reference\")");
  return tpo_judge_validate(&w->settings.judge, &asked, err);
}

double watch_kind_unparsed(const struct watched *w)
{
  return w->entry->kind == TPO_WATCH_RULE ? w->settings.judge.empty_score : 0;
}

/* Takes detail. */
static int set_score(struct tpo_samples *samples, size_t at, double score, json_t *detail,
                     struct tpo_error *err)
{
  char *text = detail ? tpo_json_dump(detail) : NULL;
  struct tpo_arena arena = {samples->arena};
  char *kept = text ? tpo_arena_memdup(&arena, text, strlen(text) + 1) : NULL;
  samples->arena = arena.blocks;
  json_decref(detail);
  free(text);
  if (!kept) return tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
  samples->rows[at].scored = true;
  samples->rows[at].score = score;
  samples->rows[at].score_detail = kept;
  return 0;
}

static int score_questions(const struct watched *w, struct tpo_samples *samples, json_t *event,
                           struct tpo_error *err)
{
  struct eval_gsm8k score;
  int status = eval_gsm8k_score(&w->questions, samples, eval_gsm8k_of_text, &score, err);
  for (size_t i = 0; i < samples->n && status == 0; i++) {
    const struct eval_gsm8k_verdict *verdict = &score.verdicts[i];
    bool found = verdict->answer.place != EVAL_GSM8K_NOWHERE;
    json_t *detail =
        json_pack("{s:o, s:s}", "answer", found ? json_real(verdict->answer.number) : json_null(), "found",
                  eval_gsm8k_place_name(verdict->answer.place));
    status = set_score(samples, i, verdict->correct, detail, err);
  }
  if (status == 0) json_object_set_new(event, "no_answer", json_integer((json_int_t)score.no_answer));
  eval_gsm8k_score_free(&score);
  return status;
}

/* One response's checks with their verdicts, named as the rule judge names them. */
static json_t *verdicts_of(const struct tpo_sample_row *row, const struct eval_ifeval *score, size_t at)
{
  const struct eval_ifeval_response *response = &score->responses[at];
  json_t *checks = checks_of_meta(row->meta, NULL), *list = json_array();
  for (size_t i = 0; i < response->n; i++) {
    const struct eval_ifeval_verdict *verdict = &score->verdicts[response->first + i];
    json_array_append_new(list, json_pack("{s:O?, s:b, s:b}", "type",
                                          json_object_get(json_array_get(checks, i), "type"), "passed",
                                          verdict->strict, "loose", verdict->loose));
  }
  json_decref(checks);
  return json_pack("{s:o}", "checks", list);
}

static int score_instructions(const struct watched *w, struct tpo_samples *samples, json_t *event,
                              struct tpo_error *err)
{
  struct eval_ifeval score;
  int status = eval_ifeval_score(&w->instructions, samples, &score, err);
  for (size_t i = 0; i < samples->n && status == 0; i++)
    status =
        set_score(samples, i, score.responses[i].all_strict, verdicts_of(&samples->rows[i], &score, i), err);
  const struct {
    const char *name;
    double share;
  } figures[] = {{"prompt_strict", score.prompt_strict},
                 {"instruction_strict", score.instruction_strict},
                 {"prompt_loose", score.prompt_loose},
                 {"instruction_loose", score.instruction_loose}};
  for (size_t i = 0; i < sizeof figures / sizeof *figures && status == 0; i++)
    json_object_set_new(event, figures[i].name, json_real(figures[i].share));
  eval_ifeval_free(&score);
  return status;
}

/* The rule judge's score. */
static int score_rule(const struct tpo_session *session, const struct watched *w, struct tpo_samples *samples,
                      json_t *event, struct tpo_error *err)
{
  struct tpo_session own = *session;
  size_t failures = 0;
  own.config = &w->settings;
  own.judge_dir = NULL;
  int status = tpo_score_samples(&own, samples, NULL, &failures, err);
  if (status == 0 && event) json_object_set_new(event, "failures", json_integer((json_int_t)failures));
  return status;
}

int watch_kind_score(const struct tpo_session *session, const struct watched *w, struct tpo_samples *samples,
                     json_t *event, struct tpo_error *err)
{
  if (w->entry->kind == TPO_WATCH_RULE) return score_rule(session, w, samples, event, err);
  if (!event) return 0;
  samples->is_scored = true;
  return w->entry->kind == TPO_WATCH_GSM8K ? score_questions(w, samples, event, err)
                                           : score_instructions(w, samples, event, err);
}
