/* Tokenizers that go into a GGUF file and come out again are the same, but for what GGUF can't tell; what has no
 * name there is refused. */
#include <fcntl.h>

#include "store/gguf.h"
#include "text/gguf/pre.h"
#include "text/tokenizer.h"
#include "text_test.h"

/* Vectors whose ids the way through GGUF changes, and all others' that it doesn't. */
static void check_texts(const struct tpo_tokenizer *tok, const char *name, const char *changing, bool begins)
{
  char path[512];
  struct tpo_lines lines;
  int n = 0, changed = 0;
  snprintf(path, sizeof path, FIXTURES "/%s/vectors.jsonl", name);
  assert_int_equal(tpo_lines_open(&lines, path, &test_error), 0);
  while (tpo_lines_next(&lines, &test_error) == 1) {
    json_t *row = tpo_json_parse(lines.line.data, lines.line.len, path, &test_error);
    assert_non_null(row);
    const char *text = json_string_value(json_object_get(row, "text"));
    const char *found = changing ? strstr(text, changing) : NULL;
    bool excused = begins ? found == text : found != NULL;
    struct tpo_ids ids = ids_of_json(json_object_get(row, "ids"));
    struct tpo_ids got = encode(tok, text, json_string_length(json_object_get(row, "text")),
                                TPO_ENCODE_SPECIAL | TPO_ENCODE_BOS_EOS);
    if (!same_ids(&ids, &got) && !excused) fail_msg("%s: \"%s\" has other ids", name, text);
    changed += !same_ids(&ids, &got);
    tpo_ids_free(&ids);
    tpo_ids_free(&got);
    json_decref(row);
    n++;
  }
  tpo_lines_close(&lines);
  assert_true(n >= 100 && (changing != NULL) == (changed > 0));
}

/* changing: texts that hold it (that begin with it) may have other ids. */
static void check_fixture(const char *name, const char *changing, bool begins)
{
  struct tpo_tokenizer *tok = open_fixture(name);
  int n = tpo_tokenizer_size(tok);
  struct tpo_tokenizer *again = through_gguf(tok, n + 3); /* padded, as many models' vocabularies are */
  size_t len;
  bool special;
  check_texts(again, name, changing, begins);
  assert_int_equal(tpo_tokenizer_size(again), n + 3);
  assert_int_equal(tpo_tokenizer_bos(again), tpo_tokenizer_bos(tok));
  assert_int_equal(tpo_tokenizer_eos(again), tpo_tokenizer_eos(tok));
  for (int32_t id = 0; id < n; id++) {
    const char *bytes = tpo_tokenizer_token(tok, id, &len, &special);
    size_t other_len = 0;
    bool other_special = false;
    const char *other = tpo_tokenizer_token(again, id, &other_len, &other_special);
    if (bytes && (len != other_len || memcmp(bytes, other, len) != 0 || special != other_special))
      fail_msg("%s: token %d \"%s\" became \"%s\"", name, id, bytes, other);
  }
  tpo_tokenizer_close(again);
  tpo_tokenizer_close(tok);
  remove_dir(make_dir());
}

static void byte_level_tokenizers_come_back(void **state)
{
  (void)state;
  check_fixture("llama3", NULL, false);
  check_fixture("smollm", NULL, false);
  check_fixture("tekken", NULL, false);
  static const char *const names[] = {"qwen2",       "qwen35", "o200k",     "deepseek_llm", "deepseek_coder",
                                      "deepseek_v3", "falcon", "command_r", "tiny_aya",     "bloom"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_fixture(names[i], NULL, false);
  check_fixture("gpt2", "<mask>", false); /* takes the spaces beside it */
}

static void sentencepiece_tokenizers_come_back(void **state)
{
  (void)state;
  check_fixture("llama2", NULL, false);
  check_fixture("gemma", NULL, false);
  check_fixture("phi3", "<|", false); /* without the architecture it isn't Phi 3's that take spaces */
  check_fixture("metaspace_split", " ", true); /* one space more */
}

/* What a fixture's way into GGUF warns of. */
static struct tpo_buf warnings_of(const char *fixture)
{
  char path[512];
  struct tpo_buf text = {0};
  struct tpo_tokenizer *tok = open_fixture(fixture);
  snprintf(path, sizeof path, "%s/warnings", make_dir());
  int before = dup(STDERR_FILENO), file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(before >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
  tpo_log_setup(TPO_LOG_WARN, false, 0);
  struct tpo_tokenizer *again = through_gguf(tok, tpo_tokenizer_size(tok));
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  assert_true(dup2(before, STDERR_FILENO) >= 0);
  close(before);
  close(file);
  assert_int_equal(tpo_read_file(path, 1 << 16, &text, &test_error), 0);
  tpo_buf_putc(&text, '\0');
  tpo_tokenizer_close(again);
  tpo_tokenizer_close(tok);
  remove_dir(make_dir());
  return text;
}

static void what_gguf_does_not_tell_is_warned_of(void **state)
{
  (void)state;
  const struct {
    const char *fixture, *says; /* NULL: nothing */
  } cases[] = {{"qwen2", "normal form NFC"},
               {"gpt2", "take spaces beside them"},
               {"metaspace_split", "llama.cpp puts a space before every stretch of text"},
               {"llama3", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_buf text = warnings_of(cases[i].fixture);
    if (cases[i].says ? !strstr(text.data, cases[i].says) : text.len > 1)
      fail_msg("%s: %s", cases[i].fixture, text.data);
    tpo_buf_free(&text);
  }
}

static void put_refused(const char *json, const char *says)
{
  struct tpo_tokenizer *tok = from_json(json);
  struct tpo_gguf_writer *w;
  char path[512];
  snprintf(path, sizeof path, "%s/vocab.gguf", make_dir());
  assert_int_equal(tpo_gguf_writer_open(&w, path, &test_error), 0);
  int status = tpo_tokenizer_put_gguf(tok, tpo_tokenizer_size(tok), w, &test_error);
  if (status >= 0 || !strstr(test_error.message, says))
    fail_msg("%d, \"%s\" lacks \"%s\"", status, test_error.message, says);
  tpo_gguf_writer_close(w);
  assert_int_equal(access(path, F_OK), -1);
  tpo_tokenizer_close(tok);
  remove_dir(make_dir());
}

#define BYTES "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}}"
#define PIECES                                                                                               \
  "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4," \
  "\"abc\":5},\"merges\":["

#define SPACES "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" TPO_META "\"}"
#define UNRANKED "\"a bc\",\"b c\",\"ab c\",\"a b\"]}}"

static void merges_without_scores_come_back(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = from_json("{\"normalizer\":" SPACES "," PIECES UNRANKED);
  struct tpo_tokenizer *again = through_gguf(tok, tpo_tokenizer_size(tok));
  const struct expected_ids cases[] = {{"abc", 0, {5}, 1}, {"ab", 0, {3}, 1}, {"bcb", 0, {4, 1}, 2}};
  check_ids(tok, cases, 3);
  check_ids(again, cases, 3);
  tpo_tokenizer_close(again);
  tpo_tokenizer_close(tok);
  remove_dir(make_dir());
}

static void what_has_no_name_in_gguf_is_refused(void **state)
{
  (void)state;
  put_refused("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":"
              "{\"Regex\":\"x+\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"use_regex\":false,"
              "\"add_prefix_space\":false}]}," BYTES,
              "(1 splits, the last by \"x+\"; ignore_merges false) has no name in GGUF; expected the splits");
  put_refused("{\"normalizer\":{\"type\":\"NFKC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," BYTES,
              "such a normalizer");
  put_refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[0-9]\"},\"behavior\":"
              "\"Isolated\"}," PIECES "]}}",
              "SentencePiece's kind with the split \"[0-9]\"");
  put_refused(
      "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" TPO_META
      "\"}," SPACES "]}," PIECES UNRANKED,
      "don't follow each other");
  put_refused("{" PIECES UNRANKED, "without visible spaces");
}

static void a_vocabulary_that_is_too_small_is_refused(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("llama3");
  struct tpo_gguf_writer *w;
  char path[512];
  snprintf(path, sizeof path, "%s/vocab.gguf", make_dir());
  assert_int_equal(tpo_gguf_writer_open(&w, path, &test_error), 0);
  assert_true(tpo_tokenizer_put_gguf(tok, 10, w, &test_error) < 0);
  assert_non_null(strstr(test_error.message, "the model's vocabulary only 10"));
  tpo_gguf_writer_close(w);
  tpo_tokenizer_close(tok);
  remove_dir(make_dir());
}

static const char *name_of(const struct tpo_tokenizer *tok)
{
  const struct tpo_gguf_pre *pre;
  assert_int_equal(tpo_gguf_pre_of(tok, &pre, &test_error), 0);
  return pre ? pre->name : "none";
}

static void the_splits_in_use_have_names(void **state)
{
  (void)state;
  const struct {
    const char *fixture, *name, *otherwise; /* where ignore_merges is turned round */
  } cases[] = {{"gpt2", "gpt-2", "gpt-2"},
               {"llama3", "llama-bpe", "dbrx"},
               {"qwen2", "qwen2", "qwen2"},
               {"smollm", "smollm", "smollm"},
               {"tekken", "tekken", "tekken"},
               {"qwen35", "qwen35", "qwen35"},
               {"o200k", "gpt-4o", "gpt-4o"},
               {"deepseek_llm", "deepseek-llm", "deepseek-llm"},
               {"deepseek_coder", "deepseek-coder", "deepseek-coder"},
               {"deepseek_v3", "deepseek-v3", "deepseek-v3"},
               {"falcon", "falcon", "falcon"},
               {"command_r", "command-r", "command-r"},
               {"tiny_aya", "tiny_aya", "tiny_aya"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_tokenizer *tok = open_fixture(cases[i].fixture);
    assert_string_equal(name_of(tok), cases[i].name);
    tok->bpe.ignore_merges = !tok->bpe.ignore_merges; /* which changes nothing: merging makes all tokens */
    assert_string_equal(name_of(tok), cases[i].otherwise);
    tpo_tokenizer_close(tok);
  }
}

#define WORDS_OF(normalizer, model)                                                                          \
  "{\"normalizer\":" normalizer                                                                              \
  ",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}," model

/* A name stands for what changes ids, or there is none. */
static void a_name_is_not_given_for_other_ids(void **state)
{
  (void)state;
  /* no merge makes "ab", so that it matters that merges are ignored */
#define LONE                                                                                                 \
  "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[]}}"
  const struct {
    const char *json, *name;
  } cases[] = {{WORDS_OF("null", BYTES), "gpt-2"},
               {WORDS_OF("{\"type\":\"NFC\"}", BYTES), "mpt"},
               {WORDS_OF("null", LONE), "none"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_tokenizer *tok = from_json(cases[i].json);
    assert_string_equal(name_of(tok), cases[i].name);
    tpo_tokenizer_close(tok);
  }
}

/* Patterns are compared by their characters, however they are spelled. */
static void spelling_is_no_difference(void **state)
{
  (void)state;
  const struct {
    const char *first, *name;
  } cases[] = {{"[\\r\\n]", "deepseek-coder"},
               {"[\\\\r\\\\n]", "deepseek-coder"},
               {"[\\u000d\\n]", "deepseek-coder"},
               {"[\\\\r\\\\t]", "none"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char json[2048];
    snprintf(json, sizeof json,
             "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
             "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},\"behavior\":\"Isolated\"},"
             "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s?\\\\p{L}+\"},\"behavior\":\"Isolated\"},"
             "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s?\\\\p{P}+\"},\"behavior\":\"Isolated\"},"
             "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\\u4e00-\xe9\xbe\xa5\\\\u0800-\\\\x{4e00}"
             "\xea\xb0\x80-\\ud7ff]+\"},\"behavior\":\"Isolated\"},"
             "{\"type\":\"Digits\",\"individual_digits\":true},"
             "{\"type\":\"ByteLevel\",\"use_regex\":false,\"add_prefix_space\":false}]}," BYTES,
             cases[i].first);
    struct tpo_tokenizer *tok = from_json(json);
    assert_string_equal(name_of(tok), cases[i].name);
    tpo_tokenizer_close(tok);
  }
}

/* Removing what is no match leaves the same pieces where all of a text is matches, and no other. */
static void what_removes_nothing_has_the_same_name(void **state)
{
  (void)state;
#define REMOVING(pattern)                                                                                              \
  "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern \
  "\"},\"behavior\":\"Removed\",\"invert\":true},{\"type\":\"ByteLevel\",\"use_regex\":"
#define LLAMA3                                                                                                     \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+" \
  "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
  const struct {
    const char *json, *name;
  } cases[] = {{REMOVING(LLAMA3) "false,\"add_prefix_space\":false}]}," BYTES, "dbrx"},
               {REMOVING("\\\\p{N}") "true,\"add_prefix_space\":false}]}," BYTES, "none"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_tokenizer *tok = from_json(cases[i].json);
    assert_string_equal(name_of(tok), cases[i].name);
    tpo_tokenizer_close(tok);
  }
}

/* A tokenizer with the splits of name i, one for all names that have the same: made[] holds it by the first of them. */
static struct tpo_tokenizer *named_tokenizer(struct tpo_tokenizer **made, size_t i)
{
  for (size_t j = 0; j < i; j++)
    if (made[j] && tpo_gguf_pres[j].splits == tpo_gguf_pres[i].splits &&
        tpo_gguf_pres[j].nfc == tpo_gguf_pres[i].nfc)
      return made[j];
  made[i] = from_json(WORDS_OF("null", BYTES));
  tpo_pretokenizer_free(&made[i]->pre);
  if (tpo_gguf_pre_apply(&tpo_gguf_pres[i], made[i], &test_error) < 0)
    fail_msg("%s: %s", tpo_gguf_pres[i].name, test_error.message);
  return made[i];
}

/* Every name has splits that compile, and comes out as itself or as one that cuts alike. */
static void every_name_is_a_tokenizer(void **state)
{
  (void)state;
  struct tpo_tokenizer *made[256] = {NULL};
  assert_true(tpo_n_gguf_pres > 80 && tpo_n_gguf_pres <= 256);
  for (size_t i = 0; i < tpo_n_gguf_pres; i++) {
    const struct tpo_gguf_pre *pre = &tpo_gguf_pres[i], *again;
    struct tpo_tokenizer *tok = named_tokenizer(made, i);
    tok->bpe.ignore_merges = pre->ignore_merges;
    assert_ptr_equal(tpo_gguf_pre_find(pre->name, strlen(pre->name)), pre);
    assert_int_equal(tpo_gguf_pre_of(tok, &again, &test_error), 0);
    bool same_merges = again && again->ignore_merges == pre->ignore_merges;
    if (!again || again->splits != pre->splits || again->nfc != pre->nfc || again->embeds ||
        (!same_merges && !pre->embeds))
      fail_msg("%s became %s", pre->name, again ? again->name : "none");
  }
  for (size_t i = 0; i < tpo_n_gguf_pres; i++) tpo_tokenizer_close(made[i]);
}

int main(void)
{
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(byte_level_tokenizers_come_back),
      cmocka_unit_test(sentencepiece_tokenizers_come_back),
      cmocka_unit_test(what_gguf_does_not_tell_is_warned_of),
      cmocka_unit_test(merges_without_scores_come_back),
      cmocka_unit_test(what_has_no_name_in_gguf_is_refused),
      cmocka_unit_test(a_vocabulary_that_is_too_small_is_refused),
      cmocka_unit_test(the_splits_in_use_have_names),
      cmocka_unit_test(a_name_is_not_given_for_other_ids),
      cmocka_unit_test(spelling_is_no_difference),
      cmocka_unit_test(what_removes_nothing_has_the_same_name),
      cmocka_unit_test(every_name_is_a_tokenizer),
  };
  return cmocka_run_group_tests_name("to_gguf", tests, NULL, NULL);
}
