/* A model's row among others', and which model is the baseline itself. */
#include "eval/alpaca/leaderboard.h"

#include <math.h>

#include "unit.h"

#define HEADER                                                                                               \
  ",win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total,discrete_win_rate,mode,avg_length,"           \
  "length_controlled_winrate,lc_standard_error"

static char path[4096];

static int begin(void **state)
{
  if (make_folder(state) < 0) return -1;
  snprintf(path, sizeof path, "%s/board.csv", (char *)*state);
  return 0;
}

static void write_text(const char *text)
{
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
  assert_int_equal(fclose(file), 0);
}

static void holds(const char *expected)
{
  char text[8192];
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  assert_string_equal(text, expected);
}

static void put(const char *model, double win_rate, bool both)
{
  struct tpo_error err = {0};
  const struct alpaca_metrics metrics = {
      .model = model,
      .both_positions = both,
      .raw = {.n_total = 2, .win_rate = win_rate, .standard_error = NAN, .discrete_win_rate = 50},
      .controlled = {.win_rate = NAN, .standard_error = NAN},
      .mean_length = 7.9};
  if (alpaca_leaderboard_put(&metrics, path, &err) < 0) fail_msg("%s", err.message);
}

static void other_models_rows_stay(void **state)
{
  (void)state;
  put("a", 10, false);
  put("b \"2\",\n", 20, false);
  holds(HEADER
        "\n\"a\",10.0,,0,0,0,2,50.0,community,7,,\n\"b \"\"2\"\",\n\",20.0,,0,0,0,2,50.0,community,7,,\n");
  put("a", 11, false);
  holds(HEADER
        "\n\"a\",11.0,,0,0,0,2,50.0,community,7,,\n\"b \"\"2\"\",\n\",20.0,,0,0,0,2,50.0,community,7,,\n");
  put("b \"2\",\n", 21, false);
  holds(HEADER
        "\n\"a\",11.0,,0,0,0,2,50.0,community,7,,\n\"b \"\"2\"\",\n\",21.0,,0,0,0,2,50.0,community,7,,\n");
}

/* As others write it: names without quotes, CRLF, no line end at the end. */
static void names_are_found_however_they_are_written(void **state)
{
  (void)state;
  write_text(HEADER "\r\nab,1\r\na,2\r\n\"a\",3\r\n,4");
  put("a", 10, false);
  holds(HEADER "\nab,1\r\n\"a\",10.0,,0,0,0,2,50.0,community,7,,\n,4\n");
  write_text("");
  put("a", 10, false);
  holds(HEADER "\n\"a\",10.0,,0,0,0,2,50.0,community,7,,\n");
}

static void both_positions_have_a_row_of_their_own(void **state)
{
  (void)state;
  put("a", 10, false);
  put("a", 20, true);
  holds(
      HEADER
      "\n\"a\",10.0,,0,0,0,2,50.0,community,7,,\n\"a (both positions)\",20.0,,0,0,0,2,50.0,community,7,,\n");
}

static void files_of_other_columns_are_refused_and_stay(void **state)
{
  (void)state;
  static const char *const others[] = {"model,score\na,1\n", HEADER ",more\n", "{\"a\": 1}", "\n",
                                       "\"" HEADER "\n"};
  const struct alpaca_metrics metrics = {.model = "a"};
  struct tpo_error err = {0};
  assert_int_equal(alpaca_leaderboard_check(path, &err), 0); /* none is there */
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    write_text(others[i]);
    assert_int_equal(alpaca_leaderboard_check(path, &err), TPO_E_INPUT);
    assert_contains(err.message, "other columns");
    assert_int_equal(alpaca_leaderboard_put(&metrics, path, &err), TPO_E_INPUT);
    holds(others[i]);
  }
}

static void a_name_alone_makes_no_baseline(void **state)
{
  (void)state;
  struct alpaca_row rows[] = {{1.5, 3, 4, 0}, {1.5, 3, 5, 1}};
  struct alpaca_annotations a = {
      .rows = rows, .n = 2, .has_lengths = true, .baseline = (char *)"best", .model = (char *)"best"};
  assert_true(alpaca_is_baseline(&a));
  rows[1].preference = 1.75;
  assert_false(alpaca_is_baseline(&a));
  rows[1].preference = NAN;
  assert_false(alpaca_is_baseline(&a));
  rows[1].preference = 1.5;
  a.model = (char *)"other";
  assert_false(alpaca_is_baseline(&a));
  a.model = a.baseline = NULL; /* then by lengths */
  assert_false(alpaca_is_baseline(&a));
  rows[0].len_2 = rows[1].len_2 = 3;
  assert_true(alpaca_is_baseline(&a));
}

/* Before what is to be judged for them is paid for. */
static void instructions_without_a_difficulty_are_told_with_both_files(void **state)
{
  (void)state;
  double difficulty[] = {0.5, NAN, 0.25};
  struct alpaca_gamed gamed[] = {{.position = 2}, {.position = 0}};
  struct alpaca_given given = {.difficulty = difficulty,
                               .n_difficulty = 3,
                               .gamed = gamed,
                               .n_gamed = 2,
                               .gamed_of = "g.tsv",
                               .difficulties_of = "d.tsv"};
  struct tpo_error err = {0};
  assert_int_equal(alpaca_given_check(&given, &err), 0);
  gamed[1].position = 1;
  assert_int_equal(alpaca_given_check(&given, &err), TPO_E_INPUT);
  assert_string_equal(err.message,
                      "g.tsv: row 2 is of instruction 1 (from 0), of which d.tsv gives no difficulty");
  assert_int_equal(alpaca_require_difficulty(&given, 3, "a.json", 0, &err), TPO_E_INPUT);
  assert_contains(err.message, "a.json: row 1 is of instruction 3");
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, begin, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      in_folder(other_models_rows_stay),
      in_folder(names_are_found_however_they_are_written),
      in_folder(both_positions_have_a_row_of_their_own),
      in_folder(files_of_other_columns_are_refused_and_stay),
      cmocka_unit_test(a_name_alone_makes_no_baseline),
      cmocka_unit_test(instructions_without_a_difficulty_are_told_with_both_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
