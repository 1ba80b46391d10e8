/* The sections by kind of instruction and of thoughts: what they show, of whole, strange and hostile events. */
#include "report/folder.h"
#include "report/well_formed.h"

static const struct folder_options small = {.iterations = 2, .prompts = 3, .k = 2};

/* A run with these events besides, and its page. */
static char *page_with(const char *dir, const char *events)
{
  struct tpo_buf metrics = {0};
  char path[4096];
  struct tpo_error err = {0};
  make_run(dir, &small, 0.1);
  snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
  if (tpo_read_file(path, 1 << 24, &metrics, &err) < 0) fail_msg("%s", err.message);
  tpo_buf_puts(&metrics, events);
  put_file(dir, "metrics.jsonl", metrics.data);
  tpo_buf_free(&metrics);
  char *page = report_of(dir);
  assert_well_formed(page);
  return page;
}

static void changes_by_category_are_shown(void **state)
{
  static const char events[] =
      "{\"event\":\"groups\",\"iteration\":0,\"of\":\"validate\",\"by\":\"category\","
      "\"groups\":[{\"name\":\"maths\",\"n\":30,\"mean_score\":0.25,\"mean_score_se\":0.01}],"
      "\"without\":{\"n\":4,\"mean_score\":1,\"mean_score_se\":null}}\n"
      "{\"event\":\"groups\",\"iteration\":2,\"of\":\"validate\",\"by\":\"category\","
      "\"groups\":[{\"name\":\"maths\",\"n\":30,\"mean_score\":0.5,\"mean_score_se\":0.02,"
      "\"compared\":30,\"difference\":0.25,\"difference_se\":0.05,\"win_rate\":0.7,\"win_rate_low\":0.55,"
      "\"win_rate_high\":0.81,\"format_rate\":0.9,\"mean_response_chars\":321.5}],"
      "\"other\":{\"groups\":936,\"n\":936,\"mean_score\":0.125},"
      "\"without\":{\"n\":4,\"mean_score\":0.75,\"compared\":4,\"difference\":-0.25,\"difference_se\":0.02}}\n"
      "{\"event\":\"group_wins\",\"iteration\":2,\"against\":\"baseline\",\"by\":\"category\","
      "\"groups\":[{\"name\":\"maths\",\"win_rate\":0.125,\"win_rate_low\":0.05,\"win_rate_high\":0.2}]}\n"
      "{\"event\":\"groups\",\"iteration\":1,\"of\":\"judge\",\"by\":\"check\","
      "\"groups\":[{\"name\":\"punctuation:no_comma\",\"pass_rate\":0.625,\"pass_rate_se\":0.05}]}\n";
  char *page = page_with(*state, events);
  static const char *const parts[] = {
      "By category",
      "<th scope=\"row\">maths</th><td>30</td><td>0.250 ± 0.010</td><td>0.500 ± 0.020</td>",
      "<strong class=\"up\">+0.250</strong> ± 0.050",
      "<td>−0.250 ± 0.020</td>",
      "70.0 % (55.0–81.0)",
      "12.5 % (5.0–20.0)",
      "90.0 %",
      "321.5",
      "all others (936)",
      "without a category",
      "By kind of check",
      "62.5 % ± 5.0",
      "href=\"#groups\""};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_contains(page, parts[i]);
  assert_null(strstr(page, "By data set"));
  assert_null(strstr(page, "Not shown"));
  free(page);
}

static void thoughts_are_shown_over_the_iterations(void **state)
{
  char *page = page_with(
      *state, "{\"event\":\"thoughts\",\"iteration\":1,\"of\":\"sample\",\"thoughts\":40,"
              "\"shares\":{\"planning\":0.75,\"other\":0.125},\"draft_overlap\":0.5,"
              "\"draft_overlap_se\":0.0625,\"undrafted_overlap\":null,\"examples\":{}}\n"
              "{\"event\":\"thoughts\",\"iteration\":2,\"of\":\"sample\",\"thoughts\":41,"
              "\"shares\":{\"planning\":0.25},\"examples\":{\"planning\":\"My <b>plan</b>.\\u001b\"}}\n");
  static const char *const parts[] = {"Kinds of thought",
                                      "keyword rules",
                                      "<th scope=\"row\">planning</th><td>75.0 %</td><td>25.0 %</td>",
                                      "<td>12.5 %</td><td>–</td>",
                                      "50.0 % ± 6.2",
                                      "<dt>planning</dt><dd>My &lt;b&gt;plan&lt;/b&gt;.",
                                      "samples of iteration 2",
                                      "^wait",
                                      "at least 2 of: #",
                                      "href=\"#thoughts\""};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_contains(page, parts[i]);
  free(page);
}

/* Of a judge that compares, an iteration's samples have no mean score: no table of dashes. */
static void groups_without_a_value_have_no_table(void **state)
{
  char *page = page_with(*state, "{\"event\":\"groups\",\"iteration\":1,\"of\":\"judge\",\"by\":\"category\","
                                 "\"groups\":[{\"name\":\"maths\",\"n\":3,\"format_rate\":1},"
                                 "{\"name\":\"poems\",\"n\":2,\"format_rate\":1}]}\n");
  assert_null(strstr(page, "id=\"groups\""));
  assert_null(strstr(page, "Sampled outputs, over"));
  free(page);
}

static void one_group_alone_has_no_section(void **state)
{
  char *page = page_with(*state, "{\"event\":\"groups\",\"iteration\":1,\"of\":\"judge\",\"by\":\"dataset\","
                                 "\"groups\":[{\"name\":\"synth\",\"n\":3}]}\n");
  assert_null(strstr(page, "By data set"));
  assert_null(strstr(page, "id=\"groups\""));
  free(page);
}

static void strange_events_are_no_matter(void **state)
{
  static const char events[] =
      "{\"event\":\"groups\",\"iteration\":1}\n"
      "{\"event\":\"groups\",\"iteration\":1,\"of\":7,\"by\":[]}\n"
      "{\"event\":\"thoughts\",\"iteration\":1}\n"
      "{\"event\":\"thoughts\",\"iteration\":1,\"of\":\"sample\",\"shares\":[1],\"examples\":\"<b>\"}\n"
      "{\"event\":\"groups\",\"iteration\":1,\"of\":\"judge\",\"by\":\"category\","
      "\"groups\":[7,null,{},{\"name\":3},{\"name\":\"a\\u0000b\",\"mean_score\":\"<b>\"},"
      "{\"name\":\"<script>\\\"x'\\u202e\",\"mean_score\":0.5}],\"other\":7,\"without\":{\"n\":\"x\"}}\n"
      "{\"event\":\"groups\",\"iteration\":1,\"of\":\"validate\",\"by\":\"check\",\"groups\":{\"name\":\"x\"}}\n";
  char *page = page_with(*state, events);
  assert_contains(page, "&lt;script&gt;&quot;x&#39;");
  assert_contains(page, "U+202E");
  assert_null(strstr(page, "<td><b>"));
  free(page);
}

/* A thousand groups and long names in an event that no run writes. */
static void as_many_rows_as_a_page_bears(void **state)
{
  struct tpo_buf events = {0};
  for (int i = 0; i < 3; i++) {
    tpo_buf_printf(&events,
                   "{\"event\":\"groups\",\"iteration\":%d,\"of\":\"judge\",\"by\":\"category\",\"groups\":[",
                   i);
    for (int g = 0; g < 1000; g++)
      tpo_buf_printf(&events, "%s{\"name\":\"%d kind %d %02000d\",\"n\":1,\"mean_score\":1}", g ? "," : "", g,
                     i, 0);
    tpo_buf_puts(&events, "]}\n");
  }
  char *page = page_with(*state, events.data);
  assert_true(strlen(page) < 300000);
  assert_contains(page, "0 kind 2 0000");
  assert_contains(page, "Not shown here: 2872 more, which metrics.jsonl has."); /* of the three iterations' */
  tpo_buf_free(&events);
  free(page);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(changes_by_category_are_shown),        WITH_FOLDER(thoughts_are_shown_over_the_iterations),
      WITH_FOLDER(groups_without_a_value_have_no_table), WITH_FOLDER(one_group_alone_has_no_section),
      WITH_FOLDER(strange_events_are_no_matter),         WITH_FOLDER(as_many_rows_as_a_page_bears),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
