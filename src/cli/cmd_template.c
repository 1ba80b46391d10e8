/* `tpo template`: a chat as the model sees it, and where each stretch of it came from. Reads no tensors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/chat.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/text.h"

enum { max_input = 1 << 30 };

static const struct option options[] = {
    OPTION_MODEL,
    {"--no-generation-prompt", 0, NULL, NULL, "leave out the start of the assistant's turn"},
    {"--continue-final-message", 0, NULL, NULL,
     "end with the last message's content, for it to be gone on with"},
    {"--thought", 0, "NAME|FILE", "thought",
     "the prompt that is sampled from under a thought layout: " THOUGHT_NAMES ", none or a YAML file"},
    {"--explain", 0, NULL, NULL, "a line a stretch: where it came from, a control token's id, its text"},
    OPTION_END,
};

static const char place[] = "standard input";

/* Texts of JSON, owned; NULL where there are none. */
struct request {
  char *messages, *tools, *documents, *args;
};

static int take(char **out, const json_t *value, struct tpo_error *err)
{
  if (!value || json_is_null(value)) return 0;
  *out = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
  return *out ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place);
}

static int take_messages(struct request *request, const json_t *messages, struct tpo_error *err)
{
  if (!json_is_array(messages) || json_array_size(messages) == 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: expected a JSON array of messages {\"role\", \"content\"}, or an object with such "
                    "\"messages\"",
                    place);
  json_t *chat = tpo_chat_read_whole(messages, "messages", place, err);
  int status = chat ? take(&request->messages, chat, err) : err->code;
  json_decref(chat);
  return status;
}

/* {"messages", "tools", "documents", "template_args"}: what else an object says would go unheard. */
static int take_object(struct request *request, const json_t *root, struct tpo_error *err)
{
  const char *key;
  json_t *value;
  int status = take_messages(request, json_object_get(root, "messages"), err);
  json_object_foreach((json_t *)root, key, value)
  {
    char **out = strcmp(key, "tools") == 0           ? &request->tools
                 : strcmp(key, "documents") == 0     ? &request->documents
                 : strcmp(key, "template_args") == 0 ? &request->args
                                                     : NULL;
    if (status < 0) break;
    if (out)
      status = take(out, value, err);
    else if (strcmp(key, "messages") != 0)
      status = tpo_fail(err, TPO_E_INPUT,
                        "%s: \"%.80s\" is none of messages, tools, documents, template_args", place, key);
  }
  return status;
}

static int read_request(struct request *request, struct tpo_error *err)
{
  struct tpo_buf input = {0};
  json_t *root = NULL;
  int status = tpo_read_file("-", max_input, &input, err);
  if (status == 0 && !(root = tpo_json_parse(input.data ? input.data : "", input.len, place, err)))
    status = TPO_E_INPUT;
  tpo_buf_free(&input);
  if (status == 0)
    status = json_is_object(root) ? take_object(request, root, err) : take_messages(request, root, err);
  json_decref(root);
  return status;
}

static void request_free(struct request *request)
{
  free(request->messages);
  free(request->tools);
  free(request->documents);
  free(request->args);
}

/* What is shown, as it comes: all of the text at the end, or a line a stretch at once. */
struct showing {
  bool explain;
  struct tpo_buf text; /* or the line */
  bool has_tools, has_documents, has_calls;
};

static int show_line(struct showing *show, const struct tpo_stretch *s)
{
  char id[16] = "";
  if (s->token >= 0) snprintf(id, sizeof id, "%d", s->token);
  tpo_buf_clear(&show->text);
  tpo_buf_printf(&show->text, "%-24s  %7s  ", s->origin, id);
  append_quoted(&show->text, s->text, s->len);
  return show->text.failed ? TPO_E_MEMORY : puts(show->text.data) < 0 ? TPO_E_IO : 0;
}

static int show_stretch(void *arg, const struct tpo_stretch *s, struct tpo_error *err)
{
  struct showing *show = arg;
  show->has_tools |= strcmp(s->origin, "tools") == 0;
  show->has_documents |= strcmp(s->origin, "documents") == 0;
  show->has_calls |= strstr(s->origin, "].tool_calls") != NULL;
  if (!show->explain) tpo_buf_append(&show->text, s->text, s->len);
  int status = show->explain ? show_line(show, s) : show->text.failed ? TPO_E_MEMORY : 0;
  return status < 0 ? tpo_fail(err, status, "the chat can't be shown: %m") : 0;
}

static int show_text(const struct showing *show, struct tpo_error *err)
{
  bool written = show->explain || show->text.len == 0 ||
                 fwrite(show->text.data, 1, show->text.len, stdout) == show->text.len;
  return written ? 0 : tpo_fail(err, TPO_E_IO, "writing to standard output failed: %m");
}

/* A template may pass over what it was not made for, without a word. */
static void warn_of_unseen(const struct showing *show, const struct request *request)
{
  bool calls = strstr(request->messages, "\"tool_calls\":") != NULL;
  const char *unseen = request->tools && !show->has_tools           ? "tools"
                       : request->documents && !show->has_documents ? "documents"
                       : calls && !show->has_calls                  ? "tool_calls"
                                                                    : NULL;
  if (unseen) tpo_log(TPO_LOG_WARN, "the chat template shows nothing of \"%s\"", unseen);
}

static int show_chat(const struct invocation *in, const struct tpo_template *tmpl,
                     const struct request *request, struct showing *show, struct tpo_error *err)
{
  bool go_on = option_value(in, "--continue-final-message");
  const struct tpo_chat chat = {.messages_json = request->messages,
                                .tools_json = request->tools,
                                .documents_json = request->documents,
                                .template_args = request->args,
                                .generation_prompt = !go_on && !option_value(in, "--no-generation-prompt"),
                                .continue_final = go_on};
  int status = tpo_template_explain(tmpl, &chat, show_stretch, show, err);
  if (status == 0) warn_of_unseen(show, request);
  return status;
}

/* What goes with a chat alone. */
static int check_thought(const struct invocation *in, const struct request *request, struct tpo_error *err)
{
  const char *option = option_value(in, "--no-generation-prompt")     ? "--no-generation-prompt"
                       : option_value(in, "--continue-final-message") ? "--continue-final-message"
                                                                      : NULL;
  const char *member = request->tools       ? "tools"
                       : request->documents ? "documents"
                       : request->args      ? "template_args"
                                            : NULL;
  if (option)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s and --thought exclude each other: a prompt ends where the answer begins", option);
  if (member)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s: \"%s\" is no part of what --thought shows: prompts are sampled without%s", place,
                    member, request->args ? ", and the layout says thought.template_args" : "");
  return 0;
}

static int show_prompt(struct invocation *in, const struct tpo_tokenizer *tok,
                       const struct tpo_template *tmpl, const struct request *request, struct showing *show,
                       struct tpo_error *err)
{
  int status = check_thought(in, request, err);
  if (status == 0) status = settle_on_layout(&in->config, tok, tmpl, err);
  if (status < 0) return status;
  return tpo_thought_explain(&in->config.thought, tmpl, request->messages, show_stretch, show, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct tpo_tokenizer *tok = NULL;
  struct tpo_template *tmpl = NULL;
  struct request request = {0};
  struct showing show = {.explain = option_value(in, "--explain")};
  int status = open_tokenizer(in, &tok, err);
  if (status == 0) status = tpo_template_open(&tmpl, tok, &in->config.template_pieces, err);
  if (status == 0) status = read_request(&request, err);
  if (status == 0)
    status = option_is_key_set(in, "thought.name") ? show_prompt(in, tok, tmpl, &request, &show, err)
                                                   : show_chat(in, tmpl, &request, &show, err);
  if (status == 0) status = show_text(&show, err);
  tpo_buf_free(&show.text);
  request_free(&request);
  tpo_template_close(tmpl);
  tpo_tokenizer_close(tok);
  return status;
}

const struct command cmd_template = {
    .name = "template",
    .arguments = "",
    .summary = "a chat on standard input, JSON, to the text that the model sees",
    .options = options,
    .no_default = "--thought",
    .run = run,
    .notes =
        "The chat is an array of messages {\"role\", \"content\"}, or an object {\"messages\", \"tools\", \"documents\", "
        "\"template_args\"}: data for the\ntemplate, nothing is called. A content is a string, or a list of parts "
        "{\"type\": \"text\", \"text\": ...}.",
};
