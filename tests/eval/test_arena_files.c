/* Battles and games from files, and verdicts from judgments. */
#include <math.h>
#include <unistd.h>
#include "base/file.h"
#include "eval/arena/read.h"
#include "eval/arena/score.h"
#include "eval/arena/verdict.h"
#include "eval/rows.h"
#include "unit.h"

static const char *put(const char *folder, const char *name, const char *text)
{
  static char path[4200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  return path;
}

static struct arena_battles read_as(enum arena_file kind, const char *path, const char *baseline)
{
  struct arena_battles battles = {0};
  struct tpo_error err = {0};
  if (arena_read(&battles, kind, path, baseline, &err) < 0) fail_msg("%s", err.message);
  return battles;
}

static void refused(void **state, enum arena_file kind, const char *name, const char *text, const char *why)
{
  struct arena_battles battles = {0};
  struct tpo_error err = {0};
  assert_true(arena_read(&battles, kind, put(*state, name, text), NULL, &err) < 0);
  if (!strstr(err.message, why)) fail_msg("\"%s\" lacks \"%s\"", err.message, why);
  arena_battles_free(&battles);
}

static void check_model(const struct arena_model *model, const char *name, size_t wins, size_t losses,
                        size_t ties)
{
  assert_string_equal(model->name, name);
  assert_int_equal(model->wins, wins);
  assert_int_equal(model->losses, losses);
  assert_int_equal(model->ties, ties);
}

/* The second game has the sides swapped; a strong verdict counts three times. */
static void games_become_battles(void **state)
{
  const char *text = "question_id\tgame1\tgame2\n"
                     "a\tA>>B\tA>B\n"
                     "b\tB>A\tB>>A\n"
                     "c\t\tA=B\n"
                     "d\tA<B\tnonsense\n";
  struct arena_battles battles = read_as(ARENA_GAMES_FILE, put(*state, "my-model.v1.tsv", text), NULL);
  assert_int_equal(battles.n_models, 2);
  check_model(&battles.models[0], "baseline", 6, 2, 1);
  check_model(&battles.models[1], "my-model.v1", 2, 6, 1);
  assert_int_equal(battles.models[1].games, 8);
  assert_int_equal(battles.models[1].null_games, 1);
  assert_int_equal(battles.models[1].unknown_labels, 2);
  assert_int_equal(battles.n, 9);
  arena_battles_free(&battles);
}

static void judgments_as_published_are_games(void **state)
{
  const char *text =
      "{\"question_id\":\"a\",\"model\":\"m\",\"judge\":\"j\",\"games\":[{\"user_prompt\":\"u\","
      "\"judgment\":\"[[A>>B]]\",\"score\":\"A>>B\"},{\"judgment\":\"\",\"score\":null}]}\n"
      "{\"question_id\":\"b\",\"model\":\"n\",\"games\":[{\"score\":\"A=B\"},null]}\n"
      "{\"uid\":\"b\",\"model\":\"m\",\"games\":[{\"score\":\"B>A\"}]}\n";
  struct arena_battles battles = read_as(ARENA_GAMES_FILE, put(*state, "j.jsonl", text), "gpt");
  assert_int_equal(battles.n_models, 3);
  check_model(&battles.models[0], "gpt", 3, 1, 1);
  check_model(&battles.models[1], "m", 1, 3, 0);
  check_model(&battles.models[2], "n", 0, 0, 1);
  assert_int_equal(battles.models[1].null_games, 2);
  arena_battles_free(&battles);
}

static void battles_are_read_in_both_forms(void **state)
{
  size_t baseline = 9;
  struct tpo_error err = {0};
  const char *ours = "question_id\twinner\tmodel\nq\tmodel\tm\nq\tbaseline\tn\nq\ttie\tn\n";
  struct arena_battles battles = read_as(ARENA_BATTLES_FILE, put(*state, "b.tsv", ours), NULL);
  check_model(&battles.models[0], "baseline", 1, 1, 1);
  check_model(&battles.models[1], "m", 1, 0, 0);
  check_model(&battles.models[2], "n", 0, 1, 1);
  assert_int_equal(arena_find_baseline(&battles, NULL, &baseline, NULL), 0);
  assert_int_equal(baseline, 0);
  arena_battles_free(&battles);
  const char *theirs = "{\"model_a\":\"x\",\"model_b\":\"y\",\"winner\":\"model_b\"}\n"
                       "{\"model_a\":\"x\",\"model_b\":\"z\",\"winner\":\"tie (bothbad)\"}\n"
                       "{\"model_a\":\"y\",\"model_b\":\"x\",\"winner\":\"model_a\"}\n";
  battles = read_as(ARENA_BATTLES_FILE, put(*state, "b.jsonl", theirs), NULL);
  check_model(&battles.models[0], "x", 0, 2, 1);
  check_model(&battles.models[1], "y", 2, 0, 0);
  assert_int_equal(arena_find_baseline(&battles, NULL, &baseline, NULL), 0);
  assert_int_equal(baseline, 0);
  assert_int_equal(arena_find_baseline(&battles, "z", &baseline, NULL), 0);
  assert_int_equal(baseline, 2);
  assert_int_equal(arena_find_baseline(&battles, "w", &baseline, &err), TPO_E_USAGE);
  assert_contains(err.message, "x, y, z");
  int32_t y = 1, z = 2;
  assert_int_equal(arena_add_battle(&battles, (struct arena_battle){y, z, 1}, 1, NULL), 0);
  assert_int_equal(arena_find_baseline(&battles, NULL, &baseline, &err), TPO_E_USAGE);
  assert_contains(err.message, "--anchor");
  arena_battles_free(&battles);
}

static void a_folder_is_all_its_files(void **state)
{
  const char *text = "question_id\tgame1\tgame2\nq\tA=B\tA>B\n";
  put(*state, "b-8B.tsv", text);
  put(*state, "a.jsonl", "{\"question_id\":\"q\",\"model\":\"theirs\",\"games\":[{\"score\":\"B>A\"}]}");
  put(*state, "notes.md", "no games");
  struct arena_battles battles = read_as(ARENA_GAMES_FILE, *state, NULL);
  assert_int_equal(battles.n_models, 3);
  check_model(&battles.models[1], "theirs", 1, 0, 0);
  check_model(&battles.models[2], "b-8B", 1, 0, 1);
  arena_battles_free(&battles);
}

static void two_files_of_one_name_are_refused(void **state)
{
  static const char *const seconds[] = {"a.tsv.gz", "a.jsonl"};
  const char *text = "winner\nmodel\n";
  put(*state, "a.tsv", text);
  put(*state, "a.b.tsv", text);
  struct arena_battles battles = read_as(ARENA_BATTLES_FILE, *state, NULL);
  assert_int_equal(battles.n_models, 3);
  arena_battles_free(&battles);
  for (int i = 0; i < 2; i++) {
    struct arena_battles none = {0};
    struct tpo_error err = {0};
    const char *path = put(*state, seconds[i], text);
    assert_int_equal(arena_read(&none, ARENA_BATTLES_FILE, *state, NULL, &err), TPO_E_INPUT);
    assert_contains(err.message, seconds[i]);
    assert_contains(err.message, "both of a;");
    arena_battles_free(&none);
    unlink(path);
  }
}

static void bad_files_are_refused_by_place(void **state)
{
  refused(state, ARENA_GAMES_FILE, "a.tsv", "question_id\tgame1\nq\tA>B\n", "a.tsv:2: \"game2\" is missing");
  refused(state, ARENA_GAMES_FILE, "a.tsv", "question_id\tgame1\tgame2\nq\tA>B\t\nq\t\t\n",
          "a.tsv:3: question q of a stands in");
  refused(state, ARENA_GAMES_FILE, "a.tsv", "question_id\tgame1\tgame2\n\tA>B\t\n",
          "\"question_id\" is empty");
  refused(state, ARENA_GAMES_FILE, "a.tsv", "id\tgame1\tgame2\nq\tA>B\t\n", "\"question_id\" is missing");
  refused(state, ARENA_GAMES_FILE, "a.tsv", "question_id\tgame1\tgame2\n", "holds no row");
  refused(state, ARENA_GAMES_FILE, "a.jsonl", "{\"question_id\":\"q\",\"model\":\"m\",\"games\":3}",
          "expected an array");
  refused(state, ARENA_GAMES_FILE, "a.jsonl", "{\"question_id\":\"q\",\"model\":\"m\",\"games\":[{},{},{}]}",
          "expected an array of 2");
  refused(state, ARENA_GAMES_FILE, "a.jsonl", "{\"question_id\":\"q\",\"model\":\"m\",\"games\":[{}]}",
          "\"games\"[0]");
  refused(state, ARENA_GAMES_FILE, "a.jsonl",
          "{\"question_id\":\"q\",\"model\":\"m\",\"games\":[{\"score\":1}]}", "\"games\"[0]");
  refused(state, ARENA_GAMES_FILE, "a.jsonl", "{\"question_id\":\"q\",\"model\":7,\"games\":[]}",
          "expected a text");
  refused(state, ARENA_GAMES_FILE, "a.jsonl", "{\"question_id\":\"q\",\"model\":\"baseline\",\"games\":[]}",
          "is the baseline");
  refused(state, ARENA_BATTLES_FILE, "a.tsv", "question_id\twinner\nq\tmodel_a\n",
          "a.tsv:2: \"winner\" is \"model_a\"; expected baseline, model or tie");
  refused(state, ARENA_BATTLES_FILE, "a.tsv", "question_id\twho\nq\tmodel\n", "\"winner\" is missing");
  refused(state, ARENA_BATTLES_FILE, "a.tsv", "model_a\tmodel_b\twinner\nx\ty\tbaseline\n",
          "model_a, model_b or tie");
  refused(state, ARENA_BATTLES_FILE, "a.tsv", "model_a\tmodel_b\twinner\nx\tx\ttie\n", "are both x");
}

static json_t *score(const struct arena_battles *battles, size_t rounds, uint64_t seed)
{
  const struct arena_rounds options = {rounds, seed, NULL};
  struct tpo_error err = {0};
  size_t baseline;
  json_t *out = NULL;
  if (arena_find_baseline(battles, NULL, &baseline, &err) == 0)
    out = arena_score(battles, baseline, &options, &err);
  if (!out) fail_msg("%s", err.message);
  return out;
}

static double field(const json_t *object, const char *name)
{
  const json_t *value = json_object_get(object, name);
  assert_true(json_is_number(value));
  return json_number_value(value);
}

static void no_battle_has_no_score(void **state)
{
  struct arena_battles battles =
      read_as(ARENA_GAMES_FILE, put(*state, "a.tsv", "question_id\tgame1\tgame2\nq\t\tA<B\n"), NULL);
  json_t *out = score(&battles, 10, 0);
  assert_true(json_is_null(json_object_get(out, "score")) && json_is_null(json_object_get(out, "lower")));
  assert_contains(json_string_value(json_object_get(out, "note")), "no battle");
  json_decref(out);
  arena_battles_free(&battles);
}

static void one_side_alone_is_told(void **state)
{
  struct arena_battles battles =
      read_as(ARENA_GAMES_FILE, put(*state, "a.tsv", "question_id\tgame1\tgame2\nq\tA>B\t\n"), NULL);
  json_t *out = score(&battles, 10, 0);
  assert_true(field(out, "score") == 0 && field(out, "lower") == 0 && field(out, "upper") == 0);
  assert_true(json_is_null(json_object_get(out, "elo")));
  assert_contains(json_string_value(json_object_get(out, "note")), "was lost");
  json_decref(out);
  arena_battles_free(&battles);
  battles = read_as(ARENA_GAMES_FILE, put(*state, "a.tsv", "question_id\tgame1\tgame2\nq\tA=B\t\n"), NULL);
  out = score(&battles, 10, 0);
  assert_true(fabs(field(out, "score") - 50) < 1e-9);
  assert_contains(json_string_value(json_object_get(out, "note")), "one battle");
  json_decref(out);
  arena_battles_free(&battles);
}

static void several_models_are_told_best_first(void **state)
{
  const char *text = "question_id\twinner\tmodel\nq\tmodel\tlow\nq\tbaseline\tlow\nq\tbaseline\tlow\n"
                     "q\tmodel\thigh\nq\tmodel\thigh\nq\tbaseline\thigh\nq\ttie\teven\n";
  struct arena_battles battles = read_as(ARENA_BATTLES_FILE, put(*state, "b.tsv", text), NULL);
  json_t *out = score(&battles, 50, 0), *models = json_object_get(out, "models");
  static const char *const names[] = {"high", "even", "low"};
  static const double scores[] = {200 / 3.0, 50, 100 / 3.0};
  assert_int_equal(json_array_size(models), 3);
  for (size_t i = 0; i < 3; i++) {
    const json_t *model = json_array_get(models, i);
    assert_string_equal(json_string_value(json_object_get(model, "model")), names[i]);
    assert_true(fabs(field(model, "score") - scores[i]) < 1e-9);
    assert_true(field(model, "lower") <= field(model, "score") &&
                field(model, "score") <= field(model, "upper"));
    assert_null(json_object_get(model, "games")); /* which battles don't tell */
    assert_null(json_object_get(model, "null_games"));
  }
  json_decref(out);
  arena_battles_free(&battles);
}

static enum arena_reading reading(const char *text, char label[JUDGE_MATCH])
{
  const struct tpo_judge_config config = {0};
  struct arena_reader reader;
  assert_int_equal(arena_reader_open(&reader, &config, NULL), 0);
  int got = arena_read_verdict(&reader, text, label, NULL);
  arena_reader_close(&reader);
  return (enum arena_reading)got;
}

static void labels_are_read_by_the_rule(void **state)
{
  (void)state;
  char label[JUDGE_MATCH];
  assert_int_equal(reading("so [[A>>B]]. Again: [[A>>B]]", label), ARENA_LABEL);
  assert_string_equal(label, "A>>B");
  assert_int_equal(reading("[[A<B]]", label), ARENA_LABEL);
  assert_string_equal(label, "A<B");
  assert_int_equal(reading("[[A>B]] or [[B>A]]", label), ARENA_CONTRADICTED);
  assert_string_equal(label, "");
  assert_int_equal(reading("[[A]] [[a>b]] [[A > B]] [A>B]", label), ARENA_LABEL);
  assert_string_equal(label, "A");
  assert_int_equal(reading("[[a>b]] [[A > B]] [A>B] [[tie]]", label), ARENA_WITHOUT);
  assert_int_equal(reading("", label), ARENA_WITHOUT);
  assert_int_equal(reading("<think>[[A>B]]</think> [[B>A]]", label), ARENA_LABEL);
  assert_string_equal(label, "B>A");
  /* A thought that never closes is read like all the rest, and what is closed before it isn't. */
  assert_int_equal(reading("<think>[[A>B]]", label), ARENA_LABEL);
  assert_string_equal(label, "A>B");
  assert_int_equal(reading("B uses <think> tags. [[B>A]]", label), ARENA_LABEL);
  assert_string_equal(label, "B>A");
  assert_int_equal(reading("<think>[[A>B]]</think> B's <thinking>: [[B>A]]</think>", label), ARENA_LABEL);
  assert_string_equal(label, "B>A");
  assert_int_equal(reading("[[A>B]] <think> or rather [[B>A]]", label), ARENA_CONTRADICTED);
  assert_int_equal(reading("\x01\x1b[2J \xff[[B>>A]]\x7f", label), ARENA_LABEL);
  assert_string_equal(label, "B>>A");
}

static void long_texts_are_read(void **state)
{
  (void)state;
  enum { LONG = 4 << 20 };
  char *text = malloc(LONG + 16), label[JUDGE_MATCH];
  assert_non_null(text);
  memset(text, '[', LONG);
  strcpy(text + LONG, "[[B>A]]");
  assert_int_equal(reading(text, label), ARENA_LABEL);
  assert_string_equal(label, "B>A");
  memset(text + LONG, 'A', 8);
  assert_int_equal(reading(text, label), ARENA_WITHOUT);
  memset(text + 2, 'A', LONG);
  strcpy(text + LONG, "]]");
  assert_true(reading(text, label) >= 0);
  memset(text, 'x', LONG + 15);
  memcpy(text, "[[B>A]]", 7); /* far from the end */
  assert_int_equal(reading(text, label), ARENA_LABEL);
  memcpy(text + LONG, "[[A>B]]", 7);
  assert_int_equal(reading(text, label), ARENA_CONTRADICTED);
  free(text);
}

/* Of the shared data, or the test is skipped. */
static const char *data_file(const char *name)
{
  static char path[4096];
  const char *data = getenv("TPO_TEST_DATA");
  if (!data) {
    print_message("TPO_TEST_DATA is not set: arena_hard/%s is not tested\n", name);
    skip();
  }
  snprintf(path, sizeof path, "%s/arena_hard/%s", data, name);
  return path;
}

struct labelled {
  struct arena_reader reader;
  size_t n, nulls;
};

static int take_labelled(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct labelled *all = arg;
  const char *judgment, *gold = NULL;
  char label[JUDGE_MATCH];
  if (eval_row_text(row, "judgment", &judgment, err) < 0 || eval_row_text(row, "score", &gold, err) < 0)
    fail_msg("%s", err->message);
  assert_true(arena_read_verdict(&all->reader, judgment, label, err) >= 0);
  if (strcmp(label, gold ? gold : "") != 0)
    fail_msg("%s: \"%s\", labelled %s", row->place, label, gold ? gold : "null");
  all->n++;
  all->nulls += !gold;
  return 0;
}

static void all_published_labels_are_reproduced(void **state)
{
  (void)state;
  const char *path = data_file("verdict/verdicts.jsonl.gz");
  const struct tpo_judge_config config = {0};
  struct labelled all = {0};
  struct tpo_error err = {0};
  assert_int_equal(arena_reader_open(&all.reader, &config, NULL), 0);
  if (eval_rows_read(path, take_labelled, &all, &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(all.n, 759);
  assert_int_equal(all.nulls, 15);
  arena_reader_close(&all.reader);
}

/* Against what was published where that can be used, else against bounds of 1000 rounds by another program. */
static void check_bounds(const struct eval_row *row, const struct arena_battles *battles, bool published)
{
  static const char *const ours[] = {"lower", "upper"};
  static const char *const theirs[][2] = {{"ci_lo_recomputed", "ci_hi_recomputed"},
                                          {"ci_lo_published", "ci_hi_published"}};
  double near = battles->n < 100 ? 2 : 0.6; /* percentiles of few battles scatter */
  for (uint64_t seed = 1; seed <= 3; seed++) {
    json_t *out = score(battles, 1000, seed);
    for (int i = 0; i < 2; i++) {
      double bound;
      assert_int_equal(eval_row_number(row, theirs[published][i], &bound, NULL), 0);
      if (!(fabs(field(out, ours[i]) - bound) < near))
        fail_msg("%s: %s %.2f, expected %.2f", row->place, ours[i], field(out, ours[i]), bound);
    }
    json_decref(out);
  }
}

static int take_score(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  static const char *const names[] = {"wins", "losses", "ties", "score"};
  static const char *const columns[] = {"n_model_wins", "n_baseline_wins", "n_ties", "score_published"};
  const char *file;
  double published, bound;
  if (eval_row_text(row, "file", &file, err) < 0) return err->code;
  bool games = strncmp(file, "games/", 6) == 0;
  struct arena_battles battles =
      read_as(games ? ARENA_GAMES_FILE : ARENA_BATTLES_FILE, data_file(file), NULL);
  json_t *out = score(&battles, 1, 0);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(eval_row_number(row, columns[i], &published, err), 0);
    if (!(fabs(field(out, names[i]) - published) <= (i < 3 ? 0 : 0.01)))
      fail_msg("%s: %s is %.4f, published %.2f", file, names[i], field(out, names[i]), published);
  }
  if (strstr(file, "Phi-3-small"))
    assert_true(field(out, "null_games") == 958 && field(out, "games") == 1000);
  json_decref(out);
  assert_int_equal(eval_row_number(row, "ci_lo_published", &bound, err), 0);
  check_bounds(row, &battles, false);
  if (!isnan(bound)) check_bounds(row, &battles, true);
  ((size_t *)arg)[0]++;
  ((size_t *)arg)[1] += !isnan(bound);
  arena_battles_free(&battles);
  return 0;
}

static void published_scores_and_intervals_are_reproduced(void **state)
{
  (void)state;
  char path[4096];
  struct tpo_error err = {0};
  size_t n[2] = {0};
  snprintf(path, sizeof path, "%s", data_file("scores.tsv"));
  if (eval_rows_read(path, take_score, n, &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(n[0], 12);
  assert_int_equal(n[1], 1); /* the others' rounds were not anchored */
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      with_folder(games_become_battles),
      with_folder(judgments_as_published_are_games),
      with_folder(battles_are_read_in_both_forms),
      with_folder(a_folder_is_all_its_files),
      with_folder(two_files_of_one_name_are_refused),
      with_folder(bad_files_are_refused_by_place),
      with_folder(no_battle_has_no_score),
      with_folder(one_side_alone_is_told),
      with_folder(several_models_are_told_best_first),
      cmocka_unit_test(labels_are_read_by_the_rule),
      cmocka_unit_test(long_texts_are_read),
      cmocka_unit_test(all_published_labels_are_reproduced),
      cmocka_unit_test(published_scores_and_intervals_are_reproduced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
