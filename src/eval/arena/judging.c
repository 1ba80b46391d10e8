/* Games are asked for, and once more where nothing came of them. */
#include "eval/arena/judging.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/verdicts.h"
#include "eval/arena/prompt.h"
#include "judge/judge.h"
#include "steps/counts.h"

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for games");
}

int arena_judging_check(const struct tpo_judge_config *config, struct tpo_error *err)
{
  static const char *const names[] = {"instruction", "response_a", "response_b"};
  const char *preset = config->verdicts.preset;
  if (judge_given(config->pattern))
    return tpo_fail(err, TPO_E_USAGE,
                    "judge.pattern doesn't go with Arena-Hard, whose labels have a pattern of their own");
  if (config->verdicts.n > 0 || (preset && strcmp(preset, "arena-hard") != 0))
    return tpo_fail(err, TPO_E_USAGE, "judge.verdicts: Arena-Hard has its own, arena-hard");
  return judge_texts_check(config, names, 3, err);
}

static int open_texts(struct arena_judging *j, const struct tpo_judge_config *config, struct tpo_error *err)
{
  struct tpo_buf prompt = {0};
  tpo_buf_printf(&prompt, "%s%s", arena_question, config_verdict_preset("arena-hard")->ask);
  int status =
      prompt.failed ? no_memory(err) : judge_texts_open(&j->texts, config, arena_system, prompt.data, err);
  if (status == 0) status = arena_reader_open(&j->reader, config, err);
  tpo_buf_free(&prompt);
  return status;
}

/* The two questions of a contest. */
static int write_questions(const struct arena_judging *j, const struct tpo_instruction *item,
                           const char *model, const char *baseline, struct arena_contest *contest,
                           struct tpo_error *err)
{
  const struct tpo_judge_item asked = {.id = item->id, .instruction = item->instruction, .meta = item->meta};
  char *instruction = judge_instruction_text(&asked, err);
  if (!instruction) return err->code;
  for (int game = 0; game < ARENA_GAMES; game++) {
    const struct judge_field fields[] = {{"instruction", instruction},
                                         {"response_a", game == 0 ? baseline : model},
                                         {"response_b", game == 0 ? model : baseline}};
    contest->games[game].asked = judge_prompt_fill(j->texts.prompt, fields, 3);
  }
  free(instruction);
  return contest->games[0].asked && contest->games[1].asked ? 0 : no_memory(err);
}

static int match(struct arena_judging *j, const struct tpo_instructions *questions,
                 const struct arena_answers *model, const struct arena_answers *baseline,
                 struct tpo_error *err)
{
  int status = 0;
  j->contests = tpo_calloc(questions->n, sizeof *j->contests, err);
  if (!j->contests) return TPO_E_MEMORY;
  for (size_t i = 0; i < questions->n && status == 0; i++) {
    const struct tpo_instruction *item = &questions->items[i];
    const struct arena_answer *a = arena_answer_of(model, item->id), *b = arena_answer_of(baseline, item->id);
    j->without_answer += !a;
    j->without_baseline += !b;
    if (!a || !b) continue;
    struct arena_contest *contest = &j->contests[j->n++];
    contest->id = item->id;
    status = write_questions(j, item, a->text, b->text, contest, err);
  }
  if (status == 0 && j->n == 0)
    status = tpo_fail(
        err, TPO_E_INPUT,
        "none of the %zu questions has an answer of both %.200s and %.200s: are the files of one benchmark?",
        questions->n, model->model, baseline->model);
  return status;
}

int arena_judging_open(struct arena_judging **out, const struct tpo_judge_config *config,
                       const struct tpo_instructions *questions, const struct arena_answers *model,
                       const struct arena_answers *baseline, struct tpo_error *err)
{
  struct arena_judging *j = tpo_calloc(1, sizeof *j, err);
  *out = NULL;
  if (!j) return TPO_E_MEMORY;
  int status = strcmp(model->model, baseline->model) != 0
                   ? open_texts(j, config, err)
                   : tpo_fail(err, TPO_E_INPUT, "both files' answers are of %.200s", model->model);
  if (status == 0) status = match(j, questions, model, baseline, err);
  if (status == 0)
    *out = j;
  else
    arena_judging_close(j);
  return status;
}

void arena_judging_close(struct arena_judging *j)
{
  if (!j) return;
  for (size_t i = 0; i < j->n; i++)
    for (int game = 0; game < ARENA_GAMES; game++) {
      free(j->contests[i].games[game].asked);
      free(j->contests[i].games[game].judgment);
    }
  free(j->contests);
  arena_reader_close(&j->reader);
  judge_texts_close(&j->texts);
  free(j->why);
  json_decref(j->counts);
  free(j);
}

/* A round of questions, of some of the games. */
struct round {
  struct eval_question *questions; /* [n]; keys are owned */
  size_t *games;                   /* [n] contest * ARENA_GAMES + game */
  char **answered;                 /* [n] what the judge said before; NULL: nothing */
  struct ask_answer *answers;      /* [n] on rank 0 */
  size_t n;
};

static void close_round(struct round *round)
{
  for (size_t i = 0; i < round->n; i++) {
    if (round->questions) free((char *)round->questions[i].key);
    if (round->answered) free(round->answered[i]);
  }
  eval_answers_free(round->answers, round->n);
  free(round->questions);
  free(round->games);
  free(round->answered);
}

/* close_round also after an error. */
static int open_round(struct round *round, size_t n, bool first_rank, struct tpo_error *err)
{
  *round = (struct round){.questions = tpo_calloc(n, sizeof *round->questions, err),
                          .games = tpo_calloc(n, sizeof *round->games, err),
                          .answered = tpo_calloc(n, sizeof *round->answered, err),
                          .n = n};
  if (first_rank) round->answers = tpo_calloc(n, sizeof *round->answers, err);
  return round->questions && round->games && round->answered && (round->answers || !first_rank)
             ? 0
             : TPO_E_MEMORY;
}

static struct arena_game *game_of(const struct arena_judging *j, size_t at)
{
  return &j->contests[at / ARENA_GAMES].games[at % ARENA_GAMES];
}

/* Takes answered. */
static int set_question(const struct arena_judging *j, struct round *round, size_t i, size_t at,
                        char *answered, struct tpo_error *err)
{
  struct tpo_buf key = {0};
  tpo_buf_printf(&key, "%s.%zu%s", j->contests[at / ARENA_GAMES].id, at % ARENA_GAMES + 1,
                 answered ? "+" : "");
  round->games[i] = at;
  round->answered[i] = answered;
  round->questions[i] = (struct eval_question){.key = tpo_buf_take(&key),
                                               .ask = {.system = j->texts.system,
                                                       .user = game_of(j, at)->asked,
                                                       .answered = answered,
                                                       .follow_up = answered ? arena_go_on : NULL}};
  return round->questions[i].key ? 0 : no_memory(err);
}

static int begin_first(const struct arena_judging *j, struct round *round, bool first_rank,
                       struct tpo_error *err)
{
  int status = open_round(round, j->n * ARENA_GAMES, first_rank, err);
  for (size_t at = 0; at < round->n && status == 0; at++) status = set_question(j, round, at, at, NULL, err);
  return status;
}

/* Adds what the judge said to what it said before, and reads all of it. *again: it has no label. */
static int hear(struct arena_judging *j, struct arena_game *game, const struct ask_answer *answer,
                bool *again, struct tpo_error *err)
{
  struct tpo_buf all = {0};
  tpo_buf_printf(&all, "%s\n%s", game->judgment ? game->judgment : "", answer->text);
  free(game->judgment);
  game->judgment = tpo_buf_take(&all);
  if (!game->judgment) return no_memory(err);
  int reading = arena_read_verdict(&j->reader, game->judgment, game->label, err);
  j->cut_off += answer->cut_off;
  j->contradicted += reading == ARENA_CONTRADICTED;
  *again = reading == ARENA_WITHOUT;
  return reading < 0 ? reading : 0;
}

static int keep_reason(struct arena_judging *j, const char *why, struct tpo_error *err)
{
  if (!j->why && !(j->why = strdup(why))) return no_memory(err);
  return 0;
}

static void put_number(struct tpo_buf *out, uint64_t number)
{
  tpo_buf_append(out, &number, sizeof number);
}

/* Rank 0, after the first round: those to ask again, as numbers (game, length) and texts. */
static int hear_first(struct arena_judging *j, const struct round *round, struct tpo_buf *again,
                      struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < round->n && status == 0; i++) {
    const struct ask_answer *answer = &round->answers[i];
    bool without = false;
    if (answer->ok)
      status = hear(j, game_of(j, round->games[i]), answer, &without, err);
    else
      status = keep_reason(j, answer->text, err);
    j->failed += !answer->ok;
    if (!without) continue;
    put_number(again, round->games[i]);
    put_number(again, strlen(answer->text));
    tpo_buf_append(again, answer->text, strlen(answer->text));
    j->asked_again++;
  }
  for (size_t i = 0; i + 1 < round->n; i += ARENA_GAMES)
    j->failed_contests += !round->answers[i].ok || !round->answers[i + 1].ok;
  return status == 0 && again->failed ? no_memory(err) : status;
}

static int hear_second(struct arena_judging *j, const struct round *round, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < round->n && status == 0; i++) {
    bool without;
    const struct ask_answer *answer = &round->answers[i];
    if (answer->ok)
      status = hear(j, game_of(j, round->games[i]), answer, &without, err);
    else
      status = keep_reason(j, answer->text, err);
    j->failed_again += !answer->ok;
  }
  return status;
}

static uint64_t take_number(const char **at)
{
  uint64_t number;
  memcpy(&number, *at, sizeof number);
  *at += sizeof number;
  return number;
}

/* bytes: rank 0's, what hear_first wrote. */
static int begin_second(const struct arena_judging *j, struct round *round, const char *bytes, size_t len,
                        bool first_rank, struct tpo_error *err)
{
  size_t n = 0;
  for (const char *at = bytes; at < bytes + len; n++) {
    take_number(&at);
    at += take_number(&at);
  }
  int status = open_round(round, n, first_rank, err);
  for (size_t i = 0; i < n && status == 0; i++) {
    size_t game = take_number(&bytes), length = take_number(&bytes);
    char *answered = strndup(bytes, length);
    bytes += length;
    status = answered ? set_question(j, round, i, game, answered, err) : no_memory(err);
  }
  return status;
}

struct asking_of {
  struct arena_judging *judging;
  const struct tpo_session *session;
  struct eval_asking options;
  bool first_rank;
};

/* All ranks; status: of what this rank did before. */
static int ask(struct asking_of *a, struct round *round, int status, struct tpo_error *err)
{
  json_t *counts = NULL;
  status = tpo_comm_agree(a->session->comm, status, err);
  if (status == 0)
    status = eval_ask(a->session, round->questions, round->n, &a->options, round->answers, &counts, err);
  if (status == 0 && counts) { /* rank 0's: of two rounds, added up */
    if (!a->judging->counts) a->judging->counts = json_object();
    if (!a->judging->counts) status = no_memory(err);
    counts_add(a->judging->counts, counts);
  }
  json_decref(counts);
  return status;
}

static int ask_second(struct asking_of *a, struct tpo_buf *again, struct tpo_error *err)
{
  struct tpo_comm *comm = a->session->comm;
  struct round round = {0};
  void *bytes = again->data;
  int status = tpo_comm_bcast_bytes(comm, &bytes, &again->len, 0, err);
  again->data = bytes;
  if (status == 0 && again->len == 0) return 0;
  if (status == 0) {
    status = begin_second(a->judging, &round, again->data, again->len, a->first_rank, err);
    a->options.what = "judging again";
    status = ask(a, &round, status, err);
  }
  if (status == 0 && a->first_rank) status = hear_second(a->judging, &round, err);
  close_round(&round);
  return tpo_comm_agree(comm, status, err);
}

/* Rank 0. */
static int settle(struct arena_judging *j, const struct tpo_judge_config *config, const char *journal,
                  struct tpo_error *err)
{
  for (size_t i = 0; i < j->n * ARENA_GAMES; i++)
    j->without += game_of(j, i)->judgment && !*game_of(j, i)->label;
  return eval_check_failed(config, j->failed_contests, j->n, "questions", j->why, journal, err);
}

int arena_judging_ask(struct arena_judging *j, const struct tpo_session *session, const char *journal,
                      struct tpo_error *err)
{
  struct asking_of a = {.judging = j,
                        .session = session,
                        .options = {.what = "judging", .journal = journal, .work = "evaluation: arena\n"},
                        .first_rank = tpo_comm_rank(session->comm) == 0};
  struct tpo_buf again = {0};
  struct round round = {0};
  int status = ask(&a, &round, begin_first(j, &round, a.first_rank, err), err);
  if (status == 0 && a.first_rank) status = hear_first(j, &round, &again, err);
  close_round(&round);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0) status = ask_second(&a, &again, err);
  if (status == 0 && a.first_rank) status = settle(j, &session->config->judge, journal, err);
  tpo_buf_free(&again);
  return tpo_comm_agree(session->comm, status, err);
}

int arena_judging_battles(const struct arena_judging *j, const char *model, const char *baseline,
                          struct arena_battles *battles, struct tpo_error *err)
{
  int32_t a, b;
  int status = arena_model_of(battles, baseline, &a, err);
  if (status == 0) status = arena_model_of(battles, model, &b, err);
  for (size_t i = 0; i < j->n * ARENA_GAMES && status == 0; i++) {
    const char *label = game_of(j, i)->label;
    status = arena_add_game(battles, a, b, (int)(i % ARENA_GAMES), *label ? label : NULL, err);
  }
  return status;
}
