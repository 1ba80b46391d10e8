/* Rows and files that the HDF5 tests share, and ways to spoil a file. */
#ifndef TESTS_STORE_HDF5_FILES_H
#define TESTS_STORE_HDF5_FILES_H

#include "store/files.h"
#include <fcntl.h>
#include <math.h>
#include "store/hdf5/h5.h"
#include "tpo/store.h"

/* Sample k of prompt p: three prompt tokens, 2 + k generated ones. */
static inline void add_sample(struct tpo_samples *samples, int p, int k)
{
  static const char *const ids[] = {"first", "second", "third"};
  const int32_t prompt[] = {1, 2, 10 + p};
  const int32_t tokens[] = {100, 101, 102, 103, 104, 105};
  const float logprobs[] = {-0.5f, -0.25f, -1, -2, -0.125f, -3};
  const uint8_t inserted[] = {0, 1, 0, 0, 0, 0};
  const struct tpo_sample_row row = {.prompt_id = ids[p],
                                     .instruction = "Name a colour.",
                                     .prompt_text = "<|user|>Name a colour.",
                                     .meta = "{\"category\":\"colour\"}",
                                     .k = k,
                                     .text = k == 1 ? "caf\xc3\xa9 \xff <R> blue" : "I think. <R> red",
                                     .thought = k == 2 ? "" : "I think. ",
                                     .response = k == 2 ? "" : "red",
                                     .format_ok = k != 2,
                                     .finish = (enum tpo_finish)(k % 4),
                                     .prompt_ids = prompt,
                                     .n_prompt = 3,
                                     .token_ids = tokens,
                                     .token_logprobs = logprobs,
                                     .inserted = inserted,
                                     .n_tokens = 2 + k,
                                     .n_thought_tokens = 1,
                                     .n_unjudged_tokens = k == 1 ? 2 : 0,
                                     .logprob = -0.75 - k,
                                     .scored = k != 2,
                                     .score = 0.5 + k,
                                     .score_detail = "{\"a\":1}"};
  assert_int_equal(tpo_samples_add(samples, &row, NULL), 0);
}

static inline void make_samples(struct tpo_samples *samples)
{
  *samples = (struct tpo_samples){0};
  for (int p = 0; p < 2; p++)
    for (int k = 0; k < 3; k++) add_sample(samples, p, k);
  samples->config = strdup("seed: 1\n");
  samples->output_tokens = 60;
}

static inline void make_pairs(struct tpo_pairs *pairs)
{
  *pairs = (struct tpo_pairs){0};
  const int32_t prompt[] = {1, 2, 3}, chosen[] = {7, 8}, rejected[] = {9, 10, 11};
  const uint8_t mask[] = {1, 0, 1};
  for (int i = 0; i < 3; i++) {
    const struct tpo_pair_row row = {.prompt_id = i == 2 ? "b" : "a",
                                     .chosen_row = i,
                                     .rejected_row = i + 4,
                                     .chosen_score = 2 + i,
                                     .rejected_score = 1,
                                     .margin = 1.5 * i,
                                     .prompt_ids = prompt,
                                     .n_prompt = 3,
                                     .chosen_ids = chosen,
                                     .n_chosen = i == 1 ? 0 : 2,
                                     .rejected_ids = rejected,
                                     .n_rejected = 3,
                                     .chosen_mask = i == 0 ? NULL : mask,
                                     .rejected_mask = mask,
                                     .chosen_ref_logprob = -10.5 - i,
                                     .rejected_ref_logprob = i == 2 ? (double)NAN : -20.25};
    assert_int_equal(tpo_pairs_add(pairs, &row, NULL), 0);
  }
  pairs->config = strdup("seed: 1\n");
  pairs->output_tokens = 60;
  pairs->statistics = strdup("{\"prompts\":2,\"rho\":0.25}");
  strcpy(pairs->ref_model, "0123456789abcdef0123456789abcdef");
}

/* A text attribute of the root, as another program would set it; NULL: takes it out. */
static inline void set_attribute(const char *path, const char *name, const char *text)
{
  hid_t id = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  if (H5Aexists(id, name) > 0) assert_true(H5Adelete(id, name) >= 0);
  if (text) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(text) + 1);
    hid_t attribute = H5Acreate2(id, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, text) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
  }
  assert_true(H5Fclose(id) >= 0);
}

/* A small checkpoint of three tensors, one of each type, with what belongs to it. */
static inline void write_small_checkpoint(const char *path)
{
  struct tpo_checkpoint_writer *w;
  const int64_t dims[] = {2, 3};
  const float weights[] = {1, 2, 3, 4, 5, 6};
  const uint16_t halves[] = {0x3f80, 0xc000, 1, 0, 0x3c00, 0x4000};
  assert_int_equal(tpo_checkpoint_create(&w, path, "seed: 1\n", NULL), 0);
  assert_int_equal(tpo_checkpoint_put(w, "model", "a.weight", 0, 2, dims, weights, NULL), 0);
  assert_int_equal(tpo_checkpoint_put(w, "model", "b.weight", 1, 2, dims, halves, NULL), 0);
  assert_int_equal(tpo_checkpoint_put(w, "model", "c.weight", 2, 2, dims, halves, NULL), 0);
  assert_int_equal(tpo_checkpoint_put(w, "optimizer/m", "a.weight", 0, 2, dims, weights, NULL), 0);
  assert_int_equal(tpo_checkpoint_put_blob(w, "state", "{\"step\":7,\"epoch\":1}", 20, NULL), 0);
  assert_int_equal(tpo_checkpoint_put_blob(w, "architecture", "{\"hidden\":3}", 12, NULL), 0);
  assert_int_equal(tpo_checkpoint_put_blob(w, "tokenizer/raw", "\0\1", 2, NULL), 0);
  assert_int_equal(tpo_checkpoint_commit(w, NULL), 0);
  tpo_checkpoint_writer_close(w);
}

static inline void copy_file(const char *from, const char *to)
{
  struct tpo_buf bytes = {0};
  read_whole(from, &bytes);
  assert_int_equal(tpo_write_file(to, bytes.data, bytes.len, NULL), 0);
  tpo_buf_free(&bytes);
}

static inline void assert_same_bytes(const char *a, const char *b)
{
  struct tpo_buf one = {0}, two = {0};
  read_whole(a, &one);
  read_whole(b, &two);
  assert_int_equal(one.len, two.len);
  assert_memory_equal(one.data, two.data, one.len);
  tpo_buf_free(&one);
  tpo_buf_free(&two);
}

/* Replaces a dataset by another of one dimension; count < 0: only removes it. */
static inline void replace(const char *path, const char *name, hid_t type, int64_t count, const void *data)
{
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(file >= 0);
  assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
  if (count >= 0) {
    hsize_t dims = (hsize_t)count;
    hid_t space = H5Screate_simple(1, &dims, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (data) assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
  }
  H5Fclose(file);
}

/* Reads a file as whatever it says it is, and verifies it. */
static inline int read_any(const char *path, struct tpo_error *err)
{
  struct tpo_samples samples;
  struct tpo_pairs pairs;
  struct tpo_checkpoint *checkpoint;
  char format[16];
  int status = tpo_store_format(path, format, err);
  if (status < 0) return status;
  if (strcmp(format, "pairs") == 0) {
    status = tpo_pairs_read(&pairs, path, err);
    if (status == 0) tpo_pairs_free(&pairs);
  } else if (strcmp(format, "checkpoint") == 0) {
    status = tpo_checkpoint_open(&checkpoint, path, err);
    tpo_checkpoint_close(checkpoint);
  } else {
    status = tpo_samples_read(&samples, path, err);
    if (status == 0) tpo_samples_free(&samples);
  }
  return status < 0 ? status : tpo_store_verify(path, err);
}

/* Cut after every number of bytes, the file must be refused by name. */
static inline void refused_when_cut(const char *path)
{
  struct tpo_buf bytes = {0};
  struct memory_file file = memory_file_open();
  read_whole(path, &bytes);
  memory_file_set(&file, bytes.data, bytes.len);
  for (size_t len = bytes.len; len-- > 0;) {
    struct tpo_error err = {0};
    assert_int_equal(ftruncate(file.fd, (off_t)len), 0);
    int status = read_any(file.path, &err);
    if (status >= 0) fail_msg("accepted when cut to %zu of %zu bytes", len, bytes.len);
    assert_refused(status, err, file.path);
  }
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

/* Thousands of files with a few bytes changed: each is refused by name, or read whole with the hash it had
 * (the change fell on bytes that mean nothing, or on an attribute). The tables have checksums, so most are
 * refused. */
static inline void damaged_copies_are_refused_or_read(const char *path, int n)
{
  struct tpo_buf bytes = {0};
  struct memory_file file = memory_file_open();
  struct tpo_rng rng;
  int refused = 0;
  read_whole(path, &bytes);
  uint8_t *copy = malloc(bytes.len);
  assert_non_null(copy);
  for (int i = 0; i < n; i++) {
    struct tpo_error err = {0};
    tpo_rng_init(&rng, 3, TPO_STREAM_INIT, (uint64_t)i, 0);
    memcpy(copy, bytes.data, bytes.len);
    damage(&rng, copy, bytes.len);
    memory_file_set(&file, copy, bytes.len);
    int status = read_any(file.path, &err);
    if (status < 0) {
      refused++;
      assert_refused(status, err, file.path);
    }
  }
  assert_true(refused > n / 10);
  free(copy);
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

#endif
