/* Kinds of thought by keywords, and how much of a draft is in the response. */
#include "measure/rows.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "measure/thoughts.h"

static unsigned kinds(const char *thought)
{
  struct thought_occurrence found[N_THOUGHT_KINDS];
  unsigned bits = 0;
  thought_occurrences(thought, found);
  for (int k = 0; k < N_THOUGHT_KINDS; k++) bits |= (unsigned)thought_is(k, found) << k;
  return bits;
}

#define BIT(kind) (1U << THOUGHT_##kind)

static void a_thought_shows_its_kinds(void **state)
{
  (void)state;
  static const struct {
    const char *thought;
    unsigned kinds;
  } cases[] = {
      {"The user wants a recipe.", BIT(RESTATING)},
      {"THE  USER,\nwants a recipe.", BIT(RESTATING)}, /* words in a row, whatever stands between */
      {"The user never wants that.", 0},
      {"the users want", 0}, /* whole words */
      {"I'll list the facts.", BIT(PLANNING)},
      {"I\xe2\x80\x99ll list the facts.", BIT(PLANNING)}, /* a typographic apostrophe */
      {"Illness is a topic.", 0},
      {"explanations and airplanes", 0},
      {"Draft response: Hello!", BIT(DRAFTING)},
      {"Shakespeare drafted it; overdrafts", BIT(DRAFTING)},
      {"Evaluation: this is fine.", BIT(EVALUATING)},
      {"Evaluating it", BIT(EVALUATING)},
      {"revaluation", 0},
      {"First, the sea.", 0}, /* one item is no list */
      {"First, the sea. Second, the land.", BIT(ENUMERATING)},
      {"It came first and then second.", 0}, /* not at a sentence's beginning */
      {"1. sea\n2. land", BIT(ENUMERATING)},
      {"Ideas:\n - sea\n * land", BIT(ENUMERATING)},
      {"• sea\n• land", BIT(ENUMERATING)},
      {"1.5 and\n2.5 and -3", 0},
      {"Wait, that can't be.", BIT(CORRECTING)},
      {"They wait for it.", 0},
      {"Hmm. Actually, no.", BIT(CORRECTING)},
      {"The user asks for a poem. My plan: a draft first. Wait, is this too long?",
       BIT(RESTATING) | BIT(PLANNING) | BIT(DRAFTING) | BIT(EVALUATING) | BIT(CORRECTING)},
      {"A sea is blue.", 0},
      {"Der Nutzer m\xc3\xb6"
       "chte einen Plan\xc3\xa4",
       0},
      {"", 0},
      {"\xff\xfe \x80", 0},
      {"I'", 0},
      {"i", 0},
      {"the user", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (kinds(cases[i].thought) != cases[i].kinds)
      fail_msg("\"%s\": %x, expected %x", cases[i].thought, kinds(cases[i].thought), cases[i].kinds);
}

/* Each pattern alone, as often as its kind needs it, gives the kind; and none is longer than the table's room. */
static void every_pattern_of_the_table_is_found(void **state)
{
  (void)state;
  for (int k = 0; k < N_THOUGHT_KINDS; k++) {
    const struct thought_rule *rule = &thought_rules[k];
    assert_null(rule->patterns[MOST_PATTERNS - 1]);
    assert_non_null(rule->patterns[0]);
    for (int p = 0; rule->patterns[p]; p++) {
      char text[256];
      struct thought_occurrence found[N_THOUGHT_KINDS];
      const char *pattern = rule->patterns[p] + (rule->patterns[p][0] == '^');
      snprintf(text, sizeof text, "%s. So it is.\n%s", pattern, pattern);
      for (char *star; (star = strchr(text, '*'));) *star = 's';
      if (strcmp(pattern, "#") == 0) strcpy(text, "- a\n- b");
      thought_occurrences(text, found);
      if (found[k].n < 2) fail_msg("%s: \"%s\" is not found", rule->name, pattern);
      assert_int_equal(found[k].first, 0);
      for (int q = 0; q < p; q++) assert_string_not_equal(rule->patterns[p], rule->patterns[q]);
    }
  }
}

static void overlap_is_the_share_of_the_responses_sequences(void **state)
{
  (void)state;
  assert_near(thought_overlap("Draft: the sea is blue and wide.", "The sea is blue and WIDE!"), 1);
  assert_near(thought_overlap("the sea is blue", "the sea is green"), 0.5);
  assert_near(thought_overlap("nothing of it", "the sea is green"), 0);
  assert_near(thought_overlap("", "the sea is green"), 0);
  /* three different ones, of which "a b c" is there twice */
  assert_near(thought_overlap("a b c", "a b c a b c"), 1.0 / 3);
  assert_true(isnan(thought_overlap("the sea is blue", "the sea")));
  assert_true(isnan(thought_overlap("the sea", "")));
  assert_near(thought_overlap("写一首诗", "一首诗"), 1);
  assert_near(thought_overlap("a\xff b c", "a b c"), 1); /* such bytes part words */
}

#define THOUGHT_ROW(id_, response_, text_)                                                                   \
  {                                                                                                          \
    .id = id_, .score = 1, .response = response_, .tokens = 4, .thought = 2, .text = text_                   \
  }

static struct thought_counts count(const struct tpo_samples *samples)
{
  struct thought_counts counts;
  struct tpo_error err = {0};
  if (thoughts_count(&counts, samples, &err) < 0) fail_msg("%s", err.message);
  return counts;
}

static void thoughts_are_counted_with_an_example_of_each_kind(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  SKETCH(&samples, THOUGHT_ROW("a", "one two three", "Sea. Draft: one two three! Land."),
         THOUGHT_ROW("a", "one two three four", "Here. A first version: one two three."),
         THOUGHT_ROW("b", "blue is the sea", "  blue is the sky\nand more"), THOUGHT_ROW("c", "x y z", " \n"),
         THOUGHT_ROW("d", NULL, "Draft: of an output that does not parse."),
         THOUGHT_ROW("e", "short", "draft"));
  struct thought_counts c = count(&samples);
  assert_true(c.thoughts == 4 && c.empty == 1 && c.other == 1 && c.of[THOUGHT_DRAFTING] == 3);
  assert_true(c.of[THOUGHT_PLANNING] == 0 && c.examples[THOUGHT_PLANNING] == NULL);
  assert_int_equal(c.drafts, 2); /* a response of one word has no overlap */
  assert_near(c.draft_overlap, 0.75);
  assert_near(c.draft_overlap_se, 0.25);
  assert_true(c.undrafted == 1);
  assert_near(c.undrafted_overlap, 0.5);
  const char *draft = c.examples[THOUGHT_DRAFTING];
  assert_true(strcmp(draft, "Draft: one two three!") == 0 || strcmp(draft, "draft") == 0 ||
              strcmp(draft, "A first version: one two three.") == 0);
  assert_string_equal(c.examples[N_THOUGHT_KINDS], "blue is the sky");
  thoughts_free(&c);
  tpo_samples_free(&samples);
}

/* Not cut at the number of a list's item nor at an abbreviation. */
static void an_example_is_a_whole_sentence(void **state)
{
  (void)state;
  static const struct {
    const char *thought;
    enum thought_kind kind;
    const char *example;
  } cases[] = {
      {"Ideas:\n1. The sea. It is blue.\n2. Land.", THOUGHT_ENUMERATING, "1. The sea."},
      {"  10. Sea, e.g. a blue one\n  11. Land.", THOUGHT_ENUMERATING, "10. Sea, e.g. a blue one"},
      {"Sea.\n3. My draft says it. Land.", THOUGHT_DRAFTING, "3. My draft says it."},
      {"Sea.\n**2.1. A draft.** Land.", THOUGHT_DRAFTING, "**2.1. A draft."},
      {"Sea.\na. the draft\nb. land", THOUGHT_DRAFTING, "a. the draft"},
      {"Sea.\niv. The draft! Land.", THOUGHT_DRAFTING, "iv. The draft!"},
      {"1. Sea. 2. The draft. 3. Land.", THOUGHT_DRAFTING, "2. The draft."},
      {"Sea. In the U.S. a draft is short. Land.", THOUGHT_DRAFTING, "In the U.S. a draft is short."},
      {"The U.S. Then a draft, i.e. a sketch by Mr. Lee. Land.", THOUGHT_DRAFTING,
       "Then a draft, i.e. a sketch by Mr. Lee."},
      {"He said: \"Draft it.\" Land.", THOUGHT_DRAFTING, "He said: \"Draft it.\""},
      {"It is 5. A draft. Land.", THOUGHT_DRAFTING,
       "A draft."}, /* a number that ends a sentence is no mark */
      {"draft", THOUGHT_DRAFTING, "draft"},
      {"1.\n2.\ndraft", THOUGHT_DRAFTING, "draft"},
      {"Sea.\n1. draft", THOUGHT_DRAFTING, "1. draft"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_samples samples = {0};
    SKETCH(&samples, THOUGHT_ROW("a", "x", cases[i].thought));
    struct thought_counts c = count(&samples);
    assert_non_null(c.examples[cases[i].kind]);
    assert_string_equal(c.examples[cases[i].kind], cases[i].example);
    thoughts_free(&c);
    tpo_samples_free(&samples);
  }
}

/* Neither on what stands before it nor on the order of instructions. */
static void an_example_depends_on_its_key_alone(void **state)
{
  (void)state;
  struct tpo_samples one = {0}, two = {0};
  SKETCH(&one, THOUGHT_ROW("a", "x", "draft of a"), THOUGHT_ROW("b", "x", "draft of b"),
         THOUGHT_ROW("c", "x", "draft of c"));
  SKETCH(&two, THOUGHT_ROW("c", "x", "draft of c"), THOUGHT_ROW("z", "x", "nothing"),
         THOUGHT_ROW("b", "x", "draft of b"), THOUGHT_ROW("a", "x", "draft of a"));
  struct thought_counts first = count(&one), second = count(&two);
  assert_string_equal(first.examples[THOUGHT_DRAFTING], second.examples[THOUGHT_DRAFTING]);
  thoughts_free(&first);
  thoughts_free(&second);
  tpo_samples_free(&one);
  tpo_samples_free(&two);
}

static void a_long_sentence_is_cut_around_the_keyword(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct tpo_buf text = {0};
  for (int i = 0; i < 300000; i++) tpo_buf_puts(&text, "é ");
  tpo_buf_puts(&text, "draft \xff ");
  for (int i = 0; i < 300000; i++) tpo_buf_puts(&text, "ü ");
  SKETCH(&samples, THOUGHT_ROW("a", "x", text.data));
  struct thought_counts c = count(&samples);
  const char *example = c.examples[THOUGHT_DRAFTING];
  assert_true(tpo_utf8_valid(example, strlen(example), NULL));
  assert_int_equal(tpo_utf8_count(example, strlen(example)), 242);
  assert_true(strncmp(example, "…", 3) == 0 && strstr(example, "draft \xef\xbf\xbd ü"));
  assert_string_equal(example + strlen(example) - 3, "…");
  thoughts_free(&c);
  tpo_samples_free(&samples);
  tpo_buf_free(&text);
}

static void no_thoughts_have_no_numbers(void **state)
{
  (void)state;
  struct tpo_samples samples = {0};
  struct thought_counts c = count(&samples);
  assert_true(c.thoughts == 0 && isnan(c.draft_overlap) && isnan(c.undrafted_overlap));
  for (int k = 0; k <= N_THOUGHT_KINDS; k++) assert_null(c.examples[k]);
  thoughts_free(&c);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_thought_shows_its_kinds),
      cmocka_unit_test(every_pattern_of_the_table_is_found),
      cmocka_unit_test(overlap_is_the_share_of_the_responses_sequences),
      cmocka_unit_test(thoughts_are_counted_with_an_example_of_each_kind),
      cmocka_unit_test(an_example_is_a_whole_sentence),
      cmocka_unit_test(an_example_depends_on_its_key_alone),
      cmocka_unit_test(a_long_sentence_is_cut_around_the_keyword),
      cmocka_unit_test(no_thoughts_have_no_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
