/* Hostile text: no response, check or pattern makes a check read out of bounds, hang, or return anything but
 * a verdict or an error that says why. Short here; TPO_FUZZ_ROUNDS sets another length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "checks/checks.h"
#include "base/philox.h"
#include "base/utf8.h"
#include "tpo/data.h"
#include "tpo/checks.h"

static const char *const checks[] = {
    "{\"type\":\"keywords:existence\",\"keywords\":[\"a\",\"\u00c9\"]}",
    "{\"type\":\"keywords:frequency\",\"keyword\":\"a\",\"frequency\":2,\"relation\":\"at least\"}",
    "{\"type\":\"keywords:forbidden_words\",\"forbidden_words\":[\"a\",\"+\"]}",
    "{\"type\":\"keywords:letter_frequency\",\"letter\":\"*\",\"let_frequency\":2,\"let_relation\":\"less than\"}",
    "{\"type\":\"language:response_language\",\"language\":\"en\"}",
    "{\"type\":\"length_constraints:number_sentences\",\"num_sentences\":3,\"relation\":\"at least\"}",
    "{\"type\":\"length_constraints:number_paragraphs\",\"num_paragraphs\":2}",
    "{\"type\":\"length_constraints:number_words\",\"num_words\":5,\"relation\":\"less than\"}",
    "{\"type\":\"length_constraints:nth_paragraph_first_word\",\"num_paragraphs\":2,\"nth_paragraph\":2,\"first_word\":\"a\"}",
    "{\"type\":\"detectable_content:number_placeholders\",\"num_placeholders\":2}",
    "{\"type\":\"detectable_content:postscript\",\"postscript_marker\":\"P.P.S\"}",
    "{\"type\":\"detectable_content:postscript\",\"postscript_marker\":\"P.S.\"}",
    "{\"type\":\"detectable_content:postscript\",\"postscript_marker\":\"a*\"}",
    "{\"type\":\"detectable_format:number_bullet_lists\",\"num_bullets\":2}",
    "{\"type\":\"detectable_format:constrained_response\"}",
    "{\"type\":\"detectable_format:number_highlighted_sections\",\"num_highlights\":2}",
    "{\"type\":\"detectable_format:multiple_sections\",\"section_spliter\":\"a\",\"num_sections\":2}",
    "{\"type\":\"detectable_format:json_format\"}",
    "{\"type\":\"detectable_format:title\"}",
    "{\"type\":\"combination:two_responses\"}",
    "{\"type\":\"combination:repeat_prompt\",\"prompt_to_repeat\":\"a\"}",
    "{\"type\":\"startend:end_checker\",\"end_phrase\":\"a\"}",
    "{\"type\":\"startend:quotation\"}",
    "{\"type\":\"change_case:capital_word_frequency\",\"capital_frequency\":2,\"capital_relation\":\"less than\"}",
    "{\"type\":\"change_case:english_capital\"}",
    "{\"type\":\"change_case:english_lowercase\"}",
    "{\"type\":\"punctuation:no_comma\"}",
    "{\"type\":\"reference:exact\",\"reference\":\"a\",\"contained\":true}",
    "{\"type\":\"reference:numeric\",\"reference\":1}",
    "{\"type\":\"reference:regex\",\"reference\":\"(a|aa|.)*\\\\b$\"}",
};
enum { N_CHECKS = sizeof checks / sizeof *checks };

/* What the checks look for, to be strung together. */
static const char *const pieces[] = {"a",
                                     "A",
                                     "*",
                                     "**",
                                     "***",
                                     "******",
                                     "\n",
                                     "\n\n",
                                     "\r\n",
                                     " ",
                                     "\t",
                                     "-",
                                     "[",
                                     "]",
                                     "<<",
                                     ">>",
                                     "\"",
                                     "'",
                                     ".",
                                     "...",
                                     "?",
                                     "!",
                                     ",",
                                     "p.",
                                     "P.S.",
                                     "s",
                                     "1",
                                     "1,000",
                                     "-$.5",
                                     "1e9",
                                     "{",
                                     "}",
                                     ":",
                                     "null",
                                     "```",
                                     "\\u",
                                     "a 1",
                                     "é",
                                     "\xc3",
                                     "日",
                                     "क",
                                     "\xe2\x80\xa8",
                                     "\xf0\x9f\x98\x80",
                                     "\xff",
                                     "\xed\xa0\x80",
                                     "И",
                                     "ﬁ",
                                     "ǅ",
                                     "(",
                                     ")",
                                     "e.g. A",
                                     "--",
                                     "N'T",
                                     "My answer is no."};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

static size_t rounds(size_t otherwise)
{
  const char *text = getenv("TPO_FUZZ_ROUNDS");
  return text ? strtoul(text, NULL, 10) : otherwise;
}

static void write_hostile(struct tpo_rng *rng, char *out, size_t size)
{
  size_t used = 0, n = tpo_rng_below(rng, 60);
  bool raw = tpo_rng_below(rng, 5) == 0;
  for (size_t i = 0; i < n; i++) {
    const char *piece = pieces[tpo_rng_below(rng, N_PIECES)];
    char byte[2] = {(char)(1 + tpo_rng_below(rng, 255)), 0};
    if (raw) piece = byte;
    size_t len = strlen(piece);
    if (used + len + 1 > size) break;
    memcpy(out + used, piece, len);
    used += len;
  }
  out[used] = '\0';
}

static void any_text_gets_a_verdict(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 1, TPO_STREAM_SELECT, 0, 0);
  char text[1024];
  size_t n = rounds(500);
  for (size_t round = 0; round < n; round++) {
    write_hostile(&rng, text, sizeof text);
    for (int c = 0; c < N_CHECKS; c++)
      for (int loose = 0; loose < 2; loose++) {
        struct tpo_error err = {0};
        int status = check_response(checks[c], text, text, loose, &err);
        bool given_up = status == TPO_E_UNSUPPORTED && strstr(checks[c], "reference:regex");
        if (status != 0 && status != 1 && !given_up) fail_msg("%s: %d %s", checks[c], status, err.message);
      }
  }
}

static void any_check_is_judged_or_refused(void **state)
{
  (void)state;
  struct tpo_rng rng;
  tpo_rng_init(&rng, 2, TPO_STREAM_SELECT, 0, 0);
  size_t n = rounds(20000);
  for (size_t round = 0; round < n; round++) {
    char json[512], meta[600];
    snprintf(json, sizeof json, "%s", checks[tpo_rng_below(&rng, N_CHECKS)]);
    size_t len = strlen(json);
    for (uint32_t i = 0, edits = 1 + tpo_rng_below(&rng, 3); i < edits; i++)
      json[tpo_rng_below(&rng, (uint32_t)len)] =
          "{}[]\",:0123456789abtrue-.\\ \xc3\xff"[tpo_rng_below(&rng, 30)];
    snprintf(meta, sizeof meta, "{\"checks\":[%s],\"reference\":\"1\"}", json);
    struct tpo_error err = {0};
    int status = check_response(json, "a", "a, *b* 1.", false, &err);
    if (status < 0)
      assert_true(strlen(err.message) > 0);
    else
      assert_true(status <= 1);
    err.message[0] = '\0';
    if (tpo_checks_validate(meta, &err) < 0) assert_true(strlen(err.message) > 0);
  }
}

static void any_pattern_is_matched_or_refused(void **state)
{
  (void)state;
  static const char *const parts[] = {"(",        ")",         "(?:",   "a",     ".",   "*",    "+",
                                      "?",        "{2,9}",     "|",     "[a-z]", "[^",  "]",    "\\\\b",
                                      "\\\\w",    "\\\\1",     "^",     "$",     "(?=", "(?R)", "(?<n>",
                                      "\\\\p{L}", "(*COMMIT)", "\\\\K", "é"};
  struct tpo_rng rng;
  tpo_rng_init(&rng, 3, TPO_STREAM_SELECT, 0, 0);
  char text[400];
  memset(text, 'a', sizeof text);
  text[sizeof text - 2] = '!';
  text[sizeof text - 1] = '\0';
  size_t n = rounds(1000);
  for (size_t round = 0; round < n; round++) {
    char json[512] = "{\"type\":\"reference:regex\",\"reference\":\"";
    for (uint32_t i = 0, many = 1 + tpo_rng_below(&rng, 14); i < many; i++)
      strcat(json, parts[tpo_rng_below(&rng, sizeof parts / sizeof *parts)]);
    strcat(json, "\"}");
    struct tpo_error err = {0};
    int status = check_response(json, NULL, text, false, &err);
    assert_true(status == 0 || status == 1 || strlen(err.message) > 0);
  }
}

/* Long texts of one repeated piece: the time taken must grow like the text, not like its square. */
static void long_monotonous_texts_are_judged_fast(void **state)
{
  (void)state;
  enum { SIZE = 40000 };
  char *text = malloc(SIZE + 32);
  for (int p = 0; p < N_PIECES; p++) {
    size_t len = strlen(pieces[p]), used = 0;
    while (used < SIZE) {
      memcpy(text + used, pieces[p], len);
      used += len;
    }
    text[used] = '\0';
    for (int c = 0; c < N_CHECKS; c++) check_response(checks[c], NULL, text, false, NULL);
  }
  free(text);
}

static void any_file_is_read_or_refused(void **state)
{
  (void)state;
  char path[] = "/tmp/tpo-test-fuzz-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  FILE *f = fdopen(fd, "wb");
  struct tpo_rng rng;
  tpo_rng_init(&rng, 4, TPO_STREAM_SELECT, 0, 0);
  const char *start = "{\"id\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"checks\":[{"
                      "\"type\":\"t\",\"n\":1}],"
                      "\"reference\":1,\"kwargs\":[{}],\"instruction_id_list\":[\"a\"]}\n";
  size_t n = rounds(1000);
  for (size_t round = 0; round < n; round++) {
    char text[512];
    snprintf(text, sizeof text, "%s%s", round % 7 == 0 ? "id\tinstruction\tchecks\n" : "", start);
    size_t len = strlen(text);
    for (uint32_t i = 0, edits = tpo_rng_below(&rng, 6); i < edits; i++)
      text[tpo_rng_below(&rng, (uint32_t)len)] = "{}[]\",:\t\n\r\\01ae\xc3\xff"[tpo_rng_below(&rng, 17)];
    rewind(f);
    assert_int_equal(ftruncate(fileno(f), 0), 0);
    fwrite(text, 1, len, f);
    fflush(f);
    struct tpo_instructions set = {0};
    struct tpo_error err = {0};
    if (tpo_instructions_read(&set, path, &err) < 0)
      assert_true(strlen(err.message) > 0 && set.n == 0);
    else
      assert_true(set.n > 0);
    tpo_instructions_free(&set);
  }
  fclose(f);
  remove(path);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_text_gets_a_verdict),
      cmocka_unit_test(any_check_is_judged_or_refused),
      cmocka_unit_test(any_pattern_is_matched_or_refused),
      cmocka_unit_test(long_monotonous_texts_are_judged_fast),
      cmocka_unit_test(any_file_is_read_or_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
