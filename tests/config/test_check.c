/* Configurations whose keys contradict each other are refused by name and line. */
#include "unit.h"
#include "tpo/config.h"

/* What the check says about the defaults with some YAML over them; NULL when nothing. */
static char *check(const char *yaml, unsigned parts)
{
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report = NULL;
  tpo_config_default(&config);
  if (tpo_config_load_text(&config, yaml, strlen(yaml), "c.yaml", &report, &err) < 0) fail_msg("%s", report);
  int status = tpo_config_check(&config, parts, &report, &err);
  assert_int_equal(status, report ? TPO_E_USAGE : 0);
  tpo_config_free(&config);
  return report;
}

static void defaults_are_possible(void **state)
{
  (void)state;
  assert_null(check("", TPO_CHECK_ALL));
}

static void every_impossible_combination_is_named_with_its_line(void **state)
{
  (void)state;
  static const struct {
    const char *yaml, *report;
  } cases[] = {
      {"sampling: {k: 1}", "c.yaml:1: sampling.k is 1: a pair needs at least 2 samples"},
      {"sampling:\n  temperature: 0", "c.yaml:2: sampling.temperature is 0: the 8 samples"},
      {"sampling:\n  top_k: 1", "c.yaml:2: sampling.top_k is 1: the 8 samples"},
      {"sampling:\n  stop: ['']", "c.yaml:2: sampling.stop holds an empty string"},
      {"sampling:\n  stop: [for the user]", "c.yaml:2: sampling.stop has a string that is part of a marker"},
      {"thought:\n  prompt: no place",
       "c.yaml:2: thought.prompt must hold {instruction} exactly once, not 0 times"},
      {"thought:\n  prompt: '{instruction} {instruction}'", "exactly once, not 2 times"},
      {"thought:\n  response_marker: ''",
       "default: thought.on_budget: force needs a thought.response_marker"},
      {"thought: {name: none, thought_tokens: 5}", "c.yaml:1: thought.thought_tokens is 5, but without"},
      {"thought: {name: none, thought_marker: T}", "c.yaml:1: thought.thought_marker without"},
      {"thought: {response_marker: \"\\n \"}", "c.yaml:1: thought.response_marker is blank"},
      {"thought: {response_marker: Notes}", "can't be told apart"},
      {"thought: {prefill: \"x\\nReply for the user:\"}",
       "c.yaml:1: thought.prefill holds the response marker"},
      {"thought: {thought_tokens: 1024}", "c.yaml:1: thought.thought_tokens (1024) leaves no room"},
      {"thought: {thought_tokens: 1000, response_tokens: 25}",
       "(1000 + 25) are more than sampling.max_tokens (1024)"},
      {"template: {user_prefix: u}", "template.assistant_suffix is missing"},
      {"template: {bos: b}", "template.user_prefix is missing"},
      {"template: {date: 2023-02-29}",
       "template.date: expected a date such as 2024-07-26, not \"2023-02-29\""},
      {"template: {date: 26 Jul 2024}", "not \"26 Jul 2024\""},
      {"template: {date: ''}", "template.date: expected a date"},
      {"data: {train: a, validation: a}", "c.yaml:1: data.validation is the same file as data.train"},
      {"pairs: {max_pairs_per_prompt: 3}", "c.yaml:1: pairs.max_pairs_per_prompt has no meaning"},
      {"train: {loss: ipo, label_smoothing: 0.1}",
       "c.yaml:1: train.label_smoothing belongs to train.loss: dpo"},
      {"train: {max_pair_tokens: 5000}", "c.yaml:1: train.max_pair_tokens (5000) is more than fits"},
      {"judge: rules", "c.yaml:1: judge.kind: expected rule, reward:DIR, pairwise:DIR, http:URL, "
                       "command:PROGRAM, route or sum, not \"rules\"; did you mean rule?"},
      {"judge: 'reward:'", "c.yaml:1: judge.kind: expected"},
      {"judge: reward", "not \"reward\"; did you mean reward:DIR?"},
      {"judge:\n  kind: 'rewrd:models/rm'",
       "c.yaml:2: judge.kind: expected rule, reward:DIR, pairwise:DIR, http:URL, command:PROGRAM, route or sum, "
       "not \"rewrd:models/rm\"; did you mean reward:models/rm?"},
      {"judge: 'rule:x'", "not \"rule:x\"; did you mean rule?"},
      {"judge: https", "not \"https\"; did you mean https://HOST?"},
      {"judge: {kind: route, routes: ['checks -> rule', '* ->  comand:cat ']}",
       "c.yaml:1: judge.routes, \"* ->  comand:cat \": there is no judge \"comand\"; expected one of: "
       "rule, "},
      {"judge:\n  kind: sum\n  terms: [rule, {kind: 'rewrd:m'}]",
       "c.yaml:3: judge.terms, term 2: expected rule, reward:DIR, pairwise:DIR, http:URL, command:PROGRAM, route or sum, "
       "not \"rewrd:m\"; did you mean reward:m?"},
      {"judge: {kind: sum, terms: [{kind: 'pairwise:m'}, rule], comparisons: 1}", "expected at least 4"},
      {"judge: {kind: 'pairwise:m', comparisons: 3}",
       "c.yaml:1: judge.comparisons is 3, "
       "which can't reach all of the 8 samples of an instruction (sampling.k): expected at least 4, or 0"},
      {"judge: {kind: 'http://h/v1', mode: pairwise, comparisons: 4}\nsampling: {k: 9}",
       "expected at least 5"},
      {"judge: {kind: route, routes: ['checks -> rule', '* -> pairwise:m'], comparisons: 1}",
       "expected at least 4"},
      {"judge:\n  kind: 'http://h/v1'\n  request: {model: m}",
       "c.yaml:3: judge.request: model can't be given here; judge.model names it"},
      {"judge: {request: {messages: []}}", "c.yaml:1: judge.request: messages are"},
      {"judge: {request: {stream: true}}", "c.yaml:1: judge.request: stream can't"},
      {"run: {dir: ''}", "c.yaml:1: run.dir is empty"},
      {"run: {validation_k: 2}", "c.yaml:1: run.validation_k is 2, but run.validation_temperature is 0"},
      {"data: {validation_prompts: 0}",
       "c.yaml:1: data.validation_prompts is 0, but run.validate_each_epoch"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *report = check(cases[i].yaml, TPO_CHECK_ALL);
    if (!report || !strstr(report, cases[i].report))
      fail_msg("%s gave \"%s\", not \"%s\"", cases[i].yaml, report ? report : "nothing", cases[i].report);
    free(report);
  }
}

/* A marker of 7 tokens: a thought, it, and one token of the response. */
static void budgets_must_hold_an_inserted_marker_and_a_token(void **state)
{
  (void)state;
  static const struct {
    const char *yaml, *report; /* NULL: accepted */
  } cases[] = {
      {"thought: {thought_tokens: 12}\nsampling: {max_tokens: 20}", NULL},
      {"thought: {thought_tokens: 12}\nsampling: {max_tokens: 19}",
       "c.yaml:2: sampling.max_tokens (19) can't hold thought.thought_tokens (12), the 7 tokens of the "
       "response marker that thought.on_budget: force inserts, and a token of the response: expected at "
       "least 20, or a layout that inserts nothing (thought: none)"},
      {"thought: {thought_tokens: 12, response_tokens: 4}\nsampling: {max_tokens: 16}",
       "and a token of thought.response_tokens (4): expected at least 20"},
      {"sampling: {max_tokens: 15}", NULL}, /* 7, 7 and 1 */
      {"sampling: {max_tokens: 14}", "half of sampling.max_tokens (7; thought.thought_tokens is 0), the 7 "
                                     "tokens of the response marker that thought.on_budget: force inserts, "
                                     "and a token of the response: expected at least 15"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_config config;
    struct tpo_error err = {0};
    tpo_config_default(&config);
    assert_int_equal(
        tpo_config_load_text(&config, cases[i].yaml, strlen(cases[i].yaml), "c.yaml", NULL, &err), 0);
    int status = tpo_config_check_marker(&config, 7, &err);
    assert_int_equal(status, cases[i].report ? TPO_E_USAGE : 0);
    if (cases[i].report) assert_contains(err.message, cases[i].report);
    assert_int_equal(tpo_config_check_marker(&config, 0, &err), 0); /* nothing is inserted */
    tpo_config_free(&config);
  }
}

static void the_context_must_hold_an_inserted_marker_and_a_token(void **state)
{
  (void)state;
  const struct tpo_thought_config forced = {.response_marker = (char *)"R", .force = true},
                                  budget = {
                                      .response_marker = (char *)"R", .thought_tokens = 12, .force = true};
  struct tpo_error err = {0};
  assert_int_equal(tpo_config_check_room(&budget, 64, 7, 44, 64, &err), 0);
  assert_int_equal(tpo_config_check_room(&budget, 64, 7, 45, 64, &err), TPO_E_INPUT);
  assert_string_equal(err.message, "45 tokens; the model's context of 64 leaves 19, which can't hold "
                                   "thought.thought_tokens (12), the 7 tokens of the response marker that "
                                   "thought.on_budget: force inserts, and a token of the response: expected "
                                   "at least 20");
  assert_int_equal(tpo_config_check_room(&forced, 64, 7, 24, 64, &err), 0); /* 32, 7 and 1 */
  assert_int_equal(tpo_config_check_room(&forced, 64, 7, 25, 64, &err), TPO_E_INPUT);
  assert_int_equal(tpo_config_check_room(NULL, 64, 0, 63, 64, &err), 0);
  assert_int_equal(tpo_config_check_room(NULL, 64, 0, 64, 64, &err), TPO_E_INPUT);
  assert_contains(err.message, "64 tokens; the model's context of 64 leaves no room for an answer");
}

static void problems_of_several_keys_come_together(void **state)
{
  (void)state;
  char *report = check("sampling: {k: 1}\nrun: {dir: ''}\n", TPO_CHECK_ALL);
  assert_contains(report, "c.yaml:1: sampling.k");
  assert_contains(report, "c.yaml:2: run.dir");
  free(report);
}

static void one_sample_is_enough_where_no_pairs_are_made(void **state)
{
  (void)state;
  assert_null(check("sampling: {k: 1, temperature: 0}\nrun: {dir: ''}\n", TPO_CHECK_SAMPLING));
  assert_null(check("template: {date: 2024-02-29}", TPO_CHECK_SAMPLING));
  assert_null(check("template: {system_prefix: a, system_suffix: '', user_prefix: b, user_suffix: c, "
                    "assistant_prefix: d, assistant_suffix: e}",
                    TPO_CHECK_ALL));
  assert_null(check("sampling: {max_tokens: 16}", TPO_CHECK_SAMPLING));
}

static void every_kind_of_judge_is_accepted_with_its_argument(void **state)
{
  (void)state;
  static const char *const yaml[] = {"judge: rule",
                                     "judge: 'reward:d'",
                                     "judge: 'pairwise:d'",
                                     "judge: 'http:http://h/v1'",
                                     "judge: 'http://h/v1'",
                                     "judge: 'https://h/v1'",
                                     "judge: 'command:cat -u'",
                                     "judge: {kind: route, routes: ['checks -> rule ', '*->https://h/v1']}",
                                     "judge: {kind: sum, terms: [rule, {kind: 'reward:d', weight: -0.5}]}"};
  for (size_t i = 0; i < sizeof yaml / sizeof *yaml; i++) {
    char *report = check(yaml[i], TPO_CHECK_ALL);
    if (report) fail_msg("%s: %s", yaml[i], report);
  }
}

static void comparisons_that_reach_all_samples_are_accepted(void **state)
{
  (void)state;
  assert_null(check("judge: {kind: 'pairwise:m', comparisons: 4}", TPO_CHECK_ALL));
  assert_null(check("judge: {kind: 'pairwise:m', comparisons: 4}\nsampling: {k: 7}", TPO_CHECK_ALL));
  assert_null(check("judge: {kind: rule, comparisons: 1}", TPO_CHECK_ALL));
  assert_null(check("judge: {kind: route, routes: ['* -> rule'], comparisons: 1}", TPO_CHECK_ALL));
}

static void structs_filled_by_a_program_are_held_to_the_ranges(void **state)
{
  (void)state;
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report;
  tpo_config_default(&config);
  config.pairs.length_auto = false;
  config.pairs.length_penalty = 0.7;
  config.train.batch = 0;
  config.train.learning_rate = 0.0 / 1.0;
  config.sampling.top_p = 1.5;
  assert_int_equal(tpo_config_check(&config, TPO_CHECK_ALL, &report, &err), TPO_E_USAGE);
  assert_contains(report, "pairs.length_penalty: expected auto or a number from 0 to 0.5, not 0.7");
  assert_contains(report, "train.batch: expected an integer from 1 to 1000000, not 0");
  assert_contains(report, "train.learning_rate: expected a number above 0, at most 1, not 0.0");
  assert_contains(report, "sampling.top_p");
  free(report);
  tpo_config_free(&config);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(defaults_are_possible),
      cmocka_unit_test(every_impossible_combination_is_named_with_its_line),
      cmocka_unit_test(budgets_must_hold_an_inserted_marker_and_a_token),
      cmocka_unit_test(the_context_must_hold_an_inserted_marker_and_a_token),
      cmocka_unit_test(problems_of_several_keys_come_together),
      cmocka_unit_test(one_sample_is_enough_where_no_pairs_are_made),
      cmocka_unit_test(every_kind_of_judge_is_accepted_with_its_argument),
      cmocka_unit_test(comparisons_that_reach_all_samples_are_accepted),
      cmocka_unit_test(structs_filled_by_a_program_are_held_to_the_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
