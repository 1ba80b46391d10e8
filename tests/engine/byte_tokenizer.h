/* The tokenizer of tests whose models are random. */
#ifndef TPO_TESTS_ENGINE_BYTE_TOKENIZER_H
#define TPO_TESTS_ENGINE_BYTE_TOKENIZER_H

#include "unit.h"
#include "base/buf.h"
#include "base/file.h"

enum { BYTE_TOKENS = 259 };

/* A tokenizer of single bytes and three special tokens, in GPT-2's visible stand-ins. */
static inline void write_tokenizer(const char *folder)
{
  struct tpo_buf json = {0};
  char path[4096];
  static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  tpo_buf_puts(&json, "{\"added_tokens\":[");
  for (int i = 0; i < 3; i++)
    tpo_buf_printf(&json,
                   "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                   "\"normalized\":false,\"special\":true}",
                   i ? "," : "", i, special[i]);
  tpo_buf_puts(&json,
               "],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
               "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
  for (int i = 0; i < 3; i++) tpo_buf_printf(&json, "\"%s\":%d,", special[i], i);
  int extra = 0;
  for (int byte = 0; byte < 256; byte++) {
    bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    tpo_buf_printf(&json, "%s\"\\u%04x\":%d", byte ? "," : "", visible ? byte : 256 + extra, byte + 3);
    extra += !visible;
  }
  tpo_buf_puts(&json, "}}}");
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  assert_int_equal(tpo_write_file(path, json.data, json.len, NULL), 0);
  tpo_buf_free(&json);
  static const char config[] = "{\"eos_token\": \"<|im_end|>\"}";
  snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
  assert_int_equal(tpo_write_file(path, config, strlen(config), NULL), 0);
}

#endif
