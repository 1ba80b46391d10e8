/* Samples are read back as written, sorted, packed, and printed as JSON Lines. */
#include "store/hdf5/h5.h"
#include "store/hdf5_files.h"
#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include "base/json.h"

static void assert_same_row(const struct tpo_sample_row *a, const struct tpo_sample_row *b, const char *text)
{
  assert_string_equal(a->prompt_id, b->prompt_id);
  assert_string_equal(a->instruction, b->instruction);
  assert_string_equal(a->prompt_text, b->prompt_text);
  assert_string_equal(a->meta, b->meta);
  assert_int_equal(a->k, b->k);
  assert_string_equal(a->text, text);
  assert_string_equal(a->thought, b->thought);
  assert_string_equal(a->response, b->response);
  assert_int_equal(a->format_ok, b->format_ok);
  assert_int_equal(a->finish, b->finish);
  assert_int_equal(a->n_prompt, b->n_prompt);
  assert_int_equal(a->n_tokens, b->n_tokens);
  assert_memory_equal(a->prompt_ids, b->prompt_ids, (size_t)a->n_prompt * 4);
  assert_memory_equal(a->token_ids, b->token_ids, (size_t)a->n_tokens * 4);
  assert_memory_equal(a->token_logprobs, b->token_logprobs, (size_t)a->n_tokens * 4);
  assert_memory_equal(a->inserted, b->inserted, (size_t)a->n_tokens);
  assert_int_equal(a->n_thought_tokens, b->n_thought_tokens);
  assert_int_equal(a->n_unjudged_tokens, b->n_unjudged_tokens);
  assert_int_equal(a->step, b->step);
  assert_true(a->logprob == b->logprob);
}

/* What a file gives back for a text: bytes that are not UTF-8 are U+FFFD. */
static const char *as_stored(const char *text)
{
  return strchr(text, '\xff') ? "caf\xc3\xa9 \xef\xbf\xbd <R> blue" : text;
}

static void read_ok(struct tpo_samples *samples, const char *path)
{
  struct tpo_error err = {0};
  if (tpo_samples_read(samples, path, &err) < 0) fail_msg("%s", err.message);
}

static void write_ok(const struct tpo_samples *samples, const char *path)
{
  struct tpo_error err = {0};
  if (tpo_samples_write(samples, path, &err) < 0) fail_msg("%s", err.message);
}

static void samples_are_read_back_as_written(void **state)
{
  (void)state;
  struct tpo_samples samples, back;
  make_samples(&samples);
  write_ok(&samples, in_folder("s.h5"));
  read_ok(&back, in_folder("s.h5"));
  assert_false(back.is_scored);
  assert_string_equal(back.config, "seed: 1\n");
  assert_int_equal(back.output_tokens, 60);
  assert_int_equal(back.n, samples.n);
  for (size_t i = 0; i < back.n; i++) {
    assert_same_row(&back.rows[i], &samples.rows[i], as_stored(samples.rows[i].text));
    assert_false(back.rows[i].scored);
    assert_true(isnan(back.rows[i].score));
    assert_string_equal(back.rows[i].score_detail, "{}");
  }
  assert_int_equal(count_files(folder), 1);
  tpo_samples_free(&samples);
  tpo_samples_free(&back);
}

static void scored_samples_keep_scores_and_their_absence(void **state)
{
  (void)state;
  struct tpo_samples samples, back;
  char format[16];
  make_samples(&samples);
  samples.is_scored = true;
  write_ok(&samples, in_folder("s.h5"));
  read_ok(&back, in_folder("s.h5"));
  assert_true(back.is_scored);
  for (size_t i = 0; i < back.n; i++) {
    assert_int_equal(back.rows[i].scored, samples.rows[i].k != 2);
    if (back.rows[i].scored)
      assert_true(back.rows[i].score == samples.rows[i].score);
    else
      assert_true(isnan(back.rows[i].score));
    assert_string_equal(back.rows[i].score_detail, "{\"a\":1}");
  }
  assert_int_equal(tpo_store_format(in_folder("s.h5"), format, NULL), 0);
  assert_string_equal(format, "scored");
  tpo_samples_free(&samples);
  tpo_samples_free(&back);
}

static void a_file_without_samples_is_read_back(void **state)
{
  (void)state;
  struct tpo_samples none = {0}, back;
  write_ok(&none, in_folder("s.h5"));
  read_ok(&back, in_folder("s.h5"));
  assert_int_equal(back.n, 0);
  assert_int_equal(tpo_store_verify(in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&back);
}

static void equal_contents_give_equal_bytes(void **state)
{
  (void)state;
  struct tpo_samples samples;
  setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  make_samples(&samples);
  write_ok(&samples, in_folder("a.h5"));
  write_ok(&samples, in_folder("b.h5"));
  assert_same_bytes(in_folder("a.h5"), in_folder("b.h5"));
  unsetenv("SOURCE_DATE_EPOCH");
  tpo_samples_free(&samples);
}

static void content_hash_covers_data_and_no_attribute(void **state)
{
  (void)state;
  struct tpo_samples samples;
  char one[33], other[33];
  make_samples(&samples);
  write_ok(&samples, in_folder("a.h5"));
  assert_int_equal(tpo_store_content_hash(in_folder("a.h5"), one, NULL), 0);
  free(samples.config);
  samples.config = NULL;
  setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  write_ok(&samples, in_folder("a.h5"));
  unsetenv("SOURCE_DATE_EPOCH");
  assert_int_equal(tpo_store_content_hash(in_folder("a.h5"), other, NULL), 0);
  assert_string_equal(one, other);
  samples.rows[5].logprob += 1e-9;
  write_ok(&samples, in_folder("a.h5"));
  assert_int_equal(tpo_store_content_hash(in_folder("a.h5"), other, NULL), 0);
  assert_string_not_equal(one, other);
  tpo_samples_free(&samples);
}

static void verify_finds_one_changed_number_or_letter(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_error err = {0};
  const double logprob[] = {-0.75, -1.75, -2.75, -0.75, -1.75, -2.75000001};
  const char *const ids[] = {"first", "first", "first", "second", "second", "secand"};
  hid_t text = tpo_h5_file_type(TPO_H5_TEXT);
  make_samples(&samples);
  write_ok(&samples, in_folder("a.h5"));
  if (tpo_store_verify(in_folder("a.h5"), &err) < 0) fail_msg("%s", err.message);
  copy_file(in_folder("a.h5"), in_folder("b.h5"));
  replace(in_folder("b.h5"), "logprob", H5T_IEEE_F64LE, 6, logprob);
  assert_refused(tpo_store_verify(in_folder("b.h5"), &err), err, "hash");
  copy_file(in_folder("a.h5"), in_folder("b.h5"));
  replace(in_folder("b.h5"), "prompt_id", text, 6, ids);
  assert_refused(tpo_store_verify(in_folder("b.h5"), &err), err, "hash");
  H5Tclose(text);
  tpo_samples_free(&samples);
}

/* One dataset of a good file is replaced; reading must fail with a message that holds `why`. */
static void refused_with(const char *name, hid_t type, int64_t count, const void *data, const char *why)
{
  struct tpo_samples samples;
  struct tpo_error err = {0};
  copy_file(in_folder("good.h5"), in_folder("bad.h5"));
  replace(in_folder("bad.h5"), name, type, count, data);
  int status = tpo_samples_read(&samples, in_folder("bad.h5"), &err);
  if (status >= 0) fail_msg("accepted with a bad '%s' (%s)", name, why);
  assert_refused(status, err, "bad.h5");
  assert_refused(status, err, why);
}

static void contradictory_datasets_are_refused(void **state)
{
  (void)state;
  struct tpo_samples samples;
  make_samples(&samples);
  samples.is_scored = true;
  for (size_t i = 0; i < samples.n; i++) samples.rows[i].step = 1;
  write_ok(&samples, in_folder("good.h5"));
  tpo_samples_free(&samples);
  const int32_t k[] = {0, 1, 1, 0, 1, 2}, ids[27] = {[5] = -1};
  const int32_t thoughts[] = {9, 0, 0, 0, 0, 0};
  const int64_t from_one[] = {1, 5, 9, 11, 14, 16, 18}, falling[] = {0, 5, 3, 9, 11, 14, 18};
  const int64_t wide[] = {0, INT64_MIN, INT64_MAX, 9, 11, 14, 18}, longer[] = {0, 2, 5, 9, 11, 14, 19};
  const int32_t steps[] = {1, 1, 1, 1, 1, -1};
  const uint8_t flags[] = {0, 1, 2, 0, 0, 0};
  const double scores[] = {(double)INFINITY, 0, 0, 0, 0, 0};
  const char *const reasons[] = {"stop", "stop", "tired", "stop", "stop", "stop"};
  const char *const apart[] = {"first", "second", "first", "second", "second", "second"};
  const char *const latin[] = {"caf\xe9", "", "", "", "", ""};
  hid_t text = tpo_h5_file_type(TPO_H5_TEXT);
  refused_with("response", text, -1, NULL, "no dataset 'response'");
  refused_with("k", H5T_STD_I32LE, 5, k, "'k' has 5 elements, expected 6");
  refused_with("k", H5T_STD_I64LE, 6, wide, "'k' has type int64, expected int32");
  refused_with("text", H5T_STD_I32LE, 6, k, "'text' has type int32, expected text");
  refused_with("text", text, 2, apart, "'text' has 2 elements");
  refused_with("text", text, 6, latin, "not UTF-8");
  refused_with("k", H5T_STD_I32LE, 6, k, "its k must be greater");
  refused_with("prompt_id", text, 6, apart, "stand together");
  refused_with("token_offset", H5T_STD_I64LE, 6, from_one, "'token_offset' has 6 elements, expected 7");
  refused_with("token_offset", H5T_STD_I64LE, 7, from_one, "begins with 1");
  refused_with("token_offset", H5T_STD_I64LE, 7, falling, "ascending");
  refused_with("token_offset", H5T_STD_I64LE, 7, wide, "ascending");
  refused_with("token_offset", H5T_STD_I64LE, 7, longer, "its offsets end at 19");
  refused_with("token_ids", H5T_STD_I32LE, 17, ids, "'token_ids' has 17 elements");
  refused_with("token_ids", H5T_STD_I32LE, 18, ids, "below 0");
  refused_with("n_thought_tokens", H5T_STD_I32LE, 6, thoughts, "n_thought_tokens");
  refused_with("n_unjudged_tokens", H5T_STD_I32LE, 6, thoughts, "n_unjudged_tokens");
  refused_with("n_unjudged_tokens", H5T_STD_I32LE, 5, k, "has 5 elements, expected 6");
  refused_with("step", H5T_STD_I32LE, 6, steps, "sample 5: its step is below 0");
  refused_with("step", H5T_STD_I32LE, 5, steps, "'step' has 5 elements, expected 6");
  refused_with("step", H5T_STD_I64LE, 6, wide, "'step' has type int64, expected int32");
  refused_with("format_ok", H5T_STD_U8LE, 6, flags, "format_ok");
  refused_with("scored", H5T_STD_U8LE, 6, flags, "scored");
  refused_with("score", H5T_IEEE_F64LE, 6, scores, "finite");
  refused_with("finish_reason", text, 6, reasons, "'tired'");
  refused_with("logprob", H5T_IEEE_F64LE, 1L << 58, NULL, "'logprob'"); /* no such file can exist */
  H5Tclose(text);
}

static void a_file_of_before_unjudged_tokens_is_read(void **state)
{
  (void)state;
  struct tpo_samples samples;
  make_samples(&samples);
  const char *path = in_folder("s.h5");
  assert_int_equal(tpo_samples_write(&samples, path, NULL), 0);
  tpo_samples_free(&samples);
  replace(path, "n_unjudged_tokens", H5T_STD_I32LE, -1, NULL);
  read_ok(&samples, path);
  assert_int_equal(samples.n, 6);
  for (size_t i = 0; i < samples.n; i++) assert_int_equal(samples.rows[i].n_unjudged_tokens, 0);
  tpo_samples_free(&samples);
}

static bool has_dataset(const char *path, const char *name)
{
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0);
  bool found = H5Lexists(file, name, H5P_DEFAULT) > 0;
  H5Fclose(file);
  return found;
}

static void steps_are_in_a_file_only_where_a_row_has_one_and_are_hashed(void **state)
{
  (void)state;
  struct tpo_samples samples, back;
  struct tpo_error err = {0};
  char none[33], some[33], others[33];
  make_samples(&samples);
  write_ok(&samples, in_folder("none.h5"));
  assert_false(has_dataset(in_folder("none.h5"), "step"));
  assert_int_equal(tpo_store_content_hash(in_folder("none.h5"), none, &err), 0);
  for (int scored = 0; scored < 2; scored++) {
    samples.is_scored = scored;
    samples.rows[5].step = 7; /* the others are no step's */
    write_ok(&samples, in_folder("some.h5"));
    assert_true(has_dataset(in_folder("some.h5"), "step"));
    read_ok(&back, in_folder("some.h5"));
    for (size_t i = 0; i < back.n; i++) assert_int_equal(back.rows[i].step, i == 5 ? 7 : 0);
    tpo_samples_free(&back);
    assert_int_equal(tpo_store_content_hash(in_folder("some.h5"), some, &err), 0);
    samples.rows[5].step = 8;
    write_ok(&samples, in_folder("others.h5"));
    assert_int_equal(tpo_store_content_hash(in_folder("others.h5"), others, &err), 0);
    assert_string_not_equal(some, others);
    assert_string_not_equal(some, none);
  }
  samples.rows[5].step = -1;
  assert_refused(tpo_samples_write(&samples, in_folder("bad.h5"), &err), err,
                 "sample 5: its step is below 0");
  tpo_samples_free(&samples);
}

static void wrong_files_are_refused_by_name(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_pairs pairs;
  struct tpo_error err = {0};
  assert_refused(tpo_samples_read(&samples, in_folder("none.h5"), &err), err, "none.h5");
  assert_int_equal(err.code, TPO_E_USAGE);
  assert_refused(tpo_samples_read(&samples, folder, &err), err, folder);
  assert_int_equal(tpo_write_file(in_folder("t.h5"), "text, and plenty of it", 22, NULL), 0);
  assert_refused(tpo_samples_read(&samples, in_folder("t.h5"), &err), err, "not an HDF5 file");
  make_pairs(&pairs);
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("p.h5"), NULL), 0);
  tpo_pairs_free(&pairs);
  assert_refused(tpo_samples_read(&samples, in_folder("p.h5"), &err), err,
                 "holds pairs, expected samples or scored");
  hid_t file = H5Fcreate(in_folder("h.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  assert_refused(tpo_samples_read(&samples, in_folder("h.h5"), &err), err, "tpo_format is absent");
}

static void links_out_of_the_file_are_refused(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_error err = {0};
  make_samples(&samples);
  write_ok(&samples, in_folder("good.h5"));
  tpo_samples_free(&samples);
  copy_file(in_folder("good.h5"), in_folder("bad.h5"));
  hid_t file = H5Fopen(in_folder("bad.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(H5Ldelete(file, "logprob", H5P_DEFAULT) >= 0);
  assert_true(H5Lcreate_external("good.h5", "logprob", file, "logprob", H5P_DEFAULT, H5P_DEFAULT) >= 0);
  H5Fclose(file);
  assert_refused(tpo_samples_read(&samples, in_folder("bad.h5"), &err), err,
                 "'logprob' is a soft or external link");
  assert_refused(tpo_store_verify(in_folder("bad.h5"), &err), err, "'logprob' is a soft or external link");

  copy_file(in_folder("good.h5"), in_folder("bad.h5"));
  file = H5Fopen(in_folder("bad.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
  hsize_t dims = 6;
  hid_t space = H5Screate_simple(1, &dims, NULL), creation = H5Pcreate(H5P_DATASET_CREATE);
  assert_true(H5Pset_external(creation, "/etc/passwd", 0, 48) >= 0);
  assert_true(H5Ldelete(file, "logprob", H5P_DEFAULT) >= 0);
  H5Dclose(H5Dcreate2(file, "logprob", H5T_IEEE_F64LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
  H5Pclose(creation);
  H5Sclose(space);
  H5Fclose(file);
  assert_refused(tpo_samples_read(&samples, in_folder("bad.h5"), &err), err,
                 "'logprob' lies in other files (external storage)");
}

static void a_file_cut_anywhere_is_refused_with_its_name(void **state)
{
  (void)state;
  struct tpo_samples samples;
  make_samples(&samples);
  write_ok(&samples, in_folder("s.h5"));
  tpo_samples_free(&samples);
  refused_when_cut(in_folder("s.h5"));
}

static void damaged_bytes_are_refused_or_read_within_bounds(void **state)
{
  (void)state;
  struct tpo_samples samples;
  make_samples(&samples);
  samples.is_scored = true;
  write_ok(&samples, in_folder("s.h5"));
  tpo_samples_free(&samples);
  damaged_copies_are_refused_or_read(in_folder("s.h5"), 2000);
}

/* The sizes in HDF5's heaps of texts have no checksum, and the library believes them. */
static void a_text_longer_than_its_heap_is_refused(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_buf bytes = {0};
  struct memory_file file = memory_file_open();
  make_samples(&samples);
  write_ok(&samples, in_folder("s.h5"));
  tpo_samples_free(&samples);
  read_whole(in_folder("s.h5"), &bytes);
  uint8_t *heap = memmem(bytes.data, bytes.len, "GCOL", 4);
  assert_non_null(heap);
  uint64_t sizes[] = {1 << 20, UINT64_MAX, UINT64_MAX - 7, 4096 - 16};
  for (int at = 8; at <= 24; at += 16) /* of the heap, and of its first text */
    for (int i = 0; i < 4; i++) {
      struct tpo_error err = {0};
      uint8_t before[8];
      memcpy(before, heap + at, 8);
      memcpy(heap + at, &sizes[i], 8);
      memory_file_set(&file, bytes.data, bytes.len);
      int status = read_any(file.path, &err);
      assert_refused(status, err, "texts");
      memcpy(heap + at, before, 8);
    }
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

/* Every text, those of attributes too: its size, and the number by which it is referred to. */
static void damaged_texts_are_refused_wherever_they_belong(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_buf bytes = {0};
  struct memory_file file = memory_file_open();
  make_samples(&samples);
  write_ok(&samples, in_folder("s.h5"));
  tpo_samples_free(&samples);
  read_whole(in_folder("s.h5"), &bytes);
  uint8_t *end = (uint8_t *)bytes.data + bytes.len;
  int texts = 0;
  for (uint8_t *heap = (uint8_t *)bytes.data; (heap = memmem(heap, (size_t)(end - heap), "GCOL", 4));
       heap += 16)
    for (uint8_t *at = heap + 16; at[0] || at[1]; texts++) {
      struct tpo_error err = {0};
      uint64_t size;
      memcpy(&size, at + 8, 8);
      for (int field = 0; field <= 8; field += 8) {
        uint8_t before = at[field];
        at[field] = (uint8_t)(before + 100);
        memory_file_set(&file, bytes.data, bytes.len);
        int status = read_any(file.path, &err);
        assert_refused(status, err, "texts");
        at[field] = before;
      }
      at += 16 + (size + 7) / 8 * 8;
    }
  assert_true(texts > 20);
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

/* The same in a file of the older form that other programs write. */
static void damaged_text_of_an_attribute_in_an_old_file_is_refused(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  struct tpo_error err = {0};
  struct memory_file file = memory_file_open();
  char format[16];
  const char *text = "samples";
  hid_t id = H5Fcreate(in_folder("old.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  hid_t type = tpo_h5_memory_type(TPO_H5_TEXT), space = H5Screate(H5S_SCALAR);
  hid_t attribute = H5Acreate2(id, "tpo_format", type, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(attribute, type, &text) >= 0);
  H5Aclose(attribute);
  H5Tclose(type);
  H5Sclose(space);
  H5Fclose(id);
  read_whole(in_folder("old.h5"), &bytes);
  assert_null(memmem(bytes.data, bytes.len, "OHDR", 4));
  uint8_t *heap = memmem(bytes.data, bytes.len, "GCOL", 4);
  assert_non_null(heap);
  memory_file_set(&file, bytes.data, bytes.len);
  assert_int_equal(tpo_store_format(file.path, format, &err), 0);
  assert_string_equal(format, "samples");
  heap[16 + 8 + 2] = 1; /* the size of its first text */
  memory_file_set(&file, bytes.data, bytes.len);
  assert_refused(tpo_store_format(file.path, format, &err), err, "texts");
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

static void samples_that_contradict_themselves_are_not_written(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_error err = {0};
  make_samples(&samples);
  samples.rows[1].prompt_id = "second";
  assert_refused(tpo_samples_write(&samples, in_folder("s.h5"), &err), err, "stand together");
  samples.rows[1].prompt_id = samples.rows[0].prompt_id;
  samples.rows[1].n_thought_tokens = 1000;
  assert_refused(tpo_samples_write(&samples, in_folder("s.h5"), &err), err, "n_thought_tokens");
  samples.rows[1].n_thought_tokens = 1;
  samples.rows[1].n_unjudged_tokens = 4;
  assert_refused(tpo_samples_write(&samples, in_folder("s.h5"), &err), err, "n_unjudged_tokens");
  assert_int_equal(count_files(folder), 0);
  tpo_samples_free(&samples);
}

static void a_full_disk_is_one_error_and_the_old_file_stays(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_error err = {0};
  struct rlimit old, small = {.rlim_cur = 2 << 20, .rlim_max = RLIM_INFINITY};
  signal(SIGXFSZ, SIG_IGN);
  make_samples(&samples);
  write_ok(&samples, in_folder("s.h5"));
  copy_file(in_folder("s.h5"), in_folder("old.h5"));
  char *text = malloc(3 << 20);
  assert_non_null(text);
  memset(text, 'x', 3 << 20);
  text[(3 << 20) - 1] = '\0';
  samples.rows[0].text = text;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small.rlim_max = old.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  int status = tpo_samples_write(&samples, in_folder("s.h5"), &err);
  setrlimit(RLIMIT_FSIZE, &old);
  assert_int_equal(status, TPO_E_IO);
  assert_refused(status, err, "s.h5");
  assert_same_bytes(in_folder("s.h5"), in_folder("old.h5"));
  assert_int_equal(count_files(folder), 2);
  free(text);
  tpo_samples_free(&samples);
}

/* A file system of `bytes`, mounted over the folder; skipped where mounting is not allowed. */
static void on_a_small_disk_each_size_is_written_whole_or_not_at_all(void **state)
{
  (void)state;
  struct tpo_samples samples;
  if (mount("none", folder, "tmpfs", 0, "size=2m") != 0) skip();
  make_samples(&samples);
  char *text = malloc(3 << 20);
  assert_non_null(text);
  int written = 0, refused = 0;
  for (size_t len = 1000; len < 3 << 20; len = len * 5 / 4) {
    struct tpo_error err = {0};
    memset(text, 'x', len);
    text[len] = '\0';
    samples.rows[0].text = text;
    int status = tpo_samples_write(&samples, in_folder("s.h5"), &err);
    if (status == 0) {
      written++;
      assert_int_equal(tpo_store_verify(in_folder("s.h5"), NULL), 0);
      unlink(in_folder("s.h5"));
    } else {
      refused++;
      assert_int_equal(status, TPO_E_IO);
      assert_refused(status, err, "s.h5");
    }
    assert_int_equal(count_files(folder), 0);
  }
  free(text);
  tpo_samples_free(&samples);
  umount(folder);
  assert_true(written > 0 && refused > 0);
}

static void sorting_follows_the_prompts_order_and_then_k(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_error err = {0};
  static const int order[][2] = {{0, 1}, {1, 0}, {0, 0}, {2, 2}, {1, 1}, {2, 0}};
  const char *const ids[] = {"third", "first", "unused", "second", "first"};
  for (size_t i = 0; i < 6; i++) add_sample(&samples, order[i][0], order[i][1]);
  if (tpo_samples_sort(&samples, ids, 5, &err) < 0) fail_msg("%s", err.message);
  static const struct {
    const char *id;
    int k;
  } expected[] = {{"third", 0}, {"third", 2}, {"first", 0}, {"first", 1}, {"second", 0}, {"second", 1}};
  for (size_t i = 0; i < 6; i++) {
    assert_string_equal(samples.rows[i].prompt_id, expected[i].id);
    assert_int_equal(samples.rows[i].k, expected[i].k);
  }
  assert_refused(tpo_samples_sort(&samples, ids, 2, &err), err, "'second'");
  tpo_samples_free(&samples);
}

static void packed_rows_unpack_to_the_same_and_cut_ones_are_refused(void **state)
{
  (void)state;
  struct tpo_samples samples, back = {0};
  struct tpo_buf buf = {0};
  make_samples(&samples);
  for (size_t i = 0; i < samples.n; i++) samples.rows[i].step = (int32_t)i;
  for (size_t i = 0; i < samples.n; i++) assert_int_equal(tpo_sample_pack(&samples.rows[i], &buf, NULL), 0);
  assert_int_equal(tpo_samples_unpack(&back, buf.data, buf.len, NULL), 0);
  assert_int_equal(back.n, samples.n);
  for (size_t i = 0; i < back.n; i++) {
    assert_same_row(&back.rows[i], &samples.rows[i], samples.rows[i].text); /* bytes, not UTF-8 */
    assert_int_equal(back.rows[i].scored, samples.rows[i].scored);
    assert_string_equal(back.rows[i].score_detail, samples.rows[i].score_detail);
  }
  size_t ends = 0, one = buf.len; /* a cut between rows is no error */
  for (size_t len = 1; len < one; len++) {
    struct tpo_samples part = {0};
    struct tpo_error err = {0};
    int status = tpo_samples_unpack(&part, buf.data, len, &err);
    ends += status == 0;
    if (status < 0) assert_refused(status, err, "cut or damaged");
    tpo_samples_free(&part);
  }
  assert_int_equal(ends, samples.n - 1);
  samples.rows[0].step = -1;
  tpo_buf_clear(&buf);
  assert_int_equal(tpo_sample_pack(&samples.rows[0], &buf, NULL), 0);
  assert_int_equal(tpo_samples_unpack(&back, buf.data, buf.len, NULL), TPO_E_INPUT);
  tpo_buf_free(&buf);
  tpo_samples_free(&samples);
  tpo_samples_free(&back);
}

static void json_lines_hold_the_documented_fields(void **state)
{
  (void)state;
  static const char *const fields[] = {"id",       "k",         "text",          "thought",
                                       "response", "format_ok", "finish_reason", "n_prompt_tokens",
                                       "n_tokens", "logprob",   "score",         "n_thought_tokens"};
  struct tpo_samples samples;
  struct tpo_error err = {0};
  char *text = NULL;
  size_t len = 0, lines = 0;
  make_samples(&samples);
  samples.is_scored = true;
  samples.rows[1].step = 12;
  FILE *out = open_memstream(&text, &len);
  assert_non_null(out);
  assert_int_equal(tpo_samples_write_jsonl(&samples, out, &err), 0);
  fclose(out);
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
    json_t *object = tpo_json_parse(line, (size_t)(end - line), "line", &err);
    if (!object) fail_msg("%s", err.message);
    const struct tpo_sample_row *row = &samples.rows[lines];
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
      if (!json_object_get(object, fields[i])) fail_msg("no '%s'", fields[i]);
    assert_string_equal(json_string_value(json_object_get(object, "id")), row->prompt_id);
    assert_int_equal(json_integer_value(json_object_get(object, "n_tokens")), row->n_tokens);
    assert_true(json_real_value(json_object_get(object, "logprob")) == row->logprob);
    assert_int_equal(json_is_null(json_object_get(object, "score")), !row->scored);
    assert_int_equal(json_integer_value(json_object_get(object, "step")), row->step);
    assert_int_equal(json_object_get(object, "step") != NULL, row->step > 0);
    assert_string_equal(json_string_value(json_object_get(object, "text")), as_stored(row->text));
    json_decref(object);
  }
  assert_int_equal(lines, samples.n);
  free(text);
  tpo_samples_free(&samples);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

static void response_tokens_are_behind_the_marker_and_before_the_end(void **state)
{
  (void)state;
  static const struct {
    int32_t tokens, thought, unjudged, expected;
    enum tpo_finish finish;
  } cases[] = {{10, 0, 0, 10, TPO_FINISH_LENGTH},     {10, 0, 0, 9, TPO_FINISH_STOP},
               {10, 4, 0, 6, TPO_FINISH_CONTEXT},     {10, 4, 0, 5, TPO_FINISH_STOP},
               {10, 10, 0, 0, TPO_FINISH_LENGTH},     {10, 9, 0, 0, TPO_FINISH_STOP},
               {10, 4, 3, 3, TPO_FINISH_STOP_STRING}, {10, 9, 2, 0, TPO_FINISH_STOP_STRING},
               {0, 0, 0, 0, TPO_FINISH_STOP}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct tpo_sample_row row = {.n_tokens = cases[i].tokens,
                                       .n_thought_tokens = cases[i].thought,
                                       .n_unjudged_tokens = cases[i].unjudged,
                                       .finish = cases[i].finish};
    assert_int_equal(tpo_sample_response_tokens(&row), cases[i].expected);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(samples_are_read_back_as_written),
      IN_FOLDER(scored_samples_keep_scores_and_their_absence),
      IN_FOLDER(a_file_without_samples_is_read_back),
      IN_FOLDER(equal_contents_give_equal_bytes),
      IN_FOLDER(content_hash_covers_data_and_no_attribute),
      IN_FOLDER(verify_finds_one_changed_number_or_letter),
      IN_FOLDER(contradictory_datasets_are_refused),
      IN_FOLDER(a_file_of_before_unjudged_tokens_is_read),
      IN_FOLDER(steps_are_in_a_file_only_where_a_row_has_one_and_are_hashed),
      IN_FOLDER(wrong_files_are_refused_by_name),
      IN_FOLDER(links_out_of_the_file_are_refused),
      IN_FOLDER(a_file_cut_anywhere_is_refused_with_its_name),
      IN_FOLDER(damaged_bytes_are_refused_or_read_within_bounds),
      IN_FOLDER(a_text_longer_than_its_heap_is_refused),
      IN_FOLDER(damaged_texts_are_refused_wherever_they_belong),
      IN_FOLDER(damaged_text_of_an_attribute_in_an_old_file_is_refused),
      IN_FOLDER(samples_that_contradict_themselves_are_not_written),
      IN_FOLDER(a_full_disk_is_one_error_and_the_old_file_stays),
      IN_FOLDER(on_a_small_disk_each_size_is_written_whole_or_not_at_all),
      cmocka_unit_test(response_tokens_are_behind_the_marker_and_before_the_end),
      cmocka_unit_test(sorting_follows_the_prompts_order_and_then_k),
      cmocka_unit_test(packed_rows_unpack_to_the_same_and_cut_ones_are_refused),
      cmocka_unit_test(json_lines_hold_the_documented_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
