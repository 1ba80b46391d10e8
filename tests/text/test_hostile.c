/* Malformed and hostile vocabularies end with a message
 * that names the file and the fault, never otherwise. */
#include "text_test.h"
#include "text/identity.h"
#include "base/philox.h"

static void expect_message(const char *path, int code, const char *part)
{
  struct tpo_tokenizer *tok;
  struct tpo_error err = {0};
  int status = tpo_tokenizer_open(&tok, path, &err);
  if (status != code || !strstr(err.message, part))
    fail_msg("\"%s\" expected (%d), got %d: %s", part, code, status, err.message);
  assert_null(tok);
  assert_non_null(strstr(err.message, path));
}

#define PRE "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define MODEL(vocab, merges)                                                                                 \
  "{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges "}}"
#define WITH(text) "{" text ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"

static void tokenizer_json_faults_are_named(void **state)
{
  (void)state;
  static const struct {
    const char *json;
    int code;
    const char *part;
  } cases[] = {
      {"", TPO_E_INPUT, "tokenizer.json"},
      {"{", TPO_E_INPUT, "tokenizer.json"},
      {"[]", TPO_E_INPUT, "\"model\""},
      {"{\"model\":3}", TPO_E_INPUT, "\"model\""},
      {"{\"model\":{}}", TPO_E_INPUT, "model.vocab"},
      {MODEL("{\"a\":0,\"b\":0}", "[]"), TPO_E_INPUT, "two tokens have the id 0"},
      {MODEL("{\"a\":0,\"a\":1}", "[]"), TPO_E_INPUT, "are the same"},
      {MODEL("{\"a\":-1}", "[]"), TPO_E_INPUT, "an id of 0.."},
      {MODEL("{\"a\":16000000}", "[]"), TPO_E_INPUT, "an id of 0.."},
      {MODEL("{\"a\":99999999999999999999}", "[]"), TPO_E_INPUT, "an id of 0.."},
      {MODEL("{\"a\":1.5}", "[]"), TPO_E_INPUT, "an id of 0.."},
      {MODEL("{\"a\":0 \"b\":1}", "[]"), TPO_E_INPUT, "model.vocab is malformed"},
      {MODEL("{\"a\\ud800\":0}", "[]"), TPO_E_INPUT, "a token and an id"},
      {MODEL("[]", "[]"), TPO_E_INPUT, "model.vocab"},
      {MODEL("{\"a\":0}", "{}"), TPO_E_INPUT, "model.merges"},
      {MODEL("{\"a\":0}", "[\"a b\"]"), TPO_E_INPUT, "merge 0 names \"b\""},
      {MODEL("{\"a\":0,\"b\":1}", "[\"a b\"]"), TPO_E_INPUT, "makes \"ab\""},
      {MODEL("{\"a\":0,\"b\":1,\"ab\":2}", "[[\"a\"]]"), TPO_E_INPUT, "merge 0 must be"},
      {MODEL("{\"a\":0,\"b\":1,\"ab\":2}", "[\"a b a\"]"), TPO_E_INPUT, "merge 0 must be"},
      {MODEL("{\"a\":0,\"b\":1,\"ab\":2}", "[[\"a\",\"b\"],7]"), TPO_E_INPUT, "merge 1 must be"},
      {MODEL("{\"a\":0,\"b\":1,\"ab\":2}", "[[\"a\",\"b\"] \"a b\"]"), TPO_E_INPUT,
       "model.merges is malformed"},
      {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[],\"merges\":[]}}", TPO_E_UNSUPPORTED, "Unigram"},
      {"{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\"}}", TPO_E_UNSUPPORTED,
       "end_of_word_suffix"},
      {WITH("\"version\":\"1.0\""), TPO_E_UNSUPPORTED, "byte_fallback"},
      {WITH("\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"), TPO_E_UNSUPPORTED, "BertPreTokenizer"},
      {WITH("\"pre_tokenizer\":{}"), TPO_E_UNSUPPORTED, "without a type"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
            "{\"type\":\"ByteLevel\"}]}"),
       TPO_E_UNSUPPORTED, "after another, a pre_tokenizer of type ByteLevel"},
      {WITH("\"normalizer\":{\"type\":\"BertNormalizer\"}"), TPO_E_UNSUPPORTED, "BertNormalizer"},
      {WITH(PRE ",\"post_processor\":{\"type\":\"RobertaProcessing\"}"), TPO_E_UNSUPPORTED,
       "RobertaProcessing"},
      {WITH(PRE ",\"decoder\":{\"type\":\"WordPiece\"}"), TPO_E_UNSUPPORTED, "WordPiece"},
      {WITH(
           "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},\"behavior\":\"Isolated\"}"),
       TPO_E_INPUT, "\"(a\" has a group without its )"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&]\"},\"behavior\":"
            "\"Isolated\"}"),
       TPO_E_UNSUPPORTED, "a side of && that is empty"},
      {WITH(
           "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Sideways\"}"),
       TPO_E_INPUT, "\"behavior\" of a Split is \"Sideways\", and must be Removed,"},
      {WITH(
           "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Removed\\u0000\"}"),
       TPO_E_INPUT, "\"behavior\" of a Split holds a NUL"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\"}"), TPO_E_INPUT,
       "the \"pattern\" of a Split must be an object"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":\"a\",\"behavior\":\"Isolated\"}"),
       TPO_E_INPUT, "the \"pattern\" of a Split must be an object"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"}}"), TPO_E_INPUT,
       "a Split lacks the string \"behavior\""},
      {WITH("\"pre_tokenizer\":{\"type\":\"Digits\\u0000\"}"), TPO_E_UNSUPPORTED, "with a NUL"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Sequence\"}"), TPO_E_INPUT, "an array \"pretokenizers\""},
      {WITH("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":\"x\"}"), TPO_E_INPUT,
       "an array \"pretokenizers\""},
      {WITH("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[null,"
            "{\"type\":\"ByteLevel\"}]}"),
       TPO_E_INPUT, "an array \"pretokenizers\" of objects"},
      {WITH(PRE ",\"normalizer\":{\"type\":\"Sequence\"}"), TPO_E_INPUT, "an array \"normalizers\""},
      {WITH(PRE ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":\"a\",\"content\":\"\"}"), TPO_E_INPUT,
       "the \"pattern\" of a Replace must be an object"},
      {WITH(PRE ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"\"}"),
       TPO_E_UNSUPPORTED, "a normalizer Replace by a regular expression"},
      {WITH(PRE ",\"decoder\":{\"type\":\"Sequence\"}"), TPO_E_INPUT, "an array \"decoders\""},
      {WITH(PRE ",\"post_processor\":{\"type\":\"Sequence\",\"processors\":[null]}"), TPO_E_INPUT,
       "an array \"processors\" of objects"},
      {WITH(PRE ",\"added_tokens\":[{\"id\":5}]"), TPO_E_INPUT, "added token"},
      {WITH(PRE ",\"added_tokens\":[{\"id\":2000000000,\"content\":\"x\"}]"), TPO_E_INPUT, "id"},
      {WITH(PRE ",\"added_tokens\":[{\"id\":5,\"content\":\"x\"},{\"id\":6,\"content\":\"x\"}]"), TPO_E_INPUT,
       "two ids"},
      {WITH(
           PRE
           ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}],"
           "\"special_tokens\":{\"<s>\":{\"ids\":[77]}}}"),
       TPO_E_INPUT, "77"},
      {WITH(PRE ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
                "\"<s>\"}}]}"),
       TPO_E_INPUT, "without giving its ids"},
  };
  const char *dir = make_dir();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_file(dir, "tokenizer.json", cases[i].json, strlen(cases[i].json));
    expect_message(dir, cases[i].code, cases[i].part);
  }
  remove_dir(dir);
}

static void a_folder_without_a_tokenizer_is_refused(void **state)
{
  (void)state;
  const char *dir = make_dir();
  expect_message(dir, TPO_E_USAGE, "tokenizer.json");
  put_file(dir, "vocab.gguf", "what is this", 12);
  char path[512];
  snprintf(path, sizeof path, "%s/vocab.gguf", dir);
  expect_message(path, TPO_E_USAGE, "neither");
  remove_dir(dir);
}

static void settings_faults_are_named(void **state)
{
  (void)state;
  static const struct {
    const char *file, *text, *part;
  } cases[] = {
      {"tokenizer_config.json", "[]", "object"},
      {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}", "not a token id"},
      {"tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\",\"add_bos_token\":true}",
       "add_bos_token"},
      {"tokenizer_config.json", "{\"add_prefix_space\":\"yes\"}",
       "add_prefix_space must be true, false or null"},
      {"generation_config.json", "{\"eos_token_id\":\"x\"}", "eos_token_id"},
      {"generation_config.json", "{\"eos_token_id\":[1,-5]}", "eos_token_id"},
      {"config.json", "{\"eos_token_id\":[1,-5]}", "config.json: eos_token_id"},
      {"config.json", "{", "config.json"},
      {"chat_template.jinja", "\xff", "UTF-8"},
  };
  static const char good[] = MODEL("{\"a\":0}", "[]");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *dir = make_dir();
    put_file(dir, "tokenizer.json", good, strlen(good));
    put_file(dir, cases[i].file, cases[i].text, strlen(cases[i].text));
    expect_message(dir, TPO_E_INPUT, cases[i].part);
    remove_dir(dir);
  }
}

/* A GGUF of metadata alone, made key by key. */
static void add_u32(struct tpo_buf *b, uint32_t v)
{
  tpo_buf_append(b, &v, 4);
}
static void add_u64(struct tpo_buf *b, uint64_t v)
{
  tpo_buf_append(b, &v, 8);
}
static void add_string(struct tpo_buf *b, const char *s)
{
  add_u64(b, strlen(s));
  tpo_buf_puts(b, s);
}
static void add_text(struct tpo_buf *b, const char *key, const char *value)
{
  add_string(b, key);
  add_u32(b, 8);
  add_string(b, value);
}
static void add_texts(struct tpo_buf *b, const char *key, const char *const *items, uint64_t n)
{
  add_string(b, key);
  add_u32(b, 9);
  add_u32(b, 8);
  add_u64(b, n);
  for (uint64_t i = 0; i < n; i++) add_string(b, items[i]);
}
static void add_numbers(struct tpo_buf *b, const char *key, uint32_t type, const void *items, uint64_t n)
{
  add_string(b, key);
  add_u32(b, 9);
  add_u32(b, type);
  add_u64(b, n);
  tpo_buf_append(b, items, 4 * n);
}

struct gguf_case {
  const char *model, *pre, *architecture;
  const char *tokens[6];
  const char *merges[3];
  int32_t types[6];
  int32_t n_types; /* 0: no token_type */
  float scores[6];
  int32_t n_scores;
  int64_t eos;
  int code;
  const char *part;
};

static void write_gguf(const struct gguf_case *c, const char *dir)
{
  struct tpo_buf keys = {0}, file = {0};
  uint64_t n_tokens = 0, n_merges = 0, n_keys = 2;
  while (n_tokens < 6 && c->tokens[n_tokens]) n_tokens++;
  while (n_merges < 3 && c->merges[n_merges]) n_merges++;
  add_text(&keys, "tokenizer.ggml.model", c->model);
  if (c->pre) add_text(&keys, "tokenizer.ggml.pre", c->pre), n_keys++;
  if (c->architecture) add_text(&keys, "general.architecture", c->architecture), n_keys++;
  add_texts(&keys, "tokenizer.ggml.tokens", c->tokens, n_tokens);
  if (n_merges) add_texts(&keys, "tokenizer.ggml.merges", c->merges, n_merges), n_keys++;
  if (c->n_types)
    add_numbers(&keys, "tokenizer.ggml.token_type", 5, c->types, (uint64_t)c->n_types), n_keys++;
  if (c->n_scores) add_numbers(&keys, "tokenizer.ggml.scores", 6, c->scores, (uint64_t)c->n_scores), n_keys++;
  if (c->eos) {
    add_string(&keys, "tokenizer.ggml.eos_token_id");
    add_u32(&keys, 11);
    add_u64(&keys, (uint64_t)c->eos);
    n_keys++;
  }
  tpo_buf_puts(&file, "GGUF");
  add_u32(&file, 3);
  add_u64(&file, 0);
  add_u64(&file, n_keys);
  tpo_buf_append(&file, keys.data, keys.len);
  put_file(dir, "vocab.gguf", file.data, file.len);
  tpo_buf_free(&keys);
  tpo_buf_free(&file);
}

static void gguf_faults_are_named(void **state)
{
  (void)state;
  static const struct gguf_case cases[] = {
      {.model = "bert", .pre = "x", .tokens = {"a"}, .code = TPO_E_UNSUPPORTED, .part = "\"bert\""},
      {.model = "gpt2", .pre = "qwen9", .tokens = {"a"}, .code = TPO_E_UNSUPPORTED, .part = "\"qwen9\""},
      {.model = "gpt2", .tokens = {"a"}, .code = TPO_E_UNSUPPORTED, .part = "tokenizer.ggml.pre is missing"},
      {.model = "gpt2", .pre = "gpt-2", .tokens = {"a"}, .code = TPO_E_INPUT, .part = "merges"},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a", "a"},
       .merges = {"a a"},
       .code = TPO_E_INPUT,
       .part = "are the same"},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a", "\xff"},
       .merges = {"a a"},
       .code = TPO_E_INPUT,
       .part = "not UTF-8"},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a"},
       .merges = {"ab"},
       .code = TPO_E_INPUT,
       .part = "not of the form"},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a"},
       .merges = {"a b"},
       .code = TPO_E_INPUT,
       .part = "names \"b\""},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a"},
       .merges = {"a a"},
       .code = TPO_E_INPUT,
       .part = "makes \"aa\""},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a", "aa"},
       .merges = {"a a"},
       .types = {1},
       .n_types = 1,
       .code = TPO_E_INPUT,
       .part = "one a token"},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a", "aa"},
       .merges = {"a a"},
       .types = {1, 9},
       .n_types = 2,
       .code = TPO_E_INPUT,
       .part = "type 9"},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a", "aa"},
       .merges = {"a a"},
       .eos = 7,
       .code = TPO_E_INPUT,
       .part = "eos_token_id"},
      {.model = "gpt2",
       .pre = "gpt-2",
       .tokens = {"a", "aa"},
       .merges = {"a a"},
       .eos = -7,
       .code = TPO_E_INPUT,
       .part = "eos_token_id"},
      {.model = "llama", .pre = "default", .tokens = {"a"}, .code = TPO_E_INPUT, .part = "scores"},
      {.model = "llama",
       .pre = "default",
       .tokens = {"a", "b"},
       .scores = {0},
       .n_scores = 1,
       .code = TPO_E_INPUT,
       .part = "one a token"},
      {.model = "llama",
       .pre = "default",
       .tokens = {"a", "b"},
       .scores = {0, 0.0f / 0.0f},
       .n_scores = 2,
       .code = TPO_E_INPUT,
       .part = "NaN"},
      {.model = "llama",
       .pre = "default",
       .tokens = {"a", "b"},
       .types = {1, 6},
       .n_types = 2,
       .code = TPO_E_INPUT,
       .part = "<0xXX>"},
      {.model = "gemma4", .tokens = {"a"}, .code = TPO_E_INPUT, .part = "tokenizer.ggml.merges must be"},
      {.model = "gemma4",
       .tokens = {"a", "\xc4\xa0"},
       .merges = {"a b"},
       .code = TPO_E_INPUT,
       .part = "names \"b\""},
      {.model = "gemma4", .tokens = {"a"}, .merges = {" "}, .code = TPO_E_INPUT, .part = "form \"a b\""},
  };
  const char *dir = make_dir();
  char path[512];
  snprintf(path, sizeof path, "%s/vocab.gguf", dir);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_gguf(&cases[i], dir);
    expect_message(path, cases[i].code, cases[i].part);
  }
  remove_dir(dir);
}

static void a_small_gguf_works(void **state)
{
  (void)state;
  static const struct gguf_case c = {.model = "gpt2",
                                     .pre = "gpt-2",
                                     .tokens = {"<e>", "a", "b", "ab", "<t>"},
                                     .merges = {"a b"},
                                     .types = {3, 1, 1, 1, 4},
                                     .n_types = 5};
  const char *dir = make_dir();
  char path[512];
  snprintf(path, sizeof path, "%s/vocab.gguf", dir);
  write_gguf(&c, dir);
  struct tpo_tokenizer *tok = open_tokenizer(path);
  struct tpo_ids ids = encode(tok, "ab<e>ba<t>", 10, TPO_ENCODE_SPECIAL);
  static const int32_t expected[] = {3, 0, 2, 1, 4};
  assert_int_equal(ids.n, 5);
  assert_memory_equal(ids.ids, expected, sizeof expected);
  tpo_ids_free(&ids);
  tpo_tokenizer_close(tok);
  remove_dir(dir);
}

/* A GGUF comes without files of its own to tell it by. */
static void each_part_of_a_gguf_tells_it_from_another(void **state)
{
  (void)state;
  const struct gguf_case plain = {.model = "gpt2",
                                  .pre = "gpt-2",
                                  .tokens = {"<e>", "a", "b", "ab", "ba"},
                                  .merges = {"a b", "b a"},
                                  .types = {3, 1, 1, 1, 1},
                                  .n_types = 5};
  struct gguf_case cases[] = {plain, plain, plain, plain, plain, plain};
  cases[2].tokens[4] = "bb", cases[2].merges[1] = "b b";
  cases[3].merges[0] = "b a", cases[3].merges[1] = "a b";
  cases[4].types[4] = 4;
  cases[5].eos = 1;
  char path[512], hex[6][33];
  const char *dir = make_dir();
  snprintf(path, sizeof path, "%s/vocab.gguf", dir);
  for (size_t i = 0; i < 6; i++) {
    write_gguf(&cases[i], dir);
    struct tpo_tokenizer *tok = open_tokenizer(path);
    assert_int_equal(tokenizer_identify(tok, hex[i], &test_error), 0);
    tpo_tokenizer_close(tok);
    for (size_t j = 0; j < i; j++) assert_int_equal(strcmp(hex[i], hex[j]) == 0, i == 1);
  }
  remove_dir(dir);
}

static int put_beside(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  (void)err;
  put_file(arg, name, bytes, len);
  return 0;
}

/* From the GGUF, and from the files that are written of it. */
static void check_gguf(const struct gguf_case *c, const struct expected_ids *cases, size_t n)
{
  const char *dir = make_dir();
  char path[512];
  snprintf(path, sizeof path, "%s/vocab.gguf", dir);
  write_gguf(c, dir);
  struct tpo_tokenizer *tok = open_tokenizer(path);
  check_ids(tok, cases, n);
  assert_int_equal(tpo_tokenizer_each_file(tok, put_beside, (void *)dir, &test_error), 0);
  tpo_tokenizer_close(tok);
  tok = open_tokenizer(dir);
  check_ids(tok, cases, n);
  tpo_tokenizer_close(tok);
  remove_dir(dir);
}

static void a_gguf_makes_text_of_marked_symbols_too(void **state)
{
  (void)state;
  static const struct gguf_case c = {.model = "gpt2",
                                     .pre = "gpt-2",
                                     .tokens = {"<e>", "!", "a", "!!", "b"},
                                     .merges = {"! !"},
                                     .types = {3, 3, 1, 1, 4},
                                     .n_types = 5};
  static const struct expected_ids cases[] = {
      {"a!", 0, {2, 1}, 2}, {"!!!b", 0, {3, 1, 4}, 3}, {"!!<e>", TPO_ENCODE_SPECIAL, {1, 1, 0}, 3}};
  check_gguf(&c, cases, 3);
}

static void a_gguf_names_its_bytes(void **state)
{
  (void)state;
  static const struct gguf_case c = {.model = "llama",
                                     .tokens = {"<unk>", "<0x41>", "<0xC3>", "<0xA9>", "a", "\xe2\x96\x81"},
                                     .types = {2, 1, 6, 3, 3, 1},
                                     .n_types = 6,
                                     .scores = {0},
                                     .n_scores = 6};
  static const struct expected_ids cases[] = {{"A", 0, {5, 1}, 2}, {"\u00e9 a", 0, {5, 2, 3, 5, 4}, 5}};
  check_gguf(&c, cases, 2);
}

/* Merges over pieces with visible spaces, newlines included, and bytes for what has no piece. */
static void a_gguf_of_pieces_may_have_merges(void **state)
{
  (void)state;
  static const struct gguf_case c = {.model = "gemma4",
                                     .tokens = {"<0x41>", "\n", "b", "\xe2\x96\x81",
                                                "\xe2\x96\x81"
                                                "b",
                                                "\n\xe2\x96\x81"},
                                     .merges = {"\n \xe2\x96\x81", "\xe2\x96\x81 b"},
                                     .types = {6, 1, 1, 1, 1, 1},
                                     .n_types = 6};
  static const struct expected_ids cases[] = {
      {"b b", 0, {2, 4}, 2}, {"b\n b", 0, {2, 5, 2}, 3}, {"\n\nA", 0, {1, 1, 0}, 3}};
  check_gguf(&c, cases, 3);
}

static void phi3_takes_the_spaces_after_its_tokens(void **state)
{
  (void)state;
  struct gguf_case c = {.model = "llama",
                        .architecture = "phi3",
                        .tokens = {"<unk>", "<s>", "<|user|>", "\xe2\x96\x81", "a", "<0x0A>"},
                        .types = {2, 3, 3, 1, 1, 6},
                        .n_types = 6,
                        .scores = {0},
                        .n_scores = 6};
  static const struct expected_ids cases[] = {{"<|user|>\n a", TPO_ENCODE_SPECIAL, {2, 3, 4}, 3},
                                              {"<s>\na", TPO_ENCODE_SPECIAL, {1, 3, 5, 4}, 4},
                                              {"<|user|>", TPO_ENCODE_SPECIAL, {2}, 1}};
  static const struct expected_ids others[] = {{"<|user|>\na", TPO_ENCODE_SPECIAL, {2, 3, 5, 4}, 4}};
  check_gguf(&c, cases, 3);
  c.architecture = "llama";
  check_gguf(&c, others, 1);
}

/* Bytes of a good tokenizer.json are changed, removed or doubled: it loads or fails with a message. */
static void mutated_files_never_crash(void **state)
{
  (void)state;
  static const char *const folders[] = {"llama3", "llama2"};
  const char *dir = make_dir();
  for (uint32_t f = 0; f < 2; f++) {
    struct tpo_buf good = {0};
    char path[512];
    snprintf(path, sizeof path, FIXTURES "/%s/tokenizer.json", folders[f]);
    assert_int_equal(tpo_read_file(path, 1 << 20, &good, &test_error), 0);
    struct tpo_rng rng;
    tpo_rng_init(&rng, 11, 0, f, 0);
    for (int k = 0; k < 250; k++) {
      struct tpo_buf bad = {0};
      tpo_buf_append(&bad, good.data, good.len);
      for (uint32_t n = 1 + tpo_rng_below(&rng, 3); n > 0; n--) {
        uint32_t at = tpo_rng_below(&rng, (uint32_t)bad.len), how = tpo_rng_below(&rng, 4);
        static const char bytes[] = "\"{}[],:0\\\xff\x00";
        if (how < 2)
          bad.data[at] = bytes[tpo_rng_below(&rng, sizeof bytes)];
        else if (how == 2)
          bad.len = at + 1;
        else
          memmove(bad.data + at, bad.data + at + 1, bad.len - at - 1);
      }
      put_file(dir, "tokenizer.json", bad.data, bad.len);
      struct tpo_tokenizer *tok;
      struct tpo_error err = {0};
      if (tpo_tokenizer_open(&tok, dir, &err) < 0) {
        assert_true(strlen(err.message) > 10);
      } else {
        struct tpo_ids ids =
            encode(tok, "It's 12 \xff raining<s>", 18, TPO_ENCODE_SPECIAL | TPO_ENCODE_BOS_EOS);
        tpo_ids_free(&ids);
      }
      tpo_tokenizer_close(tok);
      tpo_buf_free(&bad);
    }
    tpo_buf_free(&good);
  }
  remove_dir(dir);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tokenizer_json_faults_are_named),
      cmocka_unit_test(a_folder_without_a_tokenizer_is_refused),
      cmocka_unit_test(settings_faults_are_named),
      cmocka_unit_test(gguf_faults_are_named),
      cmocka_unit_test(a_small_gguf_works),
      cmocka_unit_test(each_part_of_a_gguf_tells_it_from_another),
      cmocka_unit_test(a_gguf_makes_text_of_marked_symbols_too),
      cmocka_unit_test(a_gguf_names_its_bytes),
      cmocka_unit_test(a_gguf_of_pieces_may_have_merges),
      cmocka_unit_test(phi3_takes_the_spaces_after_its_tokens),
      cmocka_unit_test(mutated_files_never_crash),
  };
  return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
