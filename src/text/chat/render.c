/* Chats as text, by the model's own template or by pieces, and as ids. */
#include <string.h>
#include "text/chat/pieces.h"
#include "text/unicode/space.h"
#include "text/chat/template.h"

static int refuse(const char *what, struct tpo_error *err)
{
  return tpo_fail(
      err, TPO_E_USAGE,
      "%s can't be shown: that takes the model's own chat template, which the pieces under `template:` "
      "have taken the place of",
      what);
}

static int check_pieces(const struct tpo_chat *chat, struct tpo_error *err)
{
  if (chat->tools_json) return refuse("tools", err);
  if (chat->documents_json) return refuse("documents", err);
  return chat->template_args ? refuse("template_args", err) : TPO_OK;
}

/* By the model's own template, or the one that it has for tools. */
static int run(const struct tpo_template *tmpl, const struct tpo_chat *chat,
               const struct tpo_chat_inputs *inputs, struct tpo_rendered *out, struct tpo_error *err)
{
  const struct tpo_jinja *jinja = chat->tools_json && tmpl->tool_jinja ? tmpl->tool_jinja : tmpl->jinja;
  return tpo_jinja_render(jinja, inputs->items, inputs->n, tmpl->date, NULL, out, err);
}

static int render(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                  const struct tpo_chat_inputs *inputs, struct tpo_rendered *out, struct tpo_error *err)
{
  if (tmpl->kind == TPO_TEMPLATE_MODEL) return run(tmpl, chat, inputs, out, err);
  if (tmpl->kind == TPO_TEMPLATE_NONE) return tpo_contents_render(inputs->messages, out, err);
  int status = check_pieces(chat, err);
  return status < 0 ? status
                    : tpo_pieces_render(&tmpl->pieces, inputs->messages, chat->generation_prompt, out, err);
}

/* The text that is to be gone on with: a message's content, or the last part of it that is text. */
static const json_t *final_text(const json_t *message)
{
  const json_t *content = json_object_get(message, "content");
  if (!json_is_array(content)) return content;
  for (size_t i = json_array_size(content); i-- > 0;) {
    const json_t *text = json_object_get(json_array_get(content, i), "text");
    if (text) return text;
  }
  return NULL;
}

/* Ends the text where the last message's content ends in it, as transformers' continue_final_message does. */
static int cut_behind_final(const json_t *messages, struct tpo_rendered *out, struct tpo_error *err)
{
  char name[48];
  size_t n = json_array_size(messages), end, begin = 0, last;
  const json_t *final = n > 0 ? final_text(json_array_get(messages, n - 1)) : NULL;
  const char *text = json_string_value(final);
  if (!text) return tpo_fail(err, TPO_E_INPUT, "message %zu: it has no text that could be gone on with", n);
  last = json_string_length(final);
  tpo_trim(text, &begin, &last);
  if (begin == last)
    return tpo_fail(err, TPO_E_INPUT, "message %zu: it is empty, so there is nothing to go on with", n);
  snprintf(name, sizeof name, "messages[%zu].content", n - 1);
  size_t shown_begin = 0, shown_end = 0;
  if (tpo_rendered_end_of(out, name, &end)) {
    shown_end = end;
    tpo_trim(out->text.data, &shown_begin, &shown_end);
  }
  size_t len = last - begin;
  if (shown_end < len || memcmp(out->text.data + shown_end - len, text + begin, len) != 0)
    return tpo_fail(
        err, TPO_E_INPUT,
        "message %zu: the chat template doesn't show it as it is, so that it can't be gone on with", n);
  tpo_rendered_cut(out, end);
  return TPO_OK;
}

/* A prompt without what the user says would be sampled from and trained on all the same. */
static int check_shown(const json_t *messages, const struct tpo_rendered *r, struct tpo_error *err)
{
  char name[48];
  size_t n = json_array_size(messages), begin = 0, end;
  const json_t *last = n > 0 ? json_array_get(messages, n - 1) : NULL, *said = final_text(last);
  const char *role = json_string_value(json_object_get(last, "role")), *text = json_string_value(said);
  if (!role || strcmp(role, "user") != 0 || !text) return TPO_OK;
  end = json_string_length(said);
  tpo_trim(text, &begin, &end);
  snprintf(name, sizeof name, "messages[%zu].content", n - 1);
  if (begin == end || tpo_rendered_end_of(r, name, &end)) return TPO_OK;
  return tpo_fail(err, TPO_E_UNSUPPORTED,
                  "message %zu: the chat template shows nothing of its content, neither as a string nor as a "
                  "list of parts, so that a model could not answer it",
                  n);
}

static int render_chat(const struct tpo_template *tmpl, const struct tpo_chat *chat, bool prompt,
                       struct tpo_rendered *out, struct tpo_error *err)
{
  if (chat->generation_prompt && chat->continue_final)
    return tpo_fail(err, TPO_E_USAGE,
                    "a chat either goes on with its last message or has a new one begun, not both");
  struct tpo_chat_inputs inputs;
  int status = tpo_chat_inputs_make(&inputs, tmpl->tok, chat, tmpl->parts, err);
  if (status == TPO_OK) status = render(tmpl, chat, &inputs, out, err);
  if (status == TPO_OK && chat->continue_final) status = cut_behind_final(inputs.messages, out, err);
  if (status == TPO_OK && prompt) status = check_shown(inputs.messages, out, err);
  tpo_chat_inputs_free(&inputs);
  return status;
}

int tpo_template_render_spans(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                              struct tpo_rendered *out, struct tpo_error *err)
{
  return render_chat(tmpl, chat, false, out, err);
}

int tpo_template_render_prompt(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                               struct tpo_rendered *out, struct tpo_error *err)
{
  return render_chat(tmpl, chat, true, out, err);
}

int tpo_template_begin_answer(const struct tpo_template *tmpl, const char *prefill, struct tpo_rendered *out,
                              struct tpo_error *err)
{
  if (!prefill || !*prefill) return TPO_OK;
  int status = tpo_rendered_add(out, tmpl->gap, strlen(tmpl->gap), "the answer's gap", true, err);
  return status < 0 ? status : tpo_rendered_add(out, prefill, strlen(prefill), "thought.prefill", true, err);
}

int tpo_template_render_chat(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                             struct tpo_buf *text, struct tpo_ids *ids, struct tpo_error *err)
{
  struct tpo_rendered r = {0};
  size_t before = ids ? ids->n : 0;
  int status = render_chat(tmpl, chat, chat->generation_prompt, &r, err);
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
