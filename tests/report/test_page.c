/* The page about whole, empty, unfinished, damaged, hostile and large runs. */
#include "report/folder.h"
#include "report/parts.h"
#include "report/well_formed.h"

static const struct folder_options small = {.iterations = 2, .prompts = 10, .k = 3};

static size_t count(const char *text, const char *part)
{
  size_t n = 0;
  for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
  return n;
}

/* The page's own text: from the body's begin to the script, so that style and script are not searched. */
static char *body_of(const char *page)
{
  const char *begin = strstr(page, "<body>"), *end = strstr(page, "<script>");
  assert_non_null(begin);
  assert_non_null(end);
  return strndup(begin, (size_t)(end - begin));
}

static void a_finished_run_is_all_there(void **state)
{
  make_run(*state, &small, 0.031);
  char *page = report_of(*state);
  assert_well_formed(page);
  static const char *const parts[] = {">finished<",
                                      "2026-01-31T12:00:00Z",
                                      "tiny.gguf",
                                      "0.400</span> → <strong>0.431</strong>",
                                      "<strong>+0.031</strong> ± 0.020",
                                      "within noise",
                                      "chosen on these same instructions",
                                      "0.6931 → ",
                                      "2: <strong>0.452</strong> kept",
                                      "0.0123 / 0.0011",
                                      "56.2 % ± 8.8",
                                      "<td>62.5 %</td>",
                                      "those of iteration 1 on <strong>56.2 %</strong> ± 8.8 of 32",
                                      "baseline’s of iteration 2 on <strong>62.5 %",
                                      "21 / 32 / 43",
                                      "41 / 51 / –",
                                      "−11.5",
                                      "25.0 %",
                                      "0.04375",
                                      "1.500 ± 0.125",
                                      "Win rate on validation",
                                      "Distance from the start model",
                                      "Length penalty",
                                      "Prompts without a pair",
                                      "Sampled thoughts",
                                      "1 h 02 min",
                                      "skipped: one score only",
                                      "Training loss",
                                      "Scores of the samples",
                                      "Validation answers",
                                      "path: models/tiny.gguf",
                                      "I should keep it short.",
                                      "✓ passed</span> punctuation:no_comma",
                                      "✗ failed</span> length_constraints:number_sentences",
                                      "num_sentences 2",
                                      "response marker inserted (2 tokens)",
                                      "75.0 %"};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) assert_contains(page, parts[i]);
  assert_null(strstr(page, "Not shown"));
  /* 7 of the 10 prompts of each iteration give a pair, as the fixture makes it. */
  assert_int_equal(count(page, "good\">chosen</span>"), 14);
  assert_int_equal(count(page, "bad\">rejected</span>"), 14);
  assert_int_equal(count(page, ">no pair</span>"), 6);
  assert_int_equal(count(page, ">format failed</span>"), 4);
  assert_int_equal(count(page, "Whole output"), 4);
  free(page);
}

static void verdicts_follow_two_standard_errors(void **state)
{
  static const struct {
    double difference;
    const char *words;
  } cases[] = {{0.0399, "within noise"},
               {-0.0399, "within noise"},
               {0.0401, "class=\"up\">better"},
               {-0.0401, "class=\"down\">worse"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    make_run(*state, &small, cases[i].difference);
    char *page = report_of(*state);
    assert_contains(page, cases[i].words);
    free(page);
  }
}

static void nothing_is_fetched(void **state)
{
  make_run(*state, &small, 0.1);
  char *page = report_of(*state);
  static const char *const never[] = {"http://", "https://", "url(", "@import", "<link", "<img", "<iframe"};
  for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) assert_null(strstr(page, never[i]));
  assert_contains(page, "default-src 'none'");
  free(page);
}

static void the_same_run_gives_the_same_page(void **state)
{
  make_run(*state, &small, 0.1);
  char *one = report_of(*state), *two = report_of(*state);
  assert_string_equal(one, two);
  free(one);
  free(two);
}

static void a_script_in_a_sample_shows_as_text(void **state)
{
  struct folder_options o = small;
  o.texts.response = "<script>alert('x')</script></div></article>";
  make_run(*state, &o, 0.1);
  char *page = report_of(*state);
  assert_contains(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
  assert_int_equal(count(page, "<script>"), 1);
  assert_int_equal(count(page, "</script>"), 1);
  assert_well_formed(page);
  free(page);
}

static void hostile_texts_stay_texts_everywhere(void **state)
{
  static const char hostile[] =
      "\"><script>evil()</script><img src=x onerror=evil()> ' & \x1b[2J \x01\xff\u202e -->]]>";
  struct folder_options o = {
      .iterations = 1,
      .prompts = 3,
      .k = 2,
      .texts = {
          .instruction = hostile,
          .thought = hostile,
          .response = hostile,
          .id = hostile,
          .meta = "{\"checks\":[{\"type\":\"<script>evil()</script>\",\"<b>\":\"<i>\\u0000\"},\"<u>\",7],"
                  "\"reference\":{\"a\":[\"<script>\"]}}",
          .detail = "{\"checks\":[{\"type\":\"<script>\",\"passed\":true},\"<b>\"],\"<script>\":\"</p>\","
                    "\"nested\":{\"x\":\"<b>\\u0000\"}}"}};
  make_run(*state, &o, 0.1);
  put_file(*state, "config.yaml", "</pre><script>evil()</script>\n");
  put_file(*state, "manifest.json",
           "{\"created\":\"<script>evil()</script>\",\"tpo_version\":\"\\\"><b>\",\"ranks\":\"<b>\","
           "\"steps\":[{\"iteration\":1,\"step\":\"<script>evil()</script>\"}]}");
  char *page = report_of(*state), *body = body_of(page);
  assert_well_formed(page);
  assert_null(strstr(body, "<img"));
  assert_null(strstr(body, "<b>"));
  assert_contains(body, "␛");
  assert_contains(body, "U+202E");
  assert_int_equal(count(page, "<script>"), 1);
  free(body);
  free(page);
}

static void details_of_other_judges_are_shown(void **state)
{
  static const char *const details[] = {"",
                                        "{}",
                                        "null",
                                        "[1,2]",
                                        "not JSON <b>",
                                        "{\"checks\":{\"a\":1}}",
                                        "{\"checks\":[]}",
                                        "{\"checks\":[[]],\"x\":null,\"error\":\"judge said <no>\"}"};
  for (size_t i = 0; i < sizeof details / sizeof details[0]; i++) {
    struct folder_options o = {
        .iterations = 1, .prompts = 1, .k = 2, .texts = {.detail = details[i], .meta = details[i]}};
    make_run(*state, &o, 0.1);
    char *page = report_of(*state);
    assert_well_formed(page);
    if (i == 7) assert_contains(page, "error: judge said &lt;no&gt;");
    free(page);
  }
}

static void a_run_that_has_just_begun_gives_a_page(void **state)
{
  put_file(*state, "config.yaml", "seed: 1\n");
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "Nothing has been validated yet");
  assert_contains(page, "not finished");
  assert_contains(page, "no step has been finished yet");
  assert_null(strstr(page, "<svg"));
  free(page);
}

static void an_unfinished_run_shows_what_there_is(void **state)
{
  struct folder_options o = small;
  o.unfinished = true;
  make_run(*state, &o, 0.1);
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "last finished step: sample of iteration 2");
  assert_contains(page, "after iteration 1.");
  assert_contains(page, "<h3>Iteration 2</h3>");
  assert_contains(page, "no score");
  free(page);
}

static void only_the_start_model_was_validated(void **state)
{
  struct folder_options o = {.iterations = 0, .prompts = 4, .k = 2, .unfinished = true};
  make_run(*state, &o, 0);
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "The start model scores <strong>0.400</strong>");
  assert_contains(page, "Validation score");
  assert_null(strstr(page, "Paired difference from"));
  assert_contains(page, "last finished step: validate of the start model");
  free(page);
}

static void strange_metrics_leave_a_page(void **state)
{
  make_run(*state, &small, 0.1);
  put_file(*state, "metrics.jsonl",
           "{\"event\":\"step\",\"iteration\":1,\"loss\":null,\"margin\":\"x\",\"grad_norm\":1e308}\n"
           "{\"event\":\"step\",\"iteration\":1}\n"
           "{\"event\":\"step\",\"iteration\":1,\"loss\":-1e308}\n"
           "{\"event\":\"validate\",\"iteration\":0,\"mean_score\":1e300,\"difference\":[],\"n\":{}}\n"
           "{\"event\":\"validate\",\"iteration\":1,\"difference\":0,\"difference_se\":0}\n"
           "{\"event\":\"sample\",\"iteration\":1,\"tokens\":5,\"seconds\":0}\n"
           "{\"event\":\"epoch\",\"iteration\":1}\n{\"event\":\"epoch\",\"iteration\":1,\"epoch\":\"<b>\"}\n"
           "{\"event\":\"validate\",\"iteration\":-5}\n{\"event\":\"validate\",\"iteration\":1e9}\n"
           "{\"event\":\"unknown\",\"iteration\":1}\n[]\n7\n\"x\"\n{\"iteration\":1}\n{\"event\":\"st");
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "metrics.jsonl: 8 lines are not events");
  assert_contains(page, "Too few instructions");
  free(page);
}

static void what_was_watched_has_a_row_each(void **state)
{
  make_run(*state, &small, 0.1);
  put_file(
      *state, "metrics.jsonl",
      "{\"event\":\"watch\",\"iteration\":0,\"name\":\"maths\",\"kind\":\"gsm8k\",\"n\":200,\"value\":0.5,"
      "\"value_se\":0.03,\"difference\":0,\"difference_se\":0,\"unparsed_share\":0,\"no_answer\":0}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"maths\",\"kind\":\"gsm8k\",\"n\":200,\"value\":0.4,"
      "\"value_se\":0.03,\"compared\":200,\"difference\":-0.1,\"difference_se\":0.04,\"unparsed_share\":0,"
      "\"cut\":3,\"no_answer\":12}\n"
      "{\"event\":\"watch\",\"iteration\":0,\"name\":\"r\",\"kind\":\"rule\",\"n\":9,\"value\":-0.25,\"value_se\":null}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"r\",\"kind\":\"rule\",\"n\":9,\"value\":0.125,\"value_se\":0.01,"
      "\"compared\":9,\"difference\":0.05,\"difference_se\":0.03}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"few\",\"kind\":\"rule\",\"n\":7,\"value\":0.125,"
      "\"compared\":7,\"difference\":-0.5,\"difference_se\":0.125}\n");
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "<a href=\"#watch\">Watch</a>");
  assert_contains(page, "maths</th><td>gsm8k</td><td>200</td><td>50.0 % ± 3.0</td><td>40.0 % ± 3.0</td>");
  assert_contains(page, "<td>−10.0 ± 4.0 <strong class=\"down\">worse</strong></td>");
  assert_contains(page, "r</th><td>rule</td><td>9</td><td>−0.250</td><td>0.125 ± 0.010</td>");
  assert_contains(page, "<td>+0.050 ± 0.030</td>"); /* within noise */
  assert_contains(page, "<td>−0.500 ± 0.125</td>"); /* of too few to judge by */
  assert_contains(page,
                  "maths, outputs cut at a budget or the context</th><td></td><td></td><td></td><td>3</td>");
  assert_contains(page,
                  "maths, responses without a number</th><td></td><td></td><td>0</td><td>12</td><td></td>");
  assert_null(strstr(page, "maths, outputs that do not parse"));
  free(page);
}

/* More than a page bears are counted, each once. */
static void many_watches_are_shown_in_part(void **state)
{
  struct tpo_buf events = {0};
  make_run(*state, &small, 0.1);
  for (int iteration = 0; iteration < 2; iteration++)
    for (int i = 0; i < 70; i++)
      tpo_buf_printf(
          &events,
          "{\"event\":\"watch\",\"iteration\":%d,\"name\":\"number-%d\",\"kind\":\"rule\",\"value\":1}\n",
          iteration, 70 - i);
  put_file(*state, "metrics.jsonl", events.data);
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "number-70</th>");
  assert_contains(page, "number-7</th>");
  assert_null(strstr(page, "number-6</th>"));
  assert_contains(page, "Not shown here: 6 more, which metrics.jsonl has.");
  tpo_buf_free(&events);
  free(page);
}

static void strange_watches_leave_a_page(void **state)
{
  make_run(*state, &small, 0.1);
  put_file(
      *state, "metrics.jsonl",
      "{\"event\":\"watch\",\"iteration\":0}\n{\"event\":\"watch\",\"iteration\":0,\"name\":7}\n"
      "{\"event\":\"watch\",\"iteration\":0,\"name\":\"<b>&\",\"kind\":[],\"value\":1e308,\"value_se\":1e308}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"<b>&\",\"kind\":\"<i>\",\"value\":\"x\",\"difference\":-1e308,"
      "\"difference_se\":1e308}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"<b>&\",\"difference\":{}}\n"
      "{\"event\":\"watch\",\"iteration\":1,\"name\":\"\",\"value\":0.5}\n");
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "&lt;b&gt;&amp;</th>");
  free(page);
}

/* Two answers to each of two prompts; the last one's fate is `last`'s for prompt 0 and `other`'s for
 * prompt 1. */
static void put_answers(const char *dir, int iteration, double score, const char *last, const char *other)
{
  char path[4096];
  const struct texts texts = {0};
  struct tpo_samples samples = {.is_scored = true};
  for (int i = 0; i < 4; i++) {
    const char *fate = i == 1 ? last : i == 3 ? other : "scored";
    add_row(&samples, &texts, i / 2, i % 2, 1, true);
    samples.rows[i].score = score;
    samples.rows[i].scored = strcmp(fate, "scored") == 0;
    samples.rows[i].format_ok = strcmp(fate, "unparsed") != 0;
  }
  in_iteration(path, dir, iteration, "validation.h5");
  assert_int_equal(tpo_samples_write(&samples, path, NULL), 0);
  tpo_samples_free(&samples);
}

/* By the scored answers alone, prompt 0 would have gained 0.1. */
static void changes_on_validation_count_as_the_run_counts(void **state)
{
  static const char with_score[] = "{\"event\":\"validate\",\"iteration\":0,\"unparsed_score\":7}\n"
                                   "{\"event\":\"validate\",\"iteration\":1,\"unparsed_score\":-0.9}\n";
  static const struct {
    const char *metrics, *change, *counts, *mean;
  } cases[] = {{with_score, "bad\">−0.60</span>", "does not parse counts −0.90.", "<strong>−0.200</strong>"},
               {"", "bad\">−1.65</span>", "does not parse counts −3.00.", "<strong>−1.250</strong>"},
               {"{\"event\":\"validate\",\"iteration\":1,\"unparsed_score\":\"<b>\"}\n", "bad\">−1.65</span>",
                "does not parse counts −3.00.", "<strong>−1.250</strong>"}};
  put_file(*state, "config.yaml", "judge:\n  empty_score: -3\n");
  put_answers(*state, 0, 0.4, "scored", "scored");
  put_answers(*state, 1, 0.5, "unparsed", "failed");
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    put_file(*state, "metrics.jsonl", cases[i].metrics);
    char *page = report_of(*state);
    assert_well_formed(page);
    assert_contains(page, cases[i].change);
    assert_contains(page, cases[i].counts);
    assert_contains(page, cases[i].mean);
    assert_null(strstr(page, "+0.10"));
    assert_int_equal(count(page, "no comparison"), 1);
    free(page);
  }
}

static void what_parses_needs_no_word_about_what_does_not(void **state)
{
  put_file(*state, "config.yaml", "seed: 1\n");
  put_answers(*state, 0, 0.4, "scored", "scored");
  put_answers(*state, 1, 0.5, "scored", "failed");
  char *page = report_of(*state);
  assert_contains(page, "good\">+0.10</span>");
  assert_null(strstr(page, "does not parse counts"));
  free(page);
}

static void what_judges_counted_is_shown(void **state)
{
  static const char judged[] =
      "{\"event\":\"judge\",\"iteration\":1,\"counts\":{\"comparisons\":12345,\"ties\":0,\"pairs_flipped\":3,"
      "\"max_gradient_norm\":0.25}}\n";
  static const struct {
    int before, after;
    const char *words;
  } cases[] = {
      {0, 0, "on 10 held-back instructions, before training and after iteration 1. Paired"},
      {1, 1,
       "on 9 held-back instructions, before training and after iteration 1. "
       "Left out because the judge failed on a response: 1 before and 1 after. Paired"},
      {0, 2, "on 10 held-back instructions before training and on 8 after iteration 1. Left out"},
  };
  put_file(*state, "config.yaml", "seed: 1\n");
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct tpo_buf metrics = {0};
    tpo_buf_puts(&metrics, judged);
    for (int n = 0; n < 2; n++)
      tpo_buf_printf(&metrics,
                     "{\"event\":\"validate\",\"iteration\":%d,\"n\":10,\"mean_score\":1,\"failures\":77,"
                     "\"unjudged\":%d}\n",
                     n, n ? cases[i].after : cases[i].before);
    put_file(*state, "metrics.jsonl", metrics.data);
    tpo_buf_free(&metrics);
    char *page = report_of(*state);
    assert_well_formed(page);
    assert_contains(page, "comparisons: 12\u202f345<br>pairs_flipped: 3<br>max_gradient_norm: 0.250<");
    assert_null(strstr(page, "ties: "));
    assert_int_equal(count(page, "<td>77</td>"), 2);
    assert_contains(page, cases[i].words);
    free(page);
  }
}

static void strange_counts_leave_a_page(void **state)
{
  static const char *const counts[] = {
      "7", "null", "[1,2]", "\"<script>\"", "{}", "{\"a\":\"<script>\",\"b\":{\"c\":1}}"};
  put_file(*state, "config.yaml", "seed: 1\n");
  for (size_t i = 0; i <= sizeof counts / sizeof counts[0]; i++) {
    struct tpo_buf metrics = {0};
    bool some = i == sizeof counts / sizeof counts[0];
    tpo_buf_puts(&metrics, "{\"event\":\"judge\",\"iteration\":1,\"failures\":[],\"counts\":");
    if (!some)
      tpo_buf_puts(&metrics, counts[i]);
    else {
      tpo_buf_puts(&metrics, "{\"</td><script>\\n\":-1e300,\"x\":[[]],\"y\":true,\"z\":null");
      for (int n = 0; n < 1000; n++) tpo_buf_printf(&metrics, ",\"count-%d%0500d\":%d", n, n, n);
      tpo_buf_putc(&metrics, '}');
    }
    tpo_buf_puts(&metrics,
                 "}\n{\"event\":\"validate\",\"iteration\":0,\"mean_score\":1,\"n\":5,\"unjudged\":9}\n"
                 "{\"event\":\"validate\",\"iteration\":1,\"mean_score\":1,\"n\":5,\"unjudged\":\"<b>\"}\n");
    put_file(*state, "metrics.jsonl", metrics.data);
    tpo_buf_free(&metrics);
    char *page = report_of(*state), *body = body_of(page);
    assert_well_formed(page);
    assert_contains(body, "on 5 held-back instructions, before");
    assert_null(strstr(body, "Left out"));
    assert_int_equal(strstr(body, "<th scope=\"row\" title=\"what the judge counted") != NULL, some);
    if (some) assert_contains(body, "&lt;/td&gt;&lt;script&gt;: −1.00e+300<br>count-1000");
    if (some) assert_true(strlen(body) < 50000);
    free(body);
    free(page);
  }
}

static void scores_that_are_not_numbers_are_none(void **state)
{
  (void)state;
  static const double scores[] = {NAN, INFINITY, -INFINITY};
  const struct texts texts = {0};
  for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
    struct tpo_samples samples = {.is_scored = true};
    struct tpo_buf out = {0};
    add_row(&samples, &texts, 0, 0, 3, true);
    samples.rows[0].score = scores[i];
    sample_card(&out, &samples.rows[0], "Sample 0", 0, 0);
    assert_well_formed(out.data);
    assert_contains(out.data, "no score");
    assert_null(strstr(out.data, "nan"));
    tpo_buf_free(&out);
    tpo_samples_free(&samples);
  }
}

static void damaged_files_are_named(void **state)
{
  char path[4096];
  make_run(*state, &small, 0.1);
  in_iteration(path, *state, 1, "scored.h5");
  assert_int_equal(truncate(path, 300), 0);
  in_iteration(path, *state, 2, "pairs.h5");
  assert_int_equal(truncate(path, 0), 0);
  in_iteration(path, *state, 2, "validation.h5");
  assert_int_equal(tpo_write_file(path, "not HDF5", 8, NULL), 0);
  put_file(*state, "manifest.json", "{\"steps\": [");
  put_file(*state, "config.yaml", "modle: x\n");
  char *page = report_of(*state);
  assert_well_formed(page);
  static const char *const names[] = {"iter-001/scored.h5", "iter-002/pairs.h5", "iter-002/validation.h5",
                                      "manifest.json", "config.yaml"};
  const char *notes = strstr(page, "<section id=\"notes\">");
  assert_non_null(notes);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) assert_contains(notes, names[i]);
  assert_contains(page, "<h3>Iteration 2</h3>");
  free(page);
}

/* A format failure has no score, so a pair with one has no margin. */
static void pairs_without_a_margin_are_pairs(void **state)
{
  static const int32_t ids[] = {1};
  static const double margins[] = {NAN, INFINITY};
  char path[4096];
  make_run(*state, &small, 0.1);
  for (int i = 0; i < 2; i++) {
    struct tpo_pairs pairs = {0};
    const struct tpo_pair_row row = {.prompt_id = "prompt-4",
                                     .chosen_row = 12,
                                     .rejected_row = 14,
                                     .margin = margins[i],
                                     .prompt_ids = ids,
                                     .chosen_ids = ids,
                                     .rejected_ids = ids,
                                     .n_prompt = 1,
                                     .n_chosen = 1,
                                     .n_rejected = 1};
    assert_int_equal(tpo_pairs_add(&pairs, &row, NULL), 0);
    in_iteration(path, *state, 1 + i, "pairs.h5");
    assert_int_equal(tpo_pairs_write(&pairs, path, NULL), 0);
    tpo_pairs_free(&pairs);
  }
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_int_equal(count(page, ">1 pair</span>"), 2);
  /* It stands before the prompts without a pair. */
  assert_true(strstr(page, ">1 pair</span>") < strstr(page, ">no pair</span>"));
  free(page);
}

/* Row numbers beyond the samples, negative ones, and other prompts' rows mark nothing. */
static void pairs_of_another_run_mark_nothing(void **state)
{
  struct folder_options large = small;
  make_run(*state, &small, 0.1);
  large.prompts = 300;
  large.texts.id = "other";
  put_pairs(*state, 1, &large);
  put_pairs(*state, 2, &large);
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_int_equal(count(page, "good\">chosen</span>"), 0);
  free(page);
}

static void a_large_run_is_cut_and_says_so(void **state)
{
  struct folder_options o = {.iterations = 1, .prompts = 700, .k = 2};
  make_run(*state, &o, 0.1);
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "50 of 700 prompts: those with the largest margins");
  assert_contains(page, "650 are left out");
  assert_contains(page, "50 of 700 instructions");
  assert_int_equal(count(page, "data-failures="), 50);
  /* Margins grow with the number: the 30 largest are the pairs among the last 45 prompts. */
  assert_contains(page, "garden number 699 ");
  assert_contains(page, "margin 700.00");
  free(page);
}

static void long_texts_are_cut_and_say_so(void **state)
{
  enum { length = 300000 };
  char *text = malloc(length + 1);
  assert_non_null(text);
  memset(text, 'a', length);
  text[length] = '\0';
  struct folder_options o = {
      .iterations = 1, .prompts = 2, .k = 2, .texts = {.response = text, .thought = text}};
  make_run(*state, &o, 0.1);
  char *page = report_of(*state);
  assert_well_formed(page);
  assert_contains(page, "… 288000 more characters");
  assert_true(strlen(page) < 400000);
  free(page);
  free(text);
}

static void what_is_no_run_is_refused(void **state)
{
  struct tpo_error err = {0};
  char path[4200], nowhere[4200];
  snprintf(path, sizeof path, "%s/out.html", (char *)*state);
  snprintf(nowhere, sizeof nowhere, "%s/none", (char *)*state);
  assert_int_equal(tpo_report_write(nowhere, path, &err), TPO_E_USAGE);
  assert_contains(err.message, nowhere);
  assert_int_equal(tpo_report_write(*state, path, &err), TPO_E_USAGE);
  assert_contains(err.message, "not the folder of a run");
  assert_false(tpo_file_exists(path));
}

static void a_page_that_can_not_be_written_is_an_error(void **state)
{
  struct tpo_error err = {0};
  char path[4200];
  put_file(*state, "config.yaml", "seed: 1\n");
  snprintf(path, sizeof path, "%s/no/such/folder.html", (char *)*state);
  assert_true(tpo_report_write(*state, path, &err) < 0);
  assert_contains(err.message, path);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_FOLDER(a_finished_run_is_all_there),
      IN_FOLDER(verdicts_follow_two_standard_errors),
      IN_FOLDER(nothing_is_fetched),
      IN_FOLDER(the_same_run_gives_the_same_page),
      IN_FOLDER(a_script_in_a_sample_shows_as_text),
      IN_FOLDER(hostile_texts_stay_texts_everywhere),
      IN_FOLDER(details_of_other_judges_are_shown),
      IN_FOLDER(a_run_that_has_just_begun_gives_a_page),
      IN_FOLDER(an_unfinished_run_shows_what_there_is),
      IN_FOLDER(only_the_start_model_was_validated),
      IN_FOLDER(strange_metrics_leave_a_page),
      IN_FOLDER(what_was_watched_has_a_row_each),
      IN_FOLDER(many_watches_are_shown_in_part),
      IN_FOLDER(strange_watches_leave_a_page),
      IN_FOLDER(changes_on_validation_count_as_the_run_counts),
      IN_FOLDER(what_parses_needs_no_word_about_what_does_not),
      IN_FOLDER(what_judges_counted_is_shown),
      IN_FOLDER(strange_counts_leave_a_page),
      IN_FOLDER(scores_that_are_not_numbers_are_none),
      IN_FOLDER(damaged_files_are_named),
      IN_FOLDER(pairs_without_a_margin_are_pairs),
      IN_FOLDER(pairs_of_another_run_mark_nothing),
      IN_FOLDER(a_large_run_is_cut_and_says_so),
      IN_FOLDER(long_texts_are_cut_and_say_so),
      IN_FOLDER(what_is_no_run_is_refused),
      IN_FOLDER(a_page_that_can_not_be_written_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
