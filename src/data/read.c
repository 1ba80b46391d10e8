/* Instructions are read from JSON Lines or tab-separated columns, every field checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/chat.h"
#include "base/file.h"
#include "base/foreign.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "tpo/data.h"

/* Ids seen so far: open addressing over indices into set->items, at most half full. */
struct id_table {
  size_t *slots; /* index + 1; 0 = free */
  size_t n_slots;
  uint64_t *lines; /* [items] line of each item, for the message */
  size_t lines_capacity;
};

struct reader {
  struct tpo_instructions *set;
  const char *path;
  char place[512]; /* FILE:LINE */
  uint64_t line;
  struct id_table ids;
  char **columns; /* of a tab-separated file; NULL for JSON Lines */
  size_t n_columns;
  size_t n_answers; /* left out at the end of chats */
  int (*check)(void *arg, const struct tpo_instruction *item, struct tpo_error *err); /* may be NULL */
  void *arg;
};

static size_t id_slot(const struct reader *r, const char *id)
{
  size_t mask = r->ids.n_slots - 1, at = (size_t)tpo_hash64_str(id) & mask;
  while (r->ids.slots[at] && strcmp(r->set->items[r->ids.slots[at] - 1].id, id) != 0) at = (at + 1) & mask;
  return at;
}

static int ids_grow(struct reader *r, struct tpo_error *err)
{
  size_t n = r->ids.n_slots ? r->ids.n_slots * 2 : 64;
  size_t *slots = tpo_calloc(n, sizeof *slots, err);
  if (!slots) return TPO_E_MEMORY;
  free(r->ids.slots);
  r->ids.slots = slots;
  r->ids.n_slots = n;
  for (size_t i = 0; i < r->set->n; i++) r->ids.slots[id_slot(r, r->set->items[i].id)] = i + 1;
  return 0;
}

static int add_item(struct reader *r, const struct tpo_instruction *item, struct tpo_error *err)
{
  if (2 * (r->set->n + 1) > r->ids.n_slots && ids_grow(r, err) < 0) return TPO_E_MEMORY;
  size_t at = id_slot(r, item->id);
  if (r->ids.slots[at])
    return tpo_fail(err, TPO_E_INPUT, "%s: the id \"%s\" is that of line %llu already", r->place, item->id,
                    (unsigned long long)r->ids.lines[r->ids.slots[at] - 1]);
  if (tpo_grow(&r->ids.lines, &r->ids.lines_capacity, r->set->n + 1, sizeof *r->ids.lines, err) < 0)
    return TPO_E_MEMORY;
  int status = tpo_instructions_add(r->set, item, err);
  if (status < 0) return status;
  r->ids.lines[r->set->n - 1] = r->line;
  r->ids.slots[at] = r->set->n;
  return 0;
}

/* A string member without NUL characters; NULL (and no error) when it is absent or null. */
static int text_member(const struct reader *r, const json_t *object, const char *key, const char **out,
                       struct tpo_error *err)
{
  *out = NULL;
  int status = tpo_json_get_string(object, key, out, r->place, err);
  if (status < 0 || !*out) return status;
  if (strlen(*out) != json_string_length(json_object_get(object, key)))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" holds a NUL character, which no prompt may hold", r->place,
                    key);
  return 0;
}

static bool is_blank(const char *text)
{
  return text[strspn(text, " \t\r\n\f\v")] == '\0';
}

/* id: a string, an integer, what IFEval (key) and Arena-Hard (uid, question_id) call it, or else the line's
 * number. */
static int read_id(const struct reader *r, const json_t *line, char id[256], struct tpo_error *err)
{
  static const char *const names[] = {"id", "key", "uid", "question_id"};
  const char *name = NULL;
  const json_t *value = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && (!value || json_is_null(value)); i++)
    value = json_object_get(line, name = names[i]);
  if (!value || json_is_null(value)) {
    snprintf(id, 256, "%llu", (unsigned long long)r->line);
    return 0;
  }
  if (json_is_integer(value)) {
    snprintf(id, 256, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return 0;
  }
  if (!json_is_string(value))
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be a string or an integer", r->place, name);
  size_t len = json_string_length(value);
  const char *text = json_string_value(value);
  if (len == 0 || len > 255 || strlen(text) != len)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"%s\" must have 1 to 255 bytes and no NUL character, it has %zu bytes", r->place,
                    name, len);
  memcpy(id, text, len + 1);
  return 0;
}

/* Public sets of chats end with the answer that they teach; a prompt is what comes before it. */
static void drop_answer(struct reader *r, json_t *chat)
{
  size_t n = json_array_size(chat);
  const json_t *last = json_array_get(chat, n - 1);
  const char *role = json_string_value(json_object_get(last, "role"));
  if (n < 2 || strcmp(role, "assistant") != 0) return;
  json_array_remove(chat, n - 1);
  r->n_answers++;
}

/* Checks a chat's form and finds its last message, which must be the user's. */
static int check_chat(const struct reader *r, const char *name, const json_t *chat, const char **last,
                      struct tpo_error *err)
{
  size_t n = json_array_size(chat);
  for (size_t i = 0; i < n; i++) {
    const json_t *message = json_array_get(chat, i);
    const char *role = json_string_value(json_object_get(message, "role"));
    bool system = strcmp(role, "system") == 0;
    if (!system && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: %s[%zu] has the role \"%s\", expected system, user or assistant",
                      r->place, name, i, role);
    if (system && i > 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: %s[%zu] is a system message; only the first may be one",
                      r->place, name, i);
    if (i + 1 == n && strcmp(role, "user") != 0)
      return tpo_fail(err, TPO_E_INPUT, "%s: the last message must be the user's, it is of role \"%s\"",
                      r->place, role);
    *last = json_string_value(json_object_get(message, "content"));
  }
  return 0;
}

/* A chat in one form, its last message the user's. New reference; NULL with err set. */
static json_t *read_chat(struct reader *r, const char *name, const json_t *value, struct tpo_error *err)
{
  if (!json_is_array(value) || json_array_size(value) == 0) {
    tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" must be an array of one or more {role, content}", r->place, name);
    return NULL;
  }
  return tpo_chat_read(value, name, r->place, err);
}

/* One check: its type first, then its arguments without nulls. New reference, or NULL with err set. */
static json_t *normal_check(const struct reader *r, const char *type, size_t type_len,
                            const json_t *arguments, struct tpo_error *err)
{
  if (type_len == 0 || strlen(type) != type_len) {
    tpo_fail(err, TPO_E_INPUT, "%s: a check's type must be a non-empty string", r->place);
    return NULL;
  }
  json_t *check = json_object();
  int failed = !check || json_object_set_new(check, "type", json_stringn(type, type_len));
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)arguments, key, value)
  {
    if (json_is_null(value) || strcmp(key, "type") == 0) continue;
    failed |= json_object_set(check, key, value);
  }
  if (!failed) return check;
  json_decref(check);
  tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
  return NULL;
}

static int append_check(const struct reader *r, json_t *checks, const json_t *type, const json_t *arguments,
                        struct tpo_error *err)
{
  if (!json_is_string(type) || (arguments && !json_is_null(arguments) && !json_is_object(arguments)))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: a check must have a \"type\" (a string) and an object of arguments", r->place);
  json_t *check = normal_check(r, json_string_value(type), json_string_length(type),
                               json_is_object(arguments) ? arguments : NULL, err);
  if (!check) return err ? err->code : TPO_E_INPUT;
  if (json_array_append_new(checks, check) < 0)
    return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
  return 0;
}

/* `checks`: objects or bare type names; then IFEval's instruction_id_list with its kwargs. */
static int read_checks(const struct reader *r, const json_t *line, json_t *checks, struct tpo_error *err)
{
  const json_t *given = json_object_get(line, "checks");
  const json_t *types = json_object_get(line, "instruction_id_list");
  const json_t *kwargs = json_object_get(line, "kwargs");
  int status = 0;
  if (given && !json_is_null(given)) {
    if (!json_is_array(given)) return tpo_fail(err, TPO_E_INPUT, "%s: \"checks\" must be an array", r->place);
    for (size_t i = 0; i < json_array_size(given) && status == 0; i++) {
      const json_t *check = json_array_get(given, i);
      bool bare = json_is_string(check);
      status =
          append_check(r, checks, bare ? check : json_object_get(check, "type"), bare ? NULL : check, err);
    }
  }
  if (status < 0 || !types || json_is_null(types)) return status;
  bool has_kwargs = kwargs && !json_is_null(kwargs);
  if (!json_is_array(types) ||
      (has_kwargs && (!json_is_array(kwargs) || json_array_size(kwargs) != json_array_size(types))))
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"instruction_id_list\" and \"kwargs\" must be arrays of the same length", r->place);
  for (size_t i = 0; i < json_array_size(types) && status == 0; i++)
    status =
        append_check(r, checks, json_array_get(types, i), has_kwargs ? json_array_get(kwargs, i) : NULL, err);
  return status;
}

/* meta: what a judge may need, chat (may be NULL) with it. New JSON text, to be freed; NULL with err set. */
static char *read_meta(const struct reader *r, const json_t *line, const json_t *chat, struct tpo_error *err)
{
  json_t *meta = json_object(), *checks = json_array();
  char *text = NULL;
  const char *name;
  if (!meta || !checks) {
    tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
    goto done;
  }
  static const char *const text_fields[] = {"dataset", "category"};
  for (int i = 0; i < 2; i++) {
    if (text_member(r, line, text_fields[i], &name, err) < 0) goto done;
    if (name) json_object_set(meta, text_fields[i], json_object_get(line, text_fields[i]));
  }
  const json_t *reference = json_object_get(line, "reference");
  if (json_is_string(reference)) {
    if (text_member(r, line, "reference", &name, err) < 0) goto done;
  } else if (reference && !json_is_null(reference) && !json_is_number(reference)) {
    tpo_fail(err, TPO_E_INPUT, "%s: \"reference\" must be a string or a number", r->place);
    goto done;
  }
  if (reference && !json_is_null(reference)) json_object_set(meta, "reference", (json_t *)reference);
  if (read_checks(r, line, checks, err) < 0) goto done;
  if (json_array_size(checks) > 0) json_object_set(meta, "checks", checks);
  if (chat) json_object_set(meta, "messages", (json_t *)chat);
  text = tpo_json_dump(meta);
  if (!text) tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
done:
  json_decref(meta);
  json_decref(checks);
  return text;
}

/* What a row asks: a chat, of one message where the row has an instruction alone. */
struct question {
  const char *field; /* the one that it comes from */
  json_t *chat;      /* owned; [{role, content}] */
  const char *text;  /* the last message's, borrowed from chat */
};

/* The field that holds the question; exactly one may. */
static int find_question(const struct reader *r, const json_t *line, const char **field,
                         struct tpo_error *err)
{
  static const char *const names[] = {"instruction",   "prompt",       "messages",
                                      "conversations", "conversation", "turns"};
  int given = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const json_t *value = json_object_get(line, names[i]);
    if (!value || json_is_null(value)) continue;
    *field = names[i];
    given++;
  }
  if (given == 1) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "%s: expected one of \"instruction\" (or \"prompt\"), \"messages\" and "
                  "\"conversations\", found %s",
                  r->place, given ? "more than one" : "none");
}

/* Two fields that mean the same (NULL: one alone): the one that is given, or NULL; both are an error. */
static int read_either(const struct reader *r, const json_t *line, const char *name, const char *other,
                       const char **out, struct tpo_error *err)
{
  const char *second;
  int status = text_member(r, line, name, out, err);
  if (status == 0) status = text_member(r, line, other, &second, err);
  if (status < 0) return status;
  if (*out && is_blank(*out)) *out = NULL;
  if (!second || is_blank(second)) return 0;
  if (*out)
    return tpo_fail(err, TPO_E_INPUT, "%s: expected one of \"%s\" and \"%s\", found both", r->place, name,
                    other);
  *out = second;
  return 0;
}

static int add_message(const struct reader *r, json_t *chat, size_t at, const char *role, const char *content,
                       struct tpo_error *err)
{
  json_t *message = json_object();
  int failed = !message || json_object_set_new(message, "role", json_string(role)) < 0 ||
               json_object_set_new(message, "content", json_string(content)) < 0;
  if (failed || json_array_insert(chat, at, message) < 0) failed = 1;
  json_decref(message);
  return failed ? tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place) : 0;
}

/* Arena-Hard's question: the content of its one turn. */
static int turn_text(const struct reader *r, const json_t *turns, const char **text, struct tpo_error *err)
{
  const json_t *turn = json_array_get(turns, 0), *content = json_object_get(turn, "content");
  *text = json_string_value(content ? content : turn);
  if (*text && json_array_size(turns) == 1 && strlen(*text) == json_string_length(content ? content : turn))
    return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"turns\" must be an array of one object with a \"content\", a text",
                  r->place);
}

/* An instruction, and the text that it is about (Alpaca's `input`, Dolly's `context`) two line breaks below. */
static int ask_text(const struct reader *r, const json_t *line, struct question *q, struct tpo_error *err)
{
  const char *text, *about;
  bool turns = strcmp(q->field, "turns") == 0;
  int status = turns ? turn_text(r, json_object_get(line, q->field), &text, err)
                     : text_member(r, line, q->field, &text, err);
  if (status == 0) status = read_either(r, line, "input", "context", &about, err);
  if (status < 0) return status;
  if (is_blank(text)) return tpo_fail(err, TPO_E_INPUT, "%s: the instruction is empty", r->place);
  struct tpo_buf whole = {0};
  tpo_buf_puts(&whole, text);
  if (about) tpo_buf_printf(&whole, "\n\n%s", about);
  q->chat = json_array();
  if (whole.failed || !q->chat)
    status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
  else
    status = add_message(r, q->chat, 0, "user", whole.data, err);
  tpo_buf_free(&whole);
  return status;
}

/* `system` (or `system_prompt`) becomes the chat's first message. */
static int ask_system(const struct reader *r, const json_t *line, struct question *q, struct tpo_error *err)
{
  const char *system;
  int status = read_either(r, line, "system", "system_prompt", &system, err);
  return status < 0 || !system ? status : add_message(r, q->chat, 0, "system", system, err);
}

static int read_question(struct reader *r, const json_t *line, struct question *q, struct tpo_error *err)
{
  static const char *const unread[] = {"history", "tools", "functions", "images", "image", "audio", "videos"};
  static const char *const about[] = {"input", "context"};
  int status = find_question(r, line, &q->field, err);
  if (status == 0) status = tpo_chat_check_row(line, unread, sizeof unread / sizeof *unread, r->place, err);
  if (status < 0) return status;
  const json_t *value = json_object_get(line, q->field);
  bool is_text = strcmp(q->field, "instruction") == 0 || strcmp(q->field, "turns") == 0;
  bool is_chat = !is_text && (json_is_array(value) || q->field[0] != 'p');
  if (!is_chat) {
    status = ask_text(r, line, q, err);
  } else if ((status = tpo_chat_check_row(line, about, 2, r->place, err)) == 0) {
    q->chat = read_chat(r, q->field, value, err);
    if (!q->chat) return err->code;
    drop_answer(r, q->chat);
  }
  if (status == 0) status = ask_system(r, line, q, err);
  if (status == 0) status = check_chat(r, q->field, q->chat, &q->text, err);
  if (status == 0 && is_blank(q->text))
    status = tpo_fail(err, TPO_E_INPUT, "%s: the instruction is empty", r->place);
  return status;
}

static int read_object(struct reader *r, const json_t *line, struct tpo_error *err)
{
  char id[256], *chat = NULL, *meta = NULL;
  struct question q = {0};
  int status = read_id(r, line, id, err);
  if (status == 0) status = read_question(r, line, &q, err);
  const json_t *messages = json_array_size(q.chat) > 1 ? q.chat : NULL; /* one message is an instruction */
  if (status == 0 && !(meta = read_meta(r, line, messages, err))) status = err->code;
  if (status == 0 && messages && !(chat = tpo_json_dump(messages)))
    status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
  struct tpo_instruction item = {id, q.text, chat, meta};
  if (status == 0 && r->check && (status = r->check(r->arg, &item, err)) < 0)
    tpo_fail_prefix(err, "%s: instruction %s", r->place, id);
  if (status == 0) status = add_item(r, &item, err);
  json_decref(q.chat);
  free(chat);
  free(meta);
  return status;
}

static void free_columns(struct reader *r)
{
  for (size_t i = 0; i < r->n_columns; i++) free(r->columns[i]);
  free(r->columns);
}

static const char *const text_columns[] = {"instruction", "prompt",        "id",       "key",       "uid",
                                           "question_id", "dataset",       "category", "reference", "context",
                                           "system",      "system_prompt", "input",    "history"};
static const char *const json_columns[] = {"messages", "conversations", "checks", "instruction_id_list",
                                           "kwargs"};

static const char *const question_columns[] = {"instruction", "prompt", "messages", "conversations"};

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}
#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof(names) / sizeof *(names))

static int read_header(struct reader *r, char *line, struct tpo_error *err)
{
  size_t n = 1;
  for (const char *c = line; *c; c++) n += *c == '\t';
  r->columns = tpo_calloc(n, sizeof *r->columns, err);
  if (!r->columns) return TPO_E_MEMORY;
  bool found = false;
  for (char *cell; (cell = strsep(&line, "\t"));) {
    for (size_t i = 0; i < r->n_columns; i++)
      if (strcmp(r->columns[i], cell) == 0)
        return tpo_fail(err, TPO_E_INPUT, "%s: the column \"%s\" occurs twice", r->place, cell);
    r->columns[r->n_columns] = strdup(cell);
    if (!r->columns[r->n_columns++]) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
    found |= IS_ONE_OF(cell, question_columns);
  }
  if (!found)
    return tpo_fail(
        err, TPO_E_INPUT,
        "%s: expected a JSON object, or a tab-separated header with a column \"instruction\", \"prompt\" or \"messages\"",
        r->place);
  return 0;
}

/* A row becomes the JSON object that a JSON line would have been. Cells are taken as they stand (no escapes);
 * an empty cell is an absent field; columns of other names are ignored, like other fields of a JSON line. */
static int read_row(struct reader *r, char *line, struct tpo_error *err)
{
  size_t n = 1;
  for (const char *c = line; *c; c++) n += *c == '\t';
  if (n != r->n_columns)
    return tpo_fail(err, TPO_E_INPUT, "%s: %zu tab-separated cells, the header has %zu", r->place, n,
                    r->n_columns);
  json_t *object = json_object();
  int status = object ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->place);
  for (size_t i = 0; i < n && status == 0; i++) {
    const char *cell = strsep(&line, "\t"), *name = r->columns[i];
    json_t *value = NULL;
    if (*cell && IS_ONE_OF(name, text_columns))
      value = json_string(cell);
    else if (*cell && IS_ONE_OF(name, json_columns))
      value = tpo_json_parse(cell, strlen(cell), r->place, err);
    else
      continue;
    if (!value || json_object_set_new(object, name, value) < 0)
      status = err && err->code ? err->code : tpo_fail(err, TPO_E_INPUT, "%s: column \"%s\"", r->place, name);
  }
  if (status == 0) status = read_object(r, object, err);
  json_decref(object);
  return status;
}

static int read_line(struct reader *r, struct tpo_lines *lines, bool *started, struct tpo_error *err)
{
  char *text = lines->line.data ? lines->line.data : "";
  size_t len = lines->line.len, bad;
  r->line = lines->number;
  snprintf(r->place, sizeof r->place, "%.440s:%llu", r->path, (unsigned long long)r->line);
  if (r->line == 1 && len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
    text += 3;
    len -= 3;
  }
  if (!tpo_utf8_valid(text, len, &bad))
    return tpo_fail(err, TPO_E_INPUT, "%s: not valid UTF-8 (byte %zu of the line)", r->place, bad + 1);
  if (memchr(text, 0, len)) return tpo_fail(err, TPO_E_INPUT, "%s: holds a NUL byte", r->place);
  if (is_blank(text)) return 0;
  if (!*started) {
    *started = true;
    if (text[strspn(text, " \t")] != '{') return read_header(r, text, err);
  }
  if (r->columns) return read_row(r, text, err);
  json_t *object = tpo_json_parse(text, len, r->place, err);
  if (!object) return err ? err->code : TPO_E_INPUT;
  int status = json_is_object(object) ? read_object(r, object, err)
                                      : tpo_fail(err, TPO_E_INPUT, "%s: expected a JSON object", r->place);
  json_decref(object);
  return status;
}

int tpo_instructions_read(struct tpo_instructions *set, const char *path, struct tpo_error *err)
{
  return tpo_instructions_read_some(set, path, 0, err);
}

/* A header that is refused leaves no way to read the rows. */
static int read_lines(struct reader *r, struct tpo_lines *lines, int skip_bad, struct tpo_error *err)
{
  bool started = false;
  int skipped = 0, more = 0, status = tpo_lines_refuse_foreign(lines, err);
  while (status == 0 && (more = tpo_lines_next(lines, err)) > 0) {
    bool is_row = started;
    err->code = 0;
    status = read_line(r, lines, &started, err);
    if (is_row || !r->columns) status = tpo_lines_skip_bad(status, skip_bad, &skipped, err);
  }
  return more < 0 ? more : status;
}

int tpo_instructions_read_some(struct tpo_instructions *set, const char *path, int skip_bad,
                               struct tpo_error *err)
{
  return tpo_instructions_read_checked(set, path, skip_bad, NULL, NULL, err);
}

int tpo_instructions_read_checked(struct tpo_instructions *set, const char *path, int skip_bad,
                                  int (*check)(void *arg, const struct tpo_instruction *item,
                                               struct tpo_error *err),
                                  void *arg, struct tpo_error *err)
{
  struct tpo_error local = {0};
  if (!err) err = &local;
  struct tpo_instructions fresh = {0};
  struct reader r = {
      .set = &fresh, .path = strcmp(path, "-") == 0 ? "standard input" : path, .check = check, .arg = arg};
  struct tpo_lines lines = {0};
  int status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  status = read_lines(&r, &lines, skip_bad, err);
  tpo_lines_close(&lines);
  free_columns(&r);
  free(r.ids.slots);
  free(r.ids.lines);
  if (status == 0 && fresh.n == 0)
    status = tpo_fail(err, TPO_E_INPUT,
                      "%s: no instruction in it; expected JSON Lines or a tab-separated file", r.path);
  if (status < 0) {
    tpo_instructions_free(&fresh);
    return status;
  }
  for (size_t i = 0; i < fresh.n && status == 0; i++)
    status = tpo_instructions_add(set, &fresh.items[i], err);
  tpo_instructions_free(&fresh);
  if (status == 0 && r.n_answers)
    tpo_log(TPO_LOG_INFO,
            "%s: the answer at the end of %zu chat%s is left out: asked is what comes before it", r.path,
            r.n_answers, r.n_answers == 1 ? "" : "s");
  return status;
}
