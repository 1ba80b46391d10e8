/* Which parts of the programs that serve models understand a layout.
 *
 * vLLM's parsers `qwen3` and `deepseek_r1` want <think> and </think> to be tokens of the vocabulary; the
 * latter takes all before the closing one for thought, also where the opening one is in the prompt. Its
 * `granite` searches the output for both of its markers. SGLang's and llama.cpp's look for the tags in the
 * text. */
#include <string.h>
#include "base/json.h"
#include "text/chat/template.h"
#include "text/tokenizer.h"

static bool is_one_of(const char *text, const char *a, const char *b)
{
  return text && (strcmp(text, a) == 0 || strcmp(text, b) == 0);
}

static bool has_tags(const struct tpo_thought_config *thought)
{
  return given(thought->response_marker) && strcmp(thought->response_marker, "</think>") == 0 &&
         (!given(thought->thought_marker) || strcmp(thought->thought_marker, "<think>") == 0);
}

/* Whether the prompt holds the layout's thought marker, so that outputs lack it. begun: the end of it that is
 * part of an output's text. */
static bool is_opened(const struct tpo_thought_config *thought, const struct tpo_buf *begun)
{
  return begun->len > 0 && given(thought->thought_marker) &&
         memmem(begun->data, begun->len, thought->thought_marker, strlen(thought->thought_marker));
}

static void tell_tags(const struct tpo_template *tmpl, bool opened, struct tpo_buf *out)
{
  bool tokens =
      tpo_tokenizer_find(tmpl->tok, "<think>") >= 0 && tpo_tokenizer_find(tmpl->tok, "</think>") >= 0;
  tpo_buf_puts(out, "its thoughts are read by ");
  if (tokens) tpo_buf_printf(out, "vllm serve --reasoning-parser %s, ", opened ? "deepseek_r1" : "qwen3");
  tpo_buf_printf(out, "SGLang --reasoning-parser %s and llama-server --reasoning-format deepseek",
                 opened ? "deepseek-r1" : "qwen3");
  if (!tokens)
    tpo_buf_puts(out, "; vLLM's parsers want <think> and </think> as tokens, which this vocabulary lacks");
  tpo_buf_putc(out, '\n');
}

static void quote(struct tpo_buf *out, const char *text)
{
  tpo_json_append_string(out, text, strlen(text));
}

static void tell_markers(const struct tpo_thought_config *thought, bool opened, struct tpo_buf *out)
{
  tpo_buf_puts(
      out,
      "no reasoning parser of vLLM, SGLang or llama.cpp reads this layout: the response is what follows ");
  quote(out, thought->response_marker);
  tpo_buf_puts(out, " in an output");
  if (given(thought->thought_marker)) {
    tpo_buf_puts(out, ", and the thought is what ");
    tpo_buf_puts(out, opened ? "stands before it (the prompt holds " : "stands between that and ");
    quote(out, thought->thought_marker);
    if (opened) tpo_buf_puts(out, " already)");
  }
  tpo_buf_putc(out, '\n');
}

/* In what servers may render other prompts, whatever the template says. */
static void tell_differences(const struct tpo_template *tmpl, struct tpo_buf *out)
{
  const char *source = tmpl->kind == TPO_TEMPLATE_MODEL ? tmpl->tok->chat_template : "";
  if (source && strstr(source, "strftime_now"))
    tpo_buf_puts(out, "its chat template tells today's date: a server fills in its own, where training had "
                      "template.date\n");
}

static void tell_switch(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                        struct tpo_buf *out)
{
  const char *source = tmpl->kind == TPO_TEMPLATE_MODEL ? tmpl->tok->chat_template : "";
  if (!source || !strstr(source, "enable_thinking")) return;
  const char *args = given(thought->template_args) ? thought->template_args : "{}";
  json_t *root = tpo_json_parse(args, strlen(args), "thought.template_args", NULL);
  bool on = json_is_true(json_object_get(root, "enable_thinking"));
  json_decref(root);
  if (!on)
    tpo_buf_puts(
        out, "training had enable_thinking: false, which the template has as its default; llama-server sets "
             "it to true by itself unless started with --reasoning off\n");
}

static void tell_layout(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                        const struct tpo_buf *begun, struct tpo_buf *out)
{
  bool opened = is_opened(thought, begun);
  bool granite =
      !opened &&
      is_one_of(thought->thought_marker, "Here is my thought process:", "Here's my thought process:") &&
      is_one_of(thought->response_marker, "Here is my response:", "Here's my response:");
  if (has_tags(thought))
    tell_tags(tmpl, opened, out);
  else if (granite)
    tpo_buf_puts(
        out, "its thoughts are read by vllm serve --reasoning-parser granite; SGLang and llama.cpp have no "
             "parser for this layout\n");
  else
    tell_markers(thought, opened, out);
}

int tpo_thought_tell_servers(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                             struct tpo_buf *out, struct tpo_error *err)
{
  struct tpo_buf begun = {0};
  int status = tpo_thought_begun(thought, tmpl, &begun, err);
  if (status == TPO_OK && given(thought->response_marker)) tell_layout(thought, tmpl, &begun, out);
  tpo_buf_free(&begun);
  if (status < 0) return status;
  tell_switch(thought, tmpl, out);
  tell_differences(tmpl, out);
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for what servers must know") : TPO_OK;
}
