/* Results of evaluations in one table: rows, columns, formats, and what is refused. */
#include <math.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "eval/table/table.h"
#include "unit.h"

static char root[2048];

static int begin(void **state)
{
  if (make_folder(state) < 0) return -1;
  snprintf(root, sizeof root, "%s", (char *)*state);
  return 0;
}

static const char *at(const char *name)
{
  static char paths[4][4096];
  static unsigned turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", root, name);
  return path;
}

static void put(const char *folder, const char *name, const char *text)
{
  char path[4200];
  mkdir(at(folder), 0700);
  snprintf(path, sizeof path, "%s/%s", at(folder), name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
  assert_int_equal(fclose(file), 0);
}

/* The table of these folders ends with NULL; free() it. */
static char *table_of(enum eval_table_format format, const char *const *folders)
{
  struct eval_table table = {0};
  struct tpo_buf out = {0};
  struct tpo_error err = {0};
  int status = 0;
  for (; *folders && status == 0; folders++) status = eval_table_add(&table, at(*folders), &err);
  if (status == 0) status = eval_table_finish(&table, &err);
  if (status == 0) status = eval_table_write(&table, format, &out, &err);
  if (status < 0) fail_msg("%s", err.message);
  eval_table_free(&table);
  return tpo_buf_take(&out);
}

static void gives(enum eval_table_format format, const char *const *folders, const char *expected)
{
  char *text = table_of(format, folders);
  assert_string_equal(text, expected);
  free(text);
}

static void refuses(const char *const *folders, int code, const char *says)
{
  struct eval_table table = {0};
  struct tpo_error err = {0};
  int status = 0;
  for (; *folders && status == 0; folders++) status = eval_table_add(&table, at(*folders), &err);
  assert_int_equal(status, code);
  if (!strstr(err.message, says)) fail_msg("'%s' does not tell '%s'", err.message, says);
  eval_table_free(&table);
}

#define ALPACA                                                                                               \
  "{\"evaluation\":\"alpaca\",\"win_rate\":12.345,\"standard_error\":1.5,"                                   \
  "\"length_controlled_winrate\":%s,\"lc_standard_error\":%s,\"avg_length\":1096}"

static void put_all(void)
{
  char text[1000];
  snprintf(text, sizeof text, ALPACA, "20.5", "0.75");
  put("a", "alpaca.json", text);
  put("a", "outputs.json", "[{\"instruction\":\"x\",\"output\":\"y\"}]");
  snprintf(text, sizeof text, ALPACA, "null", "null");
  put("b", "alpaca.json", text);
  put("b", "gsm8k-direct.json",
      "{\"evaluation\":\"gsm8k\",\"accuracy\":0.25,\"standard_error\":0.01,\"prompting\":\"direct\"}");
  put("b", "gsm8k-short.json",
      "{\"evaluation\":\"gsm8k\",\"accuracy\":0.125,\"standard_error\":null,\"prompting\":\"answer-only\"}");
  put("c", "arena.json", "{\"evaluation\":\"arena\",\"score\":23.34,\"lower\":21.05,\"upper\":25.75}");
  put("c", "ifeval.json",
      "{\"evaluation\":\"ifeval\",\"prompt_strict\":0.5,\"instruction_strict\":0.6,\"prompt_loose\":0.55,\"instruction_loose\":0.65}");
  put("c", "categories.json",
      "{\"evaluation\":\"categories\",\"overall\":{\"win_rate\":0.5,\"lower\":0.4,\"upper\":0.6}}");
}

static void columns_stand_in_one_order_whatever_the_rows(void **state)
{
  (void)state;
  put_all();
  gives(
      EVAL_TABLE_MARKDOWN, (const char *const[]){"c", "b", "a", NULL},
      "| | AlpacaEval 2 LC win rate (%) | AlpacaEval 2 win rate (%) | AlpacaEval 2 length | Arena-Hard (%) | "
      "IFEval prompt strict | IFEval instruction strict | IFEval prompt loose | IFEval instruction loose | "
      "GSM8K answer-only | GSM8K direct | win rate over categories |\n"
      "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
      "| c | – | – | – | 23.3 (21.1, 25.8) | 0.5000 | 0.6000 | 0.5500 | 0.6500 | – | – | 0.5000 (0.4000, 0.6000) |\n"
      "| b | – | 12.35 ± 1.50 | 1096 | – | – | – | – | – | 0.1250 | 0.2500 ± 0.0100 | – |\n"
      "| a | 20.50 ± 0.75 | 12.35 ± 1.50 | 1096 | – | – | – | – | – | – | – | – |\n");
}

static void csv_has_all_digits_and_empty_cells(void **state)
{
  (void)state;
  put_all();
  gives(
      EVAL_TABLE_CSV, (const char *const[]){"a", "c", NULL},
      "model,AlpacaEval 2 LC win rate (%),AlpacaEval 2 LC win rate (%) standard error,AlpacaEval 2 win rate (%),"
      "AlpacaEval 2 win rate (%) standard error,AlpacaEval 2 length,Arena-Hard (%),Arena-Hard (%) lower,"
      "Arena-Hard (%) upper,IFEval prompt strict,IFEval instruction strict,IFEval prompt loose,"
      "IFEval instruction loose,win rate over categories,win rate over categories lower,"
      "win rate over categories upper\r\n"
      "a,20.5,0.75,12.345,1.5,1096,,,,,,,,,,\r\n"
      "c,,,,,,23.34,21.05,25.75,0.5,0.6,0.55,0.65,0.5,0.4,0.6\r\n");
}

static void latex_is_a_tabular(void **state)
{
  (void)state;
  put_all();
  gives(
      EVAL_TABLE_LATEX, (const char *const[]){"a", NULL},
      "\\begin{tabular}{lrrr}\n\\hline\n"
      " & AlpacaEval 2 LC win rate (\\%) & AlpacaEval 2 win rate (\\%) & AlpacaEval 2 length \\\\\n\\hline\n"
      "a & 20.50 $\\pm$ 0.75 & 12.35 $\\pm$ 1.50 & 1096 \\\\\n\\hline\n\\end{tabular}\n");
}

#define IFEVAL(more)                                                                                         \
  "{\"evaluation\":\"ifeval\",\"prompt_strict\":0.5,\"instruction_strict\":0.6,\"prompt_loose\":0.55,"       \
  "\"instruction_loose\":0.65" more "}"

static void labels_mean_nothing_to_the_format(void **state)
{
  (void)state;
  static const char name[] = "a|b,_\"c\" \\{$%^~}--\n\x1b";
  put(name, "ifeval.json", IFEVAL());
  char *text = table_of(EVAL_TABLE_MARKDOWN, (const char *const[]){name, NULL});
  assert_contains(text, "\n| a\\|b,\\_\"c\" \\\\{$%^\\~}--\\\\n\\\\x1b | 0.5000 |");
  free(text);
  text = table_of(EVAL_TABLE_CSV, (const char *const[]){name, NULL});
  assert_contains(text, "\r\n\"a|b,_\"\"c\"\" \\{$%^~}--\\n\\x1b\",0.5,");
  free(text);
  text = table_of(EVAL_TABLE_LATEX, (const char *const[]){name, NULL});
  assert_contains(
      text, "\na\\textbar{}b,\\_''c'' \\textbackslash{}\\{\\$\\%\\textasciicircum{}\\textasciitilde{}\\}-{}-"
            "\\textbackslash{}n\\textbackslash{}x1b & 0.5000");
  free(text);
}

static void labels_are_unique(void **state)
{
  (void)state;
  mkdir(at("x"), 0700);
  mkdir(at("y"), 0700);
  put("x/eval", "ifeval.json", IFEVAL());
  put("y/eval", "ifeval.json", IFEVAL());
  put("z", "ifeval.json", IFEVAL());
  char *text = table_of(EVAL_TABLE_CSV, (const char *const[]){"x/eval", "y/eval/", "z/.", NULL});
  assert_contains(text, "/x/eval,0.5");
  assert_contains(text, "/y/eval/,0.5");
  assert_contains(text, "\nz,0.5");
  free(text);
}

static void a_result_about_several_models_has_a_row_for_each(void **state)
{
  (void)state;
  put("d", "arena.json",
      "{\"evaluation\":\"arena\",\"models\":[{\"model\":\"m1\",\"score\":50,\"lower\":40,\"upper\":60},"
      "{\"model\":\"m2\",\"score\":null,\"lower\":null,\"upper\":null}]}");
  gives(EVAL_TABLE_MARKDOWN, (const char *const[]){"d", NULL},
        "| | Arena-Hard (%) |\n| --- | ---: |\n| d: m1 | 50.0 (40.0, 60.0) |\n| d: m2 | – |\n");
}

static void what_models_come_to_together_is_not_shown(void **state)
{
  (void)state;
  put("d", "gsm8k.json",
      "{\"evaluation\":\"gsm8k\",\"accuracy\":0.4,\"standard_error\":null,\"prompting\":null,\"models\":["
      "{\"model\":\"m1\",\"accuracy\":0.5,\"standard_error\":0.01},"
      "{\"model\":\"m2\",\"accuracy\":0.3,\"standard_error\":0.02}]}");
  gives(EVAL_TABLE_MARKDOWN, (const char *const[]){"d", NULL},
        "| | GSM8K |\n| --- | ---: |\n| d: m1 | 0.5000 ± 0.0100 |\n| d: m2 | 0.3000 ± 0.0200 |\n");
}

static void a_run_shows_what_it_watched_last(void **state)
{
  (void)state;
  put("run", "metrics.jsonl",
      "{\"event\":\"step\",\"loss\":1}\n"
      "{\"event\":\"watch\",\"iteration\":0,\"name\":\"maths\",\"value\":0.5,\"value_se\":0.1}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"maths\",\"value\":0.3,\"value_se\":0.1}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"form\",\"value\":0.7,\"value_se\":null}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"maths\",\"value\":0.4,\"value_se\":0.1}\n"
      "{\"event\":\"watch\",\"iteration\":2,\"na");
  put("run", "manifest.json", "{\"watch\":{}}");
  gives(EVAL_TABLE_MARKDOWN, (const char *const[]){"run", NULL},
        "| | watch form | watch maths |\n| --- | ---: | ---: |\n| run | 0.7000 | 0.4000 ± 0.1000 |\n");
  put("run", "metrics.jsonl", "{\"event\":\"watch\",\"na\n{\"event\":\"step\"}\n");
  refuses((const char *const[]){"run", NULL}, TPO_E_INPUT, "metrics.jsonl:1: not valid JSON");
}

static struct eval_table added(const char *const *folders)
{
  struct eval_table table = {0};
  struct tpo_error err = {0};
  for (; *folders; folders++) assert_int_equal(eval_table_add(&table, at(*folders), &err), 0);
  assert_int_equal(eval_table_finish(&table, &err), 0);
  return table;
}

#define PROMPTS(hash) ",\"provenance\":{\"files\":[{\"name\":\"prompts\",\"hash\":\"" hash "\"}]}"

static void rows_of_other_instructions_are_noted(void **state)
{
  (void)state;
  put("e", "ifeval.json", IFEVAL(PROMPTS("1")));
  put("f", "ifeval.json", IFEVAL(PROMPTS("1")));
  put("g", "ifeval.json", IFEVAL(PROMPTS("2")));
  put("h", "ifeval.json", IFEVAL());
  struct eval_table table = added((const char *const[]){"e", "f", "h", NULL});
  assert_int_equal(table.n_notes, 0);
  assert_false(table.columns[0].differs);
  eval_table_free(&table);
  table = added((const char *const[]){"e", "g", "h", NULL});
  assert_int_equal(table.n_notes, 1);
  assert_string_equal(table.notes[0], "ifeval doesn't compare: \"g\" was made with other instructions "
                                      "(provenance: the hash of \"prompts\") than \"e\"");
  for (size_t c = 0; c < table.n_columns; c++) assert_true(table.columns[c].differs);
  eval_table_free(&table);
  char *text = table_of(EVAL_TABLE_MARKDOWN, (const char *const[]){"e", "g", NULL});
  assert_contains(text, "| IFEval prompt strict † |");
  assert_contains(text, "\n† ifeval doesn't compare: \"g\" was made with other instructions");
  free(text);
}

static void rows_of_other_judges_are_noted(void **state)
{
  (void)state;
  static const char one[] =
      "{\"evaluation\":\"categories\",\"overall\":{\"win_rate\":0.5,\"lower\":0.4,\"upper\":0.6},"
      "\"judge\":\"rule\"}";
  static const char other[] =
      "{\"evaluation\":\"categories\",\"overall\":{\"win_rate\":0.5,\"lower\":0.4,\"upper\":0.6},"
      "\"provenance\":{\"judge\":{\"kind\":\"http\",\"model\":\"m\"}}}";
  put("e", "categories.json", one);
  put("f", "categories.json", other);
  struct eval_table table = added((const char *const[]){"e", "f", NULL});
  assert_int_equal(table.n_notes, 1);
  assert_contains(table.notes[0], "another judge");
  eval_table_free(&table);
}

static void notes_of_two(const char *name, const char *one, const char *other, const char *note)
{
  put("e", name, one);
  put("f", name, other);
  struct eval_table table = added((const char *const[]){"e", "f", NULL});
  if (table.n_notes != (note != NULL))
    fail_msg("%zu notes of \"%s\"", table.n_notes, note ? note : "nothing");
  if (note) assert_contains(table.notes[0], note);
  assert_int_equal(table.columns[0].differs, note != NULL);
  eval_table_free(&table);
}

static void what_else_results_must_have_in_common_is_noted(void **state)
{
  (void)state;
#define RATE(b)                                                                                              \
  "{\"evaluation\":\"categories\",\"overall\":{\"win_rate\":0.5,\"lower\":0.4,\"upper\":0.6},"               \
  "\"provenance\":{\"files\":[{\"name\":\"b\",\"hash\":\"" b "\"},{\"name\":\"a\",\"hash\":\"1" b "\"}]}}"
#define MATHS(n, missing, is)                                                                                \
  "{\"evaluation\":\"gsm8k\",\"accuracy\":0.4,\"n\":" n ",\"missing\":" missing ",\"answer_is\":\"" is "\"}"
#define WATCHED(hash)                                                                                           \
  "{\"event\":\"watch\",\"iteration\":1,\"name\":\"w\",\"kind\":\"gsm8k\",\"value\":1,\"instructions\":\"" hash \
  "\"}"
  notes_of_two("x.json", RATE("x"), RATE("y"), "another model's samples");
  notes_of_two("x.json", MATHS("9", "0", "a"), MATHS("9", "0", "a"), NULL);
  notes_of_two("x.json", MATHS("9", "0", "a"), MATHS("5", "0", "a"), "another number of instructions");
  notes_of_two("x.json", MATHS("9", "0", "a"), MATHS("9", "1", "a"), "another number of instructions");
  notes_of_two("x.json", MATHS("9", "0", "a"), MATHS("9", "0", "b"), "another rule");
  notes_of_two("x.json", IFEVAL(",\"n_prompts\":3,\"missing\":0"), IFEVAL(",\"n_prompts\":2,\"missing\":1"),
               "another number of instructions");
}

static void watches_of_two_kinds_are_two_columns(void **state)
{
  (void)state;
  put("e", "metrics.jsonl", WATCHED("1"));
  put("f", "metrics.jsonl", WATCHED("2"));
  put("g", "metrics.jsonl",
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"w\",\"kind\":\"ifeval\",\"value\":0}");
  gives(
      EVAL_TABLE_CSV, (const char *const[]){"e", "g", NULL},
      "model,watch w (gsm8k),watch w (gsm8k) standard error,watch w (ifeval),watch w (ifeval) standard error\r\n"
      "e,1.0,,,\r\ng,,,0.0,\r\n");
  struct eval_table table = added((const char *const[]){"e", "f", "g", NULL});
  assert_int_equal(table.n_notes, 1);
  assert_contains(table.notes[0], "watch w (gsm8k) doesn't compare: \"f\" was made with other instructions");
  eval_table_free(&table);
}

/* A judge that was asked in both orders measures something else. */
static void another_variant_of_a_metric_has_columns_of_its_own(void **state)
{
  (void)state;
  static const char result[] = "{\"evaluation\":\"alpaca\",\"win_rate\":20,\"length_controlled_winrate\":30,"
                               "\"avg_length\":5%s}";
  char text[256];
  snprintf(text, sizeof text, result, "");
  put("one", "alpaca.json", text);
  snprintf(text, sizeof text, result, ",\"variant\":\"both positions\"");
  put("two", "alpaca.json", text);
  gives(
      EVAL_TABLE_CSV, (const char *const[]){"two", NULL},
      "model,AlpacaEval 2 LC win rate (%) both positions,AlpacaEval 2 LC win rate (%) both positions standard "
      "error,AlpacaEval 2 win rate (%) both positions,AlpacaEval 2 win rate (%) both positions standard "
      "error,AlpacaEval 2 length both positions\r\ntwo,30.0,,20.0,,5\r\n");
  char *table = table_of(EVAL_TABLE_MARKDOWN, (const char *const[]){"one", "two", NULL});
  assert_contains(table, "| one | 30.00 | – | 20.00 | – | 5 | – |");
  assert_contains(table, "| two | – | 30.00 | – | 20.00 | – | 5 |");
  free(table);
}

static void what_is_no_result_is_passed_over(void **state)
{
  (void)state;
  put("i", "ifeval.json", IFEVAL());
  put("i", "config.json", "{\"model_type\":\"llama\",\"evaluation\":7}");
  put("i", "broken.json", "{\"evaluation\":\"gsm8k\",");
  put("i", "other.json", "{\"evaluation\":\"elsewhere\",\"accuracy\":1}");
  put("i", "arena-answers.json", "{\"evaluation\":\"arena\",\"part\":\"answers\",\"n\":3}");
  put("i", "alpaca-outputs.json", "{\"evaluation\":\"alpaca\",\"part\":\"outputs\",\"avg_length\":3}");
  put("i", "empty.json", "");
  put("i", "note.txt", "{\"evaluation\":\"gsm8k\"}");
  mkdir(at("i/folder.json"), 0700);
  gives(
      EVAL_TABLE_CSV, (const char *const[]){"i", NULL},
      "model,IFEval prompt strict,IFEval instruction strict,IFEval prompt loose,IFEval instruction loose\r\n"
      "i,0.5,0.6,0.55,0.65\r\n");
}

static void a_file_may_be_named_itself(void **state)
{
  (void)state;
  put("j", "mine.json", IFEVAL());
  char *text = table_of(EVAL_TABLE_CSV, (const char *const[]){"j/mine.json", NULL});
  assert_contains(text, "\nmine,0.5");
  free(text);
  put("j", "rows.json", "[1]");
  put("j", "broken.json", "{");
  refuses((const char *const[]){"j/rows.json", NULL}, TPO_E_INPUT, "is no result");
  refuses((const char *const[]){"j/broken.json", NULL}, TPO_E_INPUT, "not valid JSON");
}

static void folders_without_results_are_refused(void **state)
{
  (void)state;
  put("k", "config.json", "{}");
  refuses((const char *const[]){"k", NULL}, TPO_E_INPUT, "holds no result");
  refuses((const char *const[]){"nowhere", NULL}, TPO_E_INPUT, "no such folder");
}

static void results_that_lack_their_figures_are_refused(void **state)
{
  (void)state;
  put("l", "gsm8k.json", "{\"evaluation\":\"gsm8k\",\"n\":3}");
  refuses((const char *const[]){"l", NULL}, TPO_E_INPUT, "gsm8k.json: \"accuracy\" is missing");
  put("l", "gsm8k.json", "{\"evaluation\":\"gsm8k\",\"accuracy\":\"high\"}");
  refuses((const char *const[]){"l", NULL}, TPO_E_INPUT, "\"accuracy\" is no number");
  put("m", "arena.json", "{\"evaluation\":\"arena\",\"models\":[{\"score\":50}]}");
  refuses((const char *const[]){"m", NULL}, TPO_E_INPUT, "an entry without \"model\"");
}

static void two_values_for_one_column_are_refused(void **state)
{
  (void)state;
  put("o", "ifeval.json", IFEVAL());
  put("o", "second.json", IFEVAL());
  refuses((const char *const[]){"o", NULL}, TPO_E_INPUT, "second.json: a second result of ifeval");
  put("p", "ifeval.json", IFEVAL());
  refuses((const char *const[]){"p", "p/", NULL}, TPO_E_USAGE, "is given twice");
}

static void texts_of_megabytes_do_no_harm(void **state)
{
  (void)state;
  struct tpo_buf text = {0};
  tpo_buf_puts(&text, "{\"evaluation\":\"gsm8k\",\"accuracy\":0.5,\"prompting\":\"");
  for (int i = 0; i < 12000000; i++) tpo_buf_putc(&text, 'x');
  tpo_buf_puts(&text, "\"}");
  put("q", "gsm8k.json", text.data);
  char *table = table_of(EVAL_TABLE_CSV, (const char *const[]){"q", NULL});
  assert_contains(table, "\r\nq,0.5,\r\n");
  free(table);
  for (int i = 0; i < 6000000; i++) tpo_buf_putc(&text, ' ');
  put("q", "gsm8k.json", text.data);
  put("q", "ifeval.json", IFEVAL());
  table = table_of(EVAL_TABLE_CSV, (const char *const[]){"q", NULL});
  assert_contains(table, "\r\nq,0.5,0.6,0.55,0.65\r\n");
  free(table);
  tpo_buf_free(&text);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, begin, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      in_folder(columns_stand_in_one_order_whatever_the_rows),
      in_folder(csv_has_all_digits_and_empty_cells),
      in_folder(latex_is_a_tabular),
      in_folder(labels_mean_nothing_to_the_format),
      in_folder(labels_are_unique),
      in_folder(a_result_about_several_models_has_a_row_for_each),
      in_folder(what_models_come_to_together_is_not_shown),
      in_folder(a_run_shows_what_it_watched_last),
      in_folder(rows_of_other_instructions_are_noted),
      in_folder(rows_of_other_judges_are_noted),
      in_folder(what_else_results_must_have_in_common_is_noted),
      in_folder(watches_of_two_kinds_are_two_columns),
      in_folder(another_variant_of_a_metric_has_columns_of_its_own),
      in_folder(what_is_no_result_is_passed_over),
      in_folder(a_file_may_be_named_itself),
      in_folder(folders_without_results_are_refused),
      in_folder(results_that_lack_their_figures_are_refused),
      in_folder(two_values_for_one_column_are_refused),
      in_folder(texts_of_megabytes_do_no_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
