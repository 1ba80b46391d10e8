/* Ids equal to those of Hugging Face's tokenizers,
 * on vocabularies of our own, on SmolLM2 and on llama.cpp's. */
#include "text_test.h"
#include "tpo/store.h"

static void check_fixture(const char *name)
{
  char path[512];
  struct tpo_tokenizer *tok = open_fixture(name);
  snprintf(path, sizeof path, FIXTURES "/%s/vectors.jsonl", name);
  assert_true(check_vectors(tok, path) >= 100);
  tpo_tokenizer_close(tok);
}

static void gpt2_with_added_tokens(void **state)
{
  (void)state, check_fixture("gpt2");
}
static void llama3_with_ignored_merges_and_bos(void **state)
{
  (void)state, check_fixture("llama3");
}
static void qwen2_with_nfc_and_string_merges(void **state)
{
  (void)state, check_fixture("qwen2");
}
static void smollm_with_single_digits(void **state)
{
  (void)state, check_fixture("smollm");
}
static void several_splits_in_sequence(void **state)
{
  (void)state, check_fixture("sequence");
}
static void tekken_splits_by_case(void **state)
{
  (void)state, check_fixture("tekken");
}
static void llama2_with_byte_fallback(void **state)
{
  (void)state, check_fixture("llama2");
}
static void metaspace_before_the_first_text(void **state)
{
  (void)state, check_fixture("metaspace_first");
}
static void metaspace_split_into_words(void **state)
{
  (void)state, check_fixture("metaspace_split");
}

/* Small vocabularies with the pipelines that each family publishes (pipelines.py). */
static void qwen35_with_marks_in_words(void **state)
{
  (void)state, check_fixture("qwen35");
}
static void o200k_by_case_with_contractions(void **state)
{
  (void)state, check_fixture("o200k");
}
static void deepseek_llm_by_lists_of_letters(void **state)
{
  (void)state, check_fixture("deepseek_llm");
}
static void deepseek_coder_by_classes(void **state)
{
  (void)state, check_fixture("deepseek_coder");
}
static void deepseek_v3_by_scripts(void **state)
{
  (void)state, check_fixture("deepseek_v3");
}
static void falcon_with_digits_among_glyphs(void **state)
{
  (void)state, check_fixture("falcon");
}
static void command_r_with_nfc_and_digits(void **state)
{
  (void)state, check_fixture("command_r");
}
static void tiny_aya_with_digits_from_the_right(void **state)
{
  (void)state, check_fixture("tiny_aya");
}
static void bloom_with_a_set_in_a_set(void **state)
{
  (void)state, check_fixture("bloom");
}
static void gemma_without_a_space_before_texts(void **state)
{
  (void)state, check_fixture("gemma");
}
static void phi3_with_spaces_after_its_tokens(void **state)
{
  (void)state, check_fixture("phi3");
}

static void smollm2_from_gguf(void **state)
{
  (void)state;
  const char *path = getenv("TPO_SMOLLM2");
  if (!path) {
    print_message("TPO_SMOLLM2 is not set: the GGUF of SmolLM2 is not tested\n");
    skip();
  }
  struct tpo_tokenizer *tok = open_tokenizer(path);
  assert_int_equal(tpo_tokenizer_size(tok), 49152);
  assert_int_equal(tpo_tokenizer_eos(tok), 2);
  assert_int_equal(tpo_tokenizer_find(tok, "<|im_start|>"), 1);
  assert_true(check_vectors(tok, FIXTURES "/smollm2_vectors.jsonl") >= 100);
  tpo_tokenizer_close(tok);
}

static int keep_file(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
  return tpo_write_file(path, bytes, len, err);
}

struct blob_writer {
  struct tpo_checkpoint_writer *writer;
};
static int put_blob(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  char blob[128];
  snprintf(blob, sizeof blob, "tokenizer/%s", name);
  return tpo_checkpoint_put_blob(((struct blob_writer *)arg)->writer, blob, bytes, len, err);
}

static void a_checkpoint_carries_its_tokenizer(void **state)
{
  (void)state;
  char path[512];
  const char *dir = make_dir();
  snprintf(path, sizeof path, "%s/checkpoint.h5", dir);
  struct tpo_tokenizer *tok = open_fixture("llama3");
  struct blob_writer blobs;
  if (tpo_checkpoint_create(&blobs.writer, path, "", &test_error) < 0) fail_msg("%s", test_error.message);
  assert_int_equal(tpo_tokenizer_each_file(tok, put_blob, &blobs, &test_error), 0);
  if (tpo_checkpoint_commit(blobs.writer, &test_error) < 0) fail_msg("%s", test_error.message);
  tpo_checkpoint_writer_close(blobs.writer);
  struct tpo_tokenizer *again = open_tokenizer(path);
  assert_true(check_vectors(again, FIXTURES "/llama3/vectors.jsonl") >= 100);
  assert_int_equal(tpo_tokenizer_eos(again), tpo_tokenizer_eos(tok));
  tpo_tokenizer_close(again);
  tpo_tokenizer_close(tok);
  unlink(path);
  remove_dir(dir);
}

static struct tpo_ids ids_of_line(const char *line)
{
  struct tpo_ids ids = {0};
  char *end;
  for (long v = strtol(line, &end, 10); end != line; v = strtol(line, &end, 10)) {
    int32_t id = (int32_t)v;
    assert_int_equal(tpo_ids_append(&ids, &id, 1, &test_error), 0);
    line = end;
  }
  return ids;
}

/* texts end with the separator; a line of ids each. */
static void check_llama_cpp(const struct tpo_tokenizer *tok, const char *stem)
{
  static const char separator[] = "\n__ggml_vocab_test__\n";
  char path[512];
  struct tpo_buf texts = {0};
  snprintf(path, sizeof path, "%s.inp", stem);
  assert_int_equal(tpo_read_file(path, 1 << 20, &texts, &test_error), 0);
  struct tpo_lines lines;
  snprintf(path, sizeof path, "%s.out", stem);
  assert_int_equal(tpo_lines_open(&lines, path, &test_error), 0);
  int n = 0, bad = 0;
  const char *at = texts.data, *end = texts.data + texts.len;
  while (tpo_lines_next(&lines, &test_error) == 1) {
    const char *stop = memmem(at, (size_t)(end - at), separator, strlen(separator));
    assert_non_null(stop);
    struct tpo_ids expected = ids_of_line(lines.line.data ? lines.line.data : "");
    bad += differs(tok, at, (size_t)(stop - at), 0, &expected);
    struct tpo_buf back = {0};
    assert_int_equal(tpo_tokenizer_decode(tok, expected.ids, expected.n, false, &back, &test_error), 0);
    assert_int_equal(back.len, stop - at);
    if (back.len) assert_memory_equal(back.data, at, back.len);
    tpo_buf_free(&back);
    tpo_ids_free(&expected);
    at = stop + strlen(separator);
    n++;
  }
  assert_int_equal(bad, 0);
  assert_int_equal(n, 46);
  tpo_lines_close(&lines);
  tpo_buf_free(&texts);
}

static void check_upstream(const char *name)
{
  const char *data = getenv("TPO_TEST_DATA");
  if (!data) {
    print_message("TPO_TEST_DATA is not set: %s is not tested\n", name);
    skip();
  }
  char stem[512], path[600];
  const char *dir = make_dir();
  struct tpo_buf gguf = {0};
  snprintf(stem, sizeof stem, "%s/tokenizer/ggml-vocab-%s.gguf", data, name);
  snprintf(path, sizeof path, "%s.gz", stem);
  assert_int_equal(tpo_read_file(path, 64 << 20, &gguf, &test_error), 0);
  put_file(dir, "vocab.gguf", gguf.data, gguf.len);
  tpo_buf_free(&gguf);
  snprintf(path, sizeof path, "%s/vocab.gguf", dir);
  struct tpo_tokenizer *tok = open_tokenizer(path);
  check_llama_cpp(tok, stem);
  /* The tokenizer.json that is made of it is the same tokenizer. */
  assert_int_equal(tpo_tokenizer_each_file(tok, keep_file, (void *)(uintptr_t)dir, &test_error), 0);
  struct tpo_tokenizer *again = open_tokenizer(dir);
  check_llama_cpp(again, stem);
  assert_int_equal(tpo_tokenizer_size(again), tpo_tokenizer_size(tok));
  assert_int_equal(tpo_tokenizer_bos(again), tpo_tokenizer_bos(tok));
  assert_int_equal(tpo_tokenizer_eos(again), tpo_tokenizer_eos(tok));
  struct tpo_ids a = encode(tok, "hi", 2, TPO_ENCODE_BOS_EOS), b = encode(again, "hi", 2, TPO_ENCODE_BOS_EOS);
  assert_true(same_ids(&a, &b));
  tpo_ids_free(&a);
  tpo_ids_free(&b);
  /* So is the GGUF that is made of that. */
  struct tpo_tokenizer *back = through_gguf(again, tpo_tokenizer_size(again));
  check_llama_cpp(back, stem);
  tpo_tokenizer_close(back);
  tpo_tokenizer_close(again);
  tpo_tokenizer_close(tok);
  remove_dir(dir);
}

static void upstream_gpt2(void **state)
{
  (void)state, check_upstream("gpt-2");
}
static void upstream_llama3(void **state)
{
  (void)state, check_upstream("llama-bpe");
}
static void upstream_starcoder(void **state)
{
  (void)state, check_upstream("starcoder");
}
static void upstream_llama2(void **state)
{
  (void)state, check_upstream("llama-spm");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gpt2_with_added_tokens),
      cmocka_unit_test(llama3_with_ignored_merges_and_bos),
      cmocka_unit_test(qwen2_with_nfc_and_string_merges),
      cmocka_unit_test(smollm_with_single_digits),
      cmocka_unit_test(several_splits_in_sequence),
      cmocka_unit_test(tekken_splits_by_case),
      cmocka_unit_test(llama2_with_byte_fallback),
      cmocka_unit_test(metaspace_before_the_first_text),
      cmocka_unit_test(metaspace_split_into_words),
      cmocka_unit_test(qwen35_with_marks_in_words),
      cmocka_unit_test(o200k_by_case_with_contractions),
      cmocka_unit_test(deepseek_llm_by_lists_of_letters),
      cmocka_unit_test(deepseek_coder_by_classes),
      cmocka_unit_test(deepseek_v3_by_scripts),
      cmocka_unit_test(falcon_with_digits_among_glyphs),
      cmocka_unit_test(command_r_with_nfc_and_digits),
      cmocka_unit_test(tiny_aya_with_digits_from_the_right),
      cmocka_unit_test(bloom_with_a_set_in_a_set),
      cmocka_unit_test(gemma_without_a_space_before_texts),
      cmocka_unit_test(phi3_with_spaces_after_its_tokens),
      cmocka_unit_test(a_checkpoint_carries_its_tokenizer),
      cmocka_unit_test(smollm2_from_gguf),
      cmocka_unit_test(upstream_gpt2),
      cmocka_unit_test(upstream_llama3),
      cmocka_unit_test(upstream_starcoder),
      cmocka_unit_test(upstream_llama2),
  };
  return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
