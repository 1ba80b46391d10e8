/* Each check type with texts that follow it and texts that don't; the arguments that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/file.h"
#include "checks/checks.h"
#include "tpo/checks.h"

enum { NO, YES, LOOSE /* only loosely */ };
struct example {
  const char *check, *response;
  int expected;
};

#define CHECK(type) "{\"type\":\"" type "\"}"
#define CHECK1(type, args) "{\"type\":\"" type "\"," args "}"

#define AT_LEAST(n)                                                                                          \
  CHECK1("length_constraints:number_words", "\"num_words\":" #n ",\"relation\":\"at least\"")
#define LESS(n) CHECK1("length_constraints:number_words", "\"num_words\":" #n ",\"relation\":\"less than\"")
#define SENTENCES(n)                                                                                         \
  CHECK1("length_constraints:number_sentences", "\"num_sentences\":" #n ",\"relation\":\"at least\"")
#define FEWER_SENTENCES(n)                                                                                   \
  CHECK1("length_constraints:number_sentences", "\"num_sentences\":" #n ",\"relation\":\"less than\"")
#define PARAGRAPHS(n) CHECK1("length_constraints:number_paragraphs", "\"num_paragraphs\":" #n)
#define FIRST_WORD(n, nth, word)                                                                             \
  CHECK1("length_constraints:nth_paragraph_first_word",                                                      \
         "\"num_paragraphs\":" #n ",\"nth_paragraph\":" #nth ",\"first_word\":\"" word "\"")
#define BULLETS(n) CHECK1("detectable_format:number_bullet_lists", "\"num_bullets\":" #n)
#define HIGHLIGHTS(n) CHECK1("detectable_format:number_highlighted_sections", "\"num_highlights\":" #n)
#define SECTIONS(n)                                                                                          \
  CHECK1("detectable_format:multiple_sections", "\"section_spliter\":\"Section\",\"num_sections\":" #n)
#define PLACEHOLDERS(n) CHECK1("detectable_content:number_placeholders", "\"num_placeholders\":" #n)
#define POSTSCRIPT(marker) CHECK1("detectable_content:postscript", "\"postscript_marker\":\"" marker "\"")
#define KEYWORDS(list) CHECK1("keywords:existence", "\"keywords\":" list)
#define FORBIDDEN(list) CHECK1("keywords:forbidden_words", "\"forbidden_words\":" list)
#define OFTEN(word, n, relation)                                                                             \
  CHECK1("keywords:frequency", "\"keyword\":\"" word "\",\"frequency\":" #n ",\"relation\":\"" relation "\"")
#define LETTER(letter, n, relation)                                                                          \
  CHECK1("keywords:letter_frequency",                                                                        \
         "\"letter\":\"" letter "\",\"let_frequency\":" #n ",\"let_relation\":\"" relation "\"")
#define CAPITAL_WORDS(n, relation)                                                                           \
  CHECK1("change_case:capital_word_frequency",                                                               \
         "\"capital_frequency\":" #n ",\"capital_relation\":\"" relation "\"")
#define LANGUAGE(code) CHECK1("language:response_language", "\"language\":\"" code "\"")
#define END(phrase) CHECK1("startend:end_checker", "\"end_phrase\":\"" phrase "\"")
#define REPEAT(prompt) CHECK1("combination:repeat_prompt", "\"prompt_to_repeat\":\"" prompt "\"")
#define EXACT(args) CHECK1("reference:exact", args)
#define NUMERIC(args) CHECK1("reference:numeric", args)
#define REGEX(args) CHECK1("reference:regex", args)

static const struct example examples[] = {
    {KEYWORDS("[\"river\",\"Stone\"]"), "A stone lay in the RIVERBED.", YES},
    {KEYWORDS("[\"river\",\"stone\"]"), "A stone lay there.", NO},
    {KEYWORDS("[\"été\"]"), "L'ÉTÉ est là.", YES},
    {KEYWORDS("[\"C++\"]"), "I write c++ daily.", YES},
    {OFTEN("tea", 2, "at least"), "Tea and more teacups.", YES},
    {OFTEN("tea", 2, "at least"), "Only one tea.", NO},
    {OFTEN("aa", 2, "less than"), "aaa", YES},
    {OFTEN("aa", 2, "less than"), "aaaa", NO},
    {FORBIDDEN("[\"cat\",\"dog\"]"), "A category of dogmas.", YES},
    {FORBIDDEN("[\"cat\",\"dog\"]"), "A Cat.", NO},
    {FORBIDDEN("[\"cat\"]"), "catécat cat_ xcat", YES},
    {FORBIDDEN("[\"cat\"]"), "ends in cat", NO},
    {FORBIDDEN("[\"C++\"]"), "C++", YES}, /* no word boundary after a plus sign at the end */
    {LETTER("e", 3, "at least"), "Elephants eat.", YES},
    {LETTER("e", 4, "at least"), "Elephants eat.", NO},
    {LETTER("!", 2, "less than"), "Oh! No!", NO},
    {LETTER("ö", 2, "at least"), "Ö ö", YES},
    {LANGUAGE("de"), "Das ist ein Satz, und er ist nicht lang, aber auf Deutsch.", YES},
    {LANGUAGE("de"), "This is a sentence that is not long, but it is in English.", NO},
    {LANGUAGE("hi"), "यह एक छोटा वाक्य है और यह हिंदी में है।", YES},
    {LANGUAGE("mr"), "यह एक छोटा वाक्य है और यह हिंदी में है।", NO},
    {LANGUAGE("ru"), "Это короткое предложение, и оно на русском языке.", YES},
    {LANGUAGE("uk"), "Це коротке речення, і воно українською мовою.", YES},
    {LANGUAGE("bg"), "Това е кратко изречение и то е на български език.", YES},
    {LANGUAGE("ru"), "Това е кратко изречение и то е на български език.", NO},
    {LANGUAGE("ja"), "これは日本語の短い文です。", YES},
    {LANGUAGE("zh"), "这是一个很短的句子。", YES},
    {LANGUAGE("ko"), "이것은 짧은 문장입니다.", YES},
    {LANGUAGE("ur"), "یہ ایک مختصر جملہ ہے اور یہ اردو میں ہے۔", YES},
    {LANGUAGE("fa"), "این یک جمله کوتاه است که به زبان فارسی است.", YES},
    {LANGUAGE("ar"), "هذه جملة قصيرة في اللغة العربية على هذا النحو.", YES},
    {LANGUAGE("th"), "นี่คือประโยคสั้น ๆ", YES},
    {LANGUAGE("fr"), "C'est une phrase courte, et elle est dans la langue des Français.", YES},
    {LANGUAGE("es"), "Esta es una frase muy corta, pero está en español.", YES},
    {LANGUAGE("pt"), "Esta é uma frase muito curta, mas não é em espanhol.", YES},
    {LANGUAGE("it"), "Questa è una frase molto breve, ma non è in inglese.", YES},
    {LANGUAGE("vi"), "Đây là một câu ngắn và nó được viết bằng tiếng Việt.", YES},
    {LANGUAGE("sw"), "Hii ni sentensi fupi na imeandikwa kwa lugha ya Kiswahili.", YES},
    {LANGUAGE("fi"), "Tämä on lyhyt lause, ja se on kirjoitettu suomeksi.", YES},
    {LANGUAGE("pl"), "To jest krótkie zdanie, które jest napisane po polsku.", YES},
    {LANGUAGE("de"), "1 2 3", YES}, /* nothing to tell by */
    {SENTENCES(3), "One. Two! Three?", YES},
    {SENTENCES(4), "One. Two! Three?", NO},
    {SENTENCES(2), "Dr. Smith and Mr. Jones met e.g. on Fri. at 3 p.m. sharp", NO},
    {SENTENCES(2), "It ended at 3 p.m. The guests left.", YES},
    {SENTENCES(2), "J. R. Miller paid 3.50 for it.", NO},
    {SENTENCES(2), "Well... maybe not.", NO},
    {FEWER_SENTENCES(3), "\"Stop!\" he said. Then silence", NO},
    {FEWER_SENTENCES(3), "He said \"Stop.\" Then silence.", YES},
    {FEWER_SENTENCES(2), "No full stop at all", YES},
    {SENTENCES(2), "First line.\r\nSecond line.\r\n", YES},
    {PARAGRAPHS(2), "One\n\n***\n\nTwo", YES},
    {PARAGRAPHS(2), "One\n***\nTwo\n***", YES},
    {PARAGRAPHS(2), "One\r\n***\r\nTwo", YES},
    {PARAGRAPHS(2), "One\n\nTwo", NO},
    {PARAGRAPHS(2), "One\n***\n***\nTwo", NO},
    {AT_LEAST(4), "one two-three 4", YES},
    {AT_LEAST(4), "don't do", NO}, /* don, t, do */
    {AT_LEAST(2), "über straße", YES},
    {LESS(3), "one two", YES},
    {LESS(3), "one two three", NO},
    {FIRST_WORD(2, 2, "today"), "Hello there.\n\n\"Today, we go.", YES},
    {FIRST_WORD(2, 2, "today"), "Hello there.\n\nTodays we go.", NO},
    {FIRST_WORD(2, 1, "Été"), "été ici\n\nb", YES},
    {FIRST_WORD(2, 1, "a"), "a\n\nb\n\nc", NO},
    {FIRST_WORD(2, 2, "b"), "a\n\n\n\nb", NO}, /* the second piece is blank */
    {FIRST_WORD(2, 1, "a"), "a\r\n\r\nb", NO}, /* the benchmark knows newlines only */
    {PLACEHOLDERS(2), "Dear [name], of [place].", YES},
    {PLACEHOLDERS(2), "Dear [name, of\nplace].", NO},
    {PLACEHOLDERS(1), "[]", YES},
    {POSTSCRIPT("P.S."), "Bye.\n\np. s. I forgot.", YES},
    {POSTSCRIPT("P.S."), "Bye. PS: I forgot.", NO},
    {POSTSCRIPT("P.P.S"), "Bye.\nP.P.S. More", YES},
    {POSTSCRIPT("P.P.S"), "Bye.\nP.S. More", NO},
    {POSTSCRIPT("Note:"), "Bye. NOTE: more", YES},
    {BULLETS(2), "Points:\n* a\n - b\nend", YES},
    {BULLETS(2), "* a\r\n* b\r\n", YES},
    {BULLETS(2), "* a\n** b **", NO},
    {BULLETS(1), "* a\n---\n", NO}, /* a rule counts as a bullet */
    {BULLETS(1), "*", NO},
    {BULLETS(1), "\n\n\n  * a", YES},
    {CHECK("detectable_format:constrained_response"), "Well. My answer is maybe. Or so.", YES},
    {CHECK("detectable_format:constrained_response"), "my answer is maybe.", NO},
    {HIGHLIGHTS(2), "*one* and **two**", YES},
    {HIGHLIGHTS(2), "*one* and * *", NO},
    {HIGHLIGHTS(1), "*one\n*", NO},
    {HIGHLIGHTS(1), "no marks", NO},
    {SECTIONS(2), "Section 1\na\nSection2 b", YES},
    {SECTIONS(2), "section 1\nSection 2", NO},
    {SECTIONS(1), "Section  1", NO},
    {CHECK("detectable_format:json_format"), "```json\n{\"a\": [1, -2.5e3, null, \"\\u00e9\"]}\n```", YES},
    {CHECK("detectable_format:json_format"), "[]", YES},
    {CHECK("detectable_format:json_format"), "\"text\"", YES},
    {CHECK("detectable_format:json_format"), "{'a': 1}", NO},
    {CHECK("detectable_format:json_format"), "{\"a\": 1,}", NO},
    {CHECK("detectable_format:json_format"), "{\"a\": 01}", NO},
    {CHECK("detectable_format:json_format"), "{\"a\": \"line\nbreak\"}", NO},
    {CHECK("detectable_format:json_format"), "{} {}", NO},
    {CHECK("detectable_format:json_format"), "Here it is:\n{\"a\": 1}", LOOSE},
    {CHECK("detectable_format:title"), "<<My day>>\nIt was good.", YES},
    {CHECK("detectable_format:title"), "<< >> and <My day>", NO},
    {CHECK("detectable_format:title"), "<<My\nday>>", NO},
    {CHECK("combination:two_responses"), "One.\n******\nTwo.", YES},
    {CHECK("combination:two_responses"), "One.\n******\nOne.", NO},
    {CHECK("combination:two_responses"), "a******b******c", NO},
    {CHECK("combination:two_responses"), "******a******b", YES},
    {REPEAT("Say hi."), "say HI. Hi!", YES},
    {REPEAT("Say hi."), "Sure: Say hi. Hi!", NO},
    {REPEAT("Say hi."), "Sure:\nSay hi. Hi!", LOOSE},
    {CHECK("combination:repeat_prompt"), "Tell me a joke. Knock knock.", YES}, /* the instruction itself */
    {CHECK("combination:repeat_prompt"), "Knock knock.", NO},
    {END("That is all."), "Hello. that is ALL.\n", YES},
    {END("That is all."), "\"Hello. That is all.\"", YES},
    {END("That is all."), "Hello. That is all. Bye", NO},
    {END("That is all."), "Hello. That is all.\nBye", LOOSE},
    {CHECK("startend:quotation"), " \"Hello\" \n", YES},
    {CHECK("startend:quotation"), "\"Hello\".", NO},
    {CHECK("startend:quotation"), "\"", NO},
    {CHECK("startend:quotation"), "“Hello”", NO},
    {CAPITAL_WORDS(2, "at least"), "I saw NASA.", YES},
    {CAPITAL_WORDS(2, "at least"), "WELL-KNOWN Nasa", NO},
    {CAPITAL_WORDS(2, "at least"), "I'M here", YES},
    {CAPITAL_WORDS(2, "at least"), "I think I'm here", YES}, /* "I" and "'m" are words of their own */
    {CAPITAL_WORDS(1, "less than"), "nothing 3 here", YES},
    {CAPITAL_WORDS(1, "less than"), "**LOUD**", NO},
    {CHECK("change_case:english_capital"), "THIS IS THE TEXT, AND IT IS LOUD.", YES},
    {CHECK("change_case:english_capital"), "THIS IS THE TEXT, AND IT IS Loud.", NO},
    {CHECK("change_case:english_capital"), "DAS IST NICHT DIE SPRACHE, IN DER ES SEIN SOLL.", NO},
    {CHECK("change_case:english_capital"), "123", NO},
    {CHECK("change_case:english_lowercase"), "this is the text, and it is quiet.", YES},
    {CHECK("change_case:english_lowercase"), "this is the text, and It is not.", NO},
    {CHECK("change_case:english_lowercase"), "Title\nthis is the text, and it is quiet.", LOOSE},
    {CHECK("punctuation:no_comma"), "No comma; none、at all.", YES},
    {CHECK("punctuation:no_comma"), "One, two", NO},
    {CHECK("punctuation:no_comma"), "Sure, gladly:\nNo comma here\nBye, now", LOOSE},
    {EXACT("\"reference\":\"New  York\""), " new york\n", YES},
    {EXACT("\"reference\":\"New York\""), "New York City", NO},
    {EXACT("\"reference\":\"New York\",\"ignore_case\":false"), "new york", NO},
    {EXACT("\"reference\":\"New York\",\"contained\":true"), "It is New\nYork.", YES},
    {EXACT("\"reference\":\"York\",\"contained\":true"), "It is Yorkshire.", NO},
    {NUMERIC("\"reference\":1234.5"), "It costs $1,234.50 in all.", YES},
    {NUMERIC("\"reference\":\"18\""), "12 + 6 = 18.", YES},
    {NUMERIC("\"reference\":18"), "18 or 19", NO},
    {NUMERIC("\"reference\":18"), "eighteen", NO},
    {NUMERIC("\"reference\":-3"), "The result is -3", YES},
    {NUMERIC("\"reference\":3"), "between 1-3", NO}, /* the sign belongs to the number */
    {NUMERIC("\"reference\":2"), "2 for b2b", YES},
    {NUMERIC("\"reference\":0.5"), "It is .5", YES},
    {NUMERIC("\"reference\":3.14159,\"tolerance\":0.01"), "about 3.14", YES},
    {NUMERIC("\"reference\":3.14159"), "about 3.14", NO},
    {NUMERIC("\"reference\":1200"), "1.2e3", YES},
    {NUMERIC("\"reference\":1"), "1,23", NO}, /* 23 is the last number */
    {REGEX("\"reference\":\"^\\\\d{4}-\\\\d{2}$\""), "2024-05", YES},
    {REGEX("\"reference\":\"\\\\bcat\\\\b\""), "concatenate", NO},
    {REGEX("\"reference\":\"a|b\",\"full\":true"), "ab", NO},
    {REGEX("\"reference\":\"a+\",\"full\":true"), " aaa\n", YES},
    {REGEX("\"reference\":\"^.$\""), "é", YES},
};
enum { N_EXAMPLES = sizeof examples / sizeof *examples };

static int check(const char *json, const char *response, bool loose)
{
  struct tpo_error err = {0};
  int status = check_response(json, "Tell me a joke.", response, loose, &err);
  if (status < 0) fail_msg("%s: %s", json, err.message);
  return status;
}

static void examples_are_judged_as_documented(void **state)
{
  (void)state;
  for (int i = 0; i < N_EXAMPLES; i++) {
    int strict = check(examples[i].check, examples[i].response, false);
    int loose = check(examples[i].check, examples[i].response, true);
    if (strict != (examples[i].expected == YES) || (examples[i].expected == YES && !loose) ||
        (examples[i].expected == LOOSE && !loose))
      fail_msg("%s on '%s': strict %d, loose %d", examples[i].check, examples[i].response, strict, loose);
  }
}

static void every_type_has_a_passing_and_a_failing_example(void **state)
{
  (void)state;
  assert_int_equal(n_check_types, 28);
  for (size_t t = 0; t < n_check_types; t++) {
    bool seen[3] = {false};
    char start[96];
    snprintf(start, sizeof start, "{\"type\":\"%s\"", check_types[t].name);
    for (int i = 0; i < N_EXAMPLES; i++)
      if (strncmp(examples[i].check, start, strlen(start)) == 0) seen[examples[i].expected] = true;
    if (!seen[NO] || !seen[YES]) fail_msg("%s lacks an example", check_types[t].name);
  }
}

static void every_type_is_documented(void **state)
{
  (void)state;
  struct tpo_buf page = {0};
  struct tpo_error err = {0};
  if (tpo_read_file(TPO_SOURCE_DIR "/src/checks/README.md", 1 << 20, &page, &err) < 0)
    fail_msg("%s", err.message);
  for (size_t t = 0; t < n_check_types; t++) {
    char row[96];
    snprintf(row, sizeof row, "| `%s` |", check_types[t].name);
    if (!strstr(page.data, row)) fail_msg("src/checks/README.md lacks %s", row);
    for (int a = 0; a < 4 && check_types[t].arguments[a]; a++) {
      snprintf(row, sizeof row, "`%s`", check_types[t].arguments[a]);
      if (!strstr(page.data, row)) fail_msg("src/checks/README.md lacks the argument %s", row);
    }
  }
  tpo_buf_free(&page);
}

static void an_empty_response_follows_nothing(void **state)
{
  (void)state;
  for (int i = 0; i < N_EXAMPLES; i++)
    for (int loose = 0; loose < 2; loose++) {
      assert_int_equal(check(examples[i].check, "", loose), 0);
      assert_int_equal(check(examples[i].check, " \n\u3000\r\n", loose), 0);
    }
}

static void loose_takes_any_of_the_eight_readings(void **state)
{
  (void)state;
  assert_int_equal(check(CHECK("startend:quotation"), "Sure:\n\"a\"", true), 1);
  assert_int_equal(check(CHECK("startend:quotation"), "\"a\"\nDone.", true), 1);
  assert_int_equal(check(CHECK("startend:quotation"), "Sure:\n\"a\"\nDone.", true), 1);
  assert_int_equal(check(CHECK("startend:quotation"), "*\"a\"*", true), 1);
  assert_int_equal(check(CHECK("startend:quotation"), "Sure:\n*\"a\"*", true), 1);
  assert_int_equal(check(CHECK("startend:quotation"), "Sure:\nmore\n\"a\"", true), 0);
}

static void wrong_arguments_are_refused(void **state)
{
  (void)state;
  static const struct {
    const char *check, *message;
  } wrong[] = {
      {CHECK("length_constraints:letters"), "no check of the type \"length_constraints:letters\""},
      {"{}", "type"},
      {"[]", "type"},
      {"{", "JSON"},
      {CHECK("length_constraints:number_words"), "lacks \"num_words\""},
      {CHECK1("length_constraints:number_words", "\"num_words\":3"), "lacks \"relation\""},
      {CHECK1("length_constraints:number_words", "\"num_words\":3,\"relation\":\"about\""), "at least"},
      {CHECK1("length_constraints:number_words", "\"num_words\":-1,\"relation\":\"at least\""), "num_words"},
      {CHECK1("length_constraints:number_words", "\"num_words\":\"3\",\"relation\":\"at least\""),
       "num_words"},
      {CHECK1("punctuation:no_comma", "\"n\":1"), "no argument \"n\""},
      {KEYWORDS("[]"), "one or more"},
      {KEYWORDS("\"a\""), "array"},
      {KEYWORDS("[1]"), "string"},
      {KEYWORDS("[\" \"]"), "empty"},
      {KEYWORDS("[\"a\\u0000b\"]"), "NUL"},
      {LETTER("ab", 1, "at least"), "one character"},
      {LANGUAGE("xx"), "not among"},
      {FIRST_WORD(2, 3, "a"), "nth_paragraph"},
      {EXACT("\"contained\":true"), "lacks \"reference\""},
      {EXACT("\"reference\":\"a\",\"contained\":1"), "contained"},
      {NUMERIC("\"reference\":\"many\""), "number"},
      {NUMERIC("\"reference\":1,\"tolerance\":-1"), "tolerance"},
      {REGEX("\"reference\":\"(a\""), "wrong at byte"},
      {REGEX("\"reference\":\"a\\\\Cb\""), "wrong at byte"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct tpo_error err = {0};
    if (check_response(wrong[i].check, NULL, "text", false, &err) >= 0)
      fail_msg("%s was taken", wrong[i].check);
    if (!strstr(err.message, wrong[i].message)) fail_msg("%s: %s", wrong[i].check, err.message);
    assert_true(check_response(wrong[i].check, NULL, "text", true, NULL) < 0);
  }
}

static void null_arguments_count_as_absent(void **state)
{
  (void)state;
  assert_int_equal(check(CHECK1("punctuation:no_comma", "\"num_words\":null"), "a", false), 1);
}

static void an_explosive_pattern_is_given_up_not_waited_for(void **state)
{
  (void)state;
  char text[3001];
  memset(text, 'a', 3000);
  text[2999] = '!';
  text[3000] = '\0';
  static const char *const patterns[] = {REGEX("\"reference\":\"^(a|aa)+$\""),
                                         REGEX("\"reference\":\"(a*)*(a|aa)*b\""),
                                         REGEX("\"reference\":\"(a?){2000}a{2000}b\"")};
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    struct tpo_error err = {0};
    int status = check_response(patterns[i], NULL, text, false, &err);
    assert_true(status == 0 || status == TPO_E_UNSUPPORTED);
  }
  struct tpo_error err = {0};
  assert_int_equal(check_response(patterns[0], NULL, text, false, &err), TPO_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "given up"));
}

static void deeply_nested_json_is_no_danger(void **state)
{
  (void)state;
  enum { N = 200000 };
  char *text = malloc(N + 1);
  memset(text, '[', N);
  text[N] = '\0';
  assert_int_equal(check(CHECK("detectable_format:json_format"), text, false), 0);
  free(text);
}

static void capitals_are_english_to_the_judge_and_what_the_detector_says_as_published(void **state)
{
  (void)state;
  static const char check[] = "{\"type\":\"change_case:english_capital\"}";
  static const struct {
    const char *text;
    int judged, published;
  } cases[] = {
      {"THE END OF THE STORY IS THAT A CAT WENT TO THE OLD TOWN AND TOLD IT TO A FRIEND.", 1, 1},
      {"YES", 1, 0}, /* Welsh, by Y and S */
      {"HANNAH, BERND, GRETA, KARL, WILHELM, ERNA, SIEGFRIED", 1, 0},
      {"\xc3\x89\xc3\x89", 1, 1}, /* nothing to tell by */
      {"A", 1, 0},
      {"THE end OF IT", 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tpo_error err = {0};
    int judged = check_response(check, NULL, cases[i].text, CHECK_STRICT, &err);
    int published = check_response(check, NULL, cases[i].text, CHECK_AS_PUBLISHED, &err);
    if (judged != cases[i].judged || published != cases[i].published)
      fail_msg("%s: %d, as published %d", cases[i].text, judged, published);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(examples_are_judged_as_documented),
      cmocka_unit_test(every_type_has_a_passing_and_a_failing_example),
      cmocka_unit_test(every_type_is_documented),
      cmocka_unit_test(an_empty_response_follows_nothing),
      cmocka_unit_test(loose_takes_any_of_the_eight_readings),
      cmocka_unit_test(wrong_arguments_are_refused),
      cmocka_unit_test(null_arguments_count_as_absent),
      cmocka_unit_test(an_explosive_pattern_is_given_up_not_waited_for),
      cmocka_unit_test(deeply_nested_json_is_no_danger),
      cmocka_unit_test(capitals_are_english_to_the_judge_and_what_the_detector_says_as_published),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
