/* Commands for checking the tokenizer: tokenize, detokenize. They read no tensors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/text.h"
#include "tpo/text.h"

enum { max_input = 1 << 30 };

static const struct option tokenize_options[] = {
    OPTION_MODEL,
    {"--no-special", 0, NULL, NULL, "add no BOS or EOS"},
    {"--plain", 0, NULL, NULL, "a special token's name in the text stays text"},
    {"--explain", 0, NULL, NULL, "a line a token: its id, its kind (text, byte, added, control), its text"},
    OPTION_END,
};

static void print_ids(const struct tpo_ids *ids)
{
  for (size_t i = 0; i < ids->n; i++) printf("%s%d", i ? " " : "", ids->ids[i]);
  putchar('\n');
}

static int explain_ids(const struct tpo_tokenizer *tok, const struct tpo_ids *ids, struct tpo_error *err)
{
  struct tpo_buf line = {0};
  for (size_t i = 0; i < ids->n && !line.failed; i++) {
    size_t len;
    bool special;
    const char *bytes = tpo_tokenizer_token(tok, ids->ids[i], &len, &special);
    tpo_buf_clear(&line);
    tpo_buf_printf(&line, "%8d  %-7s  ", ids->ids[i], tpo_tokenizer_kind(tok, ids->ids[i]));
    append_quoted(&line, bytes, len);
    if (!line.failed) puts(line.data);
  }
  bool failed = line.failed;
  tpo_buf_free(&line);
  return failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for a line") : 0;
}

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
  if (status == 0 && option_value(in, "--explain"))
    status = explain_ids(tok, &ids, err);
  else if (status == 0)
    print_ids(&ids);
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
