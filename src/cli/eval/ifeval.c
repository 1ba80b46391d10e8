/* `tpo eval ifeval`: how many verifiable instructions a model's responses follow. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "checks/checks.h"
#include "cli/eval/responses.h"
#include "eval/provenance.h"
#include "eval/tasks/ifeval.h"
#include "steps/room.h"

static const struct option options[] = {
    {"--prompts", 'p', "FILE", NULL, "IFEval's input_data.jsonl, or any instructions with checks"},
    {"--limit", 0, "N", NULL, "the first N prompts alone"},
    {"--responses", 'r', "FILE", NULL, "responses, a line each: prompt (or key, id) and response"},
    OPTION_SAMPLES,
    OPTION_MODEL,
    OPTION_RESPONSES_OUT,
    OPTION_DETAILS,
    OPTION_SAVE,
    OPTIONS_DRAW,
    OPTION_END,
};

struct ifeval {
  struct responses request;
  struct tpo_instructions prompts;
  struct eval_prompt *list; /* [prompts.n] */
  struct eval_given given;  /* where responses are read */
  struct drawn drawn;       /* its samples hold what is read, too */
  json_t *provenance;
};

/* The first prompts alone need room: the others are not asked. */
struct first {
  struct prompt_room *room; /* NULL: none is asked */
  int64_t limit, seen;      /* limit 0: all */
};

static int check_first(void *arg, const struct tpo_instruction *item, struct tpo_error *err)
{
  struct first *first = arg;
  bool beyond = first->limit > 0 && first->seen++ >= first->limit;
  return beyond || !first->room ? 0 : prompt_room_check(first->room, item, err);
}

/* This rank alone. */
static int read_prompts(struct ifeval *e, const struct tpo_config *config, struct tpo_error *err)
{
  struct first first = {.limit = e->request.limit};
  bool asks = !e->request.option;
  int status = asks ? prompt_room_open(&first.room, config, NULL, err) : 0;
  if (status == 0)
    status = tpo_instructions_read_checked(&e->prompts, e->request.prompts, 0, check_first, &first, err);
  prompt_room_close(first.room);
  if (first.limit > 0 && (size_t)first.limit < e->prompts.n) e->prompts.n = (size_t)first.limit;
  if (status == 0 && (status = eval_ifeval_check(&e->prompts, err)) < 0)
    return tpo_fail_prefix(err, "%s", e->request.prompts);
  if (status == 0 && !(e->list = tpo_calloc(e->prompts.n, sizeof *e->list, err))) status = TPO_E_MEMORY;
  for (size_t i = 0; i < e->prompts.n && status == 0; i++)
    e->list[i] = (struct eval_prompt){e->prompts.items[i].id, e->prompts.items[i].instruction};
  return status;
}

/* Rank 0. */
static int read_responses(struct ifeval *e, struct tpo_error *err)
{
  size_t first;
  int status = responses_read(&e->request, "response", e->list, e->prompts.n, &e->given, err);
  if (status == 0 && e->given.n_models > 1)
    return tpo_fail(err, TPO_E_INPUT, "%s: holds responses of %zu models (\"model\"); expected those of one",
                    e->request.path, e->given.n_models);
  if (status == 0) status = eval_given_samples(&e->given, 0, &e->drawn.samples, &first, err);
  return status < 0 ? status
                    : eval_provenance_file(e->provenance, e->request.option + 2, e->request.path, err);
}

static void append_list(struct tpo_buf *out, const struct eval_ifeval *score, size_t row, bool loose)
{
  const struct eval_ifeval_response *response = &score->responses[row];
  const char *suffix = loose ? "_loose" : "";
  bool all = loose ? response->all_loose : response->all_strict;
  tpo_buf_printf(out, ",\"follow_all_instructions%s\":%s,\"follow_instruction_list%s\":[", suffix,
                 all ? "true" : "false", suffix);
  for (size_t i = 0; i < response->n; i++) {
    const struct eval_ifeval_verdict *verdict = &score->verdicts[response->first + i];
    tpo_buf_printf(out, "%s%s", i ? "," : "", (loose ? verdict->loose : verdict->strict) ? "true" : "false");
  }
  tpo_buf_putc(out, ']');
}

static void append_types(struct tpo_buf *out, const char *meta)
{
  json_t *checks = checks_of_meta(meta, NULL), *check;
  size_t i;
  tpo_buf_puts(out, ",\"instruction_id_list\":[");
  json_array_foreach(checks, i, check)
  {
    const char *type = json_string_value(json_object_get(check, "type"));
    if (i) tpo_buf_putc(out, ',');
    tpo_json_append_string(out, type, strlen(type));
  }
  tpo_buf_putc(out, ']');
  json_decref(checks);
}

static void append_text(struct tpo_buf *out, const char *name, const char *text)
{
  tpo_buf_printf(out, ",\"%s\":", name);
  tpo_json_append_string(out, text, strlen(text));
}

/* A line a response, under the public tool's names; what it says of the loose reading has _loose behind them. */
static int write_details(const struct ifeval *e, const struct eval_ifeval *score, struct tpo_error *err)
{
  const struct tpo_samples *samples = &e->drawn.samples;
  struct tpo_buf out = {0};
  size_t at = 0;
  for (size_t i = 0; i < e->prompts.n; i++) {
    const struct tpo_instruction *prompt = &e->prompts.items[i];
    size_t first = tpo_samples_find(samples, prompt->id, &at);
    size_t end = first < samples->n ? tpo_samples_prompt_end(samples, first) : first;
    for (size_t row = first; row < end; row++) {
      tpo_buf_putc(&out, '{');
      eval_append_id(&out, "key", prompt->id);
      tpo_buf_printf(&out, ",\"k\":%d", samples->rows[row].k);
      append_text(&out, "prompt", prompt->instruction);
      append_text(&out, "response", samples->rows[row].response);
      append_types(&out, prompt->meta);
      append_list(&out, score, row, false);
      append_list(&out, score, row, true);
      tpo_buf_puts(&out, "}\n");
    }
  }
  int status = out.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for %s", e->request.details)
                          : tpo_write_file(e->request.details, out.data, out.len, err);
  tpo_buf_free(&out);
  return status;
}

static json_t *types_of(const struct eval_ifeval *score)
{
  json_t *list = json_array();
  for (size_t i = 0; i < score->n_types; i++) {
    const struct eval_ifeval_type *type = &score->types[i];
    json_array_append_new(list,
                          json_pack("{s:s, s:I, s:I, s:I}", "type", type->name, "n", (json_int_t)type->n,
                                    "strict", (json_int_t)type->strict, "loose", (json_int_t)type->loose));
  }
  return list;
}

static size_t unparsed_of(const struct tpo_samples *samples)
{
  size_t n = 0;
  for (size_t i = 0; i < samples->n; i++) n += !samples->rows[i].format_ok;
  return n;
}

static json_t *result_of(const struct ifeval *e, const struct eval_ifeval *score)
{
  json_t *result =
      json_pack("{s:s, s:f, s:f, s:f, s:f, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
                "evaluation", "ifeval", "prompt_strict", score->prompt_strict, "instruction_strict",
                score->instruction_strict, "prompt_loose", score->prompt_loose, "instruction_loose",
                score->instruction_loose, "prompt_strict_error", number_or_null(score->prompt_strict_error),
                "prompt_loose_error", number_or_null(score->prompt_loose_error), "n_prompts",
                (json_int_t)score->n_prompts, "n_instructions", (json_int_t)score->n_instructions,
                "n_responses", (json_int_t)score->n_responses, "missing", (json_int_t)score->missing,
                "unknown", (json_int_t)e->given.unknown, "text_differs", (json_int_t)e->given.text_differs,
                "empty", (json_int_t)score->empty, "unparsed", (json_int_t)unparsed_of(&e->drawn.samples),
                "resampled", (json_int_t)e->drawn.counts.resampled, "given_up", (json_int_t)score->given_up,
                "types", types_of(score));
  if (isnan(score->prompt_strict_error))
    json_object_set_new(result, "error_why", json_string("a standard error takes two prompts"));
  if (!e->request.option) json_object_set_new(result, "cut_off", json_integer((json_int_t)e->drawn.cut_off));
  json_object_set(result, "provenance", e->provenance);
  return result;
}

/* Rank 0, once the responses are there. */
static int finish(const struct invocation *in, struct ifeval *e, struct tpo_error *err)
{
  struct eval_ifeval score = {0};
  int status = eval_ifeval_score(&e->prompts, &e->drawn.samples, &score, err);
  if (status == 0 && e->request.option) responses_tell(&e->request, e->prompts.n, score.missing, &e->given);
  if (status == 0 && *e->request.details) status = write_details(e, &score, err);
  if (status == 0) status = eval_finish(in, result_of(e, &score), err);
  eval_ifeval_free(&score);
  return status;
}

static int evaluate(struct cli_session *s, const struct invocation *in, void *state, struct tpo_error *err)
{
  struct ifeval *e = state;
  bool asks = !e->request.option, first = cli_first_rank(s);
  int status = asks || first ? read_prompts(e, &in->config, err) : 0;
  if (status == 0 && first && !(e->provenance = eval_provenance(&s->session, err))) status = TPO_E_MEMORY;
  if (status == 0 && first) status = eval_provenance_file(e->provenance, "prompts", e->request.prompts, err);
  if (status == 0 && !asks && first) status = read_responses(e, err);
  status = tpo_comm_agree(s->session.comm, status, err);
  if (status == 0 && asks)
    status = responses_draw(s, &e->request, &e->prompts, e->provenance, &e->drawn, err);
  if (status == 0 && asks && first)
    status = responses_write(&e->request, &e->drawn.samples, "key", "prompt", e->list, e->prompts.n, err);
  if (status == 0 && first) status = finish(in, e, err);
  return tpo_comm_agree(s->session.comm, status, err);
}

static void free_ifeval(struct ifeval *e)
{
  tpo_instructions_free(&e->prompts);
  free(e->list);
  eval_given_free(&e->given);
  tpo_samples_free(&e->drawn.samples);
  json_decref(e->provenance);
}

static int read_request(struct invocation *in, struct ifeval *e, struct tpo_error *err)
{
  static const char *const others[] = {"--responses", NULL};
  return responses_request(in, others, &e->request, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct ifeval e = {0};
  int status = read_request(in, &e, err);
  status = responses_run(in, status, "ifeval", &e.request, evaluate, &e, err);
  free_ifeval(&e);
  return status;
}

const struct command cmd_eval_ifeval = {
    .name = "eval ifeval",
    .arguments = "",
    .summary = "IFEval: verifiable instructions, strict and loose",
    .options = options,
    .needs_comm = true,
    .notes =
        "Responses are matched with prompts by key (or id), else by the prompt's text. Prompts without a response don't\n"
        "count (missing), nor do responses to other prompts (unknown); both are warned of, and so is a prompt's key\n"
        "beside another text (text_differs), which is refused in more than half of the rows. Two responses to a prompt\n"
        "need different numbers k, and a prompt then counts with the share of them that follow all its instructions.\n"
        "A response that is empty follows nothing. Of a model the response is taken, never the thought.\n"
        "The details are IFEval's: follow_all_instructions and follow_instruction_list, and the same of the loose\n"
        "reading with _loose behind them.",
    .run = run,
};
