/* `tpo score`: a reward model's scores of chats or token ids, line by line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "cli/session.h"
#include "config/judge_kinds.h"
#include "judge/reward.h"

/* Lines that are scored together. */
enum { LINES_AT_ONCE = 1024, TOKENS_AT_ONCE = 1 << 18 };

static const struct option options[] = {
    {"--judge", 'j', "reward:DIR", "judge.kind", "the reward model's folder"},
    OPTION_DTYPE,
    OPTION_END,
};

struct scorer {
  const char *folder;
  struct tpo_reward *reward;
  struct tpo_tokenizer *tokenizer; /* opened by the first line that needs it */
  struct tpo_template *tmpl;

  size_t n, tokens; /* lines that wait, and their tokens */
  struct tpo_ids ids[LINES_AT_ONCE];
  uint64_t lines[LINES_AT_ONCE]; /* their numbers */
};

static int read_ids(const json_t *array, struct tpo_ids *out, struct tpo_error *err)
{
  size_t n = json_array_size(array);
  if (n == 0) return tpo_fail(err, TPO_E_INPUT, "\"ids\" must be an array of at least one token id");
  for (size_t i = 0; i < n; i++) {
    const json_t *id = json_array_get(array, i);
    json_int_t value = json_integer_value(id);
    if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
      return tpo_fail(err, TPO_E_INPUT, "ids[%zu] is not a token id", i);
    int32_t narrow = (int32_t)value;
    int status = tpo_ids_append(out, &narrow, 1, err);
    if (status < 0) return status;
  }
  return 0;
}

static int need_text(struct scorer *s, struct tpo_error *err)
{
  if (s->tmpl) return 0;
  int status = s->tokenizer ? 0 : tpo_tokenizer_open(&s->tokenizer, s->folder, err);
  return status < 0 ? status : tpo_template_open(&s->tmpl, s->tokenizer, NULL, err);
}

/* chat: the line's messages in the one form; NULL where it has none. */
static int read_line(struct scorer *s, const json_t *root, const json_t *chat, struct tpo_ids *out,
                     struct tpo_error *err)
{
  const json_t *ids = json_object_get(root, "ids"), *messages = json_object_get(root, "messages");
  if (!ids == !messages)
    return tpo_fail(err, TPO_E_INPUT, "expected {\"messages\": [...]} or {\"ids\": [...]}");
  if (ids) return read_ids(ids, out, err);
  int status = need_text(s, err);
  return status < 0 ? status : judge_reward_encode_chat(s->tmpl, chat, NULL, out, err);
}

static int add_line(struct scorer *s, const struct tpo_lines *lines, struct tpo_error *err)
{
  char place[64];
  snprintf(place, sizeof place, "standard input:%llu", (unsigned long long)lines->number);
  json_t *root = tpo_json_parse(lines->line.data, lines->line.len, place, err);
  if (!root) return TPO_E_INPUT;
  struct tpo_ids *ids = &s->ids[s->n];
  *ids = (struct tpo_ids){0};
  const json_t *messages = json_object_get(root, "messages");
  json_t *chat = messages ? tpo_chat_read(messages, "messages", place, err) : NULL;
  if (messages && !chat) {
    json_decref(root);
    return err->code;
  }
  int status = read_line(s, root, chat, ids, err);
  json_decref(chat);
  json_decref(root);
  if (status < 0) {
    tpo_ids_free(ids);
    return tpo_fail_prefix(err, "%s", place);
  }
  s->lines[s->n++] = lines->number;
  s->tokens += ids->n;
  return 0;
}

static void print_numbers(struct tpo_buf *out, const char *name, const double *values, int n)
{
  tpo_buf_printf(out, ",\"%s\":", name);
  for (int i = 0; i < n; i++) {
    tpo_buf_putc(out, i ? ',' : '[');
    tpo_json_append_double(out, values[i]);
  }
  tpo_buf_putc(out, ']');
}

static int print_result(const struct scorer *s, const struct tpo_reward_result *result, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  int n = tpo_reward_objectives(s->reward);
  tpo_buf_puts(&out, "{\"score\":");
  tpo_json_append_double(&out, result->score);
  if (tpo_reward_normalises(s->reward)) {
    tpo_buf_puts(&out, ",\"raw\":");
    tpo_json_append_double(&out, result->raw);
  }
  if (n > 0) {
    print_numbers(&out, "objectives", result->objectives, n);
    print_numbers(&out, "gating", result->gating, n);
  }
  tpo_buf_putc(&out, '}');
  int status = out.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for a line of scores") : 0;
  if (status == 0) puts(out.data);
  tpo_buf_free(&out);
  return status;
}

/* Scores the lines that wait and prints them, up to one that can't be scored. */
static int flush(struct scorer *s, struct tpo_error *err)
{
  struct tpo_reward_text *texts = tpo_calloc(s->n, sizeof *texts, err);
  struct tpo_reward_result *results = tpo_calloc(s->n, sizeof *results, err);
  int status = texts && results ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; status == 0 && i < s->n; i++)
    texts[i] = (struct tpo_reward_text){.ids = s->ids[i].ids, .n = s->ids[i].n};
  if (status == 0 && s->n > 0) status = tpo_reward_score(s->reward, texts, s->n, results, err);
  for (size_t i = 0; status == 0 && i < s->n; i++)
    status = results[i].ok ? print_result(s, &results[i], err)
                           : tpo_fail(err, TPO_E_INPUT, "standard input:%llu: %s",
                                      (unsigned long long)s->lines[i], results[i].why);
  for (size_t i = 0; i < s->n; i++) tpo_ids_free(&s->ids[i]);
  s->n = s->tokens = 0;
  free(texts);
  free(results);
  return status;
}

/* A bad line ends it, after the lines before it are scored. */
static int score_all(struct scorer *s, struct tpo_error *err)
{
  struct tpo_lines lines;
  struct tpo_error problem = {0};
  int status = tpo_lines_open(&lines, "-", err), bad = 0;
  if (status < 0) return status;
  while (status == 0 && (bad = tpo_lines_next(&lines, &problem)) > 0) {
    if (lines.line.len == 0) continue;
    if ((bad = add_line(s, &lines, &problem)) < 0) break;
    if (s->n == LINES_AT_ONCE || s->tokens >= TOKENS_AT_ONCE) status = flush(s, err);
  }
  if (status == 0) status = flush(s, err);
  if (status == 0 && bad < 0) status = tpo_fail(err, bad, "%s", problem.message);
  for (size_t i = 0; i < s->n; i++) tpo_ids_free(&s->ids[i]);
  tpo_lines_close(&lines);
  return status;
}

static int find_folder(const struct invocation *in, const char **folder, struct tpo_error *err)
{
  const char *judge = in->config.judge.kind ? in->config.judge.kind : "";
  bool rewards = config_judge_kind(judge, folder) == JUDGE_KIND_REWARD;
  if (rewards && *folder && **folder) return 0;
  return tpo_fail(err, TPO_E_USAGE,
                  "tpo score: --judge reward:DIR is required: the folder of a reward model");
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session session;
  const char *folder;
  int status = find_folder(in, &folder, err);
  if (status == 0) status = cli_session_open(&session, in, err);
  if (status < 0) return status;
  struct tpo_reward_options model = {.backend = session.session.backend,
                                     .dtype = in->config.model.dtype,
                                     .head = in->config.judge.head,
                                     .batch_tokens = in->config.judge.batch_tokens};
  struct scorer *s = tpo_calloc(1, sizeof *s, err);
  status = s ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    s->folder = folder;
    status = tpo_reward_open(&s->reward, folder, &model, err);
    if (status == 0) status = score_all(s, err);
    tpo_reward_close(s->reward);
    tpo_template_close(s->tmpl);
    tpo_tokenizer_close(s->tokenizer);
  }
  free(s);
  cli_session_close(&session);
  return status;
}

const struct command cmd_score = {
    .name = "score",
    .arguments = "",
    .summary = "a reward model's scores of chats or token ids, JSON Lines in and out",
    .options = options,
    .run = run,
    .notes =
        "Reads {\"messages\": [...]} or {\"ids\": [...]} a line and writes {\"score\": x}; an ArmoRM adds its\n"
        "\"objectives\" and their \"gating\". A message's content is a string, or a list of parts\n"
        "{\"type\": \"text\", \"text\": ...}. Lines that begin alike and follow each other are cheap.",
};
