/* Any bytes are accepted and come back; time grows with the length and not with its square. */
#include <time.h>
#include "text_test.h"
#include "base/philox.h"

static const char *const folders[] = {"gpt2", "llama3", "smollm", "sequence", "tekken", "llama2"};

static void check_round_trip(const struct tpo_tokenizer *tok, const char *bytes, size_t len)
{
  struct tpo_ids ids = encode(tok, bytes, len, 0);
  struct tpo_buf back = {0};
  assert_int_equal(tpo_tokenizer_decode(tok, ids.ids, ids.n, true, &back, &test_error), 0);
  if (back.len != len || (len && memcmp(back.data, bytes, len) != 0)) {
    for (size_t i = 0; i < len; i++) fprintf(stderr, "%02x ", (uint8_t)bytes[i]);
    fail_msg("%zu bytes came back as %zu others", len, back.len);
  }
  tpo_buf_free(&back);
  tpo_ids_free(&ids);
}

static void any_bytes_come_back(void **state)
{
  (void)state;
  static const char *const bits[] = {
      " ",    "  ",     "\xe2\x96\x81",     "\xff",         "\xc3",     "\xe2\x96", "a",
      "rain", "\n",     "\xf0\x9f\x99\x82", "\xed\xa0\x80", "\xc0\xaf", "1",        "'s",
      "<s>",  "<0x41>", "\xe4\xb8\xad"};
  for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
    struct tpo_tokenizer *tok = open_fixture(folders[f]);
    struct tpo_rng rng;
    tpo_rng_init(&rng, 7, 0, f, 0);
    for (int k = 0; k < 3000; k++) {
      struct tpo_buf text = {0};
      bool random = tpo_rng_below(&rng, 2);
      for (uint32_t n = tpo_rng_below(&rng, 12); n > 0; n--) {
        if (random)
          tpo_buf_putc(&text, (char)tpo_rng_below(&rng, 256));
        else
          tpo_buf_puts(&text, bits[tpo_rng_below(&rng, sizeof bits / sizeof *bits)]);
      }
      check_round_trip(tok, text.data ? text.data : "", text.len);
      tpo_buf_free(&text);
    }
    tpo_tokenizer_close(tok);
  }
}

static void every_byte_alone_comes_back(void **state)
{
  (void)state;
  for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
    struct tpo_tokenizer *tok = open_fixture(folders[f]);
    for (int b = 0; b < 256; b++) {
      char c = (char)b;
      check_round_trip(tok, &c, 1);
    }
    tpo_tokenizer_close(tok);
  }
}

/* Of the processor, whatever else runs on it. */
static double seconds_used(void)
{
  return (double)clock() / CLOCKS_PER_SEC;
}

static double encode_seconds(const struct tpo_tokenizer *tok, const char *unit, const char *end, size_t len)
{
  struct tpo_buf text = {0};
  while (text.len < len) tpo_buf_puts(&text, unit);
  tpo_buf_puts(&text, end);
  double start = seconds_used();
  struct tpo_ids ids = encode(tok, text.data, text.len, TPO_ENCODE_SPECIAL);
  double seconds = seconds_used() - start;
  assert_true(ids.n > 0);
  tpo_ids_free(&ids);
  tpo_buf_free(&text);
  return seconds;
}

static void a_megabyte_takes_no_quadratic_time(void **state)
{
  (void)state;
  static const char *const some[] = {"gpt2", "llama3", "sequence", "llama2"};
  static const char *const units[] = {"a",    "abcdefgh",     " ", "\n", " \n", "<", "<|im_start|",
                                      "\xff", "\xe4\xb8\xad", "1", "!"};
  for (size_t f = 0; f < sizeof some / sizeof *some; f++) {
    struct tpo_tokenizer *tok = open_fixture(some[f]);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
      /* Quadratic work on a megabyte is 10^12 steps, a quarter of an hour. */
      double seconds = encode_seconds(tok, units[u], "x", 1000000);
      if (seconds > 30)
        fail_msg("%s: a megabyte of \"%s\" took %.0f s of the processor", some[f], units[u], seconds);
    }
    tpo_tokenizer_close(tok);
  }
}

static void tokens_give_their_bytes(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("llama2");
  struct tpo_ids ids = encode(tok, "rain \xff", 6, 0);
  struct tpo_buf text = {0};
  for (size_t i = 0; i < ids.n; i++) {
    size_t len;
    bool special = true;
    const char *bytes = tpo_tokenizer_token(tok, ids.ids[i], &len, &special);
    assert_non_null(bytes);
    assert_false(special);
    tpo_buf_append(&text, bytes, len);
  }
  assert_string_equal(text.data, " rain \xff"); /* with the space that SentencePiece puts before a text */
  bool special = false;
  size_t len;
  assert_string_equal(tpo_tokenizer_token(tok, tpo_tokenizer_bos(tok), &len, &special), "<s>");
  assert_true(special);
  assert_null(tpo_tokenizer_token(tok, -1, &len, &special));
  assert_null(tpo_tokenizer_token(tok, tpo_tokenizer_size(tok), &len, &special));
  tpo_buf_free(&text);
  tpo_ids_free(&ids);
  tpo_tokenizer_close(tok);
}

static void a_continued_text_gets_no_space_before_it(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("llama2");
  struct tpo_ids whole = encode(tok, "rain\nrain", 9, 0), first = encode(tok, "rain", 4, 0);
  struct tpo_ids second = encode(tok, "\nrain", 5, TPO_ENCODE_CONTINUE);
  assert_int_equal(tpo_ids_append(&first, second.ids, second.n, &test_error), 0);
  assert_true(same_ids(&first, &whole));
  tpo_ids_free(&whole);
  tpo_ids_free(&first);
  tpo_ids_free(&second);
  tpo_tokenizer_close(tok);
}

static void special_tokens_are_shown_only_when_asked(void **state)
{
  (void)state;
  struct tpo_tokenizer *tok = open_fixture("smollm");
  struct tpo_ids ids = encode(tok, "a<|im_end|>b", 12, TPO_ENCODE_SPECIAL),
                 plain = encode(tok, "a<|im_end|>b", 12, 0);
  assert_int_equal(ids.n, 3);
  assert_true(plain.n > 3);
  struct tpo_buf shown = {0}, hidden = {0}, back = {0};
  tpo_tokenizer_decode(tok, ids.ids, ids.n, true, &shown, &test_error);
  tpo_tokenizer_decode(tok, ids.ids, ids.n, false, &hidden, &test_error);
  tpo_tokenizer_decode(tok, plain.ids, plain.n, false, &back, &test_error);
  assert_string_equal(shown.data, "a<|im_end|>b");
  assert_string_equal(hidden.data, "ab");
  assert_string_equal(back.data, "a<|im_end|>b");
  int32_t outside = tpo_tokenizer_size(tok);
  assert_int_equal(tpo_tokenizer_decode(tok, &outside, 1, true, &back, &test_error), TPO_E_INPUT);
  tpo_buf_free(&shown);
  tpo_buf_free(&hidden);
  tpo_buf_free(&back);
  tpo_ids_free(&ids);
  tpo_ids_free(&plain);
  tpo_tokenizer_close(tok);
}

static void a_large_vocabulary_loads_quickly(void **state)
{
  (void)state;
  const char *data = getenv("TPO_TEST_DATA");
  if (!data) {
    print_message("TPO_TEST_DATA is not set: loading Llama 3's vocabulary is not timed\n");
    skip();
  }
  char path[600];
  const char *dir = make_dir();
  struct tpo_buf gguf = {0};
  snprintf(path, sizeof path, "%s/tokenizer/ggml-vocab-llama-bpe.gguf.gz", data);
  assert_int_equal(tpo_read_file(path, 64 << 20, &gguf, &test_error), 0);
  put_file(dir, "vocab.gguf", gguf.data, gguf.len);
  snprintf(path, sizeof path, "%s/vocab.gguf", dir);
  double start = seconds_used();
  struct tpo_tokenizer *tok = open_tokenizer(path);
  double seconds = seconds_used() - start;
  print_message("128256 tokens and 280147 merges: %.3f s\n", seconds);
  assert_true(seconds < 5); /* 0.1 to 0.2 s on a free machine; a busy or sanitized one is slower */
  tpo_tokenizer_close(tok);
  tpo_buf_free(&gguf);
  remove_dir(dir);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_bytes_come_back),
      cmocka_unit_test(every_byte_alone_comes_back),
      cmocka_unit_test(a_megabyte_takes_no_quadratic_time),
      cmocka_unit_test(tokens_give_their_bytes),
      cmocka_unit_test(a_continued_text_gets_no_space_before_it),
      cmocka_unit_test(special_tokens_are_shown_only_when_asked),
      cmocka_unit_test(a_large_vocabulary_loads_quickly),
  };
  return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
