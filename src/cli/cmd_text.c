/* Commands for checking the text layer: tokenize, detokenize, template. They read no tensors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/chat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "cli/cli.h"
#include "tpo/text.h"

enum { max_input = 1 << 30 };

static int open_tokenizer(const struct invocation *in, struct tpo_tokenizer **tok, struct tpo_error *err)
{
  const char *path;
  int status = require_model(in, &path, err);
  return status < 0 ? status : tpo_tokenizer_open(tok, path, err);
}

static const struct option tokenize_options[] = {
    OPTION_MODEL,
    {"--no-special", 0, NULL, NULL, "add no BOS or EOS"},
    {"--plain", 0, NULL, NULL, "a special token's name in the text stays text"},
    OPTION_END,
};

static int run_tokenize(struct invocation *in, struct tpo_error *err)
{
  struct tpo_tokenizer *tok = NULL;
  struct tpo_buf text = {0};
  struct tpo_ids ids = {0};
  unsigned flags = (option_value(in, "--plain") ? 0 : TPO_ENCODE_SPECIAL) |
                   (option_value(in, "--no-special") ? 0 : TPO_ENCODE_BOS_EOS);
  int status = open_tokenizer(in, &tok, err);
  if (status == 0) status = tpo_read_file("-", max_input, &text, err);
  if (status == 0) status = tpo_tokenizer_encode(tok, text.data ? text.data : "", text.len, flags, &ids, err);
  for (size_t i = 0; status == 0 && i < ids.n; i++) printf("%s%d", i ? " " : "", ids.ids[i]);
  if (status == 0) putchar('\n');
  tpo_ids_free(&ids);
  tpo_buf_free(&text);
  tpo_tokenizer_close(tok);
  return status;
}

const struct command cmd_tokenize = {
    .name = "tokenize",
    .arguments = "",
    .summary = "text on standard input to token ids",
    .options = tokenize_options,
    .run = run_tokenize,
};

static const struct option model_options[] = {OPTION_MODEL, OPTION_END};

static int parse_ids(char *text, int vocab, struct tpo_ids *ids, struct tpo_error *err)
{
  for (char *word = strtok(text, " \t\r\n"); word; word = strtok(NULL, " \t\r\n")) {
    char *end;
    errno = 0;
    long id = strtol(word, &end, 10);
    if (errno || *end || id < 0 || id >= vocab)
      return tpo_fail(err, TPO_E_INPUT, "standard input: '%.40s' is not a token id from 0 to %d", word,
                      vocab - 1);
    int32_t value = (int32_t)id;
    int status = tpo_ids_append(ids, &value, 1, err);
    if (status < 0) return status;
  }
  return 0;
}

static int run_detokenize(struct invocation *in, struct tpo_error *err)
{
  struct tpo_tokenizer *tok = NULL;
  struct tpo_buf input = {0}, text = {0};
  struct tpo_ids ids = {0};
  int status = open_tokenizer(in, &tok, err);
  if (status == 0) status = tpo_read_file("-", max_input, &input, err);
  if (status == 0 && input.data && strlen(input.data) != input.len)
    status = tpo_fail(err, TPO_E_INPUT, "standard input holds a NUL byte; expected token ids");
  if (status == 0 && input.data) status = parse_ids(input.data, tpo_tokenizer_size(tok), &ids, err);
  if (status == 0) status = tpo_tokenizer_decode(tok, ids.ids, ids.n, true, &text, err);
  if (status == 0 && text.len && fwrite(text.data, 1, text.len, stdout) != text.len)
    status = tpo_fail(err, TPO_E_IO, "writing to standard output failed: %m");
  tpo_ids_free(&ids);
  tpo_buf_free(&input);
  tpo_buf_free(&text);
  tpo_tokenizer_close(tok);
  return status;
}

const struct command cmd_detokenize = {
    .name = "detokenize",
    .arguments = "",
    .summary = "token ids on standard input to text, byte for byte",
    .options = model_options,
    .run = run_detokenize,
};

static const struct option template_options[] = {
    OPTION_MODEL,
    {"--no-generation-prompt", 0, NULL, NULL, "leave out the start of the assistant's turn"},
    OPTION_END,
};

/* The chat on standard input, brought into the one form; messages borrow from it. */
static int read_messages(json_t **chat, struct tpo_message **messages, size_t *n, struct tpo_error *err)
{
  static const char place[] = "standard input";
  struct tpo_buf input = {0};
  json_t *root = NULL;
  int status = tpo_read_file("-", max_input, &input, err);
  if (status == 0 && !(root = tpo_json_parse(input.data ? input.data : "", input.len, place, err)))
    status = TPO_E_INPUT;
  tpo_buf_free(&input);
  if (status == 0 && (!json_is_array(root) || json_array_size(root) == 0))
    status =
        tpo_fail(err, TPO_E_INPUT, "%s: expected a JSON array of messages {\"role\", \"content\"}", place);
  if (status == 0 && !(*chat = tpo_chat_read(root, "messages", place, err))) status = err->code;
  json_decref(root);
  if (status < 0) return status;
  *n = json_array_size(*chat);
  *messages = tpo_calloc(*n, sizeof **messages, err);
  if (!*messages) return TPO_E_MEMORY;
  for (size_t i = 0; i < *n; i++) {
    const json_t *message = json_array_get(*chat, i);
    (*messages)[i] = (struct tpo_message){.role = json_string_value(json_object_get(message, "role")),
                                          .content = json_string_value(json_object_get(message, "content"))};
  }
  return 0;
}

static int run_template(struct invocation *in, struct tpo_error *err)
{
  struct tpo_tokenizer *tok = NULL;
  struct tpo_template *tmpl = NULL;
  struct tpo_message *messages = NULL;
  struct tpo_buf text = {0};
  json_t *chat = NULL;
  size_t n = 0;
  bool generation_prompt = !option_value(in, "--no-generation-prompt");
  int status = open_tokenizer(in, &tok, err);
  if (status == 0) status = tpo_template_open(&tmpl, tok, &in->config.template_pieces, err);
  if (status == 0) status = read_messages(&chat, &messages, &n, err);
  if (status == 0) status = tpo_template_render(tmpl, messages, n, generation_prompt, &text, err);
  if (status == 0 && text.len && fwrite(text.data, 1, text.len, stdout) != text.len)
    status = tpo_fail(err, TPO_E_IO, "writing to standard output failed: %m");
  free(messages);
  json_decref(chat);
  tpo_buf_free(&text);
  tpo_template_close(tmpl);
  tpo_tokenizer_close(tok);
  return status;
}

const struct command cmd_template = {
    .name = "template",
    .arguments = "",
    .summary = "a JSON array of messages on standard input to the rendered chat text",
    .options = template_options,
    .run = run_template,
    .notes = "A message's content is a string, or a list of parts {\"type\": \"text\", \"text\": ...}.",
};
