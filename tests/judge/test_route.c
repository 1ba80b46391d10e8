/* The route judge: which judge an instruction goes to, and what becomes of the results. */
#include "unit.h"
#include <math.h>
#include <sys/stat.h>
#include "base/json.h"
#include "heard.h"
#include "judge/routes.h"

static const struct tpo_judge_env env = {.size = 1};

static struct tpo_judge_config config_of(const char *const *routes, int n)
{
  return (struct tpo_judge_config){.kind = (char *)"route",
                                   .routes = (char **)routes,
                                   .n_routes = n,
                                   .strict = true,
                                   .repetition_penalty = 0.5,
                                   .empty_score = -1,
                                   .timeout = 5};
}

static void expect_refused(const char *const *routes, int n, const char *words)
{
  struct tpo_judge_config config = config_of(routes, n);
  struct tpo_error err = {0};
  assert_int_equal(tpo_judge_check(&config, &err), TPO_E_USAGE);
  if (!strstr(err.message, words)) fail_msg("%s\nlacks: %s", err.message, words);
  if (n > 0 && !strstr(err.message, routes[n - 1])) fail_msg("%s\ndoes not name the route", err.message);
  struct tpo_judge *judge;
  assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), TPO_E_USAGE);
  assert_null(judge);
}

static void a_route_that_cannot_be_is_refused_by_name(void **state)
{
  (void)state;
  static const struct {
    const char *text, *words;
  } cases[] = {
      {"checks rule", "no \"->\""},
      {"checks ->", "no judge stands after"},
      {"-> rule", "instructions have the fields"},
      {"chekcs -> rule", "instructions have the fields"},
      {"category= -> rule", "no value stands after"},
      {"=math -> rule", "instructions have the fields"},
      {"*=math -> rule", "takes no value"},
      {"checks -> route", "further routes"},
      {"checks -> route:x", "further routes"},
      {"checks -> nothing-like-it", "there is no judge \"nothing-like-it\""},
      {"checks -> rule:x", "takes no argument"},
      {"checks -> command:./no-such-program", "does not exist"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    expect_refused((const char *const[]){"category -> rule", cases[i].text}, 2, cases[i].words);
  expect_refused((const char *const[]){"* -> rule", "checks -> rule"}, 2, "nothing reaches it");
  expect_refused(NULL, 0, "judge.routes is empty");
  struct tpo_judge_config config = config_of((const char *const[]){"* -> rule"}, 1);
  assert_int_equal(tpo_judge_check(&config, NULL), 0);
  config.kind = (char *)"route:x";
  assert_int_equal(tpo_judge_check(&config, NULL), TPO_E_USAGE);
}

/* The number of the route that the fields of `meta` take, from 0; -1 for none. */
static int taken(const char *const *routes, int n, const char *meta)
{
  struct tpo_judge_config config = config_of(routes, n);
  struct tpo_judge_item item = {.id = "q-7", .instruction = "Add.", .meta = meta};
  struct routes parsed;
  struct tpo_error err = {0};
  int found;
  if (routes_open(&parsed, &config, &err) < 0) fail_msg("%s", err.message);
  if (routes_find(&parsed, &item, &found, &err) < 0) fail_msg("%s", err.message);
  routes_free(&parsed);
  return found;
}

static void the_first_route_that_fits_is_taken(void **state)
{
  (void)state;
  const char *const routes[] = {"checks->rule",        " category = deep math -> rule ",
                                "reference=7 -> rule", "id=q-8 -> rule",
                                "category -> rule",    "* -> rule"};
  assert_int_equal(taken(routes, 6, "{\"checks\":[1],\"category\":\"deep math\"}"), 0);
  assert_int_equal(taken(routes, 6, "{\"checks\":[],\"category\":\"deep math\"}"), 1);
  assert_int_equal(taken(routes, 6, "{\"category\":\"Deep math\"}"), 4);
  assert_int_equal(taken(routes, 6, "{\"reference\":7}"), 2);
  assert_int_equal(taken(routes, 6, "{\"reference\":\"7\"}"), 2);
  assert_int_equal(taken(routes, 6, "{\"reference\":71,\"category\":\"\",\"checks\":null}"), 5);
  assert_int_equal(taken(routes, 6, NULL), 5);
  assert_int_equal(taken(routes, 5, "{}"), -1);
  assert_int_equal(taken((const char *const[]){"id=q-7 -> rule"}, 1, "{\"id\":\"x\"}"), 0);
  assert_int_equal(taken((const char *const[]){"messages -> rule"}, 1, "{\"messages\":[{}]}"), 0);
  assert_int_equal(taken((const char *const[]){"messages -> rule"}, 1, "{\"messages\":{}}"), -1);
}

static const char *const pair[] = {"It is 4.", NULL}, *const one[] = {"Hm."};
static const struct tpo_judge_item items[] = {
    {"p", "Be kind.", "{\"category\":\"chat\"}", 2, pair},
    {"q", "2 + 2?", "{\"reference\":4}", 2, pair},
    {"r", "Anything.", "{}", 1, one},
    {"s", "3 + 1?", "{\"reference\":\"5\",\"category\":\"chat\"}", 1, pair},
};

/* A judge that scores 10, 20, ... in the order that it is asked, with a detail that holds the character 0;
 * "command:..." to out. */
static void write_counter(const char *folder, char out[4200])
{
  char path[4096];
  snprintf(path, sizeof path, "%s/judge.sh", folder);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs("#!/bin/sh\nn=0\nwhile read line; do n=$((n+10)); id=${line#*:?}; "
        "printf '{\"id\":\"%s\",\"scores\":[%s],\"details\":[{\"n\":%s,\"x\":\"\\\\u0000\"}]}\\n' "
        "\"${id%%\\\"*}\" $n $n; done\n",
        f);
  fclose(f);
  assert_int_equal(chmod(path, 0755), 0);
  snprintf(out, 4200, "command:%s", path);
}

static void how_far_it_is_counts_all_judges(void **state)
{
  (void)state;
  char route[400];
  struct heard heard = {0};
  struct tpo_judge_env watched = {.size = 1, .watch = {hear, &heard}};
  struct tpo_judge_result results[7];
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  const char *const two[] = {"four", "five"};
  const struct tpo_judge_item mixed[] = {
      {"p", "2 + 2?", "{\"reference\":\"4\"}", 2, two},
      {"q", "Say a number.", "{\"category\":\"chat\"}", 2, two},
      {"r", "3 + 1?", "{\"reference\":\"4\"}", 2, two},
      {"s", "Nobody's.", "{}", 1, two},
  };
  snprintf(route, sizeof route,
           "category=chat -> command:sh -c 'read a; echo \"{\\\"id\\\":\\\"q\\\",\\\"scores\\\":[1,2]}\"'");
  struct tpo_judge_config config = config_of((const char *const[]){"reference -> rule", route}, 2);
  if (tpo_judge_open(&judge, &config, &watched, &err) < 0) fail_msg("%s", err.message);
  if (tpo_judge_score(judge, mixed, 4, results, &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(heard.n, 3); /* two prompts of the rule judge, one of the program */
  assert_true(fabs(heard.last - 6. / 7) < 1e-12);
  for (int i = 0; i < 7; i++) free(results[i].detail);
  tpo_judge_close(judge);
}

static void results_come_back_in_order_and_name_their_judge(void **state)
{
  char kind[4200], route[4300], expected[4400];
  struct tpo_judge_result results[6];
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  write_counter(*state, kind);
  snprintf(route, sizeof route, "category=chat -> %s", kind);
  struct tpo_judge_config config = config_of((const char *const[]){"reference -> rule", route}, 2);
  if (tpo_judge_open(&judge, &config, &env, &err) < 0) fail_msg("%s", err.message);
  if (tpo_judge_score(judge, items, 4, results, &err) < 0) fail_msg("%s", err.message);
  assert_true(results[0].ok && results[0].score == 10);
  snprintf(expected, sizeof expected,
           "{\"judge\":\"%s\",\"raw\":10.0,\"detail\":{\"program\":{\"n\":10,\"x\":\"\\u0000\"}}}", kind);
  assert_string_equal(results[0].detail, expected);
  assert_false(results[1].ok);
  assert_contains(results[1].detail,
                  "{\"error\":\"not scored: the output has no response\",\"judge\":\"command:");
  assert_true(results[2].ok && results[2].score == 1);
  assert_contains(results[2].detail, "{\"judge\":\"rule\",\"raw\":1.0,\"detail\":{\"checks\":[");
  assert_false(results[3].ok);
  assert_false(results[4].ok);
  assert_contains(results[4].detail, "none of judge.routes fits");
  assert_true(results[5].ok && results[5].score == 0);
  char *counts = tpo_judge_counts(judge);
  assert_string_equal(counts, "{\"route-1.prompts\":2,\"route-2.prompts\":1,\"route-none.prompts\":1,"
                              "\"command.prompts\":1,\"command.responses\":1,\"command.failed\":0}");
  free(counts);
  for (int i = 0; i < 6; i++) free(results[i].detail);
  tpo_judge_close(judge);
}

static void a_kind_is_opened_once_and_its_items_are_scored_together(void **state)
{
  char kind[4200], routes[2][4300];
  struct tpo_judge_result results[6];
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  write_counter(*state, kind);
  snprintf(routes[0], sizeof routes[0], "reference=4 -> %s", kind);
  snprintf(routes[1], sizeof routes[1], "* -> %s", kind);
  struct tpo_judge_config config = config_of((const char *const[]){routes[0], routes[1]}, 2);
  if (tpo_judge_open(&judge, &config, &env, &err) < 0) fail_msg("%s", err.message);
  if (tpo_judge_score(judge, items, 4, results, &err) < 0) fail_msg("%s", err.message);
  const double scores[6] = {10, 0, 20, 0, 30, 40}; /* one process, which goes on counting */
  for (int i = 0; i < 6; i++) {
    assert_true(results[i].ok == (scores[i] > 0) && results[i].score == scores[i]);
    free(results[i].detail);
  }
  tpo_judge_close(judge);
}

static void a_failing_judge_ends_it_and_bad_meta_does_not(void **state)
{
  (void)state;
  struct tpo_judge_config config =
      config_of((const char *const[]){"reference -> command:false", "* -> rule"}, 2);
  struct tpo_judge_item bad = {"x", "y", "[1]", 1, one};
  struct tpo_judge_result results[6];
  struct tpo_error err = {0};
  struct tpo_judge *judge;
  assert_int_equal(tpo_judge_open(&judge, &config, &env, &err), 0);
  assert_int_equal(tpo_judge_score(judge, &bad, 1, results, &err), 0);
  assert_false(results[0].ok);
  assert_contains(results[0].detail, "meta: expected an object");
  free(results[0].detail);
  assert_int_equal(tpo_judge_score(judge, items, 4, results, &err), TPO_E_IO);
  assert_contains(err.message, "exit status 1");
  tpo_judge_close(judge);
}

static void it_needs_and_does_what_any_of_its_judges_needs_and_does(void **state)
{
  (void)state;
  struct tpo_judge_config config =
      config_of((const char *const[]){"reference -> rule", "* -> command:cat"}, 2);
  assert_false(tpo_judge_needs_model(&config));
  assert_false(tpo_judge_compares(&config));
  config = config_of((const char *const[]){"reference -> rule", "* -> pairwise:/tmp"}, 2);
  assert_true(tpo_judge_needs_model(&config));
  assert_true(tpo_judge_compares(&config));
}

static const struct tpo_judge_item odd = {
    .id = "odd", .instruction = "Sing.", .meta = "{\"checks\":[{\"type\":\"nonsense:type\"}]}"};
static const struct tpo_judge_item odd_chat = {
    .id = "chat",
    .instruction = "Sing.",
    .meta =
        "{\"checks\":[{\"type\":\"nonsense:type\"}],\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
        "{\"role\":\"user\",\"content\":\"Sing.\"}]}"};

static void the_judge_that_an_instruction_goes_to_tells_its_cost_and_faults(void **state)
{
  (void)state;
  struct tpo_judge_config config =
      config_of((const char *const[]){"messages -> command:cat", "checks -> rule"}, 2);
  struct tpo_error err = {0};
  assert_true(tpo_judge_mixes(&config));
  assert_true(tpo_judge_cost(&config, &odd_chat, 4, 0).calls == 1);
  assert_int_equal(tpo_judge_validate(&config, &odd_chat, &err), 0);
  assert_string_equal(tpo_judge_cost(&config, &odd, 4, 0).unit, "verifiable checks, no calls");
  assert_true(tpo_judge_validate(&config, &odd, &err) < 0);
  assert_contains(err.message, "nonsense:type");
  assert_true(tpo_judge_cost(&config, &items[2], 4, 0).calls == 0); /* none fits */
  assert_int_equal(tpo_judge_validate(&config, &items[2], &err), 0);
  config = config_of((const char *const[]){"messages -> rule", "* -> command:cat"}, 2);
  assert_true(tpo_judge_validate(&config, &odd_chat, &err) < 0);
  assert_int_equal(tpo_judge_validate(&config, &odd, &err), 0);
}

static void a_judge_that_is_no_route_takes_every_instruction(void **state)
{
  (void)state;
  struct tpo_judge_config config = {.kind = (char *)"command:cat"};
  struct tpo_judge_item bad = {.id = "x", .instruction = "y", .meta = "[1]"};
  struct routes routes;
  struct tpo_error err = {0};
  int first = -1, n = 0;
  assert_int_equal(routes_open(&routes, &config, &err), 0);
  assert_int_equal(routes.n_judges, 1);
  assert_string_equal(routes.judges[0].kind, "command:cat");
  assert_int_equal(routes_judges(&routes, &odd, &first, &n, &err), 0);
  assert_true(first == 0 && n == 1);
  assert_int_equal(routes_judges(&routes, &bad, &first, &n, &err), 0); /* its own affair */
  assert_true(first == 0 && n == 1);
  routes_free(&routes);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_route_that_cannot_be_is_refused_by_name),
      cmocka_unit_test(the_first_route_that_fits_is_taken),
      cmocka_unit_test(how_far_it_is_counts_all_judges),
      cmocka_unit_test_setup_teardown(results_come_back_in_order_and_name_their_judge, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_kind_is_opened_once_and_its_items_are_scored_together, make_folder,
                                      remove_folder),
      cmocka_unit_test(a_failing_judge_ends_it_and_bad_meta_does_not),
      cmocka_unit_test(the_judge_that_an_instruction_goes_to_tells_its_cost_and_faults),
      cmocka_unit_test(a_judge_that_is_no_route_takes_every_instruction),
      cmocka_unit_test(it_needs_and_does_what_any_of_its_judges_needs_and_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
