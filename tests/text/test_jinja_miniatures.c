/* Small templates of our own, one for each thing that published ones do: the texts that jinja2 makes of them
 * (make_miniatures.py), and whose every byte is. */
#include "text_test.h"
#include "text/jinja/jinja.h"

static json_t *fixture;

static int load_fixture(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  if (tpo_read_file(FIXTURES "/jinja_miniatures.json", 1 << 22, &bytes, &test_error) < 0) return -1;
  fixture = tpo_json_parse(bytes.data, bytes.len, "jinja_miniatures.json", &test_error);
  tpo_buf_free(&bytes);
  return fixture ? 0 : -1;
}

static int free_fixture(void **state)
{
  (void)state;
  json_decref(fixture);
  return 0;
}

/* The names of the tokenizer's tokens are the template's own, as in a chat. */
static int render(const struct tpo_jinja *jinja, const json_t *variables, struct tpo_rendered *out)
{
  struct tpo_jinja_input inputs[16];
  size_t n = 0;
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)variables, name, value)
  {
    assert_true(n < 16);
    inputs[n++] = (struct tpo_jinja_input){name, value, strstr(name, "_token") != NULL};
  }
  return tpo_jinja_render(jinja, inputs, n, "2024-07-26", NULL, out, &test_error);
}

static bool check_text(const struct tpo_rendered *out, const json_t *expected)
{
  size_t len = json_string_length(expected);
  if (out->text.len == len &&
      memcmp(out->text.data ? out->text.data : "", json_string_value(expected), len) == 0)
    return true;
  fprintf(stderr, "expected: %s\ngot:      %.*s\n", json_string_value(expected), (int)out->text.len,
          out->text.data ? out->text.data : "");
  return false;
}

static bool check_error(const json_t *expected, int code)
{
  const char *message = json_string_value(expected);
  if (code < 0 && strstr(test_error.message, message)) return true;
  fprintf(stderr, "expected the error: %s\ngot: %s\n", message, code < 0 ? test_error.message : "no error");
  return false;
}

/* visit for each case; its answers are counted, so that all of what differs is seen at once. */
static void each_case(bool (*visit)(const struct tpo_jinja *, const json_t *variables, const json_t *one))
{
  const json_t *variables = json_object_get(fixture, "inputs");
  size_t i, k;
  json_t *template, *one;
  int bad = 0;
  json_array_foreach(json_object_get(fixture, "templates"), i, template)
  {
    const json_t *source = json_object_get(template, "template");
    struct tpo_jinja *jinja;
    if (tpo_jinja_open(&jinja, json_string_value(source), json_string_length(source), "miniature",
                       &test_error) < 0)
      fail_msg("%s: %s", json_string_value(json_object_get(template, "name")), test_error.message);
    json_array_foreach(json_object_get(template, "cases"), k, one)
    {
      const char *inputs = json_string_value(json_object_get(one, "inputs"));
      if (visit(jinja, json_object_get(variables, inputs), one)) continue;
      fprintf(stderr, "^ %s; %s\n", json_string_value(json_object_get(template, "name")), inputs);
      bad++;
    }
    tpo_jinja_close(jinja);
  }
  assert_int_equal(bad, 0);
}

static bool same_as_jinja2(const struct tpo_jinja *jinja, const json_t *variables, const json_t *one)
{
  struct tpo_rendered out = {0};
  int code = render(jinja, variables, &out);
  const json_t *error = json_object_get(one, "error");
  if (!error && code < 0) fprintf(stderr, "%s\n", test_error.message);
  bool same = error ? check_error(error, code) : code == 0 && check_text(&out, json_object_get(one, "text"));
  tpo_rendered_free(&out);
  return same;
}

static void miniatures_are_rendered_as_by_jinja2(void **state)
{
  (void)state;
  each_case(same_as_jinja2);
}

/* U+E000 and the following, which only the contents of one chat have and no template. */
static bool is_private(const char *text)
{
  return (unsigned char)text[0] == 0xEE;
}

/* Runs follow each other over the whole text; what only a message has is the template's in none of them. */
static bool origins_hold(const struct tpo_jinja *jinja, const json_t *variables, const json_t *one)
{
  (void)one;
  struct tpo_rendered out = {0};
  bool fine = true;
  size_t end = 0;
  if (render(jinja, variables, &out) == 0) {
    for (size_t i = 0; i < out.n; i++) {
      struct tpo_run run = out.runs[i];
      const struct tpo_origin_info *origin = &out.origins.items[run.origin];
      fine = fine && run.begin == end && run.end > run.begin;
      end = run.end;
      for (size_t at = run.begin; at < run.end; at++)
        fine = fine && !(is_private(out.text.data + at) && (origin->own || run.origin == 0));
    }
    fine = fine && end == out.text.len;
  }
  tpo_rendered_free(&out);
  return fine;
}

static void contents_are_never_the_templates_own(void **state)
{
  (void)state;
  each_case(origins_hold);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(miniatures_are_rendered_as_by_jinja2),
      cmocka_unit_test(contents_are_never_the_templates_own),
  };
  return cmocka_run_group_tests(tests, load_fixture, free_fixture);
}
