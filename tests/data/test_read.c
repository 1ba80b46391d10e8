/* Reading instructions: formats, what becomes of each field, and messages for bad input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <zlib.h>
#include "base/file.h"
#include "tpo/data.h"

static char path[] = "/tmp/tpo-test-read-XXXXXX";

static void write_bytes(const char *bytes, size_t len)
{
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, len, f), len);
  assert_int_equal(fclose(f), 0);
}

static void read_text(struct tpo_instructions *set, const char *text)
{
  struct tpo_error err = {0};
  write_bytes(text, strlen(text));
  if (tpo_instructions_read(set, path, &err) < 0) fail_msg("%s", err.message);
}

/* The file is refused, and the message names the line and holds `expected`. */
static void refuse_bytes(const char *bytes, size_t len, int line, const char *expected)
{
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  char place[64];
  write_bytes(bytes, len);
  assert_int_equal(tpo_instructions_read(&set, path, &err), TPO_E_INPUT);
  if (line)
    snprintf(place, sizeof place, "%s:%d: ", path, line);
  else
    snprintf(place, sizeof place, "%s: ", path);
  if (strncmp(err.message, place, strlen(place)) != 0)
    fail_msg("'%s' does not begin with '%s'", err.message, place);
  if (!strstr(err.message, expected)) fail_msg("'%s' does not tell '%s'", err.message, expected);
  assert_int_equal(set.n, 0);
  tpo_instructions_free(&set);
}

static void refuse(const char *text, int line, const char *expected)
{
  refuse_bytes(text, strlen(text), line, expected);
}

static void json_lines_give_id_instruction_and_meta(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(
      &set,
      "{\"instruction\":\"Say hi\",\"id\":\"a\",\"dataset\":\"d\",\"category\":\"c\",\"reference\":4.5,\"x\":1}\n"
      "\n"
      "{\"prompt\":\"Say \\u00e9\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"One\"}],\"id\":7}");
  assert_int_equal(set.n, 3);
  assert_string_equal(set.items[0].id, "a");
  assert_string_equal(set.items[0].instruction, "Say hi");
  assert_string_equal(set.items[0].meta, "{\"dataset\":\"d\",\"category\":\"c\",\"reference\":4.5}");
  assert_null(set.items[0].messages);
  assert_string_equal(set.items[1].id, "3"); /* the line's number */
  assert_string_equal(set.items[1].instruction, "Say é");
  assert_string_equal(set.items[1].meta, "{}");
  assert_string_equal(set.items[2].id, "7");
  assert_string_equal(set.items[2].instruction, "One");
  assert_null(set.items[2].messages); /* a chat of one message is an instruction */
  tpo_instructions_free(&set);
}

static void chats_keep_their_messages(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(
      &set,
      "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q\"}]}\n");
  assert_string_equal(set.items[0].instruction, "Q");
  assert_string_equal(set.items[0].messages,
                      "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q\"}]");
  tpo_instructions_free(&set);
}

/* A judge is shown the chat, whether the instruction was just read or comes back from a file of samples. */
static void a_chats_meta_holds_its_messages_too_but_a_line_has_them_once(void **state)
{
  (void)state;
  const char *lines = "{\"id\":\"a\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":"
                      "\"user\",\"content\":\"Q\"}],"
                      "\"category\":\"c\"}\n"
                      "{\"id\":\"b\",\"instruction\":\"One\",\"category\":\"c\"}\n";
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  struct tpo_buf written = {0};
  read_text(&set, lines);
  assert_string_equal(set.items[0].meta,
                      "{\"category\":\"c\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
                      "{\"role\":\"user\",\"content\":\"Q\"}]}");
  assert_string_equal(set.items[1].meta, "{\"category\":\"c\"}");
  assert_int_equal(tpo_instructions_write(&set, path, &err), 0);
  assert_int_equal(tpo_read_file(path, 1 << 20, &written, &err), 0);
  assert_string_equal(written.data, lines);
  tpo_buf_free(&written);
  tpo_instructions_free(&set);
}

static void ifeval_rows_become_checks(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(&set,
            "{\"key\": 1000, \"prompt\": \"P\", "
            "\"instruction_id_list\": [\"punctuation:no_comma\", \"length_constraints:number_words\"], "
            "\"kwargs\": [{}, {\"relation\": \"at least\", \"num_words\": 300, \"num_sentences\": null}]}\n"
            "{\"prompt\": \"Q\", "
            "\"checks\": [\"startend:quotation\", {\"n\": 2, \"type\": \"t\", \"m\": null}]}\n");
  assert_string_equal(set.items[0].id, "1000");
  assert_string_equal(
      set.items[0].meta,
      "{\"checks\":[{\"type\":\"punctuation:no_comma\"},{\"type\":\"length_constraints:number_words\","
      "\"relation\":\"at least\",\"num_words\":300}]}");
  assert_string_equal(set.items[1].meta,
                      "{\"checks\":[{\"type\":\"startend:quotation\"},{\"type\":\"t\",\"n\":2}]}");
  tpo_instructions_free(&set);
}

static void byte_order_mark_and_carriage_returns_are_tolerated(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(&set, "\xef\xbb\xbf{\"instruction\":\"a\"}\r\n\r\n{\"instruction\":\"b\"}\r\n");
  assert_int_equal(set.n, 2);
  assert_string_equal(set.items[0].instruction, "a");
  assert_string_equal(set.items[1].id, "3");
  tpo_instructions_free(&set);
}

static void tab_separated_columns_go_by_the_header(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(&set, "id\tnote\tinstruction\tchecks\treference\n"
                  "x\tignored\tSay \\n hi\t[\"startend:quotation\"]\t\n"
                  "\t\tAdd 1 and 2\t\t3\r\n");
  assert_int_equal(set.n, 2);
  assert_string_equal(set.items[0].instruction, "Say \\n hi"); /* cells are taken as they stand */
  assert_string_equal(set.items[0].meta, "{\"checks\":[{\"type\":\"startend:quotation\"}]}");
  assert_string_equal(set.items[1].id, "3");
  assert_string_equal(set.items[1].meta, "{\"reference\":\"3\"}");
  tpo_instructions_free(&set);
}

static void gzip_is_read_like_plain_text(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  gzFile gz = gzopen(path, "wb");
  assert_non_null(gz);
  assert_true(gzputs(gz, "{\"instruction\":\"zipped\"}\n") > 0);
  assert_int_equal(gzclose(gz), Z_OK);
  struct tpo_error err = {0};
  assert_int_equal(tpo_instructions_read(&set, path, &err), 0);
  assert_string_equal(set.items[0].instruction, "zipped");
  tpo_instructions_free(&set);
}

static void what_was_written_reads_back_equal(void **state)
{
  (void)state;
  struct tpo_instructions set = {0}, again = {0};
  struct tpo_error err = {0};
  read_text(&set,
            "{\"instruction\":\"Say \\\"hi\\\"\\n\\ttwice\",\"id\":\"a\",\"reference\":\"r\","
            "\"checks\":[{\"type\":\"t\",\"x\":[1,2.5]}]}\n"
            "{\"messages\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"2\"},"
            "{\"role\":\"user\",\"content\":\"3\"}],\"category\":\"k\"}\n");
  assert_int_equal(tpo_instructions_write(&set, path, &err), 0);
  assert_int_equal(tpo_instructions_read(&again, path, &err), 0);
  assert_int_equal(again.n, set.n);
  for (size_t i = 0; i < set.n; i++) {
    assert_string_equal(set.items[i].id, again.items[i].id);
    assert_string_equal(set.items[i].instruction, again.items[i].instruction);
    assert_string_equal(set.items[i].meta, again.items[i].meta);
  }
  assert_string_equal(set.items[1].messages, again.items[1].messages);
  tpo_instructions_free(&set);
  tpo_instructions_free(&again);
}

static void many_ids_stay_apart(void **state)
{
  (void)state;
  FILE *f = fopen(path, "w");
  for (int i = 0; i < 5000; i++) fprintf(f, "{\"instruction\":\"i\",\"id\":\"n%d\"}\n", i);
  fprintf(f, "{\"instruction\":\"i\",\"id\":\"n4321\"}\n");
  fclose(f);
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  assert_int_equal(tpo_instructions_read(&set, path, &err), TPO_E_INPUT);
  assert_non_null(strstr(err.message, ":5001: the id \"n4321\" is that of line 4322"));
}

static void bad_lines_are_refused_with_their_place(void **state)
{
  (void)state;
  refuse("", 0, "no instruction");
  refuse("\n  \n", 0, "no instruction");
  refuse("{\"instruction\":\"a\"}\n{\"id\":\"b\"}\n", 2, "found none");
  refuse("{\"instruction\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"b\"}]}", 1, "more than one");
  refuse("{\"instruction\":\"a\",\"prompt\":\"a\"}", 1, "more than one");
  refuse("{\"instruction\":\" \\n\"}", 1, "empty");
  refuse("{\"instruction\":5}", 1, "instruction");
  refuse("{\"instruction\":\"a\\u0000b\"}", 1, "NUL");
  refuse("{\"instruction\":\"a\",\"id\":1.5}", 1, "id");
  refuse("{\"instruction\":\"a\",\"id\":\"\"}", 1, "1 to 255 bytes");
  refuse("{\"instruction\":\"a\",\"id\":\"x\"}\n{\"instruction\":\"b\",\"id\":\"x\"}", 2,
         "is that of line 1");
  refuse("{\"instruction\":\"a\"}\n{\"instruction\":\"b\",\"id\":1}", 2, "is that of line 1");
  refuse("{\"instruction\":\"a\",\"reference\":[1]}", 1, "reference");
  refuse("{\"instruction\":\"a\",\"dataset\":1}", 1, "dataset");
  refuse("{\"instruction\":\"a\",\"checks\":{}}", 1, "array");
  refuse("{\"instruction\":\"a\",\"checks\":[3]}", 1, "type");
  refuse("{\"instruction\":\"a\",\"checks\":[{\"n\":3}]}", 1, "type");
  refuse("{\"instruction\":\"a\",\"checks\":[\"\"]}", 1, "non-empty");
  refuse("{\"instruction\":\"a\",\"instruction_id_list\":[\"t\"],\"kwargs\":[]}", 1, "same length");
  refuse("{\"instruction\":\"a\",\"instruction_id_list\":[\"t\"],\"kwargs\":[3]}", 1, "type");
  refuse("{\"instruction\":\"a\"} x", 1, "JSON");
  refuse("{\"instruction\":\"a\",\"instruction\":\"b\"}", 1, "JSON");
  refuse("{\"instruction\":\"a\"}\n[1]\n", 2, "object");
  refuse("{\"messages\":[]}", 1, "one or more");
  refuse("{\"messages\":[1]}", 1, "messages[0] is not an object");
  refuse("{\"messages\":[{\"role\":\"user\"}]}", 1, "content");
  refuse("{\"messages\":[{\"role\":\"robot\",\"content\":\"a\"}]}", 1, "robot");
  refuse("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"a\"}]}", 1,
         "only the first");
  refuse("{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}", 1, "last message");
  refuse("text\nmore\n", 1, "tab-separated header");
  refuse("id\tinstruction\nx\n", 2, "cells");
  refuse("instruction\tinstruction\n", 1, "twice");
  refuse("instruction\tchecks\na\t[\n", 2, "JSON");
  refuse_bytes("{\"instruction\":\"a\"}\n{\"instruction\":\"\xff\"}\n", 39, 2, "UTF-8");
  refuse_bytes("{\"instruction\":\"a\"}\n\0\n", 22, 2, "NUL");
}

static void an_instruction_has_its_input_two_line_breaks_below(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(&set, "{\"instruction\":\"Put it into French.\",\"input\":\"Good day.\",\"output\":\"x\"}\n"
                  "{\"instruction\":\"Name a fruit.\",\"input\":\"\"}\n"
                  "{\"prompt\":\"Who is it?\",\"context\":\"A man called Ben.\",\"input\":\" \"}\n");
  assert_string_equal(set.items[0].instruction, "Put it into French.\n\nGood day.");
  assert_string_equal(set.items[1].instruction, "Name a fruit.");
  assert_string_equal(set.items[2].instruction, "Who is it?\n\nA man called Ben.");
  assert_null(set.items[0].messages);
  tpo_instructions_free(&set);
  read_text(&set, "instruction\tinput\nAdd them.\t1 and 2\n");
  assert_string_equal(set.items[0].instruction, "Add them.\n\n1 and 2");
  tpo_instructions_free(&set);
}

static void chats_are_read_under_any_published_name(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(&set,
            "{\"prompt\":[{\"role\":\"user\",\"content\":\"Name two birds.\"}]}\n"
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Name \"},"
            "{\"type\":\"text\",\"text\":\"two fish.\"}]}]}\n"
            "{\"conversations\":[{\"from\":\"system\",\"value\":\"S\"},{\"from\":\"human\",\"value\":\"Q\"},"
            "{\"from\":\"gpt\",\"value\":\"A\"}]}\n"
            "{\"instruction\":\"Q\",\"system\":\"S\"}\n"
            "{\"messages\":[{\"role\":\"user\",\"content\":\"1\",\"tool_calls\":null,\"stamp\":9},"
            "{\"role\":\"assistant\",\"content\":\"2\",\"tool_calls\":[],\"weight\":1},"
            "{\"role\":\"user\",\"content\":\"3\"},{\"role\":\"assistant\",\"content\":\"4\"}]}\n");
  assert_string_equal(set.items[0].instruction, "Name two birds.");
  assert_string_equal(set.items[1].instruction, "Name two fish.");
  for (int i = 2; i < 4; i++)
    assert_string_equal(set.items[i].messages,
                        "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q\"}]");
  assert_string_equal(set.items[4].messages,
                      "[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"2\"},"
                      "{\"role\":\"user\",\"content\":\"3\"}]");
  tpo_instructions_free(&set);
}

static void what_would_change_the_question_is_refused_by_name(void **state)
{
  (void)state;
  static const char *const rows[][2] = {
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[{}]}]}", "tool_calls"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"weight\":0}]}", "weight"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"train\":true}]}", "train"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]}",
       "image_url"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{}]}", "tools"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"input\":\"b\"}", "input"},
      {"{\"instruction\":\"a\",\"history\":[[\"b\",\"c\"]]}", "history"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct tpo_instructions set = {0};
    struct tpo_error err = {0};
    write_bytes(rows[i][0], strlen(rows[i][0]));
    assert_int_equal(tpo_instructions_read(&set, path, &err), TPO_E_UNSUPPORTED);
    if (!strstr(err.message, rows[i][1]) || !strstr(err.message, ":1: ")) fail_msg("%s", err.message);
  }
  refuse("{\"instruction\":\"a\",\"input\":\"b\",\"context\":\"c\"}", 1, "found both");
  refuse("{\"prompt\":\"a\",\"conversations\":[]}", 1, "more than one");
  refuse("{\"conversations\":[{\"from\":\"human\"}]}", 1, "conversations[0] lacks");
  refuse("{\"conversations\":[{\"from\":\"observation\",\"value\":\"a\"}]}", 1, "observation");
}

static void other_formats_are_named_with_what_converts_them(void **state)
{
  (void)state;
  refuse_bytes("PAR1\x15\0\n", 7, 0, "read_parquet");
  refuse_bytes("\x28\xb5\x2f\xfd\0", 5, 0, "zstd -d");
  refuse_bytes("PK\x03\x04..", 6, 0, "zip archive");
  refuse_bytes("\x89HDF\r\n\x1a\n...", 11, 0, "HDF5");
  refuse_bytes("\xff\xfe{\0", 4, 0, "UTF-16");
  refuse("\xef\xbb\xbf[\n  {\"instruction\":\"a\"}]", 0, "jq -c '.[]'");
  refuse("{\n  \"instruction\":\"a\"\n}\n", 0, "jq -c .");
  refuse("id,prompt\n1,a\n", 0, "read_csv");
  refuse("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", 0, "git lfs pull");
  refuse("<!DOCTYPE html>\n", 0, "web page");
}

static void so_many_bad_rows_are_left_out_and_one_more_refuses_the_file(void **state)
{
  (void)state;
  const char *text =
      "{\"instruction\":5}\n{\"instruction\":\"a\"}\n{\"messages\":[]}\nno JSON\n{\"instruction\":\"b\"}\n";
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  write_bytes(text, strlen(text));
  assert_int_equal(tpo_instructions_read_some(&set, path, 3, &err), 0);
  assert_int_equal(set.n, 2);
  assert_string_equal(set.items[0].id, "2"); /* lines count as they stand */
  assert_string_equal(set.items[1].id, "5");
  tpo_instructions_free(&set);
  assert_int_equal(tpo_instructions_read_some(&set, path, 2, &err), TPO_E_INPUT);
  assert_non_null(strstr(err.message, "more bad rows than the 2"));
  assert_non_null(strstr(err.message, ":4: "));
  assert_int_equal(set.n, 0);
  write_bytes("id\tx\n1\t2\n", 9);
  assert_int_equal(tpo_instructions_read_some(&set, path, 3, &err), TPO_E_INPUT);
  assert_non_null(strstr(err.message, "header"));
  write_bytes("instruction\tid\na\nb\tc\n", 21);
  assert_int_equal(tpo_instructions_read_some(&set, path, 1, &err), 0);
  assert_string_equal(set.items[0].id, "c");
  tpo_instructions_free(&set);
}

static void a_missing_file_is_named(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  assert_true(tpo_instructions_read(&set, "/nonexistent/prompts.jsonl", &err) < 0);
  assert_non_null(strstr(err.message, "/nonexistent/prompts.jsonl"));
}

static void public_ifeval_prompts_are_read(void **state)
{
  (void)state;
  const char *data = getenv("TPO_TEST_DATA");
  if (!data) skip();
  char file[4096];
  snprintf(file, sizeof file, "%s/ifeval/input_data.jsonl", data);
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  if (tpo_instructions_read(&set, file, &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(set.n, 541);
  assert_string_equal(set.items[0].id, "1000");
  tpo_instructions_free(&set);
}

static void arena_hard_rows_are_read_as_published(void **state)
{
  (void)state;
  struct tpo_instructions set = {0};
  read_text(&set,
            "{\"question_id\":\"q1\",\"cluster\":\"c\",\"turns\":[{\"content\":\"Say hi\"}]}\n"
            "{\"uid\":\"q2\",\"prompt\":\"Say ho\"}\n{\"id\":\"q3\",\"uid\":\"q2\",\"turns\":[\"One\"]}");
  assert_int_equal(set.n, 3);
  assert_string_equal(set.items[0].id, "q1");
  assert_string_equal(set.items[0].instruction, "Say hi");
  assert_null(set.items[0].messages);
  assert_string_equal(set.items[1].id, "q2");
  assert_string_equal(set.items[2].id, "q3");
  assert_string_equal(set.items[2].instruction, "One");
  tpo_instructions_free(&set);
  refuse("{\"turns\":[{\"content\":\"a\"},{\"content\":\"b\"}]}", 1, "an array of one");
  refuse("{\"turns\":[]}", 1, "an array of one");
  refuse("{\"turns\":\"a\"}", 1, "an array of one");
  refuse("{\"turns\":[{\"content\":[\"a\"]}]}", 1, "an array of one");
  refuse("{\"turns\":[{\"content\":\"a\\u0000b\"}]}", 1, "a text");
  refuse("{\"turns\":[{\"content\":\" \"}]}", 1, "empty");
  refuse("{\"turns\":[{\"content\":\"a\"}],\"prompt\":\"a\"}", 1, "more than one");
  refuse("{\"uid\":\"x\",\"prompt\":\"a\"}\n{\"uid\":\"x\",\"prompt\":\"b\"}", 2, "line 1");
  refuse("{\"uid\":1.5,\"prompt\":\"a\"}", 1, "uid");
}

int main(void)
{
  int fd = mkstemp(path);
  if (fd < 0) return 1;
  close(fd);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(json_lines_give_id_instruction_and_meta),
      cmocka_unit_test(chats_keep_their_messages),
      cmocka_unit_test(a_chats_meta_holds_its_messages_too_but_a_line_has_them_once),
      cmocka_unit_test(ifeval_rows_become_checks),
      cmocka_unit_test(byte_order_mark_and_carriage_returns_are_tolerated),
      cmocka_unit_test(tab_separated_columns_go_by_the_header),
      cmocka_unit_test(gzip_is_read_like_plain_text),
      cmocka_unit_test(what_was_written_reads_back_equal),
      cmocka_unit_test(many_ids_stay_apart),
      cmocka_unit_test(bad_lines_are_refused_with_their_place),
      cmocka_unit_test(an_instruction_has_its_input_two_line_breaks_below),
      cmocka_unit_test(chats_are_read_under_any_published_name),
      cmocka_unit_test(what_would_change_the_question_is_refused_by_name),
      cmocka_unit_test(other_formats_are_named_with_what_converts_them),
      cmocka_unit_test(so_many_bad_rows_are_left_out_and_one_more_refuses_the_file),
      cmocka_unit_test(a_missing_file_is_named),
      cmocka_unit_test(public_ifeval_prompts_are_read),
      cmocka_unit_test(arena_hard_rows_are_read_as_published),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
