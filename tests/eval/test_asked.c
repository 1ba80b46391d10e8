/* Answers as bytes: they come back as they were, to the question that they answer, and bytes that are none are told. */
#include "eval/asked.h"

#include "base/buf.h"
#include "unit.h"

static const struct eval_question questions[] = {
    {"a", {.user = "one"}},
    {"b", {.user = "one"}},
    {"c", {.user = "one", .top_tokens = 2}},
    {"c", {.system = "one", .user = ""}},
    {"c", {.user = "one", .answered = "", .follow_up = ""}},
};
enum { N = sizeof questions / sizeof *questions };

static struct asked_index open_index(void)
{
  struct asked_index index;
  assert_int_equal(asked_index_open(&index, questions, N, NULL), 0);
  return index;
}

static void pack_all(struct tpo_buf *out, const struct asked_index *index)
{
  for (size_t i = 0; i < N; i++) {
    char text[16];
    struct ask_answer answer = {.ok = i != 1, .cut_off = i == 2, .text = text};
    snprintf(text, sizeof text, "answer %zu", i);
    for (size_t t = 0; t < i; t++)
      assert_int_equal(ask_answer_add_top(&answer, "token", t, -(double)t / 3, NULL), 0);
    asked_pack(out, index->own[i].hex, &answer);
    answer.text = NULL;
    ask_answer_clear(&answer);
  }
}

static void forget(struct ask_answer answers[N])
{
  for (size_t i = 0; i < N; i++) ask_answer_clear(&answers[i]);
}

static void answers_come_back_whole_to_their_questions(void **state)
{
  (void)state;
  struct asked_index index = open_index();
  struct ask_answer answers[N] = {0};
  bool done[N] = {0};
  size_t n = 0;
  struct asked_into into = {&index, answers, done, &n};
  struct tpo_buf bytes = {0};
  pack_all(&bytes, &index);
  pack_all(&bytes, &index); /* once more: the first counts */
  assert_int_equal(asked_unpack(&into, bytes.data, bytes.len, NULL), 0);
  assert_int_equal(n, N);
  for (size_t i = 0; i < N; i++) {
    char text[16];
    snprintf(text, sizeof text, "answer %zu", i);
    assert_true(done[i]);
    assert_string_equal(answers[i].text, text);
    assert_int_equal(answers[i].ok, i != 1);
    assert_int_equal(answers[i].cut_off, i == 2);
    assert_int_equal(answers[i].n_top, i);
    for (size_t t = 0; t < i; t++) {
      assert_int_equal(strlen(answers[i].top[t].text), t);
      assert_true(answers[i].top[t].logprob == -(double)t / 3);
    }
  }
  forget(answers);
  tpo_buf_free(&bytes);
  asked_index_free(&index);
}

/* In a block of its own size, so that a read beyond the end is seen by the sanitizer. */
static void bytes_that_end_too_early_are_told(void **state)
{
  (void)state;
  struct asked_index index = open_index();
  struct tpo_buf bytes = {0};
  pack_all(&bytes, &index);
  int refused = 0;
  for (size_t len = 1; len < bytes.len; len++) {
    struct ask_answer answers[N] = {0};
    size_t n = 0;
    const struct asked_into into = {&index, answers, NULL, &n};
    char *part = malloc(len);
    memcpy(part, bytes.data, len);
    int status = asked_unpack(&into, part, len, NULL);
    assert_true(status == 0 || status == TPO_E_INPUT);
    assert_true(n < N);
    refused += status < 0;
    free(part);
    forget(answers);
  }
  assert_int_equal(refused, (int)bytes.len - 1 - (N - 1)); /* all but the ends of answers */
  tpo_buf_free(&bytes);
  asked_index_free(&index);
}

static void sizes_that_lie_are_told(void **state)
{
  (void)state;
  struct asked_index index = open_index();
  struct tpo_buf bytes = {0};
  const struct ask_answer answer = {.ok = true, .text = (char *)"text"};
  asked_pack(&bytes, index.own[0].hex, &answer);
  for (size_t at = ASKED_HASH + 2; at < bytes.len - 4; at++) {
    struct ask_answer answers[N] = {0};
    size_t n = 0;
    const struct asked_into into = {&index, answers, NULL, &n};
    char was = bytes.data[at];
    bytes.data[at] = (char)0xff;
    assert_int_equal(asked_unpack(&into, bytes.data, bytes.len, NULL), TPO_E_INPUT);
    bytes.data[at] = was;
    assert_int_equal(n, 0);
    forget(answers);
  }
  tpo_buf_free(&bytes);
  asked_index_free(&index);
}

static void answers_to_other_questions_are_passed_over(void **state)
{
  (void)state;
  struct asked_index index = open_index(), none;
  struct tpo_buf bytes = {0};
  size_t n = 0;
  pack_all(&bytes, &index);
  assert_int_equal(asked_index_open(&none, questions, 0, NULL), 0);
  const struct asked_into into = {&none, NULL, NULL, &n};
  assert_int_equal(asked_unpack(&into, bytes.data, bytes.len, NULL), 0);
  assert_int_equal(n, 0);
  asked_index_free(&none);
  asked_index_free(&index);
  tpo_buf_free(&bytes);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_come_back_whole_to_their_questions),
      cmocka_unit_test(bytes_that_end_too_early_are_told),
      cmocka_unit_test(sizes_that_lie_are_told),
      cmocka_unit_test(answers_to_other_questions_are_passed_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
