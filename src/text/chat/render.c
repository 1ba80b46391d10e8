/* Chats as text, and as ids in which only the template's own markers are control tokens. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "text/chat/space.h"
#include "text/chat/template.h"
#include "text/tokenizer.h"

void tpo_rendered_free(struct tpo_rendered *r)
{
  tpo_buf_free(&r->text);
  free(r->own);
  *r = (struct tpo_rendered){0};
}

/* Text of the template itself. */
static void own(struct tpo_rendered *r, const char *text)
{
  size_t begin = r->text.len;
  tpo_buf_puts(&r->text, text);
  if (r->text.len == begin) return;
  if (r->n > 0 && r->own[r->n - 1].end == begin) {
    r->own[r->n - 1].end = r->text.len;
    return;
  }
  if (tpo_grow(&r->own, &r->capacity, r->n + 1, sizeof *r->own, NULL) < 0)
    r->failed = true;
  else
    r->own[r->n++] = (struct tpo_span){begin, r->text.len};
}

static void content(struct tpo_rendered *r, const char *text)
{
  tpo_buf_puts(&r->text, text);
}

static void trimmed(struct tpo_rendered *r, const char *text)
{
  size_t begin = 0, end = strlen(text);
  tpo_trim(text, &begin, &end);
  tpo_buf_append(&r->text, text + begin, end - begin);
}

static bool has_role(const struct tpo_message *m, const char *role)
{
  return strcmp(m->role, role) == 0;
}

static void render_chatml(const struct tpo_template *t, const struct tpo_message *messages, size_t n,
                          bool prompt, struct tpo_rendered *r)
{
  if (n > 0 && t->default_system && !has_role(&messages[0], "system")) {
    own(r, "<|im_start|>system\n");
    content(r, t->default_system);
    own(r, "<|im_end|>\n");
  }
  for (size_t i = 0; i < n; i++) {
    own(r, "<|im_start|>");
    own(r, messages[i].role);
    own(r, "\n");
    content(r, messages[i].content);
    own(r, "<|im_end|>\n");
  }
  if (prompt) own(r, "<|im_start|>assistant\n");
}

/* The system message stands within the first user turn, which is stripped as a whole. */
static void first_user_turn(const char *system, const char *text, struct tpo_rendered *r)
{
  size_t begin = 0, end = strlen(text);
  tpo_trim(text, &begin, &end);
  own(r, "<<SYS>>\n");
  content(r, system);
  own(r, begin == end ? "\n<</SYS>>" : "\n<</SYS>>\n\n");
  tpo_buf_append(&r->text, text, begin == end ? 0 : end);
}

/* Messages from the first on are the user's and the assistant's in turn. */
static int check_turns(const struct tpo_message *messages, size_t first, size_t n, struct tpo_error *err)
{
  for (size_t i = first; i < n; i++)
    if (!has_role(&messages[i], (i - first) % 2 == 0 ? "user" : "assistant"))
      return tpo_fail(err, TPO_E_INPUT,
                      "message %zu: this chat template wants user and assistant in turn, but it is of %s",
                      i + 1, messages[i].role);
  return TPO_OK;
}

static int render_llama2(const struct tpo_template *t, const struct tpo_message *messages, size_t n,
                         struct tpo_rendered *r, struct tpo_error *err)
{
  const char *system = n > 0 && has_role(&messages[0], "system") ? messages[0].content : NULL;
  size_t first = system ? 1 : 0;
  if (check_turns(messages, first, n, err) < 0) return TPO_E_INPUT;
  for (size_t i = first; i < n; i++) {
    if ((i - first) % 2 == 0) {
      own(r, t->bos);
      own(r, "[INST] ");
      if (i == first && system)
        first_user_turn(system, messages[i].content, r);
      else
        trimmed(r, messages[i].content);
      own(r, " [/INST]");
    } else {
      own(r, " ");
      trimmed(r, messages[i].content);
      own(r, " ");
      own(r, t->eos);
    }
  }
  return TPO_OK;
}

static void llama3_turn(const char *role, const char *text, struct tpo_rendered *r)
{
  own(r, "<|start_header_id|>");
  own(r, role);
  own(r, "<|end_header_id|>\n\n");
  if (!text) return;
  trimmed(r, text);
  own(r, "<|eot_id|>");
}

/* The date is the one that stands in the template, never today's, though a template may ask for today's where
 * it can: the same chat must give the same tokens on every day, to sampling, training and scoring alike. */
static void render_llama3(const struct tpo_template *t, const struct tpo_message *messages, size_t n,
                          bool prompt, struct tpo_rendered *r)
{
  if (t->date) {
    bool system = n > 0 && has_role(&messages[0], "system");
    own(r, t->bos);
    llama3_turn("system", NULL, r);
    own(r, "Cutting Knowledge Date: ");
    own(r, t->knowledge);
    own(r, "\nToday Date: ");
    own(r, t->date);
    own(r, "\n\n");
    if (system) trimmed(r, messages[0].content);
    own(r, "<|eot_id|>");
    messages += system;
    n -= system;
  } else if (n > 0) {
    own(r, t->bos);
  }
  for (size_t i = 0; i < n; i++) llama3_turn(messages[i].role, messages[i].content, r);
  if (prompt) llama3_turn("assistant", NULL, r);
}

/* Whether message i is what the assistant answers to, and no tool's answer. */
static bool is_query(const struct tpo_message *m)
{
  static const char open[] = "<tool_response>", close[] = "</tool_response>";
  size_t len = strlen(m->content);
  return has_role(m, "user") && !(strncmp(m->content, open, strlen(open)) == 0 && len >= strlen(close) &&
                                  strcmp(m->content + len - strlen(close), close) == 0);
}

static size_t skip_newlines(const char *text, size_t begin, size_t end)
{
  while (begin < end && text[begin] == '\n') begin++;
  return begin;
}

static size_t drop_newlines(const char *text, size_t begin, size_t end)
{
  while (end > begin && text[end - 1] == '\n') end--;
  return end;
}

/* An answer of the assistant, from whose text the thought is taken out: shown where it answers the last query
 * and there is one, or it is the last message, which then has an empty one. */
static void qwen3_answer(const char *text, bool current, bool last, struct tpo_rendered *r)
{
  static const char open[] = "<think>", close[] = "</think>";
  size_t from = 0, to = 0, answer = 0, len = strlen(text);
  const char *end = strstr(text, close), *at = NULL;
  if (end) {
    to = drop_newlines(text, 0, (size_t)(end - text));
    for (const char *next = text; (next = memmem(next, (size_t)(text + to - next), open, strlen(open)));)
      at = next = next + strlen(open);
    if (at) from = (size_t)(at - text);
    from = skip_newlines(text, from, to);
    for (const char *next = end; next; next = strstr(next, close))
      answer = (size_t)((next += strlen(close)) - text);
    answer = skip_newlines(text, answer, len);
  }
  if (current && (last || from < to)) {
    own(r, "<think>\n");
    tpo_buf_append(&r->text, text + from, to - from);
    own(r, "\n</think>\n\n");
    answer = skip_newlines(text, answer, len);
  }
  tpo_buf_append(&r->text, text + answer, len - answer);
}

/* Thinking is off, as enable_thinking=False has it: the thought that is asked for here is another. */
static void render_qwen3(const struct tpo_message *messages, size_t n, bool prompt, struct tpo_rendered *r)
{
  size_t query = n;
  while (query > 0 && !is_query(&messages[query - 1])) query--;
  if (query == 0) query = n;
  for (size_t i = 0; i < n; i++) {
    own(r, "<|im_start|>");
    own(r, messages[i].role);
    own(r, "\n");
    if (has_role(&messages[i], "assistant"))
      qwen3_answer(messages[i].content, i >= query, i + 1 == n, r);
    else
      content(r, messages[i].content);
    own(r, "<|im_end|>\n");
  }
  if (prompt) own(r, "<|im_start|>assistant\n<think>\n\n</think>\n\n");
}

/* The system message stands within the first user turn, or nowhere. */
static int render_gemma(const struct tpo_template *t, const struct tpo_message *messages, size_t n,
                        bool prompt, struct tpo_rendered *r, struct tpo_error *err)
{
  size_t first = n > 0 && has_role(&messages[0], "system");
  if (first && t->no_system)
    return tpo_fail(err, TPO_E_INPUT, "message 1: this chat template takes no system message");
  if (check_turns(messages, first, n, err) < 0) return TPO_E_INPUT;
  own(r, t->bos);
  for (size_t i = first; i < n; i++) {
    own(r, (i - first) % 2 == 0 ? "<start_of_turn>user\n" : "<start_of_turn>model\n");
    if (i == 1 && first) {
      content(r, messages[0].content);
      content(r, "\n\n");
    }
    trimmed(r, messages[i].content);
    own(r, "<end_of_turn>\n");
  }
  if (prompt) own(r, "<start_of_turn>model\n");
  return TPO_OK;
}

/* The system message stands within the last user turn, where the chat ends with one. */
static int render_mistral(const struct tpo_template *t, const struct tpo_message *messages, size_t n,
                          struct tpo_rendered *r, struct tpo_error *err)
{
  size_t first = n > 0 && has_role(&messages[0], "system");
  if (check_turns(messages, first, n, err) < 0) return TPO_E_INPUT;
  own(r, t->bos);
  for (size_t i = first; i < n; i++) {
    if ((i - first) % 2 == 0) {
      own(r, "[INST] ");
      if (first && i + 1 == n) {
        content(r, messages[0].content);
        content(r, "\n\n");
      }
      content(r, messages[i].content);
      own(r, "[/INST]");
    } else {
      own(r, " ");
      trimmed(r, messages[i].content);
      own(r, t->eos);
    }
  }
  return TPO_OK;
}

static void render_configured(const struct tpo_template *t, const struct tpo_message *messages, size_t n,
                              bool prompt, struct tpo_rendered *r)
{
  const struct tpo_template_config *p = &t->pieces;
  own(r, p->bos);
  if (n > 0 && t->default_system && !has_role(&messages[0], "system")) {
    own(r, p->system_prefix);
    content(r, t->default_system);
    own(r, p->system_suffix);
  }
  for (size_t i = 0; i < n; i++) {
    bool system = has_role(&messages[i], "system"), user = has_role(&messages[i], "user");
    own(r, system ? p->system_prefix : user ? p->user_prefix : p->assistant_prefix);
    content(r, messages[i].content);
    own(r, system ? p->system_suffix : user ? p->user_suffix : p->assistant_suffix);
  }
  if (prompt) own(r, p->assistant_prefix);
}

static int check_messages(const struct tpo_message *messages, size_t n, struct tpo_error *err)
{
  for (size_t i = 0; i < n; i++) {
    const struct tpo_message *m = &messages[i];
    if (!m->role || !m->content)
      return tpo_fail(err, TPO_E_INPUT, "message %zu: a role and a content were expected", i + 1);
    if (!has_role(m, "system") && !has_role(m, "user") && !has_role(m, "assistant"))
      return tpo_fail(err, TPO_E_INPUT, "message %zu: the role \"%.80s\" is none of system, user, assistant",
                      i + 1, m->role);
  }
  return TPO_OK;
}

static int render_messages(const struct tpo_template *tmpl, const struct tpo_message *messages, size_t n,
                           bool generation_prompt, struct tpo_rendered *out, struct tpo_error *err)
{
  int status = check_messages(messages, n, err);
  if (status < 0) return status;
  bool prompt = generation_prompt || tmpl->always_prompt;
  switch (tmpl->family) {
  case TPO_TEMPLATE_CHATML: render_chatml(tmpl, messages, n, prompt, out); break;
  case TPO_TEMPLATE_LLAMA2: status = render_llama2(tmpl, messages, n, out, err); break;
  case TPO_TEMPLATE_LLAMA3: render_llama3(tmpl, messages, n, prompt, out); break;
  case TPO_TEMPLATE_QWEN3: render_qwen3(messages, n, prompt, out); break;
  case TPO_TEMPLATE_GEMMA: status = render_gemma(tmpl, messages, n, prompt, out, err); break;
  case TPO_TEMPLATE_MISTRAL: status = render_mistral(tmpl, messages, n, out, err); break;
  case TPO_TEMPLATE_CONFIGURED: render_configured(tmpl, messages, n, prompt, out); break;
  case TPO_TEMPLATE_NONE:
    for (size_t i = 0; i < n; i++) content(out, messages[i].content);
    break;
  }
  if (status == TPO_OK && (out->failed || out->text.failed))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for a chat");
  return status;
}

/* The messages of messages_json, borrowed from root. */
static int read_messages(const json_t *root, struct tpo_message **out, size_t *n, struct tpo_error *err)
{
  if (!json_is_array(root))
    return tpo_fail(err, TPO_E_INPUT, "messages: an array of {\"role\", \"content\"} was expected");
  *n = json_array_size(root);
  *out = tpo_calloc(*n ? *n : 1, sizeof **out, err);
  for (size_t i = 0; *out && i < *n; i++) {
    const json_t *item = json_array_get(root, i);
    (*out)[i] = (struct tpo_message){json_string_value(json_object_get(item, "role")),
                                     json_string_value(json_object_get(item, "content"))};
  }
  return *out ? TPO_OK : TPO_E_MEMORY;
}

int tpo_template_render_spans(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                              struct tpo_rendered *out, struct tpo_error *err)
{
  if (chat->tools_json || chat->documents_json || chat->template_args || chat->continue_final)
    return tpo_fail(
        err, TPO_E_UNSUPPORTED,
        "this chat template takes neither tools, documents, arguments nor a last message to go on with");
  if (!chat->messages_json)
    return render_messages(tmpl, chat->messages, chat->n, chat->generation_prompt, out, err);
  struct tpo_message *messages = NULL;
  size_t n = 0;
  json_t *root = tpo_json_parse(chat->messages_json, strlen(chat->messages_json), "messages", err);
  int status = root ? read_messages(root, &messages, &n, err) : TPO_E_INPUT;
  if (status == TPO_OK) status = render_messages(tmpl, messages, n, chat->generation_prompt, out, err);
  free(messages);
  json_decref(root);
  return status;
}

void tpo_template_begin_answer(const struct tpo_template *tmpl, const char *prefill, struct tpo_rendered *out)
{
  if (!prefill || !*prefill) return;
  if (tmpl->family == TPO_TEMPLATE_LLAMA2 || tmpl->family == TPO_TEMPLATE_MISTRAL)
    own(out, " "); /* they put one before every answer */
  content(out, prefill);
}

/* Plain text between two control tokens is encoded in one piece, so that ids are those of the whole rendered
 * text. */
int tpo_template_encode_spans(const struct tpo_template *tmpl, const struct tpo_rendered *r,
                              struct tpo_ids *out, struct tpo_error *err)
{
  const struct tpo_tokenizer *tok = tmpl->tok;
  const char *text = r->text.data ? r->text.data : "";
  size_t before = out->n, from = 0;
  int status = TPO_OK;
  for (size_t i = 0; i < r->n && status == TPO_OK; i++) {
    struct tpo_span span = r->own[i];
    struct tpo_added_match match;
    while (status == TPO_OK &&
           tpo_added_next(&tok->specials, text + span.begin, span.end - span.begin, 0, true, &match)) {
      size_t begin = span.begin + match.begin;
      if (begin > from)
        status = tpo_tokenizer_encode_plain(tok, text + from, begin - from, from == 0, out, err);
      if (status == TPO_OK) status = tpo_ids_append(out, &match.token->id, 1, err);
      from = span.begin += match.end;
    }
  }
  if (status == TPO_OK && r->text.len > from)
    status = tpo_tokenizer_encode_plain(tok, text + from, r->text.len - from, from == 0, out, err);
  if (status < 0) out->n = before;
  return status;
}

int tpo_template_render_chat(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                             struct tpo_buf *text, struct tpo_ids *ids, struct tpo_error *err)
{
  struct tpo_rendered r = {0};
  size_t before = ids ? ids->n : 0;
  int status = tpo_template_render_spans(tmpl, chat, &r, err);
  if (status == TPO_OK && ids) status = tpo_template_encode_spans(tmpl, &r, ids, err);
  if (status == TPO_OK && text) {
    tpo_buf_append(text, r.text.data ? r.text.data : "", r.text.len);
    if (text->failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory for a chat");
  }
  if (status < 0 && ids) ids->n = before;
  tpo_rendered_free(&r);
  return status;
}

int tpo_template_render(const struct tpo_template *tmpl, const struct tpo_message *messages, size_t n,
                        bool generation_prompt, struct tpo_buf *out, struct tpo_error *err)
{
  const struct tpo_chat chat = {.messages = messages, .n = n, .generation_prompt = generation_prompt};
  return tpo_template_render_chat(tmpl, &chat, out, NULL, err);
}

int tpo_template_encode(const struct tpo_template *tmpl, const struct tpo_message *messages, size_t n,
                        bool generation_prompt, struct tpo_ids *out, struct tpo_error *err)
{
  const struct tpo_chat chat = {.messages = messages, .n = n, .generation_prompt = generation_prompt};
  return tpo_template_render_chat(tmpl, &chat, NULL, out, err);
}
