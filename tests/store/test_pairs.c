/* Pairs are read back as written; inconsistent ones are refused. */
#include "store/hdf5_files.h"
#include "store/pairs_pack.h"

static void write_pairs(const char *name)
{
  struct tpo_pairs pairs;
  struct tpo_error err = {0};
  make_pairs(&pairs);
  if (tpo_pairs_write(&pairs, in_folder(name), &err) < 0) fail_msg("%s", err.message);
  tpo_pairs_free(&pairs);
}

static void assert_same_rows(const struct tpo_pairs *back, const struct tpo_pairs *pairs)
{
  assert_int_equal(back->n, 3);
  assert_string_equal(back->ref_model, pairs->ref_model);
  assert_int_equal(back->output_tokens, pairs->output_tokens);
  for (size_t i = 0; i < back->n; i++) {
    const struct tpo_pair_row *a = &back->rows[i], *b = &pairs->rows[i];
    assert_string_equal(a->prompt_id, b->prompt_id);
    assert_int_equal(a->chosen_row, b->chosen_row);
    assert_int_equal(a->rejected_row, b->rejected_row);
    assert_true(a->chosen_score == b->chosen_score && a->rejected_score == b->rejected_score);
    assert_true(a->margin == b->margin);
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->n_prompt, b->n_prompt);
    assert_int_equal(a->n_chosen, b->n_chosen);
    assert_int_equal(a->n_rejected, b->n_rejected);
    assert_memory_equal(a->prompt_ids, b->prompt_ids, (size_t)a->n_prompt * 4);
    assert_memory_equal(a->chosen_ids, b->chosen_ids, (size_t)a->n_chosen * 4);
    assert_memory_equal(a->rejected_ids, b->rejected_ids, (size_t)a->n_rejected * 4);
    assert_memory_equal(a->chosen_mask, b->chosen_mask, (size_t)a->n_chosen);
    assert_memory_equal(a->rejected_mask, b->rejected_mask, (size_t)a->n_rejected);
    assert_true(a->chosen_ref_logprob == b->chosen_ref_logprob);
    assert_int_equal(isnan(a->rejected_ref_logprob), i == 2);
  }
}

static void pairs_are_read_back_as_written(void **state)
{
  (void)state;
  struct tpo_pairs pairs, back;
  struct tpo_error err = {0};
  make_pairs(&pairs);
  write_pairs("p.h5");
  if (tpo_pairs_read(&back, in_folder("p.h5"), &err) < 0) fail_msg("%s", err.message);
  assert_string_equal(back.config, pairs.config);
  assert_string_equal(back.statistics, pairs.statistics);
  assert_same_rows(&back, &pairs);
  tpo_pairs_free(&back);
  tpo_pairs_free(&pairs);
}

static void packed_pairs_unpack_to_the_same_and_cut_ones_are_refused(void **state)
{
  (void)state;
  struct tpo_pairs pairs, back;
  struct tpo_error err = {0};
  struct tpo_buf bytes = {0};
  make_pairs(&pairs);
  for (int i = 0; i < 3; i++) pairs.rows[i].step = 4 + i;
  assert_int_equal(pairs_pack(&pairs, &bytes, &err), 0);
  assert_int_equal(pairs_unpack(&back, bytes.data, bytes.len, &err), 0);
  assert_same_rows(&back, &pairs);
  tpo_pairs_free(&back);
  for (size_t len = 0; len < bytes.len; len++) {
    size_t n = 0;
    if (pairs_unpack(&back, bytes.data, len, &err) == 0) n = back.n; /* whole rows, the last ones missing */
    assert_true(n < pairs.n);
    tpo_pairs_free(&back);
  }
  assert_int_equal(pairs_unpack(&back, bytes.data, bytes.len - 1, &err), TPO_E_INPUT);
  assert_non_null(strstr(err.message, "cut or damaged"));
  tpo_buf_clear(&bytes);
  pairs.rows[1].step = -1;
  assert_int_equal(pairs_pack(&pairs, &bytes, &err), 0);
  assert_int_equal(pairs_unpack(&back, bytes.data, bytes.len, &err), TPO_E_INPUT);
  tpo_buf_free(&bytes);
  tpo_pairs_free(&pairs);
}

static void without_a_mask_every_token_carries_loss(void **state)
{
  (void)state;
  struct tpo_pairs pairs;
  make_pairs(&pairs);
  assert_memory_equal(pairs.rows[0].chosen_mask, "\1\1", 2);
  assert_memory_equal(pairs.rows[2].chosen_mask, "\1\0", 2);
  tpo_pairs_free(&pairs);
}

static void equal_pairs_give_equal_bytes_and_verify(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  write_pairs("a.h5");
  write_pairs("b.h5");
  unsetenv("SOURCE_DATE_EPOCH");
  assert_same_bytes(in_folder("a.h5"), in_folder("b.h5"));
  if (tpo_store_verify(in_folder("a.h5"), &err) < 0) fail_msg("%s", err.message);
}

static void steps_are_in_a_file_only_where_a_pair_has_one(void **state)
{
  (void)state;
  struct tpo_pairs pairs, back;
  struct tpo_error err = {0};
  char path[512];
  snprintf(path, sizeof path, "%s", in_folder("p.h5"));
  make_pairs(&pairs);
  for (int some = 0; some < 2; some++) {
    pairs.rows[2].step = some ? 9 : 0;
    assert_int_equal(tpo_pairs_write(&pairs, path, &err), 0);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_int_equal(H5Lexists(file, "step", H5P_DEFAULT) > 0, some);
    H5Fclose(file);
    assert_int_equal(tpo_pairs_read(&back, path, &err), 0);
    assert_same_rows(&back, &pairs);
    tpo_pairs_free(&back);
  }
  tpo_pairs_free(&pairs);
}

static void refused_with(const char *name, hid_t type, int64_t count, const void *data, const char *why)
{
  struct tpo_pairs pairs;
  struct tpo_error err = {0};
  copy_file(in_folder("good.h5"), in_folder("bad.h5"));
  replace(in_folder("bad.h5"), name, type, count, data);
  int status = tpo_pairs_read(&pairs, in_folder("bad.h5"), &err);
  if (status >= 0) fail_msg("accepted with a bad '%s' (%s)", name, why);
  assert_refused(status, err, "bad.h5");
  assert_refused(status, err, why);
}

static void contradictory_datasets_are_refused(void **state)
{
  (void)state;
  const int32_t negative[9] = {-2, 1};
  const uint8_t mask[] = {0, 1, 2, 1};
  const int64_t offsets[] = {0, 2, 2, 5};
  struct tpo_pairs pairs;
  make_pairs(&pairs);
  pairs.rows[2].step = 6;
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("good.h5"), NULL), 0);
  tpo_pairs_free(&pairs);
  refused_with("step", H5T_STD_I32LE, 3, negative, "pair 0: its step is below 0");
  refused_with("step", H5T_STD_I32LE, 2, negative, "'step' has 2 elements, expected 3");
  refused_with("margin", H5T_IEEE_F64LE, -1, NULL, "no dataset 'margin'");
  refused_with("chosen", H5T_STD_I32LE, 3, negative, "row numbers");
  refused_with("prompt_token_ids", H5T_STD_I32LE, 9, negative, "prompt_token_ids");
  refused_with("rejected_token_ids", H5T_STD_I32LE, 9, negative, "rejected_token_ids");
  refused_with("chosen_mask", H5T_STD_U8LE, 4, mask, "chosen_mask must hold 0 or 1");
  refused_with("chosen_mask", H5T_STD_U8LE, 3, mask, "'chosen_mask' has 3 elements");
  refused_with("chosen_token_offset", H5T_STD_I64LE, 4, offsets, "its offsets end at 5");
}

static void a_file_that_tells_no_output_tokens_is_read_and_a_wrong_number_refused(void **state)
{
  (void)state;
  static const char *const wrong[] = {"", "0", "-5", "60 ", "6e1", "2147483648", "99999999999999999999"};
  struct tpo_pairs pairs;
  struct tpo_error err = {0};
  write_pairs("p.h5");
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    set_attribute(in_folder("p.h5"), "output_tokens", wrong[i]);
    assert_refused(tpo_pairs_read(&pairs, in_folder("p.h5"), &err), err,
                   "p.h5: attribute output_tokens is '");
  }
  set_attribute(in_folder("p.h5"), "output_tokens", NULL);
  if (tpo_pairs_read(&pairs, in_folder("p.h5"), &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(pairs.output_tokens, 0);
  tpo_pairs_free(&pairs);
}

static void a_file_cut_anywhere_is_refused_with_its_name(void **state)
{
  (void)state;
  write_pairs("p.h5");
  refused_when_cut(in_folder("p.h5"));
}

static void damaged_bytes_are_refused_or_read_within_bounds(void **state)
{
  (void)state;
  write_pairs("p.h5");
  damaged_copies_are_refused_or_read(in_folder("p.h5"), 2000);
}

static void samples_are_not_taken_for_pairs(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_pairs pairs;
  struct tpo_error err = {0};
  make_samples(&samples);
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&samples);
  assert_refused(tpo_pairs_read(&pairs, in_folder("s.h5"), &err), err, "holds samples, expected pairs");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(pairs_are_read_back_as_written),
      cmocka_unit_test(packed_pairs_unpack_to_the_same_and_cut_ones_are_refused),
      IN_FOLDER(steps_are_in_a_file_only_where_a_pair_has_one),
      cmocka_unit_test(without_a_mask_every_token_carries_loss),
      IN_FOLDER(equal_pairs_give_equal_bytes_and_verify),
      IN_FOLDER(contradictory_datasets_are_refused),
      IN_FOLDER(a_file_that_tells_no_output_tokens_is_read_and_a_wrong_number_refused),
      IN_FOLDER(a_file_cut_anywhere_is_refused_with_its_name),
      IN_FOLDER(damaged_bytes_are_refused_or_read_within_bounds),
      IN_FOLDER(samples_are_not_taken_for_pairs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
