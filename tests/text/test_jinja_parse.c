/* What is wrong with a chat template is said with its line; what is not supported, by its name. */
#include "text_test.h"
#include "text/jinja/ast.h"

static int parse(const char *source, size_t len)
{
  struct tpo_jinja *jinja;
  int status = jinja_parse(&jinja, source, len, "model/chat_template.jinja", &test_error);
  assert_int_equal(status == TPO_OK, jinja != NULL);
  jinja_free(jinja);
  return status;
}

struct refusal {
  const char *template;
  int code, line;
  const char *part;
};

static void check_refusals(const struct refusal *rows, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    char place[80];
    snprintf(place, sizeof place, "model/chat_template.jinja: chat template, line %d: ", rows[i].line);
    int status = parse(rows[i].template, strlen(rows[i].template));
    if (status == rows[i].code && strncmp(test_error.message, place, strlen(place)) == 0 &&
        strstr(test_error.message, rows[i].part))
      continue;
    fail_msg("%s\nexpected %d, line %d: %s\ngot %d: %s", rows[i].template, rows[i].code, rows[i].line,
             rows[i].part, status, status < 0 ? test_error.message : "no failure");
  }
}

static void what_is_malformed_is_told_with_its_line(void **state)
{
  (void)state;
  static const struct refusal rows[] = {
      {"a\nb {{ 1", TPO_E_INPUT, 2, "a tag without its closing \"}}\""},
      {"a\n{% if x", TPO_E_INPUT, 2, "a tag without its closing \"%}\""},
      {"\n\n{# c", TPO_E_INPUT, 3, "a comment without \"#}\""},
      {"\n{% raw %}\n", TPO_E_INPUT, 2, "without {% endraw %}"},
      {"{{ 'a\nb }}", TPO_E_INPUT, 1, "a string without its closing '"},
      {"\n{{ '\\x4' }}", TPO_E_INPUT, 2, "wants 2 hexadecimal digits"},
      {"{{ '\\ud800' }}", TPO_E_INPUT, 1, "U+D800, which is no character"},
      {"{{ a $ }}", TPO_E_INPUT, 1, "unexpected character U+0024"},
      {"{{ (1] }}", TPO_E_INPUT, 1, "unexpected \"]\", expected \")\""},
      {"{{ ) }}", TPO_E_INPUT, 1, "unexpected \")\""},
      {"\n{{ a b }}", TPO_E_INPUT, 2, "expected \"}}\", got \"b\""},
      {"{{ }}", TPO_E_INPUT, 1, "expected an expression, got \"}}\""},
      {"{{ a.'b' }}", TPO_E_INPUT, 1, "expected a name or a number, got a string"},
      {"{{ {1} }}", TPO_E_INPUT, 1, "expected \":\", got \"}\""},
      {"{{ f(a=1, 2) }}", TPO_E_INPUT, 1, "out of order or doubled"},
      {"{{ f(a=1, a=2) }}", TPO_E_INPUT, 1, "out of order or doubled"},
      {"a\n{% if 1 %}\nb\n", TPO_E_INPUT, 3, "expected \"endif\", got the end of the template"},
      {"{% if 1 %}\n{% endfor %}", TPO_E_INPUT, 2, "unknown tag \"endfor\", expected \"endif\""},
      {"\n{% wrong %}", TPO_E_INPUT, 2, "unknown tag \"wrong\""},
      {"{% 'a' %}", TPO_E_INPUT, 1, "expected a tag's name, got a string"},
      {"{% for a of b %}", TPO_E_INPUT, 1, "expected \"in\", got \"of\""},
      {"{% for a.b in c %}{% endfor %}", TPO_E_INPUT, 1, "expected \"in\", got \".\""},
      {"{% set 1 = 2 %}", TPO_E_INPUT, 1, "expected a name or names to assign to"},
      {"{% for a in b %}\n{% set loop = 1 %}{% endfor %}", TPO_E_INPUT, 2, "\"loop\" can't be assigned to"},
      {"\n{% break %}", TPO_E_INPUT, 2, "\"break\" outside of a for loop"},
      {"{% macro m(a, a) %}{% endmacro %}", TPO_E_INPUT, 1, "parameter \"a\""},
      {"{% macro m(a=1, b) %}{% endmacro %}", TPO_E_INPUT, 1, "parameter \"b\""},
      {"{% macro m(caller) %}{{ caller }}{% endmacro %}", TPO_E_INPUT, 1, "the parameter \"caller\""},
      {"{% call a %}{% endcall %}", TPO_E_INPUT, 1, "expected a call"},
      /* what the parser finds first, though there are no tokens of what stands below */
      {"{% if a\n{{ b }}\n{% endif %}\n{{ 'c", TPO_E_INPUT, 2, "expected \"%}\", got \"{\""},
      {"{% wrong %}\n{{ 'c", TPO_E_INPUT, 1, "unknown tag \"wrong\""},
      {"{{ a b }}\n{# c", TPO_E_INPUT, 1, "expected \"}}\", got \"b\""},
      {"{% if 1 %}\n{# c", TPO_E_INPUT, 2, "a comment without \"#}\""},
  };
  check_refusals(rows, sizeof rows / sizeof *rows);
}

static void what_is_not_supported_is_told_by_name(void **state)
{
  (void)state;
  static const struct refusal rows[] = {
      {"\n{% include 'a' %}", TPO_E_UNSUPPORTED, 2, "the tag \"include\" is not supported"},
      {"{% import 'a' as b %}", TPO_E_UNSUPPORTED, 1, "\"import\""},
      {"{% from 'a' import b %}", TPO_E_UNSUPPORTED, 1, "\"from\""},
      {"{% extends 'a' %}", TPO_E_UNSUPPORTED, 1, "\"extends\""},
      {"{% block a %}{% endblock %}", TPO_E_UNSUPPORTED, 1, "\"block\""},
      {"{% autoescape true %}{% endautoescape %}", TPO_E_UNSUPPORTED, 1, "\"autoescape\""},
      {"{% trans %}a{% endtrans %}", TPO_E_UNSUPPORTED, 1, "\"trans\""},
      {"{% do a %}", TPO_E_UNSUPPORTED, 1, "\"do\""},
      {"a\n{{ a\n|nothing }}", TPO_E_UNSUPPORTED, 3, "there is no filter named \"nothing\""},
      {"\n{{ a is nothing }}", TPO_E_UNSUPPORTED, 2, "there is no test named \"nothing\""},
      {"{{ a|x.y }}", TPO_E_UNSUPPORTED, 1, "there is no filter named \"x.y\""},
      {"{% if a %}{% for b in c %}{{ b|nothing }}{% endfor %}{% endif %}", TPO_E_UNSUPPORTED, 1,
       "\"nothing\""},
      {"{{ 99999999999999999999 }}", TPO_E_UNSUPPORTED, 1, "needs more than 64 bits"},
      {"{{ '\\N{DASH}' }}", TPO_E_UNSUPPORTED, 1, "\\N{...}"},
      {"{{ a[1:2, 3] }}", TPO_E_UNSUPPORTED, 1, "a slice among other indices"},
  };
  check_refusals(rows, sizeof rows / sizeof *rows);
}

/* As jinja2 has it: what an `if` may leave out fails only where it is run. */
static void an_unknown_filter_in_an_if_can_wait(void **state)
{
  (void)state;
  static const char *const templates[] = {"{% if a %}{{ a|nothing }}{% endif %}",
                                          "{{ (a|nothing) if a else 1 }}", "{{ 1 if a else a is nothing }}"};
  for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
    assert_int_equal(parse(templates[i], strlen(templates[i])), TPO_OK);
}

static int parse_repeated(const char *before, const char *opening, const char *middle, const char *closing,
                          const char *after, int times)
{
  struct tpo_buf text = {0};
  tpo_buf_puts(&text, before);
  for (int i = 0; i < times; i++) tpo_buf_puts(&text, opening);
  tpo_buf_puts(&text, middle);
  for (int i = 0; i < times; i++) tpo_buf_puts(&text, closing);
  tpo_buf_puts(&text, after);
  int status = parse(text.data, text.len);
  tpo_buf_free(&text);
  return status;
}

static void nesting_is_bounded(void **state)
{
  (void)state;
  static const char *const rows[][2] = {{"(", ")"},           {"[", "]"},   {"-", ""},
                                        {"not ", ""},         {"a[", "]"},  {"f(", ")"},
                                        {"1 if 1 else ", ""}, {"{1: ", "}"}};
  assert_int_equal(parse_repeated("", "{% if 1 %}", "x", "{% endif %}", "", 100), TPO_OK);
  assert_int_equal(parse_repeated("", "{% if 1 %}", "x", "{% endif %}", "", 20000), TPO_E_UNSUPPORTED);
  assert_non_null(strstr(test_error.message, "nested more than 200 deep"));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_int_equal(parse_repeated("{{ ", rows[i][0], "1", rows[i][1], " }}", 50), TPO_OK);
    assert_int_equal(parse_repeated("{{ ", rows[i][0], "1", rows[i][1], " }}", 50000), TPO_E_UNSUPPORTED);
  }
}

/* Long without being deep: each is read in a moment. */
static void long_chains_are_read(void **state)
{
  (void)state;
  assert_int_equal(parse_repeated("", "{{ a }}", "", "{% set a = 1 %}", "", 20000), TPO_OK);
  assert_int_equal(parse_repeated("", "{% if 1 %}a{% endif %}", "", "{# c #} \n", "", 20000), TPO_OK);
  assert_int_equal(parse_repeated("{% if 1 %}", "{% elif 1 %}", "", "{{ a }}\n", "{% endif %}", 20000),
                   TPO_OK);
  assert_int_equal(parse_repeated("{{ 1 ", "+ 1 ", "", "~ 1 ", "}}", 20000), TPO_OK);
}

static void calls_are_bounded(void **state)
{
  (void)state;
  assert_int_equal(parse_repeated("{{ f(", "1,", "", "", ") }}", 255), TPO_OK);
  assert_int_equal(parse_repeated("{{ f(", "1,", "", "", ") }}", 256), TPO_E_UNSUPPORTED);
  assert_int_equal(parse_repeated("{{ f(", "a=1,", "", "", ") }}", 2), TPO_E_INPUT);
  struct tpo_buf text = {0};
  tpo_buf_puts(&text, "{% macro m(");
  for (int i = 0; i < 256; i++) tpo_buf_printf(&text, "%sa%d", i ? "," : "", i);
  tpo_buf_puts(&text, ") %}{% endmacro %}");
  assert_int_equal(parse(text.data, text.len), TPO_E_INPUT);
  assert_non_null(strstr(test_error.message, "parameter \"a255\": too many"));
  tpo_buf_free(&text);
}

static void size_and_encoding_are_checked(void **state)
{
  (void)state;
  char *big = malloc(JINJA_SOURCE_MAX + 1);
  assert_non_null(big);
  memset(big, 'a', JINJA_SOURCE_MAX + 1);
  assert_int_equal(parse(big, JINJA_SOURCE_MAX), TPO_OK);
  assert_int_equal(parse(big, JINJA_SOURCE_MAX + 1), TPO_E_UNSUPPORTED);
  assert_non_null(strstr(test_error.message, "1048577 bytes"));
  free(big);
  assert_int_equal(parse("a\xff", 2), TPO_E_INPUT);
  assert_non_null(strstr(test_error.message, "not UTF-8 at byte 1"));
  assert_int_equal(parse("a\0b", 3), TPO_OK);
  assert_int_equal(parse("{{ \0 }}", 7), TPO_E_INPUT);
}

static const struct jinja_node *only(const struct jinja_nodes *nodes)
{
  assert_int_equal(nodes->n, 1);
  return nodes->items[0];
}

static void nodes_have_the_lines_on_which_they_stand(void **state)
{
  (void)state;
  static const char source[] = "{% for m in x %}\r\n{%- if m %}\n\n{{ m.a\n.b }}{% endif %}{% endfor %}";
  struct tpo_jinja *jinja;
  assert_int_equal(jinja_parse(&jinja, source, sizeof source - 1, "t", &test_error), TPO_OK);
  const struct jinja_node *loop = only(&jinja->body), *choice = only(&loop->body), *text, *output;
  assert_int_equal(choice->body.n, 2);
  text = choice->body.items[0];
  output = choice->body.items[1];
  assert_int_equal(loop->kind, JINJA_FOR);
  assert_int_equal(loop->line, 1);
  assert_int_equal(choice->kind, JINJA_IF);
  assert_int_equal(choice->line, 2);
  assert_int_equal(text->line, 3);
  assert_string_equal(text->value.string->bytes, "\n");
  assert_int_equal(output->line, 4);
  assert_int_equal(output->a->line, 5);
  assert_int_equal(output->a->a->line, 4);
  jinja_free(jinja);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_malformed_is_told_with_its_line),
      cmocka_unit_test(what_is_not_supported_is_told_by_name),
      cmocka_unit_test(an_unknown_filter_in_an_if_can_wait),
      cmocka_unit_test(nesting_is_bounded),
      cmocka_unit_test(long_chains_are_read),
      cmocka_unit_test(calls_are_bounded),
      cmocka_unit_test(size_and_encoding_are_checked),
      cmocka_unit_test(nodes_have_the_lines_on_which_they_stand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
