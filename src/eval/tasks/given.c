/* Responses from files, each to the prompt that it names. */
#include "eval/tasks/given.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "eval/rows.h"

struct reading {
  struct eval_given *given;
  const struct eval_prompt **by_id, **by_text; /* [n] sorted */
  size_t n;
  const char *text; /* the response's field */
};

static int order_id(const void *a, const void *b)
{
  return strcmp((*(const struct eval_prompt *const *)a)->id, (*(const struct eval_prompt *const *)b)->id);
}

/* Without the white space at its end, which copies of a data set have or not. */
static size_t length_of(const char *text)
{
  size_t len = strlen(text);
  while (len > 0 && strchr(" \t\r\n", text[len - 1])) len--;
  return len;
}

static int compare_texts(const char *a, const char *b)
{
  size_t n = length_of(a), m = length_of(b);
  int order = memcmp(a, b, n < m ? n : m);
  return order ? order : (n > m) - (n < m);
}

/* Whether the text asks the prompt, among other words perhaps (how to answer, say). */
static bool holds(const char *text, const struct eval_prompt *prompt)
{
  return memmem(text, strlen(text), prompt->text, length_of(prompt->text)) != NULL;
}

static int order_text(const void *a, const void *b)
{
  return compare_texts((*(const struct eval_prompt *const *)a)->text,
                       (*(const struct eval_prompt *const *)b)->text);
}

static const struct eval_prompt *const *find(const struct reading *r, const struct eval_prompt *like,
                                             bool by_id)
{
  const struct eval_prompt *key = like;
  return bsearch(&key, by_id ? r->by_id : r->by_text, r->n, sizeof(void *), by_id ? order_id : order_text);
}

/* The row's key as text, "" for none. */
static int read_key(const struct eval_row *row, char key[256], struct tpo_error *err)
{
  static const char *const names[] = {"key", "id", "index"};
  const char *name = eval_row_which(row, names, 3);
  const json_t *value = name ? json_object_get(row->fields, name) : NULL;
  *key = '\0';
  if (!value || json_is_null(value)) return 0;
  if (json_is_integer(value))
    snprintf(key, 256, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  else if (json_is_string(value) && json_string_length(value) < 256)
    memcpy(key, json_string_value(value), json_string_length(value) + 1);
  else
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\": expected a whole number or a text of up to 255 bytes",
                    row->place, name);
  return 0;
}

static int read_prompt(const struct eval_row *row, const char **text, struct tpo_error *err)
{
  static const char *const names[] = {"prompt", "instruction", "question"};
  const char *name = eval_row_which(row, names, 3);
  *text = NULL;
  return name ? eval_row_text(row, name, text, err) : 0;
}

static int by_text(const struct reading *r, const struct eval_row *row, const char *text,
                   const struct eval_prompt **out, struct tpo_error *err)
{
  const struct eval_prompt *const *found = find(r, &(struct eval_prompt){NULL, text}, false);
  *out = found ? *found : NULL;
  if (!found) return 0;
  bool before = found > (const struct eval_prompt *const *)r->by_text && order_text(found - 1, found) == 0;
  bool after =
      found + 1 < (const struct eval_prompt *const *)r->by_text + r->n && order_text(found + 1, found) == 0;
  if (!before && !after) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: two prompts have this text; expected the \"key\" of one of them too",
                  row->place);
}

/* Of a row whose text is not that of its key's prompt: another copy's wording of it, or another prompt. */
static int note_difference(const struct reading *r, const struct eval_row *row, const char *text,
                           const struct eval_prompt *prompt, struct tpo_error *err)
{
  const struct eval_prompt *const *other = find(r, &(struct eval_prompt){NULL, text}, false);
  if (other)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: the key is that of one prompt, %s, and the text that of another, %s", row->place,
                    prompt->id, (*other)->id);
  if (holds(text, prompt)) return 0;
  if (r->given->text_differs++ == 0) r->given->first_differing = strdup(row->place);
  return 0;
}

/* *out: NULL where the prompt is not among those given. */
static int find_prompt(const struct reading *r, const struct eval_row *row, const struct eval_prompt **out,
                       struct tpo_error *err)
{
  char key[256];
  const char *text;
  int status = read_key(row, key, err);
  if (status == 0) status = read_prompt(row, &text, err);
  if (status < 0) return status;
  if (!*key && !text)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: expected the prompt's text (\"prompt\") or its \"key\", \"id\" or \"index\"",
                    row->place);
  const struct eval_prompt *const *by_key = *key ? find(r, &(struct eval_prompt){key, NULL}, true) : NULL;
  *out = by_key ? *by_key : NULL;
  if (!text) return 0;
  if (!by_key) return by_text(r, row, text, out, err);
  return compare_texts(text, (*out)->text) == 0 ? 0 : note_difference(r, row, text, *out, err);
}

/* The number of a model, which gets one where it has none. */
static int name_model(struct eval_given *given, const char *name, const char *place, size_t *out,
                      struct tpo_error *err)
{
  for (*out = 0; *out < given->n_models; ++*out)
    if (strcmp(given->models[*out], name) == 0) return 0;
  int status =
      tpo_grow(&given->models, &given->models_capacity, given->n_models + 1, sizeof *given->models, err);
  if (status < 0) return status;
  if (!(given->models[*out] = strdup(name))) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place);
  given->n_models++;
  return 0;
}

static int find_model(struct eval_given *given, const struct eval_row *row, size_t *out,
                      struct tpo_error *err)
{
  const char *name = NULL;
  int status = eval_row_has(row, "model") ? eval_row_text(row, "model", &name, err) : 0;
  return status < 0 ? status : name_model(given, name ? name : "", row->place, out, err);
}

/* true, false; in columns also 1, 0, True and False. absent: what it is where the row doesn't have it. */
static int read_flag(const struct eval_row *row, const char *name, int absent, int *out,
                     struct tpo_error *err)
{
  const json_t *value = json_object_get(row->fields, name);
  const char *text = json_string_value(value);
  *out = absent;
  if (!value || json_is_null(value)) return 0;
  if (json_is_true(value) || (text && (!strcasecmp(text, "true") || !strcmp(text, "1"))))
    *out = 1;
  else if (json_is_false(value) || (text && (!strcasecmp(text, "false") || !strcmp(text, "0"))))
    *out = 0;
  else
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\": expected true or false", row->place, name);
  return 0;
}

static int read_row(struct reading *r, const struct eval_row *row, struct eval_given_row *out,
                    struct tpo_error *err)
{
  double k = 0;
  int format_ok = 1;
  const char *response;
  int status = eval_row_text_there(row, r->text, &response, err);
  if (status == 0) status = find_model(r->given, row, &out->model, err);
  if (status == 0 && eval_row_has(row, "k")) status = eval_row_number(row, "k", &k, err);
  if (status == 0 && !(k >= 0 && k < INT_MAX && k == (int)k))
    status = tpo_fail(err, TPO_E_INPUT, "%s: \"k\": expected a whole number from 0", row->place);
  if (status == 0) status = read_flag(row, "format_ok", 1, &format_ok, err);
  if (status == 0) status = read_flag(row, "is_correct", -1, &out->label, err);
  if (status < 0) return status;
  out->k = (int)k;
  out->format_ok = format_ok;
  out->response = strdup(response);
  out->place = strdup(row->place);
  return out->response && out->place ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", row->place);
}

/* Takes the item's texts, also after a failure, which status tells. */
static int add_row(struct eval_given *given, const struct eval_given_row *item, int status,
                   struct tpo_error *err)
{
  if (status == 0) status = tpo_grow(&given->rows, &given->capacity, given->n + 1, sizeof *item, err);
  if (status == 0) {
    given->rows[given->n++] = *item;
    return 0;
  }
  free(item->response);
  free(item->place);
  return status;
}

static int take_row(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct reading *r = arg;
  struct eval_given *given = r->given;
  struct eval_given_row item = {0};
  int status = find_prompt(r, row, &item.prompt, err);
  if (status < 0) return status;
  if (!item.prompt) {
    given->unknown++;
    if (!given->first_unknown) given->first_unknown = strdup(row->place);
    return 0;
  }
  status = read_row(r, row, &item, err);
  return add_row(given, &item, status, err);
}

static int order_rows(const void *a, const void *b)
{
  const struct eval_given_row *x = a, *y = b;
  if (x->model != y->model) return x->model < y->model ? -1 : 1;
  if (x->prompt != y->prompt) return x->prompt < y->prompt ? -1 : 1;
  return x->k < y->k ? -1 : x->k > y->k;
}

static int put_in_order(struct eval_given *given, const char *path, struct tpo_error *err)
{
  if (given->n == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: none of its %zu rows is a response to one of the prompts", path,
                    given->unknown);
  if (given->text_differs > given->n / 2)
    return tpo_fail(
        err, TPO_E_INPUT,
        "%s: %zu of its %zu responses are to another text than the prompt of their key, the first at "
        "%s; expected responses to these prompts",
        path, given->text_differs, given->n, given->first_differing ? given->first_differing : path);
  qsort(given->rows, given->n, sizeof *given->rows, order_rows);
  for (size_t i = 1; i < given->n; i++) {
    const struct eval_given_row *a = &given->rows[i - 1], *b = &given->rows[i];
    if (order_rows(a, b) == 0)
      return tpo_fail(err, TPO_E_INPUT,
                      "%s and %s: two responses to prompt %s; expected different numbers \"k\"", a->place,
                      b->place, a->prompt->id);
  }
  return 0;
}

static int open_reading(struct reading *r, struct eval_given *given, const struct eval_prompt *prompts,
                        size_t n, struct tpo_error *err)
{
  *given = (struct eval_given){0};
  *r = (struct reading){given, tpo_calloc(n, sizeof *r->by_id, err), tpo_calloc(n, sizeof *r->by_text, err),
                        n, NULL};
  if (!r->by_id || !r->by_text) return TPO_E_MEMORY;
  for (size_t i = 0; i < n; i++) r->by_id[i] = r->by_text[i] = &prompts[i];
  qsort(r->by_id, n, sizeof *r->by_id, order_id);
  qsort(r->by_text, n, sizeof *r->by_text, order_text);
  return 0;
}

static void close_reading(struct reading *r)
{
  free(r->by_id);
  free(r->by_text);
}

int eval_given_read(struct eval_given *given, const char *path, const struct eval_prompt *prompts, size_t n,
                    const char *text, struct tpo_error *err)
{
  struct reading r;
  int status = open_reading(&r, given, prompts, n, err);
  r.text = text;
  if (status == 0) status = eval_rows_read(path, take_row, &r, err);
  if (status == 0) status = put_in_order(given, path, err);
  close_reading(&r);
  return status;
}

static int take_sample(struct reading *r, const struct tpo_sample_row *row, const char *place,
                       struct tpo_error *err)
{
  const struct eval_prompt *const *found = find(r, &(struct eval_prompt){row->prompt_id, NULL}, true);
  if (found && !holds(row->instruction, *found)) found = NULL;
  if (!found) found = find(r, &(struct eval_prompt){NULL, row->instruction}, false);
  struct eval_given_row item = {
      .prompt = found ? *found : NULL, .k = row->k, .format_ok = row->format_ok, .label = -1};
  if (!found) {
    r->given->unknown++;
    if (!r->given->first_unknown) r->given->first_unknown = strdup(place);
    return 0;
  }
  item.response = strdup(row->response);
  item.place = strdup(place);
  int status = item.response && item.place ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place);
  return add_row(r->given, &item, status, err);
}

int eval_given_of_samples(struct eval_given *given, const struct tpo_samples *samples, const char *path,
                          const struct eval_prompt *prompts, size_t n, struct tpo_error *err)
{
  struct reading r;
  int status = open_reading(&r, given, prompts, n, err);
  size_t model;
  if (status == 0) status = name_model(given, "", path, &model, err);
  for (size_t i = 0; i < samples->n && status == 0; i++) {
    char place[512];
    snprintf(place, sizeof place, "%.440s, row %zu", path, i);
    status = take_sample(&r, &samples->rows[i], place, err);
  }
  if (status == 0) status = put_in_order(given, path, err);
  close_reading(&r);
  return status;
}

void eval_given_free(struct eval_given *given)
{
  for (size_t i = 0; i < given->n; i++) {
    free(given->rows[i].response);
    free(given->rows[i].place);
  }
  for (size_t i = 0; i < given->n_models; i++) free(given->models[i]);
  free(given->rows);
  free(given->models);
  free(given->first_unknown);
  free(given->first_differing);
  *given = (struct eval_given){0};
}

int eval_given_samples(const struct eval_given *given, size_t model, struct tpo_samples *samples,
                       size_t *first, struct tpo_error *err)
{
  int status = 0;
  *samples = (struct tpo_samples){0};
  *first = given->n;
  for (size_t i = 0; i < given->n && status == 0; i++) {
    const struct eval_given_row *row = &given->rows[i];
    if (row->model != model) continue;
    if (*first == given->n) *first = i;
    status = tpo_samples_add(samples,
                             &(struct tpo_sample_row){.prompt_id = row->prompt->id,
                                                      .instruction = row->prompt->text,
                                                      .k = row->k,
                                                      .response = row->response,
                                                      .format_ok = row->format_ok},
                             err);
  }
  return status;
}

void eval_append_id(struct tpo_buf *out, const char *name, const char *id)
{
  size_t len = strlen(id), digits = strspn(id, "0123456789");
  bool number = len > 0 && len == digits && len < 16 && (len == 1 || *id != '0');
  tpo_json_append_string(out, name, strlen(name));
  tpo_buf_putc(out, ':');
  if (number)
    tpo_buf_puts(out, id);
  else
    tpo_json_append_string(out, id, len);
}

static void append_field(struct tpo_buf *out, const char *name, const char *text)
{
  tpo_json_append_string(out, name, strlen(name));
  tpo_buf_putc(out, ':');
  tpo_json_append_string(out, text, strlen(text));
}

int eval_given_write(const char *path, const struct tpo_samples *samples, const char *key, const char *text,
                     const struct eval_prompt *prompts, size_t n, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  size_t at = 0;
  for (size_t i = 0; i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    for (size_t tried = 0; tried < n && strcmp(prompts[at].id, row->prompt_id) != 0; tried++)
      at = (at + 1) % n;
    tpo_buf_putc(&out, '{');
    eval_append_id(&out, key, row->prompt_id);
    tpo_buf_printf(&out, ",\"k\":%d,", row->k);
    append_field(&out, text, n > 0 ? prompts[at].text : row->instruction);
    tpo_buf_putc(&out, ',');
    append_field(&out, "response", row->response);
    tpo_buf_printf(&out, ",\"format_ok\":%s}\n", row->format_ok ? "true" : "false");
  }
  int status = out.failed ? tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", path)
                          : tpo_write_file(path, out.data, out.len, err);
  tpo_buf_free(&out);
  return status;
}
