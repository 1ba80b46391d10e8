/* Which pairs are left out before training, what is told of them, and prompts that are cut to fit. */
#include "unit.h"
#include <fcntl.h>
#include <math.h>
#include "base/file.h"
#include "base/memory.h"
#include "tpo/train.h"

static const char *folder;

static int set_up(void **state)
{
  int status = make_folder(state);
  folder = *state;
  return status;
}

static struct tpo_pairs read_lines(const char *text)
{
  char path[4200];
  struct tpo_pairs pairs = {0};
  snprintf(path, sizeof path, "%s/pairs.jsonl", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  assert_int_equal(tpo_train_read_pairs(&pairs, path, NULL, NULL, NULL), 0);
  return pairs;
}

/* What the filter logs, and its result; free() the text. */
static char *told(struct tpo_pairs *pairs, const struct tpo_train_config *config, int context, int expected,
                  struct tpo_train_filtered *filtered, struct tpo_error *err)
{
  char path[4200];
  struct tpo_buf text = {0};
  snprintf(path, sizeof path, "%s/log", folder);
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), saved = dup(STDERR_FILENO);
  assert_true(file >= 0 && saved >= 0);
  fflush(stderr);
  dup2(file, STDERR_FILENO);
  int status = tpo_train_filter_pairs(pairs, config, context, "FILE", filtered, err);
  fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(file);
  assert_int_equal(status, expected);
  assert_int_equal(tpo_read_file(path, 1 << 20, &text, NULL), 0);
  tpo_buf_putc(&text, '\n');
  return tpo_buf_take(&text);
}

static const char mixed[] =
    "{\"id\":\"empty\",\"prompt_ids\":[1],\"chosen_ids\":[],\"rejected_ids\":[3]}\n"
    "{\"id\":\"good\",\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3]}\n"
    "{\"id\":\"masked\",\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3],\"rejected_mask\":[0]}\n"
    "{\"id\":\"unpredicted\",\"prompt_ids\":[],\"chosen_ids\":[2],\"rejected_ids\":[3]}\n\n"
    "{\"id\":\"long\",\"prompt_ids\":[1,1,1],\"chosen_ids\":[2],\"rejected_ids\":[3,3,3]}\n"
    "{\"id\":\"just\",\"prompt_ids\":[1,1],\"chosen_ids\":[2],\"rejected_ids\":[3,3,3]}\n";

static void pairs_left_out_are_told_by_line_and_reason(void **state)
{
  (void)state;
  struct tpo_pairs pairs = read_lines(mixed);
  struct tpo_train_config config = {.max_pair_tokens = 5};
  struct tpo_train_filtered filtered;
  char *log = told(&pairs, &config, 1000, 0, &filtered, NULL);
  assert_int_equal(filtered.too_long, 1);
  assert_int_equal(filtered.no_response, 3);
  assert_int_equal(filtered.identical + filtered.cut, 0);
  assert_int_equal(pairs.n, 2);
  assert_string_equal(pairs.rows[0].prompt_id, "good");
  assert_string_equal(pairs.rows[1].prompt_id, "just");
  assert_contains(log,
                  "FILE:1: pair \"empty\" is left out: its chosen output has no token that carries loss");
  assert_contains(log, "FILE:3: pair \"masked\" is left out: its rejected output has no token");
  assert_contains(log, "FILE:4: pair \"unpredicted\" is left out: its chosen output");
  assert_contains(log, "FILE:6: pair \"long\" is left out: 6 tokens are more than 5, train.max_pair_tokens");
  assert_contains(log, "FILE: 4 of 6 pairs are left out: 1 too long, 3 without a response");
  free(log);
  config.max_pair_tokens = 0;
  log = told(&pairs, &config, 4, 0, &filtered, NULL);
  assert_int_equal(filtered.too_long, 1);
  assert_contains(log, "FILE:7: pair \"just\" is left out: 5 tokens are more than 4, the model's context");
  free(log);
  tpo_pairs_free(&pairs);
}

static void pairs_of_hdf5_are_told_by_row(void **state)
{
  (void)state;
  static const int32_t ids[] = {7, 8, 9};
  static const uint8_t first[] = {1, 0}, last[] = {0, 1};
  const struct tpo_pair_row rows[] = {
      {"a", 4, 5, 1, 0, 1, ids, ids, ids + 1, 2, 2, 2, NULL, NULL, NAN, NAN, 0, 0},
      {"same", 6, 7, 1, 0, 1, ids, ids + 1, ids + 1, 2, 2, 2, NULL, NULL, NAN, NAN, 0, 0},
      {"marked", 8, 9, 1, 0, 1, ids, ids + 1, ids + 1, 2, 2, 2, first, last, NAN, NAN, 0, 0}};
  struct tpo_pairs made = {0}, pairs;
  struct tpo_train_config config = {0};
  struct tpo_train_filtered filtered;
  char path[4200];
  for (int i = 0; i < 3; i++) assert_int_equal(tpo_pairs_add(&made, &rows[i], NULL), 0);
  snprintf(path, sizeof path, "%s/pairs.h5", folder);
  assert_int_equal(tpo_pairs_write(&made, path, NULL), 0);
  assert_int_equal(tpo_pairs_read(&pairs, path, NULL), 0);
  char *log = told(&pairs, &config, 100, 0, &filtered, NULL);
  assert_int_equal(filtered.identical, 1);
  assert_int_equal(pairs.n, 2);
  assert_string_equal(pairs.rows[1].prompt_id, "marked");
  assert_contains(log, "FILE: row 1: pair \"same\" is left out: chosen and rejected are identical");
  free(log);
  log = told(&made, &config, 100, 0, &filtered, NULL);
  assert_contains(log, "FILE: samples 6 and 7: pair \"same\" is left out");
  free(log);
  tpo_pairs_free(&pairs);
  tpo_pairs_free(&made);
}

static void only_so_many_are_listed(void **state)
{
  (void)state;
  struct tpo_buf text = {0};
  struct tpo_error err = {0};
  for (int i = 1; i <= 25; i++)
    tpo_buf_printf(&text, "{\"id\":%d,\"prompt_ids\":[1,1,1],\"chosen_ids\":[2],\"rejected_ids\":[3]}\n", i);
  struct tpo_pairs pairs = read_lines(text.data);
  tpo_buf_free(&text);
  char *log = told(&pairs, &(struct tpo_train_config){.max_pair_tokens = 3}, 100, TPO_E_INPUT, NULL, &err);
  assert_contains(log, "FILE:20: pair \"20\" is left out");
  assert_null(strstr(log, "FILE:21:"));
  assert_contains(log, "FILE: and 5 more pairs are left out");
  assert_contains(err.message, "FILE: none of 25 pairs can be trained on: 25 too long");
  free(log);
  tpo_pairs_free(&pairs);
}

static void an_over_long_prompt_keeps_its_last_tokens(void **state)
{
  (void)state;
  struct tpo_pairs pairs = read_lines(
      "{\"id\":\"fits\",\"prompt_ids\":[1,2],\"chosen_ids\":[9,9],\"rejected_ids\":[8,8,8]}\n"
      "{\"id\":\"cut\",\"prompt_ids\":[1,2,3,4,5,6],\"chosen_ids\":[9,9],\"rejected_ids\":[8,8,8]}\n"
      "{\"id\":\"one\",\"prompt_ids\":[1,2,3],\"chosen_ids\":[9,9,9,9],\"rejected_ids\":[8]}\n"
      "{\"id\":\"none\",\"prompt_ids\":[1],\"chosen_ids\":[9,9,9,9,9],\"rejected_ids\":[8]}\n"
      "{\"id\":\"alone\",\"prompt_ids\":[],\"chosen_ids\":[9,9,9,9,9],\"rejected_ids\":[8,8]}\n");
  struct tpo_train_config config = {.max_pair_tokens = 5, .truncate = TPO_TRUNCATE_LEFT};
  struct tpo_train_filtered filtered;
  for (size_t i = 0; i < pairs.n; i++)
    pairs.rows[i].chosen_ref_logprob = pairs.rows[i].rejected_ref_logprob = -1;
  strcpy(pairs.ref_model, "some model");
  char *log = told(&pairs, &config, 100, 0, &filtered, NULL);
  assert_int_equal(filtered.cut, 2);
  assert_int_equal(filtered.too_long, 1);
  assert_int_equal(pairs.n, 4);
  static const int32_t last[] = {5, 6}, one[] = {3};
  assert_int_equal(pairs.rows[0].n_prompt, 2);
  assert_true(pairs.rows[0].chosen_ref_logprob == -1);
  assert_int_equal(pairs.rows[1].n_prompt, 2);
  assert_memory_equal(pairs.rows[1].prompt_ids, last, sizeof last);
  assert_int_equal(pairs.rows[1].n_chosen, 2);
  assert_int_equal(pairs.rows[1].n_rejected, 3);
  assert_true(isnan(pairs.rows[1].chosen_ref_logprob) && isnan(pairs.rows[1].rejected_ref_logprob));
  assert_int_equal(pairs.rows[2].n_prompt, 1);
  assert_memory_equal(pairs.rows[2].prompt_ids, one, sizeof one);
  assert_string_equal(pairs.rows[3].prompt_id, "alone");
  assert_string_equal(pairs.ref_model, ""); /* to be computed on what is trained on */
  assert_contains(log, "FILE:4: pair \"none\" is left out: 6 tokens (its output alone leaves no room");
  assert_contains(log, "the prompts of 2 of 5 pairs are cut to their last tokens, to fit 5");
  free(log);
  tpo_pairs_free(&pairs);
}

int main(void)
{
  tpo_log_setup(TPO_LOG_INFO, false, 0);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pairs_left_out_are_told_by_line_and_reason),
      cmocka_unit_test(pairs_of_hdf5_are_told_by_row),
      cmocka_unit_test(only_so_many_are_listed),
      cmocka_unit_test(an_over_long_prompt_keeps_its_last_tokens),
  };
  return cmocka_run_group_tests(tests, set_up, remove_folder);
}
