/* Shared by the tests of the text layer: files, fixtures, vectors. */
#ifndef TPO_TESTS_TEXT_TEST_H
#define TPO_TESTS_TEXT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "text/gguf/to_gguf.h"
#include "tpo/text.h"

#define FIXTURES TPO_SOURCE_DIR "/tests/text/fixtures"

static struct tpo_error test_error;

/* A folder of this process's own; removed by remove_dir. */
__attribute__((unused)) static const char *make_dir(void)
{
  static char dir[64];
  snprintf(dir, sizeof dir, "/tmp/tpo-text-%d", (int)getpid());
  assert_int_equal(tpo_make_dirs(dir, &test_error), 0);
  return dir;
}

__attribute__((unused)) static void put_file(const char *dir, const char *name, const void *bytes, size_t len)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "wb"); /* without tpo_write_file's fsync: tests write hundreds */
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, len, file), len);
  fclose(file);
}

__attribute__((unused)) static void remove_dir(const char *dir)
{
  static const char *const names[] = {"tokenizer.json",
                                      "tokenizer_config.json",
                                      "generation_config.json",
                                      "special_tokens_map.json",
                                      "chat_template.jinja",
                                      "vocab.gguf",
                                      "config.json"};
  char path[512];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, names[i]);
    unlink(path);
  }
  rmdir(dir);
}

__attribute__((unused)) static struct tpo_tokenizer *open_tokenizer(const char *path)
{
  struct tpo_tokenizer *tok;
  if (tpo_tokenizer_open(&tok, path, &test_error) < 0) fail_msg("%s", test_error.message);
  return tok;
}

__attribute__((unused)) static struct tpo_tokenizer *open_fixture(const char *name)
{
  char path[512];
  snprintf(path, sizeof path, FIXTURES "/%s", name);
  return open_tokenizer(path);
}

__attribute__((unused)) static struct tpo_ids encode(const struct tpo_tokenizer *tok, const char *text,
                                                     size_t len, unsigned flags)
{
  struct tpo_ids ids = {0};
  if (tpo_tokenizer_encode(tok, text, len, flags, &ids, &test_error) < 0) fail_msg("%s", test_error.message);
  return ids;
}

__attribute__((unused)) static bool same_ids(const struct tpo_ids *a, const struct tpo_ids *b)
{
  return a->n == b->n && (a->n == 0 || memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0);
}

__attribute__((unused)) static void print_ids(const char *what, const struct tpo_ids *ids)
{
  fprintf(stderr, "%s:", what);
  for (size_t i = 0; i < ids->n; i++) fprintf(stderr, " %d", ids->ids[i]);
  fprintf(stderr, "\n");
}

__attribute__((unused)) static struct tpo_ids ids_of_json(const json_t *array)
{
  struct tpo_ids ids = {0};
  for (size_t i = 0; i < json_array_size(array); i++) {
    int32_t id = (int32_t)json_integer_value(json_array_get(array, i));
    assert_int_equal(tpo_ids_append(&ids, &id, 1, &test_error), 0);
  }
  return ids;
}

/* Encodes text and compares; returns whether they differ. */
__attribute__((unused)) static int differs(const struct tpo_tokenizer *tok, const char *text, size_t len,
                                           unsigned flags, const struct tpo_ids *expected)
{
  struct tpo_ids got = encode(tok, text, len, flags);
  bool same = same_ids(&got, expected);
  if (!same) {
    fprintf(stderr, "\"%.*s\"\n", (int)len, text);
    print_ids("expected", expected);
    print_ids("got", &got);
  }
  tpo_ids_free(&got);
  return !same;
}

/* The tokenizer of a tokenizer.json. */
__attribute__((unused)) static struct tpo_tokenizer *from_json(const char *json)
{
  const char *dir = make_dir();
  put_file(dir, "tokenizer.json", json, strlen(json));
  struct tpo_tokenizer *tok = open_tokenizer(dir);
  remove_dir(dir);
  return tok;
}

/* The tokenizer as it comes back out of a GGUF file of so many tokens. */
__attribute__((unused)) static struct tpo_tokenizer *through_gguf(const struct tpo_tokenizer *tok,
                                                                  int vocab_size)
{
  char path[512];
  struct tpo_gguf_writer *w;
  snprintf(path, sizeof path, "%s/vocab.gguf", make_dir());
  assert_int_equal(tpo_gguf_writer_open(&w, path, &test_error), 0);
  if (tpo_tokenizer_put_gguf(tok, vocab_size, w, &test_error) < 0) fail_msg("%s", test_error.message);
  assert_int_equal(tpo_gguf_writer_commit(w, &test_error), 0);
  tpo_gguf_writer_close(w);
  return open_tokenizer(path);
}

struct expected_ids {
  const char *text;
  unsigned flags;
  int32_t ids[8], n;
};

__attribute__((unused)) static void check_ids(const struct tpo_tokenizer *tok,
                                              const struct expected_ids *cases, size_t n)
{
  int bad = 0;
  for (size_t i = 0; i < n; i++) {
    struct tpo_ids ids = {.ids = (int32_t *)cases[i].ids, .n = (size_t)cases[i].n};
    bad += differs(tok, cases[i].text, strlen(cases[i].text), cases[i].flags, &ids);
  }
  assert_int_equal(bad, 0);
}

/* Every line of a vectors.jsonl: text, ids, plain. Returns the number of texts. */
__attribute__((unused)) static int check_vectors(const struct tpo_tokenizer *tok, const char *path)
{
  struct tpo_lines lines;
  int n = 0, bad = 0;
  assert_int_equal(tpo_lines_open(&lines, path, &test_error), 0);
  while (tpo_lines_next(&lines, &test_error) == 1) {
    json_t *row = tpo_json_parse(lines.line.data, lines.line.len, path, &test_error);
    assert_non_null(row);
    const json_t *text = json_object_get(row, "text"), *plain = json_object_get(row, "plain");
    struct tpo_ids with = ids_of_json(json_object_get(row, "ids"));
    struct tpo_ids without = ids_of_json(plain ? plain : json_object_get(row, "ids"));
    bad += differs(tok, json_string_value(text), json_string_length(text),
                   TPO_ENCODE_SPECIAL | TPO_ENCODE_BOS_EOS, &with);
    bad += differs(tok, json_string_value(text), json_string_length(text), 0, &without);
    tpo_ids_free(&with);
    tpo_ids_free(&without);
    json_decref(row);
    n++;
  }
  tpo_lines_close(&lines);
  assert_int_equal(bad, 0);
  return n;
}

#endif
