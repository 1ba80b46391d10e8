/* Steps before and after ByteLevel: those after it see glyphs of bytes, some of them digits and
 * letters where their bytes are none. The ids are those of Hugging Face's tokenizers. */
#include "text_test.h"
#include "text/normalize.h"
#include "text/pretokenize.h"

/* U+00B2, a digit to Unicode, is the bytes C2 B2, whose glyphs are U+00C2, a letter, and U+00B2 itself. */
#define VOCAB                                                                                                \
  "{\"<|end|>\":0,\"\u00c2\":1,\"\u00b2\":2,\"\u00bd\":3,\"a\":4,\"\u0120\":5,\"1\":6,\"2\":7,"              \
  "\"\u00c2\u00b2\":8,\"\u00c2\u00bd\":9,\"12\":10,\"a1\":11,\"\u01201\":12,\"a\u00c2\":13,\"\u0120a\":14,"  \
  "\"a\u00c2\u00b2\":15,\".\":16}"
#define MERGES                                                                                               \
  "[\"\u00c2 \u00b2\",\"\u00c2 \u00bd\",\"1 2\",\"a 1\",\"\u0120 1\",\"a \u00c2\",\"\u0120 a\","             \
  "\"a \u00c2\u00b2\"]"
#define STEPS(steps)                                                                                         \
  "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" steps "]},"                                \
  "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":" VOCAB ",\"merges\":" MERGES  \
  "}}"
#define WORDS "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define DIGITS(single) "{\"type\":\"Digits\",\"individual_digits\":" single "}"

static void check_steps(const char *json, const struct expected_ids *cases, size_t n)
{
  struct tpo_tokenizer *tok = from_json(json);
  check_ids(tok, cases, n);
  tpo_tokenizer_close(tok);
}

static void digits_before_byte_level_are_the_texts(void **state)
{
  (void)state;
  static const struct expected_ids cases[] = {{"12", 0, {6, 7}, 2},
                                              {"a\u00b2", 0, {4, 8}, 2},
                                              {"a1\u00b2\u00bd", 0, {4, 6, 8, 9}, 4},
                                              {"a 1 12\u00b2", 0, {4, 5, 6, 5, 6, 7, 8}, 7}};
  check_steps(STEPS(DIGITS("true") "," WORDS), cases, 4);
}

static void digits_after_byte_level_are_glyphs(void **state)
{
  (void)state;
  static const struct expected_ids runs[] = {{"12", 0, {10}, 1},
                                             {"a\u00b2", 0, {4, 1, 2}, 3},
                                             {" 12", 0, {5, 10}, 2},
                                             {"a1\u00b2\u00bd", 0, {4, 6, 1, 2, 1, 3}, 6},
                                             {"a 1 12\u00b2", 0, {4, 5, 6, 5, 10, 1, 2}, 7}},
                                   each[] = {{"12", 0, {6, 7}, 2},
                                             {"a\u00b2", 0, {4, 1, 2}, 3},
                                             {" 12", 0, {5, 6, 7}, 3},
                                             {"a 1 12\u00b2", 0, {4, 5, 6, 5, 6, 7, 1, 2}, 8},
                                             {" a a.", 0, {14, 14, 16}, 3}};
  check_steps(STEPS(WORDS "," DIGITS("false")), runs, 5);
  check_steps(STEPS(WORDS "," DIGITS("true")), each, 5);
}

static void patterns_after_byte_level_name_glyphs(void **state)
{
  (void)state;
  static const struct expected_ids spaces[] = {{"a\u00b2", 0, {15}, 1},
                                               {"a1\u00b2\u00bd", 0, {11, 8, 9}, 3},
                                               {"a 1 12\u00b2", 0, {4, 12, 5, 10, 8}, 5},
                                               {" a a.", 0, {14, 14, 16}, 3}},
                                   removed[] = {{"a\u00b2", 0, {4, 2}, 2},
                                                {"a1\u00b2\u00bd", 0, {4, 6, 2, 3}, 4},
                                                {"a 1 12\u00b2", 0, {4, 5, 6, 5, 6, 7, 2}, 7}};
  check_steps(STEPS(BYTES ",{\"type\":\"Split\",\"pattern\":{\"String\":\"\u0120\"},"
                          "\"behavior\":\"MergedWithNext\"}"),
              spaces, 4);
  check_steps(STEPS(BYTES ",{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\u00c2\"},"
                          "\"behavior\":\"Removed\"}," DIGITS("true")),
              removed, 3);
}

/* Rust's is_numeric knows Unicode 17's digits (U+11DE0), which Oniguruma's \\p{N} does not; its punctuation is
 * older: U+2E52 is none to it. Without a behavior punctuation is isolated. */
static void digits_and_punctuation_are_those_of_the_package(void **state)
{
  (void)state;
  static const struct {
    const char *own, *text;
    size_t pieces;
  } cases[] = {{"\\p{(digits)}", "x\U00011de0x", 3},
               {"\\p{N}", "x\U00011de0x", 1},
               {"\\p{(punctuation)}", "x\u2e52x", 1},
               {"\\p{P}", "x\u2e52x", 3},
               {"\\p{(punctuation)}", "x$x\u3002", 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_pretokenizer pre = {0};
    struct tpo_pre_scratch scratch = {0};
    const char *out;
    assert_int_equal(
        tpo_pretokenizer_add_own(&pre, cases[i].own, "", TPO_SPLIT_ISOLATED, "here", &test_error), 0);
    assert_int_equal(
        tpo_pretokenize(&pre, cases[i].text, strlen(cases[i].text), true, true, &scratch, &out, &test_error),
        0);
    if (scratch.pieces.n != cases[i].pieces)
      fail_msg("%s: %zu pieces of %s", cases[i].own, scratch.pieces.n, cases[i].text);
    tpo_pre_scratch_free(&scratch);
    tpo_pretokenizer_free(&pre);
  }
  static const struct expected_ids isolated[] = {{"a.1", 0, {4, 16, 6}, 3}};
  check_steps(STEPS("{\"type\":\"Punctuation\"}," WORDS), isolated, 1);
}

/* U+0898 (Unicode 14) stays where it is, U+10781 isn't decomposed, nor is anything beside them held up. */
static void normal_forms_pass_new_marks_by(void **state)
{
  (void)state;
  struct tpo_normalizer norm = {0};
  struct tpo_buf buffers[2] = {{0}};
  const char *text = "e\u0301\u0898\u0316\U00010781\ufb01e\u0301";
  size_t len = strlen(text);
  assert_int_equal(tpo_normalizer_add_form(&norm, TPO_NORMAL_NFKC, &test_error), 0);
  assert_int_equal(tpo_normalize(&norm, &text, &len, true, buffers, &test_error), 0);
  static const char wanted[] = "\u00e9\u0898\u0316\U00010781fi\u00e9";
  assert_int_equal(len, strlen(wanted));
  assert_memory_equal(text, wanted, len);
  for (int i = 0; i < 2; i++) tpo_buf_free(&buffers[i]);
  tpo_normalizer_free(&norm);
}

static void expect_space(const char *pre, const char *config, bool space)
{
  const char *dir = make_dir();
  struct tpo_buf json = {0};
  tpo_buf_printf(
      &json,
      "{\"pre_tokenizer\":%s,\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\u0120\":1},\"merges\":[]}}",
      pre);
  put_file(dir, "tokenizer.json", json.data, json.len);
  if (config) put_file(dir, "tokenizer_config.json", config, strlen(config));
  struct tpo_tokenizer *tok = open_tokenizer(dir);
  remove_dir(dir);
  struct tpo_ids ids = encode(tok, "a", 1, 0);
  if ((ids.n == 2) != space) fail_msg("%s, %s: %zu ids", pre, config ? config : "none", ids.n);
  tpo_ids_free(&ids);
  tpo_buf_free(&json);
  tpo_tokenizer_close(tok);
}

/* As transformers 4.57 does. */
static void the_space_before_a_text_is_the_configs_to_say(void **state)
{
  (void)state;
  static const char with[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", without[] = WORDS;
  static const char class[] = "{\"tokenizer_class\":\"GPT2Tokenizer\"}",
                    yes[] = "{\"tokenizer_class\":\"GPT2Tokenizer\",\"add_prefix_space\":true}",
                    no[] = "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"add_prefix_space\":false}",
                    null[] = "{\"add_prefix_space\":null}";
  expect_space(without, yes, true);
  expect_space(with, yes, true);
  expect_space(without, no, false);
  expect_space(with, no, false);
  expect_space(without, null, false);
  expect_space(with, null, true);
  expect_space(with, class, false);
  expect_space(with, NULL, true);
  /* transformers looks for it no deeper */
  expect_space("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"}]}", no, true);
  expect_space("{\"type\":\"Sequence\",\"pretokenizers\":[" WORDS "]}", yes, false);
}

#define NUL(steps)                                                                                            \
  "{" steps ",\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"\u0100\":0,"      \
  "\"a\":1,\"b\":2,\"c\":3,\"X\":4,\"aX\":5,\"ab\":6,\"a\u0100\":7,\"\u0100b\":8,\"\u0100X\":9,\"\\\\\":10}," \
  "\"merges\":[\"a X\",\"a b\",\"a \u0100\",\"\u0100 b\",\"\u0100 X\"]}}"
#define NUL_SPLIT(kind, pattern)                                                                             \
  NUL("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"" kind \
      "\":\"" pattern "\"},\"behavior\":\"Isolated\",\"invert\":false}," BYTES "]}")
#define NUL_REPLACE(what, by)                                                                                \
  NUL("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"" what "\"},\"content\":\"" by         \
      "\"},\"pre_tokenizer\":" BYTES)

static void a_nul_is_a_character(void **state)
{
  (void)state;
  static const struct {
    const char *json, *text;
    size_t len;
    int32_t ids[6], n;
  } cases[] = {
      {NUL_SPLIT("Regex", "a\\u0000b"), "aX", 2, {5}, 1},
      {NUL_SPLIT("Regex", "a\\u0000b"), "aa\0bX", 5, {1, 7, 2, 4}, 4},
      {NUL_SPLIT("Regex", "\\\\\\u0000"), "a\0b", 3, {1, 0, 2}, 3},
      {NUL_SPLIT("Regex", "\\\\\\\\\\u0000"), "a\0b\\\0b", 6, {7, 2, 10, 0, 2}, 5},
      {NUL_SPLIT("Regex", "[\\u0000-a]"), "ab\0X", 4, {1, 2, 0, 4}, 4},
      {NUL_SPLIT("String", "\\u0000"), "a\0b", 3, {1, 0, 2}, 3},
      {NUL_SPLIT("String", "\\\\\\u0000"), "a\0b\\\0b", 6, {7, 2, 10, 0, 2}, 5},
      {NUL_REPLACE("a\\u0000", "b"), "aXa\0X", 5, {5, 2, 4}, 3},
      {NUL_REPLACE("a", "b\\u0000c"), "aX", 2, {2, 0, 3, 4}, 4},
      {NUL("\"added_tokens\":[{\"id\":11,\"content\":\"\\u0000\",\"special\":false,\"normalized\":false}],"
           "\"pre_tokenizer\":" BYTES),
       "a\0X",
       3,
       {1, 11, 4},
       3},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_tokenizer *tok = from_json(cases[i].json);
    struct tpo_ids ids = {.ids = (int32_t *)cases[i].ids, .n = (size_t)cases[i].n};
    if (differs(tok, cases[i].text, cases[i].len, TPO_ENCODE_SPECIAL, &ids)) fail_msg("%s", cases[i].json);
    tpo_tokenizer_close(tok);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(digits_before_byte_level_are_the_texts),
      cmocka_unit_test(digits_after_byte_level_are_glyphs),
      cmocka_unit_test(patterns_after_byte_level_name_glyphs),
      cmocka_unit_test(digits_and_punctuation_are_those_of_the_package),
      cmocka_unit_test(normal_forms_pass_new_marks_by),
      cmocka_unit_test(the_space_before_a_text_is_the_configs_to_say),
      cmocka_unit_test(a_nul_is_a_character),
  };
  return cmocka_run_group_tests_name("pretokenize", tests, NULL, NULL);
}
