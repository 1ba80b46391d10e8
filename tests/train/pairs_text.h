/* A model's folder with a tokenizer of a token a byte and a few control tokens, and a chat template, for pairs of text. */
#ifndef TPO_TESTS_TRAIN_PAIRS_TEXT_H
#define TPO_TESTS_TRAIN_PAIRS_TEXT_H

#include "unit.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "tpo/text.h"

static char *folder;
static struct tpo_tokenizer *tokenizer;
static struct tpo_template *tmpl;

/* The character that byte-level tokenizers write a byte as. */
static inline void append_byte_name(struct tpo_buf *out, int byte)
{
  int code = byte;
  bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  if (!printable) {
    code = 256;
    for (int b = 0; b < byte; b++)
      if (!((b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae)) code++;
  }
  char utf8[3] = {(char)code, 0, 0};
  if (code >= 0x80) {
    utf8[0] = (char)(0xc0 | code >> 6);
    utf8[1] = (char)(0x80 | (code & 0x3f));
  }
  tpo_json_append_string(out, utf8, code >= 0x80 ? 2 : 1);
}

enum { BEGIN = 256, START, END, N_ADDED = 5 }; /* token ids after the bytes' */

/* A tokenizer with a token a byte, "<s>" before every text, ChatML's markers and tags of a thought, which are control
 * tokens or, as most models have them, added ones that are text. */
static inline int write_tokenizer(bool control, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  tpo_buf_puts(&text, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
  const char *const added[N_ADDED] = {"<s>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"};
  for (int i = 0; i < N_ADDED; i++)
    tpo_buf_printf(&text,
                   "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                   "\"normalized\":false,\"special\":%s}",
                   i ? "," : "", BEGIN + i, added[i], i < 3 || control ? "true" : "false");
  tpo_buf_puts(
      &text,
      "],\"normalizer\":null,"
      "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
      "\"post_processor\":{\"type\":\"TemplateProcessing\","
      "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
      "\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
      "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[256],\"tokens\":[\"<s>\"]}}},"
      "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
      "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
      "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{");
  for (int b = 0; b < 256; b++) {
    if (b) tpo_buf_putc(&text, ',');
    append_byte_name(&text, b);
    tpo_buf_printf(&text, ":%d", b);
  }
  for (int i = 0; i < N_ADDED; i++) tpo_buf_printf(&text, ",\"%s\":%d", added[i], BEGIN + i);
  tpo_buf_puts(&text, "},\"merges\":[]}}");
  char path[4200];
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  int status = tpo_write_file(path, text.data, text.len, err);
  tpo_buf_free(&text);
  return status;
}

/* The model's own template; NULL: none. */
static inline int write_template(const char *source, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  char path[4200];
  snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
  tpo_buf_puts(
      &text,
      "{\"bos_token\":\"<s>\",\"eos_token\":\"<|im_end|>\",\"tokenizer_class\":\"PreTrainedTokenizerFast\"");
  if (source) tpo_buf_puts(&text, ",\"chat_template\":");
  if (source) tpo_json_append_string(&text, source, strlen(source));
  tpo_buf_puts(&text, "}");
  int status = tpo_write_file(path, text.data, text.len, err);
  tpo_buf_free(&text);
  return status;
}

static inline void close_model(void)
{
  tpo_template_close(tmpl);
  tpo_tokenizer_close(tokenizer);
  tmpl = NULL;
  tokenizer = NULL;
}

/* The ids written out: bytes as text, control tokens by name. */
static inline void assert_ids(const int32_t *ids, int32_t n, const char *expected)
{
  struct tpo_buf text = {0};
  assert_int_equal(tpo_tokenizer_decode(tokenizer, ids, (size_t)n, true, &text, NULL), 0);
  assert_string_equal(text.data ? text.data : "", expected);
  tpo_buf_free(&text);
}

/* The ids that carry loss, written out. */
static inline void assert_trained(const int32_t *ids, const uint8_t *mask, int32_t n, const char *expected)
{
  int32_t some[400], n_some = 0;
  assert_true(n <= 400);
  for (int32_t i = 0; i < n; i++)
    if (mask[i]) some[n_some++] = ids[i];
  assert_ids(some, n_some, expected);
}

#endif
