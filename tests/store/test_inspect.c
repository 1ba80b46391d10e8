/* What `tpo inspect` prints of each kind of file. */
#include "store/hdf5_files.h"
#include "store/safetensors.h"
#include "store/show.h"

/* What tpo_inspect prints; free() it. NULL with err set when it fails. */
static char *inspect(const char *path, int limit, struct tpo_error *err)
{
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  assert_non_null(out);
  int status = tpo_inspect(path, limit, out, err);
  fclose(out);
  for (size_t i = 0; i < len; i++) /* nothing that a terminal obeys */
    if ((unsigned char)text[i] < 0x20 && text[i] != '\n') fail_msg("byte %02x is printed", text[i]);
  if (status == 0) return text;
  free(text);
  return NULL;
}

static void shows(const char *path, int limit, const char *const *expected, int n)
{
  struct tpo_error err = {0};
  char *text = inspect(path, limit, &err);
  if (!text) fail_msg("%s", err.message);
  for (int i = 0; i < n; i++)
    if (!strstr(text, expected[i])) fail_msg("no '%s' in:\n%s", expected[i], text);
  free(text);
}

#define assert_shows(path, limit, ...)                                                                       \
  do {                                                                                                       \
    const char *const expected[] = {__VA_ARGS__};                                                            \
    shows(path, limit, expected, sizeof expected / sizeof expected[0]);                                      \
  } while (0)

static void samples_are_shown_by_prompt_with_thought_response_and_score(void **state)
{
  (void)state;
  struct tpo_samples samples;
  make_samples(&samples);
  samples.is_scored = true;
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&samples);
  assert_shows(in_folder("s.h5"), 4, "6 scored samples of 2 prompts", "kept in 4 of 6",
               "1.0000 mean of 4 scored", "prompt first: Name a colour.", "prompt second",
               "thought   I think.", "response  red", "0.5000", "none", "broken", "... and 2 more samples",
               "stop 2");
}

static void pairs_are_shown_with_margins_and_statistics(void **state)
{
  (void)state;
  struct tpo_pairs pairs;
  make_pairs(&pairs);
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("p.h5"), NULL), 0);
  tpo_pairs_free(&pairs);
  assert_shows(in_folder("p.h5"), -1, "3 pairs",
               "margin   1.5000 mean of 3, in z units of a prompt's samples: z(score) - 0.25 z(length)\n",
               "of 2 pairs, model 0123456789abcdef", "rho      0.25", "prompts  2", "-20.25", "none",
               "3.0000  b");
}

static void rows_of_steps_are_shown_under_theirs(void **state)
{
  (void)state;
  struct tpo_samples samples;
  struct tpo_pairs pairs;
  struct tpo_error err = {0};
  make_samples(&samples);
  assert_int_equal(tpo_samples_write(&samples, in_folder("none.h5"), NULL), 0);
  for (size_t i = 0; i < samples.n; i++) samples.rows[i].step = i < 3 ? 39 : 40;
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&samples);
  assert_shows(in_folder("s.h5"), -1, "  steps    39 to 40\n",
               "\nstep 39\n\nprompt first: ", "\nstep 40\n\nprompt second: ");
  make_pairs(&pairs);
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("none-p.h5"), NULL), 0);
  for (int i = 0; i < 3; i++) pairs.rows[i].step = 40 + i;
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("p.h5"), NULL), 0);
  tpo_pairs_free(&pairs);
  assert_shows(in_folder("p.h5"), -1, "  steps    40 to 42\n", "  pair     step     row     score",
               "\n      2      42       2");
  static const char *const without[] = {"none.h5", "none-p.h5"};
  for (int i = 0; i < 2; i++) {
    char *text = inspect(in_folder(without[i]), -1, &err);
    assert_non_null(text);
    if (strstr(text, "step")) fail_msg("%s", text);
    free(text);
  }
}

/* Pairs whose rejected output failed to parse have no margin; a file may tell of no selection. */
static void what_has_no_score_is_shown_as_none(void **state)
{
  (void)state;
  struct tpo_pairs pairs;
  struct tpo_samples samples;
  make_pairs(&pairs);
  for (int i = 0; i < 2; i++) pairs.rows[i].margin = pairs.rows[i].rejected_score = NAN;
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("some.h5"), NULL), 0);
  assert_shows(in_folder("some.h5"), -1,
               "margin   3.0000 mean of 1, in z units of a prompt's samples: z(score) - 0.25 z(length); 2 "
               "pairs have none\n");
  free(pairs.statistics);
  pairs.statistics = NULL;
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("given.h5"), NULL), 0);
  assert_shows(in_folder("given.h5"), -1, "margin   3.0000 mean of 1; 2 pairs have none\n");
  pairs.rows[2].margin = NAN;
  assert_int_equal(tpo_pairs_write(&pairs, in_folder("none.h5"), NULL), 0);
  assert_shows(in_folder("none.h5"), -1, "margin   none\n");
  tpo_pairs_free(&pairs);
  make_samples(&samples);
  samples.is_scored = true;
  for (size_t i = 0; i < samples.n; i++) samples.rows[i].scored = false;
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&samples);
  assert_shows(in_folder("s.h5"), -1, "  score    none scored\n");
  static const char *const files[] = {"some.h5", "given.h5", "none.h5", "s.h5"};
  for (int i = 0; i < 4; i++) {
    struct tpo_error err = {0};
    char *text = inspect(in_folder(files[i]), -1, &err);
    if (strstr(text, "nan")) fail_msg("%s", text);
    free(text);
  }
}

static void a_checkpoint_is_shown_with_state_shapes_and_norms(void **state)
{
  (void)state;
  write_small_checkpoint(in_folder("c.h5"));
  assert_shows(in_folder("c.h5"), 2, "checkpoint", "step   7", "hidden  3", "tokenizer  raw",
               "model: 3 tensors, 18 elements", "a.weight  fp32  [2, 3]                   9.53939",
               "b.weight  fp16", "1 more tensors", "optimizer/m: 1 tensors");
}

static void containers_are_shown_with_metadata_and_tensors(void **state)
{
  (void)state;
  assert_shows(FIXTURES "types.gguf", -1, "GGUF version 3, 12 tensors, 6144 elements", "test.u64",
               "u64     18446744073709551615", "na\xc3\xafve\\n",
               "[\"a\", \"bc\", \"d\xc3\xa9"
               "f\"]",
               "[3, -4, 5]", "F16", "[2, 256]", "Q5_K", "544 B");
  assert_shows(FIXTURES "types.safetensors", -1, "safetensors, 6 tensors in 1 file", "a.f32", "[2, 3]",
               "BF16", "I64", "e.scalar  F32       []", "[0, 4]");
}

static void text_of_a_model_cannot_reach_the_terminal(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  add_sample(&samples, 0, 0);
  samples.rows[0].response = "\033[2Jboom\r\nline\xc2\x9b\xe2\x80\xae";
  samples.rows[0].prompt_id = "id\033]0;x\a";
  samples.rows[0].instruction = "a\tb";
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&samples);
  assert_shows(in_folder("s.h5"), -1, "\\x1b[2Jboom\\r\\nline\\x9b\u2039U+202E\u203a",
               "prompt id\\x1b]0;x\\x07: a\\tb");
}

static void long_text_is_cut_unless_all_is_asked_for(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  char text[1001];
  memset(text, 'x', 1000);
  strcpy(text + 997, "end");
  add_sample(&samples, 0, 0);
  samples.rows[0].response = text;
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&samples);
  assert_shows(in_folder("s.h5"), 5, "... (1000 bytes)");
  assert_shows(in_folder("s.h5"), -1, "xxend\n");
}

static void names_in_messages_are_short_and_printable(void **state)
{
  (void)state;
  char name[300];
  memset(name, 'n', sizeof name);
  memcpy(name, "\n\033\xff\xc3\xa9", 5);
  struct tpo_shown shown = tpo_show_name(name, sizeof name);
  assert_memory_equal(shown.text, "\\n\\x1b\\xff\xc3\xa9nnn", 15);
  assert_int_equal(strlen(shown.text), 103);
  assert_string_equal(shown.text + 100, "...");
  assert_string_equal(tpo_show_name("", 0).text, "");
}

static void other_files_are_refused_by_name(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  assert_int_equal(tpo_write_file(in_folder("t.txt"), "some text", 9, NULL), 0);
  assert_null(inspect(in_folder("t.txt"), 5, &err));
  assert_refused(err.code, err, "t.txt: neither HDF5 nor GGUF nor safetensors");
  assert_int_equal(tpo_write_file(in_folder("e"), "", 0, NULL), 0);
  assert_null(inspect(in_folder("e"), 5, &err));
  assert_refused(err.code, err, "neither");
  assert_null(inspect(in_folder("none"), 5, &err));
  assert_refused(err.code, err, "none");
  assert_null(inspect(folder, 5, &err));
  assert_refused(err.code, err, "holds neither");
}

static void damaged(const char *path, int n)
{
  struct tpo_buf bytes = {0};
  struct memory_file file = memory_file_open();
  struct tpo_rng rng;
  read_whole(path, &bytes);
  uint8_t *copy = malloc(bytes.len);
  assert_non_null(copy);
  for (int i = 0; i < n; i++) {
    struct tpo_error err = {0};
    tpo_rng_init(&rng, 4, TPO_STREAM_INIT, (uint64_t)i, 0);
    memcpy(copy, bytes.data, bytes.len);
    damage(&rng, copy, bytes.len < 3000 ? bytes.len : 3000);
    memory_file_set(&file, copy, bytes.len);
    char *text = inspect(file.path, 10, &err);
    if (!text) assert_refused(err.code, err, file.path);
    free(text);
  }
  free(copy);
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

static void damaged_files_of_each_kind_are_shown_or_refused(void **state)
{
  (void)state;
  struct tpo_samples samples;
  make_samples(&samples);
  assert_int_equal(tpo_samples_write(&samples, in_folder("s.h5"), NULL), 0);
  tpo_samples_free(&samples);
  write_small_checkpoint(in_folder("c.h5"));
  damaged(in_folder("s.h5"), 1000);
  damaged(in_folder("c.h5"), 1000);
  damaged(FIXTURES "types.gguf", 3000);
  damaged(FIXTURES "types.safetensors", 3000);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(samples_are_shown_by_prompt_with_thought_response_and_score),
      IN_FOLDER(pairs_are_shown_with_margins_and_statistics),
      IN_FOLDER(rows_of_steps_are_shown_under_theirs),
      IN_FOLDER(what_has_no_score_is_shown_as_none),
      IN_FOLDER(a_checkpoint_is_shown_with_state_shapes_and_norms),
      cmocka_unit_test(containers_are_shown_with_metadata_and_tensors),
      IN_FOLDER(text_of_a_model_cannot_reach_the_terminal),
      IN_FOLDER(long_text_is_cut_unless_all_is_asked_for),
      cmocka_unit_test(names_in_messages_are_short_and_printable),
      IN_FOLDER(other_files_are_refused_by_name),
      IN_FOLDER(damaged_files_of_each_kind_are_shown_or_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
