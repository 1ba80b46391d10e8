/* Answers in Arena-Hard's format, read and written. */
#include <math.h>
#include "base/file.h"
#include "base/json.h"
#include "eval/arena/answers.h"
#include "unit.h"

static const char *put(const char *folder, const char *text)
{
  static char path[4200];
  snprintf(path, sizeof path, "%s/answers.jsonl", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  return path;
}

static struct arena_answers read_text(void **state, const char *text)
{
  struct arena_answers answers;
  struct tpo_error err = {0};
  if (arena_answers_read(&answers, put(*state, text), &err) < 0) fail_msg("%s", err.message);
  return answers;
}

static void refused(void **state, const char *text, const char *why)
{
  struct arena_answers answers;
  struct tpo_error err = {0};
  assert_true(arena_answers_read(&answers, put(*state, text), &err) < 0);
  if (!strstr(err.message, why)) fail_msg("\"%s\" lacks \"%s\"", err.message, why);
  assert_int_equal(answers.n, 0);
}

static void published_answers_are_read(void **state)
{
  struct arena_answers answers = read_text(
      state,
      "{\"question_id\":\"a\",\"answer_id\":\"x\",\"model_id\":\"gpt\",\"choices\":[{\"index\":0,\"turns\":[{"
      "\"content\":\"One\",\"token_len\":10}]},{\"index\":1,\"turns\":[{\"content\":\"no\",\"token_len\":90}]}],"
      "\"tstamp\":1.5}\n"
      "{\"question_id\":\"b\",\"model_id\":\"gpt\",\"choices\":[{\"turns\":[{\"content\":\"\"}]}],\"conv_metadata\":{"
      "\"token_len\":21}}\n"
      "{\"uid\":\"c\",\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
      "\"content\":{\"answer\":\"Three\"}}],\"metadata\":{\"token_len\":5}}\n"
      "{\"uid\":\"d\",\"model\":\"gpt\",\"messages\":[{\"role\":\"assistant\",\"content\":\"Four\"}]}\n");
  assert_int_equal(answers.n, 4);
  assert_string_equal(answers.model, "gpt");
  assert_string_equal(arena_answer_of(&answers, "a")->text, "One");
  assert_string_equal(arena_answer_of(&answers, "b")->text, "");
  assert_string_equal(arena_answer_of(&answers, "c")->text, "Three");
  assert_string_equal(arena_answer_of(&answers, "d")->text, "Four");
  assert_true(isnan(arena_answer_of(&answers, "d")->tokens));
  assert_null(arena_answer_of(&answers, "e"));
  assert_true(fabs(arena_mean_tokens(&answers) - 12) < 1e-12);
  arena_answers_free(&answers);
}

#define ANSWER(id, model, content)                                                                           \
  "{\"question_id\":\"" id "\",\"model_id\":\"" model "\",\"choices\":[{\"turns\":[{\"content\":" content    \
  "}]}]}\n"

static void bad_answers_are_refused_by_place(void **state)
{
  refused(state, ANSWER("a", "m", "\"x\"") ANSWER("a", "m", "\"y\""), "jsonl:2: question a has an answer");
  refused(state, ANSWER("a", "m", "\"x\"") ANSWER("b", "n", "\"y\""), "jsonl:2: an answer of n");
  refused(state, ANSWER("", "m", "\"x\""), "\"question_id\" is empty");
  refused(state, ANSWER("a", "m", "3"), "\"choices\" of");
  refused(state, ANSWER("a", "m", "null"), "\"choices\" of");
  refused(state, ANSWER("a", "m", "\"x\\u0000y\""), "\"choices\" of");
  refused(state, "{\"question_id\":\"a\",\"model_id\":\"m\",\"choices\":[]}", "\"choices\" of");
  refused(state, "{\"uid\":\"a\",\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}",
          "that end with one");
  refused(state, "[{\"instruction\":\"a\",\"output\":\"b\",\"generator\":\"m\"}]",
          "\"question_id\" is missing");
  refused(state, "index\toutput\n1\tx\n", "\"question_id\" is missing");
  refused(state, "", "holds no row");
}

static void written_answers_read_back_without_thoughts(void **state)
{
  struct tpo_samples samples = {0};
  struct arena_answers answers;
  char path[4200];
  double mean;
  const int32_t ids[] = {7, 8, 9, 10};
  const char *hard = "tabs\t, lines\n, \x1b[2J, \"quotes\" and é";
  struct tpo_sample_row rows[] = {
      {.prompt_id = "a",
       .response = hard,
       .thought = "secret",
       .text = "secret",
       .format_ok = true,
       .token_ids = ids,
       .n_tokens = 4,
       .n_thought_tokens = 1,
       .finish = TPO_FINISH_LENGTH},
      {.prompt_id = "a", .k = 1, .response = "second", .format_ok = true, .token_ids = ids, .n_tokens = 2},
      {.prompt_id = "b",
       .response = "",
       .thought = "secret",
       .text = "secret",
       .token_ids = ids,
       .n_tokens = 3}};
  for (int i = 0; i < 3; i++) assert_int_equal(tpo_samples_add(&samples, &rows[i], NULL), 0);
  snprintf(path, sizeof path, "%s/out.jsonl", (char *)*state);
  assert_int_equal(arena_answers_write(&samples, "mine", path, &mean, NULL), 0);
  assert_int_equal(arena_answers_read(&answers, path, NULL), 0);
  assert_int_equal(answers.n, 2);
  assert_string_equal(answers.model, "mine");
  assert_string_equal(arena_answer_of(&answers, "a")->text, hard);
  assert_true(arena_answer_of(&answers, "a")->tokens == 3);
  assert_string_equal(arena_answer_of(&answers, "b")->text, "");
  assert_true(arena_answer_of(&answers, "b")->tokens == 0);
  assert_true(mean == 1.5 && arena_mean_tokens(&answers) == 1.5);
  struct tpo_buf text = {0};
  assert_int_equal(tpo_read_file(path, 1 << 20, &text, NULL), 0);
  assert_null(strstr(text.data, "secret"));
  assert_contains(text.data, "\"index\":1,\"turns\":[{\"content\":\"second\",\"token_len\":");
  tpo_buf_free(&text);
  arena_answers_free(&answers);
  tpo_samples_free(&samples);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      with_folder(published_answers_are_read),
      with_folder(bad_answers_are_refused_by_place),
      with_folder(written_answers_read_back_without_thoughts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
