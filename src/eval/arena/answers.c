/* Answers read and written as the benchmark has them. */
#include "eval/arena/answers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "eval/rows.h"

static int refuse(const struct eval_row *row, const char *what, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: expected %s", row->place, what);
}

static bool is_text(const json_t *value)
{
  return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

static double tokens_of(const json_t *object)
{
  const json_t *tokens = json_object_get(object, "token_len");
  return json_is_number(tokens) && json_number_value(tokens) >= 0 ? json_number_value(tokens) : NAN;
}

/* The answer's text, borrowed from the row, and how long it is. */
static int content_of(const struct eval_row *row, const char **text, double *tokens, struct tpo_error *err)
{
  const json_t *messages = json_object_get(row->fields, "messages");
  const json_t *turn =
      json_array_get(json_object_get(json_array_get(json_object_get(row->fields, "choices"), 0), "turns"), 0);
  bool is_later = !turn && json_is_array(messages);
  if (is_later) turn = json_array_get(messages, json_array_size(messages) - 1);
  const json_t *content = json_object_get(turn, "content"), *role = json_object_get(turn, "role");
  if (json_is_object(content)) content = json_object_get(content, "answer");
  if (!is_text(content) ||
      (is_later && (!is_text(role) || strcmp(json_string_value(role), "assistant") != 0)))
    return refuse(
        row, "\"choices\" of [{\"turns\": [{\"content\": an answer}]}], or \"messages\" that end with one",
        err);
  *text = json_string_value(content);
  *tokens = tokens_of(turn);
  if (isnan(*tokens))
    *tokens = tokens_of(json_object_get(row->fields, is_later ? "metadata" : "conv_metadata"));
  return 0;
}

/* A name that must be there under one of two. */
static int name_of(const struct eval_row *row, const char *first, const char *second, const char **out,
                   struct tpo_error *err)
{
  const char *field = eval_row_has(row, first) || !eval_row_has(row, second) ? first : second;
  int status = eval_row_text(row, field, out, err);
  if (status == 0 && (!*out || !**out))
    status = tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is empty", row->place, field);
  return status;
}

static int check_model(struct arena_answers *answers, const struct eval_row *row, const char *model,
                       struct tpo_error *err)
{
  if (!answers->model && !(answers->model = strdup(model)))
    return tpo_fail(err, TPO_E_MEMORY, "no memory for answers");
  if (strcmp(answers->model, model) == 0) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: an answer of %.200s, and those before are of %.200s", row->place,
                  model, answers->model);
}

static int add(struct arena_answers *answers, const char *id, const char *text, double tokens,
               struct tpo_error *err)
{
  int status = tpo_grow(&answers->list, &answers->capacity, answers->n + 1, sizeof *answers->list, err);
  if (status < 0) return status;
  struct arena_answer *answer = &answers->list[answers->n];
  *answer = (struct arena_answer){strdup(id), strdup(text), tokens};
  if (answer->id && answer->text &&
      json_object_set_new(answers->index, id, json_integer((json_int_t)answers->n)) == 0) {
    answers->n++;
    return 0;
  }
  free(answer->id);
  free(answer->text);
  return tpo_fail(err, TPO_E_MEMORY, "no memory for answers");
}

static int take(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct arena_answers *answers = arg;
  const char *id, *model, *text = NULL;
  double tokens = NAN;
  int status = name_of(row, "question_id", "uid", &id, err);
  if (status == 0) status = name_of(row, "model_id", "model", &model, err);
  if (status == 0) status = check_model(answers, row, model, err);
  if (status == 0) status = content_of(row, &text, &tokens, err);
  if (status < 0) return status;
  if (json_object_get(answers->index, id))
    return tpo_fail(err, TPO_E_INPUT, "%s: question %.200s has an answer before this one", row->place, id);
  return add(answers, id, text, tokens, err);
}

int arena_answers_read(struct arena_answers *answers, const char *path, struct tpo_error *err)
{
  *answers = (struct arena_answers){.index = json_object()};
  int status = answers->index ? eval_rows_read(path, take, answers, err)
                              : tpo_fail(err, TPO_E_MEMORY, "no memory for answers");
  if (status < 0) arena_answers_free(answers);
  return status;
}

const struct arena_answer *arena_answer_of(const struct arena_answers *answers, const char *id)
{
  const json_t *at = json_object_get(answers->index, id);
  return at ? &answers->list[json_integer_value(at)] : NULL;
}

double arena_mean_tokens(const struct arena_answers *answers)
{
  double sum = 0;
  size_t n = 0;
  for (size_t i = 0; i < answers->n; i++) {
    if (isnan(answers->list[i].tokens)) continue;
    sum += answers->list[i].tokens;
    n++;
  }
  return n ? sum / (double)n : NAN;
}

void arena_answers_free(struct arena_answers *answers)
{
  for (size_t i = 0; i < answers->n; i++) {
    free(answers->list[i].id);
    free(answers->list[i].text);
  }
  free(answers->list);
  free(answers->model);
  json_decref(answers->index);
  *answers = (struct arena_answers){0};
}

/* Of the same answer the same, so that files can be compared. */
static int answer_id(const char *model, const struct tpo_sample_row *row, char out[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  tpo_hash_add(&hash, model, strlen(model) + 1);
  tpo_hash_add(&hash, row->prompt_id, strlen(row->prompt_id) + 1);
  tpo_hash_add(&hash, row->response, strlen(row->response));
  tpo_hash_end(&hash, out);
  return 0;
}

static json_t *choice(const struct tpo_sample_row *row, size_t index)
{
  int tokens = *row->response ? tpo_sample_response_tokens(row) : 0;
  return json_pack("{s:I, s:[{s:s, s:i}]}", "index", (json_int_t)index, "turns", "content", row->response,
                   "token_len", tokens);
}

/* rows [n]: one question's. */
static int append_record(struct tpo_buf *out, const struct tpo_sample_row *rows, size_t n, const char *model,
                         struct tpo_error *err)
{
  char id[33];
  int status = answer_id(model, rows, id, err);
  if (status < 0) return status;
  json_t *choices = json_array();
  for (size_t i = 0; i < n; i++)
    if (json_array_append_new(choices, choice(&rows[i], i)) < 0) out->failed = true;
  json_t *record = json_pack("{s:s, s:s, s:s, s:o, s:f}", "question_id", rows->prompt_id, "answer_id", id,
                             "model_id", model, "choices", choices, "tstamp", tpo_wall_seconds());
  char *text = record ? tpo_json_dump(record) : NULL;
  json_decref(record);
  if (text)
    tpo_buf_printf(out, "%s\n", text);
  else
    out->failed = true;
  free(text);
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for answers") : 0;
}

int arena_answers_write(const struct tpo_samples *samples, const char *model, const char *path, double *mean,
                        struct tpo_error *err)
{
  struct tpo_buf out = {0};
  int status = 0;
  size_t n = 0;
  double tokens = 0;
  for (size_t i = 0, end; i < samples->n && status == 0; i = end, n++) {
    end = tpo_samples_prompt_end(samples, i);
    tokens += *samples->rows[i].response ? tpo_sample_response_tokens(&samples->rows[i]) : 0;
    status = append_record(&out, &samples->rows[i], end - i, model, err);
  }
  *mean = n ? tokens / (double)n : NAN;
  if (status == 0) status = tpo_write_file(path, out.data ? out.data : "", out.len, err);
  tpo_buf_free(&out);
  return status;
}
