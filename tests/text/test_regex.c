/* Regular expressions against those of Hugging Face's tokenizers: properties over all code points, and texts
 * cut by patterns of each construct (fixtures/regex.json). */
#include "text_test.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/pretokenize.h"
#include "text/unicode/set.h"

static json_t *fixture(void)
{
  struct tpo_error err = {0};
  json_t *root = tpo_json_load(FIXTURES "/regex.json", 1 << 20, &err);
  if (!root) fail_msg("%s", err.message);
  return root;
}

static struct tpo_pretokenizer compile(const char *pattern, enum tpo_split_behavior behavior, bool invert)
{
  struct tpo_pretokenizer pre = {0};
  struct tpo_error err = {0};
  if (tpo_pretokenizer_add(&pre, pattern, strlen(pattern), behavior, invert, "here", &err) < 0)
    fail_msg("%s", err.message);
  return pre;
}

static void cut(const struct tpo_pretokenizer *pre, const char *text, size_t len,
                struct tpo_pre_scratch *scratch)
{
  struct tpo_error err = {0};
  const char *out;
  if (tpo_pretokenize(pre, text, len, true, true, scratch, &out, &err) < 0) fail_msg("%s", err.message);
  assert_ptr_equal(out, text);
}

static void properties_are_those_of_the_package(void **state)
{
  (void)state;
  struct tpo_buf all = {0};
  for (uint32_t cp = 1; cp <= TPO_LAST_CODE_POINT; cp++)
    if (cp < 0xd800 || cp > 0xdfff) tpo_utf8_append(&all, cp);
  json_t *root = fixture(), *item;
  size_t i;
  json_array_foreach(json_object_get(root, "sets"), i, item)
  {
    const char *pattern = json_string_value(json_object_get(item, "pattern"));
    struct tpo_pre_scratch scratch = {0};
    struct tpo_pretokenizer pre = compile(pattern, TPO_SPLIT_REMOVED, true);
    cut(&pre, all.data, all.len, &scratch);
    uint32_t n = 0, sum = 0, cp;
    for (size_t k = 0; k < scratch.pieces.n; k++)
      for (size_t at = scratch.pieces.items[k].begin; at < scratch.pieces.items[k].end; n++) {
        at += (size_t)tpo_utf8_decode((const uint8_t *)all.data + at, all.len - at, &cp);
        sum += cp * 2654435761u;
      }
    if (n != json_integer_value(json_object_get(item, "n")) ||
        sum != json_integer_value(json_object_get(item, "sum")))
      fail_msg("%s matches %u code points", pattern, n);
    tpo_pretokenizer_free(&pre);
    tpo_pre_scratch_free(&scratch);
  }
  assert_int_equal(i, 34);
  json_decref(root);
  tpo_buf_free(&all);
}

static void texts_are_cut_as_the_package_does(void **state)
{
  (void)state;
  json_t *root = fixture(), *item;
  size_t i;
  struct tpo_pre_scratch scratch = {0};
  struct tpo_pretokenizer pre = {0};
  const char *compiled = ""; /* the texts of a split follow each other: it is compiled once for them */
  int last = -1;
  json_array_foreach(json_object_get(root, "splits"), i, item)
  {
    const char *pattern = json_string_value(json_object_get(item, "pattern"));
    const char *text = json_string_value(json_object_get(item, "text"));
    int behavior = (int)json_integer_value(json_object_get(item, "behavior"));
    const json_t *pieces = json_object_get(item, "pieces");
    bool invert = json_is_true(json_object_get(item, "invert"));
    if (strcmp(pattern, compiled) != 0 || 2 * behavior + invert != last) {
      tpo_pretokenizer_free(&pre);
      pre = compile(pattern, (enum tpo_split_behavior)behavior, invert);
      compiled = pattern, last = 2 * behavior + invert;
    }
    cut(&pre, text, strlen(text), &scratch);
    bool same = scratch.pieces.n == json_array_size(pieces);
    for (size_t k = 0; same && k < scratch.pieces.n; k++) {
      const char *piece = json_string_value(json_array_get(pieces, k));
      size_t len = scratch.pieces.items[k].end - scratch.pieces.items[k].begin;
      same = strlen(piece) == len && memcmp(piece, text + scratch.pieces.items[k].begin, len) == 0;
    }
    if (!same) fail_msg("%s (behavior %d) cuts \"%s\" into %zu", pattern, behavior, text, scratch.pieces.n);
  }
  assert_int_equal(i, 780);
  tpo_pretokenizer_free(&pre);
  tpo_pre_scratch_free(&scratch);
  json_decref(root);
}

static void what_pcre2_reads_otherwise_is_refused_by_name(void **state)
{
  (void)state;
  static const struct {
    const char *pattern, *part;
  } cases[] = {{"(?~ab)", "this kind of group"},
               {"(?s)a", "this kind of group"},
               {"(?x: a)", "this kind of group"},
               {"(?P<n>a)", "this kind of group"},
               {"(?(1)a)", "this kind of group"},
               {"(*FAIL)", "(*"},
               {"\\X", "\\X"},
               {"a\\Kb", "\\K"},
               {"(?<n>a)\\k<n>", "\\k"},
               {"(?<n>a)\\1", "reference to a group"},
               {"\\Qa\\E", "\\Q"},
               {"\\C-a", "\\C"},
               {"\\xe9", "this \\x"},
               {"\\x{110000}", "this \\x"},
               {"\\x{d800}", "this \\x"},
               {"\\u12", "this \\u"},
               {"\\p{Nonesuch}", "the property p{Nonesuch}"},
               {"\\p{(digits)}", "the property p{(digits)}"},
               {"[a-[b]]", "a range that ends with a set"},
               {"[[:nope:]]", "a [: :] of this name"},
               {"[a&&]", "a side of && that is empty"},
               {"a{3,2}", "bounds are turned"},
               {"(?i)stra", "folds to several"},
               {"(?i:\\x{df})", "folds to several"},
               {"(?i)[a[b]]", "a set in a set or && under (?i)"},
               {"(?i)[\\p{Lu}1]", "upper or lower case"},
               {"(?<=a+)b", "lookbehind assertion is not fixed length"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_regex regex;
    struct tpo_error err = {0};
    int status = tpo_regex_compile(&regex, cases[i].pattern, strlen(cases[i].pattern), "here", &err);
    if (status != TPO_E_UNSUPPORTED || !strstr(err.message, cases[i].part) ||
        !strstr(err.message, cases[i].part[0] == 'l' ? "can't be used" : "is not supported in") ||
        strncmp(err.message, "here: ", 6) != 0)
      fail_msg("%s: %d: %s", cases[i].pattern, status, err.message);
  }
}

static void faults_are_named(void **state)
{
  (void)state;
  static const struct {
    const char *pattern, *part;
  } cases[] = {{"\\p{L", "a \\p{ without its }"},
               {"[a-\\d]", "a range that ends with a class"},
               {"[\\d-x]", "a range that begins with a class"},
               {"[z-a]", "a range that ends before it begins"},
               {"[]", "an empty set"},
               {"[a", "a set without its ]"},
               {"[a\\", "a backslash at the end"},
               {"a\\", "a backslash at the end"},
               {"(a", "a group without its )"},
               {"a)", "a ) without its ("},
               {"*a", "a quantifier of nothing"},
               {"(?=a)+", "a quantifier of nothing"},
               {"a(?#b", "an open (?#"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_regex regex;
    struct tpo_error err = {0};
    char expected[160];
    snprintf(expected, sizeof expected, "here: the regular expression \"%s\" has %s", cases[i].pattern,
             cases[i].part);
    assert_int_equal(tpo_regex_compile(&regex, cases[i].pattern, strlen(cases[i].pattern), "here", &err),
                     TPO_E_INPUT);
    assert_string_equal(err.message, expected);
  }
}

/* Sets cost milliseconds each, so their number is what bounds the time that opening a tokenizer takes. */
static void sets_are_counted(void **state)
{
  (void)state;
  static const struct {
    const char *open, *item, *close;
    int most;
  } kinds[] = {{"[", "\\p{L}", "]", 255}, {"", "\\h", "", 256}, {"[", "[:alpha:]", "]", 255},
               {"[", "[^a]", "]", 255},   {"", "[a]", "", 256}, {"", "a\\D", "", 256}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    for (int more = 0; more < 2; more++) {
      struct tpo_buf pattern = {0};
      struct tpo_error err = {0};
      struct tpo_regex regex;
      tpo_buf_puts(&pattern, kinds[i].open);
      for (int n = 0; n < kinds[i].most + more; n++) tpo_buf_puts(&pattern, kinds[i].item);
      tpo_buf_puts(&pattern, kinds[i].close);
      int status = tpo_regex_compile(&regex, pattern.data, pattern.len, "here", &err);
      if (status != (more ? TPO_E_INPUT : TPO_OK) || (more && !strstr(err.message, "more than 256 sets")))
        fail_msg("%d %s: %d: %s", kinds[i].most + more, kinds[i].item, status, err.message);
      assert_int_equal(regex.n_sets, more ? 0 : 256);
      tpo_regex_free(&regex);
      tpo_buf_free(&pattern);
    }
}

static void all_splits_share_a_number_of_sets(void **state)
{
  (void)state;
  struct tpo_pretokenizer pre = {0};
  struct tpo_error err = {0};
  char pattern[16 * 2 + 1] = {0};
  for (int i = 0; i < 16; i++) memcpy(pattern + 2 * i, "\\d", 2);
  for (int i = 0; i < 33; i++) {
    int status = tpo_pretokenizer_add(&pre, pattern, 32, TPO_SPLIT_ISOLATED, false, "here", &err);
    assert_int_equal(status, i < 32 ? TPO_OK : TPO_E_INPUT);
  }
  assert_string_equal(err.message, "here: more than 512 sets and classes of characters in pre_tokenizer");
  tpo_pretokenizer_free(&pre);
}

static void a_second_program_is_made_where_texts_need_it(void **state)
{
  (void)state;
  static const struct {
    const char *pattern;
    bool both;
  } cases[] = {{"[\\r\\n]+|[0-9]{3}", false}, {"\\s+(?!\\S)|a(?=b)", false}, {"\\p{L}+", true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_regex regex;
    struct tpo_error err = {0};
    assert_int_equal(tpo_regex_compile(&regex, cases[i].pattern, strlen(cases[i].pattern), "here", &err),
                     TPO_OK);
    assert_non_null(regex.quick);
    /* a PCRE2 of the table's own Unicode needs none at all */
    assert_true(regex.exact ? cases[i].both : !cases[i].both || regex.differs.n == 0);
    assert_int_equal(regex.exact != NULL, regex.differs.n > 0);
    tpo_regex_free(&regex);
  }
}

static void deep_nesting_is_refused(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  for (int kind = 0; kind < 2; kind++) {
    char pattern[401] = {0};
    memset(pattern, kind ? '[' : '(', 400);
    struct tpo_regex regex;
    assert_int_equal(tpo_regex_compile(&regex, pattern, 400, "here", &err), TPO_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, kind ? "so deep a set in sets" : "so deep a group"));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(properties_are_those_of_the_package),
      cmocka_unit_test(texts_are_cut_as_the_package_does),
      cmocka_unit_test(what_pcre2_reads_otherwise_is_refused_by_name),
      cmocka_unit_test(faults_are_named),
      cmocka_unit_test(sets_are_counted),
      cmocka_unit_test(all_splits_share_a_number_of_sets),
      cmocka_unit_test(a_second_program_is_made_where_texts_need_it),
      cmocka_unit_test(deep_nesting_is_refused),
  };
  return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
