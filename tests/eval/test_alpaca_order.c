/* The order of two outputs is the one that alpaca_eval draws. */
#include "unit.h"

#include <jansson.h>
#include <math.h>

#include "base/file.h"
#include "eval/alpaca/order.h"
#include "eval/alpaca/sha512.h"
#include "eval/rows.h"

static void hex_of(const char *text, size_t len, char out[129])
{
  uint8_t digest[64];
  sha512(text, len, digest);
  for (int i = 0; i < 64; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* Lengths around a block's end, where the padding takes one block or two. */
static void sha512_is_the_standards(void **state)
{
  (void)state;
  static const struct {
    size_t len;
    const char *begin;
  } known[] = {{0, "cf83e1357eefb8bdf1542850d66d8007"},   {1, "1f40fc92da241694750979ee6cf582f2"},
               {111, "fa9121c7b32b9e01733d034cfc78cbf6"}, {112, "c01d080efd492776a1c43bd23dd99d0a"},
               {119, "130396a75cb483f2eee8c56d8a668bb3"}, {120, "f241de612b01aa2fa3cf01531d2a8e5e"},
               {127, "828613968b501dc00a97e08c73b118aa"}, {128, "b73d1929aa615934e61a871596b3f3b3"},
               {129, "4f681e0bd53cda4b5a2041cc8a06f2ea"}, {239, "52c853cb8d907f3d4d6b889beb027985"},
               {240, "4c296d90c61052a62ffb1dd196f1b7b0"}, {256, "6a9169eb662f136d87374070e8828b3e"},
               {300, "a6a77010dd9696c23831e6549de51724"}};
  char text[300], hex[129];
  memset(text, 'a', sizeof text);
  hex_of("abc", 3, hex);
  assert_memory_equal(hex, "ddaf35a193617abacc417349ae204131", 32);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    hex_of(text, known[i].len, hex);
    assert_memory_equal(hex, known[i].begin, 32);
  }
}

/* By Python 3: random.Random("is_switched_outputs" + text + "0").choices([False, True])[0]. */
static void the_draw_is_pythons(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    bool switched;
  } known[] = {
      {"", false},
      {"a", true},
      {"What are the names of some famous actors?", false},
      {"Write a poem.", false},
      {"café 世界", true},
      {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
       true},
      {"Question 0?", false},
      {"Question 1?", true},
      {"Question 2?", true},
      {"Question 3?", true},
      {"Question 4?", false},
      {"Question 5?", true},
      {"Question 6?", false},
      {"Question 7?", false},
      {"Question 8?", true},
      {"Question 9?", true},
      {"Question 10?", true},
      {"Question 11?", true}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    bool switched = !known[i].switched;
    assert_int_equal(alpaca_is_switched(known[i].text, &switched, NULL), 0);
    if (switched != known[i].switched) fail_msg("another draw for \"%s\"", known[i].text);
  }
  char *large = malloc(10001);
  bool switched = false;
  assert_non_null(large);
  memset(large, 'x', 10000);
  large[10000] = 0;
  assert_int_equal(alpaca_is_switched(large, &switched, NULL), 0);
  assert_int_equal(switched, 1);
  free(large);
}

static int take_instruction(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  (void)err;
  return json_array_append(arg, json_object_get(row->fields, "instruction"));
}

/* "TOKEN":LOGPROB behind a tab each; NaN where the token is none of them. */
static double logprob_of(const char *line, const char *token)
{
  const char *at = strstr(line, token);
  return at ? strtod(at + strlen(token), NULL) : -INFINITY;
}

/* The published preference follows from the judge's tokens and the order in which the outputs were shown. */
static void published_preferences_were_judged_in_this_order(void **state)
{
  (void)state;
  const char *folder = getenv("TPO_TEST_DATA");
  char path[4096];
  struct tpo_lines lines;
  int agree = 0, status;
  json_t *instructions = json_array();
  if (!folder) {
    print_message("TPO_TEST_DATA is not set: the order of published judgments is not compared with\n");
    skip();
  }
  snprintf(path, sizeof path, "%s/alpaca_eval/instructions.jsonl", folder);
  assert_int_equal(eval_rows_read(path, take_instruction, instructions, NULL), 0);
  snprintf(path, sizeof path, "%s/alpaca_eval/judge_logprobs_gpt-3.5-turbo-1106.tsv", folder);
  assert_int_equal(tpo_lines_open(&lines, path, NULL), 0);
  while ((status = tpo_lines_next(&lines, NULL)) == 1) {
    const char *line = lines.line.data;
    double m = exp(logprob_of(line, "\t\"m\":")), M = exp(logprob_of(line, "\t\"M\":")), preference;
    int pos;
    bool switched;
    if (sscanf(line, "%d\t%lf", &pos, &preference) != 2 || m + M == 0) continue;
    const char *text = json_string_value(json_array_get(instructions, (size_t)pos));
    assert_int_equal(alpaca_is_switched(text, &switched, NULL), 0);
    double shown = 2 - m / (m + M), meant = switched ? 3 - shown : shown;
    if (fabs(meant - preference) > 1e-9) fail_msg("row %d: %.10f, published %.10f", pos, meant, preference);
    agree++;
  }
  assert_int_equal(status, 0);
  assert_int_equal(agree, 801);
  tpo_lines_close(&lines);
  json_decref(instructions);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(sha512_is_the_standards),
                                     cmocka_unit_test(the_draw_is_pythons),
                                     cmocka_unit_test(published_preferences_were_judged_in_this_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
