/* The chat template of an exported model: its own, and around it what makes its prompts those that training
 * sampled from.
 *
 * Before it stand statements that rewrite `messages` where a generation prompt is asked for, as
 * tpo_thought_render does: the layout's prompt around the last message of the user, its system message,
 * defaults of the template's switches, earlier answers without their thoughts; behind it, the prefill. A text
 * without a generation prompt is the model's own template's. Only what jinja2, llama.cpp's engine and
 * minijinja have in common is used, and no loop over a message's content: servers look for one to tell
 * whether a template takes lists of parts. */
#include "text/chat/thought/think_template.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "text/chat/thought/thought.h"
#include "text/tokenizer.h"

#define MARK "{#- tpo: asks for the thought that the model was trained to think"

bool tpo_template_asks_for_thought(const char *source)
{
  return source && strncmp(source, MARK, strlen(MARK)) == 0;
}

/* Before a quoted response marker, where earlier answers lose their thoughts. */
#define EARLIER "{%- if message['role'] == 'assistant' and loop.index0 < tpo.last and text is string and "

void tpo_template_asked_marker(const char *source, struct tpo_buf *out)
{
  const char *at = tpo_template_asks_for_thought(source) ? strstr(source, EARLIER) : NULL;
  if (at) tpo_jinja_unquote(out, at + strlen(EARLIER));
}

static void quote(struct tpo_buf *out, struct thought_piece piece)
{
  tpo_jinja_quote(out, piece.text, piece.len);
}

static struct thought_piece whole(const char *text)
{
  return (struct thought_piece){text, strlen(text)};
}

/* The same prompt as the model's own template has it by itself. */
static int render_own(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                      const char *instruction, struct tpo_buf *out, struct tpo_error *err)
{
  struct tpo_thought_config unbegun = *thought; /* borrows */
  unbegun.prefill = NULL;
  return tpo_thought_render(&unbegun, tmpl, instruction, NULL, NULL, out, err);
}

/* The end of a prompt of training that is not the model's own template's: white space that it puts before an
 * answer only, and the prefill. */
static int find_tail(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                     struct tpo_buf *tail, struct tpo_error *err)
{
  static const char instruction[] = "What is asked?";
  struct tpo_buf own = {0}, all = {0};
  int status = render_own(thought, tmpl, instruction, &own, err);
  if (status == TPO_OK) status = tpo_thought_render(thought, tmpl, instruction, NULL, NULL, &all, err);
  if (status == TPO_OK && (all.len < own.len || memcmp(all.data, own.data, own.len) != 0))
    status = tpo_fail(err, TPO_E_INPUT, "%s: a prompt of training doesn't begin as its chat template renders",
                      tmpl->tok->place);
  if (status == TPO_OK) tpo_buf_append(tail, all.data + own.len, all.len - own.len);
  tpo_buf_free(&own);
  tpo_buf_free(&all);
  return status;
}

static bool is_word(char c)
{
  return c == '_' || isalnum((unsigned char)c);
}

/* Whether the name stands in the source as a whole, not within a longer one. */
static bool names(const char *source, const char *name)
{
  size_t len = strlen(name);
  for (const char *at = source; (at = strstr(at, name)); at++)
    if ((at == source || !is_word(at[-1])) && !is_word(at[len])) return true;
  return false;
}

/* A switch that the template looks at, as training set it, unless the caller sets it. */
static void put_default(const char *source, const char *name, const json_t *value, struct tpo_buf *out)
{
  if (!names(source, name)) return;
  tpo_buf_printf(out, "{%%- if %s is not defined %%}{%% set %s = ", name, name);
  tpo_jinja_constant(out, value);
  tpo_buf_puts(out, " %}{% endif %}\n");
}

static int put_defaults(const struct tpo_thought_config *thought, const char *source, struct tpo_buf *out,
                        struct tpo_error *err)
{
  json_t *args = given(thought->template_args)
                     ? tpo_json_parse(thought->template_args, strlen(thought->template_args),
                                      "thought.template_args", err)
                     : json_object();
  if (!args) return err && err->code ? err->code : TPO_E_INPUT;
  const char *name;
  json_t *value;
  if (!json_object_get(args, "enable_thinking")) put_default(source, "enable_thinking", json_false(), out);
  json_object_foreach(args, name, value) put_default(source, name, value, out);
  json_decref(args);
  return TPO_OK;
}

static void put_system(const struct tpo_thought_config *thought, bool parts, struct tpo_buf *out)
{
  if (!given(thought->system)) return;
  tpo_buf_puts(out, "{%- if messages[0]['role'] != 'system' %}"
                    "{% set tpo.messages = [{'role': 'system', 'content': ");
  if (parts) tpo_buf_puts(out, "[{'type': 'text', 'text': ");
  quote(out, whole(thought->system));
  tpo_buf_puts(out, parts ? "}]}] %}{% endif %}\n" : "}] %}{% endif %}\n");
}

/* Text around a message's: a string's, or as further parts of a list. */
static void put_around(const char *condition, struct thought_piece before, struct thought_piece after,
                       struct tpo_buf *out)
{
  if (before.len + after.len == 0) return;
  tpo_buf_printf(out, "{%%- if %s %%}\n{%%- if text is string %%}{%% set text = ", condition);
  quote(out, before);
  tpo_buf_puts(out, " ~ text ~ ");
  quote(out, after);
  tpo_buf_puts(out, " %}\n{%- elif text %}{% set text = [{'type': 'text', 'text': ");
  quote(out, before);
  tpo_buf_puts(out, "}] + text + [{'type': 'text', 'text': ");
  quote(out, after);
  tpo_buf_puts(out, "}] %}{% endif %}\n{%- endif %}\n");
}

/* An earlier answer that a client gives back with its thought. */
static void put_response(const struct tpo_thought_config *thought, struct tpo_buf *out)
{
  if (!given(thought->response_marker)) return;
  struct thought_piece marker = whole(thought->response_marker);
  tpo_buf_puts(out, EARLIER);
  quote(out, marker);
  tpo_buf_puts(out, " in text %}{% set text = text.split(");
  quote(out, marker);
  tpo_buf_puts(out, ")[1:] | join(");
  quote(out, marker);
  tpo_buf_puts(out, ") | trim %}{% endif %}\n");
}

static void put_system_behind(const struct tpo_thought_config *thought, struct tpo_buf *out)
{
  if (!given(thought->system) || !given(thought->response_marker)) return;
  struct tpo_buf text = {0};
  tpo_buf_printf(&text, "\n\n%s", thought->system);
  if (text.failed)
    out->failed = true;
  else
    put_around("loop.first and message['role'] == 'system'", whole(""), whole(text.data), out);
  tpo_buf_free(&text);
}

/* As tpo_thought_render has it. Lists of text parts become strings, as training's chats have, and for a template that
 * reads lists alone, strings one part. */
static int put_rewriting(const struct tpo_thought_config *thought, bool parts, struct tpo_buf *out,
                         struct tpo_error *err)
{
  struct thought_piece before = {0}, after = {0};
  int status = thought_split_prompt(thought, &before, &after, err);
  if (status < 0) return status;
  put_system(thought, parts, out);
  tpo_buf_puts(out, "{%- for message in messages %}\n"
                    "{%- set text = message['content'] %}\n"
                    "{%- if text and text is not string and text is iterable and "
                    "text | rejectattr('type', 'equalto', 'text') | list | length == 0 %}"
                    "{% set text = text | map(attribute='text') | join('') %}{% endif %}\n");
  put_response(thought, out);
  put_system_behind(thought, out);
  put_around("loop.index0 == tpo.last", before, after, out);
  if (parts)
    tpo_buf_puts(out,
                 "{%- if text is string %}{% set text = [{'type': 'text', 'text': text}] %}{% endif %}\n");
  tpo_buf_puts(
      out,
      "{%- set tpo.messages = tpo.messages + [dict(message, content=text) if text is defined else message] %}\n"
      "{%- endfor %}\n"
      "{%- set messages = tpo.messages %}\n");
  return TPO_OK;
}

/* In a comment: what might end it is left out, and a file's folder. */
static void put_mark(const struct tpo_thought_config *thought, struct tpo_buf *out)
{
  const char *name = given(thought->name) ? thought->name : "given by keys", *slash = strrchr(name, '/');
  tpo_buf_puts(out, MARK ", layout ");
  for (const char *c = slash ? slash + 1 : name; *c; c++)
    tpo_buf_putc(out, *c == '#' || *c == '{' || *c == '}' || (unsigned char)*c < ' ' ? '_' : *c);
  tpo_buf_puts(out, ", where a generation prompt is asked for. Its own template follows. -#}\n");
}

/* A newline at the very end is none of the text's. */
static size_t length_of_source(const char *source)
{
  size_t len = strlen(source);
  if (len > 0 && source[len - 1] == '\n') len--;
  if (len > 0 && source[len - 1] == '\r') len--;
  return len;
}

static int put_all(const struct tpo_thought_config *thought, const struct tpo_template *tmpl, const char *own,
                   struct tpo_buf *out, struct tpo_error *err)
{
  struct tpo_buf tail = {0};
  int status = find_tail(thought, tmpl, &tail, err);
  put_mark(thought, out);
  tpo_buf_puts(out, "{%- if add_generation_prompt is defined and add_generation_prompt and messages %}\n"
                    "{%- set tpo = namespace(last=-1, messages=[]) %}\n"
                    "{%- for message in messages %}{% if message['role'] == 'user' %}"
                    "{% set tpo.last = loop.index0 %}{% endif %}{% endfor %}\n"
                    "{%- if tpo.last >= 0 %}\n");
  if (status == TPO_OK) status = put_defaults(thought, own, out, err);
  if (status == TPO_OK) status = put_rewriting(thought, tmpl->parts, out, err);
  tpo_buf_puts(out, "{%- endif %}\n{%- endif %}\n"); /* the newline behind the last tag is taken away again */
  tpo_buf_append(out, own, length_of_source(own));
  if (tail.len > 0) {
    tpo_buf_puts(out, "{{ ");
    tpo_jinja_quote(out, tail.data, tail.len);
    tpo_buf_puts(out, " if tpo is defined and tpo.last >= 0 else '' }}");
  }
  tpo_buf_free(&tail);
  return status;
}

/* A layout that has the model asked, as it would be without one. */
static bool is_plain(const struct tpo_thought_config *thought)
{
  return !thought_asks(thought) && !given(thought->response_marker) && !given(thought->template_args);
}

/* Whether the new template renders the chat as training did. One that the model's own refuses is refused. */
static int compare(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                   const struct tpo_template *new, const char *messages, struct tpo_error *err)
{
  struct tpo_buf expected = {0}, got = {0};
  struct tpo_error refused = {0}, why = {0};
  const struct tpo_chat chat = {.messages_json = messages, .generation_prompt = true};
  int wanted = tpo_thought_render(thought, tmpl, NULL, messages, NULL, &expected, &refused);
  int status = tpo_template_render_chat(new, &chat, &got, NULL, &why);
  bool same = wanted < 0 ? status < 0
                         : status == TPO_OK && got.len == expected.len &&
                               memcmp(got.data, expected.data, got.len) == 0;
  tpo_buf_free(&expected);
  tpo_buf_free(&got);
  if (same) return TPO_OK;
  return tpo_fail(
      err, TPO_E_UNSUPPORTED,
      "%s: its chat template can't be made to render the prompts of training: the chat %s comes out "
      "otherwise%s%s; --thought none leaves it as it is",
      tmpl->tok->place, messages, status < 0 ? ": " : "", status < 0 ? why.message : "");
}

/* The interpreter, which renders as other programs do, must find training's prompts. */
static int check(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                 const char *source, struct tpo_error *err)
{
  static const char *const chats[] = {
      "[{\"role\":\"user\",\"content\":\"One?\"}]",
      ("[{\"role\":\"user\",\"content\":\"One?\"},{\"role\":\"assistant\",\"content\":\"1.\"},"
       "{\"role\":\"user\",\"content\":\"Two?\"}]"),
      "[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"One?\"}]"};
  struct tpo_tokenizer with = *tmpl->tok;
  struct tpo_template *new;
  with.chat_template = (char *)source;
  with.tool_template = NULL;
  const struct tpo_template_config date = {.date = (char *)tmpl->date};
  int status = tpo_template_open(&new, &with, &date, err);
  for (size_t i = 0; i < sizeof chats / sizeof *chats && status == TPO_OK; i++)
    status = compare(thought, tmpl, new, chats[i], err);
  tpo_template_close(new);
  return status;
}

/* The text around the model's own template; none where that is right as it is. One that asks already, as tpo export
 * writes them, is right where it renders training's prompts. */
static int write_template(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                          const char *own, struct tpo_buf *out, struct tpo_error *err)
{
  bool asked = tpo_template_asks_for_thought(own);
  struct tpo_error otherwise = {0};
  if (asked && check(thought, tmpl, own, &otherwise) == TPO_OK) return TPO_OK;
  if (asked && thought_asks(thought))
    return tpo_fail(
        err, TPO_E_USAGE,
        "%s: its chat template asks for a thought already, as tpo export writes them; expected the "
        "checkpoint that was exported, or thought: none",
        tmpl->tok->place);
  if (asked || !is_plain(thought) || names(own, "enable_thinking"))
    return put_all(thought, tmpl, own, out, err);
  if (tmpl->kind == TPO_TEMPLATE_CONFIGURED) tpo_buf_puts(out, own);
  return TPO_OK;
}

int tpo_thought_template(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                         char **out, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_buf own = {0}, text = {0};
  if (tmpl->kind == TPO_TEMPLATE_CONFIGURED)
    tpo_pieces_template(&tmpl->pieces, &own);
  else
    tpo_buf_puts(&own, tmpl->tok->chat_template);
  int status = own.failed ? TPO_OK : write_template(thought, tmpl, own.data, &text, err);
  if (status == TPO_OK && (own.failed || text.failed))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for a chat template");
  if (status == TPO_OK && text.len > 0) {
    *out = tpo_buf_take(&text);
    status =
        *out ? check(thought, tmpl, *out, err) : tpo_fail(err, TPO_E_MEMORY, "no memory for a chat template");
  }
  if (status < 0) {
    free(*out);
    *out = NULL;
  }
  tpo_buf_free(&own);
  tpo_buf_free(&text);
  return status;
}
