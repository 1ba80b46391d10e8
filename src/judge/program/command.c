/* The judge that is a program of the user's: a request line a prompt, an answer line a prompt. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "judge/identity.h"
#include "judge/judge.h"
#include "judge/program/process.h"

struct command {
  const char *line; /* borrowed from the configuration */
  struct judge_process *process;
  json_int_t prompts, responses, failed; /* sent, and of these without a score */
  struct tpo_watch watch;
};

/* The words of the command and the file to execute. */
static int find_program(const char *argument, char ***words, char file[4096], struct tpo_error *err)
{
  *words = judge_command_words(argument ? argument : "", err);
  int status = *words ? judge_command_find(**words, file, err) : TPO_E_USAGE;
  if (status < 0) tpo_fail_prefix(err, "judge.kind, command");
  return status;
}

static int command_check(const char *argument, const struct tpo_judge_config *config, struct tpo_error *err)
{
  char **words, file[4096];
  (void)config;
  int status = find_program(argument, &words, file, err);
  free(words);
  return status;
}

/* The program and, since it may be an interpreter, the files among its arguments. */
static int command_identify(const char *argument, const struct tpo_judge_config *config, struct tpo_buf *out,
                            struct tpo_error *err)
{
  char **words, file[4096];
  (void)config;
  int status = find_program(argument, &words, file, err);
  if (status == 0) status = judge_identify_program(file, out, err);
  for (char **word = words; status == 0 && *++word;)
    if (tpo_is_regular(*word)) status = judge_identify_program(*word, out, err);
  free(words);
  return status;
}

/* Puts the command before a message. */
static int name_program(const struct command *command, struct tpo_error *err)
{
  return tpo_fail_prefix(err, "judge program '%.100s%s'", command->line,
                         strlen(command->line) > 100 ? "..." : "");
}

static int command_open(void **state, const char *argument, const struct tpo_judge_config *config,
                        const struct tpo_judge_env *env, struct tpo_error *err)
{
  char **words = NULL, file[4096];
  struct command *command = tpo_calloc(1, sizeof *command, err);
  if (!command) return TPO_E_MEMORY;
  command->line = argument;
  command->watch = env->watch;
  int status = find_program(argument, &words, file, err);
  if (status == 0) {
    struct judge_process_options options = {
        .file = file, .words = words, .hidden_variable = config->key_env, .timeout = config->timeout};
    status = judge_process_start(&command->process, &options, err);
    if (status < 0) name_program(command, err);
  }
  free(words);
  if (status < 0)
    free(command);
  else
    *state = command;
  return status;
}

static void command_close(void *state)
{
  struct command *command = state;
  judge_process_close(command->process);
  free(command);
}

static struct tpo_judge_cost command_cost(const struct tpo_judge_config *config,
                                          const struct tpo_judge_item *item, int k, int comparisons)
{
  (void)config, (void)item, (void)k, (void)comparisons;
  return (struct tpo_judge_cost){.calls = 1, .unit = "lines to the program", .detail_bytes = 100};
}

static json_t *command_counts(const void *state)
{
  const struct command *command = state;
  return json_pack("{s:I, s:I, s:I}", "prompts", command->prompts, "responses", command->responses, "failed",
                   command->failed);
}

/* A prompt that the program is asked about. */
struct asked {
  const struct tpo_judge_item *item;
  struct tpo_judge_result *results; /* [n_responses] */
  json_t *meta;                     /* owned */
  size_t n_usable;                  /* responses that are there */
};
/* Those that it is asked about in one go. */
struct questions {
  struct command *command;
  struct asked *asked;
  size_t n;
};

/* The request line. Its text is all that the program gets to see: meta comes from the prompts' file, and
 * items hold no thought. */
static int write_request(void *arg, size_t i, struct tpo_buf *line, struct tpo_error *err)
{
  const struct asked *asked = &((struct questions *)arg)->asked[i];
  const struct tpo_judge_item *item = asked->item;
  const char *key;
  json_t *value;
  tpo_buf_puts(line, "{\"id\":");
  tpo_json_append_string(line, item->id, strlen(item->id));
  tpo_buf_puts(line, ",\"instruction\":");
  tpo_json_append_string(line, item->instruction, strlen(item->instruction));
  json_object_foreach(asked->meta, key, value)
  {
    if (strcmp(key, "id") == 0 || strcmp(key, "instruction") == 0 || strcmp(key, "responses") == 0) continue;
    char *text = tpo_json_dump(value);
    if (!text) return tpo_fail(err, TPO_E_MEMORY, "no memory for a request to the judge");
    tpo_buf_putc(line, ',');
    tpo_json_append_string(line, key, strlen(key));
    tpo_buf_printf(line, ":%s", text);
    free(text);
  }
  const char *before = ",\"responses\":[";
  for (int k = 0; k < item->n_responses; k++) {
    if (!item->responses[k]) continue;
    tpo_buf_printf(line, "%s{\"k\":%d,\"text\":", before, k);
    tpo_json_append_string(line, item->responses[k], strlen(item->responses[k]));
    tpo_buf_putc(line, '}');
    before = ",";
  }
  tpo_buf_puts(line, "]}\n");
  return 0;
}

/* An answer that is not as it must be, with its beginning. */
static int wrong_answer(const struct asked *asked, size_t i, const char *line, size_t len, const char *why,
                        struct tpo_error *err)
{
  size_t shown = len < 160 ? len : 160;
  if (shown < len) shown -= tpo_utf8_incomplete_tail(line, shown);
  return tpo_fail(
      err, TPO_E_INPUT,
      "answer %zu is wrong, %.160s; "
      "expected {\"id\":\"%.60s\",\"scores\":[...]} with %zu numbers or nulls on one line, it wrote: %.*s%s",
      i + 1, why, asked->item->id, asked->n_usable, (int)shown, line, shown < len ? "..." : "");
}

/* NULL when the answer is as it must be, else what is wrong with it,
 * written to `why` where it tells details. */
static const char *check_answer(const struct asked *asked, const json_t *answer, char why[160])
{
  const json_t *id = json_object_get(answer, "id"), *scores = json_object_get(answer, "scores"),
               *details = json_object_get(answer, "details");
  if (!json_is_object(answer)) return "it is no object";
  if (!json_is_string(id)) return "its \"id\" is no string";
  if (strcmp(json_string_value(id), asked->item->id) != 0)
    return "its \"id\" is another (answers come in the order of the requests)";
  if (!json_is_array(scores)) return "its \"scores\" are no array";
  snprintf(why, 160, "it has %zu scores for %zu responses", json_array_size(scores), asked->n_usable);
  if (json_array_size(scores) != asked->n_usable) return why;
  for (size_t k = 0; k < asked->n_usable; k++) {
    const json_t *score = json_array_get(scores, k);
    double value = json_number_value(score);
    if (json_is_null(score) || (json_is_number(score) && fabs(value) <= JUDGE_LARGEST_SCORE)) continue;
    if (json_is_number(score))
      snprintf(why, 160, "score %zu is %.17g, beyond %g, where scores are no longer told apart", k + 1, value,
               JUDGE_LARGEST_SCORE);
    else
      snprintf(why, 160, "score %zu is neither a number nor null", k + 1);
    return why;
  }
  if (!details || json_is_null(details)) return NULL;
  if (!json_is_array(details) || json_array_size(details) != asked->n_usable)
    return "its \"details\" are no array with an entry for each score";
  for (size_t k = 0; k < asked->n_usable; k++) {
    const json_t *detail = json_array_get(details, k);
    if (!json_is_object(detail) && !json_is_null(detail))
      return "an entry of its \"details\" is neither an object nor null";
  }
  return NULL;
}

/* detail: the program's, an object, or else NULL or null. */
static int set_result(struct command *command, const json_t *score, json_t *detail,
                      struct tpo_judge_result *result, struct tpo_error *err)
{
  bool has_detail = json_is_object(detail);
  command->responses++;
  if (!json_is_null(score))
    return judge_set_score(result, json_number_value(score),
                           has_detail ? json_pack("{s:O}", "program", detail) : json_object(), err);
  command->failed++;
  const char *error = json_string_value(json_object_get(detail, "error"));
  struct tpo_buf why = {0};
  tpo_buf_printf(&why, "the program gave no score%s%s", error ? ": " : "", error ? error : "");
  int status = why.failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory while judging")
                          : judge_set_failure(result, why.data, err);
  tpo_buf_free(&why);
  return status;
}

static int take_answer(void *arg, size_t i, const char *line, size_t len, struct tpo_error *err)
{
  struct questions *questions = arg;
  const struct asked *asked = &questions->asked[i];
  struct tpo_error problem = {0};
  char text[160];
  json_t *answer = tpo_json_parse(line, len, "it", &problem);
  const char *why = answer ? check_answer(asked, answer, text) : problem.message;
  int status = why ? wrong_answer(asked, i, line, len, why, err) : 0;
  const json_t *scores = json_object_get(answer, "scores"), *details = json_object_get(answer, "details");
  for (size_t k = 0, r = 0; k < asked->n_usable && status == 0; r++) {
    if (!asked->item->responses[r]) continue;
    status = set_result(questions->command, json_array_get(scores, k), json_array_get(details, k),
                        &asked->results[r], err);
    k++;
  }
  questions->command->prompts += status == 0;
  if (status == 0) tpo_watch_tell(&questions->command->watch, (double)(i + 1) / (double)questions->n);
  json_decref(answer);
  return status;
}

/* Sets what needs no asking, and adds the prompt to the questions when something is left. */
static int add_prompt(struct questions *questions, const struct tpo_judge_item *item,
                      struct tpo_judge_result *results, struct tpo_error *err)
{
  struct tpo_error problem = {0};
  const char *text = item->meta ? item->meta : "{}";
  struct asked asked = {item, results, tpo_json_parse(text, strlen(text), "meta", &problem), 0};
  if (asked.meta && !json_is_object(asked.meta)) {
    tpo_fail(&problem, TPO_E_INPUT, "meta: expected an object");
    json_decref(asked.meta);
    asked.meta = NULL;
  }
  int status = 0;
  for (int k = 0; k < item->n_responses && status == 0; k++) {
    if (!item->responses[k])
      status = judge_set_failure(&results[k], JUDGE_NO_RESPONSE, err);
    else if (!asked.meta)
      status = judge_set_failure(&results[k], problem.message, err);
    else
      asked.n_usable++;
  }
  if (status == 0 && asked.n_usable > 0)
    questions->asked[questions->n++] = asked;
  else
    json_decref(asked.meta);
  return status;
}

static int command_score(void *state, const struct tpo_judge_item *items, int n_items,
                         struct tpo_judge_result *results, struct tpo_error *err)
{
  struct questions questions = {.command = state,
                                .asked = tpo_calloc((size_t)n_items, sizeof *questions.asked, err)};
  int status = questions.asked ? 0 : TPO_E_MEMORY;
  for (int i = 0; i < n_items && status == 0; i++) {
    status = add_prompt(&questions, &items[i], results, err);
    results += items[i].n_responses;
  }
  if (status == 0) {
    struct judge_dialogue dialogue = {questions.n, &questions, write_request, take_answer};
    status = judge_process_talk(questions.command->process, &dialogue, err);
    if (status < 0 && status != TPO_E_INTERRUPTED) name_program(questions.command, err);
  }
  for (size_t i = 0; i < questions.n; i++) json_decref(questions.asked[i].meta);
  free(questions.asked);
  return status;
}

const struct judge_kind judge_kind_command = {.check = command_check,
                                              .open = command_open,
                                              .score = command_score,
                                              .close = command_close,
                                              .counts = command_counts,
                                              .cost = command_cost,
                                              .identify = command_identify};
