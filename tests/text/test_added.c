/* Added tokens that are the model's own tokens too: text goes on to be made of those that it needs. */
#include "text_test.h"
#include "text/added.h"

#define BYTE_LEVEL                                                                                           \
  "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"                                   \
  "\"decoder\":{\"type\":\"ByteLevel\"},"
#define ADDED(id, content, special)                                                                          \
  "{\"id\":" #id ",\"content\":\"" content "\",\"normalized\":false,\"special\":" special "}"
/* U+00E9 is U+00C3 U+00A9 in the alphabet. */
#define VOCAB                                                                                                \
  "{\"<|end|>\":0,\"!\":1,\"\u00c3\":2,\"\u00a9\":3,\"a\":4,\"b\":5,\"\u0120\":6,\"!!\":7,"                  \
  "\"\u00c3\u00a9\":8,\"ab\":9,\"\u0120a\":10,\"b\u00c3\":11,\"ba\":12}"
#define MODEL                                                                                                \
  "\"model\":{\"type\":\"BPE\",\"vocab\":" VOCAB                                                             \
  ",\"merges\":[\"! !\",\"\u00c3 \u00a9\",\"a b\",\"\u0120 a\",\"b \u00c3\",\"b a\"]}"

static void expect_text(const struct tpo_tokenizer *tok, const int32_t *ids, size_t n, const char *text)
{
  struct tpo_buf back = {0};
  assert_int_equal(tpo_tokenizer_decode(tok, ids, n, false, &back, &test_error), 0);
  assert_string_equal(back.data ? back.data : "", text);
  tpo_buf_free(&back);
}

static void a_special_token_of_one_byte_stays_that_byte(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = from_json(
      "{\"added_tokens\":[" ADDED(0, "<|end|>", "true") "," ADDED(1, "!", "true") "]," BYTE_LEVEL MODEL "}");
  static const struct expected_ids cases[] = {
      {"a!", 0, {4, 1}, 2},
      {"!!", 0, {7}, 1},
      {"b!!!a", 0, {5, 7, 1, 4}, 4},
      {"!!", TPO_ENCODE_SPECIAL, {1, 1}, 2},
      {"ab!", TPO_ENCODE_SPECIAL, {9, 1}, 2},
      {"<|end|>!", TPO_ENCODE_SPECIAL, {0, 1}, 2},
  };
  check_ids(tok, cases, sizeof cases / sizeof *cases);
  static const int32_t ids[] = {9, 1, 0};
  expect_text(tok, ids, 3, "ab!"); /* a sampled one is text, the end is not */
  tpo_tokenizer_close(tok);
}

static void a_special_token_of_one_byte_that_ends_texts_says_nothing(void **state)
{
  (void)state;
  const char *dir = make_dir();
  static const char json[] = "{\"added_tokens\":[" ADDED(1, "!", "true") "]," BYTE_LEVEL MODEL "}",
                    config[] = "{\"eos_token\":\"!\"}";
  put_file(dir, "tokenizer.json", json, strlen(json));
  put_file(dir, "tokenizer_config.json", config, strlen(config));
  struct tpo_tokenizer *tok = open_tokenizer(dir);
  remove_dir(dir);
  static const int32_t ids[] = {9, 1};
  expect_text(tok, ids, 2, "ab");
  tpo_tokenizer_close(tok);
}

static void a_special_token_that_only_the_settings_name_stays_its_byte(void **state)
{
  (void)state;
  const char *dir = make_dir();
  static const char json[] = "{" BYTE_LEVEL MODEL "}",
                    config[] = "{\"added_tokens_decoder\":{\"1\":{\"content\":\"!\",\"special\":true}}}";
  put_file(dir, "tokenizer.json", json, strlen(json));
  put_file(dir, "tokenizer_config.json", config, strlen(config));
  struct tpo_tokenizer *tok = open_tokenizer(dir);
  remove_dir(dir);
  static const struct expected_ids cases[] = {{"a!!!", 0, {4, 7, 1}, 3},
                                              {"!!", TPO_ENCODE_SPECIAL, {1, 1}, 2}};
  check_ids(tok, cases, 2);
  tpo_tokenizer_close(tok);
}

static void text_is_not_made_of_longer_special_tokens(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok =
      from_json("{\"added_tokens\":[" ADDED(9, "ab", "true") "]," BYTE_LEVEL MODEL "}");
  static const struct expected_ids cases[] = {{"ab", 0, {4, 5}, 2}, {"ab", TPO_ENCODE_SPECIAL, {9}, 1}};
  check_ids(tok, cases, 2);
  tpo_tokenizer_close(tok);
}

static void an_added_token_written_as_a_bytes_glyph_is_both(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok =
      from_json("{\"added_tokens\":[" ADDED(2, "\u00c3", "false") "]," BYTE_LEVEL MODEL "}");
  static const struct expected_ids cases[] = {
      {"\u00e9", 0, {8}, 1},
      {"ab\u00e9", 0, {9, 8}, 2},
      {"a\u00c3b", 0, {4, 2, 5}, 3}, /* the letter that the token is written as */
      {"\xc3", 0, {2}, 1},
  };
  check_ids(tok, cases, sizeof cases / sizeof *cases);
  static const int32_t ids[] = {4, 2, 3};
  expect_text(tok, ids, 3, "a\u00e9");
  tpo_tokenizer_close(tok);
}

static void a_special_character_of_sentencepiece_stays_text(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = from_json("{\"added_tokens\":[" ADDED(2, "!", "true") "," ADDED(
      3, "<0x0A>",
      "false") "],"
               "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"},"
               "\"decoder\":{\"type\":\"ByteFallback\"},\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,"
               "\"vocab\":{\"\u2581\":0,\"a\":1,\"!\":2,\"<0x0A>\":3,\"a!\":4,\"<0x21>\":5},"
               "\"merges\":[\"a !\"]}}");
  static const struct expected_ids cases[] = {
      {"a!", 0, {4}, 1}, {" !\n", 0, {0, 2, 3}, 3}, {"a!", TPO_ENCODE_SPECIAL, {1, 2}, 2}};
  check_ids(tok, cases, 3);
  static const int32_t ids[] = {1, 0, 2, 3};
  expect_text(tok, ids, 4, "a !\n");
  tpo_tokenizer_close(tok);
}

static void merges_go_through_added_tokens(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok =
      from_json("{\"added_tokens\":[{\"id\":9,\"content\":\"ab\",\"single_word\":true,\"special\":false}"
                "]," BYTE_LEVEL MODEL "}");
  static const struct expected_ids cases[] = {
      {"ab", 0, {9}, 1}, {"bab", 0, {5, 9}, 2}, {"abba", 0, {9, 12}, 2}};
  check_ids(tok, cases, 3);
  tpo_tokenizer_close(tok);
}

/* A roman numeral (U+2160), a circled letter, a joiner and a letter of Unicode 16 are of a word, a superscript is
 * none, as tokenizers 0.23 has it. */
static void a_single_word_stands_beside_what_is_no_word(void **state)
{
  (void)state;
  static const struct {
    const char *beside;
    bool alone;
  } cases[] = {{"\u2160", false},     {"\u24b6", false}, {"\u0301", false}, {"\u200d", false},
               {"\U00010d50", false}, {"\u00b2", true},  {"\u00bd", true},  {"\U0001fae8", true}};
  struct tpo_added added = {0};
  struct tpo_added_token token = {.id = 7, .single_word = true};
  assert_int_equal(tpo_added_put(&added, "ab", 2, token, &test_error), 0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int after = 0; after < 2; after++) {
      char text[16];
      struct tpo_added_match match;
      snprintf(text, sizeof text, after ? "ab%s" : "%sab", cases[i].beside);
      bool found = tpo_added_next(&added, text, strlen(text), 0, true, &match);
      if (found != cases[i].alone) fail_msg("%s", text);
    }
  tpo_added_free(&added);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_special_token_of_one_byte_stays_that_byte),
      cmocka_unit_test(a_special_token_of_one_byte_that_ends_texts_says_nothing),
      cmocka_unit_test(a_special_token_that_only_the_settings_name_stays_its_byte),
      cmocka_unit_test(text_is_not_made_of_longer_special_tokens),
      cmocka_unit_test(an_added_token_written_as_a_bytes_glyph_is_both),
      cmocka_unit_test(a_special_character_of_sentencepiece_stays_text),
      cmocka_unit_test(merges_go_through_added_tokens),
      cmocka_unit_test(a_single_word_stands_beside_what_is_no_word),
  };
  return cmocka_run_group_tests_name("added", tests, NULL, NULL);
}
