/* `tpo eval gsm8k`: how many word problems a model's responses solve. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "cli/eval/responses.h"
#include "eval/provenance.h"
#include "eval/tasks/gsm8k.h"
#include "steps/room.h"

static const struct option options[] = {
    {"--prompts", 'p', "FILE", NULL,
     "GSM8K's rows: question and answer, which ends with #### and the number"},
    OPTION_MODEL,
    {"--prompting", 0, "WAY", NULL,
     "how the model is asked: direct (the default), thought, answer-only or shots:N"},
    {"--limit", 0, "N", NULL, "the first N questions alone"},
    OPTION_RESPONSES_OUT,
    {"--responses", 'r', "FILE", NULL, "responses, a line each: index (or question) and response"},
    {"--solutions", 0, "FILE", NULL,
     "labelled solutions, a line each: index and solution; the number behind the last \"A:\" counts"},
    OPTION_SAMPLES,
    OPTION_DETAILS,
    OPTION_SAVE,
    OPTIONS_DRAW,
    OPTION_END,
};

/* Responses of one model, and how they did. */
struct group {
  const char *model;
  struct tpo_samples samples;
  size_t first; /* of given.rows */
  struct eval_gsm8k score;
};
struct gsm8k {
  struct responses request;
  const char *way;
  struct eval_gsm8k_prompting prompting;
  struct eval_gsm8k_set set;
  struct eval_prompt *list; /* [set.n] */
  struct tpo_instructions instructions;
  struct eval_given given;
  struct drawn drawn;
  struct group *groups;
  size_t n_groups;
  json_t *provenance;
};

static bool is_solutions(const struct gsm8k *e)
{
  return e->request.option && strcmp(e->request.option, "--solutions") == 0;
}

/* Only asking for thoughts has a layout for them, and asking for the number alone where one is given. */
static int choose_thought(struct invocation *in, const struct gsm8k *e, struct tpo_error *err)
{
  bool given = option_value(in, "--thought") != NULL;
  if (e->prompting.way == EVAL_GSM8K_THOUGHT && strcmp(in->config.thought.name, "none") == 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo %s: --prompting thought needs a layout, and the thought is \"none\"",
                    in->command->name);
  if (e->prompting.way == EVAL_GSM8K_THOUGHT || (e->prompting.way == EVAL_GSM8K_ANSWER_ONLY && given))
    return 0;
  if (given && strcmp(in->config.thought.name, "none") != 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo %s: --prompting %s asks without a thought; --thought goes with thought "
                    "and answer-only",
                    in->command->name, e->way);
  return tpo_config_set_thought(&in->config, "none", "--prompting", err);
}

static int read_request(struct invocation *in, struct gsm8k *e, struct tpo_error *err)
{
  static const char *const others[] = {"--responses", "--solutions", NULL};
  const char *way = option_value(in, "--prompting");
  e->way = way ? way : "direct";
  int status = eval_gsm8k_prompting_parse(&e->prompting, e->way, err);
  if (status < 0) return tpo_fail_prefix(err, "tpo %s: --prompting", in->command->name);
  status = choose_thought(in, e, err);
  return status < 0 ? status : responses_request(in, others, &e->request, err);
}

static int check_room(const struct gsm8k *e, const struct tpo_config *config, struct tpo_error *err)
{
  struct prompt_room *room;
  int status = prompt_room_open(&room, config, NULL, err);
  for (size_t i = 0; i < e->instructions.n && status == 0; i++)
    if ((status = prompt_room_check(room, &e->instructions.items[i], err)) < 0)
      tpo_fail_prefix(err, "%s: question %s", e->request.prompts, e->instructions.items[i].id);
  prompt_room_close(room);
  return status;
}

/* This rank alone. */
static int read_questions(struct gsm8k *e, const struct tpo_config *config, struct tpo_error *err)
{
  int status = eval_gsm8k_read(&e->set, e->request.prompts, (size_t)e->request.limit, err);
  if (status == 0 && !(e->list = tpo_calloc(e->set.n, sizeof *e->list, err))) status = TPO_E_MEMORY;
  for (size_t i = 0; i < e->set.n && status == 0; i++)
    e->list[i] = (struct eval_prompt){e->set.rows[i].id, e->set.rows[i].question};
  if (status < 0 || e->request.option) return status;
  status = eval_gsm8k_ask(&e->set, e->prompting, &e->instructions, err);
  return status < 0 ? status : check_room(e, config, err);
}

/* Rank 0. */
static int read_responses(struct gsm8k *e, struct tpo_error *err)
{
  int status = responses_read(&e->request, is_solutions(e) ? "solution" : "response", e->list, e->set.n,
                              &e->given, err);
  if (status == 0) status = eval_provenance_file(e->provenance, e->request.option + 2, e->request.path, err);
  if (status == 0 && !(e->groups = tpo_calloc(e->given.n_models, sizeof *e->groups, err)))
    status = TPO_E_MEMORY;
  for (size_t i = 0; i < e->given.n_models && status == 0; i++) {
    struct group *group = &e->groups[e->n_groups];
    status = eval_given_samples(&e->given, i, &group->samples, &group->first, err);
    group->model = e->given.models[i];
    e->n_groups += status == 0 && group->samples.n > 0;
  }
  return status;
}

/* Rank 0. Takes what is drawn. */
static int take_drawn(struct gsm8k *e, struct tpo_error *err)
{
  int status = responses_write(&e->request, &e->drawn.samples, "index", "question", e->list, e->set.n, err);
  if (status < 0 || !(e->groups = tpo_calloc(1, sizeof *e->groups, err)))
    return status < 0 ? status : TPO_E_MEMORY;
  e->groups[0] = (struct group){.model = "", .samples = e->drawn.samples};
  e->drawn.samples = (struct tpo_samples){0};
  e->n_groups = 1;
  return 0;
}

static void append_verdict(struct tpo_buf *out, const struct gsm8k *e, const struct group *group, size_t row,
                           double final)
{
  const struct eval_gsm8k_verdict *verdict = &group->score.verdicts[row];
  int label = e->given.n > 0 ? e->given.rows[group->first + row].label : -1;
  tpo_buf_putc(out, '{');
  eval_append_id(out, "index", group->samples.rows[row].prompt_id);
  if (*group->model) {
    tpo_buf_puts(out, ",\"model\":");
    tpo_json_append_string(out, group->model, strlen(group->model));
  }
  tpo_buf_printf(out, ",\"k\":%d,\"extracted\":", group->samples.rows[row].k);
  tpo_json_append_double(out, verdict->answer.number);
  tpo_buf_printf(out, ",\"found_as\":\"%s\",\"final\":", eval_gsm8k_place_name(verdict->answer.place));
  tpo_json_append_double(out, final);
  tpo_buf_printf(out, ",\"correct\":%s", verdict->correct ? "true" : "false");
  if (label >= 0) tpo_buf_printf(out, ",\"is_correct\":%s", label ? "true" : "false");
  tpo_buf_puts(out, "}\n");
}

/* A line a response; is_correct is the label that the file gives. */
static int write_details(const struct gsm8k *e, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  for (size_t g = 0; g < e->n_groups; g++) {
    const struct tpo_samples *samples = &e->groups[g].samples;
    size_t at = 0;
    for (size_t i = 0; i < e->set.n; i++) {
      size_t first = tpo_samples_find(samples, e->set.rows[i].id, &at);
      size_t end = first < samples->n ? tpo_samples_prompt_end(samples, first) : first;
      for (size_t row = first; row < end; row++)
        append_verdict(&out, e, &e->groups[g], row, e->set.rows[i].final);
    }
  }
  int status = out.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for %s", e->request.details)
                          : tpo_write_file(e->request.details, out.data, out.len, err);
  tpo_buf_free(&out);
  return status;
}

static json_t *models_of(const struct gsm8k *e)
{
  json_t *list = json_array();
  for (size_t g = 0; g < e->n_groups; g++) {
    const struct eval_gsm8k *score = &e->groups[g].score;
    json_array_append_new(list,
                          json_pack("{s:s, s:f, s:o, s:I, s:I, s:I}", "model", e->groups[g].model, "accuracy",
                                    score->accuracy, "standard_error", number_or_null(score->standard_error),
                                    "n", (json_int_t)score->n, "correct", (json_int_t)score->n_correct,
                                    "no_answer", (json_int_t)score->no_answer));
  }
  return list;
}

/* How many of the labels that the file gives are the verdicts here. */
static json_t *agreement_of(const struct gsm8k *e)
{
  size_t n = 0, agree = 0;
  for (size_t g = 0; g < e->n_groups; g++)
    for (size_t i = 0; i < e->groups[g].samples.n && e->given.n > 0; i++) {
      int label = e->given.rows[e->groups[g].first + i].label;
      n += label >= 0;
      agree += label >= 0 && label == e->groups[g].score.verdicts[i].correct;
    }
  return n == 0 ? NULL : json_pack("{s:I, s:I}", "n", (json_int_t)n, "agree", (json_int_t)agree);
}

/* Over all models; the standard error is that of one, and missing are questions that one of them lacks. */
static struct eval_gsm8k total_of(const struct gsm8k *e)
{
  struct eval_gsm8k total = {.standard_error = e->n_groups == 1 ? e->groups[0].score.standard_error : NAN};
  for (size_t g = 0; g < e->n_groups; g++) {
    const struct eval_gsm8k *score = &e->groups[g].score;
    total.accuracy += score->accuracy * (double)score->n;
    total.n += score->n;
    total.n_responses += score->n_responses;
    total.n_correct += score->n_correct;
    if (score->missing > total.missing) total.missing = score->missing;
    total.unparsed += score->unparsed;
    total.no_answer += score->no_answer;
  }
  total.accuracy /= (double)total.n;
  return total;
}

static json_t *result_of(const struct gsm8k *e, const struct eval_gsm8k *total)
{
  json_t *result = json_pack(
      "{s:s, s:f, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "evaluation", "gsm8k", "accuracy",
      total->accuracy, "n", (json_int_t)total->n, "standard_error", number_or_null(total->standard_error),
      "correct", (json_int_t)total->n_correct, "n_responses", (json_int_t)total->n_responses, "no_answer",
      (json_int_t)total->no_answer, "unparsed", (json_int_t)total->unparsed, "missing",
      (json_int_t)total->missing, "unknown", (json_int_t)e->given.unknown, "text_differs",
      (json_int_t)e->given.text_differs, "resampled", (json_int_t)e->drawn.counts.resampled);
  json_t *agreement = agreement_of(e);
  if (isnan(total->standard_error))
    json_object_set_new(result, "standard_error_why",
                        json_string(e->n_groups > 1 ? "the responses are of several models, each with its own"
                                                    : "it takes two questions"));
  if (!e->request.option) json_object_set_new(result, "cut_off", json_integer((json_int_t)e->drawn.cut_off));
  json_object_set_new(result, "prompting", e->request.option ? json_null() : json_string(e->way));
  json_object_set_new(result, "answer_is",
                      json_string(is_solutions(e)
                                      ? "the number behind the last \"A:\""
                                      : "the last \\boxed{}, else what follows \"The answer is\", "
                                        "else the last number"));
  if (e->n_groups > 1) json_object_set_new(result, "models", models_of(e));
  if (agreement) json_object_set_new(result, "labels", agreement);
  json_object_set(result, "provenance", e->provenance);
  return result;
}

/* Rank 0, once the responses are there. */
static int finish(const struct invocation *in, struct gsm8k *e, struct tpo_error *err)
{
  int status = 0;
  eval_gsm8k_rule *rule = is_solutions(e) ? eval_gsm8k_of_solution : eval_gsm8k_of_text;
  for (size_t g = 0; g < e->n_groups && status == 0; g++)
    status = eval_gsm8k_score(&e->set, &e->groups[g].samples, rule, &e->groups[g].score, err);
  if (status < 0) return status;
  struct eval_gsm8k total = total_of(e);
  if (e->request.option) responses_tell(&e->request, e->set.n, total.missing, &e->given);
  if (*e->request.details) status = write_details(e, err);
  return status < 0 ? status : eval_finish(in, result_of(e, &total), err);
}

static int evaluate(struct cli_session *s, const struct invocation *in, void *state, struct tpo_error *err)
{
  struct gsm8k *e = state;
  bool asks = !e->request.option, first = cli_first_rank(s);
  int status = asks || first ? read_questions(e, &in->config, err) : 0;
  if (status == 0 && first && !(e->provenance = eval_provenance(&s->session, err))) status = TPO_E_MEMORY;
  if (status == 0 && first) status = eval_provenance_file(e->provenance, "prompts", e->request.prompts, err);
  if (status == 0 && !asks && first) status = read_responses(e, err);
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0 && asks)
    status = responses_draw(s, &e->request, &e->instructions, e->provenance, &e->drawn, err);
  if (status == 0 && asks && first) status = take_drawn(e, err);
  if (status == 0 && first) status = finish(in, e, err);
  return tpo_comm_agree(s->session.comm, status, err);
}

static void free_gsm8k(struct gsm8k *e)
{
  for (size_t g = 0; g < e->n_groups; g++) {
    tpo_samples_free(&e->groups[g].samples);
    eval_gsm8k_score_free(&e->groups[g].score);
  }
  free(e->groups);
  free(e->list);
  eval_gsm8k_free(&e->set);
  tpo_instructions_free(&e->instructions);
  eval_given_free(&e->given);
  tpo_samples_free(&e->drawn.samples);
  json_decref(e->provenance);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct gsm8k e = {0};
  char name[EVAL_NAME];
  int status = read_request(in, &e, err);
  eval_result_name("gsm8k", e.request.option ? NULL : e.way, name);
  status = responses_run(in, status, name, &e.request, evaluate, &e, err);
  free_gsm8k(&e);
  return status;
}

const struct command cmd_eval_gsm8k = {
    .name = "eval gsm8k",
    .arguments = "",
    .summary = "GSM8K: arithmetic word problems",
    .options = options,
    .needs_comm = true,
    .notes =
        "direct asks to work it out and end with the number, thought for a thought first in the layout of --thought,\n"
        "answer-only for the number alone, shots:N for a reply after N worked examples (1 to 8, this program's own).\n"
        "Only thought uses a layout; answer-only does where --thought is given too.\n"
        "The answer of a response, never of a thought, is the last number in the last \\boxed{} that closes, else the\n"
        "first behind the last \"The answer is\" (or \"The final answer is\"; where that sentence has an \"=\", the first\n"
        "behind its last), else the last number of the text. Thousands separators, $, % and _ are passed over, 18.00\n"
        "is 18, a fraction is two numbers, an ordinal (3rd) none. Questions without a response don't count (missing),\n"
        "nor do responses to others (unknown); both are warned of, and so is an index beside another question than its own\n"
        "(text_differs), which is refused in more than half of the rows.",
    .run = run,
};
