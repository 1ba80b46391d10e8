/* Thought prompts: how a model is asked to think first, and how its thought and response are told apart. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "text/unicode/space.h"
#include "text/chat/thought/thought.h"

int thought_split_prompt(const struct tpo_thought_config *thought, struct thought_piece *before,
                         struct thought_piece *after, struct tpo_error *err)
{
  const char *prompt = given(thought->prompt) ? thought->prompt : TPO_THOUGHT_SLOT,
             *slot = strstr(prompt, TPO_THOUGHT_SLOT);
  if (!slot || strstr(slot + 1, TPO_THOUGHT_SLOT))
    return tpo_fail(err, TPO_E_USAGE, "thought: the prompt must hold " TPO_THOUGHT_SLOT " exactly once");
  const char *behind = slot + strlen(TPO_THOUGHT_SLOT);
  *before = (struct thought_piece){prompt, (size_t)(slot - prompt)};
  *after = (struct thought_piece){behind, strlen(behind)};
  return TPO_OK;
}

bool thought_asks(const struct tpo_thought_config *thought)
{
  return given(thought->system) || given(thought->prefill) ||
         (given(thought->prompt) && strcmp(thought->prompt, TPO_THOUGHT_SLOT) != 0);
}

/* The user turn: the prompt with the instruction in its place, which is itself not looked into. */
static int fill_prompt(const struct tpo_thought_config *thought, const char *instruction, struct tpo_buf *out,
                       struct tpo_error *err)
{
  struct thought_piece before = {0}, after = {0};
  int status = thought_split_prompt(thought, &before, &after, err);
  if (status < 0) return status;
  tpo_buf_append(out, before.text, before.len);
  tpo_buf_puts(out, instruction);
  tpo_buf_append(out, after.text, after.len);
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for a prompt") : TPO_OK;
}

/* The chat's messages, borrowed from root; room is left for one more before them. */
static int read_messages(const json_t *root, struct tpo_message **out, size_t *n, struct tpo_error *err)
{
  *n = json_array_size(root);
  if (*n == 0)
    return tpo_fail(err, TPO_E_INPUT, "messages: an array of {\"role\", \"content\"} was expected");
  *out = tpo_calloc(*n + 1, sizeof **out, err);
  if (!*out) return TPO_E_MEMORY;
  for (size_t i = 0; i < *n; i++) {
    const json_t *item = json_array_get(root, i);
    struct tpo_message *m = *out + 1 + i;
    m->role = json_string_value(json_object_get(item, "role"));
    m->content = json_string_value(json_object_get(item, "content"));
    if (!m->role || !m->content)
      return tpo_fail(err, TPO_E_INPUT, "messages: message %zu lacks a role or a content that is a string",
                      i + 1);
    if (strlen(m->content) != json_string_length(json_object_get(item, "content")))
      return tpo_fail(err, TPO_E_INPUT, "messages: the content of message %zu holds a NUL", i + 1);
  }
  if (strcmp(out[0][*n].role, "user") != 0)
    return tpo_fail(err, TPO_E_INPUT, "messages: the last message must be of the user, not of %.80s",
                    out[0][*n].role);
  return TPO_OK;
}

/* Puts the layout's system message before the chat's messages[1..n]; *first becomes where the chat begins. A chat
 * with a system message keeps it: a layout that has a thought, and so may ask for it there, puts its own behind
 * that, any other leaves its own out. joined holds what is joined. */
static int put_system(const struct tpo_thought_config *thought, struct tpo_message *messages, size_t *first,
                      struct tpo_buf *joined, struct tpo_error *err)
{
  bool has_own = strcmp(messages[1].role, "system") == 0;
  *first = 1;
  if (!given(thought->system) || (has_own && !given(thought->response_marker))) return TPO_OK;
  if (!has_own) {
    *first = 0;
    messages[0] = (struct tpo_message){"system", thought->system};
    return TPO_OK;
  }
  tpo_buf_printf(joined, "%s\n\n%s", messages[1].content, thought->system);
  if (joined->failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for a prompt");
  messages[1].content = joined->data;
  return TPO_OK;
}

const char *tpo_thought_args(const struct tpo_thought_config *thought, const struct tpo_template *tmpl)
{
  return thought && tmpl->kind == TPO_TEMPLATE_MODEL ? thought->template_args : NULL;
}

/* messages[0] is free for a system message; messages[1..n] are the chat, the last one to be thought about. */
static int render_chat(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                       struct tpo_message *messages, size_t n, struct tpo_rendered *out,
                       struct tpo_error *err)
{
  struct tpo_buf turn = {0}, system = {0};
  size_t first;
  int status = fill_prompt(thought, messages[n].content, &turn, err);
  if (status == TPO_OK) status = put_system(thought, messages, &first, &system, err);
  if (status == TPO_OK) {
    messages[n].content = turn.data ? turn.data : "";
    const struct tpo_chat chat = {.messages = messages + first,
                                  .n = n + 1 - first,
                                  .template_args = tpo_thought_args(thought, tmpl),
                                  .generation_prompt = true};
    status = tpo_template_render_prompt(tmpl, &chat, out, err);
  }
  if (status == TPO_OK) status = tpo_template_begin_answer(tmpl, thought->prefill, out, err);
  tpo_buf_free(&turn);
  tpo_buf_free(&system);
  return status;
}

int thought_render_spans(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                         const char *instruction, const char *messages_json, struct tpo_rendered *out,
                         struct tpo_error *err)
{
  struct tpo_message single[2] = {{0}, {"user", instruction}};
  struct tpo_message *messages = single;
  size_t n = 1;
  json_t *root = NULL;
  int status = TPO_OK;
  if (messages_json) {
    messages = NULL;
    root = tpo_json_parse(messages_json, strlen(messages_json), "messages", err);
    status = root ? read_messages(root, &messages, &n, err) : TPO_E_INPUT;
  }
  if (status == TPO_OK) status = render_chat(thought, tmpl, messages, n, out, err);
  if (messages != single) free(messages);
  json_decref(root);
  return status;
}

int tpo_thought_render(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                       const char *instruction, const char *messages_json, struct tpo_ids *ids,
                       struct tpo_buf *text, struct tpo_error *err)
{
  struct tpo_rendered r = {0};
  int status = thought_render_spans(thought, tmpl, instruction, messages_json, &r, err);
  if (status == TPO_OK && ids) status = tpo_template_encode_spans(tmpl, &r, ids, err);
  if (status == TPO_OK && text) {
    tpo_buf_append(text, r.text.data ? r.text.data : "", r.text.len);
    if (text->failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory for a prompt");
  }
  tpo_rendered_free(&r);
  return status;
}

struct markers {
  size_t n_thought, n_response;
  struct tpo_span thought, response; /* the first of each */
  bool has_after;
  struct tpo_span after; /* the first response marker with a thought marker before it */
};

static size_t marker_at(const char *marker, const char *text, size_t left)
{
  size_t len = marker ? strlen(marker) : 0;
  return len > 0 && len <= left && memcmp(text, marker, len) == 0 ? len : 0;
}

/* From left to right; where both markers begin at one place, the longer counts. */
static void find_markers(const struct tpo_thought_config *thought, const char *text, size_t len,
                         struct markers *m)
{
  for (size_t at = 0; at < len;) {
    size_t t = marker_at(thought->thought_marker, text + at, len - at);
    size_t r = marker_at(thought->response_marker, text + at, len - at);
    bool response = r >= t;
    size_t used = response ? r : t;
    if (used == 0) {
      at++;
      continue;
    }
    struct tpo_span *first = response ? &m->response : &m->thought;
    if ((response ? m->n_response++ : m->n_thought++) == 0) *first = (struct tpo_span){at, at + used};
    if (response && m->n_thought > 0 && !m->has_after) {
      m->has_after = true;
      m->after = (struct tpo_span){at, at + used};
    }
    at += used;
  }
}

/* The offsets being known. marked: the markers stand as the layout wants them. */
static void settle(struct tpo_parsed *out, bool marked)
{
  out->response_ok = marked && out->response_begin < out->response_end;
  out->format_ok = out->response_ok && out->thought_begin < out->thought_end;
}

/* False, and nothing is told, where there are no such markers. */
static bool parse_search(const struct tpo_thought_config *thought, const struct markers *m, const char *text,
                         size_t len, struct tpo_parsed *out)
{
  bool wants_thought = thought->thought_marker && *thought->thought_marker;
  if (wants_thought ? !m->has_after : m->n_response == 0) return false;
  const struct tpo_span *response = wants_thought ? &m->after : &m->response;
  *out = (struct tpo_parsed){.thought_begin = wants_thought ? m->thought.end : 0,
                             .thought_end = response->begin,
                             .response_begin = response->end,
                             .response_end = len};
  tpo_trim(text, &out->thought_begin, &out->thought_end);
  tpo_trim(text, &out->response_begin, &out->response_end);
  settle(out, true);
  return true;
}

void tpo_thought_parse(const struct tpo_thought_config *thought, const char *text, size_t len,
                       struct tpo_parsed *out)
{
  struct markers m = {0};
  *out = (struct tpo_parsed){.response_begin = len, .response_end = len};
  if (!thought->response_marker || !*thought->response_marker) {
    out->response_begin = 0;
    tpo_trim(text, &out->response_begin, &out->response_end);
    out->thought_begin = out->thought_end = out->response_begin;
    out->format_ok = out->response_ok = out->response_begin < out->response_end;
    return;
  }
  find_markers(thought, text, len, &m);
  if (thought->parse == TPO_PARSE_SEARCH && parse_search(thought, &m, text, len, out)) return;
  bool wants_thought = thought->thought_marker && *thought->thought_marker;
  bool in_order = m.n_response > 0 && (m.n_thought == 0 || m.thought.end <= m.response.begin);
  if (m.n_thought > 0 && (in_order || m.n_response == 0)) out->thought_begin = m.thought.end;
  if (m.n_response > 0) {
    out->thought_end = m.response.begin;
    out->response_begin = m.response.end;
  } else {
    out->thought_end = m.n_thought > 0 ? len : 0;
  }
  tpo_trim(text, &out->thought_begin, &out->thought_end);
  tpo_trim(text, &out->response_begin, &out->response_end);
  settle(out, in_order && m.n_response == 1 && m.n_thought == (wants_thought ? 1 : 0));
}

bool tpo_thought_parses(const struct tpo_thought_config *thought, enum tpo_parse_rule rule, const char *text,
                        size_t len)
{
  struct tpo_thought_config by_rule = *thought;
  struct tpo_parsed parsed;
  by_rule.parse = rule;
  tpo_thought_parse(&by_rule, text, len, &parsed);
  return parsed.format_ok;
}
