/* An instruction as a judge is shown it. */
#include "unit.h"
#include "base/file.h"
#include "steps/judge_item.h"

static void read_instructions(const char *folder, const char *lines, struct tpo_instructions *set)
{
  char path[4200];
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/prompts.jsonl", folder);
  assert_int_equal(tpo_write_file(path, lines, strlen(lines), &err), 0);
  if (tpo_instructions_read(set, path, &err) < 0) fail_msg("%s", err.message);
}

/* So the plan counts, and the check of instructions looks at, what will be asked. */
static void a_sample_is_judged_as_its_instruction_is_planned(void **state)
{
  struct tpo_instructions set = {0};
  read_instructions(*state,
                    "{\"id\":\"a\",\"instruction\":\"One\",\"category\":\"c\"}\n"
                    "{\"id\":\"b\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
                    "{\"role\":\"user\",\"content\":\"Q\"}],\"reference\":4}\n",
                    &set);
  for (size_t i = 0; i < set.n; i++) {
    const struct tpo_instruction *read = &set.items[i];
    struct tpo_sample_row row = {.prompt_id = read->id, .instruction = read->instruction, .meta = read->meta};
    struct tpo_judge_item planned = judge_item_of_instruction(read), judged = judge_item_of_sample(&row);
    assert_string_equal(planned.id, judged.id);
    assert_string_equal(planned.instruction, judged.instruction);
    assert_string_equal(planned.meta, judged.meta);
    assert_int_equal(planned.n_responses, 0);
  }
  assert_string_equal(judge_item_of_instruction(&set.items[1]).instruction, "Q");
  tpo_instructions_free(&set);
}

static void a_chat_takes_the_route_of_messages(void **state)
{
  static const char *const routes[] = {"messages -> command:cat", "* -> rule"};
  struct tpo_judge_config config = {.kind = (char *)"route", .routes = (char **)routes, .n_routes = 2};
  struct tpo_instructions set = {0};
  read_instructions(
      *state,
      "{\"instruction\":\"One\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"One\"}]}\n"
      "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q\"}]}\n",
      &set);
  const double calls[] = {0, 0, 1}; /* a chat of one message is an instruction */
  for (size_t i = 0; i < 3; i++) {
    struct tpo_judge_item item = judge_item_of_instruction(&set.items[i]);
    assert_true(tpo_judge_cost(&config, &item, 4, 0).calls == calls[i]);
  }
  tpo_instructions_free(&set);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_sample_is_judged_as_its_instruction_is_planned, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_chat_takes_the_route_of_messages, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
