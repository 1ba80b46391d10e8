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

enum { MESSAGES, TOOLS, DOCUMENTS, ARGS, N_MEMBERS };
static const char *const members[N_MEMBERS] = {"messages", "tools", "documents", "template_args"};

/* Each member as JSON, borrowed from root, and as its text, owned; NULL where there is none. */
struct request {
  json_t *root;
  const json_t *json[N_MEMBERS];
  char *text[N_MEMBERS];
};

/* root becomes an object with messages in the form that templates know. */
static int bring_into_form(struct request *request, struct tpo_error *err)
{
  const json_t *messages =
      json_is_object(request->root) ? json_object_get(request->root, members[MESSAGES]) : request->root;
  if (!json_is_array(messages) || json_array_size(messages) == 0)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: expected a JSON array of messages {\"role\", \"content\"}, or an object with such "
                    "\"messages\"",
                    place);
  json_t *chat = tpo_chat_read_whole(messages, members[MESSAGES], place, err);
  if (!chat) return err->code;
  if (json_is_array(request->root)) {
    json_decref(request->root);
    request->root = json_object();
  }
  return json_object_set_new(request->root, members[MESSAGES], chat) < 0
             ? tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place)
             : 0;
}

/* What an object says besides would go unheard. */
static int take_member(struct request *request, const char *key, const json_t *value, struct tpo_error *err)
{
  int i = 0;
  while (i < N_MEMBERS && strcmp(key, members[i]) != 0) i++;
  if (i == N_MEMBERS)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"%.80s\" is none of messages, tools, documents, template_args",
                    place, key);
  if (json_is_null(value)) return 0;
  request->json[i] = value;
  request->text[i] = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
  return request->text[i] ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", place);
}

static int read_request(struct request *request, struct tpo_error *err)
{
  struct tpo_buf input = {0};
  const char *key;
  json_t *value;
  int status = tpo_read_file("-", max_input, &input, err);
  if (status == 0) request->root = tpo_json_parse(input.data ? input.data : "", input.len, place, err);
  if (status == 0) status = request->root ? bring_into_form(request, err) : TPO_E_INPUT;
  tpo_buf_free(&input);
  if (status < 0) return status;
  json_object_foreach(request->root, key, value)
  {
    status = take_member(request, key, value, err);
    if (status < 0) break;
  }
  return status;
}

static void request_free(struct request *request)
{
  for (int i = 0; i < N_MEMBERS; i++) free(request->text[i]);
  json_decref(request->root);
}

/* What is shown, as it comes: all of the text at the end, or a line a stretch at once. */
struct showing {
  bool explain;
  struct tpo_buf text; /* or the line */
  json_t *seen;        /* origins that had a stretch, as members */
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
  if (json_object_set_new(show->seen, s->origin, json_true()) < 0)
    return tpo_fail(err, TPO_E_MEMORY, "out of memory for a chat");
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

struct unseen {
  struct tpo_buf names;
  int n;
};

static void add_unseen(const struct showing *show, const json_t *value, const char *origin,
                       struct unseen *unseen)
{
  bool says = value && !json_is_true(value) && tpo_json_says_something(value);
  if (!says || json_object_get(show->seen, origin)) return;
  if (unseen->n++ < 5) tpo_buf_printf(&unseen->names, "%s%s", unseen->n > 1 ? ", " : "", origin);
}

static bool is_shown(const struct showing *show, size_t i, const char *name)
{
  char origin[120];
  snprintf(origin, sizeof origin, "messages[%zu].%.60s", i, name);
  return json_object_get(show->seen, origin);
}

/* A template may know it without showing it: names of turns and calls, reasoning under another name than it was given. */
static bool needs_no_place(const struct showing *show, size_t i, const char *name)
{
  static const char *const quiet[] = {"role", "name", "id", "tool_call_id"};
  bool alike = false, shown = false;
  for (size_t k = 0; k < sizeof quiet / sizeof *quiet; k++)
    if (strcmp(name, quiet[k]) == 0) return true;
  for (int k = 0; k < TPO_REASONING_NAMES; k++) {
    alike |= strcmp(name, tpo_reasoning_names[k]) == 0;
    shown |= is_shown(show, i, tpo_reasoning_names[k]);
  }
  return alike && shown;
}

/* A template may pass over what it was not made for, without a word. */
static void warn_of_unseen(const struct showing *show, const struct request *request)
{
  struct unseen unseen = {0};
  const char *name;
  size_t i;
  json_t *message, *value;
  char origin[120];
  add_unseen(show, request->json[TOOLS], members[TOOLS], &unseen);
  add_unseen(show, request->json[DOCUMENTS], members[DOCUMENTS], &unseen);
  json_array_foreach((json_t *)request->json[MESSAGES], i, message) json_object_foreach(message, name, value)
  {
    snprintf(origin, sizeof origin, "messages[%zu].%.60s", i, name);
    if (!needs_no_place(show, i, name)) add_unseen(show, value, origin, &unseen);
  }
  if (unseen.n > 5) tpo_buf_printf(&unseen.names, " and %d more", unseen.n - 5);
  if (unseen.n > 0) tpo_log(TPO_LOG_WARN, "the chat template shows nothing of %s", unseen.names.data);
  tpo_buf_free(&unseen.names);
}

static int show_chat(const struct invocation *in, const struct tpo_template *tmpl,
                     const struct request *request, struct showing *show, struct tpo_error *err)
{
  bool go_on = option_value(in, "--continue-final-message");
  const struct tpo_chat chat = {.messages_json = request->text[MESSAGES],
                                .tools_json = request->text[TOOLS],
                                .documents_json = request->text[DOCUMENTS],
                                .template_args = request->text[ARGS],
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
  int member = TOOLS;
  while (member < N_MEMBERS && !request->text[member]) member++;
  if (option)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s and --thought exclude each other: a prompt ends where the answer begins", option);
  if (member < N_MEMBERS)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s: \"%s\" is no part of what --thought shows: prompts are sampled without%s", place,
                    members[member], member == ARGS ? ", and the layout says thought.template_args" : "");
  return 0;
}

static int show_prompt(struct invocation *in, const struct tpo_tokenizer *tok,
                       const struct tpo_template *tmpl, const struct request *request, struct showing *show,
                       struct tpo_error *err)
{
  int status = check_thought(in, request, err);
  if (status == 0) status = settle_on_layout(&in->config, tok, tmpl, err);
  if (status < 0) return status;
  return tpo_thought_explain(&in->config.thought, tmpl, request->text[MESSAGES], show_stretch, show, err);
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct tpo_tokenizer *tok = NULL;
  struct tpo_template *tmpl = NULL;
  struct request request = {0};
  struct showing show = {.explain = option_value(in, "--explain"), .seen = json_object()};
  int status = open_tokenizer(in, &tok, err);
  if (status == 0) status = tpo_template_open(&tmpl, tok, &in->config.template_pieces, err);
  if (status == 0) status = read_request(&request, err);
  if (status == 0)
    status = option_is_key_set(in, "thought.name") ? show_prompt(in, tok, tmpl, &request, &show, err)
                                                   : show_chat(in, tmpl, &request, &show, err);
  if (status == 0) status = show_text(&show, err);
  json_decref(show.seen);
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
