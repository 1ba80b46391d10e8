/* A chat on the terminal: the response is shown as it is drawn, the thought only when asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"
#include "cli/session.h"
#include "tpo/engine.h"

static const struct option options[] = {
    OPTION_MODEL,
    {"--show-thoughts", 0, NULL, NULL, "show the thought before the response"},
    {"--thought", 0, "NAME|FILE", "thought",
     "thought layout: " THOUGHT_NAMES ", a YAML file, or none for a model that keeps to no layout "
     "(default: the checkpoint's own; else generic)"},
    {"--temperature", 0, "T", "sampling.temperature", "0 takes the likeliest token always"},
    {"--top-p", 0, "P", "sampling.top_p", "nucleus; 1 is off"},
    {"--max-tokens", 0, "N", "sampling.max_tokens", "generated tokens an answer at most"},
    OPTION_DTYPE,
    OPTION_END,
};

struct chat {
  struct cli_session *s;
  struct tpo_policy policy;
  struct tpo_engine *engine;
  const struct tpo_thought_config *thought;
  bool show_thoughts;
  json_t *messages; /* responses only: a thought is not carried into the next turn */
  struct tpo_request request;
  bool requested;
  struct tpo_buf begun;     /* what the layout begins a turn's text with */
  struct tpo_buf text;      /* of the turn: that + what was drawn */
  size_t shown;             /* bytes of it that were dealt with */
  size_t response_at;       /* where the response begins, once it does */
  bool opened;              /* the thought's marker was dealt with, or isn't there */
  bool in_response, begins; /* nothing of the thought, or of the response, was shown yet */
  struct tpo_buf response;
  bool warned; /* that the layout isn't kept */
};

/* Terminal-safe: control characters but newline and tab are left out, malformed bytes become U+FFFD. */
static void show(const char *text, size_t len)
{
  for (size_t i = 0; i < len;) {
    char bytes[4];
    uint32_t cp = tpo_utf8_next(text, len, &i);
    if (tpo_utf8_is_tame(cp) || cp == '\n' || cp == '\t')
      fwrite(bytes, 1, (size_t)tpo_utf8_encode(cp, bytes), stdout);
  }
  fflush(stdout);
}

/* Shows text[shown..end), without a code point that is not whole yet. */
static void show_to(struct chat *c, size_t end, bool visible)
{
  if (end <= c->shown) return;
  end -= tpo_utf8_incomplete_tail(c->text.data + c->shown, end - c->shown);
  if (visible) show(c->text.data + c->shown, end - c->shown);
  c->shown = end;
}

/* Without the white space that a part begins with. */
static void show_part(struct chat *c, size_t end, bool visible)
{
  while (c->begins && c->shown < end && strchr(" \n", c->text.data[c->shown])) c->shown++;
  c->begins = c->begins && c->shown >= end;
  show_to(c, end, visible);
}

/* Passes over the thought's marker at the beginning, whether the prompt or the model said it. */
static void open_thought(struct chat *c, bool final)
{
  const char *marker = c->thought->thought_marker ? c->thought->thought_marker : "";
  marker += strspn(marker, " \n");
  size_t len = strlen(marker), at = c->shown;
  while (at < c->text.len && strchr(" \n", c->text.data[at])) at++;
  size_t left = c->text.len - at;
  bool begins = memcmp(c->text.data + at, marker, left < len ? left : len) == 0;
  if (begins && len > 0 && left >= len) c->shown = at + len;
  c->opened = !begins || left >= len || final;
}

/* Where the first `text` begins at `from` or behind, SIZE_MAX: nowhere. */
static size_t find(const struct chat *c, size_t from, const char *text)
{
  const char *hit =
      from < c->text.len ? memmem(c->text.data + from, c->text.len - from, text, strlen(text)) : NULL;
  return hit ? (size_t)(hit - c->text.data) : SIZE_MAX;
}

/* The response ends before a stop string, and the marker is one (tpo_output): how far it is known to go. */
static size_t response_end(const struct chat *c, bool final)
{
  const struct tpo_sampling_config *sampling = &c->s->session.config->sampling;
  size_t end = SIZE_MAX, longest = 0;
  for (int i = 0; i <= sampling->n_stop; i++) {
    const char *stop = i < sampling->n_stop ? sampling->stop[i] : c->thought->response_marker;
    if (!stop || !*stop) continue;
    size_t at = find(c, c->response_at, stop);
    if (at < end) end = at;
    if (strlen(stop) > longest) longest = strlen(stop);
  }
  if (end != SIZE_MAX) return end;
  size_t open = final || longest == 0 ? 0 : longest - 1;
  return c->text.len > open ? c->text.len - open : 0;
}

/* Shows what is new, but for an end that could be the beginning of a marker. */
static void show_new(struct chat *c, bool final)
{
  if (!c->text.data) return;
  if (!c->in_response) {
    if (!c->opened) open_thought(c, final);
    if (!c->opened) return;
    const char *marker = c->thought->response_marker;
    size_t len = strlen(marker), hit = find(c, c->shown > c->begun.len ? c->shown : c->begun.len, marker);
    size_t known = final ? c->text.len : c->text.len > len - 1 ? c->text.len - (len - 1) : 0;
    show_part(c, hit != SIZE_MAX ? hit : known, c->show_thoughts);
    if (hit == SIZE_MAX) return;
    c->shown = c->response_at = hit + len;
    c->in_response = c->begins = true;
    if (c->show_thoughts) printf("\n----------\n");
  }
  show_part(c, response_end(c, final), true);
}

static int next_request(void *arg, const struct tpo_request **request, struct tpo_error *err)
{
  struct chat *c = arg;
  (void)err;
  if (c->requested) return 0;
  c->requested = true;
  *request = &c->request;
  return 1;
}

static void take_token(void *arg, const struct tpo_request *request, int k, const char *bytes, size_t len)
{
  struct chat *c = arg;
  (void)request, (void)k;
  tpo_buf_append(&c->text, bytes, len);
  show_new(c, false);
}

/* Once a chat: a model that keeps no layout keeps it in no answer. */
static void warn_of_layout(struct chat *c)
{
  if (c->warned) return;
  c->warned = true;
  const char *fate = c->in_response ? "is left out of the chat's next turns"
                     : c->show_thoughts
                         ? "is taken for a thought and left out of the chat's next turns"
                         : "is taken for a thought, hidden (--show-thoughts shows it) and left "
                           "out of the chat's next turns";
  tpo_log(
      TPO_LOG_WARN,
      "the model did not keep to the thought layout \"%s\", so its answer %s; --thought none switches the "
      "layout off",
      c->thought->name ? c->thought->name : "", fate);
}

static int take_output(void *arg, const struct tpo_output *output, struct tpo_error *err)
{
  struct chat *c = arg;
  const struct tpo_parsed *parsed = &output->parsed;
  show_new(c, true);
  putchar('\n');
  tpo_buf_clear(&c->response);
  if (parsed->response_ok)
    tpo_buf_append(&c->response, output->text + parsed->response_begin,
                   parsed->response_end - parsed->response_begin);
  else if (c->thought->response_marker && *c->thought->response_marker)
    warn_of_layout(c);
  return c->response.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for an answer") : 0;
}

static int answer(struct chat *c, const char *line, struct tpo_error *err)
{
  struct tpo_ids ids = {0};
  struct tpo_buf prompt = {0};
  json_array_append_new(c->messages, json_pack("{s:s, s:s}", "role", "user", "content", line));
  char *messages = tpo_json_dump(c->messages);
  int status = messages ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status == 0)
    status = tpo_thought_render(c->thought, c->policy.tmpl, line,
                                json_array_size(c->messages) > 1 ? messages : NULL, &ids, &prompt, err);
  free(messages);
  if (status == 0) {
    char id[32];
    snprintf(id, sizeof id, "turn-%zu", json_array_size(c->messages));
    c->request = (struct tpo_request){.id = id, .prompt_ids = ids.ids, .n_prompt = (int)ids.n, .k_count = 1};
    c->requested = c->opened = false;
    tpo_buf_clear(&c->text);
    tpo_buf_clear(&c->response);
    tpo_buf_append(&c->text, c->begun.data ? c->begun.data : "", c->begun.len);
    c->in_response = !c->thought->response_marker || !*c->thought->response_marker;
    c->begins = !c->in_response;
    c->shown = c->response_at = c->in_response ? c->text.len : 0;
    struct tpo_engine_client client = {
        .arg = c, .next = next_request, .output = take_output, .token = take_token};
    status = tpo_engine_run(c->engine, &client, err);
  }
  if (status == 0)
    json_array_append_new(c->messages, json_pack("{s:s, s:s}", "role", "assistant", "content",
                                                 c->response.data ? c->response.data : ""));
  tpo_ids_free(&ids);
  tpo_buf_free(&prompt);
  return status;
}

static int talk(struct chat *c, struct tpo_error *err)
{
  bool terminal = isatty(STDIN_FILENO);
  char *line = NULL;
  size_t capacity = 0;
  int status = 0;
  if (terminal) fprintf(stderr, "An empty line or Ctrl-D ends the chat; /new starts over.\n");
  while (status == 0) {
    if (terminal) fprintf(stderr, "\n> ");
    ssize_t len = getline(&line, &capacity, stdin);
    if (len < 0) break;
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) line[--len] = '\0';
    if (len == 0) break;
    if (strlen(line) != (size_t)len || !tpo_utf8_valid(line, (size_t)len, NULL))
      status = tpo_fail(err, TPO_E_INPUT, "standard input: the line is not UTF-8 text");
    else if (strcmp(line, "/new") == 0)
      json_array_clear(c->messages);
    else
      status = answer(c, line, err);
  }
  free(line);
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct chat c = {
      .s = &s, .thought = &in->config.thought, .show_thoughts = option_value(in, "--show-thoughts") != NULL};
  const char *path;
  in->config.sampling.slots = 1;
  int status = require_model(in, &path, err);
  if (status == 0) status = take_own_prompts(in, err);
  if (status == 0) status = check_config(in, TPO_CHECK_SAMPLING, err);
  if (status == 0) status = cli_session_open(&s, in, err);
  if (status < 0) return status;
  c.messages = json_array();
  status = tpo_policy_open_text(&c.policy, &in->config, path, err);
  if (status == 0) status = tpo_policy_check_thought(&c.policy, &in->config, err);
  status = tpo_comm_agree(s.session.comm, status, err);
  if (status == 0) status = tpo_policy_open_model(&c.policy, &s.session, NULL, err);
  if (status == 0) {
    struct tpo_engine_options engine_options = {
        .sampling = &in->config.sampling, .thought = c.thought, .seed = in->config.seed};
    status =
        tpo_engine_open(&c.engine, c.policy.model, c.policy.tokenizer, c.policy.tmpl, &engine_options, err);
  }
  if (status == 0) status = tpo_thought_begun(c.thought, c.policy.tmpl, &c.begun, err);
  if (status == 0) status = talk(&c, err);
  tpo_engine_close(c.engine);
  tpo_policy_close(&c.policy);
  tpo_buf_free(&c.begun);
  tpo_buf_free(&c.text);
  tpo_buf_free(&c.response);
  json_decref(c.messages);
  cli_session_close(&s);
  return status;
}

const struct command cmd_chat = {
    .name = "chat",
    .arguments = "",
    .summary = "talk to a model; thoughts stay hidden unless asked for",
    .options = options,
    .no_default = "--thought",
    .run = run,
};
