/* Records of every format that evaluations are published in, and messages for what is none. */
#include <math.h>
#include <zlib.h>
#include "base/buf.h"
#include "base/json.h"
#include "eval/rows.h"
#include "unit.h"

static char path[4096];

static void put(void **state, const char *name, const void *bytes, size_t len)
{
  snprintf(path, sizeof path, "%s/%s", (char *)*state, name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

/* Rows as one compact JSON object a line. */
static int collect(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct tpo_buf *all = arg;
  char *text = tpo_json_dump(row->fields);
  (void)err;
  size_t lines = 0;
  for (size_t i = 0; i < all->len; i++) lines += all->data[i] == '\n';
  assert_int_equal(row->number, lines);
  tpo_buf_printf(all, "%s\n", text);
  free(text);
  return 0;
}

static void gives_bytes(void **state, const char *name, const char *bytes, size_t len, const char *expected)
{
  struct tpo_buf all = {0};
  struct tpo_error err = {0};
  put(state, name, bytes, len);
  if (eval_rows_read(path, collect, &all, &err) < 0) fail_msg("%s", err.message);
  assert_string_equal(all.data, expected);
  tpo_buf_free(&all);
}

static void gives(void **state, const char *name, const char *text, const char *expected)
{
  gives_bytes(state, name, text, strlen(text), expected);
}

static int pass(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  (void)arg, (void)row, (void)err;
  return 0;
}

/* `where` follows the file's name in the message, which holds `says` too. */
static void refuses_bytes(void **state, const char *name, const char *bytes, size_t len, const char *where,
                          const char *says)
{
  struct tpo_error err = {0};
  char place[4200];
  put(state, name, bytes, len);
  snprintf(place, sizeof place, "%s%s: ", path, where);
  assert_int_equal(eval_rows_read(path, pass, NULL, &err), TPO_E_INPUT);
  assert_int_equal(err.code, TPO_E_INPUT);
  if (strncmp(err.message, place, strlen(place)) != 0) fail_msg("'%s' is not of '%s'", err.message, place);
  if (!strstr(err.message, says)) fail_msg("'%s' does not tell '%s'", err.message, says);
}

static void refuses(void **state, const char *name, const char *text, const char *where, const char *says)
{
  refuses_bytes(state, name, text, strlen(text), where, says);
}

static void json_lines_give_their_objects(void **state)
{
  gives(state, "r", "{\"a\": 1, \"b\": [null]}\n\n  \t\n{\"a\": \"x\\ny\"}",
        "{\"a\":1,\"b\":[null]}\n{\"a\":\"x\\ny\"}\n");
  gives(state, "r", "\n\r\n {\"a\":1}\r\n{\"a\":2}\r\n", "{\"a\":1}\n{\"a\":2}\n");
}

static void a_json_array_gives_its_objects(void **state)
{
  gives(state, "r", "[\n {\"a\": 1},\n {\"a\": 2}\n]\n", "{\"a\":1}\n{\"a\":2}\n");
  gives(state, "r", " \n\t[{\"a\":{\"b\":\"[[A>B]]\"}}]", "{\"a\":{\"b\":\"[[A>B]]\"}}\n");
}

static void columns_between_tabs_are_taken_as_they_are(void **state)
{
  gives(state, "r", "a\tb\n1\t\"x, y\"\n\t2\n3\t\n",
        "{\"a\":\"1\",\"b\":\"\\\"x, y\\\"\"}\n{\"a\":null,\"b\":\"2\"}\n{\"a\":\"3\",\"b\":null}\n");
  gives(state, "r", "a\tb\r\n1\tx\ry\r\n\r\n2\tz",
        "{\"a\":\"1\",\"b\":\"x\\ry\"}\n{\"a\":\"2\",\"b\":\"z\"}\n");
  gives(state, "r", "a\n1\n2\n", "{\"a\":\"1\"}\n{\"a\":\"2\"}\n");
  gives(state, "r", "\tb\n0\tx\n", "{\"\":\"0\",\"b\":\"x\"}\n");
  gives(state, "r.tsv", "a, b\nx, y, z\n", "{\"a, b\":\"x, y, z\"}\n");
}

static void columns_between_commas_may_be_quoted(void **state)
{
  gives(state, "r", "a,b\n1,\"x, \"\"y\"\"\nz\"\n", "{\"a\":\"1\",\"b\":\"x, \\\"y\\\"\\nz\"}\n");
  gives(state, "r", "\"a\",\"b\"\r\n\"1\",\"\"\r\n2,\"r\r\n\"\r\n",
        "{\"a\":\"1\",\"b\":null}\n{\"a\":\"2\",\"b\":\"r\\r\\n\"}\n");
  gives(state, "r", "a,b\n,", "{\"a\":null,\"b\":null}\n");
  gives(state, "r", "a,b\n1,\"x\"\r", "{\"a\":\"1\",\"b\":\"x\"}\n");
  gives(state, "r", "a,b\nno \"quote\",5' 3\"\n", "{\"a\":\"no \\\"quote\\\"\",\"b\":\"5' 3\\\"\"}\n");
}

static void the_numbers_that_pandas_gives_to_rows_are_a_column_without_a_name(void **state)
{
  gives(state, "r.csv", ",win_rate,mode\nmodel-x,12.5,\n",
        "{\"\":\"model-x\",\"win_rate\":\"12.5\",\"mode\":null}\n");
}

static void one_column_is_of_commas_where_the_file_is_named_so(void **state)
{
  gives(state, "r.csv", "text\n\"x\ny\"\n", "{\"text\":\"x\\ny\"}\n");
  gives(state, "r.CSV.gz", "text\n\"x\"\n", "{\"text\":\"x\"}\n");
  gives(state, "r", "text\n\"x\"\n", "{\"text\":\"\\\"x\\\"\"}\n");
}

static void a_byte_order_mark_is_passed_over(void **state)
{
  gives(state, "r", "\xef\xbb\xbf{\"a\":1}\n", "{\"a\":1}\n");
  gives(state, "r", "\xef\xbb\xbf[{\"a\":1}]\n", "{\"a\":1}\n");
  gives(state, "r",
        "\xef\xbb\xbf"
        "a\tb\n1\t2\n",
        "{\"a\":\"1\",\"b\":\"2\"}\n");
  refuses(state, "r", "\xef\xbb\xbf", "", "holds no row");
}

static void gzip_reads_as_plain(void **state)
{
  struct tpo_buf all = {0};
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/rows.tsv.gz", (char *)*state);
  gzFile file = gzopen(path, "wb");
  assert_non_null(file);
  assert_true(gzputs(file, "a\tb\n1\t2\n") > 0);
  assert_int_equal(gzclose(file), Z_OK);
  assert_int_equal(eval_rows_read(path, collect, &all, &err), 0);
  assert_string_equal(all.data, "{\"a\":\"1\",\"b\":\"2\"}\n");
  tpo_buf_free(&all);
  assert_int_equal(truncate(path, 20), 0);
  assert_true(eval_rows_read(path, pass, NULL, &err) < 0);
  assert_contains(err.message, "rows.tsv.gz");
}

static void what_is_no_json_is_refused_by_its_line(void **state)
{
  refuses(state, "r", "{\"a\":1}\n\n{\"a\":\n", ":3", "not valid JSON");
  refuses(state, "r", "{\"a\":1}\n[1]\n", ":2", "expected a JSON object");
  refuses(state, "r", "{\"a\":1} {\"a\":2}\n", ":1", "not valid JSON");
  refuses(state, "r", "{\"a\":1,\"a\":2}\n", ":1", "duplicate");
  refuses(state, "r", "{\"a\":NaN}\n", ":1", "not valid JSON");
  refuses(state, "r", "{\"a\":1e999}\n", ":1", "not valid JSON");
  refuses(state, "r", "[{\"a\":1}, 7]", ", record 2", "expected a JSON object");
  refuses(state, "r", "[{\"a\":1}", "", "not valid JSON");
}

static void rows_of_another_width_are_refused_by_their_line(void **state)
{
  refuses(state, "r", "a\tb\n1\t2\n\n3\n", ":4", "1 cells, and the header has 2");
  refuses(state, "r", "a,b\n\"1\n2\",x\n1,2,3\n", ":4", "3 cells, and the header has 2");
  refuses(state, "r", "a,b,a\n1,2,3\n", ":1", "two columns are named \"a\"");
  refuses(state, "r", "a,,\n1,2,3\n", ":1", "two columns are named \"\"");
}

static void quotes_that_are_none_are_refused(void **state)
{
  refuses(state, "r", "a,b\n1,2\n1,\"x\n\n", ":3", "a quote is not closed");
  refuses(state, "r", "a,b\n1,\"x\"y\n", ":2", "text behind a closing quote");
  refuses(state, "r", "a,b\n1,\"x\"\ry\n", ":2", "text behind a closing quote");
}

static void a_line_of_too_many_cells_is_refused(void **state)
{
  struct tpo_buf text = {0};
  for (int i = 0; i < EVAL_ROWS_COLUMNS; i++) tpo_buf_printf(&text, "%d\t", i);
  text.len--;
  char *line = strndup(text.data, text.len);
  tpo_buf_printf(&text, "\n%s", line);
  free(line);
  put(state, "r", text.data, text.len);
  assert_int_equal(eval_rows_read(path, pass, NULL, NULL), 0);
  tpo_buf_puts(&text, "\t1");
  refuses_bytes(state, "r", text.data, text.len, ":2", "more than 4096 cells");
  tpo_buf_free(&text);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
  refuses(state, "r", "{\"a\":\"\xff\"}\n", "", "not valid UTF-8 (byte 7)");
  refuses(state, "r", "a\n\xed\xa0\x80\n", "", "not valid UTF-8");
  refuses_bytes(state, "r", "a\n1\0\n", 5, "", "holds a NUL byte");
  refuses_bytes(state, "r", "{\"a\":1}\0", 8, "", "holds a NUL byte");
}

static void a_file_without_a_row_is_refused(void **state)
{
  static const char *const texts[] = {"", "\n \n", "[]", "a\tb\n", "a,b", "\n\n"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) refuses(state, "r", texts[i], "", "holds no row");
  struct tpo_error err = {0};
  assert_true(eval_rows_read("/nonexistent/rows.tsv", pass, NULL, &err) < 0);
  assert_contains(err.message, "/nonexistent/rows.tsv");
}

static int stop_at_the_second(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  ++*(int *)arg;
  return row->number == 1 ? tpo_fail(err, TPO_E_STATE, "%s: enough", row->place) : 0;
}

static void who_takes_rows_may_end_the_reading(void **state)
{
  static const char *const texts[] = {"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", "[{\"a\":1},{\"a\":2},{\"a\":3}]",
                                      "a,b\n1,2\n3,4\n5,6\n"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    int taken = 0;
    struct tpo_error err = {0};
    put(state, "r", texts[i], strlen(texts[i]));
    assert_int_equal(eval_rows_read(path, stop_at_the_second, &taken, &err), TPO_E_STATE);
    assert_int_equal(taken, 2);
    assert_contains(err.message, "enough");
  }
}

static double number(const char *json, struct tpo_error *err)
{
  json_t *fields = tpo_json_parse(json, strlen(json), "test", NULL);
  struct eval_row row = {.fields = fields, .place = "f.tsv:3", .number = 1};
  double out = 7;
  *err = (struct tpo_error){0};
  int status = eval_row_number(&row, "x", &out, err);
  assert_int_equal(status, err->code);
  json_decref(fields);
  return out;
}

static void numbers_may_stand_as_text(void **state)
{
  (void)state;
  static const struct {
    const char *json;
    double value;
  } cases[] = {{"{\"x\":2}", 2},         {"{\"x\":-0.5}", -0.5},   {"{\"x\":\"1.25\"}", 1.25},
               {"{\"x\":\"-3\"}", -3},   {"{\"x\":\"+.5\"}", 0.5}, {"{\"x\":\"1e-3\"}", 1e-3},
               {"{\"x\":\"1E2\"}", 100}, {"{\"x\":\"1e-400\"}", 0}};
  struct tpo_error err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double got = number(cases[i].json, &err);
    if (err.code || fabs(got - cases[i].value) > 1e-15)
      fail_msg("%s: %g, %s", cases[i].json, got, err.message);
  }
  static const char *const nans[] = {"{\"x\":null}", "{\"x\":\"nan\"}", "{\"x\":\"NaN\"}"};
  for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
    assert_true(isnan(number(nans[i], &err)));
    assert_int_equal(err.code, 0);
  }
}

static void what_is_no_number_is_refused(void **state)
{
  (void)state;
  static const char *const none[] = {"{\"x\":\"\"}",          "{\"x\":\"0x10\"}",  "{\"x\":\" 1\"}",
                                     "{\"x\":\"1 \"}",        "{\"x\":\"1,5\"}",   "{\"x\":\"1.5e\"}",
                                     "{\"x\":\"inf\"}",       "{\"x\":\"1e999\"}", "{\"x\":\"nan(1)\"}",
                                     "{\"x\":\"1\\u00002\"}", "{\"x\":true}",      "{\"x\":[1]}",
                                     "{\"x\":\"-\"}",         "{\"x\":\"m\"}",     "{\"x\":\"\xd9\xa3\"}"};
  struct tpo_error err;
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    number(none[i], &err);
    if (err.code != TPO_E_INPUT) fail_msg("%s is taken for a number", none[i]);
    assert_contains(err.message, "f.tsv:3: \"x\"");
    assert_contains(err.message, "expected a number");
  }
  number("{\"y\":1,\"z\":2}", &err);
  assert_string_equal(err.message, "f.tsv:3: \"x\" is missing; there are \"y\", \"z\"");
}

static void texts_are_told_from_null_and_from_what_is_no_text(void **state)
{
  (void)state;
  static const char json[] = "{\"empty\":\"\",\"null\":null,\"one\":1,\"nul\":\"a\\u0000b\"}";
  json_t *fields = tpo_json_parse(json, sizeof json - 1, "test", NULL);
  struct eval_row row = {.fields = fields, .place = "f:1"};
  struct tpo_error err = {0};
  const char *text = "unset";
  assert_int_equal(eval_row_text(&row, "empty", &text, &err), 0);
  assert_string_equal(text, "");
  assert_int_equal(eval_row_text(&row, "null", &text, &err), 0);
  assert_null(text);
  assert_int_equal(eval_row_text(&row, "one", &text, &err), TPO_E_INPUT);
  assert_string_equal(err.message, "f:1: \"one\": expected a text");
  assert_int_equal(eval_row_text(&row, "nul", &text, &err), TPO_E_INPUT);
  assert_contains(err.message, "NUL character");
  assert_int_equal(eval_row_text(&row, "absent", &text, &err), TPO_E_INPUT);
  assert_contains(err.message, "\"absent\" is missing");
  assert_int_equal(eval_row_text_there(&row, "empty", &text, &err), 0);
  assert_string_equal(text, "");
  assert_int_equal(eval_row_text_there(&row, "null", &text, &err), TPO_E_INPUT);
  assert_string_equal(err.message, "f:1: \"null\": expected a text, not null");
  row.cells = true;
  assert_int_equal(eval_row_text_there(&row, "null", &text, &err), 0);
  assert_string_equal(text, "");
  assert_true(eval_row_has(&row, "null"));
  assert_false(eval_row_has(&row, "absent"));
  assert_string_equal(eval_row_which(&row, (const char *const[]){"absent", "one", "null"}, 3), "one");
  assert_null(eval_row_which(&row, (const char *const[]){"absent"}, 1));
  json_decref(fields);
}

static void a_number_is_shown_with_the_digits_that_tell_it(void **state)
{
  (void)state;
  char shown[EVAL_SHOWN];
  assert_string_equal(eval_shown(2.5, shown), "2.5");
  assert_string_equal(eval_shown(2.0000001, shown), "2.0000001");
  assert_string_equal(eval_shown(2.0000000000000004, shown), "2.0000000000000004");
  assert_string_equal(eval_shown(NAN, shown), "nan");
  assert_string_equal(eval_shown(INFINITY, shown), "inf");
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      in_folder(json_lines_give_their_objects),
      in_folder(a_json_array_gives_its_objects),
      in_folder(columns_between_tabs_are_taken_as_they_are),
      in_folder(columns_between_commas_may_be_quoted),
      in_folder(the_numbers_that_pandas_gives_to_rows_are_a_column_without_a_name),
      in_folder(one_column_is_of_commas_where_the_file_is_named_so),
      in_folder(a_byte_order_mark_is_passed_over),
      in_folder(gzip_reads_as_plain),
      in_folder(what_is_no_json_is_refused_by_its_line),
      in_folder(rows_of_another_width_are_refused_by_their_line),
      in_folder(quotes_that_are_none_are_refused),
      in_folder(a_line_of_too_many_cells_is_refused),
      in_folder(bytes_that_are_no_text_are_refused),
      in_folder(a_file_without_a_row_is_refused),
      in_folder(who_takes_rows_may_end_the_reading),
      cmocka_unit_test(numbers_may_stand_as_text),
      cmocka_unit_test(what_is_no_number_is_refused),
      cmocka_unit_test(a_number_is_shown_with_the_digits_that_tell_it),
      cmocka_unit_test(texts_are_told_from_null_and_from_what_is_no_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
