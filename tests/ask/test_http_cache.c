/* What the judge `http` keeps: answers, with what they took. */
#include <dirent.h>
#include <unistd.h>
#include "base/hash.h"
#include "ask/http/cache.h"
#include "store/journal/journal.h"
#include "unit.h"

static void key_of(int i, char key[33])
{
  struct tpo_hash hash;
  assert_int_equal(tpo_hash_begin(&hash, NULL), 0);
  tpo_hash_add(&hash, &i, sizeof i);
  tpo_hash_end(&hash, key);
}

static struct http_cache *open_cache_of(const char *folder, const char *work, int rank)
{
  struct http_cache *cache;
  struct tpo_error err = {0};
  if (http_cache_open(&cache, folder, work, rank, &err) < 0) fail_msg("%s", err.message);
  return cache;
}

static struct http_cache *open_cache(const char *folder, int rank)
{
  return open_cache_of(folder, NULL, rank);
}

static void put(struct http_cache *cache, int i, const char *answer)
{
  char key[33];
  key_of(i, key);
  const struct http_kept kept = {.text = (char *)answer,
                                 .requests = 3,
                                 .prompt_tokens = 11,
                                 .completion_tokens = 2,
                                 .truncated = i == 1};
  assert_int_equal(http_cache_put(cache, key, &kept, NULL), 0);
}

/* Whether the answer to question i is kept, and is the one given. */
static bool holds(const struct http_cache *cache, int i, const char *answer)
{
  char key[33];
  struct http_kept kept;
  key_of(i, key);
  int status = http_cache_get(cache, key, 0, &kept, NULL);
  assert_true(status >= 0);
  if (status == 0) assert_null(kept.text);
  bool same = status == 1 && strcmp(kept.text, answer) == 0;
  free(kept.text);
  return same;
}

/* What was asked for without them is asked again where they are wanted; what a server didn't tell is not. */
static void likeliest_tokens_are_kept_with_an_answer(void **state)
{
  char folder[4200], key[33];
  struct http_kept kept = {.text = (char *)"m", .requests = 1};
  snprintf(folder, sizeof folder, "%s/top", (char *)*state);
  struct http_cache *cache = open_cache(folder, 0);
  put(cache, 0, "bare");
  key_of(1, key);
  kept.top_tokens = 5;
  assert_int_equal(http_cache_put(cache, key, &kept, NULL), 0);
  key_of(2, key);
  assert_int_equal(ask_answer_add_top(&kept.top, "m \" \xC3\xBC", 6, -0.123456789012345678, NULL), 0);
  assert_int_equal(ask_answer_add_top(&kept.top, "", 0, -9999, NULL), 0);
  assert_int_equal(http_cache_put(cache, key, &kept, NULL), 0);
  ask_answer_clear(&kept.top);
  http_cache_close(cache);
  cache = open_cache(folder, 0);
  static const struct {
    int question, wanted, found, n_top;
  } cases[] = {{0, 0, 1, 0}, {0, 1, 0, 0}, {1, 5, 1, 0}, {1, 6, 0, 0},
               {2, 5, 1, 2}, {2, 0, 1, 2}, {2, 6, 0, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    key_of(cases[i].question, key);
    assert_int_equal(http_cache_get(cache, key, cases[i].wanted, &kept, NULL), cases[i].found);
    assert_int_equal(kept.top.n_top, cases[i].n_top);
    if (kept.top.n_top > 0) {
      assert_string_equal(kept.top.top[0].text, "m \" \xC3\xBC");
      assert_true(kept.top.top[0].logprob == -0.123456789012345678);
    }
    free(kept.text);
    ask_answer_clear(&kept.top);
  }
  http_cache_close(cache);
}

static const char odd[] = "line\nquote \" back \\ \xF0\x9D\x84\x9E \x01 end";

static void answers_are_found_at_once_and_after_opening_again(void **state)
{
  char folder[4200], text[32];
  snprintf(folder, sizeof folder, "%s/deep/er", (char *)*state);
  for (int round = 0; round < 2; round++) {
    struct http_cache *cache = open_cache(folder, 0);
    if (round == 0) put(cache, 0, odd);
    for (int i = 1; i < 3000 && round == 0; i++) {
      snprintf(text, sizeof text, "answer %d", i);
      put(cache, i, text);
    }
    assert_int_equal(http_cache_size(cache), 3000);
    assert_true(holds(cache, 0, odd));
    for (int i = 1; i < 3000; i++) {
      snprintf(text, sizeof text, "answer %d", i);
      assert_true(holds(cache, i, text));
    }
    assert_false(holds(cache, 3000, "answer 3000"));
    http_cache_close(cache);
  }
}

static void all_files_of_a_folder_count(void **state)
{
  for (int rank = 0; rank < 3; rank++) {
    struct http_cache *cache = open_cache(*state, rank);
    put(cache, rank, "x");
    http_cache_close(cache);
  }
  struct http_cache *cache = open_cache(*state, 7);
  for (int rank = 0; rank < 3; rank++) assert_true(holds(cache, rank, "x"));
  http_cache_close(cache);
}

static void folder_is_made_with_the_first_answer_and_one_that_cannot_be_is_told_before(void **state)
{
  char folder[4300], file[4200];
  struct http_cache *cache;
  struct tpo_error err = {0};
  snprintf(folder, sizeof folder, "%s/not/yet", (char *)*state);
  cache = open_cache(folder, 0);
  assert_int_equal(access(folder, F_OK), -1);
  assert_false(holds(cache, 0, "x"));
  put(cache, 0, "x");
  assert_true(holds(cache, 0, "x"));
  http_cache_close(cache);
  snprintf(file, sizeof file, "%s/file", (char *)*state);
  fclose(fopen(file, "w"));
  for (int below = 0; below < 2; below++) {
    snprintf(folder, sizeof folder, "%s%s", file, below ? "/answers" : "");
    assert_true(http_cache_open(&cache, folder, NULL, 0, &err) < 0);
    assert_contains(err.message, file);
  }
}

static void what_an_answer_took_is_told_and_who_asked_for_it(void **state)
{
  static const char *const works[] = {"one", "other", NULL};
  struct http_cache *cache = open_cache_of(*state, "one", 0);
  put(cache, 1, "x");
  http_cache_close(cache);
  for (int i = 0; i < 3; i++) {
    struct http_kept kept;
    char key[33];
    key_of(1, key);
    cache = open_cache_of(*state, works[i], 0);
    assert_int_equal(http_cache_get(cache, key, 0, &kept, NULL), 1);
    assert_true(kept.requests == 3 && kept.prompt_tokens == 11 && kept.completion_tokens == 2 &&
                kept.truncated);
    assert_int_equal(kept.ours, i == 0);
    free(kept.text);
    http_cache_close(cache);
  }
}

/* As a file of another program, or of a version that did not keep it. */
static void an_answer_that_does_not_say_whether_it_was_cut_off_is_none(void **state)
{
  static const char *const values[] = {"{\"answer\":\"x\",\"requests\":1,\"truncated\":false}",
                                       "{\"answer\":\"x\",\"requests\":1}",
                                       "{\"answer\":\"x\",\"requests\":1,\"truncated\":\"no\"}"};
  struct journal *journal;
  for (int i = 0; i < 3; i++) {
    char key[33];
    key_of(i, key);
    assert_int_equal(journal_open(&journal, *state, "what: a judge's answers\n", i, JOURNAL_READ, NULL), 0);
    assert_int_equal(journal_append(journal, key, 32, values[i], strlen(values[i]), NULL), 0);
    journal_close(journal);
  }
  struct http_cache *cache = open_cache(*state, 9);
  for (int i = 0; i < 3; i++) assert_int_equal(holds(cache, i, "x"), i == 0);
  http_cache_close(cache);
}

static void damaged_answers_are_none(void **state)
{
  char path[8400] = "";
  struct http_cache *cache = open_cache(*state, 0);
  for (int i = 0; i < 3; i++) put(cache, i, "some answer");
  http_cache_close(cache);
  struct dirent **names;
  int n = scandir(*state, &names, NULL, NULL);
  for (int i = 0; i < n; i++) {
    if (names[i]->d_name[0] != '.') snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]->d_name);
    free(names[i]);
  }
  free(names);
  FILE *file = fopen(path, "r+b");
  char bytes[2000], *second;
  size_t len = fread(bytes, 1, sizeof bytes, file);
  second = memmem(bytes, len, "some answer", 11) + 11;
  second = memmem(second, len - (size_t)(second - bytes), "some answer", 11);
  fseek(file, second - bytes, SEEK_SET);
  fwrite("Some", 1, 4, file);
  fclose(file);
  tpo_log_setup(TPO_LOG_ERROR, false, 0);
  cache = open_cache(*state, 0);
  assert_true(holds(cache, 0, "some answer") && !holds(cache, 1, "some answer"));
  assert_true(holds(cache, 2, "some answer"));
  put(cache, 1, "asked again");
  assert_true(holds(cache, 1, "asked again"));
  http_cache_close(cache);
  cache = open_cache(*state, 0);
  assert_true(holds(cache, 1, "asked again"));
  http_cache_close(cache);
  tpo_log_setup(TPO_LOG_INFO, false, 0);
}

static void folder_of_other_work_is_refused(void **state)
{
  struct journal *journal;
  struct http_cache *cache;
  struct tpo_error err = {0};
  assert_int_equal(journal_open(&journal, *state, "what: samples\n", 0, JOURNAL_WRITE, &err), 0);
  assert_int_equal(journal_append(journal, "a", 1, "b", 1, &err), 0);
  journal_close(journal);
  assert_int_equal(http_cache_open(&cache, *state, NULL, 0, &err), TPO_E_USAGE);
  assert_contains(err.message, "name another folder in judge.cache");
  assert_contains(err.message, "what: samples");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(answers_are_found_at_once_and_after_opening_again, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(all_files_of_a_folder_count, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(
          folder_is_made_with_the_first_answer_and_one_that_cannot_be_is_told_before, make_folder,
          remove_folder),
      cmocka_unit_test_setup_teardown(what_an_answer_took_is_told_and_who_asked_for_it, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(an_answer_that_does_not_say_whether_it_was_cut_off_is_none, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(likeliest_tokens_are_kept_with_an_answer, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(damaged_answers_are_none, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(folder_of_other_work_is_refused, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
