/* Templates run as jinja2 runs them (fixtures/jinja.json, made by make_jinja.py), each byte with its
 * origin, within bounds (test_jinja_bounds.c has what tries to go beyond). */
#include "text_test.h"
#include "base/utf8.h"
#include "text/jinja_test.h"

static struct tpo_jinja *open_template(const char *source, size_t len)
{
  struct tpo_jinja *jinja;
  return tpo_jinja_open(&jinja, source, len, "model", &test_error) < 0 ? NULL : jinja;
}

static int render(const struct tpo_jinja *jinja, const json_t *variables, const struct jinja_limits *limits,
                  struct tpo_rendered *out)
{
  return jinja_render(jinja, variables, limits, out, &test_error);
}

static int render_source(const char *source, const json_t *variables, struct tpo_rendered *out)
{
  struct tpo_jinja *jinja = open_template(source, strlen(source));
  if (!jinja) fail_msg("%s", test_error.message);
  int status = render(jinja, variables, NULL, out);
  tpo_jinja_close(jinja);
  return status;
}

static json_t *from_text(const char *json)
{
  json_t *value = tpo_json_parse(json, strlen(json), "inputs", &test_error);
  if (!value) fail_msg("%s", test_error.message);
  return value;
}

/* ---- against jinja2 ---- */

static bool same_text(const struct tpo_rendered *out, const json_t *expected)
{
  size_t len = json_string_length(expected);
  return out->text.len == len && (len == 0 || memcmp(out->text.data, json_string_value(expected), len) == 0);
}

/* "open", "render": where it failed; NULL: it didn't. */
static const char *outcome(const json_t *template, const json_t *inputs, struct tpo_rendered *out)
{
  struct tpo_jinja *jinja = open_template(json_string_value(template), json_string_length(template));
  if (!jinja) return "open";
  int status = render(jinja, inputs, NULL, out);
  tpo_jinja_close(jinja);
  return status < 0 ? "render" : NULL;
}

static bool as_expected(const json_t *one, const json_t *inputs)
{
  struct tpo_rendered out = {0};
  const char *wanted = json_string_value(json_object_get(one, "error"));
  const char *failed = outcome(json_object_get(one, "template"), inputs, &out);
  const json_t *text = json_object_get(one, "text");
  bool same = wanted ? failed && strcmp(wanted, failed) == 0 : !failed && same_text(&out, text);
  if (!same)
    fprintf(stderr, "%s\nexpected %s: %s\ngot %s: %.*s\n",
            json_string_value(json_object_get(one, "template")), wanted ? wanted : "a text",
            wanted ? "" : json_string_value(text), failed ? failed : "a text",
            failed ? (int)strlen(test_error.message) : (int)out.text.len,
            failed          ? test_error.message
            : out.text.data ? out.text.data
                            : "");
  tpo_rendered_free(&out);
  return same;
}

static void templates_do_what_they_do_in_jinja2(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  size_t i;
  json_t *one;
  int bad = 0;
  assert_int_equal(tpo_read_file(FIXTURES "/jinja.json", 1 << 22, &bytes, &test_error), 0);
  json_t *fixture = tpo_json_parse(bytes.data, bytes.len, "jinja.json", &test_error);
  assert_non_null(fixture);
  json_array_foreach(json_object_get(fixture, "cases"), i, one) bad +=
      !as_expected(one, json_object_get(fixture, "inputs"));
  assert_true(i > 300);
  json_decref(fixture);
  tpo_buf_free(&bytes);
  assert_int_equal(bad, 0);
}

/* ---- failures ---- */

static void failures_tell_the_line_where_they_happen(void **state)
{
  (void)state;
  static const struct {
    const char *template;
    int line;
    const char *part;
  } rows[] = {
      {"a\n{{ 1 + 'a' }}", 2, "unsupported operand"},
      {"a\n{{ nothing\n.b }}", 3, "'nothing' is undefined"},
      {"{% macro m() %}\n{{ 1 / 0 }}\n{% endmacro %}\n\n{{ m() }}", 2, "division"},
      {"{% macro m(a) %}\n{% endmacro %}\n{{ m(1) }}{{ m(1, 2) }}", 3, "macro 'm' takes not more than 1"},
      {"{% macro m(a) %}\n{% endmacro %}\n{{ m(b=1) }}", 3, "macro 'm' takes no keyword argument 'b'"},
      {"{% for a, b in [\n(1, 2), (3,)] %}\n{% endfor %}", 1, "not enough values to unpack"},
      {"\n{% set a, b = 1, 2, 3 %}", 2, "too many values to unpack"},
      {"{% set ns = 1 %}\n{% set ns.a = 1 %}", 2, "cannot assign attribute on non-namespace object"},
      {"{% set ns = namespace() %}\n{% set ns._a = 1 %}", 2, "underscore"},
      {"\n{% for a in [1] %}{{ loop(a) }}{% endfor %}", 2, "'recursive'"},
      {"\n{{ raise_exception('roles must alternate') }}", 2, "roles must alternate"},
      {"\n\n{% if true %}{{ 1|nothing }}{% endif %}", 3, "there is no filter named \"nothing\""},
      {"{{ 'a'.nothing() }}", 1, "nothing"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct tpo_rendered out = {0};
    char place[60];
    snprintf(place, sizeof place, "model: chat template, line %d: ", rows[i].line);
    int status = render_source(rows[i].template, NULL, &out);
    if (status == TPO_OK || strncmp(test_error.message, place, strlen(place)) != 0 ||
        !strstr(test_error.message, rows[i].part))
      fail_msg("%s\nexpected line %d: %s\ngot %d: %s", rows[i].template, rows[i].line, rows[i].part, status,
               status < 0 ? test_error.message : out.text.data);
    tpo_rendered_free(&out);
  }
}

static void messages_are_one_line_of_whole_characters(void **state)
{
  (void)state;
  static const char *const templates[] = {"{{ raise_exception('a\\nb\\x1b[0m\\u202e') }}",
                                          "{{ {}['a\\r\\nb'].c }}", "{{ raise_exception('\u00e9' * 3000) }}"};
  for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
    struct tpo_rendered out = {0};
    assert_int_equal(render_source(templates[i], NULL, &out), TPO_E_INPUT);
    assert_true(tpo_utf8_valid(test_error.message, strlen(test_error.message), NULL));
    for (const char *at = test_error.message; *at; at++) assert_true((unsigned char)*at >= ' ');
    assert_null(strstr(test_error.message, "\u202e"));
    tpo_rendered_free(&out);
  }
}

/* So many variables that looking through them is what takes time. */
static void many_variables_cost_steps(void **state)
{
  (void)state;
  struct jinja_limits limits = jinja_default_limits;
  for (int few = 0; few < 2; few++) {
    struct tpo_buf text = {0};
    for (int i = 0; i < 2000; i++) tpo_buf_printf(&text, "{%% set v%d = 1 %%}", few ? 0 : i);
    tpo_buf_puts(&text, "{% for a in range(2000) %}{{ nothing }}{{ v0 }}{% endfor %}");
    struct tpo_rendered out = {0};
    struct tpo_jinja *jinja = open_template(text.data, text.len);
    assert_non_null(jinja);
    limits.steps = 100000;
    assert_int_equal(render(jinja, NULL, &limits, &out), few ? TPO_OK : TPO_E_INPUT);
    tpo_jinja_close(jinja);
    tpo_rendered_free(&out);
    tpo_buf_free(&text);
  }
}

static void deep_expressions_are_bounded(void **state)
{
  (void)state;
  struct tpo_buf text = {0};
  tpo_buf_puts(&text, "{{ 1");
  for (int i = 0; i < 100000; i++) tpo_buf_puts(&text, " + 1");
  tpo_buf_puts(&text, " }}");
  struct tpo_rendered out = {0};
  assert_int_equal(render_source(text.data, NULL, &out), TPO_E_INPUT);
  assert_non_null(strstr(test_error.message, "nested deeper than a rendering may go"));
  tpo_rendered_free(&out);
  tpo_buf_free(&text);
}

/* A limit below what a template takes ends it, and the least that suffices doesn't. */
static void each_limit_holds(void **state)
{
  (void)state;
  static const char source[] =
      "{% macro m(n) %}{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}{{ 'a' * 100 }}";
  struct tpo_jinja *jinja = open_template(source, sizeof source - 1);
  assert_non_null(jinja);
  struct jinja_limits limits[] = {jinja_default_limits, jinja_default_limits, jinja_default_limits,
                                  jinja_default_limits, jinja_default_limits, jinja_default_limits};
  limits[0].steps = 20;
  limits[1].depth = 5;
  limits[2].memory = 500;
  limits[3].output = 105;
  limits[4].depth = 6;
  limits[5].output = 106;
  for (size_t i = 0; i < 6; i++) {
    struct tpo_rendered out = {0};
    int status = render(jinja, NULL, &limits[i], &out);
    if ((status == TPO_OK) != (i >= 4)) fail_msg("limit %zu: %d %s", i, status, test_error.message);
    tpo_rendered_free(&out);
  }
  tpo_jinja_close(jinja);
}

/* ---- origins ---- */

/* "name=text|name=text", a * after the names of what is the template's own. */
static void describe(const struct tpo_rendered *out, struct tpo_buf *to)
{
  size_t end = 0;
  for (size_t i = 0; i < out->n; i++) {
    struct tpo_run run = out->runs[i];
    const struct tpo_origin_info *origin = &out->origins.items[run.origin];
    assert_int_equal(run.begin, end);
    assert_true(run.end > run.begin);
    end = run.end;
    tpo_buf_printf(to, "%s%s%s=%.*s", i ? "|" : "", origin->name, origin->own ? "*" : "",
                   (int)(run.end - run.begin), out->text.data + run.begin);
  }
  assert_int_equal(end, out->text.len);
}

static void every_byte_has_its_origin(void **state)
{
  (void)state;
  static const char inputs[] =
      "{\"bos_token\": \"<s>\", \"tools\": [{\"name\": \"f\"}], \"messages\": [{\"role\": \"user\", \"content\": "
      "\"hi <s>\", \"name\": \"Ann\"}, {\"role\": \"<s>\", \"content\": [{\"text\": \"yo\"}]}]}";
  static const struct {
    const char *template, *runs;
  } rows[] = {
      {"{{ bos_token }}\nx", "bos_token*=<s>|template line 1*=\nx"},
      {"a{{ 'b' }}\n\n{{ 'c' 'd' ~ 1 }}", "template line 1*=ab\n\n|template line 3*=cd|computed=1"},
      {"{% for m in messages %}<|{{ m.role }}|>{% endfor %}",
       "template line 1*=<||messages[0].role*=user|template line 1*=|><||messages[1].role=<s>|template line 1*=|>"},
      {"{{ messages[0].content }}{{ messages[0].name | upper }}",
       "messages[0].content=hi <s>|messages[0].name=ANN"},
      {"{{ messages[1].content[0].text + '!' }}", "messages[1].content=yo|template line 1*=!"},
      {"{% set x %}<{{ messages[0].name }}>{% endset %}{{ x[1:3] }}{{ x[::4] }}",
       "messages[0].name=An|template line 1*=<>"},
      {"{% macro m(a) %}[{{ a }}{{ caller() }}]{% endmacro %}{% call m(messages[0].name) %}c{% endcall %}",
       "template line 1*=[|messages[0].name=Ann|template line 1*=c]"},
      {"{% filter upper %}a{{ messages[0].name }}{% endfilter %}", "template line 1*=A|messages[0].name=ANN"},
      {"{{ tools[0].name }}{% for k in tools[0] %}{{ k }}{% endfor %}", "tools=fname"},
      {"{% for k in messages[0] %}{{ k[0] }}{% endfor %}", "messages=rcn"},
  };
  json_t *variables = from_text(inputs);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct tpo_rendered out = {0};
    struct tpo_buf runs = {0};
    if (render_source(rows[i].template, variables, &out) < 0) fail_msg("%s", test_error.message);
    describe(&out, &runs);
    assert_string_equal(runs.data, rows[i].runs);
    tpo_buf_free(&runs);
    tpo_rendered_free(&out);
  }
  json_decref(variables);
}

/* ---- the rest ---- */

static void nul_bytes_are_bytes(void **state)
{
  (void)state;
  static const char source[] = "a\0b{{ x }}{{ '\\0' }}{{ x | length }}{{ x == 'p\\0q' }}{{ d[x] }}";
  struct tpo_jinja *jinja = open_template(source, sizeof source - 1);
  assert_non_null(jinja);
  json_t *variables = json_pack("{s:s%,s:{}}", "x", "p\0q", (size_t)3, "d");
  struct tpo_rendered out = {0};
  if (render(jinja, variables, NULL, &out) < 0) fail_msg("%s", test_error.message);
  static const char expected[] = "a\0bp\0q\0003True";
  assert_int_equal(out.text.len, sizeof expected - 1);
  assert_memory_equal(out.text.data, expected, out.text.len);
  tpo_rendered_free(&out);
  tpo_jinja_close(jinja);
  json_decref(variables);
}

/* Rendering leaves nothing behind in a template. */
static void a_template_is_rendered_again_alike(void **state)
{
  (void)state;
  static const char source[] =
      "{% set ns = namespace(n=0) %}{% for a in x %}{% set ns.n = ns.n + a %}{% endfor %}{{ ns.n }}{{ [1] + x }}";
  struct tpo_jinja *jinja = open_template(source, sizeof source - 1);
  assert_non_null(jinja);
  json_t *variables = from_text("{\"x\": [1, 2]}");
  for (int i = 0; i < 3; i++) {
    struct tpo_rendered out = {0};
    assert_int_equal(render(jinja, variables, NULL, &out), TPO_OK);
    assert_string_equal(out.text.data, "3[1, 1, 2]");
    tpo_rendered_free(&out);
  }
  tpo_jinja_close(jinja);
  json_decref(variables);
}

/* So many messages take about so many times the steps of one. */
static void long_chats_take_no_more_than_their_length(void **state)
{
  (void)state;
  static const char source[] =
      "{% for m in messages %}{% if loop.last and m.role == 'user' %}!{% endif %}<|{{ m.role }}|>"
      "{{ m.content | trim }}\n{% if not loop.first %}{{ loop.previtem.role }}{% endif %}{% endfor %}";
  struct tpo_jinja *jinja = open_template(source, sizeof source - 1);
  assert_non_null(jinja);
  struct jinja_limits limits = jinja_default_limits;
  for (size_t n = 100; n <= 10000; n *= 10) {
    json_t *messages = json_array(), *variables = json_pack("{s:o}", "messages", messages);
    struct tpo_rendered out = {0};
    for (size_t i = 0; i < n; i++)
      json_array_append_new(messages, json_pack("{s:s,s:s}", "role", "user", "content", " a question "));
    limits.steps = 100 * n;
    if (render(jinja, variables, &limits, &out) < 0) fail_msg("%zu: %s", n, test_error.message);
    tpo_rendered_free(&out);
    json_decref(variables);
  }
  tpo_jinja_close(jinja);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(templates_do_what_they_do_in_jinja2),
      cmocka_unit_test(failures_tell_the_line_where_they_happen),
      cmocka_unit_test(messages_are_one_line_of_whole_characters),
      cmocka_unit_test(many_variables_cost_steps),
      cmocka_unit_test(deep_expressions_are_bounded),
      cmocka_unit_test(each_limit_holds),
      cmocka_unit_test(every_byte_has_its_origin),
      cmocka_unit_test(nul_bytes_are_bytes),
      cmocka_unit_test(a_template_is_rendered_again_alike),
      cmocka_unit_test(long_chats_take_no_more_than_their_length),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
