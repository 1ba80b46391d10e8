/* What differs between ranks, as it is told from what they sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buf.h"
#include "comm/state.h"

/* A rank's part: host and facts, "host|name|=value|name|=value|", with NULs for the bars. */
static void put(struct tpo_buf *out, const char *part)
{
  uint64_t len = strlen(part);
  tpo_buf_append(out, &len, sizeof len);
  for (; *part; part++) tpo_buf_putc(out, *part == '|' ? '\0' : *part);
}

static char *told(const char *const *parts, size_t n)
{
  static char text[2048];
  struct tpo_buf gathered = {0}, out = {0};
  for (size_t i = 0; i < n; i++) put(&gathered, parts[i]);
  comm_tell_difference("has other settings", gathered.data, gathered.len, &out);
  assert_false(out.failed);
  strcpy(text, out.len ? out.data : "");
  tpo_buf_free(&gathered);
  tpo_buf_free(&out);
  return text;
}
#define TOLD(...)                                                                                            \
  told((const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

static void equal_facts_on_other_hosts_are_no_difference(void **state)
{
  (void)state;
  assert_string_equal(TOLD("a|seed|=5|k|=8|", "b|seed|=5|k|=8|", "c|k|=8|seed|=5|"), "");
}

static void rank_host_and_both_values_are_told(void **state)
{
  (void)state;
  assert_string_equal(TOLD("a|seed|=5|", "b06|seed|=5|", "b07|seed|=7|"),
                      "rank 2 on host b07 has other settings: seed is 7 there and 5 on rank 0");
  assert_string_equal(TOLD("a|x|=1|y|=|", "b|x|=2|y|=z|"),
                      "rank 1 on host b has other settings: x is 2 there and 1 on rank 0, "
                      "y is z there and empty on rank 0");
}

static void a_fact_that_only_one_has_is_told(void **state)
{
  (void)state;
  assert_string_equal(TOLD("a|x|=1|", "b|x|=1|--resume|=given|"),
                      "rank 1 on host b has other settings: --resume is given there and not given on rank 0");
  assert_string_equal(TOLD("a|x|=1|--first|=3|", "b|x|=1|"),
                      "rank 1 on host b has other settings: --first is not given there and 3 on rank 0");
}

static void what_a_rank_does_not_know_contradicts_nothing(void **state)
{
  (void)state;
  assert_string_equal(TOLD("a|hash|=1|", "b|hash||", "c|hash|=1|"), "");
  assert_string_equal(TOLD("a|hash||", "b|hash|=1|", "c|hash|=2|"), "");
  assert_string_equal(TOLD("a|hash||", "b|"), "");
}

static void many_facts_and_ranks_are_counted(void **state)
{
  (void)state;
  assert_string_equal(
      TOLD("a|p|=1|q|=1|r|=1|s|=1|t|=1|", "b|p|=1|q|=1|r|=1|s|=1|t|=1|", "c|p|=2|q|=2|r|=2|s|=2|t|=2|",
           "d|p|=1|q|=1|r|=1|s|=1|t|=3|"),
      "rank 2 on host c has other settings: p is 2 there and 1 on rank 0, q is 2 there and 1 on "
      "rank 0, r is 2 there and 1 on rank 0 (and 2 more); rank 3 differs too");
  const char *parts[20] = {"a|x|=0|"};
  for (size_t i = 1; i < 20; i++) parts[i] = "b|x|=1|";
  assert_non_null(strstr(told(parts, 4), "; ranks 2, 3 differ too"));
  assert_non_null(strstr(told(parts, 20), "16, 17 and 2 more differ too"));
}

static void of_long_values_the_place_where_they_differ_is_told(void **state)
{
  (void)state;
  char one[600], other[600];
  snprintf(one, sizeof one, "a|prompt|=%0400d left %0100d|", 0, 0);
  snprintf(other, sizeof other, "b|prompt|=%0400d right %0100d|", 0, 0);
  const char *text = TOLD(one, other);
  assert_non_null(strstr(text, "...000"));
  assert_non_null(strstr(text, " right 00"));
  assert_non_null(strstr(text, " left 00"));
  assert_true(strlen(text) < 300);
}

static void a_cut_value_stays_text(void **state)
{
  (void)state;
  char one[700] = "a|p|=", other[700] = "b|p|=";
  for (int i = 0; i < 60; i++) strcat(one, "\u00e9"), strcat(other, "\u00e9");
  strcat(one, "x\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9|");
  strcat(other, "\u00e8\u00e9\u00e9|");
  const char *text = TOLD(one, other);
  assert_null(strstr(text, "\\x")); /* how a byte that is no UTF-8 is shown */
  assert_non_null(strstr(text, "\u00e9x\u00e9"));
}

static void what_another_program_sent_is_read_within_its_bounds(void **state)
{
  (void)state;
  struct tpo_buf sent = {0};
  put(&sent, "a|x|=1|");
  put(&sent, "b|x|=2|");
  for (size_t len = 0; len < sent.len; len++) { /* each in memory of its own: a sanitizer sees its end */
    char *bytes = malloc(len + 1);
    memcpy(bytes, sent.data, len);
    struct tpo_buf out = {0};
    char *exact = realloc(bytes, len ? len : 1);
    comm_tell_difference("has other settings", exact, len, &out);
    assert_int_equal(out.len, 0);
    free(exact);
  }
  uint64_t huge = UINT64_MAX;
  memcpy(sent.data, &huge, sizeof huge);
  struct tpo_buf out = {0};
  comm_tell_difference("has other settings", sent.data, sent.len, &out);
  assert_int_equal(out.len, 0);
  tpo_buf_free(&sent);
  assert_string_equal(
      TOLD("a|x|=1|", "b|x|", "c|x|=2|"), /* rank 1: a name without a value */
      "rank 1 on host b has other settings: x is not given there and 1 on rank 0; rank 2 differs "
      "too");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_facts_on_other_hosts_are_no_difference),
      cmocka_unit_test(rank_host_and_both_values_are_told),
      cmocka_unit_test(a_fact_that_only_one_has_is_told),
      cmocka_unit_test(what_a_rank_does_not_know_contradicts_nothing),
      cmocka_unit_test(many_facts_and_ranks_are_counted),
      cmocka_unit_test(of_long_values_the_place_where_they_differ_is_told),
      cmocka_unit_test(a_cut_value_stays_text),
      cmocka_unit_test(what_another_program_sent_is_read_within_its_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
