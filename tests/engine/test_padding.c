/* A model whose vocabulary is larger than its tokenizer's: a token that no text is known for is drawn, kept and
 * computed with as any other, and says nothing. */
#include "engine/world.h"

static int setup_padded(void **state)
{
  w.vocab = 320;
  return setup(state);
}

static void tokens_without_text_are_kept_and_say_nothing(void **state)
{
  (void)state;
  struct tpo_samples samples = run_plainly();
  int unknown = 0;
  for (size_t i = 0; i < samples.n; i++) {
    const struct tpo_sample_row *row = &samples.rows[i];
    struct tpo_buf text = {0};
    for (int j = 0; j < row->n_tokens; j++) {
      size_t len = 0;
      bool special = false;
      const char *bytes = tpo_tokenizer_token(w.tok, row->token_ids[j], &len, &special);
      assert_true(row->token_ids[j] < w.vocab && (row->token_ids[j] < 259 || !bytes));
      unknown += !bytes;
      if (bytes && !special && (unsigned char)bytes[0] < 128) tpo_buf_append(&text, bytes, len);
      if (bytes && !special && (unsigned char)bytes[0] >= 128) tpo_buf_append(&text, "?", 1);
    }
    /* A byte alone, if it isn't ASCII, is no text: U+FFFD, or one character made of several. */
    tpo_buf_putc(&text, 0);
    const char *told = row->text, *expected = text.data;
    for (; *expected; expected++) {
      if (*expected == '?' && (unsigned char)*told >= 128) break;
      assert_int_equal(*expected, *told++);
    }
    tpo_buf_free(&text);
  }
  assert_true(unknown > 20);
  tpo_samples_free(&samples);
}

static void stop_strings_are_found_across_them(void **state)
{
  (void)state;
  struct tpo_samples whole = run_plainly();
  const struct tpo_sample_row *row = NULL;
  char stop[3] = "";
  /* Two characters with a token that says nothing between them. */
  for (size_t i = 0; i < whole.n && !stop[0]; i++) {
    const int32_t *t = whole.rows[i].token_ids;
    for (int j = 0; j + 2 < whole.rows[i].n_tokens && !stop[0]; j++) {
      size_t a_len, b_len;
      bool a_special = true, b_special = true;
      const char *a = tpo_tokenizer_token(w.tok, t[j], &a_len, &a_special);
      const char *b = tpo_tokenizer_token(w.tok, t[j + 2], &b_len, &b_special);
      if (t[j + 1] < 259 || !a || !b || a_special || b_special || *a <= ' ' || *b <= ' ') continue;
      stop[0] = *a, stop[1] = *b;
      row = &whole.rows[i];
    }
  }
  assert_non_null(row);
  char *stops[] = {stop};
  w.sampling.stop = stops;
  w.sampling.n_stop = 1;
  struct tpo_samples got = run_plainly();
  int stopped = 0;
  for (size_t i = 0; i < got.n; i++) stopped += got.rows[i].finish == TPO_FINISH_STOP_STRING;
  assert_true(stopped > 0);
  for (size_t i = 0; i < got.n; i++) assert_null(strstr(got.rows[i].text, stop));
  tpo_samples_free(&whole);
  tpo_samples_free(&got);
}

static void the_repetition_penalty_counts_them(void **state)
{
  (void)state;
  w.sampling.repetition_penalty = 1e6;
  w.sampling.temperature = 0;
  struct tpo_samples samples = run_plainly();
  int unknown = 0;
  for (size_t i = 0; i < samples.n; i++)
    for (int j = 0; j < samples.rows[i].n_tokens; j++) {
      const int32_t *t = samples.rows[i].token_ids;
      unknown += t[j] >= 259;
      for (int earlier = 0; earlier < j; earlier++) assert_int_not_equal(t[earlier], t[j]);
    }
  assert_true(unknown > 0);
  tpo_samples_free(&samples);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(tokens_without_text_are_kept_and_say_nothing, reset),
      cmocka_unit_test_setup(stop_strings_are_found_across_them, reset),
      cmocka_unit_test_setup(the_repetition_penalty_counts_them, reset),
  };
  return cmocka_run_group_tests(tests, setup_padded, teardown);
}
